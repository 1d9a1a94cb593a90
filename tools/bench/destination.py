"""Measures `destination-drift write`: speed, requests, acknowledgements, a kill, and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sandbox import ALL_SCOPES, WRITE_SCOPES, Drift, Options, Sandbox
from tools.bench.connector import TOKEN, config
from tools.bench.limit import BUCKET, TARGET
from tools.bench.memory import FLAT
from tools.bench.process import ROOT, Failed, Usage, spend
from tools.bench.report import Section
from tools.bench.sizes import Sizes
from tools.demo.destination import catalog, counts

REQUESTS_TARGET, ACK_TARGET, PEAK_TARGET = 1.05, 2.0, 200
_COMMAND = (sys.executable, "destination-drift/main.py", "write")
_COLUMNS = ("externalId", "email", "name", "plan", "seats")
_OPTIONS = Options(tokens={TOKEN: ALL_SCOPES + WRITE_SCOPES}, rate_limit=BUCKET, latency=0.2)
_RATE, _FASTEST = 35, 50
# Rows between two states; rows of the sync that is killed, and the states that come back before; states that are timed.
_STATE_EVERY, _KILLED, _STATES_BEFORE_KILL, _TIMED = 10, 400, 15, 20
_CHANGED = 5
# Seconds.
_SETTLED = 1.0

Row = dict[str, Any]


def measure(sizes: Sizes, _: Path) -> Section:
    """Write contacts twice, time states, kill a sync, and write many rows."""
    section = Section("destination", "destination-drift write")
    section.columns = ["sync", "rows", "written", "unchanged", "rejected", "requests"]
    section.columns += ["wall s", "÷ (requests ÷ limit)", "start s", "peak MB"]
    _twice(section, _people(sizes.people))
    _timed(section, _people(_TIMED))
    _killed(section, _people(_KILLED))
    known, most = sizes.rows[0], sizes.rows[-1]
    peaks = [_many(section, size, known) for size in sizes.rows]
    section.at_most(f"peak at {most:,} rows", peaks[-1] / 1e6, PEAK_TARGET, "{:.0f}", " MB")
    section.at_most(f"peak at {most:,} rows ÷ at {known:,}", peaks[-1] / peaks[0], FLAT, "{:.2f}")
    section.notes = [
        f"The latency is 200 ms. The first two syncs send at most {_RATE} requests per second, the others {_FASTEST}.",
        f"Many rows: the first {known:,} are different contacts by external ID, which don't change. One in five of the "
        f"others changes one of {_CHANGED} contacts; the rest are rejected, because the email address is invalid.",
    ]
    return section


def _twice(section: Section, people: Sequence[Row]) -> None:
    """A sync of people of whom four of ten are in Drift, one of them with another plan; then the same rows again."""
    drift, known, changed = _empty(), len(people) * 4 // 10, len(people) // 10
    for place, row in enumerate(people[:known]):
        drift.add_contact(**row | ({"plan": "old"} if place < changed else {}))
    with Sandbox(drift, _OPTIONS) as sandbox:
        for name, different in (("first sync", len(people) - known + changed), ("second sync", 0)):
            usage, _ = _sync(section, name, sandbox, people, _RATE)
            made = sandbox.journal.total
            # The list of attributes, a look-up for each row, and a request for each contact that differs.
            fewest = 1 + len(people) + different
            if different:
                section.at_most(f"{name}: wall time ÷ (requests ÷ limit)", usage.seconds / (made / _RATE), TARGET)
            section.at_most(f"{name}: requests ÷ minimum", made / fewest, REQUESTS_TARGET)
            section.at_most(f"{name}: 429 responses", sandbox.journal.statuses()[429], 0, "{:.0f}")
            _compare(drift, people)
        writes = sum(one.method != "GET" for one in sandbox.journal)
    section.at_most("second sync: requests that write", writes, 0, "{:.0f}")


def _timed(section: Section, people: Sequence[Row]) -> None:
    """The longest time until a state comes back if all rows before it are already acknowledged."""
    seconds = []
    with Sandbox(_empty(), _OPTIONS) as sandbox, _started(sandbox) as process:
        states = _states(process)
        for row in people:
            for lines in (_lines([row], 1), [_state(0)]):
                begun = time.monotonic()
                assert process.stdin is not None
                process.stdin.write("".join(lines).encode())
                if next(states, None) is None:
                    raise Failed("a state did not come back")
            seconds.append(time.monotonic() - begun)
    section.at_most("state after an empty queue, until acknowledged", max(seconds), ACK_TARGET, "{:.3f}", " s")


def _killed(section: Section, people: Sequence[Row]) -> None:
    """Kill a sync, and send again only the rows after its last acknowledged state."""
    drift = _empty()
    with Sandbox(drift, _OPTIONS) as sandbox:
        with _started(sandbox, people) as process:
            states = _states(process)
            seen = list(islice(states, _STATES_BEFORE_KILL))
            process.kill()
            acknowledged = max([0, *seen, *states])
        # Drift still applies what it has received.
        time.sleep(_SETTLED)
        lost = sum(not drift.contacts_by_email(row["email"]) for row in people[:acknowledged])
        _sync(section, f"after kill -9, from row {acknowledged + 1}", sandbox, people[acknowledged:], _FASTEST)
        _compare(drift, people)
    section.at_most("kill -9: acknowledged rows that are not in Drift", lost, 0, "{:.0f}")
    section.at_most("kill -9: rows that were written twice", len(drift.writes) - len(people), 0, "{:.0f}")


def _many(section: Section, size: int, known: int) -> int:
    """Write many rows, so that few of them need a request of their own; return the peak in bytes."""
    drift = _empty()
    for number in range(known):
        drift.add_contact(externalId=f"person{number}", plan="free")
    with Sandbox(drift, _OPTIONS) as sandbox:
        settings = {"match_by": "external_id", "max_rejected_percent": 100}
        usage, outcomes = _sync(section, "many rows", sandbox, _mixed(size, known), _FASTEST, **settings)
    changed = sum(1 for number in range(known, size) if number % 5 == 0)
    if outcomes != [changed, known, size - known - changed]:
        raise Failed(f"written, unchanged and rejected of {size:,} rows are {outcomes}")
    return usage.peak


def _mixed(size: int, known: int) -> Iterator[Row]:
    for number in range(size):
        if number < known:
            yield {"externalId": f"person{number}", "plan": "free", "email": None}
        elif number % 5 == 0:
            yield {"externalId": f"person{number // 5 % _CHANGED}", "plan": f"plan {number}", "email": None}
        else:
            yield {"externalId": f"person{number}", "plan": "free", "email": "no address"}


def _sync(
    section: Section, name: str, sandbox: Sandbox, rows: Iterable[Row], rate: int, **settings: Any
) -> tuple[Usage, list[int]]:
    """Clear the journal and write the rows; return also how many were written, unchanged and rejected."""
    sandbox.journal.clear()
    with TemporaryDirectory() as named:
        folder = Path(named)
        usage = spend(_command(folder, sandbox, rows, rate, **settings), folder, given=folder / "input")
        with open(folder / "stdout", "rb") as lines:
            last = [json.loads(line) for line in deque(lines, maxlen=1)]
    if usage.code:
        raise Failed(f"{name}: exit code {usage.code}; {last}")
    outcomes, requests = list(counts(last)), sandbox.journal.requests()
    section.rows.append([name, *(f"{number:,}" for number in (sum(outcomes), *outcomes, len(requests)))])
    section.rows[-1] += [f"{usage.seconds:.1f}", f"{usage.seconds / (len(requests) / rate):.3f}"]
    section.rows[-1] += [f"{requests[0].at - usage.started:.1f}", f"{usage.peak / 1e6:.0f}"]
    return usage, outcomes


@contextmanager
def _started(sandbox: Sandbox, rows: Sequence[Row] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """Start a sync of the rows, or of what is written to its input; it is killed at the end."""
    with TemporaryDirectory() as folder:
        command = _command(Path(folder), sandbox, rows, _FASTEST)
        with (
            open(Path(folder, "input"), "rb") as given,
            subprocess.Popen(
                command, cwd=ROOT, stdin=given if rows else subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()


def _states(process: subprocess.Popen[bytes]) -> Iterator[int]:
    """The number of rows before each state that comes back."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith(b"\n") and (message := json.loads(line))["type"] == "STATE":
            yield message["state"]["stream"]["stream_state"]["rows"]


def _command(folder: Path, sandbox: Sandbox, rows: Iterable[Row], rate: int, **settings: Any) -> list[str]:
    """`destination-drift write`, with its files in the folder; `input` has the rows."""
    with open(folder / "input", "w", encoding="utf-8") as file:
        file.writelines(_lines(rows, _STATE_EVERY))
    settings = {"max_requests_per_second": rate, "unknown_attributes": "create", **settings}
    described = catalog("contact", [dict.fromkeys(_COLUMNS)], "append_dedup")
    (folder / "config.json").write_text(json.dumps(config(sandbox.url, **settings)), encoding="utf-8")
    (folder / "catalog.json").write_text(json.dumps(described), encoding="utf-8")
    return [*_COMMAND, "--config", str(folder / "config.json"), "--catalog", str(folder / "catalog.json")]


def _lines(rows: Iterable[Row], state_every: int) -> Iterator[str]:
    for number, row in enumerate(rows, 1):
        yield json.dumps({"type": "RECORD", "record": {"stream": "contact", "data": row, "emitted_at": 0}}) + "\n"
        if number % state_every == 0:
            yield _state(number)


def _state(rows: int) -> str:
    stream = {"stream_descriptor": {"name": "contact"}, "stream_state": {"rows": rows}}
    return json.dumps({"type": "STATE", "state": {"type": "STREAM", "stream": stream}}) + "\n"


def _empty() -> Drift:
    return Drift(conversations=0, contacts=0, accounts=0)


def _people(size: int) -> list[Row]:
    of_each = ((f"person{number}", ("free", "team", "pro")[number % 3], number % 50 + 1) for number in range(size))
    return [
        {"email": f"{name}@example.com", "name": name, "plan": plan, "seats": seats} for name, plan, seats in of_each
    ]


def _compare(drift: Drift, people: Sequence[Row]) -> None:
    """Raises Failed unless each of the people is one contact with these values."""
    wrong = 0
    for row in people:
        found = [one["attributes"] for one in drift.contacts_by_email(row["email"])]
        wrong += [{name: one.get(name) for name in row} for one in found] != [row]
    if wrong:
        raise Failed(f"{wrong:,} rows are not in Drift, not once, or with other values")
