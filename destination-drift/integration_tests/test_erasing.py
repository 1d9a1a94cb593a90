"""Erasure from the settings to the ledger: what a sync does with its requests, its other rows and its states."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from destination_tests import (
    CANARIES,
    FOLDER,
    TOKEN,
    Run,
    catalog,
    config,
    ended,
    record,
    run_here,
    send,
    start,
    state,
    status,
    wait_until,
)

from destination_drift.catalog import ERASURE_COLUMNS
from sandbox import ALL_SCOPES, WRITE_SCOPES, Drift, Fault, Options, Sandbox

ADA = CANARIES[0]


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with Sandbox(Drift(conversations=0, contacts=0)) as running:
        yield running


@pytest.fixture
def sandbox(server: Sandbox) -> Sandbox:
    """A Drift whose token may erase; `made-up-writer` may only write contacts."""
    scopes = (*ALL_SCOPES, *WRITE_SCOPES)
    tokens = {TOKEN: scopes, "made-up-writer": (*ALL_SCOPES, "contact_write")}
    server.drift = server.service.drift = Drift(conversations=0, accounts=0, contacts=0)
    server.options, server.faults = Options(tokens=tokens, rate_limit=None, erasure_delay=0), ()
    server.journal.clear()
    return server


@pytest.fixture
def settings(sandbox: Sandbox, tmp_path: Path) -> dict[str, Any]:
    """A config with erasure and a ledger."""
    given = {"ledger_directory": str(tmp_path / "ledger"), "audit_key": "made-up-key-of-hashes", "match_by": "email"}
    found = config(sandbox.url, **given, erasure={"enabled": True, "max_per_sync": 2})
    assert run_here(tmp_path, "ledger init", found).code == 0
    return found


def both(*streams: dict[str, Any]) -> dict[str, Any]:
    """A catalog of contacts and erasure requests."""
    requests = catalog("erasure_request", columns=tuple(ERASURE_COLUMNS), destination_sync_mode="append")
    return {"streams": [*catalog(columns=("email", "name"))["streams"], *(streams or requests["streams"])]}


def request(name: str = "R-1", **data: Any) -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime())
    given = {"email": ADA, "requested_by": "Ann Lee", "approved_by": "Bob Ray", "requested_at": day, "approved_at": day}
    line = record(stream="erasure_request", **{**given, **data, "request_id": name})
    return line.replace('"id": 1, ', "")


def contact(email: str) -> str:
    return record(email=email, name=CANARIES[1]).replace('"id": 1, ', "")


COMPLETE = (status(), status(stream="erasure_request"))


def erased(sandbox: Sandbox) -> list[Any]:
    return [one.subject for one in sandbox.drift.writes if one.action == "erase"]


def test_requests_are_carried_out_after_all_other_rows(
    sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path
) -> None:
    """A contact row of the same sync is written before; its states go out, and that of the requests follows."""
    lines = [
        request(),
        state(1, "erasure_request"),
        *(contact(f"person{number}@example.com") for number in range(5)),
        contact(ADA),
        state(2),
        *COMPLETE,
    ]
    run = run_here(tmp_path, "write", settings, both(), lines)
    assert (run.code, run.at, run.stats) == (0, [2, 1], [(6, 0), (1, 0)])
    assert [one.action for one in sandbox.drift.writes] == ["create"] * 6 + ["erase"]
    assert sandbox.drift.contacts_by_email(ADA) == []
    # Who was erased is not written again by later syncs, with or without requests.
    again = run_here(tmp_path, "write", {**settings, "erasure": None}, catalog(columns=("email",)), [contact(ADA)])
    assert again.logs("WARN") == ["Row 1 of the stream contact was rejected: suppressed, email."]
    # A request that the platform sends again is not a new one.
    assert run_here(tmp_path, "write", settings, both(), [request(), *COMPLETE]).logs("INFO")[-1] == (
        "Stream erasure_request: 0 written, 1 unchanged, 0 rejected."
    )
    assert erased(sandbox) == [ADA]


@pytest.mark.parametrize(
    ("lines", "failure"),
    [
        ([request(), state(1, None), status(), status("INCOMPLETE", "erasure_request")], "transient_error"),
        ([request(), state(1, None), status()], "transient_error"),
        ([request(), state(1, None), "not JSON"], "system_error"),
        ([*(request(f"R-{number}") for number in range(3)), state(1, None), *COMPLETE], ""),
        ([request(approved_by=""), state(1, None), *COMPLETE], ""),
    ],
    ids=["incomplete", "no status", "cut", "over the limit", "not approved"],
)
def test_nobody_is_erased(
    sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path, lines: list[str], failure: str
) -> None:
    """Without the end of the input, requests stay open and are sent again; otherwise they are rejected."""
    run = run_here(tmp_path, "write", settings, both(), lines)
    assert (run.error[0], run.at) == (failure, [] if failure else [1])
    assert [one.path for one in sandbox.journal if one.path.startswith("/gdpr")] == []


def test_erasure_is_off_by_default(sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path) -> None:
    """A stream of requests is an error before anything is written, also without a ledger or with two such streams."""
    requests = both()["streams"][1:]
    twice = both(
        *requests,
        {**requests[0], "destination_object_name": "erasure_request", "stream": {**requests[0]["stream"], "name": "b"}},
    )
    for given, streams, said in (
        ({**settings, "erasure": {}}, both(), "erasure is off. Set erasure.enabled."),
        ({**settings, "ledger_directory": None}, both(), "There is no ledger. Set ledger_directory"),
        ({**settings, "ledger_directory": str(tmp_path / "fresh")}, both(), "There is no ledger in ledger_directory."),
        (settings, twice, "The streams erasure_request, b all have erasure requests."),
        ({**settings, "erasure": {"enabled": True, "max_per_sinc": 1}}, both(), "erasure: "),
    ):
        run = run_here(tmp_path, "write", given, streams, [contact(ADA), request(), *COMPLETE])
        assert (run.code, run.error[0]) == (1, "config_error")
        assert said in run.error[1]
    assert (sandbox.drift.writes, sandbox.journal.count("/gdpr")) == ([], 0)


def test_check_asks_for_what_erasure_needs(sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path) -> None:
    """Two more scopes and a ledger; without erasure, neither."""
    writer = {"credentials": "access_token", "access_token": "made-up-writer"}
    for given, said in (
        (settings, None),
        ({**settings, "credentials": writer}, "The token is missing gdpr_write."),
        ({**settings, "credentials": writer, "erasure": None}, None),
        ({**settings, "ledger_directory": None}, "There is no ledger. Set ledger_directory"),
        ({**settings, "audit_key": "another-made-up-key"}, "made with another audit_key"),
    ):
        (message,) = run_here(tmp_path, "check", given).of("CONNECTION_STATUS")
        found = message["connectionStatus"]
        assert (found["status"], said or "") == ("FAILED" if said else "SUCCEEDED", said or "")
        assert (said or "") in (found["message"] or "")
    assert {one.method + one.path for one in sandbox.journal} == {"POST/app/token_info"}


def test_discover_offers_requests_only_with_erasure(sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path) -> None:
    """The object has its eight columns and its key."""
    (message,) = run_here(tmp_path, "discover", settings).of("DESTINATION_CATALOG")
    (offered,) = [
        one for one in message["destination_catalog"]["operations"] if one["object_name"] == "erasure_request"
    ]
    assert (offered["sync_mode"], offered["matching_keys"]) == ("append", [["request_id"]])
    assert set(offered["json_schema"]["properties"]) == set(ERASURE_COLUMNS)
    assert "erasure_request" not in run_here(tmp_path, "discover", {**settings, "erasure": None}).text


def test_a_killed_sync_leaves_a_request_that_the_next_one_sends_again(
    sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path
) -> None:
    """Drift applied the request and did not answer; the killed process holds no lock, and its state did not go out."""
    known = sandbox.drift.add_contact(email=ADA)
    sandbox.faults = (Fault("/gdpr/delete", "hang", seconds=60),)
    process = start(tmp_path, settings, both())
    lines = [request(), state(1, "erasure_request"), *COMPLETE]
    send(process, *lines)
    assert process.stdin
    process.stdin.close()
    wait_until(lambda: sandbox.journal.count("/gdpr/delete") > 0)
    process.kill()
    assert process.stdout
    assert b'"STATE"' not in process.stdout.read()
    process.wait(60)
    run = run_here(tmp_path, "write", settings, both(), lines)
    assert (run.code, run.at, erased(sandbox)) == (0, [1], [ADA])
    assert sandbox.drift.contact(known) is None
    assert run.logs("INFO")[:2] == [
        "Drift accepted the erasure request R-1.",
        "The contacts of the erasure request R-1 are no longer found.",
    ]


def looking(sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path) -> subprocess.Popen[bytes]:
    """A sync whose only request was accepted, and which looks for the contact that Drift still has."""
    sandbox.options = Options(tokens=sandbox.options.tokens, rate_limit=None, erasure_delay=100_000)
    sandbox.drift.add_contact(email=ADA)
    process = start(tmp_path, settings, both())
    send(process, request(), state(1, "erasure_request"), *COMPLETE)
    assert process.stdin
    process.stdin.close()
    wait_until(lambda: sum(one.path == "/contacts" for one in sandbox.journal) > 2)
    return process


def test_a_request_is_closed_between_two_syncs(sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path) -> None:
    """Not while a sync uses the ledger. Drift is not asked, and the row, which comes again, is not sent again."""
    process = looking(sandbox, settings, tmp_path)
    during = script("ledger", "close", "R-1", "--config", str(tmp_path / "config.json"))
    assert (during.code, during.error[0]) == (1, "config_error")
    assert "Another process uses the ledger" in during.error[1]
    process.kill()
    process.wait(60)
    sandbox.journal.clear()
    closed = script("ledger", "close", "R-1", "--config", str(tmp_path / "config.json"))
    said = "The erasure request R-1 is closed. Drift accepted it; whether it erased is not known."
    assert (closed.code, closed.logs("INFO"), len(sandbox.journal)) == (0, [said], 0)
    again = run_here(tmp_path, "write", settings, both(), [request(), *COMPLETE])
    assert (again.code, again.logs("INFO")[-1]) == (0, "Stream erasure_request: 0 written, 1 unchanged, 0 rejected.")
    assert len(sandbox.journal.requests("/gdpr/delete")) == 0
    unknown = script("ledger", "close", ADA, "--config", str(tmp_path / "config.json"))
    assert (unknown.code, unknown.error[0]) == (1, "config_error")


def script(*arguments: str) -> Run:
    """Run a command as a process."""
    done = subprocess.run([sys.executable, FOLDER / "main.py", *arguments], check=False, capture_output=True)
    assert done.stderr == b""
    return Run(done.returncode, done.stdout)


def test_sigterm_ends_the_look_for_contacts(sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path) -> None:
    """The request is acknowledged as soon as it is in the ledger; a later sync goes on to look."""
    process = looking(sandbox, settings, tmp_path)
    process.terminate()
    process.stdin = None
    run = ended(process)
    assert (run.code, run.at) == (143, [1])
