"""The ledger is made once, opened by one process, and never taken for empty; it holds no address."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from destination_tests import CANARIES, FOLDER, config, run_here

from destination_drift.destination import DestinationDrift
from destination_drift.errors import ConfigError
from destination_drift.ledger import FILE, Ledger, init_ledger, open_ledger
from destination_drift.messages import Output
from destination_drift.settings import Settings

KEY = "made-up-key-of-hashes"


def settings(folder: Path, **given: Any) -> Settings:
    destination = DestinationDrift(Output(None))  # type: ignore[arg-type]
    return destination.settings(config(**{"ledger_directory": str(folder / "ledger"), "audit_key": KEY, **given}))


@pytest.fixture
def made(tmp_path: Path) -> Settings:
    found = settings(tmp_path)
    init_ledger(found)
    return found


def write(ledger: Ledger, *statements: str) -> None:
    with ledger.transaction() as rows:
        for statement in statements:
            rows.execute(statement)


def test_the_command_makes_a_ledger_once(tmp_path: Path) -> None:
    """Only the owner can read it. The second time is an error and changes nothing."""
    given = config(ledger_directory=str(tmp_path / "ledger"), audit_key=KEY)
    assert run_here(tmp_path, "ledger init", given).code == 0
    path = tmp_path / "ledger" / FILE
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    before = path.read_bytes()
    again = run_here(tmp_path, "ledger init", given)
    assert (again.code, again.error[0]) == (1, "config_error")
    assert again.error[1].startswith("There is a ledger in ledger_directory.")
    assert path.read_bytes() == before


def test_a_run_never_makes_a_ledger(tmp_path: Path) -> None:
    """Without settings, directory, file or content, the error says what to do, and nothing appears."""
    with pytest.raises(ConfigError, match="Set ledger_directory"):
        open_ledger(settings(tmp_path, ledger_directory=None))
    with pytest.raises(ConfigError, match="Set ledger_directory"):
        open_ledger(settings(tmp_path, audit_key=None))
    with pytest.raises(ConfigError, match=r"^There is no ledger in ledger_directory\. Restore it"):
        open_ledger(settings(tmp_path))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / FILE).touch()
    with pytest.raises(ConfigError, match=r"^The ledger is empty\."):
        open_ledger(settings(tmp_path))
    (tmp_path / "ledger" / FILE).write_text("canary@example.com" * 100)
    with pytest.raises(ConfigError, match=r"^The ledger cannot be read or written \(SQLITE_NOTADB\)\."):
        open_ledger(settings(tmp_path))


def test_an_interrupted_init_can_be_repeated(tmp_path: Path) -> None:
    """A file without content becomes the ledger."""
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / FILE).touch()
    init_ledger(settings(tmp_path))
    open_ledger(settings(tmp_path)).close()


def test_a_ledger_belongs_to_an_organization_and_a_key(tmp_path: Path, made: Settings) -> None:
    """The first organization that Drift names stays; another one, or another key, is refused."""
    for organization in (None, "orgId:1", "orgId:1", None):
        open_ledger(made, organization).close()
    with pytest.raises(ConfigError, match="of another Drift organization"):
        open_ledger(made, "orgId:2")
    with pytest.raises(ConfigError, match="made with another audit_key"):
        open_ledger(settings(tmp_path, audit_key="another-made-up-key"))
    open_ledger(made, "orgId:1").close()


def test_two_processes_never_share_a_ledger(made: Settings) -> None:
    """A second one gets an error, until the first one closes the ledger or is killed."""
    assert made.ledger_directory
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0); c.execute('SELECT * FROM about')"
    command = [sys.executable, "-c", code, made.ledger_directory / FILE]
    ledger = open_ledger(made)
    with pytest.raises(ConfigError, match="Another process uses the ledger"):
        open_ledger(made)
    assert b"locked" in subprocess.run(command, check=False, capture_output=True).stderr
    ledger.close()
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_a_transaction_is_written_whole_or_not_at_all(made: Settings) -> None:
    """An exception takes back what the block wrote; errors of SQLite quote nothing."""
    ledger = open_ledger(made)
    with ledger.transaction() as rows:
        rows.execute("INSERT INTO suppressed VALUES ('a', 1, NULL)")
    for statement, error in {
        "INSERT INTO suppressed VALUES ('a', 1, NULL)": "SQLITE_CONSTRAINT_PRIMARYKEY",
        "INSERT INTO suppressed VALUES ('c')": "SQLITE_ERROR",
    }.items():
        with pytest.raises(ConfigError, match=error) as raised:
            write(ledger, "INSERT INTO suppressed VALUES ('b', 1, NULL)", statement)
        assert raised.value.__suppress_context__
    ledger.close()
    ledger = open_ledger(made)
    with ledger.transaction() as rows:
        assert rows.execute("SELECT address_hash FROM suppressed").fetchall() == [("a",)]
    ledger.close()


def test_a_transaction_survives_a_kill(made: Settings) -> None:
    """What a process wrote before it was killed is there; what it was about to write is not."""
    assert made.ledger_directory
    code = """
import os, signal, sqlite3, sys
from pathlib import Path
from destination_drift.ledger import Ledger, _connection
ledger = Ledger(_connection(Path(sys.argv[1])), "key")
with ledger.transaction() as rows:
    rows.execute("INSERT INTO suppressed VALUES ('before', 1, NULL)")
with ledger.transaction() as rows:
    rows.execute("PRAGMA cache_spill = 1")
    rows.execute("PRAGMA cache_size = 1")
    rows.executemany("INSERT INTO suppressed VALUES (?, 1, NULL)", [(f"{n}" * 50,) for n in range(2000)])
    os.kill(os.getpid(), signal.SIGKILL)
"""
    path = made.ledger_directory / FILE
    done = subprocess.run([sys.executable, "-c", code, path], cwd=FOLDER, check=False)
    assert done.returncode == -9
    # The interrupted transaction is in the file, and the next process takes it back.
    assert (made.ledger_directory / f"{FILE}-journal").exists()
    ledger = open_ledger(made)
    with ledger.transaction() as rows:
        assert rows.execute("SELECT address_hash FROM suppressed").fetchall() == [("before",)]
    ledger.close()


def test_an_address_has_one_hash_that_needs_the_key(made: Settings) -> None:
    """Spaces around it and letter case make no difference; another key makes another hash."""
    ledger = open_ledger(made)
    spellings = (CANARIES[0], f" {CANARIES[0].upper()}\t")
    (hashed,) = {ledger.hashed(one) for one in spellings}
    assert len(hashed) == 64
    assert hashed != ledger.hashed("canary+news@example.com")
    other = Ledger(sqlite3.connect(":memory:"), "another-made-up-key")
    assert hashed != other.hashed(CANARIES[0])
    other.close()
    ledger.close()


def test_an_audit_key_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    """The error names the setting, and does not quote it."""
    run = run_here(tmp_path, "check", config(audit_key="short"))
    assert "audit_key: is not one of the allowed values" in run.text
