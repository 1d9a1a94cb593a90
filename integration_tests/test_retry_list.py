"""A conversation that always fails costs only its own requests: its ID stays in the state until it can be read."""

import time
from collections import Counter
from typing import Any

import pytest

from integration_tests.connector import Run, access_token, catalog, newest_states, run
from sandbox import Drift, Fault, Options, Sandbox

HOUR = 3_600_000
ATTEMPTS = 8
# The children that a sync without changes reads: the newest conversation and those in the look-back.
IDLE = 5


def old_drift(conversations: int) -> Drift:
    """A Drift in which nothing has changed for an hour."""
    return Drift(conversations=conversations, now=int(time.time() * 1000) - HOUR, messages_per_conversation=1)


def nth_newest(drift: Drift, place: int) -> int:
    return sorted(drift.expected("conversations"), key=lambda row: -row["updatedAt"])[place]["id"]


def sync(sandbox: Sandbox, saved: list[dict[str, Any]], *streams: str) -> tuple[Run, Counter[str]]:
    """A sync that continues from a state, and the number of requests for each path."""
    sandbox.journal.clear()
    read = run("read", access_token(sandbox.url), catalog(**dict.fromkeys(streams, "incremental")), saved)
    return read, Counter(request.path for request in sandbox.journal)


def unread(read: Run, stream: str) -> list[Any]:
    return list(read.states(stream)[-1]["parent_state"]["unread"])


@pytest.mark.parametrize("place", [0, 60], ids=["newest", "in the middle"])
def test_a_conversation_that_always_fails_costs_its_attempts(place: int) -> None:
    """One of 120 conversations always returns 504: later syncs only retry it; once it succeeds, it is read."""
    streams = ("messages", "conversation_details")
    drift = old_drift(120)
    bad = nth_newest(drift, place)
    fault = Fault(f"^/conversations/{bad}(/messages)?$", "status", status=504, times=None)
    with Sandbox(drift, Options(rate_limit=None), faults=[fault]) as sandbox:
        reads = [sync(sandbox, [], *streams)]
        for _ in range(2):
            saved = newest_states(*[read for read, _ in reads])
            reads.append(sync(sandbox, saved, *streams))
        sandbox.faults = []
        healed, _ = sync(sandbox, newest_states(*[read for read, _ in reads]), *streams)
    for read, _ in reads:
        assert read.statuses == dict.fromkeys(streams, "INCOMPLETE")
        for stream in streams:
            assert read.error(stream).startswith("1 of the conversations could not be read"), read.error(stream)
            assert "HTTP 504" in read.error(stream)
            assert unread(read, stream) == [bad]
    for _, asked in reads[1:]:
        others = [path for path in asked if str(bad) not in path and path != "/conversations/list"]
        assert len(others) <= IDLE * len(streams), others
        assert asked["/conversations/list"] <= 2 * len(streams)
        assert asked[f"/conversations/{bad}"] == asked[f"/conversations/{bad}/messages"] == ATTEMPTS, asked
    assert healed.code == 0, healed.error()
    for stream in streams:
        assert unread(healed, stream) == []
        found = {
            record["id"]: record for read in (*[read for read, _ in reads], healed) for record in read.records(stream)
        }
        assert found == {row["id"]: row for row in drift.expected(stream)}, stream


def test_a_first_sync_with_one_failing_conversation_saves_its_state() -> None:
    """One of 400 conversations always returns 400: all others are saved and not read again."""
    drift = old_drift(400)
    bad = nth_newest(drift, 200)
    fault = Fault(f"/conversations/{bad}/messages", "status", status=400, times=None)
    with Sandbox(drift, Options(rate_limit=None), faults=[fault]) as sandbox:
        first, _ = sync(sandbox, [], "messages")
        second, asked = sync(sandbox, first.last_states(), "messages")
    assert first.statuses == second.statuses == {"messages": "INCOMPLETE"}
    assert set(first.keys("messages")) == {
        row["id"] for row in drift.expected("messages") if row["conversationId"] != bad
    }
    assert unread(first, "messages") == unread(second, "messages") == [bad]
    assert f"/conversations/{bad}/messages" in asked
    others = [path for path in asked if str(bad) not in path and path != "/conversations/list"]
    assert len(others) <= IDLE, len(others)
