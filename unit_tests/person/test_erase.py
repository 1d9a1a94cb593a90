"""docs/erase.sql removes one person from an archive, and nobody else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from source_drift.archive.warehouse import Warehouse
from source_drift.person.archive import Archive
from source_drift.person.search import _OWN_ADDRESS, UNNAMED, search
from unit_tests.analysis.landing import landed, seeded
from unit_tests.person.archives import archived, contact, conversation, message
from unit_tests.person.conftest import ADA, GRACE, ODD_ADDRESSES, people

DOCS = Path(__file__).parents[2] / "docs"
SQL = (DOCS / "erase.sql").read_text(encoding="utf-8")
WORK_ADDRESS = "ada.foxglove@work.example.com"
KEYS = {"conversation_metrics": "conversationId", "meetings": "slug"}


def erase(path: Path, address: Any) -> None:
    """Run the file as a user does, who may then go on in the same session."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET VARIABLE address = ?", [address])
        connection.execute(SQL)
        assert connection.execute("SELECT current_setting('search_path')").fetchall() == [("",)]


def rows_of(path: Path) -> dict[str, set[str]]:
    """All rows as JSON, by table."""
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = connection.execute("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
        found = {}
        for schema, table in tables:
            rows = connection.execute(f"SELECT to_json(rows)::VARCHAR FROM {schema}.{table} AS rows")  # noqa: S608
            found[table] = {row for (row,) in rows.fetchall()}
        return found


@contextmanager
def removed(path: Path) -> Iterator[dict[str, set[Any]]]:
    """After the block, the keys of the rows that it removed by table. No row or table was added or changed."""
    found: dict[str, set[Any]] = {}
    before = rows_of(path)
    yield found
    after = rows_of(path)
    assert list(after) == list(before)
    assert [name for name in after if not after[name] <= before[name]] == []
    for name in before:
        if gone := before[name] - after[name]:
            found[name] = {json.loads(row)[KEYS.get(name, "id")] for row in gone}


def test_exactly_the_rows_of_the_person_are_removed(tmp_path: Path) -> None:
    """The address and the visitor that she was before; then her other address, and her words in a talk of another."""
    rows = people()
    rows["meetings"].append({"slug": "of-another-talk", "agentId": GRACE, "conversationId": 18})
    more = """
        CREATE TABLE attachments (conversationId BIGINT, messageId BIGINT, id VARCHAR, path VARCHAR);
        INSERT INTO attachments VALUES
            (10, 4, 'a', '10/a.pdf'), (10, 99, 'b', NULL), (18, 12, 'c', NULL), (18, 13, 'd', NULL)
    """
    path = archived(tmp_path / "drift.duckdb", rows, more=more)
    with removed(path) as gone:
        erase(path, f" {ADA.upper()}\n")
    assert gone == {
        "attachments": {"a", "b"},
        "contacts": {101, 102, 103},
        "contacts_by_email": {102},
        "conversation_details": {10},
        "conversation_metrics": {10},
        "conversations": {10, 11, 12},
        "meetings": {"by-conversation", "by-address"},
        "messages": {1, 2, 3, 4, 5, 6, 14},
    }
    with removed(path) as gone:
        erase(path, WORK_ADDRESS)
    assert gone == {
        "attachments": {"d"},
        "contacts": {104},
        "conversations": {13},
        "meetings": {"by-contact"},
        "messages": {7, 13},
    }
    with removed(path) as gone:
        erase(path, ADA)
    assert gone == {}


def test_it_finds_what_the_search_finds(tmp_path: Path) -> None:
    """In an archive of 400 conversations: the same contacts and conversations, and nothing is left to find."""
    with landed(seeded(), tmp_path) as warehouse:
        path = warehouse.path
        addresses = warehouse.ask(
            "SELECT attributes ->> '$.email' FROM contacts WHERE attributes ->> '$.email' IS NOT NULL "
            "GROUP BY ALL ORDER BY count(*) DESC, 1 LIMIT 5"
        ).rows
    assert len(addresses) == 5
    for (address,) in addresses:
        with Archive(path) as archive:
            person = search(archive, address)
        assert person.other_addresses == []
        with removed(path) as gone:
            erase(path, address)
        assert gone["contacts"] == set(person.contacts)
        for table in ("conversations", "conversation_details", "messages", "conversation_metrics", "meetings"):
            expected = {row[KEYS.get(table, "id")] for row in person.rows[table]}
            assert (address, table, gone.get(table, set())) == (address, table, expected)
        with Archive(path) as archive:
            assert not search(archive, address).found


@ODD_ADDRESSES
def test_odd_addresses_are_removed(tmp_path: Path, attributes: dict[str, object], asked: str) -> None:
    """An address is compared whole, in whatever form the attribute holds it."""
    others = [contact(2, email="x.ada@example.com"), contact(3), contact(4, email=None), contact(5, email=7)]
    path = archived(tmp_path / "drift.duckdb", {"contacts": [contact(1, **attributes), *others]})
    with removed(path) as gone:
        erase(path, asked)
    assert gone == {"contacts": {1}}


def test_the_attributes_are_those_of_the_search() -> None:
    """The pattern for the names of attributes is the same in SQL and Python."""
    assert _OWN_ADDRESS.pattern in re.sub(r"'\s*\|\|\s*'", "", SQL)


def test_attributes_of_others_lead_to_nobody(tmp_path: Path) -> None:
    """Who looks after a customer, or is named in a note, has not that customer's address."""
    path = archived(tmp_path / "drift.duckdb", people())
    with removed(path) as gone:
        erase(path, "grace@team.example.com")
    assert gone == {}


@pytest.mark.parametrize("met", [message(50, 14, 103), message(50, 12, 201)], ids=["in another's talk", "in its own"])
def test_a_visitor_who_met_somebody_else_stays(tmp_path: Path, met: dict[str, Any]) -> None:
    """Who wrote with two people could be either of them; only words in the person's conversations go."""
    rows = people()
    rows["messages"].append(met)
    path = archived(tmp_path / "drift.duckdb", rows)
    with Archive(path) as archive:
        assert UNNAMED not in search(archive, ADA).contacts.values()
    with removed(path) as gone:
        erase(path, ADA)
    assert (gone["contacts"], gone["conversations"]) == ({101, 102}, {10, 11})
    assert gone["messages"].isdisjoint({6, 50})


def test_tables_that_disagree_are_no_proof(tmp_path: Path) -> None:
    """The first table that says whose a conversation is counts; without any, it is hers if no other contact wrote."""
    rows: dict[str, list[dict[str, Any]]] = {
        "contacts": [contact(1, email=ADA), contact(2, email="ben@example.com")],
        "conversations": [conversation(10, 2)],
        "conversation_details": [conversation(10, 1), conversation(14, 1)],
        "conversation_metrics": [{"conversationId": 10, "endUserId": 1}, {"conversationId": 11, "endUserId": 1}],
        # A user's ID may be that of a contact.
        "messages": [
            *(message(1, 12, 1), message(2, 12, 9, user=True), message(3, 13, 1), message(4, 13, 2)),
            *(message(5, 10, 1, user=True), message(6, 10, 1)),
        ],
    }
    path = archived(tmp_path / "drift.duckdb", rows)
    with removed(path) as gone:
        erase(path, ADA)
    assert gone == {
        "contacts": {1},
        "conversation_details": {14},
        "conversation_metrics": {11},
        "messages": {1, 2, 3, 6},
    }


def test_a_user_of_drift_keeps_the_meetings_of_others(tmp_path: Path) -> None:
    """The address of an employee is in meetings with many people."""
    rows = people()
    rows["contacts"].append(contact(300, email="grace@team.example.com"))
    rows["meetings"][3]["agentEmail"] = "grace@team.example.com"
    rows["meetings"].append({"slug": "her-own", "agentId": GRACE, "schedulerId": 300})
    path = archived(tmp_path / "drift.duckdb", rows)
    with removed(path) as gone:
        erase(path, "grace@team.example.com")
    assert gone == {"contacts": {300}, "meetings": {"her-own"}}


@pytest.mark.parametrize("streams", [("contacts",), ("contacts_by_email", "messages"), ("meetings",)], ids="+".join)
def test_an_archive_may_lack_tables(tmp_path: Path, streams: tuple[str, ...]) -> None:
    """What is there is removed, and no table appears."""
    path = archived(tmp_path / "drift.duckdb", {name: people()[name] for name in streams})
    with removed(path) as gone:
        erase(path, ADA)
    assert list(gone) == list(streams)


@pytest.mark.parametrize("address", [None, "", " \n", "ada", "101"])
def test_without_an_address_nothing_is_removed(tmp_path: Path, address: str | None) -> None:
    """It is an error that says so."""
    path = archived(tmp_path / "drift.duckdb", {"contacts": [contact(1, email=""), contact(2, email="ada")]})
    with removed(path) as gone, pytest.raises(duckdb.Error, match="The variable address is no email address"):
        erase(path, address)
    assert gone == {}


def test_the_copy_has_no_trace_and_is_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes stay in the file; the command of docs/person.md copies everything but these."""
    with landed({"contacts": [contact(1, email=ADA, name="Foxglove"), contact(2)]}, tmp_path) as warehouse:
        folder = warehouse.path.parent
    erase(folder / "drift.duckdb", ADA)
    assert b"Foxglove" in (folder / "drift.duckdb").read_bytes()
    command = re.search(r'^duckdb drift\.duckdb -bail "(ATTACH [^"]+)"', (DOCS / "person.md").read_text(), re.MULTILINE)
    assert command
    monkeypatch.chdir(folder)
    with duckdb.connect("drift.duckdb") as connection:
        connection.execute(command[1])
    assert b"Foxglove" not in (folder / "new.duckdb").read_bytes()
    assert rows_of(folder / "new.duckdb") == rows_of(folder / "drift.duckdb")
    with Warehouse(folder / "new.duckdb") as copied:
        copied.claim("driftapi.com", "1.0.0")
        assert copied.ask("SELECT id, email FROM readable.contacts").rows == [(2, None)]
