"""An archive that is killed at any moment ends equal to Drift, and does not read twice what it has finished."""

import fcntl
import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any

from integration_tests.connector import CHILDREN, PRIMARY_KEYS, access_token, run
from sandbox import METRICS, Drift, Options, Sandbox
from source_drift.archive.connector import Message, Stream
from source_drift.archive.intake import Intake
from source_drift.archive.run import main
from source_drift.archive.warehouse import Warehouse
from tools.demo.comparison import difference

KILLS = 3
CONVERSATIONS, ACCOUNTS = 60, 30
LONGEST = 60.0

# A process forked from a server that has imported the archive starts at once.
_context = get_context("forkserver")
_context.set_forkserver_preload([__name__])


def test_kills_leave_an_archive_that_equals_drift(tmp_path: Path) -> None:
    """It is consistent after each kill, the next runs complete it, and one with nothing to do makes few requests."""
    now = datetime.now(UTC)
    drift = Drift(
        conversations=CONVERSATIONS,
        messages_per_conversation=3,
        accounts=ACCOUNTS,
        meetings=10,
        history_days=60,
        now=int((now - timedelta(hours=1)).timestamp() * 1000),
    )
    (catalog,) = run("discover", access_token("http://127.0.0.1:9")).of("CATALOG")
    streams = [Stream.of(entry) for entry in catalog["streams"]]
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    moments = random.Random(3)
    path, sizes = tmp_path / "drift.duckdb", []
    with Sandbox(drift, Options(rate_limit=None)) as sandbox:
        start_date = (now - timedelta(days=90)).strftime("%Y-%m-%dT00:00:00Z")
        (tmp_path / "config.json").write_text(json.dumps(access_token(sandbox.url, start_date=start_date)))
        for _ in range(KILLS):
            assert archive(tmp_path, moments.randint(90, 180), moments.uniform(0, 0.05)) == -signal.SIGKILL
            sizes.append(rows_of_a_consistent_archive(path, streams, drift))
        assert archive(tmp_path) == 0
        sandbox.journal.clear()
        assert archive(tmp_path) == 0
        idle = len(sandbox.journal)
    assert sizes == sorted(sizes), sizes
    assert sizes[-1] > CONVERSATIONS, sizes
    with Warehouse(path) as warehouse:
        assert_files_are_those_of_the_messages(warehouse, tmp_path / "files", drift)
        assert {stream.name: differs(stream, warehouse, drift) for stream in streams} == dict.fromkeys(PRIMARY_KEYS)
        *earlier, _ = warehouse.history().values()
    # Once finished, a list is not read again until everything is; then one more run asks only for what is new.
    read = [entry.records for sync in earlier for entry in sync if entry.stream == "accounts" and entry.records]
    assert read == [ACCOUNTS]
    assert idle <= 30, idle


def archive(folder: Path, kill_at: int | None = None, delay: float = 0.0) -> int:
    """Return the exit code of a run; one that is to be killed is so `delay` seconds after that many records."""
    process = _context.Process(target=_archive_here, args=(folder, kill_at, delay))
    process.start()
    process.join(LONGEST)
    assert process.exitcode is not None, "it has not ended"
    with (folder / "lock").open("w") as lock:
        wait_until(lambda: _locked(lock), "the connector of an archive that was killed goes on")
    return process.exitcode


def rows_of_a_consistent_archive(path: Path, streams: list[Stream], drift: Drift) -> int:
    """Return how many rows there are: each is Drift's, none is there twice, and only incremental streams lack some."""
    total = 0
    with Warehouse(path) as warehouse:
        for stream in streams:
            if stream.name in warehouse.tables():
                fault = differs(stream, warehouse, drift) or ""
                assert not fault or (stream.incremental and "missing in DuckDB" in fault), (stream.name, fault)
                total += warehouse.count(stream.name) or 0
        assert {stream["stream"]["stream_descriptor"]["name"] for stream in warehouse.states()} <= set(CHILDREN) | {
            "conversations",
            "conversation_metrics",
            "meetings",
        }
    return total


def assert_files_are_those_of_the_messages(warehouse: Warehouse, folder: Path, drift: Drift) -> None:
    named = {
        (row["id"], str(file["id"])) for row in drift.expected("messages") for file in row.get("attachments") or []
    }
    rows = warehouse.ask("SELECT messageId, id, path, sha256, outcome FROM attachments").rows
    assert {(message, number) for message, number, *_ in rows} == named
    assert named
    for _, _, path, digest, outcome in rows:
        assert outcome == "downloaded"
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest


def differs(stream: Stream, warehouse: Warehouse, drift: Drift) -> str | None:
    if stream.name == "token_info":
        return None
    return difference(stream, warehouse.rows(stream), map(delivered, drift.expected(stream.name)))


def delivered(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of Drift's as the connector delivers it: metrics by their name."""
    if "metrics" not in row:
        return row
    values = (None if value == "NaN" else value for value in row["metrics"])
    return {"conversationId": row["conversationId"], **dict(zip(METRICS, values, strict=True))}


def _archive_here(folder: Path, kill_at: int | None, delay: float) -> None:
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    take, records = Intake.take, count(1)

    def take_until_killed(intake: Intake, message: Message) -> None:
        # From another thread, so that it hits any moment, also that of a transaction.
        if message["type"] == "RECORD" and next(records) == kill_at:
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        take(intake, message)

    Intake.take = take_until_killed  # type: ignore[method-assign]
    command = (sys.executable, "-m", "integration_tests.quick_connector", str(folder))
    paths = {"config": "config.json", "into": "drift.duckdb", "files": "files"}
    code = main([f"--{option}={folder / name}" for option, name in paths.items()], command=command)
    sys.stdout.flush()
    os._exit(code)


def wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
