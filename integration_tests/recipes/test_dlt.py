"""The recipe for dlt, from its page: complete tables in DuckDB, with rows and state loaded together."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from integration_tests.connector import access_token
from integration_tests.recipes.page import code, configure, needs_tools, run_tool
from sandbox import Drift, Fault, Sandbox

pytestmark = needs_tools
STREAMS = ("accounts", "conversations", "users", "messages", "conversation_details", "contacts", "teams")


@pytest.fixture
def drift() -> Drift:
    return Drift(accounts=70, conversations=30, users=3, now=int(time.time() * 1000) - 3_600_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "drift_dlt.py").write_text(code("dlt.md", "python"))
    return tmp_path


def load(folder: Path) -> int:
    return run_tool(folder, "python", "drift_dlt.py").returncode


def rows(folder: Path, stream: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(folder / "drift.duckdb"), read_only=True) as database:
        table = database.table(f"raw.{stream}")
        return [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()]


def keys(folder: Path, stream: str) -> list[Any]:
    return sorted(row["accountId" if stream == "accounts" else "id"] for row in rows(folder, stream))


def assert_equal(folder: Path, drift: Drift) -> None:
    """Check that each table has exactly the current keys of Drift."""
    for stream in STREAMS:
        assert keys(folder, stream) == sorted(drift.keys(stream)), stream


def test_a_second_load_is_incremental(folder: Path, drift: Drift) -> None:
    """Later loads request and merge changes, and replace the other tables, even with no rows.

    The state comes from the destination, because dlt's own folder is gone, as in a new container.
    """
    with Sandbox(drift) as sandbox:
        configure(folder, access_token(sandbox.url))
        assert load(folder) == 0
        assert_equal(folder, drift)
        asked = sandbox.journal.count("^/conversations/[0-9]+/messages$")
        shutil.rmtree(folder / ".dlt")
        (folder / "state.json").unlink()
        sandbox.journal.clear()
        drift.add_message(next(iter(drift.keys("conversations"))))
        for user in list(drift.keys("users")):
            drift.delete_user(user)
        assert load(folder) == 0
        assert 0 < sandbox.journal.count("^/conversations/[0-9]+/messages$") <= 3 < asked
    assert_equal(folder, drift)


def test_fields_keep_their_names_and_values(folder: Path, drift: Drift) -> None:
    """Attributes whose names differ only in case arrive completely, and so does a field that is not in the catalog."""
    (account, *_) = drift.keys("accounts")
    new = [{"a": 1, "A": 2}]
    drift.update_account(account, new=new)
    with Sandbox(drift) as sandbox:
        configure(folder, access_token(sandbox.url))
        assert load(folder) == 0
    sent = {contact["id"]: contact["attributes"] for contact in drift.expected("contacts")}
    assert any(len({name.lower() for name in names}) < len(names) for names in sent.values())
    assert {row["id"]: json.loads(row["attributes"]) for row in rows(folder, "contacts")} == sent
    assert [
        row["new"] and json.loads(row["new"]) for row in rows(folder, "accounts") if row["accountId"] == account
    ] == [new]


def test_a_failed_sync_loads_nothing(folder: Path, drift: Drift) -> None:
    """If a stream fails, all tables and the state stay unchanged; the next load has everything."""
    with Sandbox(drift) as sandbox:
        configure(folder, access_token(sandbox.url))
        assert load(folder) == 0
        before = sorted(drift.keys("messages"))
        drift.add_message(next(iter(drift.keys("conversations"))))
        sandbox.faults = [Fault("/users/list", "status", status=403, times=None)]
        assert load(folder) != 0
        assert keys(folder, "messages") == before
        sandbox.faults = []
        assert load(folder) == 0
    assert_equal(folder, drift)
