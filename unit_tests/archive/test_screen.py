"""What a terminal shows while a read runs, at the widths people have."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from source_drift.archive.reading import Progress, Reading
from source_drift.archive.screen import Screen
from source_drift.words import duration
from unit_tests.archive.messages import log, record, status

NAMES = ["conversation_metrics", "messages", "talks", "people"]
TOTAL = "messages: 100 conversations to read."
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
    with Screen(console, animated=True).progress("Read", reading) as watch:
        _half_read(reading, watch)
        for line in (record("talks", id=1), status("people", "RUNNING", throttled=True), log(RETRY)):
            watch(reading.take(json.loads(line)))
    shown = Text.from_ansi(console.file.getvalue()).plain  # type: ignore[attr-defined]
    lines = shown.splitlines()
    assert any(line.split() == ["conversation_metrics", "started", "1,000,000", "200,000", "5", "s"] for line in lines)
    assert any(line.split() == ["messages", "running", "25", "5.0", "5", "s", "25", "%,", "15", "s"] for line in lines)
    assert len(lines) // shown.count("conversation_metrics") <= 24
    assert any(line.split()[-3:] == ["about", "15", "s"] for line in lines if line.startswith("total")), shown
    assert any(line.split()[:2] == ["talks", "running"] for line in lines), shown
    assert any(line.split()[:2] == ["people", "throttled"] for line in lines), shown
    assert "Drift answered with HTTP 503. Retrying in 2 seconds." in " ".join(shown.split())
    assert max(map(cell_len, lines)) <= width


def test_the_file_is_named_with_a_command(tmp_path: Path) -> None:
    """On a line of its own, ready to be copied, also where the path has a blank."""
    console, path = Console(file=StringIO(), width=40), tmp_path / "a b.duckdb"
    path.write_bytes(bytes(1_500_000))
    Screen(console, animated=False).file(path, ["talks"])
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == f"{path} contains 1 table (1.5 MB). To open it:"
    assert lines[1].startswith(f"  duckdb -readonly '{path}'")


def test_one_record_is_no_plural() -> None:
    """In the line of a stream and in that of the read."""
    console = Console(file=StringIO(), width=120)
    screen, reading = Screen(console, animated=False), Reading(["talks"], clock=lambda: 5.0)
    with screen.progress("Read", reading) as watch:
        for line in (status("talks", "STARTED", at=2), record("talks", id=1), status("talks", "COMPLETE", at=4)):
            watch(reading.take(json.loads(line)))
    reading.finish()
    screen.summary(reading)
    lines = [line.strip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert "talks                complete           1 record in 2.0 s" in lines
    assert "✓ 1 record in 2 s, 0 a second" in lines


def test_long_reads_are_told_about_now_and_then() -> None:
    """Without a terminal a line comes for each stream after ten seconds, not with each record."""
    console, now = Console(file=StringIO(), width=80), [0.0]
    reading = _reading()
    with Screen(console, animated=False, clock=lambda: now[0]).progress("Read", reading) as watch:
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
    with Screen(console, animated=False, clock=lambda: now[0]).progress("Read", reading) as watch:
        watch(None)
        _half_read(reading, watch)
        now[0] = 10.0
        watch(None)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "  messages             started         100 requests or more" in lines
    assert "  messages             running           25 records, 5.0/s, 25 % done, 15 s left" in lines
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
    with screen.progress("Read", reading) as watch:
        for number in (1, 1, 2, 3, 4, 5, 6, 7):
            watch(reading.take(json.loads(log(f"Odd row {number}.", "WARN"))))
    reading.finish()
    screen.summary(reading)
    lines = [line for line in console.file.getvalue().splitlines() if line.startswith("!")]  # type: ignore[attr-defined]
    assert lines == [
        *(f"! Odd row {number}." for number in (1, 2, 3, 4, 5)),
        "! 2 more warnings: see _drift_syncs.",
    ]


def test_skips_are_told_by_stream() -> None:
    """As a total, not a line for each."""
    console, reading = Console(file=StringIO(), width=120), _reading()
    reading.streams["talks"].skipped = 1_234
    Screen(console, animated=False).summary(reading)
    assert "Skipped 1,234 of talks: Drift listed" in console.file.getvalue()  # type: ignore[attr-defined]
