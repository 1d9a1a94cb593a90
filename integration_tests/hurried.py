"""A console script in a process of its own, in a hurry.

Everything is as in the script itself, but that the CDK sleeps a thousandth of the time between attempts, that time-outs
are a hundredth as long, and that the clock of the API budget runs a hundred times as fast: 35 requests a second are
3,500. A request without a time-out hangs as it would otherwise. `Pace` switches the budget's part off.
"""

import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import entry_points
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import backoff._sync
import pyrate_limiter.clocks
import requests
from airbyte_cdk.cli.source_declarative_manifest import _run  # noqa: F401  the server holds what every script imports
from airbyte_cdk.sources.declarative.incremental import ConcurrentPerPartitionCursor
from airbyte_cdk.sources.streams import call_rate
from airbyte_cdk.sources.streams.http import rate_limiting

SHORTER_SLEEPS = 1000
SHORTER_TIMEOUTS = 100
# Seconds between two looks at a condition; the end of the process is noticed at once.
BETWEEN_LOOKS = 0.005

# A process forked from a server that has imported the CDK starts at once; importing it takes over a second.
_context = get_context("forkserver")
_context.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Pace:
    """What a run does not leave to the CDK.

    Attributes:
        budget: so many times as fast as the clock runs that of the API budget. 1 for a test that is about the budget:
            the windows of the manifest then last as long as it says.
        state_seconds: the least time between two state messages of a child of the conversations; the CDK's own is 600.
    """

    budget: int = 100
    state_seconds: float = 600


IN_A_HURRY = Pace()


def run_script(
    command: list[str],
    environment: dict[str, str],
    stdout: str,
    stderr: str,
    longest: float,
    pace: Pace = IN_A_HURRY,
    is_enough: Callable[[], bool] | None = None,
) -> int:
    """Run a console script of this environment to its end, its output into files, and return its exit code.

    Once `is_enough` it is killed, as `kill -9` does; the exit code is then -9.

    Raises TimeoutError, and ends the process, if it has not ended after `longest` seconds.
    """
    process = _context.Process(target=_run_here, args=(command, environment, stdout, stderr, pace))
    process.start()
    deadline = time.monotonic() + longest
    while process.exitcode is None and time.monotonic() < deadline:
        process.join(BETWEEN_LOOKS if is_enough else longest)
        if is_enough and is_enough():
            process.kill()
            process.join()
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"{command[0]} {command[1]} has not ended after {longest} s")
    return process.exitcode


def hurry(pace: Pace) -> None:
    """Shorten the waits of this process."""
    slept = threading.local()

    def sleep(seconds: float) -> None:
        time.sleep(seconds / SHORTER_SLEEPS)
        slept.seconds = getattr(slept, "seconds", 0.0) + seconds

    def now() -> datetime:
        return datetime.now() + timedelta(seconds=getattr(slept, "seconds", 0.0))

    rate_limiting.time = backoff._sync.time = SimpleNamespace(sleep=sleep)
    # How long a request has been tried is told by a clock that has waited as long as it was meant to.
    backoff._sync.datetime = SimpleNamespace(datetime=SimpleNamespace(now=now), timedelta=timedelta)
    # The clock that stamps every call, and the wait for the next one: together, or the windows would not fit.
    pyrate_limiter.clocks.time = lambda: time.time() * pace.budget
    call_rate.time = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / pace.budget))
    send = requests.Session.send

    def send_shorter(session: requests.Session, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if kwargs.get("timeout"):
            kwargs["timeout"] = tuple(seconds / SHORTER_TIMEOUTS for seconds in kwargs["timeout"])
        return send(session, request, **kwargs)

    requests.Session.send = send_shorter
    timer = threading.Timer
    threading.Timer = lambda seconds, *arguments: timer(seconds / SHORTER_TIMEOUTS, *arguments)  # type: ignore[misc]

    def throttled(cursor: ConcurrentPerPartitionCursor) -> float | None:
        now = time.time()
        return None if now - cursor._last_emission_time <= pace.state_seconds else now

    ConcurrentPerPartitionCursor._throttle_state_message = throttled


def _run_here(command: list[str], environment: dict[str, str], stdout: str, stderr: str, pace: Pace) -> None:
    os.environ.update(environment)
    for descriptor, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.argv = command
    hurry(pace)
    (script,) = entry_points(group="console_scripts", name=command[0])
    try:
        script.load()()
    except Exception:
        # As at the end of any process: the CDK's hook turns what nobody caught into a message.
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
    finally:
        sys.stdout.flush()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        Path(f"{stdout}.peak").write_text(str(peak), encoding="utf-8")
