"""Measures how fast the sandbox responds: `python -m tools.bench.sandbox`.

The server runs in this process, and another process sends requests over keep-alive connections, so that the CPU time of
this process is that of the server only. All requests are different, so that no response comes from a cache. Prints
requests per CPU second of the server (the maximum of one core) and per second of wall time.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import subprocess
import sys
import time
from itertools import islice
from urllib.parse import urlsplit

from sandbox import Drift, Options, Sandbox

TARGET = 2_000
CONNECTIONS = 8
_TIMEOUT = 60


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.sandbox", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="requests of each kind (default: 10,000)")
    parser.add_argument("--conversations", type=int, default=1_000_000, help="size of the Drift (default: 1,000,000)")
    parser.add_argument("--load", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        print(json.dumps(load(given.load, json.load(sys.stdin))))
        return 0
    return measure(given.requests, given.conversations)


def measure(requests: int, conversations: int) -> int:
    """Print the figures for every kind of request; return 1 if one is below its target."""
    drift = Drift(conversations=conversations, accounts=20_000)
    ids = list(islice(drift.keys("conversations"), requests))
    contacts = list(islice((row["contactId"] for row in drift.expected("conversations")), requests))
    pages = max(1, conversations // 50)
    kinds = {
        "conversation list, 50 rows": [f"/conversations/list?limit=50&next={n % pages * 50}" for n in range(requests)],
        "messages of a conversation": [f"/conversations/{one}/messages" for one in ids],
        "one conversation": [f"/conversations/{one}" for one in ids],
        "one contact": [f"/contacts/{one}" for one in contacts],
        "accounts, 65 rows": [f"/accounts?size=65&index={n % 300 * 65}" for n in range(requests // 10)],
    }
    slow = False
    print(f"{'request':<30}{'requests':>10}{'per CPU s':>12}{'per wall s':>12}{'MB/s':>8}")
    with Sandbox(drift, Options(rate_limit=None)) as sandbox:
        for kind, paths in kinds.items():
            if not paths:
                continue
            cpu = time.process_time()
            done = _load_elsewhere(sandbox.url, paths)
            cpu = time.process_time() - cpu
            if sandbox.journal.statuses() != {200: len(paths)}:
                raise RuntimeError(f"{kind}: {sandbox.journal.statuses()}")
            sandbox.journal.clear()
            rate, megabytes = len(paths) / cpu, done["bytes"] / done["seconds"] / 1e6
            print(f"{kind:<30}{len(paths):>10,}{rate:>12,.0f}{len(paths) / done['seconds']:>12,.0f}{megabytes:>8.1f}")
            slow |= rate < TARGET and ("list" in kind or "messages" in kind)
    print(f"target: {TARGET:,} list or message requests per CPU second{' -- MISSED' if slow else ''}")
    return int(slow)


def _load_elsewhere(url: str, paths: list[str]) -> dict[str, float]:
    command = [sys.executable, "-m", "tools.bench.sandbox", "--load", url]
    finished = subprocess.run(
        command, input=json.dumps(paths), capture_output=True, text=True, timeout=_TIMEOUT, check=True
    )
    answer: dict[str, float] = json.loads(finished.stdout)
    return answer


def load(url: str, paths: list[str]) -> dict[str, float]:
    """Request every path once over a few keep-alive connections; return seconds and bytes."""
    address = urlsplit(url)
    waiting = [
        f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer sandbox-token\r\n\r\n".encode()
        for path in reversed(paths)
    ]
    received, started = 0, time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for _ in range(min(CONNECTIONS, len(waiting))):
            connection = socket.create_connection((address.hostname, address.port), timeout=_TIMEOUT)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(waiting.pop())
            selector.register(connection, selectors.EVENT_READ, bytearray())
        while selector.get_map():
            for key, _ in selector.select(_TIMEOUT):
                asked, buffer = key.fileobj, key.data
                if not isinstance(asked, socket.socket):
                    raise TypeError(f"{asked} is no connection")
                buffer += asked.recv(1 << 18)
                if not _complete(buffer):
                    continue
                received += len(buffer)
                buffer.clear()
                if waiting:
                    asked.sendall(waiting.pop())
                else:
                    selector.unregister(asked)
                    asked.close()
    return {"seconds": time.perf_counter() - started, "bytes": received}


def _complete(answer: bytearray) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200") and head:
        raise RuntimeError(bytes(head))
    at = head.find(b"content-length: ")
    return at >= 0 and len(body) >= int(head[at + 16 :].split(b"\r\n", 1)[0])


if __name__ == "__main__":
    sys.exit(main())
