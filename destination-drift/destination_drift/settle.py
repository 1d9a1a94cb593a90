"""When a state may be acknowledged: as soon as every row before it is settled.

A row is settled if Drift accepted it, if there was nothing to change, or if its rejection is reported. Rows are settled
in any order. States of one stream go out in order; so do states of all streams.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

from destination_drift.messages import State, StreamKey


@dataclass(eq=False, slots=True)
class _Segment:
    """The rows between two states."""

    open: int = 0
    accepted: int = 0
    rejected: int = 0
    state: State | None = None


Ticket = tuple[_Segment, _Segment]
"""What a row is counted in: the segment of its stream, and the one of all streams."""


class Acknowledgements:
    """Counts the rows before each state. It is not thread-safe.

    Attributes:
        pending: the number of states that wait.
        size: the characters of these states.
    """

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._segments: defaultdict[StreamKey | None, deque[_Segment]] = defaultdict(lambda: deque([_Segment()]))
        self.pending = self.size = 0

    def opened(self, stream: StreamKey) -> Ticket:
        """Count a row that arrived."""
        ticket = self._segments[stream][-1], self._segments[None][-1]
        for segment in ticket:
            segment.open += 1
        return ticket

    def hold(self, stream: StreamKey) -> None:
        """Send no state of the stream, nor of all streams, before `release`."""
        for key in (stream, None):
            self._segments[key][0].open += 1

    def release(self, stream: StreamKey) -> None:
        for key in (stream, None):
            self._segments[key][0].open -= 1
            self._send_ready(key)

    def settled(self, stream: StreamKey, ticket: Ticket, *, rejected: bool) -> None:
        """Count the row as settled, and send the states that no longer wait for a row."""
        for segment in ticket:
            segment.open -= 1
            segment.rejected += rejected
            segment.accepted += not rejected
        for key in (stream, None):
            self._send_ready(key)

    def state(self, state: State) -> None:
        """Send the state now or later."""
        segments = self._segments[state.stream]
        segments[-1].state = state
        segments.append(_Segment())
        self.pending += 1
        self.size += len(state.line)
        self._send_ready(state.stream)

    def _send_ready(self, key: StreamKey | None) -> None:
        segments = self._segments[key]
        while (first := segments[0]).state is not None and not first.open:
            self._send(first.state.acknowledged(first.accepted, first.rejected))
            segments.popleft()
            self.pending -= 1
            self.size -= len(first.state.line)
