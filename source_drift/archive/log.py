"""Keeps the connector's errors in case a run fails, without secrets and without records."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

_LEVELS = ("ERROR", "FATAL")
_MOST_BYTES = 1_000_000
_HIDDEN = "…"
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\",]+")
_ADDRESS = re.compile(r"[^\s'\"<>=:,;()\[\]{}]+@[^\s'\"<>=:,;()\[\]{}]+")
# An object or a list of texts or of objects, up to the end of the line: a body or a record, whole or cut.
_BODY = re.compile(r"[\[{][\[{\s]*b?[\"'].*")
# Other exceptions than the connector's own quote the value that they choke on.
_EXCEPTION = re.compile(r"^(?:(?:ERROR|FATAL) )?(?!\S*AirbyteTracedException)[\w.]*(?:Error|Exception)\b")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class Log:
    """Collects error lines in the private file `path`, which also receives standard error directly."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch(mode=0o600)

    def open(self) -> IO[bytes]:
        return self._path.open("ab", buffering=0)

    def note(self, message: dict[str, Any]) -> None:
        """Keep a protocol message about an error; ignore all others, above all records."""
        text = _text(message)
        if text:
            with self.open() as file:
                file.write(f"{text}\n".encode(errors="replace"))

    def last(self, secrets: Iterable[str]) -> str:
        """Return the last line, or an empty string if there is none."""
        lines = masked(self._tail(), secrets).split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def keep(self, path: Path, secrets: Iterable[str]) -> bool:
        """Write the collected lines to `path`, readable only by its owner; return False if there are none."""
        text = masked(self._tail(), secrets).strip()
        if text:
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(f"{text}\n", encoding="utf-8")
        return bool(text)

    def _tail(self) -> str:
        with self._path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _MOST_BYTES))
            if size > _MOST_BYTES:
                # Half a line could be half a secret.
                file.readline()
            return file.read().decode(errors="replace")


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return a text without secrets, email addresses, bodies, and values quoted by exceptions."""
    forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), repr(secret)[1:-1])}
    for form in sorted(filter(None, forms), key=len, reverse=True):
        text = text.replace(form, _HIDDEN)
    return "\n".join(map(_masked, text.split("\n")))


def _masked(line: str) -> str:
    line = _BEARER.sub(rf"\1 {_HIDDEN}", line)
    line = _BODY.sub(_HIDDEN, line)
    line = _ADDRESS.sub(_HIDDEN, line)
    return _QUOTED.sub(_HIDDEN, line) if _EXCEPTION.match(line) else line


def _text(message: dict[str, Any]) -> str | None:
    log = message.get("log") or {}
    if log.get("level") in _LEVELS:
        return f"{log['level']} {log.get('message') or ''}"
    status = message.get("connectionStatus") or {}
    if status.get("status") == "FAILED":
        return f"FAILED {status.get('message') or ''}"
    trace = message.get("trace") or {}
    if trace.get("type") != "ERROR":
        return None
    error = trace.get("error") or {}
    stream = (error.get("stream_descriptor") or {}).get("name")
    words = ("TRACE", error.get("failure_type"), stream and f"of {stream}", error.get("message"))
    return "\n".join(filter(None, ((error.get("stack_trace") or "").strip(), " ".join(filter(None, words)))))
