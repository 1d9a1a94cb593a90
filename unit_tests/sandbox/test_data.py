"""The seeded Drift: the same for the same arguments, ordered, consistent between streams, and correct after changes."""

from __future__ import annotations

import json
import re
import statistics
import tracemalloc
from collections import Counter
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import METRICS, MISSING, PRIMARY_KEYS, Drift

NOW = 1_790_000_000_000
STREAMS = tuple(PRIMARY_KEYS)
Row = dict[str, Any]


def place(row: Row) -> tuple[int, int]:
    return row["updatedAt"], row["id"]


def pages_from(drift: Drift, limit: int, statuses: tuple[str, ...] = ()) -> list[Row]:
    """Read the list by offsets."""
    rows: list[Row] = []
    while True:
        page = drift.conversations_from(len(rows), limit, statuses)
        rows += page.rows
        assert page.offset == len(rows)
        if not page.more:
            return rows


def pages_after(drift: Drift, limit: int, statuses: tuple[str, ...] = ()) -> list[Row]:
    """Read the list by places."""
    rows: list[Row] = []
    after = None
    while True:
        page = drift.conversations_after(after, limit, statuses)
        rows += page.rows
        assert page.offset == len(rows)
        if not page.more:
            return rows
        after = page.last


@pytest.mark.parametrize("stream", STREAMS)
def test_equal_arguments_give_equal_rows(stream: str) -> None:
    """Two Drifts with the same seed have the same rows."""
    first, second = (Drift(7, now=NOW, conversations=90, accounts=9) for _ in range(2))
    assert list(first.expected(stream)) == list(second.expected(stream))


@pytest.mark.parametrize(
    "stream", ["accounts", "conversations", "messages", "contacts", "conversation_metrics", "teams"]
)
def test_another_seed_gives_other_rows(stream: str) -> None:
    """A different seed changes every kind of row."""
    assert list(Drift(1, now=NOW).expected(stream)) != list(Drift(2, now=NOW).expected(stream))


@pytest.mark.parametrize("size", [0, 1, 2, 64, 257, 1_234])
@pytest.mark.parametrize("ties", [0, 2, 200])
def test_the_list_is_ordered_and_complete(size: int, ties: int) -> None:
    """Both ways of reading give each ID once, sorted by (updatedAt, id) newest first, and nothing after now."""
    drift = Drift(conversations=size, ties=min(ties, size), now=NOW)
    rows = list(drift.expected("conversations"))
    assert len({row["id"] for row in rows}) == len(rows) == drift.count("conversations") == size
    assert all(place(above) > place(below) for above, below in pairwise(rows))
    assert all(row["createdAt"] <= row["updatedAt"] <= NOW for row in rows)
    assert max(Counter(row["updatedAt"] for row in rows).values(), default=0) == (
        max(1, min(ties, size)) if size else 0
    )
    assert pages_from(drift, 50) == pages_after(drift, 50) == rows


def test_ids_do_not_follow_the_order_of_the_list() -> None:
    """A higher ID is not always a later change, as in Drift."""
    ids = list(Drift(conversations=500, now=NOW).keys("conversations"))
    assert sorted(ids, reverse=True) != ids


def test_ids_are_as_large_as_drifts() -> None:
    """IDs exceed 2^31; those of contacts and messages exceed 2^32."""
    drift = Drift(now=NOW, conversations=50)
    assert min(drift.keys("conversations")) > 2**31
    assert min(drift.keys("contacts")) > 2**32
    assert min(drift.keys("messages")) > 2**32


@pytest.mark.parametrize("stream", STREAMS)
def test_keys_are_unique_and_counted(stream: str) -> None:
    """A stream has as many rows as `count` returns, each with a different key."""
    drift = Drift(conversations=700, accounts=70, users=30, now=None, meetings=200)
    emails = [row["attributes"]["email"] for row in drift.expected("contacts") if "email" in row["attributes"]]
    keys = list(drift.keys(stream, emails=sorted(set(emails))))
    assert keys
    assert len(set(keys)) == len(keys) == drift.count(stream, emails=sorted(set(emails)))


def test_unknown_streams_are_refused() -> None:
    """Neither `token_info` nor a misspelled stream has rows."""
    with pytest.raises(ValueError, match="no stream 'token_info'"):
        Drift().expected("token_info")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"conversations": -1, "contacts": 1}, "conversations"),
        ({"accounts": -1}, "accounts must not be negative"),
        ({"conversations": 5, "contacts": 0}, "at least one contact"),
        ({"conversations": 5, "ties": 6}, "ties=6"),
        ({"messages_per_conversation": -0.5}, "messages_per_conversation"),
        ({"history_days": 0}, "history_days"),
        ({"conversations": 20_000_000, "history_days": 3}, "raise history_days"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, Any], message: str) -> None:
    """The error names the invalid argument."""
    with pytest.raises(ValueError, match=message):
        Drift(**sizes)


def test_a_million_conversations_take_little_memory() -> None:
    """Rows are computed on request: the first and last page of a large Drift take a few megabytes at most."""
    tracemalloc.start()
    drift = Drift(conversations=1_000_000)
    newest, oldest = drift.conversations_from(0, 50), drift.conversations_from(999_990, 50)
    assert [len(newest.rows), len(oldest.rows), drift.count("conversations")] == [50, 10, 1_000_000]
    assert len(drift.conversations_after(oldest.last, 50).rows) == 0
    assert drift.messages(newest.rows[0]["id"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12_000_000


def test_messages_are_within_their_conversation() -> None:
    """Messages are sorted, lie between createdAt and updatedAt, and come from the contact or a known user."""
    drift = Drift(conversations=400, now=NOW)
    users = set(drift.keys("users"))
    for row in drift.expected("conversations"):
        messages = drift.messages(row["id"])
        assert messages is not None
        times = [message["createdAt"] for message in messages]
        assert times == sorted(times)
        assert not times or row["createdAt"] <= times[0] <= times[-1] <= row["updatedAt"]
        assert {message["conversationId"] for message in messages} <= {row["id"]}
        for message in messages:
            author = message["author"]
            assert author["id"] in (users if author["type"] == "user" else {row["contactId"]})


@pytest.mark.parametrize("mean", [0, 0.5, 1, 3, 6, 12])
def test_threads_have_the_given_mean(mean: float) -> None:
    """The mean number of messages is within a tenth of the argument."""
    drift = Drift(conversations=20_000, messages_per_conversation=mean, now=NOW)
    assert drift.count("messages") / 20_000 == pytest.approx(mean, rel=0.1)


def test_some_threads_need_several_pages() -> None:
    """Some threads have one full page, one row more, two full pages, and three pages."""
    drift = Drift(conversations=200, now=NOW)
    lengths = Counter(len(drift.messages(key) or ()) for key in drift.keys("conversations"))
    assert all(lengths[length] for length in (0, 1, 50, 51, 100, 120)), lengths


def test_bots_answer_in_seconds_and_agents_in_minutes() -> None:
    """Bots answer within seconds; an agent's median first answer takes minutes, and some take an hour."""
    drift = Drift(conversations=2_000, now=NOW)
    bots = {row["id"] for row in drift.expected("users") if row["bot"]}
    human, bot = [], []
    for row in drift.expected("conversations"):
        messages = drift.messages(row["id"]) or []
        for earlier, later in pairwise(messages[:3]):
            if later["author"]["id"] in bots and earlier["author"]["type"] == "contact":
                bot.append(later["createdAt"] - earlier["createdAt"])
        first = next((m for m in messages if m["author"]["type"] == "user" and m["author"]["id"] not in bots), None)
        if first and row["status"] != "bulk_sent":
            human.append(first["createdAt"] - row["createdAt"])
    assert statistics.median(bot) < 5_000
    assert 60_000 < statistics.median(human) < 600_000
    assert max(human) > 3_600_000


def test_most_changes_are_in_office_hours_and_recent() -> None:
    """Two thirds of the changes are on weekdays from 13 to 22 UTC, and the last year has more than the first."""
    times = [row["updatedAt"] for row in Drift(conversations=5_000, now=NOW).expected("conversations")]
    moments = [datetime.fromtimestamp(at / 1000, UTC) for at in times]
    assert sum(at.weekday() < 5 and 13 <= at.hour < 22 for at in moments) / len(moments) > 0.6
    year = 365 * 86_400_000
    assert sum(at > NOW - year for at in times) > 1.3 * sum(at < NOW - 2 * year for at in times)


def test_load_differs_between_agents() -> None:
    """The busiest agent has several times as many conversations as the least busy one."""
    drift = Drift(conversations=3_000, now=NOW)
    load = Counter(user for row in drift.expected("conversation_details") for user in row.get("participants", ()))
    assert load.most_common()[0][1] > 3 * load.most_common()[-1][1]


def test_keys_are_absent_when_unset() -> None:
    """Each optional key is present in some rows and missing in others; none is null."""
    drift = Drift(conversations=1_500, accounts=200, users=40, meetings=300, teams=6)
    optional = {
        "conversations": {"inboxId"},
        "conversation_details": {"participants", "conversationTags", "relatedPlaybookId", "inboxId"},
        "messages": {"body", "buttons", "context", "attachments"},
        "accounts": {"name", "customProperties"},
        "users": {"alias", "phone", "locale", "avatarUrl", "email"},
        "meetings": {"conversationId", "endUserTimeZone", "meetingNotes", "bookedBy"},
        "teams": {"responseTimerEnabled"},
    }
    for stream, names in optional.items():
        rows = list(drift.expected(stream))
        for name in names:
            assert 0 < sum(name in row for row in rows) < len(rows), (stream, name)
        assert not any(value is None for row in rows for value in row.values()), stream


def test_list_rows_lack_the_fields_of_details() -> None:
    """The list has no participants, tags and playbook; all other fields are equal."""
    drift = Drift(now=NOW)
    details = {row["id"]: row for row in drift.expected("conversation_details")}
    for row in drift.expected("conversations"):
        assert set(row) <= {"id", "status", "contactId", "inboxId", "createdAt", "updatedAt"}
        assert row.items() <= details[row["id"]].items()


def test_contacts_are_as_irregular_as_drifts() -> None:
    """Some contacts are shared, anonymous or differ in case only, and IDs and attributes have several types."""
    drift = Drift(conversations=1_000, now=NOW)
    contacts = list(drift.expected("contacts"))
    shared = Counter(row["contactId"] for row in drift.expected("conversations"))
    assert len(contacts) == len(shared) == 700
    assert max(shared.values()) > 1
    attributes = [row["attributes"] for row in contacts]
    assert 0 < sum("email" not in one for one in attributes) < len(contacts)
    assert any("_END_USER_VERSION" in one and "_end_user_version" in one for one in attributes)
    assert {type(one["externalId"]) for one in attributes if "externalId" in one} == {int, str}
    assert {type(value) for one in attributes for value in one.values()} == {str, int, float, bool, list, dict}
    emails = Counter(one["email"] for one in attributes if "email" in one)
    twice = [email for email, count in emails.items() if count == 2]
    assert twice
    assert len(drift.contacts_by_email(twice[0])) == 2
    assert drift.contacts_by_email("nobody@example.com") == []


def test_contacts_are_created_before_their_conversations() -> None:
    """A contact is older than its conversations."""
    drift = Drift(conversations=600, now=NOW)
    created = {row["id"]: row["createdAt"] for row in drift.expected("contacts")}
    assert all(created[row["contactId"]] < row["createdAt"] for row in drift.expected("conversations"))


def test_custom_properties_have_many_types() -> None:
    """The values of account properties are strings, numbers, lists, objects and null."""
    values = [one["value"] for row in Drift(now=NOW).expected("accounts") for one in row.get("customProperties", ())]
    assert {type(value) for value in values} == {str, int, float, list, dict, type(None)}


def test_all_persons_and_addresses_are_fictional() -> None:
    """Every email address, IP address and telephone number is in a range reserved for examples."""
    drift = Drift(conversations=300, accounts=60, users=30, meetings=60)
    text = "\n".join(json.dumps(row, ensure_ascii=False) for stream in STREAMS for row in drift.expected(stream))
    assert all(host.endswith("example.com") for host in re.findall(r"@([\w.-]+)", text) if "." in host)
    assert all(url.split("/")[2].endswith("example.com") for url in re.findall(r"https?://[^\"\\ ]+", text))
    ips = set(re.findall(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", re.sub(r'"userAgent": "[^"]*"', "", text)))
    assert ips
    assert all(ip.startswith(("192.0.2.", "198.51.100.", "203.0.113.")) for ip in ips)
    phones = set(re.findall(r"\+[\d-]{8,}", text))
    assert phones
    assert all(re.fullmatch(r"\+1-202-555-01\d\d", phone) for phone in phones), phones
    assert re.search("[一-龥ぁ-ん]", text)
    assert "🙏" in text
    assert "&amp;" in text


def test_metrics_agree_with_the_messages() -> None:
    """A report matches the messages before and after a change."""
    drift = Drift(conversations=120, now=NOW)
    bots = {row["id"] for row in drift.expected("users") if row["bot"]}
    changed = list(islice(drift.keys("conversations"), 5))
    for key in changed:
        drift.add_message(key)
    for row in drift.expected("conversations"):
        authors = [message["author"] for message in drift.messages(row["id"]) or []]
        metrics = drift.metrics(row["id"])
        assert tuple(metrics) == METRICS
        assert metrics["numEndUserMessages"] == sum(author["type"] == "contact" for author in authors)
        assert metrics["numBotMessages"] == sum(author["id"] in bots for author in authors)
        assert metrics["numAgentMessages"] == len(authors) - sum(
            author["type"] == "contact" or author["id"] in bots for author in authors
        )
        assert (metrics["createdAt"], metrics["updatedAt"]) == (row["createdAt"], row["updatedAt"])
    assert any("NaN" in row["metrics"] for row in drift.expected("conversation_metrics"))


def test_reports_find_their_range() -> None:
    """`metrics_between` returns the conversations with updatedAt in the range, including both ends."""
    drift = Drift(conversations=300, now=NOW)
    rows = list(drift.expected("conversations"))
    drift.update_conversation(rows[150]["id"], updatedAt=rows[200]["updatedAt"] + 1)
    drift.update_conversation(rows[151]["id"], updatedAt=None)
    drift.touch(rows[152]["id"])
    odd = rows[151]["id"]
    rows = [row for row in drift.expected("conversations") if row["updatedAt"] is not None]
    for low, high in ((rows[250], rows[100]), (rows[5], rows[5]), (rows[201], rows[198])):
        found = [key for key, _ in drift.metrics_between(low["updatedAt"], high["updatedAt"])]
        wanted = [row["id"] for row in rows if low["updatedAt"] <= row["updatedAt"] <= high["updatedAt"]]
        assert found == wanted
    assert odd not in dict(drift.metrics_between(None, None))
    assert len(list(drift.metrics_between(None, None))) == 299


def test_meetings_reach_thirty_days_back() -> None:
    """Older meetings exist but are not listed; a range limits the list further."""
    drift = Drift(meetings=400)
    shown = list(drift.expected("meetings"))
    assert 0 < len(shown) < 400
    assert min(row["slotStart"] for row in shown) >= drift.now - 30 * 86_400_000
    assert any(row["slotStart"] > drift.now for row in shown)
    assert len({row["slug"] for row in shown}) < len(shown)
    middle = sorted(row["slotStart"] for row in shown)[len(shown) // 2]
    assert {row["slotStart"] >= middle for row in drift.meetings(middle, 1 << 62)} == {True}


def test_a_meeting_in_the_past_of_a_fixed_clock_is_not_shown() -> None:
    """The limit of 30 days counts from the real clock, as in the connector."""
    assert list(Drift(meetings=50, now=NOW - 400 * 86_400_000).expected("meetings")) == []


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["touch", "back", "add", "delete", "message", "null", "future", "status"]),
        st.integers(0, 1 << 20),
        st.integers(0, 1 << 20),
    ),
    max_size=25,
)


@given(size=st.integers(0, 130), ties=st.integers(0, 40), changes=CHANGES, limit=st.integers(1, 60))
@settings(max_examples=30, derandomize=True, deadline=None, database=None)
def test_the_list_stays_correct_under_changes(size: int, ties: int, changes: list[Any], limit: int) -> None:
    """After any change, both ways of reading the list return the rows in sorted order."""
    drift = Drift(conversations=size, ties=min(ties, size), now=NOW, messages_per_conversation=1.0)
    model: dict[int, tuple[tuple[int, int], Row]] = {
        row["id"]: (place(row), row) for row in drift.expected("conversations")
    }

    def sort(key: int, at: int, **fields: Any) -> None:
        row = (model[key][1] if key in model else {}) | {"updatedAt": at, **fields}
        model[key] = ((at, key), row)

    for kind, pick, detail in changes:
        if kind == "add":
            key = drift.add_conversation(at=NOW - detail)
            model[key] = ((NOW - detail, key), drift.conversation(key) or {})
            continue
        if not model:
            continue
        key = sorted(model)[pick % len(model)]
        if kind == "touch":
            sort(key, drift.touch(key))
        elif kind == "back":
            other = sorted(model)[detail % len(model)]
            sort(key, drift.touch(key, at=model[other][0][0]))
        elif kind == "delete":
            drift.delete_conversation(key)
            del model[key]
        elif kind == "message":
            drift.add_message(key, at=NOW + detail)
            sort(key, NOW + detail)
        elif kind == "null":
            drift.update_conversation(key, updatedAt=None)
            model[key] = (model[key][0], model[key][1] | {"updatedAt": None})
        elif kind == "future":
            drift.update_conversation(key, updatedAt=NOW * 2 + detail)
            sort(key, NOW * 2 + detail)
        else:
            drift.update_conversation(key, at=NOW + detail, status="pending")
            sort(key, NOW + detail, status="pending")
    wanted = [row for _, row in sorted(model.values(), key=lambda one: one[0], reverse=True)]
    listed = [{name: row.get(name) for name in ("id", "updatedAt", "status")} for row in wanted]

    def brief(rows: list[Row]) -> list[Row]:
        return [{name: row.get(name) for name in ("id", "updatedAt", "status")} for row in rows]

    assert brief(pages_from(drift, limit)) == listed
    assert brief(pages_after(drift, limit)) == listed
    assert brief(list(drift.expected("conversations"))) == listed
    pending = [row for row in listed if row["status"] == "pending"]
    assert brief(pages_from(drift, limit, ("pending",))) == pending
    assert brief(pages_after(drift, limit, ("pending",))) == pending
    counted = Counter(row["status"].upper() for row in wanted)
    assert drift.conversation_stats() == {name: counted[name] for name in ("OPEN", "CLOSED", "PENDING")}


def test_a_change_is_later_than_all_earlier_ones() -> None:
    """Without a given time, each change is later than all earlier ones, even if the clock is behind."""
    drift = Drift(now=(1 << 42) * 2)
    first, second = islice(drift.keys("conversations"), 100, 102)
    times = [drift.touch(first), drift.touch(second), drift.touch(first)]
    assert times == sorted(set(times))
    assert times[0] > drift.now
    assert next(iter(drift.keys("conversations"))) == first


def test_changed_rows_can_have_any_value() -> None:
    """The list shows any value, a missing key and a string ID."""
    drift = Drift(now=NOW)
    key = next(iter(drift.keys("conversations")))
    drift.update_conversation(key, id=str(key), updatedAt=MISSING, participants=[1], inboxId=None)
    row = next(iter(drift.expected("conversations")))
    assert row["id"] == str(key)
    assert "updatedAt" not in row
    assert row["inboxId"] is None
    assert (drift.conversation(key) or {})["participants"] == [1]


def test_messages_can_be_added_and_edited() -> None:
    """An edit keeps the ID and moves the conversation in the list."""
    drift = Drift(now=NOW)
    key = next(key for key in drift.keys("conversations") if len(drift.messages(key) or ()) > 2)
    before = drift.messages(key) or []
    added = drift.add_message(key, body="<p>new</p>")
    edited = drift.edit_message(key, before[0]["id"], at=NOW + 5)
    after = drift.messages(key) or []
    assert [message["id"] for message in after] == [message["id"] for message in before] + [added]
    assert (edited, after[0]["body"], after[-1]["body"]) == (before[0]["id"], "<p>(edited)</p>", "<p>new</p>")
    assert (drift.conversation(key) or {})["updatedAt"] == NOW + 5
    with pytest.raises(KeyError):
        drift.edit_message(key, 1)


def test_deleted_rows_are_gone_where_drift_hides_them() -> None:
    """A conversation disappears from list and ID or only from ID, a contact from ID, an account only from the list."""
    drift = Drift(now=NOW)
    gone, half, other = islice(drift.keys("conversations"), 3)
    contact = (drift.conversation(other) or {})["contactId"]
    account = next(iter(drift.keys("accounts")))
    drift.delete_conversation(gone)
    drift.delete_conversation(half, still_listed=True)
    drift.delete_contact(contact)
    drift.delete_account(account)
    listed, detailed = set(drift.keys("conversations")), set(drift.keys("conversation_details"))
    assert (gone in listed, half in listed, other in listed) == (False, True, True)
    assert (gone in detailed, half in detailed, other in detailed) == (False, False, True)
    assert [drift.conversation(half), drift.messages(half), drift.conversation(gone)] == [None, None, None]
    assert drift.contact(contact) is None
    assert contact not in set(drift.keys("contacts"))
    assert account not in set(drift.keys("accounts"))
    assert (drift.account(account) or {})["deleted"] is True
    assert drift.count("accounts") == 119
    with pytest.raises(KeyError):
        drift.touch(gone)


def test_soft_deleted_accounts_exist_but_are_not_listed() -> None:
    """The list never shows soft-deleted accounts, but each one has an ID that works."""
    drift = Drift(accounts=100, now=NOW)
    listed = set(drift.keys("accounts"))
    assert len(listed) == 100
    hidden = [row for number in range(100, 110) if (row := drift.account(drift._base.account_id(number)))]
    assert [row["deleted"] for row in hidden] == [True] * 5
    assert not listed & {row["accountId"] for row in hidden}


def test_rows_can_be_added() -> None:
    """Added accounts, users and contacts are expected from then on."""
    drift = Drift(conversations=0, accounts=0, users=0, now=NOW)
    account = drift.add_account(name="New")
    user = drift.add_user(name="New")
    conversation = drift.add_conversation()
    assert list(drift.keys("accounts")) == [account]
    assert list(drift.keys("users")) == [user]
    assert list(drift.keys("conversations")) == [conversation]
    contact = drift.add_contact(email="new@example.com")
    assert [row["id"] for row in drift.contacts_by_email("new@example.com")] == [contact]
    drift.update_contact(contact, email="other@example.com")
    assert drift.contacts_by_email("new@example.com") == []
    drift.update_account(account, targeted=True)
    assert (drift.account(account) or {})["targeted"] is True
    drift.delete_user(user)
    assert drift.users() == []
