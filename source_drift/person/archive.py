"""Read access to a DuckDB file that `source-drift archive` wrote: a table for each stream, rows as Drift sent them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import duckdb

from source_drift.archive.errors import ArchiveError
from source_drift.archive.tables import OTHER, SYNCED_AT

Row = dict[str, Any]

_BATCH = 2_000
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?")


class Archive:
    """The file at `path`, opened for reading only.

    Attributes:
        columns: the columns of each table.

    Raises:
        ArchiveError: there is no such file, it is not a DuckDB file, or another program is writing to it.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ArchiveError(f"There is no archive at {path}. Create one with source-drift archive.")
        try:
            self._connection = duckdb.connect(str(path), read_only=True)
        except duckdb.IOException as error:
            if "lock" in str(error):
                raise ArchiveError(f"Another program has {path} open. Try again when the sync has ended.") from None
            raise ArchiveError(f"{path} is not a DuckDB file that can be read.") from None
        except duckdb.Error:
            raise ArchiveError(f"{path} is not a DuckDB file that can be read.") from None
        self.columns: dict[str, frozenset[str]] = {
            table: frozenset(columns)
            for table, columns in self._connection.execute(
                "SELECT table_name, list(column_name) FROM duckdb_columns() "
                "WHERE database_name = current_database() AND schema_name = 'main' AND NOT internal GROUP BY table_name"
            ).fetchall()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def has(self, table: str, *columns: str) -> bool:
        return table in self.columns and self.columns[table].issuperset(columns)

    def rows(self, table: str, condition: str, *parameters: Any) -> Iterator[Row]:
        """Yield the rows of a table for which an SQL condition is true.

        Fields that Drift did not declare stand beside the others, fields without a value are left out, and `_synced_at`
        is an ISO time in UTC where the archive has it.
        """
        # DuckDB writes each row as JSON, so that no type of column needs a case of its own.
        query = f'SELECT to_json(rows)::VARCHAR FROM "{table}" AS rows WHERE {condition}'  # noqa: S608
        return (_row(text) for (text,) in self.ask(query, *parameters))

    def ask(self, query: str, *parameters: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query.

        Raises:
            ArchiveError: the query fails, because the archive is damaged or was not made by source-drift.
        """
        try:
            cursor = self._connection.cursor().execute(query, parameters)
            while batch := cursor.fetchmany(_BATCH):
                yield from batch
        except duckdb.Error as error:
            # Not the text of the error, which may quote a value.
            raise ArchiveError(
                f"The archive cannot be read ({type(error).__name__}). Check that source-drift archive wrote it."
            ) from None


def ids(values: Iterable[Any]) -> list[int]:
    """Return the values that can be ids of Drift, once each."""
    return list(dict.fromkeys(value for value in values if type(value) is int and abs(value) < 1 << 63))


def _row(text: str) -> Row:
    row: Row = json.loads(text, parse_constant=lambda _: None)
    other = row.pop(OTHER, None)
    synced_at = row.pop(SYNCED_AT, None)
    row = {name: value for name, value in row.items() if value is not None}
    if isinstance(other, dict):
        row |= other
    if isinstance(synced_at, str):
        row[SYNCED_AT] = iso(synced_at)
    return row


def iso(text: str) -> str:
    """Return a time as DuckDB shows it, in UTC, as an ISO time; any other text as it is."""
    return text.replace(" ", "T") + "Z" if _TIMESTAMP.fullmatch(text) else text
