"""With any saved state, a sync continues from it or says why not, and is never green and empty."""

import time
from typing import Any

import pytest

from integration_tests.connector import CHILDREN, Run, access_token, catalog, run, state_of
from sandbox import MISSING, Drift, Options, Sandbox

HOUR = 3_600_000
DAY = 24 * HOUR
INCREMENTAL = ("conversations", *CHILDREN, "conversation_metrics", "meetings")


def now() -> int:
    return int(time.time() * 1000)


def saved(stream: str, moment: Any) -> dict[str, Any]:
    """The state of a stream, as this connector writes it."""
    if stream in CHILDREN:
        return {
            "use_global_cursor": True,
            "lookback_window": 0,
            "state": {"updatedAt" if stream == "conversation_details" else "createdAt": moment},
            "parent_state": {"conversations": {"updatedAt": moment}, "unread": []},
        }
    return {"updatedAt": moment}


def sync(sandbox: Sandbox, states: dict[str, Any], **config: Any) -> Run:
    """An incremental sync of these streams, from these states."""
    messages = [state_of(stream, state) for stream, state in states.items()]
    return run("read", access_token(sandbox.url, **config), catalog(**dict.fromkeys(states, "incremental")), messages)


@pytest.fixture(scope="module")
def drift() -> Drift:
    return Drift(conversations=60, meetings=60)


@pytest.fixture
def sandbox(drift: Drift) -> Sandbox:
    return Sandbox(drift, Options(rate_limit=None, reports_per_minute=None))


def without_retry_list(stream: str) -> dict[str, Any]:
    """A state from before the retry list, when the cursor of meetings was `slotStart`."""
    state = saved(stream, "1400000000000")
    state.get("parent_state", {}).pop("unread", None)
    return {"slotStart": "1400000000000"} if stream == "meetings" else state


def test_a_state_of_an_earlier_version_reads_everything(sandbox: Sandbox, drift: Drift) -> None:
    """From an old state without a retry list, before all rows of Drift, every stream is read completely."""
    with sandbox:
        read = sync(sandbox, {stream: without_retry_list(stream) for stream in INCREMENTAL})
    assert read.code == 0, read.error()
    for stream in INCREMENTAL:
        assert read.statuses[stream] == "COMPLETE"
        assert sorted(read.keys(stream)) == sorted(drift.keys(stream)), stream


def test_a_state_in_the_middle_reads_what_follows(sandbox: Sandbox, drift: Drift) -> None:
    """From a state in the middle, the newer half and the look-back are read; meetings are always read completely."""
    rows = sorted(drift.expected("conversations"), key=lambda row: row["updatedAt"])
    middle = rows[30]["updatedAt"]
    with sandbox:
        read = sync(sandbox, {stream: saved(stream, str(middle)) for stream in INCREMENTAL})
    assert read.code == 0, read.error()
    late = {row["id"] for row in rows if row["updatedAt"] >= middle}
    reach = {row["id"] for row in rows if row["updatedAt"] >= middle - DAY}
    contacts = {row["contactId"] for row in rows if row["id"] in late}
    for stream in ("conversations", "conversation_details", "conversation_metrics"):
        assert late <= set(read.keys(stream)) <= reach, stream
    assert late <= {record["conversationId"] for record in read.records("messages")} <= reach
    assert contacts <= set(read.keys("contacts"))
    assert sorted(read.keys("meetings")) == sorted(drift.keys("meetings"))


def test_conversations_with_unusual_times_are_read() -> None:
    """Conversations are read even if `updatedAt` is missing, invalid, equal, earlier than before or in the future."""
    drift = Drift(conversations=160, ties=30, now=now() - HOUR, messages_per_conversation=2)
    rows = list(drift.expected("conversations"))
    streams = ("conversations", "messages", "conversation_details")
    missing, text, null, backward, ahead = (rows[place]["id"] for place in (10, 60, 70, 20, 110))
    drift.update_conversation(missing, updatedAt=MISSING)
    drift.update_conversation(text, updatedAt="yesterday")
    drift.update_conversation(null, updatedAt=None)
    drift.touch(backward, at=rows[150]["updatedAt"])
    drift.update_conversation(ahead, updatedAt=now() + 3 * DAY)
    with Sandbox(drift) as sandbox:
        first = sync(sandbox, {stream: {} for stream in streams})
        states = {stream: first.states(stream)[-1] for stream in streams}
        changed = {missing, backward, *drift.touch_some(10)}
        for conversation in changed:
            drift.add_message(conversation)
        second = sync(sandbox, states)
    assert (first.code, second.code) == (0, 0), (first.error(), second.error())
    assert set(first.keys("conversations")) == {row["id"] for row in rows}
    assert changed <= set(second.keys("conversations"))
    assert changed <= set(second.keys("conversation_details"))
    newest = {record["id"]: record for read in (first, second) for record in read.records("messages")}
    assert newest == {row["id"]: row for row in drift.expected("messages")}
