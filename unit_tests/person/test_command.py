"""The command writes a private folder, or says in one sentence why not, and never prints an address."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from unit_tests.person.archives import archived, contact, conversation
from unit_tests.person.conftest import ADA, Ask, people


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
