"""The demo as a whole, with a scripted connector in place of the real one and without a terminal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from demo.run import main
from unit_tests.demo.conftest import Script
from unit_tests.demo.messages import STRING, catalog, connection, entry, failure, record, state, status

CHECK = [connection("SUCCEEDED")]
DISCOVER = [catalog(entry("talks", {"id": {"type": "integer"}, "status": STRING}, incremental=True), entry("people"))]
FIRST = [
    status("talks", "STARTED"),
    status("people", "STARTED"),
    record("talks", id=1, status="old"),
    record("talks", id=2, status="old"),
    record("people", id=1),
    state("talks", updatedAt=2),
    state("people", updatedAt=2),
    status("talks", "COMPLETE"),
    status("people", "COMPLETE"),
]
SECOND = [
    record("talks", id=2, status="new"),
    record("people", id=5),
    status("talks", "COMPLETE"),
    status("people", "COMPLETE"),
]

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the demo on a script and returns its exit code and what it printed."""
    config = tmp_path / "config.json"
    config.write_text('{"access_token": "s3cret-token"}')

    def run(**verbs: Any) -> tuple[int, str]:
        command = script(**({"check": CHECK, "discover": DISCOVER, "read": FIRST, "again": SECOND} | verbs))
        code = main(["--config", str(config)], command=command, output=tmp_path / "out")
        printed = capsys.readouterr()
        assert printed.err == ""
        assert "s3cret" not in printed.out
        assert [path.name for path in (tmp_path / "out").glob(".*")] == []
        return code, printed.out

    return run


def _rows(tmp_path: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(tmp_path / "out" / "drift.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_two_reads_end_in_one_file(run: Run, tmp_path: Path) -> None:
    """What the second one brings is merged or replaces, as the stream's sync mode asks; a second run works too."""
    for _ in range(2):
        code, printed = run()
        assert code == 0, printed
        assert _rows(tmp_path, "SELECT id, status FROM talks ORDER BY id") == [(1, "old"), (2, "new")]
        assert _rows(tmp_path, "SELECT id FROM people") == [(5,)]


def test_without_a_terminal_there_are_plain_lines(run: Run) -> None:
    """No control codes, 80 columns, every stream with its figures, and nothing said about Drift that is not known."""
    _, printed = run()
    assert "\x1b" not in printed
    assert "\r" not in printed
    lines = printed.splitlines()
    assert [line.split()[:4] for line in lines if line.startswith("✓  talks")] == [
        ["✓", "talks", "2", "2"],
        ["✓", "talks", "1", "2"],
    ]
    assert [line.split()[4:6] for line in lines if line.startswith("✓  talks")] == [["–", "–"], ["–", "–"]]
    assert any(line.split()[:4] == ["talks", "complete", "2", "records"] for line in lines), printed
    assert lines[-1].startswith("✓ The connector read all of its streams")


def test_a_failed_check_is_one_line(run: Run) -> None:
    """With exit code 1."""
    code, printed = run(check=[connection("FAILED", "Drift refused\nthe token.")])
    assert code == 1
    assert printed.splitlines()[-1] == "✗ The check failed: Drift refused the token."


def test_a_failed_stream_is_loud(run: Run, tmp_path: Path) -> None:
    """Its error stands at the end, the others are loaded, no second read hides it, and the exit code is 1."""
    lines = [*FIRST[:-2], status("talks", "COMPLETE"), failure("The token lacks account_read.", "people"), {"exit": 1}]
    code, printed = run(read=lines, again=[{"stderr": "a second read"}, {"exit": 3}])
    assert code == 1
    assert printed.splitlines()[-2:] == ["✗ people: The token lacks account_read.", "✗ Not everything was read."]
    assert "a second read" not in printed
    assert _rows(tmp_path, "SELECT table_name FROM duckdb_tables()") == [("talks",)]


def test_a_green_read_that_leaves_out_a_stream_is_red(run: Run) -> None:
    """Exit code 0 of the connector proves nothing."""
    code, printed = run(read=FIRST[:-1])
    assert code == 1
    assert "✗ people: the connector ended before it had read all of it." in printed


def test_a_read_that_fails_leaves_the_old_tables(run: Run, tmp_path: Path) -> None:
    """They are those of the last good read, and are not shown as this one's."""
    run()
    code, printed = run(read=[*FIRST[:3], {"stderr": "MemoryError"}, {"exit": 1}])
    assert code == 1
    assert printed.splitlines()[-1].endswith("MemoryError")
    code, printed = run(read=[*FIRST[:3], failure("Drift is down."), {"exit": 1}])
    assert (code, "drift.duckdb" in printed) == (1, False)
    assert _rows(tmp_path, "SELECT id, status FROM talks ORDER BY id") == [(1, "old"), (2, "new")]


def test_an_interrupt_ends_with_130(run: Run) -> None:
    """Nothing is loaded, the connector is stopped, one line is printed."""
    code, printed = run(read=[*FIRST, "@interrupt", {"wait": ["", ""]}])
    assert (code, printed.splitlines()[-1]) == (130, "✗ Interrupted.")
    assert "drift.duckdb" not in printed


def test_leftovers_of_a_killed_run_are_removed(run: Run, tmp_path: Path) -> None:
    """They hold records and a config."""
    left = tmp_path / "out" / ".run-left"
    left.mkdir(parents=True)
    (left / "config.json").write_text("{}")
    assert run()[0] == 0
    assert not left.exists()


def test_a_bad_config_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started or made."""
    code = main(["--config", str(tmp_path / "none.json")], output=tmp_path / "out")
    assert (code, len(capsys.readouterr().out.splitlines())) == (1, 1)
    assert not (tmp_path / "out").exists()


def test_markup_in_messages_is_shown_as_it_is(run: Run) -> None:
    """What looks like markup of the screen's library is somebody's text."""
    _, printed = run(check=[connection("FAILED", "[red]x[/red] [/] :smile:")])
    assert "[red]x[/red] [/] :smile:" in printed


def test_a_rotated_token_is_saved_and_told(run: Run, tmp_path: Path) -> None:
    """In the very file that --config names."""
    new = {"refresh_token": "s3cret-rotated"}
    message = {"type": "CONTROL", "control": {"type": "CONNECTOR_CONFIG", "connectorConfig": {"config": new}}}
    code, printed = run(read=[json.dumps(message), *FIRST])
    assert code == 0
    assert json.loads((tmp_path / "config.json").read_text()) == new
    assert sum(f"saved in {tmp_path / 'config.json'}" in line for line in printed.splitlines()) == 1
