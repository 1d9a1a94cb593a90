"""The schemas promise only what Drift guarantees: all fields except the key can be missing, and others can be added."""

from collections.abc import Iterator
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest
from jsonschema import Draft7Validator

import sandbox.data
from unit_tests.conftest import METRICS, NOW, STREAMS, Connector, Drift

# The keywords that a property may have; others would promise something that Drift does not guarantee.
WORDS = {"type", "description", "items", "properties", "additionalProperties"}
TIMES = {
    *("createdAt", "updatedAt", "createDateTime", "updateDateTime", "created_at"),
    *("slotStart", "slotEnd", "scheduledAt", "firstCloseAt", "firstAgentMessageAt"),
}
# Fields whose type differs in these places, and why.
OTHER_TYPES = {
    "accounts.accountId": "a key that consists of the organization and the domain, such as 1_example.com",
    "token_info.id": "the ID of a token, which joins to nothing",
    "meetings.eventId": "the entry in the calendar, whose IDs are strings",
    "teams.workspaceId": "a UUID",
    "playbooks.goals[].id": "a UUID",
    "accounts.customProperties[].value": "a value of any type that the organization chose",
}


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
    return dict(manifest["schemas"]["contacts" if name == "contacts_by_email" else name])


def test_schema_is_open(schema: dict[str, Any]) -> None:
    """A row can have fields that the schema does not have."""
    assert (schema["type"], schema["additionalProperties"]) == ("object", True)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_every_property_but_the_key_can_be_null(name: str, schema: dict[str, Any]) -> None:
    """Drift leaves out values that are not set, so every property except the key is nullable."""
    for path, _, inner in properties(schema, name):
        if path in {f"{name}.{key}" for key in STREAMS[name].keys}:
            assert inner["type"] in ("integer", "string"), path
        else:
            assert isinstance(inner["type"], list), path
            assert inner["type"][-1] == "null", path


def test_every_property_is_described(name: str, schema: dict[str, Any]) -> None:
    """Each property has a description of one sentence or more."""
    for path, _, inner in properties(schema, name):
        assert inner.get("description", "").endswith("."), path
        assert len(inner["description"]) >= 8, path


def test_times_and_ids_are_integers(name: str, schema: dict[str, Any]) -> None:
    """Times are integers in epoch milliseconds, and say so; IDs are integers, with the exceptions above."""
    for path, field, inner in properties(schema, name):
        assert "format" not in inner, path
        if field in TIMES or field == "id" or field.endswith("Id"):
            types = [inner["type"]] if isinstance(inner["type"], str) else inner["type"]
            assert types[0] == ("string" if path in OTHER_TYPES else "integer"), path
            assert types[1:] in ([], ["null"]), path
        if field in TIMES:
            assert "epoch milliseconds, UTC" in inner["description"], path


def test_one_name_has_one_type(manifest: dict[str, Any]) -> None:
    """A field that several streams have has the same type in all of them, so that tables join without a cast."""
    found: dict[str, dict[str, str]] = {}
    for stream, schema in manifest["schemas"].items():
        for path, field, inner in properties(schema, stream):
            types = [inner["type"]] if isinstance(inner["type"], str) else inner["type"]
            found.setdefault(field, {})[path] = "|".join(kind for kind in types if kind != "null")
    mixed = {
        field: places
        for field, places in found.items()
        if len({kind for path, kind in places.items() if path not in OTHER_TYPES}) > 1
    }
    assert mixed == {}
    # Each exception is needed: the field is an integer elsewhere, or an ID.
    assert set(OTHER_TYPES) <= {path for places in found.values() for path in places}


def test_schema_promises_nothing_else(name: str, schema: dict[str, Any]) -> None:
    """There are no enums, patterns, formats, bounds or required properties: Drift's values change silently."""
    for path, _, inner in properties(schema, name):
        assert set(inner) <= WORDS, path
        assert inner.get("additionalProperties", True) is True, path
    assert "required" not in schema


def test_arrays_have_item_types(name: str, schema: dict[str, Any]) -> None:
    """The items of an array have a type, and its objects are open."""
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
# A Drift of the sandbox whose rows have all possible fields.
ORGANIZATION = sandbox.Drift(
    3, now=NOW - 1, conversations=60, accounts=30, meetings=40, teams=6, playbooks=8, landing_pages=5, contacts=40
)


@cache
def rows_of(stream: str) -> list[dict[str, Any]]:
    """The rows of a complete sync of the sandbox, with metrics by name and "NaN" as null."""
    emails = [row["attributes"]["email"] for row in ORGANIZATION.expected("contacts") if "email" in row["attributes"]]
    # Drift lists past meetings for the last 30 days only, by its own clock.
    with patch.object(sandbox.data, "_wall_clock", lambda: NOW):
        rows = list(ORGANIZATION.expected(stream, emails=emails))
    if stream == "conversation_metrics":
        figures = [zip(METRICS, row["metrics"], strict=True) for row in rows]
        return [
            {"conversationId": row["conversationId"]}
            | {metric: None if figure == "NaN" else figure for metric, figure in given}
            for row, given in zip(rows, figures, strict=True)
        ]
    return rows


def undeclared(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """A value with unknown fields in each object."""
    if isinstance(value, list):
        for inner in value:
            yield from undeclared(inner, schema.get("items", {}), f"{path}[]")
    if isinstance(value, dict) and "properties" in schema:
        for field, inner in value.items():
            if field not in schema["properties"]:
                yield f"{path}.{field}"
            yield from undeclared(inner, schema["properties"].get(field, {}), f"{path}.{field}")


@pytest.mark.parametrize("name", FULL)
def test_row_is_unchanged(drift: Drift, connector: Connector, name: str) -> None:
    """A row keeps the name and type of every field, in the schema or not, and unset fields stay missing."""
    drift.answers(STREAMS[name].path, STREAMS[name].envelope([FULL[name]]))
    assert connector.read(name).records(name) == [FULL[name]]


@pytest.mark.parametrize("name", FULL)
def test_known_fields_of_a_row_are_in_the_schema(name: str, schema: dict[str, Any]) -> None:
    """A complete row has the fields of the schema, plus those that Drift may add."""
    assert set(FULL[name]) - {"unheard_of"} <= set(schema["properties"])


@pytest.mark.parametrize("name", sandbox.PRIMARY_KEYS)
def test_rows_of_the_sandbox_fit_the_schema(name: str, schema: dict[str, Any]) -> None:
    """Every row of the sandbox matches the types and keys of the schema, and has no other field."""
    rows, validator = rows_of(name), Draft7Validator(schema)
    assert rows
    for row in rows:
        assert [error.message for error in validator.iter_errors(row)] == [], row
        assert list(undeclared(row, schema, name)) == []
        assert all(row.get(key) is not None for key in STREAMS[name].keys), row


@pytest.mark.parametrize("name", sandbox.PRIMARY_KEYS)
def test_fields_of_the_schema_are_those_of_the_sandbox(name: str, schema: dict[str, Any]) -> None:
    """Fields that no row of the sandbox has are fields that Drift rarely or no longer sends."""
    seldom = {
        "conversations": {"orgId"},
        "messages": {"orgId", "attachments", "editedMessageId", "editType"},
        "conversation_details": {"orgId"},
    }
    found = {field for row in rows_of(name) for field in row}
    assert set(schema["properties"]) - found <= seldom.get(name, set())


def test_keys_of_the_sandbox_are_those_of_the_streams() -> None:
    """The sandbox and the connector have the same streams and keys, except token_info."""
    assert {name: list(keys) for name, keys in sandbox.PRIMARY_KEYS.items()} == {
        name: stream.keys for name, stream in STREAMS.items() if name != "token_info"
    }
    assert list(sandbox.METRICS) == METRICS
