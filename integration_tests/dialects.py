"""The expected result of a sync for each dialect of the sandbox, and the runs that test it.

The rule: a stream fails if it can prove that rows are missing, and logs a warning if it only suspects it. It is never
green and incomplete. So each dialect must be read green and complete, unless `EXPECTED` contains another result and the
reason.
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
    # Two full pages of accounts and three of conversations: a full last page is the hardest to recognize.
    "accounts": 130,
    "conversations": 150,
    "users": 5,
    "meetings": 12,
    "history_days": 100,
}
# Seconds, after which a sync that does not end is stopped.
LONGEST = 90
# A stream with one request that no dialect of another area affects. It must be complete even if others fail.
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
    """The expected result.

    Attributes:
        why: the reason, unless the result is green and complete.
        says: a pattern that the error message of red streams must contain; case does not matter.
        never_says: a pattern that it must not contain.
        logs: a pattern that a log line must contain.
        others: a red stream must still deliver the rows that the dialect does not affect.
        missing: the keys of a stream that cannot arrive. With `all but`, the default is the conversations and contacts
            whose requests the dialect has changed.
        complete: additional streams that must be complete.
        streams, drift, options: replace the defaults.
        with_oauth: read with OAuth instead of a private token.
        check: run `check` instead of `read`; it must succeed.
        again: run a second sync with the state of the first one; rows may come with either.
        fresh: changes the data between the two syncs; the second one must deliver the returned IDs.
        retries: the second sync requests only the newest conversations and those that the dialect has changed.
        never_asked: a pattern of paths that must not be requested.
        unasked: a connector with other requests never triggers the dialect.
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
    """Green, without the rows that Drift itself does not have."""
    return Expected(kind="all but", why=why, **more)


def Red(says: str, why: str, **more: Any) -> Expected:
    """An error with this text; the bystander is complete."""
    return Expected(kind="red", says=says, why=why, **{"complete": (BYSTANDER,), **more})


def RedOrComplete(why: str, **more: Any) -> Expected:
    """Either is right; green and incomplete is wrong."""
    return Expected(kind="red or complete", why=why, **more)


@dataclass(frozen=True)
class Outcome:
    """The result of a dialect.

    Attributes:
        came: a summary, or the message of the first red stream.
        problems: differences from the expected result.
        hits: how many requests and responses the dialect has changed.
    """

    dialect: Dialect
    expected: Expected
    came: str
    problems: list[str]
    hits: int


@dataclass(frozen=True)
class _Trial:
    """A dialect with its expected result, the local Drift that uses it, and the requested addresses."""

    dialect: Dialect
    expected: Expected
    drift: Drift
    sandbox: Sandbox
    emails: list[str]

    def ended(self, came: str, problems: list[str]) -> Outcome:
        hits = self.sandbox.service.interpreter.hits[self.dialect.name]
        if not (hits or self.expected.unasked):
            problems = [*problems, "the dialect changed no request and no response"]
        return Outcome(self.dialect, self.expected, came, problems, hits)


def outcome(name: str) -> Outcome:
    """Read a local Drift that uses a dialect, with the connector as a process, and compare the result."""
    dialect, expected = DIALECTS[name], EXPECTED.get(name, Green())
    drift = Drift(**SMALL | dict(expected.drift))
    unlimited: dict[str, Any] = {"rate_limit": None, "reports_per_minute": None, "dialects": (name,)}
    with Sandbox(drift, Options(**unlimited | dict(expected.options))) as sandbox:
        trial = _Trial(dialect, expected, drift, sandbox, _addresses(drift))
        try:
            return _compared(trial)
        except TimeoutError:
            return trial.ended("does not end", [f"the sync did not end within {LONGEST} s"])
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
        problems += [
            f"{one} changed before the second sync, which did not deliver it" for one in fresh if one not in new
        ]
        if expected.retries:
            asked = {request.path for request in sandbox.journal if search(dialect.path, request.path)}
            most = (len(sandbox.service.interpreter.struck) + 10) * len(concerned)
            if len(asked) > most:
                problems.append(f"the second sync requested {len(asked)} paths, but at most {most} are needed")
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
        yield f"{stream}: the error does not contain {expected.says!r}: {error}"
    if is_red and expected.never_says and search(expected.never_says, error, IGNORECASE):
        yield f"{stream}: the error contains {expected.never_says!r}: {error}"
    if not is_red or kind in ("complete", "all but") or expected.others:
        yield from _missing(trial, runs, stream)


def _missing(trial: _Trial, runs: list[Run], stream: str) -> Iterable[str]:
    """Rows of Drift that are missing from the records or have other values there."""
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
        yield f"no log line contains {expected.logs!r}"
    if expected.never_asked:
        asked = {request.path for request in trial.sandbox.journal if search(expected.never_asked, request.path)}
        if asked:
            yield f"requested {sorted(asked)}"


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


# Comparison: a number, its string and its float are equal, and a missing field equals null.


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
    # A dialect writes statuses in lowercase. Names of attributes may differ only in case, so they stay as they are.
    return tuple(part.lower() for part in key) if stream == "conversation_stats" else key


def _same(sent: Mapping[str, Any], got: Mapping[str, Any], ignored: tuple[str, ...]) -> bool:
    return all(_plain(value) == _plain(got.get(name)) for name, value in sent.items() if name not in ignored)


def _as_record(stream: str, row: Mapping[str, Any]) -> dict[str, Any]:
    if stream == "conversation_metrics":
        values = dict(zip(METRICS, row["metrics"], strict=True))
        return {"conversationId": row["conversationId"], **values}
    return dict(row)


# All expectations except green and complete


def _unreachable_contacts(stream: str, drift: Drift, dialect: Dialect) -> set[Any]:
    """The contacts that appear only in conversations whose contact the dialect has changed."""
    if stream != "contacts":
        return set()
    named: dict[bool, set[Any]] = {True: set(), False: set()}
    for row in drift.expected("conversations"):
        named[dialect.rows_as_sent(row)[-1] == row].add(row["contactId"])
    return {str(contact_id) for contact_id in named[False] - named[True]}


_NEWER: dict[str, Any] = {"again": True, "values": False}
_NO_WITNESS = "An empty object does not prove that there are no rows."
_NONE_HERE = "Two identical responses prove that there are no rows."
_NO_CONVERSATIONS = "A missing list of conversations never counts as an empty one."
_ROW_FAILS = "The row exists but can't be read; everything else arrives, and the next sync requests it again."
_NO_KEY = "The destination can't distinguish rows without a key."
_UNKNOWN_PLACE = "The rows or the next link are in an undocumented place; no row may be lost silently."
_GONE = "Drift says that it no longer exists."
_REFUSED = "The connector may request less, or fail with the reason."
_ENDLESS = "The sync must end, if only with an error."
_EMPTY_CONVERSATION = "The conversation has no messages."
_OTHER_HOST = "The token goes to one host only."


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
    "accounts-next-is-a-path": RedOrComplete(_UNKNOWN_PLACE),
    "accounts-hal-links": RedOrComplete(_UNKNOWN_PLACE),
    "accounts-embedded": RedOrComplete(_UNKNOWN_PLACE),
    "accounts-spring-page": RedOrComplete(_UNKNOWN_PLACE),
    "accounts-capitalised-keys": RedOrComplete(_UNKNOWN_PLACE),
    "accounts-row-without-key": Red("accountId", _NO_KEY),
    "accounts-null-when-none": Green(why=_NONE_HERE, drift={"accounts": 0}),
    "accounts-empty-data-when-none": Green(why=_NONE_HERE, drift={"accounts": 0}),
    "accounts-data-null-when-none": Green(why=_NONE_HERE, drift={"accounts": 0}),
    "accounts-204-when-none": Green(why=_NONE_HERE, drift={"accounts": 0}),
    "accounts-404-not-in-plan": Red("404|not found", "This plan has no accounts."),
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
    "list-token-expired-once": RedOrComplete("A linked page that is refused proves that rows are missing."),
    "list-more-true-without-next": RedOrComplete("Drift says that there are more rows, but sends no link to them."),
    "list-pagination-next-object": RedOrComplete(_UNKNOWN_PLACE),
    "list-hal-links": RedOrComplete(_UNKNOWN_PLACE),
    "list-links-array": RedOrComplete(_UNKNOWN_PLACE),
    "list-capitalised-keys": RedOrComplete(_UNKNOWN_PLACE),
    "list-under-conversations": RedOrComplete(_UNKNOWN_PLACE),
    "list-next-page-token-elsewhere": RedOrComplete(_UNKNOWN_PLACE),
    "list-oldest-first": Green(streams=("conversations",), fresh=lambda drift: drift.touch_some(5), **_NEWER),
    "list-one-future-row": Green(streams=("conversations",), fresh=lambda drift: drift.touch_some(5), **_NEWER),
    "list-page-token-ignored": Red("nothing new", "Every page is the first one, and it is full."),
    "list-more-with-a-hyphen": RedOrComplete(_UNKNOWN_PLACE),
    "list-contact-under-another-name": AllBut(
        "A contact can only be found through a conversation that names it.",
        missing=_unreachable_contacts,
        streams=("conversations", "contacts"),
        logs="no conversation names its contactId",
        values=False,
    ),
    "users-in-a-page-that-is-not-the-last": Red("more users", "Drift says that the page is not the last one."),
    "list-next-in-hubspot-style": RedOrComplete(_UNKNOWN_PLACE),
    "list-times-in-iso": RedOrComplete("No row may be dropped because its timestamp can't be compared."),
    "list-times-in-seconds": RedOrComplete("No row may be dropped because its timestamp is in 1970."),
    **{
        f"list-contact-id-{name}": AllBut(
            "These contacts appear nowhere else.",
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
        "If all rows return 404, they are not deleted: the route has moved.",
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
        "An error next to rows can mean that other rows are missing."
    ),
    "messages-next-malformed": _row_fails("names no next page"),
    "messages-error-in-data": _row_fails("without records"),
    "messages-more-for-ever-without-next": Red(
        "names no next page", "Drift says that there are more rows, but sends no link to them.", values=False
    ),
    # Contacts
    **{
        f"contacts-{name}": AllBut(_GONE, logs="skipped|gone|not found|empty")
        for name in ("null-when-erased", "empty-object-when-erased", "empty-list-when-erased", "410")
    },
    "contacts-first-thirty-gone": AllBut(_GONE, logs="30 of"),
    "contacts-merged": AllBut("The contact exists under its new ID."),
    "contacts-oldest-third-gone": AllBut(_GONE, logs="%|30 of"),
    **{f"contacts-404-{name}": AllBut(_GONE, logs="35 of") for name in ("in-camel-case", "message-alone")},
    "contacts-all-404": Red(
        "404|not found|finds none",
        "If all rows return 404, they are not deleted: the route has moved.",
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
    "reports-page-named-and-ignored": RedOrComplete("A linked page can contain more rows."),
    "reports-more-than-ten-metrics-refused": RedOrComplete(_REFUSED),
    "reports-bare-nan": RedOrComplete("NaN is not valid JSON, so an error is also right."),
    "reports-times-in-iso": Green(values=False),
    "reports-ranges-over-90-days-refused": Green(unasked=True),
    "reports-days-wanted": Green(unasked=True),
    "reports-lag": Green(why="The next sync delivers the newest rows.", again=True),
    "reports-count-zero-without-data": Green(why=_NONE_HERE, drift={"conversations": 0}),
    "reports-204-when-none": Green(why=_NONE_HERE, drift={"conversations": 0}),
    **{
        f"reports-count-{name}": Green(logs="Drift counts [0-9]+ in a window")
        for name in ("counts-erased", "of-organization")
    },
    "reports-capped-at-100": Green(drift={"conversations": 600, "history_days": 60}),
    "reports-capped-at-100-without-count": Green(drift={"conversations": 600, "history_days": 60}),
    "reports-capped-at-10-without-count": Green(drift={"conversations": 100, "history_days": 60}),
    "reports-capped-at-500-without-count": Green(drift={"conversations": 1300, "history_days": 60}),
    "reports-capped-at-1000-without-count": Green(drift={"conversations": 2500, "history_days": 60}),
    "reports-metrics-as-objects": RedOrComplete(_UNKNOWN_PLACE),
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
    "users-paged-by-pagination": RedOrComplete("A linked page that is not read proves that rows are missing."),
    "users-paged-by-links": RedOrComplete("A linked page that is not read proves that rows are missing."),
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
        f"token-info-{name}": Green(why="Other requests show that the token is valid.", check=True)
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
        "The token lacks the scope, but works for other streams.",
        streams=("accounts",),
        complete=("users", BYSTANDER),
        options={"tokens": {"sandbox-token": tuple(scope for scope in ALL_SCOPES if scope != "account_read")}},
    ),
    "oauth-no-new-refresh-token": Green(with_oauth=True, options={"rotate_refresh_tokens": False}),
    "oauth-expires-in-text": Green(with_oauth=True),
    "oauth-expires-in-milliseconds": Green(with_oauth=True),
    "oauth-503-once": Green(with_oauth=True),
    # Gateways and JSON
    "gateway-retry-after-milliseconds": RedOrComplete(
        "Read as seconds, the wait is 25 minutes, which is longer than a sync may take."
    ),
    "gateway-redirects-to-another-host": Red("salesloft.example", _OTHER_HOST, complete=()),
    "json-trailing-garbage": RedOrComplete("The text after the JSON is not valid JSON."),
}
