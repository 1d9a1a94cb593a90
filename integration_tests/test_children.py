"""Messages, details and contacts depend on conversations: a later sync reads only changes."""

import time
from typing import Any

import pytest

from integration_tests.connector import CHILDREN, ENDPOINTS, Run, access_token, catalog, newest_states, run
from sandbox import Drift, Fault, Options, Sandbox

LOOK_BACK = 600_000
HOUR = 3_600_000
EVERY = ("conversations", *CHILDREN)


def now() -> int:
    return int(time.time() * 1000)


def sync(
    sandbox: Sandbox, state: list[dict[str, Any]] | None = None, streams: tuple[str, ...] = EVERY, **config: Any
) -> Run:
    sandbox.journal.clear()
    modes = dict.fromkeys(streams, "incremental")
    return run("read", access_token(sandbox.url, **config), catalog(**modes), state)


def cursor(read: Run, stream: str) -> int:
    """The time from which the next sync reads a stream."""
    state = read.states(stream)[-1]
    return int((state if stream == "conversations" else state["parent_state"]["conversations"])["updatedAt"])


def asked(sandbox: Sandbox, stream: str) -> list[str]:
    """The paths of the requests for a child, one for each page."""
    path = ENDPOINTS[stream] if ENDPOINTS[stream].startswith("^") else "^/conversations/[0-9]+/messages$"
    return [request.path for request in sandbox.journal.requests(path)]


def walks(sandbox: Sandbox) -> int:
    """How often the first page of the list was requested."""
    return sum(not request.query["page_token"][0] for request in sandbox.journal.requests("/conversations/list"))


def keys_of(drift: Drift, stream: str, conversations: set[int]) -> set[Any]:
    """The rows of a stream that belong to these conversations."""
    rows = [row for row in drift.expected("conversations") if row["id"] in conversations]
    contacts = {row["contactId"] for row in rows}
    match stream:
        case "messages":
            return {row["id"] for row in drift.expected("messages") if row["conversationId"] in conversations}
        case "contacts":
            return {row["id"] for row in drift.expected("contacts") if row["id"] in contacts}
        case _:
            return {row["id"] for row in drift.expected(stream) if row["id"] in conversations}


def changed_since(drift: Drift, moment: int) -> set[int]:
    return {row["id"] for row in drift.expected("conversations") if row["updatedAt"] >= moment}


@pytest.fixture
def drift() -> Drift:
    return Drift(conversations=200, ties=40, now=now() - HOUR, messages_per_conversation=2)


class Syncs:
    """A first sync, one without changes, one after 37 changes, and one of messages only after the same changes."""

    def __init__(self) -> None:
        # The look-back counts from the newest conversation, not from the clock, so conversations in the ten minutes
        # before it are read in every sync. With 700 in three years there are rarely others, so a sync without changes
        # costs the minimum. None is in the last ten minutes, or it would be read again as a new one.
        self.drift = Drift(conversations=700, ties=200, now=now() - HOUR, contacts=300, messages_per_conversation=2)
        with Sandbox(self.drift, Options(rate_limit=None, reports_per_minute=None)) as sandbox:
            streams = (*EVERY, "conversation_metrics", "meetings")
            self.first = sync(sandbox, streams=streams)
            self.nothing = sync(sandbox, self.first.last_states(), streams)
            self.asked_for_nothing = list(sandbox.journal)
            saved = newest_states(self.first, self.nothing)
            self.changed = set(self.drift.touch_some(30))
            for conversation in list(self.changed)[:5]:
                self.drift.add_message(conversation)
            self.changed |= {self.drift.add_conversation() for _ in range(7)}
            self.second = sync(sandbox, saved, streams)
            self.asked_for_changes = {stream: set(asked(sandbox, stream)) for stream in CHILDREN}
            self.pages = sandbox.journal.count("/conversations/list")
            self.messages = sync(sandbox, saved, ("messages",))


def test_a_later_sync_reads_only_changes() -> None:
    """Of 700 conversations, 200 with the same time, a first sync reads all, a later one the changes."""
    syncs = Syncs()
    assert_first_is_whole(syncs)
    assert_nothing_costs_little(syncs)
    for stream in EVERY:
        assert cursor(syncs.nothing, stream) == cursor(syncs.first, stream), stream
        assert_what_changed_came(stream, syncs)
    assert_each_change_was_asked_for_once(syncs)
    assert_metrics_of_what_changed_came(syncs)
    assert_messages_need_no_selected_conversations(syncs)


def assert_first_is_whole(syncs: Syncs) -> None:
    """All 700 conversations, 200 of them with the same time, and all their children."""
    assert syncs.first.code == 0, syncs.first.error()
    for stream in EVERY:
        assert len(syncs.first.keys(stream)) == len(set(syncs.first.keys(stream))), stream
    before = set(syncs.first.keys("conversations"))
    assert len(before) == 700
    assert len(set(syncs.first.keys("conversation_details"))) == 700


def assert_nothing_costs_little(syncs: Syncs) -> None:
    """Without changes, each incremental stream costs five requests at most, and the list two for each."""
    assert syncs.nothing.code == 0, syncs.nothing.error()
    kinds = {"list": 0, **dict.fromkeys(CHILDREN, 0), "conversation_metrics": 0, "meetings": 0}
    for request in syncs.asked_for_nothing:
        match request.path.split("/")[1:]:
            case ["conversations", "list"]:
                kinds["list"] += 1
            case ["conversations", _, "messages"]:
                kinds["messages"] += 1
            case ["conversations", _]:
                kinds["conversation_details"] += 1
            case ["contacts", _]:
                kinds["contacts"] += 1
            case ["reports", _]:
                kinds["conversation_metrics"] += 1
            case _:
                kinds["meetings"] += 1
    # All streams use its cached pages; each of the four streams requests the first page once more.
    assert 1 <= kinds.pop("list") <= 2 * len(EVERY)
    assert all(1 <= count <= 5 for count in kinds.values()), kinds


def assert_what_changed_came(stream: str, syncs: Syncs) -> None:
    """Each changed conversation comes with all its children; others only if they are in the look-back."""
    assert syncs.second.code == 0, syncs.second.error()
    read = set(syncs.second.keys(stream))
    reach = changed_since(syncs.drift, cursor(syncs.first, stream) - LOOK_BACK)
    assert len(syncs.changed) == 37
    assert syncs.changed <= reach
    assert keys_of(syncs.drift, stream, syncs.changed) <= read
    assert read <= keys_of(syncs.drift, stream, reach), read - keys_of(syncs.drift, stream, reach)


def assert_each_change_was_asked_for_once(syncs: Syncs) -> None:
    """37 changes cost one request for each conversation and child, and a few for the list."""
    reach = changed_since(syncs.drift, cursor(syncs.first, "messages") - LOOK_BACK)
    assert {path.split("/")[2] for path in syncs.asked_for_changes["messages"]} == set(map(str, reach))
    assert {path.split("/")[2] for path in syncs.asked_for_changes["conversation_details"]} == set(map(str, reach))
    assert syncs.pages <= 2 * len(EVERY), syncs.pages


def assert_metrics_of_what_changed_came(syncs: Syncs) -> None:
    """The report has each changed conversation, and others of one day at most."""
    read = set(syncs.second.keys("conversation_metrics"))
    assert syncs.changed <= read
    assert read <= changed_since(syncs.drift, cursor(syncs.first, "conversations") - 24 * HOUR)


def assert_messages_need_no_selected_conversations(syncs: Syncs) -> None:
    """If only messages are selected, the messages of changed conversations still come."""
    assert syncs.messages.code == 0, syncs.messages.error()
    assert sorted(syncs.messages.keys("messages")) == sorted(syncs.second.keys("messages"))
    assert syncs.messages.records("conversations") == []


@pytest.mark.parametrize("kind", [None, "html"], ids=["good", "one is HTML once"])
def test_the_list_is_read_at_most_twice(kind: str | None, drift: Drift) -> None:
    """The conversations and the first of their children may each request it; the other children use the cache.

    Each stream requests the first page once more, and a bad page is retried.
    """
    plan = [Fault("/conversations/list", kind, after=2)] if kind else []
    with Sandbox(drift, faults=plan) as sandbox:
        read = sync(sandbox)
        asked = [request.query for request in sandbox.journal.requests("/conversations/list")]
    assert read.code == 0, read.error()
    for stream in EVERY:
        assert sorted(read.keys(stream)) == sorted(drift.keys(stream)), stream
    # Two times 200 in pages of 50. The bad page, the third, is in the cache: each stream requests it again, and the
    # next page, whose rows may have moved meanwhile.
    assert len(asked) <= 2 * 4 + len(EVERY) * (3 if kind else 1), asked


def test_changes_during_the_sync_are_not_lost(drift: Drift) -> None:
    """If rows change during a first sync, it misses no conversation, and two syncs miss no change."""
    busy = [
        Fault("/conversations/list", "rows_change", times=6, n=5),
        *[Fault(ENDPOINTS[stream], "rows_change", times=3, after=20, n=4) for stream in CHILDREN],
    ]
    with Sandbox(drift, faults=busy) as sandbox:
        first = sync(sandbox, streams=tuple(CHILDREN))
        for conversation in drift.touch_some(5):
            drift.add_message(conversation, body="<p>between the syncs</p>")
        sandbox.faults = []
        second = sync(sandbox, first.last_states(), tuple(CHILDREN))
    assert (first.code, second.code) == (0, 0), (first.error(), second.error())
    assert set(first.keys("conversation_details")) == set(drift.keys("conversations")), "the read was overtaken"
    for stream in CHILDREN:
        newest = {record["id"]: record for read in (first, second) for record in read.records(stream)}
        assert newest == {row["id"]: row for row in drift.expected(stream)}, stream


def test_deleted_rows_are_skipped_and_logged(drift: Drift) -> None:
    """A conversation and a contact that were deleted after listing are logged once each; no stream fails."""
    rows = list(drift.expected("conversations"))
    gone, without_contact = rows[30]["id"], rows[90]["contactId"]
    drift.delete_conversation(gone, still_listed=True)
    drift.delete_contact(without_contact)
    with Sandbox(drift) as sandbox:
        read = sync(sandbox)
        later = sync(sandbox, read.last_states())
    assert read.statuses == dict.fromkeys(EVERY, "COMPLETE"), read.error()
    assert [line for line in read.logs if "skipped" in line] == [
        f"messages: skipped a deleted record. Drift answered GET /conversations/{gone}/messages with HTTP 404.",
        f"conversation_details: skipped a deleted record. Drift answered GET /conversations/{gone} with HTTP 404.",
        f"contacts: skipped a deleted record. Drift answered GET /contacts/{without_contact} with HTTP 404.",
    ]
    for stream in CHILDREN:
        assert sorted(read.keys(stream)) == sorted(drift.keys(stream)), stream
    assert later.code == 0
    assert not [line for line in later.logs if "skipped" in line or "no longer exist" in line], (
        "the state stayed below the deleted rows"
    )


def test_a_404_of_the_list_is_an_error(drift: Drift) -> None:
    """A 404 of the list does not mean an empty Drift: the conversations and their children fail."""
    with Sandbox(drift, faults=[Fault("/conversations/list", "status", status=404, times=None)]) as sandbox:
        read = sync(sandbox)
    assert read.code == 1
    assert read.statuses == dict.fromkeys(EVERY, "INCOMPLETE")
    for stream in EVERY:
        assert "HTTP 404" in read.error(stream), (stream, read.error(stream))
        assert read.records(stream) == []


def test_children_that_are_all_gone_are_requested_again() -> None:
    """A floor does not pass children before the first of them is answered: all may be gone, which is an error."""
    drift = Drift(conversations=30, now=now() - HOUR, messages_per_conversation=1)
    options = Options(rate_limit=None, latency=0.3, dialects=("conversation-all-404",))
    with Sandbox(drift, options) as sandbox:
        state = None
        for _ in range(2):
            read = sync(sandbox, state, ("messages",))
            assert read.error("messages").startswith("Drift returned 404 for all 30 conversations.")
            assert len(asked(sandbox, "messages")) == 30
            state = read.last_states()
