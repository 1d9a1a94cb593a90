"""Runs `destination-drift write` in a process of its own, which starts at once and waits briefly.

The process is forked from a server that has imported everything. The command runs unchanged, except that waits are
1,000 times shorter, timeouts 30 times, and the limit of requests is 100 times higher.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airbyte_cdk.sources.streams.call_rate import Rate
from destination_tests import arguments, wait_until

from destination_drift import client, contacts, run

_SHORTER = 1_000
_SHORTER_TIMEOUTS = 30
_FASTER = 100

_context = get_context("forkserver")
_context.set_forkserver_preload([__name__])


class Hurried:
    """A running `write`. `heard` is called with each message that it prints, as soon as it arrives."""

    def __init__(self, folder: Path, config: Any, catalog: Any, heard: Callable[[dict[str, Any]], None]) -> None:
        given, self._into = _context.Pipe(duplex=False)
        self._out_of, taken = _context.Pipe(duplex=False)
        command = arguments(folder, "write", config, catalog)
        self.process = _context.Process(target=_main, args=(command, given, taken), daemon=True)
        # Python 3.11 does not tell the server where the modules are.
        with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
            self.process.start()
        given.close()
        taken.close()
        self._heard = heard
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def send(self, text: str) -> None:
        """Write to its standard input, unless it has ended."""
        try:
            os.write(self._into.fileno(), text.encode())
        except BrokenPipeError:
            return

    def close(self) -> None:
        """End its standard input."""
        self._into.close()

    @property
    def is_running(self) -> bool:
        return self._listener.is_alive()

    def ended(self) -> int:
        """Wait for its end, close the input, and return its exit code."""
        wait_until(lambda: not self.is_running)
        self.process.join(60)
        if not self._into.closed:
            self._into.close()
        assert self.process.exitcode is not None
        return self.process.exitcode

    def _listen(self) -> None:
        with os.fdopen(os.dup(self._out_of.fileno()), "rb") as lines:
            for line in lines:
                # A process that is killed may leave a part of a line.
                if line.endswith(b"\n"):
                    self._heard(json.loads(line))
        self._out_of.close()


def _main(command: list[str], given: Connection, taken: Connection) -> None:
    os.dup2(given.fileno(), 0)
    os.dup2(taken.fileno(), 1)
    given.close()
    taken.close()
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    client.FIRST_WAIT /= _SHORTER
    client.LONGEST_WAIT /= _SHORTER
    client.LONGEST_RETRY_AFTER /= _SHORTER * 600
    client.TIMEOUTS = tuple(seconds / _SHORTER_TIMEOUTS for seconds in client.TIMEOUTS)
    client.Rate = lambda limit, interval: Rate(limit * _FASTER, timedelta(seconds=interval.total_seconds()))
    contacts.WAITS = tuple(seconds / _SHORTER for seconds in contacts.WAITS)
    run.main(command)
