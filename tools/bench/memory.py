"""Measures the peak memory of a sync and the size of its state."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox import Drift, Sandbox
from tools.bench.connector import INCREMENTAL, UNLIMITED, read, unlimited
from tools.bench.process import Failed, spend
from tools.bench.report import Section
from tools.bench.sizes import Sizes

FLAT = 1.25
ROUTER_TARGET = 250
STATE_TARGET = 2_000
_MEAN = 25
_STATE_CONVERSATIONS = 500
# The messages of 25,000 conversations: the CDK keeps this many cursors (ConcurrentPerPartitionCursor), and a queue of
# 10,000 records.
_ALL_IS_FULL = 625_000


def measure(sizes: Sizes, _: Path) -> Section:
    """Peak memory over messages and over conversations, and the bytes of each stream's state."""
    section = Section("memory", "Peak memory (MB resident) and state")
    section.columns = ["what", "size", "peak MB", "grown by MB", "bytes each"]
    with unlimited() as manifest:
        with Sandbox(Drift(conversations=0, contacts=0), UNLIMITED) as sandbox:
            empty = read(sandbox, "messages", manifest=manifest).usage.peak
        section.rows.append(["read of an empty Drift", "0", f"{empty / 1e6:.0f}", "–", "–"])
        peaks = [_messages(section, size, empty, manifest) for size in sizes.messages]
        for (less, low), (more, high) in pairwise(peaks):
            if less >= _ALL_IS_FULL:
                section.at_most(f"peak at {more:,} messages ÷ at {less:,}", high / low, FLAT, "{:.2f}")
        _router(section, sizes.routed, peaks[-1][1])
        with Sandbox(Drift(conversations=_STATE_CONVERSATIONS), UNLIMITED) as sandbox:
            run = read(sandbox, *INCREMENTAL, manifest=manifest)
    for stream in INCREMENTAL:
        section.at_most(f"state of {stream}", run.state_bytes(stream), STATE_TARGET, "{:,.0f}", " bytes")
    section.notes = [
        f"Each conversation has {_MEAN} messages on average, and there is no rate limit. The router runs alone in a "
        "separate process, and the memory of a router without conversations is subtracted. A sync that lists the same "
        "number of conversations needs this memory in addition to the largest read.",
        f"Up to {_ALL_IS_FULL:,} messages, memory grows because the CDK keeps the cursors of 25,000 conversations and "
        "10,000 records. Beyond that, it must not grow.",
    ]
    return section


def _messages(section: Section, size: int, empty: int, manifest: Path) -> tuple[int, int]:
    drift = Drift(conversations=size // _MEAN, messages_per_conversation=_MEAN)
    with Sandbox(drift, UNLIMITED) as sandbox:
        run = read(sandbox, "messages", manifest=manifest)
    records, peak = run.records["messages"], run.usage.peak
    grown = peak - empty
    section.rows.append(["read of messages", f"{records:,}", f"{peak / 1e6:.0f}", f"{grown / 1e6:.0f}", "–"])
    return records, peak


def _router(section: Section, sizes: tuple[int, ...], read_alone: int) -> None:
    alone = _fed(0)
    for size in sizes:
        peak = _fed(size)
        grown = peak - alone
        row = ["router alone", f"{size:,}", f"{peak / 1e6:.0f}", f"{grown / 1e6:.0f}", f"{grown / size:.0f}"]
        section.rows.append(row)
        # The target is for one size; a smaller measurement is extrapolated.
        million = grown * 1_000_000 / size / 1e6
        stretched = "" if size == 1_000_000 else f", from {size:,}"
        section.at_most(f"router at 1,000,000 conversations{stretched}", million, ROUTER_TARGET, "{:.0f}", " MB")
        whole = read_alone / 1e6 + million
        section.at_most(f"largest read + router at 1,000,000{stretched}", whole, ROUTER_TARGET, "{:.0f}", " MB")


def _fed(conversations: int) -> int:
    """Peak bytes of a process that feeds the router."""
    with TemporaryDirectory() as folder:
        usage = spend([sys.executable, "-m", "tools.bench.router", str(conversations)], Path(folder))
        if usage.code:
            raise Failed(Path(folder, "stderr").read_text(encoding="utf-8").strip()[-500:])
    return usage.peak
