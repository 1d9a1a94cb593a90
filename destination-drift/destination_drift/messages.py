"""The Airbyte protocol: lines in, lines out.

airbyte-cdk's `Destination` (7.39.1) reads and prints them too, but it drops a line that is not JSON and quotes it in
the log, rounds integers over 64 bits, and drops from a state all that its model does not have, such as the `id` without
which platforms since 1.7 fail the sync. Here, a state is echoed as text.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, BinaryIO

from destination_drift.errors import InputError

StreamKey = tuple[str | None, str]
"""Namespace and name of a stream."""

_SPACE = re.compile(r"[ \t\n\r]*")
# The platform sends the first three; the others contain no rows.
_OTHER_TYPES = frozenset(
    {"CATALOG", "CONNECTION_STATUS", "CONTROL", "DESTINATION_CATALOG", "LOG", "SPEC", "TRACE"},
)


@dataclass(frozen=True, slots=True)
class Record:
    """A RECORD; `size` is the length of its line in bytes."""

    stream: StreamKey
    data: dict[str, Any]
    size: int


@dataclass(frozen=True, slots=True)
class State:
    """A STATE of one stream, or of all (None). `end` is where the object `state` ends in its line."""

    stream: StreamKey | None
    line: str
    end: int

    def acknowledged(self, accepted: int, rejected: int) -> str:
        """Return the line as it came, with the numbers of records since the state before it."""
        stats = {"recordCount": accepted, "rejectedRecordCount": rejected}
        # At the end: should the object already have this key, parsers use the last one.
        before = self.line[: self.end - 1].rstrip()
        comma = "" if before.endswith("{") else ", "
        return f'{before}{comma}"destinationStats": {json.dumps(stats)}{self.line[self.end - 1 :]}'


@dataclass(frozen=True, slots=True)
class Status:
    """The end of a stream: complete, or not."""

    stream: StreamKey
    is_complete: bool


Message = Record | State | Status


def read(lines: Iterable[bytes]) -> Iterator[Message]:
    """Yield the messages of the lines; those without a row, a state or a status are skipped, and so are empty lines.

    Raises:
        InputError: a line is not a message of the protocol.
    """
    for number, line in enumerate(lines, 1):
        try:
            message = _parsed(line.decode("utf-8-sig" if number == 1 else "utf-8").strip(), len(line))
        except _Unreadable as error:
            reason = str(error)
        except UnicodeDecodeError:
            reason = "is not UTF-8"
        except (ValueError, RecursionError):
            reason = (
                "is not valid JSON" if line.endswith(b"\n") else "is not valid JSON and has no line break: it was cut"
            )
        else:
            if message:
                yield message
            continue
        raise InputError(
            f"Line {number} of the input ({len(line)} bytes) {reason}. The sync stopped there; what follows the last "
            "state must be sent again."
        ) from None


class Output:
    """Prints messages, each of them at once; several threads use it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._lock = file, Lock()

    def line(self, text: str) -> None:
        with self._lock:
            self._file.write(text.encode() + b"\n")
            # Into a pipe, Python would otherwise keep a state back until its buffer is full.
            self._file.flush()

    def message(self, kind: str, name: str, content: Any) -> None:
        self.line(json.dumps({"type": kind, name: content}))

    def log(self, level: str, text: str) -> None:
        self.message("LOG", "log", {"level": level, "message": text})

    def warn(self, text: str) -> None:
        self.log("WARN", text)

    def config(self, config: Mapping[str, Any]) -> None:
        """Ask the platform to save this config."""
        control = {"type": "CONNECTOR_CONFIG", "emitted_at": _now(), "connectorConfig": {"config": config}}
        self.message("CONTROL", "control", control)

    def error(self, failure_type: str, message: str, stack_trace: str | None = None) -> None:
        error = {"message": message, "failure_type": failure_type, "stack_trace": stack_trace}
        self.message("TRACE", "trace", {"type": "ERROR", "emitted_at": _now(), "error": error})


class _Unreadable(Exception):
    pass


def _refuse(_: str) -> None:
    raise _Unreadable("contains NaN, Infinity or a number beyond the range of a double, which JSON cannot express")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        _refuse(digits)
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _parsed(text: str, size: int) -> Message | None:
    if not text:
        return None
    message = _DECODER.decode(text)
    kind = message.get("type") if isinstance(message, dict) else None
    try:
        if kind == "RECORD":
            record = message["record"]
            if not isinstance(record["data"], dict):
                raise TypeError
            return Record(_key(record["stream"], record.get("namespace")), record["data"], size)
        if kind == "STATE":
            state = message["state"]
            described = state.get("stream") if state.get("type") in (None, "STREAM") else None
            return State(_described(described) if described else None, text, _end_of(text, "state"))
        if kind == "TRACE" and message["trace"]["type"] == "STREAM_STATUS":
            status = message["trace"]["stream_status"]
            if status["status"] in ("COMPLETE", "INCOMPLETE"):
                return Status(_described(status), status["status"] == "COMPLETE")
    except (KeyError, TypeError, AttributeError):
        kind = None
    if kind not in _OTHER_TYPES:
        raise _Unreadable("is not a message of the Airbyte protocol")
    return None


def _described(parent: Any) -> StreamKey:
    descriptor = parent["stream_descriptor"]
    return _key(descriptor["name"], descriptor.get("namespace"))


def _key(name: Any, namespace: Any) -> StreamKey:
    if not isinstance(name, str) or not isinstance(namespace, str | None):
        raise TypeError
    return namespace or None, name


def _end_of(text: str, key: str) -> int:
    """Return where the value of a key of the outermost object ends; of the last one, if the key is repeated."""

    def skip(position: int) -> int:
        match = _SPACE.match(text, position)
        return match.end() if match else position

    found, position = 0, skip(1)
    while text[position] == '"':
        name, position = _DECODER.raw_decode(text, position)
        _, position = _DECODER.raw_decode(text, skip(skip(position) + 1))
        if name == key:
            found = position
        position = skip(position)
        if text[position] == ",":
            position = skip(position + 1)
    return found


def _now() -> int:
    return time.time_ns() // 1_000_000
