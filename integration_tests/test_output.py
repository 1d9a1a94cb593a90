"""What the connector prints arrives whole, however slowly it is read and whatever stops the process."""

import fcntl
import json
import os
import select
import signal
import subprocess
import sysconfig
import termios
from array import array
from pathlib import Path

import pytest

from integration_tests.connector import ROOT, access_token, catalog
from sandbox import Drift, Options, Sandbox

PIPE = 4096


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="only Linux lets a pipe be made small")
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_process_that_is_stopped_loses_nothing(unbuffered: str, tmp_path: Path) -> None:
    """A pause while it writes, as of a container, cuts no record, also where Python is told not to buffer."""
    drift = Drift(conversations=1500)
    with Sandbox(drift, Options(rate_limit=None)) as sandbox:
        output = read_with_pauses(sandbox.url, tmp_path, unbuffered)
    messages = [json.loads(line) for line in output.splitlines()]
    keys = [message["record"]["data"]["id"] for message in messages if message["type"] == "RECORD"]
    assert sorted(keys) == sorted(drift.keys("conversations"))


def read_with_pauses(url: str, folder: Path, unbuffered: str) -> bytes:
    """The whole output of a read that is stopped, and let go on, whenever it waits for its small pipe to be read."""
    files = {"config": access_token(url), "catalog": catalog(conversations="full_refresh")}
    command = [str(Path(sysconfig.get_path("scripts"), "source-declarative-manifest")), "read"]
    command += ["--manifest-path", str(ROOT / "manifest.yaml"), "--components-path", str(ROOT / "components.py")]
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
        command += [f"--{name}", str(folder / name)]
    environment = {**os.environ, "AIRBYTE_ENABLE_UNSAFE_CODE": "true", "PYTHONUNBUFFERED": unbuffered}
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE)
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(writing)
        output = bytearray()
        while piece := os.read(reading, PIPE):
            output += piece
            if is_full(reading):
                process.send_signal(signal.SIGSTOP)
                process.send_signal(signal.SIGCONT)
    os.close(reading)
    assert process.returncode == 0
    return bytes(output)


def is_full(pipe: int) -> bool:
    """Whether a pipe is full, and its writer waits, within a moment."""
    waiting = array("i", [0])
    for _ in range(5):
        fcntl.ioctl(pipe, termios.FIONREAD, waiting)
        if waiting[0] == PIPE:
            return True
        select.select([], [], [], 0.001)
    return False
