"""Runs a command as a process and records its start, end, resource usage and first output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 4 * 3600.0
_BLOCK = 1 << 16
_RECORD = b'"type":"RECORD"'


class Failed(Exception):
    """A run that failed or lost a record; its figures don't count."""


@dataclass(frozen=True)
class Usage:
    """The resource usage of one process.

    Attributes:
        code: exit code, negative for a signal.
        started, ended: monotonic seconds.
        cpu: CPU seconds, user and system, without those of the server.
        peak: peak resident memory in bytes.
        first_record: monotonic seconds at the first record; None if there was none.
    """

    code: int
    started: float
    ended: float
    cpu: float
    peak: int
    first_record: float | None

    @property
    def seconds(self) -> float:
        return self.ended - self.started


def spend(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    longest: float = LONGEST,
    given: Path | str = os.devnull,
) -> Usage:
    """Run a command in the checkout, with its output in `stdout` and `stderr` in `folder`, and `given` as its input.

    Raises:
        Failed: it did not end within `longest` seconds; it and its child processes are stopped.
    """
    usage = folder / "usage.json"
    launcher = [sys.executable, "-S", "-E", str(Path(__file__).with_name("child.py")), str(usage), *command]
    with open(given, "rb") as stdin, open(folder / "stderr", "wb") as stderr, open(folder / "stdout", "wb") as stdout:
        process = subprocess.Popen(
            launcher,
            cwd=ROOT,
            env={**_without_proxies(), **(environment or {})},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            # A separate process group, so that both processes can be stopped together.
            start_new_session=True,
        )
        watchdog = Timer(longest, _end, [process])
        watchdog.start()
        first = None
        try:
            assert process.stdout is not None
            while block := os.read(process.stdout.fileno(), _BLOCK):
                if first is None and _RECORD in block:
                    first = time.monotonic()
                stdout.write(block)
            process.wait()
        finally:
            watchdog.cancel()
            _end(process)
    if not usage.exists():
        raise Failed(f"{Path(command[0]).name} was ended after {longest:.0f} s")
    return Usage(first_record=first, **json.loads(usage.read_text(encoding="utf-8")))


def _without_proxies() -> dict[str, str]:
    """Our environment, without proxies for requests to loopback."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
