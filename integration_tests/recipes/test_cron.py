"""The recipe for cron, from its page: its output is complete, private, and never behind its state."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from integration_tests.connector import access_token, catalog, oauth
from integration_tests.recipes.page import code, codes, configure, keys, messages
from sandbox import Drift, Fault, Sandbox

PLACE = "/opt/drift"
STREAMS = catalog("users", conversations="incremental", messages="incremental")
BUSY = (1, "The sync before this one is still running.\n")
STATE = {"type": "STREAM", "stream": {"stream_descriptor": {"name": "messages"}, "stream_state": {"floor": "1"}}}


@pytest.fixture
def drift() -> Drift:
    return Drift(conversations=30, users=3, now=int(time.time() * 1000) - 3_600_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the recipe, with the environment of these tests as its own."""
    (tmp_path / "venv").symlink_to(sys.prefix)
    (tmp_path / "drift_sync.py").write_text(code("cron.md", "python"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "catalog.json").write_text(json.dumps(STREAMS))
    return tmp_path


def as_cron(folder: Path, path: str = "") -> tuple[int, str]:
    """Run the crontab line like cron, with sh and the crontab's variables; return exit code and output."""
    variable, line = code("cron.md", "crontab").replace(PLACE, str(folder)).splitlines()
    name, value = variable.split("=")
    command = re.sub(r"^(\S+ ){5}", "", line)
    # Not a pipe, which would wait for processes that outlive the command.
    with (folder / "said").open("w+") as said:
        done = subprocess.run(["/bin/sh", "-c", command], env={name: path + value}, stdout=said, stderr=said)
        said.seek(0)
        return done.returncode, said.read()


def pretend(folder: Path, script: str) -> str:
    """Put a `source-drift` that runs a Python script before the real one; return the start of PATH."""
    fake = folder / "fake" / "source-drift"
    fake.parent.mkdir()
    fake.write_text(f"#!{sys.executable}\nimport json, os, pathlib, signal, sys, time\n{script}")
    fake.chmod(0o700)
    return f"{fake.parent}:"


def test_a_second_run_continues_from_the_first(folder: Path, drift: Drift) -> None:
    """The first run reads everything, the second the changes, without output; the page's queries work.

    With OAuth, the config has the new refresh token before the next run needs it. No other user can read any file of a
    run, whatever cron's umask is.
    """
    known = {path.name for path in (folder / "data").iterdir()}
    with Sandbox(drift) as sandbox:
        configure(folder / "data", oauth(sandbox.url))
        first = as_cron(folder)
        (changed,) = drift.touch_some(1)
        config = json.loads((folder / "data" / "config.json").read_text())
        config["credentials"]["token_expiry_date"] = "2020-01-01T00:00:00Z"
        configure(folder / "data", config)
        second = as_cron(folder)
        assert sandbox.journal.count("/oauth2/token") == 2
    assert (first, second) == ((0, ""), (0, "")), messages(folder / "data")[-1]
    made = {path.name: path.stat().st_mode & 0o777 for path in (folder / "data").iterdir() if path.name not in known}
    assert {"state.json", "config.json", "lock"} < set(made), made
    assert set(made.values()) == {0o600}, made
    before, after = messages(folder / "data")
    for stream in ("users", "conversations", "messages"):
        assert sorted(keys(before, stream)) == sorted(drift.keys(stream)), stream
    assert sorted(keys(after, "users")) == sorted(drift.keys("users"))
    # The look-back returns the newest one again.
    assert changed in keys(after, "conversations")
    assert len(keys(after, "conversations")) <= 2
    assert 0 < len(keys(after, "messages")) < len(keys(before, "messages"))
    counts, newest = (query.replace("data/", f"{folder}/data/") for query in codes("cron.md", "sql"))
    records = (message["record"] for message in before + after if message["type"] == "RECORD")
    counted = Counter(record["stream"] for record in records)
    assert dict(duckdb.sql(counts).fetchall()) == counted
    rows = {row["id"]: row.get("body") for row in drift.expected("messages")}
    assert {key: body for (key, _, body, _) in duckdb.sql(newest).fetchall()} == rows


def test_a_failure_keeps_code_and_progress(folder: Path, drift: Drift) -> None:
    """If a stream fails, the exit code is the connector's, and the state of the others is kept and used."""
    with Sandbox(drift, faults=[Fault("/users/list", "status", status=403, times=None)]) as sandbox:
        configure(folder / "data", access_token(sandbox.url))
        failed = as_cron(folder)
        sandbox.faults = []
        healed = as_cron(folder)
    assert (failed, healed) == ((1, ""), (0, ""))
    _, after = messages(folder / "data")
    assert sorted(keys(after, "users")) == sorted(drift.keys("users"))
    assert len(keys(after, "conversations")) <= 1
    assert len(keys(after, "messages")) < drift.count("messages")


def test_a_concurrent_run_changes_nothing(folder: Path) -> None:
    """While the lock is held, a run ends at once, says why, and sends no request."""
    path = pretend(folder, "pathlib.Path('data/asked').touch()")
    with (folder / "data" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = as_cron(folder, path)
    assert ran == BUSY
    assert {path.name for path in (folder / "data").iterdir()} == {"catalog.json", "lock"}


def test_the_lock_lasts_as_long_as_the_connector(folder: Path) -> None:
    """If the script is killed, the connector, which may still run, keeps the lock."""
    path = pretend(
        folder,
        """
fifo = pathlib.Path("fifo")
print(json.dumps({"type": "LOG"}), flush=True)
os.kill(os.getppid(), signal.SIGKILL)
fifo.read_text()
""",
    )
    os.mkfifo(folder / "fifo")
    killed = as_cron(folder, path)
    beside = as_cron(folder)
    (folder / "fifo").write_text("go on")
    assert killed[0] == 128 + signal.SIGKILL
    assert beside == BUSY


def test_a_truncated_message_is_dropped(folder: Path) -> None:
    """If the connector is killed during a message, earlier messages are kept, and the exit code shows it."""
    path = pretend(
        folder,
        f"""
print("DeprecationWarning: of some library")
print({json.dumps(json.dumps({"type": "STATE", "state": STATE}))})
print('{{"type": "RECORD", "rec', end="", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    assert as_cron(folder, path) == (256 - signal.SIGKILL, "DeprecationWarning: of some library\n")
    assert messages(folder / "data") == [[{"type": "STATE", "state": STATE}]]
    assert json.loads((folder / "data" / "state.json").read_text()) == [STATE]


def test_the_state_is_never_ahead(folder: Path) -> None:
    """A state is written after the records before it, and the states of other streams are kept."""
    other = {"type": "STREAM", "stream": {"stream_descriptor": {"name": "users"}, "stream_state": {"x": "1"}}}
    (folder / "data" / "state.json").write_text(json.dumps([other]))
    path = pretend(
        folder,
        f"""
state = pathlib.Path("data/state.json")
given = json.loads(pathlib.Path(sys.argv[sys.argv.index("--state") + 1]).read_text())
print(json.dumps({{"type": "RECORD", "record": given}}))
print({json.dumps(json.dumps({"type": "STATE", "state": STATE}))}, flush=True)
deadline = time.monotonic() + 60
while len(json.loads(state.read_text())) < 2 and time.monotonic() < deadline:
    time.sleep(0.01)
(messages,) = pathlib.Path("data").glob("messages-*")
sys.exit(messages.read_text().count("RECORD") + 40)
""",
    )
    assert as_cron(folder, path) == (41, "")
    assert json.loads((folder / "data" / "state.json").read_text()) == [other, STATE]
    ((record, _),) = messages(folder / "data")
    assert record["record"] == [other]
