"""Rows as contacts: found by their keys and changed, or created.

Drift has no call that does both. A contact is created only after a look-up found none, and a request to create one
whose outcome is unknown is not repeated before another look-up: two contacts for one person are worse than a row that
is rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from destination_drift.catalog import Mode, is_protected
from destination_drift.client import Client
from destination_drift.convert import converted, differs, is_empty
from destination_drift.errors import ConfigError, OutcomeUnknown, Rejected, TransientError
from destination_drift.matching import MATCHED, Contact, Finder, Keys, Memory, email_of, external_id_of, keys_of
from destination_drift.rows import Row
from destination_drift.settings import EmptyValues, MatchBy, OnAmbiguous, UnknownAttributes

WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further look-up of a contact that should be there: how soon Drift finds it is not documented."""
READ_BACK_EVERY = 100

_OWN = {"email": "STRING", "externalId": "STRING", "name": "STRING", "phone": "STRING"}
_MOST_POSTS = 4


class Vanished(Exception):
    """The contact no longer exists."""


class Contacts:
    """Writes the rows of one stream to contacts. Several threads use it.

    A row changes only the attributes that differ.

    Args:
        columns: column -> attribute of Drift.
        attributes: the organization's attributes -> their types.
        on_ambiguous: what to do if several contacts match.
        empty_values: `write` sends "" for null and "", but never for an email or an external ID.
        unknown_attributes: of columns without an attribute.
        memory: share one between the streams of a run.
        sleep: waits for Drift's index; by default `client.wait`, which ends with the run.

    Raises:
        ConfigError: columns have no attribute or one that only Drift sets. Also from `write`, if Drift accepts values
            and does not store them.
    """

    def __init__(
        self,
        client: Client,
        *,
        matching: MatchBy,
        mode: Mode,
        columns: Mapping[str, str],
        attributes: Mapping[str, str],
        on_ambiguous: OnAmbiguous,
        empty_values: EmptyValues,
        unknown_attributes: UnknownAttributes,
        warn: Callable[[str], None],
        memory: Memory | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._client, self._matching, self._mode = client, matching, mode
        self._on_ambiguous, self._empty_values, self._unknown = on_ambiguous, empty_values, unknown_attributes
        self._warn, self._sleep = warn, sleep or client.wait
        self._types = {**attributes, **_OWN}
        self._columns = self._checked(columns)
        self._memory = memory or Memory()
        self._finder = Finder(client, self._memory)
        self._writes = count()
        self._warned_of_guessable = False
        self._duplicates_are_409 = False

    def lane_keys(self, row: Row) -> frozenset[str]:
        keys = keys_of(self._mapped(row), self._matching)
        if keys.external_id is not None and self._matching.startswith("external_id"):
            self._finder.expect(keys.external_id)
        return frozenset(f"{name}:{value}" for name, value in keys.named.items())

    def fold(self, rows: Sequence[Row]) -> Row | None:
        """Later fields win. A row that would be rejected alone is not folded, so that it still is."""
        merged: dict[str, Any] = {}
        try:
            for row in rows:
                self._values(self._mapped(row))
                for column, value in row.data.items():
                    if column not in merged or self._empty_values == "write" or not is_empty(value):
                        merged[column] = value
        except Rejected:
            return None
        return Row(rows[-1].stream, rows[-1].number, merged)

    def write(self, row: Row) -> bool:
        mapped = self._mapped(row)
        keys, values = keys_of(mapped, self._matching), self._values(mapped)
        for _ in range(2):
            try:
                found = self._find(keys)
                return self._change(found, values) if found else self._create(keys, values)
            except Vanished:
                continue
        raise Rejected("refused_by_drift", status=404)

    def finish(self) -> None:
        """Nothing follows the last row."""

    # Columns and values

    def _checked(self, columns: Mapping[str, str]) -> dict[str, str | None]:
        """Return the columns with their attributes; None for one that is left out."""
        if forbidden := sorted(column for column, attribute in columns.items() if is_protected(attribute)):
            raise ConfigError(
                f"Only Drift sets the attributes of the columns {', '.join(forbidden)}. Deselect the columns, or map "
                "them to other attributes in field_map."
            )
        unknown = sorted(column for column, name in columns.items() if name != "id" and name not in self._types)
        if unknown and self._unknown == "fail":
            raise ConfigError(
                f"Drift has no attributes for the columns {', '.join(unknown)}. Map them in field_map, or set "
                "unknown_attributes to create or drop."
            )
        ids = [column for column, name in columns.items() if name == "id" and self._matching != "id"]
        left_out = {*ids, *(unknown if self._unknown == "drop" else ())}
        if left_out:
            self._warn(f"Drift has no attributes for the columns {', '.join(sorted(left_out))}, so they are left out.")
        return {column: None if column in left_out else attribute for column, attribute in columns.items()}

    def _mapped(self, row: Row) -> dict[str, Any]:
        """Return the values of a row by attribute."""
        mapped = {}
        for column, value in row.data.items():
            attribute = self._columns[column] if column in self._columns else self._unlisted(column)
            if attribute is not None:
                mapped[attribute] = value
        return mapped

    def _unlisted(self, column: str) -> str | None:
        """Return the attribute of a column that is not in the catalog."""
        if is_protected(column):
            raise Rejected("protected_attribute", column)
        if self._unknown == "drop":
            return None
        if (self._unknown == "create" or column in self._types) and column not in (*self._columns.values(), "id"):
            return column
        raise Rejected("unknown_attribute", column)

    def _values(self, mapped: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is sent for a row."""
        values: dict[str, Any] = {}
        email, external_id = email_of(mapped), external_id_of(mapped)
        if email is not None:
            # A look-up in lowercase finds it whatever its spelling in later rows, even after a restart.
            values["email"] = email.lower()
        if external_id is not None:
            values["externalId"] = mapped["externalId"] if isinstance(mapped["externalId"], int) else external_id
            if email is not None and external_id.lower() == email.lower() and not self._warned_of_guessable:
                self._warned_of_guessable = True
                self._warn(
                    "The externalId of a row is its email address. Drift advises external IDs that nobody can guess."
                )
        for name, value in mapped.items():
            if name in ("id", "email", "externalId"):
                continue
            if not is_empty(value):
                values[name] = converted(value, self._types.get(name), name)
            elif self._empty_values == "write":
                values[name] = ""
        return values

    # Drift

    def _find(self, keys: Keys) -> list[Contact]:
        """Return the contacts that a row changes; none if it creates one."""
        if keys.id is not None:
            return self._finder.by_id(keys.id)
        if self._matching == "email" or keys.external_id is None:
            return self._chosen(self._finder.by_email(str(keys.email)), "email")
        if found := self._finder.by_external_id(keys.external_id):
            return self._chosen(found, "externalId")
        adopts = self._matching == "external_id_then_email"
        # Drift does not check the email of a contact that is created with an external ID.
        if keys.email is None or (self._mode == "update" and not adopts):
            return []
        others = self._finder.by_email(keys.email)
        if own := [one for one in others if str(one.attributes.get("externalId")) == keys.external_id]:
            return self._chosen(own, "externalId")
        free = [one for one in others if is_empty(one.attributes.get("externalId"))]
        if others and not (adopts and free):
            raise Rejected("email_taken", "email")
        if len(free) > 1 and self._on_ambiguous == "all":
            raise Rejected("ambiguous_match", "email")
        return self._chosen(free, "email")

    def _chosen(self, found: list[Contact], field: str) -> list[Contact]:
        if len(found) > 1 and self._on_ambiguous == "reject":
            raise Rejected("ambiguous_match", field)
        oldest_first = sorted(found, key=lambda contact: (contact.created_at, contact.id))
        return oldest_first if self._on_ambiguous == "all" else oldest_first[:1]

    def _find_later(self, keys: Keys) -> list[Contact]:
        """Look for contacts that should be there until Drift finds them; none if it does not."""
        for wait in WAITS:
            self._sleep(wait)
            if found := self._find(keys):
                return found
        return []

    def _change(self, found: Sequence[Contact], values: Mapping[str, Any]) -> bool:
        if len(found) > 1 and "externalId" in values:
            raise Rejected("ambiguous_match", "externalId")
        for contact in found:
            # A row with another spelling of the email must find it too, and one that was looked up before it existed.
            self._memory.remember(contact.id, {name: contact.attributes.get(name) for name in ("email", "externalId")})
        return sum(self._patch(contact, values) for contact in found) > 0

    def _patch(self, contact: Contact, values: Mapping[str, Any]) -> bool:
        before = contact.attributes
        changes = {name: value for name, value in values.items() if differs(name, value, before.get(name))}
        if not changes:
            return False
        answer = self._client.send("PATCH", f"/contacts/{contact.id}", {"attributes": changes})
        if answer.status == 404:
            raise Vanished
        if answer.status >= 400:
            raise Rejected("refused_by_drift", status=answer.status)
        self._written(contact.id, changes, before)
        return True

    def _create(self, keys: Keys, values: Mapping[str, Any]) -> bool:
        if self._mode == "update" or keys.id is not None:
            raise Rejected("no_match", MATCHED[self._matching][0])
        if keys.email is None:
            raise Rejected("missing_key", "email")
        filled = {name: value for name, value in values.items() if value != ""}
        if self._memory.id_of("taken", keys.email) is not None:
            # Drift might not refuse this one: it has an external ID, or the email in another spelling.
            raise Rejected("duplicate_unresolved")
        in_doubt = False
        for _ in range(_MOST_POSTS):
            try:
                answer = self._client.send("POST", "/contacts", {"attributes": filled}, repeat=False)
            except OutcomeUnknown:
                if found := self._find_later(keys):
                    self._change(found, values)
                    return True
                # Drift refuses a second contact, if it created the first one.
                in_doubt = True
                continue
            if answer.status < 400:
                contact_id = _id_in(answer.body)
                if contact_id is not None:
                    self._written(contact_id, filled, {})
                return True
            if answer.status != 409 and (answer.status != 400 or self._duplicates_are_409):
                raise Rejected("refused_by_drift", status=answer.status)
            if found := self._find_later(keys):
                self._duplicates_are_409 |= answer.status == 409
                return self._change(found, values)
            if not in_doubt and answer.status == 400:
                # This may also be about a value.
                raise Rejected("refused_by_drift", status=400)
            self._memory.remember(0, {"taken": keys.email})
            raise Rejected("duplicate_unresolved")
        raise TransientError(
            f"Drift gave no answer {_MOST_POSTS} times when a contact was to be created. Run the sync again later."
        )

    def _written(self, contact_id: int, values: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        """Remember a contact, and read the first one and one in a hundred back."""
        keys = {name: values[name] for name in ("email", "externalId") if name in values}
        self._memory.remember(contact_id, {"id": contact_id, **keys})
        if next(self._writes) % READ_BACK_EVERY:
            return
        lost: list[str] = []
        for wait in (0.0, *WAITS):
            self._sleep(wait)
            found = self._finder.by_id(contact_id)
            after = found[0].attributes if found else {}
            # Drift may store a phone number in another form, or a rival may have changed it since.
            lost = [
                name
                for name, value in values.items()
                if differs(name, value, after.get(name)) and after.get(name) == before.get(name)
            ]
            if not lost:
                return
        raise ConfigError(
            f"Drift accepted values for {', '.join(sorted(lost))} but did not store them. Check in Drift that these "
            "attributes exist and have the right types."
        )


def _id_in(body: Any) -> int | None:
    data = body.get("data") if isinstance(body, dict) else None
    contact_id = data.get("id") if isinstance(data, dict) else None
    return contact_id if isinstance(contact_id, int) else None
