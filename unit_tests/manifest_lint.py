"""Finds what the CDK ignores in silence: `python -m unit_tests.manifest_lint manifest.yaml` prints it and exits with 1.

Nearly every component of a manifest accepts any further key, so a misspelt `read_timeout_in_second: 5` passes the CDK's
own validation and simply has no effect. The names come from the schema inside the installed CDK and, for a custom
component, from the type hints of its class, which is how the CDK chooses what to pass to it.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
    get_declarative_component_schema,
    validate_manifest,
)
from airbyte_cdk.sources.declarative.parsers.custom_exceptions import (
    CircularReferenceException,
    UndefinedReferenceException,
)
from airbyte_cdk.sources.declarative.parsers.manifest_component_transformer import ManifestComponentTransformer
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver
from airbyte_cdk.utils.yaml_loader import safe_load_yaml
from jsonschema import ValidationError

Node = dict[str, Any]

SCHEMA = get_declarative_component_schema()
DEFINITIONS: Mapping[str, Any] = SCHEMA["definitions"]
COMPONENTS = "source_declarative_manifest.components."
# Given to every custom component by the CDK itself.
GIVEN = {"config", "parameters"}
# The transformer moves `$parameters` into every component below. Under this name they stay where they were written.
HELD_BACK = "$parameters as written"


def problems(manifest: Node, components: ModuleType | None) -> list[str]:
    """Return one line per mistake in `manifest`, as read from YAML; none where there is nothing to mend.

    `components` is the module of the custom components. A mistake in a shared block is told once, with the first place
    where it takes effect.
    """
    manifest = {"type": "DeclarativeSource", **manifest}
    try:
        resolved = ManifestReferenceResolver().preprocess_manifest(manifest)
    except (CircularReferenceException, UndefinedReferenceException) as error:
        return [f"{error}"]
    typed = _transform(_rename(resolved, "$parameters", HELD_BACK))
    in_effect = {key: value for key, value in typed.items() if key not in ("definitions", "schemas")}

    found: dict[str, str] = {}
    for place, text in (
        *_unknown_fields(in_effect, [SCHEMA], components),
        *_unused_parameters(in_effect, components),
        *_unreferenced(manifest),
        *_bad_schemas(in_effect),
    ):
        found.setdefault(text, place)
    try:
        validate_manifest(_transform(resolved), SCHEMA)
    except ValidationError as error:
        cause = error.__cause__ if isinstance(error.__cause__, ValidationError) else error
        found.setdefault(cause.message[:300], ".".join(map(str, cause.absolute_path)))
    return [f"{place}: {text}" if place else text for text, place in found.items()]


def _transform(resolved: Node) -> Node:
    return ManifestComponentTransformer().propagate_types_and_parameters("", resolved, {})


def _rename(node: Any, old: str, new: str) -> Any:
    if isinstance(node, dict):
        return {new if key == old else key: _rename(value, old, new) for key, value in node.items()}
    return [_rename(item, old, new) for item in node] if isinstance(node, list) else node


def _unknown_fields(
    node: Any, schemas: list[Mapping[str, Any]], components: ModuleType | None, place: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield the keys of each component, found by its `type` or by the place where it stands, that it does not have."""
    if isinstance(node, list):
        items = [schema["items"] for schema in _variants(schemas) if "items" in schema]
        for index, item in enumerate(node):
            yield from _unknown_fields(item, items, components, f"{place}[{index}]")
    if not isinstance(node, dict):
        return

    kind = node.get("type")
    if isinstance(kind, str) and kind in DEFINITIONS:
        schemas, name = [DEFINITIONS[kind]], kind
    else:
        name = place.rpartition(".")[2]
    candidates = [schema for schema in _variants(schemas) if "properties" in schema]
    # An object of JSON Schema, or a free map such as request headers, has no fields that could be misspelt.
    if candidates:
        known = {key for schema in candidates for key in schema["properties"]} | {HELD_BACK}
        if "class_name" in node:
            name, hints, trouble = _custom_class(node["class_name"], components)
            known |= hints
            if trouble:
                yield place, trouble
                return
        for key in node:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                yield place, f"{name} has no field `{key}`" + (f", perhaps `{near[0]}`?" if near else "")

    for key, value in node.items():
        if key != HELD_BACK:
            below = [schema["properties"][key] for schema in candidates if key in schema["properties"]]
            below = below or [
                schema["additionalProperties"]
                for schema in _variants(schemas)
                if isinstance(schema.get("additionalProperties"), dict)
            ]
            yield from _unknown_fields(value, below, components, f"{place}.{key}" if place else key)


def _variants(schemas: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield what the schemas allow: references followed, alternatives one by one."""
    for schema in schemas:
        if "$ref" in schema:
            yield from _variants([DEFINITIONS[schema["$ref"].rpartition("/")[2]]])
        yield schema
        for word in ("anyOf", "oneOf", "allOf"):
            yield from _variants(schema.get(word, []))


def _custom_class(class_name: str, components: ModuleType | None) -> tuple[str, set[str], str | None]:
    """Return the short name of a custom component, the fields that it takes, and what is wrong with its reference."""
    short = class_name.removeprefix(COMPONENTS)
    if short == class_name:
        return short, set(), f"class_name `{class_name}` does not begin with `{COMPONENTS}`"
    if not isinstance(getattr(components, short, None), type):
        return short, set(), f"components.py has no class `{short}`"
    return short, set(get_type_hints(getattr(components, short))) - GIVEN, None


def _attributes(class_name: str, components: ModuleType | None) -> set[str]:
    """Return the values that a class of components.py has by default, and takes from the parameters of a stream."""
    found = getattr(components, class_name.removeprefix(COMPONENTS), object)
    own = [base for base in found.__mro__ if base.__module__ == found.__module__ and base is not object]
    return {
        name
        for base in own
        for name, value in vars(base).items()
        if not name.startswith("_") and isinstance(value, str | int | tuple)
    }


def _unused_parameters(
    node: Any, components: ModuleType | None, place: str = "", source: str | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the `$parameters` that no component below takes as a field and no expression or class asks for."""
    if source is None:
        path = getattr(components, "__file__", None)
        source = Path(path).read_text() if path else ""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _unused_parameters(item, components, f"{place}[{index}]", source)
    if isinstance(node, dict):
        for name in node.get(HELD_BACK, {}):
            asked_in_code = re.search(rf"""parameters(\.get\(|\[)["']{re.escape(name)}["']""", source)
            if not asked_in_code and not _takes(node, name, components):
                yield place, f"nothing asks for the parameter `{name}`"
        for key, value in node.items():
            if key != HELD_BACK:
                yield from _unused_parameters(value, components, f"{place}.{key}" if place else key, source)


def _takes(node: Any, parameter: str, components: ModuleType | None) -> bool:
    if isinstance(node, str):
        return bool(re.search(rf"""parameters(\.|\[["']|\.get\(["']){re.escape(parameter)}\b""", node))
    if isinstance(node, list):
        return any(_takes(item, parameter, components) for item in node)
    if isinstance(node, dict):
        kind = node.get("type")
        fields = set(DEFINITIONS.get(kind, {}).get("properties", {})) if isinstance(kind, str) else set()
        if "class_name" in node:
            fields |= _custom_class(node["class_name"], components)[1] | _attributes(node["class_name"], components)
        return parameter in fields or any(_takes(value, parameter, components) for value in node.values())
    return False


def _unreferenced(manifest: Node) -> Iterator[tuple[str, str]]:
    """Yield the definitions and schemas that nothing outside of them leads to, however many steps away."""
    targets: set[str] = set()
    waiting = [value for key, value in manifest.items() if key not in ("definitions", "schemas")]
    while waiting:
        for reference in _references(waiting.pop()):
            if reference not in targets:
                targets.add(reference)
                waiting.append(ManifestReferenceResolver._read_ref_value(reference.removeprefix("#/"), manifest))

    def unreached(node: Any, path: str) -> Iterator[tuple[str, str]]:
        if path in targets:
            return
        if isinstance(node, dict) and any(target.startswith(f"{path}/") for target in targets):
            for key, value in node.items():
                yield from unreached(value, f"{path}/{key}")
        else:
            yield "", f"`{path}` is used nowhere"

    for section in ("definitions", "schemas"):
        for key, value in manifest.get(section, {}).items():
            yield from unreached(value, f"#/{section}/{key}")


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, str) and node.startswith("#/"):
        yield node
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _references(item)


def _bad_schemas(manifest: Node) -> Iterator[tuple[str, str]]:
    """Yield what the inline schema of a stream leaves undeclared, undescribed or too narrow for what Drift may send."""
    for stream in manifest.get("streams", []):
        name = stream.get("name", "a stream without a name")
        schema = stream.get("schema_loader", {}).get("schema")
        if not isinstance(schema, dict):
            yield name, "the stream has no inline schema"
            continue
        key = stream.get("primary_key") or []
        keys = {part[0] if isinstance(part, list) else part for part in ([key] if isinstance(key, str) else key)}
        if not keys:
            yield name, "the stream has no primary key"
        cursor = stream.get("incremental_sync", {}).get("cursor_field")
        for field in sorted(keys | ({cursor} if cursor else set())):
            if field not in schema.get("properties", {}):
                yield name, f"the schema does not declare the {'primary key' if field in keys else 'cursor'} `{field}`"
        yield from ((f"{name}.{path}".rstrip("."), text) for path, text in _bad_schema(schema, keys))


def _bad_schema(schema: Node, keys: set[str], path: str = "") -> Iterator[tuple[str, str]]:
    if "enum" in schema:
        yield path, f"{path or 'the schema'} has an enum: a new value of Drift's would not be valid"
    if "properties" in schema and schema.get("additionalProperties") is not True:
        yield path, f"{path or 'the schema'} must say additionalProperties: true"
    if isinstance(schema.get("items"), dict):
        yield from _bad_schema(schema["items"], set(), f"{path}[]")
    for name, declared in schema.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        kinds = declared.get("type")
        if not kinds:
            yield below, f"{below} has no type"
        elif "null" not in kinds and not (name in keys and not path):
            yield below, f'{below} has no "null" among its types'
        if not declared.get("description"):
            yield below, f"{below} has no description"
        yield from _bad_schema(declared, set(), below)


def main(path: Path) -> int:
    """Print the problems of the manifest at `path`, its components.py beside it, and return the exit code."""
    sys.path.insert(0, str(path.resolve().parent))
    components = import_module("components") if path.with_name("components.py").exists() else None
    with path.open(encoding="utf-8") as file:
        found = problems(safe_load_yaml(file), components)
    print("\n".join(found) or f"{path}: nothing that would be ignored")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
