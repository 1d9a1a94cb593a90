"""Runs the connector as a process: input as files, output as messages of the Airbyte protocol."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO, Any

import orjson

from source_drift.archive.errors import ArchiveError
from source_drift.archive.log import Log
from source_drift.archive.settings import Settings

Message = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
CONNECTOR = (sys.executable, "-m", "source_drift.archive.child")

_SECONDS_TO_STOP = 5.0
# The CDK puts the stream that it tried before the reason.
_TRIED = re.compile(r"^Stream \S+ is not available: ")
# The CDK tells of a retry in these words.
_RETRY = re.compile(r"Retrying in (\d+(?:\.\d+)?) seconds")
_STATUS = re.compile(r"\(HTTP (\d{3})\)")


@dataclass(frozen=True)
class Stream:
    """One stream of the connector's catalog."""

    name: str
    schema: Mapping[str, Any]
    """JSON schema of its records."""
    key: tuple[str, ...]
    """Fields that together name a record; empty where the stream has none."""
    incremental: bool
    definition: Mapping[str, Any]
    """The catalog's own entry, which goes back to the connector unchanged."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Stream:
        paths = entry.get("source_defined_primary_key") or []
        return cls(
            name=entry["name"],
            schema=entry.get("json_schema") or {},
            key=tuple(path[0] for path in paths if len(path) == 1),
            incremental="incremental" in (entry.get("supported_sync_modes") or []),
            definition=entry,
        )

    def configured(self) -> dict[str, Any]:
        """Return the entry of a configured catalog that reads the stream incrementally where it can."""
        return {
            "stream": self.definition,
            "sync_mode": "incremental" if self.incremental else "full_refresh",
            "destination_sync_mode": "append_dedup" if self.incremental else "overwrite",
            "cursor_field": self.definition.get("default_cursor_field"),
            "primary_key": [[field] for field in self.key],
        }


class Connector:
    """Runs the connector's verbs, one process each.

    Args:
        settings: where the connector finds its config, and where a config that it hands back goes.
        folder: for the catalog and the state of a read; private, since a state may be.
        log: collects what the connector complains of.
        notify: takes one line that the user should see.
        command: the connector's command without verb and flags.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        folder: Path,
        log: Log,
        notify: Callable[[str], None],
        command: Sequence[str] = CONNECTOR,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._log = log
        self._notify = notify
        self._command = tuple(command)

    def check(self) -> None:
        """Try the config.

        Raises:
            ArchiveError: the connector's own reason why it does not work.
        """
        status: Message | None = None
        with closing(self._run("check")) as messages:
            for message in messages:
                self._pass_on(message)
                status = message.get("connectionStatus", status)
        if status is None:
            raise ArchiveError(f"The connector's check returned no result. {self._last_words()}")
        if status.get("status") != "SUCCEEDED":
            raise ArchiveError(
                f"The check failed: {reason_of(status.get('message')) or 'the connector gave no reason'}"
            )

    def discover(self) -> list[Stream]:
        """Return the streams that the connector offers.

        Raises:
            ArchiveError: it offers none, or the connector's own reason.
        """
        catalog: Message = {}
        with closing(self._run("discover")) as messages:
            for message in messages:
                self._pass_on(message)
                catalog = message.get("catalog", catalog)
        if not catalog.get("streams"):
            raise ArchiveError(f"The connector discovered no streams. {self._last_words()}")
        return [Stream.of(entry) for entry in catalog["streams"]]

    def read(self, streams: Sequence[Stream], states: Sequence[Message]) -> Generator[Message, None, None]:
        """Yield every message of one read of `streams` that goes on from `states`, as they arrive.

        Closing the generator early ends the process. A failed stream raises nothing: its messages say so.

        Raises:
            ArchiveError: the process broke down without saying why, or wrote what cannot be understood.
        """
        catalog = self._folder / "catalog.json"
        catalog.write_bytes(orjson.dumps({"streams": [stream.configured() for stream in streams]}))
        state = self._folder / "state.json"
        state.write_bytes(orjson.dumps(list(states)))
        return self._run("read", "--catalog", str(catalog), "--state", str(state))

    def keep_log(self, path: Path) -> bool:
        """Write the connector's errors to `path`, without secrets; return False if there are none."""
        return self._log.keep(path, self._settings.secrets)

    def _run(self, verb: str, *flags: str) -> Generator[Message, None, None]:
        with self._log.open() as log:
            process = subprocess.Popen(
                [*self._command, verb, "--config", str(self._settings.path), *flags],
                cwd=ROOT,
                env=_environment(),
                # It ends when this process does, however that happens.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # Ctrl-C reaches this process alone, so that it decides how the connector ends.
                start_new_session=True,
            )
            assert process.stdout is not None  # noqa: S101
            trace: str | None = None
            try:
                for line in process.stdout:
                    message = parse(line)
                    if message is None:
                        continue
                    self._take_config(message)
                    self._log.note(message)
                    trace = error_of(message) or trace
                    yield message
                code = process.wait()
            finally:
                self._stop(process, process.stdout)
        if code and verb != "read":
            raise ArchiveError(trace or f"The connector's {verb} ended with exit code {code}. {self._last_words()}")
        if code and trace is None:
            raise ArchiveError(f"The connector crashed with exit code {code}. {self._last_words()}")

    def _stop(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        """Stop a running process; a config in its last output is saved like any other."""
        if process.poll() is None:
            # Not SIGTERM, after which Python drops what it has not yet written.
            process.send_signal(signal.SIGINT)
            deadline = Timer(_SECONDS_TO_STOP, process.kill)
            deadline.start()
            try:
                for line in output:
                    self._take_config(_leniently(line))
                process.wait()
            finally:
                deadline.cancel()
                process.kill()
                process.wait()
        output.close()
        if process.stdin:
            process.stdin.close()

    def _take_config(self, message: Message) -> None:
        control = message.get("control") or {}
        if control.get("type") == "CONNECTOR_CONFIG":
            notice = self._settings.update(control["connectorConfig"]["config"])
            if notice:
                self._notify(notice)

    def _pass_on(self, message: Message) -> None:
        notice = retry_of(message)
        if notice:
            self._notify(notice)

    def _last_words(self) -> str:
        last = self._log.last(self._settings.secrets)
        return f"Last output: {last}" if last else "It printed nothing."


def parse(line: bytes) -> Message | None:
    """Return the message in a line of the connector's output, None for a line that is no JSON object.

    Raises:
        ArchiveError: the line begins like a message, but cannot be read. It may have held a record, so it is no noise.
    """
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            message = _repaired(line)
        except ValueError:
            raise ArchiveError(
                f"The connector wrote an incomplete message of {len(line)} bytes: a record may be lost."
            ) from None
    if not isinstance(message.get("type"), str):
        raise ArchiveError("The connector wrote a JSON object that is not an Airbyte protocol message.")
    if message["type"] == "RECORD" and not _is_record(message.get("record")):
        raise ArchiveError("The connector wrote a RECORD message without the name of its stream or without data.")
    return message  # type: ignore[no-any-return]


def error_of(message: Message) -> str | None:
    """Return what an error trace says to the user, None for any other message."""
    trace = message.get("trace") or {}
    if trace.get("type") != "ERROR":
        return None
    error = trace.get("error") or {}
    return str(error.get("message") or error.get("internal_message") or "The connector failed and gave no reason.")


def reason_of(text: str | None) -> str:
    """Return the reason of a failed check without the quotes and the stream that the CDK puts around it."""
    text = (text or "").strip()
    if text[:1] in ("'", '"'):
        try:
            text = str(ast.literal_eval(text))
        except (SyntaxError, ValueError):
            text = text.strip(text[0])
    return _TRIED.sub("", text)


def retry_of(message: Message) -> str | None:
    """Return a sentence about a request that the connector is going to repeat, None for any other message."""
    text = (message.get("log") or {}).get("message") or ""
    retry, status = _RETRY.search(text), _STATUS.search(text)
    if not retry:
        return None
    # The CDK calls every reason a rate limit.
    failed = f"Drift answered with HTTP {status[1]}" if status else "A request failed"
    return f"{failed}. Retrying in {float(retry[1]):.0f} seconds."


def _repaired(line: bytes) -> Message:
    """Return a message with lone surrogates, which JSON allows and Unicode does not, shown as question marks."""
    text = json.dumps(json.loads(line), ensure_ascii=False)
    return orjson.loads(text.encode("utf-8", "replace"))  # type: ignore[no-any-return]


def _leniently(line: bytes) -> Message:
    try:
        return parse(line) or {}
    except ArchiveError:
        return {}


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("stream"), str) and isinstance(record.get("data"), dict)


def _environment() -> dict[str, str]:
    """Return this process's environment, in which a proxy never stands between the connector and the sandbox."""
    direct = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1,localhost")))
    return {**os.environ, "NO_PROXY": direct, "no_proxy": direct}
