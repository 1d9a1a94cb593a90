"""Which object of Drift each stream is written to, and what `discover` offers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from destination_drift.client import Client
from destination_drift.errors import ConfigError, TransientError
from destination_drift.messages import StreamKey
from destination_drift.settings import MatchBy, Settings

OBJECTS = ("contact",)
MATCHING_KEYS: Mapping[str, MatchBy] = {"email": "email", "externalId": "external_id", "id": "id"}
"""The attributes that can identify a contact."""

Mode = Literal["upsert", "update"]

_MODES: Mapping[str, Mode] = {"append": "upsert", "append_dedup": "upsert", "update": "update"}
# Drift sets these attributes itself (`tags` has calls of its own).
_PROTECTED = re.compile(
    r"_.*|original_.*|recent_.*|last_(?:active|contacted|page_.*)|events|socialProfiles|start_date|ip|tags"
)
# Attribute type -> JSON schema.
_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "NUMERIC": {"type": ["number", "null"]},
    "BOOLEAN": {"type": ["boolean", "null"]},
    "DATE": {"type": ["string", "null"], "format": "date"},
    "DATETIME": {"type": ["string", "null"], "format": "date-time"},
}
_TEXT = {"type": ["string", "null"]}


@dataclass(frozen=True)
class Stream:
    """A stream of the configured catalog, with what its rows become.

    Attributes:
        columns: column -> attribute of Drift.
        sync_id: of the platform; None without one.
    """

    key: StreamKey
    object: str
    mode: Mode
    match_by: MatchBy
    columns: Mapping[str, str]
    sync_id: int | None

    @property
    def name(self) -> str:
        return self.key[1]


def streams_of(catalog: Any, settings: Settings) -> list[Stream]:
    """Return the streams of a configured catalog.

    Raises:
        ConfigError: the catalog is malformed, or a stream cannot be written to Drift.
    """
    try:
        return [_stream(configured, settings) for configured in catalog["streams"]]
    except (KeyError, TypeError, AttributeError):
        raise ConfigError("The catalog is not a configured catalog: an object with a list of streams.") from None


def is_protected(attribute: str) -> bool:
    """Whether only Drift itself sets an attribute."""
    return _PROTECTED.fullmatch(attribute) is not None


def attribute_types(client: Client) -> dict[str, str]:
    """Return the contact attributes of the organization with their types, such as `STRING` or `DATETIME`.

    Raises:
        TransientError: Drift's response has no list of them.
    """
    answer = client.get("/contacts/attributes")
    try:
        return {entry["name"]: str(entry["type"]) for entry in answer.body["data"]["properties"]}
    except (KeyError, TypeError):
        raise TransientError(
            f"Drift did not list the contact attributes (HTTP {answer.status}). Run the sync again later."
        ) from None


def operations(types: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what `discover` offers: operations with the objects, their attributes and the keys to match by."""
    properties = {name: _SCHEMAS.get(kind, _TEXT) for name, kind in types.items() if not is_protected(name)}
    properties |= {"email": _TEXT, "externalId": _TEXT, "id": {"type": ["integer", "null"]}}
    return [
        {
            "object_name": "contact",
            "sync_mode": mode,
            "json_schema": {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "type": "object",
                "additionalProperties": True,
                "properties": properties,
            },
            "matching_keys": [[name] for name in MATCHING_KEYS],
        }
        for mode in ("append_dedup", "update")
    ]


def _stream(configured: Any, settings: Settings) -> Stream:
    name, namespace = configured["stream"]["name"], configured["stream"].get("namespace")
    chosen = configured.get("destination_object_name")
    target = chosen or settings.stream_map.get(name, name)
    if target not in OBJECTS:
        raise ConfigError(
            f"The stream {name} is not named like an object of Drift ({', '.join(OBJECTS)}). Add it to stream_map."
        )
    mode = configured.get("destination_sync_mode")
    if mode not in _MODES:
        raise ConfigError(f"The stream {name} has the sync mode {mode}. Choose one of {', '.join(_MODES)}.")
    properties = (configured["stream"].get("json_schema") or {}).get("properties") or {}
    if not properties:
        raise ConfigError(f"The stream {name} has no columns in the catalog. Refresh its schema.")
    columns = {column: settings.field_map.get(column, column) for column in properties}
    attributes = list(columns.values())
    if twice := sorted({attribute for attribute in attributes if attributes.count(attribute) > 1}):
        raise ConfigError(f"Two columns of the stream {name} map to {twice[0]}. Correct field_map.")
    match_by = settings.match_by
    # Without a chosen object, the key is that of the source's table, whose `id` has nothing to do with Drift's.
    if chosen and (key := configured.get("primary_key")):
        names = [columns.get(path[-1], path[-1]) for path in key]
        if len(names) != 1 or names[0] not in MATCHING_KEYS:
            raise ConfigError(
                f"The stream {name} has the matching key {', '.join(names)}. Choose one of {', '.join(MATCHING_KEYS)}."
            )
        match_by = MATCHING_KEYS[names[0]]
    return Stream((namespace or None, name), target, _MODES[mode], match_by, columns, configured.get("sync_id"))
