"""The command `source-drift person`: reads an address from standard input and writes a private folder."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from source_drift.archive.errors import ArchiveError
from source_drift.archive.tables import SYNCED_AT
from source_drift.person.archive import Archive, Row, iso
from source_drift.person.page import page
from source_drift.person.redaction import Redaction
from source_drift.person.search import CONTACTS, TABLES, UNNAMED, Person, own_addresses, search
from source_drift.person.text import moment
from source_drift.words import counted, strings

NOBODY = 3
_LONGEST_INPUT = 10_000
_SYNCS = "_drift_syncs"
# What a user is to a person who asks; the rest of the row is about the user.
_OF_USERS = ("id", "name", "alias", "bot", SYNCED_AT)

HOW = [
    "Addresses are compared as a whole, in lower case and without surrounding blanks. A part of an address never "
    "matches.",
    "A contact belongs to the person if one of its own addresses is the one that was asked for, or another address "
    "of a contact that has it. Own addresses are the attribute email and attributes such as work_email, email2 or "
    "emails. Addresses of Drift users do not count, and this step is not repeated.",
    "A contact without an address belongs to the person if it wrote in a conversation of the person and has no "
    "connection to a contact of somebody else.",
    "A conversation is included if it belongs to one of these contacts, or if one of them wrote in it or took part."
    " It comes with the messages of all authors.",
    "A meeting is included if one of these contacts booked it, if it belongs to one of these conversations, or if "
    "one of its fields is an address of the person.",
    "The context of a message (IP address, browser, place) is included only if the person wrote the message.",
]
LIMITS = [
    "Drift has no list of all contacts. A contact without a conversation is included only if its address was "
    "looked up.",
    "Drift returns no meetings that were more than 30 days in the past at the first sync.",
    "Page views, calls, email sequences and the names of inboxes cannot be read from Drift.",
    "What was deleted in Drift before the first sync is missing. What was deleted later may still be here.",
    "Attributes that changed without a conversation may be out of date.",
    "Conversations of other people that only mention the person are not included.",
    "Copies in other systems, such as a CRM, are not included.",
]
_REDACTED = (
    "Names, aliases and email addresses of Drift users who are not bots are replaced by Drift user N, in all "
    "fields and in message texts. A name that is also the person's own stays. First names, nicknames and "
    "misspellings in texts are not found: read the page before you send it."
)


class _UsageError(Exception):
    """The arguments cannot be used."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # An argument in the wrong place may be an address, which no log is to hold.
        raise _UsageError("An option has a value that it does not take." if "@" in message else f"{message}.")


@dataclass(frozen=True)
class _Options:
    archive: Path
    out: Path
    redact_staff: bool


def main(arguments: Sequence[str]) -> int:
    """Write what an archive holds about one person into a new folder, and return the exit code.

    0: the folder holds person.json, person.html and manifest.json. 1: the archive or the folder cannot be used.
    2: the arguments or the address cannot be used. 3: the archive holds nothing about the person; there is no folder.
    Nothing that is printed holds the address.
    """
    try:
        options = _options(arguments)
        address = _address()
    except _UsageError as error:
        print(f"source-drift person: {error}", file=sys.stderr)
        return 2
    try:
        _refuse_what_is_there(options.out)
        with Archive(options.archive) as archive:
            person = search(archive, address)
            if not person.found:
                print(_nobody(person), file=sys.stderr)
                return NOBODY
            contents = _contents(archive, person, options)
        _write(options.out, contents)
    except ArchiveError as error:
        print(f"source-drift person: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"source-drift person: {options.out} cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    print(_summary(person, options))
    return 0


def _options(arguments: Sequence[str]) -> _Options:
    parser = _Parser(
        prog="source-drift person",
        allow_abbrev=False,
        description="Write everything that an archive holds about one person into a private folder. The email address "
        "is read from standard input.",
        epilog="Exit code 3: the archive holds nothing about the person.",
    )
    parser.add_argument("--archive", type=Path, required=True, help="the DuckDB file of source-drift archive")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder that is new or empty")
    parser.add_argument(
        "--redact-staff",
        action="store_true",
        help="replace names and email addresses of Drift users by Drift user N, in message texts too",
    )
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise _UsageError("Unknown argument. The address is read from standard input, never from the command line.")
    return _Options(parsed.archive, parsed.out, parsed.redact_staff)


def _address() -> str:
    if sys.stdin.isatty():
        print("Email address: ", end="", file=sys.stderr, flush=True)
        given = sys.stdin.readline()
    else:
        given = sys.stdin.read(_LONGEST_INPUT)
    lines = [line.strip() for line in given.removeprefix("\ufeff").splitlines() if line.strip()]
    if len(lines) != 1 or "@" not in lines[0] or len(lines[0].split()) != 1:
        raise _UsageError("Standard input must hold one email address and nothing else.")
    return lines[0]


def _refuse_what_is_there(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArchiveError(f"{folder} already exists and is not an empty folder. Name a new one with --out.")


def _nobody(person: Person) -> str:
    if person.is_user:
        return "No contact in the archive has this address. It belongs to a Drift user; the users table holds that row."
    return "The archive holds nothing about a person with this address."


def _contents(archive: Archive, person: Person, options: _Options) -> dict[str, bytes]:
    """Return the files of the folder by name."""
    made_at = datetime.now(UTC)
    syncs = _syncs(archive)
    rows = {
        **person.rows,
        "users": [{name: user[name] for name in _OF_USERS if name in user} for user in person.rows.get("users", [])],
    }
    if options.redact_staff:
        rows = _redacted(archive, person, rows)
    newest = max((str(sync.get("ended") or "") for sync in syncs.values()), default="")
    about = [
        f"This page shows what a copy of Drift holds about the person with the address {person.address}.",
        f"It was made on {moment(_iso(made_at))}."
        + (f" The copy was last synced on {moment(newest)}." if newest else ""),
        "Times are in Coordinated Universal Time (UTC). The names of fields are Drift's own.",
    ]
    if options.redact_staff:
        about.append("Names and email addresses of employees are replaced by “Drift user” and a number.")
    limits = [*LIMITS, *(f"{table}: not in this archive." for table in TABLES if table not in archive.columns)]
    html = page(rows, list(person.contacts), title="Your data in Drift", about=about, limits=limits)
    record = {"address": person.address, "other_addresses": person.other_addresses, "made_at": _iso(made_at), **rows}
    files = {"person.json": _json(record), "person.html": html.encode()}
    manifest = {
        "made_at": _iso(made_at),
        "searched": {
            "address": person.address,
            "other_addresses": person.other_addresses,
            "how": HOW,
            "contacts": [{"id": contact, "found_because_it": how} for contact, how in person.contacts.items()],
            "contacts_not_followed": {
                "about": "Other contacts who wrote in these conversations. Check whether one of them is the person.",
                "ids": person.not_followed,
            },
        },
        "tables": {table: _described(archive, table, rows, syncs) for table in TABLES},
        "staff": _REDACTED if options.redact_staff else "No names are hidden.",
        "cannot_hold": LIMITS,
        "files": {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        },
    }
    return files | {"manifest.json": _json(manifest)}


def _redacted(archive: Archive, person: Person, rows: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    if "users" not in archive.columns:
        raise ArchiveError(
            "--redact-staff needs the users table, which this archive lacks. Sync the users stream first."
        )
    contacts = [row for table in CONTACTS for row in person.rows.get(table, [])]
    attributes = [row["attributes"] for row in contacts if isinstance(row.get("attributes"), Mapping)]
    names = [
        text for one in attributes for key, value in one.items() if "name" in key.lower() for text in strings(value)
    ]
    own = [person.address, *person.other_addresses, *names, *(mail for row in contacts for mail in own_addresses(row))]
    redaction = Redaction(archive.rows("users", "true"), own)
    redacted: dict[str, list[Row]] = {table: redaction.applied(found) for table, found in rows.items()}
    redacted["users"] = [
        user if label is None else {name: user[name] for name in ("id", SYNCED_AT) if name in user} | {"name": label}
        for user in rows["users"]
        for label in [redaction.label(user)]
    ]
    return redacted


def _syncs(archive: Archive) -> dict[str, Row]:
    """Return the newest sync of each stream, without the text of its error."""
    if not archive.has(_SYNCS, "stream", "started"):
        return {}
    newest: dict[str, Row] = {}
    for sync in archive.rows(_SYNCS, "true ORDER BY started"):
        kept = ("started", "ended", "outcome", "records", "warnings")
        newest[str(sync.get("stream"))] = {
            name: iso(sync[name]) if isinstance(sync[name], str) else sync[name] for name in kept if name in sync
        }
    return newest


def _described(archive: Archive, table: str, rows: Mapping[str, list[Row]], syncs: Mapping[str, Row]) -> Any:
    if table not in archive.columns:
        return "not in this archive"
    return {"rows": len(rows.get(table, [])), "last_sync": syncs.get(table, "not recorded in this archive")}


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files into a folder that only its owner can open; leave none of them behind if one fails."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    written = []
    try:
        for name, content in contents.items():
            written.append(folder / name)
            (folder / name).touch(mode=0o600, exist_ok=False)
            (folder / name).write_bytes(content)
    except OSError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _summary(person: Person, options: _Options) -> str:
    counts = [
        (len(person.contacts), "contact"),
        (len(person.rows.get("conversations") or person.rows.get("conversation_details") or ()), "conversation"),
        (len(person.rows.get("messages", ())), "message"),
        (len(person.rows.get("meetings", ())), "meeting"),
        (len(person.rows.get("attachments", ())), "file"),
    ]
    found = ", ".join(counted(number, noun) for number, noun in counts)
    lines = [f"{found}, written to {options.out}."]
    if UNNAMED in person.contacts.values() or person.not_followed:
        lines.append("Check the contacts in manifest.json: some have no address, or are other people who wrote.")
    lines.append("Read person.html before you send it: conversations also hold words and names of others.")
    return "\n".join(lines)


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
