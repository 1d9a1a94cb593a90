"""Measures how time and requests grow with the number of conversations, in a first sync and in an idle sync."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from sandbox import Drift, Options, Sandbox
from tools.bench.connector import INCREMENTAL, Message, read
from tools.bench.report import Section
from tools.bench.sizes import Sizes

IDLE_TARGET = 5
# 10 times as many conversations may take this many times 10.
LINEAR = 1.1
_RATE = 50
_RECENT_DAYS = 7


def measure(sizes: Sizes, _: Path) -> Section:
    """Seconds and requests over the number of conversations, and the requests of each idle stream."""
    section = Section("growth", "Growth with the number of conversations")
    section.columns = ["sync", "conversations", "requests", "wall s", "records"]
    first: dict[int, int] = {}
    idle: dict[int, int] = {}
    for size in sizes.growth:
        with Sandbox(Drift(conversations=size), Options(rate_limit=None)) as sandbox:
            states, first[size] = _row(section, sandbox, "first", size, None, "conversations")
            idle[size] = _row(section, sandbox, "idle", size, states, "conversations")[1]
            again = _row(section, sandbox, "idle", size, _caught_up(sandbox, "messages"), "messages")[1]
            idle[size] = max(idle[size], again)
    for less, more in pairwise(sizes.growth):
        times = more // less
        growth = first[more] / first[less]
        section.at_most(f"first sync, requests from {less:,} to {more:,}", growth, times * LINEAR, "{:.1f}", " times")
        # Only changes are read; one page more or less is random.
        section.at_most(f"idle sync, more requests from {less:,} to {more:,}", idle[more] - idle[less], 1, "{:.0f}")
    with Sandbox(Drift(conversations=sizes.idle), Options(rate_limit=None)) as sandbox:
        for stream in INCREMENTAL:
            requests = _row(section, sandbox, "idle", sizes.idle, _caught_up(sandbox, stream), stream)[1]
            section.at_most(f"idle {stream} of {sizes.idle:,}: requests", requests, IDLE_TARGET, "{:.0f}")
        _row(section, sandbox, "idle", sizes.idle, _caught_up(sandbox, *INCREMENTAL), *INCREMENTAL)
    section.notes = [
        f"Measured at {_RATE} requests per second, without latency. An idle sync finds no new data. If the table has "
        "no first sync for a row, its state comes from a sync with a `start_date` "
        f"{_RECENT_DAYS} days ago, which ends in the same state.",
    ]
    return section


def _row(
    section: Section, sandbox: Sandbox, name: str, size: int, states: Sequence[Message] | None, *streams: str
) -> tuple[Sequence[Message], int]:
    """Add a row for one sync; return its last states and the number of its requests."""
    run = read(sandbox, *streams, state=states, partial=states is not None, max_requests_per_second=_RATE)
    what = streams[0] if len(streams) == 1 else "all incremental streams"
    row = [f"{name}, {what}", f"{size:,}", f"{sandbox.journal.total:,}", f"{run.usage.seconds:.1f}"]
    section.rows.append([*row, f"{sum(run.records.values()):,}"])
    return run.states, sandbox.journal.total


def _caught_up(sandbox: Sandbox, *streams: str) -> Sequence[Message]:
    """The states after a sync of the last days only, which equal those after a complete first sync."""
    recent = datetime.fromtimestamp(sandbox.drift.now / 1000, UTC) - timedelta(days=_RECENT_DAYS)
    run = read(
        sandbox, *streams, partial=True, start_date=f"{recent:%Y-%m-%dT%H:%M:%SZ}", max_requests_per_second=_RATE
    )
    return run.states
