"""One person is found whole, and nobody else is mixed in."""

from pathlib import Path

from source_drift.person.search import ASKED, OTHER_ADDRESS, UNNAMED
from unit_tests.person.archives import archived, contact, conversation, message
from unit_tests.person.conftest import (
    ADA,
    BEFORE,
    COLLEAGUE,
    LATER,
    MENTIONS,
    ODD_ADDRESSES,
    ONE,
    OWNED,
    SUFFIX,
    WORK,
    Ask,
    people,
)


def test_a_person_with_several_contacts_is_found_whole(archive: Path, ask: Ask) -> None:
    """By the address in any case, by another address, and as the visitor without an address that she was before."""
    answer = ask(archive)
    assert answer.code == 0, answer.printed
    found = {row["id"]: row["found_because_it"] for row in answer.manifest["searched"]["contacts"]}
    assert found == {ONE: ASKED, LATER: ASKED, WORK: OTHER_ADDRESS, BEFORE: UNNAMED}
    assert answer.ids("contacts") == [ONE, LATER, BEFORE, WORK]
    assert answer.ids("contacts_by_email") == [LATER]
    assert answer.ids("conversations") == [10, 11, 12, 13, 18]
    assert answer.ids("conversation_details") == [10]
    assert answer.ids("messages") == [1, 2, 3, 4, 14, 5, 6, 7, 12, 13]
    assert answer.ids("conversation_metrics", "conversationId") == [10]
    assert set(answer.ids("meetings", "slug")) == {"by-contact", "by-conversation", "by-address"}


def test_a_part_of_an_address_is_another_person(archive: Path, ask: Ask) -> None:
    """Colleagues whose address contains hers, who mention it, or who share her employee, are not in any file."""
    answer = ask(archive)
    texts = [path.read_text(encoding="utf-8") for path in answer.folder.iterdir()]
    assert len(texts) == 3
    for stranger in ("nada@example.com", "example.com.example.org", "ben@", "cy@", "A secret", "of-nada"):
        assert not any(stranger in text for text in texts), stranger
    assert {COLLEAGUE, SUFFIX, MENTIONS, OWNED}.isdisjoint(answer.ids("contacts"))


def test_the_colleague_is_found_alone(archive: Path, ask: Ask) -> None:
    """Who shares a conversation with her gets that conversation, and not her others."""
    answer = ask(archive, "nada@example.com".upper() + "\n")
    assert answer.ids("contacts") == [COLLEAGUE]
    assert answer.ids("conversations") == [14, 18]
    assert answer.manifest["searched"]["contacts_not_followed"]["ids"] == [WORK]
    assert "ada.foxglove@" not in answer.html


def test_places_and_browsers_of_others_stay_out(archive: Path, ask: Ask) -> None:
    """The context of a message is there where the person wrote it."""
    answer = ask(archive)
    assert {row["id"] for row in answer.person["messages"] if "context" in row} == {1, 3}


def test_a_visitor_without_address_who_met_somebody_else_is_not_followed(tmp_path: Path, ask: Ask) -> None:
    """A contact without address that wrote in conversations of two people could be either of them."""
    rows = people()
    rows["messages"].append(message(50, 14, BEFORE))
    answer = ask(archived(tmp_path / "drift.duckdb", rows))
    assert BEFORE not in answer.ids("contacts")
    assert 12 not in answer.ids("conversations")
    assert answer.manifest["searched"]["contacts_not_followed"]["ids"] == [BEFORE, COLLEAGUE]


def test_a_contact_that_is_gone_is_not_followed(tmp_path: Path, ask: Ask) -> None:
    """Of an author whom the archive does not know, nobody can tell whether it had an address."""
    rows = people()
    rows["contacts"] = [row for row in rows["contacts"] if row["id"] != BEFORE]
    answer = ask(archived(tmp_path / "drift.duckdb", rows))
    assert 12 not in answer.ids("conversations")
    assert BEFORE in answer.manifest["searched"]["contacts_not_followed"]["ids"]


def test_an_address_leads_one_step_further_only(tmp_path: Path, ask: Ask) -> None:
    """A contact that shares the second address is the person; what that one has as a third address is not followed."""
    rows = {
        "contacts": [
            contact(1, email=ADA, email2="b@example.com"),
            contact(2, email="b@example.com", emails=["c@example.com"]),
            contact(3, email="c@example.com"),
        ]
    }
    answer = ask(archived(tmp_path / "drift.duckdb", rows))
    assert answer.ids("contacts") == [1, 2]
    assert answer.manifest["searched"]["other_addresses"] == ["b@example.com"]


@ODD_ADDRESSES
def test_odd_addresses_are_found(tmp_path: Path, ask: Ask, attributes: dict[str, object], asked: str) -> None:
    """An address is compared whole, in whatever form the attribute holds it."""
    others = [contact(2, email="x.ada@example.com"), contact(3), contact(4, email=None), contact(5, email=7)]
    answer = ask(archived(tmp_path / "drift.duckdb", {"contacts": [contact(1, **attributes), *others]}), asked)
    assert answer.code == 0, answer.printed
    assert answer.ids("contacts") == [1]


def test_an_archive_with_few_tables_is_searched(tmp_path: Path, ask: Ask) -> None:
    """Tables that are missing are named; a conversation is found by whichever table has it."""
    path = archived(
        tmp_path / "drift.duckdb",
        {"contacts_by_email": [contact(1, email=ADA)], "conversation_details": [conversation(10, 1)], "messages": []},
    )
    answer = ask(path)
    assert answer.code == 0, answer.printed
    assert answer.ids("conversation_details") == [10]
    tables = answer.manifest["tables"]
    missing = {name for name, about in tables.items() if about == "not in this archive"}
    assert missing == {"contacts", "conversations", "conversation_metrics", "meetings", "attachments", "users"}
    assert tables["messages"]["rows"] == 0
    assert "meetings: not in this archive." in answer.html


def test_an_employees_address_leads_nowhere(tmp_path: Path, ask: Ask) -> None:
    """An address of a user, entered as a contact's second one, does not make other contacts with it the person."""
    rows = people()
    rows["contacts"][0]["attributes"]["email2"] = "grace@team.example.com"
    rows["contacts"].append(contact(300, email="grace@team.example.com"))
    answer = ask(archived(tmp_path / "drift.duckdb", rows))
    assert 300 not in answer.ids("contacts")
    assert "grace@team.example.com" not in answer.manifest["searched"]["other_addresses"]


def test_a_user_of_drift_gets_no_conversations_of_others(tmp_path: Path, ask: Ask) -> None:
    """An employee's address finds that contact of theirs which tried the widget, and no meeting of their work."""
    rows = people()
    rows["contacts"].append(contact(300, email="grace@team.example.com"))
    rows["meetings"][3]["agentEmail"] = "grace@team.example.com"
    answer = ask(archived(tmp_path / "drift.duckdb", rows), "grace@team.example.com")
    assert answer.ids("contacts") == [300]
    assert answer.person["conversations"] == answer.person["meetings"] == []


def test_a_meeting_alone_is_found(tmp_path: Path, ask: Ask) -> None:
    """Somebody who only attends a meeting has no contact and yet an answer."""
    rows = people()
    rows["meetings"].append({"slug": "dee", "agentId": 1, "attendees": ["Dee@example.com"]})
    answer = ask(archived(tmp_path / "drift.duckdb", rows), "dee@example.com")
    assert answer.code == 0, answer.printed
    assert answer.ids("meetings", "slug") == ["dee"]
