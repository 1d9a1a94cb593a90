"""The server matches openapi.yaml: tests with generated requests, real rows, and broken responses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import sandbox as package
from sandbox import ALL_SCOPES, WRITE_SCOPES, Drift, Fault, Options, Sandbox
from sandbox.endpoints import ENDPOINTS
from sandbox.options import LastPage, Paging

CONTRACT = Path(package.__file__).parent / "openapi.yaml"
OPTIONS = Options(
    rate_limit=None,
    reports_per_minute=None,
    over_limit="refuse",
    tokens={"sandbox-token": ALL_SCOPES + WRITE_SCOPES},
)
TOKEN = {"Authorization": "Bearer sandbox-token"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
SCHEMA = schemathesis.openapi.from_path(CONTRACT)
# Drift ignores unknown parameters, so they are not errors.
SCHEMA.config.generation.allow_extra_parameters = False
OPERATIONS: list[Any] = [found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


def documented() -> dict[tuple[str, str], dict[str, Any]]:
    contract = yaml.safe_load(CONTRACT.read_text())
    return {
        (method.upper(), path): operation
        for path, item in contract["paths"].items()
        for method, operation in item.items()
        if method.upper() in METHODS
    }


@pytest.fixture(scope="module")
def drift() -> Drift:
    return Drift(conversations=130, accounts=70, users=12, meetings=40)


@pytest.fixture(scope="module")
def sandbox(drift: Drift) -> Iterator[Sandbox]:
    with Sandbox(drift, OPTIONS) as running:
        yield running


@pytest.fixture(autouse=True)
def _as_agreed(sandbox: Sandbox) -> None:
    sandbox.options, sandbox.faults = OPTIONS, ()
    sandbox.journal.clear()


@pytest.fixture(scope="module")
def contract(sandbox: Sandbox) -> Any:
    SCHEMA.config.update(base_url=sandbox.url)
    return SCHEMA


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_generated_requests_are_answered_as_documented(sandbox: Sandbox, operation: Any, mode: GenerationMode) -> None:
    """Valid and invalid requests get a documented status, content type and body."""

    @settings(
        max_examples=3 if mode.is_negative else 8,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def hold(case: schemathesis.Case) -> None:
        # A null in a query is never sent, so what it makes invalid is valid on the wire.
        assume(not any(None in value for value in (case.query or {}).values() if isinstance(value, list)))
        response = case.call(base_url=sandbox.url, headers=TOKEN)
        case.validate_response(response, checks=[*CHECKS, negative_data_rejection])

    hold()
    assert sandbox.journal.count() > 0


def test_routes_and_contract_have_the_same_operations() -> None:
    """The route table and openapi.yaml contain the same operations."""
    served = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    assert served == set(documented())


def test_scopes_are_those_of_the_contract() -> None:
    """Each endpoint and openapi.yaml require the same scope, and together they require every scope."""
    served = {(one.method, one.path): None if not one.token else [one.scope] if one.scope else [] for one in ENDPOINTS}
    written = {
        key: next(iter(operation["security"][0].values())) if "security" in operation else None
        for key, operation in documented().items()
    }
    assert served == written
    assert {scope for scopes in written.values() for scope in scopes or ()} == {*ALL_SCOPES, *WRITE_SCOPES}


@pytest.mark.parametrize("path", sorted({endpoint.path for endpoint in ENDPOINTS}))
def test_undocumented_methods_are_refused(sandbox: Sandbox, path: str) -> None:
    """Any other method returns 405 and the allowed methods."""
    allowed = {method for method, known in documented() if known == path}
    url = sandbox.url + path.replace("{conversationId}", "1").replace("{contactId}", "1").replace("{accountId}", "1")
    refused = {method: requests.request(method, url, headers=TOKEN, timeout=10) for method in METHODS}
    found = {method: (response.status_code, response.headers.get("Allow")) for method, response in refused.items()}
    assert {method for method, (status, _) in found.items() if status != 405} == allowed, found
    assert {frozenset(allow.split(", ")) for status, allow in found.values() if status == 405} == {frozenset(allowed)}


def test_unknown_paths_are_not_found(sandbox: Sandbox) -> None:
    """The paths that published connectors request do not exist."""
    for path in ("/conversations", "/users", "/inboxes"):
        response = requests.get(sandbox.url + path, headers=TOKEN, timeout=10)
        assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found"), path
    assert sandbox.journal[-1].status == 404


def ask(contract: Any, path: str, method: str = "GET", **parts: Any) -> requests.Response:
    """Request real data, and validate the response against the contract."""
    case = contract[path][method].Case(**parts)
    response: Any = case.call(headers=TOKEN)
    case.validate_response(response, checks=CHECKS)
    return response  # type: ignore[no-any-return]


def test_rows_conform(contract: Any, drift: Drift) -> None:
    """The rows of every stream conform to their schema."""
    for row in list(drift.expected("conversations"))[::3]:
        ask(contract, "/conversations/{conversationId}", path_parameters={"conversationId": row["id"]})
        ask(contract, "/conversations/{conversationId}/messages", path_parameters={"conversationId": row["id"]})
        ask(contract, "/contacts/{contactId}", path_parameters={"contactId": row["contactId"]})
    for account_id in list(drift.keys("accounts"))[::3]:
        ask(contract, "/accounts/{accountId}", path_parameters={"accountId": account_id})
    for path in ("/users/list", "/teams/org", "/playbooks/list", "/playbooks/clp", "/conversations/stats"):
        assert ask(contract, path).json(), path
    times = {"min_start_time": 0, "max_start_time": 99999999999999, "limit": 1000}
    assert len(ask(contract, "/users/meetings/org", query=times).json()["data"]) == drift.count("meetings")
    report = {
        "metrics": list(package.METRICS),
        "filters": [{"property": "status", "operation": "IN", "values": ["OPEN"]}],
    }
    assert ask(contract, "/reports/conversations", "POST", body=report, media_type="application/json").json()["count"]
    email = next(row["attributes"]["email"] for row in drift.expected("contacts") if "email" in row["attributes"])
    assert ask(contract, "/contacts", query={"email": email}).json()["data"]
    named = next(file["id"] for row in drift.expected("messages") for file in row.get("attachments", ()))
    file = ask(contract, "/attachments/{attachmentId}/data", path_parameters={"attachmentId": named})
    assert file.content.startswith(b"%PDF"), file.content[:20]


def test_writes_conform(contract: Any, drift: Drift) -> None:
    """Accepted and refused writes of a real contact conform to the contract."""

    def write(path: str, method: str, body: Any = None, **parameters: Any) -> tuple[int, Any]:
        sent = {} if body is None else {"body": body, "media_type": "application/json"}
        answer = ask(contract, path, method, path_parameters=parameters, **sent)
        return answer.status_code, answer.json()

    new = {"attributes": {"email": "ada@example.com", "externalId": "x-1", "shoe_size": 38.5}}
    _, created = write("/contacts", "POST", new)
    one = {"contactId": created["data"]["id"]}
    tags = "/contacts/{contactId}/tags"
    assert [
        write("/contacts", "POST", new)[0],
        write("/contacts/{contactId}", "PATCH", {"attributes": {"is_trial": True}}, **one)[0],
        write(tags, "POST", [{"name": "vip"}], **one)[0],
        write(f"{tags}/{{tagName}}", "DELETE", tagName="vip", **one)[0],
        write(f"{tags}/delete/_bulk", "POST", ["vip"], **one)[0],
        write("/emails/unsubscribe", "POST", ["ada@example.com"])[0],
        write("/gdpr/retrieve", "POST", {"email": "ada@example.com"})[0],
        write("/contacts/{contactId}", "DELETE", **one)[0],
        write("/gdpr/delete", "POST", {"email": "ada@example.com"})[0],
    ] == [409, 200, 200, 200, 200, 200, 200, 202, 200]
    ask(contract, "/contacts", query={"idType": "external", "id": ["x-1", "x-2"]})
    assert ask(contract, "/contacts/attributes").json()["data"]["properties"][-1]["name"] == "shoe_size"


@pytest.mark.parametrize(("paging", "last_page"), list(itertools.product(get_args(Paging), get_args(LastPage))))
def test_every_form_of_paging_conforms(sandbox: Sandbox, contract: Any, paging: Any, last_page: Any) -> None:
    """First, middle and last pages conform to the contract with every pagination option."""
    sandbox.options = replace(OPTIONS, paging=paging, last_page=last_page)
    first = {"limit": 50} if paging == "next" else {"limit": 100, "page_token": ""}
    answer = ask(contract, "/conversations/list", query=first).json()
    assert ("links" in answer, "pagination" in answer) == (paging != "next", paging != "links")
    for offset in (100, 130) if paging != "links" else ():
        ask(contract, "/conversations/list", query={"limit": 50, "next": offset})
    for index in (0, 60, 70):
        ask(contract, "/accounts", query={"index": index, "size": 30})


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda body: body | {"extra": 1}, id="unknown key"),
        pytest.param(
            lambda body: body | {"data": [row | {"id": str(row["id"])} for row in body["data"]]}, id="string id"
        ),
        pytest.param(
            lambda body: body | {"data": [row | {"participants": []} for row in body["data"]]}, id="detail in list"
        ),
        pytest.param(lambda body: {"links": body["links"]}, id="no data"),
        pytest.param(lambda body: body | {"pagination": {"more": True}}, id="more without next"),
    ],
)
def test_the_contract_is_strict_enough_to_fail(sandbox: Sandbox, contract: Any, spoil: Any) -> None:
    """A response that Drift would not send does not conform."""
    sandbox.faults = [Fault("/conversations/list", "body", change=spoil)]
    with pytest.raises(FailureGroup):
        ask(contract, "/conversations/list", query={"limit": 5})
