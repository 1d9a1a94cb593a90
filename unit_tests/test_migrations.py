"""The migration page has every difference between the catalogs of 0.4.x and today, and the costs of the upgrade."""

import json
import re
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteMessage, AirbyteMessageSerializer, Type

from unit_tests.conftest import Connector
from unit_tests.test_docs import MIGRATIONS, SPEC, STREAMS, section, table

BEFORE = Path(__file__).parents[1] / "integration_tests" / "catalog_0.4.json"
NONE = "–"
Row = tuple[str, str, str, str]


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields of an object, each followed by its nested fields: `buttons`, `buttons[].label`."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}", inner
        yield from fields(inner, f"{path}{name}.")
        yield from fields(inner.get("items", {}), f"{path}{name}[].")


def may_be_null(schema: dict[str, Any]) -> bool:
    return "null" in schema.get("type", ["null"])


def kind(schema: dict[str, Any]) -> str:
    """The types of a field, except null."""
    types = schema.get("type", [])
    names = sorted({types} if isinstance(types, str) else {*types} - {"null"})
    text = ", ".join(names) or "anything"
    if items := schema.get("items"):
        text += f" of {kind(items)}"
    return f"{text}: {', '.join(schema['enum'])}" if "enum" in schema else text


def key(stream: dict[str, Any]) -> str:
    return ", ".join(f"`{name}`" for (name,) in stream["source_defined_primary_key"])


def modes(stream: dict[str, Any]) -> str:
    """The sync modes, as the documentation names them."""
    cursor = "".join(f" (`{name}`)" for name in stream.get("default_cursor_field") or [])
    return ", ".join(mode.replace("_", " ") for mode in stream["supported_sync_modes"]) + cursor


def differences(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Row]:
    """Every difference: stream, part, old and new value.

    Fields inside an added or removed field have no row. If all fields except the key became nullable, that is one row.
    """
    old, new = ({stream["name"]: stream for stream in catalog["streams"]} for catalog in (before, after))
    for name in [*new, *(name for name in old if name not in new)]:
        if name not in old or name not in new:
            yield name, "stream", *(modes(streams[name]) if name in streams else NONE for streams in (old, new))
            continue
        for what, told in {"key": key, "sync modes": modes}.items():
            if told(old[name]) != told(new[name]):
                yield name, what, told(old[name]), told(new[name])
        yield from _of_fields(name, old[name], new[name])


def _of_fields(name: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Row]:
    old, new = dict(fields(before["json_schema"])), dict(fields(after["json_schema"]))
    for field in [*old, *(field for field in new if field not in old)]:
        within = re.sub(r"(\[\])?\.[^.]+$", "", field)
        if within == field or (within in old and within in new):
            was, now = (kind(side[field]) if field in side else NONE for side in (old, new))
            if was != now:
                yield name, f"`{field}`", was, now
    (keys,) = zip(*after["source_defined_primary_key"], strict=True)
    changed = {field for field in old.keys() & new.keys() if may_be_null(old[field]) != may_be_null(new[field])}
    wanted = {field for field in old.keys() & new.keys() if field not in keys and not may_be_null(old[field])}
    if changed and changed == wanted and all(may_be_null(new[field]) for field in wanted):
        yield name, "every field except the key", "not null", "may be null"
    else:
        yield from (
            (name, f"`{field}`", *("may be null" if may_be_null(side[field]) else "not null" for side in (old, new)))
            for field in sorted(changed)
        )


@pytest.fixture(scope="module")
def before() -> dict[str, Any]:
    """The catalog of 0.4.x."""
    return dict(json.loads(BEFORE.read_text(encoding="utf-8")))


@pytest.fixture
def after(connector: Connector) -> dict[str, Any]:
    """The catalog that the connector discovers."""
    source = connector.source()
    message = AirbyteMessage(type=Type.CATALOG, catalog=source.discover(source.logger, {}))
    return dict(AirbyteMessageSerializer.dump(message)["catalog"])


def rows_of_the_page() -> list[Row]:
    """The rows of the page, one for each stream and field in them."""
    return [
        (stream, what, was, now)
        for streams, named, was, now, _ in table(section(MIGRATIONS, "Upgrading to 1.0.0"), "Catalog of")
        for stream in re.findall(r"`(\w+)`", streams)
        for what in re.findall(r"`[^`]+`", named) or [named]
    ]


def test_every_difference_has_its_row(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The table of the catalogs has each difference once, and nothing else."""
    shown, wanted = rows_of_the_page(), list(differences(before, after))
    assert [row for row in wanted if row not in shown] == []
    assert [row for row in shown if row not in wanted] == []
    assert sorted(shown) == sorted(wanted)


def test_every_row_says_what_to_do() -> None:
    """Each row of the table ends with a sentence for the reader."""
    rows = table(section(MIGRATIONS, "Upgrading to 1.0.0"), "Catalog of")
    assert [row for row in rows if len(row) != 5 or not row[4].endswith(".")] == []


def stream(*keys: str, cursor: str | None = None, **properties: Any) -> dict[str, Any]:
    return {
        "name": "things",
        "json_schema": {"properties": properties},
        "supported_sync_modes": ["full_refresh", "incremental"] if cursor else ["full_refresh"],
        "default_cursor_field": [cursor] if cursor else None,
        "source_defined_primary_key": [[name] for name in keys or ("id",)],
    }


ID, TEXT = {"type": "integer"}, {"type": ["string", "null"]}
STRICT = {"type": "string"}
FOUND: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None, list[tuple[str, str, str]]]] = {
    "nothing": (stream(id=ID, a=TEXT), stream(id=ID, a=TEXT), []),
    "stream that came": (None, stream(id=ID), [("stream", NONE, "full refresh")]),
    "stream that went": (stream(id=ID), None, [("stream", "full refresh", NONE)]),
    "key": (stream(id=ID), stream("id", "of", id=ID), [("key", "`id`", "`id`, `of`")]),
    "mode": (
        stream(id=ID),
        stream(id=ID, cursor="at"),
        [("sync modes", "full refresh", "full refresh, incremental (`at`)")],
    ),
    "field that came": (stream(id=ID), stream(id=ID, a=TEXT), [("`a`", NONE, "string")]),
    "field that went": (stream(id=ID, a=TEXT), stream(id=ID), [("`a`", "string", NONE)]),
    "field in a field": (
        stream(id=ID, a={"type": "object"}),
        stream(id=ID, a={"type": "object", "properties": {"b": TEXT}}),
        [("`a.b`", NONE, "string")],
    ),
    "field in a field that went": (
        stream(id=ID, a={"type": "array", "items": {"type": "object", "properties": {"b": TEXT}}}),
        stream(id=ID),
        [("`a`", "array of object", NONE)],
    ),
    "type": (stream(id=ID), stream(id=STRICT), [("`id`", "integer", "string")]),
    "type in an array": (
        stream(id=ID, a={"type": ["array", "null"], "items": ID}),
        stream(id=ID, a={"type": ["array", "null"], "items": STRICT}),
        [("`a`", "array of integer", "array of string")],
    ),
    "choice": (
        stream(id=ID, a={"type": ["string", "null"], "enum": ["x"]}),
        stream(id=ID, a=TEXT),
        [("`a`", "string: x", "string")],
    ),
    "null everywhere": (
        stream(id=ID, a=STRICT, b=STRICT),
        stream(id=ID, a=TEXT, b=TEXT),
        [("every field except the key", "not null", "may be null")],
    ),
    "null in one place": (
        stream(id=ID, a=STRICT, b=STRICT),
        stream(id=ID, a=TEXT, b=STRICT),
        [("`a`", "not null", "may be null")],
    ),
    "null in the key": (
        stream(id=ID, a=STRICT),
        stream(id={"type": ["integer", "null"]}, a=STRICT),
        [("`id`", "not null", "may be null")],
    ),
    "null no longer": (stream(id=ID, a=TEXT), stream(id=ID, a=STRICT), [("`a`", "may be null", "not null")]),
}


@pytest.mark.parametrize(("was", "now", "found"), FOUND.values(), ids=FOUND)
def test_a_difference_is_found(
    was: dict[str, Any] | None, now: dict[str, Any] | None, found: list[tuple[str, str, str]]
) -> None:
    """Each kind of difference between two catalogs is found, and equal catalogs have none."""
    catalogs = ({"streams": [one] if one else []} for one in (was, now))
    assert list(differences(*catalogs)) == [("things", *row) for row in found]


def test_the_costs_add_up() -> None:
    """The costs of a saved selection follow from the given sizes and the manifest."""
    text = " ".join(section(MIGRATIONS, "Upgrading to 1.0.0").split())
    named = re.search(r"For ([\d,]+) conversations and ([\d,]+) contacts, at (\d+) requests per second:", text)
    each = re.search(r"one after the other, ([\d.]+) seconds each", text)
    assert named
    assert each
    conversations, contacts, rate = (int(number.replace(",", "")) for number in named.groups())
    [size] = re.findall(r"limit=(\d+)", STREAMS["conversations"]["$parameters"]["first"])
    pages = ceil(conversations / int(size)) + 1
    assert rate == SPEC["properties"]["max_requests_per_second"]["default"]
    minutes = {
        "list": round(pages * float(each[1]) / 60),
        "contacts": ceil(contacts / rate / 60),
        "messages": ceil(conversations / rate / 60),
    }
    rows = table(section(MIGRATIONS, "Upgrading to 1.0.0"), "What is requested")
    assert [(row[2].removesuffix(" and more"), row[3]) for row in rows] == [
        (f"{pages:,}", f"{minutes['list']} minutes"),
        (f"{contacts:,}", f"{minutes['contacts']} minutes"),
        (f"{conversations:,}", f"{minutes['messages']} minutes"),
    ]
    assert f"If both streams are selected, the first sync takes {sum(minutes.values())} minutes" in text
    assert f"If only `contacts` is selected, it takes {minutes['list'] + minutes['contacts']} minutes." in text
