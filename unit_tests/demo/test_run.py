"""The demo as a whole, with a scripted connector in place of the real one and without a terminal."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tools.demo.connector import ROOT
from tools.demo.questions import Question
from tools.demo.run import OUTPUT, REAL_OUTPUT, main
from unit_tests.demo.conftest import Script
from unit_tests.demo.messages import STRING, catalog, connection, entry, failure, log, record, state, status

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
    assert [len(line.split()) for line in lines if line.startswith("✓  talks")] == [5, 5]
    assert [line for line in lines if line != line.rstrip()] == []
    assert any(line.split()[:4] == ["talks", "complete", "2", "records"] for line in lines), printed
    assert not any("sandbox" in line.lower() or "local Drift" in line for line in lines)
    assert lines[-1].startswith("✓ The connector read all streams")


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
    *_, before, last = printed.splitlines()
    assert (before.startswith("✗ Not everything was read."), last) == (True, "✗ people: The token lacks account_read.")
    assert printed.count("account_read") == 1
    assert "a second read" not in printed
    assert _rows(tmp_path, "SELECT table_name FROM duckdb_tables()") == [("talks",)]


def test_a_green_read_that_leaves_out_a_stream_is_red(run: Run) -> None:
    """Exit code 0 of the connector proves nothing."""
    code, printed = run(read=FIRST[:-1])
    assert code == 1
    assert "✗ people: the connector ended before the stream was read completely." in printed


def test_a_read_that_fails_leaves_the_old_tables(run: Run, tmp_path: Path) -> None:
    """They are those of the last good read, and are not shown as this one's."""
    run()
    code, printed = run(read=[*FIRST[:3], {"stderr": "MemoryError"}, {"exit": 1}])
    assert code == 1
    assert printed.splitlines()[-1].endswith("MemoryError")
    code, printed = run(read=[*FIRST[:3], failure("Drift is down."), {"exit": 1}])
    assert (code, "drift.duckdb" in printed) == (1, False)
    assert _rows(tmp_path, "SELECT id, status FROM talks ORDER BY id") == [(1, "old"), (2, "new")]


def test_a_failed_stream_keeps_its_earlier_table(run: Run, tmp_path: Path) -> None:
    """Those that were read replace theirs, rows that vanished from Drift included; the old one is told as old."""
    run()
    lines = [record("talks", id=7, status="x"), status("talks", "COMPLETE"), failure("No.", "people"), {"exit": 1}]
    code, printed = run(read=lines)
    assert (code, printed.splitlines()[-1]) == (1, "✗ people: No.")
    assert "! people was not read. Its table is from an earlier run." in printed.splitlines()
    assert _rows(tmp_path, "SELECT id FROM talks") == [(7,)]
    assert _rows(tmp_path, "SELECT id FROM people") == [(5,)]


def test_a_cause_that_names_its_stream_stands_alone(run: Run) -> None:
    """No name in front of it, and one line for all streams with the same cause."""
    lines = [failure("Drift refused the stream talks.", "talks"), failure("Down.", "people"), {"exit": 1}]
    assert run(read=lines)[1].splitlines()[-2:] == ["✗ Drift refused the stream talks.", "✗ people: Down."]
    assert run(read=[failure("Down."), {"exit": 1}])[1].splitlines()[-1] == "✗ talks, people: Down."


def test_questions_about_a_stream_that_failed_are_skipped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an earlier table could answer them; the others are answered."""
    asked = [
        Question("Both?", "SELECT 1 AS both FROM talks, people", Path("1_both.sql")),
        Question("Talks?", "SELECT 41 + 1 AS talks FROM talks", Path("2_talks.sql")),
    ]
    monkeypatch.setattr("tools.demo.run.questions", lambda: asked)
    assert "skipped" not in run()[1]
    _, printed = run(read=[*FIRST[:-1], failure("No.", "people"), {"exit": 1}])
    assert "! 1_both.sql skipped: people was not read." in printed.splitlines()
    assert ["42"] in [line.split() for line in printed.splitlines()]
    assert "Catalog Error" not in printed


def test_a_log_is_left_by_a_failed_run_alone(run: Run, tmp_path: Path) -> None:
    """Its path is printed then; the next good run removes it, and one that has nothing to tell leaves none."""
    path = tmp_path / "out" / "connector.log"
    error = failure("No scope.", "people")
    assert run()[0] == 0
    assert not path.exists()
    _, printed = run(read=[*FIRST[:-1], {"stderr": "odd: s3cret-token"}, error, {"exit": 1}])
    assert str(path) in printed.splitlines()[-2]
    assert path.read_text().splitlines()[0] == "odd: …"
    assert "s3cret" not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    _, printed = run(check=[{"stderr": "a crash"}, {"exit": 3}])
    assert [str(path) in line for line in printed.splitlines()[-2:]] == [True, False]
    assert path.read_text() == "a crash\n"
    _, printed = run(read=FIRST[:-1])
    assert (path.exists(), "connector.log" in printed) == (False, False)
    run(read=[log("bad", "ERROR"), *FIRST])
    assert not path.exists()


@pytest.mark.parametrize(("arguments", "folder"), [([], "demo"), (["--config", "config.json"], "drift")])
def test_the_real_drift_has_a_folder_of_its_own(
    arguments: list[str], folder: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: Script
) -> None:
    """No run of the local Drift touches a copy of the real one."""
    assert (OUTPUT, REAL_OUTPUT) == (ROOT / "build" / "demo", ROOT / "build" / "drift")
    monkeypatch.setattr("tools.demo.run.OUTPUT", tmp_path / "demo")
    monkeypatch.setattr("tools.demo.run.REAL_OUTPUT", tmp_path / "drift")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert main(arguments, command=script(check=[connection("FAILED", "No.")])) == 1
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {folder}


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (None, "the real Drift"),
        ("https://driftapi.com", "the real Drift"),
        ("http://127.0.0.1:8100", "Drift at 127.0.0.1:8100"),
        ("http://[::1]:8100", "Drift at [::1]:8100"),
        ("https://ada:s3cret@proxy.example/x?token=s3cret", "Drift at proxy.example"),
        ("http://[oops", "the real Drift"),
        (7, "the real Drift"),
    ],
)
def test_the_title_says_which_drift_is_read(
    url: Any, place: str, tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its host, where it is another than Drift's own, and nothing else of the URL."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({} if url is None else {"api_url": url}))
    main(["--config", str(path)], command=script(check=[connection("FAILED", "No.")]), output=tmp_path / "out")
    assert capsys.readouterr().out.splitlines()[0] == f"source-drift reads {place}, with {path}"


def test_the_local_drift_says_what_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    """What its config leaves out, what is gone, what happens between the reads, and what the second one brings."""
    monkeypatch.setattr("tools.demo.local_drift.LocalDrift.count", lambda *_: None)
    discover = [catalog(entry("conversations", incremental=True))]
    done = status("conversations", "COMPLETE")
    read = [record("conversations", id=1), state("conversations", at=1), done]
    main([], command=script(CHECK, discover, read, [record("conversations", id=2), done]), output=tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    printed = " ".join(lines)
    assert "450 conversations, 400 accounts, 14 users" in lines[0]
    for part in (
        "so no data is left out",
        "1 conversation and 1 contact were deleted",
        "Before read 2, Drift changed: 18",
        "Read 2 r",
    ):
        assert part in printed
    assert max(map(len, lines[: lines.index("Read 2: what changed")])) <= 80


def test_a_page_shows_the_run(run: Run, tmp_path: Path) -> None:
    """Beside the file, for its owner alone, named in one line; it names the streams, but not the config."""
    path = tmp_path / "out" / "report.html"
    code, printed = run()
    assert code == 0
    assert sum(line.startswith(f"{path} ") for line in printed.splitlines()) == 1
    assert path.stat().st_mode & 0o077 == 0
    text = path.read_text(encoding="utf-8")
    assert "The connector read all streams completely, twice." in text
    assert "What was read from <bdi>the real Drift</bdi>" in text
    assert re.search(r"talks <small>incremental</small>.*?>2<.*?>1<.*?>2<", text, re.DOTALL), text
    assert [secret for secret in ("s3cret", "config.json", str(tmp_path)) if secret in text] == []


def test_the_page_of_a_failed_run_says_so(run: Run, tmp_path: Path) -> None:
    """With the cause, in which no address is left; of a run that read nothing no page remains at all."""
    path = tmp_path / "out" / "report.html"
    lines = [*FIRST[:-1], failure("No <b>scope</b> for ada@example.com.", "people"), {"exit": 1}]
    code, printed = run(read=lines)
    assert (code, str(path) in printed) == (1, True)
    text = path.read_text(encoding="utf-8")
    assert "Not everything was read." in text
    assert "people: No &lt;b&gt;scope&lt;/b&gt; for …</li>" in text
    assert "all of its streams to the end" not in text
    code, printed = run(check=[connection("FAILED", "No.")])
    assert (code, path.exists(), "report.html" in printed) == (1, False, False)


def test_a_page_that_cannot_be_written_fails_no_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is complete all the same; a warning says why there is no page."""

    path = tmp_path / "out" / "report.html"

    def page(*_: Any, **__: Any) -> str:
        path.symlink_to("/dev/full")
        return "what does not fit"

    monkeypatch.setattr("tools.demo.run.page", page)
    code, printed = run()
    assert code == 0
    assert [line for line in printed.splitlines() if line.startswith(f"! {path} cannot be written: ")]
    assert f"{path} shows" not in printed
    assert not path.is_symlink()


def test_an_interrupt_ends_with_130(run: Run) -> None:
    """Nothing is loaded, the connector is stopped, one line is printed."""
    # A shell has its background jobs ignore SIGINT, and these tests may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code, printed = run(read=[*FIRST, "@interrupt", {"wait": ["", ""]}])
    finally:
        signal.signal(signal.SIGINT, before)
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
