"""Finds one person in an archive: the contacts first, then what hangs on them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from source_drift.archive.errors import ArchiveError
from source_drift.person.archive import Archive, Row, ids
from source_drift.words import strings

CONTACTS = ("contacts", "contacts_by_email")
TABLES = (
    *CONTACTS,
    *("conversations", "conversation_details", "messages", "meetings", "conversation_metrics", "attachments", "users"),
)
ASKED = "has the address"
OTHER_ADDRESS = "has another address of the person"
UNNAMED = "has no address and wrote only in conversations of the person"

# Attributes of a contact that hold the contact's own addresses. Others, such as account_owner_email, may hold those of
# an employee, and everybody whom that employee looks after would be taken for one person.
_OWN_ADDRESS = re.compile(
    r"(?:(?:work|business|company|corporate|personal|private|home|primary|secondary|second|alternate|alternative|other"
    r"|additional|previous|old|contact|user)[ _-]?)?e?-?mails?(?:[ _-]?address(?:es)?)?[ _-]?\d?",
    re.IGNORECASE,
)
_BETWEEN_ADDRESSES = re.compile(r"[\s,;<>]+")
_IDS = "SELECT unnest(?::BIGINT[])"
_AUTHOR = "TRY_CAST(to_json(author)->>'$.id' AS BIGINT)"
_BY_CONTACT = "lower(coalesce(to_json(author)->>'$.type', 'contact')) = 'contact'"
# Where a table says which contact a conversation belongs to.
_OWNERS = {
    "conversations": ("id", "contactId"),
    "conversation_details": ("id", "contactId"),
    "conversation_metrics": ("conversationId", "endUserId"),
}


@dataclass
class Person:
    """What an archive holds about one person.

    Attributes:
        address: the address that was asked for, in lower case.
        other_addresses: other addresses of the contacts that have it.
        contacts: the id of each contact of the person, with how it was found.
        not_followed: ids of other contacts who wrote in the person's conversations; nothing else of theirs is here.
        rows: by table, the rows of the tables that the archive has.
        is_user: the address belongs to a user of Drift.
    """

    address: str
    other_addresses: list[str] = field(default_factory=list)
    contacts: dict[int, str] = field(default_factory=dict)
    not_followed: list[int] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    is_user: bool = False

    @property
    def found(self) -> bool:
        return bool(self.contacts or self.rows.get("meetings"))


def normalized(address: str) -> str:
    """Return an address as it is compared: without blanks around it, in lower case, and never by a part of it."""
    return address.strip().lower()


def search(archive: Archive, address: str) -> Person:
    """Return what the archive holds about the person with that address.

    Raises:
        ArchiveError: the archive has no contacts, or cannot be read.
    """
    if not any(archive.has(table, "id", "attributes") for table in CONTACTS):
        raise ArchiveError(
            "The archive has no contacts, so nobody can be found in it. Sync the contacts or contacts_by_email stream."
        )
    person = Person(normalized(address))
    users = list(archive.rows("users", "true")) if archive.has("users") else []
    of_users = {normalized(user["email"]) for user in users if isinstance(user.get("email"), str)}
    person.is_user = person.address in of_users
    _find_contacts(archive, person, of_users)
    _find_conversations(archive, person, {user.get("id") for user in users})
    _find_meetings(archive, person)
    if "users" in archive.columns:
        wanted = _users_named(person)
        person.rows["users"] = [user for user in users if user.get("id") in wanted]
    return person


def own_addresses(contact: Row) -> list[str]:
    """Return the addresses in a contact's attributes that are the contact's own."""
    attributes = contact.get("attributes")
    if not isinstance(attributes, Mapping):
        return []
    texts = (text for name, value in attributes.items() if _OWN_ADDRESS.fullmatch(name) for text in strings(value))
    parts = (normalized(part) for text in texts for part in _BETWEEN_ADDRESSES.split(text))
    return list(dict.fromkeys(part for part in parts if "@" in part))


def _find_contacts(archive: Archive, person: Person, of_users: set[str]) -> None:
    found = _contacts_with(archive, {person.address})
    person.contacts = dict.fromkeys(found, ASKED)
    # An employee's address leads to everybody whom that employee looks after.
    others = {address for addresses in found.values() for address in addresses} - {person.address} - of_users
    person.other_addresses = sorted(others)
    # One step only: two people who share an address must not lead to a third.
    for contact in _contacts_with(archive, others):
        person.contacts.setdefault(contact, OTHER_ADDRESS)
    for contact in _unnamed(archive, person):
        person.contacts[contact] = UNNAMED
    for table in CONTACTS:
        if archive.has(table, "id"):
            person.rows[table] = list(archive.rows(table, f"id IN ({_IDS}) ORDER BY id", list(person.contacts)))


def _contacts_with(archive: Archive, addresses: set[str]) -> dict[int, list[str]]:
    """Return the contacts that have one of these addresses as their own, each with all its own addresses."""
    found: dict[int, list[str]] = {}
    for table in CONTACTS:
        if not addresses or not archive.has(table, "id", "attributes"):
            continue
        for row in archive.rows(table, *_may_contain("attributes", addresses)):
            own = own_addresses(row)
            for contact in ids([row.get("id")]) if addresses.intersection(own) else ():
                found[contact] = [*found.get(contact, []), *own]
    return found


def _may_contain(column: str, addresses: Iterable[str]) -> tuple[str, *tuple[Any, ...]]:
    """Return an SQL condition, with its parameters, that no JSON column with one of the addresses fails."""
    listed = list(addresses)
    if not all(address.isascii() for address in listed):
        return ("true",)
    # A backslash may hide any character of the address.
    text = f"lower({column}::VARCHAR)"
    any_of_them = f"len([x FOR x IN ?::VARCHAR[] IF contains({text}, x)]) > 0"
    return (rf"contains({text}, '\') OR {any_of_them}", listed)


def _unnamed(archive: Archive, person: Person) -> list[int]:
    """Return the contacts that the person was before the address was known.

    They have no address, wrote in a conversation of the person, and have to do with nobody else.
    """
    if not archive.has("messages", "author", "conversationId") or not _owners(archive):
        return []
    theirs = _owned(archive, list(person.contacts))
    authors = archive.ask(
        f"SELECT DISTINCT {_AUTHOR} FROM messages WHERE {_BY_CONTACT} AND conversationId IN ({_IDS})",  # noqa: S608
        theirs,
    )
    others = [author for author in ids([author for (author,) in authors]) if author not in person.contacts]
    unnamed = _without_address(archive, others)
    allowed = {*person.contacts, *unnamed}
    return [contact for contact in unnamed if _acquaintances(archive, contact) <= allowed]


def _without_address(archive: Archive, contacts: list[int]) -> list[int]:
    """Return those of the contacts that the archive knows and that have no address, whatever the attribute's name."""
    rows = [
        row
        for table in CONTACTS
        if archive.has(table, "id", "attributes")
        for row in archive.rows(table, f"id IN ({_IDS})", contacts)
    ]
    named = {row["id"] for row in rows if any("@" in text for text in strings(row.get("attributes")))}
    return sorted({row["id"] for row in rows} - named)


def _acquaintances(archive: Archive, contact: int) -> set[int]:
    """Return the contacts in whose conversations a contact wrote, and those who wrote in its own."""
    owners = _owners(archive)
    of_contact = f"{_BY_CONTACT} AND {_AUTHOR}"
    rows = archive.ask(
        f"SELECT contact FROM ({owners}) WHERE talk IN (SELECT conversationId FROM messages WHERE {of_contact} = ?) "  # noqa: S608
        f"UNION SELECT {_AUTHOR} FROM messages WHERE {_BY_CONTACT} "
        f"AND conversationId IN (SELECT talk FROM ({owners}) WHERE contact = ?)",
        contact,
        contact,
    )
    return set(ids([found for (found,) in rows]))


def _owners(archive: Archive) -> str:
    """Return a query for the contact of each conversation; empty if no table of the archive knows it."""
    return " UNION ".join(
        f'SELECT "{talk}" AS talk, "{contact}" AS contact FROM {table}'  # noqa: S608
        for table, (talk, contact) in _OWNERS.items()
        if archive.has(table, talk, contact)
    )


def _owned(archive: Archive, contacts: list[int]) -> list[int]:
    owners = _owners(archive)
    if not owners:
        return []
    return ids([talk for (talk,) in archive.ask(f"SELECT talk FROM ({owners}) WHERE contact IN ({_IDS})", contacts)])  # noqa: S608


def _find_conversations(archive: Archive, person: Person, users: set[Any]) -> None:
    contacts = list(person.contacts)
    talks = _owned(archive, contacts)
    if archive.has("messages", "author", "conversationId"):
        wrote = f"SELECT DISTINCT conversationId FROM messages WHERE {_BY_CONTACT} AND {_AUTHOR} IN ({_IDS})"  # noqa: S608
        talks += [talk for (talk,) in archive.ask(wrote, contacts)]
    if archive.has("conversation_details", "participants", "id"):
        # Drift documents users here, whose ids are numbers of another series.
        guests = [contact for contact in contacts if contact not in users]
        participants = "TRY_CAST(to_json(participants) AS BIGINT[])"
        joined = f"SELECT id FROM conversation_details WHERE len(list_intersect({participants}, ?::BIGINT[])) > 0"  # noqa: S608
        talks += [talk for (talk,) in archive.ask(joined, guests)]
    talks = ids(talks)
    for table, key, order in (
        ("conversations", "id", "createdAt"),
        ("conversation_details", "id", "createdAt"),
        ("conversation_metrics", "conversationId", "createdAt"),
        ("messages", "conversationId", "createdAt"),
        ("attachments", "conversationId", "messageId"),
    ):
        if archive.has(table, key):
            place = f"{key}, {order}" if archive.has(table, order) else key
            if archive.has(table, "id"):
                place += ", id"
            person.rows[table] = list(archive.rows(table, f"{key} IN ({_IDS}) ORDER BY {place}", talks))
    others: set[int] = set()
    for message in person.rows.get("messages", []):
        author = message.get("author")
        author = author if isinstance(author, Mapping) else {}
        by_user = author.get("type") == "user"
        if by_user or author.get("id") not in person.contacts:
            # Where others were, and with which browser, is not about the person.
            message.pop("context", None)
            others |= set() if by_user else set(ids([author.get("id")]))
    person.not_followed = sorted(others)


def _find_meetings(archive: Archive, person: Person) -> None:
    if "meetings" not in archive.columns:
        return
    talks = _talks(person)
    known = {("schedulerId", contact) for contact in person.contacts} | {("conversationId", talk) for talk in talks}
    # A user of Drift is named in meetings with many people.
    addresses = set(person.other_addresses) if person.is_user else {person.address, *person.other_addresses}
    condition, *parameters = _may_contain("to_json(rows)", addresses)
    listed = [
        (f"{column} IN ({_IDS})", values)
        for column, values in (("schedulerId", list(person.contacts)), ("conversationId", talks))
        if archive.has("meetings", column)
    ]
    where = " OR ".join([condition, *(found for found, _ in listed)])
    rows = archive.rows("meetings", where, *parameters, *(values for _, values in listed))
    person.rows["meetings"] = [
        row
        for row in rows
        if any((name, row.get(name)) in known for name in ("schedulerId", "conversationId"))
        # An attendee, in a field that Drift does not document.
        or any(normalized(text) in addresses for text in strings(row))
    ]


def _talks(person: Person) -> list[int]:
    """Return the ids of the person's conversations, in whichever table they are."""
    return ids(
        [row.get("id") for table in ("conversations", "conversation_details") for row in person.rows.get(table, [])]
        + [
            row.get("conversationId")
            for table in ("messages", "conversation_metrics")
            for row in person.rows.get(table, [])
        ]
    )


def _users_named(person: Person) -> set[Any]:
    """Return the ids of the users whom the rows name."""
    named: set[Any] = set()
    for message in person.rows.get("messages", []):
        author = message.get("author")
        if isinstance(author, Mapping) and author.get("type") == "user":
            named.add(author.get("id"))
    for table, fields in (("meetings", ("agentId", "bookedBy")), ("conversation_metrics", ("lastAgentId",))):
        named |= {row.get(name) for row in person.rows.get(table, []) for name in fields}
    for details in person.rows.get("conversation_details", []):
        participants = details.get("participants")
        named |= set(ids(participants)) if isinstance(participants, list) else set()
    return named
