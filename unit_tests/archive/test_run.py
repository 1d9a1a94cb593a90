"""The archive command as a whole, with a scripted connector in place of the real one and without a terminal."""

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from source_drift.archive.run import main
from source_drift.archive.warehouse import StreamSync, Warehouse
from unit_tests.archive.messages import (
    STRING,
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
)

CHECK = [connection("SUCCEEDED")]
TALKS = entry("talks", {"id": {"type": "integer"}, "status": STRING}, incremental=True)
TOKEN = entry("token_info", {"authenticated_userid": STRING}, key=("authenticated_userid",))
DISCOVER = [catalog(TALKS, entry("people"), TOKEN)]
MINE = [record("token_info", authenticated_userid="orgId:1"), status("token_info", "COMPLETE")]
FIRST = [
    *(status(name, "STARTED") for name in ("talks", "people", "token_info")),
    *MINE,
    record("talks", id=1, status="old"),
    record("talks", id=2, status="old"),
    record("people", id=1),
    state("talks", updatedAt=2),
    state("people", updatedAt=2),
    status("talks", "COMPLETE"),
    status("people", "COMPLETE"),
]
SECOND = [
    *MINE,
    record("talks", id=2, status="new"),
    record("people", id=5),
    state("talks", updatedAt=3),
    status("talks", "COMPLETE"),
    status("people", "COMPLETE"),
]

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that archives what a script says and returns the exit code and what was printed."""
    config = tmp_path / "config.json"
    config.write_text('{"access_token": "s3cret-token"}')

    def run(*arguments: str, **verbs: Any) -> tuple[int, str]:
        command = script(**({"check": CHECK, "discover": DISCOVER, "read": FIRST, "again": SECOND} | verbs))
        files = ["--config", str(config), "--into", str(tmp_path / "out" / "drift.duckdb")]
        code = main([*files, *arguments], command=command)
        printed = capsys.readouterr()
        assert printed.err == ""
        assert "s3cret" not in printed.out
        assert [path.name for path in (tmp_path / "out").glob(".*")] == []
        return code, printed.out

    return run


def _rows(tmp_path: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(tmp_path / "out" / "drift.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def _outcomes(tmp_path: Path) -> list[Any]:
    return _rows(tmp_path, "SELECT sync, stream, outcome, records FROM _drift_syncs ORDER BY sync, rowid")


def test_two_runs_end_in_one_file(run: Run, tmp_path: Path) -> None:
    """The second one is given the state of the first; its rows are merged or replace, as the stream's mode asks."""
    for _ in range(2):
        code, printed = run()
        assert code == 0, printed
    assert _rows(tmp_path, "SELECT id, status FROM talks ORDER BY id") == [(1, "old"), (2, "new")]
    assert _rows(tmp_path, "SELECT id FROM people") == [(5,)]
    assert _rows(tmp_path, "SELECT stream, state ->> '$.stream.stream_state.updatedAt' FROM _drift_states") == [
        ("talks", "3")
    ]
    assert [row[1:] for row in _outcomes(tmp_path)] == [
        *(("token_info", "complete", 1), ("talks", "complete", 2), ("people", "complete", 1)),
        *(("token_info", "complete", 1), ("talks", "complete", 1), ("people", "complete", 1)),
    ]
    assert _rows(tmp_path, "SELECT host, organization FROM _drift_archive") == [("driftapi.com", "orgId:1")]


def test_without_a_terminal_there_are_plain_lines(run: Run) -> None:
    """No control codes, no blanks at the end of a line, a line for every stream, and the verdict as the last one."""
    _, printed = run()
    lines = printed.splitlines()
    assert "\x1b" not in printed
    assert "\r" not in printed
    assert [line for line in lines if line != line.rstrip()] == []
    assert any(line.split()[:4] == ["talks", "complete", "2", "records"] for line in lines), printed
    assert lines[-1] == "✓ Complete: 3 of 3 streams."


def test_a_failed_check_is_one_line(run: Run) -> None:
    """With exit code 1."""
    code, printed = run(check=[connection("FAILED", "Drift refused\nthe token.")])
    assert code == 1
    assert printed.splitlines()[-1] == "✗ The check failed: Drift refused the token."


def test_a_failed_stream_is_loud_and_keeps_what_it_has(run: Run, tmp_path: Path) -> None:
    """Incremental rows and states stay, a half read list does not replace the whole one, and the exit code is 1."""
    assert run()[0] == 0
    lines = [
        *MINE,
        record("talks", id=3, status="new"),
        state("talks", updatedAt=9),
        record("talks", id=4, status="new"),
        record("people", id=9),
        failure("The token lacks account_read.", "people"),
        failure("Down.", "talks"),
        {"exit": 1},
    ]
    code, printed = run(again=lines)
    assert code == 1
    assert printed.splitlines()[-3].startswith("✗ Not complete: 1 of 3 streams.")
    assert printed.splitlines()[-2:] == ["✗ talks: Down.", "✗ people: The token lacks account_read."]
    assert _rows(tmp_path, "SELECT id FROM talks ORDER BY id") == [(1,), (2,), (3,), (4,)]
    assert _rows(tmp_path, "SELECT id FROM people") == [(1,)]
    assert _rows(tmp_path, "SELECT state ->> '$.stream.stream_state.updatedAt' FROM _drift_states") == [("9",)]
    assert _rows(tmp_path, "SELECT outcome, error FROM _drift_syncs WHERE sync = 2 AND stream = 'people'") == [
        ("incomplete", "The token lacks account_read.")
    ]


def test_a_green_read_that_leaves_out_a_stream_is_red(run: Run, tmp_path: Path) -> None:
    """Exit code 0 of the connector proves nothing."""
    code, printed = run(read=FIRST[:-1])
    assert code == 1
    assert "✗ people: The connector ended before the stream was read completely." in printed
    assert _rows(tmp_path, "SELECT table_name FROM duckdb_tables() WHERE table_name = 'people'") == []


def test_a_crash_leaves_what_was_read(run: Run, tmp_path: Path) -> None:
    """The reason is the last line, and the next run goes on; the finished list is not read again."""
    crash = [*FIRST[:6], status("people", "COMPLETE", at=time.time()), {"stderr": "MemoryError"}, {"exit": 1}]
    code, printed = run(read=crash)
    assert code == 1
    assert printed.splitlines()[-1].endswith("MemoryError")
    assert _rows(tmp_path, "SELECT id FROM talks") == [(1,)]
    code, printed = run(read=[line for line in FIRST if '"people"' not in line])
    assert code == 0
    assert "Complete since the last, unfinished sync: people." in printed
    assert (2, "people", "complete", 0) in _outcomes(tmp_path)
    assert run(again=SECOND[:-1])[0] == 1, "after a complete sync, everything is read again"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_keeps_what_was_read_and_says_how_to_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    """Rows are in the file, even if it comes amid a transaction, and the command that goes on is printed."""
    note = Warehouse.note

    def interrupted(warehouse: Warehouse, sync: int, entry: StreamSync) -> None:
        if entry.records == 2:
            os.kill(os.getpid(), number)
        note(warehouse, sync, entry)

    monkeypatch.setattr(Warehouse, "note", interrupted)
    lines = [line for line in FIRST[:-2] if '"people"' not in line]
    found, printed = run("--streams", "talks", read=[*lines, {"wait": ["", ""]}])
    assert found == code
    *_, said, command = printed.splitlines()
    assert said.startswith("✗ Interrupted.")
    assert command.startswith("  source-drift archive --config ")
    assert command.endswith("drift.duckdb --streams talks")
    assert _rows(tmp_path, "SELECT id FROM talks ORDER BY id") == [(1,), (2,)]
    assert [(row[1], row[2]) for row in _outcomes(tmp_path)] == [("token_info", "complete"), ("talks", "interrupted")]
    assert "Not everything is complete." in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_another_organization_is_refused_before_anything_is_kept(run: Run, tmp_path: Path) -> None:
    """In one sentence, also where its records came before the one that names it."""
    assert run()[0] == 0
    theirs = [record("talks", id=7), state("talks", updatedAt=9), record("token_info", authenticated_userid="orgId:2")]
    code, printed = run(again=[*theirs, status("token_info", "COMPLETE"), {"wait": ["", ""]}])
    assert code == 1
    assert "organization orgId:1, but the token belongs to orgId:2" in printed.splitlines()[-1]
    assert _rows(tmp_path, "SELECT max(id) FROM talks") == [(2,)]
    assert _rows(tmp_path, "SELECT state ->> '$.stream.stream_state.updatedAt' FROM _drift_states") == [("2",)]


def test_an_unknown_organization_is_not_refused(run: Run, tmp_path: Path) -> None:
    """Drift may not describe the token; the archive goes on."""
    unknown = [line for line in SECOND if "authenticated_userid" not in line]
    assert run()[0] == 0
    assert run(again=unknown)[0] == 0
    assert _rows(tmp_path, "SELECT status FROM talks WHERE id = 2") == [("new",)]


def test_another_host_is_refused(run: Run, tmp_path: Path) -> None:
    """Before the connector is started."""
    assert run()[0] == 0
    (tmp_path / "config.json").write_text(json.dumps({"api_url": "https://ada:s3cret@Drift.example.com/x"}))
    code, printed = run(check=[{"exit": 3}])
    assert code == 1
    assert printed.count("\n") == 1
    assert "is an archive of driftapi.com, not of drift.example.com" in printed


def test_chosen_streams_alone_are_read(run: Run, tmp_path: Path) -> None:
    """With the one that names the organization; an unknown name is one line with those that there are."""
    code, _ = run("--streams", "people", read=[*MINE, record("people", id=1), status("people", "COMPLETE")])
    assert code == 0
    assert [row[1] for row in _outcomes(tmp_path)] == ["token_info", "people"]
    code, printed = run("--streams", "people,persons")
    assert code == 1
    assert printed.splitlines()[-1] == "✗ There is no stream persons. Choose from: talks, people, token_info."


def test_the_start_date_reaches_the_connector(run: Run, tmp_path: Path) -> None:
    """As its config has it, in UTC."""
    config = entry("config", {"start_date": STRING}, key=())
    read = ["@config", status("config", "COMPLETE")]
    for date, expected in (("2026-01-31", "2026-01-31T00:00:00Z"), ("2026-01-31T01:00+02:00", "2026-01-30T23:00:00Z")):
        code, printed = run("--start-date", date, discover=[catalog(config)], read=read)
        assert code == 0, printed
        assert _rows(tmp_path, "SELECT start_date FROM config") == [(expected,)]
    assert json.loads((tmp_path / "config.json").read_text()) == {"access_token": "s3cret-token"}


def test_a_bad_option_is_a_sentence(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """With the exit code of a wrong command line."""
    for option in (["--start-date", "soon"], ["--streams", ","]):
        with pytest.raises(SystemExit) as end:
            run(*option)
        assert end.value.code == 2
        assert "soon is not a date such as 2024-01-31" in (printed := capsys.readouterr().err) or "at least" in printed


def test_streams_are_exported(run: Run, tmp_path: Path) -> None:
    """To Parquet files, readable only by their owner."""
    folder = tmp_path / "parquet"
    code, printed = run("--parquet", str(folder))
    assert code == 0
    assert f"{folder} contains 3 Parquet files." in printed
    assert [path.stat().st_mode & 0o077 for path in folder.iterdir()] == [0, 0, 0]


def test_a_log_is_left_by_a_failed_run_alone(run: Run, tmp_path: Path) -> None:
    """Its path is printed then; the next good run removes it, and one that has nothing to tell leaves none."""
    path = tmp_path / "out" / "connector.log"
    assert run()[0] == 0
    assert not path.exists()
    _, printed = run(again=[*SECOND[:-1], {"stderr": "odd: s3cret-token"}, failure("No scope.", "people"), {"exit": 1}])
    assert str(path) in printed.splitlines()[-2]
    assert path.read_text().splitlines()[0] == "odd: …"
    assert path.stat().st_mode & 0o077 == 0
    _, printed = run(check=[{"stderr": "a crash"}, {"exit": 3}])
    assert [str(path) in line for line in printed.splitlines()[-2:]] == [True, False]
    run(again=[log("bad", "ERROR"), *SECOND])
    assert not path.exists()


def test_a_page_shows_the_whole_history(run: Run, tmp_path: Path) -> None:
    """Also streams that the last run was not asked for, their warnings, and nothing of the config."""
    path = tmp_path / "out" / "report.html"
    run(read=[log("people: odd for ada@example.com.", "WARN"), *FIRST])
    code, printed = run("--streams", "talks", again=[line for line in SECOND if '"people"' not in line])
    assert (code, str(path) in printed) == (0, True)
    assert path.stat().st_mode & 0o077 == 0
    text = path.read_text(encoding="utf-8")
    assert "The archive of <bdi>driftapi.com in drift.duckdb</bdi>" in text
    assert "All 3 streams are complete." in text
    assert "people: odd for …" in text
    assert re.search(r"talks <small>incremental</small>.*?>2<.*?>1<.*?>3<", text, re.DOTALL), text
    assert [secret for secret in ("s3cret", "config.json", str(tmp_path)) if secret in text] == []


def test_the_page_of_a_failed_run_says_so(run: Run, tmp_path: Path) -> None:
    """With the cause, in which no address is left."""
    lines = [*FIRST[:-1], failure("No <b>scope</b> for ada@example.com.", "people"), {"exit": 1}]
    assert run(read=lines)[0] == 1
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Not everything is complete." in text
    assert "people: No &lt;b&gt;scope&lt;/b&gt; for …</li>" in text


def test_leftovers_of_a_killed_run_are_removed(run: Run, tmp_path: Path) -> None:
    """They hold records and a config."""
    left = tmp_path / "out" / ".drift.duckdb.run-left"
    left.mkdir(parents=True)
    (left / "config.json").write_text("{}")
    assert run()[0] == 0
    assert not left.exists()


def test_a_bad_config_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started or made."""
    code = main(["--config", str(tmp_path / "none.json"), "--into", str(tmp_path / "out" / "drift.duckdb")])
    assert (code, len(capsys.readouterr().out.splitlines())) == (1, 1)
    assert not (tmp_path / "out").exists()


def test_markup_in_messages_is_shown_as_it_is(run: Run) -> None:
    """What looks like markup of the screen's library is somebody's text."""
    _, printed = run(check=[connection("FAILED", "[red]x[/red] [/] :smile:")])
    assert "[red]x[/red] [/] :smile:" in printed


def test_a_rotated_token_is_saved_and_told(run: Run, tmp_path: Path) -> None:
    """In the very file that --config names."""
    new = {"refresh_token": "s3cret-rotated"}
    code, printed = run(read=[control(new), *FIRST])
    assert code == 0
    assert json.loads((tmp_path / "config.json").read_text()) == new
    assert sum(f"saved in {tmp_path / 'config.json'}" in line for line in printed.splitlines()) == 1


def test_a_full_disk_is_a_sentence_and_the_archive_stays(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed before is there, and the next run completes it."""
    assert run()[0] == 0
    before = _rows(tmp_path, "SELECT id, status FROM talks ORDER BY id")

    def full(*_: Any, **__: Any) -> None:
        raise duckdb.IOException("Could not write to file: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("source_drift.archive.warehouse.Warehouse.save_state", full)
        code, printed = run()
    assert code == 1
    assert "could not be written, and contains what was there before" in printed.splitlines()[-1]
    assert "No space left on device" in printed.splitlines()[-1]
    assert _rows(tmp_path, "SELECT id, status FROM talks ORDER BY id") == before
    assert run()[0] == 0
    assert _rows(tmp_path, "SELECT status FROM talks WHERE id = 2") == [("new",)]


def test_a_disk_that_is_full_at_the_end_is_two_lines(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is committed; only the file could not be put in order."""

    def full(_: Warehouse) -> None:
        raise duckdb.FatalException("Failed to create checkpoint: No space left on device\nand more")

    monkeypatch.setattr(Warehouse, "checkpoint", full)
    code, printed = run()
    assert code == 1
    said, advice = printed.splitlines()[-2:]
    assert said.endswith("could not be written: Failed to create checkpoint: No space left on device")
    assert advice.startswith("✗ What was committed before is safe.")
    assert _rows(tmp_path, "SELECT count(*) FROM talks") == [(2,)]


def test_the_file_moves_with_all_it_needs(run: Run, tmp_path: Path) -> None:
    """A copy in another folder, under another name, is gone on with."""
    assert run()[0] == 0
    (tmp_path / "moved").mkdir()
    shutil.copy(tmp_path / "out" / "drift.duckdb", tmp_path / "moved" / "copy.duckdb")
    assert run("--into", str(tmp_path / "moved" / "copy.duckdb"))[0] == 0
    with duckdb.connect(str(tmp_path / "moved" / "copy.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT status FROM readable.talks WHERE id = 2").fetchall() == [("new",)]
