"""What the destination must remember from one run to the next: members, erasures, and addresses that stay erased.

It is one SQLite file. Addresses are kept only as keyed hashes. A run never creates the file: an empty disk would be
taken for an empty memory, and whoever was erased or added before would be forgotten.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from destination_drift.errors import ConfigError
from destination_drift.settings import Settings

FILE = "ledger.sqlite"

# Times are epoch milliseconds. `about` has one row; a file without it is not a ledger.
# A member is `mirrored` once a mirror came to its end. `confirmed_at` is when the contacts of an erasure were no longer
# found, or when a person closed the request: its outcome says which.
_TABLES = (
    "CREATE TABLE about (organization TEXT, key_check TEXT NOT NULL)",
    """CREATE TABLE members (
        audience TEXT NOT NULL, contact_id INTEGER NOT NULL, key_hash TEXT NOT NULL, added_at INTEGER NOT NULL,
        mirrored INTEGER NOT NULL DEFAULT FALSE,
        PRIMARY KEY (audience, contact_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE erasures (
        request_id TEXT PRIMARY KEY, address_hash TEXT NOT NULL, outcome TEXT NOT NULL, contact_ids TEXT,
        contacts INTEGER, users INTEGER, started_at INTEGER NOT NULL, accepted_at INTEGER, confirmed_at INTEGER
    ) WITHOUT ROWID""",
    """CREATE TABLE suppressed (
        address_hash TEXT PRIMARY KEY, since INTEGER NOT NULL, allowed_by TEXT
    ) WITHOUT ROWID""",
)


class Ledger:
    """An open ledger. Thread-safe; no other process can open it."""

    def __init__(self, connection: sqlite3.Connection, key: str) -> None:
        self._connection, self._key = connection, key.encode()
        self._lock = RLock()

    def hashed(self, address: str) -> str:
        """Return the HMAC-SHA256 of an address, the same for all spellings in upper and lower case."""
        return hmac.new(self._key, address.strip().lower().encode(), hashlib.sha256).hexdigest()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Read and write; what was written is on disk after the block, or nothing of it if the block raises.

        Raises:
            ConfigError: the file cannot be written.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise _unusable(error) from None
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


def init_ledger(settings: Settings) -> Path:
    """Create the ledger of an organization, and return its file.

    Raises:
        ConfigError: it exists, or cannot be created.
    """
    directory, key = _configured(settings)
    path = directory / FILE
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise ConfigError(f"The ledger cannot be created: {error.strerror}. Choose another ledger_directory.") from None
    ledger = Ledger(_connection(path), key)
    try:
        with ledger.transaction() as rows:
            if rows.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise ConfigError("There is a ledger in ledger_directory. It is kept as it is.")
            for table in _TABLES:
                rows.execute(table)
            rows.execute("INSERT INTO about VALUES (NULL, ?)", (ledger.hashed(""),))
    finally:
        ledger.close()
    return path


def open_ledger(settings: Settings, organization: str | None = None) -> Ledger:
    """Open the ledger of an organization, and keep other processes out until it is closed.

    Args:
        organization: as Drift names it; None if Drift did not say. The first one is remembered.

    Raises:
        ConfigError: there is none, it is of another organization or made with another key, or it is in use.
    """
    directory, key = _configured(settings)
    path = directory / FILE
    if not path.is_file():
        raise ConfigError(
            "There is no ledger in ledger_directory. Restore it from a backup; if there never was one, run "
            "destination-drift ledger init."
        )
    ledger = Ledger(_connection(path), key)
    try:
        with ledger.transaction() as rows:
            if not rows.execute("SELECT 1 FROM sqlite_master WHERE name = 'about'").fetchone():
                raise ConfigError("The ledger is empty. Restore it, or run destination-drift ledger init.")
            owner, key_check = rows.execute("SELECT organization, key_check FROM about").fetchone()
            if not hmac.compare_digest(key_check, ledger.hashed("")):
                raise ConfigError("The ledger was made with another audit_key. Use the key that it was made with.")
            if owner and organization and owner != organization:
                raise ConfigError(
                    "The ledger is of another Drift organization. Choose the ledger_directory of this organization."
                )
            rows.execute("UPDATE about SET organization = coalesce(organization, ?)", (organization,))
    except BaseException:
        ledger.close()
        raise
    return ledger


def _configured(settings: Settings) -> tuple[Path, str]:
    if not settings.ledger_directory or not settings.audit_key:
        raise ConfigError(
            "There is no ledger. Set ledger_directory, a directory that is kept from one run to the next, and "
            "audit_key; then run destination-drift ledger init."
        )
    return settings.ledger_directory, settings.audit_key


def _connection(path: Path) -> sqlite3.Connection:
    # `rw` never creates the file.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # FULL does not survive a power failure right after the end of a transaction.
        connection.execute("PRAGMA synchronous = EXTRA")
    except sqlite3.Error as error:
        raise _unusable(error) from None
    return connection


def _unusable(error: sqlite3.Error) -> ConfigError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ConfigError("Another process uses the ledger. Let only one sync of an organization run at a time.")
    name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
    return ConfigError(f"The ledger cannot be read or written ({name}). Check the disk, or restore the file.")
