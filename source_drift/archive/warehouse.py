"""The DuckDB file of an archive: a table and a view per stream, the states, and the history of its syncs.

Whatever changes it is one transaction, so the file is a consistent archive at every moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import duckdb
import orjson
from packaging.version import InvalidVersion, Version

from source_drift.archive.connector import Message, Stream
from source_drift.archive.errors import ArchiveError
from source_drift.archive.files import Counts
from source_drift.archive.tables import OTHER, SYNCED_AT, VIEWS, columns, definition, latest, literal, quoted, view

COMPLETE, INCOMPLETE, INTERRUPTED, RUNNING = "complete", "incomplete", "interrupted", "running"
"""The outcomes of a stream in a sync. A stream that a killed sync left running counts as interrupted."""

# Enough for any size: what does not fit goes to disk.
_MEMORY = "256MB"
_BATCH = 10_000
_OWN = "_drift_"
_TABLES = f"""
CREATE TABLE IF NOT EXISTS {_OWN}archive (version VARCHAR, host VARCHAR, organization VARCHAR, created TIMESTAMP);
CREATE TABLE IF NOT EXISTS {_OWN}states (stream VARCHAR, state JSON, saved TIMESTAMP);
CREATE TABLE IF NOT EXISTS {_OWN}syncs (
  sync BIGINT, stream VARCHAR, started TIMESTAMP, ended TIMESTAMP, outcome VARCHAR, records BIGINT, error VARCHAR,
  warnings VARCHAR[], skipped BIGINT, seconds DOUBLE
);
CREATE SCHEMA IF NOT EXISTS {VIEWS};
"""

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """What a query gave."""

    columns: tuple[str, ...]
    rows: list[Row]


@dataclass(frozen=True)
class StreamSync:
    """One stream in one sync: a row of `_drift_syncs`. Times are UTC, without a zone."""

    stream: str
    started: datetime
    """When the sync began."""
    ended: datetime | None = None
    outcome: str = RUNNING
    records: int = 0
    error: str | None = None
    warnings: list[str] = field(default_factory=list)
    skipped: int = 0
    """Records that were deleted in Drift before they could be read."""
    seconds: float = 0.0
    """How long the stream was read."""


class Warehouse:
    """The DuckDB file at `path`, which stays open until the end.

    Raises:
        ArchiveError: the file is in use, or is no DuckDB file, or belongs to something else, in one sentence.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = duckdb.connect(str(path), config={"memory_limit": _MEMORY})
        except OSError as error:
            raise ArchiveError(f"{path} cannot be written: {error.strerror}.") from error
        except duckdb.Error as error:
            if "lock" in str(error).lower():
                raise ArchiveError(f"{path} is open in another program. Try again when that has ended.") from error
            raise ArchiveError(f"{path} cannot be opened as a DuckDB file. Choose another file.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # On a full disk, what is committed stays in the log beside the file.
        with suppress(duckdb.Error):
            self._connection.close()

    def claim(self, host: str, version: str) -> None:
        """Make the file an archive of the Drift at `host`, readable only by its owner, or check that it is one.

        Raises:
            ArchiveError: it belongs to another host, was written by a newer version, or is no archive.
        """
        known = self._one(f"SELECT count(*) FROM duckdb_tables() WHERE table_name = '{_OWN}archive'")
        if not known[0] and self._one("SELECT count(*) FROM duckdb_tables()")[0]:
            raise ArchiveError(f"{self.path} is a DuckDB file, but not an archive of Drift. Choose another file.")
        if known[0]:
            found, its_host = self._one(f"SELECT version, host FROM {_OWN}archive")
            with suppress(InvalidVersion):
                if Version(found) > Version(version):
                    raise ArchiveError(
                        f"{self.path} was written by source-drift {found}; this is {version}. Install the newer one."
                    )
            if its_host != host:
                raise ArchiveError(f"{self.path} is an archive of {its_host}, not of {host}. Choose another file.")
        self.path.chmod(0o600)
        with self.transaction():
            self._connection.execute(_TABLES)
            if known[0]:
                self._connection.execute(f"UPDATE {_OWN}archive SET version = ?", [version])
            else:
                self._connection.execute(f"INSERT INTO {_OWN}archive VALUES (?, ?, NULL, ?)", [version, host, now()])

    def claim_organization(self, organization: str) -> None:
        """Note whose archive this is, or check it.

        Raises:
            ArchiveError: it is that of another organization.
        """
        (known,) = self._one(f"SELECT organization FROM {_OWN}archive")
        if known is None:
            self._connection.execute(f"UPDATE {_OWN}archive SET organization = ?", [organization])
        elif known != organization:
            raise ArchiveError(
                f"{self.path} is the archive of the organization {known}, but the token belongs to {organization}. "
                "Choose another file."
            )

    def checkpoint(self) -> None:
        """Move everything that is committed from the log beside the file into the file."""
        self._connection.execute("CHECKPOINT")

    def spill_into(self, folder: Path) -> None:
        """Have DuckDB put what exceeds its memory into a folder."""
        self._connection.execute(f"SET temp_directory = {literal(str(folder))}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do everything in the block, or nothing.

        Raises:
            ArchiveError: nothing was done, for example because the disk is full.
        """
        try:
            self._connection.begin()
            yield
            self._connection.commit()
        except BaseException as error:
            with suppress(duckdb.Error):
                self._connection.rollback()
            if isinstance(error, duckdb.Error):
                raise _failed(f"{self.path} could not be written, and contains what was there before", error) from error
            raise

    def begin(self, streams: Iterable[Stream], done: Mapping[str, StreamSync]) -> tuple[int, datetime]:
        """Begin a sync of `streams` and return its number and start; those in `done` need not be read again."""
        with self.transaction():
            self._connection.execute(f"UPDATE {_OWN}syncs SET outcome = '{INTERRUPTED}' WHERE outcome = '{RUNNING}'")
            (last,) = self._one(f"SELECT coalesce(max(sync), 0) FROM {_OWN}syncs")
            started = now()
            for stream in streams:
                self.note(last + 1, done.get(stream.name) or StreamSync(stream.name, started))
        return last + 1, started

    def note(self, sync: int, entry: StreamSync) -> None:
        """Replace what the history says of a stream in a sync."""
        self._connection.execute(f"DELETE FROM {_OWN}syncs WHERE sync = ? AND stream = ?", [sync, entry.stream])
        self._connection.execute(
            f"INSERT INTO {_OWN}syncs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [sync, *vars(entry).values()]
        )

    def unfinished(self, within: timedelta) -> dict[str, StreamSync]:
        """Return the streams that the last sync read to the end `within` this time, if it did not complete them all."""
        history = self.history()
        last = history[max(history)] if history else []
        if all(entry.outcome == COMPLETE for entry in last):
            return {}
        recent = [entry for entry in last if entry.outcome == COMPLETE and entry.ended and now() - entry.ended < within]
        # They bring nothing to this sync.
        return {entry.stream: StreamSync(**{**vars(entry), "records": 0, "seconds": 0.0}) for entry in recent}

    def history(self) -> dict[int, list[StreamSync]]:
        """Return all syncs by their number, in order."""
        syncs: dict[int, list[StreamSync]] = {}
        for sync, *entry in self.ask(f"FROM {_OWN}syncs ORDER BY sync, rowid").rows:
            syncs.setdefault(sync, []).append(StreamSync(*entry))
        return syncs

    def states(self) -> list[Message]:
        """Return the last state of each stream whose rows are there, as the connector sent them."""
        present = self.tables()
        found = self.ask(f"SELECT stream, state FROM {_OWN}states ORDER BY stream").rows
        return [orjson.loads(state) for stream, state in found if stream in present]

    def save_state(self, stream: str, state: Message) -> None:
        self._connection.execute(f"DELETE FROM {_OWN}states WHERE stream = ?", [stream])
        self._connection.execute(
            f"INSERT INTO {_OWN}states VALUES (?, ?, ?)", [stream, orjson.dumps(state).decode(), now()]
        )

    def load(self, stream: Stream, path: Path, synced_at: datetime, *, replace: bool) -> None:
        """Take over the spooled records in `path`, which replace the rows with their keys, or all rows.

        Of records with one key the last counts.
        """
        connection, table = self._connection, quoted(stream.name)
        # Another stream's table may be new since the view was made, but this one's columns are final.
        if stream.name not in self.tables():
            self.define(stream)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE _incoming AS {latest(stream, str(path))}")
        if replace:
            connection.execute(f"DELETE FROM {table}")
        else:
            same = " AND ".join(f"{table}.{quoted(key)} = _incoming.{quoted(key)}" for key in stream.key)
            connection.execute(f"DELETE FROM {table} USING _incoming WHERE {same}")
        connection.execute(
            f"INSERT INTO {table} BY NAME SELECT *, CAST(? AS TIMESTAMP) AS {SYNCED_AT} FROM _incoming", [synced_at]
        )
        connection.execute("DROP TABLE _incoming")

    def define(self, stream: Stream) -> None:
        """Make the table and the view of a stream, or add what they lack."""
        # A view keeps the columns that it was made with.
        self._connection.execute(f"DROP VIEW IF EXISTS {VIEWS}.{quoted(stream.name)}")
        for statement in definition(stream):
            self._connection.execute(statement)
        self._connection.execute(view(stream))

    def tables(self) -> list[str]:
        """Return the names of the tables of streams, sorted."""
        answer = self.ask(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main' AND NOT internal AND NOT temporary "
            f"AND NOT starts_with(table_name, '{_OWN}') ORDER BY 1"
        )
        return [name for (name,) in answer.rows]

    def count(self, stream: str) -> int | None:
        """Return how many rows the table of a stream has, None without a table."""
        if stream not in self.tables():
            return None
        return int(self._one(f"SELECT count(*) FROM {quoted(stream)}")[0])

    def rows(self, stream: Stream) -> Iterator[dict[str, Any]]:
        """Yield every row of a stream's table as the connector sent it, with None for each field it left out."""
        types = columns(stream)
        listed = ", ".join(map(quoted, [*types, OTHER]))
        self._connection.execute(f"SELECT {listed} FROM {quoted(stream.name)}")
        while batch := self._connection.fetchmany(_BATCH):
            for *values, other in batch:
                row = {
                    field: orjson.loads(value) if kind == "JSON" and value is not None else value
                    for (field, kind), value in zip(types.items(), values, strict=True)
                }
                yield row | (orjson.loads(other) if other else {})

    def export(self, folder: Path) -> list[str]:
        """Write each stream's table to a Parquet file in `folder`, each as a whole or not at all; return their names.

        Raises:
            ArchiveError: a file cannot be written.
        """
        names = self.tables()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in names:
                part = folder / f".{name}.parquet.part"
                self._connection.execute(f"COPY {quoted(name)} TO {literal(str(part))} (FORMAT parquet)")
                part.replace(folder / f"{name}.parquet")
        except OSError as error:
            raise ArchiveError(f"{folder} cannot be written: {error.strerror}.") from error
        except duckdb.Error as error:
            raise _failed(f"The Parquet files in {folder} could not be written", error) from error
        return names

    def files(self, fetch: Callable[[duckdb.DuckDBPyConnection], Counts]) -> Counts:
        """Have `fetch` download what the messages name; see `source_drift.archive.files`.

        Raises:
            ArchiveError: it had to stop, or the file cannot be written.
        """
        try:
            return fetch(self._connection)
        except duckdb.Error as error:
            raise _failed(f"{self.path} could not be written, and holds what was there before", error) from error

    def asked(self, sql: str) -> set[str]:
        """Return the names of the tables that a query reads, whether there are any or not.

        Raises:
            ArchiveError: it is no query.
        """
        try:
            return set(self._connection.get_table_names(sql))
        except duckdb.Error as error:
            raise _failed("The query has no answer", error) from error

    def ask(self, sql: str) -> Answer:
        """Return the answer to one query.

        Raises:
            ArchiveError: it has none.
        """
        try:
            result = self._connection.execute(sql)
            return Answer(tuple(column[0] for column in result.description or ()), result.fetchall())
        except duckdb.Error as error:
            raise _failed("The query has no answer", error) from error

    def _one(self, sql: str) -> Row:
        (row,) = self.ask(sql).rows
        return row


def now() -> datetime:
    """Return the time as an archive holds it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def _failed(what: str, error: duckdb.Error) -> ArchiveError:
    return ArchiveError(f"{what}: {str(error).splitlines()[0]}")
