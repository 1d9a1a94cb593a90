"""The manifest as a whole: the requirements for every stream, and the arithmetic of the request budget."""

import ast
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

import components
from unit_tests.conftest import API, CHILDREN, MANIFEST, ROOT, STREAMS, Clock, Connector, Drift, config, needs


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from nodes(inner)


def of_type(value: Any, *types: str) -> list[dict[str, Any]]:
    return [node for node in nodes(value) if node.get("type") in types]


@pytest.fixture(params=STREAMS)
def stream(request: pytest.FixtureRequest, resolved: dict[str, Any]) -> dict[str, Any]:
    """Each stream, as the CDK builds it."""
    [found] = [stream for stream in resolved["streams"] if stream["name"] == request.param]
    return found


def test_streams_are_these(resolved: dict[str, Any], connector: Connector) -> None:
    """The manifest has the streams that these tests know, and the source builds all of them."""
    assert [stream["name"] for stream in resolved["streams"]] == list(STREAMS)
    assert [stream.name for stream in connector.source().streams({})] == list(STREAMS)


def test_check_needs_no_scope(resolved: dict[str, Any]) -> None:
    """The check reads the stream that any token can read."""
    assert resolved["check"] == {"type": "CheckStream", "stream_names": ["token_info"]}


def test_version_is_that_of_the_tested_cdk(manifest: dict[str, Any]) -> None:
    """The manifest has the CDK version that components.py was checked against."""
    assert f"airbyte-cdk {manifest['version']}." in str(components.__doc__)


def test_stream_is_described(stream: dict[str, Any]) -> None:
    """A comment describes each stream and links to its documentation, because the CDK has no field for this."""
    comment = re.search(
        rf"^    name: {stream['name']}\n    # (.+)$", MANIFEST.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert comment, stream["name"]
    assert re.fullmatch(r"[A-Z][^()]{20,}( \(devdocs [a-z-]+(; [a-z ]+)?\))?\.", comment[1]), comment[1]
    assert "description" not in stream


def test_stream_has_its_key(stream: dict[str, Any]) -> None:
    """A stream has a primary key, which is in its schema and never null."""
    assert stream["primary_key"] == STREAMS[stream["name"]].keys
    schema = stream["schema_loader"]["schema"]["properties"]
    assert {schema[key]["type"] for key in stream["primary_key"]} <= {"integer", "string"}


def test_cursor_is_in_the_schema(stream: dict[str, Any]) -> None:
    """The cursor of a stream is in its schema, because the platform deduplicates by it."""
    cursor = stream.get("incremental_sync", {}).get("cursor_field", STREAMS[stream["name"]].key)
    assert cursor in stream["schema_loader"]["schema"]["properties"]


def custom(value: Any) -> list[dict[str, Any]]:
    """The components that read responses, with their parameters."""
    told = [node for node in nodes(value) if "class_name" in node and "authenticator" not in node]
    return [node["$parameters"] for node in told]


def test_parent_is_the_stream_of_that_name(stream: dict[str, Any], resolved: dict[str, Any]) -> None:
    """A child reads conversations exactly like the conversations stream: its parameters don't reach the parent."""
    [conversations] = [other for other in resolved["streams"] if other["name"] == "conversations"]
    parents = [node["stream"] for node in of_type(stream, "ParentStreamConfig")]
    assert [parent["name"] for parent in parents] == ["conversations"] * (stream["name"] in CHILDREN)
    for parent in parents:
        assert custom(parent) == custom(conversations)


def test_each_custom_component_knows_its_stream(stream: dict[str, Any]) -> None:
    """All components of a stream use the same place of the records and the same notes."""
    reading = custom({**stream["retriever"], "partition_router": None})
    texts = {"missing_scope", "refused_here", "refused_token"}
    assert [{name: one[name] for name in one if name not in texts} for one in reading] == [stream["$parameters"]] * 3
    assert stream["$parameters"]["name"] == stream["name"]
    assert stream["$parameters"].get("key", ["id"]) == stream["primary_key"]
    if "incremental_sync" in stream:
        assert stream["$parameters"]["cursor_field"] == stream["incremental_sync"]["cursor_field"]


def test_stream_names_its_scope(stream: dict[str, Any]) -> None:
    """A stream has its required scope, for the message of a 403."""
    assert stream["$parameters"]["required_scope"] == STREAMS[stream["name"]].scope


def test_requester_has_timeouts(stream: dict[str, Any]) -> None:
    """Every requester has a connect and a read timeout, because the CDK would wait forever."""
    requesters = of_type(stream, "HttpRequester")
    assert requesters
    for requester in requesters:
        assert 1 <= requester["connect_timeout_in_seconds"] <= 30
        assert 10 <= requester["read_timeout_in_seconds"] <= 120


def test_timeouts_reach_the_request(connector: Connector) -> None:
    """The HTTP client of each stream uses the timeouts of the manifest."""
    for built in connector.source().streams({}):
        retriever = built._stream_partition_generator._partition_factory._retriever
        assert retriever.requester._http_client._request_timeout == (10, 60), built.name


def test_requester_uses_our_host_and_token(stream: dict[str, Any]) -> None:
    """Every requester uses `api_url`, the guarded authenticator and the one error handler."""
    for requester in of_type(stream, "HttpRequester"):
        assert requester["url"].startswith("{{ config['api_url'] }}/"), requester["url"]
        assert requester["authenticator"]["class_name"].endswith(".OneHostAuthenticator")
        assert requester["error_handler"]["class_name"].endswith(".DriftErrorHandler")


def test_every_list_can_be_paginated(stream: dict[str, Any]) -> None:
    """If Drift starts to paginate a list without pages, the stream follows the pages."""
    assert stream["retriever"]["paginator"]["pagination_strategy"]["class_name"].endswith(".NamedPages")


def test_cursors_end_far_away_or_in_windows(resolved: dict[str, Any]) -> None:
    """A nearer end would drop rows dated in the future and end reads silently; only filtered lists have windows."""
    cursors = of_type(resolved["streams"], "DatetimeBasedCursor")
    whole = [cursor for cursor in cursors if "step" not in cursor]
    assert (len(cursors), len(whole)) == (3 + 2 * len(CHILDREN), 1 + 2 * len(CHILDREN))
    assert {cursor["end_datetime"]["datetime"] for cursor in whole} == {"0253402214400000"}
    assert datetime.fromtimestamp(253_402_214_400, UTC) == datetime(9999, 12, 31, tzinfo=UTC)
    # The parent already has the look-back; a second one would only read more.
    assert sorted(cursor["lookback_window"] for cursor in whole) == [*["PT0S"] * 3, *["PT10M"] * 4]


def test_truncated_windows_are_split(stream: dict[str, Any]) -> None:
    """A stream with windows has a cursor with steps, a retriever that splits, and a handler that says when."""
    is_windowed = stream["name"] in ("conversation_metrics", "meetings")
    assert stream["$parameters"].get("windowed", False) == is_windowed
    assert ("request_window_splitting" in stream["retriever"]) == is_windowed
    assert ("step" in stream.get("incremental_sync", {})) == is_windowed


def test_modes(connector: Connector) -> None:
    """Streams with an update time are incremental; lists that drop rows, or have no history, are not."""
    offered = {
        stream.name: (stream.as_airbyte_stream().default_cursor_field or None)
        for stream in connector.source().streams({})
    }
    assert offered == {
        **dict.fromkeys(STREAMS, None),
        "conversations": ["updatedAt"],
        "messages": ["createdAt"],
        "conversation_details": ["updatedAt"],
        "contacts": ["createdAt"],
        "conversation_metrics": ["updatedAt"],
        "meetings": ["updatedAt"],
    }


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("RequestPath", "it sends the token to any host in a response"),
        ("CursorPagination", "it can loop endlessly"),
        ("CompositeErrorHandler", "it drops FAIL and RATE_LIMITED"),
        ("HttpResponseFilter", "its FAIL logs the bodies of request and response"),
        ("FixedWindowCallRatePolicy", "its first window lasts ten days"),
        ("DpathExtractor", "it reads an invalid response as no records"),
    ],
)
def test_parts_that_lose_or_leak(resolved: dict[str, Any], kind: str, reason: str) -> None:
    """The manifest uses none of the CDK's features that lose data or leak credentials."""
    assert of_type(resolved, kind) == [], reason


def test_no_stream_is_a_data_feed(resolved: dict[str, Any]) -> None:
    """No stream is a data feed, which would end at the first page whose last row is old."""
    assert [node for node in nodes(resolved) if node.get("is_data_feed")] == []


def test_children_run_in_turn(resolved: dict[str, Any]) -> None:
    """The first one requests the list of conversations, and the others find it in the cache."""
    groups = {name: [one["name"] for one in group["streams"]] for name, group in resolved["stream_groups"].items()}
    assert groups == {"conversation_children": CHILDREN}


def test_streams_are_references(manifest: dict[str, Any]) -> None:
    """The list of streams has only references to the definitions, in the order of the schemas."""
    assert manifest["streams"] == [{"$ref": f"#/definitions/{name}"} for name in STREAMS]
    # Both streams have the schema of a contact.
    assert list(manifest["schemas"]) == [name for name in STREAMS if name != "contacts_by_email"]


def test_manifest_has_no_secret_and_no_other_host(manifest: dict[str, Any]) -> None:
    """All URLs of the manifest are those of Drift, its documentation and the schema."""
    hosts = set(re.findall(r"https?://([a-z.-]+)", MANIFEST.read_text()))
    assert hosts == {"driftapi.com", "dev.drift.com", "docs.airbyte.com", "json-schema.org"}


# The budget

RATES = [(None, 35), (0, 35), (1, 1), (2, 2), (20, 20), (35, 35), (50, 50)]


def rated(rate: int | None) -> dict[str, Any]:
    return config() if rate is None else config(max_requests_per_second=rate)


@pytest.mark.parametrize(("rate", "expected"), RATES)
def test_budget_is_the_rate_of_the_config(connector: Connector, rate: int | None, expected: int) -> None:
    """A window of one second allows as many requests as the config says, by default 35; reports have lower limits."""
    source: ConcurrentDeclarativeSource = connector.source(rated(rate))
    source.streams({})
    budget = source._constructor._api_budget
    reports, others = [[(rate.limit, rate.interval) for rate in policy._bucket.rates] for policy in budget._policies]
    assert reports == [(min(5, expected), 1000), (50, 60_000)]
    assert others == [(expected, 1000)]


@pytest.mark.parametrize(("rate", "expected"), RATES)
def test_workers_fill_the_budget(connector: Connector, rate: int | None, expected: int) -> None:
    """There are enough workers for the budget at half a second per request, at least 2, and at most the maximum."""
    source: Any = connector.source(rated(rate))
    workers = source._concurrent_source._threadpool._threadpool._max_workers
    assert workers == expected // 2 + 6
    assert 2 <= workers <= 31


def test_workers_at_the_highest_rate_are_the_maximum(manifest: dict[str, Any]) -> None:
    """The maximum number of workers fits the maximum rate."""
    properties = manifest["spec"]["connection_specification"]["properties"]
    highest = properties["max_requests_per_second"]["maximum"]
    assert manifest["concurrency_level"]["max_concurrency"] == highest // 2 + 6
    assert properties["max_requests_per_second"]["default"] == 35


def test_budget_is_shared_by_all_streams(connector: Connector) -> None:
    """All streams share one budget, because Drift counts their requests together."""
    budgets = {
        id(stream._stream_partition_generator._partition_factory._retriever.requester._http_client._api_budget)
        for stream in connector.source().streams({})
    }
    assert len(budgets) == 1


@pytest.mark.parametrize("rate", [1, 5, 50])
def test_no_second_has_more_requests_than_the_rate(drift: Drift, connector: Connector, clock: Clock, rate: int) -> None:
    """During a long read, no second has more requests than the config allows."""
    sent: list[float] = []

    def page(request: Any) -> Any:
        sent.append(clock.now)
        body = {"data": [{"id": len(sent), "updatedAt": 1_700_000_000_000 - len(sent)}]}
        return {**body, "links": {"next": f"/x?page_token={len(sent)}"}} if len(sent) < 60 else body

    drift.answers("/conversations/list", page)
    connector.read("conversations", config=config(max_requests_per_second=rate))
    assert len(sent) >= 60
    for moment in sent:
        within = [other for other in sent if moment <= other < moment + 0.999]
        assert len(within) <= rate, (moment, within)


def test_catalog_is_complete(connector: Connector) -> None:
    """The catalog has the schema, key and modes of each stream, without references."""
    for stream in connector.source().streams({}):
        offered = stream.as_airbyte_stream()
        assert offered.source_defined_primary_key == [[key] for key in STREAMS[stream.name].keys]
        assert "$ref" not in json.dumps(offered.json_schema)
        assert offered.json_schema["properties"]


def test_default_host(drift: Drift, connector: Connector) -> None:
    """By default, requests go to Drift's own host."""
    connector.read("users")
    assert [request.url for request in drift.requests] == [f"{API}/users/list"]


# components.py

TREE = ast.parse((ROOT / "components.py").read_text(encoding="utf-8"))
ALLOWED = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.ClassDef, ast.FunctionDef, ast.Expr)


def test_components_are_small(manifest: dict[str, Any]) -> None:
    """components.py has at most 600 lines and nine classes, and the manifest uses only these classes."""
    lines = (ROOT / "components.py").read_text(encoding="utf-8").splitlines()
    classes = [node.name for node in ast.walk(TREE) if isinstance(node, ast.ClassDef)]
    named = {node["class_name"] for node in nodes(manifest) if "class_name" in node}
    assert {name.rpartition(".")[2] for name in named} <= set(classes)
    assert {name.rpartition(".")[0] for name in named} == {"source_declarative_manifest.components"}
    assert (len(lines) <= 600, len(classes) <= 9) == (True, True), (len(lines), classes)


def test_nothing_is_executed_at_import() -> None:
    """The top level of components.py has only imports, constants, functions and classes."""
    for node in TREE.body:
        assert isinstance(node, ALLOWED), ast.unparse(node)
        if isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant), ast.unparse(node)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            calls = {ast.unparse(call.func) for call in ast.walk(node.value) if isinstance(call, ast.Call)}
            assert calls <= {"logging.getLogger", "cdk.FailureType"}, ast.unparse(node)


def test_nothing_is_patched() -> None:
    """No function sets an attribute of a module or class, or changes a global name."""
    foreign = {
        alias.asname or alias.name.partition(".")[0]
        for node in TREE.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    } | {node.name for node in TREE.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in ast.walk(TREE):
        assert not isinstance(node, ast.Global), ast.unparse(node)
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            assert ast.unparse(node).partition(".")[0].partition("[")[0] not in foreign, ast.unparse(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("setattr", "delattr"):
            assert ast.unparse(node.args[0]) not in foreign, ast.unparse(node)


def test_module_and_classes_have_no_state(drift: Drift, connector: Connector) -> None:
    """A sync changes no value of the module or its classes, so sources share nothing."""

    def values() -> dict[str, Any]:
        owners = [components, *[found for found in vars(components).values() if is_ours(found)]]
        return {
            f"{owner.__name__}.{name}": deepcopy(value)
            for owner in owners
            for name, value in vars(owner).items()
            if isinstance(value, dict | list | set | int | str) and not name.startswith("__")
        }

    def is_ours(found: Any) -> bool:
        return isinstance(found, type) and found.__module__ == components.__name__

    before = values()
    drift.has_ahead = True
    outcome = connector.read(*STREAMS, config=config(**needs(*STREAMS)))
    assert {outcome.status(stream) for stream in STREAMS} == {"COMPLETE"}, outcome.summary
    assert values() == before
    # A registry starts empty.
    assert [name for name, value in before.items() if value in ({}, [], set())] == []
