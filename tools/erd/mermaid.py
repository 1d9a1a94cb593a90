"""The tables as a Mermaid diagram, which GitHub and most Markdown viewers render."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tools.erd.tables import Table

HEAD = """# Tables and joins

`make erd` generates this page from manifest.yaml. Do not edit it; edit manifest.yaml instead.
[source.dbml](source.dbml) describes each column. Tools such as dbdiagram.io and dbdocs.io can read it.

```mermaid
erDiagram
"""


def page(tables: Iterable[Table]) -> str:
    """Return the page with the diagram of all columns."""
    tables = list(tables)
    lines = [line for table in tables for line in (*_joins(table), *_table(table))]
    return HEAD + "\n".join(f"    {line}" for line in lines) + "\n```\n"


def _joins(table: Table) -> Iterator[str]:
    for join in table.joins:
        kind = "}o--o{" if join.many else "||--||" if table.key == (join.path,) else "||--o{"
        yield f'{join.table} {kind} {table.name} : "{join.key} = {join.path}"'


def _table(table: Table) -> Iterator[str]:
    foreign = {join.path for join in table.joins}
    yield f"{table.name} {{"
    for field in table.fields:
        kinds = ["PK"] * (field.name in table.key) + ["FK"] * (field.name in foreign)
        yield f"    {field.type} {field.name} {', '.join(kinds)}".rstrip()
    yield "}"
