"""Measures how close a sync comes to the rate limit, and where the rest of the time goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sandbox import Drift, Options, Request, Sandbox
from tools.bench.connector import OF_CONVERSATIONS, read
from tools.bench.process import Usage
from tools.bench.report import Section
from tools.bench.sizes import Sizes
from tools.bench.timeline import Panel, draw
from tools.bench.traffic import per_second, unused

TARGET, TARGET_OF_ORDERS = 1.05, 1.10
LATENCIES = (50, 200, 500)
# Requests per second, the default of the setting.
_DEFAULT = 35
BUCKET = (1000, 20.0)
# More values would not be visible in the chart.
_MOST_STEPS = 450
# Seconds, more than the connector takes until its first request.
_START = 5


def measure(sizes: Sizes, folder: Path) -> Section:
    """Wall time ÷ (requests ÷ limit) of a first sync, at each latency and limit; draws timeline.svg into `folder`."""
    cells = [_Cell(latency, limit) for limit in sizes.limit_rates for latency in LATENCIES]
    section, panels = _measured("limit", sizes.limit_conversations, cells)
    folder.mkdir(parents=True, exist_ok=True)
    section.picture = "timeline.svg"
    (folder / section.picture).write_text(draw(panels), encoding="utf-8")
    return section


def measure_large(sizes: Sizes, _: Path) -> Section | None:
    """The same with a larger Drift, also with each stream first in the catalog; None if `sizes` has no larger one."""
    cells = [_Cell(latency, _DEFAULT) for latency in LATENCIES]
    cells += [_Cell(LATENCIES[-1], _DEFAULT, stream) for stream in OF_CONVERSATIONS[1:]]
    return _measured("limit-large", sizes.limit_large, cells)[0] if sizes.limit_large else None


@dataclass(frozen=True)
class _Cell:
    """One sync: latency in milliseconds, requests per second, and the first stream, which the usual order follows."""

    latency: int
    limit: int
    first: str = OF_CONVERSATIONS[0]

    @property
    def name(self) -> str:
        begins = "" if self.first == OF_CONVERSATIONS[0] else f", {self.first} first"
        return f"{self.latency} ms, {self.limit} per second{begins}"

    @property
    def streams(self) -> Sequence[str]:
        place = OF_CONVERSATIONS.index(self.first)
        return [*OF_CONVERSATIONS[place:], *OF_CONVERSATIONS[:place]]


def _measured(name: str, conversations: int, cells: Sequence[_Cell]) -> tuple[Section, list[Panel]]:
    section = Section(name, f"Distance to the rate limit, {conversations:,} conversations")
    section.columns = ["latency, limit", "ratio", "wall s", "requests", "429s", "start s", "list s"]
    section.columns += ["between streams s", "within streams s", "end s", "longest gap s"]
    # Each run waits almost all the time, so all of them can be measured in parallel.
    with ThreadPoolExecutor(len(cells)) as pool:
        started = [pool.submit(_one, conversations, cell, place) for place, cell in enumerate(cells)]
    panels = [_noted(section, one.result()) for one in started]
    section.notes = [
        "The columns start, list, between, within and end show the seconds in which the rate limit was not used. Their "
        "sum is the wall time minus requests ÷ limit. A gap of up to a second loses nothing, because the budget allows "
        "the requests of one second to be sent at once. All rows were measured in parallel.",
    ]
    return section, panels


@dataclass(frozen=True)
class _Sync:
    cell: _Cell
    usage: Usage
    requests: Sequence[Request]


def _one(conversations: int, cell: _Cell, place: int) -> _Sync:
    drift = Drift(conversations=conversations)
    with Sandbox(drift, Options(rate_limit=BUCKET, latency=cell.latency / 1000)) as sandbox:
        # Only the start needs the CPU for itself.
        time.sleep(place * _START)
        run = read(sandbox, *cell.streams, max_requests_per_second=cell.limit)
        return _Sync(cell, run.usage, sandbox.journal.requests())


def _noted(section: Section, sync: _Sync) -> Panel:
    """Add a sync to the section, and return its panel."""
    name, limit = sync.cell.name, sync.cell.limit
    ratio = sync.usage.seconds / (len(sync.requests) / limit)
    throttled = sum(one.status == 429 for one in sync.requests)
    lost = unused(sync.requests, sync.usage, limit)
    section.at_most(name, ratio, TARGET if sync.cell.first == OF_CONVERSATIONS[0] else TARGET_OF_ORDERS)
    section.at_most(f"{name}: 429 responses", throttled, 0, "{:.0f}")
    row = [name, f"{ratio:.3f}", f"{sync.usage.seconds:.1f}", f"{len(sync.requests):,}", str(throttled)]
    section.rows.append(row + _seconds([lost.start, lost.listing, lost.between, lost.within, lost.end]))
    section.rows[-1] += [f"{lost.longest_gap:.2f}"]
    step = max(1, -(-int(sync.usage.seconds) // _MOST_STEPS))
    return Panel(name, limit, sync.usage.seconds, step, per_second(sync.requests, sync.usage, step))


def _seconds(values: Sequence[float]) -> list[str]:
    return [f"{value:.2f}" for value in values]
