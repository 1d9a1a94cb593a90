"""The output of `source-drift archive`: a live table in a terminal, plain lines without control codes elsewhere."""

from __future__ import annotations

import shlex
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from source_drift.archive.files import Counts
from source_drift.archive.reading import Progress, Reading, State
from source_drift.words import counted, duration, span

_STYLES = {
    State.WAITING: "dim",
    State.STARTED: "cyan",
    State.RUNNING: "cyan",
    State.THROTTLED: "yellow",
    State.COMPLETE: "green",
    State.INCOMPLETE: "bold red",
}
_REFRESHES_PER_SECOND = 8
_SECONDS_BETWEEN_LINES = 10.0
_MOST_WARNINGS = 5


@dataclass
class Screen:
    """Writes to `console`; `animated` needs a terminal. Texts from elsewhere are shown as they are, never as markup."""

    console: Console
    animated: bool
    clock: Callable[[], float] = time.monotonic
    _line_at: float = field(default=0.0, init=False)

    def title(self, text: str) -> None:
        """Print what is archived."""
        self.console.print(Text.assemble(("source-drift archive", "bold"), f": {text}"), soft_wrap=True)

    def done(self, verb: str, text: str, seconds: float) -> None:
        """Say that a step has worked."""
        self._prose("✓ ", "green", f"{verb} ({seconds:.1f} s): {text}")

    def note(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)

    def aside(self, text: str) -> None:
        """Print a detail for careful readers."""
        self._prose("", "", text, style="dim")

    def event(self, text: str) -> None:
        self._prose("» ", "magenta", text)

    def warning(self, text: str) -> None:
        self.console.print(Text.assemble(("! ", "yellow"), text), soft_wrap=True)

    def success(self, text: str) -> None:
        self.console.print(Text(f"✓ {text}", style="bold green"), soft_wrap=True)

    def failure(self, text: str) -> None:
        self.console.print(Text(f"✗ {text}", style="bold red"), soft_wrap=True)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show that something is going on while the block runs."""
        if self.animated:
            with self.console.status(escape(text), spinner_style="cyan"):
                yield
        else:
            yield

    @contextmanager
    def progress(self, title: str, reading: Reading) -> Iterator[Callable[[Progress | None], None]]:
        """Show a read while the block runs, which calls what it is given after each message.

        The argument is the stream whose state has changed, if any. Warnings are shown once each, and counted.
        """
        self.console.print(Text(title, style="bold"))
        shown: set[str] = set()

        def watch(changed: Progress | None) -> None:
            if len(reading.warnings) > len(shown):
                self._warn(reading, shown)
            if not self.animated:
                self._line(reading, changed)

        if self.animated:
            with Live(
                get_renderable=lambda: _live(reading),
                console=self.console,
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
            ):
                yield watch
        else:
            self._line_at = self.clock()
            yield watch

    def summary(self, reading: Reading) -> None:
        """Say in a few lines what a sync has brought."""
        mark = ("✗ ", "bold red") if reading.incomplete else ("✓ ", "green")
        speed = f", {reading.records / reading.seconds:,.0f} a second" if reading.seconds else ""
        text = f"{counted(reading.records, 'record')} in {span(reading.seconds)}{speed}"
        self.console.print(Text.assemble(mark, text), soft_wrap=True)
        skipped = {stream.name: stream.skipped for stream in reading.streams.values() if stream.skipped}
        if skipped:
            listed = ", ".join(f"{count:,} of {name}" for name, count in skipped.items())
            self.event(
                f"Skipped {listed}: Drift listed them, but responded with 404 when the connector requested them, as it "
                "does after a deletion."
            )
        more = len(reading.warnings) - _MOST_WARNINGS
        if more > 0:
            self.warning(f"{counted(more, 'more warning')}: see _drift_syncs.")
        self.console.print()

    def exported(self, folder: Path, names: Sequence[str]) -> None:
        """Say what was exported."""
        self.note(f"{folder} contains {counted(len(names), 'Parquet file')}.")

    def files(self, folder: Path, counts: Counts) -> None:
        """Say what became of the files that the messages name."""
        told = {"downloaded": counts.downloaded, "already there": counts.present, "gone from Drift": counts.gone}
        text = ", ".join(f"{number:,} {what}" for what, number in (told | {"failed": counts.failed}).items() if number)
        self.note(f"files: {text or 'the messages name none'}, in {folder}")

    def page(self, path: str) -> None:
        """Say where the report is."""
        self.console.print(Text.assemble((path, "bold"), " shows the archive in a browser."), soft_wrap=True)

    def file(self, path: Path, tables: Sequence[str]) -> None:
        """Say where the DuckDB file is and how to open it."""
        size = path.stat().st_size / 1e6
        text = f" contains {counted(len(tables), 'table')} ({size:,.1f} MB). To open it:"
        self.console.print(Text.assemble((str(path), "bold"), text), soft_wrap=True)
        program = f"  duckdb -readonly {shlex.quote(str(path))}"
        self.console.print(Text.assemble(program, ("   (https://duckdb.org)", "dim")), soft_wrap=True)

    def _prose(self, mark: str, mark_style: str, text: str, style: str = "") -> None:
        """Print sentences, broken between words at the width of the console, under each other after the mark."""
        width = max(20, self.console.width - len(mark))
        for number, line in enumerate(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)):
            begin = mark if number == 0 else " " * len(mark)
            self.console.print(Text.assemble((begin, mark_style), (line, style)), soft_wrap=True)

    def _warn(self, reading: Reading, shown: set[str]) -> None:
        for text in list(reading.warnings):
            if text not in shown:
                shown.add(text)
                if len(shown) <= _MOST_WARNINGS:
                    self.warning(text)

    def _line(self, reading: Reading, changed: Progress | None) -> None:
        begins = changed is not None and changed.state is State.STARTED and changed.total is None
        if changed is not None and changed.state is not State.RUNNING and not begins:
            self.note(_plain(changed))
        now = self.clock()
        if now - self._line_at < _SECONDS_BETWEEN_LINES:
            return
        self._line_at = now
        silent = []
        for stream in reading.streams.values():
            if stream.state in (State.RUNNING, State.THROTTLED):
                self.note(_plain(stream, reading.clock()))
            elif stream.state is State.STARTED:
                silent.append(stream.name)
        if silent:
            self._prose("  ", "", f"started, no records yet: {', '.join(silent)}")
        if reading.retry:
            self.note(f"  {reading.retry}")


def _plain(stream: Progress, now: float | None = None) -> str:
    line = f"  {stream.name:<20} {stream.state:<10}"
    if now is not None or stream.state.final:
        noun = "record" if stream.records == 1 else "records"
        line += f" {stream.records:>9,} {noun}"
        done, left = _share(stream, now or 0.0)
        speed = None if now is None else stream.speed(now)
        line += f", {_rate(speed)}/s" if speed else ""
        line += f", {done} done" if done else f" in {stream.seconds(now or 0.0):,.1f} s"
        line += f", {left} left" if left else ""
    elif stream.total is not None:
        line += f" {counted(stream.total, 'request'):>17} or more"
    return line.rstrip()


def _share(stream: Progress, now: float) -> tuple[str, str]:
    """Return how much of a stream is done and how long the rest takes, each empty where it is not known."""
    if not stream.total or stream.state.final:
        return "", ""
    rest = stream.remaining(now)
    return f"{min(99, 100 * stream.done // stream.total)} %", "" if rest is None else duration(rest)


def _live(reading: Reading) -> RenderableType:
    now = reading.clock()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("stream", min_width=20)
    table.add_column("state", min_width=10)
    table.add_column("records", justify="right", min_width=10)
    table.add_column("a second", justify="right", min_width=8)
    table.add_column("time", justify="right", min_width=7)
    table.add_column("done, left", justify="right", min_width=13)
    for stream in reading.streams.values():
        table.add_row(
            stream.name,
            Text(stream.state, style=_STYLES[stream.state]),
            f"{stream.records:,}",
            _rate(stream.speed(now)),
            "" if stream.started is None else duration(stream.seconds(now)),
            ", ".join(filter(None, _share(stream, now))),
        )
    table.add_section()
    left = "" if reading.remaining is None else f"about {duration(reading.remaining)}"
    speed = reading.records / reading.seconds if reading.seconds >= 1 else None
    table.add_row("total", "", f"{reading.records:,}", _rate(speed), duration(reading.seconds), left, style="bold")
    return Group(table, Text(reading.retry, style="yellow")) if reading.retry else table


def _rate(speed: float | None) -> str:
    return "" if speed is None else f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}"
