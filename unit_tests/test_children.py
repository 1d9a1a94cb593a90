"""What hangs on the conversations is read oldest first, and no conversation is left out for good, whatever fails."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from airbyte_cdk.test.state_builder import StateBuilder

import components
from unit_tests.conftest import (
    CHILDREN,
    DAY,
    EMPTY,
    HOUR,
    HTML,
    MINUTE,
    NOW,
    STREAMS,
    Answer,
    Connector,
    Drift,
    Outcome,
    config,
)

LIST = "/conversations/list"
STATE = "updatedAt"


def conversation(key: Any, updated: Any, contact: Any = None) -> dict[str, Any]:
    return {"id": key, "updatedAt": updated, "contactId": contact}


def hourly(count: int) -> list[dict[str, Any]]:
    """Conversations 1 to `count`, newest first, an hour apart."""
    return [conversation(key, NOW - key * HOUR, 10_000 + key) for key in range(1, count + 1)]


def listed(drift: Drift, rows: list[dict[str, Any]] | Callable[[int], Any], size: int = 50) -> None:
    """Answers the list in pages of `size`, or by a function of the number of the page."""

    def answer(request: requests.PreparedRequest) -> Any:
        number = int(dict(parse_qsl(urlsplit(request.url).query)).get("page_token") or 0)
        if callable(rows):
            return rows(number)
        following = f"{LIST}?page_token={number + 1}" if (number + 1) * size < len(rows) else None
        return {"data": rows[number * size : (number + 1) * size], "links": {"next": following}}

    drift.answers(LIST, answer)


def readable(drift: Drift, *keys: Any) -> None:
    """Answers each conversation with one message and with itself, and the contact of the same key."""
    for key in keys:
        drift.answers(f"/conversations/{key}/messages", {"data": {"messages": [{"id": key, "createdAt": NOW - DAY}]}})
        drift.answers(f"/conversations/{key}", {"data": {"id": key, "updatedAt": NOW - DAY}})
        drift.answers(f"/contacts/{key}", {"data": {"id": key, "createdAt": NOW - DAY}})


def organisation(drift: Drift, rows: list[dict[str, Any]], size: int = 50) -> None:
    listed(drift, rows, size)
    readable(drift, *[row["id"] for row in rows])


def since(moment: Any, **more: Any) -> dict[str, Any]:
    """A state of a child as the connector writes it."""
    return {"use_global_cursor": True, "lookback_window": 0, "parent_state": {"conversations": {STATE: moment}}, **more}


def floor(outcome: Outcome, stream: str = "messages") -> int:
    return int(outcome.state(stream)["parent_state"]["conversations"][STATE])


def asked_for(drift: Drift) -> set[str]:
    """The conversations whose messages were asked for."""
    return {urlsplit(request.url).path.split("/")[2] for request in drift.requests if "/messages" in str(request.url)}


def assert_read(outcome: Outcome, keys: Iterable[int], stream: str = "messages") -> None:
    assert (outcome.status(stream), outcome.errors) == ("COMPLETE", []), outcome.summary
    assert sorted(outcome.keys(stream)) == sorted(keys)


def router_of(connector: Connector, stream: str = "messages", state: Any = None) -> Any:
    """The partition router that the manifest builds, with a saved state."""
    saved = StateBuilder().with_stream_state(stream, state).build() if state else []
    [built] = [found for found in connector.source(config(), state=saved).streams({}) if found.name == stream]
    return built.cursor._partition_router


def steps(router: Any, read_early: int = 0) -> list[tuple[Any, int]]:
    """Each key in the order in which it is read, and the floor that holds once it is."""
    router.read_early = read_early
    # Nobody reads here what the router hands out, and it need not wait for that.
    with patch.object(components.Health, "LONGEST_WAIT", 0):
        return [
            (next(iter(step.partition.values())), int(router.get_stream_state()["conversations"][STATE]))
            for step in router.stream_slices()
        ]


# The order, and the floor


@pytest.mark.parametrize("stream", CHILDREN)
def test_oldest_is_read_first(drift: Drift, connector: Connector, stream: str) -> None:
    """The whole list, over its pages, is turned round before anything of it is read."""
    listed(drift, hourly(120))
    first = 10_000 if stream == "contacts" else 0
    assert [key for key, _ in steps(router_of(connector, stream))] == [first + key for key in range(120, 0, -1)]


def test_floor_never_lies_above_what_is_unread(drift: Drift, connector: Connector) -> None:
    """Whatever is older than the floor was yielded before, also where many conversations share one millisecond."""
    rows = hourly(250)
    for row in rows[80:180]:  # around the second and the third floor, and at their end
        row[STATE] = NOW - 130 * HOUR
    listed(drift, sorted(rows, key=lambda row: -row[STATE]))
    router, times, read = router_of(connector), {row["id"]: row[STATE] for row in rows}, set()
    for key, lowest in steps(router):
        read.add(key)
        missing = {other for other, time in times.items() if time < lowest} - read
        assert not missing, (key, lowest, missing)
    assert read == set(times)
    assert int(router.get_stream_state()["conversations"][STATE]) == NOW - HOUR


def test_floor_moves_every_fifty_and_at_the_end(drift: Drift, connector: Connector) -> None:
    """The floor is that of every fiftieth conversation, so that a long first sync can go on, and of the last one."""
    listed(drift, hourly(125))
    floors = [lowest for _, lowest in steps(router_of(connector))]
    assert floors == [
        *[NOW - 125 * HOUR] * 50,
        *[NOW - 75 * HOUR] * 50,
        *[NOW - 25 * HOUR] * 24,
        NOW - HOUR,
    ]


def test_conversations_that_share_the_floor_come_again(drift: Drift, connector: Connector) -> None:
    """One of the very millisecond of the floor may not have been read: the next sync reads all of them."""
    organisation(drift, [conversation(key, NOW - DAY) for key in (3, 2, 1)])
    state = connector.read("messages", state={}).state("messages")
    assert_read(connector.read("messages", state=state), [1, 2, 3])


@pytest.mark.parametrize("odd", [None, "soon"])
def test_conversation_without_a_time_is_read_first_and_moves_nothing(
    drift: Drift, connector: Connector, odd: Any
) -> None:
    """A conversation whose update cannot be read is never old, never left out, and no state."""
    listed(drift, [conversation(3, NOW - HOUR), conversation(2, odd), conversation(1, NOW - 2 * HOUR)])
    assert steps(router_of(connector, state=since(str(NOW - DAY)))) == [
        (2, NOW - DAY),
        (1, NOW - DAY),
        (3, NOW - HOUR),
    ]


def test_conversation_that_lacks_its_time_is_read(drift: Drift, connector: Connector) -> None:
    """So is one that has no `updatedAt` at all."""
    listed(drift, [{"id": 1}, conversation(2, NOW - HOUR)])
    assert [key for key, _ in steps(router_of(connector, state=since(str(NOW - DAY))))] == [1, 2]


def test_conversation_without_a_time_leaves_the_floor_at_the_start(drift: Drift, connector: Connector) -> None:
    """Where no conversation has a time the floor stays at the very millisecond of the start."""
    organisation(drift, [conversation(1, None)])
    outcome = connector.read("messages", config=config(start_date="1970-01-01"), state={})
    assert_read(outcome, [1])
    assert floor(outcome) == 0


def test_look_back_does_not_lower_the_floor(drift: Drift, connector: Connector) -> None:
    """What lies in the ten minutes before the state is read again, and the state stays."""
    organisation(drift, [conversation(1, NOW - DAY - 5 * MINUTE)])
    outcome = connector.read("messages", state=since(str(NOW - DAY)))
    assert_read(outcome, [1])
    assert {floor(outcome)} == {NOW - DAY}


def test_conversation_on_two_pages_is_read_once(drift: Drift, connector: Connector) -> None:
    """A conversation that the list shows twice is asked for once, by its newest update."""
    rows = [conversation(1, NOW - HOUR), conversation(2, NOW - 2 * HOUR), conversation(1, NOW - 3 * HOUR)]
    listed(drift, rows, size=2)
    assert steps(router_of(connector)) == [(2, NOW - 2 * HOUR), (1, NOW - HOUR)]


def test_health_of_the_stream_begins_with_its_list(
    drift: Drift, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever notes how the requests went finds the health by the config and the name of the stream."""
    monkeypatch.setattr(components, "HEALTH", {})
    listed(drift, hourly(1))
    router = router_of(connector)
    assert len(steps(router)) == 1
    assert list(components.HEALTH) == [(id(router.config), "messages")]


# What is read while the list is still walked


def test_first_sync_reads_while_it_lists(drift: Drift, connector: Connector) -> None:
    """As many as may wait for an answer are read early, but the newest fifty; then the others, oldest first."""
    listed(drift, hourly(150))
    router = router_of(connector)
    with patch.object(components.Health, "LONGEST_WAIT", 0):
        pages = [(step.partition["conversation_id"], len(drift.requests)) for step in router.stream_slices()]
    early = range(51, 51 + components.Health.FIRST)
    others = [key for key in range(150, 0, -1) if key not in early]
    # The third page names no other one; what closes the walk finds nothing new on its first page.
    assert pages == [*[(key, 2) for key in early], *[(key, 4) for key in others]]


def test_answers_make_room_for_more(drift: Drift, connector: Connector) -> None:
    """Each answer lets another conversation be read early."""
    listed(drift, hourly(300))
    router = router_of(connector)
    assert [key for key, _ in answered(router)] == [*range(51, 301), *range(50, 0, -1)]


def answered(router: Any) -> Iterator[tuple[Any, int]]:
    """Each key in the order in which it is read, and the floor that holds once it is; each is answered at once."""
    for step in router.stream_slices():
        components.HEALTH[id(router.config), "messages"].note(succeeded=True)
        yield step.partition["conversation_id"], int(router.get_stream_state()["conversations"][STATE])


def test_what_was_read_early_is_waited_for(drift: Drift, connector: Connector) -> None:
    """Where nothing is answered, no more are handed out than without it."""
    listed(drift, hourly(200))
    router = router_of(connector)
    steps = router.stream_slices()
    assert [next(steps).partition["conversation_id"] for _ in range(components.Health.FIRST)] == list(range(51, 76))
    health = components.HEALTH[id(router.config), "messages"]
    with patch.object(health._changed, "wait", side_effect=InterruptedError), pytest.raises(InterruptedError):
        next(steps)


@pytest.mark.parametrize(
    ("read_early", "settings", "count"),
    [
        (0, {"max_requests_per_second": 35}, 0),
        (1, {"max_requests_per_second": 1}, 1),
        (3, {"max_requests_per_second": 5}, 15),
        (1, {}, 35),
    ],
)
def test_no_more_are_read_early_than_in_so_many_seconds(
    drift: Drift, connector: Connector, read_early: int, settings: dict[str, Any], count: int
) -> None:
    """What would come again after a kill is bounded."""
    listed(drift, hourly(100))
    router = router_of(connector)
    router.config = {**router.config, **settings}
    router.read_early = read_early
    keys = [key for key, _ in answered(router)]
    early = range(51, 51 + count)
    assert keys == [*early, *[key for key in range(100, 0, -1) if key not in early]]


@pytest.mark.parametrize(("state", "early"), [(None, 25), ({"use_global_cursor": True}, 0)], ids=["first", "goes on"])
def test_long_list_shows_that_it_is_alive(drift: Drift, connector: Connector, state: Any, early: int) -> None:
    """Beyond that, one of every thousand listed is read early, since Airbyte ends a sync that is silent for long."""
    listed(drift, hourly(2100))
    router = router_of(connector, state=state)
    router.read_early = 5
    router.config = {**router.config, "max_requests_per_second": 5}
    components.GOES_ON[id(router.config), "messages"] = bool(state)
    keys = answered(router)
    expected = [*range(51, 51 + early), 1000, 2000, 2100]
    assert [next(keys)[0] for _ in expected] == expected


def test_what_goes_on_from_a_state_reads_nothing_early(drift: Drift, connector: Connector) -> None:
    """A failure among them would hold up the floor: only the first sync may take that risk, and a state ends it."""
    listed(drift, hourly(100))
    router = router_of(connector, state={"use_global_cursor": True, "lookback_window": 0})
    assert [key for key, _ in steps(router, 10)] == list(range(100, 0, -1))
    assert steps(router_of(connector), 10)[0][0] == 51


def test_floor_stays_while_it_lists(drift: Drift, connector: Connector) -> None:
    """What is read early moves no floor, and the floors that follow pass over it."""
    listed(drift, hourly(75))
    begin = int(router_of(connector).get_stream_state()["conversations"][STATE])
    assert steps(router_of(connector), 25) == [
        *[(key, begin) for key in range(51, 76)],
        *[(key, NOW - 50 * HOUR) for key in range(50, 1, -1)],
        (1, NOW - HOUR),
    ]


def test_what_is_updated_after_it_was_read_early_comes_with_the_next_sync(drift: Drift, connector: Connector) -> None:
    """The floor does not pass the newest conversation that was listed before the first one was read early."""
    rows, moved = hourly(150), [conversation(60, NOW - 30 * MINUTE), conversation(1, NOW)]
    organisation(drift, [*rows[:100], *moved, *rows[100:]])
    *_, last = answered(router_of(connector))
    assert last == (1, NOW - HOUR)
    first = connector.read("messages", state={})
    assert_read(first, range(1, 151))
    assert floor(first) == NOW - HOUR
    drift.requests.clear()
    unmoved = [row for row in rows if row["id"] not in (1, 60)]
    organisation(drift, [*reversed(moved), *unmoved])
    assert_read(connector.read("messages", state=first.state("messages")), [1, 60])


def test_failure_of_what_was_read_early_costs_one_sync(drift: Drift, connector: Connector) -> None:
    """It keeps the first sync from saving a floor; the next one goes as far as it can, and fails on its own account."""
    organisation(drift, hourly(200))
    drift.answers("/conversations/60/messages", Answer(b"", 418))
    first = connector.read("messages", state={}, config=config(max_requests_per_second=50))
    assert (first.status("messages"), len(first.keys("messages"))) == ("INCOMPLETE", 199), first.summary
    assert floor(first) == 0
    drift.requests.clear()
    second = connector.read("messages", state=first.state("messages"), config=config(max_requests_per_second=50))
    assert (second.status("messages"), len(second.keys("messages"))) == ("INCOMPLETE", 199), second.summary
    assert floor(second) == NOW - 100 * HOUR
    drift.requests.clear()
    readable(drift, 60)
    third = connector.read("messages", state=second.state("messages"), config=config(max_requests_per_second=50))
    assert_read(third, range(1, 101))


# Syncs in a row


@pytest.mark.parametrize("stream", CHILDREN)
def test_second_sync_reads_what_changed(drift: Drift, connector: Connector, stream: str) -> None:
    """A second sync reads all of each conversation that changed since the first one, and nothing of the others."""
    rows = [conversation(key, NOW - key * HOUR, key) for key in range(1, 6)]
    organisation(drift, rows)
    first = connector.read(stream, state={})
    assert_read(first, [1, 2, 3, 4, 5], stream)
    drift.clock.now += 3600
    changed = [conversation(5, NOW + MINUTE, 5), *rows[:4]]
    listed(drift, changed)
    drift.requests.clear()
    second = connector.read(stream, state=first.state(stream))
    assert_read(second, [1, 5], stream)
    assert floor(second, stream) == NOW + MINUTE
    third = connector.read(stream, state=second.state(stream))
    assert_read(third, [5], stream)


def test_full_refresh_reads_everything(drift: Drift, connector: Connector) -> None:
    """A full refresh reads every conversation."""
    organisation(drift, hourly(60))
    assert_read(connector.read("messages"), range(1, 61))


def test_start_date_is_that_of_the_conversations(drift: Drift, connector: Connector) -> None:
    """Conversations last updated before the start date are left out with what hangs on them; old messages are not."""
    organisation(drift, [conversation(2, NOW - HOUR), conversation(1, NOW - 30 * DAY)])
    drift.answers("/conversations/2/messages", {"data": {"messages": [{"id": 7, "createdAt": NOW - 90 * DAY}]}})
    outcome = connector.read("messages", config=config(start_date="2026-01-14T00:00:00Z"), state={})
    assert_read(outcome, [7])


@pytest.mark.parametrize("ahead", [NOW + DAY, 4_102_444_799_999])
@pytest.mark.parametrize("stream", CHILDREN)
def test_child_that_is_dated_ahead_hides_nothing(drift: Drift, connector: Connector, stream: str, ahead: int) -> None:
    """Times of the rows decide nothing: a state of theirs beyond every clock still reads what changed."""
    organisation(drift, [conversation(2, NOW - HOUR, 2), conversation(1, NOW - 3 * DAY, 1)])
    cursor = "updatedAt" if stream == "conversation_details" else "createdAt"
    outcome = connector.read(stream, state=since(str(NOW - DAY), state={cursor: str(ahead)}))
    assert_read(outcome, [2], stream)


def test_conversation_dated_ahead_does_not_move_the_floor_past_the_clock(drift: Drift, connector: Connector) -> None:
    """A conversation dated ahead is read, and what is updated until then comes with the next sync."""
    ahead = conversation(1, NOW + DAY)
    organisation(drift, [ahead, conversation(2, NOW - HOUR)])
    first = connector.read("messages", state={})
    assert_read(first, [1, 2])
    assert floor(first) == NOW + 999
    drift.clock.now += 3600
    organisation(drift, [ahead, conversation(3, NOW + 30 * MINUTE), conversation(2, NOW - HOUR)])
    second = connector.read("messages", state=first.state("messages"))
    assert_read(second, [1, 3])


# Failure


def test_child_that_fails_is_read_by_the_next_sync(drift: Drift, connector: Connector) -> None:
    """A conversation that fails in the middle keeps the floor below it, and two syncs together miss nothing."""
    organisation(drift, hourly(200))
    drift.answers("/conversations/80/messages", Answer(b"", 418))
    state = since(str(NOW - 300 * HOUR))
    first = connector.read("messages", state=state, config=config(max_requests_per_second=50))
    assert first.status("messages") == "INCOMPLETE", first.summary
    assert first.error("messages").message == "Drift answered GET /conversations/80/messages with HTTP 418."
    # 200 to 151, 150 to 101 and 100 to 51 are fifty each; the floor of the third fifty is that of its first one.
    assert floor(first) == NOW - 100 * HOUR
    readable(drift, 80)
    drift.requests.clear()
    second = connector.read("messages", state=first.state("messages"), config=config(max_requests_per_second=50))
    assert_read(second, range(1, 101))
    assert {*first.keys("messages"), *second.keys("messages")} == set(range(1, 201))
    assert floor(second) == NOW - HOUR


def test_every_sync_that_fails_keeps_what_it_did(drift: Drift, connector: Connector) -> None:
    """The very first conversation that fails leaves the state where it was."""
    organisation(drift, hourly(3))
    drift.answers("/conversations/3/messages", Answer(b"", 418))
    outcome = connector.read("messages", state=since(str(NOW - DAY)))
    assert outcome.status("messages") == "INCOMPLETE"
    assert floor(outcome) <= NOW - 3 * HOUR, outcome.states("messages")


@pytest.mark.parametrize("broken", [Answer(b"", 403), Answer(b"", 500), HTML, requests.ConnectionError, {"data": {}}])
def test_list_that_fails_keeps_the_state(drift: Drift, connector: Connector, broken: Any) -> None:
    """A list that breaks off on its second page leaves the floor where it was, and nothing is asked for."""
    first = {"data": [conversation(1, NOW - HOUR)], "links": {"next": f"{LIST}?page_token=1"}}
    listed(drift, lambda number: broken if number else first)
    readable(drift, 1)
    outcome = connector.read("messages", state=since(str(NOW - DAY)))
    assert (outcome.status("messages"), outcome.records("messages")) == ("INCOMPLETE", [])
    assert {floor(outcome)} == {NOW - DAY}
    assert asked_for(drift) == set()


def test_conversation_that_is_gone_lets_the_others_come(drift: Drift, connector: Connector) -> None:
    """A conversation that was deleted after it was listed is skipped, with a line in the log, and the state goes on."""
    organisation(drift, hourly(3))
    drift.answers("/conversations/2/messages", Answer({"error": "not_found"}, 404))
    outcome = connector.read("messages", state={})
    assert_read(outcome, [1, 3])
    assert floor(outcome) == NOW - HOUR
    assert [line for line in outcome.logs("INFO") if "404" in line] == [
        "messages: skipped 2, which Drift does not know any more (HTTP 404)."
    ]


# Keys


def test_contact_of_several_conversations_is_read_once(drift: Drift, connector: Connector) -> None:
    """A contact is asked for once, by the newest of its conversations, and one who is not named not at all."""
    rows = [(1, 7), (2, None), (3, 8), (4, 7)]
    listed(drift, [conversation(key, NOW - key * HOUR, contact) for key, contact in rows])
    readable(drift, 7, 8)
    outcome = connector.read("contacts", state={})
    assert_read(outcome, [7, 8], "contacts")
    assert [key for key, _ in steps(router_of(connector, "contacts"))] == [8, 7]
    assert len(drift.asked("/contacts/7")) == 1


def test_conversations_without_any_contact_are_no_error(drift: Drift, connector: Connector) -> None:
    """Where no conversation names a contact there is none, and the sync is COMPLETE."""
    listed(drift, [conversation(1, NOW - HOUR), {"id": 2, "updatedAt": NOW - 2 * HOUR}])
    assert_read(connector.read("contacts", state={}), [], "contacts")


@pytest.mark.parametrize("key", ["7", "abc-DEF_9", 0, 2**60, -1])
def test_key_of_letters_and_digits_is_asked_for(drift: Drift, connector: Connector, key: Any) -> None:
    """A key that can stand in a path is asked for as it is, number or text."""
    listed(drift, [conversation(1, NOW - HOUR, key)])
    drift.answers(f"/contacts/{key}", {"data": {"id": 7}})
    assert_read(connector.read("contacts", state={}), [7], "contacts")


@pytest.mark.parametrize(
    "key", ["../x", "a/b", "a?b", "a b", "a\n", "", "é", 1.5, [1], {"id": 1}, True, False, "a" * 101], ids=repr
)
def test_key_that_cannot_stand_in_a_path_is_refused(drift: Drift, connector: Connector, key: Any) -> None:
    """A key that would lead elsewhere is an error in words, and nothing is asked for."""
    listed(drift, [conversation(1, NOW - HOUR, key)])
    outcome = connector.read("contacts", state={})
    assert outcome.status("contacts") == "INCOMPLETE", outcome.summary
    assert outcome.error("contacts").message == (
        "Drift listed a conversation with a contactId that cannot be asked for."
    )
    assert {urlsplit(request.url).path for request in drift.requests} == {LIST}


@pytest.mark.parametrize("row", [{"updatedAt": NOW}, conversation(None, NOW)], ids=str)
@pytest.mark.parametrize("stream", CHILDREN)
def test_conversation_without_an_id_is_refused(drift: Drift, connector: Connector, stream: str, row: Any) -> None:
    """A conversation that nobody can ask for is an error: what hangs on it would be missed without a word."""
    listed(drift, [row])
    outcome = connector.read(stream, state={})
    assert outcome.error(stream).message == "Drift listed a conversation without an id, so nothing can be read of it."


# One list for all


def walks_of(drift: Drift) -> int:
    """How often the list was begun."""
    return len([query for query in drift.queries(LIST) if query["page_token"] == ""])


def test_list_is_asked_for_once(drift: Drift, connector: Connector) -> None:
    """Conversations and all that hangs on them share the pages of one walk, and the closing one."""
    rows = [conversation(key, NOW - key * HOUR, key) for key in range(1, 5)]
    organisation(drift, rows, size=2)
    outcome = connector.read("conversations", *CHILDREN)
    for stream in ("conversations", *CHILDREN):
        assert_read(outcome, [1, 2, 3, 4], stream)
    assert [query["page_token"] for query in drift.queries(LIST)] == ["", "1", "", "1"][: len(drift.queries(LIST))]
    assert (walks_of(drift), len(drift.queries(LIST))) in ((2, 3), (2, 4))


def test_children_need_no_selected_parent(drift: Drift, connector: Connector) -> None:
    """Where the conversations are not selected the children share the list all the same, and no row of it comes."""
    organisation(drift, [conversation(1, NOW - HOUR, 1)])
    outcome = connector.read(*CHILDREN)
    for stream in CHILDREN:
        assert_read(outcome, [1], stream)
    assert len(drift.queries(LIST)) == 1
    assert outcome.records("conversations") == []


def test_size_of_the_list_is_told_once(drift: Drift, connector: Connector) -> None:
    """Somebody who looks at the log of a long first sync sees once how much there is to read."""
    listed(drift, [*hourly(5), conversation(6, NOW - 6 * HOUR, 10_001)])
    for key in range(10_001, 10_006):
        readable(drift, key)
    told = [line for line in connector.read("contacts", state={}).logs("INFO") if "to read" in line]
    assert told == ["contacts: 6 conversations to read, oldest first, in 5 requests or more."]


def test_state_does_not_grow_with_the_conversations(drift: Drift, connector: Connector) -> None:
    """The state of three hundred conversations is one floor, and not a state for each."""
    organisation(drift, hourly(300))
    outcome = connector.read("messages", state={}, config=config(max_requests_per_second=50))
    assert_read(outcome, range(1, 301))
    assert max(len(json.dumps(state)) for state in outcome.states("messages")) <= 2000
    assert outcome.state("messages")["use_global_cursor"] is True


# The cache of the list


@pytest.mark.parametrize("bad", [HTML, EMPTY, Answer({"error": "x"}), Answer({"data": None})], ids=str)
@pytest.mark.parametrize("streams", [["conversations", *CHILDREN], CHILDREN], ids=["all", "children"])
def test_bad_200_of_the_list_is_not_kept(drift: Drift, connector: Connector, streams: list[str], bad: Answer) -> None:
    """A bad answer is asked for again at Drift, and not found in the cache, by the first stream and by all others."""
    readable(drift, 1)
    drift.answers(LIST, bad, {"data": [conversation(1, NOW - HOUR, 1)]})
    outcome = connector.read(*streams)
    for stream in streams:
        assert_read(outcome, [1], stream)
    # One more where the cache still held the bad answer for another stream, which then asked Drift as well.
    assert len(drift.queries(LIST)) <= 1 + len(streams)


def test_closing_walk_is_asked_at_drift(drift: Drift, connector: Connector) -> None:
    """What moved to the head while the list was read is found by the second walk, and its messages come."""
    first, moved = conversation(1, NOW - HOUR), conversation(2, NOW + 100)
    readable(drift, 1, 2)
    walks = [[[first], []], [[moved, first], []]]
    listed_now: list[Any] = []

    def page(number: int) -> Any:
        if number == 0:
            listed_now[:] = walks.pop(0) if len(walks) > 1 else walks[0]
        following = f"{LIST}?page_token=1" if number == 0 else None
        return {"data": listed_now[number], "links": {"next": following}}

    listed(drift, page)
    assert_read(connector.read("messages", state={}), [1, 2])


def test_child_that_reads_on_makes_its_own_closing_walk(drift: Drift, connector: Connector) -> None:
    """A child with an older state reads on behind the pages of the cache, and looks for what moved meanwhile itself."""
    pages = [
        [conversation(1, NOW - HOUR), conversation(2, NOW - 2 * HOUR)],
        [conversation(3, NOW - 50 * HOUR), conversation(4, NOW - 51 * HOUR)],
        [conversation(5, NOW - 90 * HOUR), conversation(6, NOW - 91 * HOUR)],
    ]
    readable(drift, *range(1, 7))

    def page(number: int) -> Any:
        if number == 2 and pages[2][-1]["id"] == 6:
            # While the third page is asked for, the last conversation of it moves to the head.
            pages[2].pop()
            pages[0].insert(0, conversation(6, NOW + 100))
        following = f"{LIST}?page_token={number + 1}" if number < 2 else None
        return {"data": pages[number], "links": {"next": following}}

    listed(drift, page)
    states = {"conversations": {STATE: str(NOW - DAY)}, "messages": since(str(NOW - 60 * DAY))}
    outcome = connector.read("conversations", "messages", states=states)
    assert_read(outcome, [1, 2], "conversations")
    assert_read(outcome, [1, 2, 3, 4, 5, 6])


def test_state_of_a_usual_substream_is_gone_on_from(drift: Drift, connector: Connector) -> None:
    """A state as the CDK's own router writes it, with a state for each partition, goes on from its parent's."""
    organisation(drift, [conversation(2, NOW - HOUR), conversation(1, NOW - 3 * DAY)])
    state = {
        "use_global_cursor": False,
        "states": [{"partition": {"conversation_id": 1, "parent_slice": {}}, "cursor": {"createdAt": str(NOW - DAY)}}],
        "parent_state": {"conversations": {STATE: str(NOW - DAY)}},
        "lookback_window": 3,
    }
    assert_read(connector.read("messages", state=state), [2])


def test_streams_of_conversations_are_these(resolved: dict[str, Any]) -> None:
    """These tests know all streams that hang on the conversations."""
    routed = [
        stream["name"]
        for stream in resolved["streams"]
        if "parent_stream_configs" in stream["retriever"].get("partition_router", {})
    ]
    assert routed == CHILDREN
    assert set(routed) < set(STREAMS)
