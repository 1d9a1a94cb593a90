"""A later sync reads what has changed since the one before, and nothing is lost between them."""

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
    return Drift(conversations=1500, ties=400, now=now() - HOUR)


@pytest.mark.parametrize("paging", ["next", "links", "both"])
def test_a_second_sync_reads_what_changed(paging: str, drift: Drift) -> None:
    """After 37 changes among 1,500 conversations with a tie of 400, those come, and no more than the look-back."""
    with Sandbox(drift, Options(paging=paging)) as sandbox:
        first = sync(sandbox)
        assert sorted(first.keys("conversations")) == sorted(drift.keys("conversations"))
        changed = [*drift.touch_some(35), drift.add_conversation(), drift.add_conversation()]
        second = sync(sandbox, first.last_states())
        assert second.code == 0, second.error()
        asked = sandbox.journal.count("/conversations/list")
    late = {row["id"] for row in drift.expected("conversations") if row["updatedAt"] >= cursor(first) - LOOK_BACK}
    assert set(changed) <= set(second.keys("conversations"))
    assert set(second.keys("conversations")) <= late
    assert asked <= 5, asked


def test_a_sync_after_nothing_is_short(drift: Drift) -> None:
    """Where nothing has changed, two pages of the list and a look at its head are enough."""
    with Sandbox(drift) as sandbox:
        first = sync(sandbox)
        second = sync(sandbox, first.last_states())
        assert sandbox.journal.count() <= 3, list(sandbox.journal)
    assert cursor(second) == cursor(first)


@pytest.mark.parametrize("paging", ["links", "both"])
def test_what_changes_during_a_sync_is_in_it(paging: str, drift: Drift) -> None:
    """A conversation that moves to the head of the list while its tail is read is not missed."""
    busy = Fault("/conversations/list", "rows_change", times=20, n=9)
    with Sandbox(drift, Options(paging=paging), faults=[busy]) as sandbox:
        read = sync(sandbox)
    assert set(read.keys("conversations")) == set(drift.keys("conversations"))
    assert read.code == 0, read.error()


def test_what_changes_without_end_is_an_error(drift: Drift) -> None:
    """A list that changes faster than it can be read ends in an error, and not never."""
    frantic = Fault("/conversations/list", "rows_change", times=None, n=60)
    with Sandbox(drift, faults=[frantic]) as sandbox:
        read = sync(sandbox)
    assert read.error("conversations").startswith("Drift's conversation list changes faster than it can be read.")


def test_what_changes_in_a_list_by_position_is_in_it_or_an_error(drift: Drift) -> None:
    """In the older generation of paging a record that leaves its place is noticed, or was read already."""
    busy = Fault("/conversations/list", "rows_change", times=20, n=1)
    with Sandbox(drift, Options(paging="next"), faults=[busy]) as sandbox:
        read = sync(sandbox)
    if read.code == 0:
        assert set(read.keys("conversations")) == set(drift.keys("conversations"))
    else:
        assert read.error("conversations").startswith("Records vanished from Drift's list")


def test_a_failed_sync_keeps_its_state(drift: Drift) -> None:
    """A sync that fails on a later page moves the state nowhere, and the next one reads what it missed."""
    with Sandbox(drift) as sandbox:
        first = sync(sandbox)
        changed = drift.touch_some(120)
        sandbox.faults = [Fault("/conversations/list", "status", status=404, after=1, times=None)]
        failed = sync(sandbox, first.last_states())
        assert failed.code == 1
        assert cursor(failed) == cursor(first)
        sandbox.faults = []
        healed = sync(sandbox, failed.last_states())
    assert set(changed) <= set(healed.keys("conversations"))


def test_a_conversation_dated_ahead_hides_nothing(drift: Drift) -> None:
    """A time ahead of Drift's clock is lowered to it, so that what is updated until then is still read."""
    (ahead,) = drift.touch_some(1)
    drift.update_conversation(ahead, updatedAt=now() + 48 * HOUR)
    with Sandbox(drift) as sandbox:
        first = sync(sandbox)
        assert cursor(first) <= now() + 1000
        assert len(first.warnings) == 1, first.warnings
        (changed,) = drift.touch_some(1)
        second = sync(sandbox, first.last_states())
    assert ahead in first.keys("conversations")
    assert changed in second.keys("conversations")


def test_a_state_in_the_future_is_an_error(drift: Drift) -> None:
    """A cursor ahead of Drift's clock would read nothing, and is said to."""
    with Sandbox(drift) as sandbox:
        state = sync(sandbox).last_states()
        state[0]["stream"]["stream_state"]["updatedAt"] = str(now() + 48 * HOUR)
        read = sync(sandbox, state)
    assert read.code == 1
    assert "ahead of Drift's clock" in read.error("conversations")


@pytest.mark.parametrize("start_date", ["2024-06-01T00:00:00Z", "2024-06-01"])
def test_the_start_date_bounds_the_first_sync(start_date: str) -> None:
    """Conversations last updated before `start_date` are left out, and their pages are not asked for."""
    start = 1_717_200_000_000
    drift = Drift(conversations=400, now=start + 200 * 24 * HOUR)
    expected = {row["id"] for row in drift.expected("conversations") if row["updatedAt"] >= start}
    assert 0 < len(expected) < 350
    with Sandbox(drift) as sandbox:
        read = sync(sandbox, start_date=start_date)
        assert sandbox.journal.count() <= len(expected) // 50 + 3
    assert set(read.keys("conversations")) == expected
