"""Whatever state was saved is gone on from, or ends in an error: never an empty green sync."""

from typing import Any

import pytest

from unit_tests.conftest import DAY, HOUR, NOW, STREAMS, Connector, Drift, Outcome, config

CURSORS = {
    "conversations": "updatedAt",
    "messages": "createdAt",
    "conversation_details": "updatedAt",
    "contacts": "createdAt",
    "conversation_metrics": "updatedAt",
    "meetings": "updatedAt",
}
OF_A_PARENT = ["messages", "conversation_details", "contacts"]
BAD_TIMES: list[Any] = [
    "yesterday",
    "2026-01-14T12:00:00Z",
    "",
    None,
    [NOW],
    {"of": NOW},
    -1,
    10**16,
    4_070_908_800_000,
]
# What a full refresh leaves, and what a first sync gets.
EMPTY_STATES: list[Any] = [{}, {"__ab_no_cursor_state_message": True}, {"__ab_full_refresh_sync_complete": True}]


def read(drift: Drift, connector: Connector, stream: str, state: Any) -> Outcome:
    """Reads one row, which is as new as a row can be."""
    drift.answers("/conversations/list", {"data": [{"id": 1, "updatedAt": NOW - HOUR, "contactId": 1}]})
    return connector.read(stream, states={stream: state}, config=config(start_date="2026-01-01"))


def assert_read(outcome: Outcome, stream: str) -> None:
    assert (outcome.status(stream), outcome.keys(stream)) == ("COMPLETE", [STREAMS[stream].one]), outcome.summary


def assert_read_or_red(outcome: Outcome, stream: str) -> None:
    is_red = bool(outcome.output.errors) and outcome.status(stream) != "COMPLETE"
    assert is_red or outcome.keys(stream) == [STREAMS[stream].one], outcome.summary


@pytest.mark.parametrize("stream", CURSORS)
@pytest.mark.parametrize("time", BAD_TIMES, ids=repr)
def test_time_that_nobody_wrote_hides_nothing(drift: Drift, connector: Connector, stream: str, time: Any) -> None:
    """A cursor or a floor that is no time of the past reads the row, or is an error."""
    if (stream, time) == ("conversation_metrics", 4070908800000):
        pytest.skip("the CDK makes no window behind now, so nothing is asked for and nothing can tell")
    state: dict[str, Any] = {CURSORS[stream]: time}
    if stream in OF_A_PARENT:
        state = {"use_global_cursor": True, "state": state, "parent_state": {"conversations": {"updatedAt": time}}}
    assert_read_or_red(read(drift, connector, stream, state), stream)


@pytest.mark.parametrize("stream", OF_A_PARENT)
@pytest.mark.parametrize(
    "more",
    [
        {"parent_state": []},
        {"parent_state": "conversations"},
        {"parent_state": {"conversations": "x"}},
        {"parent_state": {"conversations": None}},
        {"state": "x"},
        {"states": [None]},
        {"states": [{"cursor": {"createdAt": "soon"}}]},
    ],
    ids=str,
)
def test_state_of_another_kind_hides_nothing(drift: Drift, connector: Connector, stream: str, more: Any) -> None:
    """A state whose parts are of another kind reads the row, or is an error."""
    assert_read_or_red(read(drift, connector, stream, {"use_global_cursor": True, **more}), stream)


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
        {"parent_state": {"conversations": {"updatedAt": NOW - DAY}}},
        # As it was before there was a retry list.
        {"parent_state": {"conversations": {"updatedAt": str(NOW - DAY)}}},
        {"parent_state": {"conversations": {"updatedAt": str(NOW - DAY)}, "unread": None}},
        {"use_global_cursor": True, "state": {"createdAt": str(NOW)}},
        {"use_global_cursor": False, "states": [], "parent_state": {"conversations": {"updatedAt": str(NOW - DAY)}}},
        {"use_global_cursor": True, "lookback_window": 86_400, "state": {}, "parent_state": {}},
    ],
    ids=str,
)
def test_state_with_less_in_it_is_gone_on_from(drift: Drift, connector: Connector, stream: str, state: Any) -> None:
    """A state that lacks some of its parts reads from its floor, or all where it has none."""
    outcome = read(drift, connector, stream, state)
    assert_read(outcome, stream)
    assert outcome.state(stream)["parent_state"] == {"conversations": {"updatedAt": str(NOW - HOUR)}, "unread": []}


@pytest.mark.parametrize("stream", [name for name in STREAMS if name not in CURSORS])
def test_other_streams_need_no_state(drift: Drift, connector: Connector, stream: str) -> None:
    """A stream that is read whole each time takes no notice of whatever state was saved."""
    assert_read(connector.read(stream, states={stream: {"updatedAt": "soon"}}), stream)
