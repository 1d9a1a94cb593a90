"""Tests how the connector handles hostile responses, and how much memory it uses.

These tests use a separate server, because the local Drift sends only what its API description allows.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from integration_tests.connector import access_token, catalog, run

Pages = Callable[[str], bytes]
"""The body for a path with its query."""


@dataclass(frozen=True)
class Case:
    """A hostile Drift: its responses to one stream, and the expected result.

    `rows` is the number of records; None if the stream must fail with a message that contains `cause`.
    """

    title: str
    stream: str
    body: bytes | Pages
    rows: int | None = None
    cause: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The result of a case. `peak` is the resident memory of the process in MB; the CDK uses about 100 of it."""

    case: Case
    code: int
    rows: int
    message: str
    requests: int
    peak: float

    @property
    def is_sound(self) -> bool:
        if self.case.rows is not None:
            return (self.code, self.rows) == (0, self.case.rows)
        return self.code == 1 and self.case.cause in self.message


def _users(*rows: Any) -> bytes:
    return json.dumps({"data": rows}).encode()


def _many_pages(path: str) -> bytes:
    """`PAGES` accounts, two per page."""
    index = int(path.partition("index=")[2].partition("&")[0] or 0)
    accounts = [{"accountId": f"{n}_example.com"} for n in range(index, min(index + 2, PAGES))]
    following = f"/accounts?index={index + len(accounts)}&size=2" if index + len(accounts) < PAGES else None
    return json.dumps({"data": {"accounts": accounts, "total": PAGES, "next": following}}).encode()


@lru_cache(maxsize=1)
def _large(rows: int, megabytes: int) -> bytes:
    """Records of the given size in megabytes."""
    return _users(*({"id": n, "name": "x" * megabytes * MEGABYTE} for n in range(rows)))


@lru_cache(maxsize=1)
def _bomb(megabytes: int) -> bytes:
    """Valid JSON and many spaces, which compress by a factor of 1,000."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(_users({"id": 1}))]
    parts += [packer.compress(b" " * MEGABYTE) for _ in range(megabytes)]
    return b"".join([*parts, packer.flush()])


def _cursor(link: str) -> Pages:
    """Two pages of conversations, with `link` to the second one."""

    def page(path: str) -> bytes:
        is_first = path.endswith("page_token=")
        rows = [{"id": 1 if is_first else 2, "updatedAt": 1_700_000_000_000}]
        return json.dumps({"data": rows, "links": {"next": link if is_first else None}}).encode()

    return page


MEGABYTE = 1_000_000
PAGES = 100_000
# Seconds in which they can be read.
LONGEST = 1800


def cases() -> Iterator[Case]:
    """All cases; a large body is created when it is requested."""
    yield Case("one record of 10 MB", "users", lambda _: _large(1, 10), rows=1)
    yield Case("a body of 90 MB", "users", lambda _: _large(90, 1), rows=90)
    yield Case("50 MB packed", "users", lambda _: _bomb(50), 1, "", {"Content-Encoding": "gzip"})
    yield Case(
        "gzip that is none", "users", _users({"id": 1}), None, "could not be reached", {"Content-Encoding": "gzip"}
    )
    yield Case(
        "gzip that ends early", "users", gzip.compress(_users({"id": 1}))[:-12], None, "", {"Content-Encoding": "gzip"}
    )
    yield Case(
        "JSON a million levels deep",
        "users",
        b'{"data":[{"id":1,"x":' + b"[" * 10**6 + b"]" * 10**6 + b"}]}",
        None,
        "not JSON",
    )
    yield Case("JSON 500 levels deep", "users", b'{"data":[{"id":1,"x":' + b"[" * 500 + b"]" * 500 + b"}]}", rows=1)
    yield Case(f"{PAGES // 2:,} pages", "accounts", _many_pages, rows=PAGES)
    yield Case("text that is not UTF-8", "users", b'{"data":[{"id":1,"name":"\xff\xfe"}]}', rows=1)
    yield Case("a byte order mark", "users", b"\xef\xbb\xbf" + _users({"id": 1}), rows=1)
    yield Case("half a surrogate", "users", b'{"data":[{"id":1,"name":"\\ud800"}]}', rows=1)
    yield Case("a NUL in a text", "users", b'{"data":[{"id":1,"name":"a\\u0000b"}]}', rows=1)
    yield Case("a key twice", "users", b'{"data":[{"id":1,"name":"first","name":"second"}]}', rows=1)
    yield Case("NaN", "users", b'{"data":[{"id":1,"createdAt":NaN}]}', rows=1)
    yield Case("Infinity", "users", b'{"data":[{"id":1,"createdAt":Infinity}]}', rows=1)
    yield Case("an id beyond 2^53", "users", _users({"id": 2**53 + 1}), rows=1)
    yield Case("an id beyond 2^64", "users", _users({"id": 2**64 + 1}), rows=1)
    yield Case(
        "a number of 10,000 digits",
        "users",
        b'{"data":[{"id":1,"createdAt":' + b"9" * 10_000 + b"}]}",
        cause="not JSON",
    )
    yield Case("a line break in a cursor", "conversations", _cursor("/x?page_token=a%0d%0aX-Injected:%20yes"), rows=2)
    yield Case("a fragment in a cursor", "conversations", _cursor("/x?page_token=a%23since=9999999999999"), rows=2)
    yield Case("a cursor of 60,000 bytes", "conversations", _cursor("/x?page_token=" + "a" * 60_000), rows=2)


def outcome(case: Case) -> Outcome:
    """Read the stream of a case with a real process."""
    if callable(case.body):
        # Create a large body before the connector waits for it.
        case.body("")
    with _server(case) as (url, asked):
        read = run("read", access_token(url), catalog(case.stream), longest=LONGEST)
    return Outcome(case, read.code, len(read.records(case.stream)), read.error(case.stream), len(asked), read.peak)


@contextmanager
def _server(case: Case) -> Iterator[tuple[str, list[str]]]:
    """Serve a case on loopback; yield its URL and the requested paths."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet.
        wbufsize = -1

        def do_GET(self) -> None:
            asked.append(self.path)
            body = case.body if isinstance(case.body, bytes) else case.body(self.path)
            self.send_response(200)
            for name, value in {"Content-Length": str(len(body)), **case.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Ignore clients that close the connection early."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
