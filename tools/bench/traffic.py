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
    """The stream that requests a path; `conversation list` serves several streams."""
    return next((kind for pattern, kind in _KINDS if pattern.match(path)), path)


@dataclass(frozen=True)
class Unused:
    """Seconds of a run in which the limit was not used. Their sum is the wall time minus requests ÷ limit.

    Attributes:
        start: until the first request.
        listing: while the list was read, before the first other request.
        between: in groups of one second's requests (at the limit) that contain two streams.
        within: in the other groups.
        end: after the last request was sent.
        longest_gap: the longest time between two requests.
    """

    start: float
    listing: float
    between: float
    within: float
    end: float
    longest_gap: float


def unused(requests: Sequence[Request], usage: Usage, limit: int) -> Unused:
    """Split the time of a run beyond requests ÷ `limit` (requests per second)."""
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
        # The last request also uses its share of the limit.
        end=usage.ended - times[-1] - 1 / limit,
        longest_gap=max((later - sooner for sooner, later in pairwise(times)), default=0.0),
    )


def per_second(requests: Sequence[Request], usage: Usage, step: int = 1) -> dict[str, list[float]]:
    """Requests per second of each stream, one value for every `step` seconds."""
    steps = int(usage.seconds // step) + 1
    counts: dict[str, list[float]] = {}
    for one in requests:
        row = counts.setdefault(kind_of(one.path), [0.0] * steps)
        row[min(steps - 1, int((one.at - usage.started) // step))] += 1 / step
    return counts
