"""`check`, `discover` and `write` against a local Drift, in this process."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from destination_tests import CANARIES, OF_A_PERSON, Run, catalog, config, oauth, record, run_here, state, status

from destination_drift import client, destination
from sandbox import Fault, Sandbox


def connection(run: Run) -> dict[str, Any]:
    assert run.code == 0
    (found,) = run.of("CONNECTION_STATUS")
    return found["connectionStatus"]


def test_check_succeeds_and_writes_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """One request is enough, and it changes nothing."""
    assert connection(run_here(tmp_path, "check", config(sandbox.url)))["status"] == "SUCCEEDED"
    assert [(one.method, one.path) for one in sandbox.journal] == [("POST", "/app/token_info")]


def test_check_names_what_is_missing(sandbox: Sandbox, tmp_path: Path) -> None:
    """Missing scopes, a refused token, an unreachable Drift and wrong settings are told apart, with exit code 0."""
    reader = {"credentials": "access_token", "access_token": "made-up-reader"}
    unknown = {"credentials": "access_token", "access_token": "made-up-unknown"}
    (tmp_path / "file").write_text("")
    for given, said in {
        "missing contact_write, all_contact_read.": config(sandbox.url, credentials=reader),
        "Drift refused the access token.": config(sandbox.url, credentials=unknown),
        "rejected_rows_directory cannot be written": config(
            sandbox.url, rejected_rows_directory=str(tmp_path / "file")
        ),
        "match_by: is not one of the allowed values": config(sandbox.url, match_by=CANARIES[0]),
    }.items():
        found = connection(run_here(tmp_path, "check", said))
        assert found["status"] == "FAILED"
        assert given in found["message"], found


def test_check_does_not_depend_on_token_info(sandbox: Sandbox, tmp_path: Path) -> None:
    """If Drift does not describe the token, the request that each run begins with decides."""
    sandbox.options = replace(sandbox.options, token_info="400")
    assert connection(run_here(tmp_path, "check", config(sandbox.url)))["status"] == "SUCCEEDED"
    reader = {"credentials": "access_token", "access_token": "made-up-reader"}
    found = connection(run_here(tmp_path, "check", config(sandbox.url, credentials=reader)))
    assert "missing the all_contact_read scope" in found["message"]


def test_discover_lists_the_attributes_of_the_organization(sandbox: Sandbox, tmp_path: Path) -> None:
    """Custom attributes of the local Drift are offered for contacts."""
    run = run_here(tmp_path, "discover", config(sandbox.url))
    (message,) = run.of("DESTINATION_CATALOG")
    first, *_ = message["destination_catalog"]["operations"]
    assert {"email", "plan", "seats"} <= set(first["json_schema"]["properties"])


def test_files_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    """A config or catalog that is missing or malformed is named, and not quoted."""
    run = run_here(tmp_path, "discover", {})
    assert (run.code, run.error[0]) == (1, "config_error")
    run = run_here(tmp_path, "write", config(), ["canary@example.com"])
    assert (run.code, run.error) == (
        1,
        ("config_error", "The catalog is not a configured catalog: an object with a list of streams."),
    )


def test_rows_are_written_and_states_follow(sandbox: Sandbox, people: list[int], tmp_path: Path) -> None:
    """Rows change their contacts, a row without a contact is rejected, and a summary is logged."""
    lines = [
        record(people[0], name="New Name"),
        record(999_999, **OF_A_PERSON),
        record(people[1], name="Other"),
        state(1),
        status(),
    ]
    directory = tmp_path / "rejected"
    given = config(sandbox.url, rejected_rows_directory=str(directory))
    run = run_here(tmp_path, "write", given, catalog(sync_id=4), lines)
    assert (run.code, run.stats) == (0, [(2, 1)])
    assert [sandbox.drift.contact(number)["attributes"]["name"] for number in people[:2]] == ["New Name", "Other"]
    assert run.logs("WARN") == ["Row 2 of the stream contact was rejected: no_match, id."]
    assert run.logs("INFO") == ["Stream contact: 2 written, 0 unchanged, 1 rejected, no_match: 1."]
    (line,) = (directory / "contact-4.jsonl").read_text().splitlines()
    assert json.loads(line)["email"] == CANARIES[0]


def test_a_dry_run_changes_nothing(sandbox: Sandbox, people: list[int], tmp_path: Path) -> None:
    """No write is sent and no state is acknowledged; the log says how many rows would be written."""
    run = run_here(
        tmp_path, "write", config(sandbox.url, dry_run=True), catalog(), [record(people[0], name="New"), state(1)]
    )
    assert (run.code, run.at) == (0, [])
    assert run.logs("INFO") == ["Stream contact: 1 would be written, 0 unchanged, 0 rejected."]
    assert {one.method for one in sandbox.journal} == {"GET"}


def test_a_renewed_token_is_returned_once(sandbox: Sandbox, people: list[int], tmp_path: Path) -> None:
    """The config comes back in a CONTROL message before the token is used, and serves the next run."""
    given = oauth(sandbox.url, access_token="made-up-expired")
    lines = [*(record(number, name="New") for number in people), state(1)]
    run = run_here(tmp_path, "write", given, catalog(), lines)
    (control,) = run.of("CONTROL")
    assert (run.code, run.at) == (0, [1])
    renewed = control["control"]["connectorConfig"]["config"]
    assert renewed["credentials"]["refresh_token"] == "sandbox-refresh-2"
    assert {**renewed, "credentials": None} == {**given, "credentials": None}
    again = run_here(tmp_path, "check", renewed)
    assert connection(again)["status"] == "SUCCEEDED"
    assert again.of("CONTROL") == []


def test_a_token_without_the_scope_stops_the_run(sandbox: Sandbox, people: list[int], tmp_path: Path) -> None:
    """It is an error of the settings, and no state goes out."""
    sandbox.options = replace(sandbox.options, tokens={"sandbox-token": ("contact_read", "all_contact_read")})
    run = run_here(tmp_path, "write", config(sandbox.url), catalog(), [record(people[0], name="New"), state(1)])
    assert (run.code, run.error[0], run.at) == (1, "config_error", [])
    assert "missing the contact_write scope" in run.error[1]


def test_a_dead_drift_stops_the_run(
    sandbox: Sandbox, people: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a transient error after eight attempts; the rows before it stay acknowledged."""
    monkeypatch.setattr(client, "FIRST_WAIT", 0.001)
    sandbox.faults = [Fault(f"/contacts/{people[1]}", "status", status=500, times=None)]
    lines = [record(people[0], name="New"), state(1), record(people[1], **OF_A_PERSON), state(2)]
    run = run_here(tmp_path, "write", config(sandbox.url), catalog(), lines)
    assert (run.code, run.error[0], run.at) == (1, "transient_error", [1])


def test_an_incomplete_stream_is_a_transient_error(sandbox: Sandbox, people: list[int], tmp_path: Path) -> None:
    """Everything is written and acknowledged before the run fails."""
    lines = [record(people[0], name="New"), state(1), status("INCOMPLETE")]
    run = run_here(tmp_path, "write", config(sandbox.url), catalog(), lines)
    assert (run.code, run.error[0], run.at) == (1, "transient_error", [1])


@pytest.mark.parametrize("last", ['{"type":"RECORD","record":{"stream":"contact","data":{"x":NaN}}}', CANARIES[0]])
def test_an_unusable_line_fails_the_run(sandbox: Sandbox, people: list[int], tmp_path: Path, last: str) -> None:
    """The state before it is acknowledged, the one after it is not, and the line is not quoted."""
    lines = [record(people[0], name="New"), state(1), last, state(2)]
    run = run_here(tmp_path, "write", config(sandbox.url), catalog(), lines)
    assert (run.code, run.error[0], run.at) == (1, "system_error", [1])
    assert f"Line 3 of the input ({len(last) + 1} bytes)" in run.error[1]


def test_a_crash_shows_no_value(
    sandbox: Sandbox, people: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the type of the exception and where it was raised, but not its text."""

    class Crashing(destination.Contacts):
        def write(self, row: Any) -> bool:
            raise KeyError(row.data["email"]) from ValueError(row.data["name"])

    monkeypatch.setattr(destination, "Contacts", Crashing)
    run = run_here(tmp_path, "write", config(sandbox.url), catalog(), [record(people[0], **OF_A_PERSON), state(1)])
    assert (run.code, run.error[0], run.at) == (1, "system_error", [])
    assert "KeyError" in run.error[1]
    (trace,) = run.of("TRACE")
    assert "in write" in trace["trace"]["error"]["stack_trace"]
