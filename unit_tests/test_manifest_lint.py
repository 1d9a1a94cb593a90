"""The lint sees what the CDK ignores: every kind of mistake is planted once, and the real manifest has none."""

import sys
from copy import deepcopy
from dataclasses import InitVar, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

import components
from unit_tests.manifest_lint import main, problems

ROOT = Path(__file__).parents[1]


@dataclass
class Extractor:
    """Stands in for a class of components.py; only its type hints matter here."""

    records_at: str
    config: dict[str, Any]
    parameters: InitVar[dict[str, Any]]
    untyped = True


@pytest.fixture
def custom() -> ModuleType:
    """A components module with one class."""
    module = ModuleType("components")
    module.Extractor = Extractor
    return module


@pytest.fixture
def manifest() -> dict[str, Any]:
    """A manifest of one stream without a mistake."""
    return {
        "version": "7.39.1",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["things"]},
        "definitions": {
            "requester": {
                "type": "HttpRequester",
                "url_base": "https://driftapi.com",
                "path": "/{{ parameters.section }}",
                "read_timeout_in_seconds": 5,
                "request_headers": {"any-header": "is free"},
            },
            "selectors": {
                "things": {
                    "type": "RecordSelector",
                    "extractor": {
                        "type": "CustomRecordExtractor",
                        "class_name": "source_declarative_manifest.components.Extractor",
                        "records_at": "data",
                    },
                },
            },
        },
        "streams": [
            {
                "type": "DeclarativeStream",
                "name": "things",
                "primary_key": "id",
                "retriever": {
                    "type": "SimpleRetriever",
                    "requester": {"$ref": "#/definitions/requester"},
                    "record_selector": {"$ref": "#/definitions/selectors/things"},
                },
                "incremental_sync": {
                    "type": "DatetimeBasedCursor",
                    "cursor_field": "updatedAt",
                    "datetime_format": "%ms",
                    "start_datetime": {"type": "MinMaxDatetime", "datetime": "0", "datetime_format": "%ms"},
                },
                "schema_loader": {"type": "InlineSchemaLoader", "schema": {"$ref": "#/schemas/things"}},
                "$parameters": {"section": "things"},
            }
        ],
        "schemas": {
            "things": {
                "type": "object",
                "additionalProperties": True,
                "properties": {
                    "id": {"type": "integer", "description": "Key."},
                    "updatedAt": {"type": ["integer", "null"], "description": "Last change."},
                    "tags": {
                        "type": ["array", "null"],
                        "description": "Tags.",
                        "items": {
                            "type": "object",
                            "additionalProperties": True,
                            "properties": {"type": {"type": ["string", "null"], "description": "Kind of tag."}},
                        },
                    },
                },
            }
        },
        "spec": {
            "type": "Spec",
            "connection_specification": {"type": "object", "properties": {"token": {"type": "string"}}},
            "advanced_auth": {"auth_flow_type": "oauth2.0", "oauth_config_specification": {}},
        },
    }


def planted(manifest: dict[str, Any], path: str, value: Any = None) -> dict[str, Any]:
    """A copy of the manifest with `value` at the dotted path, or without that key where there is no value."""
    changed = deepcopy(manifest)
    *parents, last = path.split(".")
    node = changed
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node[part]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return changed


def test_a_correct_manifest_passes(manifest: dict[str, Any], custom: ModuleType) -> None:
    """Header names, JSON schemas and parameters that are asked for are no mistakes."""
    assert problems(manifest, custom) == []


def test_the_manifest_of_this_connector_passes() -> None:
    """The manifest that is released holds nothing that the CDK would ignore."""
    manifest = safe_load_yaml((ROOT / "manifest.yaml").read_text(encoding="utf-8"))
    assert problems(manifest, components) == []


THINGS = "schemas.things"
FIELDS = f"{THINGS}.properties"
STREAM = "streams.0"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param(
            "definitions.requester.read_timeout_in_second",
            5,
            "HttpRequester has no field `read_timeout_in_second`, perhaps `read_timeout_in_seconds`?",
            id="misspelt field of a shared block",
        ),
        pytest.param(
            f"{STREAM}.primary_keys", "id", "DeclarativeStream has no field `primary_keys`", id="open component"
        ),
        pytest.param(
            f"{STREAM}.description",
            "Things of Drift.",
            "DeclarativeStream has no field `description`",
            id="description of a stream",
        ),
        pytest.param(
            f"{STREAM}.incremental_sync.start_datetime.date_time",
            "0",
            "MinMaxDatetime has no field `date_time`",
            id="component inside a component",
        ),
        pytest.param(
            "spec.advanced_auth.predicate_keys",
            ["credentials"],
            "advanced_auth has no field `predicate_keys`",
            id="component without a type",
        ),
        pytest.param(
            "spec.advanced_auth.oauth_config_specification.oauth_connector_input",
            {},
            "oauth_config_specification has no field `oauth_connector_input`",
            id="component without a type inside another",
        ),
        pytest.param(
            "definitions.selectors.things.extractor.record_at",
            "data",
            "Extractor has no field `record_at`, perhaps `records_at`?",
            id="misspelt field of a custom component",
        ),
        pytest.param(
            "definitions.selectors.things.extractor.untyped",
            "data",
            "Extractor has no field `untyped`",
            id="attribute without a type hint, which the CDK does not pass",
        ),
        pytest.param(
            "definitions.selectors.things.extractor.class_name",
            "source_declarative_manifest.components.Extracter",
            "components.py has no class `Extracter`",
            id="class that does not exist",
        ),
        pytest.param(
            "definitions.selectors.things.extractor.class_name",
            "source_drift.components.Extractor",
            "class_name `source_drift.components.Extractor` does not begin with",
            id="class of another module",
        ),
        pytest.param("definitions.spare", {"type": "NoAuth"}, "`#/definitions/spare` is used nowhere", id="definition"),
        pytest.param(
            "definitions.selectors.spare",
            {"type": "RecordSelector"},
            "`#/definitions/selectors/spare` is used nowhere",
            id="definition in a group",
        ),
        pytest.param(
            "definitions.chain",
            {"first": {"$ref": "#/definitions/chain/second"}, "second": {"type": "NoAuth"}},
            "`#/definitions/chain` is used nowhere",
            id="definitions that only use each other",
        ),
        pytest.param("schemas.spare", {"type": "object"}, "`#/schemas/spare` is used nowhere", id="schema"),
        pytest.param(
            f"{STREAM}.retriever.requester", {"$ref": "#/definitions/nobody"}, "#/definitions/nobody", id="no such $ref"
        ),
        pytest.param(
            f"{STREAM}.$parameters.sektion", "x", "nothing asks for the parameter `sektion`", id="unused parameter"
        ),
        pytest.param("streamz", [], "streamz", id="unknown key at the top"),
        pytest.param(f"{STREAM}.retriever.type", "SimplRetriever", "SimplRetriever", id="unknown component"),
        pytest.param(f"{STREAM}.primary_key", None, "the stream has no primary key", id="no primary key"),
        pytest.param(
            f"{STREAM}.primary_key",
            ["id", "other"],
            "the schema does not declare the primary key `other`",
            id="primary key without a property",
        ),
        pytest.param(f"{FIELDS}.updatedAt", None, "the schema does not declare the cursor `updatedAt`", id="cursor"),
        pytest.param(f"{STREAM}.schema_loader", None, "the stream has no inline schema", id="no schema"),
        pytest.param(f"{THINGS}.additionalProperties", False, "must say additionalProperties: true", id="closed"),
        pytest.param(
            f"{FIELDS}.tags.items.additionalProperties",
            None,
            "tags[] must say additionalProperties: true",
            id="nested object that does not say that it is open",
        ),
        pytest.param(f"{FIELDS}.updatedAt.type", None, "updatedAt has no type", id="no type"),
        pytest.param(f"{FIELDS}.updatedAt.type", "integer", 'updatedAt has no "null" among its types', id="no null"),
        pytest.param(f"{FIELDS}.id.description", None, "id has no description", id="no description"),
        pytest.param(
            f"{FIELDS}.tags.items.properties.type.description",
            None,
            "tags[].type has no description",
            id="no description of a nested property",
        ),
        pytest.param(f"{FIELDS}.updatedAt.enum", [1, None], "updatedAt has an enum", id="enum"),
    ],
)
def test_a_planted_mistake_is_found(
    manifest: dict[str, Any], custom: ModuleType, path: str, value: Any, expected: str
) -> None:
    """Each mistake that the CDK passes over, or reports badly, is named in a line of its own."""
    found = problems(planted(manifest, path, value), custom)
    assert any(expected in problem for problem in found), found


def test_a_mistake_in_a_shared_block_is_told_once(manifest: dict[str, Any], custom: ModuleType) -> None:
    """A block that fifteen streams use does not drown the output in fifteen lines."""
    manifest = planted(manifest, "definitions.requester.pth", "/x")
    manifest["streams"].append({**deepcopy(manifest["streams"][0]), "name": "others"})
    assert [problem.partition(": ")[2] for problem in problems(manifest, custom)] == [
        "HttpRequester has no field `pth`, perhaps `path`?"
    ]


def test_the_command_fails_for_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m unit_tests.manifest_lint` prints the problems and its exit code stops `make test`."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "manifest.yaml"
    text = (ROOT / "manifest.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("read_timeout_in_seconds:", "read_timeout_in_second:"), encoding="utf-8")
    (tmp_path / "components.py").write_text("")
    assert main(path) == 1
    assert "has no field `read_timeout_in_second`" in capsys.readouterr().out
    assert main(ROOT / "manifest.yaml") == 0
