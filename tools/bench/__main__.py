"""Measures the connector against the local Drift: `make bench`, or `python -m tools.bench [--only NAME]`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tools.bench import cpu, destination, fewest, growth, limit, memory, profile, report, startup
from tools.bench.process import ROOT, Failed
from tools.bench.sizes import LARGE, QUICK, USUAL, Sizes

MEASUREMENTS: dict[str, Callable[[Sizes, Path], report.Section | None]] = {
    "limit": limit.measure,
    "limit-large": limit.measure_large,
    "requests": fewest.measure,
    "cpu": cpu.measure,
    "profile": profile.measure,
    "memory": memory.measure,
    "growth": growth.measure,
    "startup": startup.measure,
    "destination": destination.measure,
}
_BUSY = 0.5


def main() -> int:
    """Return 0 unless a run failed or lost a record. A missed target is printed, but is not a failure."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="run only this measurement; repeatable")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small and noisy; writes only to .tmp/bench")
    size.add_argument("--large", action="store_true", help="up to a million of each; takes about two hours")
    given = parser.parse_args()
    # Exit normally, so that child processes are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = ROOT / ".tmp" / "bench" if given.quick else Path(__file__).resolve().parent
    sizes = QUICK if given.quick else LARGE if given.large else USUAL
    machine = report.machine()
    print(machine)
    if os.getloadavg()[0] > _BUSY:
        print("This machine is busy, so absolute figures will look worse than they are.")
    sections, failed = [], []
    for name in given.only or MEASUREMENTS:
        began = time.monotonic()
        try:
            section = MEASUREMENTS[name](sizes, folder)
        except Failed as error:
            failed.append(f"{name}: {error}")
            print(f"\n== {name}: FAILED: {error}")
            continue
        if section is None:
            continue
        sections.append(section)
        print(report.text(section), f"\n  ({time.monotonic() - began:.0f} s)", flush=True)
        # Write immediately, so that an interrupted run keeps its results.
        page = report.keep([section], machine, folder, list(MEASUREMENTS))
    print()
    if sections:
        print(f"Written: {page.relative_to(ROOT)}")
    for line in report.missed(sections):
        print(f"Missed target: {line}")
    for line in failed:
        print(f"Failed: {line}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
