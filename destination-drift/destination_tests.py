"""What the tests in both folders share: lines of the protocol, configs, and runs of the destination."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from destination_drift import run as script
from destination_drift.destination import DestinationDrift
from destination_drift.messages import Output

FOLDER = Path(__file__).parent
TOKEN = "sandbox-token"
# Nothing that the destination prints may contain any of these.
CANARIES = ("canary@example.com", "Canary Person", "+1-202-555-0143", TOKEN, "sandbox-secret")
OF_A_PERSON = {"email": CANARIES[0], "name": CANARIES[1], "phone": CANARIES[2]}


def record(number: int | None = None, stream: str = "contact", **data: Any) -> str:
    """A record, by default without an id."""
    row = data if number is None else {"id": number, **data}
    return json.dumps({"type": "RECORD", "record": {"stream": stream, "data": row, "emitted_at": 1}})


def state(value: Any = 1, stream: str | None = "contact", **more: Any) -> str:
    """A state of a stream, or of all streams."""
    content: dict[str, Any] = {"type": "GLOBAL", "global": {"shared_state": {"at": value}, "stream_states": []}}
    if stream:
        described = {"stream_descriptor": {"name": stream}, "stream_state": {"at": value}}
        content = {"type": "STREAM", "stream": described}
    return json.dumps({"type": "STATE", "state": {**content, **more}})


def status(value: str = "COMPLETE", stream: str = "contact") -> str:
    content = {"stream_descriptor": {"name": stream}, "status": value}
    trace = {"type": "STREAM_STATUS", "emitted_at": 1, "stream_status": content}
    return json.dumps({"type": "TRACE", "trace": trace})


def config(url: str = "http://127.0.0.1:9", **settings: Any) -> dict[str, Any]:
    credentials = {"credentials": "access_token", "access_token": TOKEN}
    return {"credentials": credentials, "api_url": url, "match_by": "id", "max_requests_per_second": 50, **settings}


def oauth(url: str, **credentials: Any) -> dict[str, Any]:
    given = {"client_id": "sandbox-client", "client_secret": "sandbox-secret", "refresh_token": "sandbox-refresh-1"}
    return config(url, credentials={"credentials": "oauth2.0", **given, **credentials})


def catalog(*streams: str, columns: Sequence[str] = ("id", "email", "name", "phone"), **more: Any) -> dict[str, Any]:
    """A configured catalog of `contact`, or of these streams."""
    return {
        "streams": [
            {
                "stream": {"name": name, "json_schema": {"properties": {column: {} for column in columns}}},
                "sync_mode": "full_refresh",
                "destination_sync_mode": "append_dedup",
                **more,
            }
            for name in streams or ("contact",)
        ]
    }


class Run:
    """What a run printed. No line may contain a canary, except in a CONTROL message, which must contain the secrets."""

    def __init__(self, code: int, output: bytes) -> None:
        self.code, self.text = code, output.decode()
        self.lines = self.text.splitlines()
        self.messages = [json.loads(line) for line in self.lines]
        said = "\n".join(line for line in self.lines if '"CONTROL"' not in line)
        assert [canary for canary in CANARIES if canary in said] == []

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def states(self) -> list[Any]:
        """The value of each acknowledged state."""
        found = [message["state"] for message in self.of("STATE")]
        return [(one.get("stream") or one["global"]) for one in found]

    @property
    def at(self) -> list[Any]:
        return [(one.get("stream_state") or one.get("shared_state"))["at"] for one in self.states]

    @property
    def stats(self) -> list[tuple[int, int]]:
        """Records and rejected records of each acknowledged state."""
        found = [message["state"]["destinationStats"] for message in self.of("STATE")]
        return [(one["recordCount"], one["rejectedRecordCount"]) for one in found]

    @property
    def error(self) -> tuple[str, str]:
        """Type and message of the error trace, empty texts without one."""
        errors = [message["trace"]["error"] for message in self.of("TRACE")]
        return (errors[0]["failure_type"], errors[0]["message"]) if errors else ("", "")

    def logs(self, level: str) -> list[str]:
        return [message["log"]["message"] for message in self.of("LOG") if message["log"]["level"] == level]


def arguments(folder: Path, verb: str, config: Any, catalog: Any = None) -> list[str]:
    """The arguments of a command, whose files are written to the folder."""
    given = verb.split()
    for name, content in {"config": config, "catalog": catalog}.items():
        if content is not None:
            path = folder / f"{name}.json"
            path.write_text(json.dumps(content))
            given += [f"--{name}", str(path)]
    return given


def run_here(folder: Path, verb: str, config: Any, catalog: Any = None, lines: Iterable[str] = ()) -> Run:
    """Run a command in this process."""
    file = io.BytesIO()
    output = Output(file)
    given = script.parser().parse_args(arguments(folder, verb, config, catalog))
    code = script.run(given, DestinationDrift(output), output, ((line + "\n").encode() for line in lines))
    return Run(code, file.getvalue())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def start(folder: Path, config: Any, catalog: Any, **environment: str) -> subprocess.Popen[bytes]:
    """Start `write` as a process without PYTHONUNBUFFERED; its standard error goes to its output."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, FOLDER / "main.py", *arguments(folder, "write", config, catalog)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**inherited, **environment},
        # communicate() would not see what readline() has put into a buffer.
        bufsize=0,
    )


def send(process: subprocess.Popen[bytes], *lines: str) -> None:
    assert process.stdin
    process.stdin.write("".join(line + "\n" for line in lines).encode())
    process.stdin.flush()


def received(process: subprocess.Popen[bytes]) -> Mapping[str, Any]:
    """Wait for the next line that the process prints."""
    assert process.stdout
    return json.loads(process.stdout.readline())


def ended(process: subprocess.Popen[bytes]) -> Run:
    """Close the input, and wait for the end."""
    output, _ = process.communicate(timeout=60)
    return Run(process.returncode, output)
