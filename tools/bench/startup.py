"""Measures the time to the first record and to the result of `check`."""

from __future__ import annotations

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox import Drift, Options, Sandbox
from tools.bench.connector import config, read, run
from tools.bench.process import Failed, spend
from tools.bench.report import Section, spread
from tools.bench.sizes import Sizes

_CONVERSATIONS = 200
# The first statement of the console script.
_IMPORT = "from airbyte_cdk.cli.source_declarative_manifest import run"


def measure(sizes: Sizes, _: Path) -> Section:
    """Seconds from the start of the process to the first record and to the end of `check`."""
    section = Section("startup", "Startup time in seconds")
    section.columns = ["what", "seconds", "CPU s"]
    imports = [_import() for _ in range(sizes.runs)]
    with Sandbox(Drift(conversations=_CONVERSATIONS), Options(rate_limit=None)) as sandbox:
        reads = [read(sandbox, "conversations").usage for _ in range(sizes.runs)]
        first = [one.first_record - one.started for one in reads if one.first_record is not None]
        checks = [_check(sandbox.url, "SUCCEEDED") for _ in range(sizes.runs)]
    # They wait almost all the time, so they run in parallel.
    with ThreadPoolExecutor(sizes.runs) as pool:
        dead = list(pool.map(_check, [_nobody()] * sizes.runs, ["FAILED"] * sizes.runs))
    section.rows = [
        ["import of the CDK alone", *(spread([seconds[at] for seconds in imports], "{:.2f}") for at in (0, 1))],
        ["read, to the first record", spread(first, "{:.2f}"), spread([one.cpu for one in reads], "{:.2f}")],
        ["check, healthy Drift", *(spread([seconds[at] for seconds in checks], "{:.2f}") for at in (0, 1))],
        ["check, nobody answers", *(spread([seconds[at] for seconds in dead], "{:.2f}") for at in (0, 1))],
    ]
    section.notes = [
        f"The figures are medians, with the minimum and maximum of {sizes.runs} runs in parentheses. If Drift "
        "cannot be reached, the connection is refused immediately, so the time is that of the attempts and the random "
        "waits between them."
    ]
    return section


def _import() -> tuple[float, float]:
    """Wall and CPU seconds for starting Python and importing the CDK."""
    with TemporaryDirectory() as name:
        usage = spend([sys.executable, "-c", _IMPORT], Path(name))
    return usage.seconds, usage.cpu


def _check(url: str, wanted: str) -> tuple[float, float]:
    """Wall and CPU seconds of a check."""
    with TemporaryDirectory() as name:
        usage = run("check", Path(name), {"config": config(url)})
        if f'"status":"{wanted}"' not in Path(name, "stdout").read_text(encoding="utf-8"):
            raise Failed(f"check did not return {wanted}")
    return usage.seconds, usage.cpu


def _nobody() -> str:
    """The URL of a port on loopback that was just free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
