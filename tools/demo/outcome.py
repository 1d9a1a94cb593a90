"""The result of a read, stream by stream, and whether it is complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Any, Protocol

from tools.demo.connector import Stream
from tools.demo.reading import Reading, State
from tools.demo.warehouse import Warehouse
from tools.demo.words import counted


class Knowing(Protocol):
    """A Drift that can be asked what a complete read delivers."""

    def count(self, stream: Stream) -> int | None:
        """Return the number of records, None where it is not known."""

    def due(self, stream: Stream) -> int:
        """Return how many records the last read had to bring; only for streams that have a count."""

    def rows(self, stream: Stream) -> Iterable[Mapping[str, Any]]:
        """Return the records as Drift sends them; only for streams that have a count."""

    def requests(self) -> Mapping[str, int]:
        """Return how many requests were made for each stream."""

    def gone(self) -> Mapping[str, int]:
        """Return how many of them were answered with 404."""


@dataclass(frozen=True)
class Outcome:
    """The result of one stream in one read; None means unknown."""

    stream: str
    records: int
    rows: int | None
    """Rows in its table afterwards."""
    in_drift: int | None
    requests: int | None
    seconds: float
    fault: str | None
    """What is wrong, as one line; None where everything is right."""


def outcomes(
    reading: Reading, streams: Iterable[Stream], warehouse: Warehouse, drift: Knowing | None, *, whole: bool
) -> list[Outcome]:
    """Return what became of each stream; `drift` is what was read, where it can be asked.

    A `whole` read returns every record; any other read returns only the changes of an incremental stream. Afterwards,
    the table must have the same rows as Drift, and the connector must have logged a skip for each 404.
    """
    requests = drift.requests() if drift else None
    gone = drift.gone() if drift else {}
    results = []
    for stream in streams:
        progress = reading.streams[stream.name]
        in_drift = drift.count(stream) if drift else None
        fault: str | None = None
        if progress.state is not State.COMPLETE:
            fault = progress.error or reading.error or "the connector ended before the stream was read completely."
        elif drift and in_drift is not None:
            due, not_found = drift.due(stream), gone.get(stream.name, 0)
            if progress.records != due:
                were = "was" if progress.records == 1 else "were"
                fault = f"{counted(progress.records, 'record')} {were} read instead of {due:,}."
            elif progress.skipped != not_found:
                skips = counted(progress.skipped, "skip")
                fault = f"{skips} logged, but Drift responded with 404 to {counted(not_found, 'request')}."
            elif stream.key:
                fault = _difference(stream, warehouse.rows(stream), drift.rows(stream))
        results.append(
            Outcome(
                stream=stream.name,
                records=progress.records,
                # The table of a stream that failed in its first read is not of this run.
                rows=None if whole and progress.state is not State.COMPLETE else warehouse.count(stream),
                in_drift=in_drift,
                requests=None if requests is None else requests.get(stream.name, 0),
                seconds=progress.seconds(reading.ended or reading.started),
                fault=fault,
            )
        )
    return results


def _difference(
    stream: Stream, found: Iterable[Mapping[str, Any]], expected: Iterable[Mapping[str, Any]]
) -> str | None:
    """Return how the rows found differ from those expected; fields that only one of them has are not compared."""
    rows = {_key(stream, row): row for row in found}
    missing, stale = [], []
    for wanted in expected:
        key = _key(stream, wanted)
        row = rows.pop(key, None)
        if row is None:
            missing.append(key)
        elif any(row[field] != value for field, value in wanted.items() if field in row):
            stale.append(key)
    if missing:
        return f"{counted(len(missing), 'record')} in Drift {_are(missing)} missing in DuckDB, such as {missing[0]}."
    if stale:
        return f"{counted(len(stale), 'row')} in DuckDB {_are(stale)} not the same as in Drift, such as {stale[0]}."
    if rows:
        return f"{counted(len(rows), 'row')} in DuckDB {_are(rows)} not in Drift, such as {next(iter(rows))}."
    return None


def _are(several: Sized) -> str:
    return "is" if len(several) == 1 else "are"


def _key(stream: Stream, row: Mapping[str, Any]) -> str:
    return ", ".join(str(row.get(field)) for field in stream.key)
