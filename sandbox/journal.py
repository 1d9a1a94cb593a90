"""The requests that the sandbox received, in order of arrival."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, overload
from urllib.parse import parse_qs


@dataclass(slots=True)
class Request:
    """One request and its outcome.

    Attributes:
        body: as sent.
        at: monotonic seconds of its arrival.
        token: the bearer token's name if the sandbox knows it, `unknown` if it does not, None without one.
        status: of the response; None until it is sent, and if the connection was cut or left open.
        fault: the kind of the fault that affected it.
    """

    method: str
    path: str
    raw_query: bytes
    raw_headers: tuple[tuple[bytes, bytes], ...]
    at: float
    body: bytes = b""
    token: str | None = None
    status: int | None = None
    fault: str | None = None

    @property
    def query(self) -> dict[str, list[str]]:
        """The query parameters, decoded, including empty ones."""
        return parse_qs(self.raw_query.decode("latin-1"), keep_blank_values=True)

    @property
    def headers(self) -> dict[str, str]:
        """The headers by lowercase name."""
        return dict(_decoded(self.raw_headers))

    @property
    def parsed(self) -> Any:
        """The body as JSON or as a form (values are lists); None if it is neither."""
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return parse_qs(self.body.decode(), keep_blank_values=True)
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None


class Journal:
    """The newest `limit` requests, oldest first; thread-safe and list-like. `total` includes the dropped ones."""

    def __init__(self, limit: int = 500_000) -> None:
        self._lock = threading.Lock()
        self._requests: deque[Request] = deque(maxlen=limit)
        self.total = 0

    def add(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)
            self.total += 1

    def requests(self, path: str = "", *, method: str | None = None) -> list[Request]:
        """Return the requests whose path begins with `path`; one with ^ is a regular expression."""
        with self._lock:
            known = list(self._requests)
        pattern = re.compile(path if path.startswith("^") else re.escape(path))
        return [one for one in known if pattern.match(one.path) and method in (None, one.method)]

    def count(self, path: str = "", *, method: str | None = None) -> int:
        return len(self.requests(path, method=method))

    def statuses(self, path: str = "") -> Counter[int | None]:
        """Return how often each status was sent; None stands for cut connections."""
        return Counter(one.status for one in self.requests(path))

    def clear(self) -> None:
        with self._lock:
            self._requests.clear()
            self.total = 0

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(self.requests())

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> list[Request]: ...
    def __getitem__(self, index: int | slice) -> Request | list[Request]:
        return self.requests()[index]


@lru_cache(maxsize=1024)
def interned(headers: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[bytes, bytes], ...]:
    """Return equal headers as one object, because a client repeats the same ones a million times."""
    return headers


@lru_cache(maxsize=1024)
def _decoded(headers: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers)
