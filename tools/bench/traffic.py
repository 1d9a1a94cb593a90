"""Analyzes the journal of a run: which stream sent requests, when, and why the rate limit was not fully used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sandbox import Request
from tools.bench.process import Usage

LIST = "conversation list"
_KINDS = (
    (re.compile(r"/conversations/list$"), LIST),
    (re.compile(r"/conversations/\d+/messages$"), "messages"),
    (re.compile(r"/conversations/\d+$"), "conversation_details"),
    (re.compile(r"/contacts/\d+$"), "contacts"),
)


def kind_of(path: str) -> str:
    """The stream that asks for a path; `conversation list` serves several."""
    return next((kind for pattern, kind in _KINDS if pattern.match(path)), path)


@dataclass(frozen=True)
class Unused:
    """Seconds of a run in which the limit was not used; together they are its wall time less requests ÷ limit.

    Attributes:
        start: until the first request.
        listing: while the list was walked, before the first request for anything else.
        between: in stretches of as many requests as the limit allows in a second that hold two streams.
        within: in the other stretches.
        end: after the last request was sent.
        longest_gap: between two requests.
    """

    start: float
    listing: float
    between: float
    within: float
    end: float
    longest_gap: float


def unused(requests: Sequence[Request], usage: Usage, limit: int) -> Unused:
    """Split up what a run took beyond requests ÷ `limit` (requests a second)."""
    times = [one.at for one in requests]
    kinds = [kind_of(one.path) for one in requests]
    child = next((at for at, kind in enumerate(kinds) if kind != LIST), len(kinds) - 1)
    between = within = 0.0
    for first in range(child, len(times) - 1, limit):
        last = min(first + limit, len(times) - 1)
        lost = times[last] - times[first] - (last - first) / limit
        if len(set(kinds[first : last + 1])) > 1:
            between += lost
        else:
            within += lost
    return Unused(
        start=times[0] - usage.started,
        listing=times[child] - times[0] - child / limit,
        between=between,
        within=within,
        # The last request has its share of the limit, too.
        end=usage.ended - times[-1] - 1 / limit,
        longest_gap=max((later - sooner for sooner, later in pairwise(times)), default=0.0),
    )


def per_second(requests: Sequence[Request], usage: Usage, step: int = 1) -> dict[str, list[float]]:
    """Requests a second of each stream over the run, one value for every `step` seconds."""
    steps = int(usage.seconds // step) + 1
    counts: dict[str, list[float]] = {}
    for one in requests:
        row = counts.setdefault(kind_of(one.path), [0.0] * steps)
        row[min(steps - 1, int((one.at - usage.started) // step))] += 1 / step
    return counts
