"""`source-drift probe` says what is true of the local Drift, and nothing of what is in it."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from integration_tests.connector import ROOT, access_token, oauth
from sandbox import ALL_SCOPES, Drift, Options, Sandbox
from sandbox.answer import Answer
from sandbox.auth import Authority
from sandbox.deviations import Asked, Deviation
from sandbox.dialects import DIALECTS, Dialect
from source_drift import probe
from source_drift.probe import client, config, observations
from source_drift.probe.assumptions import ASSUMPTIONS

# Several pages of each list, more meetings than any clamped limit, and threads of several pages and of no message.
TINY: dict[str, Any] = {
    "seed": 3,
    "accounts": 130,
    "conversations": 170,
    "users": 5,
    "meetings": 400,
    "history_days": 60,
}
UNLIMITED = Options(rate_limit=None, reports_per_minute=None)
LACKING = "account_read"
READ_ONLY = {"/app/token_info", "/reports/conversations"}
NAMED = sorted({dialect for one in ASSUMPTIONS for dialect in one.dialects})
TOKEN_STEPS = ("_each_list",)
LIST_STEPS = ("_conversations", "_reports", "_again")
CHILD_STEPS = ("_conversations", "_reports", "_gone_rows", "_messages")
# What must be asked to meet the dialects whose names begin so; all of it for others.
STEPS = {
    **{f"gateway-{name}": TOKEN_STEPS for name in ("2", "date", "empty", "html", "no-", "text", "wrong")},
    "gateway-redirects": ("_accounts",),
    "json": ("_each_list", "_conversations"),
    "token-4": (*TOKEN_STEPS, "_accounts"),
    "accounts": ("_accounts",),
    "list": LIST_STEPS,
    "conversation": ("_conversations", "_gone_rows"),
    "details": ("_conversations", "_gone_rows"),
    "messages": CHILD_STEPS,
    "contacts": ("_conversations", "_contacts"),
    "emails": ("_conversations", "_contacts"),
    "attributes": TOKEN_STEPS,
    "reports": LIST_STEPS,
    "meetings": ("_meetings",),
    "users": TOKEN_STEPS,
    "teams": TOKEN_STEPS,
    "playbooks": TOKEN_STEPS,
    "pages": TOKEN_STEPS,
    "stats": TOKEN_STEPS,
    "token-info": TOKEN_STEPS,
}


class Outcome(SimpleNamespace):
    """What a run of the probe left: exit code, both outputs, the text of the JSON file and the verdicts in it."""

    code: int
    out: str
    err: str
    json: str
    verdicts: dict[str, str]
    evidence: dict[str, str]


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the pauses between requests."""
    for name in ("PAUSE", "SHORTEST_WAIT", "LONGEST_WAIT"):
        monkeypatch.setattr(client, name, 0.0)


def fresh() -> Drift:
    drift = Drift(**TINY)
    drift.touch(next(drift.keys("conversations")))
    return drift


def state_of(drift: Drift) -> tuple[int, ...]:
    """What dialects change."""
    times = (row["updatedAt"] for row in drift.expected("conversations"))
    return drift.account_count(), drift.count("conversation_details"), sum(times)


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    """One server for all tests of this file."""
    with Sandbox(fresh(), UNLIMITED) as running:
        yield running


@pytest.fixture
def sandbox(server: Sandbox) -> Iterator[Sandbox]:
    """The server without a dialect, and with its data as at the beginning."""
    before = state_of(server.drift)
    server.options, server.service.authority = UNLIMITED, Authority()
    server.journal.clear()
    yield server
    if state_of(server.drift) != before:
        server.drift = server.service.drift = fresh()


@pytest.fixture
def run(sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the probe with a config, by default one with the private token."""

    def run(settings: dict[str, Any] | None = None) -> Outcome:
        path, result = tmp_path / "config.json", tmp_path / "result.json"
        path.write_text(json.dumps(settings or access_token(sandbox.url)))
        code = probe.main(["--config", str(path), "--json", str(result)])
        captured = capsys.readouterr()
        text = result.read_text() if result.exists() else ""
        lines = json.loads(text)["assumptions"] if text else []
        return Outcome(
            code=code,
            out=captured.out,
            err=captured.err,
            json=text,
            verdicts={line["name"]: line["verdict"] for line in lines},
            evidence={line["name"]: line["evidence"] for line in lines},
        )

    return run


@pytest.fixture
def leave_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[tuple[str, ...]], None]:
    """Leaves out of a run all steps but some."""

    def leave(names: tuple[str, ...]) -> None:
        monkeypatch.setattr(observations, "STEPS", tuple(one for one in observations.STEPS if one.__name__ in names))

    return leave


@pytest.fixture
def speak(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the sandbox change every response as a function says, beside dialects of its own."""

    def speak(change: Callable[[Asked, Answer], Answer], *dialects: str) -> None:
        name = "gateway-of-this-test"
        monkeypatch.setitem(DIALECTS, name, Dialect(name, "This test says so.", (Deviation(alter=change),)))
        sandbox.options = replace(sandbox.options, dialects=())
        sandbox.options = replace(sandbox.options, dialects=(*dialects, name))

    return speak


def without_scope(options: Options) -> Options:
    return replace(options, tokens={"sandbox-token": tuple(one for one in ALL_SCOPES if one != LACKING)})


def test_every_assumption_holds_on_the_plain_sandbox(run: Run, sandbox: Sandbox) -> None:
    """On the documented Drift each assumption holds, but for the scopes, of which the token has all."""
    done = run()
    assert (done.code, list(done.verdicts)) == (0, [one.name for one in ASSUMPTIONS])
    others = {name: done.evidence[name] for name, verdict in done.verdicts.items() if verdict != "held"}
    assert others == {"errors-missing-scope": "the token has the scopes of all 14 paths that were requested"}
    lines = done.out.splitlines()
    assert [line.split("  ")[0] for line in lines[: len(ASSUMPTIONS)]] == list(done.verdicts.values())
    assert lines[-1].startswith(f"{len(ASSUMPTIONS) - 1} held, 0 refuted, 1 cannot tell; {len(sandbox.journal)} req")


@pytest.mark.parametrize(
    "sizes",
    [
        dict.fromkeys(("accounts", "conversations", "users", "meetings", "teams", "playbooks", "landing_pages"), 0),
        {"accounts": 3, "conversations": 5, "users": 2, "meetings": 2},
        {"accounts": 65, "conversations": 50, "meetings": 20},
        {"accounts": 130, "conversations": 100, "ties": 40, "meetings": 100},
    ],
    ids=["nothing", "few rows", "one full page", "two full pages"],
)
def test_few_rows_refute_nothing(run: Run, sandbox: Sandbox, sizes: dict[str, int]) -> None:
    """What a small organization does not show cannot be told; it is not refuted, and no shape is unexpected."""
    sandbox.drift = sandbox.service.drift = Drift(**sizes)
    done = run()
    assert (done.code, {name for name, verdict in done.verdicts.items() if verdict == "refuted"}) == (0, set())
    assert "unexpected shape" not in done.out
    assert {done.verdicts[name] for name in ("reports-whole", "meetings-limit")} == {"cannot tell"}, done.evidence


def test_a_truncated_report_does_not_hide_the_last_page(run: Run, sandbox: Sandbox) -> None:
    """Where a report truncates its rows and counts all, the count leads to the last page of the conversations."""
    sandbox.drift = sandbox.service.drift = Drift(**TINY | {"conversations": 400})
    sandbox.options = replace(UNLIMITED, reports_row_cap=120)
    done = run()
    assert (done.verdicts["reports-whole"], done.verdicts["list-last-page"]) == ("refuted", "held"), done.evidence
    assert done.evidence["reports-count"] == "count 400, 120 rows"


def test_the_sample_in_the_docs_is_real(run: Run, sandbox: Sandbox) -> None:
    """docs/probe.md shows lines that the probe prints; how many meetings there are depends on the day."""
    sample = re.search(r"```text\n(.*?)```", (ROOT / "docs" / "probe.md").read_text(), re.DOTALL)
    assert sample
    sandbox.options = replace(UNLIMITED, dialects=("meetings-limit-clamped-to-100",))
    shown, printed = (re.sub(r"\d+ in its", "N in its", text) for text in (sample[1], run().out))
    assert set(shown.splitlines()) <= set(printed.splitlines())


def test_a_missing_scope_is_found(run: Run, sandbox: Sandbox) -> None:
    """The probe sees with which status Drift refuses a token without a scope, and goes on without its streams."""
    sandbox.options = without_scope(UNLIMITED)
    done = run()
    assert done.verdicts["errors-missing-scope"] == "held", done.evidence["errors-missing-scope"]
    assert done.evidence["errors-missing-scope"] == "/accounts without its scope 403"
    unknown = {name for name, verdict in done.verdicts.items() if verdict == "cannot tell"}
    assert unknown == {name for name in done.verdicts if name.startswith("accounts-")}


@pytest.mark.parametrize("name", NAMED)
def test_a_dialect_refutes_what_names_it(
    run: Run, sandbox: Sandbox, leave_only: Callable[[tuple[str, ...]], None], name: str
) -> None:
    """Each dialect that a line names refutes the line, within 60 requests that write nothing."""
    start = max((start for start in STEPS if name.startswith(start)), key=len, default="")
    if start:
        leave_only(STEPS[start])
    options = without_scope(UNLIMITED) if "scope" in name and "scope-list" not in name else UNLIMITED
    sandbox.options = replace(options, dialects=(name,))
    done = run()
    lines = [one.name for one in ASSUMPTIONS if name in one.dialects]
    seen = {line: (done.verdicts[line], done.evidence[line]) for line in lines}
    assert {verdict for verdict, _ in seen.values()} == {"refuted"}, seen
    assert len(sandbox.journal) <= client.MOST_REQUESTS
    assert {one.path for one in sandbox.journal if one.method != "GET"} <= READ_ONLY


@pytest.mark.parametrize("names", sorted(set(STEPS.values())), ids="".join)
def test_leaving_out_steps_refutes_nothing(
    run: Run, leave_only: Callable[[tuple[str, ...]], None], names: tuple[str, ...]
) -> None:
    """What the other tests leave out of a run is no reason for a line to be refuted."""
    leave_only(names)
    done = run()
    assert "refuted" not in done.verdicts.values(), done.evidence
    assert "held" in done.verdicts.values()


def test_every_line_names_a_behavior_and_a_dialect() -> None:
    """A line leads to a numbered behavior of AGENTS.md and to dialects that exist, and each name occurs once."""
    text = (ROOT / "AGENTS.md").read_text()
    assert {one.rule for one in ASSUMPTIONS} <= set(map(int, re.findall(r"^## (\d+)\. ", text, re.MULTILINE)))
    assert {one.name: one.dialects for one in ASSUMPTIONS if not one.dialects} == {}
    assert set(NAMED) <= DIALECTS.keys()
    assert len({one.name for one in ASSUMPTIONS}) == len(ASSUMPTIONS)


CANARY = "canary"
NAVIGATION = ("next", "self", "href")


def marked(content: Any, key: str = "", depth: int = 0) -> Any:
    """A response with a marker in every text, in every key of free-form objects, and in rows' additional fields."""
    if isinstance(content, dict):
        free = key in ("attributes", "context", "meta", "metrics", "conversationCount", "location", "value")
        changed = {
            f"{CANARY}_{name}" if free else name: marked(value, name, depth + 1) for name, value in content.items()
        }
        if "id" in content or "accountId" in content:
            changed |= {f"{CANARY} Ada": 1, f"{CANARY}@example.com": "x", "1canary": None}
        if "attributes" in content and "author" not in content:
            changed[f"{CANARY}_attribute"] = CANARY
        return changed
    if isinstance(content, list):
        return [marked(value, key, depth + 1) for value in content]
    if isinstance(content, str) and key in NAVIGATION:
        return f"{content}&{CANARY}=1#{CANARY}" if "?" in content else content
    return f"{content}{CANARY}" if isinstance(content, str) else content


def mark(_: Asked, answer: Answer) -> Answer:
    content = answer.content if isinstance(answer.content, bytes) else marked(answer.content)
    headers = answer.headers | {"X-Canary": CANARY, CANARY: CANARY}
    return answer._replace(content=content, headers=headers, media_type=f"application/{CANARY}")


@pytest.mark.parametrize(
    "dialects",
    [
        (),
        ("users-as-map", "attributes-as-map", "reports-metrics-as-map", "list-hal-links"),
        ("contacts-at-root", "details-at-root", "messages-at-root", "token-info-in-data", "accounts-spring-page"),
        ("list-capitalised-keys", "accounts-root-list", "meetings-under-meetings", "token-info-token-as-id"),
        ("conversation-404-in-errors-list", "contacts-404-message-alone", "list-next-on-internal-host"),
    ],
    ids=lambda dialects: dialects[0] if dialects else "documented shapes",
)
def test_no_data_gets_out(run: Run, sandbox: Sandbox, speak: Callable[..., None], dialects: tuple[str, ...]) -> None:
    """Nothing that Drift sends is printed or written: no text, name, address, attribute, header, ID or token."""
    token = f"{CANARY}-token"
    sandbox.options = replace(UNLIMITED, tokens={token: ALL_SCOPES}, link_host=f"https://{CANARY}.example.com")
    speak(mark, *dialects)
    done = run(access_token(sandbox.url, token))
    said = done.out + done.err + done.json
    assert done.code == 0, done.err
    assert len(done.verdicts) == len(ASSUMPTIONS)
    assert [line for line in said.splitlines() if CANARY in line.lower()] == []
    # IDs have more digits than any count of this small Drift.
    assert re.findall(r"\d{5,}", said) == []


@pytest.mark.parametrize(
    "body",
    [
        *(None, True, 1, "text", [], [None], [[]], {}),
        *({"data": value} for value in (None, 1, "text", {}, [1], [{}], [{"id": None}], [{"id": {}, "metrics": 1}])),
        {"data": {"accounts": {}, "messages": "", "properties": 0, "total": {}, "next": []}, "links": [], "count": {}},
        {"data": [{"id": "x", "contactId": [], "updatedAt": {}, "metrics": {}}], "pagination": {"next": {}, "more": 2}},
        {"data": [{"id": 7, "contactId": 7, "conversationId": 7, "metrics": [7] * 13}], "links": {"next": "//[::1"}},
    ],
    ids=lambda body: json.dumps(body)[:40],
)
def test_an_odd_shape_is_no_crash(run: Run, speak: Callable[..., None], body: Any) -> None:
    """Whatever JSON Drift returns, every line gets a verdict."""
    speak(lambda _, __: Answer(200, json.dumps(body).encode(), {}))
    done = run()
    assert (done.code, len(done.verdicts)) == (0, len(ASSUMPTIONS)), done.err


def test_additional_fields_are_named(run: Run, speak: Callable[..., None]) -> None:
    """A field that no schema declares is reported by name and type, one that may be an attribute only as a count."""

    def add(asked: Asked, answer: Answer) -> Answer:
        if asked.path == "/teams/org" or asked.path.startswith("/contacts/1"):
            rows = answer.content["data"] if asked.path == "/teams/org" else [answer.content.get("data", {})]
            for row in rows:
                row["slackChannel"] = "C1"
        return answer

    speak(add)
    done = run()
    assert done.evidence["values-undeclared-fields"] == "teams: slackChannel text (4); contacts: 1 other field"


def test_a_redirect_to_another_host_is_not_followed(run: Run, speak: Callable[..., None]) -> None:
    """The other host gets no request, and therefore no token."""
    with Sandbox(Drift(conversations=1), UNLIMITED) as other:
        speak(lambda asked, _: Answer(307, b"", {"Location": f"{other.url}{asked.path}"}))
        done = run()
        assert len(other.journal) == 0
    refuted = {name for name, verdict in done.verdicts.items() if verdict == "refuted"}
    assert (done.code, refuted) == (0, {"redirects"}), done.err
    assert done.evidence["users-place"] == "GET /users/list returned 307, a redirect to another host"


def test_the_sixtieth_request_is_the_last(run: Run, sandbox: Sandbox, speak: Callable[..., None]) -> None:
    """Where every second request fails and is repeated, the probe stops at 60 and cannot tell the rest."""
    speak(lambda asked, answer: Answer(503, b"", {}) if asked.count % 2 else answer)
    done = run()
    assert len(sandbox.journal) == 60
    assert (done.code, done.verdicts["meetings-place"]) == (0, "cannot tell")
    assert done.verdicts["accounts-place"] == "held"


def test_a_circle_of_redirects_ends(sandbox: Sandbox, speak: Callable[..., None]) -> None:
    """A redirect within the host is followed once, not as long as requests are left."""
    speak(lambda asked, _: Answer(302, b"", {"Location": "/teams/org" if "users" in asked.path else "/users/list"}))
    asking = client.Client(sandbox.url, "sandbox-token")
    assert (asking.get("/users/list").status, [one.path for one in sandbox.journal]) == (
        302,
        ["/users/list", "/teams/org"],
    )


def test_requests_keep_their_distance(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, leave_only: Callable[[tuple[str, ...]], None]
) -> None:
    """Between two requests a fifth of a second passes."""
    clock = SimpleNamespace(now=0.0, slept=[])

    def sleep(seconds: float) -> None:
        clock.slept.append(seconds)
        clock.now += seconds

    fake = SimpleNamespace(sleep=sleep, monotonic=lambda: clock.now, time=observations.time.time)
    monkeypatch.setattr(client, "time", fake)
    monkeypatch.setattr(client, "PAUSE", 0.2)
    leave_only(TOKEN_STEPS)
    run()
    assert len(sandbox.journal) > 5
    assert clock.slept == pytest.approx([0.2] * (len(sandbox.journal) - 1))


def test_a_throttled_request_waits(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, speak: Callable[..., None]
) -> None:
    """After a 429, the probe waits as long as Drift says, then sends the request once more."""
    clock = SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(client, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: clock.now, time=lambda: 0.0))
    monkeypatch.setattr(client, "LONGEST_WAIT", 30.0)
    speak(lambda _, __: Answer(429, b"", {"Retry-After": "7"}))
    asking = client.Client(sandbox.url, "sandbox-token")
    assert asking.get("/users/list").status == 429
    assert (len(sandbox.journal), clock.now) == (2, 7.0)


def test_a_token_that_is_refused_everywhere(run: Run, sandbox: Sandbox) -> None:
    """The probe ends with one sentence and exit code 1, after a few requests."""
    done = run(access_token(sandbox.url, "made-up-token-for-tests"))
    assert (done.code, done.out, done.json) == (1, "", "")
    assert done.err.splitlines()[1:] == [probe.REFUSED]
    assert len(sandbox.journal) < 10


def test_a_host_that_does_not_respond(run: Run) -> None:
    """The probe gives up after a few attempts, with one sentence and exit code 1."""
    with Sandbox(Drift(conversations=1)) as gone:
        url = gone.url
    done = run(access_token(url))
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[1:] == [probe.UNREACHABLE]


def test_an_expired_access_token_is_renewed(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    """With OAuth, the renewed tokens are in the config file, beside all other settings, for its owner only."""
    for token in ("", "expired-token-of-tests"):
        sandbox.service.authority = Authority()
        done = run({**oauth(sandbox.url, access_token=token), "start_date": "2026-01-01T00:00:00Z"})
        assert (done.code, done.verdicts["users-place"]) == (0, "held"), done.err
        path = tmp_path / "config.json"
        expected = oauth(sandbox.url, access_token="sandbox-access-1", refresh_token="sandbox-refresh-2")
        assert json.loads(path.read_text()) == {**expected, "start_date": "2026-01-01T00:00:00Z"}
        assert path.stat().st_mode & 0o777 == 0o600
        assert sandbox.authority.refreshes == 1
        assert len(sandbox.journal) <= client.MOST_REQUESTS
        sandbox.journal.clear()


def test_a_token_that_cannot_be_saved_is_not_renewed(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the folder of the config takes no new file, the refresh token is not spent."""

    def refuse(**_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(config.tempfile, "mkstemp", refuse)
    done = run(oauth(sandbox.url))
    assert done.code == 1
    assert done.err.splitlines()[-1].endswith("takes no new file: Permission denied. Make the folder writable.")
    assert len(sandbox.journal) == 0


def test_renewed_tokens_are_never_lost(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If the config file cannot be replaced, as in a container, the renewed tokens are in a file that is named."""

    def refuse(*_: Any) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(config.os, "replace", refuse)
    done = run(oauth(sandbox.url))
    (kept,) = tmp_path.glob(".config.json.*")
    assert (done.code, done.out) == (1, "")
    assert f"They are in {kept}" in done.err
    assert json.loads(kept.read_text()) == oauth(
        sandbox.url, access_token="sandbox-access-1", refresh_token="sandbox-refresh-2"
    )


def test_a_refused_renewal_leaves_the_config(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    """If Drift refuses the refresh token, the config file stays as it was, and no other file is left."""
    settings = oauth(sandbox.url, refresh_token="spent-token-of-tests")
    done = run(settings)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[1:] == ["Drift did not renew the access token. Authorize the app again."]
    assert json.loads((tmp_path / "config.json").read_text()) == settings
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON object"),
        ("[]", "is not a JSON object"),
        ("{}", "has no access token"),
        ('{"credentials": {"credentials": "access_token", "access_token": ""}}', "has no access token"),
        ('{"access_token": "made-up\\ntoken"}', "characters that cannot be sent"),
        ('{"access_token": "made-up-token", "api_url": "http://drift.example.com"}', "api_url must be"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_config_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    """The probe says in one sentence what is wrong with the config, without a value of it, and sends nothing."""
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    assert probe.main(["--config", str(path)]) == 1
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert message in said.err
    assert "made-up" not in said.err


def test_the_old_flat_config_works(run: Run, sandbox: Sandbox) -> None:
    """A config that 0.2.x saved has its token at the top level."""
    assert run({"access_token": "sandbox-token", "api_url": sandbox.url}).code == 0


def test_the_result_never_replaces_the_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json with the path of the config is refused before anything is sent."""
    path = tmp_path / "config.json"
    path.write_text('{"access_token": "made-up-token"}')
    assert probe.main(["--config", str(path), "--json", f"{tmp_path}/./config.json"]) == 1
    assert "names the config file" in capsys.readouterr().err
    assert "made-up-token" in path.read_text()


def test_a_result_that_cannot_be_written(
    sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], leave_only: Callable[[tuple[str, ...]], None]
) -> None:
    """The page is printed all the same, and the exit code is 1."""
    leave_only(TOKEN_STEPS)
    (tmp_path / "config.json").write_text(json.dumps(access_token(sandbox.url)))
    assert probe.main(["--config", f"{tmp_path}/config.json", "--json", f"{tmp_path}/no/result.json"]) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) > len(ASSUMPTIONS)
    assert "cannot be written" in said.err
