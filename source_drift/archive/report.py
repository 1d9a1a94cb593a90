"""`report.html`: one self-contained page that shows what an archive holds, how complete it is and how fast it was read.

It contains only numbers: no names, addresses or message text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from jinja2 import Template

from source_drift.archive.connector import Stream
from source_drift.archive.errors import ArchiveError
from source_drift.archive.pictures import Ask, Nothing, definition, pictures
from source_drift.archive.warehouse import COMPLETE, RUNNING, Answer, StreamSync, Warehouse
from source_drift.pages import environment
from source_drift.words import counted, span

_MOST_SYNCS = 30


@dataclass(frozen=True)
class Sync:
    """One sync: a row of the table of syncs."""

    number: int
    streams: Sequence[StreamSync]

    @property
    def started(self) -> datetime:
        # A stream that an earlier, interrupted sync completed has that one's start.
        return max(stream.started for stream in self.streams)

    @property
    def seconds(self) -> float | None:
        """How long it took, from its start to the end of its last stream; None if it was killed before any ended."""
        ends = [stream.ended for stream in self.streams if stream.ended]
        return max(0.0, (max(ends) - self.started).total_seconds()) if ends else None

    @property
    def records(self) -> int:
        return sum(stream.records for stream in self.streams)

    @property
    def speed(self) -> float | None:
        """Records a second."""
        return self.records / self.seconds if self.seconds else None

    @property
    def complete(self) -> int:
        return sum(stream.outcome == COMPLETE for stream in self.streams)


@dataclass(frozen=True)
class Line:
    """One stream in all syncs: a row of the table of streams."""

    stream: Stream
    last: StreamSync | None
    """None if no sync ever asked for it."""
    complete_at: datetime | None
    """When it was last read to the end."""
    records: int
    """Of all syncs."""
    rows: int | None


@dataclass(frozen=True)
class Run:
    """An archive as the page shows it."""

    place: str
    """Which Drift was read."""
    at: datetime
    streams: Sequence[Stream]
    history: Mapping[int, Sequence[StreamSync]]
    rows: Mapping[str, int | None]
    """Rows in each stream's table, None without a table."""
    hide: Callable[[str], str] = str
    """Takes secrets and bodies out of an error."""

    @property
    def syncs(self) -> list[Sync]:
        """The newest syncs, the last one first."""
        return [Sync(number, streams) for number, streams in self.history.items()][: -_MOST_SYNCS - 1 : -1]

    @property
    def lines(self) -> list[Line]:
        lines = []
        for stream in self.streams:
            entries = [entry for sync in self.history.values() for entry in sync if entry.stream == stream.name]
            ends = [entry.ended for entry in entries if entry.outcome == COMPLETE and entry.ended]
            records = sum(entry.records for entry in entries)
            last = entries[-1] if entries else None
            lines.append(Line(stream, last, max(ends, default=None), records, self.rows.get(stream.name)))
        return lines

    @property
    def complete(self) -> list[str]:
        """The streams that were read to the end at least once."""
        return [line.stream.name for line in self.lines if line.complete_at]

    @property
    def faults(self) -> list[str]:
        """What is wrong with the last sync of each stream."""
        lasts = [line.last for line in self.lines if line.last and line.last.outcome not in (COMPLETE, RUNNING)]
        return [f"{last.stream}: {self.hide(last.error or last.outcome)}" for last in lasts]

    @property
    def warnings(self) -> list[str]:
        """Those of all syncs, each once."""
        entries = [entry for sync in self.history.values() for entry in sync]
        return list(dict.fromkeys(self.hide(text) for entry in entries for text in entry.warnings))

    @property
    def verdict(self) -> str:
        if self.faults:
            return "Not everything is complete."
        return f"All {len(self.lines)} streams are complete."

    @property
    def skipped(self) -> dict[str, int]:
        """How many records each stream has skipped in the sync that skipped the most of it."""
        most: dict[str, int] = {}
        for entry in (entry for sync in self.history.values() for entry in sync if entry.skipped):
            most[entry.stream] = max(entry.skipped, most.get(entry.stream, 0))
        return most


def page(run: Run, warehouse: Warehouse, warn: Callable[[str], None]) -> str:
    """Return the page; `warn` is told of a query that has no answer."""

    def ask(sql: str) -> Answer:
        try:
            lacking = sorted(warehouse.asked(sql) - set(run.complete))
            if not lacking:
                return warehouse.ask(sql)
        except ArchiveError as error:
            warn(f"A part of the report is missing: {error}")
            # Not the error itself, which may quote a value.
            raise Nothing("The tables do not match this query.") from error
        raise Nothing(
            f"This needs {' and '.join(lacking)}, which {'was' if len(lacking) == 1 else 'were'} not read completely."
        )

    return _template().render(run=run, coverage=_coverage(ask), pictures=pictures(ask))


def _coverage(ask: Ask) -> Answer | str:
    """Return the coverage that the tables themselves show, or why there is none."""
    try:
        return ask(definition("coverage"))
    except Nothing as reason:
        return str(reason)


@cache
def _template() -> Template:
    templates = environment(Path(__file__).parent)
    templates.filters.update(figure=_figure, counted=counted, day=_day, moment=_moment, span=span)
    return templates.get_template("report.html.jinja")


def _figure(number: float | None, digits: int = 0) -> str:
    return "–" if number is None else f"{number:,.{digits}f}"


def _moment(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _day(moment: datetime | None) -> str:
    return _moment(moment)[:10]
