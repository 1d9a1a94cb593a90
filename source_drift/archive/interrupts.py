"""Ctrl-C and its like, which never reach the middle of a transaction."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The user or the system asked the process to end; `code` is the exit code for that."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class Interrupts:
    """Raises `Interrupted` on SIGINT, SIGTERM and SIGHUP while `raised`; within a `held` block, at its end."""

    def __init__(self) -> None:
        self._held = False
        self._number: int | None = None

    @contextmanager
    def raised(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._take) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        self._held = True
        try:
            yield
        finally:
            self._held = False
        number, self._number = self._number, None
        if number is not None:
            raise Interrupted(number)

    def _take(self, number: int, _: FrameType | None) -> None:
        if not self._held:
            raise Interrupted(number)
        self._number = number
