"""What one read has brought so far, stream by stream."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from demo.connector import Message, error_of, retry_of


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
    """Things that vanished from Drift before they could be read."""
    state: State = State.WAITING
    started: float | None = None
    ended: float | None = None
    error: str | None = None
    checkpoint: Message | None = None
    """The last state, in the form in which the next read takes it."""

    def seconds(self, now: float) -> float:
        end = now if self.ended is None else self.ended
        return 0.0 if self.started is None else max(0.0, end - self.started)

    def rate(self, now: float) -> float | None:
        """Return the records per second, None while there is nothing to measure."""
        seconds = self.seconds(now)
        return self.records / seconds if self.records and seconds else None


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
        self._mentions = {name: re.compile(rf"\b{re.escape(name)}\b") for name in self.streams}

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
    def overhead(self) -> float:
        """The seconds beside, in which the connector's process starts and ends."""
        end = self.clock() if self.ended is None else self.ended
        return max(0.0, end - self.started - self.seconds)

    @property
    def incomplete(self) -> list[Progress]:
        return [stream for stream in self.streams.values() if stream.state is not State.COMPLETE]

    @property
    def states(self) -> list[Message]:
        """The last state of each stream: what the next read goes on from."""
        return [stream.checkpoint for stream in self.streams.values() if stream.checkpoint is not None]

    def take(self, message: Message) -> Progress | None:
        """Count a message; return the stream whose state it changed, if it did."""
        kind = message["type"]
        if kind == "RECORD":
            return self._record(message)
        if kind == "STATE":
            state = message["state"]
            name = ((state.get("stream") or {}).get("stream_descriptor") or {}).get("name")
            if name in self.streams:
                self.streams[name].checkpoint = state
        elif kind == "LOG":
            self._log(message)
        elif kind == "TRACE":
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

    def _log(self, message: Message) -> None:
        text = message["log"].get("message") or ""
        self.retry = retry_of(message) or self.retry
        if message["log"].get("level") in ("WARN", "WARNING"):
            self.warnings[text] = self.warnings.get(text, 0) + 1
        elif "404" in text:
            for name, mention in self._mentions.items():
                if mention.search(text):
                    self.streams[name].skipped += 1
