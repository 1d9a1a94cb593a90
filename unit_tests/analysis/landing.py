"""Rows of Drift, and the DuckDB file that `make demo` creates from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox import METRICS, MISSING, PRIMARY_KEYS, Drift
from tools.demo.connector import Stream
from tools.demo.warehouse import Spool, Warehouse
from tools.erd.tables import tables

Row = dict[str, Any]
Rows = dict[str, list[Row]]
"""The rows of each stream."""

DAY = 86_400_000
# A Wednesday: the rows below are written by hand and don't depend on the clock.
NOON = 1_772_625_600_000


def rows_of(drift: Drift) -> Rows:
    """The rows of every stream in a complete sync, with metrics as fields, like the connector's."""
    rows = {stream: list(drift.expected(stream)) for stream in PRIMARY_KEYS}
    rows["conversation_metrics"] = [
        {"conversationId": row["conversationId"]}
        | {name: None if value == "NaN" else value for name, value in zip(METRICS, row["metrics"], strict=True)}
        for row in rows["conversation_metrics"]
    ]
    return rows


def seeded() -> Rows:
    """A Drift with typical changes: other rows still refer to deleted ones."""
    drift = Drift(seed=11, conversations=400, accounts=80, users=14, meetings=150, history_days=120)
    known = sorted(drift.keys("conversations"))
    for conversation in known[:5]:
        drift.update_conversation(conversation, status=MISSING, inboxId=MISSING, participants=MISSING)
    drift.update_conversation(known[5], createdAt=MISSING, relatedPlaybookId=MISSING)
    drift.delete_conversation(known[6], still_listed=True)
    drift.add_message(known[7], author=MISSING, body=MISSING)
    drift.delete_contact(next(drift.expected("contacts"))["id"])
    drift.delete_user(drift.users()[2]["id"])
    addresses = [row["attributes"]["email"] for row in drift.expected("contacts") if "email" in row["attributes"]]
    domain = addresses[0].partition("@")[2]
    drift.add_account(domain=f"www.{domain}")
    return rows_of(drift)


def empty() -> Rows:
    """A Drift without rows."""
    nothing = Drift(accounts=0, conversations=0, users=0, meetings=0, teams=0, playbooks=0, landing_pages=0)
    return rows_of(nothing) | {"contact_attributes": [], "conversation_stats": []}


def odd() -> Rows:
    """A few rows, written by hand, in which each null, gap and duplicate affects a result."""
    ada, ben, bot, idle = 1, 2, 3, 4
    # Deleted users: one has no remaining message, one is not a participant.
    gone, silent, unlisted = 99, 98, 97
    asks = {"id": 50, "type": "contact"}
    rows = empty()
    rows["users"] = [
        {"id": ada, "name": "Ada", "bot": False},
        {"id": ben, "name": "Ben"},
        {"id": bot, "name": "Driftbot", "bot": True},
        {"id": idle, "name": "Cy", "bot": None},
    ]
    rows["conversations"] = [
        {"id": 10, "status": "open", "contactId": 50, "inboxId": 7, "createdAt": NOON, "updatedAt": NOON},
        # The last millisecond of a week, on a Sunday, and the first one of the next week.
        {"id": 11, "status": "open", "contactId": 51, "inboxId": 7, "createdAt": NOON + 4 * DAY + DAY // 2 - 1},
        {"id": 12, "status": "bulk_sent", "contactId": 50, "inboxId": 7, "createdAt": NOON + 4 * DAY + DAY // 2},
        {"id": 13, "status": None, "inboxId": None, "createdAt": NOON},
        {"id": 14, "status": "closed", "contactId": 52, "inboxId": 8, "createdAt": None},
    ]
    rows["conversation_details"] = [
        {"id": 10, "status": "open", "createdAt": NOON, "participants": [ada, ada, ben], "relatedPlaybookId": 500},
        {
            "id": 11,
            "status": "closed",
            "createdAt": NOON + DAY,
            "participants": [bot, gone, silent],
            "relatedPlaybookId": 500,
        },
        {"id": 12, "status": "open", "createdAt": NOON + DAY, "participants": [], "relatedPlaybookId": 666},
        {"id": 13, "status": "open", "createdAt": None, "participants": [None, ben], "relatedPlaybookId": 666},
        {"id": 14, "status": None, "createdAt": NOON - 50 * DAY, "relatedPlaybookId": 666},
        {"id": 15, "status": "open", "createdAt": NOON + DAY},
    ]
    rows["playbooks"] = [{"id": 500, "name": "Book a demo"}, {"id": 501, "name": "Nobody came"}]
    rows["meetings"] = [
        {"slug": "a", "agentId": ada, "status": "ACTIVE", "conversationId": 10, "slotStart": NOON},
        {"slug": "a", "agentId": ben, "status": "CANCELED", "conversationId": 10, "slotStart": NOON},
        {"slug": "b", "agentId": ada, "status": "CANCELED", "conversationId": 12, "slotStart": NOON + 3 * DAY},
        {"slug": "c", "agentId": gone, "status": None, "conversationId": 14, "slotStart": None},
        {"slug": "d", "agentId": gone, "status": "ACTIVE", "conversationId": None, "slotStart": NOON + DAY},
        # Booked in a conversation without a playbook.
        {"slug": "e", "agentId": ben, "status": "ACTIVE", "conversationId": 15, "slotStart": NOON + DAY},
    ]
    rows["teams"] = [
        {"id": 1, "name": "Sales", "status": "ENABLED", "members": [ada, ben, ben]},
        {"id": 2, "name": "Old", "status": "ARCHIVED", "members": [ben]},
        {"id": 3, "name": "Empty", "members": []},
        {"id": 4},
    ]
    said: list[tuple[int | None, int | None, Row | None, str | None]] = [
        # A note, and a bot that only the list of users identifies, come before the person.
        (10, 1_000, asks, "chat"),
        (10, 2_500, {"id": bot, "type": "user"}, "chat"),
        (10, 3_000, {"id": ada, "type": "user", "bot": False}, "private_note"),
        (10, 64_000, {"id": ada, "type": "user"}, "chat"),
        (10, 65_000, asks, "chat"),
        (10, 66_000, {"id": ben, "type": "user"}, None),
        # An agent wrote first; nobody answers the contact.
        (11, 0, {"id": ben, "type": "user"}, "chat"),
        (11, 5_000, asks, "chat"),
        # No author, an empty one, a deleted bot, a user without an ID.
        (12, 0, asks, "chat"),
        (12, 1_000, None, "chat"),
        (12, 2_000, {}, "chat"),
        (12, 3_000, {"id": 95, "type": "user", "bot": True}, "chat"),
        (12, 20_000, {"type": "user"}, "chat"),
        # A deleted user counts as a person; a message without a time is never the first one.
        (13, None, asks, "chat"),
        (13, 500, {"id": gone, "type": "user"}, "chat"),
        (13, 1_000, asks, None),
        (13, None, {"id": gone, "type": "user"}, "chat"),
        (13, 301_000, {"id": gone, "type": "user"}, "chat"),
        (16, None, asks, "chat"),
        # No conversation, and one in which the contact never wrote.
        (None, 7_000, asks, "chat"),
        (15, 7_000, {"id": ada, "type": "user"}, "chat"),
        (15, 8_000, {"id": unlisted, "type": "user"}, "chat"),
    ]
    rows["messages"] = [
        {"id": number, "conversationId": conversation, "createdAt": at, "author": author, "type": kind}
        for number, (conversation, at, author, kind) in enumerate(said)
    ]
    hour = 3_600_000
    rows["conversation_metrics"] = [
        {"conversationId": 10, "firstCloseAt": NOON, "timeToCloseMillis": hour},
        {"conversationId": 11, "firstCloseAt": NOON + DAY, "timeToCloseMillis": 4 * hour},
        # The last millisecond of March and the first one of April, UTC.
        {"conversationId": 12, "firstCloseAt": 1_775_001_599_999, "timeToCloseMillis": 9 * hour},
        {"conversationId": 16, "firstCloseAt": 1_775_001_600_000, "timeToCloseMillis": 0},
        {"conversationId": 17, "firstCloseAt": None, "timeToCloseMillis": 7 * hour},
        {"conversationId": 18, "firstCloseAt": NOON, "timeToCloseMillis": None},
    ]
    rows["contacts"] = [
        {"id": 50, "attributes": {"email": " Ada@FOXGLOVE.example.com "}},
        {"id": 51, "attributes": {"email": "ben@foxglove.example.com"}},
        {"id": 53, "attributes": {"email": "uma@x.example.com"}},
        {"id": 54, "attributes": {"email": "no address"}},
        {"id": 55, "attributes": {"Email": "x@foxglove.example.com"}},
        {"id": 56, "attributes": None},
    ]
    rows["accounts"] = [
        {"accountId": "1_a", "name": "Foxglove", "domain": "www.Foxglove.example.com", "targeted": True},
        {"accountId": "1_b", "domain": "foxglove.example.com"},
        {"accountId": "1_c", "name": "Www", "domain": "wwwax.example.com", "targeted": False},
        {"accountId": "1_d", "name": "No domain", "domain": None},
    ]
    rows["conversation_stats"] = [
        {"status": "OPEN", "count": 5},
        {"status": "PENDING", "count": 2},
        {"status": "CLOSED", "count": None},
    ]
    return rows


@contextmanager
def landed(rows: Rows, folder: Path) -> Iterator[Warehouse]:
    """A DuckDB file with the rows, as `make demo` writes them."""
    streams = [
        Stream(table.name, table.schema, table.key, incremental=False, definition={})
        for table in tables()
        if table.name in rows
    ]
    with Warehouse(folder / "landed" / "drift.duckdb") as warehouse, Spool(streams, folder) as spool:
        for stream in streams:
            for row in rows[stream.name]:
                spool.add(stream.name, row)
        warehouse.load(spool, streams, anew=True)
        yield warehouse
