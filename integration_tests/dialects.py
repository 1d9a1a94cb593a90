"""What must come out of each dialect of the sandbox, and the runs that show it.

The rule: a stream fails on proof that something is missing, warns on suspicion, and is never green and short. So a
dialect is read green and complete unless `EXPECTED` says otherwise and why.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from re import IGNORECASE, search
from typing import Any, Literal

from integration_tests.connector import PRIMARY_KEYS, Run, access_token, catalog, newest_states, oauth, run
from sandbox import ALL_SCOPES, METRICS, Drift, Options, Sandbox
from sandbox.dialects import DIALECTS, Dialect

SMALL: dict[str, Any] = {
    "seed": 3,
    # Two full pages of accounts and three of conversations: a last page that is full is the hardest to tell.
    "accounts": 130,
    "conversations": 150,
    "users": 5,
    "meetings": 12,
    "history_days": 100,
}
# Seconds; a walk that does not end is stopped.
LONGEST = 90
# A stream with one request that no dialect of another area concerns: it must not suffer when others fail.
BYSTANDER = "teams"
READS = ("accounts", "conversations", "users", "messages")
STREAMS: dict[str, tuple[str, ...]] = {
    "accounts": ("accounts",),
    "list": ("conversations", "conversation_details"),
    "conversation": ("messages", "conversation_details"),
    "details": ("conversation_details",),
    "messages": ("messages",),
    "contacts": ("contacts",),
    "emails": ("contacts_by_email",),
    "attributes": ("contact_attributes",),
    "reports": ("conversation_metrics",),
    "meetings": ("meetings",),
    "users": ("users",),
    "teams": ("teams",),
    "playbooks": ("playbooks",),
    "pages": ("landing_pages",),
    "stats": ("conversation_stats",),
    "token-info": ("token_info",),
    "oauth": ("users", "conversations"),
    "token": READS,
    "json": READS,
    "gateway": READS,
}
INCREMENTAL = ("conversations", "messages", "conversation_details", "contacts", "conversation_metrics", "meetings")

Kind = Literal["complete", "all but", "red", "red or complete"]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What must come out.

    Attributes:
        why: the reason, where it is anything but green and complete.
        says: a pattern of the error message of the streams that are red, in any case.
        never_says: a pattern that must not be in it.
        logs: a pattern of a line of the log.
        others: what is not concerned by the deviation arrives although the stream is red.
        missing: the keys of a stream that cannot arrive; without it, with `all but`, those of the conversations and
            contacts whose requests the dialect has touched.
        complete: streams that are read beside and must be complete.
        streams, drift, options: other than usual.
        with_oauth: read with OAuth instead of a private token.
        check: run `check` instead of `read`, which must succeed.
        again: a second sync follows with the state of the first one: rows may come with either.
        fresh: change the data between the two; the second sync must bring the ids that are returned.
        retries: the second sync asks for no more conversations than the dialect has touched, but for the newest ones.
        never_asked: a pattern of paths that must not be asked for.
        unasked: a connector that asks otherwise never meets the dialect.
        values: whether the values of the records are compared.
        ignored: fields that are not compared.
    """

    kind: Kind = "complete"
    why: str = ""
    says: str = ""
    never_says: str = ""
    logs: str = ""
    others: bool = False
    missing: Callable[[str, Drift, Dialect], set[Any]] | None = None
    complete: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    drift: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    with_oauth: bool = False
    check: bool = False
    again: bool = False
    fresh: Callable[[Drift], list[int]] | None = None
    retries: bool = False
    never_asked: str = ""
    unasked: bool = False
    values: bool = True
    ignored: tuple[str, ...] = ()


def Green(**more: Any) -> Expected:
    """Every row, and exit code 0."""
    return Expected(kind="complete", **more)


def AllBut(why: str, **more: Any) -> Expected:
    """Green without the rows that Drift itself does not have."""
    return Expected(kind="all but", why=why, **more)


def Red(says: str, why: str, **more: Any) -> Expected:
    """An error that says so; the bystander is complete."""
    return Expected(kind="red", says=says, why=why, **{"complete": (BYSTANDER,), **more})


def RedOrComplete(why: str, **more: Any) -> Expected:
    """Either is right; green and short is not."""
    return Expected(kind="red or complete", why=why, **more)


@dataclass(frozen=True)
class Outcome:
    """What came of a dialect.

    Attributes:
        came: a few words, or the message of the first red stream.
        problems: what is other than expected; none if all is well.
        hits: requests and answers that the dialect has changed.
    """

    dialect: Dialect
    expected: Expected
    came: str
    problems: list[str]
    hits: int


@dataclass(frozen=True)
class _Trial:
    """A dialect with what must come out, the Drift that speaks it, and the addresses that are asked for."""

    dialect: Dialect
    expected: Expected
    drift: Drift
    sandbox: Sandbox
    emails: list[str]

    def ended(self, came: str, problems: list[str]) -> Outcome:
        hits = self.sandbox.service.interpreter.hits[self.dialect.name]
        if not (hits or self.expected.unasked):
            problems = [*problems, "the dialect changed no request and no answer"]
        return Outcome(self.dialect, self.expected, came, problems, hits)


def outcome(name: str) -> Outcome:
    """Read a Drift that speaks a dialect, with a real process, and compare."""
    dialect, expected = DIALECTS[name], EXPECTED.get(name, Green())
    drift = Drift(**SMALL | dict(expected.drift))
    unlimited: dict[str, Any] = {"rate_limit": None, "reports_per_minute": None, "dialects": (name,)}
    with Sandbox(drift, Options(**unlimited | dict(expected.options))) as sandbox:
        trial = _Trial(dialect, expected, drift, sandbox, _addresses(drift))
        try:
            return _compared(trial)
        except TimeoutError:
            return trial.ended("does not end", [f"it has not ended after {LONGEST} s"])
        except AssertionError as secret:
            return trial.ended("shows a secret", [str(secret)])


def _compared(trial: _Trial) -> Outcome:
    dialect, expected, drift, sandbox = trial.dialect, trial.expected, trial.drift, trial.sandbox
    config = _config(trial)
    if expected.check:
        status, message = run("check", config, longest=LONGEST).connection
        failed = [] if status == "SUCCEEDED" else [f"check: {message}"]
        return trial.ended(message if failed else "check passes", failed)
    concerned = expected.streams or STREAMS[dialect.area]
    streams = (*concerned, *expected.complete)
    modes = {stream: "incremental" for stream in streams if expected.again and stream in INCREMENTAL}
    runs = [run("read", config, catalog(*streams, **modes), longest=LONGEST)]
    problems: list[str] = []
    if expected.again:
        fresh = expected.fresh(drift) if expected.fresh else []
        sandbox.journal.clear()
        runs.append(run("read", config, catalog(*streams, **modes), newest_states(runs[0]), longest=LONGEST))
        if (runs[1].code == 0) == (expected.kind == "red"):
            problems.append(f"the second sync ended with {runs[1].code}: {runs[1].error()}")
        new = set(runs[1].keys(concerned[0]))
        problems += [f"{one} changed before the second sync, which left it out" for one in fresh if one not in new]
        if expected.retries:
            asked = {request.path for request in sandbox.journal if search(dialect.path, request.path)}
            most = (len(sandbox.service.interpreter.struck) + 10) * len(concerned)
            if len(asked) > most:
                problems.append(f"the second sync asked for {len(asked)} paths, at most {most} are needed")
    for stream in streams:
        kind = expected.kind if stream in concerned else "complete"
        problems += _problems(trial, runs, stream, kind)
    problems += _noticed(trial, runs)
    return trial.ended(_came(runs[0], streams), problems)


def _config(trial: _Trial) -> dict[str, Any]:
    start = f"{datetime.now(UTC) - timedelta(days=110):%Y-%m-%dT%H:%M:%SZ}"
    made = (oauth if trial.expected.with_oauth else access_token)(trial.sandbox.url)
    return {**made, "start_date": start, "contact_emails": [*trial.emails, "nobody@example.com"]}


def _problems(trial: _Trial, runs: list[Run], stream: str, kind: Kind) -> Iterable[str]:
    expected = trial.expected
    status, error = runs[0].statuses.get(stream, "nothing"), runs[0].error(stream)
    is_red = status == "INCOMPLETE"
    if kind == "red" and not is_red:
        yield f"{stream}: {status}, but it must fail: {expected.why}"
        return
    if is_red and kind in ("complete", "all but"):
        yield f"{stream}: {error}"
    if is_red and kind == "red" and not search(expected.says, error, IGNORECASE):
        yield f"{stream}: the error does not say {expected.says!r}: {error}"
    if is_red and expected.never_says and search(expected.never_says, error, IGNORECASE):
        yield f"{stream}: the error says {expected.never_says!r}: {error}"
    if not is_red or kind in ("complete", "all but") or expected.others:
        yield from _missing(trial, runs, stream)


def _missing(trial: _Trial, runs: list[Run], stream: str) -> Iterable[str]:
    """What Drift has and the records have not, and what they have otherwise."""
    dialect, expected, drift = trial.dialect, trial.expected, trial.drift
    records = {_key(stream, row): row for read in runs for row in read.records(stream)}
    if stream == "token_info":
        if len(records) != 1:
            yield f"token_info: {len(records)} records"
        return
    left_out = {_plain(key) for key in expected.missing(stream, drift, dialect)} if expected.missing else set()
    struck = trial.sandbox.service.interpreter.struck if expected.kind == "all but" or expected.others else frozenset()
    missing, other = [], []
    for row in drift.expected(stream, emails=trial.emails):
        if expected.missing and _key(stream, row)[0] in left_out:
            continue
        if not expected.missing and {str(row.get("id")), str(row.get("conversationId"))} & struck:
            continue
        forms = [_as_record(stream, form) for form in dialect.rows_as_sent(row)]
        found = next((records[_key(stream, form)] for form in forms if _key(stream, form) in records), None)
        if found is None:
            missing.append(_key(stream, row))
        elif expected.values and not any(_same(form, found, expected.ignored) for form in forms):
            other.append((found, forms[-1]))
    if missing:
        yield f"{stream}: {len(missing)} rows are missing, such as {missing[:3]}"
    if other:
        yield f"{stream}: {len(other)} rows have other values: {other[0][0]} instead of {other[0][1]}"


def _noticed(trial: _Trial, runs: list[Run]) -> Iterable[str]:
    expected = trial.expected
    for read in runs:
        if (read.code == 0) != all(status == "COMPLETE" for status in read.statuses.values()):
            yield f"exit code {read.code}, but {read.statuses}"
    if expected.logs and not any(search(expected.logs, line, IGNORECASE) for read in runs for line in read.logs):
        yield f"no line of the log says {expected.logs!r}"
    if expected.never_asked:
        asked = {request.path for request in trial.sandbox.journal if search(expected.never_asked, request.path)}
        if asked:
            yield f"asked for {sorted(asked)}"


def _came(read: Run, streams: Iterable[str]) -> str:
    red = [stream for stream in streams if read.statuses.get(stream) != "COMPLETE"]
    if red:
        return f"{', '.join(red)} red: {read.error(red[0])}"
    warnings = len(read.warnings)
    return f"green, {warnings} warnings" if warnings > 1 else f"green, {read.warnings[0]}" if warnings else "green"


def _addresses(drift: Drift) -> list[str]:
    if not drift.count("conversations"):
        return []
    found = (row["attributes"].get("email") for row in drift.expected("contacts"))
    return sorted({email for email in found if email})[:2]


# Comparing: a number, its text and its float are the same value in another spelling, and an absent field is a null one.


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return None if value is None or text in ("", "NaN") else text.removesuffix(".0")


def _key(stream: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    key = tuple(str(_plain(row.get(name))) for name in PRIMARY_KEYS[stream])
    # A dialect spells statuses in lower case; names of attributes may differ in nothing else.
    return tuple(part.lower() for part in key) if stream == "conversation_stats" else key


def _same(sent: Mapping[str, Any], got: Mapping[str, Any], ignored: tuple[str, ...]) -> bool:
    return all(_plain(value) == _plain(got.get(name)) for name, value in sent.items() if name not in ignored)


def _as_record(stream: str, row: Mapping[str, Any]) -> dict[str, Any]:
    if stream == "conversation_metrics":
        values = dict(zip(METRICS, row["metrics"], strict=True))
        return {"conversationId": row["conversationId"], **values}
    return dict(row)


# What is not green and complete


def _unreachable_contacts(stream: str, drift: Drift, dialect: Dialect) -> set[Any]:
    """The contacts that only those conversations name whose contact the dialect has changed."""
    if stream != "contacts":
        return set()
    named: dict[bool, set[Any]] = {True: set(), False: set()}
    for row in drift.expected("conversations"):
        named[dialect.rows_as_sent(row)[-1] == row].add(row["contactId"])
    return {str(contact_id) for contact_id in named[False] - named[True]}


_NEWER: dict[str, Any] = {"again": True, "values": False}
_NO_WITNESS = "An empty object says nothing, not even that there is nothing."
_NONE_HERE = "Drift says that it has nothing, and says so twice."
_NO_CONVERSATIONS = "A list of conversations that is not there is never taken for an empty one."
_ROW_FAILS = "The row exists and cannot be had; everything else arrives, and the next sync tries it again."
_NO_KEY = "Rows without a key cannot be told apart in the destination."
_UNKNOWN_PLACE = (
    "The rows or the way to the next page stand where no documentation looks; nothing may be lost silently."
)
_GONE = "Drift itself says that it is gone."
_REFUSED = "Asking for less is as right as failing with the reason."
_ENDLESS = "A walk without an end is ended, by an error at the latest."
_EMPTY_CONVERSATION = "The conversation has no messages."
_OTHER_HOST = "The token is sent to one host only."


_ONE_METRIC_LESS = Green(
    why="One metric is null, and a warning names it.",
    ignored=("meaningfulConversation",),
    logs="meaningfulConversation",
)


def _row_fails(says: str) -> Expected:
    return Red(says, _ROW_FAILS, others=True, again=True, retries=True)


EXPECTED: dict[str, Expected] = {
    # Accounts
    "accounts-size-above-50-refused": RedOrComplete(_REFUSED, unasked=True),
    "accounts-hal-links": RedOrComplete(_UNKNOWN_PLACE),
    "accounts-embedded": RedOrComplete(_UNKNOWN_PLACE),
    "accounts-spring-page": RedOrComplete(_UNKNOWN_PLACE),
    "accounts-capitalised-keys": RedOrComplete(_UNKNOWN_PLACE),
    "accounts-row-without-key": Red("accountId", _NO_KEY),
    "accounts-null-when-none": Green(why=_NONE_HERE, drift={"accounts": 0}),
    "accounts-empty-data-when-none": Green(why=_NONE_HERE, drift={"accounts": 0}),
    "accounts-data-null-when-none": Green(why=_NONE_HERE, drift={"accounts": 0}),
    "accounts-204-when-none": Green(why=_NONE_HERE, drift={"accounts": 0}),
    "accounts-404-not-in-plan": Red("404|not found", "Drift has no accounts to give."),
    # The list of conversations
    "list-next-for-ever": RedOrComplete(_ENDLESS),
    "list-cursors-differ-for-the-same-rows": RedOrComplete(_ENDLESS),
    "list-last-row-updated-between-pages": Green(streams=("conversations",), **_NEWER),
    "list-sixty-rows-updated-at-once": Green(streams=("conversations",), **_NEWER),
    "list-updated-every-other-request": Green(**_NEWER),
    "list-limit-above-25-refused": Green(unasked=True),
    "list-limit-above-25-times-out": RedOrComplete(_REFUSED, unasked=True),
    "list-blank-page-token-refused": Green(unasked=True),
    "list-limit-beside-token-refused": Green(unasked=True),
    "list-token-expired-once": RedOrComplete("A page that was promised and is refused is proof that rows are missing."),
    "list-more-true-without-next": RedOrComplete("More rows are promised, and no way to them is named."),
    "list-pagination-next-object": RedOrComplete(_UNKNOWN_PLACE),
    "list-hal-links": RedOrComplete(_UNKNOWN_PLACE),
    "list-links-array": RedOrComplete(_UNKNOWN_PLACE),
    "list-capitalised-keys": RedOrComplete(_UNKNOWN_PLACE),
    "list-under-conversations": RedOrComplete(_UNKNOWN_PLACE),
    "list-next-page-token-elsewhere": RedOrComplete(_UNKNOWN_PLACE),
    "list-oldest-first": Green(streams=("conversations",), fresh=lambda drift: drift.touch_some(5), **_NEWER),
    "list-one-future-row": Green(streams=("conversations",), fresh=lambda drift: drift.touch_some(5), **_NEWER),
    "list-times-in-iso": RedOrComplete("Times that cannot be compared are no reason to leave rows out."),
    "list-times-in-seconds": RedOrComplete("Times of 1970 are no reason to leave all rows out."),
    **{
        f"list-contact-id-{name}": AllBut(
            "Nothing else names these contacts.",
            streams=("conversations", "contacts"),
            missing=_unreachable_contacts,
            never_asked=r"^/contacts/[^0-9]|^/contacts/0",
        )
        for name in ("zero", "null", "minus-one")
    },
    "list-row-without-key": Red(r"\bid\b", _NO_KEY, streams=("conversations",)),
    "list-names-deleted-conversations": Green(
        streams=("conversations", "conversation_details", "messages"), logs="404|deleted|gone|not found|skipped"
    ),
    "list-no-data-when-none": Red(
        "data|list", _NO_CONVERSATIONS, streams=("conversations",), drift={"conversations": 0}
    ),
    "list-204-when-none": Red("", _NO_CONVERSATIONS, streams=("conversations",), drift={"conversations": 0}),
    "list-422-for-the-limit": Green(unasked=True),
    "list-updated-at-with-fractions": Green(values=False),
    # One conversation, or many
    "conversation-410-for-ever": AllBut(_GONE, logs="410|gone|skipped"),
    "conversation-400-for-ever": _row_fails("400"),
    "conversation-403-for-ever": replace(_row_fails("403|permission|forbidden"), never_says="missing the .* scope"),
    "conversation-500-for-ever": _row_fails("500"),
    "conversation-504-for-ever": _row_fails("504"),
    "conversation-404-plain-text-for-ever": _row_fails("404"),
    "conversation-200-error-for-ever": _row_fails("error"),
    "conversation-forty-answer-500": _row_fails("500"),
    "conversation-404-in-errors-list": AllBut(_GONE, logs="404|gone|not found|skipped"),
    "conversation-200-not-found": AllBut(_GONE, logs="gone|not found|not_found|skipped"),
    "conversation-data-null": AllBut(_GONE),
    "conversation-all-404": Red(
        "404|not found|finds none",
        "All gone is no deletion: the route must have moved.",
        never_says="missing the .* scope",
    ),
    "details-empty-object": AllBut(_GONE, logs="skipped|gone|not found|empty"),
    "details-empty-list": AllBut(_GONE, logs="skipped|gone|not found|empty"),
    # Messages
    **{
        f"messages-{name}": AllBut(_EMPTY_CONVERSATION)
        for name in (
            "empty-data-object",
            "null",
            "empty-data-list",
            "204-when-none",
            "every-second-conversation-empty",
        )
    },
    "messages-without-key": Red(r"\bid\b", _NO_KEY),
    "messages-not-found-error-beside-rows": RedOrComplete(
        "An error beside rows may stand for others that are missing."
    ),
    "messages-next-malformed": _row_fails("names no next page"),
    "messages-error-in-data": _row_fails("without records"),
    "messages-more-for-ever-without-next": Red(
        "names no next page", "More rows are promised, and no way to them is named.", values=False
    ),
    # Contacts
    **{
        f"contacts-{name}": AllBut(_GONE, logs="skipped|gone|not found|empty")
        for name in ("null-when-erased", "empty-object-when-erased", "empty-list-when-erased", "410")
    },
    "contacts-first-thirty-gone": AllBut(_GONE, logs="30 of"),
    "contacts-merged": AllBut("The contact is there under its other id."),
    "contacts-oldest-third-gone": AllBut(_GONE, logs="%|30 of"),
    **{f"contacts-404-{name}": AllBut(_GONE, logs="35 of") for name in ("in-camel-case", "message-alone")},
    "contacts-all-404": Red(
        "404|not found|finds none",
        "All gone is no deletion: the route must have moved.",
        never_says="missing the .* scope",
    ),
    "attributes-as-map": RedOrComplete(_UNKNOWN_PLACE),
    # Reports
    "reports-unknown-metric": _ONE_METRIC_LESS,
    "reports-422-for-an-unknown-metric": _ONE_METRIC_LESS,
    "reports-days-and-an-unknown-metric": replace(_ONE_METRIC_LESS, unasked=True),
    "reports-know-one-metric": Green(why="The other metrics are null, and a warning names them.", values=False),
    "reports-fifty-of-this-minute": Green(values=False),
    "reports-null-rows-at-the-maximum": Green(drift={"conversations": 600, "history_days": 60}),
    "reports-page-named-and-ignored": RedOrComplete("A page that is named may hold more."),
    "reports-more-than-ten-metrics-refused": RedOrComplete(_REFUSED),
    "reports-bare-nan": RedOrComplete("NaN is no JSON, so an error is right as well."),
    "reports-times-in-iso": Green(values=False),
    "reports-ranges-over-90-days-refused": Green(unasked=True),
    "reports-days-wanted": Green(unasked=True),
    "reports-lag": Green(why="The newest rows come with the next sync.", again=True),
    "reports-count-zero-without-data": Green(why=_NONE_HERE, drift={"conversations": 0}),
    "reports-204-when-none": Green(why=_NONE_HERE, drift={"conversations": 0}),
    "reports-capped-at-100": Green(drift={"conversations": 600, "history_days": 60}),
    "reports-capped-at-100-without-count": Green(drift={"conversations": 600, "history_days": 60}),
    "reports-capped-at-10-without-count": Green(drift={"conversations": 100, "history_days": 60}),
    "reports-capped-at-500-without-count": Green(drift={"conversations": 1300, "history_days": 60}),
    "reports-capped-at-1000-without-count": Green(drift={"conversations": 2500, "history_days": 60}),
    "reports-metrics-as-map": RedOrComplete(_UNKNOWN_PLACE),
    # Meetings
    "meetings-null-when-none": Red("without records", _NO_WITNESS, drift={"meetings": 0}),
    "meetings-limit-clamped-to-100": Green(drift={"meetings": 260}),
    "meetings-limit-clamped-to-250": Green(drift={"meetings": 600}),
    "meetings-limit-above-250-refused": RedOrComplete(_REFUSED, unasked=True),
    "meetings-year-refused": Green(unasked=True),
    "meetings-far-future-refused": RedOrComplete(_REFUSED, unasked=True),
    "meetings-older-refused": Green(unasked=True),
    "meetings-older-answered-with-nothing": Green(unasked=True),
    "meetings-without-slug": Red("slug", _NO_KEY),
    "meetings-without-agent-id": RedOrComplete(_NO_KEY),
    "meetings-under-meetings": RedOrComplete(_UNKNOWN_PLACE),
    # The other lists
    "users-without-key": Red(r"\bid\b", _NO_KEY),
    "users-status-error-without-data": Red("without records", _NO_WITNESS),
    "users-paged-by-pagination": RedOrComplete("A page that is promised and not read is proof that rows are missing."),
    "users-paged-by-links": RedOrComplete("A page that is promised and not read is proof that rows are missing."),
    "users-under-users": RedOrComplete(_UNKNOWN_PLACE),
    "users-as-map": RedOrComplete(_UNKNOWN_PLACE),
    "teams-null-when-none": Red("without records", _NO_WITNESS, drift={"teams": 0}, complete=("users",)),
    "playbooks-204-when-none": Green(why=_NONE_HERE, drift={"playbooks": 0}),
    "pages-without-key": Red("playbookId", _NO_KEY),
    "stats-lower-case": Green(values=False),
    "stats-null-counts": Green(values=False),
    "stats-as-list": RedOrComplete(_UNKNOWN_PLACE),
    # Tokens
    **{
        f"token-info-{name}": Green(why="Other calls show that the token is good.", check=True)
        for name in ("400", "403", "404", "500", "html", "empty-object")
    },
    "token-403-when-expired": Red(
        "token",
        "The token has expired.",
        never_says="scope",
        complete=(),
        streams=("conversations", "users"),
        options={"token_seconds": 0},
    ),
    **{
        f"token-{name}-when-access-token-expires": Green(
            with_oauth=True, streams=("messages",), options={"access_token_uses": 90}
        )
        for name in ("403", "401-without-body")
    },
    "token-401-for-missing-scope": Red(
        "account_read",
        "The token lacks the scope, and works elsewhere.",
        streams=("accounts",),
        complete=("users", BYSTANDER),
        options={"tokens": {"sandbox-token": tuple(scope for scope in ALL_SCOPES if scope != "account_read")}},
    ),
    "oauth-no-new-refresh-token": Green(with_oauth=True, options={"rotate_refresh_tokens": False}),
    "oauth-expires-in-text": Green(with_oauth=True),
    "oauth-expires-in-milliseconds": Green(with_oauth=True),
    "oauth-503-once": Green(with_oauth=True),
    # What stands between
    "gateway-retry-after-milliseconds": RedOrComplete(
        "A wait that reads as 25 minutes is longer than a sync may last."
    ),
    "gateway-redirects-to-another-host": Red("salesloft.example", _OTHER_HOST, complete=()),
    "json-trailing-garbage": RedOrComplete("What follows the JSON is no JSON."),
}
