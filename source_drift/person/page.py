"""`person.html`: what an archive holds about one person, for that person to read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Template

from source_drift.archive.tables import SYNCED_AT
from source_drift.pages import environment
from source_drift.person.archive import Row
from source_drift.person.search import CONTACTS
from source_drift.person.text import moment, plain

# Millisecond times from 2001 on; numbers of people are smaller, ids of Drift too.
_TIMES = range(1_000_000_000_000, 4_102_444_800_000)


@dataclass(frozen=True)
class Message:
    author: str
    mine: bool
    at: str | None
    text: str
    note: bool
    files: Sequence[str]


@dataclass(frozen=True)
class Section:
    """A contact, a conversation or a meeting: a title, facts with their labels, and the messages of a conversation."""

    title: str
    facts: Sequence[tuple[str, str]]
    synced_at: str | None
    messages: Sequence[Message] = ()


def page(rows: Mapping[str, Sequence[Row]], contacts: Sequence[int], **more: Any) -> str:
    """Return the page for the rows of a person's tables; `contacts` are the ids of the person.

    `more` holds what the template shows as it is: `title`, `made_at`, `about`, `limits`.
    """
    names = {user.get("id"): str(user.get("alias") or user.get("name") or "") for user in rows.get("users", [])}
    return _template().render(
        contacts=_contacts(rows),
        conversations=_conversations(rows, contacts, names),
        meetings=[_section(_when("Meeting", row.get("slotStart")), row) for row in rows.get("meetings", [])],
        files=rows.get("attachments", []),
        **more,
    )


def _contacts(rows: Mapping[str, Sequence[Row]]) -> list[Section]:
    known: dict[Any, Row] = {}
    # The newest last: where two tables have a contact, one may have its address and the other not.
    for row in sorted((row for table in CONTACTS for row in rows.get(table, [])), key=_synced):
        attributes = row.get("attributes")
        flat = {**row, **attributes, SYNCED_AT: _synced(row)} if isinstance(attributes, Mapping) else row
        number = row.get("id")
        known[number] = known.get(number, {}) | {name: value for name, value in flat.items() if name != "attributes"}
    return [_section(f"Contact {number}", row) for number, row in sorted(known.items(), key=lambda item: str(item[0]))]


def _conversations(
    rows: Mapping[str, Sequence[Row]], contacts: Sequence[int], names: Mapping[Any, str]
) -> list[Section]:
    talks: dict[Any, Row] = {}
    synced: dict[Any, str] = {}
    keys = {"conversations": "id", "conversation_details": "id", "conversation_metrics": "conversationId"}
    for table, key in keys.items():
        for row in rows.get(table, []):
            talk = row.get(key)
            talks[talk] = talks.get(talk, {"id": talk}) | row
            synced[talk] = max(synced.get(talk, ""), _synced(row))
    messages: dict[Any, list[Message]] = {}
    for row in rows.get("messages", []):
        talk = row.get("conversationId")
        talks.setdefault(talk, {"id": talk})
        synced[talk] = max(synced.get(talk, ""), _synced(row))
        messages.setdefault(talk, []).append(_message(row, contacts, names))
    sections = []
    for talk, row in sorted(talks.items(), key=lambda item: _number(item[1].get("createdAt"))):
        participants = row.get("participants")
        shown = {name: value for name, value in row.items() if name not in ("conversationId", "endUserId")}
        if isinstance(participants, list):
            shown["participants"] = [names.get(one) or one for one in participants if isinstance(one, int)]
        if row.get("lastAgentId") in names:
            shown["lastAgentId"] = names[row["lastAgentId"]] or row["lastAgentId"]
        shown[SYNCED_AT] = synced.get(talk)
        sections.append(_section(_when(f"Conversation {talk}", row.get("createdAt")), shown, messages.get(talk, [])))
    return sections


def _message(row: Row, contacts: Sequence[int], names: Mapping[Any, str]) -> Message:
    author = row.get("author")
    author = author if isinstance(author, Mapping) else {}
    number = author.get("id")
    by_contact = author.get("type") != "user"
    mine = by_contact and number in contacts
    if mine:
        name = "You"
    elif author.get("bot"):
        name = names.get(number) or "Bot"
    elif by_contact:
        name = f"Contact {number}" if number else "Unknown"
    else:
        name = names.get(number) or f"Drift user {number}"
    return Message(
        author=name,
        mine=mine,
        at=moment(row.get("createdAt")),
        text=plain(row["body"]) if isinstance(row.get("body"), str) else "",
        note=row.get("type") == "private_note",
        files=_file_names(row.get("attachments")),
    )


def _file_names(attachments: Any) -> list[str]:
    found = []
    for entry in attachments if isinstance(attachments, list) else [attachments]:
        if isinstance(entry, Mapping):
            found.append(str(entry.get("fileName") or entry.get("id") or "unnamed"))
        elif entry is not None:
            found.append(str(entry))
    return found


def _section(title: str, row: Mapping[str, Any], messages: Sequence[Message] = ()) -> Section:
    facts = [(name, _shown(value)) for name, value in row.items() if name != SYNCED_AT]
    return Section(title, [(name, text) for name, text in facts if text], moment(row.get(SYNCED_AT)), messages)


def _shown(value: Any) -> str:
    """Return a value of Drift as text; empty for what holds nothing."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and value in _TIMES:
        return moment(value) or str(value)
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _synced(row: Row) -> str:
    return str(row.get(SYNCED_AT) or "")


def _when(title: str, at: Any) -> str:
    known = moment(at)
    return f"{title}, {known}" if known else title


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0


@cache
def _template() -> Template:
    return environment(Path(__file__).parent).get_template("page.html.jinja")
