"""The tables in DBML (dbml.dbdiagram.io), which tools for drawing and for documenting databases read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tools.erd.tables import Table


def dbml(tables: Iterable[Table]) -> str:
    """Return the tables with all their fields, and their joins."""
    tables = list(tables)
    blocks = ["// Written by `make erd` from manifest.yaml: change that instead.", *map(_table, tables)]
    return "\n\n".join([*blocks, "\n".join(ref for table in tables for ref in _refs(table))]) + "\n"


def _table(table: Table) -> str:
    lines = [f"Table {table.name} {{"]
    for field in table.fields:
        settings = ["pk"] if table.key == (field.name,) else ["not null"] if field.name in table.key else []
        if field.description:
            settings.append(f"note: {_text(field.description)}")
        lines.append(f"  {field.name} {field.type}" + (f" [{', '.join(settings)}]" if settings else ""))
    if len(table.key) > 1:
        lines += ["  indexes {", f"    ({', '.join(table.key)}) [pk]", "  }"]
    return "\n".join([*lines, *([f"  Note: {_text(table.description)}"] if table.description else []), "}"])


def _refs(table: Table) -> Iterator[str]:
    for join in table.joins:
        kind = "<>" if join.many else "-" if table.key == (join.path,) else ">"
        line = f"Ref: {table.name}.{join.field} {kind} {join.table}.{join.key}"
        # DBML knows no fields inside of fields.
        yield line if join.path == join.field else f"{line} // by {join.path}"


def _text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
