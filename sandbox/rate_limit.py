"""A leaky bucket: it allows a number of requests at once and drains evenly over a number of seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from math import ceil

from sandbox.options import RetryAfter


class LeakyBucket:
    """A bucket that holds `requests` and drains that many in `seconds`; a refused request does not fill it."""

    def __init__(self, requests: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.requests, self.seconds = requests, seconds
        self._clock = clock
        self._level = 0.0
        self._seen = clock()

    def admit(self) -> float:
        """Accept a request and return 0.0, or return the seconds until there is room for it."""
        now = self._clock()
        drain = self.requests / self.seconds
        self._level = max(0.0, self._level - (now - self._seen) * drain)
        self._seen = now
        if self._level + 1 <= self.requests:
            self._level += 1
            return 0.0
        return (self._level + 1 - self.requests) / drain


def retry_after(form: RetryAfter, seconds: float) -> dict[str, str]:
    """Return the `Retry-After` header in the given format, rounded up to whole seconds."""
    whole = max(1, ceil(seconds))
    if form == "none":
        return {}
    return {"Retry-After": str(whole) if form == "seconds" else formatdate(time.time() + whole + 1, usegmt=True)}
