"""Whatever state is saved: a sync goes on from it or says clearly why not, and is never green and empty."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from integration_tests.connector import CHILDREN, Run, access_token, catalog, run
from sandbox import MISSING, Drift, Options, Sandbox

HOUR = 3_600_000
DAY = 24 * HOUR
INCREMENTAL = ("conversations", *CHILDREN, "conversation_metrics", "meetings")


def now() -> int:
    return int(time.time() * 1000)


def saved(stream: str, moment: Any) -> dict[str, Any]:
    """A state of a stream as this connector writes it."""
    if stream in CHILDREN:
        return {
            "use_global_cursor": True,
            "lookback_window": 0,
            "state": {"updatedAt" if stream == "conversation_details" else "createdAt": moment},
            "parent_state": {"conversations": {"updatedAt": moment}},
        }
    return {"slotStart" if stream == "meetings" else "updatedAt": moment}


def sync(sandbox: Sandbox, states: dict[str, Any]) -> Run:
    """An incremental sync of these streams from these states."""
    messages = [
        {"type": "STREAM", "stream": {"stream_descriptor": {"name": stream}, "stream_state": state}}
        for stream, state in states.items()
    ]
    modes = dict.fromkeys(states, "incremental")
    return run("read", access_token(sandbox.url), catalog(**modes), messages)


@pytest.fixture(scope="module")
def drift() -> Drift:
    return Drift(conversations=60, meetings=60)


@pytest.fixture
def sandbox(drift: Drift) -> Sandbox:
    return Sandbox(drift, Options(rate_limit=None, reports_per_minute=None))


def assert_whole(read: Run, drift: Drift) -> None:
    assert read.code == 0, read.error()
    for stream in INCREMENTAL:
        assert read.statuses[stream] == "COMPLETE"
        assert sorted(read.keys(stream)) == sorted(drift.keys(stream)), stream


@pytest.mark.parametrize(
    "state",
    [
        lambda stream: saved(stream, "1400000000000"),
        lambda stream: saved(stream, 1400000000000),
        lambda stream: saved(stream, "0"),
        lambda stream: {},
        lambda stream: {"somethingElse": "1"},
    ],
    ids=["of 2014", "a number", "of 1970", "empty", "of another kind"],
)
def test_a_state_before_everything_reads_everything(
    state: Callable[[str], Any], sandbox: Sandbox, drift: Drift
) -> None:
    """From a state that is older than all that Drift holds, or says nothing, every stream is read whole."""
    with sandbox:
        assert_whole(sync(sandbox, {stream: state(stream) for stream in INCREMENTAL}), drift)


def test_a_state_in_the_middle_reads_what_follows(sandbox: Sandbox, drift: Drift) -> None:
    """From a state in the middle the younger half comes, with the look-back's; meetings come whole each time."""
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


@pytest.mark.parametrize(
    "moment",
    [str(now() + 2 * DAY), "4102444800000", "253402300799999", "soon", "", "2024-01-01T00:00:00Z", "-5", None, [], {}],
    ids=["in two days", "of 2100", "of 9999", "a word", "empty", "a date", "negative", "null", "list", "object"],
)
def test_a_state_of_no_use_is_said_to_be(moment: Any, sandbox: Sandbox) -> None:
    """A state ahead of every clock, or that is no time, fails its stream in words, before anything is read."""
    for stream in ("conversations", "messages", "conversation_metrics"):
        with sandbox:
            read = sync(sandbox, {stream: saved(stream, moment)})
        assert read.code == 1, (stream, read.statuses)
        assert read.statuses.get(stream) != "COMPLETE"
        assert read.records(stream) == []
        assert "lear " in read.error(), (stream, read.error())
        assert "state" in read.error(), (stream, read.error())


@pytest.mark.parametrize("state", [{"state": []}, {"parent_state": []}, {"states": 7}], ids=str)
def test_a_state_of_no_known_shape_is_an_error_or_reads_everything(state: Any, sandbox: Sandbox, drift: Drift) -> None:
    """A child whose state nobody can make out fails, or is read whole: never green and short."""
    with sandbox:
        read = sync(sandbox, {"messages": state})
    if read.code == 0:
        assert sorted(read.keys("messages")) == sorted(drift.keys("messages"))
    else:
        assert read.statuses.get("messages") != "COMPLETE"
        assert "state" in read.error(), read.error()


@pytest.mark.parametrize("moment", [str(now()), "4102444799999", "0"], ids=["of now", "of 2099", "of 1970"])
def test_meetings_forget_their_state(moment: str, sandbox: Sandbox, drift: Drift) -> None:
    """The range of the meetings moves with the clock: no state, of whatever moment, holds any of them back."""
    with sandbox:
        read = sync(sandbox, {"meetings": saved("meetings", moment)})
    assert sorted(read.keys("meetings")) == sorted(drift.keys("meetings"))


def test_a_state_of_the_meetings_that_is_no_time_is_an_error_in_words(sandbox: Sandbox) -> None:
    """A state of the meetings that nobody can read is said to be one."""
    with sandbox:
        read = sync(sandbox, {"meetings": saved("meetings", "soon")})
    assert "state" in read.error(), read.error()


# Odd rows


def test_odd_messages_come_as_they_are() -> None:
    """A message without a body, an author, a type or a time, or of another time, is read as Drift sends it."""
    drift = Drift(conversations=30)
    ids = [row["id"] for row in drift.expected("conversations")]
    odd = [
        {"body": MISSING},
        {"body": ""},
        {"author": MISSING},
        {"type": "telepathy"},
        {"type": MISSING, "attributes": MISSING},
        {"createdAt": MISSING},
        {"createdAt": now() + 30 * DAY},
        {"createdAt": 0},
        {"createdAt": "2024-01-01T00:00:00Z"},
        {"body": "<p>{{ 7 * 7 }} \u2028 \U0001f64b &amp; </p>"},
    ]
    added = [drift.add_message(conversation, **fields) for conversation, fields in zip(ids, odd, strict=False)]
    with Sandbox(drift) as sandbox:
        first = sync(sandbox, {"messages": {}})
        (later,) = drift.touch_some(1)
        second = sync(sandbox, {"messages": first.states("messages")[-1]})
    assert (first.code, second.code) == (0, 0), (first.error(), second.error())
    assert set(added) <= set(first.keys("messages"))
    assert {row["id"]: row for row in first.records("messages")} == {
        row["id"]: row for row in drift.expected("messages")
    }
    of_the_later = {row["id"] for row in drift.expected("messages") if row["conversationId"] == later}
    assert of_the_later <= set(second.keys("messages")), "a message that is dated ahead hides what follows"


def test_conversations_of_odd_times_lose_nothing() -> None:
    """Conversations whose `updatedAt` is missing, no time, the same, earlier than before or ahead: all are read."""
    drift = Drift(conversations=160, ties=30, now=now() - HOUR)
    rows = list(drift.expected("conversations"))
    streams = ("conversations", *CHILDREN)
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
    assert {record["conversationId"] for record in first.records("messages")} == {
        row["conversationId"] for row in drift.expected("messages")
    }
    for stream in streams:
        assert first.statuses[stream] == second.statuses[stream] == "COMPLETE"
    assert changed <= set(second.keys("conversations"))
    assert changed <= set(second.keys("conversation_details"))
    of_the_changed = {row["id"] for row in drift.expected("messages") if row["conversationId"] in changed}
    assert of_the_changed <= set(second.keys("messages"))
    newest = {record["id"]: record for read in (first, second) for record in read.records("messages")}
    assert newest == {row["id"]: row for row in drift.expected("messages")}


def test_a_metric_row_of_no_time_is_not_green_and_short() -> None:
    """A conversation without `updatedAt` lies in no report, as Drift finds reports by it; all others come."""
    drift = Drift(conversations=40, history_days=40)
    rows = list(drift.expected("conversations"))
    drift.update_conversation(rows[5]["id"], updatedAt=MISSING)
    drift.update_conversation(rows[6]["id"], updatedAt=now() + 3 * DAY)
    with Sandbox(drift, Options(reports_per_minute=None)) as sandbox:
        read = sync(sandbox, {"conversation_metrics": {}})
    assert read.code == 0, read.error()
    assert set(read.keys("conversation_metrics")) == {row["id"] for row in rows} - {rows[5]["id"]}
    assert int(read.states("conversation_metrics")[-1]["updatedAt"]) <= now() + 1000
