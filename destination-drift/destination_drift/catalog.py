"""Which object of Drift each stream is written to, and what `discover` offers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from destination_drift.client import Client
from destination_drift.errors import ConfigError, TransientError
from destination_drift.messages import StreamKey
from destination_drift.settings import AudienceSettings, MatchBy, Settings

OBJECTS = ("contact", "audience_member", "erasure_request")
MATCHING_KEYS: Mapping[str, MatchBy] = {"email": "email", "externalId": "external_id", "id": "id"}
"""The attributes that can identify a contact."""

Mode = Literal["upsert", "update"]

ERASURE_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "request_id": {"type": ["string", "integer"]},
    "email": {"type": "string"},
    "requested_by": {"type": "string"},
    "approved_by": {"type": "string"},
    "requested_at": {"type": "string", "format": "date-time"},
    "approved_at": {"type": "string", "format": "date-time"},
    "erase_user": {"type": ["boolean", "null"]},
    "allow": {"type": ["boolean", "null"]},
}
"""The columns of a request to erase; only the last two are optional."""

# Object -> sync mode -> what it does with a contact.
_MODES: Mapping[str, Mapping[str, Mode]] = {
    "contact": {"append": "upsert", "append_dedup": "upsert", "update": "update"},
    "audience_member": {"append": "update", "append_dedup": "update", "soft_delete": "update"},
    "erasure_request": {"append": "upsert"},
}
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
        audience: of `audience_member`.
    """

    key: StreamKey
    object: str
    mode: Mode
    match_by: MatchBy
    columns: Mapping[str, str]
    sync_id: int | None
    audience: AudienceSettings | None = None

    @property
    def name(self) -> str:
        return self.key[1]

    @property
    def is_mirror(self) -> bool:
        return self.audience is not None and self.audience.mode == "mirror"

    @property
    def needs_ledger(self) -> bool:
        return self.is_mirror or self.object == "erasure_request"


def streams_of(catalog: Any, settings: Settings) -> list[Stream]:
    """Return the streams of a configured catalog.

    Raises:
        ConfigError: the catalog is malformed, or a stream cannot be written to Drift.
    """
    try:
        streams = [_stream(configured, settings) for configured in catalog["streams"]]
    except (KeyError, TypeError, AttributeError):
        raise ConfigError("The catalog is not a configured catalog: an object with a list of streams.") from None
    erasing = [stream.name for stream in streams if stream.object == "erasure_request"]
    if erasing and not settings.erasure.enabled:
        raise ConfigError(f"The stream {erasing[0]} has erasure requests, but erasure is off. Set erasure.enabled.")
    if len(erasing) > 1:
        raise ConfigError(f"The streams {', '.join(erasing)} all have erasure requests. Keep one of them.")
    marks = [(stream.audience.method, stream.audience.name) for stream in streams if stream.audience]
    for one in streams:
        if one.audience and one.is_mirror and marks.count((one.audience.method, one.audience.name)) > 1:
            raise ConfigError(
                f"Two streams are about the audience {one.audience.name}. A mirror needs all members in one stream."
            )
    return streams


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


def operations(types: Mapping[str, str], *, with_erasure: bool = False) -> list[dict[str, Any]]:
    """Return what `discover` offers: operations with the objects, their attributes and the keys to match by."""
    properties = {name: _SCHEMAS.get(kind, _TEXT) for name, kind in types.items() if not is_protected(name)}
    properties |= {"email": _TEXT, "externalId": _TEXT, "id": {"type": ["integer", "null"]}}
    offered = [_operation("contact", mode, properties, MATCHING_KEYS) for mode in ("append_dedup", "update")]
    member = {name: properties[name] for name in MATCHING_KEYS} | {"member": {"type": ["boolean", "null"]}}
    offered += [_operation("audience_member", mode, member, MATCHING_KEYS) for mode in ("append_dedup", "soft_delete")]
    if with_erasure:
        offered.append(_operation("erasure_request", "append", ERASURE_COLUMNS, ["request_id"]))
    return offered


def _operation(name: str, mode: str, properties: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {
        "object_name": name,
        "sync_mode": mode,
        "json_schema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "additionalProperties": name == "contact",
            "properties": dict(properties),
        },
        "matching_keys": [[key] for key in keys],
    }


def _check_erasure(stream: str, columns: list[str]) -> None:
    if missing := [column for column in list(ERASURE_COLUMNS)[:-2] if column not in columns]:
        raise ConfigError(f"The stream {stream} has no column {missing[0]}, which erasure requests need. Add it.")
    if unknown := [column for column in columns if column not in ERASURE_COLUMNS]:
        raise ConfigError(
            f"The stream {stream} has the column {unknown[0]}, which erasure requests do not have. Deselect it."
        )


def _stream(configured: Any, settings: Settings) -> Stream:
    name, namespace = configured["stream"]["name"], configured["stream"].get("namespace")
    chosen = configured.get("destination_object_name")
    audience = settings.audiences.get(name)
    target = chosen or settings.stream_map.get(name, "audience_member" if audience else name)
    if target not in OBJECTS:
        raise ConfigError(
            f"The stream {name} is not named like an object of Drift ({', '.join(OBJECTS)}). Add it to stream_map."
        )
    if (target == "audience_member") != bool(audience):
        raise ConfigError(
            f"The stream {name} is in only one of the two: audiences, and the streams that are mapped to the object "
            "audience_member. Correct audiences or the mapping."
        )
    mode = configured.get("destination_sync_mode")
    modes = _MODES[target]
    if mode not in modes:
        raise ConfigError(f"The stream {name} has the sync mode {mode}. Choose one of {', '.join(modes)}.")
    if audience and mode == "soft_delete":
        audience = replace(audience, mode="remove")
    if audience and audience.mode == "mirror" and configured.get("sync_mode") != "full_refresh":
        raise ConfigError(
            f"The stream {name} mirrors an audience, but a sync does not have all of its members. Set its sync mode to "
            "full refresh."
        )
    properties = (configured["stream"].get("json_schema") or {}).get("properties") or {}
    if not properties:
        raise ConfigError(f"The stream {name} has no columns in the catalog. Refresh its schema.")
    columns = {column: settings.field_map.get(column, column) for column in properties}
    attributes = list(columns.values())
    if twice := sorted({attribute for attribute in attributes if attributes.count(attribute) > 1}):
        raise ConfigError(f"Two columns of the stream {name} map to {twice[0]}. Correct field_map.")
    if target == "erasure_request":
        _check_erasure(name, attributes)
    match_by = settings.match_by
    # Without a chosen object, the key is that of the source's table, whose `id` has nothing to do with Drift's.
    if target != "erasure_request" and chosen and (key := configured.get("primary_key")):
        names = [columns.get(path[-1], path[-1]) for path in key]
        if len(names) != 1 or names[0] not in MATCHING_KEYS:
            raise ConfigError(
                f"The stream {name} has the matching key {', '.join(names)}. Choose one of {', '.join(MATCHING_KEYS)}."
            )
        match_by = MATCHING_KEYS[names[0]]
    return Stream(
        (namespace or None, name), target, modes[mode], match_by, columns, configured.get("sync_id"), audience
    )
