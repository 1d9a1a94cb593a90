"""Lines of the Airbyte protocol, only with the fields that matter to an archive."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from source_drift.archive.connector import Stream

Script = Callable[..., tuple[str, ...]]

FAKE = Path(__file__).with_name("fake_connector.py")
INTEGER, STRING = {"type": ["integer", "null"]}, {"type": ["string", "null"]}


def scripted(
    folder: Path,
    check: list[Any] | None = None,
    discover: list[Any] | None = None,
    read: list[Any] | None = None,
    again: list[Any] | None = None,
) -> tuple[str, ...]:
    """The command of a connector that does these things; its script lies in `folder`."""
    path = folder / "script.json"
    verbs = {"check": check or [], "discover": discover or [], "read": read or [], "read again": again or []}
    path.write_text(json.dumps(verbs))
    return sys.executable, str(FAKE), str(path)


def entry(
    name: str, properties: dict[str, Any] | None = None, *, key: tuple[str, ...] = ("id",), incremental: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "json_schema": {"properties": {"id": INTEGER} if properties is None else properties},
        "supported_sync_modes": ["full_refresh", *(["incremental"] if incremental else [])],
        "source_defined_primary_key": [[field] for field in key],
    }


def stream(
    name: str, properties: dict[str, Any] | None = None, *, key: tuple[str, ...] = ("id",), incremental: bool = False
) -> Stream:
    return Stream.of(entry(name, properties, key=key, incremental=incremental))


def catalog(*entries: dict[str, Any]) -> str:
    return json.dumps({"type": "CATALOG", "catalog": {"streams": entries}})


def connection(status: str, message: str | None = None) -> str:
    return json.dumps({"type": "CONNECTION_STATUS", "connectionStatus": {"status": status, "message": message}})


def record(name: str, **data: Any) -> str:
    return json.dumps({"type": "RECORD", "record": {"stream": name, "data": data}})


def status(name: str, state: str, at: float = 0.0, *, throttled: bool = False) -> str:
    detail: dict[str, Any] = {"stream_descriptor": {"name": name}, "status": state}
    if throttled:
        detail["reasons"] = [{"type": "RATE_LIMITED"}]
    trace = {"type": "STREAM_STATUS", "emitted_at": at * 1000, "stream_status": detail}
    return json.dumps({"type": "TRACE", "trace": trace})


def state(name: str, **value: Any) -> str:
    inner = {"stream_descriptor": {"name": name}, "stream_state": value}
    return json.dumps({"type": "STATE", "state": {"type": "STREAM", "stream": inner}})


def failure(message: str, name: str | None = None) -> str:
    error: dict[str, Any] = {"message": message, "stack_trace": "Traceback (most recent call last): …"}
    if name:
        error["stream_descriptor"] = {"name": name}
    return json.dumps({"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": 0, "error": error}})


def log(message: str, level: str = "INFO") -> str:
    return json.dumps({"type": "LOG", "log": {"level": level, "message": message}})


def control(config: dict[str, Any]) -> str:
    return json.dumps(
        {"type": "CONTROL", "control": {"type": "CONNECTOR_CONFIG", "connectorConfig": {"config": config}}}
    )
