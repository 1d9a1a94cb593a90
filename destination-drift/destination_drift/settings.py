"""The config of the user, checked against spec.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jsonschema

from destination_drift.errors import ConfigError

MatchBy = Literal["email", "external_id", "external_id_then_email", "id"]
OnAmbiguous = Literal["reject", "oldest", "all"]
EmptyValues = Literal["ignore", "write"]
UnknownAttributes = Literal["fail", "create", "drop"]


@dataclass(frozen=True)
class AudienceSettings:
    """An entry of the setting `audiences` with its defaults."""

    stream: str
    name: str
    method: Literal["attribute", "tag"]
    mode: Literal["add", "remove", "mirror"]
    max_removed_percent: int
    max_removed: int
    allow_empty: bool


@dataclass(frozen=True)
class ErasureSettings:
    """The setting `erasure` with its defaults."""

    enabled: bool
    max_per_sync: int
    erase_users: bool
    protected_domains: Sequence[str]
    confirm_within_minutes: int


@dataclass(frozen=True)
class Settings:
    """The settings of spec.yaml with their defaults; `config` is what the user gave.

    Attributes:
        stream_map: name of a stream -> object of Drift.
        field_map: column -> attribute of Drift.
        audiences: name of a stream -> the audience that its rows are about.
    """

    config: Mapping[str, Any]
    credentials: Mapping[str, Any]
    api_url: str
    match_by: MatchBy
    on_ambiguous: OnAmbiguous
    empty_values: EmptyValues
    unknown_attributes: UnknownAttributes
    stream_map: Mapping[str, str]
    field_map: Mapping[str, str]
    audiences: Mapping[str, AudienceSettings]
    rejected_rows_directory: Path | None
    max_rejected_percent: int
    dry_run: bool
    max_requests_per_second: int
    ledger_directory: Path | None
    audit_key: str | None
    erasure: ErasureSettings

    @classmethod
    def of(cls, config: Any, schema: Mapping[str, Any]) -> Settings:
        """Return the settings of a config that `schema`, the connectionSpecification, describes.

        Raises:
            ConfigError: a setting is missing or not allowed. The message names it without its value.
        """
        if isinstance(config, dict):
            config = {name: value for name, value in config.items() if value is not None}
        error = next(jsonschema.Draft7Validator(schema).iter_errors(config), None)
        if error is not None:
            # Of the ways to authenticate, the error is about the one that the config names, or else the first one.
            others = {one.schema_path[0] for one in error.context if one.validator == "const"}
            error = next((one for one in error.context if one.schema_path[0] not in others), error)
            where = ".".join(str(part) for part in error.absolute_path) or "The config"
            # Only this message does not quote a value, which may be a secret.
            what = error.message if error.validator == "required" else "is not one of the allowed values"
            raise ConfigError(f"{where}: {what}. Correct the setting.")
        properties = schema["properties"]
        chosen = {name: config.get(name, properties[name].get("default")) for name in properties}
        directory, ledger = chosen["rejected_rows_directory"], chosen["ledger_directory"]
        erasure = {name: one["default"] for name, one in properties["erasure"]["properties"].items()}
        audience = properties["audiences"]["items"]["properties"]
        defaults = {name: one["default"] for name, one in audience.items() if "default" in one}
        stream_map, field_map, audiences = (
            _keyed(chosen[name] or [], name, key)
            for name, key in (("stream_map", "stream"), ("field_map", "column"), ("audiences", "stream"))
        )
        return cls(
            **{
                **chosen,
                "config": config,
                "stream_map": {stream: entry["object"] for stream, entry in stream_map.items()},
                "field_map": {column: entry["attribute"] for column, entry in field_map.items()},
                "audiences": {stream: AudienceSettings(**{**defaults, **one}) for stream, one in audiences.items()},
                "rejected_rows_directory": Path(directory) if directory else None,
                "ledger_directory": Path(ledger) if ledger else None,
                "erasure": ErasureSettings(**{**erasure, **(chosen["erasure"] or {})}),
                # JSON schema takes 10.0 for an integer.
                "max_rejected_percent": int(chosen["max_rejected_percent"]),
                "max_requests_per_second": int(chosen["max_requests_per_second"]),
            }
        )


def load(path: str, what: str) -> Any:
    """Return the JSON of a file.

    Raises:
        ConfigError: it cannot be read. The message does not quote it.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(f"The {what} file cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"The {what} file is not valid JSON.") from None


def _keyed(entries: list[dict[str, Any]], setting: str, key: str) -> dict[str, dict[str, Any]]:
    keyed: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry[key] in keyed:
            raise ConfigError(f"{setting} has the {key} {entry[key]} twice. Remove one of the two.")
        keyed[entry[key]] = entry
    return keyed
