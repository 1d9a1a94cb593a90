"""DuckDB files as `source-drift archive` leaves them: a table for each stream, columns as its schema has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from tools.erd.tables import tables

Row = dict[str, Any]

# 2026-03-04T12:00:00Z
NOON = 1_772_625_600_000
SYNCED = "2026-03-04 12:05:00"
_TYPES = {"integer": "BIGINT", "number": "DOUBLE", "string": "VARCHAR", "boolean": "BOOLEAN"}
SCHEMAS = {table.name: table.schema["properties"] for table in tables()}


def archived(
    path: Path, rows: Mapping[str, Sequence[Row]], *, synced: Mapping[str, str] | None = None, more: str = ""
) -> Path:
    """Write an archive with the tables that `rows` name; `synced` holds times of other syncs, `more` is SQL."""
    with duckdb.connect(str(path)) as connection:
        for stream, listed in rows.items():
            columns = {name: _type(schema) for name, schema in SCHEMAS[stream].items()}
            defined = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
            connection.execute(f"CREATE TABLE {stream} ({defined}, _other JSON, _synced_at TIMESTAMP)")
            values = []
            for row in listed:
                other = {name: value for name, value in row.items() if name not in columns}
                values += [_stored(row.get(name), kind) for name, kind in columns.items()]
                values += [json.dumps(other) if other else None, (synced or {}).get(stream, SYNCED)]
            if listed:
                one = f"({', '.join('?' * (len(columns) + 2))})"
                connection.execute(f"INSERT INTO {stream} VALUES {', '.join([one] * len(listed))}", values)  # noqa: S608
        connection.execute(more)
    return path


def _type(schema: Mapping[str, Any]) -> str:
    declared = schema["type"]
    names = set(declared if isinstance(declared, list) else [declared]) - {"null"}
    return _TYPES.get(names.pop(), "JSON") if len(names) == 1 else "JSON"


def _stored(value: Any, kind: str) -> Any:
    return json.dumps(value, ensure_ascii=False) if kind == "JSON" and value is not None else value


def contact(number: int, **attributes: Any) -> Row:
    return {"id": number, "createdAt": NOON, "attributes": attributes}


def conversation(number: int, of: int) -> Row:
    return {"id": number, "status": "open", "contactId": of, "createdAt": NOON + number, "updatedAt": NOON + number}


def message(number: int, talk: int, by: int, text: str = "Hello", *, user: bool = False, **fields: Any) -> Row:
    author = {"id": by, "type": "user" if user else "contact"}
    row = {"id": number, "conversationId": talk, "body": f"<p>{text}</p>", "type": "chat", "author": author}
    return row | {"createdAt": NOON + number, "attributes": {}} | fields
