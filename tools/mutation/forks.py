"""Tasks in processes of their own, of which nothing is left."""

import json
import os
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True)
class Ended:
    """How a task ended: with the exit code 0 and what it returned, with 1 (an exception), or with minus a signal."""

    name: str
    code: int
    returned: Any = None


def forked(tasks: Iterable[tuple[str, Callable[[], Any]]], children: int, log: TextIO) -> Generator[Ended]:
    """Run named tasks, each in a fork of this process, and yield them as they end.

    The next task is taken when fewer than `children` run. What a task returns must be JSON; its exception is written to
    `log`, and what it prints goes nowhere. With it end the processes that it started, and with this generator all
    tasks; their temporary files are removed. This process may have no second thread: a fork would stop it anywhere.
    """
    waiting = iter(tasks)
    running: dict[int, tuple[str, Path]] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            while True:
                while len(running) < children and (following := next(waiting, None)):
                    name, task = following
                    own = Path(tempfile.mkdtemp(dir=folder))
                    running[_fork(task, own, log)] = name, own
                if not running:
                    return
                pid, status = os.wait()
                if pid not in running:
                    continue
                name, own = running.pop(pid)
                _kill_group(pid)
                code = os.waitstatus_to_exitcode(status)
                yield Ended(name, code, None if code else json.loads((own / "returned").read_text(encoding="utf-8")))
                shutil.rmtree(own, ignore_errors=True)
        finally:
            for pid in running:
                _kill_group(pid)
                os.waitpid(pid, 0)


def _fork(task: Callable[[], Any], own: Path, log: TextIO) -> int:
    """Start a task in a process group of its own, with `own` for its temporary files, and return its process id."""
    log.flush()
    pid = os.fork()
    if pid:
        # The child does it, too: the group is there before either of them goes on.
        with suppress(OSError):
            os.setpgid(pid, pid)
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        tempfile.tempdir = str(own)
        (own / "returned").write_text(json.dumps(task()), encoding="utf-8")
        code = 0
    except BaseException:
        traceback.print_exc(file=log)
        log.flush()
    finally:
        # At once: its threads may never end, and what it inherited is the parent's to clean up.
        os._exit(code)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
