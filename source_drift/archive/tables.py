"""The tables of an archive: their columns, which record goes into which column, and the views that people read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from source_drift.archive.connector import Stream

OTHER = "_other"
"""Column for fields that a stream's schema does not declare, and values of a different type than declared."""
SYNCED_AT = "_synced_at"
"""Column for the start of the sync that brought the row, as in `_drift_syncs`."""
LINE = "_line"
"""Field of a spooled record: its number, so that the last one of a key counts."""
VIEWS = "readable"
"""The schema of the views."""

_TYPES = {"integer": "BIGINT", "number": "DOUBLE", "string": "VARCHAR", "boolean": "BOOLEAN"}
_PYTHON_TYPES: dict[str, frozenset[type]] = {
    "BIGINT": frozenset({int}),
    "DOUBLE": frozenset({int, float}),
    "VARCHAR": frozenset({str}),
    "BOOLEAN": frozenset({bool}),
}
_BIGINT = range(-(1 << 63), 1 << 63)
# The attributes that Drift itself sets, of its many (devdocs contact-model); the times are epoch milliseconds.
_TEXTS = ("name", "email", "phone", "externalId")
_MOMENTS = ("start_date", "last_active", "last_contacted")
_OF_PEOPLE = ("contacts", "contacts_by_email")


def columns(stream: Stream) -> dict[str, str]:
    """Return the DuckDB type of each field of a stream's schema, in its order.

    A field of several types is JSON like arrays and objects, except that numbers of both kinds are DOUBLE. DuckDB does
    not tell names apart by case: of two such fields only the first has a column.
    """
    types: dict[str, str] = {}
    taken = {LINE, OTHER, SYNCED_AT}
    for field, schema in _properties(stream).items():
        if field.lower() not in taken:
            taken.add(field.lower())
            types[field] = _type(schema)
    return types


def divided(data: Mapping[str, Any], types: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parts of a record that fit its columns, and the parts that do not."""
    row, other = {}, {}
    for field, value in data.items():
        kind = types.get(field)
        if kind is None or not _fits(value, kind):
            other[field] = value
        else:
            row[field] = value
    return row, other


def as_key(value: Any, kind: str | None) -> int | str | None:
    """Return a key that does not fit its column in the form that does, None if it has none without loss."""
    if kind == "VARCHAR" and type(value) is int:
        return str(value)
    if kind == "BIGINT" and isinstance(value, float) and value.is_integer():
        value = f"{value:.0f}"
    if kind == "BIGINT" and isinstance(value, str) and re.fullmatch(r"-?[1-9]\d{0,17}", value):
        return int(value)
    return None


def definition(stream: Stream) -> Iterator[str]:
    """Yield the statements that make the table of a stream where it is missing, with a comment on each column."""
    table = quoted(stream.name)
    types = {**columns(stream), OTHER: "JSON", SYNCED_AT: "TIMESTAMP"}
    yield f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(f'{quoted(name)} {kind}' for name, kind in types.items())})"
    # A table of an earlier version lacks the columns that came later.
    for name, kind in types.items():
        yield f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {quoted(name)} {kind}"
    comments = {field: schema.get("description") for field, schema in _properties(stream).items() if field in types}
    comments[OTHER] = "Fields and values that the schema does not declare."
    comments[SYNCED_AT] = "When the sync that brought this row began, UTC; _drift_syncs.started."
    for name, comment in comments.items():
        if comment:
            yield f"COMMENT ON COLUMN {table}.{quoted(name)} IS {literal(comment)}"


def view(stream: Stream) -> str:
    """Return the statement that makes the view of a stream: times as timestamps, usual attributes as columns."""
    moments = [
        field
        for field, schema in _properties(stream).items()
        if columns(stream).get(field) == "BIGINT" and "epoch milliseconds" in (schema.get("description") or "")
    ]
    replaced = ", ".join(f"TRY(epoch_ms({quoted(field)})) AS {quoted(field)}" for field in moments)
    selected = f"* REPLACE ({replaced})" if replaced else "*"
    if stream.name in _OF_PEOPLE:
        selected += "".join(f", attributes ->> '$.{name}' AS {quoted(name)}" for name in _TEXTS)
        selected += "".join(
            f", TRY(epoch_ms(TRY_CAST(attributes ->> '$.{name}' AS BIGINT))) AS {quoted(name)}" for name in _MOMENTS
        )
    name = quoted(stream.name)
    return f"CREATE OR REPLACE VIEW {VIEWS}.{name} AS SELECT {selected} FROM main.{name}"


def latest(stream: Stream, path: str) -> str:
    """Return the query for the spooled records of a stream: the last one of each key."""
    types = {LINE: "BIGINT", **columns(stream), OTHER: "JSON"}
    listed = ", ".join(f"{literal(field)}: {literal(kind)}" for field, kind in types.items())
    query = f"SELECT * FROM read_json({literal(path)}, format='newline_delimited', columns={{{listed}}})"
    if stream.key:
        key = ", ".join(map(quoted, stream.key))
        query += f" QUALIFY {LINE} = max({LINE}) OVER (PARTITION BY {key})"
    return f"SELECT * EXCLUDE ({LINE}) FROM ({query})"


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


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
