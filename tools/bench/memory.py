"""Measures the peak memory of a sync and the size of its state."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from sandbox import Drift, Sandbox
from tools.bench.connector import INCREMENTAL, UNLIMITED, read, unlimited
from tools.bench.report import Section
from tools.bench.sizes import Sizes

FLAT = 1.25
PEAK_TARGET = 250
STATE_TARGET = 2_000
_MEAN = 25
_STATE_CONVERSATIONS = 500
# The messages of 25,000 conversations: the CDK keeps this many cursors (ConcurrentPerPartitionCursor), and a queue of
# 10,000 records.
_ALL_IS_FULL = 625_000


def measure(sizes: Sizes, _: Path) -> Section:
    """Peak memory over messages and over conversations, and the bytes of each stream's state."""
    section = Section("memory", "Peak memory (MB resident) and state")
    section.columns = ["what", "size", "peak MB", "grown by MB"]
    with unlimited() as manifest:
        with Sandbox(Drift(conversations=0, contacts=0), UNLIMITED) as sandbox:
            empty = read(sandbox, "messages", manifest=manifest).usage.peak
        section.rows.append(["read of an empty Drift", "0", f"{empty / 1e6:.0f}", "–"])
        peaks = [_read(section, size // _MEAN, _MEAN, empty, manifest) for size in sizes.messages]
        for (less, low), (more, high) in pairwise(peaks):
            if less >= _ALL_IS_FULL:
                section.at_most(f"peak at {more:,} messages ÷ at {less:,}", high / low, FLAT, "{:.2f}")
        for size in sizes.listed_first:
            peak = _read(section, size, 1, empty, manifest)[1]
            section.at_most(f"peak with {size:,} conversations", peak / 1e6, PEAK_TARGET, "{:.0f}", " MB")
        with Sandbox(Drift(conversations=_STATE_CONVERSATIONS), UNLIMITED) as sandbox:
            run = read(sandbox, *INCREMENTAL, manifest=manifest)
    for stream in INCREMENTAL:
        section.at_most(f"state of {stream}", run.state_bytes(stream), STATE_TARGET, "{:,.0f}", " bytes")
    section.notes = [
        f"There is no rate limit. Each conversation has {_MEAN} messages on average, in the last rows only one.",
        f"Up to {_ALL_IS_FULL:,} messages, memory grows because the CDK keeps the cursors of 25,000 conversations and "
        "10,000 records. Beyond that, it must not grow.",
    ]
    return section


def _read(section: Section, conversations: int, mean: int, empty: int, manifest: Path) -> tuple[int, int]:
    """Read the messages of these conversations; return their number and the peak in bytes."""
    drift = Drift(conversations=conversations, messages_per_conversation=mean)
    with Sandbox(drift, UNLIMITED) as sandbox:
        run = read(sandbox, "messages", manifest=manifest)
    records, peak = run.records["messages"], run.usage.peak
    grown = peak - empty
    what = f"messages of {conversations:,} conversations"
    section.rows.append([what, f"{records:,}", f"{peak / 1e6:.0f}", f"{grown / 1e6:.0f}"])
    return records, peak
