"""The sandbox's data before any change: each row is computed from the seed and its number.

No row is stored. A conversation's times depend only on its number, and a higher number never has an earlier time. So
the newest-first list needs no sorting, whatever its size.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sandbox import vocabulary as words
from sandbox.seeds import DAY, HOUR, QUANTILES, Timeline, geometric, lognormal, mix

Row = dict[str, Any]

ORG_ID = 1_204_077
STATUSES = ("open", "closed", "pending", "bulk_sent")
STATUS_IDS = {1: "open", 2: "closed", 3: "pending"}
# devdocs: conversation-reporting. `status` and `botStatus` are valid filters, but not valid metrics.
METRICS = (
    "createdAt",
    "updatedAt",
    "lastAgentId",
    "endUserId",
    "firstCloseAt",
    "firstAgentMessageAt",
    "timeToCloseMillis",
    "timeToAgentResponseMillis",
    "numAgentMessages",
    "numBotMessages",
    "numEndUserMessages",
    "relatedPlaybookId",
    "meaningfulConversation",
)

_CONVERSATION_ID, _CONVERSATION_STEP = 3_700_000_000, 97
_CONTACT_ID, _CONTACT_STEP = 16_000_000_000, 7_919
_MESSAGE_ID, _MESSAGES_PER_CONVERSATION = 14_000_000_000, 256
_USER_ID, _USER_STEP = 2_100_417, 313
_PLAYBOOK_ID, _PLAYBOOK_STEP = 310_208, 17
_TEAM_ID, _TEAM_STEP = 88_105, 3
_ACCOUNT_PREFIX = 5_184_712
_ATTACHMENT_IDS = range(9_000_000, 9_000_000 + (1 << 15))

# Threads with two and three pages, and one with exactly one page, at fixed places in every 199 conversations.
_LONG_EVERY = 199
_LONG_THREADS = {7: 51, 57: 100, 107: 120, 157: 50}
_LONG_LEAST_MEAN = 3.0
_STATUS_TABLE = ("closed",) * 90 + ("open",) * 23 + ("pending",) * 9 + ("bulk_sent",) * 6
_BULK_SHARE = 6 / len(_STATUS_TABLE)
# A visitor writes, the bot answers within two seconds, the visitor reads and types.
_BOT_OFFSETS = (0, 1_500, 24_000, 25_700, 52_000, 53_600)
_BOT_STEPS = (0, 0, 1, 3, 3, 5, 1, 0)

_RESPONSE = lognormal(median=110_000, sigma=1.3, most=6 * HOUR)
_GAP = lognormal(median=75_000, sigma=1.0, most=2 * HOUR)
_TAIL = (0,) * 700 + lognormal(median=20 * 60_000, sigma=1.5, most=20 * DAY)[: QUANTILES - 700 - 40] + (11 * DAY,) * 40

_CONTACT_ATTRIBUTES = (
    ("STRING", "Email", "email"),
    ("STRING", "Name", "name"),
    ("STRING", "Phone", "phone"),
    ("STRING", "External Id", "externalId"),
    ("DATETIME", "Last Active", "last_active"),
    ("DATETIME", "Last Contacted", "last_contacted"),
    ("DATETIME", "First Seen", "start_date"),
    ("STRING", "Plan", "plan"),
    ("NUMERIC", "Seats", "seats"),
    ("NUMERIC", "Fit Score", "fit_score"),
    ("BOOLEAN", "On Trial", "is_trial"),
    ("DATE", "Renewal Date", "renewal_date"),
    ("STRING", "_END_USER_VERSION", "_END_USER_VERSION"),
    ("NUMERIC", "_end_user_version", "_end_user_version"),
)


_TABLE = 4096


class Course(NamedTuple):
    """The course of one conversation; durations are milliseconds since its creation."""

    status: str
    messages: int
    bot_steps: int
    human: bool
    opening: int
    response: int
    span: int
    tail: int

    @property
    def lifetime(self) -> int:
        return self.opening + self.response + self.span + self.tail


class Turn(NamedTuple):
    """One message of a conversation, without its text."""

    author: str
    author_id: int
    created_at: int
    note: bool


class Blueprint:
    """The unchanged rows of one Drift. All numbers are row numbers, from 0 for the oldest."""

    def __init__(
        self,
        *,
        seed: int,
        now: int,
        history_days: int,
        accounts: int,
        conversations: int,
        contacts: int,
        users: int,
        meetings: int,
        teams: int,
        playbooks: int,
        landing_pages: int,
        messages_per_conversation: float,
        ties: int,
    ) -> None:
        self.now = now
        self.timeline = Timeline(now, history_days)
        if conversations * self.timeline.peak > HOUR / 20:
            raise ValueError(
                f"{conversations:,} conversations are too many for {history_days} days: raise history_days"
            )
        if conversations and not contacts:
            raise ValueError("conversations need at least one contact")
        if ties > conversations:
            raise ValueError(f"ties={ties} is more than the {conversations} conversations there are")
        self.accounts, self.conversations, self.contacts, self.users = accounts, conversations, contacts, users
        self.meetings, self.teams, self.playbooks, self.landing_pages = meetings, teams, playbooks, landing_pages
        # There are also soft-deleted accounts and inactive playbooks, which are not listed but have IDs.
        self.deleted_accounts = accounts // 20
        self.inactive_playbooks = playbooks // 4
        self._tie_from = (conversations - ties) // 2
        self._tie_to = self._tie_from + ties if ties > 1 else self._tie_from
        self._salts = {
            kind: mix(mix(seed) ^ number)
            for number, kind in enumerate(
                ("conversation", "order", "contact_order", "message", "contact", "account", "user", "meeting", "other")
            )
        }
        # Two tables of random bits for the rows of the list take a quarter of the time of mixing.
        salt = self._salts["conversation"]
        self._low_bits = [mix(salt ^ number) for number in range(_TABLE)]
        self._high_bits = [mix(salt ^ number) for number in range(_TABLE, 2 * _TABLE)]
        # Neighbors on a page share their blocks.
        self._id_mask = lru_cache(maxsize=1024)(self._make_id_mask)
        self._contact_mask = lru_cache(maxsize=1024)(self._make_contact_mask)
        self._lengths, self._long_threads = _thread_lengths(messages_per_conversation)
        self._bulk_messages = 1 if messages_per_conversation else 0
        bots = 0 if users < 2 else max(1, users // 10)
        self.bot_ids = tuple(self.user_id(number) for number in range(users) if number >= users - bots) or (
            self.user_id(9_999),
        )
        self.human_ids = tuple(self.user_id(number) for number in range(users - bots))
        self._agents = _by_rank(self.human_ids)
        self._plans = [_plan(n >> 5, n & 31, bool(self._agents)) for n in range(_MESSAGES_PER_CONVERSATION << 5)]

    def _draw(self, kind: str, number: int) -> int:
        return mix(self._salts[kind] ^ number)

    # Conversations

    def _bits(self, number: int) -> int:
        return self._low_bits[number & _TABLE - 1] ^ self._high_bits[number >> 12 & _TABLE - 1]

    def updated_at(self, number: int) -> int:
        if self._tie_from <= number < self._tie_to:
            number = self._tie_from
        return self.timeline.at((number + 0.05 + (self._bits(number) >> 55) / 569) / self.conversations)

    def conversation_id(self, number: int) -> int:
        return _CONVERSATION_ID + _CONVERSATION_STEP * self._shuffled(number)

    def conversation_number(self, conversation_id: int) -> int | None:
        """Return the number of the conversation with this ID, even after the last one, or None for an impossible ID."""
        shuffled, rest = divmod(conversation_id - _CONVERSATION_ID, _CONVERSATION_STEP)
        return None if rest or shuffled < 0 else self._shuffled(shuffled)

    def _shuffled(self, number: int) -> int:
        return number ^ self._id_mask(number >> 6)

    def _make_id_mask(self, block: int) -> int:
        # In Drift, IDs are not in the order of updatedAt. Swapping within 64 neighbors is easy to reverse. Within a
        # tie, the IDs must rise with the number, because the list is sorted by (updatedAt, id).
        first, last = block << 6, (block << 6) + 63
        if last >= self.conversations or (first < self._tie_to and last >= self._tie_from):
            return 0
        return self._draw("order", block) & 63

    def contact_number_of(self, number: int) -> int:
        """Return the contact of a conversation; neighbors in time share contacts, and each contact has one or more."""
        if number >= self.conversations:
            return self._draw("contact_order", number) % max(1, self.contacts)
        return self._contact_shuffled(number) * self.contacts // self.conversations

    def _contact_shuffled(self, number: int) -> int:
        return number ^ self._contact_mask(number >> 8)

    def _make_contact_mask(self, block: int) -> int:
        return 0 if (block << 8) + 255 >= self.conversations else self._draw("contact_order", block) & 255

    def conversation_numbers_of(self, contact: int) -> list[int]:
        """Return the unchanged conversations of a contact."""
        if not self.conversations:
            return []
        first = -(-contact * self.conversations // self.contacts)
        after = -(-(contact + 1) * self.conversations // self.contacts)
        return [self._contact_shuffled(place) for place in range(first, min(after, self.conversations))]

    def status(self, number: int) -> str:
        status = _STATUS_TABLE[self._bits(number) >> 40 & 127]
        return "closed" if status == "bulk_sent" and number % _LONG_EVERY in self._long_threads else status

    def course(self, number: int) -> Course:
        bits = self._bits(number)
        status = self.status(number)
        messages = self._long_threads.get(number % _LONG_EVERY)
        if messages is None:
            messages = self._bulk_messages if status == "bulk_sent" else self._lengths[bits & 1023]
        bot_steps, human, opening, response, gaps = self._plans[messages << 5 | (bits >> 47 & 31)]
        return Course(
            status,
            messages,
            bot_steps,
            human or (status == "bulk_sent" and bool(self._agents)),
            opening * (768 + (bits >> 20 & 511)) >> 10,
            _RESPONSE[bits >> 10 & 1023] if human else response,
            _GAP[bits >> 20 & 1023] * gaps,
            _TAIL[bits >> 30 & 1023],
        )

    def conversation(self, number: int, updated_at: int | None = None) -> Row:
        """Return a conversation as the list sends it; `updated_at` overrides the time that follows from the number."""
        return self.rows(range(number, number + 1), updated_at)[0]

    def rows(self, numbers: range, updated_at: int | None = None) -> list[Row]:
        """Return conversations as the list sends them.

        This repeats `updated_at`, `course` and `conversation_id` without calls and objects, because tests read lists
        of a million rows, and this loop takes 90 percent of that time.
        """
        low, high, mask, lengths, plans = self._low_bits, self._high_bits, _TABLE - 1, self._lengths, self._plans
        long_threads, bulk_messages, at = self._long_threads.get, self._bulk_messages, self.timeline.at
        tie_from, tie_to, total, contacts = self._tie_from, self._tie_to, self.conversations, self.contacts
        id_mask, contact_mask = self._id_mask, self._contact_mask
        rows: list[Row] = []
        for number in numbers:
            bits = low[number & mask] ^ high[number >> 12 & mask]
            if updated_at is not None:
                moved = updated_at
            elif tie_from <= number < tie_to:
                moved = self.updated_at(number)
            else:
                moved = at((number + 0.05 + (bits >> 55) / 569) / total)
            status = _STATUS_TABLE[bits >> 40 & 127]
            messages = long_threads(number % _LONG_EVERY)
            if messages is None:
                messages = bulk_messages if status == "bulk_sent" else lengths[bits & 1023]
            elif status == "bulk_sent":
                status = "closed"
            _, human, opening, waited, gaps = plans[messages << 5 | bits >> 47 & 31]
            lifetime = _TAIL[bits >> 30 & 1023] + (_RESPONSE[bits >> 10 & 1023] if human else waited)
            if gaps:
                lifetime += _GAP[bits >> 20 & 1023] * gaps
            if opening:
                lifetime += opening * (768 + (bits >> 20 & 511)) >> 10
            contact = (
                (number ^ contact_mask(number >> 8)) * contacts // total
                if number < total
                else self.contact_number_of(number)
            )
            row: Row = {
                "id": _CONVERSATION_ID + _CONVERSATION_STEP * (number ^ id_mask(number >> 6)),
                "status": status,
                "contactId": _CONTACT_ID + _CONTACT_STEP * contact,
            }
            inbox = bits >> 52 & 31
            if inbox:
                row["inboxId"] = 40_100 + inbox // 8
            row["createdAt"] = moved - lifetime
            row["updatedAt"] = moved
            rows.append(row)
        return rows

    def details(self, number: int) -> Row:
        """Return the fields that only the endpoint of one conversation adds; unset keys are missing."""
        bits = self._draw("other", number)
        more: Row = {}
        agents = self.agents_of(number) if self.course(number).human else ()
        if agents:
            more["participants"] = list(agents)
        elif bits & 1:
            more["participants"] = []
        if bits >> 1 & 7 == 0:
            first = bits >> 4 & 3
            more["conversationTags"] = [dict(tag) for tag in words.TAGS[first : first + 1 + (bits >> 6 & 1)]]
        if self.playbooks and bits >> 7 & 3:
            more["relatedPlaybookId"] = self.playbook_id((bits >> 9) % (self.playbooks + self.inactive_playbooks))
        return more

    def agents_of(self, number: int) -> tuple[int, ...]:
        bits = self._draw("order", number)
        first = self._agents[bits & 255]
        second = self._agents[bits >> 8 & 255]
        return (first, second) if bits >> 16 & 7 == 0 and second != first else (first,)

    def turns(self, number: int, created_at: int) -> Iterator[Turn]:
        """Yield the messages of a conversation, oldest first, without their text."""
        course = self.course(number)
        bits = self._bits(number)
        scale = 768 + (bits >> 20 & 511)
        contact = self.contact_id(self.contact_number_of(number))
        bot = self.bot_ids[bits % len(self.bot_ids)]
        agents = self.agents_of(number) if course.human else ()
        if course.status == "bulk_sent":
            for _ in range(course.messages):
                yield Turn("user" if agents else "bot", agents[0] if agents else bot, created_at, False)
            return
        opening = min(course.messages, course.bot_steps + 1)
        for step in range(opening):
            at = created_at + (_BOT_OFFSETS[step] * scale >> 10)
            yield Turn("bot", bot, at, False) if step % 2 else Turn("contact", contact, at, False)
        answers = created_at + course.opening + course.response
        later = course.messages - opening
        for step in range(later):
            at = answers + course.span * step // later
            if step % 2:
                yield Turn("contact", contact, at, False)
            elif agents:
                agent = agents[step // 2 % len(agents)]
                note = step > 0 and self._draw("message", number << 8 | step) & 15 == 0
                yield Turn("user", agent, at, note)
            else:
                yield Turn("bot", bot, at, False)

    def messages(self, number: int, created_at: int) -> list[Row]:
        conversation = self.conversation_id(number)
        bulk = self.status(number) == "bulk_sent"
        return [
            self._message(number, conversation, place, turn, bulk=bulk)
            for place, turn in enumerate(self.turns(number, created_at))
        ]

    def _message(self, number: int, conversation: int, place: int, turn: Turn, *, bulk: bool) -> Row:
        bits = self._draw("message", number << 8 | place)
        row: Row = {"id": self.message_id(number, place), "conversationId": conversation}
        if turn.author == "contact":
            texts: tuple[str, ...] = words.VISITOR_TEXTS
        elif turn.author == "bot":
            texts = words.BOT_TEXTS
        elif turn.note:
            texts = words.NOTE_TEXTS
        else:
            texts = words.BULK_TEXTS if bulk else words.AGENT_TEXTS
        if turn.author != "contact" or place or bits >> 20 & 3:
            row["body"] = texts[bits % len(texts)]
        row["type"] = "private_note" if turn.note else "chat"
        author: Row = {"id": turn.author_id, "type": "contact" if turn.author == "contact" else "user"}
        if turn.author == "bot" or bits >> 22 & 1:
            author["bot"] = turn.author == "bot"
        row["author"] = author
        row["createdAt"] = turn.created_at
        if turn.author == "bot" and bits >> 23 & 3 == 0:
            row["buttons"] = [
                {"label": "Book a demo 📅", "value": "demo", "type": "reply", "style": "primary"},
                {
                    "label": "Just looking",
                    "value": "browse",
                    "type": "reply",
                    "reaction": {"type": "replace", "message": "<p>Enjoy!</p>"},
                },
            ]
        if turn.author == "contact" and bits >> 25 & 1:
            row["context"] = {
                "ip": f"203.0.113.{bits >> 26 & 255}",
                "userAgent": words.USER_AGENTS[(bits >> 34) % len(words.USER_AGENTS)],
                "location": dict(words.PLACES[bits >> 40 & 3]),
            }
        row["attributes"] = {"integrationSource": "widget", "preMessages": []} if bits >> 42 & 7 == 0 else {}
        if turn.author == "user" and bits >> 45 & 15 == 0:
            row["attachments"] = [
                {
                    "id": _ATTACHMENT_IDS[bits >> 49],
                    "fileName": "offer.pdf",
                    "mimeType": "application/pdf",
                    "url": "https://files.example.com/offer.pdf",
                }
            ]
        return row

    def attachment(self, attachment_id: int) -> bytes | None:
        """Return the bytes of a file, about 100 kB, None for an id that no message can name."""
        if attachment_id not in _ATTACHMENT_IDS:
            return None
        return b"%PDF-1.4\n" + self._draw("message", attachment_id).to_bytes(8) * 12_500

    def message_id(self, number: int, place: int) -> int:
        return _MESSAGE_ID + number * _MESSAGES_PER_CONVERSATION + place

    # Contacts

    def contact_id(self, number: int) -> int:
        return _CONTACT_ID + _CONTACT_STEP * number

    def contact_number(self, contact_id: int) -> int | None:
        number, rest = divmod(contact_id - _CONTACT_ID, _CONTACT_STEP)
        return None if rest or number < 0 else number

    def contact_email(self, number: int) -> str | None:
        """Return the address of a contact, or None for an anonymous visitor; some contacts share an address."""
        if number % 40 == 1:
            number -= 1
        bits = self._draw("contact", number)
        if bits & 3 == 0:
            return None
        given = _ascii(words.GIVEN_NAMES[(bits >> 8) % len(words.GIVEN_NAMES)])
        return f"{given}.{number}@{words.COMPANIES[bits >> 2 & 15]}.example.com"

    def contact_numbers_of(self, email: str) -> list[int]:
        """Return the unchanged contacts with that address, in uppercase or lowercase."""
        named = re.search(r"\.(\d{1,9})@", email)
        if not named:
            return []
        number = int(named[1])
        return [
            n
            for n in (number, number + 1)
            if n < self.contacts and (self.contact_email(n) or "").lower() == email.lower()
        ]

    def contact_numbers_known_as(self, external_id: str) -> list[int]:
        """Return the unchanged contact with that external ID, in uppercase or lowercase."""
        named = re.fullmatch(r"(?:crm-)?(\d{1,9})", external_id, re.ASCII | re.IGNORECASE)
        number = int(named[1]) if named else self.contacts
        return [number] if number < self.contacts and "externalId" in self.contact(number)["attributes"] else []

    def contact(self, number: int) -> Row:
        bits = self._draw("contact", number)
        talks = self.conversation_numbers_of(number)
        times = [self.updated_at(talk) for talk in talks] or [self.timeline.at(number / self.contacts)]
        first = min((at - self.course(talk).lifetime for at, talk in zip(times, talks, strict=False)), default=times[0])
        created_at = first - 2_000
        given = words.GIVEN_NAMES[(bits >> 8) % len(words.GIVEN_NAMES)]
        attributes: Row = {
            "events": {},
            "socialProfiles": {},
            "start_date": created_at,
            "last_active": max(times),
            "ip": f"192.0.2.{bits >> 16 & 255}, 198.51.100.{bits >> 24 & 255}",
            "last_page_title": "Pricing & plans – example",
            "recent_source": ("Direct", "Search", "Campaign 春", "Referral")[bits >> 32 & 3],
        }
        email = self.contact_email(number)
        if email:
            family = words.FAMILY_NAMES[(bits >> 13) % len(words.FAMILY_NAMES)]
            attributes |= {"email": email, "name": f"{given} {family}", "last_contacted": max(times)}
            attributes["_classification"] = "Engaged"
        if bits >> 34 & 3 == 0:
            attributes["phone"] = f"+1-202-555-01{bits >> 36 & 63:02d}"
        if bits >> 42 & 1:
            attributes |= {"_END_USER_VERSION": f"{bits >> 43 & 7}.0", "_end_user_version": bits >> 43 & 7}
        if bits >> 46 & 3 == 0:
            attributes["externalId"] = number if bits >> 48 & 1 else f"crm-{number}"
            attributes["external_id"] = str(number)
        if bits >> 49 & 1:
            attributes |= {
                "plan": ("free", "team", "Unternehmen")[bits % 3],
                "seats": bits >> 50 & 127,
                "fit_score": (bits >> 57) / 8,
                "is_trial": bool(bits >> 45 & 1),
                "renewal_date": created_at + 365 * DAY,
                "tags": [{"name": "imported", "color": "75B9BE"}],
                "employment_title": "Head of Möbel & more",
            }
        return {"id": self.contact_id(number), "createdAt": created_at, "attributes": attributes}

    def contact_attributes(self) -> list[Row]:
        return [{"type": kind, "displayName": label, "name": name} for kind, label, name in _CONTACT_ATTRIBUTES]

    # Accounts

    def account_id(self, number: int) -> str:
        return f"{_ACCOUNT_PREFIX}_{self._account_domain(number)}"

    def account_number(self, account_id: str) -> int | None:
        named = re.fullmatch(rf"{_ACCOUNT_PREFIX}_(?:www\.)?[a-z]+-(\d{{1,9}})\.example\.com", account_id)
        return int(named[1]) if named and self.account_id(int(named[1])) == account_id else None

    def _account_domain(self, number: int) -> str:
        bits = self._draw("account", number)
        return f"{'www.' if bits & 7 == 0 else ''}{words.COMPANIES[bits >> 3 & 15]}-{number}.example.com"

    def account(self, number: int) -> Row:
        bits = self._draw("account", number)
        created_at = self.timeline.at((bits >> 40) / (1 << 24))
        row: Row = {"accountId": self.account_id(number)}
        if self.human_ids:
            row["ownerId"] = self.human_ids[(bits >> 7 & 1023) % len(self.human_ids)]
        company = words.COMPANIES[bits >> 3 & 15].capitalize()
        if bits >> 17 & 15:
            row["name"] = f"{company} {('Ltd', 'GmbH', 'S.A.', '株式会社')[bits >> 21 & 3]} {number}"
        row |= {
            "domain": self._account_domain(number),
            "deleted": number >= self.accounts,
            "targeted": bits >> 23 & 3 == 0,
            "createDateTime": created_at,
            "updateDateTime": created_at + (self.now - created_at) * (bits >> 25 & 255) // 256,
        }
        if bits >> 33 & 3:
            row["customProperties"] = _custom_properties(bits, created_at)
        return row

    # The small lists

    def user_id(self, number: int) -> int:
        return _USER_ID + _USER_STEP * number

    def user(self, number: int) -> Row:
        bits = self._draw("user", number)
        user_id = self.user_id(number)
        bot = user_id in self.bot_ids
        given = words.GIVEN_NAMES[number % len(words.GIVEN_NAMES)]
        created_at = self.timeline.start - DAY * (bits & 511)
        row: Row = {"id": user_id, "orgId": ORG_ID, "name": "Driftbot" if bot else f"{given} {number}"}
        if not bot:
            row["email"] = f"{_ascii(given)}.{number}@team.example.com"
            row["timeZone"] = words.TIME_ZONES[bits >> 9 & 3]
        if bits >> 11 & 1 and not bot:
            row["alias"] = given
        if bits >> 12 & 1 and not bot:
            row["phone"] = f"+1-202-555-01{bits >> 13 & 63:02d}"
        if bits >> 19 & 1:
            row["locale"] = ("en-US", "sv-SE", "ja-JP", "pt-BR")[bits >> 20 & 3]
        if bits >> 22 & 1:
            row["avatarUrl"] = f"https://avatars.example.com/{user_id}.png"
        return row | {
            "availability": ("AVAILABLE", "OFFLINE", "ON_CALL")[bits % 3],
            "role": "agent" if bot else ("admin" if number == 0 else ("member", "agent")[bits >> 24 & 1]),
            "verified": not bot,
            "bot": bot,
            "createdAt": created_at,
            "updatedAt": self.now - DAY * (bits >> 25 & 127) - (bits >> 32 & 0xFFFFF),
        }

    def meeting(self, number: int) -> Row:
        """Return a booked meeting: some are older than the 30 days that Drift keeps, some are up to 60 days ahead."""
        # Every 25th meeting has the slug of the previous one: a meeting with two agents is one slug with two rows.
        twin = number % 25 == 24
        bits = self._draw("meeting", number - 1 if twin else number)
        # No meeting starts near the limit of 30 days, so that the list does not change during a test.
        day = (bits >> 8) % 120 - 60
        if day in (-30, -31):
            day = -29
        slot = (self.now // DAY + day) * DAY + (9 + bits % 8) * HOUR + (bits >> 3 & 1) * HOUR // 2
        agents = self.human_ids or (self.user_id(0),)
        row: Row = {
            "agentId": agents[(bits + twin) % len(agents)] if len(agents) > 1 or not twin else self.user_id(9_998),
            "orgId": ORG_ID,
            "status": "CANCELED" if bits >> 20 & 7 == 0 else "ACTIVE",
            "meetingSource": ("EMAIL_DROP", "CHAT", "PLAYBOOK")[bits % 3],
            "schedulerId": self.contact_id((bits >> 24) % max(1, self.contacts)),
            "eventId": f"event-{bits >> 44:05x}-{number}",
            "slug": f"meet-{bits >> 40:06x}-{number - 1 if twin else number}",
            "slotStart": slot,
            "slotEnd": slot + HOUR // 2,
            "updatedAt": min(self.now, slot) - DAY * (bits >> 28 & 7),
            "scheduledAt": min(self.now, slot) - DAY * (8 + (bits >> 31 & 7)),
            "meetingType": "NEW_MEETING",
        }
        if self.conversations and bits >> 34 & 3:
            row["conversationId"] = self.conversation_id(self.conversations - 1 - (bits >> 36) % self.conversations)
        if bits >> 36 & 1:
            row["endUserTimeZone"] = words.TIME_ZONES[bits >> 37 & 3]
        if bits >> 39 & 3 == 0:
            row["meetingNotes"] = "Wants to see <b>reports</b> & SSO 🔑"
        if bits >> 41 & 1:
            row["bookedBy"] = row["agentId"]
        return row

    def team(self, number: int) -> Row:
        bits = self._draw("other", 1_000_000_007 + number)
        row: Row = {
            "id": _TEAM_ID + _TEAM_STEP * number,
            "orgId": ORG_ID,
            "workspaceId": str(UUID(int=bits << 64 | mix(bits), version=4)),
            "name": words.TEAM_NAMES[number % len(words.TEAM_NAMES)],
            "updatedAt": self.now - DAY * (1 + (bits >> 8 & 255)),
            "members": list(self.human_ids[number % 3 :: 3]),
            "status": "ARCHIVED" if number % len(words.TEAM_NAMES) == len(words.TEAM_NAMES) - 1 else "ENABLED",
            "main": number == 0,
            "autoOffline": bool(bits & 1),
            "teamAvailabilityMode": ("ALWAYS_ONLINE", "ALWAYS_OFFLINE", "CUSTOM_HOURS")[bits % 3],
        }
        if self.human_ids:
            row["owner"] = self.human_ids[number % len(self.human_ids)]
        if bits >> 16 & 1:
            row |= {"responseTimerEnabled": bool(bits >> 17 & 1), "teamCsatEnabled": bool(bits >> 18 & 1)}
        return row

    def playbook_id(self, number: int) -> int:
        return _PLAYBOOK_ID + _PLAYBOOK_STEP * number

    def playbook(self, number: int) -> Row:
        bits = self._draw("other", 2_000_000_011 + number)
        created_at = self.timeline.at((bits >> 40) / (1 << 24))
        row: Row = {"id": self.playbook_id(number), "name": words.PLAYBOOK_NAMES[number % len(words.PLAYBOOK_NAMES)]}
        row |= {
            "orgId": ORG_ID,
            "reportType": words.REPORT_TYPES[bits & 3],
            "meta": {"audience": {"pages": ["/pricing"], "percentage": bits >> 2 & 63}},
            "createdAt": created_at,
            "updatedAt": created_at + (self.now - created_at) * (bits >> 8 & 255) // 256,
            "interactionId": 740_000 + number,
            "goals": [
                {"id": str(UUID(int=mix(bits + goal) << 64 | bits, version=4)), "message": "Meeting booked 🎯"}
                for goal in range(bits >> 16 & 3)
            ],
        }
        if self.human_ids:
            row["createdAuthorId"] = row["updatedAuthorId"] = self.human_ids[number % len(self.human_ids)]
        return row

    def landing_page(self, number: int) -> Row:
        playbook = number % max(1, self.playbooks)
        return {
            "playbookId": self.playbook_id(playbook),
            "playbookName": words.PLAYBOOK_NAMES[playbook % len(words.PLAYBOOK_NAMES)],
            "landingPageUrl": f"https://www.example.com/landing/{number}?ref=ä",
        }


def _thread_lengths(mean: float) -> tuple[tuple[int, ...], dict[int, int]]:
    """Return a table of usual thread lengths and the places of long threads; together they have the given mean."""
    if mean < 0:
        raise ValueError(f"messages_per_conversation must not be negative, but is {mean}")
    long_threads = _LONG_THREADS if mean >= _LONG_LEAST_MEAN else {}
    rest = mean - sum(long_threads.values()) / _LONG_EVERY - _BULK_SHARE * min(1.0, mean)
    usual = max(0.0, rest / (1 - len(long_threads) / _LONG_EVERY - _BULK_SHARE))
    return (0,) * 10 + geometric(usual, most=240)[10:], long_threads


def _plan(messages: int, flags: int, agents: bool) -> tuple[int, bool, int, int, int]:
    """Return (bot steps, whether an agent answers, opening ms, wait ms without an agent, gaps after it)."""
    bot_steps = _BOT_STEPS[flags & 7]
    later = messages - 1 - bot_steps
    if later <= 0:
        return bot_steps, False, _BOT_OFFSETS[max(0, messages - 1)], 0, 0
    return bot_steps, agents and (later > 6 or flags < 24), _BOT_OFFSETS[bot_steps], 60_000, later - 1


def _by_rank(agents: tuple[int, ...]) -> tuple[int, ...]:
    """Return 256 draws, in which agent n has about 1/n of the first agent's load; empty without agents."""
    if not agents:
        return ()
    whole = sum(1 / rank for rank in range(1, len(agents) + 1))
    drawn: list[int] = []
    for rank, agent in enumerate(agents, 1):
        drawn += [agent] * max(1, round(256 / rank / whole))
    return tuple(drawn[place % len(drawn)] for place in range(256))


def _ascii(name: str) -> str:
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()


def _custom_properties(bits: int, created_at: int) -> list[Row]:
    offered: tuple[tuple[str, str, str, Any], ...] = (
        ("Segment", "segment", "ENUM", "mid-market"),
        ("Regions", " regions ", "ENUMARRAY", ["EMEA", "APAC 🌏"]),
        ("Employees", "employees", "NUMBER", bits >> 35 & 4095),
        ("Billing mail", "billing_mail", "EMAIL", "billing@example.com"),
        ("Switchboard", "switchboard", "PHONE", "+1-202-555-0147"),
        ("Site", "site", "URL", "https://www.example.com/?q=a&b=ü"),
        ("Customer since", "customer_since", "DATE", created_at // DAY * DAY),
        ("Last review", "last_review", "DATETIME", created_at + DAY),
        ("Headquarters", "headquarters", "LATLON", {"lat": 57.7, "lon": 11.97}),
        ("Latitude", "latitude", "LAT", 57.7),
        ("Account manager", "account_manager", "TEAMMEMBER", None),
        ("Note", "note", "STRING", "Önskar \"offert\" <snart> & 'billigt'"),
    )
    first = bits >> 47 & 7
    return [
        {"label": label, "name": name, "value": value, "type": kind}
        for label, name, kind, value in offered[first : first + 1 + (bits >> 50 & 7)]
    ]
