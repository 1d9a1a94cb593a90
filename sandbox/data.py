"""The data of the local Drift: its records, the records that a complete sync must deliver, and later changes."""

from __future__ import annotations

import math
import random
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeGuard

from sandbox.blueprint import METRICS, STATUSES, Blueprint, Row, Turn
from sandbox.seeds import DAY, mix

MEETING_HISTORY = 30 * DAY
NAN: Final = "NaN"
_LIST_FIELDS = ("id", "status", "contactId", "inboxId", "createdAt", "updatedAt")
_ADDED_MESSAGE_ID = 15_500_000_000

PRIMARY_KEYS: dict[str, tuple[str, ...]] = {
    "accounts": ("accountId",),
    "conversations": ("id",),
    "users": ("id",),
    "messages": ("id",),
    "conversation_details": ("id",),
    "contacts": ("id",),
    "conversation_metrics": ("conversationId",),
    "meetings": ("slug", "agentId"),
    "teams": ("id",),
    "playbooks": ("id",),
    "contacts_by_email": ("id",),
    "landing_pages": ("playbookId", "landingPageUrl"),
    "contact_attributes": ("name",),
    "conversation_stats": ("status",),
}


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""As the value of a changed field, removes the key from the row."""


class Write(NamedTuple):
    """A change that an API client made, for tests to compare with what it was asked to write."""

    action: str
    """create, update, deindex, tag, untag, unsubscribe or erase."""
    subject: int | str
    """The contact's ID; the address of unsubscribe and erase."""
    values: Any = None
    """The attributes or the names of the tags."""
    by: str = "client"
    """`rival` for the fault of this name."""


Place = tuple[int, int]
"""The position of a conversation in the list: (updatedAt, id), highest first."""


class Page(NamedTuple):
    """A part of the conversation list, newest first."""

    rows: list[Row]
    last: Place | None
    """The place of the last row; None for an empty page."""
    offset: int
    """The number of rows of the list up to the end of this page."""
    more: bool


@dataclass(slots=True)
class _Conversation:
    """A conversation that was added or changed, and is no longer in the blueprint."""

    number: int
    true_id: int
    row: Row
    details: Row
    place: Place
    rank: int
    """The number of unchanged conversations below it."""
    messages: list[Row] | None = None
    readable: bool = True


@dataclass(slots=True)
class _Contact:
    number: int
    row: Row
    deleted: bool = False
    found_from: float = 0
    """How many requests `Drift.advance` must have counted before a look-up finds it."""


@dataclass(slots=True)
class _Accounts:
    order: Sequence[int]
    changed: dict[int, Row] = field(default_factory=dict)


class Drift:
    """All data of one organization. The same arguments give the same data.

    Rows are computed on request, so a Drift with a million conversations uses no more memory than a small one.
    Every method is thread-safe; a change is visible to the next request. Ids, times (epoch milliseconds, UTC) and key
    names are those of the API; keys are absent when unset.

    Args:
        seed: any integer; a different seed gives different rows of the same kind.
        accounts: listed accounts; for every 20, there is one more that is soft-deleted.
        conversations: 0 to about 1,000,000.
        users: agents and bots together; every tenth, and at least one of two or more, is a bot.
        ties: number of conversations in the middle of the list that share one `updatedAt`.
        now: no row is newer than this time in epoch milliseconds; by default, a minute before the call.
        messages_per_conversation: mean; from 3 up, some threads have 50, 51, 100 and 120 messages.
        contacts: 0.7 per conversation by default, so that neighbors in time share some.
        meetings: rows of booked meetings between 60 days ago and 60 days ahead, a twentieth of the conversations by
            default; Drift only shows those that start less than 30 days before the clock.
        teams, playbooks, landing_pages: listed rows; there are also inactive playbooks, which are not listed.
        history_days: age of the oldest conversation.

    Raises:
        ValueError: sizes are negative or do not fit together; the message says which.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        accounts: int = 120,
        conversations: int = 500,
        users: int = 12,
        ties: int = 0,
        now: int | None = None,
        messages_per_conversation: float = 6.0,
        contacts: int | None = None,
        meetings: int | None = None,
        teams: int = 4,
        playbooks: int = 8,
        landing_pages: int = 5,
        history_days: int = 3 * 365,
    ) -> None:
        sizes = {
            "seed": seed,
            "accounts": accounts,
            "conversations": conversations,
            "users": users,
            "ties": ties,
            "contacts": contacts or 0,
            "meetings": meetings or 0,
            "teams": teams,
            "playbooks": playbooks,
            "landing_pages": landing_pages,
        }
        for name, size in sizes.items():
            if size < 0:
                raise ValueError(f"{name} must not be negative, but is {size}")
        if history_days < 1:
            raise ValueError(f"history_days must be at least 1, but is {history_days}")
        self.now = _wall_clock() - 60_000 if now is None else now
        self._base = Blueprint(
            seed=seed,
            now=self.now,
            history_days=history_days,
            accounts=accounts,
            conversations=conversations,
            contacts=max(1, conversations * 7 // 10) if contacts is None else contacts,
            users=users,
            meetings=conversations // 20 if meetings is None else meetings,
            teams=teams,
            playbooks=playbooks,
            landing_pages=landing_pages,
            messages_per_conversation=messages_per_conversation,
            ties=ties,
        )
        self._lock = threading.RLock()
        self._random = random.Random(mix(seed))
        self._stamped = self.now
        self._next_message_id = _ADDED_MESSAGE_ID
        self._next_conversation = conversations
        self._next_contact = self._base.contacts
        self._conversations: dict[int, _Conversation] = {}
        self._deleted: set[int] = set()
        self._hidden: list[int] = []
        self._hidden_set: set[int] = set()
        self._moved: list[Place] = []
        self._base_statuses: dict[str, int] | None = None
        self._contacts: dict[int, _Contact] = {}
        self._numbers: dict[tuple[str, str], dict[int, None]] = defaultdict(dict)
        self._new_attributes: dict[str, Row] = {}
        self._requests = 0
        self._erasures: list[tuple[int, str]] = []
        self.writes: list[Write] = []
        """The changes of API clients, oldest first; the methods below are no clients."""
        self._accounts = _Accounts(range(accounts))
        self._next_account = accounts + self._base.deleted_accounts
        self._users = [self._base.user(number) for number in range(users)]
        self._next_user = users
        self._meetings: list[Row] | None = None

    # The expected rows

    def expected(self, stream: str, *, emails: Sequence[str] = ()) -> Iterator[Row]:
        """Yield every row that a complete sync of `stream` must deliver, as Drift sends it, lazily.

        `conversation_metrics` rows contain all of `METRICS`, in that order; `conversation_stats` rows are
        `{"status": "OPEN", "count": 3}`; `contacts_by_email` needs the addresses. A row has the values of the moment
        when it is yielded.

        Raises:
            ValueError: there is no such stream (`token_info` has no rows here).
        """
        streams: dict[str, Callable[[], Iterator[Row]]] = {
            "accounts": lambda: iter(self.account_page(0, self.account_count())[0]),
            "conversations": self._all_conversations,
            "users": lambda: iter(self.users()),
            "messages": self._all_messages,
            "conversation_details": self._all_details,
            "contacts": self._all_contacts,
            "conversation_metrics": lambda: (
                {"conversationId": conversation_id, "metrics": [metrics[name] for name in METRICS]}
                for conversation_id, metrics in self.metrics_between(None, None)
            ),
            "meetings": lambda: iter(self.meetings(0, 1 << 62)),
            "teams": lambda: iter(self.teams()),
            "playbooks": lambda: iter(self.playbooks()),
            "contacts_by_email": lambda: (row for email in emails for row in self.contacts_by_email(email)),
            "landing_pages": lambda: iter(self.landing_pages()),
            "contact_attributes": lambda: iter(self.contact_attributes()),
            "conversation_stats": lambda: (
                {"status": status, "count": count} for status, count in self.conversation_stats().items()
            ),
        }
        if stream not in streams:
            raise ValueError(f"no stream {stream!r}: there are {', '.join(streams)}")
        return streams[stream]()

    def keys(self, stream: str, *, emails: Sequence[str] = ()) -> Iterator[Any]:
        """Yield the primary key of every expected row: a value, or a tuple where the key has several fields."""
        rows = self.expected(stream, emails=emails)
        names = PRIMARY_KEYS[stream]
        if len(names) == 1:
            return (row.get(names[0]) for row in rows)
        return (tuple(row.get(name) for name in names) for row in rows)

    def count(self, stream: str, *, emails: Sequence[str] = ()) -> int:
        """Return the number of expected rows; slow for messages and contacts, which are counted one by one."""
        with self._lock:
            if stream == "conversations":
                return self._total()
            if stream == "accounts":
                return self.account_count()
            if stream == "messages":
                return sum(self._message_count(ref) for ref in self._walk_all())
            if stream == "contacts":
                return sum(1 for _ in self._contact_ids())
            if stream == "conversation_details":
                return self._total() - sum(not self._conversations[key[1]].readable for key in self._moved)
        return sum(1 for _ in self.expected(stream, emails=emails))

    def metrics(self, conversation_id: int) -> dict[str, int | str]:
        """Return every metric of a conversation, `"NaN"` if it has no value (devdocs: conversation-reporting).

        Raises:
            KeyError: there is no such conversation.
        """
        with self._lock:
            return self._metrics(self._find(conversation_id))

    # Changes

    def add_conversation(self, at: int | None = None, **fields: Any) -> int:
        """Add a conversation with generated messages that was last updated at `at` (default: now); return its id.

        `fields` replaces generated fields: `contactId`, `status`, `relatedPlaybookId`, `participants`, `createdAt`…
        """
        with self._lock:
            number, self._next_conversation = self._next_conversation, self._next_conversation + 1
            stamp = self._stamp(at)
            row = self._base.conversation(number, stamp)
            if not self._base.contacts and "contactId" not in fields:
                fields["contactId"] = self.add_contact()
            true_id = int(row["id"])
            place = (stamp, true_id)
            added = _Conversation(number, true_id, row, self._base.details(number), place, self._base_rank(place))
            added.messages = self._base.messages(number, row["createdAt"])
            self._conversations[true_id] = added
            insort(self._moved, place)
            self._assign(added, fields)
            return true_id

    def touch(self, conversation_id: int, at: int | None = None) -> int:
        """Set a conversation's `updatedAt` to `at`, or to now but always later than before; return it."""
        with self._lock:
            changed = self._change(conversation_id)
            return self._move(changed, at)

    def update_conversation(self, conversation_id: int, at: int | None = None, **fields: Any) -> None:
        """Set fields to any value, even one that Drift should not send; `MISSING` removes the key.

        `updatedAt` changes as in `touch`, unless `fields` contains it. An integer `updatedAt` also determines the
        place in the list; with any other value the conversation keeps its place.
        """
        with self._lock:
            changed = self._change(conversation_id)
            if "updatedAt" not in fields:
                self._move(changed, at)
            self._assign(changed, fields)

    def delete_conversation(self, conversation_id: int, *, still_listed: bool = False) -> None:
        """Delete a conversation: its ID returns 404, and it leaves the list unless `still_listed`."""
        with self._lock:
            changed = self._change(conversation_id)
            if still_listed:
                changed.readable = False
                return
            self._moved.remove(changed.place)
            del self._conversations[changed.true_id]
            self._deleted.add(changed.true_id)

    def add_message(self, conversation_id: int, at: int | None = None, **fields: Any) -> int:
        """Append a message (by default from the contact) and touch the conversation; return the message's ID."""
        with self._lock:
            changed = self._change(conversation_id)
            messages = self._thread(changed)
            stamp = self._move(changed, at)
            message_id, self._next_message_id = self._next_message_id, self._next_message_id + 1
            row: Row = {
                "id": message_id,
                "conversationId": changed.true_id,
                "body": "<p>One more thing… 🙋</p>",
                "type": "chat",
                "author": {"id": changed.row.get("contactId"), "type": "contact", "bot": False},
                "createdAt": stamp,
                "attributes": {},
            }
            messages.append(_with(row, fields))
            return message_id

    def edit_message(
        self, conversation_id: int, message_id: int | None = None, at: int | None = None, **fields: Any
    ) -> int:
        """Change a message (the last by default) and touch its conversation; return the message's ID.

        Raises:
            KeyError: the conversation or the message does not exist.
        """
        with self._lock:
            changed = self._change(conversation_id)
            messages = self._thread(changed)
            wanted = [row for row in messages if message_id in (None, row["id"])]
            if not wanted:
                raise KeyError(message_id)
            place = messages.index(wanted[-1])
            self._move(changed, at)
            messages[place] = _with(wanted[-1], fields or {"body": "<p>(edited)</p>"})
            return int(messages[place]["id"])

    def add_contact(self, **attributes: Any) -> int:
        with self._lock:
            number, self._next_contact = self._next_contact, self._next_contact + 1
            contact_id = self._base.contact_id(number)
            row: Row = {"id": contact_id, "createdAt": self._stamp(None), "attributes": {}}
            self._contacts[number] = _Contact(number, row)
            self.update_contact(contact_id, **{"events": {}, **attributes})
            return contact_id

    def update_contact(self, contact_id: int, /, **attributes: Any) -> None:
        with self._lock:
            contact = self._change_contact(contact_id)
            contact.row = contact.row | {"attributes": _with(contact.row["attributes"], attributes)}
            self._index(contact)

    def delete_contact(self, contact_id: int) -> None:
        """Delete a contact: its ID returns 404, but its conversations still refer to it."""
        with self._lock:
            self._change_contact(contact_id).deleted = True

    def add_account(self, **fields: Any) -> str:
        with self._lock:
            number, self._next_account = self._next_account, self._next_account + 1
            stamp = self._stamp(None)
            made = self._base.account(number) | {"deleted": False, "createDateTime": stamp, "updateDateTime": stamp}
            self._accounts.changed[number] = _with(made, fields)
            self._accounts.order = [*self._accounts.order, number]
            return self._base.account_id(number)

    def update_account(self, account_id: str, **fields: Any) -> None:
        with self._lock:
            number = self._account_number(account_id)
            row = self._account(number) | {"updateDateTime": self._stamp(None)}
            self._accounts.changed[number] = _with(row, fields)

    def delete_account(self, account_id: str) -> None:
        """Soft-delete an account: the list leaves it out, and its own endpoint shows `deleted: true`."""
        with self._lock:
            number = self._account_number(account_id)
            self.update_account(account_id, deleted=True)
            self._accounts.order = [other for other in self._accounts.order if other != number]

    def add_user(self, **fields: Any) -> int:
        with self._lock:
            number, self._next_user = self._next_user, self._next_user + 1
            stamp = self._stamp(None)
            self._users.append(_with(self._base.user(number) | {"createdAt": stamp, "updatedAt": stamp}, fields))
            return self._base.user_id(number)

    def delete_user(self, user_id: int) -> None:
        with self._lock:
            self._users = [row for row in self._users if row["id"] != user_id]

    def touch_some(self, count: int) -> list[int]:
        """Touch up to `count` random conversations of the whole list; return their IDs."""
        with self._lock:
            chosen = self._some(count)
            for conversation_id in chosen:
                self.touch(conversation_id)
            return chosen

    def delete_some(self, count: int) -> list[int]:
        """Delete up to `count` random conversations of the whole list; return their IDs."""
        with self._lock:
            chosen = self._some(count)
            for conversation_id in chosen:
                self.delete_conversation(conversation_id)
            return chosen

    def delete_some_accounts(self, count: int) -> list[str]:
        with self._lock:
            order = self._accounts.order
            numbers = self._random.sample(range(len(order)), min(count, len(order)))
            chosen = [self._base.account_id(order[place]) for place in numbers]
            for account_id in chosen:
                self.delete_account(account_id)
            return chosen

    def advance(self, requests: int = 1) -> None:
        """Count requests. The server counts each one; a test can skip the delay of an index or of an erasure."""
        with self._lock:
            self._requests += requests
            due = [email for at, email in self._erasures if at <= self._requests]
            self._erasures = [one for one in self._erasures if one[0] > self._requests]
            for email in due:
                self._erase(email)

    # Used by the endpoints that write

    def create_contact(
        self, attributes: Row, *, any_case: bool = False, lag: int = 0, by: str = "client"
    ) -> Row | None:
        """Create a contact, which look-ups find `lag` requests later; None if it is a duplicate.

        An email may repeat if there is an external ID, which then must be new (devdocs: creating-a-contact).
        """
        with self._lock:
            external_id = attributes.get("externalId")
            taken = (
                self._numbers_of("email", attributes["email"], any_case=any_case)
                if external_id is None
                else self._numbers_of("externalId", str(external_id))
            )
            # A contact that was taken out of the index blocks nothing.
            if any(n not in self._contacts or self._contacts[n].found_from < math.inf for n in taken):
                return None
            contact_id = self.add_contact()
            self.update_contact(contact_id, **attributes)
            changed = self._change_contact(contact_id)
            changed.found_from = self._requests + lag
            self._learn(attributes)
            self.writes.append(Write("create", contact_id, attributes, by))
            return changed.row

    def patch_contact(self, contact_id: int, attributes: Row) -> Row | None:
        """Merge attributes into a contact; None if there is no such contact."""
        with self._lock:
            if not self._has_contact(contact_id):
                return None
            self.update_contact(contact_id, **attributes)
            self._learn(attributes)
            self.writes.append(Write("update", contact_id, attributes))
            return self.contact(contact_id)

    def deindex_contact(self, contact_id: int) -> bool:
        """Hide a contact from look-ups by email and external ID, not from its own endpoint; False if there is none."""
        with self._lock:
            if not self._has_contact(contact_id):
                return False
            self._change_contact(contact_id).found_from = math.inf
            self.writes.append(Write("deindex", contact_id))
            return True

    def tag_contact(self, contact_id: int, names: Sequence[str], *, remove: bool = False) -> None:
        """Add or remove tags of an existing contact."""
        with self._lock:
            row = self._change_contact(contact_id).row
            others = [tag for tag in row["attributes"].get("tags", []) if tag["name"] not in names]
            added = [] if remove else [{"name": name, "color": "75B9BE"} for name in names]
            self.update_contact(contact_id, tags=others + added)
            self.writes.append(Write("untag" if remove else "tag", contact_id, tuple(names)))

    def unsubscribe(self, emails: Sequence[str]) -> None:
        with self._lock:
            self.writes += [Write("unsubscribe", email) for email in emails]

    def erase(self, email: str, *, delay: int = 0) -> None:
        """Erase all contacts and users with that address, with conversations and messages, `delay` requests later."""
        with self._lock:
            self.writes.append(Write("erase", email))
            self._erasures.append((self._requests + delay, email))
            self.advance(0)

    # Used by the endpoints that read

    def conversations_after(self, place: Place | None, limit: int, statuses: Sequence[str] = ()) -> Page:
        """Return the conversations after `place` (None: from the newest); stable while rows change."""
        with self._lock:
            if place is None:
                return self._page(self._base.conversations - 1, len(self._moved) - 1, 0, limit, statuses)
            rank, moved = self._base_rank(place), bisect_left(self._moved, place)
            before = self._total() - (rank - bisect_left(self._hidden, rank)) - moved
            if statuses:
                newer = self._walk(self._base.conversations - 1, len(self._moved) - 1)
                before = sum(self._status(ref) in statuses for ref, _ in zip(newer, range(before), strict=False))
            return self._page(rank - 1, moved - 1, before, limit, statuses)

    def conversations_from(self, offset: int, limit: int, statuses: Sequence[str] = ()) -> Page:
        """Return the conversations from an offset (0: the newest); rows shift when others move past them."""
        with self._lock:
            if not statuses:
                return self._page(*self._seek(offset), min(offset, self._total()), limit, statuses)
            base, moved = self._base.conversations - 1, len(self._moved) - 1
            skipped = 0
            for ref in self._walk(base, moved):
                if skipped == offset:
                    break
                skipped += self._status(ref) in statuses
                base, moved = (base, moved - 1) if isinstance(ref, _Conversation) else (ref - 1, moved)
            return self._page(base, moved, skipped, limit, statuses)

    def conversation(self, conversation_id: int) -> Row | None:
        """Return a conversation as its own endpoint shows it, or None if there is none."""
        with self._lock:
            ref = self._readable(conversation_id)
            return None if ref is None else self._details(ref)

    def messages(self, conversation_id: int) -> list[Row] | None:
        """Return all messages of a conversation, oldest first, or None if there is no such conversation."""
        with self._lock:
            ref = self._readable(conversation_id)
            return None if ref is None else self._messages(ref)

    def attachment(self, attachment_id: int) -> bytes | None:
        """Return the bytes of a file that was sent with a message, None if there is none."""
        return self._base.attachment(attachment_id)

    def contact(self, contact_id: int) -> Row | None:
        with self._lock:
            number = self._base.contact_number(contact_id)
            if number is None or not self._has_contact(contact_id):
                return None
            changed = self._contacts.get(number)
            return changed.row if changed else self._base.contact(number)

    def contacts_by_email(self, email: str, *, any_case: bool = False) -> list[Row]:
        return self._found(self._numbers_of("email", email, any_case=any_case))

    def contacts_by_external_id(self, external_id: str) -> list[Row]:
        return self._found(self._numbers_of("externalId", external_id))

    def account_count(self) -> int:
        return len(self._accounts.order)

    def account_page(self, index: int, size: int) -> tuple[list[Row], int]:
        """Return the listed accounts `index` to `index + size`, and the number of all accounts."""
        with self._lock:
            order = self._accounts.order
            return [self._account(number) for number in order[index : index + size]], len(order)

    def account(self, account_id: str) -> Row | None:
        with self._lock:
            try:
                return self._account(self._account_number(account_id))
            except KeyError:
                return None

    def users(self) -> list[Row]:
        with self._lock:
            return list(self._users)

    def meetings(self, start: int, end: int) -> list[Row]:
        """Return, in no order, the meetings that start in [start, end] and at most 30 days before the clock."""
        with self._lock:
            if self._meetings is None:
                rows = [self._base.meeting(number) for number in range(self._base.meetings)]
                self._meetings = sorted(rows, key=lambda row: (row["slug"], row["agentId"]))
            earliest = max(start, _wall_clock() - MEETING_HISTORY)
            return [row for row in self._meetings if earliest <= row["slotStart"] <= end]

    def teams(self) -> list[Row]:
        return [self._base.team(number) for number in range(self._base.teams)]

    def playbooks(self) -> list[Row]:
        return [self._base.playbook(number) for number in range(self._base.playbooks)]

    def landing_pages(self) -> list[Row]:
        return [self._base.landing_page(number) for number in range(self._base.landing_pages)]

    def contact_attributes(self) -> list[Row]:
        return [*self._base.contact_attributes(), *self._new_attributes.values()]

    def conversation_stats(self) -> dict[str, int]:
        """Return the number of conversations by upper-case status (devdocs: bulk-conversation-statuses)."""
        with self._lock:
            if self._base_statuses is None:
                counts = dict.fromkeys(STATUSES, 0)
                for number in range(self._base.conversations):
                    counts[self._base.status(number)] += 1
                self._base_statuses = counts
            now = dict(self._base_statuses)
            for number in self._hidden:
                now[self._base.status(number)] -= 1
            for _, conversation_id in self._moved:
                status = self._conversations[conversation_id].row.get("status")
                if status in now:
                    now[status] += 1
            return {status.upper(): now[status] for status in STATUSES if status != "bulk_sent"}

    def metrics_between(self, low: int | None, high: int | None) -> Iterator[tuple[int, dict[str, int | str]]]:
        """Yield (conversation id, its metrics) for `low` <= updatedAt <= `high`, newest first; None means no limit.

        A conversation without a valid updatedAt is in no range.
        """
        with self._lock:
            base = self._base.conversations if high is None else self._base_rank((high + 1, 0))
            floor = 0 if low is None else self._base_rank((low, 0))
            refs = []
            for ref in self._walk(base - 1, len(self._moved) - 1):
                if isinstance(ref, _Conversation):
                    updated_at = ref.row.get("updatedAt")
                    outside = not _is_time(updated_at) or not (low or 0) <= updated_at <= (
                        1 << 62 if high is None else high
                    )
                    if outside or not ref.readable:
                        continue
                elif ref < floor:
                    break
                refs.append(ref)
        for ref in refs:
            with self._lock:
                metrics = self._metrics(ref)
            yield ref.true_id if isinstance(ref, _Conversation) else self._base.conversation_id(ref), metrics

    # The list: unchanged rows in the order of the blueprint, merged with the changed ones

    def _total(self) -> int:
        return self._base.conversations - len(self._hidden) + len(self._moved)

    def _base_rank(self, place: Place) -> int:
        """Return how many rows of the blueprint are below a place."""
        updated_at, conversation_id = place
        number = self._base.conversation_number(conversation_id)
        count = self._base.conversations
        if number is not None and number < count and self._base.updated_at(number) == updated_at:
            return number
        return bisect_left(range(count), place, key=lambda n: (self._base.updated_at(n), self._base.conversation_id(n)))

    def _seek(self, offset: int) -> tuple[int, int]:
        """Return the next unchanged and the next moved row, counting down, at an offset of the list."""
        height = self._total() - 1 - offset
        if height < 0:
            return -1, -1

        def place_of(index: int) -> int:
            rank = self._conversations[self._moved[index][1]].rank
            return index + rank - bisect_left(self._hidden, rank)

        below = bisect_right(range(len(self._moved)), height, key=place_of)
        wanted = height - below
        if below and place_of(below - 1) == height:
            # The row at the offset is a moved one; the unchanged rows below it start under its rank.
            return self._conversations[self._moved[below - 1][1]].rank - 1, below - 1
        skipped = bisect_right(range(len(self._hidden)), wanted, key=lambda index: self._hidden[index] - index)
        return wanted + skipped, below - 1

    def _walk(self, base: int, moved: int) -> Iterator[int | _Conversation]:
        """Yield, counting down, the number of an unchanged conversation, or a changed one."""
        while base >= 0 or moved >= 0:
            if base in self._hidden_set:
                base -= 1
            elif moved >= 0 and self._conversations[self._moved[moved][1]].rank > base:
                yield self._conversations[self._moved[moved][1]]
                moved -= 1
            else:
                yield base
                base -= 1

    def _walk_all(self) -> Iterator[int | _Conversation]:
        """Yield the whole list in its current state, newest first, even if it changes meanwhile."""
        with self._lock:
            if not self._hidden and not self._moved:
                return iter(range(self._base.conversations - 1, -1, -1))
            return iter(list(self._walk(self._base.conversations - 1, len(self._moved) - 1)))

    def _page(self, base: int, moved: int, before: int, limit: int, statuses: Sequence[str]) -> Page:
        rows: list[Row] = []
        last: int | _Conversation | None = None
        if not (self._moved or self._hidden or statuses):
            # Nothing to merge: this is true for most pages of a large Drift, and twice as fast.
            stop = max(-1, base - limit)
            rows = self._base.rows(range(base, stop, -1))
            return Page(rows, self._place(stop + 1 if rows else None), before + len(rows), stop >= 0)
        for ref in self._walk(base, moved):
            if statuses and self._status(ref) not in statuses:
                continue
            if len(rows) == limit:
                return Page(rows, self._place(last), before + limit, True)
            rows.append(self._row(ref))
            last = ref
        return Page(rows, self._place(last), before + len(rows), False)

    def _place(self, ref: int | _Conversation | None) -> Place | None:
        if ref is None or isinstance(ref, _Conversation):
            return None if ref is None else ref.place
        return self._base.updated_at(ref), self._base.conversation_id(ref)

    # One conversation, changed or not

    def _row(self, ref: int | _Conversation) -> Row:
        return ref.row if isinstance(ref, _Conversation) else self._base.conversation(ref)

    def _status(self, ref: int | _Conversation) -> Any:
        return ref.row.get("status") if isinstance(ref, _Conversation) else self._base.status(ref)

    def _details(self, ref: int | _Conversation) -> Row:
        if isinstance(ref, _Conversation):
            return ref.row | ref.details
        return self._base.conversation(ref) | self._base.details(ref)

    def _messages(self, ref: int | _Conversation) -> list[Row]:
        if isinstance(ref, int):
            return self._base.messages(ref, self._base.updated_at(ref) - self._base.course(ref).lifetime)
        return self._messages(ref.number) if ref.messages is None else list(ref.messages)

    def _message_count(self, ref: int | _Conversation) -> int:
        if isinstance(ref, int):
            return self._base.course(ref).messages
        if not ref.readable:
            return 0
        return self._base.course(ref.number).messages if ref.messages is None else len(ref.messages)

    def _metrics(self, ref: int | _Conversation) -> dict[str, int | str]:
        row = self._details(ref)
        own = ref.messages if isinstance(ref, _Conversation) else None
        if own is not None:
            turns = _turns(own, self._base.bot_ids)
        else:
            number = ref.number if isinstance(ref, _Conversation) else ref
            updated_at = self._base.updated_at(number) if number < self._base.conversations else row["updatedAt"]
            turns = list(self._base.turns(number, updated_at - self._base.course(number).lifetime))
        created_at = row.get("createdAt")
        agents = [turn for turn in turns if turn.author == "user"]
        answers = [turn.created_at for turn in agents if not turn.note]
        closed_at = row.get("updatedAt") if row.get("status") == "closed" else None
        known: dict[str, Any] = {
            "createdAt": created_at,
            "updatedAt": row.get("updatedAt"),
            "lastAgentId": agents[-1].author_id if agents else None,
            "endUserId": row.get("contactId"),
            "firstCloseAt": closed_at,
            "firstAgentMessageAt": answers[0] if answers else None,
            "timeToCloseMillis": closed_at - created_at if _is_time(closed_at) and _is_time(created_at) else None,
            "timeToAgentResponseMillis": answers[0] - created_at if answers and _is_time(created_at) else None,
            "numAgentMessages": len(agents),
            "numBotMessages": sum(turn.author == "bot" for turn in turns),
            "numEndUserMessages": sum(turn.author == "contact" for turn in turns),
            "relatedPlaybookId": row.get("relatedPlaybookId"),
            "meaningfulConversation": int(sum(turn.author == "contact" for turn in turns) >= 2),
        }
        return {name: value if _is_time(value) else NAN for name, value in known.items()}

    def _find(self, conversation_id: int) -> int | _Conversation:
        changed = self._conversations.get(conversation_id)
        if changed:
            return changed
        number = self._base.conversation_number(conversation_id)
        if number is None or number >= self._base.conversations or conversation_id in self._deleted:
            raise KeyError(conversation_id)
        return number

    def _readable(self, conversation_id: int) -> int | _Conversation | None:
        try:
            ref = self._find(conversation_id)
        except KeyError:
            return None
        return None if isinstance(ref, _Conversation) and not ref.readable else ref

    # Every row of a stream

    def _all_conversations(self) -> Iterator[Row]:
        return (self._row(ref) for ref in self._walk_all())

    def _all_readable(self) -> Iterator[int | _Conversation]:
        return (ref for ref in self._walk_all() if isinstance(ref, int) or ref.readable)

    def _all_details(self) -> Iterator[Row]:
        return (self._details(ref) for ref in self._all_readable())

    def _all_messages(self) -> Iterator[Row]:
        return (message for ref in self._all_readable() for message in self._messages(ref))

    def _all_contacts(self) -> Iterator[Row]:
        return (contact for contact_id in self._contact_ids() if (contact := self.contact(contact_id)))

    def _contact_ids(self) -> Iterator[int]:
        seen: set[int] = set()
        for row in self._all_conversations():
            contact_id = row.get("contactId")
            if _is_time(contact_id) and contact_id not in seen:
                seen.add(contact_id)
                if self._has_contact(contact_id):
                    yield contact_id

    def _has_contact(self, contact_id: int) -> bool:
        number = self._base.contact_number(contact_id)
        if number is None:
            return False
        changed = self._contacts.get(number)
        return not changed.deleted if changed else number < self._base.contacts

    # Changing

    def _stamp(self, at: int | None, before: Any = None) -> int:
        if at is not None:
            return at
        self._stamped = max(_wall_clock(), self._stamped + 1, before + 1 if _is_time(before) else 0)
        return self._stamped

    def _some(self, count: int) -> list[int]:
        total = self._total()
        offsets = self._random.sample(range(total), min(count, total))
        chosen = []
        for offset in offsets:
            ref = next(self._walk(*self._seek(offset)))
            chosen.append(ref.true_id if isinstance(ref, _Conversation) else self._base.conversation_id(ref))
        return chosen

    def _change(self, conversation_id: int) -> _Conversation:
        ref = self._find(conversation_id)
        if isinstance(ref, _Conversation):
            return ref
        row = self._base.conversation(ref)
        place = (int(row["updatedAt"]), conversation_id)
        changed = _Conversation(ref, conversation_id, row, self._base.details(ref), place, ref)
        insort(self._hidden, ref)
        self._hidden_set.add(ref)
        self._conversations[conversation_id] = changed
        insort(self._moved, place)
        return changed

    def _move(self, changed: _Conversation, at: int | None) -> int:
        stamp = self._stamp(at, changed.row.get("updatedAt"))
        changed.row = changed.row | {"updatedAt": stamp}
        self._relocate(changed, stamp)
        return stamp

    def _relocate(self, changed: _Conversation, updated_at: int) -> None:
        self._moved.remove(changed.place)
        changed.place = (updated_at, changed.true_id)
        changed.rank = self._base_rank(changed.place)
        insort(self._moved, changed.place)

    def _assign(self, changed: _Conversation, fields: Row) -> None:
        changed.row = _with(changed.row, {name: value for name, value in fields.items() if name in _LIST_FIELDS})
        others = {name: value for name, value in fields.items() if name not in _LIST_FIELDS}
        changed.details = _with(changed.details, others)
        if _is_time(fields.get("updatedAt")):
            self._relocate(changed, fields["updatedAt"])

    def _thread(self, changed: _Conversation) -> list[Row]:
        if changed.messages is None:
            changed.messages = self._messages(changed)
        return changed.messages

    def _change_contact(self, contact_id: int) -> _Contact:
        number = self._base.contact_number(contact_id)
        if number is None or (number >= self._base.contacts and number not in self._contacts):
            raise KeyError(contact_id)
        if number not in self._contacts:
            self._contacts[number] = _Contact(number, self._base.contact(number))
            self._index(self._contacts[number])
        return self._contacts[number]

    def _index(self, contact: _Contact) -> None:
        for name in ("email", "externalId"):
            self._numbers[name, str(contact.row["attributes"].get(name)).lower()][contact.number] = None

    def _numbers_of(self, name: str, value: str, *, any_case: bool = False) -> list[int]:
        """Return the contacts with that email or external ID, also those that look-ups do not find."""
        with self._lock:
            look = self._base.contact_numbers_of if name == "email" else self._base.contact_numbers_known_as
            numbers = [number for number in look(value) if number not in self._contacts]
            numbers += sorted(self._numbers.get((name, value.lower()), ()))
            known = [(n, self.contact(self._base.contact_id(n))) for n in numbers]
            values = [(n, str(row["attributes"].get(name))) for n, row in known if row]
            return [n for n, own in values if own == value or (any_case and own.lower() == value.lower())]

    def _found(self, numbers: list[int]) -> list[Row]:
        with self._lock:
            found = [n for n in numbers if n not in self._contacts or self._contacts[n].found_from <= self._requests]
            return [row for n in found if (row := self.contact(self._base.contact_id(n)))]

    def _learn(self, attributes: Row) -> None:
        """List the names that are new: Drift makes an attribute of each on its first value."""
        known = {row["name"] for row in self.contact_attributes()}
        for name, value in attributes.items():
            kind = {str: "STRING", bool: "BOOLEAN", int: "NUMERIC", float: "NUMERIC"}.get(type(value))
            if name not in known and kind:
                self._new_attributes[name] = {"type": kind, "displayName": name, "name": name}

    def _erase(self, email: str) -> None:
        for number in self._numbers_of("email", email, any_case=True):
            contact_id = self._base.contact_id(number)
            mentioned = {self._base.conversation_id(one) for one in self._base.conversation_numbers_of(number)}
            for conversation_id in mentioned | set(self._conversations):
                found = self.conversation(conversation_id)
                if found and found.get("contactId") == contact_id:
                    self.delete_conversation(conversation_id)
            self.delete_contact(contact_id)
        self._users = [row for row in self._users if str(row.get("email")).lower() != email.lower()]

    def _account_number(self, account_id: str) -> int:
        number = self._base.account_number(account_id)
        if number is None or number >= self._next_account:
            raise KeyError(account_id)
        return number

    def _account(self, number: int) -> Row:
        return self._accounts.changed.get(number) or self._base.account(number)


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000


def _is_time(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _with(row: Row, fields: Row) -> Row:
    """Return a row with other fields; rows that were returned before do not change."""
    merged = row | fields
    return {name: value for name, value in merged.items() if value is not MISSING}


def _turns(messages: list[Row], bots: tuple[int, ...]) -> list[Turn]:
    turns = []
    for row in messages:
        author = row.get("author") or {}
        by_user = author.get("type") == "user"
        bot = by_user and (author.get("bot") or author.get("id") in bots)
        kind = "bot" if bot else "user" if by_user else "contact"
        turns.append(Turn(kind, author.get("id", 0), row["createdAt"], row.get("type") == "private_note"))
    return turns
