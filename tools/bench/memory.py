"""Measures the peak memory of a sync and the size of its state."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from sandbox import PRIMARY_KEYS, Drift, Sandbox
from tools.bench.connector import INCREMENTAL, UNLIMITED, read, unlimited
from tools.bench.report import Section
from tools.bench.sizes import Sizes

FLAT = 1.25
PEAK_TARGET = 250
STATE_TARGET = 2_000
_MEAN = 25
_STATE_CONVERSATIONS = 500
# The CDK's queue of 10,000 records is full.
_ALL_IS_FULL = 100_000


def measure(sizes: Sizes, _: Path) -> Section:
    """Peak memory over messages, over conversations and with all streams, and the bytes of each stream's state."""
    section = Section("memory", "Peak memory (MB resident) and state")
    section.columns = ["what", "size", "peak MB", "grown by MB"]
    with unlimited() as manifest:
        with Sandbox(Drift(conversations=0, contacts=0), UNLIMITED) as sandbox:
            empty = read(sandbox, "messages", manifest=manifest).usage.peak
        section.rows.append(["read of an empty Drift", "0", f"{empty / 1e6:.0f}", "–"])
        peaks = [_read(section, "messages", size // _MEAN, _MEAN, empty, manifest) for size in sizes.messages]
        for (less, low), (more, high) in pairwise(peaks):
            if less >= _ALL_IS_FULL:
                section.at_most(f"peak at {more:,} messages ÷ at {less:,}", high / low, FLAT, "{:.2f}")
        for size in sizes.listed_first:
            peak = _read(section, "messages", size, 1, empty, manifest)[1]
            section.at_most(f"peak with {size:,} conversations", peak / 1e6, PEAK_TARGET, "{:.0f}", " MB")
        peak = _read(section, "all streams", sizes.everything, 2, empty, manifest)[1]
        section.at_most(f"peak of all streams of {sizes.everything:,}", peak / 1e6, PEAK_TARGET, "{:.0f}", " MB")
        with Sandbox(Drift(conversations=_STATE_CONVERSATIONS), UNLIMITED) as sandbox:
            run = read(sandbox, *INCREMENTAL, manifest=manifest)
    for stream in INCREMENTAL:
        section.at_most(f"state of {stream}", run.state_bytes(stream), STATE_TARGET, "{:,.0f}", " bytes")
    section.notes = [
        f"There is no rate limit. Each conversation has {_MEAN} messages on average, in the later rows one or two.",
        f"Up to {_ALL_IS_FULL:,} messages, memory grows: the CDK keeps 10,000 records. Beyond that, it must not.",
    ]
    return section


def _read(section: Section, what: str, conversations: int, mean: int, empty: int, manifest: Path) -> tuple[int, int]:
    """Read the messages of these conversations, or all streams; return the number of records and the peak in bytes."""
    drift = Drift(conversations=conversations, messages_per_conversation=mean)
    with Sandbox(drift, UNLIMITED) as sandbox:
        run = read(sandbox, *(PRIMARY_KEYS if what == "all streams" else [what]), manifest=manifest)
    records, peak = sum(run.records.values()), run.usage.peak
    grown = peak - empty
    section.rows.append(
        [f"{what} of {conversations:,} conversations", f"{records:,}", f"{peak / 1e6:.0f}", f"{grown / 1e6:.0f}"]
    )
    return records, peak
