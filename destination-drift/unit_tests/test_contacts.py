"""Rows become contacts: which contact a row changes, what is sent for it, and why it is rejected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from destination_drift.client import Answer, Client
from destination_drift.contacts import Contacts
from destination_drift.convert import differs
from destination_drift.errors import ConfigError, Rejected, TransientError
from destination_drift.matching import Memory
from destination_drift.rows import Row
from sandbox import ALL_SCOPES, WRITE_SCOPES, Drift, Fault, Options, Sandbox

OPTIONS = Options(rate_limit=None, tokens={"made-up-token": ALL_SCOPES + WRITE_SCOPES})
ADA, BEN = "ada@example.com", "ben@example.com"
COLUMNS = ("id", "email", "externalId", "name", "phone", "plan", "seats", "is_trial", "renewal_date")


class World:
    """A running Drift, and the rows that are written to it. A wait for its index passes `lag_per_wait` requests."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.drift = sandbox.drift = sandbox.service.drift = Drift(conversations=0, accounts=0, contacts=0)
        sandbox.options, sandbox.faults = OPTIONS, ()
        sandbox.journal.clear()
        self.waits: list[float] = []
        self.warnings: list[str] = []
        self.rows = 0
        self.lag_per_wait = 0
        client = Client(sandbox.url, {"access_token": "made-up-token"}, lambda renewed: None, rate=1_000, halt=Event())
        self.client = client

    def contacts(self, matching: Any = "email", **settings: Any) -> Contacts:
        id_column = () if matching == "id" else ("id",)
        chosen: dict[str, Any] = {
            "mode": "upsert",
            "columns": {name: name for name in COLUMNS if name not in id_column},
            "attributes": {row["name"]: row["type"] for row in self.drift.contact_attributes()},
            "on_ambiguous": "reject",
            "empty_values": "ignore",
            "unknown_attributes": "fail",
        }
        return Contacts(
            self.client, matching=matching, warn=self.warnings.append, **({"sleep": self.sleep} | chosen | settings)
        )

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.drift.advance(self.lag_per_wait)

    def row(self, **data: Any) -> Row:
        self.rows += 1
        return Row("contact", self.rows, data)

    def write(self, contacts: Contacts, **data: Any) -> bool | tuple[Any, ...]:
        """Write a row; return whether something changed, or the code, field and status of its rejection."""
        row = self.row(**data)
        try:
            contacts.lane_keys(row)
            return contacts.write(row)
        except Rejected as rejected:
            found = (rejected.code, rejected.field, rejected.status)
            return found[:2] if found[2] is None else found

    @property
    def requests(self) -> list[str]:
        """Everything that was asked, for example `PATCH /contacts`; look-ups with what they look for."""
        return [
            f"{one.method} {'/'.join(one.path.split('/')[:2])}"
            + "".join(f" {name}" for name in ("email", "id") if name in one.query)
            for one in self.sandbox.journal
        ]

    def of(self, contact_id: Any) -> dict[str, Any] | None:
        """The attributes of a contact, or None if it no longer exists."""
        row = self.drift.contact(contact_id)
        return row and {name: value for name, value in row["attributes"].items() if name != "events"}

    def attributes(self, contact_id: Any) -> dict[str, Any]:
        found = self.of(contact_id)
        assert found is not None
        return found

    def everybody(self) -> list[dict[str, Any]]:
        """The attributes of all contacts that writes created."""
        return [self.attributes(one.subject) for one in self.drift.writes if one.action == "create"]

    def changes(self) -> list[Any]:
        return [one.values for one in self.drift.writes if one.action == "update"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Drift(conversations=0, contacts=0), OPTIONS) as running:
        yield running


@pytest.fixture
def world(sandbox: Sandbox) -> World:
    return World(sandbox)


# What is written


def test_a_new_contact_is_created(world: World) -> None:
    """A contact that no look-up finds is created, with converted values and without empty ones."""
    written = world.write(world.contacts(), email=f" {ADA} ", plan="team", seats="3", phone=None, name="")
    assert written is True
    assert world.everybody() == [{"email": ADA, "plan": "team", "seats": 3}]
    assert world.requests[:2] == ["GET /contacts email", "POST /contacts"]


def test_only_changed_attributes_are_sent(world: World) -> None:
    """Equal and empty values are not sent, and attributes that the row does not have stay."""
    one = world.drift.add_contact(email=ADA, plan="team", seats=3, phone="+1-202-555-0143", custom="x")
    assert world.write(world.contacts(), email="ADA@example.com", plan="pro", seats=3.0, phone="", name=None) is True
    assert world.changes() == [{"plan": "pro"}]
    assert world.attributes(one)["custom"] == "x"


@pytest.mark.parametrize("case", ["sensitive", "insensitive"])
def test_the_case_of_an_email_creates_no_twin(world: World, case: Any) -> None:
    """A contact in lowercase is found by any spelling, and its own spelling stays."""
    world.sandbox.options = replace(OPTIONS, email_case=case)
    one = world.drift.add_contact(email=ADA)
    assert world.write(world.contacts(), email="Ada@example.com", plan="pro") is True
    assert world.attributes(one) == {"email": ADA, "plan": "pro"}
    assert world.everybody() == []


def test_nothing_to_change_is_no_write(world: World) -> None:
    """The second sync of the same row sends one look-up."""
    row = {"email": ADA, "plan": "team", "seats": 3, "is_trial": False, "renewal_date": "2026-01-15"}
    assert world.write(world.contacts(), **row) is True
    world.sandbox.journal.clear()
    assert world.write(world.contacts(), **row) is False
    assert world.requests == ["GET /contacts email"]


def test_empty_values_clear_if_the_setting_says_so(world: World) -> None:
    """Null and "" are sent as "", but never for keys, nor for a value that Drift does not have."""
    world.drift.add_contact(email=ADA, externalId="a-1", plan="team", name="Ada")
    contacts = world.contacts(empty_values="write")
    assert world.write(contacts, email=ADA, externalId="", plan=None, name="", phone=None) is True
    assert world.changes() == [{"plan": "", "name": ""}]
    assert world.write(contacts, email=ADA, plan=None) is False
    assert world.write(contacts, email=BEN, plan=None) is True
    assert world.everybody() == [{"email": BEN}]


@pytest.mark.parametrize(
    ("matching", "keys", "requests_for_new", "requests_for_changed"),
    [
        ("email", lambda n: {"email": f"{n}@example.com"}, 2, 2),
        ("external_id", lambda n: {"externalId": f"x-{n}", "email": f"{n}@example.com"}, 2.05, 1.05),
        ("external_id_then_email", lambda n: {"externalId": f"x-{n}", "email": f"{n}@example.com"}, 2.05, 1.05),
    ],
)
def test_requests_per_row(
    world: World, matching: Any, keys: Any, requests_for_new: float, requests_for_changed: float
) -> None:
    """A row needs few requests, counted over a sync with a hundred contacts; the first of them is read back."""
    for plan, expected in (("team", requests_for_new), ("pro", requests_for_changed)):
        contacts = world.contacts(matching)
        rows = [world.row(**keys(n), plan=plan) for n in range(100)]
        world.sandbox.journal.clear()
        for row in rows:
            contacts.lane_keys(row)
        assert [contacts.write(row) for row in rows] == [True] * 100
        assert world.sandbox.journal.count() == round(100 * expected) + 1, plan
    assert len(world.everybody()) == 100


def test_look_ups_by_external_id_run_at_the_same_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads send two full look-ups at once, because each of them waits for Drift; none asks for fewer IDs."""
    both, asked = Barrier(2, timeout=30), []

    def get(path: str, query: Sequence[tuple[str, str]]) -> Answer:
        ids = [value for name, value in query if name == "id"]
        asked.append(ids)
        both.wait()
        return Answer(200, {"data": [{"id": int(one), "attributes": {"externalId": one}} for one in ids]})

    monkeypatch.setattr(world.client, "get", get)
    contacts = world.contacts("external_id")
    rows = [world.row(externalId=str(number)) for number in range(80)]
    for row in rows:
        contacts.lane_keys(row)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(contacts.write, rows)) == [False] * 80
    assert sorted(int(one) for ids in asked for one in ids) == list(range(80))
    assert [len(ids) for ids in asked] == [20] * 4


def test_requests_per_row_by_id(world: World) -> None:
    """A row with Drift's ID needs one look-up and one change."""
    ids = [world.drift.add_contact(email=f"{n}@example.com") for n in range(10)]
    contacts = world.contacts("id")
    assert [world.write(contacts, id=one, plan="pro") for one in ids] == [True] * 10
    assert world.sandbox.journal.count() == 2 * 10 + 1


# Who is meant


def test_several_matches_are_rejected_by_default(world: World) -> None:
    """No contact changes if several have the email."""
    for _ in range(2):
        world.drift.add_contact(email=ADA)
    assert world.write(world.contacts(), email=ADA, plan="pro") == ("ambiguous_match", "email")
    assert world.drift.writes == []


@pytest.mark.parametrize(("setting", "changed"), [("oldest", [0]), ("all", [0, 1, 2])])
def test_several_matches_can_be_resolved(world: World, setting: Any, changed: list[int]) -> None:
    """By setting, the oldest or all of them change."""
    ids = [world.drift.add_contact(email=ADA) for _ in range(3)]
    assert world.write(world.contacts(on_ambiguous=setting), email=ADA, plan="pro") is True
    assert [ids.index(int(one.subject)) for one in world.drift.writes] == changed


def test_one_external_id_is_never_given_to_several(world: World) -> None:
    """Even if all matches are to change, an external ID stays unique."""
    for _ in range(2):
        world.drift.add_contact(email=ADA)
    contacts = world.contacts(on_ambiguous="all")
    assert world.write(contacts, email=ADA, externalId="a-1") == ("ambiguous_match", "externalId")
    contacts = world.contacts("external_id_then_email", on_ambiguous="all")
    assert world.write(contacts, email=ADA, externalId="a-1") == ("ambiguous_match", "email")
    assert world.drift.writes == []


@pytest.mark.parametrize("setting", ["oldest", "all"])
def test_more_matches_than_drift_returns_are_ambiguous(world: World, setting: Any) -> None:
    """The oldest of more than 50 contacts may not be among the first 50."""
    for _ in range(50):
        world.drift.add_contact(email=ADA)
    assert world.write(world.contacts(on_ambiguous=setting), email=ADA, plan="x") == ("ambiguous_match", "email")


@pytest.mark.parametrize(
    ("matching", "existing", "outcome"),
    [
        ("external_id", {"externalId": "a-1", "email": BEN}, True),
        ("external_id", {"email": ADA}, ("email_taken", "email")),
        ("external_id", {"email": ADA, "externalId": "other"}, ("email_taken", "email")),
        ("external_id_then_email", {"externalId": "a-1", "email": BEN}, True),
        ("external_id_then_email", {"email": ADA}, True),
        ("external_id_then_email", {"email": ADA, "externalId": "other"}, ("email_taken", "email")),
        ("email", {"email": ADA, "externalId": "other"}, True),
    ],
)
def test_external_ids_and_emails(
    world: World, matching: Any, existing: dict[str, Any], outcome: bool | tuple[str, str]
) -> None:
    """A contact with the email is adopted only if rows are matched by it too and it has no external ID."""
    one = world.drift.add_contact(**existing)
    assert world.write(world.contacts(matching), externalId="a-1", email=ADA, plan="pro") == outcome
    assert world.everybody() == []
    expected = {"externalId": "a-1", "email": ADA, "plan": "pro"} if outcome is True else existing
    assert world.attributes(one) == expected


def test_external_ids_may_be_numbers(world: World) -> None:
    """Drift has them as strings or numbers, and a warehouse as floats."""
    one = world.drift.add_contact(email=ADA, externalId=7)
    contacts = world.contacts("external_id")
    assert world.write(contacts, externalId="7", plan="pro") is True
    assert world.write(contacts, externalId=7.0, plan="pro") is False
    assert world.attributes(one) == {"email": ADA, "externalId": 7, "plan": "pro"}


def test_an_update_creates_nothing(world: World) -> None:
    """Without a match, a row of an update is rejected."""
    for matching, field in (
        ("email", "email"),
        ("external_id", "externalId"),
        ("external_id_then_email", "externalId"),
    ):
        contacts = world.contacts(matching, mode="update")
        assert world.write(contacts, email=ADA, externalId="a-1") == ("no_match", field)
    assert world.write(world.contacts("id"), id=5, email=ADA) == ("no_match", "id")
    assert world.drift.writes == []


def test_a_merged_contact_is_not_its_other_half(world: World) -> None:
    """If Drift returns another contact than the one with the ID, the row is rejected."""
    one, other = world.drift.add_contact(email=ADA), world.drift.add_contact(email=BEN)
    merged = world.drift.contact(other)
    world.sandbox.faults = [Fault(f"/contacts/{one}", "body", change=lambda body: {"data": merged})]
    assert world.write(world.contacts("id"), id=one, plan="pro") == ("no_match", "id")


@pytest.mark.parametrize(
    ("matching", "row", "outcome"),
    [
        ("email", {"name": "Ada"}, ("missing_key", "email")),
        ("email", {"email": " ", "externalId": "a-1"}, ("missing_key", "email")),
        ("external_id", {"email": ADA, "externalId": " "}, ("missing_key", "externalId")),
        ("external_id", {"externalId": "a-1"}, ("missing_key", "email")),
        ("external_id_then_email", {"externalId": None}, ("missing_key", "externalId")),
        ("id", {"email": ADA}, ("missing_key", "id")),
        ("id", {"id": "12a"}, ("wrong_type", "id")),
        ("id", {"id": True}, ("wrong_type", "id")),
        ("id", {"id": 1.5}, ("wrong_type", "id")),
        ("id", {"id": -1}, ("wrong_type", "id")),
        ("email", {"email": "ada"}, ("invalid_email", "email")),
        ("email", {"email": f"{ADA}, {BEN}"}, ("invalid_email", "email")),
        ("email", {"email": f"Ada <{ADA}>"}, ("invalid_email", "email")),
        ("email", {"email": f"mailto:{ADA}"}, ("invalid_email", "email")),
        ("email", {"email": "ada@example"}, ("invalid_email", "email")),
        ("email", {"email": "a" * 250 + "@example.com"}, ("invalid_email", "email")),
        ("email", {"email": "\ud83dada@example.com"}, ("invalid_email", "email")),
        ("email", {"email": 5}, ("invalid_email", "email")),
        ("id", {"id": 1, "email": "ada"}, ("invalid_email", "email")),
        ("external_id", {"externalId": True}, ("wrong_type", "externalId")),
        ("external_id", {"externalId": 1.5}, ("wrong_type", "externalId")),
        ("external_id", {"externalId": "a\x00"}, ("wrong_type", "externalId")),
        ("external_id", {"externalId": "x" * 256}, ("too_large", "externalId")),
        ("email", {"email": ADA, "seats": "many"}, ("not_a_number", "seats")),
        ("email", {"email": ADA, "seats": 2**70}, ("too_large", "seats")),
        ("email", {"email": ADA, "plan": ["a"]}, ("wrong_type", "plan")),
        ("email", {"email": ADA, "tags": ["a"]}, ("protected_attribute", "tags")),
        ("email", {"email": ADA, "_score": 1}, ("protected_attribute", "_score")),
        ("email", {"email": ADA, "color": "blue"}, ("unknown_attribute", "color")),
        ("email", {"email": ADA, "id": 7}, ("unknown_attribute", "id")),
    ],
)
def test_bad_rows_are_rejected_without_a_write(
    world: World, matching: Any, row: dict[str, Any], outcome: tuple[str, str]
) -> None:
    """Each has its code and field, and the next row goes on."""
    contacts = world.contacts(matching)
    assert world.write(contacts, **row) == outcome
    assert world.drift.writes == []
    one = world.drift.add_contact(email=ADA, externalId="a-2")
    assert world.write(contacts, **({"id": one} if matching == "id" else {}), email=ADA, externalId="a-2") is False


@pytest.mark.parametrize(("method", "status"), [("POST", 422), ("PATCH", 413), ("PATCH", 409), ("GET", 400)])
def test_a_refusal_of_drift_rejects_the_row(world: World, method: str, status: int) -> None:
    """The rejection has Drift's status, and the request is not repeated."""
    if method == "PATCH":
        world.drift.add_contact(email=ADA)
    world.sandbox.faults = [Fault("^/contacts", "status", method=method, status=status)]
    assert world.write(world.contacts(), email=ADA, plan="pro") == ("refused_by_drift", None, status)
    assert world.drift.writes == []


def test_lanes(world: World) -> None:
    """Rows share a lane if they share an email in any spelling, an external ID or, when matched by it, an ID."""
    contacts = world.contacts("external_id_then_email")
    assert contacts.lane_keys(world.row(email=" ADA@example.com", externalId=7)) == {f"email:{ADA}", "externalId:7"}
    assert contacts.lane_keys(world.row(email=ADA)) == {f"email:{ADA}"}
    assert world.contacts("id").lane_keys(world.row(id="7", email=ADA)) == {"id:7", f"email:{ADA}"}


# Drift changes meanwhile


def test_a_contact_that_vanishes_is_looked_up_again(world: World) -> None:
    """If the contact is deleted between look-up and change, a new one is created."""
    world.drift.add_contact(email=ADA)
    world.sandbox.faults = [Fault("/contacts/*", "contact_vanishes", method="PATCH")]
    assert world.write(world.contacts(), email=ADA, plan="pro") is True
    assert world.everybody() == [{"email": ADA, "plan": "pro"}]
    world.drift.add_contact(email=BEN)
    world.sandbox.faults = [Fault("/contacts/*", "status", method="PATCH", status=404, times=2)]
    assert world.write(world.contacts(), email=BEN, plan="pro") == ("refused_by_drift", None, 404)


@pytest.mark.parametrize("matching", ["email", "external_id", "external_id_then_email"])
@pytest.mark.parametrize(("kind", "details"), [("answer_lost", {}), ("applied_status", {"status": 503}), ("reset", {})])
@pytest.mark.parametrize("lag", [0, 4, 1_000])
def test_a_lost_response_never_creates_a_twin(
    world: World, matching: Any, kind: str, details: dict[str, Any], lag: int
) -> None:
    """Whether a request that got no response was applied or not, and however late Drift finds it: one contact."""
    world.sandbox.options = replace(OPTIONS, index_lag=lag)
    world.lag_per_wait = 2
    world.sandbox.faults = [Fault("/contacts", kind, method="POST", **details)]
    outcome = world.write(world.contacts(matching), email=ADA, externalId="a-1", plan="pro")
    assert world.everybody() == [{"email": ADA, "externalId": "a-1", "plan": "pro"}]
    is_lost_to_us = lag == 1_000 and kind != "reset"
    assert outcome == (("duplicate_unresolved", None) if is_lost_to_us else True)


def test_responses_that_are_always_lost_end_the_run(world: World) -> None:
    """There is no endless loop, and one contact at most."""
    world.sandbox.options = replace(OPTIONS, index_lag=10**9)
    world.sandbox.faults = [Fault("/contacts", "answer_lost", method="POST", times=None)]
    with pytest.raises(TransientError, match="gave no answer 4 times"):
        world.contacts().write(world.row(email=ADA))
    assert world.everybody() == [{"email": ADA}]


@pytest.mark.parametrize("status", [400, 409])
@pytest.mark.parametrize("matching", ["email", "external_id"])
@pytest.mark.parametrize("lag", [0, 6])
def test_a_rival_is_found_and_changed(world: World, status: Any, matching: Any, lag: int) -> None:
    """If another client creates the contact first, the refusal leads to a change, with longer and longer waits."""
    world.sandbox.options = replace(OPTIONS, duplicate_status=status, index_lag=lag)
    world.lag_per_wait = 2
    world.sandbox.faults = [Fault("/contacts", "rival", method="POST")]
    assert world.write(world.contacts(matching), email=ADA, externalId="a-1", plan="pro") is True
    assert world.everybody() == [{"email": ADA, "externalId": "a-1", "plan": "pro"}]
    assert world.drift.writes[0].by == "rival"
    assert [wait for wait in world.waits if wait] == ([0.5, 1.0] if lag else [0.5])


@pytest.mark.parametrize(
    ("status", "outcome"), [(409, ("duplicate_unresolved", None)), (400, ("refused_by_drift", None, 400))]
)
def test_a_rival_that_stays_hidden_rejects_the_row(world: World, status: Any, outcome: tuple[Any, ...]) -> None:
    """After four look-ups, the row is rejected; a 400 may have another reason."""
    world.sandbox.options = replace(OPTIONS, duplicate_status=status, index_lag=1_000)
    world.sandbox.faults = [Fault("/contacts", "rival", method="POST")]
    assert world.write(world.contacts(), email=ADA) == outcome
    assert world.waits == [0.5, 1.0, 2.0, 4.0]


def test_a_400_is_no_duplicate_where_duplicates_are_409(world: World) -> None:
    """Once Drift has refused a duplicate with 409, a row that it refuses with 400 needs no waits."""
    contacts = world.contacts()
    world.sandbox.faults = [Fault("/contacts", "rival", method="POST")]
    world.write(contacts, email=ADA)
    world.waits.clear()
    world.sandbox.faults = [Fault("/contacts", "status", method="POST", status=400)]
    assert world.write(contacts, email=BEN) == ("refused_by_drift", None, 400)
    assert world.waits == []


@pytest.mark.parametrize("matching", ["email", "external_id"])
def test_contacts_of_this_run_are_found_at_once(world: World, matching: Any) -> None:
    """A lagging index does not hide a contact from the next row, nor from another stream of the run."""
    world.sandbox.options = replace(OPTIONS, index_lag=10**9)
    memory = Memory()
    contacts = world.contacts(matching, memory=memory)
    assert world.write(contacts, email=ADA, externalId="a-1", plan="team") is True
    assert world.write(contacts, email=ADA, externalId="a-1", plan="pro") is True
    other_stream = world.contacts("external_id_then_email", memory=memory)
    assert world.write(other_stream, email=ADA, externalId="a-1", plan="pro") is False
    assert world.write(world.contacts("external_id", memory=memory), email=ADA, externalId="b-1") == (
        "email_taken",
        "email",
    )
    assert world.everybody() == [{"email": ADA, "externalId": "a-1", "plan": "pro"}]


def test_what_was_fetched_ahead_is_not_used_after_a_change(world: World) -> None:
    """A row changes a value back that another row of the same contact has changed since the look-up."""
    one = world.drift.add_contact(email=ADA, externalId="a-1", plan="team")
    contacts = world.contacts("external_id_then_email")
    back = world.row(externalId="a-1", plan="team")
    contacts.lane_keys(back)
    assert world.write(contacts, externalId="b-1", email=BEN) is True
    assert world.write(contacts, email=ADA, plan="pro") is True
    assert contacts.write(back) is True
    assert world.attributes(one)["plan"] == "team"


def test_another_spelling_finds_a_contact_of_this_run(world: World) -> None:
    """Where Drift distinguishes uppercase and lowercase, its look-ups alone would lead to a twin."""
    contacts = world.contacts("external_id_then_email")
    world.sandbox.faults = [Fault("/contacts", "answer_lost", method="POST")]
    assert world.write(contacts, email="Ada@example.com") is True
    assert world.write(contacts, email=ADA, externalId="a-1") is True
    assert world.everybody() == [{"email": ADA, "externalId": "a-1"}]


def test_what_was_fetched_before_a_lost_response_is_not_used(world: World) -> None:
    """A row that was looked up ahead finds the contact that a row before it created."""
    contacts = world.contacts("external_id")
    world.sandbox.faults = [Fault("/contacts", "answer_lost", method="POST")]
    first, second = world.row(externalId="a-1", email=ADA), world.row(externalId="a-1", plan="pro")
    other = world.row(externalId="b-1", email=BEN)
    contacts.lane_keys(other)
    assert contacts.write(first) is True
    contacts.lane_keys(second)
    contacts.write(other)
    assert contacts.write(second) is True
    assert world.everybody() == [
        {"externalId": "a-1", "email": ADA, "plan": "pro"},
        {"externalId": "b-1", "email": BEN},
    ]


def test_threads_create_each_contact_once(world: World) -> None:
    """Several threads share the look-ups of external IDs."""
    world.sandbox.options = replace(OPTIONS, latency=0.005)
    contacts = world.contacts("external_id")
    rows = [world.row(externalId=f"x-{n}", email=f"{n}@example.com") for n in range(60)]
    for row in rows:
        contacts.lane_keys(row)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(contacts.write, rows)) == [True] * 60
    assert sorted(one["externalId"] for one in world.everybody()) == sorted(f"x-{n}" for n in range(60))
    assert len([one for one in world.requests if one == "GET /contacts id"]) == 3


@pytest.mark.parametrize("body", [{}, {"data": "none"}, {"data": [{"name": "x"}]}, {"data": [7]}, [], {"error": {}}])
def test_an_unreadable_look_up_is_not_taken_for_no_contact(world: World, body: Any) -> None:
    """The run ends before a second contact is created."""
    world.drift.add_contact(email=ADA)
    world.sandbox.faults = [Fault("/contacts", "body", method="GET", change=lambda _: body)]
    with pytest.raises(TransientError, match="without a list of contacts"):
        world.contacts().write(world.row(email=ADA, externalId="a-1"))
    assert world.drift.writes == []


def test_a_single_match_may_come_without_its_list(world: World) -> None:
    """Drift's documentation shows an object instead of a list."""
    world.sandbox.options = replace(OPTIONS, contacts_by_email="object")
    world.drift.add_contact(email=ADA, plan="pro")
    assert world.write(world.contacts(), email=ADA, plan="pro") is False


def test_contacts_with_another_email_are_no_match(world: World) -> None:
    """If Drift ignored the parameter of the look-up, it would return strangers."""
    stranger = world.drift.contact(world.drift.add_contact(email=BEN, plan="team"))
    world.sandbox.faults = [Fault("/contacts", "body", method="GET", change=lambda _: {"data": [stranger]}, times=None)]
    assert world.write(world.contacts(), email=ADA, plan="pro") is True
    assert world.everybody() == [{"email": ADA, "plan": "pro"}]


ROWS = st.fixed_dictionaries(
    {"person": st.integers(0, 2), "keys": st.sampled_from(("email", "externalId", "both"))},
    optional={"plan": st.sampled_from(("team", "pro", None)), "seats": st.integers(1, 2)},
)
FAULTS = st.sampled_from(
    (
        None,
        ("answer_lost", "POST", {}),
        ("applied_status", "POST", {"status": 500}),
        ("reset", "POST", {}),
        ("rival", "POST", {}),
        ("contact_vanishes", "PATCH", {}),
    )
)


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    matching=st.sampled_from(("email", "external_id", "external_id_then_email")),
    steps=st.lists(st.tuples(ROWS, FAULTS), min_size=2, max_size=8),
    options=st.fixed_dictionaries(
        {
            "index_lag": st.sampled_from((0, 3, 1_000)),
            "duplicate_status": st.sampled_from((400, 409)),
            "email_case": st.sampled_from(("sensitive", "insensitive")),
        }
    ),
)
def test_any_sequence_of_rows(sandbox: Sandbox, matching: Any, steps: list[Any], options: dict[str, Any]) -> None:
    """Whatever happens: every row is stored or rejected, nobody exists twice, and no other contact changes."""
    # A rival that stays hidden, and whose contact is refused like a wrong value, leaves nothing to go by.
    hidden = options["index_lag"] == 1_000 and options["duplicate_status"] == 400
    assume(not (hidden and any(fault and fault[0] == "rival" for _, fault in steps)))
    world = World(sandbox)
    world.lag_per_wait = 2
    sandbox.options = replace(OPTIONS, **options)
    stranger = world.drift.add_contact(email="carla@example.com", plan="free")
    contacts = world.contacts(matching)
    disturbed = False
    for row, fault in steps:
        number = row["person"]
        both = {"email": f"{'Pp'[row.get('seats', 1) - 1]}{number}@example.com", "externalId": f"x-{number}"}
        chosen = both if row["keys"] == "both" else {row["keys"]: both[row["keys"]]}
        values = {name: row[name] for name in ("plan", "seats") if name in row}
        sandbox.faults = [Fault("^/contacts", fault[0], method=fault[1], **fault[2])] if fault else []
        outcome = world.write(contacts, **chosen, **values)
        disturbed |= any(one.fault for one in sandbox.journal)
        existing = [found for one in world.drift.writes if one.action == "create" and (found := world.of(one.subject))]
        for name in ("email", "externalId"):
            known = [str(one[name]).lower() for one in existing if name in one]
            assert len(known) == len(set(known)), existing
        if isinstance(outcome, bool):
            expected = {name: value for name, value in {**chosen, **values}.items() if value is not None}
            stored = [one for one in existing if all(not differs(n, v, one.get(n)) for n, v in expected.items())]
            assert len(stored) == 1, (outcome, expected, existing)
        elif outcome[0] != "missing_key":
            assert disturbed, outcome
            assert options["index_lag"] == 1_000, outcome
    assert world.attributes(stranger) == {"email": "carla@example.com", "plan": "free"}


@pytest.mark.parametrize("status", [400, 409])
def test_an_email_that_is_taken_but_not_found_is_not_used_again(world: World, status: Any) -> None:
    """With an external ID or in another spelling, Drift might create a twin."""
    world.sandbox.options = replace(OPTIONS, index_lag=10**9, duplicate_status=status)
    world.sandbox.faults = [Fault("/contacts", "answer_lost", method="POST")]
    contacts = world.contacts("external_id_then_email")
    for row in ({"email": ADA}, {"email": ADA, "externalId": "a-1"}, {"email": ADA.upper()}):
        assert world.write(contacts, **row) == ("duplicate_unresolved", None)
    assert world.everybody() == [{"email": ADA}]


def test_a_wait_for_drifts_index_ends_with_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contacts wait like the client, whose waits end when the run does."""
    monkeypatch.setattr(world.client, "wait", world.sleep)
    world.write(world.contacts(sleep=None), email=ADA)
    assert world.waits[-1] == 0


# Columns


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"email": "email", "Color": "color", "b": "shoe"}, "no attributes for the columns Color, b"),
        ({"email": "email", "labels": "tags", "_x": "_x"}, "Only Drift sets the attributes of the columns _x, labels"),
    ],
)
def test_columns_without_an_attribute_end_the_run(world: World, columns: Mapping[str, str], message: str) -> None:
    """The error names the columns before anything is written."""
    with pytest.raises(ConfigError, match=message):
        world.contacts(columns=columns)
    assert world.requests == []


def test_unknown_columns_can_be_left_out(world: World) -> None:
    """A warning names the columns of the catalog; a row may have more."""
    contacts = world.contacts(columns={"email": "email", "Color": "color"}, unknown_attributes="drop")
    assert world.warnings == ["Drift has no attributes for the columns Color, so they are left out."]
    assert world.write(contacts, email=ADA, Color="blue", shoe=38) is True
    assert world.everybody() == [{"email": ADA}]


def test_unknown_columns_can_create_attributes(world: World) -> None:
    """A column is written under its mapped name, one that the catalog does not have under its own."""
    contacts = world.contacts(columns={"email": "email", "Color": "color"}, unknown_attributes="create")
    assert world.write(contacts, email=ADA, Color="blue", shoe=38.5) is True
    assert world.everybody() == [{"email": ADA, "color": "blue", "shoe": 38.5}]
    assert world.write(contacts, email=ADA, color="red") == ("unknown_attribute", "color")


def test_the_id_of_a_table_is_not_written(world: World) -> None:
    """A column `id` is Drift's only if rows are matched by it."""
    contacts = world.contacts(columns={"email": "email", "id": "id"}, unknown_attributes="create")
    assert world.write(contacts, email=ADA, id="0f3c") is True
    assert world.everybody() == [{"email": ADA}]
    assert "columns id" in world.warnings[0]


def test_a_guessable_external_id_draws_one_warning(world: World) -> None:
    """The warning has no address."""
    contacts = world.contacts("external_id")
    for email in (ADA, BEN):
        world.write(contacts, email=email, externalId=email)
    assert len(world.warnings) == 1
    assert "@" not in world.warnings[0]


# What Drift stores


def test_a_value_that_drift_does_not_store_ends_the_run(world: World) -> None:
    """The first contact is read back."""
    world.sandbox.options = replace(OPTIONS, new_attributes="ignored")
    contacts = world.contacts(columns={"email": "email", "color": "color"}, unknown_attributes="create")
    with pytest.raises(ConfigError, match="accepted values for color but did not store them"):
        contacts.write(world.row(email=ADA, color="blue"))
    assert world.waits == [0, 0.5, 1.0, 2.0, 4.0]


def test_a_value_that_drift_stores_in_another_form_is_stored(world: World) -> None:
    """Only a value that stayed as it was is an error."""

    def formatted(body: Any) -> Any:
        body["data"]["attributes"]["phone"] = "(202) 555-0143"
        return body

    world.drift.add_contact(email=ADA, phone="+1-202-555-0100")
    world.sandbox.faults = [Fault("/contacts/*", "body", method="GET", change=formatted, times=None)]
    assert world.write(world.contacts(), email=ADA, phone="+1-202-555-0143") is True
    assert world.waits == [0]


# Folding


def test_folded_rows_have_the_effect_of_all(world: World) -> None:
    """Later fields win, but an empty one only if it would be written."""
    rows = [world.row(email=ADA, plan="team", seats=1), world.row(email=ADA, plan="", seats=2, name="Ada")]
    folded = world.contacts().fold(rows)
    assert folded == Row("contact", 2, {"email": ADA, "plan": "team", "seats": 2, "name": "Ada"})
    folded = world.contacts(empty_values="write").fold(rows)
    assert folded is not None
    assert folded.data["plan"] == ""


def test_a_row_that_would_be_rejected_is_not_folded(world: World) -> None:
    """Otherwise a later value would hide the rejection."""
    assert world.contacts().fold([world.row(email=ADA, seats="many"), world.row(email=ADA, seats=2)]) is None
