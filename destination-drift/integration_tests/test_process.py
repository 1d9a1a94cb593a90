"""What shows only in a real process: pipes, signals, and the package that pip installs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from destination_tests import (
    FOLDER,
    OF_A_PERSON,
    catalog,
    config,
    ended,
    received,
    record,
    run_here,
    send,
    start,
    state,
    wait_until,
)
from uv import find_uv_bin

from sandbox import Sandbox


def names(sandbox: Sandbox, *numbers: int) -> list[str]:
    return [sandbox.drift.contact(number)["attributes"]["name"] for number in numbers]


def test_states_come_back_through_an_open_pipe(sandbox: Sandbox, people: list[int], tmp_path: Path) -> None:
    """A state is echoed with its id, unknown keys and exact numbers while the input is open; a cut line is an error."""
    process = start(tmp_path, config(sandbox.url), catalog())
    line = (
        '{"type":"STATE","id":7,"new":{"a":1.10},"state":{"type":"STREAM","stream":{"stream_descriptor":'
        '{"name":"contact"},"stream_state":{"at":12345678901234567890}},"sourceStats":{"recordCount":1.0}}}'
    )
    send(process, record(people[0], name="New"), line)
    assert process.stdout
    echo = process.stdout.readline().decode()
    assert names(sandbox, people[0]) == ["New"]
    assert echo == line[:-2] + ', "destinationStats": {"recordCount": 1, "rejectedRecordCount": 0}}}\n'
    send(process, state("all", None))
    assert received(process)["state"]["global"]["shared_state"] == {"at": "all"}
    assert process.stdin
    process.stdin.write(record(people[1], **OF_A_PERSON).encode()[:-20])
    run = ended(process)
    assert (run.code, run.error[0]) == (1, "system_error")
    assert "Line 4 of the input" in run.error[1]
    assert "it was cut" in run.error[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_settles_and_acknowledges(
    sandbox: Sandbox, people: list[int], tmp_path: Path, number: signal.Signals
) -> None:
    """Rows that are being written are finished, their state goes out, and the open input is not waited for."""
    sandbox.options = replace(sandbox.options, latency=0.2)
    process = start(tmp_path, config(sandbox.url), catalog())
    send(process, record(people[0], name="New"), state(1))
    wait_until(lambda: sandbox.journal.count(f"/contacts/{people[0]}") > 0)
    asked = time.monotonic()
    process.send_signal(number)
    process.wait(60)
    assert time.monotonic() - asked < 10
    run = ended(process)
    assert (run.code, run.at, run.error) == (143, [1], ("", ""))
    assert names(sandbox, people[0]) == ["New"]


def test_nothing_acknowledged_is_lost_by_a_kill(sandbox: Sandbox, people: list[int], tmp_path: Path) -> None:
    """After kill -9, what follows the last state is sent again, and every row is in Drift."""
    sandbox.options = replace(sandbox.options, latency=0.02)
    expected = [f"Name {number}" for number in range(1, 31)]
    lines = [
        line
        for number, person in enumerate(people, 1)
        for line in (record(person, name=f"Name {number}"), state(number))
    ]
    process = start(tmp_path, config(sandbox.url), catalog())
    send(process, *lines)
    assert process.stdout
    at = 0
    while at < 10:
        line = received(process)
        at = line["state"]["stream"]["stream_state"]["at"] if line["type"] == "STATE" else at
    process.kill()
    rest = [json.loads(line) for line in process.communicate()[0].splitlines(keepends=True) if line.endswith(b"\n")]
    at = max([at, *(line["state"]["stream"]["stream_state"]["at"] for line in rest if line["type"] == "STATE")])
    assert 10 <= at < 30
    assert names(sandbox, *people[:at]) == expected[:at]
    run = run_here(tmp_path, "write", config(sandbox.url), catalog(), lines[2 * at :])
    assert run.at[-1] == 30
    assert names(sandbox, *people) == expected


class MalformedHeaders(BaseHTTPRequestHandler):
    """A Drift without contacts, which sends a header that is none. urllib3 logs it with the URL."""

    def do_GET(self) -> None:
        body = b'{"data": {"properties": []}}' if self.path.startswith("/contacts/attributes") else b'{"data": []}'
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nno header\r\n\r\n" % len(body) + body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


def test_libraries_log_nothing(tmp_path: Path) -> None:
    """Their log lines would contain the URL of a look-up, with the email address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), MalformedHeaders) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        given = config(f"http://127.0.0.1:{server.server_port}", match_by="email")
        process = start(tmp_path, given, catalog(destination_sync_mode="update", columns=["email"]))
        send(process, record(email=OF_A_PERSON["email"]), state(1))
        run = ended(process)
        server.shutdown()
    assert run.stats == [(0, 1)]
    assert run.logs("WARN") == ["Row 1 of the stream contact was rejected: no_match, email."]
    assert [message["type"] for message in run.messages] == ["LOG", "STATE", "LOG"]


def test_a_platform_that_is_gone_ends_the_run_quietly(tmp_path: Path) -> None:
    """If nobody reads the output, the process ends with 1 and prints no traceback."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, FOLDER / "main.py", "check", "--config", tmp_path / "missing.json"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_pip_installs_the_command(tmp_path: Path) -> None:
    """The package has the spec and the console script, and nothing of the repository around it."""
    site = tmp_path / "site"
    command = [find_uv_bin(), "pip", "install", "--no-deps", "--offline", "--no-build-isolation", "--quiet"]
    subprocess.run([*command, "--python", sys.executable, "--target", site, FOLDER], check=True)
    assert {path.name.partition("-")[0] for path in site.iterdir()} <= {
        "bin",
        "destination_drift",
        "airbyte_destination_drift",
        ".lock",
    }
    done = subprocess.run(
        [sys.executable, site / "bin" / "destination-drift", "spec"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{site}:{sysconfig.get_path('purelib')}"},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["spec"]["connectionSpecification"]["title"] == "Drift"
