"""What a terminal shows while a read runs, at the widths people have."""

import json
from collections.abc import Callable
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tools.demo.outcome import Outcome
from tools.demo.questions import Question, questions
from tools.demo.reading import Progress, Reading
from tools.demo.screen import Screen
from tools.demo.warehouse import Answer
from tools.demo.words import duration
from unit_tests.demo.messages import log, record, status

NAMES = ["conversation_metrics", "messages", "talks", "people"]
TOTAL = "messages: 100 conversations to read."
MODES = dict.fromkeys(NAMES, "incremental")
RETRY = "UserDefinedBackoffException: Rate limit exceeded (HTTP 503). Retrying in 2.0 seconds."


def _reading(clock: float = 5.0) -> Reading:
    reading = Reading(NAMES, clock=lambda: clock)
    for name in NAMES:
        reading.take(json.loads(status(name, "STARTED")))
    reading.streams["conversation_metrics"].records = 1_000_000
    return reading


def _half_read(reading: Reading, watch: Callable[[Progress | None], None]) -> None:
    """Take the total of the messages, 5 seconds ago, and 25 of those 100."""
    changed = reading.take(json.loads(log(TOTAL)))
    reading.streams["messages"].total_at = 0.0
    watch(changed)
    for number in range(25):
        watch(reading.take(json.loads(record("messages", id=number, conversationId=number))))


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_every_stream(width: int) -> None:
    """Name, state, records, the share that is done, what is left of the whole; no line is wider than the terminal."""
    console = Console(file=StringIO(), force_terminal=True, width=width, color_system=None)
    reading = _reading()
    with Screen(console, animated=True).progress("Read", reading, MODES) as watch:
        _half_read(reading, watch)
        for line in (record("talks", id=1), status("people", "RUNNING", throttled=True), log(RETRY)):
            watch(reading.take(json.loads(line)))
    shown = Text.from_ansi(console.file.getvalue()).plain  # type: ignore[attr-defined]
    lines = shown.splitlines()
    assert any(line.split() == ["conversation_metrics", "incremental", "started", "1,000,000", "5.0"] for line in lines)
    assert any(
        line.split() == ["messages", "incremental", "running", "25", "5.0", "25", "%,", "15", "s"] for line in lines
    )
    assert any(line.split()[-3:] == ["about", "15", "s"] for line in lines if line.startswith("total")), shown
    assert any(line.split()[:3] == ["talks", "incremental", "running"] for line in lines), shown
    assert any(line.split()[:3] == ["people", "incremental", "throttled"] for line in lines), shown
    assert RETRY in " ".join(shown.split())
    assert max(map(cell_len, lines)) <= width


def test_the_results_fit_80_columns() -> None:
    """With the longest name, a million of everything, and what is not known."""
    console = Console(file=StringIO(), width=80)
    million = 1_000_000
    results = [
        Outcome("conversation_metrics", million, million, million, million, 12_345.6, None),
        Outcome("token_info", 1, None, None, None, 0.0, "No scope."),
    ]
    Screen(console, animated=False).results([("Read 1: everything", _reading(), results)])
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert any(line.split() == ["✓", "conversation_metrics", *["1,000,000"] * 4, "12345.6"] for line in lines), lines
    assert any(line.split() == ["✗", "token_info", "1", "–", "–", "–", "0.0"] for line in lines), lines
    assert max(map(cell_len, lines)) <= 80
    assert [line for line in lines if line != line.rstrip()] == []


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    """The real Drift does not tell what it holds; a read that made no request at all has its zeros."""
    console = Console(file=StringIO(), width=80)
    results = [Outcome("talks", 3, 3, None, None, 1.5, None), Outcome("people", 0, None, None, None, 0.0, "No.")]
    Screen(console, animated=False).results([("Read 1", _reading(), results)])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "in Drift" not in text
    assert "requests" not in text
    lines = [line.split() for line in text.splitlines()]
    assert ["✓", "talks", "3", "3", "1.5"] in lines
    assert ["✗", "people", "0", "–", "0.0"] in lines
    assert ["total", "1,000,000", "5.0"] in lines


def test_the_file_is_named_with_commands_on_one_line_each() -> None:
    """They work in the folder that is named, open it for reading only, and fit 80 columns."""
    console = Console(file=StringIO(), width=40)
    path = "build/drift/drift.duckdb"
    Screen(console, animated=False).file(path, "/a/source-drift", ".venv/bin/python", ["talks"], 1_500_000)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert f"{path} contains 1 table (1.5 MB)." in lines
    assert f"  .venv/bin/python -im tools.demo.sql {path}" in lines
    assert any(line.startswith(f"  duckdb -readonly {path}") for line in lines)
    assert any("/a/source-drift" in line and "read-only" in line for line in lines)
    assert "tools/demo/queries/" in lines[-1]
    assert max(map(cell_len, lines)) <= 80


def test_the_page_is_named_in_one_line() -> None:
    """Which fits 80 columns, in whichever folder the page is."""
    console = Console(file=StringIO(), width=40)
    Screen(console, animated=False).page("build/drift/report.html")
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split()[0] for line in lines if line] == ["build/drift/report.html"]
    assert max(map(cell_len, lines)) <= 80


def test_one_record_is_no_plural() -> None:
    """In the line of a stream and in that of the read."""
    console = Console(file=StringIO(), width=120)
    screen, reading = Screen(console, animated=False), Reading(["talks"], clock=lambda: 5.0)
    with screen.progress("Read", reading, MODES) as watch:
        for line in (status("talks", "STARTED", at=2), record("talks", id=1), status("talks", "COMPLETE", at=4)):
            watch(reading.take(json.loads(line)))
    reading.finish()
    screen.summary(reading, 0.25)
    lines = [line.strip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert "talks                complete           1 record in 2.0 s" in lines
    assert "✓ 1 record in 2.0 s, 0 a second; startup and shutdown 0.0 s, DuckDB 0.2 s" in lines


def test_long_reads_are_told_about_now_and_then() -> None:
    """Without a terminal a line comes for each stream after ten seconds, not with each record."""
    console, now = Console(file=StringIO(), width=80), [0.0]
    reading = _reading()
    with Screen(console, animated=False, clock=lambda: now[0]).progress("Read", reading, MODES) as watch:
        for now[0] in (1.0, 9.9, 10.0, 10.1, 19.9, 20.0):
            watch(reading.take(json.loads(record("talks", id=1))))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split()[2] for line in lines if line.split()[0] == "talks"] == ["3", "6"]
    silent = [line.strip() for line in lines if "no records yet" in line]
    assert silent == ["started, no records yet: conversation_metrics, messages, people"] * 2


def test_lines_tell_how_long_it_still_takes() -> None:
    """The total as soon as it is known, then what is done and left of it."""
    console, now = Console(file=StringIO(), width=80), [0.0]
    reading = _reading()
    with Screen(console, animated=False, clock=lambda: now[0]).progress("Read", reading, MODES) as watch:
        watch(None)
        _half_read(reading, watch)
        now[0] = 10.0
        watch(None)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "  messages             started         100 requests or more" in lines
    assert "  messages             running           25 records, 25 % done, 15 s left" in lines
    assert max(map(len, lines)) <= 80


def test_sentences_break_between_words() -> None:
    """Each line within the width, under the text above it."""
    console = Console(file=StringIO(), width=30)
    Screen(console, animated=False).done("discover", "15 streams: accounts, conversations, users", 0.5)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "✓ discover (0.5 s): 15",
        "  streams: accounts,",
        "  conversations, users",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99.4, "99 s"), (100, "2 min"), (5_999, "100 min"), (9_000, "2.5 h"), (4e5, "111 h")],
)
def test_a_duration_has_one_unit(seconds: float, text: str) -> None:
    """Short enough for a column."""
    assert duration(seconds) == text


def test_warnings_are_shown_once_and_not_without_end() -> None:
    """Equal ones once; of many kinds the first five and how many more there were."""
    console = Console(file=StringIO(), width=80)
    screen, reading = Screen(console, animated=False), _reading()
    with screen.progress("Read", reading, MODES) as watch:
        for number in (1, 1, 2, 3, 4, 5, 6, 7):
            watch(reading.take(json.loads(log(f"Odd row {number}.", "WARN"))))
    reading.finish()
    screen.summary(reading, None)
    lines = [line for line in console.file.getvalue().splitlines() if line.startswith("!")]  # type: ignore[attr-defined]
    assert lines == [*(f"! Odd row {number}." for number in (1, 2, 3, 4, 5)), "! 2 more warnings of other kinds."]


def test_skips_are_told_by_stream() -> None:
    """As a total, not a line for each."""
    console, reading = Console(file=StringIO(), width=120), _reading()
    reading.streams["talks"].skipped = 1_234
    Screen(console, animated=False).summary(reading, 1.0)
    assert "Skipped 1,234 of talks: Drift listed" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("question", questions(), ids=lambda question: question.path.name)
def test_questions_fit_80_columns(question: Question) -> None:
    """The question and each line of its SQL stand on one line, ready to be copied."""
    console = Console(file=StringIO(), width=80)
    Screen(console, animated=False).answer(question, Answer(("a", "b"), [(1, "x"), (None, "[b]")]))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert question.text in lines
    assert max(map(cell_len, lines)) <= 80
    assert [line[2:] for line in lines if line.strip()][1 : question.sql.count("\n") + 2] == question.sql.splitlines()
    assert lines[-1].split() == ["–", "[b]"]
