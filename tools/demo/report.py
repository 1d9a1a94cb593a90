"""`report.html`: one self-contained page that shows what was read, how complete and how fast, with three charts.

It contains only numbers: no names, addresses or message text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from tools.demo.connector import Stream
from tools.demo.errors import DemoError
from tools.demo.outcome import Outcome
from tools.demo.pictures import DEFINITIONS, Ask, Nothing, pictures
from tools.demo.reading import Reading, State
from tools.demo.warehouse import Answer, Warehouse
from tools.demo.words import allowed, counted, span


class Read(NamedTuple):
    """One read of all streams, and what became of each."""

    title: str
    reading: Reading
    outcomes: Sequence[Outcome]

    @property
    def speed(self) -> float | None:
        """Records a second."""
        return self._a_second(self.reading.records)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """How much was read in what time, each with its label; without the requests where nobody counted them."""
        known = [outcome.requests for outcome in self.outcomes if outcome.requests is not None]
        facts = [
            ("Records", _figure(self.reading.records)),
            ("Seconds", _figure(self.reading.seconds, 1)),
            ("Records per second", _figure(self.speed)),
        ]
        if known:
            facts += [
                ("Requests", _figure(sum(known))),
                ("Requests per second", _figure(self._a_second(sum(known)), 1)),
            ]
        return [*facts, ("Additional seconds for startup and shutdown", _figure(self.reading.overhead, 1))]

    def _a_second(self, number: int) -> float | None:
        return number / self.reading.seconds if self.reading.seconds else None


@dataclass(frozen=True)
class Run:
    """The parts of a demo run that the page shows."""

    place: str
    """Which Drift was read."""
    at: datetime
    verdict: str
    faults: Sequence[str]
    """What is wrong; empty where everything was read."""
    about: Sequence[str]
    """Background information for reading the figures."""
    local: bool
    """Whether the records in Drift are known."""
    streams: Sequence[Stream]
    reads: Sequence[Read]

    @property
    def complete(self) -> list[str]:
        """The streams that were read to the end at least once."""
        return [
            stream.name
            for stream in self.streams
            if any(read.reading.streams[stream.name].state is State.COMPLETE for read in self.reads)
        ]

    @property
    def rows(self) -> int:
        return sum(outcome.rows or 0 for outcome in self.reads[-1].outcomes)

    @property
    def in_drift(self) -> int:
        return sum(outcome.in_drift or 0 for outcome in self.reads[-1].outcomes)

    @property
    def skipped(self) -> int:
        """The number of skipped records in the read that skipped the most."""
        return max(sum(stream.skipped for stream in read.reading.streams.values()) for read in self.reads)

    def outcomes(self, stream: Stream) -> list[Outcome]:
        """Return what became of a stream, read by read."""
        return [outcome for read in self.reads for outcome in read.outcomes if outcome.stream == stream.name]

    @property
    def skips(self) -> list[tuple[str, str]]:
        """What was skipped, by read."""
        listed = []
        for number, read in enumerate(self.reads, start=1):
            skips = [(stream.skipped, stream.name) for stream in read.reading.streams.values() if stream.skipped]
            if skips:
                listed.append((f"read {number}", ", ".join(f"{number:,} of {name}" for number, name in skips)))
        return listed


def page(run: Run, warehouse: Warehouse, warn: Callable[[str], None]) -> str:
    """Return the page; `warn` is told of a query that has no answer."""

    def ask(sql: str) -> Answer:
        try:
            lacking = sorted(warehouse.asked(sql) - set(run.complete))
            if not lacking:
                return warehouse.ask(sql)
        except DemoError as error:
            warn(f"A part of the report is missing: {error}")
            # Not the error itself, which may quote a value.
            raise Nothing("The tables do not match this query.") from error
        raise Nothing(f"This needs {' and '.join(lacking)}, which {'was' if len(lacking) == 1 else 'were'} not read.")

    return _template().render(run=run, coverage=_coverage(ask), pictures=pictures(ask))


def _coverage(ask: Ask) -> Answer | str:
    """Return the coverage that the tables themselves show, or why there is none."""
    try:
        return ask((DEFINITIONS / "coverage.sql").read_text(encoding="utf-8"))
    except Nothing as reason:
        return str(reason)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_allowed,
    )
    environment.filters.update(figure=_figure, counted=counted, span=span)
    return environment.get_template("report.html.jinja")


def _allowed(value: Any) -> Any:
    # Markup from the template is a subclass of str and must not be changed.
    return allowed(value) if type(value) is str else value


def _figure(number: float | None, digits: int = 0) -> str:
    return "–" if number is None else f"{number:,.{digits}f}"
