"""`make demo-destination`: writes a DuckDB table to a local Drift, keeps an audience and lets somebody be erased."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
from rich import box
from rich.console import Console
from rich.table import Table

from sandbox import ALL_SCOPES, WRITE_SCOPES, Drift, Options, Sandbox

PEOPLE, KNOWN, CHANGED = 1_000, 400, 100
_RATE = 50
_DESTINATION = (sys.executable, "destination-drift/main.py")
# The first people are already in Drift, some of them with another plan.
_TABLE = f"""
    CREATE TABLE people AS SELECT
        'person' || number || '@example.com' AS email,
        'Person ' || number AS name,
        ['free', 'team', 'pro'][number % 3 + 1] AS plan,
        number % 50 + 1 AS seats,
        number % 25 = 0 AS is_member
    FROM range({PEOPLE}) AS numbers(number)
"""
_CONTACTS = "SELECT email, name, plan, seats FROM people ORDER BY email"
_MEMBERS = "SELECT email FROM people WHERE is_member ORDER BY email"


def main() -> int:
    """Run the demo and return its exit code: 0 if Drift has what the table says after each step, else 1."""
    console = Console(highlight=False)
    drift = Drift(conversations=0, contacts=0, accounts=0, users=3)
    options = Options(tokens={"sandbox-token": ALL_SCOPES + WRITE_SCOPES}, latency=0.05, erasure_delay=2)
    with duckdb.connect() as database, Sandbox(drift, options) as sandbox, TemporaryDirectory() as folder:
        database.execute(_TABLE)
        known = database.execute(f"{_CONTACTS} LIMIT {KNOWN}").fetchall()
        for place, (email, name, plan, seats) in enumerate(known):
            drift.add_contact(email=email, name=name, plan="old" if place < CHANGED else plan, seats=seats)
        console.print(
            f"A DuckDB table has {PEOPLE:,} people. The local Drift has {KNOWN} of them, {CHANGED} with another plan. "
            f"A response takes {options.latency} s; the destination sends at most {_RATE} requests per second."
        )
        steps = _Steps(database, sandbox, Path(folder))
        steps.show(console)
    for fault in steps.faults:
        console.print(f"✗ {fault}", style="bold red", soft_wrap=True)
    if not steps.faults:
        console.print(
            "✓ Drift has what the table says, nobody exists twice, and nobody else was changed.", style="green"
        )
    return 1 if steps.faults else 0


class _Steps:
    """Runs `destination-drift write` with the rows of a query, again and again."""

    def __init__(self, database: duckdb.DuckDBPyConnection, sandbox: Sandbox, folder: Path) -> None:
        self._database, self._sandbox, self._folder = database, sandbox, folder
        self._config: dict[str, Any] = {
            "credentials": {"credentials": "access_token", "access_token": "sandbox-token"},
            "api_url": sandbox.url,
            "max_requests_per_second": _RATE,
            "ledger_directory": str(folder / "ledger"),
            "audit_key": "made-up-key-of-the-demo",
            "audiences": [{"stream": "newsletter", "name": "newsletter", "mode": "mirror"}],
            "erasure": {"enabled": True, "confirm_within_minutes": 1},
        }
        self.faults: list[str] = []
        self._table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        self._table.add_column("", no_wrap=True)
        for heading in ("rows", "written", "unchanged", "rejected", "requests", "fewest", "rows/s"):
            self._table.add_column(heading, justify="right", no_wrap=True)
        self._said: list[str] = []

    def show(self, console: Console) -> None:
        self._path("config").write_text(json.dumps(self._config))
        subprocess.run(  # noqa: S603 (our own command)
            [*_DESTINATION, "ledger", "init", "--config", self._path("config")], check=True, stdout=subprocess.DEVNULL
        )
        console.print('\n$ duckdb people.duckdb -c "…" | destination-drift write …', style="bold")
        everybody = PEOPLE - KNOWN + CHANGED
        # The list of attributes, a look-up for each row, and a request for each contact that differs.
        self._sync("contact", "contacts", _CONTACTS, written=everybody, fewest=1 + PEOPLE + everybody)
        self._sync("contact", "contacts again", _CONTACTS, written=0, fewest=1 + PEOPLE)
        members = self._count(_MEMBERS)
        self._sync("newsletter", "an audience", _MEMBERS, written=members, fewest=1 + 2 * members)
        self._database.execute("UPDATE people SET is_member = false WHERE email IN ('person0@example.com')")
        # A contact that leaves is read and changed.
        self._sync("newsletter", "one member less", _MEMBERS, written=0, fewest=1 + (members - 1) + 2)
        self._sync("newsletter", "an empty list", f"{_MEMBERS} LIMIT 0", written=0, fewest=0, fails=True)
        self._sync("erasure_request", "an erasure", self._request("person7"), written=1, fewest=0)
        self._sync("contact", "the same person", f"SELECT email FROM ({_CONTACTS}) WHERE email LIKE 'person7@%'", 0, 0)
        console.print(self._table)
        for line in dict.fromkeys(self._said):
            console.print(f"» {line}", soft_wrap=True)
        self._compare()

    def _sync(self, stream: str, title: str, query: str, written: int, fewest: int, *, fails: bool = False) -> None:
        rows = self._rows(query)
        mode = "append" if stream == "erasure_request" else "append_dedup"
        self._path("catalog").write_text(json.dumps(catalog(stream, rows or [{"email": ""}], mode)))
        self._sandbox.journal.clear()
        begun = time.monotonic()
        done = subprocess.run(  # noqa: S603 (our own command)
            [*_DESTINATION, "write", "--config", self._path("config"), "--catalog", self._path("catalog")],
            input="".join(f"{line}\n" for line in _messages(stream, rows)),
            capture_output=True,
            check=False,
            encoding="utf-8",
        )
        seconds = time.monotonic() - begun
        messages = [json.loads(line) for line in done.stdout.splitlines()]
        outcomes = counts(messages)
        requests = len(self._sandbox.journal.requests("^/(?!app/)"))
        speed = f"{len(rows) / seconds:.0f}" if len(rows) > 1 else ""
        figures = [f"{number:,}" for number in (len(rows), *outcomes, requests)]
        self._table.add_row(title, *figures, f"{fewest:,}" if fewest else "", speed)
        errors = [one["trace"]["error"]["message"] for one in messages if one["type"] == "TRACE"]
        self._said += [f"{title}: {one}" for one in errors]
        self._said += [
            f"{title}: {one['log']['message']}"
            for one in messages
            if one["type"] == "LOG" and not re.match("Stream ", one["log"]["message"])
        ]
        if outcomes[0] != written or bool(errors) != fails or self._sandbox.journal.statuses()[429]:
            self.faults.append(f"{title}: {outcomes[0]} rows were written instead of {written}. {' '.join(errors)}")

    def _compare(self) -> None:
        drift = self._sandbox.drift
        ids = [one.subject for one in drift.writes if one.action == "create"]
        self.faults += [f"{len(ids) - PEOPLE + KNOWN} contacts too many"] if len(ids) != PEOPLE - KNOWN else []
        for email, name, plan, seats in self._database.execute(_CONTACTS).fetchall():
            found = drift.contacts_by_email(email)
            wanted = [] if email == "person7@example.com" else [(name, plan, seats)]
            if [tuple(one["attributes"].get(key) for key in ("name", "plan", "seats")) for one in found] != wanted:
                self.faults.append(f"{email} is not in Drift as in the table.")

    def _request(self, person: str) -> str:
        asked = datetime.now(UTC) - timedelta(days=2)
        return (
            f"SELECT 'request-1' AS request_id, '{person}@example.com' AS email, 'Ada' AS requested_by, "
            f"'Ben' AS approved_by, '{asked:%Y-%m-%dT%H:%M:%SZ}' AS requested_at, "
            f"'{asked + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}' AS approved_at"
        )

    def _rows(self, query: str) -> list[dict[str, Any]]:
        found = self._database.execute(query)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _count(self, query: str) -> int:
        return len(self._rows(query))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _messages(stream: str, rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps({"type": "RECORD", "record": {"stream": stream, "data": row, "emitted_at": 0}})
    status = {"stream_descriptor": {"name": stream}, "status": "COMPLETE"}
    trace = {"type": "STREAM_STATUS", "emitted_at": 0, "stream_status": status}
    yield json.dumps({"type": "TRACE", "trace": trace})


def catalog(stream: str, rows: list[dict[str, Any]], mode: str) -> dict[str, Any]:
    """A configured catalog of one stream, with the columns of the first row."""
    described = {"name": stream, "json_schema": {"properties": {column: {} for column in rows[0]}}}
    return {"streams": [{"stream": described, "sync_mode": "full_refresh", "destination_sync_mode": mode}]}


def counts(messages: Iterable[dict[str, Any]]) -> tuple[int, ...]:
    """Rows written, unchanged and rejected, as the last log line says."""
    said = [one["log"]["message"] for one in messages if one["type"] == "LOG"]
    found = re.search(r"(\d+) written, (\d+) unchanged, (\d+) rejected", "\n".join(said))
    return tuple(map(int, found.groups())) if found else (0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
