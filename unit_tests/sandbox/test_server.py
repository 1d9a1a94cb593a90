"""The running sandbox: its start and end, journal, changes, reports, and the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox import METRICS, PRIMARY_KEYS, Drift, Fault, Journal, Options, Request, Sandbox
from sandbox.__main__ import main
from sandbox.faults import KINDS
from unit_tests.conftest import wait_until
from unit_tests.sandbox.conftest import TOKEN, UNLIMITED, Start

ROOT = Path(__file__).parents[2]


def test_it_listens_on_loopback_only(start: Start) -> None:
    """The server can't be reached from outside this machine."""
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", start().sandbox.url)


def test_it_ends_with_its_block() -> None:
    """After the block, the port is closed, no thread remains, and the same sandbox can start again."""
    sandbox = Sandbox(Drift(conversations=1), UNLIMITED)
    for _ in range(2):
        with sandbox:
            url = sandbox.url
            assert requests.get(f"{url}/users/list", headers=TOKEN, timeout=10).status_code == 200
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/users/list", headers=TOKEN, timeout=10)
        assert "sandbox" not in {thread.name for thread in threading.enumerate()}


def test_a_port_in_use_is_an_error() -> None:
    """The error names the port, before anything is served."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} of 127.0.0.1 is in use"):
            Sandbox(port=port).__enter__()


def test_several_sandboxes_can_run_at_once(start: Start) -> None:
    """Each sandbox has its own port, data and journal."""
    clients = [start(Drift(conversations=size)) for size in (1, 2, 3)]
    assert [len(client.get("/conversations/list").json()["data"]) for client in clients] == [1, 2, 3]
    assert [client.sandbox.journal.count() for client in clients] == [1, 1, 1]


def test_the_journal_keeps_requests(start: Start) -> None:
    """The journal has method, path, query, headers, body and status, in order of arrival."""
    client = start()
    client.get("/conversations/list?limit=2&statusId=1&statusId=2&page_token=", headers={"X-Trace": "7"})
    client.post("/reports/conversations", json={"metrics": ["createdAt"]})
    client.post("/oauth2/token", data={"grant_type": "refresh_token"})
    client.get("/users/list")
    journal = client.sandbox.journal
    first, report, form, last = journal
    assert (first.method, first.path, first.status, first.fault) == ("GET", "/conversations/list", 200, None)
    assert first.query == {"limit": ["2"], "statusId": ["1", "2"], "page_token": [""]}
    assert (first.headers["x-trace"], first.body, first.parsed) == ("7", b"", None)
    assert report.parsed == {"metrics": ["createdAt"]}
    assert (form.parsed, form.status) == ({"grant_type": ["refresh_token"]}, 400)
    assert first.at < report.at < form.at < last.at
    assert journal[-1] is last
    assert journal[1:3] == [report, form]
    assert (len(journal), journal.total) == (4, 4)


def test_the_journal_filters_and_clears(start: Start) -> None:
    """The journal filters by prefix, expression and method, and counts statuses."""
    client = start()
    for path in ("/users/list", "/users/list", "/users/meetings/org", "/nope"):
        client.get(path)
    journal = client.sandbox.journal
    assert [journal.count(path) for path in ("", "/users", "/users/list", "^.*/org$")] == [4, 3, 2, 1]
    assert journal.count("/users", method="POST") == 0
    assert journal.statuses() == {200: 2, 400: 1, 404: 1}
    assert journal.statuses("/users") == {200: 2, 400: 1}
    journal.clear()
    assert (len(journal), journal.total) == (0, 0)


def test_the_journal_is_bounded() -> None:
    """The journal drops the oldest requests first, and the total includes them."""
    journal = Journal(limit=3)
    for number in range(5):
        journal.add(Request("GET", f"/{number}", b"", (), 0.0))
    assert [request.path for request in journal] == ["/2", "/3", "/4"]
    assert journal.total == 5


def test_latency_delays_requests_in_parallel(start: Start) -> None:
    """All requests of a burst arrive before the first response."""
    client = start(None, Options(latency=0.3, rate_limit=None))
    open_at_once = []

    def ask(_: int) -> int:
        answer = requests.get(f"{client.sandbox.url}/users/list", headers=TOKEN, timeout=10)
        open_at_once.append(client.sandbox.journal.count())
        return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [200] * 8
    assert open_at_once[0] == 8


def test_stopping_does_not_wait_for_latency() -> None:
    """A request with a latency of an hour does not delay the end of the sandbox."""
    with Sandbox(Drift(conversations=1), Options(latency=3600)) as sandbox, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(requests.get, f"{sandbox.url}/users/list", headers=TOKEN, timeout=60)
        wait_until(lambda: sandbox.journal.count() == 1)
        sandbox.__exit__()
        assert answer.result(timeout=30).status_code == 200


def test_options_change_while_it_runs(start: Start) -> None:
    """The next request uses the new options; tokens that were issued before stay valid."""
    client = start()
    assert client.get("/conversations/list").json().keys() == {"data", "pagination", "links"}
    client.sandbox.options = Options(paging="links", rate_limit=(1, 3600.0))
    assert client.get("/conversations/list").json().keys() == {"data", "links"}
    assert client.get("/conversations/list").status_code == 429
    assert client.sandbox.options.paging == "links"


def test_changes_are_seen_by_the_next_request(start: Start) -> None:
    """The next response contains data that the test's thread has changed."""
    drift = Drift(conversations=30)
    client = start(drift)
    key = list(drift.keys("conversations"))[20]
    drift.touch(key)
    assert client.get("/conversations/list").json()["data"][0]["id"] == key
    drift.delete_conversation(key)
    assert client.get(f"/conversations/{key}").status_code == 404
    added = drift.add_conversation(status="pending")
    assert client.get(f"/conversations/{added}").json()["data"]["status"] == "pending"


def test_changes_during_reads_break_nothing(start: Start) -> None:
    """While threads change the data, every read is a valid page, and the final data is consistent."""
    drift = Drift(conversations=400)
    client = start(drift)
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            drift.touch_some(2)
            drift.add_conversation()
            drift.delete_some(1)

    def read(_: int) -> set[int]:
        answers = [
            requests.get(f"{client.sandbox.url}{path}", headers=TOKEN, timeout=10).status_code
            for path in (
                "/conversations/list?limit=50&next=350",
                "/conversations/list?page_token=",
                "/conversations/stats",
            )
            for _ in range(8)
        ]
        return set(answers)

    with ThreadPoolExecutor(5) as pool:
        changing = pool.submit(change)
        statuses = set().union(*pool.map(read, range(4)))
        stop.set()
        changing.result()
    assert statuses == {200}
    rows = list(drift.expected("conversations"))
    assert len(rows) == len({row["id"] for row in rows}) == drift.count("conversations")


@pytest.mark.parametrize("form", ["array", "object"])
def test_contacts_by_email_have_two_forms(start: Start, form: Any) -> None:
    """A single match is an object if the option says so; no match and several matches are always an array."""
    drift = Drift(conversations=300)
    client = start(drift, Options(contacts_by_email=form, rate_limit=None))
    emails = [row["attributes"]["email"] for row in drift.expected("contacts") if "email" in row["attributes"]]
    once = next(email for email in emails if emails.count(email) == 1)
    twice = next(email for email in emails if emails.count(email) == 2)
    found = client.get("/contacts", params={"email": once}).json()["data"]
    assert (found if form == "object" else found[0])["attributes"]["email"] == once
    assert len(client.get("/contacts", params={"email": twice}).json()["data"]) == 2
    assert len(client.get("/contacts", params={"email": twice, "limit": 1}).json()["data"]) in (1, 3)
    assert client.get("/contacts", params={"email": "nobody@example.com"}).json() == {"data": []}


def report(client: Any, *filters: dict[str, Any], metrics: tuple[str, ...] = METRICS) -> dict[str, Any]:
    answer = client.post("/reports/conversations", json={"filters": list(filters), "metrics": list(metrics)})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_report_contains_the_expected_rows(start: Start) -> None:
    """A report has all metrics of all conversations in the requested order, and `count` is the number of rows."""
    drift = Drift(conversations=150)
    client = start(drift)
    answer = report(client, {"property": "updatedAt", "operation": "HAS_PROPERTY"})
    assert answer["data"] == list(drift.expected("conversation_metrics"))
    assert answer["count"] == 150
    swapped = report(client, metrics=("updatedAt", "createdAt"))["data"][0]
    assert swapped["metrics"] == [
        answer["data"][0]["metrics"][METRICS.index(name)] for name in ("updatedAt", "createdAt")
    ]


def test_reports_filter(start: Start) -> None:
    """Reports filter by range (numbers, digits, days), presence, value and status; all filters must match."""
    drift = Drift(conversations=400)
    client = start(drift)
    rows = list(drift.expected("conversations"))
    low, high = rows[200]["updatedAt"], rows[100]["updatedAt"]
    between = {"property": "updatedAt", "operation": "BETWEEN", "values": [low, str(high)]}
    wanted = [row["id"] for row in rows[100:201]]
    assert [row["conversationId"] for row in report(client, between)["data"]] == wanted
    days = [datetime.fromtimestamp(at / 1000, UTC).date().isoformat() for at in (low, high)]
    by_day = [row["conversationId"] for row in report(client, between | {"values": days})["data"]]
    first, last = (
        datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000 + more
        for day, more in zip(days, (0, 86_399_999), strict=True)
    )
    assert by_day == [row["id"] for row in rows if first <= row["updatedAt"] <= last]
    closed = {"property": "status", "operation": "IN", "values": ["CLOSED", "pending"]}
    statuses = {row["id"]: row["status"] for row in rows}
    assert [row["conversationId"] for row in report(client, between, closed)["data"]] == [
        key for key in wanted if statuses[key] in ("closed", "pending")
    ]
    agents = report(client, {"property": "lastAgentId", "operation": "HAS_PROPERTY"}, metrics=("lastAgentId",))
    assert 0 < agents["count"] < 400
    agent = agents["data"][0]["metrics"][0]
    by_agent = report(
        client, {"property": "lastAgentId", "operation": "IN", "values": [agent]}, metrics=("lastAgentId",)
    )
    assert {row["metrics"][0] for row in by_agent["data"]} == {agent}


def test_reports_can_be_truncated_with_a_full_count(start: Start) -> None:
    """With `reports_row_cap`, only `count` shows that rows are missing."""
    client = start(Drift(conversations=80), Options(reports_row_cap=30, rate_limit=None))
    answer = report(client)
    assert (answer["count"], len(answer["data"])) == (80, 30)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"metrics": []},
        {"metrics": ["status"]},
        {"metrics": ["createdAt"], "filters": {}},
        {"metrics": ["createdAt"], "filters": [{"property": "nope", "operation": "HAS_PROPERTY"}]},
        {"metrics": ["createdAt"], "filters": [{"property": "createdAt", "operation": "LIKE"}]},
        {"metrics": ["createdAt"], "filters": [{"property": "createdAt", "operation": "BETWEEN", "values": [1]}]},
        {
            "metrics": ["createdAt"],
            "filters": [{"property": "createdAt", "operation": "BETWEEN", "values": ["a", "b"]}],
        },
        {"metrics": ["createdAt"], "filters": [{"property": "createdAt", "operation": "IN", "values": ["2025-02-31"]}]},
    ],
)
def test_invalid_reports_are_refused(start: Start, body: Any) -> None:
    """Unknown metrics, properties and operations and invalid values return 400."""
    answer = start().post("/reports/conversations", json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "validation_error")


def test_control_endpoints_show_and_change(start: Start) -> None:
    """The control endpoints show counts and the journal, make changes, need no token and are not journaled."""
    client = start(Drift(conversations=40))
    client.get("/users/list")
    bare = requests.Session()
    url = f"{client.sandbox.url}/_sandbox"
    counts = bare.get(f"{url}/counts", timeout=10).json()
    assert set(counts) == set(PRIMARY_KEYS)
    assert counts["conversations"] == 40
    done = bare.post(f"{url}/change", json={"touch": 2, "add": 3, "delete": 4}, timeout=10).json()
    assert {name: len(keys) for name, keys in done.items()} == {"touched": 2, "added": 3, "deleted": 4}
    assert bare.get(f"{url}/counts", timeout=10).json()["conversations"] == 39
    shown = bare.get(f"{url}/journal?limit=5", timeout=10)
    assert shown.json()["total"] == 1
    assert shown.json()["requests"][0]["path"] == "/users/list"
    assert "authorization" not in shown.text.lower()
    for wrong in ({}, {"touch": -1}, {"touch": "2"}, {"break": 1}, [1]):
        assert bare.post(f"{url}/change", json=wrong, timeout=10).status_code == 400, wrong


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"paging": "pages"}, "paging must be one of next, links, both"),
        ({"last_page": "none"}, "last_page"),
        ({"rate_limit": (0, 1.0)}, "rate_limit"),
        ({"reports_per_minute": 0}, "reports_per_minute"),
        ({"latency": -1}, "latency"),
    ],
)
def test_invalid_options_are_refused(wrong: dict[str, Any], message: str) -> None:
    """The error names the option and its choices."""
    with pytest.raises(ValueError, match=message):
        Options(**wrong)


# The command line


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `python -m sandbox serve`; yield the process and its ready line, and end it afterward."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "serve", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_it_is_and_stops_on_a_signal(number: signal.Signals) -> None:
    """The command prints one line with address and token, and a signal ends it with exit code 0 and no other output."""
    with serving("--port", "0", "--conversations", "5", "--token", "mine=user_read") as (process, line):
        found = re.fullmatch(r"Drift is at (http://127\.0\.0\.1:\d+), token: mine\n", line)
        assert found, line
        headers = {"Authorization": "Bearer mine"}
        assert requests.get(f"{found[1]}/users/list", headers=headers, timeout=10).status_code == 200
        assert requests.get(f"{found[1]}/accounts", headers=headers, timeout=10).status_code == 403
        process.send_signal(number)
        rest, errors = process.communicate(timeout=20)
        assert (process.returncode, rest, errors) == (0, "", "")


def test_options_and_faults_come_from_the_command_line(tmp_path: Path) -> None:
    """The command line sets data, behavior, a fault and a fault plan from a file."""
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([{"path": "/teams/org", "kind": "gone"}]))
    arguments = ["--port", "0", "--conversations", "7", "--paging", "links", "--rate-limit", "off"]
    faults = ["--fault", "status /users/list status=418", "--faults", str(plan)]
    with serving(*arguments, *faults) as (_, line):
        url = line.split()[3].rstrip(",")
        answer = requests.get(f"{url}/conversations/list", headers=TOKEN, timeout=10).json()
        assert (len(answer["data"]), "pagination" in answer) == (7, False)
        assert requests.get(f"{url}/users/list", headers=TOKEN, timeout=10).status_code == 418
        assert requests.get(f"{url}/teams/org", headers=TOKEN, timeout=10).status_code == 410


def test_serve_says_that_a_port_is_in_use(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """The error is one line, with exit code 2."""
    port = start().sandbox.url.rpartition(":")[2]
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert main(["serve", "--port", port]) == 2
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), handlers, strict=True):
            signal.signal(number, handler)
    assert capsys.readouterr().err == (
        f"sandbox: port {port} of 127.0.0.1 is in use; choose another: --port 8101, through make ARGS='--port 8101'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--conversations", "-5"], "must not be negative"),
        (["--fault", "nonsense /x"], "no fault 'nonsense'"),
        (["--faults", "/nowhere.json"], "/nowhere.json"),
        (["--latency", "-1"], "latency must not be negative"),
        (["--port", "99999"], "--port must be 0 to 65535"),
        (["--port", "-1"], "--port must be 0 to 65535"),
    ],
)
def test_serve_explains_invalid_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error is one line, with exit code 2."""
    assert main(["serve", "--port", "0", *arguments]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """--help contains each argument of Drift and Options and each kind of fault."""
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    text = capsys.readouterr().out
    names = {field.name for field in fields(Options)} - {"rotate_refresh_tokens", "tokens"}
    names |= {"seed", "accounts", "conversations", "users", "ties", "now", "keep_refresh_tokens", "token"}
    assert {name for name in names if f"--{name.replace('_', '-')}" not in text} == set()
    assert {kind for kind in KINDS if f"  {kind} " not in text} == {"body"}


def test_faults_can_be_read_and_set(start: Start) -> None:
    """`Sandbox(faults=…)` and the attribute are the same plan."""
    fault = Fault("/users/list", "html")
    assert start(faults=[fault]).sandbox.faults == (fault,)
