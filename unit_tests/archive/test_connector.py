"""The connector's process: which lines are messages, what is an error, and how it ends."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.sources.streams.http import rate_limiting

from source_drift.archive.connector import ROOT, Connector, error_of, parse, reason_of, retry_of
from source_drift.archive.errors import ArchiveError
from source_drift.archive.log import Log
from source_drift.archive.settings import Settings, load
from unit_tests.archive.messages import (
    Script,
    catalog,
    connection,
    control,
    entry,
    failure,
    log,
    record,
    state,
    status,
    stream,
)

CONFIG = {"token": "s3cret"}
TALKS = stream("talks", incremental=True)

Connect = Callable[[tuple[str, ...]], Connector]


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def connect(tmp_path: Path, notices: list[str]) -> Connect:
    origin = tmp_path / "config.json"
    origin.write_text(json.dumps(CONFIG))
    settings = Settings(CONFIG, tmp_path / "copy.json", origin=origin, rescue=tmp_path / "rescue.json")
    return lambda command: Connector(
        settings, folder=tmp_path, log=Log(tmp_path / "log"), notify=notices.append, command=command
    )


def _read(connector: Connector, states: list[Any] | None = None) -> list[Any]:
    with closing(connector.read([TALKS], states or [])) as messages:
        return list(messages)


def test_a_line_that_is_no_json_object_is_no_message() -> None:
    """Prints of a library, blank lines and JSON of other kinds pass by."""
    assert [parse(line) for line in (b"Fatal: x\n", b"\n", b"[1]\n", b"7\n", b'"{"\n')] == [None] * 5


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "RECORD", "record": {"stream": "talks", "da\n',
        b"{oops}\n",
        b'{"type": "RECORD"} {"type": "RECORD"}\n',
    ],
    ids=["cut", "garbage", "two in one line"],
)
def test_a_broken_message_is_an_error(line: bytes) -> None:
    """It may have held a record: passing it over would be a silent loss."""
    with pytest.raises(ArchiveError, match="incomplete message of"):
        parse(line)


@pytest.mark.parametrize("line", ['{"a": 1}', '{"type": null}'])
def test_an_object_without_type_is_an_error(line: str) -> None:
    """Every message of the protocol has one."""
    with pytest.raises(ArchiveError, match="not an Airbyte protocol message"):
        parse(line.encode())


@pytest.mark.parametrize(
    "content", [{}, {"stream": "talks"}, {"stream": 1, "data": {}}, {"stream": "talks", "data": []}]
)
def test_a_record_without_stream_or_data_is_an_error(content: Any) -> None:
    """It belongs nowhere."""
    with pytest.raises(ArchiveError, match="RECORD message without"):
        parse(json.dumps({"type": "RECORD", "record": content}).encode())


def test_lone_surrogates_do_not_stop_a_read() -> None:
    """JSON may hold half an emoji; the rest of the record is kept."""
    message = parse(
        rb'{"type": "RECORD", "record": {"stream": "talks", "data": {"id": 9007199254740993, "a": "x\ud83d"}}}'
    )
    assert message is not None
    assert message["record"]["data"] == {"id": 9_007_199_254_740_993, "a": "x?"}


def test_only_error_traces_are_errors() -> None:
    """The message for the user counts, the internal one where there is no other, never the stack trace."""
    assert error_of(json.loads(failure("No scope."))) == "No scope."
    internal = {"type": "TRACE", "trace": {"type": "ERROR", "error": {"internal_message": "inner", "stack_trace": "…"}}}
    assert error_of(internal) == "inner"
    assert error_of(json.loads(status("talks", "STARTED"))) is None
    assert error_of(json.loads(record("talks", id=1))) is None


def test_retries_are_told_by_the_words_of_the_back_off() -> None:
    """Only the line that says how long the next attempt waits."""
    text = "UserDefinedBackoffException: Rate limit exceeded (HTTP 503). Retrying in 2.0 seconds."
    assert retry_of(json.loads(log(text))) == "Drift answered with HTTP 503. Retrying in 2 seconds."
    assert retry_of(json.loads(log("X: none. Retrying in 1.6 seconds."))) == "A request failed. Retrying in 2 seconds."
    assert retry_of(json.loads(log("Waiting for nothing"))) is None


def test_the_back_off_still_uses_these_words() -> None:
    """The line is airbyte-cdk's."""
    assert "Retrying in {sleep_time} seconds." in inspect.getsource(rate_limiting)


def test_a_failed_check_says_why(connect: Connect, script: Script) -> None:
    """The connector's own words, also where it ends with exit code 0."""
    connector = connect(script(check=[connection("FAILED", "Drift refused the token.")]))
    with pytest.raises(ArchiveError, match=r"^The check failed: Drift refused the token\.$"):
        connector.check()


def test_a_check_that_breaks_down_says_why(connect: Connect, script: Script) -> None:
    """The error trace comes before the last line of standard error."""
    connector = connect(script(check=[failure("The config is odd."), {"stderr": "Traceback"}, {"exit": 1}]))
    with pytest.raises(ArchiveError, match=r"^The config is odd\.$"):
        connector.check()


def test_a_check_without_result_is_no_success(connect: Connect, script: Script) -> None:
    """Silence is not consent."""
    with pytest.raises(ArchiveError, match="returned no result"):
        connect(script(check=[log("hello")])).check()


def test_a_check_that_retries_tells_so(connect: Connect, script: Script, notices: list[str]) -> None:
    """The user sees why nothing happens."""
    text = "UserDefinedBackoffException: Rate limit exceeded (HTTP 503). Retrying in 2.0 seconds."
    connect(script(check=[log(text), connection("SUCCEEDED")])).check()
    assert notices == ["Drift answered with HTTP 503. Retrying in 2 seconds."]


def test_discover_returns_the_streams(connect: Connect, script: Script) -> None:
    """With the key and with incremental sync where the catalog offers it."""
    talks, people = connect(
        script(discover=[catalog(entry("talks", incremental=True), entry("people", key=("a", "b")))])
    ).discover()
    assert (talks.name, talks.key, talks.incremental) == ("talks", ("id",), True)
    assert (people.name, people.key, people.incremental) == ("people", ("a", "b"), False)
    assert talks.configured()["sync_mode"] == "incremental"
    assert people.configured()["sync_mode"] == "full_refresh"


def test_a_catalog_without_streams_is_an_error(connect: Connect, script: Script) -> None:
    """Nothing could be read, which must not look like a success."""
    with pytest.raises(ArchiveError, match="discovered no streams"):
        connect(script(discover=[catalog()])).discover()


def test_complaints_are_collected_without_records(connect: Connect, script: Script, tmp_path: Path) -> None:
    """Standard error and errors are; a record, a status, a line that is no message and an INFO line are not."""
    lines = ["a print", record("talks", id=1), status("talks", "STARTED"), log("fine"), log("odd", "WARN")]
    errors = [{"stderr": "a complaint of s3cret"}, log("bad", "ERROR"), failure("Failed.", "talks"), {"exit": 1}]
    connector = connect(script(read=[*lines, *errors]))
    assert [message["type"] for message in _read(connector)] == ["RECORD", "TRACE", "LOG", "LOG", "LOG", "TRACE"]
    assert connector.keep_log(tmp_path / "kept")
    assert sorted((tmp_path / "kept").read_text().splitlines()) == [
        "ERROR bad",
        "TRACE of talks Failed.",
        "Traceback (most recent call last): …",
        "a complaint of …",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "'Stream token_info is not available: Drift refused the token: it expired.'",
            "Drift refused the token: it expired.",
        ),
        ('"Stream a_b is not available: Drift\'s \\\\ is down."', "Drift's \\ is down."),
        ("Stream users is not available: No.", "No."),
        ("'id' is a required property", "id' is a required property"),
        ("Config validation error: 'credentials' is a required property", None),
        ("The Stream x is not available: y", None),
        (None, ""),
    ],
)
def test_a_reason_stands_without_its_wrapping(text: str | None, reason: str | None) -> None:
    """Neither the quotes of a Python text nor the stream that happened to be tried."""
    assert reason_of(text) == (text if reason is None else reason)


def test_a_crash_shows_the_last_line_of_standard_error(connect: Connect, script: Script) -> None:
    """Not the stack trace above it."""
    crash = [{"stderr": "Traceback (most recent call last):\n  File x\nMemoryError: no more"}, {"exit": 137}]
    with pytest.raises(ArchiveError, match=r"exit code 137.*MemoryError: no more$") as caught:
        _read(connect(script(read=crash)))
    assert "Traceback" not in str(caught.value)


def test_a_failed_stream_is_told_by_its_messages(connect: Connect, script: Script) -> None:
    """The other streams' messages still come, and the exit code raises nothing of its own."""
    messages = _read(connect(script(read=[failure("No scope.", "talks"), record("people", id=1), {"exit": 1}])))
    assert [message["type"] for message in messages] == ["TRACE", "RECORD"]


def test_a_line_cut_by_the_end_of_the_process_is_an_error(connect: Connect, script: Script) -> None:
    """Even with exit code 0."""
    cut = record("talks", id=2)[:-9]
    with pytest.raises(ArchiveError, match="incomplete message of"):
        _read(connect(script(read=[record("talks", id=1), {"write": cut}])))


def test_a_read_goes_on_from_the_states_it_is_given(connect: Connect, script: Script) -> None:
    """They reach the connector as a file."""
    connector = connect(script(read=[record("talks", id=1)], again=[record("talks", id=2)]))
    states = [json.loads(state("talks", updatedAt=1))["state"]]
    assert [message["record"]["data"]["id"] for message in _read(connector)] == [1]
    assert [message["record"]["data"]["id"] for message in _read(connector, states)] == [2]


def test_a_handed_back_config_is_saved_at_once(
    connect: Connect, script: Script, tmp_path: Path, notices: list[str]
) -> None:
    """The user's file has it, the next process is given it, and one line says so."""
    new = {"token": "s3cret-2"}
    connector = connect(script(read=[control(new), "@config"], again=["@config"]))
    assert [message["type"] for message in _read(connector)] == ["CONTROL", "RECORD"]
    assert load(tmp_path / "config.json") == new
    assert [message["record"]["data"] for message in _read(connector, [{}])] == [new]
    assert len(notices) == 1
    assert "s3cret" not in notices[0]


def test_a_config_in_the_last_words_of_a_stopped_process_is_saved(
    connect: Connect, script: Script, tmp_path: Path, notices: list[str]
) -> None:
    """A token rotated just before Ctrl-C is the only valid one left."""
    new = {"token": "rotated"}
    messages = connect(script(read=[{"wait": [record("talks", id=1), control(new)]}])).read([TALKS], [])
    next(messages)
    messages.close()
    assert load(tmp_path / "config.json") == new
    assert len(notices) == 1


def test_the_connector_ends_with_its_reader() -> None:
    """Whatever it is doing: after kill -9 of the archive nothing goes on reading Drift."""
    code = """
import time
from source_drift.archive import child
child.protocol.main = lambda _: (print("busy", flush=True), time.sleep(60))
child.main([])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "busy\n"
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(30) == 1
