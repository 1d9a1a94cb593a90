"""How close a sync comes to the rate limit, and what eats the rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.connector import OF_CONVERSATIONS, read
from benchmarks.process import Usage
from benchmarks.report import Section
from benchmarks.sizes import Sizes
from benchmarks.timeline import Panel, draw
from benchmarks.traffic import per_second, unused
from sandbox import Drift, Options, Request, Sandbox

TARGET = 1.05
LATENCIES = (50, 200, 500)
BUCKET = (1000, 20.0)
# More values than that cannot be told apart in the picture.
_MOST_STEPS = 450
# Seconds, more than the connector takes to its first request.
_START = 5


def measure(sizes: Sizes, folder: Path) -> Section:
    """Wall time ÷ (requests ÷ limit) of a first sync, at each size, latency and limit.

    Draws those of the smallest size into `folder`/timeline.svg.
    """
    section = Section("limit", "Distance to the rate limit")
    section.columns = ["conversations, latency, limit", "ratio", "wall s", "requests", "429s"]
    section.columns += ["start s", "list s", "between streams s", "within streams s", "end s", "longest gap s"]
    panels = []
    for conversations in sizes.limit_conversations:
        for limit in sizes.limit_rates:
            # Each waits nearly all the time, so that the latencies can be measured side by side.
            with ThreadPoolExecutor(len(LATENCIES)) as pool:
                started = [pool.submit(_one, conversations, latency, limit, at) for at, latency in enumerate(LATENCIES)]
            panels += [_noted(section, one.result()) for one in started]
    folder.mkdir(parents=True, exist_ok=True)
    section.picture = "timeline.svg"
    drawn = panels[: len(LATENCIES) * len(sizes.limit_rates)]
    (folder / section.picture).write_text(draw(drawn), encoding="utf-8")
    section.notes = [
        "Seconds under start, list, between, within and end are those in which the limit was not used; together they "
        "are the wall time less requests ÷ limit. A gap of up to a second is no loss: the budget lets a second's "
        "requests go at once.",
    ]
    return section


@dataclass(frozen=True)
class _Sync:
    name: str
    limit: int
    usage: Usage
    requests: Sequence[Request]


def _one(conversations: int, latency: int, limit: int, place: int) -> _Sync:
    drift = Drift(conversations=conversations)
    with Sandbox(drift, Options(rate_limit=BUCKET, latency=latency / 1000)) as sandbox:
        # Only the start needs the processor for itself.
        time.sleep(place * _START)
        run = read(sandbox, *OF_CONVERSATIONS, max_requests_per_second=limit)
        return _Sync(f"{conversations:,}, {latency} ms, {limit} a second", limit, run.usage, sandbox.journal.requests())


def _noted(section: Section, sync: _Sync) -> Panel:
    """Notes a sync in the section, and returns what is drawn of it."""
    ratio = sync.usage.seconds / (len(sync.requests) / sync.limit)
    throttled = sum(one.status == 429 for one in sync.requests)
    lost = unused(sync.requests, sync.usage, sync.limit)
    section.at_most(sync.name, ratio, TARGET)
    section.at_most(f"{sync.name}: answers 429", throttled, 0, "{:.0f}")
    row = [sync.name, f"{ratio:.3f}", f"{sync.usage.seconds:.1f}", f"{len(sync.requests):,}", str(throttled)]
    section.rows.append(row + _seconds([lost.start, lost.listing, lost.between, lost.within, lost.end]))
    section.rows[-1] += [f"{lost.longest_gap:.2f}"]
    step = max(1, -(-int(sync.usage.seconds) // _MOST_STEPS))
    return Panel(sync.name, sync.limit, sync.usage.seconds, step, per_second(sync.requests, sync.usage, step))


def _seconds(values: Sequence[float]) -> list[str]:
    return [f"{value:.2f}" for value in values]
