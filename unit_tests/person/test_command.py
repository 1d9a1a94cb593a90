"""The command writes a private folder, or says in one sentence why not, and never prints an address."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from source_drift import run
from source_drift.person.redaction import Redaction
from source_drift.person.text import moment, plain
from unit_tests.person.archives import NOON, archived, contact, conversation, message
from unit_tests.person.conftest import ADA, GRACE, WILL, Ask, people


def test_the_folder_is_private_and_its_files_are_those_of_the_manifest(archive: Path, ask: Ask) -> None:
    """Only the owner can open the three files, and the manifest has the size and checksum of the other two."""
    answer = ask(archive)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [answer.folder, *answer.folder.iterdir()]}
    assert modes == {"answer": 0o700, "person.json": 0o600, "person.html": 0o600, "manifest.json": 0o600}
    contents = {name: (answer.folder / name).read_bytes() for name in answer.manifest["files"]}
    assert set(contents) == {"person.json", "person.html"}
    assert answer.manifest["files"] == {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    }


def test_rows_are_drifts_own_with_the_time_of_their_sync(tmp_path: Path, ask: Ask) -> None:
    """Fields keep Drift's names and types, undeclared ones stand beside them, and each row says when it came."""
    rows = {
        "contacts": [contact(1 << 60, email=ADA, seats=3, Plan="a", plan="b") | {"score": 0.5}],
        "conversations": [conversation(10, 1 << 60)],
    }
    path = archived(tmp_path / "drift.duckdb", rows, synced={"contacts": "2026-03-01 00:00:00.5"})
    answer = ask(path)
    assert answer.person["contacts"] == [rows["contacts"][0] | {"_synced_at": "2026-03-01T00:00:00.5Z"}]
    assert answer.person["conversations"] == [rows["conversations"][0] | {"_synced_at": "2026-03-04T12:05:00Z"}]


def test_the_last_sync_of_each_table_is_named(tmp_path: Path, ask: Ask) -> None:
    """The manifest has the newest sync of a stream without the text of its error, and the page says how old it is."""
    more = """
        CREATE TABLE _drift_syncs (stream VARCHAR, started TIMESTAMP, ended TIMESTAMP, outcome VARCHAR, records BIGINT,
            error VARCHAR, warnings BIGINT);
        INSERT INTO _drift_syncs VALUES
            ('contacts', '2026-03-04 10:00:00', '2026-03-04 10:01:00', 'complete', 5, NULL, 0),
            ('contacts', '2026-03-04 09:00:00', '2026-03-04 09:01:00', 'failed', 5, 'about ada@example.com', 0);
    """
    answer = ask(archived(tmp_path / "drift.duckdb", {"contacts": [contact(1, email=ADA)], "users": []}, more=more))
    assert answer.manifest["tables"]["contacts"] == {
        "rows": 1,
        "last_sync": {
            "started": "2026-03-04T10:00:00Z",
            "ended": "2026-03-04T10:01:00Z",
            "outcome": "complete",
            "records": 5,
            "warnings": 0,
        },
    }
    assert answer.manifest["tables"]["users"]["last_sync"] == "not recorded in this archive"
    assert "The copy was last synced on 4 March 2026, 10:01 UTC." in answer.html


def test_files_of_the_conversations_are_listed(tmp_path: Path, ask: Ask) -> None:
    """The table of downloaded files is part of the answer, and the page shows what became of each."""
    more = """
        CREATE TABLE attachments (conversationId BIGINT, messageId BIGINT, id VARCHAR, path VARCHAR, size BIGINT,
            sha256 VARCHAR, outcome VARCHAR);
        INSERT INTO attachments VALUES (10, 4, '7001', '10/7001.pdf', 1234, 'ab', 'downloaded'),
            (10, 4, '7002', NULL, NULL, NULL, 'gone'), (14, 8, '7003', '14/7003.pdf', 1, 'cd', 'downloaded');
    """
    answer = ask(archived(tmp_path / "drift.duckdb", people(), more=more))
    assert answer.ids("attachments") == ["7001", "7002"]
    assert "10/7001.pdf</dt><dd>downloaded, 1,234 bytes" in answer.html
    assert "7002</dt><dd>gone" in answer.html


def test_nobody_found_is_exit_code_3_without_a_folder(archive: Path, ask: Ask) -> None:
    """A sentence that does not repeat the address, and no folder."""
    answer = ask(archive, "nobody@example.com")
    assert answer.code == 3
    assert answer.printed == "The archive holds nothing about a person with this address.\n"
    assert not answer.folder.exists()
    assert "Drift user" in ask(archive, "grace@team.example.com").printed


@pytest.mark.parametrize(
    ("text", "arguments", "code"),
    [
        pytest.param(ADA, [], 0, id="found"),
        pytest.param(ADA, ["--redact-staff"], 0, id="found, redacted"),
        pytest.param(ADA, [ADA], 2, id="address as an argument"),
        pytest.param(ADA, [f"--email={ADA}"], 2, id="address as an option"),
        pytest.param(ADA, [f"--redact-staff={ADA}"], 2, id="address as a value"),
        pytest.param(f"{ADA}\nben@example.com", [], 2, id="two addresses"),
        pytest.param("", [], 2, id="empty"),
        pytest.param("ada", [], 2, id="no address"),
        pytest.param(f"Ada {ADA}", [], 2, id="with a name"),
        pytest.param(f"\ufeff{ADA}\r\n", [], 0, id="as Windows writes it"),
    ],
)
def test_no_address_is_printed(archive: Path, ask: Ask, text: str, arguments: list[str], code: int) -> None:
    """Whatever is wrong, it is said without the address, in at most two sentences."""
    answer = ask(archive, text, *arguments)
    assert answer.code == code, answer.printed
    assert "example.com" not in answer.printed
    assert code == 0 or answer.printed.count(". ") <= 1
    assert answer.folder.exists() == (code == 0)


def _not_duckdb(path: Path) -> None:
    path.write_text("no database" * 1000)


def _empty(path: Path) -> None:
    duckdb.connect(str(path)).close()


def _other(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE contacts (id INTEGER[], attributes VARCHAR)")
        connection.execute("INSERT INTO contacts VALUES ([1], 'mail ada@example.com')")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda path: None, "There is no archive at", id="missing"),
        pytest.param(_not_duckdb, "is not a DuckDB file", id="not DuckDB"),
        pytest.param(_empty, "has no contacts", id="no tables"),
        pytest.param(_other, "cannot be read", id="not an archive"),
    ],
)
def test_an_archive_that_cannot_be_used_is_named(
    tmp_path: Path, ask: Ask, make: Callable[[Path], None], reason: str
) -> None:
    """One error that says what is wrong, exit code 1, and no folder."""
    make(tmp_path / "drift.duckdb")
    answer = ask(tmp_path / "drift.duckdb")
    assert (answer.code, answer.folder.exists()) == (1, False), answer.printed
    assert reason in answer.printed
    assert ADA not in answer.printed


def test_an_archive_that_a_sync_writes_is_left_alone(tmp_path: Path, ask: Ask) -> None:
    """While another process has the file open for writing, the command says to try again."""
    path = archived(tmp_path / "drift.duckdb", {"contacts": []})
    program = f"import duckdb; c = duckdb.connect({str(path)!r}); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "open\n"
        answer = ask(path)
        writer.communicate("\n")
    assert answer.code == 1
    assert "Try again when the sync has ended." in answer.printed


def test_a_folder_that_is_not_empty_is_left_alone(archive: Path, ask: Ask, tmp_path: Path) -> None:
    """What is in the folder stays; an empty one is used and closed to others."""
    folder = tmp_path / "answer"
    folder.mkdir(mode=0o755)
    assert ask(archive).code == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    before = {path: path.read_bytes() for path in folder.iterdir()}
    answer = ask(archive)
    assert answer.code == 1
    assert "is not an empty folder" in answer.printed
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_named(archive: Path, ask: Ask, tmp_path: Path) -> None:
    """A file in the way of the folder is an error of one sentence."""
    (tmp_path / "answer").touch()
    assert ask(archive).code == 1


def test_duckdb_is_asked_for_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the extra, the command names what to install."""
    for name in [name for name in sys.modules if name.startswith("source_drift.person")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(SystemExit) as end:
        run.main(["person"])
    assert end.value.code == 1
    expected = 'source-drift person needs DuckDB: pip install "airbyte-source-drift[archive]"\n'
    assert capsys.readouterr().err == expected


def test_names_of_staff_are_hidden(archive: Path, ask: Ask) -> None:
    """No file holds a name or an address of a user, in fields or in texts, while bots and the person stay."""
    answer = ask(archive, ADA, "--redact-staff")
    for path in answer.folder.iterdir():
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"(?i:grace|hara|will@)|\bWill\b", text) == [], path.name
    assert answer.person["users"][:2] == [
        {"id": GRACE, "_synced_at": "2026-03-04T12:05:00Z", "name": "Drift user 1"},
        {"id": WILL, "_synced_at": "2026-03-04T12:05:00Z", "name": "Drift user 2"},
    ]
    assert "Yes & soon. Drift user 1, Drift user 1" in answer.html.replace("&amp;", "&")
    # As a word it is no name.
    assert "She will buy." in answer.html
    assert "Ada Foxglove" in answer.html
    assert "Driftbot" in answer.html
    assert "Names, aliases" in answer.manifest["staff"]


def test_without_users_nothing_can_be_hidden(tmp_path: Path, ask: Ask) -> None:
    """An archive without the table of users cannot hide names, and says so instead of showing them."""
    rows = people()
    del rows["users"]
    answer = ask(archived(tmp_path / "drift.duckdb", rows), ADA, "--redact-staff")
    assert (answer.code, answer.folder.exists()) == (1, False)
    assert "needs the users table" in answer.printed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Zo&euml; B&#xE9; and ZOË BÉ, Zoë&nbsp;Bé", "Drift user 1 and Drift user 1, Drift user 1"),
        ("mail zoe@example.com.", "mail Drift user 1."),
        ("mail xzoe@example.com, x.zoe@example.com, zoe@example.com.example.org", None),
        ("May I? You may.", "Drift user 2 I? You may."),
        ("Mayday", None),
        ("Ada Bé", None),
    ],
)
def test_names_are_found_as_words(text: str, expected: str | None) -> None:
    """Names are found however HTML writes them, and not in other words or addresses; the person's own name stays."""
    users = [
        {"id": 1, "name": "Zoë Bé", "email": "Zoe@example.com"},
        {"id": 2, "name": "May", "email": None},
        {"id": 3, "name": "Ada Bé"},
        {"id": 4, "name": "x"},
    ]
    assert Redaction(users, ["Ada Bé", ADA]).applied({"x": [text]}) == {"x": [text if expected is None else expected]}


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>Hi &amp; <b>bye</b></p><p>one<br>two</p>", "Hi & bye\none\ntwo"),
        ("a < b and 3 > 2", "a < b and 3 > 2"),
        ("plain\ntext", "plain\ntext"),
        ("<script>alert(1)</script>ok", "ok"),
        ("&lt;script&gt;", "<script>"),
        ('<a href="https://www.example.com/?a=1&amp;b=2">here</a>', "here (https://www.example.com/?a=1&b=2)"),
        ('<a href="mailto:a@example.com">a@example.com</a>', "a@example.com"),
        ('<img src=x onerror=alert(1) alt="a cat">', "[image: a cat]"),
        ("", ""),
    ],
)
def test_a_body_becomes_text(markup: str, expected: str) -> None:
    """Words, lines and the addresses of links stay; markup goes."""
    assert plain(markup) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(NOON, "4 March 2026, 12:00 UTC"), ("soon", None), (True, None), (float("nan"), None), (1 << 62, None)],
)
def test_times_are_shown_in_words(value: Any, expected: str | None) -> None:
    """Epoch milliseconds become a day and a time; anything else is no time."""
    assert moment(value) == expected


def test_hostile_rows_are_shown_as_text(tmp_path: Path, ask: Ask) -> None:
    """Markup, control characters and values of another type neither run nor end the page."""
    bad = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    rows = {
        "contacts": [contact(1, email=ADA, **{bad: bad, "list": [bad], "deep": {"a": [bad]}, "control": "a\0b\x1fc"})],
        "conversations": [conversation(10, 1) | {"status": bad, "createdAt": None}],
        "conversation_details": [{"id": 10, "contactId": 1, "participants": ["x", None, 7]}],
        "messages": [
            message(1, 10, 1, bad + "&lt;script&gt;"),
            message(2, 10, 1)
            | {"body": None, "author": None, "createdAt": None, "attachments": [7, None, {"id": bad}]},
            message(3, 10, 1) | {"author": "x", "attachments": "y"},
        ],
    }
    answer = ask(archived(tmp_path / "drift.duckdb", rows))
    assert answer.code == 0, answer.printed
    assert "<script" not in answer.html
    assert "<img" not in answer.html
    assert "&lt;script&gt;" in answer.html
    assert answer.person["contacts"][0]["attributes"]["control"] == "a\0b\x1fc"
    assert "a\ufffdb\ufffdc" in answer.html
    assert answer.html.count('<li class="message') == 3
