"""The list of conversations: a later sync reads the changes since the previous one, and loses none."""

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


@pytest.mark.parametrize("paging", ["next", "links"])
def test_a_second_sync_reads_changes(paging: str, drift: Drift) -> None:
    """After 37 changes, they and the look-back are read; without changes, two pages and the first page once more."""
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


@pytest.mark.parametrize("paging", ["links", "next"], ids=["links", "by position"])
def test_updates_while_it_is_listed_are_no_error(paging: str) -> None:
    """600 conversations, one of which changes at every request: the sync has all of them, and the next sync has the
    last changes."""
    drift = Drift(conversations=600, now=now() - HOUR)
    busy = [Fault("/conversations/list", "rows_change", after=place, n=1) for place in range(1, 200)]
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


def test_a_list_that_changes_completely_is_no_error(drift: Drift) -> None:
    """If more than a page changes at each request, the sync ends, and the next one reads the rest."""
    frantic = Fault("/conversations/list", "rows_change", times=None, n=60)
    with Sandbox(drift, faults=[frantic]) as sandbox:
        first = sync(sandbox)
        sandbox.faults = []
        second = sync(sandbox, first.last_states())
    assert (first.code, second.code) == (0, 0), (first.error(), second.error())
    newest = {record["id"]: record for read in (first, second) for record in read.records("conversations")}
    assert newest == {row["id"]: row for row in drift.expected("conversations")}
