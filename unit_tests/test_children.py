"""Children of conversations are read oldest first and can resume; a failed child is requested again."""

import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from airbyte_cdk.models import AirbyteMessageSerializer, Type
from airbyte_cdk.sources.declarative.incremental import ConcurrentPerPartitionCursor
from airbyte_cdk.test.state_builder import StateBuilder

from unit_tests.conftest import (
    CHILDREN,
    DAY,
    EMPTY,
    HOUR,
    HTML,
    MINUTE,
    NOW,
    Answer,
    Connector,
    Drift,
    Outcome,
    config,
)

LIST = "/conversations/list"
STATE = "updatedAt"
# A permanent error of Drift's own, which is not retried.
BROKEN = Answer({"error": {"type": "internal"}}, 418)
NOT_FOUND = Answer({"error": {"type": "not_found"}}, 404)
GONE = [NOT_FOUND, Answer({"error": {"type": "gone"}}, 410), Answer({"error": {"type": "not_found"}})]
GONE_RECORDS = [{"data": None}, {"data": {}}, {"data": []}]


def conversation(key: Any, updated: Any, contact: Any = None) -> dict[str, Any]:
    return {"id": key, "updatedAt": updated, "contactId": key if contact is None else contact}


def hourly(count: int) -> list[dict[str, Any]]:
    """Conversations 1 to `count`, newest first, one hour apart."""
    return [conversation(key, NOW - key * HOUR) for key in range(1, count + 1)]


def listed(drift: Drift, rows: list[dict[str, Any]] | Callable[[int], Any], size: int = 50) -> None:
    """Respond with the list in pages of `size`, or with a function of the page number."""

    def answer(request: requests.PreparedRequest) -> Any:
        number = int(dict(parse_qsl(urlsplit(str(request.url)).query)).get("page_token") or 0)
        if callable(rows):
            return rows(number)
        following = f"{LIST}?page_token={number + 1}" if (number + 1) * size < len(rows) else None
        return {"data": rows[number * size : (number + 1) * size], "links": {"next": following}}

    drift.answers(LIST, answer)


def path_of(stream: str, key: Any) -> str:
    return {"messages": f"/conversations/{key}/messages", "contacts": f"/contacts/{key}"}.get(
        stream, f"/conversations/{key}"
    )


def readable(drift: Drift, *keys: Any) -> None:
    """Respond with one message and the details of each conversation, and the contact with the same key."""
    for key in keys:
        row = {"id": key, "createdAt": NOW - DAY, "updatedAt": NOW - DAY}
        drift.answers(path_of("messages", key), {"data": {"messages": [row]}})
        drift.answers(path_of("conversation_details", key), {"data": row})
        drift.answers(path_of("contacts", key), {"data": row})


def organization(drift: Drift, rows: list[dict[str, Any]], size: int = 50) -> None:
    listed(drift, rows, size)
    readable(drift, *[row["id"] for row in rows])


def since(moment: Any, unread: Iterable[int] = (), **more: Any) -> dict[str, Any]:
    """The state of a child, as the connector writes it."""
    parent = {"conversations": {STATE: str(moment)}, "unread": list(unread)}
    return {"use_global_cursor": True, "lookback_window": 0, "parent_state": parent, **more}


def saved(outcome: Outcome, stream: str = "messages") -> tuple[int, list[int]]:
    """The floor and the retry list of the last state."""
    parent = outcome.state(stream)["parent_state"]
    return int(parent["conversations"][STATE]), parent["unread"]


def asked_for(drift: Drift, stream: str = "messages") -> list[int]:
    """The keys of the requested children, in order."""
    paths = [urlsplit(str(request.url)).path for request in drift.requests]
    return [int(key) for path in paths for key in path.split("/")[2:3] if path == path_of(stream, key) != LIST]


def assert_read(outcome: Outcome, keys: Iterable[int], stream: str = "messages") -> None:
    assert (outcome.status(stream), outcome.errors) == ("COMPLETE", []), outcome.summary
    assert sorted(outcome.keys(stream)) == sorted(keys)


def read_fast(connector: Connector, state: Any, stream: str = "messages", **more: Any) -> Outcome:
    """Read at the maximum rate, because each jump of the test clock costs real time."""
    return connector.read(stream, state=state, config=config(max_requests_per_second=50, **more))


def steps(
    drift: Drift, connector: Connector, stream: str = "messages", state: Any = None, rate: int = 35
) -> list[tuple[Any, int, int]]:
    """Each key in reading order, with the floor and the number of requests at that moment.

    Only the list is requested: the router yields the children, and nothing reads them. Each counts as found.
    """
    before = StateBuilder().with_stream_state(stream, state).build() if state else []
    [built] = connector.source(config(max_requests_per_second=rate), None, before, stream).streams({})
    router = built.cursor._partition_router
    taken = []
    for step in router.stream_slices():
        lowest = int(router.get_stream_state()["conversations"][STATE])
        taken.append((next(iter(step.extra_fields.values())), lowest, len(drift.requests)))
        router.get_request_headers(stream_slice=step)
        router._notes.found += 1
    return taken


# Order and floor


@pytest.mark.parametrize("stream", CHILDREN)
def test_oldest_is_read_first(drift: Drift, connector: Connector, stream: str) -> None:
    """The newest half is read between the pages of the list, then the others oldest first, and the newest one last."""
    listed(drift, hourly(150))
    taken = steps(drift, connector, stream)
    assert [key for key, *_ in taken] == [*range(2, 76), *range(150, 75, -1), 1]
    assert [made for *_, made in taken[:74]] == [*[1] * 24, *[2] * 25, *[3] * 25]


def test_a_new_state_has_a_partition_of_its_own(drift: Drift, connector: Connector) -> None:
    """Partitions take turns, but the CDK keeps a new state by its partition until all earlier ones are closed."""
    listed(drift, hourly(400))
    [built] = connector.source(config(), None, None, "messages").streams({})
    router = built.cursor._partition_router
    slices = router.stream_slices()
    first = next(slices)
    with ThreadPoolExecutor(1) as other:
        # It stays open.
        other.submit(router.get_request_headers, stream_slice=first).result()
    slots, states = [first.partition["slot"]], [router.get_stream_state()]
    for step in slices:
        if router._notes.last:
            break
        slots.append(step.partition["slot"])
        states.append(router.get_stream_state())
        router.get_request_headers(stream_slice=step)
        router._notes.found += 1
        router._notes.end()
    changed = [slot for slot, state, before in zip(slots[1:], states[1:], states, strict=False) if state != before]
    assert len(changed) == len(set(changed)) > 4
    assert len(set(slots)) == len(changed) + 3


def test_no_more_are_read_early_than_in_five_minutes(drift: Drift, connector: Connector) -> None:
    """Early reads are limited to five minutes; after that, one in a thousand shows that the sync is alive."""
    listed(drift, hourly(2100))
    early = [key for key, _, made in steps(drift, connector, rate=1) if made < 42]
    assert early == list(range(2, 2 + 300 + 2))


def test_floor_is_never_above_unread_conversations(drift: Drift, connector: Connector) -> None:
    """All conversations older than the floor have started before, and at most fifty of the others start again."""
    rows = hourly(250)
    for row in rows[80:180]:  # a hundred with the same millisecond, around two floors
        row[STATE] = NOW - 130 * HOUR
    listed(drift, sorted(rows, key=lambda row: -row[STATE]))
    times, read, early = {row["id"]: row[STATE] for row in rows}, set(), set()
    ties = {key for key, time in times.items() if time == NOW - 130 * HOUR}
    for key, lowest, made in steps(drift, connector):
        read.add(key)
        early |= {key} if made < 6 else set()
        missing = {other for other, time in times.items() if time < lowest} - read
        assert not missing, (key, lowest, missing)
        again = {other for other in read - early - ties if times[other] >= lowest}
        assert len(again) <= 52, (key, lowest, again)
    assert (read, len(early)) == (set(times), 124)


def test_conversations_with_the_time_of_the_floor_are_read_again(drift: Drift, connector: Connector) -> None:
    """A conversation with the exact time of the floor may be unread, so the next sync reads all of them."""
    organization(drift, [conversation(key, NOW - DAY) for key in (3, 2, 1)])
    state = connector.read("messages", state={}).state("messages")
    assert_read(connector.read("messages", state=state), [1, 2, 3])


@pytest.mark.parametrize("odd", [{"updatedAt": None}, {"updatedAt": "soon"}, {}, {"updatedAt": 0}], ids=str)
def test_conversation_without_a_time_is_read(drift: Drift, connector: Connector, odd: dict[str, Any]) -> None:
    """A conversation without a valid updatedAt is never old, is always read, and does not change the state."""
    organization(drift, [conversation(3, NOW - HOUR), {"id": 2, **odd}, conversation(1, NOW - 2 * HOUR)])
    outcome = connector.read("messages", state=since(NOW - DAY))
    assert_read(outcome, [1, 2, 3])
    assert saved(outcome) == (NOW - HOUR, [])


def test_look_back_does_not_lower_the_floor(drift: Drift, connector: Connector) -> None:
    """The ten minutes before the state are read again, and the state does not change."""
    organization(drift, [conversation(1, NOW - DAY - 5 * MINUTE)])
    outcome = connector.read("messages", state=since(NOW - DAY))
    assert_read(outcome, [1])
    assert saved(outcome) == (NOW - DAY, [])


def test_conversation_on_two_pages_is_read_once(drift: Drift, connector: Connector) -> None:
    """A conversation that is listed twice is requested once, with its newest update."""
    rows = [conversation(1, NOW - HOUR), conversation(2, NOW - 2 * HOUR), conversation(1, NOW - 3 * HOUR)]
    listed(drift, rows, size=2)
    assert [key for key, *_ in steps(drift, connector)] == [2, 1]


def test_update_after_an_early_read_comes_with_the_next_sync(drift: Drift, connector: Connector) -> None:
    """The floor does not pass the newest conversation that was listed before the first early read."""
    rows, moved = hourly(150), [conversation(60, NOW - 30 * MINUTE), conversation(1, NOW)]
    organization(drift, [*rows[:100], *moved, *rows[100:]])
    first = read_fast(connector, {})
    assert_read(first, range(1, 151))
    assert saved(first) == (NOW - HOUR, [])
    drift.requests.clear()
    unmoved = [row for row in rows if row["id"] not in (1, 60)]
    organization(drift, [*reversed(moved), *unmoved])
    assert_read(connector.read("messages", state=first.state("messages")), [1, 60])


# Syncs in a row


@pytest.mark.parametrize("stream", CHILDREN)
def test_second_sync_reads_changed_conversations(drift: Drift, connector: Connector, stream: str) -> None:
    """A second sync reads each changed conversation in full, and no other one."""
    rows = hourly(5)
    organization(drift, rows)
    first = connector.read(stream, state={})
    assert_read(first, [1, 2, 3, 4, 5], stream)
    drift.clock.now += 3600
    listed(drift, [conversation(5, NOW + MINUTE), *rows[:4]])
    second = connector.read(stream, state=first.state(stream))
    assert_read(second, [1, 5], stream)
    assert saved(second, stream) == (NOW + MINUTE, [])
    assert_read(connector.read(stream, state=second.state(stream)), [5], stream)
    # A full refresh ignores the state.
    assert_read(connector.read(stream), [1, 2, 3, 4, 5], stream)


def test_start_date_applies_to_conversations(drift: Drift, connector: Connector) -> None:
    """The start date excludes conversations by last update, with their children, but no old messages."""
    organization(drift, [conversation(2, NOW - HOUR), conversation(1, NOW - 30 * DAY)])
    drift.answers("/conversations/2/messages", {"data": {"messages": [{"id": 7, "createdAt": NOW - 90 * DAY}]}})
    outcome = connector.read("messages", config=config(start_date="2026-01-14T00:00:00Z"), state={})
    assert_read(outcome, [7])


@pytest.mark.parametrize(("stream", "ahead"), zip(CHILDREN, [NOW + DAY, NOW + DAY, 4_102_444_799_999], strict=True))
def test_child_dated_in_the_future_hides_nothing(drift: Drift, connector: Connector, stream: str, ahead: int) -> None:
    """The times of child rows don't matter: changes are read even if their state is in the future."""
    organization(drift, [conversation(2, NOW - HOUR), conversation(1, NOW - 3 * DAY)])
    cursor = "updatedAt" if stream == "conversation_details" else "createdAt"
    outcome = connector.read(stream, state=since(NOW - DAY, state={cursor: str(ahead)}))
    assert_read(outcome, [2], stream)


def test_conversation_dated_ahead_moves_the_floor_to_the_clock_at_most(drift: Drift, connector: Connector) -> None:
    """A conversation dated in the future is read, and updates until then come with the next sync."""
    ahead = conversation(1, NOW + DAY)
    organization(drift, [ahead, conversation(2, NOW - HOUR)])
    first = connector.read("messages", state={})
    assert_read(first, [1, 2])
    assert saved(first)[0] <= NOW
    drift.clock.now += 3600
    organization(drift, [ahead, conversation(3, NOW + MINUTE), conversation(2, NOW - HOUR)])
    assert_read(connector.read("messages", state=first.state("messages")), [1, 3])


def test_state_of_the_cdks_router_is_used(drift: Drift, connector: Connector) -> None:
    """A state in the form of the CDK's own router, with partitions, continues from its parent state."""
    organization(drift, [conversation(2, NOW - HOUR), conversation(1, NOW - 3 * DAY)])
    state = {
        "use_global_cursor": False,
        "states": [{"partition": {"conversation_id": 1, "parent_slice": {}}, "cursor": {"createdAt": str(NOW - DAY)}}],
        "parent_state": {"conversations": {STATE: str(NOW - DAY)}},
        "lookback_window": 3,
    }
    assert_read(connector.read("messages", state=state), [2])


# The retry list


@pytest.mark.parametrize("stream", CHILDREN)
def test_failed_child_is_requested_first_in_the_next_sync(drift: Drift, connector: Connector, stream: str) -> None:
    """A failed child costs the next sync one request, and leaves the retry list once it can be read."""
    organization(drift, hourly(200))
    drift.answers(path_of(stream, 80), BROKEN)
    first = read_fast(connector, since(NOW - 300 * HOUR), stream)
    assert (first.status(stream), sorted({*range(1, 201)} - {*first.keys(stream)})) == ("INCOMPLETE", [80])
    what = "contacts" if stream == "contacts" else "conversations"
    message = first.error(stream).message
    assert message.startswith(f"1 of the {what} could not be read"), message
    assert f"Drift answered GET {path_of(stream, 80)} with HTTP 418." in message
    # The floor passes the failed one. The newest stays open, so that later syncs also fail until it can be read.
    lowest, unread = saved(first, stream)
    assert (lowest >= NOW - 2 * HOUR, unread) == (True, [80])

    assert steps(drift, connector, stream, first.state(stream))[0][0] == 80
    drift.requests.clear()
    second = read_fast(connector, first.state(stream), stream)
    asked = asked_for(drift, stream)
    assert (second.status(stream), 80 in asked, set(asked) <= {80, 1, 2}) == ("INCOMPLETE", True, True), asked
    assert saved(second, stream) == (lowest, [80])

    readable(drift, 80)
    third = read_fast(connector, second.state(stream), stream)
    assert (third.status(stream), {80, 1} <= {*third.keys(stream)}) == ("COMPLETE", True), third.summary
    assert saved(third, stream) == (NOW - HOUR, [])


def test_deleted_child_leaves_the_retry_list(drift: Drift, connector: Connector) -> None:
    """A child that was deleted meanwhile leaves the retry list."""
    organization(drift, hourly(3))
    drift.answers(path_of("messages", 90), NOT_FOUND)
    outcome = connector.read("messages", state=since(NOW - 2 * HOUR, [90]))
    assert_read(outcome, [1, 2])
    assert saved(outcome) == (NOW - HOUR, [])


def test_retry_list_is_read_although_nothing_changed(drift: Drift, connector: Connector) -> None:
    """The children on the retry list are read even if no conversation changed."""
    organization(drift, [])
    readable(drift, 7, 8)
    outcome = connector.read("messages", state=since(NOW - DAY, [7, 8]))
    assert_read(outcome, [7, 8])
    assert saved(outcome) == (NOW - DAY, [])


def test_newest_on_the_retry_list_is_read_first(drift: Drift, connector: Connector) -> None:
    """The newest conversation is read like all others on the retry list, and another one ends the sync."""
    organization(drift, hourly(3))
    drift.answers(path_of("messages", 90), BROKEN)
    state = since(NOW - 10 * HOUR, [1, 90])
    assert [key for key, *_ in steps(drift, connector, state=state)] == [1, 90, 3, 2]
    outcome = connector.read("messages", state=state)
    assert (outcome.status("messages"), saved(outcome)[1]) == ("INCOMPLETE", [90]), outcome.summary
    organization(drift, hourly(1))
    outcome = connector.read("messages", state=since(NOW - 10 * HOUR, [1]))
    assert (outcome.status("messages"), saved(outcome)[1], outcome.logs("WARN")) == ("COMPLETE", [], [])
    assert "messages: 1 conversations to read." in outcome.logs("INFO")


@pytest.mark.parametrize("count", [100, 101])
def test_more_than_100_failures_stop_the_stream(drift: Drift, connector: Connector, count: int) -> None:
    """The state holds up to 100 failed children; with one more, the stream stops."""
    organization(drift, [conversation(10**12 + key, NOW - key * HOUR) for key in range(1, 161)])
    failing = [10**12 + key for key in range(21, 21 + count)]
    for key in failing:
        drift.answers(path_of("messages", key), BROKEN)
    outcome = read_fast(connector, {})
    assert outcome.status("messages") == "INCOMPLETE"
    assert max(len(json.dumps(state)) for state in outcome.states("messages")) <= 2000
    if count == 100:
        assert sorted(saved(outcome)[1]) == failing
        assert outcome.error("messages").message.startswith("100 of the conversations could not be read")
        assert len(outcome.keys("messages")) == 60
    else:
        messages = {error.message.partition(".")[0] for error in outcome.errors}
        assert messages == {"More than 100 conversations could not be read"}
        floor, unread = saved(outcome)
        unnoted = [key for key in failing if key not in unread and NOW - (key - 10**12) * HOUR < floor]
        assert unnoted == []


def test_a_kill_loses_nothing(drift: Drift, connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """From each printed state, the next sync reads everything that was not delivered before that state."""
    monkeypatch.setattr(ConcurrentPerPartitionCursor, "_throttle_state_message", lambda _: drift.clock.now)
    # At most a hundred are in progress at once, so with over two hundred there is always a state in between.
    organization(drift, hourly(210))
    # 500 and 501 failed in an earlier sync; 501 can be read now.
    readable(drift, 500, 501)
    failing = (500, 1, 20, 80, 209)
    for key in failing:
        drift.answers(path_of("messages", key), BROKEN)
    outcome = read_fast(connector, since(NOW - 300 * HOUR, [500, 501]))
    delivered: set[int] = set()
    states: list[tuple[dict[str, Any], set[int]]] = []
    for message in outcome.output.get_message_iterator():
        if message.type == Type.RECORD:
            delivered.add(message.record.data["id"])
        if message.type == Type.STATE:
            state = AirbyteMessageSerializer.dump(message)["state"]["stream"]["stream_state"]
            # Of equal states, the first one has the fewest records before it.
            if not states or states[-1][0] != state:
                states.append((state, set(delivered)))
    assert len(states) >= 2
    wanted = {*range(1, 211), 500, 501}
    assert delivered == wanted - {*failing}
    readable(drift, *failing)
    for state, before in states[:: max(1, len(states) // 2)] + states[-1:]:
        drift.requests.clear()
        after = read_fast(connector, state)
        assert wanted - before - {*after.keys("messages")} == set(), state["parent_state"]
        assert saved(after) == (NOW - HOUR, [])


# Failed lists


@pytest.mark.parametrize("broken", [Answer({"error": "x"}, 403), Answer(b"", 500), HTML, requests.ConnectionError])
def test_list_that_fails_keeps_the_state(drift: Drift, connector: Connector, broken: Any) -> None:
    """If the second page of the list fails, the floor and the retry list do not change."""
    first = {"data": [conversation(1, NOW - HOUR)], "links": {"next": f"{LIST}?page_token=1"}}
    listed(drift, lambda number: broken if number else first)
    readable(drift, 1)
    outcome = connector.read("messages", state=since(NOW - DAY, [9]))
    assert (outcome.status("messages"), outcome.records("messages")) == ("INCOMPLETE", [])
    assert saved(outcome) == (NOW - DAY, [9])


# Deleted rows


@pytest.mark.parametrize(
    ("stream", "answer"),
    [
        *[("messages", answer) for answer in GONE],
        *[("conversation_details", answer) for answer in GONE_RECORDS],
        *[("contacts", answer) for answer in (GONE[0], GONE_RECORDS[0])],
    ],
    ids=str,
)
def test_deleted_child_is_skipped(drift: Drift, connector: Connector, stream: str, answer: Any) -> None:
    """A child that was deleted after it was listed is skipped and logged, and the state moves on."""
    organization(drift, hourly(3))
    drift.answers(path_of(stream, 2), answer)
    outcome = connector.read(stream, state={})
    assert_read(outcome, [1, 3], stream)
    assert saved(outcome, stream) == (NOW - HOUR, [])
    [line] = [line for line in outcome.logs("INFO") if "skipped" in line]
    assert line.startswith(f"{stream}: skipped a deleted record. Drift answered GET {path_of(stream, 2)} ")


def test_many_deleted_children_are_a_warning(drift: Drift, connector: Connector) -> None:
    """If an organization purges old contacts, the stream succeeds and logs how many are gone."""
    organization(drift, hourly(60))
    for key in range(11, 61):
        drift.answers(path_of("contacts", key), NOT_FOUND)
    outcome = read_fast(connector, {}, "contacts")
    assert_read(outcome, range(1, 11), "contacts")
    assert "contacts: 50 of 60 no longer exist in Drift." in outcome.logs("WARN")


@pytest.mark.parametrize("stream", CHILDREN)
def test_all_children_deleted_is_an_error(drift: Drift, connector: Connector, stream: str) -> None:
    """If Drift returns 404 for all listed rows, the stream fails and the floor does not change."""
    organization(drift, hourly(60))
    for key in range(1, 61):
        drift.answers(path_of(stream, key), NOT_FOUND)
    outcome = read_fast(connector, {}, stream)
    assert outcome.status(stream) == "INCOMPLETE", outcome.summary
    [error] = outcome.errors
    assert re.fullmatch(r"Drift returned 404 for all 60 \w+. Check the scopes of the token.", error.message), (
        error.message
    )
    assert saved(outcome, stream)[0] < NOW - 60 * HOUR


# Keys


def test_contact_of_several_conversations_is_read_once(drift: Drift, connector: Connector) -> None:
    """A contact is requested once, with the newest of its conversations; a missing contact is not requested."""
    rows = [conversation(key, NOW - key * HOUR, contact) for key, contact in [(1, 7), (3, 8), (4, 7)]]
    listed(drift, [*rows, {"id": 2, "updatedAt": NOW - 5 * HOUR}, conversation(5, NOW - 6 * HOUR, 0)])
    readable(drift, 7, 8)
    assert [key for key, *_ in steps(drift, connector, "contacts")] == [8, 7]
    drift.requests.clear()
    assert_read(connector.read("contacts", state={}), [7, 8], "contacts")
    assert sorted(asked_for(drift, "contacts")) == [7, 8]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("7", "7"),
        (7.0, "7"),
        (2**60, str(2**60)),
        ("abc-DEF_9", "abc-DEF_9"),
        ("a/b?c", "a%2Fb%3Fc"),
        *[(key, None) for key in (None, 0, -1, "", False)],
    ],
    ids=repr,
)
def test_key_is_one_segment_of_a_path(drift: Drift, connector: Connector, key: Any, path: str | None) -> None:
    """A key is one escaped path segment, and an invalid contact ID is not requested."""
    listed(drift, [{"id": 1, "updatedAt": NOW - HOUR, "contactId": key}])
    drift.answers(f"/contacts/{path}", {"data": {"id": 7}})
    assert_read(connector.read("contacts", state={}), [7] if path else [], "contacts")
    assert [urlsplit(str(request.url)).path for request in drift.requests[1:]] == [f"/contacts/{path}"] * bool(path)


# One list for all


@pytest.mark.parametrize(
    ("streams", "most"), [(["conversations", *CHILDREN], 2), (CHILDREN, 1)], ids=["all", "children"]
)
def test_list_is_shared(drift: Drift, connector: Connector, streams: list[str], most: int) -> None:
    """Children share the pages of one read; the conversations, which are read at the same time, may request them too.

    Each stream requests the first page once more.
    """
    organization(drift, hourly(4), size=2)
    outcome = connector.read(*streams)
    for stream in streams:
        assert_read(outcome, [1, 2, 3, 4], stream)
    tokens = [query["page_token"] for query in drift.queries(LIST)]
    assert 1 <= tokens.count("1") <= most, tokens
    assert tokens.count("") <= most + len(streams), tokens


def test_children_need_no_selected_parent(drift: Drift, connector: Connector) -> None:
    """If conversations are not selected, the children still share the list, and none of its rows is emitted."""
    organization(drift, hourly(1))
    outcome = connector.read(*CHILDREN)
    for stream in CHILDREN:
        assert_read(outcome, [1], stream)
    assert len(drift.queries(LIST)) == 1
    assert outcome.records("conversations") == []


@pytest.mark.parametrize("bad", [HTML, EMPTY, Answer({"error": "x"}), Answer({"data": None})], ids=str)
@pytest.mark.parametrize("streams", [["conversations", *CHILDREN], CHILDREN], ids=["all", "children"])
def test_bad_200_of_the_list_is_not_cached(drift: Drift, connector: Connector, streams: list[str], bad: Answer) -> None:
    """After a bad response, the first stream and all others request the page from Drift again."""
    readable(drift, 1)
    drift.answers(LIST, bad, {"data": [conversation(1, NOW - HOUR)]})
    outcome = connector.read(*streams)
    for stream in streams:
        assert_read(outcome, [1], stream)
    # One more if another stream found the bad response in the cache and requested the page from Drift, too.
    assert len(drift.queries(LIST)) <= 1 + len(streams)


def test_child_with_an_older_state_reads_the_first_page_again(drift: Drift, connector: Connector) -> None:
    """A child with an older state reads beyond the cached pages, and finds conversations that moved meanwhile."""
    pages = [
        [conversation(1, NOW - HOUR), conversation(2, NOW - 2 * HOUR)],
        [conversation(3, NOW - 50 * HOUR), conversation(4, NOW - 51 * HOUR)],
        [conversation(5, NOW - 90 * HOUR), conversation(6, NOW - 91 * HOUR)],
    ]
    readable(drift, *range(1, 7))

    def page(number: int) -> Any:
        if number == 2 and pages[2][-1]["id"] == 6:
            # During the request for the third page, its last conversation moves to the top.
            pages[2].pop()
            pages[0].insert(0, conversation(6, NOW + 100))
        following = f"{LIST}?page_token={number + 1}" if number < 2 else None
        return {"data": pages[number], "links": {"next": following}}

    listed(drift, page)
    states = {"conversations": {STATE: str(NOW - DAY)}, "messages": since(NOW - 60 * DAY)}
    outcome = connector.read("conversations", "messages", states=states)
    # The conversations are listed at the same time, and may see the move or not.
    assert set(outcome.keys("conversations")) - {6} == {1, 2}
    assert_read(outcome, [1, 2, 3, 4, 5, 6])
