"""How close a sync comes to the rate limit, and what eats the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.connector import CHILDREN, read
from benchmarks.report import Section
from benchmarks.sizes import Sizes
from benchmarks.timeline import Panel, draw
from benchmarks.traffic import per_second, unused
from sandbox import Drift, Options, Sandbox

TARGET = 1.05
LATENCIES = (50, 200, 500)
BUCKET = (1000, 20.0)
# In the order of `discover`.
STREAMS = (*CHILDREN, "conversations")
# More values than that cannot be told apart in the picture.
_MOST_STEPS = 450


def measure(sizes: Sizes, folder: Path) -> Section:
    """Wall time ÷ (requests ÷ limit) of a first sync, at each latency and limit; draws timeline.svg into `folder`."""
    section = Section("limit", f"Distance to the rate limit, {sizes.limit_conversations:,} conversations")
    section.columns = [
        "latency, limit",
        "ratio",
        "wall s",
        "requests",
        "429s",
        "start s",
        "list s",
        "between streams s",
    ]
    section.columns += ["within streams s", "end s", "longest gap s"]
    panels = [
        _one(section, sizes.limit_conversations, latency, limit) for limit in sizes.limit_rates for latency in LATENCIES
    ]
    folder.mkdir(parents=True, exist_ok=True)
    section.picture = "timeline.svg"
    (folder / section.picture).write_text(draw(panels), encoding="utf-8")
    section.notes = [
        "Seconds under start, list, between, within and end are those in which the limit was not used; together they "
        "are the wall time less requests ÷ limit. A gap of up to a second is no loss: the budget lets a second's "
        "requests go at once.",
    ]
    return section


def _one(section: Section, conversations: int, latency: int, limit: int) -> Panel:
    drift = Drift(conversations=conversations)
    with Sandbox(drift, Options(rate_limit=BUCKET, latency=latency / 1000)) as sandbox:
        run = read(sandbox, *STREAMS, max_requests_per_second=limit)
        requests = sandbox.journal.requests()
    name = f"{latency} ms, {limit} a second"
    ratio = run.usage.seconds / (len(requests) / limit)
    throttled = sum(one.status == 429 for one in requests)
    lost = unused(requests, run.usage, limit)
    section.at_most(name, ratio, TARGET)
    section.at_most(f"{name}: answers 429", throttled, 0, "{:.0f}")
    section.rows.append([name, f"{ratio:.3f}", f"{run.usage.seconds:.1f}", f"{len(requests):,}", str(throttled)])
    section.rows[-1] += _seconds([lost.start, lost.listing, lost.between, lost.within, lost.end])
    section.rows[-1] += [f"{lost.longest_gap:.2f}"]
    step = max(1, -(-int(run.usage.seconds) // _MOST_STEPS))
    return Panel(name, limit, run.usage.seconds, step, per_second(requests, run.usage, step))


def _seconds(values: Sequence[float]) -> list[str]:
    return [f"{value:.2f}" for value in values]
