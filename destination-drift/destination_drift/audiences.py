"""Rows as members of an audience: contacts that have a mark, which is an attribute or a tag.

Drift lists neither the contacts with a mark nor those without it. So a mirror, which removes who has left the list,
knows only whom it added itself: the ledger has each of them before Drift has.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, NoReturn

from destination_drift.client import Client
from destination_drift.contacts import READ_BACK_EVERY, WAITS, Contacts, Vanished
from destination_drift.convert import converted, is_empty
from destination_drift.errors import ConfigError, Later, Rejected
from destination_drift.ledger import Ledger
from destination_drift.matching import MATCHED, Contact, Memory, keys_of
from destination_drift.rows import Row
from destination_drift.settings import AudienceSettings, MatchBy, OnAmbiguous

MOST_LATE = 10_000
MOST_REJECTED_PERCENT = 5
"""A mirror removes nobody if more of its rows were rejected."""

_REMOVING_WORKERS = 8


class Audience(Contacts):
    """Adds the contacts of one stream's rows to an audience, or removes them; it creates no contact.

    A row says with the column `member` whether its contact is a member. Without the column it is one, except that it is
    removed with the mode `remove`, which never adds anyone. A row without a contact is written again after all others.

    A mirror removes the members that its ledger has and that are not among the rows. It removes nobody if that would be
    too many, if the rows have no member at all, or if too many rows were rejected. A member whose own row was rejected
    stays.

    Args:
        columns: column -> attribute; only the keys and `member` are used.
        ledger: of a mirror.

    Raises:
        ConfigError: the name cannot be part of an attribute's name. Also from `write`, if Drift accepts the mark and
            does not store it, and from `finish`, if a mirror removes nobody.
    """

    def __init__(
        self,
        client: Client,
        audience: AudienceSettings,
        *,
        matching: MatchBy,
        columns: Mapping[str, str],
        on_ambiguous: OnAmbiguous,
        warn: Callable[[str], None],
        memory: Memory,
        ledger: Ledger | None = None,
        dry_run: bool = False,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._audience, self._ledger, self._dry_run = audience, ledger, dry_run
        if audience.method == "attribute" and not re.fullmatch("[A-Za-z0-9_]+", audience.name):
            raise ConfigError(
                f"The audience {audience.name} cannot be an attribute. Use letters, digits and underscores in its name."
            )
        self._mark = f"audience_{audience.name}"
        super().__init__(
            client,
            matching=matching,
            mode="update",
            columns={},
            attributes={},
            on_ambiguous=on_ambiguous,
            empty_values="ignore",
            unknown_attributes="drop",
            warn=warn,
            memory=memory,
            sleep=sleep,
        )
        used = {"email", "externalId", "member", *MATCHED[matching]}
        self._used = {column: attribute for column, attribute in columns.items() if attribute in used}
        self._lock = Lock()
        # Rows that were postponed, and their keys.
        self._late: set[int] = set()
        self._late_keys: set[Any] = set()
        # Of a mirror: contacts among the rows, contacts that are new in the ledger, and hashed keys of rejected rows.
        self._listed: set[int] = set()
        self._added: set[int] = set()
        self._rejected: set[str] = set()
        self._rows = self._rejections = 0

    def lane_keys(self, row: Row) -> frozenset[str]:
        self._rows += 1
        try:
            return super().lane_keys(row)
        except Rejected:
            self._reject(value for name, value in self._mapped(row).items() if name != "member")
            raise

    def fold(self, rows: Sequence[Row]) -> Row | None:
        """Each row is counted alone."""
        return None

    def write(self, row: Row) -> bool:
        keys = set(keys_of(self._mapped(row), self._matching).named.items())
        with self._lock:
            is_first_time = row.number not in self._late
            # It must not overtake a row about the same contact.
            if is_first_time and keys & self._late_keys:
                self._postpone(row, keys)
        try:
            return super().write(row)
        except Rejected as rejected:
            with self._lock:
                if rejected.code == "no_match" and is_first_time and len(self._late) < MOST_LATE:
                    self._postpone(row, keys)
            self._reject(value for _, value in keys)
            raise

    def finish(self) -> None:
        """Remove the members that are not among the rows of a mirror."""
        if self._ledger is None:
            return
        with self._ledger.transaction() as table:
            members = table.execute(
                "SELECT contact_id, key_hash, mirrored FROM members WHERE audience = ?", (self._key,)
            ).fetchall()
        leaving = {one for one, key, _ in members if one not in self._listed and key not in self._rejected}
        # Those that an incomplete mirror added do not count twice: it may have had a wrong list.
        self._check(leaving, [{one for one, _, _ in members} - self._added, {one for one, _, old in members if old}])
        if self._dry_run:
            self._warn(f"{len(leaving)} members of the audience {self._audience.name} would be removed.")
            return
        refused = 0
        with ThreadPoolExecutor(_REMOVING_WORKERS) as pool:
            ids = sorted(leaving)
            # In small parts, so that an error ends it soon.
            for start in range(0, len(ids), _REMOVING_WORKERS):
                refused += sum(pool.map(self._refuses_to_leave, ids[start : start + _REMOVING_WORKERS]))
        if refused:
            self._warn(f"{refused} members of the audience {self._audience.name} could not be removed.")
        with self._ledger.transaction() as table:
            table.execute("UPDATE members SET mirrored = TRUE WHERE audience = ?", (self._key,))

    # Rows

    def _mapped(self, row: Row) -> dict[str, Any]:
        return {attribute: row.data[column] for column, attribute in self._used.items() if column in row.data}

    def _values(self, mapped: Mapping[str, Any]) -> dict[str, Any]:
        is_member = self._audience.mode != "remove"
        if "member" in mapped:
            is_member = bool(converted(mapped["member"], "BOOLEAN", "member"))
        return {self._mark: is_member}

    def _postpone(self, row: Row, keys: set[Any]) -> NoReturn:
        self._late.add(row.number)
        self._late_keys |= keys
        raise Later

    def _reject(self, keys: Iterable[Any]) -> None:
        """Count a rejected row, and let a mirror not remove the member that it is about."""
        with self._lock:
            self._rejections += 1
            if self._ledger:
                self._rejected.update(self._ledger.hashed(str(key)) for key in keys if not is_empty(key))

    # Contacts

    def _change(self, found: Sequence[Contact], values: Mapping[str, Any]) -> bool:
        is_member, mode = values[self._mark], self._audience.mode
        if mode == "mirror":
            ids = {contact.id for contact in found}
            with self._lock:
                (self._listed.update if is_member else self._listed.difference_update)(ids)
            if not is_member:
                # It leaves at the end, within the limits.
                return False
        elif mode == "remove" and is_member:
            return False
        return super()._change(found, values)

    def _patch(self, contact: Contact, values: Mapping[str, Any]) -> bool:
        is_member = values[self._mark]
        if self._has_mark(contact) == is_member:
            return False
        is_new = is_member and self._remember(contact)
        try:
            if self._audience.method == "attribute":
                return super()._patch(contact, values)
            return self._tag(contact, is_member)
        except (Rejected, Vanished):
            if is_new:
                self._forget(contact.id)
            raise

    def _has_mark(self, contact: Contact) -> bool:
        if self._audience.method == "tag":
            tags = contact.attributes.get("tags") or []
            return self._audience.name.lower() in {str(tag.get("name")).lower() for tag in tags}
        value = contact.attributes.get(self._mark)
        # Another value than true and false is not this connector's.
        return not is_empty(value) and bool(converted(value, "BOOLEAN", self._mark))

    def _tag(self, contact: Contact, is_member: bool) -> bool:
        # Not DELETE with the name in the path, where the name ".." would take the contact out of Drift's index.
        path, body = (
            ("/tags", {"name": self._audience.name}) if is_member else ("/tags/delete/_bulk", self._audience.name)
        )
        answer = self._client.send("POST", f"/contacts/{contact.id}{path}", [body])
        if answer.status == 404 and not self._finder.by_id(contact.id):
            raise Vanished
        if answer.status >= 400 and answer.status != 404:
            raise Rejected("refused_by_drift", status=answer.status)
        if answer.status == 404 or (next(self._writes) % READ_BACK_EVERY == 0 and not self._sticks(contact, is_member)):
            raise ConfigError(
                "Drift accepts no tags for contacts, or does not store them. Set the method of the audience "
                f"{self._audience.name} to attribute."
            )
        return True

    def _sticks(self, contact: Contact, is_member: bool) -> bool:
        for wait in (0.0, *WAITS):
            self._sleep(wait)
            if all(self._has_mark(after) == is_member for after in self._finder.by_id(contact.id)):
                return True
        return False

    # The ledger

    @property
    def _key(self) -> str:
        """What the ledger has instead of the audience: two streams never remove each other's members."""
        return json.dumps([self._audience.stream, self._audience.method, self._audience.name])

    def _remember(self, contact: Contact) -> bool:
        """Record a member before Drift has it. Return whether it is new."""
        if not self._ledger or self._dry_run:
            return False
        names = (name for name in MATCHED[self._matching] if not is_empty(contact.attributes.get(name)))
        key = str(contact.attributes.get(next(names, ""), contact.id))
        with self._ledger.transaction() as table:
            done = table.execute(
                "INSERT OR IGNORE INTO members (audience, contact_id, key_hash, added_at) VALUES (?, ?, ?, ?)",
                (self._key, contact.id, self._ledger.hashed(key), time.time_ns() // 1_000_000),
            )
        if done.rowcount:
            with self._lock:
                self._added.add(contact.id)
        return done.rowcount == 1

    def _forget(self, contact_id: int) -> None:
        if self._ledger:
            with self._ledger.transaction() as table:
                table.execute("DELETE FROM members WHERE audience = ? AND contact_id = ?", (self._key, contact_id))

    # The end of a mirror

    def _check(self, leaving: set[int], groups: Sequence[set[int]]) -> None:
        """Raise an error if somebody would be removed who should perhaps stay."""
        limits = self._audience
        reason = None
        if not self._listed and not limits.allow_empty:
            reason = "the stream has no member. Correct the source, or set allow_empty"
        elif self._rejections * 100 > MOST_REJECTED_PERCENT * self._rows:
            reason = f"{self._rejections} of {self._rows} rows were rejected. Correct the rows"
        elif len(leaving) > limits.max_removed:
            reason = f"max_removed is {limits.max_removed}. Correct the source, or raise max_removed for a sync"
        elif any(len(group & leaving) * 100 > limits.max_removed_percent * len(group) for group in groups):
            reason = f"max_removed_percent is {limits.max_removed_percent}. Correct the source, or raise it for a sync"
        if leaving and reason:
            raise ConfigError(
                f"No member of the audience {limits.name} was removed. {len(leaving)} of {len(groups[0])} would be "
                f"removed, but {reason}."
            )

    def _refuses_to_leave(self, contact_id: int) -> bool:
        try:
            for contact in self._finder.by_id(contact_id):
                self._patch(contact, {self._mark: False})
        except Rejected:
            return True
        except Vanished:
            pass
        self._forget(contact_id)
        return False
