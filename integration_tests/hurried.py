"""Runs a console script in its own process, with short waits.

The script runs unchanged, except that the CDK's waits between attempts are 1,000 times shorter, timeouts are 100 times
shorter, and the clock of the API budget runs 100 times faster: 35 requests per second become 3,500. A request without
a timeout still hangs. `Pace` sets the speed of the budget.
"""

import os
import pickle
import resource
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.metadata import entry_points
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import backoff._sync
import pyrate_limiter.clocks
import requests
from airbyte_cdk.cli.source_declarative_manifest import _run  # noqa: F401  the server preloads what every script imports
from airbyte_cdk.sources.declarative import concurrent_declarative_source, yaml_declarative_source
from airbyte_cdk.sources.declarative.incremental import ConcurrentPerPartitionCursor
from airbyte_cdk.sources.streams import call_rate
from airbyte_cdk.sources.streams.http import rate_limiting
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from source_drift import protocol

ROOT = Path(__file__).parents[1]
SHORTER_SLEEPS = 1000
SHORTER_TIMEOUTS = 100
# Seconds between checks of a condition; the end of the process is noticed at once.
BETWEEN_LOOKS = 0.005


@cache
def _parsed(text: str) -> bytes:
    return pickle.dumps(safe_load_yaml(text))


def load_yaml(source: str | bytes | IO[str]) -> Any:
    """Parse YAML, the same text only once."""
    text = source if isinstance(source, str) else source.decode() if isinstance(source, bytes) else source.read()
    return pickle.loads(_parsed(text))  # noqa: S301 (our own bytes)


# A process that is forked from a server with the CDK starts at once; importing the CDK takes over a second.
_context = get_context("forkserver")
_context.set_forkserver_preload([__name__])
# The server has parsed what every process needs.
yaml_declarative_source.safe_load_yaml = concurrent_declarative_source.safe_load_yaml = load_yaml
concurrent_declarative_source.get_declarative_component_schema()
load_yaml((ROOT / "manifest.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Pace:
    """The speed of a run.

    Attributes:
        budget: how many times faster the clock of the API budget runs. 1 for tests of the budget, so that its windows
            have the length in the manifest.
        state_seconds: the minimum time between two state messages of a child of conversations; 600 in the CDK.
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
    connector: Path = ROOT,
) -> int:
    """Run a console script of this environment with its output in files, and return its exit code.

    When `is_enough` is true, it is killed like with `kill -9`, and the exit code is -9. `source-drift` uses the
    manifest and components in `connector`.

    Raises TimeoutError and stops the process if it does not end within `longest` seconds.
    """
    process = _context.Process(target=_run_here, args=(command, environment, stdout, stderr, pace, connector))
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
    # The time spent on a request is measured with a clock that includes the full length of the waits.
    backoff._sync.datetime = SimpleNamespace(datetime=SimpleNamespace(now=now), timedelta=timedelta)
    # The clock of the calls and the waits must have the same speed, or the windows would be wrong.
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


def _run_here(
    command: list[str], environment: dict[str, str], stdout: str, stderr: str, pace: Pace, connector: Path
) -> None:
    os.environ.update(environment)
    for descriptor, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.argv = command
    protocol.one_literal_at_a_time()
    protocol.connector_folder = lambda: connector  # type: ignore[assignment]
    hurry(pace)
    (script,) = entry_points(group="console_scripts", name=command[0])
    try:
        script.load()()
    except Exception:
        # As in any process: the CDK's hook turns an uncaught exception into a message.
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
    finally:
        sys.stdout.flush()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        Path(f"{stdout}.peak").write_text(str(peak), encoding="utf-8")
