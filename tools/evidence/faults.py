"""Tests every fault on every stream, once and always, with the connector as a real process.

Each fault needs two reads. In the first read, it affects all endpoints except the list of conversations. In the second
read, it affects only that list, because the children cannot be read without it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from integration_tests.connector import ENDPOINTS, EVERY_STREAM, Run, access_token, catalog, run
from sandbox import PRIMARY_KEYS, Drift, Fault, Options, Sandbox

LIST = "conversations"
# Title, the sandbox's kind of fault, and its details.
FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    *[(f"HTTP {status}", "status", {"status": status}) for status in (500, 502, 503, 504, 408, 425)],
    ("HTTP 502, an HTML page", "status", {"status": 502, "body": "html"}),
    ("HTTP 429", "status", {"status": 429}),
    ("HTTP 429, Retry-After: 3", "status", {"status": 429, "retry_after": 3}),
    *[(f"HTTP {status}", "status", {"status": status}) for status in (400, 401, 403, 404, 405, 409, 418, 422, 451)],
    ("HTTP 410", "gone", {}),
    ("connection reset", "reset", {}),
    ("no answer", "hang", {"seconds": 30.0}),
    ("body cut off", "truncated", {}),
    ("a body that drips", "slow", {"seconds": 8.0}),
    ("200, an HTML page", "html", {}),
    ("200, an empty body", "empty", {}),
    ("204", "no_content", {}),
    ("200, {error: …}", "error_body", {}),
    ("200, {errors: …}", "errors_body", {}),
    ("200, null", "body", {"change": lambda _: None}),
    ("200, a string", "body", {"change": lambda _: "unexpected"}),
    ("200, {}", "body", {"change": lambda _: {}}),
    ("redirect to another host", "redirect", {}),
]
# The connector keeps trying for an hour if Drift throttles. Even with shorter waits, this would take minutes and show
# nothing new.
# Two 204 responses mean that there are no rows.
ONCE_ONLY = ("HTTP 429", "HTTP 429, Retry-After: 3", "204")


@dataclass(frozen=True)
class Cell:
    """The result of one stream under one fault.

    `attempts` is the number of attempts of the request that was repeated most.
    """

    stream: str
    fault: str
    lasts: bool
    status: str
    code: int
    attempts: int
    message: str
    complete: bool
    skipped: int

    @property
    def outcome(self) -> str:
        if self.status != "COMPLETE":
            return "fails"
        if self.skipped:
            return "skipped, one line each"
        return "complete" if self.complete else "GREEN AND SHORT"

    @property
    def is_sound(self) -> bool:
        """Complete, skipped with a log line, or failed with a message; no silent loss of rows and no stack trace."""
        says_why = bool(re.fullmatch(r"(?s)(Drift|The|Stream|[\d,]+) .*\.", self.message))
        return self.outcome != "GREEN AND SHORT" and (self.status == "COMPLETE" or (self.code == 1 and says_why))


def cells(title: str, kind: str, details: Mapping[str, Any], lasts: bool, drift: Drift) -> Iterator[Cell]:
    """Read all streams twice under one fault, and yield the result of each."""
    emails = addresses(drift)
    others = [stream for stream in EVERY_STREAM if stream != LIST]
    for hit, streams in ((others, [LIST, *others]), ([LIST], [LIST])):
        plan = [Fault(ENDPOINTS[stream], kind, times=None if lasts else 1, **details) for stream in hit]
        with Sandbox(drift, Options(rate_limit=None), faults=plan) as sandbox:
            config = access_token(sandbox.url, contact_emails=emails, start_date="2025-01-01")
            read = run("read", config, catalog(*streams))
            for stream in hit:
                yield _cell(stream, title, lasts, read, drift, emails, sandbox)


def addresses(drift: Drift) -> list[str]:
    """Email addresses of contacts in this Drift."""
    found = (row["attributes"].get("email") for row in drift.expected("contacts"))
    return sorted({email for email in found if email})[:2]


def _cell(stream: str, title: str, lasts: bool, read: Run, drift: Drift, emails: list[str], sandbox: Sandbox) -> Cell:
    tries: dict[tuple[str, bytes, bytes], int] = {}
    for request in sandbox.journal:
        if request.fault and Fault(ENDPOINTS[stream], "reset").concerns(request.method, request.path, b""):
            asked = (request.path, request.raw_query, request.body or b"")
            tries[asked] = tries.get(asked, 0) + 1
    expected = sum(1 for _ in drift.expected(stream, emails=emails)) if stream in PRIMARY_KEYS else 1
    most = max(tries.values(), default=0)
    skipped = sum(1 for line in read.logs if line.startswith(f"{stream}: skipped "))
    if stream == "token_info":
        skipped += sum(1 for line in read.warnings if line.endswith("its scopes are unknown."))
    return Cell(
        stream,
        title,
        lasts,
        read.statuses.get(stream, "none"),
        read.code,
        most + (read.statuses.get(stream) == "COMPLETE" and not skipped),
        read.error(stream),
        len(read.records(stream)) == expected,
        skipped,
    )
