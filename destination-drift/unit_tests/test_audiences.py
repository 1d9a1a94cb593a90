"""Rows become members of an audience, and a mirror removes only whom it added, and never many at once."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from destination_tests import Run, catalog, config, run_here, state, status

from destination_drift.ledger import FILE
from sandbox import Sandbox

MARK = "audience_vip"


class World:
    """A Drift with ten contacts of their own, a ledger, and syncs of the audience `vip`."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.drift, self.folder = sandbox, sandbox.drift, folder
        self.people = [self.drift.add_contact(email=address(number), plan="team") for number in range(10)]
        self.keys = {"ledger_directory": str(folder / "ledger"), "audit_key": "made-up-key-of-hashes"}
        assert run_here(folder, "ledger init", config(**self.keys)).code == 0
        self.drift.writes.clear()

    def sync(self, *rows: Any, end: Any = None, settings: Any = None, **audience: Any) -> Run:
        """Sync rows: a number is the person with this number."""
        lines = [line("vip", **(row if isinstance(row, dict) else {"email": address(row)})) for row in rows]
        given = {"match_by": "email", **self.keys, **(settings or {})}
        given["audiences"] = [{"stream": "vip", "name": "vip", **audience}]
        self.sandbox.journal.clear()
        ended = [status("COMPLETE", "vip")] if end is None else end
        columns = catalog("vip", columns=("email", "externalId", "member", "name"))
        return run_here(
            self.folder, "write", config(self.sandbox.url, **given), columns, [*lines, state(1, "vip"), *ended]
        )

    def mirror(self, *rows: Any, **settings: Any) -> Run:
        return self.sync(*rows, mode="mirror", **settings)

    @property
    def marks(self) -> list[int]:
        """The numbers of the people who are members."""
        return [number for number, one in enumerate(self.people) if self.has(one)]

    def has(self, contact_id: int) -> bool:
        attributes = self.drift.contact(contact_id)["attributes"]
        return attributes.get(MARK) is True or "vip" in [tag["name"] for tag in attributes.get("tags", [])]

    @property
    def writes(self) -> int:
        return len(self.drift.writes)

    @property
    def ledger(self) -> list[Any]:
        """Number of the person and whether a mirror came to its end since, for each member."""
        connection = sqlite3.connect(self.folder / "ledger" / FILE)
        found = connection.execute("SELECT contact_id, mirrored FROM members").fetchall()
        connection.close()
        return sorted((self.people.index(one), bool(done)) for one, done in found)


def address(number: Any) -> str:
    return f"person{number}@example.com"


def line(stream: str, **data: Any) -> str:
    return json.dumps({"type": "RECORD", "record": {"stream": stream, "data": data, "emitted_at": 1}})


@pytest.fixture
def world(sandbox: Sandbox, tmp_path: Path) -> World:
    return World(sandbox, tmp_path)


METHODS = pytest.mark.parametrize("method", ["attribute", "tag"])


@METHODS
def test_rows_add_members(world: World, method: str) -> None:
    """Only the mark changes; the second sync writes nothing; other columns and other tags stay."""
    world.drift.tag_contact(world.people[1], ["other"])
    world.drift.writes.clear()
    run = world.sync({"email": "PERSON1@example.com", "name": "New"}, 2, method=method)
    assert (run.code, run.error, run.stats, world.marks) == (0, ("", ""), [(2, 0)], [1, 2])
    attributes = world.drift.contact(world.people[1])["attributes"]
    assert (attributes["email"], attributes["plan"], attributes.get("name")) == (address(1), "team", None)
    assert "other" in [tag["name"] for tag in attributes["tags"]]
    assert world.writes == 2
    world.sync(1, 2, method=method)
    assert (world.writes, world.sandbox.journal.count()) == (2, 4)


@METHODS
def test_rows_remove_members(world: World, method: str) -> None:
    """`member` = false and the mode `remove` remove one; whoever is no member is left alone."""
    world.sync(*range(5), method=method)
    written = world.writes
    world.sync({"email": address(0), "member": False}, {"email": address(7), "member": "false"}, method=method)
    assert (world.marks, world.writes) == ([1, 2, 3, 4], written + 1)
    world.sync(
        1, 8, {"email": address(2), "member": True}, {"email": address(9), "member": True}, mode="remove", method=method
    )
    assert (world.marks, world.writes) == ([2, 3, 4], written + 2)
