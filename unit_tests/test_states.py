"""A saved state is gone on from, or refused in a sentence that names the stream: never an empty green sync."""

from typing import Any

import pytest

import components
from unit_tests.conftest import DAY, HOUR, LATEST, NOW, STREAMS, Connector, Drift, Outcome, config

CURSORS = {
    "conversations": "updatedAt",
    "messages": "createdAt",
    "conversation_details": "updatedAt",
    "contacts": "createdAt",
    "conversation_metrics": "updatedAt",
    "meetings": "slotStart",
}
OF_A_LIST = ["conversations", "conversation_metrics", "meetings"]
OF_A_PARENT = ["messages", "conversation_details", "contacts"]
BAD_TIMES: list[Any] = [
    "yesterday",
    "2026-01-14T12:00:00Z",
    "",
    None,
    [NOW],
    {"of": NOW},
    -1,
    "-1",
    LATEST,
    str(LATEST * 10),
]
# What a full refresh leaves, what a first sync gets, and what nobody knows.
EMPTY_STATES: list[Any] = [{}, {"__ab_no_cursor_state_message": True}, {"__ab_full_refresh_sync_complete": True}]


def refused(stream: str) -> str:
    return f"The saved state of the stream {stream} cannot be read. Clear it, and the stream is read from the start."


def read(drift: Drift, connector: Connector, stream: str, state: Any) -> Outcome:
    """Reads one row, which is as new as a row can be."""
    row = {"id": 1, "updatedAt": NOW - HOUR, "contactId": 1}
    drift.answers("/conversations/list", {"data": [row]})
    return connector.read(stream, state=state, config=config(start_date="2026-01-01"))


def assert_refused(outcome: Outcome, drift: Drift, stream: str) -> None:
    """Nothing was asked for, and the one message names the stream."""
    assert (outcome.message, outcome.records(stream), drift.requests) == (refused(stream), [], []), outcome.summary


def assert_read(outcome: Outcome, stream: str) -> None:
    assert (outcome.status(stream), outcome.keys(stream)) == ("COMPLETE", [STREAMS[stream].one]), outcome.summary


@pytest.mark.parametrize("stream", OF_A_LIST)
@pytest.mark.parametrize("time", BAD_TIMES, ids=repr)
def test_cursor_that_is_no_time_is_refused(drift: Drift, connector: Connector, stream: str, time: Any) -> None:
    """What is no epoch milliseconds from 1970 to 2099 was not written by this connector."""
    assert_refused(read(drift, connector, stream, {CURSORS[stream]: time}), drift, stream)


@pytest.mark.parametrize("stream", OF_A_PARENT)
@pytest.mark.parametrize("time", ["yesterday", None, [NOW], -1, LATEST], ids=repr)
def test_floor_that_is_no_time_is_refused(drift: Drift, connector: Connector, stream: str, time: Any) -> None:
    """So it is for the floor of what hangs on the conversations."""
    state = {"use_global_cursor": True, "parent_state": {"conversations": {"updatedAt": time}}}
    assert_refused(read(drift, connector, stream, state), drift, stream)


@pytest.mark.parametrize("stream", OF_A_PARENT)
@pytest.mark.parametrize(
    "more",
    [
        {"parent_state": None},
        {"parent_state": []},
        {"parent_state": "conversations"},
        {"parent_state": {"conversations": [NOW]}},
        {"parent_state": {"conversations": "x"}},
        {"parent_state": {"conversations": None}},
        {"state": "x"},
        {"state": []},
        {"state": {"createdAt": "soon"}},
        {"states": None},
        {"states": [None]},
        {"states": [{"partition": {}}]},
        {"states": [{"cursor": {"createdAt": "soon"}}]},
    ],
    ids=str,
)
def test_state_of_another_kind_is_refused(drift: Drift, connector: Connector, stream: str, more: Any) -> None:
    """A state whose parts are of another kind is refused in the same words."""
    assert_refused(read(drift, connector, stream, {"use_global_cursor": True, **more}), drift, stream)


@pytest.mark.parametrize("stream", CURSORS)
@pytest.mark.parametrize("state", EMPTY_STATES, ids=str)
def test_state_without_a_cursor_reads_from_the_start(
    drift: Drift, connector: Connector, stream: str, state: Any
) -> None:
    """The state of a full refresh, and an empty one, hide nothing."""
    assert_read(read(drift, connector, stream, state), stream)


@pytest.mark.parametrize("stream", OF_A_PARENT)
@pytest.mark.parametrize(
    "state",
    [
        {"parent_state": {}},
        {"parent_state": {"conversations": {}}},
        {"parent_state": {"conversations": {"updatedAt": str(NOW - DAY)}}},
        {"parent_state": {"conversations": {"updatedAt": NOW - DAY}}},
        {"use_global_cursor": True, "state": {"createdAt": str(NOW)}},
        {"use_global_cursor": False, "states": [], "parent_state": {"conversations": {"updatedAt": str(NOW - DAY)}}},
        {"use_global_cursor": True, "lookback_window": 86_400, "state": {}, "parent_state": {}},
    ],
    ids=str,
)
def test_state_with_less_in_it_is_gone_on_from(drift: Drift, connector: Connector, stream: str, state: Any) -> None:
    """A state that lacks some of its parts reads from its floor, or all where it has none."""
    assert_read(read(drift, connector, stream, state), stream)


@pytest.mark.parametrize("stream", OF_A_PARENT)
def test_floor_ahead_of_the_clock_is_refused(drift: Drift, connector: Connector, stream: str) -> None:
    """A floor that Drift's clock has not reached would read nothing until then: a clear error."""
    state = {"use_global_cursor": True, "parent_state": {"conversations": {"updatedAt": str(NOW + DAY)}}}
    outcome = read(drift, connector, stream, state)
    assert "ahead of Drift's clock" in outcome.error(stream).message
    assert (outcome.status(stream), outcome.records(stream)) == ("INCOMPLETE", [])


@pytest.mark.parametrize("stream", [name for name in STREAMS if name not in CURSORS])
@pytest.mark.parametrize("state", [{"updatedAt": "soon"}, {"__ab_no_cursor_state_message": True}], ids=str)
def test_other_streams_need_no_state(drift: Drift, connector: Connector, stream: str, state: Any) -> None:
    """A stream that is read whole each time takes no notice of whatever state was saved."""
    assert_read(connector.read(stream, states={stream: state}), stream)


def test_refusal_is_a_matter_of_the_config() -> None:
    """A state that cannot be read is for the user to clear, and no failure of Drift."""
    guard = components.StateGuard(name="messages")
    with pytest.raises(components.AirbyteTracedException) as error:
        guard.migrate({"parent_state": None})
    assert (error.value.message, error.value.failure_type) == (refused("messages"), components.FailureType.config_error)


@pytest.mark.parametrize("state", [{"updatedAt": str(NOW)}, {"updatedAt": LATEST - 1}, {"updatedAt": 0}, {"x": "y"}])
def test_guard_changes_nothing_of_a_good_state(state: Any) -> None:
    """A state that can be read is handed on as it is."""
    guard = components.StateGuard(name="conversations", cursor_field="updatedAt")
    assert guard.should_migrate(state)
    assert guard.migrate(state) is state


@pytest.mark.parametrize("time", [-1, LATEST, str(LATEST), LATEST + 1])
@pytest.mark.parametrize(
    "state",
    [
        lambda time: {"slotStart": time},
        lambda time: {"lookback_window": time, "slotStart": NOW},
        lambda time: {"parent_state": {"conversations": {"updatedAt": time}}},
        lambda time: {"parent_state": {"conversations": {"updatedAt": NOW}, "others": {"updatedAt": time}}},
        lambda time: {"state": {"createdAt": time}},
        lambda time: {"states": [{"cursor": {"createdAt": NOW}}, {"cursor": {"createdAt": time}}]},
    ],
    ids=["cursor", "look-back", "parent", "second-parent", "state", "states"],
)
def test_guard_looks_at_every_time(state: Any, time: Any) -> None:
    """Each time of a state is looked at, wherever it stands, to the millisecond of both ends."""
    guard = components.StateGuard(name="meetings", cursor_field="slotStart")
    with pytest.raises(components.AirbyteTracedException, match="cannot be read"):
        guard.migrate(state(time))
    assert guard.migrate(state(LATEST - 1)) == state(LATEST - 1)
    assert guard.migrate(state(0)) == state(0)
