"""The schemas of the streams and the contract of the API name the same fields, at every depth."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from sandbox import METRICS
from unit_tests.conftest import ROOT

CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "sandbox" / "openapi.yaml").read_text(encoding="utf-8"))
# The operation of a stream, and where its rows stand in the answer; `[]` is the items of a list.
ROWS = {
    "accounts": ("get /accounts", "data accounts []"),
    "conversations": ("get /conversations/list", "data []"),
    "users": ("get /users/list", "data []"),
    "messages": ("get /conversations/{conversationId}/messages", "data messages []"),
    "conversation_details": ("get /conversations/{conversationId}", "data"),
    "contacts": ("get /contacts/{contactId}", "data"),
    "meetings": ("get /users/meetings/org", "data []"),
    "teams": ("get /teams/org", "data []"),
    "playbooks": ("get /playbooks/list", "[]"),
    "landing_pages": ("get /playbooks/clp", "[]"),
    "contact_attributes": ("get /contacts/attributes", "data properties []"),
    "token_info": ("post /app/token_info", ""),
}
# Streams whose rows the connector makes of an answer of another form.
MADE = {"conversation_metrics", "conversation_stats"}
SELDOM = "documented, but in no answer that somebody recorded, and so not what the sandbox sends"
OLDER = "of an older model of messages, of which an organisation's first years may hold some"
ATTRIBUTES = "attributes stay one open object: an organisation's own names may differ by case alone"
ONLY_IN_THE_SCHEMA = {
    "conversations.orgId": SELDOM,
    "conversation_details.orgId": SELDOM,
    "messages.orgId": SELDOM,
    "messages.editedMessageId": OLDER,
    "messages.editType": OLDER,
}
ONLY_IN_THE_CONTRACT = {
    "contacts.attributes.email": ATTRIBUTES,
    "contacts.attributes.name": ATTRIBUTES,
    "contacts.attributes.phone": ATTRIBUTES,
    "contacts.attributes.externalId": ATTRIBUTES,
    "token_info.access_token": "a secret never leaves the connector",
}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of the contract with the properties and items of all that it refers to and combines."""
    while "$ref" in schema:
        _, *path = schema["$ref"].split("/")
        schema = CONTRACT
        for name in path:
            schema = schema[name]
    found: dict[str, Any] = {"properties": dict(schema.get("properties", {})), "items": schema.get("items", {})}
    for word in ("allOf", "oneOf", "anyOf"):
        for part in map(resolved, schema.get(word, [])):
            found = {"properties": found["properties"] | part["properties"], "items": found["items"] or part["items"]}
    return found


def fields(schema: dict[str, Any], path: str) -> Iterator[str]:
    """The path of every field, at every depth."""
    schema = resolved(schema)
    for name, inner in schema["properties"].items():
        yield f"{path}.{name}"
        yield from fields(inner, f"{path}.{name}")
    if schema["items"]:
        yield from fields(schema["items"], f"{path}[]")


def row_of(stream: str) -> dict[str, Any]:
    """What the contract says of a row of a stream."""
    operation, path = ROWS[stream]
    method, route = operation.split()
    schema = CONTRACT["paths"][route][method]["responses"]["200"]["content"]["application/json"]["schema"]
    for step in path.split():
        schema = resolved(schema)["items"] if step == "[]" else resolved(schema)["properties"][step]
    return dict(schema)


@pytest.mark.parametrize("stream", ROWS)
def test_schema_and_contract_name_the_same_fields(stream: str, manifest: dict[str, Any]) -> None:
    """A field of one stands in the other, or here with the reason why not."""
    declared = set(fields(manifest["schemas"][stream], stream))
    documented = set(fields(row_of(stream), stream))
    assert declared - documented == {path for path in ONLY_IN_THE_SCHEMA if path.split(".")[0] == stream}
    assert documented - declared == {path for path in ONLY_IN_THE_CONTRACT if path.split(".")[0] == stream}


def test_figures_of_the_report_are_those_of_the_contract(manifest: dict[str, Any]) -> None:
    """A report has the metrics that the contract lists, beside the conversation that they belong to."""
    declared = manifest["schemas"]["conversation_metrics"]["properties"]
    assert set(declared) == {"conversationId", *CONTRACT["components"]["schemas"]["Metric"]["enum"]}
    assert set(METRICS) <= set(declared)


def test_counts_have_a_row_each(manifest: dict[str, Any]) -> None:
    """The contract gives a number for each status, of which the connector makes a row."""
    assert set(manifest["schemas"]["conversation_stats"]["properties"]) == {"status", "count"}


def test_every_schema_is_compared(manifest: dict[str, Any]) -> None:
    """No schema is left out."""
    assert set(manifest["schemas"]) == set(ROWS) | MADE
