"""Whether an archive holds what the local Drift holds, row by row and field by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass
from typing import Any, Protocol

from source_drift.archive.connector import Stream
from source_drift.archive.warehouse import StreamSync, Warehouse
from source_drift.words import counted


class Knowing(Protocol):
    """A Drift that can be asked what a complete read delivers."""

    def count(self, stream: Stream) -> int | None:
        """Return the number of records, None where it is not known."""

    def due(self, stream: Stream) -> int:
        """Return how many records the last sync had to bring; only for streams that have a count."""

    def rows(self, stream: Stream) -> Iterable[Mapping[str, Any]]:
        """Return the records as Drift sends them; only for streams that have a count."""

    def requests(self) -> Mapping[str, int]:
        """Return how many requests were made for each stream."""

    def gone(self) -> Mapping[str, int]:
        """Return how many of them were answered with 404."""


@dataclass(frozen=True)
class Comparison:
    """One stream of an archive beside the same one of Drift; None means unknown."""

    stream: str
    records: int
    """Of the last sync."""
    rows: int | None
    in_drift: int | None
    requests: int
    fault: str | None
    """What is wrong, as one line; None where everything is right."""


def compared(streams: Iterable[Stream], warehouse: Warehouse, drift: Knowing) -> list[Comparison]:
    """Compare each stream after a sync: its rows, what the sync brought, and a logged skip for each 404."""
    history = warehouse.history()
    entries = {entry.stream: entry for entry in history[max(history)]}
    requests, gone = drift.requests(), drift.gone()
    return [
        Comparison(
            stream=stream.name,
            records=entries[stream.name].records,
            rows=warehouse.count(stream.name),
            in_drift=drift.count(stream),
            requests=requests.get(stream.name, 0),
            fault=_fault(stream, entries[stream.name], warehouse, drift, gone.get(stream.name, 0)),
        )
        for stream in streams
    ]


def _fault(stream: Stream, entry: StreamSync, warehouse: Warehouse, drift: Knowing, gone: int) -> str | None:
    if entry.outcome != "complete":
        return entry.error or f"it is {entry.outcome}."
    if drift.count(stream) is None:
        return None
    due = drift.due(stream)
    if entry.records != due:
        were = "was" if entry.records == 1 else "were"
        return f"{counted(entry.records, 'record')} {were} read instead of {due:,}."
    if entry.skipped != gone:
        skips = counted(entry.skipped, "skip")
        return f"{skips} logged, but Drift responded with 404 to {counted(gone, 'request')}."
    return difference(stream, warehouse.rows(stream), drift.rows(stream))


def difference(stream: Stream, found: Iterable[Mapping[str, Any]], expected: Iterable[Mapping[str, Any]]) -> str | None:
    """Return how the rows found differ from those expected; fields that only one of them has are not compared."""
    rows: dict[str, Mapping[str, Any]] = {}
    for row in found:
        key = _key(stream, row)
        if key in rows:
            return f"2 rows in DuckDB have the key {key}."
        rows[key] = row
    missing, stale = [], []
    for wanted in expected:
        key = _key(stream, wanted)
        its_row = rows.pop(key, None)
        if its_row is None:
            missing.append(key)
        elif any(its_row[field] != value for field, value in wanted.items() if field in its_row):
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
