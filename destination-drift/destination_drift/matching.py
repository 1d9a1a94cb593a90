"""Who a row is about: its keys, and the contacts in Drift that have them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from threading import Condition, Lock
from typing import Any, NamedTuple

from destination_drift.client import Answer, Client
from destination_drift.convert import is_empty
from destination_drift.errors import Rejected, TransientError
from destination_drift.settings import MatchBy

MATCHED: Mapping[MatchBy, tuple[str, ...]] = {
    "id": ("id",),
    "email": ("email",),
    "external_id": ("externalId",),
    "external_id_then_email": ("externalId", "email"),
}
"""The attributes that rows are matched by; a row needs one of them."""
MOST_MATCHES = 50
"""The `limit` of look-ups. Drift's default is not documented."""
IDS_IN_A_REQUEST = 20

_MOST_REMEMBERED = 200_000
_MOST_FETCHED = 4_000
# Both are part of a URL.
_LONGEST_EMAIL, _LONGEST_EXTERNAL_ID = 254, 255
_PART = r"[^\s@,;:<>()\[\]\\\"]+"
_EMAIL = re.compile(rf"{_PART}@{_PART}\.[^\s@,;:<>()\[\]\\\".]+")


@dataclass(frozen=True, slots=True)
class Keys:
    """What identifies the contact of a row; None if the row does not have it."""

    id: int | None
    external_id: str | None
    email: str | None

    @property
    def named(self) -> dict[str, int | str]:
        """The keys that the row has, by attribute; spellings of one email address are equal."""
        email = self.email and self.email.lower()
        named = {"id": self.id, "externalId": self.external_id, "email": email}
        return {name: value for name, value in named.items() if value is not None}


def keys_of(values: Mapping[str, Any], matching: MatchBy) -> Keys:
    """Return the keys among the values of a row, by attribute.

    Raises:
        Rejected: `invalid_email`, `wrong_type`, `too_large`, or `missing_key` without one to match by.
    """
    keys = Keys(_id_of(values) if matching == "id" else None, external_id_of(values), email_of(values))
    if not keys.named.keys() & set(MATCHED[matching]):
        raise Rejected("missing_key", MATCHED[matching][0])
    return keys


def email_of(values: Mapping[str, Any]) -> str | None:
    """Return a single address without spaces around it; None if there is none.

    Raises:
        Rejected: `invalid_email`.
    """
    given = values.get("email")
    email = given.strip() if isinstance(given, str) else given
    if is_empty(email):
        return None
    if isinstance(email, str) and len(email) <= _LONGEST_EMAIL and email.isprintable() and _EMAIL.fullmatch(email):
        return email
    raise Rejected("invalid_email", "email")


def external_id_of(values: Mapping[str, Any]) -> str | None:
    """Return an external ID as text, which Drift has as a string or as a number; None if there is none.

    Raises:
        Rejected: `wrong_type` or `too_large`.
    """
    given = values.get("externalId")
    if given is None or (isinstance(given, str) and not given.strip()):
        return None
    # A warehouse may have whole numbers in a column of floats; above 2^53, they may be rounded.
    if isinstance(given, float) and given.is_integer() and abs(given) < 2**53:
        given = int(given)
    if not isinstance(given, str | int) or isinstance(given, bool) or not str(given).isprintable():
        raise Rejected("wrong_type", "externalId")
    if len(str(given)) > _LONGEST_EXTERNAL_ID:
        raise Rejected("too_large", "externalId")
    return str(given)


def _id_of(values: Mapping[str, Any]) -> int | None:
    given = values.get("id")
    if is_empty(given):
        return None
    text = str(int(given)) if isinstance(given, float) and given.is_integer() else str(given)
    if isinstance(given, bool) or not re.fullmatch("[0-9]{1,19}", text):
        raise Rejected("wrong_type", "id")
    return int(text)


class Contact(NamedTuple):
    """A contact as Drift returned it."""

    id: int
    created_at: int
    attributes: Mapping[str, Any]


class Memory:
    """What this run has learned about contacts, because Drift's look-ups may not show the latest. Thread-safe.

    It holds hashes of the newest 200,000 keys, not addresses. The names of keys are those of the attributes;
    `id` is kept of contacts that were written, and `taken` of emails that Drift refused but does not find.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._ids: dict[int, int] = {}

    def remember(self, contact_id: int, keys: Mapping[str, Any]) -> None:
        with self._lock:
            for name, value in keys.items():
                self._ids.pop(key := hash((name, str(value).lower())), None)
                self._ids[key] = contact_id
            for oldest in list(islice(self._ids, max(0, len(self._ids) - _MOST_REMEMBERED))):
                del self._ids[oldest]

    def id_of(self, name: str, value: Any) -> int | None:
        with self._lock:
            return self._ids.get(hash((name, str(value).lower())))


class Finder:
    """Looks contacts up. Thread-safe.

    Raises:
        Rejected: `refused_by_drift`, or `ambiguous_match` if there are more matches than Drift returns.
        ConfigError, TransientError: as `Client`; also for a response that is no list of contacts.
    """

    def __init__(self, client: Client, memory: Memory) -> None:
        self._client, self._memory = client, memory
        # Guards everything below; a thread waits for an answer to any request for external IDs.
        self._lock = Lock()
        self._answered = Condition(self._lock)
        self._expected: dict[str, None] = {}
        self._asked: set[str] = set()
        self._fetched: dict[str, list[Contact]] = {}

    def by_id(self, contact_id: int) -> list[Contact]:
        found = _contacts(self._client.get(f"/contacts/{contact_id}"))
        # After a merge, Drift might return the contact that remains.
        return [contact for contact in found if contact.id == contact_id]

    def by_email(self, email: str) -> list[Contact]:
        """Look up an address as it is, then in lowercase: whether Drift distinguishes them is not documented."""
        for spelling in dict.fromkeys((email, email.lower())):
            found = _contacts(self._client.get("/contacts", [("email", spelling), ("limit", str(MOST_MATCHES))]))
            if len(found) >= MOST_MATCHES:
                raise Rejected("ambiguous_match", "email")
            if found := [contact for contact in found if _has(contact, "email", email, unless_empty=True)]:
                return self._latest(found)
        return self._remembered("email", email)

    def expect(self, external_id: str) -> None:
        """Announce an external ID, so that the next request for others includes it."""
        with self._lock:
            self._expected[external_id] = None

    def by_external_id(self, external_id: str) -> list[Contact]:
        """Look up an external ID together with others that are expected.

        Requests for full numbers of IDs run at the same time; a thread whose ID is in one of them sends the next one
        rather than wait. Others wait for each other, so that more IDs come together.
        """
        most = IDS_IN_A_REQUEST
        while True:
            with self._answered:
                self._answered.wait_for(partial(self._may_go_on, external_id, most))
                if external_id in self._fetched:
                    self._expected.pop(external_id, None)
                    found = self._fetched.pop(external_id)
                    break
                own = [external_id] if most == 1 or external_id not in self._asked else []
                asked = [*dict.fromkeys([*own, *islice(self._expected, most)])][:most]
                for one in asked:
                    self._expected.pop(one, None)
                self._asked.update(asked)
            try:
                self._fetch(asked)
            finally:
                with self._answered:
                    self._asked.difference_update(asked)
                    self._answered.notify_all()
            if own:
                # Drift refused it together with others.
                most = 1
        return self._latest(found) or self._remembered("externalId", external_id)

    def _may_go_on(self, external_id: str, most: int) -> bool:
        is_known, is_full = external_id in self._fetched, len(self._expected) >= most
        return is_known or is_full or most == 1 or not self._asked

    def _fetch(self, external_ids: Sequence[str]) -> None:
        """Look up external IDs; nothing is found of several that Drift refuses, or whose list may be cut."""
        answer = self._ask(external_ids)
        if len(external_ids) > 1 and answer.status >= 400:
            return
        contacts = _contacts(answer)
        if len(external_ids) > 1 and len(contacts) >= MOST_MATCHES:
            return
        with self._lock:
            for one in external_ids:
                self._fetched[one] = [contact for contact in contacts if _has(contact, "externalId", one)]
            for oldest in list(islice(self._fetched, max(0, len(self._fetched) - _MOST_FETCHED))):
                del self._fetched[oldest]

    def _ask(self, external_ids: Sequence[str]) -> Answer:
        ids = [("id", one) for one in external_ids]
        return self._client.get("/contacts", [("idType", "external"), *ids, ("limit", str(MOST_MATCHES))])

    def _latest(self, found: list[Contact]) -> list[Contact]:
        """Read the contacts again that this run has written."""
        return [
            latest
            for contact in found
            for latest in (self.by_id(contact.id) if self._memory.id_of("id", contact.id) else [contact])
        ]

    def _remembered(self, name: str, value: str) -> list[Contact]:
        contact_id = self._memory.id_of(name, value)
        found = [] if contact_id is None else self.by_id(contact_id)
        return [contact for contact in found if _has(contact, name, value)]


def _has(contact: Contact, name: str, value: str, *, unless_empty: bool = False) -> bool:
    own = contact.attributes.get(name)
    if is_empty(own):
        return unless_empty
    return str(own).strip().lower() == value.lower() if name == "email" else str(own) == value


def _contacts(answer: Answer) -> list[Contact]:
    if answer.status == 404:
        return []
    if answer.status >= 400:
        raise Rejected("refused_by_drift", status=answer.status)
    try:
        data = answer.body["data"]
        return [
            Contact(int(row["id"]), int(row.get("createdAt") or 0), row.get("attributes") or {})
            for row in (data if isinstance(data, list) else [data])
            if row
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        # Taken for no contact, this would create a second one.
        raise TransientError("Drift answered a look-up without a list of contacts. Run the sync again later.") from None
