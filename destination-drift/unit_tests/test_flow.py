"""Rows are written in lanes, each of them once, and the end of a run is honest about what was written."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from destination_tests import Run, record, state, status, wait_until

from destination_drift import flow as module
from destination_drift.errors import (
    ConfigError,
    InputError,
    Later,
    OutcomeUnknown,
    Rejected,
    TransientError,
    WouldWrite,
)
from destination_drift.flow import Flow, Stopped
from destination_drift.messages import Output, StreamKey, read
from destination_drift.rejects import Brake, Rejects
from destination_drift.rows import Row

KEY = (None, "contact")


class Target:
    """Records rows. A row waits for `gate` if it has one, and does what `act` says.

    Attributes:
        keys: the columns that identify a row.
    """

    def __init__(self, act: Callable[[Row], bool] = lambda row: True, keys: Sequence[str] = ("id",)) -> None:
        self.act, self.keys = act, keys
        self.written: list[Any] = []
        self.finished = 0
        self.gates: dict[Any, threading.Event] = {}
        self.started: dict[Any, threading.Event] = {}

    def hold(self, number: Any) -> threading.Event:
        """Let the row with this id wait for the event that is returned."""
        self.started[number] = threading.Event()
        return self.gates.setdefault(number, threading.Event())

    def lane_keys(self, row: Row) -> frozenset[str]:
        if row.data.get("bad"):
            raise Rejected("missing_key", "email")
        return frozenset(f"{key} {row.data[key]}" for key in self.keys if key in row.data)

    def fold(self, rows: Sequence[Row]) -> Row | None:
        return None

    def write(self, row: Row) -> bool:
        number = row.data["id"]
        if number in self.gates:
            self.started[number].set()
            assert self.gates[number].wait(30)
        changed = self.act(row)
        self.written.append(row.data.get("value", number))
        return changed

    def finish(self) -> None:
        self.finished += 1


class Started:
    """A flow that runs in a thread of its own."""

    def __init__(
        self,
        target: Target,
        lines: Iterable[str],
        *streams: str,
        brake: int = 100,
        dry: bool = False,
        held: Sequence[StreamKey] = (),
        directory: Path | None = None,
        **others: Target,
    ) -> None:
        self.file = io.BytesIO()
        output = Output(self.file)
        targets = {(None, name): target for name in streams or ("contact",)}
        targets |= {(None, name): other for name, other in others.items()}
        self.halt = threading.Event()
        rejects = Rejects(directory, {}, output)
        self.flow = Flow(targets, output, rejects, Brake(brake), workers=4, halt=self.halt, held=held, dry_run=dry)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(lines,), daemon=True)
        self._thread.start()

    def _run(self, lines: Iterable[str]) -> None:
        try:
            self.flow.run(read(line.encode() + b"\n" for line in lines))
        except Exception as error:
            self.error = error

    def ended(self) -> Run:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return Run(0, self.file.getvalue())

    def acknowledged(self, count: int) -> None:
        """Wait until so many states are printed."""
        wait_until(lambda: self.file.getvalue().count(b'"STATE"') >= count)


def run(target: Target, *lines: str, **options: Any) -> tuple[Run, Started]:
    started = Started(target, lines, **options)
    return started.ended(), started


def test_every_row_is_written_once_and_counted() -> None:
    """Each row is written, unchanged or rejected; a row without a key is rejected without being written."""

    def act(row: Row) -> bool:
        if row.data["id"] % 3 == 0:
            raise Rejected("no_match")
        return row.data["id"] % 3 == 1

    target = Target(act)
    ran, started = run(target, *(record(number) for number in range(9)), record(9, bad=True), state(1), status())
    assert (started.error, sorted(target.written), target.finished) == (None, [1, 2, 4, 5, 7, 8], 1)
    counts = started.flow.counts[KEY]
    assert (counts.rows, counts.written, counts.unchanged) == (10, 3, 3)
    assert counts.rejected == {"no_match": 3, "missing_key": 1}
    assert ran.stats == [(6, 4)]


def test_rows_that_share_a_key_are_written_in_order() -> None:
    """A row waits for those before it with the same id or the same email address; others overtake it."""
    target = Target(keys=("id", "email"))
    first = target.hold(1)
    lines = [
        record(1, email="a@example.com", value="1"),
        record(2, email="a@example.com", value="2 shares the address with 1"),
        record(2, email="b@example.com", value="3 shares the id with 2"),
        record(3, email="b@example.com", value="4 shares the address with 3"),
        record(4, email="c@example.com", value="alone"),
        state(1),
        record(5, value="last"),
    ]
    started = Started(target, lines)
    assert target.started[1].wait(30)
    wait_until(lambda: len(target.written) >= 2)
    assert set(target.written) == {"alone", "last"}
    first.set()
    assert started.ended().at == [1]
    assert [value[0] for value in target.written if value[0].isdigit()] == ["1", "2", "3", "4"]


def test_a_row_waits_in_every_lane() -> None:
    """A row that is the first with its id still waits for an earlier row with its email address."""
    target = Target(keys=("id", "email"))
    first, second = target.hold(1), target.hold(2)

    def lines() -> Iterator[str]:
        yield from (record(1, email="a@example.com"), record(2, email="b@example.com"))
        yield record(1, email="b@example.com", value="both")
        wait_until(lambda: target.written == [1])
        yield record(3, value="other")

    started = Started(target, lines())
    wait_until(target.started[2].is_set)
    first.set()
    wait_until(lambda: "other" in target.written)
    second.set()
    started.ended()
    assert target.written == [1, "other", 2, "both"]


@pytest.mark.parametrize("between", [(1, "b@example.com"), (2, "a@example.com")])
def test_only_neighbors_are_folded(between: tuple[int, str]) -> None:
    """A row that shares one key with its neighbors keeps them apart, whichever key it is."""
    target = Target(keys=("id", "email"))
    folded: list[list[int]] = []
    target.fold = lambda rows: folded.append([row.number for row in rows])
    gate = target.hold(1)
    lines = [record(1, email="a@example.com"), record(between[0], email=between[1]), record(1, email="a@example.com")]
    started = Started(target, lines)
    wait_until(lambda: started.flow.counts[KEY].rows == 3)
    gate.set()
    started.ended()
    assert folded == []


def test_waiting_rows_with_the_same_keys_are_folded() -> None:
    """Rows behind a row that is being written become one; each of them is settled."""
    target = Target()
    target.fold = lambda rows: Row("contact", rows[0].number, {"id": 1, "value": [row.number for row in rows]})
    gate = target.hold(1)
    started = Started(target, [*(record(1) for _ in range(4)), record(2, value="other"), state(1)])
    assert target.started[1].wait(30)
    wait_until(lambda: started.flow.counts[KEY].rows == 5)
    gate.set()
    assert started.ended().stats == [(5, 0)]
    assert [value for value in target.written if value != "other"] in ([1, [2, 3, 4]], [[1, 2, 3, 4]])


def test_a_rejected_fold_is_written_row_by_row() -> None:
    """If the folded row is rejected, each row is written alone, and only the bad one is rejected."""

    def act(row: Row) -> bool:
        if "bad" in str(row.data.get("value")):
            raise Rejected("wrong_type")
        return True

    target = Target(act)
    target.fold = lambda rows: Row("contact", 1, {"id": 2, "value": "bad"})
    gate = target.hold(1)
    lines = [record(1), *(record(1, value=value) for value in ("a", "bad", "b")), state(1)]
    started = Started(target, lines)
    assert target.started[1].wait(30)
    gate.set()
    assert started.ended().stats == [(3, 1)]
    assert target.written == [1, "a", "b"]


def test_a_state_of_a_stream_does_not_wait_for_another_stream() -> None:
    """While a row of one stream is being written, the states of the other go out, and the GLOBAL state waits."""
    target = Target()
    gate = target.hold(1)
    lines = [record(1, "a"), record(2, "b"), state("b", "b"), state("a", "a"), state("all", None)]
    started = Started(target, lines, "a", "b")
    started.acknowledged(1)
    gate.set()
    assert started.ended().at == ["b", "a", "all"]


@pytest.mark.parametrize("limit", [("MOST_ROWS", 10), ("MOST_BYTES", 1_100)], ids=lambda limit: limit[0])
def test_the_reader_waits_while_too_much_is_in_memory(limit: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """No more rows or bytes than allowed are read ahead of the rows that are settled; a larger row passes alone."""
    monkeypatch.setattr(module, *limit)
    target = Target()
    settled_at_reading = []

    # The first line is read before `started` is assigned.
    ready = threading.Event()

    def lines() -> Iterator[str]:
        assert ready.wait(30)
        for number in range(200):
            settled_at_reading.append(number - started.flow.counts[KEY].written)
            yield record(number, text="x" * (9_000_000 if number == 50 else 10))

    started = Started(target, lines())
    ready.set()
    started.ended()
    assert len(target.written) == 200
    assert max(settled_at_reading) <= 11


def test_states_that_wait_take_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that takes long does not let states fill the memory."""
    monkeypatch.setattr(module, "MOST_ROWS", 10)
    target = Target()
    gate = target.hold(1)
    pending: list[int] = []
    ready = threading.Event()

    def lines() -> Iterator[str]:
        assert ready.wait(30)
        yield record(1)
        for number in range(100):
            pending.append(started.flow._acks.pending)
            yield state(number)

    started = Started(target, lines())
    ready.set()
    wait_until(lambda: len(pending) == 10)
    gate.set()
    assert started.ended().at == list(range(100))
    assert max(pending) == 9


@pytest.mark.parametrize("error", [ConfigError("no"), TransientError("no"), OutcomeUnknown(), KeyError("x")], ids=repr)
def test_an_error_of_a_row_ends_the_run(error: Exception) -> None:
    """Rows that are being written are settled first, no further row is begun, and the row itself is not settled."""

    def act(row: Row) -> bool:
        if row.data["id"] == 2:
            raise error
        return True

    target = Target(act)
    gates = [target.hold(1), target.hold(2)]

    def lines() -> Iterator[str]:
        yield from (record(1), state("before"), record(2), state("after"))
        assert target.started[1].wait(30)
        assert target.started[2].wait(30)
        gates[1].set()
        yield from (record(number) for number in range(3, 1_000_000))

    started = Started(target, lines())
    wait_until(lambda: started.flow._closed)
    gates[0].set()
    assert started.ended().at == ["before"]
    assert started.error is error
    assert started.halt.is_set()
    assert started.flow.counts[KEY].rows < 990_000


def test_a_line_that_cannot_be_used_ends_the_run_after_the_rows_before_it() -> None:
    """All rows before the line are written, and their states acknowledged."""
    target = Target()
    ran, started = run(target, record(1), state(1), record(2), "canary@example.com", state(2))
    assert isinstance(started.error, InputError)
    assert (sorted(target.written), ran.at) == ([1, 2], [1])


def test_a_record_of_an_unknown_stream_ends_the_run() -> None:
    """It names the stream and drops nothing."""
    ran, started = run(Target(), record(1), state(1), record(2, "other"), state(2))
    assert isinstance(started.error, InputError)
    assert "the stream other, which is not in the catalog" in str(started.error)
    assert ran.at == [1]


@pytest.mark.parametrize(
    ("statuses", "open_one"),
    [
        ([], None),
        ([status("COMPLETE", "a"), status("COMPLETE", "b")], None),
        ([status("INCOMPLETE", "b"), status("COMPLETE", "a"), status("COMPLETE", "b")], None),
        ([status("COMPLETE", "a"), status("INCOMPLETE", "b")], "b"),
        ([status("COMPLETE", "b")], "a"),
    ],
)
def test_a_stream_that_did_not_complete_is_an_error(statuses: list[str], open_one: str | None) -> None:
    """Everything is settled and acknowledged, then the run fails; without any status, the end of the input counts."""
    target = Target()
    started = Started(target, [record(1, "a"), state(1, "a"), *statuses], "a", "b")
    assert started.ended().at == [1]
    assert target.finished == (open_one is None)
    if open_one:
        assert isinstance(started.error, TransientError)
        assert f"did not complete the stream {open_one}." in str(started.error)
    else:
        assert started.error is None


def test_too_many_rejects_end_the_run() -> None:
    """The rejected row itself is reported and settled."""

    def act(row: Row) -> bool:
        raise Rejected("no_match")

    ran, started = run(Target(act), record(1), state(1), brake=0)
    assert isinstance(started.error, ConfigError)
    assert ran.stats == [(0, 1)]
    assert ran.logs("WARN") == ["Row 1 of the stream contact was rejected: no_match."]


def test_a_rejected_row_is_on_disk_before_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synchronized before the state goes out, not after."""
    printed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda _: printed.append(started.file.getvalue().count(b'"STATE"')))
    ready = threading.Event()

    def lines() -> Iterator[str]:
        assert ready.wait(30)
        yield from (record(1, bad=True), state(1), state(2))

    started = Started(Target(), lines(), directory=tmp_path)
    ready.set()
    assert started.ended().at == [1, 2]
    assert printed == [0]


def test_a_dry_run_acknowledges_nothing() -> None:
    """Rows that would be written are counted, and no state goes out."""

    def act(row: Row) -> bool:
        raise WouldWrite

    ran, started = run(Target(act), record(1), record(2, bad=True), state(1), dry=True)
    assert (started.flow.counts[KEY].written, started.flow.counts[KEY].rejected) == (1, {"missing_key": 1})
    assert ran.at == []


def test_a_stop_settles_what_is_being_written() -> None:
    """Rows before a state are written and it is acknowledged; later rows are not begun, and nothing is read."""
    target = Target()
    gate = target.hold(1)
    waiting = threading.Event()

    def lines() -> Iterator[str]:
        yield from (record(1), record(1), state(1), record(1), record(1))
        waiting.set()
        threading.Event().wait()

    started = Started(target, lines())
    assert waiting.wait(30)
    started.flow.stop()
    gate.set()
    assert started.ended().at == [1]
    assert isinstance(started.error, Stopped)
    assert target.written == [1, 1]


def test_a_stop_does_not_wait_for_a_row_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the grace period the run ends without the state, and waits for Drift are ended."""
    monkeypatch.setattr(module, "SHORTEST_GRACE", 0.1)
    target = Target()
    gate = target.hold(1)
    started = Started(target, [record(1), state(1)])
    assert target.started[1].wait(30)
    started.flow.stop()
    assert started.ended().at == []
    assert isinstance(started.error, Stopped)
    assert started.halt.is_set()
    gate.set()


class Postponing(Target):
    """Writes no row at its first attempt."""

    def __init__(self, act: Callable[[Row], bool] = lambda row: True) -> None:
        super().__init__(act)
        self.first: list[Any] = []

    def write(self, row: Row) -> bool:
        if row.number not in self.first:
            self.first.append(row.number)
            raise Later
        return super().write(row)


def test_a_postponed_row_is_written_after_all_others() -> None:
    """States behind it wait for it, the others do not; it may still be rejected, and `finish` follows it."""

    def act(row: Row) -> bool:
        assert (sorted(ordinary.written), late.finished) == ([3, 4], 0)
        if row.data["id"] == 2:
            raise Rejected("no_match")
        return True

    ordinary, late = Target(), Postponing(act)
    lines = [record(1, "late"), record(2, "late"), state(1, "late"), state(2, None)]
    lines += [record(3), record(4), state(3), status("COMPLETE", "late"), status()]
    started = Started(ordinary, lines, late=late)
    assert started.ended().at == [3, 1, 2]
    assert started.ended().stats == [(2, 0), (1, 1), (1, 1)]
    assert (started.error, late.first, late.written, late.finished) == (None, [1, 2], [1], 1)


def test_a_postponed_fold_postpones_each_row() -> None:
    """Rows that were folded are offered one by one before they are written after all others."""
    target = Postponing()
    target.fold = lambda rows: Row("contact", 99, {"id": 1})
    gate = target.hold(1)
    target.first.append(1)
    started = Started(target, [record(1), record(1, value="a"), record(1, value="b"), state(1)])
    assert target.started[1].wait(30)
    wait_until(lambda: started.flow.counts[KEY].rows == 3)
    gate.set()
    assert started.ended().stats == [(3, 0)]
    assert (target.first, target.written) == ([1, 99, 2, 3], [1, "a", "b"])


@pytest.mark.parametrize("end", [[status("INCOMPLETE")], ["not JSON"], [record(1, "unknown")]])
def test_postponed_rows_of_incomplete_input_are_not_written(end: list[str]) -> None:
    """Nothing of them is acknowledged, so that they are sent again."""
    target = Postponing()
    ran, started = run(target, state(0), record(1), state(1), *end)
    assert isinstance(started.error, TransientError | InputError)
    assert (ran.at, target.first, target.written, target.finished) == ([0], [1], [], 0)


def test_postponed_rows_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows and states than fit in memory may be postponed."""
    monkeypatch.setattr(module, "MOST_ROWS", 10)
    target = Postponing()
    ran, started = run(target, *(line for number in range(100) for line in (record(number), state(number))))
    assert (started.error, target.written, ran.at) == (None, list(range(100)), list(range(100)))


def test_a_stop_ends_the_postponed_rows() -> None:
    """The row that is being written is settled, and no further one is begun."""
    target = Postponing()
    gate = target.hold(1)
    started = Started(target, [record(1), state(1), record(2), state(2)])
    assert target.started[1].wait(30)
    started.flow.stop()
    gate.set()
    assert started.ended().at == [1]
    assert isinstance(started.error, Stopped)
    assert (target.written, target.finished) == ([1], 0)


def test_a_stop_ends_what_follows_the_last_row() -> None:
    """`finish` sees at once that the run ends."""
    target = Target()
    # `finish` may begin before `started` is assigned.
    began, ready = threading.Event(), threading.Event()

    def finish() -> None:
        assert ready.wait(30)
        began.set()
        assert started.halt.wait(30)

    target.finish = finish  # type: ignore[method-assign]
    started = Started(target, [record(1), state(1)])
    ready.set()
    assert began.wait(30)
    started.flow.stop()
    assert started.ended().at == [1]
    assert isinstance(started.error, Stopped)


def test_an_error_of_what_follows_the_last_row_ends_the_run() -> None:
    """All rows are settled and acknowledged before."""
    target = Target()

    def finish() -> None:
        raise ConfigError("no")

    target.finish = finish  # type: ignore[method-assign]
    ran, started = run(target, record(1), state(1))
    assert (str(started.error), ran.at) == ("no", [1])


def test_an_error_of_one_stream_does_not_end_what_follows_another() -> None:
    """The other stream is finished too, its states go out, and the run fails with the first error."""

    def finish() -> None:
        raise ConfigError("no")

    first, second = Target(), Target()
    first.finish = finish  # type: ignore[method-assign]
    lines = [record(1), state(1), record(2, "b"), state(2, "b"), status(), status(stream="b")]
    started = Started(first, lines, held=[KEY, (None, "b")], b=second)
    assert started.ended().at == [2]
    assert (str(started.error), second.finished) == ("no", 1)
