"""Any saved state is used or gives an error; no sync is empty and successful."""

from typing import Any

import pytest

from unit_tests.conftest import CHILDREN, DAY, HOUR, NOW, STREAMS, Connector, Drift, Outcome, config

# A list, one of its children, and two streams that are read in windows.
ONE_OF_EACH_KIND = {
    "conversations": "updatedAt",
    "messages": "createdAt",
    "conversation_metrics": "updatedAt",
    "meetings": "updatedAt",
}
# All streams without a state.
WHOLE = [stream for stream in STREAMS if stream not in [*ONE_OF_EACH_KIND, *CHILDREN]]
BAD_TIMES: list[Any] = [
    "yesterday",
    "2026-01-14T12:00:00Z",
    "",
    None,
    [NOW],
    {"of": NOW},
    -1,
    10**16,
]
IN_2099 = 4_070_908_800_000
# The state after a full refresh, and the state of a first sync.
EMPTY_STATES: list[Any] = [{}, {"__ab_no_cursor_state_message": True}, {"__ab_full_refresh_sync_complete": True}]


def read(drift: Drift, connector: Connector, stream: str, state: Any) -> Outcome:
    """Read one row, which is as new as possible."""
    drift.answers("/conversations/list", {"data": [{"id": 1, "updatedAt": NOW - HOUR, "contactId": 1}]})
    return connector.read(stream, states={stream: state}, config=config(start_date="2026-01-01"))


def assert_read(outcome: Outcome, stream: str) -> None:
    assert (outcome.status(stream), outcome.keys(stream)) == ("COMPLETE", [STREAMS[stream].one]), outcome.summary


def assert_read_or_red(outcome: Outcome, stream: str) -> None:
    is_red = bool(outcome.output.errors) and outcome.status(stream) != "COMPLETE"
    assert is_red or outcome.keys(stream) == [STREAMS[stream].one], outcome.summary


# The CDK creates no window after now, so with the year 2099, no report is requested, and nothing is noticed.
@pytest.mark.parametrize(
    ("stream", "time"),
    [(stream, time) for stream in ONE_OF_EACH_KIND for time in BAD_TIMES]
    + [(stream, IN_2099) for stream in ONE_OF_EACH_KIND if stream != "conversation_metrics"],
    ids=repr,
)
def test_invalid_time_hides_nothing(drift: Drift, connector: Connector, stream: str, time: Any) -> None:
    """With a cursor or floor that is not a time in the past, the sync reads the row or fails."""
    state: dict[str, Any] = {ONE_OF_EACH_KIND[stream]: time}
    if stream == "messages":
        state = {"use_global_cursor": True, "state": state, "parent_state": {"conversations": {"updatedAt": time}}}
    assert_read_or_red(read(drift, connector, stream, state), stream)


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
def test_state_with_wrong_types_hides_nothing(drift: Drift, connector: Connector, more: Any) -> None:
    """With a state whose parts have the wrong type, the sync reads the row or fails."""
    assert_read_or_red(read(drift, connector, "messages", {"use_global_cursor": True, **more}), "messages")


@pytest.mark.parametrize("stream", ONE_OF_EACH_KIND)
@pytest.mark.parametrize("state", EMPTY_STATES, ids=str)
def test_state_without_a_cursor_reads_from_the_start(
    drift: Drift, connector: Connector, stream: str, state: Any
) -> None:
    """The state of a full refresh and an empty state hide no row."""
    assert_read(read(drift, connector, stream, state), stream)


@pytest.mark.parametrize(
    "state",
    [
        {"parent_state": {}},
        {"parent_state": {"conversations": {}}},
        {"parent_state": {"conversations": {"updatedAt": NOW - DAY}}},
        # As it was before the retry list existed.
        {"parent_state": {"conversations": {"updatedAt": str(NOW - DAY)}}},
        {"parent_state": {"conversations": {"updatedAt": str(NOW - DAY)}, "unread": None}},
        {"use_global_cursor": True, "state": {"createdAt": str(NOW)}},
        {"use_global_cursor": False, "states": [], "parent_state": {"conversations": {"updatedAt": str(NOW - DAY)}}},
        {"use_global_cursor": True, "lookback_window": 86_400, "state": {}, "parent_state": {}},
    ],
    ids=str,
)
def test_incomplete_state_is_used(drift: Drift, connector: Connector, state: Any) -> None:
    """A state that lacks some of its parts continues from its floor, or reads everything if it has none."""
    outcome = read(drift, connector, "messages", state)
    assert_read(outcome, "messages")
    assert outcome.state("messages")["parent_state"] == {"conversations": {"updatedAt": str(NOW - HOUR)}, "unread": []}


def test_other_streams_need_no_state(drift: Drift, connector: Connector) -> None:
    """A full refresh stream ignores any saved state, and saves none."""
    outcome = connector.read(*WHOLE, states={stream: {"updatedAt": "soon"} for stream in WHOLE})
    for stream in WHOLE:
        assert_read(outcome, stream)
        assert outcome.states(stream) == [{"__ab_no_cursor_state_message": True}]
