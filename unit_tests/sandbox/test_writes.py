"""Writes of contacts: what they change, when others see it, and which are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sandbox import Drift, Write
from unit_tests.sandbox.conftest import UNLIMITED, WRITABLE, Client, Start

ADA = "ada@example.com"


def create(client: Client, **attributes: Any) -> int:
    answer = client.send("POST", "/contacts", {"attributes": attributes})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["data"]["id"])


def refused(client: Client, **attributes: Any) -> int:
    """The status of a refused contact, which must leave no trace."""
    before = list(client.sandbox.drift.writes)
    answer = client.send("POST", "/contacts", {"attributes": attributes})
    assert client.sandbox.drift.writes == before
    return answer.status_code


def found(client: Client, email: str = ADA) -> list[int]:
    return [row["id"] for row in client.get("/contacts", params={"email": email}).json()["data"]]


def found_by_ids(client: Client, *ids: str) -> list[Any]:
    rows = client.get("/contacts", params={"idType": "external", "id": ids}).json()["data"]
    return [row["attributes"]["externalId"] for row in rows]


def attributes_of(client: Client, contact_id: int) -> dict[str, Any]:
    return dict(client.get(f"/contacts/{contact_id}").json()["data"]["attributes"])


def test_the_default_token_reads_only(start: Start) -> None:
    """A token without write scopes changes nothing."""
    client = start(options=UNLIMITED)
    assert refused(client, email=ADA) == 403


def test_a_contact_is_created_and_changed(start: Start) -> None:
    """A patch merges attributes; other attributes stay, and `Drift.writes` has both changes."""
    client = start(options=WRITABLE)
    one = create(client, email=ADA, plan="team", seats=3)
    client.send("PATCH", f"/contacts/{one}", {"attributes": {"seats": 4}})
    assert attributes_of(client, one) == {"events": {}, "email": ADA, "plan": "team", "seats": 4}
    assert client.sandbox.drift.writes == [
        Write("create", one, {"email": ADA, "plan": "team", "seats": 3}),
        Write("update", one, {"seats": 4}),
    ]


@pytest.mark.parametrize("status", [400, 409])
def test_an_email_is_unique_without_an_external_id(start: Start, status: Any) -> None:
    """With an external ID, only that must be new, and the email may repeat."""
    client = start(options=replace(WRITABLE, duplicate_status=status))
    first = create(client, email=ADA)
    assert refused(client, email=ADA) == status
    second = create(client, email=ADA, externalId="a-1")
    assert refused(client, email="other@example.com", externalId="a-1") == status
    assert found(client) == [first, second]


def test_contacts_of_the_generated_data_are_duplicates_too(start: Start) -> None:
    """Emails and external IDs of generated contacts are found and unique."""
    client = start(Drift(conversations=200), options=WRITABLE)
    rows = [row["attributes"] for row in client.sandbox.drift.expected("contacts")]
    email = next(row["email"] for row in rows if "email" in row)
    known = [str(row["externalId"]) for row in rows if "externalId" in row]
    assert refused(client, email=email) == 409
    assert refused(client, email=ADA, externalId=known[0]) == 409
    assert [str(one) for one in found_by_ids(client, *known, "crm-999999", "nonsense")] == known


@pytest.mark.parametrize(("case", "matches"), [("sensitive", 0), ("insensitive", 1)])
def test_the_case_of_an_email(start: Start, case: Any, matches: int) -> None:
    """Look-ups and the check for duplicates agree on whether case matters."""
    client = start(options=replace(WRITABLE, email_case=case))
    create(client, email="Ada@example.com")
    assert len(found(client)) == matches
    status = client.send("POST", "/contacts", {"attributes": {"email": ADA}}).status_code
    assert status == (409 if matches else 200)


def test_the_index_lags(start: Start) -> None:
    """A new contact is known by its ID and to the check for duplicates at once, to look-ups only later."""
    client = start(options=replace(WRITABLE, index_lag=3))
    one = create(client, email=ADA, externalId="a-1")
    assert (found(client), found_by_ids(client, "a-1")) == ([], [])
    assert (found(client), found_by_ids(client, "a-1")) == ([one], ["a-1"])
    create(client, email="b@example.com")
    assert refused(client, email="b@example.com") == 409
    client.sandbox.drift.advance(3)
    assert len(found(client, "b@example.com")) == 1


def test_a_contact_without_index_still_exists(start: Start) -> None:
    """DELETE returns 202 and hides a contact from look-ups, but not from its own endpoint."""
    client = start(options=WRITABLE)
    one = create(client, email=ADA)
    answer = client.send("DELETE", f"/contacts/{one}")
    assert (answer.status_code, answer.json()) == (202, {"result": "OK", "ok": True})
    assert found(client) == []
    assert attributes_of(client, one)["email"] == ADA
    assert create(client, email=ADA) != one


@pytest.mark.parametrize(
    ("option", "kept", "status"), [("created", 42, 200), ("ignored", None, 200), ("refused", None, 400)]
)
def test_new_attributes(start: Start, option: Any, kept: Any, status: int) -> None:
    """A value of an unknown attribute creates the attribute with its type, is ignored, or is refused."""
    client = start(options=replace(WRITABLE, new_attributes=option))
    one = create(client, email=ADA)
    assert client.send("PATCH", f"/contacts/{one}", {"attributes": {"answer": 42}}).status_code == status
    assert attributes_of(client, one).get("answer") == kept
    names = {row["name"]: row["type"] for row in client.get("/contacts/attributes").json()["data"]["properties"]}
    assert names.get("answer") == ("NUMERIC" if kept else None)


@pytest.mark.parametrize(
    ("values", "lenient", "strict"),
    [
        ({"seats": "many"}, 200, 400),
        ({"seats": True}, 200, 400),
        ({"seats": 2.5}, 200, 200),
        ({"is_trial": 1}, 200, 400),
        ({"renewal_date": "2026-01-15"}, 200, 400),
        ({"plan": None}, 400, 400),
        ({"email": 5}, 400, 400),
        ({"externalId": 5}, 200, 200),
    ],
)
def test_types_of_attributes(start: Start, values: dict[str, Any], lenient: int, strict: int) -> None:
    """By option, a value of the wrong type is refused; null is always refused."""
    client = start(options=WRITABLE)
    path = f"/contacts/{create(client, email=ADA)}"
    assert client.send("PATCH", path, {"attributes": values}).status_code == lenient
    client.sandbox.options = replace(WRITABLE, attribute_types="enforced")
    assert client.send("PATCH", path, {"attributes": values}).status_code == strict


@pytest.mark.parametrize(
    ("option", "status", "kept"), [("work", 200, ["a", "b"]), ("ignored", 200, []), ("gone", 404, [])]
)
def test_tags(start: Start, option: Any, status: int, kept: list[str]) -> None:
    """Tags can be added once each and removed, are accepted but ignored, or do not exist."""
    client = start(options=replace(WRITABLE, tags=option))
    path = f"/contacts/{create(client, email=ADA)}"

    def tags() -> list[str]:
        return [tag["name"] for tag in client.get(path).json()["data"]["attributes"].get("tags", [])]

    for names in (["a"], ["a", "b"]):
        assert client.send("POST", f"{path}/tags", [{"name": name} for name in names]).status_code == status
    assert tags() == kept
    assert client.send("DELETE", f"{path}/tags/a").status_code == status
    assert tags() == kept[1:]
    assert client.send("POST", f"{path}/tags/delete/_bulk", ["b", "c"]).status_code == status
    assert tags() == []


def test_an_erasure_takes_effect_later(start: Start) -> None:
    """All contacts, conversations, messages and users of an email vanish some requests later, and nothing else."""
    drift = Drift(conversations=200)
    client = start(drift, options=replace(WRITABLE, erasure_delay=3))
    contact = next(row for row in drift.expected("contacts") if "email" in row["attributes"])
    email = contact["attributes"]["email"]
    twin = drift.add_contact(email=email.upper())
    hidden = drift.add_contact(email=email)
    client.send("DELETE", f"/contacts/{hidden}")
    user = drift.add_user(email=email)
    talks = {row["id"]: row["contactId"] for row in drift.expected("conversations")}
    talks[drift.add_conversation(contactId=twin)] = twin
    erased = {contact["id"], twin, hidden}
    answer = client.send("POST", "/gdpr/delete", {"email": email})
    assert (answer.status_code, answer.json()) == (200, {"data": {"message": "Your delete is processing"}})
    assert drift.contact(twin)
    client.get("/users/list")
    drift.advance(2)
    assert [drift.contact(one) for one in erased] == [None] * 3
    assert user not in {row["id"] for row in client.get("/users/list").json()["data"]}
    assert set(drift.keys("conversations")) == {one for one, owner in talks.items() if owner not in erased}
    assert drift.writes[-1] == Write("erase", email)


def test_a_new_contact_of_an_erased_email_stays(start: Start) -> None:
    """An erasure happens once: a contact that is created later is not affected."""
    client = start(options=replace(WRITABLE, erasure_delay=0))
    create(client, email=ADA)
    client.send("POST", "/gdpr/delete", {"email": ADA})
    one = create(client, email=ADA)
    client.sandbox.drift.advance(100)
    assert found(client) == [one]


def test_emails_are_unsubscribed(start: Start) -> None:
    """Each address of the list is one write."""
    client = start(options=WRITABLE)
    assert client.send("POST", "/emails/unsubscribe", [ADA, "b@example.com"]).json() == {"result": "OK", "ok": True}
    assert client.sandbox.drift.writes == [Write("unsubscribe", ADA), Write("unsubscribe", "b@example.com")]
