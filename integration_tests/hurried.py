"""A console script in a process of its own, in a hurry.

Everything is as in the script itself, but that the CDK sleeps a thousandth of the time between attempts and that
time-outs are a hundredth as long. A request without a time-out hangs as it would otherwise.
"""

import os
import sys
import time
from importlib.metadata import entry_points
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any

import backoff._sync
import requests
from airbyte_cdk.cli.source_declarative_manifest import _run  # noqa: F401  the server holds what every script imports
from airbyte_cdk.sources.streams.http import rate_limiting

SHORTER_SLEEPS = 1000
SHORTER_TIMEOUTS = 100

# A process forked from a server that has imported the CDK starts at once; importing it takes over a second.
_context = get_context("forkserver")
_context.set_forkserver_preload([__name__])


def run_script(command: list[str], environment: dict[str, str], stdout: str, stderr: str, longest: float) -> int:
    """Run a console script of this environment to its end, its output into files, and return its exit code.

    Raises TimeoutError, and ends the process, if it has not ended after `longest` seconds.
    """
    process = _context.Process(target=_run_here, args=(command, environment, stdout, stderr))
    process.start()
    process.join(longest)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"{command[0]} {command[1]} has not ended after {longest} s")
    return process.exitcode


def hurry() -> None:
    """Shorten the waits of this process."""
    shorter = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / SHORTER_SLEEPS))
    rate_limiting.time = shorter
    backoff._sync.time = shorter
    send = requests.Session.send

    def send_shorter(session: requests.Session, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if kwargs.get("timeout"):
            kwargs["timeout"] = tuple(seconds / SHORTER_TIMEOUTS for seconds in kwargs["timeout"])
        return send(session, request, **kwargs)

    requests.Session.send = send_shorter


def _run_here(command: list[str], environment: dict[str, str], stdout: str, stderr: str) -> None:
    for descriptor, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.environ.update(environment)
    sys.argv = command
    hurry()
    (script,) = entry_points(group="console_scripts", name=command[0])
    try:
        script.load()()
    except Exception:
        # As at the end of any process: the CDK's hook turns what nobody caught into a message.
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
    finally:
        sys.stdout.flush()
