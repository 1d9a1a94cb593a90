"""Rows as requests to erase people, which Drift cannot undo, and the addresses that stay erased.

Drift erases all contacts and users with an address, at a time of its choice, and has no call that asks whether it did.
So nothing here says that somebody is erased: a request is accepted, and later its contacts are no longer found.
"""

from __future__ import annotations

import json
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from destination_drift.catalog import ERASURE_COLUMNS
from destination_drift.client import Client
from destination_drift.convert import converted, is_empty
from destination_drift.errors import ConfigError, Later, Rejected, TransientError, WouldWrite
from destination_drift.ledger import Ledger
from destination_drift.matching import Contact, Finder, Memory, email_of
from destination_drift.rows import DriftObject, Row
from destination_drift.settings import ErasureSettings

SCOPES = ("gdpr_write", "user_read")
MOST_CONTACTS = 20
DAY = 24 * 60 * 60 * 1000
APPROVAL_DAYS, OVERDUE_DAYS = 60, 7
LONGEST_WAIT = 60.0

# Addresses that Drift might read in another way, such as a pattern or another alphabet, are for a person to handle.
_EMAIL = re.compile(r"[A-Za-z0-9_.+'&=/~-]+@([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+")
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/#-]{0,99}")
# Outcomes of requests that are sent when their row comes again, and what becomes of an open request that is closed.
_UNSENT = ("started", "refused", "withdrawn")
_CLOSED = {"started": "withdrawn", "accepted": "closed"}
# What an export makes of a name that is missing, or of a box that is ticked.
_NO_NAMES = frozenset({"null", "none", "nan", "na", "n/a", "nil", "undefined", "unknown", "true", "false", "yes", "no"})


class _Request(NamedTuple):
    id: str
    email: str
    address_hash: str
    approved_by: str
    erases_users: bool
    allows: bool


class Erasures:
    """Sends the requests of one stream to Drift, after all other rows and only if they are few.

    Its rows share one lane, so they come one after the other.

    Args:
        columns: column -> column of a request.
        log: writes a line of a level.
        memory: what the run knows about contacts.
        wait: waits for so many seconds; True if the run ends.
        now: the time in epoch milliseconds.
    """

    def __init__(
        self,
        client: Client,
        ledger: Ledger,
        settings: ErasureSettings,
        columns: Mapping[str, str],
        *,
        log: Callable[[str, str], None],
        memory: Memory,
        wait: Callable[[float], object],
        dry_run: bool = False,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._client, self._ledger, self._settings, self._columns = client, ledger, settings, columns
        self._log, self._wait, self._dry_run, self._now = log, wait, dry_run, now
        self._finder = Finder(client, memory)
        self._waiting: dict[int, _Request] = {}
        self._too_many = False
        self._users: Counter[str] | None = None
        # Of this run only; the ledger has no addresses.
        self._addresses: dict[str, str] = {}
        self._newer: set[str] = set()

    def lane_keys(self, row: Row) -> frozenset[str]:
        return frozenset({"erasure_request"})

    def fold(self, rows: Sequence[Row]) -> Row | None:
        return None

    def write(self, row: Row) -> bool:
        """Check the row, and carry it out when it comes again after all others."""
        request = self._waiting.get(row.number)
        if request is None:
            request = self._request(row)
            if self._is_done(request):
                return False
            self._check_approval(self._values(row), request)
            if len(self._waiting) == self._settings.max_per_sync:
                self._too_many = True
            if self._too_many:
                raise Rejected("over_limit")
            self._waiting[row.number] = request
            raise Later
        if self._too_many:
            raise Rejected("over_limit")
        if any(other.id == request.id and _meant(other) != _meant(request) for other in self._waiting.values()):
            raise Rejected("not_approved", "request_id")
        if self._is_done(request):
            return False
        return self._allow(request) if request.allows else self._erase(request)

    def finish(self) -> None:
        """Look whether the contacts of accepted requests are still found, also of those of earlier runs.

        Raises:
            ConfigError: a request has been open for more than a week.
        """
        if self._dry_run:
            return
        wait = 1.0
        while still_open := self._look_again():
            until = max(accepted_at or 0 for _, _, accepted_at in still_open)
            if self._now() >= until + self._settings.confirm_within_minutes * 60_000 or self._wait(wait):
                break
            wait = min(2 * wait, LONGEST_WAIT)
        overdue = [name for name, since, _ in still_open if self._now() - since > OVERDUE_DAYS * DAY]
        if overdue:
            raise ConfigError(
                f"The erasure requests {', '.join(overdue)} have been open for more than {OVERDUE_DAYS} days. Ask "
                "Drift's support about the contacts, or send the row again if Drift did not accept it; "
                "destination-drift ledger close ends a request that stays open."
            )
        if still_open:
            self._log("INFO", f"{len(still_open)} erasure requests have contacts that Drift still finds.")

    # What a row asks for

    def _values(self, row: Row) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for column, value in row.data.items():
            name = self._columns.get(column, column)
            # Without a column that is misspelled or there twice, the row might mean the opposite.
            if name not in ERASURE_COLUMNS or name in values:
                raise Rejected("unknown_attribute", column)
            values[name] = value
        return values

    def _request(self, row: Row) -> _Request:
        values = self._values(row)
        given, email = values.get("request_id"), email_of(values)
        if is_empty(given) or email is None:
            raise Rejected("missing_key", "email" if email is None else "request_id")
        # It is logged, so it is no place for an address.
        if isinstance(given, bool) or not isinstance(given, str | int) or not _REQUEST_ID.fullmatch(str(given)):
            raise Rejected("wrong_type", "request_id")
        if not _EMAIL.fullmatch(email):
            raise Rejected("invalid_email", "email")
        flags = {
            name: not is_empty(values.get(name)) and converted(values[name], "BOOLEAN", name) is True
            for name in ("erase_user", "allow")
        }
        names = " ".join(self._ledger.hashed(str(values.get(name))) for name in ("requested_by", "approved_by"))
        return _Request(str(given), email, self._ledger.hashed(email), names, flags["erase_user"], flags["allow"])

    def _check_approval(self, values: Mapping[str, Any], request: _Request) -> None:
        domain = request.email.partition("@")[2].lower()
        protected = [one.lstrip("@").lower() for one in self._settings.protected_domains]
        if not request.allows and any(domain == one or domain.endswith(f".{one}") for one in protected):
            raise Rejected("not_approved", "email")
        names = {name: _names(values.get(name)) for name in ("requested_by", "approved_by")}
        if missing := [name for name, found in names.items() if not found]:
            raise Rejected("not_approved", missing[0])
        # Ann, Lee, Ann and ann.lee@example.com may all be the same person.
        if any(one <= other or other <= one for one in names["requested_by"] for other in names["approved_by"]):
            raise Rejected("not_approved", "approved_by")
        moments = {}
        for name in ("requested_at", "approved_at"):
            if is_empty(values.get(name)):
                raise Rejected("not_approved", name)
            moments[name] = int(converted(values[name], "DATETIME", name))
        requested, approved = moments.values()
        # The clock of a warehouse may have no time zone. An old approval is not for what there is today.
        is_recent = self._now() - APPROVAL_DAYS * DAY <= approved <= self._now() + DAY
        if not (is_recent and requested <= approved <= requested + APPROVAL_DAYS * DAY):
            raise Rejected("not_approved", "approved_at")

    def _is_done(self, request: _Request) -> bool:
        """Whether Drift has accepted the request, in this run or before.

        Raises:
            Rejected: `not_approved`, because another request has this ID.
        """
        with self._ledger.transaction() as rows:
            known = rows.execute(
                "SELECT address_hash, outcome FROM erasures WHERE request_id = ?", (request.id,)
            ).fetchone()
        if known is None:
            return False
        if known[0] != request.address_hash or (known[1] == "allowed") != request.allows:
            raise Rejected("not_approved", "request_id")
        return known[1] not in _UNSENT

    # Drift and the ledger

    def _allow(self, request: _Request) -> bool:
        if self._dry_run:
            raise WouldWrite
        with self._ledger.transaction() as rows:
            rows.execute(
                "INSERT INTO erasures (request_id, address_hash, outcome, started_at) VALUES (?, ?, 'allowed', ?)",
                (request.id, request.address_hash, self._now()),
            )
            changed = rows.execute(
                "UPDATE suppressed SET allowed_by = ? WHERE address_hash = ? AND allowed_by IS NULL",
                (request.approved_by, request.address_hash),
            )
            return changed.rowcount > 0

    def _erase(self, request: _Request) -> bool:
        contact_ids = {contact.id for contact in self._contacts(request.email)}
        if len(contact_ids) > MOST_CONTACTS:
            raise Rejected("ambiguous_match", "email")
        users = self._users_with(request.email)
        if users and not (self._settings.erase_users and request.erases_users):
            raise Rejected("a_drift_user", "email")
        if self._dry_run:
            raise WouldWrite
        now = self._now()
        with self._ledger.transaction() as rows:
            begun = rows.execute(
                "SELECT contact_ids, started_at FROM erasures WHERE request_id = ? AND outcome = 'started'",
                (request.id,),
            ).fetchone()
            # A run that was killed may have sent the request: those contacts are perhaps no longer found already.
            contact_ids.update(json.loads(begun[0]) if begun else ())
            rows.execute(
                "INSERT OR REPLACE INTO erasures VALUES (?, ?, 'started', ?, ?, ?, ?, NULL, NULL)",
                (
                    request.id,
                    request.address_hash,
                    json.dumps(sorted(contact_ids)),
                    len(contact_ids),
                    users,
                    begun[1] if begun else now,
                ),
            )
            rows.execute(
                "INSERT INTO suppressed VALUES (?, ?, NULL) ON CONFLICT (address_hash) "
                "DO UPDATE SET since = excluded.since, allowed_by = NULL WHERE allowed_by IS NOT NULL",
                (request.address_hash, now),
            )
        # If this is sent twice, it erases what is left.
        answer = self._client.send("POST", "/gdpr/delete", {"email": request.email})
        if answer.status >= 400:
            self._set(request.id, "outcome = 'refused', contact_ids = NULL")
            raise Rejected("refused_by_drift", status=answer.status)
        if not isinstance(answer.body, dict):
            raise TransientError("Drift did not answer an erasure request with JSON. Run the sync again later.")
        self._addresses[request.id] = request.email
        self._set(request.id, f"outcome = 'accepted', accepted_at = {self._now()}")
        self._log("INFO", f"Drift accepted the erasure request {request.id}.")
        return True

    def _look_again(self) -> list[tuple[str, int, int | None]]:
        """Return the requests that are still open: ID, start, and when Drift accepted them."""
        with self._ledger.transaction() as rows:
            known = rows.execute(
                "SELECT request_id, started_at, accepted_at, contact_ids FROM erasures "
                "WHERE outcome IN ('started', 'accepted') ORDER BY started_at"
            ).fetchall()
        still_open = []
        for request_id, started_at, accepted_at, contact_ids in known:
            if accepted_at is None or self._is_found(request_id, started_at, json.loads(contact_ids)):
                still_open.append((request_id, started_at, accepted_at))
                continue
            confirmed = f"outcome = 'no longer found', contact_ids = NULL, confirmed_at = {self._now()}"
            self._set(request_id, confirmed, contact_ids)
            self._log("INFO", f"The contacts of the erasure request {request_id} are no longer found.")
        return still_open

    def _is_found(self, request_id: str, started_at: int, contact_ids: list[int]) -> bool:
        try:
            by_email = self._contacts(self._addresses[request_id]) if request_id in self._addresses else []
        except Rejected:
            return True
        newer = [one.id for one in by_email if one.id not in contact_ids and one.created_at >= started_at]
        if newer and request_id not in self._newer:
            self._newer.add(request_id)
            self._log("WARN", f"A contact is newer than the erasure request {request_id} of its address.")
        return len(by_email) > len(newer) or not all(self._is_gone(contact_id) for contact_id in contact_ids)

    def _is_gone(self, contact_id: int) -> bool:
        """Whether Drift itself, not a gateway, says that there is no such contact."""
        status, body = self._client.get(f"/contacts/{contact_id}")
        if not isinstance(body, dict):
            return False
        return status in (404, 410) or (status < 400 and "data" in body and not body["data"])

    def _contacts(self, email: str) -> list[Contact]:
        spellings = dict.fromkeys((email, email.lower()))
        return list({one.id: one for spelling in spellings for one in self._finder.by_email(spelling)}.values())

    def _users_with(self, email: str) -> int:
        """Return how many users of Drift have the address."""
        if self._users is None:
            status, body = self._client.get("/users/list")
            users = body.get("data") if status < 400 and isinstance(body, dict) else None
            # An organization without any user does not exist.
            if not users or not isinstance(users, list) or not all(isinstance(user, dict) for user in users):
                raise TransientError("Drift did not list its users, so nobody is erased. Run the sync again later.")
            self._users = Counter(str(user.get("email")).strip().lower() for user in users)
        return self._users[email.lower()]

    def _set(self, request_id: str, assignment: str, contact_ids: str = "[]") -> None:
        with self._ledger.transaction() as rows:
            rows.execute(f"UPDATE erasures SET {assignment} WHERE request_id = ?", (request_id,))  # noqa: S608
            rows.executemany("DELETE FROM members WHERE contact_id = ?", [(one,) for one in json.loads(contact_ids)])


def close_request(ledger: Ledger, request_id: str, now: int) -> str:
    """End an open request because a person decides so, and return a sentence about it.

    Drift is not asked. A request that Drift accepted counts as done; any other can be sent again. The address stays
    suppressed, and a request that is not open stays as it is.

    Raises:
        ConfigError: the ledger does not know the ID.
    """
    with ledger.transaction() as rows:
        known = rows.execute("SELECT outcome FROM erasures WHERE request_id = ?", (request_id,)).fetchone()
        if known is None:
            # What is no ID of a request may be an address.
            raise ConfigError("The ledger has no request with this ID. Use the request_id of its row.")
        (outcome,) = known
        if outcome not in _CLOSED:
            return f'The request {request_id} is not open, its outcome is "{outcome}". Nothing was changed.'
        # Members stay: Drift still has the contact, and a mirror may have to take its mark away.
        rows.execute(
            "UPDATE erasures SET outcome = ?, contact_ids = NULL, confirmed_at = ? WHERE request_id = ?",
            (_CLOSED[outcome], now, request_id),
        )
    if outcome == "accepted":
        return f"The erasure request {request_id} is closed. Drift accepted it; whether it erased is not known."
    return (
        f"The erasure request {request_id} is withdrawn. Whether Drift received it is not known; if its row comes "
        "again, it is sent again."
    )


class Unsuppressed:
    """Writes rows to `target`, except those with an address that was erased.

    Args:
        columns: column -> attribute of Drift.
    """

    def __init__(self, target: DriftObject, columns: Mapping[str, str], ledger: Ledger) -> None:
        self._columns, self._ledger = columns, ledger
        self._target = target
        self.fold, self.write, self.finish = target.fold, target.write, target.finish

    def lane_keys(self, row: Row) -> frozenset[str]:
        keys = self._target.lane_keys(row)
        for column, value in row.data.items():
            email = email_of({"email": value}) if self._columns.get(column, column) == "email" else None
            if email and self._is_suppressed(email):
                raise Rejected("suppressed", "email")
        return keys

    def _is_suppressed(self, email: str) -> bool:
        with self._ledger.transaction() as rows:
            found = rows.execute(
                "SELECT 1 FROM suppressed WHERE address_hash = ? AND allowed_by IS NULL", (self._ledger.hashed(email),)
            )
            return found.fetchone() is not None


def _meant(request: _Request) -> tuple[str, bool]:
    return request.address_hash, request.allows


def _names(person: Any) -> list[frozenset[str]]:
    """Return the words of a person's name, and those of each address that is given with it; none if it is no name."""
    if not isinstance(person, str):
        return []
    text = unicodedata.normalize("NFKD", person.strip()).casefold()
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    if len(text) < 2 or text in _NO_NAMES or not text.isprintable():
        return []
    local_parts = re.findall(r"([^\s<>()@,;:\"]+)@", text)
    parts = [re.sub(r"\S+@\S+", " ", text), *(local.partition("+")[0] for local in local_parts)]
    words = [frozenset(re.findall(r"[^\W_]+", part)) for part in parts]
    return [one for one in words if one]
