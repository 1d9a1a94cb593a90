"""Measures with py-spy which packages use the CPU while the connector reads."""

from __future__ import annotations

import re
import shlex
import sysconfig
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from sandbox import Drift, Sandbox
from tools.bench.connector import UNLIMITED, read, unlimited
from tools.bench.report import Section
from tools.bench.sizes import Sizes

# Samples per second.
_RATE = 200
_FUNCTIONS = 12
_LEAST = 0.005
_FRAME = re.compile(r"(?P<function>.+) \((?P<file>.+?)(?::\d+)?\)")
PYTHON = "Python"
Function = tuple[str, str]
_Key = TypeVar("_Key")


def measure(sizes: Sizes, _: Path) -> Section:
    """Share of each package in the CPU time of a read, minus that of a read of an empty Drift."""
    section = Section("profile", "CPU time by package")
    section.columns = ["package, and its functions with what they call in Python itself", "conversations", "messages"]
    conversations, mean = sizes.threads[0]
    drifts = {
        "conversations": Drift(conversations=sizes.listed),
        "messages": Drift(conversations=conversations, messages_per_conversation=mean),
    }
    with unlimited() as manifest:
        seen = {stream: _looks(stream, drift, manifest) for stream, drift in drifts.items()}
    packages = {stream: _summed(looks) for stream, looks in seen.items()}
    for package in _ranked(packages.values()):
        if any(looks[package] >= _LEAST * looks.total() for looks in packages.values()):
            section.rows.append([package, *(_share(looks[package], looks) for looks in packages.values())])
    for package, function in _ranked(seen.values())[:_FUNCTIONS]:
        shares = [_share(looks[package, function], looks) for looks in seen.values()]
        section.rows.append([f"· {package}: {function}", *shares])
    section.notes = [
        f"py-spy samples the thread that holds the GIL {_RATE} times per second. A sample counts for the innermost "
        "function outside the standard library. Number of samples: "
        f"{', '.join(f'{looks.total():,}' for looks in packages.values())}.",
    ]
    return section


def _looks(stream: str, drift: Drift, manifest: Path) -> Counter[Function]:
    with Sandbox(drift, UNLIMITED) as sandbox:
        looks = _profiled(sandbox, stream, manifest)
    with Sandbox(Drift(conversations=0, contacts=0), UNLIMITED) as empty:
        return looks - _profiled(empty, stream, manifest)


def _profiled(sandbox: Sandbox, stream: str, manifest: Path) -> Counter[Function]:
    with TemporaryDirectory() as folder:
        stacks = Path(folder, "stacks")
        spy = [
            str(Path(sysconfig.get_path("scripts"), "py-spy")),
            "record",
            # A process that is stopped for each sample sometimes writes half a line.
            "--nonblocking",
            "--gil",
            "--format",
            "raw",
            "--full-filenames",
        ]
        watch = shlex.join([*spy, "--rate", str(_RATE), "--output", str(stacks)])
        # py-spy's output must not be mixed with the records. It finds no Python in a process that has just started.
        read(sandbox, stream, manifest=manifest, under=["/bin/sh", "-c", f'"$@" & sleep 1; {watch} --pid $! >&2', "sh"])
        return counted(stacks.read_text(encoding="utf-8").splitlines())


def counted(stacks: Iterable[str]) -> Counter[Function]:
    """Samples per (package, function), from lines `function (file:line);function (file:line) samples`, outermost first.

    Frames of Python's own library count for the function that called them.
    """
    looks: Counter[Function] = Counter()
    for line in stacks:
        stack, _, number = line.rpartition(" ")
        callers = (_function(frame) for frame in reversed(stack.split(";")))
        looks[next(filter(None, callers), (PYTHON, ""))] += int(number)
    return looks


def _function(frame: str) -> Function | None:
    found = _FRAME.fullmatch(frame)
    file = found["file"] if found else ""
    if file.endswith("/components.py"):
        return "components.py", str(found and found["function"])
    _, packages, inside = file.partition("/site-packages/")
    return (inside.split("/")[0].removesuffix(".py"), str(found and found["function"])) if packages else None


def _summed(looks: Counter[Function]) -> Counter[str]:
    packages: Counter[str] = Counter()
    for (package, _), number in looks.items():
        packages[package] += number
    return packages


def _ranked(counters: Iterable[Counter[_Key]]) -> list[_Key]:
    return [key for key, _ in sum(counters, Counter()).most_common()]


def _share(number: int, looks: Counter[str] | Counter[Function]) -> str:
    return f"{number / looks.total():.1%}" if looks else "–"
