"""The manifest contains nothing that the CDK would ignore.

Almost every component in the CDK's schema accepts unknown keys: a misspelled `read_timeout_in_second: 5` is valid and
has no effect. These tests close that schema. A custom component accepts the type hints of its class.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, get_type_hints

import pytest
from airbyte_cdk.sources.declarative.concurrent_declarative_source import get_declarative_component_schema
from airbyte_cdk.sources.declarative.parsers.manifest_component_transformer import ManifestComponentTransformer
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver
from jsonschema import Draft7Validator, ValidationError

import components

Node = dict[str, Any]

COMPONENTS = "source_declarative_manifest.components."
# The CDK gives these to every custom component.
GIVEN = {"type", "class_name", "config", "parameters"}


def closed(schema: Node) -> Node:
    """The CDK's schema without unknown keys; a stream can have a description, for readers."""
    schema = deepcopy(schema)
    for name, definition in schema["definitions"].items():
        if "properties" in definition and not name.startswith("Custom"):
            definition["additionalProperties"] = False
    schema["definitions"]["DeclarativeStream"]["properties"]["description"] = {"type": "string"}
    return schema | {"additionalProperties": False}


VALIDATOR = Draft7Validator(closed(get_declarative_component_schema()))


def problems(manifest: Node) -> set[str]:
    """What the CDK would ignore or refuse, as jsonschema errors."""
    resolved = ManifestReferenceResolver().preprocess_manifest(deepcopy(manifest))
    # Otherwise, the parameters would appear as keys of all components.
    typed = ManifestComponentTransformer().propagate_types_and_parameters("", without_parameters(resolved), {})
    used = {key: value for key, value in typed.items() if key not in ("definitions", "schemas")}
    found = {error.message for whole in VALIDATOR.iter_errors(used) for error in causes(whole)}
    for node in nodes(used):
        if "class_name" in node:
            cls = getattr(components, node["class_name"].removeprefix(COMPONENTS))
            found |= {f"{cls.__name__} has no {key}" for key in node.keys() - get_type_hints(cls).keys() - GIVEN}
    return found | {f"{name} is used nowhere" for name in manifest["definitions"].keys() - referenced(manifest)}


def without_parameters(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: without_parameters(value) for key, value in node.items() if key != "$parameters"}
    return [without_parameters(item) for item in node] if isinstance(node, list) else node


def causes(error: ValidationError) -> Iterator[ValidationError]:
    """The errors inside an error; if several kinds of component are possible, only those of the intended kind."""
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    meant = [branch for branch in branches.values() if not any([*inner.relative_path] == ["type"] for inner in branch)]
    for inner in min(meant, key=len, default=[]):
        yield from causes(inner)
    if not meant:
        yield error


def nodes(node: Any) -> Iterator[Node]:
    if isinstance(node, dict):
        yield node
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(item)


def referenced(manifest: Node) -> set[str]:
    """The definitions that a `$ref` outside of them uses."""
    refs = (node["$ref"] for node in nodes(manifest) if "$ref" in node)
    return {ref.split("/")[2] for ref in refs if ref.startswith("#/definitions/")}


def test_the_manifest_has_nothing_that_would_be_ignored(manifest: Node) -> None:
    """Every key is one that its component has."""
    assert problems(manifest) == set()


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("definitions.base_requester.read_timeout_in_second", 5, "('read_timeout_in_second' was unexpected)"),
        ("definitions.users.primary_keys", ["id"], "('primary_keys' was unexpected)"),
        ("definitions.updated_at_cursor.start_datetime.date_time", "0", "('date_time' was unexpected)"),
        ("definitions.updated_at_cursor.cursor_field", None, "'cursor_field' is a required property"),
        ("definitions.error_handler.max_retry", 5, "DriftErrorHandler has no max_retry"),
        ("definitions.spare", {"type": "NoAuth"}, "spare is used nowhere"),
        ("spec.advanced_auth.predicate_keys", ["credentials"], "('predicate_keys' was unexpected)"),
        ("streamz", [], "('streamz' was unexpected)"),
    ],
)
def test_a_planted_mistake_is_found(manifest: Node, path: str, value: Any, problem: str) -> None:
    """Each kind of mistake is reported once, however many streams share the block."""
    planted = deepcopy(manifest)
    *parents, last = path.split(".")
    node = planted
    for part in parents:
        node = node[part]
    node[last] = value
    if value is None:
        del node[last]
    found = problems(planted)
    assert len(found) == 1, found
    assert problem in found.pop()
