"""The demo's output: live tables in a terminal, plain lines without control codes elsewhere."""

from __future__ import annotations

import shlex
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from tools.demo.outcome import Outcome
from tools.demo.questions import Question
from tools.demo.reading import Progress, Reading, State
from tools.demo.warehouse import Answer
from tools.demo.words import counted, duration

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
_UNKNOWN = "–"


class _Column(NamedTuple):
    field: str
    heading: str
    always: bool = True


_COLUMNS = (
    _Column("records", "records\nread"),
    _Column("rows", "rows in\nDuckDB"),
    _Column("in_drift", "records\nin Drift", always=False),
    _Column("requests", "\nrequests", always=False),
    _Column("seconds", "\nseconds"),
)


@dataclass
class Screen:
    """Writes to `console`; `animated` needs a terminal. Texts from elsewhere are shown as they are, never as markup."""

    console: Console
    animated: bool
    clock: Callable[[], float] = time.monotonic
    _line_at: float = field(default=0.0, init=False)

    def title(self, text: str, about: Sequence[str] = ()) -> None:
        """Print what is read, with background information."""
        self.console.print(Text.assemble(("source-drift", "bold"), f" reads {text}"), soft_wrap=True)
        for sentence in about:
            self._prose("· ", "dim", sentence)
        self.console.print()

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
    def progress(
        self, title: str, reading: Reading, modes: dict[str, str]
    ) -> Iterator[Callable[[Progress | None], None]]:
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
                get_renderable=lambda: _live(reading, modes),
                console=self.console,
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
            ):
                yield watch
        else:
            self._line_at = self.clock()
            yield watch

    def summary(self, reading: Reading, loaded_in: float | None) -> None:
        """Say in a line or two what a read has brought; `loaded_in` are the seconds the file took, None if unused.

        The connector's process starts and ends in seconds of their own, since they tell nothing of Drift.
        """
        mark = ("✗ ", "bold red") if reading.incomplete else ("✓ ", "green")
        speed = f", {reading.records / reading.seconds:,.0f} a second" if reading.seconds else ""
        text = f"{counted(reading.records, 'record')} in {reading.seconds:.1f} s{speed}"
        text += f"; startup and shutdown {reading.overhead:.1f} s"
        if loaded_in is not None:
            text += f", DuckDB {loaded_in:.1f} s"
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
            self.warning(f"{counted(more, 'more warning')} of other kinds.")
        self.console.print()

    def results(self, reads: Sequence[tuple[str, Reading, Sequence[Outcome]]]) -> None:
        """Show the results of each read under its title; leave out columns without data."""
        known = [outcome for _, _, outcomes in reads for outcome in outcomes]
        columns = [
            column
            for column in _COLUMNS
            if column.always or any(getattr(outcome, column.field) is not None for outcome in known)
        ]
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        table.add_column("")
        table.add_column("stream", vertical="bottom", overflow="fold")
        for column in columns:
            table.add_column(column.heading, justify="right", vertical="bottom", no_wrap=True, min_width=8)
        for number, (title, reading, outcomes) in enumerate(reads):
            if number:
                table.add_section()
            table.add_row("", Text(title, style="bold"))
            for outcome in outcomes:
                mark = Text("✗", style="bold red") if outcome.fault else Text("✓", style="green")
                name = Text(outcome.stream, style="bold red" if outcome.fault else "")
                table.add_row(mark, name, *(_figure(getattr(outcome, column.field)) for column in columns))
            sums = {
                "records": reading.records,
                "requests": sum(outcome.requests or 0 for outcome in outcomes),
                "seconds": reading.seconds,
            }
            cells = (_figure(sums[column.field]) if column.field in sums else "" for column in columns)
            table.add_row("", "total", *cells, style="dim")
        self._print(table)
        self.aside("Streams run in parallel, so their seconds overlap. They do not include startup and shutdown.")

    def page(self, path: str) -> None:
        """Say where the report is."""
        self.console.print()
        text = " shows this run in a browser, with three charts."
        self.console.print(Text.assemble((path, "bold"), text), soft_wrap=True)

    def file(self, path: str, root: str, python: str, tables: Sequence[str], size: int) -> None:
        """Say where the DuckDB file is and how to open it; paths count from `root`."""
        self.console.print()
        holds = f" contains {counted(len(tables), 'table')} ({size / 1e6:,.1f} MB)."
        self.console.print(Text.assemble((path, "bold"), holds), soft_wrap=True)
        self.note(f"To open it read-only, run one of these commands in {root}:")
        program = f"  duckdb -readonly {shlex.quote(path)}"
        self.console.print(Text.assemble(program, ("   (https://duckdb.org)", "dim")), soft_wrap=True)
        self.note(f"  {shlex.quote(python)} -im tools.demo.sql {shlex.quote(path)}")
        self.note("More queries are in docs/queries/ and tools/demo/queries/.")

    def answer(self, question: Question, answer: Answer) -> None:
        """Show a question, its SQL and its answer."""
        self.console.print()
        self.console.print(Text(question.text, style="bold"))
        sql = Syntax("", "sql", theme="ansi_dark", background_color="default").highlight(question.sql)
        sql.rstrip()
        for line in sql.split("\n"):
            self.console.print(Text("  ") + line if line else line, soft_wrap=True)
        self.console.print()
        self._print(Padding(_table(answer), (0, 0, 0, 2), expand=False))

    def _prose(self, mark: str, mark_style: str, text: str, style: str = "") -> None:
        """Print sentences, broken between words at the width of the console, under each other after the mark."""
        width = max(20, self.console.width - len(mark))
        for number, line in enumerate(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)):
            begin = mark if number == 0 else " " * len(mark)
            self.console.print(Text.assemble((begin, mark_style), (line, style)), soft_wrap=True)

    def _print(self, renderable: RenderableType) -> None:
        """Print lines, without trailing blanks."""
        for segments in self.console.render_lines(renderable, pad=False):
            line = Text.assemble(*((segment.text, segment.style or "") for segment in segments))
            line.rstrip()
            self.console.print(line, soft_wrap=True)

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


def _live(reading: Reading, modes: dict[str, str]) -> RenderableType:
    now = reading.clock()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("stream", min_width=20)
    table.add_column("sync", min_width=11)
    table.add_column("state", min_width=10)
    table.add_column("records", justify="right", min_width=9)
    table.add_column("seconds", justify="right", min_width=7)
    table.add_column("done, left", justify="right", min_width=11)
    for stream in reading.streams.values():
        table.add_row(
            stream.name,
            modes[stream.name],
            Text(stream.state, style=_STYLES[stream.state]),
            f"{stream.records:,}",
            "" if stream.started is None else f"{stream.seconds(now):,.1f}",
            ", ".join(filter(None, _share(stream, now))),
        )
    table.add_section()
    left = "" if reading.remaining is None else f"about {duration(reading.remaining)}"
    table.add_row("total", "", "", f"{reading.records:,}", f"{reading.seconds:,.1f}", left, style="bold")
    return Group(table, Text(reading.retry, style="yellow")) if reading.retry else table


def _figure(number: float | None) -> str:
    if number is None:
        return _UNKNOWN
    return f"{number:.1f}" if isinstance(number, float) else f"{number:,}"


def _table(answer: Answer) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    for number, column in enumerate(answer.columns):
        numeric = any(isinstance(row[number], int | float) for row in answer.rows)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in answer.rows:
        table.add_row(*(Text(_shown(value)) for value in row))
    return table


def _shown(value: Any) -> str:
    return _UNKNOWN if value is None else str(value)
