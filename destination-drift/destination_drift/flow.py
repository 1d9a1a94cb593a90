"""Rows from the input to Drift: read, in lanes, by several workers, with states that follow them."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Event, RLock, Thread

from destination_drift.errors import ConfigError, InputError, Later, Rejected, TransientError, WouldWrite
from destination_drift.messages import Message, Output, Record, State, Status, StreamKey
from destination_drift.rejects import Brake, Rejects
from destination_drift.rows import DriftObject, Row
from destination_drift.settle import Acknowledgements, Ticket

MOST_ROWS, MOST_BYTES = 2_000, 8_000_000
# Seconds. A platform kills a process ten seconds after SIGTERM.
SHORTEST_GRACE, LONGEST_GRACE = 8.0, 60.0


class Stopped(Exception):
    """The run was asked to stop."""


@dataclass
class Counts:
    """The rows of a stream by outcome."""

    rows: int = 0
    written: int = 0
    unchanged: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


@dataclass(eq=False, slots=True)
class _Job:
    """A row that is not settled; `is_taken` once a worker has it."""

    stream: StreamKey
    row: Row
    keys: frozenset[str]
    size: int
    ticket: Ticket
    is_taken: bool = False


class Flow:
    """Writes the rows of one run.

    A row waits in a lane for each of its keys, and is written when it is the first in all of them. So rows that share a
    key are written in order, and others at the same time. Rows that a target postpones (`Later`) are written in order
    after all others, once the input has turned out to be complete. At most `MOST_ROWS` rows and states and about
    `MOST_BYTES` of input are in memory; then the reader waits.

    Args:
        targets: what the rows of each stream are written to.
        held: the streams whose states wait for `finish`, and whose source must say that they are complete.
        halt: is set when the run ends early, so that nothing waits for Drift any longer.
        dry_run: no state is acknowledged.
    """

    def __init__(
        self,
        targets: Mapping[StreamKey, DriftObject],
        output: Output,
        rejects: Rejects,
        brake: Brake,
        *,
        workers: int,
        halt: Event,
        held: Collection[StreamKey] = (),
        dry_run: bool = False,
    ) -> None:
        self._held = held
        self._targets, self._output, self._rejects, self._brake = targets, output, rejects, brake
        self._workers, self._halt, self._dry_run = workers, halt, dry_run
        self._acks = Acknowledgements(self._acknowledge)
        for key in held:
            self._acks.hold(key)
        # Guards everything below. Workers wait for a row, the reader for room, and `run` for the end.
        self._lock = RLock()
        self._work, self._room, self._end = Condition(self._lock), Condition(self._lock), Condition(self._lock)
        self._lanes: defaultdict[str, deque[_Job]] = defaultdict(deque)
        self._ready: deque[_Job] = deque()
        self._later: list[_Job] = []
        self._rows = self._bytes = self._running = 0
        self._statuses: dict[StreamKey, bool] = {}
        self._input_ended = self._stop_asked = self._closed = False
        self._input_error: Exception | None = None
        self._error: Exception | None = None
        self.counts: dict[StreamKey, Counts] = {key: Counts() for key in targets}

    def run(self, messages: Iterable[Message]) -> None:
        """Write all rows of the messages and acknowledge their states.

        Whatever happens, the rows that are being written are settled first, and the states before them acknowledged.

        Raises:
            InputError: a line cannot be used, or a record has an unknown stream.
            ConfigError, TransientError: of a row, or too many rows were rejected.
            TransientError: a stream did not end, or ended as INCOMPLETE.
            Stopped: `stop` was called.
        """
        threads = [Thread(target=self._read, args=(messages,), daemon=True)]
        threads += [Thread(target=self._write_rows, daemon=True) for _ in range(self._workers)]
        for thread in threads:
            thread.start()
        with self._lock:
            self._end.wait_for(lambda: self._stop_asked or self._error or (self._input_ended and not self._rows))
            if not (self._stop_asked or self._error or self._input_error):
                self._running += 1
                Thread(target=self._guarded, args=(self._conclude,), daemon=True).start()
                self._end.wait_for(lambda: self._stop_asked or not self._running)
            grace = time.monotonic() + (SHORTEST_GRACE if self._stop_asked else LONGEST_GRACE)
            if self._stop_asked:
                self._end.wait_for(lambda: self._error or not self._states, SHORTEST_GRACE)
            self._close()
            if not self._rows:
                # What follows the last row does not wait for Drift any longer.
                self._halt.set()
            self._end.wait_for(lambda: not self._running, max(0.0, grace - time.monotonic()))
            self._halt.set()
            # What a worker may still do is not printed between the last messages.
            self._acks = Acknowledgements(lambda line: None)
        for error in (self._error, Stopped() if self._stop_asked else None, self._input_error):
            if error:
                raise error

    def stop(self) -> None:
        """Read no further row, write those before a state that waits, and end within about eight seconds."""
        with self._lock:
            self._stop_asked = True
            self._room.notify()
            self._end.notify()

    @property
    def _states(self) -> int:
        """How many states wait for rows that are being written, rather than for what follows them."""
        return 0 if self._held or self._later else self._acks.pending

    def _close(self) -> None:
        """Let the workers take no further row, and the reader no further line."""
        self._closed = True
        self._work.notify_all()
        self._room.notify()

    def _read(self, messages: Iterable[Message]) -> None:
        error: Exception | None = None
        try:
            for message in messages:
                match message:
                    case Record():
                        self._add(message)
                    case State():
                        self._add_state(message)
                    case Status():
                        self._statuses[message.stream] = message.is_complete
                if self._stop_asked or self._closed:
                    return
        except Exception as raised:
            error = raised
        with self._lock:
            self._input_error, self._input_ended = error, True
            self._end.notify()

    def _add(self, record: Record) -> None:
        target = self._targets.get(record.stream)
        if target is None:
            raise InputError(
                f"The input has a record of the stream {record.stream[1]}, which is not in the catalog. Add the stream."
            )
        counts = self.counts[record.stream]
        counts.rows += 1
        row = Row(record.stream[1], counts.rows, record.data)
        rejected = None
        try:
            keys = target.lane_keys(row)
        except Rejected as raised:
            rejected, keys = raised, frozenset()
        with self._lock:
            self._wait_for_room(record.size)
            if self._stop_asked or self._closed:
                return
            job = _Job(record.stream, row, keys, record.size, self._acks.opened(record.stream))
            self._rows += 1
            self._bytes += job.size
            for key in keys:
                self._lanes[key].append(job)
            if rejected:
                self._settle(job, rejected)
            elif self._is_first(job):
                self._ready.append(job)
                self._work.notify()

    def _add_state(self, state: State) -> None:
        with self._lock:
            self._wait_for_room(len(state.line))
            if not self._stop_asked and not self._closed:
                self._acks.state(state)

    def _wait_for_room(self, size: int) -> None:
        self._room.wait_for(
            lambda: (
                not self._rows
                or (
                    self._rows + self._states < MOST_ROWS
                    and self._bytes + (self._acks.size if self._states else 0) + size <= MOST_BYTES
                )
                or self._stop_asked
                or self._closed
            )
        )

    def _is_first(self, job: _Job) -> bool:
        return all(self._lanes[key][0] is job for key in job.keys)

    def _write_rows(self) -> None:
        while True:
            with self._lock:
                self._work.wait_for(lambda: self._ready or self._closed)
                if self._closed:
                    return
                jobs = self._with_followers(self._ready.popleft())
                self._running += 1
            self._guarded(partial(self._write, jobs))

    def _guarded(self, work: Callable[[], None]) -> None:
        error: Exception | None = None
        try:
            work()
        except Exception as raised:
            error = raised
        with self._lock:
            self._running -= 1
            if error:
                self._error = self._error or error
                self._close()
            self._end.notify()

    def _conclude(self) -> None:
        """Do what must wait until the input is complete and all other rows are settled."""
        self._check_statuses()
        for job in self._later:
            with self._lock:
                if self._stop_asked:
                    return
                self._rows += 1
                self._bytes += job.size
            self._settle(job, _outcome(self._targets[job.stream], job.row), late=True)
        first_error: Exception | None = None
        for target in {id(target): target for target in self._targets.values()}.values():
            try:
                target.finish()
            except (ConfigError, TransientError) as error:
                # An erasure that Drift does not confirm must not keep an audience as it was, for example.
                first_error = first_error or error
                continue
            with self._lock:
                for key in self._held:
                    if self._targets[key] is target:
                        self._acks.release(key)
        if first_error:
            raise first_error

    def _with_followers(self, first: _Job) -> list[_Job]:
        """Return the job and those that wait behind it in all its lanes, as long as they have the same keys."""
        jobs = [first]
        for behind in zip(*(self._lanes[key] for key in first.keys), strict=False):
            job = behind[0]
            if job is not first:
                if job.keys != first.keys or job.stream != first.stream or any(other is not job for other in behind):
                    break
                jobs.append(job)
        for job in jobs:
            job.is_taken = True
        return jobs

    def _write(self, jobs: list[_Job]) -> None:
        target = self._targets[jobs[0].stream]
        folded = target.fold([job.row for job in jobs]) if len(jobs) > 1 else None
        if folded:
            outcome = _outcome(target, folded)
            if not isinstance(outcome, Rejected | Later):
                for job in jobs:
                    self._settle(job, outcome)
                return
        for job in jobs:
            self._settle(job, _outcome(target, job.row))
            if self._closed:
                return

    def _settle(self, job: _Job, outcome: Rejected | Later | bool, *, late: bool = False) -> None:
        with self._lock:
            self._rows -= 1
            self._bytes -= job.size
            self._leave_lanes(job)
            self._room.notify()
            self._end.notify()
            if isinstance(outcome, Later):
                self._later.append(job)
                return
            counts = self.counts[job.stream]
            code = None
            if isinstance(outcome, Rejected):
                code = outcome.code
                self._rejects.report(job.row, outcome)
                counts.rejected[code] += 1
            elif outcome:
                counts.written += 1
            else:
                counts.unchanged += 1
            self._acks.settled(job.stream, job.ticket, rejected=code is not None)
            if self._stop_asked and not self._states:
                self._close()
            self._brake.count(code, late=late)

    def _leave_lanes(self, job: _Job) -> None:
        next_in_line: dict[_Job, None] = {}
        for key in job.keys:
            lane = self._lanes[key]
            lane.remove(job)
            if lane:
                next_in_line[lane[0]] = None
            else:
                del self._lanes[key]
        job.keys = frozenset()
        for waiting in next_in_line:
            if not waiting.is_taken and self._is_first(waiting):
                self._ready.append(waiting)
                self._work.notify()

    def _acknowledge(self, line: str) -> None:
        if not self._dry_run:
            self._rejects.sync()
            self._output.line(line)

    def _check_statuses(self) -> None:
        """Streams without any status come from a pipe that somebody made, and are taken as complete unless held."""
        if self._held and not self._statuses:
            raise ConfigError(
                "The input does not say whether the source is complete, which a mirror needs. Pass on all messages of "
                "the source, with its stream statuses."
            )
        if self._statuses and (open_ones := [key[1] for key in self._targets if not self._statuses.get(key)]):
            raise TransientError(
                f"The source did not complete the stream {open_ones[0]}. What it sent is written; run the sync again."
            )


def _outcome(target: DriftObject, row: Row) -> Rejected | Later | bool:
    try:
        return target.write(row)
    except (Rejected, Later) as other:
        return other
    except WouldWrite:
        return True
