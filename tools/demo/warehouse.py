"""A DuckDB file with one table per stream. The result of a read is loaded completely or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import duckdb
import orjson

from tools.demo.connector import Stream
from tools.demo.errors import DemoError

OTHER = "_other"
"""Column for fields that a stream's schema does not declare, and values of a different type than declared."""

_LINE = "_line"
_TYPES = {"integer": "BIGINT", "number": "DOUBLE", "string": "VARCHAR", "boolean": "BOOLEAN"}
_PYTHON_TYPES: dict[str, frozenset[type]] = {
    "BIGINT": frozenset({int}),
    "DOUBLE": frozenset({int, float}),
    "VARCHAR": frozenset({str}),
    "BOOLEAN": frozenset({bool}),
}
_BIGINT = range(-(1 << 63), 1 << 63)
# Enough for any size: what does not fit goes to disk.
_MEMORY = "256MB"
_BATCH = 10_000

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """What a query gave."""

    columns: tuple[str, ...]
    rows: list[Row]


class Warehouse:
    """The DuckDB file at `path`, which stays open until the end.

    It and its folder are made where they are missing, and only their owner can read them: records are people's data.

    Raises:
        DemoError: the file is in use or is no DuckDB file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Before the file, so that at no moment anybody else can open it, or the log that DuckDB writes beside it.
            path.parent.chmod(0o700)
            self._connection = duckdb.connect(str(path), config={"memory_limit": _MEMORY})
            path.chmod(0o600)
        except OSError as error:
            raise DemoError(f"{path} cannot be written: {error.strerror}.") from error
        except duckdb.Error as error:
            raise _failed(
                f"{path} cannot be opened (close other programs that have it open, or delete it)", error
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def load(self, spool: Spool, streams: Iterable[Stream], *, anew: bool, alone: bool = False) -> None:
        """Take over the spooled records of `streams`, in one transaction.

        The records of an incremental stream replace those with their key, and those of any other stream, or of any
        stream if `anew`, the whole table. Tables of other streams stay, except in a load `anew` that is to be `alone`
        in the file. Of records with one key the last counts.

        Raises:
            DemoError: nothing was loaded; the tables are what they were.
        """
        spool.flush()
        connection = self._connection
        try:
            connection.begin()
            if anew and alone:
                for name in self.tables():
                    connection.execute(f"DROP TABLE {_quoted(name)}")
            existing = self.tables()
            for stream in streams:
                if stream.incremental and stream.key and not anew and stream.name in existing:
                    self._merge(stream, spool.path(stream))
                else:
                    self._replace(stream, spool.path(stream))
            connection.commit()
            # What another program sees of the file, and its size, are then up to date.
            connection.execute("CHECKPOINT")
        except duckdb.Error as error:
            connection.rollback()
            raise _failed(f"Nothing was loaded into {self.path}", error) from error

    def tables(self) -> list[str]:
        rows = self._connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() AND NOT temporary"
        ).fetchall()
        return sorted(name for (name,) in rows)

    def count(self, stream: Stream) -> int | None:
        """Return the number of rows, None without a table."""
        if stream.name not in self.tables():
            return None
        row = self._connection.execute(f"SELECT count(*) FROM {_quoted(stream.name)}").fetchone()  # noqa: S608
        return int(row[0]) if row else 0

    def rows(self, stream: Stream) -> Iterator[dict[str, Any]]:
        """Yield every row of a stream's table as the connector sent it, with None for each field it left out."""
        types = columns(stream)
        self._connection.execute(f"SELECT * FROM {_quoted(stream.name)}")  # noqa: S608
        while batch := self._connection.fetchmany(_BATCH):
            for *values, other in batch:
                row = {
                    field: orjson.loads(value) if kind == "JSON" and value is not None else value
                    for (field, kind), value in zip(types.items(), values, strict=True)
                }
                yield row | (orjson.loads(other) if other else {})

    def asked(self, sql: str) -> set[str]:
        """Return the names of the tables that a query reads, whether there are any or not.

        Raises:
            DemoError: it is no query.
        """
        try:
            return set(self._connection.get_table_names(sql))
        except duckdb.Error as error:
            raise _failed("The query has no answer", error) from error

    def ask(self, sql: str) -> Answer:
        """Return the answer to one query.

        Raises:
            DemoError: it has none.
        """
        try:
            result = self._connection.execute(sql)
            return Answer(tuple(column[0] for column in result.description or ()), result.fetchall())
        except duckdb.Error as error:
            raise _failed("The query has no answer", error) from error

    def _replace(self, stream: Stream, path: Path) -> None:
        table = _quoted(stream.name)
        self._connection.execute(f"CREATE OR REPLACE TABLE {table} AS {_latest(stream, path)}")
        for field, schema in _properties(stream).items():
            description = schema.get("description")
            if description:
                column = f"{table}.{_quoted(field)}"
                self._connection.execute(f"COMMENT ON COLUMN {column} IS {_text(description)}")
        self._connection.execute(
            f"COMMENT ON COLUMN {table}.{_quoted(OTHER)} IS 'Fields and values that the schema does not declare.'"
        )

    def _merge(self, stream: Stream, path: Path) -> None:
        key = ", ".join(map(_quoted, stream.key))
        self._connection.execute(
            f"MERGE INTO {_quoted(stream.name)} USING ({_latest(stream, path)}) AS incoming USING ({key}) "
            "WHEN MATCHED THEN UPDATE WHEN NOT MATCHED THEN INSERT"
        )


class Spool:
    """Records of one read on disk, a file per stream in `folder`, so that a read of any size needs little memory.

    The files vanish when the block ends.
    """

    def __init__(self, streams: Iterable[Stream], folder: Path) -> None:
        self._folder = folder
        self._streams = {stream.name: stream for stream in streams}
        self._columns = {stream.name: columns(stream) for stream in self._streams.values()}
        self._files: dict[str, BinaryIO] = {}
        self._number = 0

    def __enter__(self) -> Self:
        for name in self._streams:
            self._files[name] = (self._folder / f"{name}.ndjson").open("wb", buffering=1 << 16)
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            # What a full disk has not taken is not needed any more.
            with suppress(OSError):
                file.close()
            Path(file.name).unlink()

    def add(self, name: str, data: Mapping[str, Any]) -> None:
        """Append a record.

        Raises:
            DemoError: the stream was not asked for, or the record has no key, or the disk is full.
        """
        stream = self._streams.get(name)
        if stream is None:
            raise DemoError(f"The connector sent a record of {name!r}, a stream that was not requested.")
        row, other = _sorted(data, self._columns[name])
        for field in stream.key:
            if row.get(field) is None:
                raise DemoError(f"A record of {name} has no usable {field}, which is its key.")
        row[_LINE] = self._number
        self._number += 1
        if other:
            row[OTHER] = other
        try:
            self._files[name].write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise self._full(error) from error

    def flush(self) -> None:
        """Raises DemoError where the disk is full."""
        try:
            for file in self._files.values():
                file.flush()
        except OSError as error:
            raise self._full(error) from error

    def path(self, stream: Stream) -> Path:
        return Path(self._files[stream.name].name)

    def _full(self, error: OSError) -> DemoError:
        return DemoError(f"The records cannot be kept in {self._folder}: {error.strerror}.")


def columns(stream: Stream) -> dict[str, str]:
    """Return the DuckDB type of each field of a stream's schema, in its order.

    A field of several types is JSON like arrays and objects, except that numbers of both kinds are DOUBLE. DuckDB does
    not tell names apart by case: of two such fields only the first has a column.
    """
    types: dict[str, str] = {}
    taken = {_LINE, OTHER}
    for field, schema in _properties(stream).items():
        if field.lower() not in taken:
            taken.add(field.lower())
            types[field] = _type(schema)
    return types


def _sorted(data: Mapping[str, Any], types: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parts of a record that fit its columns, and the parts that do not."""
    row, other = {}, {}
    for field, value in data.items():
        kind = types.get(field)
        if kind is None or not _fits(value, kind):
            other[field] = value
        else:
            row[field] = value
    return row, other


def _fits(value: Any, kind: str) -> bool:
    if value is None or kind == "JSON":
        return True
    return type(value) in _PYTHON_TYPES[kind] and (kind != "BIGINT" or value in _BIGINT)


def _type(schema: Mapping[str, Any]) -> str:
    declared = schema.get("type")
    names = set(declared if isinstance(declared, list) else [declared]) - {"null"}
    if names == {"integer", "number"}:
        return "DOUBLE"
    return _TYPES.get(names.pop(), "JSON") if len(names) == 1 else "JSON"


def _properties(stream: Stream) -> Mapping[str, Mapping[str, Any]]:
    return stream.schema.get("properties") or {}


def _latest(stream: Stream, path: Path) -> str:
    """Return the query for a spooled stream: the last record of each key."""
    types = {_LINE: "BIGINT", **columns(stream), OTHER: "JSON"}
    listed = ", ".join(f"{_text(field)}: {_text(kind)}" for field, kind in types.items())
    source = f"read_json({_text(str(path))}, format='newline_delimited', columns={{{listed}}})"
    wanted = [_quoted(field) for field in types if field != _LINE]
    query = f"SELECT {', '.join(wanted)} FROM {source}"  # noqa: S608
    if stream.key:
        key = ", ".join(map(_quoted, stream.key))
        query += f" WHERE {_LINE} IN (SELECT max({_LINE}) FROM {source} GROUP BY {key})"  # noqa: S608
    return query


def _failed(what: str, error: duckdb.Error) -> DemoError:
    return DemoError(f"{what}: {str(error).splitlines()[0]}")


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
