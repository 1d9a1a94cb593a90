"""A scripted connector for the tests of the demo, and the messages it writes."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).with_name("fake_connector.py")

Script = Callable[..., tuple[str, ...]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return a function that takes what to do at each verb (`again` for the second read), and returns the command."""

    def write(
        check: list[Any] | None = None,
        discover: list[Any] | None = None,
        read: list[Any] | None = None,
        again: list[Any] | None = None,
    ) -> tuple[str, ...]:
        path = tmp_path / "script.json"
        verbs = {"check": check or [], "discover": discover or [], "read": read or [], "read again": again or []}
        path.write_text(json.dumps(verbs))
        return sys.executable, str(FAKE), str(path)

    return write


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
