"""Rows become members of an audience, and a mirror removes only whom it added, and never many at once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from destination_tests import TOKEN, Run, catalog, config, run_here, send, start, state, status, wait_until

from destination_drift import audiences, contacts
from destination_drift.ledger import FILE
from sandbox import ALL_SCOPES, WRITE_SCOPES, Drift, Fault, Options, Sandbox

OPTIONS = Options(tokens={TOKEN: ALL_SCOPES + WRITE_SCOPES}, rate_limit=None)
MARK = "audience_vip"


class World:
    """A Drift with ten contacts of their own, a ledger, and syncs of the audience `vip`."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        self.drift = sandbox.drift = sandbox.service.drift = Drift(conversations=0, accounts=0, contacts=0)
        sandbox.options, sandbox.faults = OPTIONS, ()
        self.people = [self.drift.add_contact(email=address(number), plan="team") for number in range(10)]
        self.keys = {"ledger_directory": str(folder / "ledger"), "audit_key": "made-up-key-of-hashes"}
        assert run_here(folder, "ledger init", config(**self.keys)).code == 0
        self.drift.writes.clear()
        sandbox.journal.clear()

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
        attributes = (self.drift.contact(contact_id) or {"attributes": {}})["attributes"]
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


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Drift(conversations=0, contacts=0), OPTIONS) as running:
        yield running


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


def test_a_row_without_a_contact_is_written_again_at_the_end(world: World) -> None:
    """A stream of the same sync may create the contact. Rows about one contact stay in order."""
    lines = [line("vip", email=address(n)) for n in (20, 21, 22)]
    lines += [line("contact", email=address(n)) for n in (20, 21)]
    lines.append(line("vip", email=address(21), member=False))
    given = config(
        world.sandbox.url, match_by="email", audiences=[{"stream": "vip", "name": "vip"}], max_rejected_percent=100
    )
    streams = catalog("vip", "contact", columns=("email", "member"))
    streams["streams"][1]["stream"]["json_schema"]["properties"].pop("member")
    ends = [state(1, "vip"), status("COMPLETE", "vip"), status("COMPLETE", "contact")]
    run = run_here(world.folder, "write", given, streams, [*lines, *ends])
    assert (run.error, run.stats) == (("", ""), [(3, 1)])
    assert run.logs("WARN") == ["Row 3 of the stream vip was rejected: no_match, email."]
    ids = [one.subject for one in world.drift.writes if one.action == "create"]
    assert {world.drift.contact(one)["attributes"]["email"]: world.has(one) for one in ids} == {
        address(20): True,
        address(21): False,
    }


@pytest.mark.parametrize(
    ("row", "warning"),
    [
        ({"email": address(1), "member": None}, "wrong_type, member"),
        ({"email": address(1), "member": "maybe"}, "wrong_type, member"),
        ({"email": address(1), "member": 1}, "wrong_type, member"),
        ({"email": "", "member": True}, "missing_key, email"),
        ({"email": address(2)}, f"wrong_type, {MARK}"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected(world: World, row: dict[str, Any], warning: str) -> None:
    """An empty `member` neither adds nor removes, and a value of somebody else's is not replaced."""
    world.sync(1)
    world.drift.update_contact(world.people[2], **{MARK: "gold"})
    world.drift.writes.clear()
    run = world.sync(row)
    assert (run.logs("WARN"), world.writes) == ([f"Row 1 of the stream vip was rejected: {warning}."], 0)
    assert world.drift.contact(world.people[2])["attributes"][MARK] == "gold"


@pytest.mark.parametrize(
    ("options", "method", "message"),
    [
        ({"tags": "ignored"}, "tag", "Drift accepts no tags for contacts, or does not store them."),
        ({"tags": "gone"}, "tag", "Drift accepts no tags for contacts, or does not store them."),
        ({"new_attributes": "ignored"}, "attribute", f"Drift accepted values for {MARK} but did not store them."),
    ],
)
def test_a_mark_that_drift_does_not_store_is_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], method: str, message: str
) -> None:
    """The first mark is read back, and the error says what to do."""
    for module in (audiences, contacts):
        monkeypatch.setattr(module, "WAITS", (0.01,))
    world.sandbox.options = replace(world.sandbox.options, **options)
    run = world.sync(1, method=method)
    assert (run.at, run.error[0]) == ([], "config_error")
    assert run.error[1].startswith(message)


def test_a_tag_is_never_part_of_a_path(world: World) -> None:
    """The tag ".." is removed like any other, and its contact stays in Drift's index."""
    for mode in ("add", "remove"):
        assert world.sync(1, method="tag", name="..", mode=mode).error == ("", "")
    assert [one.action for one in world.drift.writes] == ["tag", "untag"]


# Mirror


@METHODS
def test_a_mirror_adds_and_removes(world: World, method: str) -> None:
    """After each sync, the members are the rows; a sync without a change writes nothing."""
    people = list(range(10))
    assert world.mirror(*people, method=method).at == [1]
    assert (world.marks, world.ledger) == (people, [(one, True) for one in people])
    written = world.writes
    world.mirror(*people, method=method)
    assert world.writes == written
    run = world.mirror(*people[1:], method=method)
    assert (run.error, run.at, world.marks, world.writes) == (("", ""), [1], people[1:], written + 1)
    assert world.ledger == [(one, True) for one in people[1:]]


def test_a_mirror_keeps_whom_it_did_not_add(world: World) -> None:
    """Contacts with a mark from elsewhere stay, whether they are among the rows or not."""
    world.sync(0, 1)
    world.mirror(*range(1, 10))
    assert world.ledger == [(one, True) for one in range(2, 10)]
    world.mirror(*range(3, 10), max_removed_percent=100)
    assert world.marks == [0, 1, *range(3, 10)]


EVERYBODY = {"max_removed_percent": 100, "allow_empty": True}


@pytest.mark.parametrize(
    ("rows", "limits", "message"),
    [
        ([], {"max_removed_percent": 100}, "10 of 10 would be removed, but the stream has no member."),
        ([], {"allow_empty": True}, "10 of 10 would be removed, but max_removed_percent is 10."),
        ([], EVERYBODY, None),
        (range(2, 10), {}, "2 of 10 would be removed, but max_removed_percent is 10."),
        (range(1, 10), {}, None),
        (range(2, 10), {"max_removed_percent": 20}, None),
        (
            range(4, 10),
            {"max_removed_percent": 100, "max_removed": 3},
            "4 of 10 would be removed, but max_removed is 3",
        ),
        (range(3, 10), {"max_removed_percent": 100, "max_removed": 3}, None),
        ([*range(1, 10), *["x"] * 1], {}, "1 of 10 would be removed, but 1 of 10 rows were rejected."),
        ([*[*range(1, 10)] * 3, "x"], {}, None),
        (
            [{"email": address(n), "member": False} for n in range(10)],
            {"max_removed_percent": 100},
            "10 of 10",
        ),
        (
            [{"email": address(n), "member": n > 1} for n in range(10)],
            {},
            "2 of 10 would",
        ),
        ([{"email": address(n), "member": n > 0} for n in range(10)], {}, None),
        (["x"] * 10, EVERYBODY, "10 of 10 would be removed, but 10 of 10 rows were rejected."),
    ],
)
def test_a_mirror_removes_nobody_rather_than_too_many(
    world: World, rows: Any, limits: dict[str, Any], message: str | None
) -> None:
    """At each limit, members leave; just beyond it, nobody does, the error has the numbers, and no state comes back."""
    world.mirror(*range(10))
    run = world.mirror(*rows, settings={"max_rejected_percent": 100}, **limits)
    if message is None:
        assert (run.error, run.at) == (("", ""), [1])
        assert len(world.marks) < 10
        assert world.marks == [one for one, _ in world.ledger]
    else:
        assert (run.error[0], run.at, world.marks) == ("config_error", [], list(range(10)))
        assert message in run.error[1]


def test_a_refused_list_does_not_pass_at_the_second_attempt(world: World) -> None:
    """A wrong list adds its own rows, but these do not make the limit wider."""
    world.mirror(0, 1)
    for number in range(10, 32):
        world.people.append(world.drift.add_contact(email=address(number)))
    for _ in range(2):
        run = world.mirror(*range(10, 32))
        assert (run.error[0], run.at, world.marks) == ("config_error", [], [0, 1, *range(10, 32)])
    run = world.mirror(0, 1)
    assert "22 of 24 would be removed" in run.error[1]
    assert world.mirror(0, 1, max_removed_percent=100).error == ("", "")
    assert world.marks == [0, 1]


@pytest.mark.parametrize("end", [[], [status("INCOMPLETE", "vip")], ["not JSON"]])
def test_a_mirror_needs_a_complete_list(world: World, end: list[str]) -> None:
    """Without the word of the source, rows are added, nobody is removed, and no state comes back."""
    world.mirror(*range(9))
    run = world.mirror(9, end=end, **EVERYBODY)
    assert (run.code, run.at, world.marks) == (1, [], list(range(10)))
    assert world.ledger[-1] == (9, False)


def test_the_member_of_a_rejected_row_stays(world: World) -> None:
    """Whoever is among the rows is not removed because Drift has a second contact of that address."""
    world.mirror(*range(10))
    world.drift.add_contact(email=address(0))
    run = world.mirror(*[*range(10)] * 3, max_removed_percent=100)
    assert "10 of 10" not in run.error[1]
    run = world.mirror(*range(8), *[*range(1, 8)] * 3, max_removed_percent=100)
    assert (run.error, world.marks) == (("", ""), list(range(8)))


def test_a_member_that_drift_does_not_release_stays_in_the_ledger(world: World) -> None:
    """A deleted contact is forgotten, a refused one is tried again by the next sync."""
    world.mirror(*range(10))
    world.drift.delete_contact(world.people[0])
    world.sandbox.faults = [Fault(f"/contacts/{world.people[1]}", "status", method="PATCH", status=400)]
    run = world.mirror(*range(2, 10), max_removed_percent=100)
    assert (run.error, run.logs("WARN")) == (("", ""), ["1 members of the audience vip could not be removed."])
    assert world.ledger == [(one, True) for one in range(1, 10)]
    world.mirror(*range(2, 10), max_removed_percent=100)
    assert world.marks == list(range(2, 10))


def test_a_contact_that_drift_does_not_mark_is_no_member(world: World) -> None:
    """If somebody else marks it later, a mirror leaves it alone."""
    world.sandbox.faults = [Fault(f"/contacts/{world.people[0]}", "status", method="PATCH", status=400)]
    run = world.mirror(0, 1)
    assert run.logs("WARN") == ["Row 1 of the stream vip was rejected: refused_by_drift, HTTP 400."]
    assert world.ledger == [(1, True)]


def test_a_dry_run_of_a_mirror_changes_nothing(world: World) -> None:
    """Neither Drift nor the ledger changes; the log has the numbers."""
    world.mirror(*range(9))
    written, ledger = world.writes, world.ledger
    run = world.mirror(*range(1, 10), max_removed_percent=20, settings={"dry_run": True})
    assert (run.at, world.writes, world.ledger) == ([], written, ledger)
    assert run.logs("WARN") == ["1 members of the audience vip would be removed."]
    assert "Stream vip: 1 would be written, 8 unchanged, 0 rejected." in run.logs("INFO")


def test_the_ledger_has_a_member_before_drift_has(world: World, tmp_path: Path) -> None:
    """After kill -9 during the request, a mirror can remove the member, whether Drift has applied it or not."""
    world.sandbox.faults = [Fault(f"/contacts/{world.people[1]}", "hang", method="PATCH", seconds=5)]
    given = config(
        world.sandbox.url,
        match_by="email",
        audiences=[{"stream": "vip", "name": "vip", "mode": "mirror", "max_removed_percent": 100}],
        **world.keys,
    )
    process = start(tmp_path, given, catalog("vip", columns=("email", "member")))
    send(process, line("vip", email=address(1)))
    wait_until(lambda: any(one.method == "PATCH" for one in world.sandbox.journal))
    process.kill()
    process.communicate()
    assert (world.ledger, world.marks) == ([(1, False)], [])
    world.drift.update_contact(world.people[1], **{MARK: True})
    world.mirror(2, max_removed_percent=100)
    assert (world.ledger, world.marks) == ([(2, True)], [2])


# Settings


@pytest.mark.parametrize(
    ("given", "configured", "message"),
    [
        ({"mode": "mirror"}, {"sync_mode": "incremental"}, "The stream vip mirrors an audience, but a sync does not"),
        ({"mode": "mirror", "ledger_directory": None}, {}, "There is no ledger. Set ledger_directory"),
        ({"name": "v-i-p"}, {}, "The audience v-i-p cannot be an attribute."),
        (
            {"stream": "other"},
            {"destination_object_name": "audience_member"},
            "The stream vip is in only one of",
        ),
        ({}, {"destination_object_name": "contact"}, "The stream vip is in only one of"),
        ({}, {"destination_sync_mode": "update"}, "The stream vip has the sync mode update. Choose one of"),
        ({"max_remove": 5}, {}, "audiences.0: is not one of the allowed values"),
    ],
)
def test_an_audience_that_cannot_be_kept_is_an_error_before_anything_is_written(
    world: World, given: dict[str, Any], configured: dict[str, Any], message: str
) -> None:
    """The error says what to change, and nothing is written."""
    ledger = {name: given.pop(name) for name in ("ledger_directory",) if name in given}
    settings = {**world.keys, **ledger, "audiences": [{"stream": "vip", "name": "vip", **given}]}
    streams = catalog("vip", columns=("email",), **configured)
    run = run_here(
        world.folder, "write", config(world.sandbox.url, **settings), streams, [line("vip", email=address(1))]
    )
    assert (run.error[0], world.writes) == ("config_error", 0)
    assert run.error[1].startswith(message)


def test_a_mirror_has_its_audience_alone(world: World) -> None:
    """Two streams may add to an audience and remove from it, but a second one would undo a mirror."""
    streams = catalog("vip", "left", columns=("email",))
    for mode, error in (("remove", ""), ("mirror", "Two streams are about the audience vip.")):
        both = [{"stream": "vip", "name": "vip"}, {"stream": "left", "name": "vip", "mode": mode}]
        given = config(world.sandbox.url, match_by="email", audiences=both, **world.keys)
        run = run_here(world.folder, "write", given, streams, [line("vip", email=address(1))])
        assert run.error[1].startswith(error)


def test_soft_delete_removes(world: World) -> None:
    """The operation of a data activation removes members, whatever the mode of the audience is."""
    world.sync(1, 2)
    given = config(world.sandbox.url, audiences=[{"stream": "vip", "name": "vip"}])
    chosen = {"destination_object_name": "audience_member", "primary_key": [["email"]]}
    streams = catalog("vip", columns=("email",), destination_sync_mode="soft_delete", **chosen)
    assert run_here(world.folder, "write", given, streams, [line("vip", email=address(1))]).error == ("", "")
    assert world.marks == [2]
