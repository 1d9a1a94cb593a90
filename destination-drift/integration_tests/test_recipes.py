"""The recipes of docs/destination-drift.md work as they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from destination_tests import FOLDER, TOKEN, arguments, config, run_here

from sandbox import Sandbox

PAGE = (FOLDER.parent / "docs" / "destination-drift.md").read_text(encoding="utf-8")


def block(title: str, language: str) -> str:
    """The first block of a language under a heading."""
    found = re.search(rf"^### {title}\n.*?^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def created(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [one.values for one in sandbox.drift.writes if one.action == "create"]


def test_a_table_of_duckdb_becomes_contacts(sandbox: Sandbox, tmp_path: Path) -> None:
    """The query gives a line for each person, and the shell adds a status that the destination takes."""
    with duckdb.connect() as database:
        database.execute("CREATE TABLE people AS SELECT 'ada@example.com' AS email, 'Ada \"\"' AS name, NULL AS plan")
        lines = [row[0] for row in database.execute(block("From DuckDB by a pipe", "sql")).fetchall()]
    shell = block("From DuckDB by a pipe", "sh").partition("{ duckdb")[0] + "echo $status"
    lines += subprocess.run(["bash", "-c", shell], check=True, capture_output=True, text=True).stdout.splitlines()
    catalog = json.loads(block("From DuckDB by a pipe", "json"))
    run = run_here(tmp_path, "write", config(sandbox.url, match_by="email"), catalog, lines)
    assert (run.code, len(lines)) == (0, 2)
    assert created(sandbox) == [{"email": "ada@example.com", "name": 'Ada ""'}]


@pytest.fixture
def pipe(sandbox: Sandbox, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`source-drift read … | destination-drift write …` with the users of Drift."""
    properties = {name: {"type": ["string", "null"]} for name in ("email", "name", "phone")}
    stream = {"name": "users", "json_schema": {"properties": properties}, "supported_sync_modes": ["full_refresh"]}
    catalog = {"streams": [{"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append_dedup"}]}
    credentials = {"credentials": "access_token", "access_token": TOKEN}
    reading = arguments(tmp_path, "read", {"credentials": credentials, "api_url": sandbox.url}, catalog)
    with subprocess.Popen([sys.executable, "-m", "source_drift", *reading], stdout=subprocess.PIPE) as source:
        (tmp_path / "to").mkdir()
        given = {"stream_map": [{"stream": "users", "object": "contact"}], "unknown_attributes": "drop"}
        writing = arguments(tmp_path / "to", "write", config(sandbox.url, match_by="email", **given), catalog)
        command = [sys.executable, FOLDER / "main.py", *writing]
        with subprocess.Popen(command, stdin=source.stdout, stdout=subprocess.PIPE) as destination:
            yield destination


def test_the_source_is_piped_into_the_destination(sandbox: Sandbox, pipe: subprocess.Popen[bytes]) -> None:
    """Every user with an address becomes a contact, and the states of the source come out."""
    output, _ = pipe.communicate(timeout=60)
    assert pipe.returncode == 0
    users = {row["email"]: row["name"] for row in sandbox.drift.expected("users") if row.get("email")}
    assert {row["email"]: row["name"] for row in created(sandbox)} == users
    kinds = [json.loads(line)["type"] for line in output.splitlines()]
    assert "STATE" in kinds
    assert "TRACE" not in kinds
