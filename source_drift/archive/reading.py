"""The progress of one read, stream by stream."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from source_drift.archive.connector import Message, error_of, retry_of

CHILDREN = ("messages", "conversation_details", "contacts")
"""The streams that ask once or more for each conversation, one stream after another."""

# What the connector says of them (components.py).
_TOTAL = re.compile(r"(\w+): ([\d,]+) \w+ to read\.")
_SKIP = re.compile(r"(\w+): skipped a deleted record\. .+")
# The CDK warns so of every read, since it cannot look into a custom error handler. The windows are split.
_MISLEADING = "defines `request_window_splitting` but no response filter"
# More than the connector reads at the same time, so that what comes of one thing is not counted twice.
_MOST_AT_ONCE = 1_000
_LEAST_TO_MEASURE = 20


class State(StrEnum):
    WAITING = "waiting"
    STARTED = "started"
    RUNNING = "running"
    THROTTLED = "throttled"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"

    @property
    def final(self) -> bool:
        return self in (State.COMPLETE, State.INCOMPLETE)


@dataclass
class Progress:
    """How far one stream has come. Times are seconds since the epoch, as the connector stamped them."""

    name: str
    records: int = 0
    skipped: int = 0
    """Records that were deleted in Drift before they could be read."""
    total: int | None = None
    """Number of things to request, with one or more requests each; None while unknown."""
    done: int = 0
    """How many of them were requested. A request without records is not counted, so this may stay below the total."""
    total_at: float = 0.0
    done_before: int = 0
    """How many were already requested when the total became known: the first stream reads while it lists."""
    state: State = State.WAITING
    started: float | None = None
    ended: float | None = None
    error: str | None = None

    def seconds(self, now: float) -> float:
        end = now if self.ended is None else self.ended
        return 0.0 if self.started is None else max(0.0, end - self.started)

    def speed(self, now: float) -> float | None:
        """Return the records a second, None where there are too few to tell."""
        seconds = self.seconds(now)
        return self.records / seconds if seconds >= 1 and self.records else None

    def rate(self, now: float) -> float | None:
        """Return how many things a second are done, None where or while there is nothing to measure."""
        seconds, done = now - self.total_at, self.done - self.done_before
        return done / seconds if self.total and done >= _LEAST_TO_MEASURE and seconds > 0 else None

    def remaining(self, now: float) -> float | None:
        """Return about how many seconds it will still take, None while that cannot be told."""
        rate = self.rate(now)
        return max(0, self.total - self.done) / rate if self.total and rate and not self.state.final else None


@dataclass
class Reading:
    """One read of some streams, fed with the connector's messages.

    A stream counts as complete only when the connector said so: one that was never mentioned is incomplete at the end.
    """

    names: Iterable[str]
    clock: Callable[[], float] = time.time
    streams: dict[str, Progress] = field(init=False)
    warnings: dict[str, int] = field(init=False, default_factory=dict)
    """The connector's warnings and how often each came."""
    retry: str | None = field(init=False, default=None)
    """The connector's last line about a request that it repeats; None once something came after it."""
    error: str | None = field(init=False, default=None)
    """An error that belongs to no stream."""
    started: float = field(init=False)
    ended: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.streams = {name: Progress(name) for name in self.names}
        self.started = self.clock()
        self._recent: dict[str, dict[object, None]] = {name: {} for name in self.streams}

    @property
    def records(self) -> int:
        return sum(stream.records for stream in self.streams.values())

    @property
    def seconds(self) -> float:
        """How long streams were read, from the first one's start to the last one's end, as with a stream's own."""
        starts = [stream.started for stream in self.streams.values() if stream.started is not None]
        if not starts:
            return 0.0
        ends = [stream.ended for stream in self.streams.values() if stream.ended is not None]
        end = max(ends) if self.ended is not None and ends else self.clock()
        return max(0.0, end - min(starts))

    @property
    def remaining(self) -> float | None:
        """About how many seconds the children of the conversations still take, None while that cannot be told.

        The next ones are taken to be as much work as the one that is read, at its speed.
        """
        now = self.clock()
        children = [self.streams[name] for name in CHILDREN if name in self.streams]
        for stream in children:
            rest, rate = stream.remaining(now), stream.rate(now)
            if rest is not None and rate and stream.total:
                to_come = sum(other.total is None and not other.state.final for other in children)
                return rest + to_come * stream.total / rate
        return None

    @property
    def incomplete(self) -> list[Progress]:
        return [stream for stream in self.streams.values() if stream.state is not State.COMPLETE]

    def warnings_of(self, name: str) -> list[str]:
        """Return the connector's warnings about a stream: it puts the name in front."""
        return [text for text in self.warnings if text.startswith(f"{name}: ")]

    def take(self, message: Message) -> Progress | None:
        """Count a message; return the stream whose state or total it changed, if any."""
        kind = message["type"]
        if kind == "RECORD":
            return self._record(message)
        if kind == "LOG":
            return self._log(message)
        if kind == "TRACE":
            return self._trace(message)
        return None

    def finish(self) -> None:
        """Note the end of the connector's output."""
        self.ended = self.clock()
        self.retry = None
        for stream in self.streams.values():
            if not stream.state.final:
                stream.state = State.INCOMPLETE
                stream.ended = self.ended

    def _record(self, message: Message) -> Progress | None:
        stream = self.streams.get(message["record"]["stream"])
        if stream is None:
            return None
        stream.records += 1
        self.retry = None
        self._count_done(stream, message["record"]["data"])
        if stream.state in (State.RUNNING, State.COMPLETE, State.INCOMPLETE):
            return None
        stream.state = State.RUNNING
        return stream

    def _trace(self, message: Message) -> Progress | None:
        trace = message["trace"]
        detail = trace.get("stream_status") or trace.get("error") or {}
        stream = self.streams.get((detail.get("stream_descriptor") or {}).get("name", ""))
        error = error_of(message)
        if error is not None:
            if stream is None:
                self.error = self.error or error
            else:
                stream.error = stream.error or error
            return None
        status = detail.get("status")
        if stream is None or status not in ("STARTED", "RUNNING", "COMPLETE", "INCOMPLETE"):
            return None
        throttled = any(reason.get("type") == "RATE_LIMITED" for reason in detail.get("reasons") or [])
        before, stream.state = stream.state, State.THROTTLED if throttled else State(status.lower())
        stamp = trace.get("emitted_at", self.clock() * 1000) / 1000
        if stream.started is None:
            stream.started = stamp
        if stream.state.final:
            stream.ended = stamp
        return stream if stream.state is not before else None

    def _count_done(self, stream: Progress, data: Message) -> None:
        """Count what a record belongs to: the conversation of a message, otherwise the record itself."""
        thing = data.get("conversationId", data.get("id"))
        recent = self._recent[stream.name]
        if thing not in recent:
            recent[thing] = None
            stream.done += 1
        if len(recent) > _MOST_AT_ONCE:
            del recent[next(iter(recent))]

    def _log(self, message: Message) -> Progress | None:
        text = message["log"].get("message") or ""
        self.retry = retry_of(message) or self.retry
        if message["log"].get("level") in ("WARN", "WARNING"):
            if _MISLEADING in text:
                return None
            self.warnings[text] = self.warnings.get(text, 0) + 1
            return None
        total, skip = _TOTAL.fullmatch(text), _SKIP.fullmatch(text)
        if skip and skip[1] in self.streams:
            self.streams[skip[1]].skipped += 1
            self.streams[skip[1]].done += 1
        if not total or total[1] not in self.streams:
            return None
        stream = self.streams[total[1]]
        stream.total, stream.total_at, stream.done_before = int(total[2].replace(",", "")), self.clock(), stream.done
        return stream
