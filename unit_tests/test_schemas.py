"""The schemas promise no more than Drift keeps: anything but the key may be missing, and more may come."""

from collections.abc import Iterator
from typing import Any

import pytest

from unit_tests.conftest import NOW, STREAMS, Connector, Drift

# What a schema may say of a property; anything else would be a promise that Drift does not keep.
WORDS = {"type", "description", "items", "properties", "additionalProperties"}
TIMES = {"createdAt", "updatedAt", "createDateTime", "updateDateTime", "created_at"}


def properties(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, name and schema of each property, at every depth."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}", name, inner
        yield from properties(inner, f"{path}.{name}")
        yield from properties(inner.get("items", {}), f"{path}.{name}[]")


@pytest.fixture(params=STREAMS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def schema(name: str, manifest: dict[str, Any]) -> dict[str, Any]:
    return dict(manifest["schemas"][name])


def test_schema_is_open(schema: dict[str, Any]) -> None:
    """A row may hold more than the schema knows."""
    assert (schema["type"], schema["additionalProperties"]) == ("object", True)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_every_property_but_the_key_can_be_null(name: str, schema: dict[str, Any]) -> None:
    """Drift leaves out what is not set: every property is nullable but the key, which is not."""
    for path, _, inner in properties(schema, name):
        if path == f"{name}.{STREAMS[name].key}":
            assert inner["type"] in ("integer", "string"), path
        else:
            assert isinstance(inner["type"], list), path
            assert inner["type"][-1] == "null", path


def test_every_property_is_described(name: str, schema: dict[str, Any]) -> None:
    """A property says what it means, in a sentence."""
    for path, _, inner in properties(schema, name):
        assert inner.get("description", "").endswith("."), path
        assert len(inner["description"]) >= 10, path


def test_times_are_integers(name: str, schema: dict[str, Any]) -> None:
    """A time is a whole number of epoch milliseconds, and its description says so."""
    for path, field, inner in properties(schema, name):
        assert "format" not in inner, path
        if field in TIMES:
            assert inner["type"] == ["integer", "null"], path
            assert "epoch milliseconds, UTC" in inner["description"], path


def test_ids_are_integers(name: str, schema: dict[str, Any]) -> None:
    """An id of Drift is a number, except those of accounts and tokens."""
    for path, field, inner in properties(schema, name):
        if field == "id" or field.endswith("Id"):
            expected = "string" if path in ("accounts.accountId", "token_info.id") else "integer"
            assert expected in (inner["type"], inner["type"][0]), path


def test_schema_promises_nothing_else(name: str, schema: dict[str, Any]) -> None:
    """No enums, patterns, formats, bounds or required properties: Drift's values change without notice."""
    for path, _, inner in properties(schema, name):
        assert set(inner) <= WORDS, path
        assert inner.get("additionalProperties", True) is True, path
    assert "required" not in schema


def test_arrays_say_what_they_hold(name: str, schema: dict[str, Any]) -> None:
    """An array has items with a type of their own, and an object in it stays open."""
    for path, _, inner in properties(schema, name):
        if "array" in inner["type"] and "string" not in inner["type"]:
            assert "type" in inner["items"], path
            if "object" in inner["items"]["type"]:
                assert inner["items"]["additionalProperties"] is True, path


FULL = {
    "accounts": {
        "accountId": "1_a.example",
        "ownerId": 2**40,
        "name": "A",
        "domain": "www.a.example",
        "customProperties": [
            {"label": "L", "name": " n ", "value": value, "type": "T"} for value in ("x", 1.5, True, [])
        ],
        "deleted": False,
        "targeted": True,
        "createDateTime": NOW,
        "updateDateTime": NOW,
        "unheard_of": {"of": [1]},
    },
    "conversations": {
        "id": 2**40,
        "status": "bulk_sent",
        "contactId": 2**41,
        "inboxId": 1,
        "createdAt": NOW - 1,
        "updatedAt": NOW - 1,
        "unheard_of": {"of": None},
    },
    "users": {"id": 2**40, "orgId": 1, "name": "Zoë 😀", "role": "unheard_of", "bot": True, "createdAt": NOW},
    "token_info": {"authenticated_userid": "orgId:1", "expires_in": 0, "created_at": NOW, "scope": "a b", "id": "x"},
}


def test_row_comes_as_drift_sends_it(drift: Drift, connector: Connector, name: str) -> None:
    """A row keeps every field, its name and its type, known to the schema or not, and unset ones stay out."""
    drift.answers(STREAMS[name].path, STREAMS[name].envelope([FULL[name]]))
    assert connector.read(name).records(name) == [FULL[name]]


def test_known_fields_of_a_row_are_in_the_schema(name: str, schema: dict[str, Any]) -> None:
    """The fields of a whole row are those of the schema, but for what Drift may add."""
    assert set(FULL[name]) - {"unheard_of"} <= set(schema["properties"])
