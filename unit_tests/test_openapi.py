"""The schemas of the streams and openapi.yaml have the same fields, at every depth."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from sandbox import METRICS
from unit_tests.conftest import ROOT

CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "sandbox" / "openapi.yaml").read_text(encoding="utf-8"))
# The operation of a stream, and the place of its rows in the response; `[]` means the items of a list.
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
# Streams whose rows the connector builds from another form of response.
MADE = {"conversation_metrics", "conversation_stats"}
SELDOM = "documented, but in no recorded response, so the sandbox does not send it"
OLDER = "from an older model of messages, which an organization's first years may contain"
ATTRIBUTES = "attributes stay one open object, because an organization's own names may differ only in case"
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
    """A schema of the contract with its references and combinations resolved."""
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
    """The contract's schema for a row of a stream."""
    operation, path = ROWS[stream]
    method, route = operation.split()
    schema = CONTRACT["paths"][route][method]["responses"]["200"]["content"]["application/json"]["schema"]
    for step in path.split():
        schema = resolved(schema)["items"] if step == "[]" else resolved(schema)["properties"][step]
    return dict(schema)


@pytest.mark.parametrize("stream", ROWS)
def test_schema_and_contract_have_the_same_fields(stream: str, manifest: dict[str, Any]) -> None:
    """Each field is in both, or this file says why not."""
    declared = set(fields(manifest["schemas"][stream], stream))
    documented = set(fields(row_of(stream), stream))
    assert declared - documented == {path for path in ONLY_IN_THE_SCHEMA if path.split(".")[0] == stream}
    assert documented - declared == {path for path in ONLY_IN_THE_CONTRACT if path.split(".")[0] == stream}


def test_metrics_of_the_report_are_those_of_the_contract(manifest: dict[str, Any]) -> None:
    """A report has the metrics of the contract, and the ID of their conversation."""
    declared = manifest["schemas"]["conversation_metrics"]["properties"]
    assert set(declared) == {"conversationId", *CONTRACT["components"]["schemas"]["Metric"]["enum"]}
    assert set(METRICS) <= set(declared)


def test_counts_have_a_row_each(manifest: dict[str, Any]) -> None:
    """The contract has a number for each status, and the connector makes a row of each."""
    assert set(manifest["schemas"]["conversation_stats"]["properties"]) == {"status", "count"}


def test_every_schema_is_compared(manifest: dict[str, Any]) -> None:
    """No schema is left out."""
    assert set(manifest["schemas"]) == set(ROWS) | MADE
