"""The streams in manifest.yaml: fields, keys, and the joins in the descriptions of fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "manifest.yaml"

# A description says `joins to users.id`, of an array `join to users.id`, and of two targets `joins to a.id or b.id`.
_JOIN = re.compile(r"\bjoins? to (\w+\.\w+(?: or \w+\.\w+)*)", re.IGNORECASE)


class ErdError(Exception):
    """A join or key in the manifest does not exist; the message says which."""


@dataclass(frozen=True)
class Field:
    """A field at the top of a stream's schema."""

    name: str
    type: str
    """Its JSON type; `any` if it has several."""
    description: str


@dataclass(frozen=True)
class Join:
    """A field that refers to one or more rows of another table."""

    path: str
    """The place of its values: a field, or a nested one such as `author.id`."""
    table: str
    """The table that it refers to, by `key`."""
    key: str
    type: str
    many: bool

    @property
    def field(self) -> str:
        return self.path.partition(".")[0]


@dataclass(frozen=True)
class Table:
    """A stream."""

    name: str
    description: str
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    joins: tuple[Join, ...]
    schema: Mapping[str, Any]


@cache
def manifest() -> Mapping[str, Any]:
    """Return manifest.yaml; callers must not change it."""
    return yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def tables(parsed: Mapping[str, Any] | None = None) -> list[Table]:
    """Return the streams of a manifest, by default of manifest.yaml, in its order.

    Raises:
        ErdError: a join does not lead to a key, or a key is not a field.
    """
    parsed = manifest() if parsed is None else parsed
    found = [_table(parsed, _resolved(parsed, stream)) for stream in parsed["streams"]]
    keys = {table.name: table.key for table in found}
    for table in found:
        names = {field.name for field in table.fields}
        for join in table.joins:
            if keys.get(join.table) != (join.key,):
                raise ErdError(f"{table.name}.{join.path} joins to {join.table}.{join.key}, which is not a key.")
        if not names.issuperset(table.key):
            raise ErdError(f"The key of {table.name} is {', '.join(table.key)}: its schema has no such field.")
    return found


def _table(parsed: Mapping[str, Any], definition: Mapping[str, Any]) -> Table:
    schema = _resolved(parsed, definition["schema_loader"]["schema"])
    properties = schema["properties"]
    return Table(
        name=definition["name"],
        description=definition.get("description", ""),
        key=tuple(definition["primary_key"]),
        fields=tuple(Field(name, _type(field), field.get("description", "")) for name, field in properties.items()),
        joins=tuple(_joins(properties)),
        schema=schema,
    )


def _resolved(parsed: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Resolve a `$ref`; the keys next to it have priority, as in the CDK."""
    if "$ref" not in node:
        return node
    target: Any = parsed
    for step in node["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return {**_resolved(parsed, target), **{name: value for name, value in node.items() if name != "$ref"}}


def _joins(properties: Mapping[str, Any], above: Sequence[str] = (), *, many: bool = False) -> Iterator[Join]:
    for name, field in properties.items():
        path = (*above, name)
        several = many or "array" in _types(field)
        for match in _JOIN.finditer(field.get("description", "")):
            for target in match[1].split(" or "):
                table, _, key = target.partition(".")
                yield Join(".".join(path), table, key, _type(field), several)
        yield from _joins(field.get("properties", {}), path, many=several)
        yield from _joins(field.get("items", {}).get("properties", {}), path, many=several)


def _type(field: Mapping[str, Any]) -> str:
    types = _types(field)
    return types.pop() if len(types) == 1 else "any"


def _types(field: Mapping[str, Any]) -> set[str]:
    declared = field.get("type", [])
    return set(declared if isinstance(declared, list) else [declared]) - {"null"}
