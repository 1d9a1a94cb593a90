"""The list of conversations: a later sync reads what has changed since the one before, and nothing is lost between."""

import time
from typing import Any

import pytest

from integration_tests.connector import Run, access_token, catalog, run
from sandbox import Drift, Fault, Options, Sandbox

LOOK_BACK = 600_000
HOUR = 3_600_000


def now() -> int:
    return int(time.time() * 1000)


def sync(sandbox: Sandbox, state: list[dict[str, Any]] | None = None, **config: Any) -> Run:
    sandbox.journal.clear()
    return run("read", access_token(sandbox.url, **config), catalog(conversations="incremental"), state)


def cursor(read: Run) -> int:
    return int(read.states("conversations")[-1]["updatedAt"])


@pytest.fixture
def drift() -> Drift:
    return Drift(conversations=600, ties=200, now=now() - HOUR)


@pytest.mark.parametrize("paging", ["next", "links", "both"])
def test_a_second_sync_reads_what_changed(paging: str, drift: Drift) -> None:
    """After 37 changes those come, and no more than the look-back; after none two pages and a look at the head do."""
    with Sandbox(drift, Options(paging=paging)) as sandbox:
        first = sync(sandbox)
        assert sorted(first.keys("conversations")) == sorted(drift.keys("conversations"))
        idle = sync(sandbox, first.last_states())
        assert (idle.code, cursor(idle)) == (0, cursor(first)), idle.error()
        assert sandbox.journal.count() <= 3, list(sandbox.journal)
        changed = [*drift.touch_some(35), drift.add_conversation(), drift.add_conversation()]
        second = sync(sandbox, first.last_states())
        asked = sandbox.journal.count()
    late = {row["id"] for row in drift.expected("conversations") if row["updatedAt"] >= cursor(first) - LOOK_BACK}
    assert set(changed) <= set(second.keys("conversations")) <= late
    assert asked <= 5, asked


@pytest.mark.parametrize(
    ("paging", "each"), [("both", 2), ("links", 1), ("next", 1)], ids=["every second request", "links", "by position"]
)
def test_updates_while_it_is_listed_are_no_error(paging: str, each: int) -> None:
    """600 conversations of which one moves at every or every second request: green, none missed, and what moved last
    comes with the next sync."""
    drift = Drift(conversations=600, now=now() - HOUR)
    requests = range(1, 200, each)
    busy = [Fault("/conversations/list", "rows_change", after=place, n=1) for place in requests]
    with Sandbox(drift, Options(paging=paging), faults=busy) as sandbox:
        first = sync(sandbox)
        moved = sum(request.fault is not None for request in sandbox.journal)
        sandbox.faults = []
        second = sync(sandbox, first.last_states())
    assert (first.code, second.code) == (0, 0), (first.error(), second.error())
    assert moved >= 5, moved
    assert set(first.keys("conversations")) == set(drift.keys("conversations"))
    newest = {record["id"]: record for read in (first, second) for record in read.records("conversations")}
    assert newest == {row["id"]: row for row in drift.expected("conversations")}


def test_a_list_that_moves_as_a_whole_is_no_error_either(drift: Drift) -> None:
    """Where more moves than a page holds at each request, the walks end, and the next sync has what they missed."""
    frantic = Fault("/conversations/list", "rows_change", times=None, n=60)
    with Sandbox(drift, faults=[frantic]) as sandbox:
        first = sync(sandbox)
        sandbox.faults = []
        second = sync(sandbox, first.last_states())
    assert (first.code, second.code) == (0, 0), (first.error(), second.error())
    newest = {record["id"]: record for read in (first, second) for record in read.records("conversations")}
    assert newest == {row["id"]: row for row in drift.expected("conversations")}


def test_a_failed_sync_keeps_its_state(drift: Drift) -> None:
    """A sync that fails on a later page moves the state nowhere, and the next one reads what it missed."""
    with Sandbox(drift) as sandbox:
        first = sync(sandbox)
        changed = drift.touch_some(120)
        sandbox.faults = [Fault("/conversations/list", "status", status=404, after=1, times=None)]
        failed = sync(sandbox, first.last_states())
        assert (failed.code, cursor(failed)) == (1, cursor(first))
        sandbox.faults = []
        healed = sync(sandbox, failed.last_states())
    assert set(changed) <= set(healed.keys("conversations"))


def test_a_conversation_dated_ahead_hides_nothing(drift: Drift) -> None:
    """A time ahead of Drift's clock is in the record as it was sent, and the state does not run ahead with it."""
    (ahead,) = drift.touch_some(1)
    drift.update_conversation(ahead, updatedAt=now() + 48 * HOUR)
    with Sandbox(drift) as sandbox:
        first = sync(sandbox)
        assert cursor(first) <= now() + LOOK_BACK
        (changed,) = drift.touch_some(1)
        second = sync(sandbox, first.last_states())
    sent = next(row for row in drift.expected("conversations") if row["id"] == ahead)
    assert sent in first.records("conversations")
    assert first.warnings == ["conversations: some updatedAt lie ahead of Drift's clock or are no times."]
    assert changed in second.keys("conversations")


def test_the_start_date_bounds_the_first_sync() -> None:
    """Conversations last updated before `start_date` are left out, and their pages are not asked for."""
    start = 1_717_200_000_000
    drift = Drift(conversations=400, now=start + 200 * 24 * HOUR)
    expected = {row["id"] for row in drift.expected("conversations") if row["updatedAt"] >= start}
    assert 0 < len(expected) < 350
    with Sandbox(drift) as sandbox:
        read = sync(sandbox, start_date="2024-06-01")
        assert sandbox.journal.count() <= len(expected) // 50 + 3
    assert set(read.keys("conversations")) == expected
