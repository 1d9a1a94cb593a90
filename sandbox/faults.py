"""Simulated faults, planned per endpoint: which requests they affect, how often, and how."""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sandbox import paging
from sandbox.answer import Answer
from sandbox.data import Drift
from sandbox.rate_limit import retry_after

REPLACING = frozenset(
    {"status", "reset", "hang", "html", "empty", "no_content", "error_body", "errors_body", "redirect", "gone"}
)
"""Kinds that replace Drift's response."""

DELIVERING = frozenset({"truncated", "slow"})
"""Kinds that disturb the transfer of Drift's response."""

# Kind -> its details and their defaults; the command line shows this.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "status": (
        "an error status",
        {
            "status": 503,
            "body": "json",
            "type": "server_error",
            "message": "Something went wrong",
            "headers": None,
            "retry_after": None,
        },
    ),
    "gone": ("410, like a service that was shut down", {"message": "This service has been retired"}),
    "reset": ("the connection is reset before the response", {}),
    "hang": ("there is no response, and the connection is closed later", {"seconds": 30.0}),
    "truncated": ("the body is shorter than its Content-Length", {"share": 0.5}),
    "slow": ("the body is sent slowly, over this number of seconds", {"seconds": 2.0}),
    "html": ("200 with an HTML page", {"title": "Scheduled maintenance"}),
    "empty": ("200 with an empty body", {}),
    "no_content": ("204", {}),
    "error_body": ("200 with {'error': {…}}", {"type": "server_error", "message": "Something went wrong"}),
    "errors_body": ("200 with {'errors': [{…}]}", {"type": "server_error", "message": "Something went wrong"}),
    "missing_data": ("200 without the records; key is a dotted path", {"key": "data"}),
    "wrong_type": (
        "200 with records of a different type: null, string, number, object or array",
        {"key": "data", "to": "null"},
    ),
    "repeated_cursor": ("the next cursor is the one that was just used; first pages are not affected", {}),
    "foreign_link": (
        "links to the next page point to another host; {token}, {path} and {query} are replaced",
        {"link": "https://evil.example{path}?page_token={token}"},
    ),
    "redirect": (
        "a redirect; {path} and {query} are replaced",
        {"location": "https://evil.example{path}?{query}", "code": 302},
    ),
    "empty_page": ("an empty page with a new cursor for the same position", {}),
    "rows_change": ("before the response, n conversations change and move to the top", {"n": 1}),
    "rows_vanish": ("before the response, n conversations (or accounts) are deleted", {"n": 1}),
    "answer_lost": ("the request takes effect, then the connection is reset without a response", {}),
    "applied_status": ("the request takes effect, but the response is an error status", {"status": 500}),
    "rival": ("before the request, another client creates a contact with the same email and external ID", {}),
    "contact_vanishes": ("before the request, the contact is deleted", {}),
    "body": ("a callable receives the response and returns another one (Python only)", {"change": None}),
}
_OTHER_TYPES: dict[str, Any] = {"null": None, "string": "unexpected", "number": 7, "object": {}, "array": []}
_CHECKED: dict[str, Callable[[Any], bool]] = {
    "status": lambda value: isinstance(value, int) and 200 <= value <= 599,
    "code": lambda value: isinstance(value, int) and 300 <= value <= 399,
    "body": lambda value: value in ("json", "html", "empty"),
    "to": lambda value: value in _OTHER_TYPES,
    "seconds": lambda value: isinstance(value, int | float) and value >= 0,
    "share": lambda value: isinstance(value, int | float) and 0 <= value < 1,
    "n": lambda value: isinstance(value, int) and value >= 0,
    "change": callable,
}


class Fault:
    """One line of a fault plan.

    Args:
        path: exact, a glob (`/conversations/*/messages`), or a regular expression that begins with `^`.
        kind: one of `KINDS`.
        method: affects only this method.
        times: how many requests it affects; None for all.
        after: how many matching requests it skips first.
        details: the details of the kind, see `KINDS`.

    Raises:
        ValueError: an unknown kind, a detail that the kind does not have, or an invalid value.
    """

    def __init__(
        self, path: str, kind: str, *, method: str | None = None, times: int | None = 1, after: int = 0, **details: Any
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"no fault {kind!r}: there are {', '.join(KINDS)}")
        defaults = KINDS[kind][1]
        if unknown := set(details) - set(defaults):
            takes = f"takes {', '.join(defaults)}" if defaults else "takes no details"
            raise ValueError(f"fault {kind} does not take {', '.join(sorted(unknown))}: it {takes}")
        if times is not None and (type(times) is not int or times < 0):
            raise ValueError(f"fault {kind}: times is a number or None, not {times!r}")
        if type(after) is not int or after < 0:
            raise ValueError(f"fault {kind}: after is a number, not {after!r}")
        self.path, self.kind, self.method, self.times, self.after = path, kind, method, times, after
        self.details: dict[str, Any] = defaults | details
        for name, value in self.details.items():
            if name in _CHECKED and not _CHECKED[name](value):
                raise ValueError(f"fault {kind}: {name} cannot be {value!r}")
        self._matches = _matcher(path)

    def __repr__(self) -> str:
        return f"Fault({self.path!r}, {self.kind!r}, times={self.times}, after={self.after}, **{self.details})"

    def concerns(self, method: str, path: str, query: bytes) -> bool:
        if self.method not in (None, method) or not self._matches(path):
            return False
        return self.kind != "repeated_cursor" or _cursor(_parsed(query)) is not None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read `KIND [METHOD] PATH [name=value …]`, for example `status /users/list status=429 times=3 retry_after=1`.

        Numbers, `true`, `false`, `null` and JSON objects are read as such; `times=always` affects every request.

        Raises:
            ValueError: the text does not have this form.
        """
        words = shlex.split(text)
        if len(words) > 1 and words[1].isupper() and words[1].isalpha():
            method: str | None = words.pop(1)
        else:
            method = None
        if len(words) < 2 or not all("=" in word for word in words[2:]):
            raise ValueError(f"a fault reads 'KIND [METHOD] PATH [name=value …]', not {text!r}")
        details = {name: _value(value) for name, _, value in (word.partition("=") for word in words[2:])}
        if details.get("times") == "always":
            details["times"] = None
        return cls(words[1], words[0], method=method, **details)

    @classmethod
    def from_json(cls, plan: Any) -> list[Fault]:
        """Read a plan: a list of objects with the arguments of `Fault`.

        Raises:
            ValueError: it does not have this form.
        """
        if not isinstance(plan, list) or not all(
            isinstance(line, dict) and {"path", "kind"} <= set(line) for line in plan
        ):
            raise ValueError("a fault plan is a list of objects with at least path and kind")
        return [cls(**line) for line in plan]


class FaultPlan:
    """Faults in order. A request counts for every fault that it matches; the first one that is due affects it."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.faults = tuple(faults)
        self._matched = [0] * len(self.faults)
        self._hits = [0] * len(self.faults)
        self._asked_again = 0

    def take(self, method: str, path: str, query: bytes) -> Fault | None:
        due = None
        for place, fault in enumerate(self.faults):
            if not fault.concerns(method, path, query):
                continue
            self._matched[place] += 1
            left = fault.times is None or self._hits[place] < fault.times
            if due is None and left and self._matched[place] > fault.after:
                self._hits[place] += 1
                due = fault
        return due

    def next_attempt(self) -> int:
        self._asked_again += 1
        return self._asked_again


def disturb(fault: Fault, drift: Drift, path: str, body: bytes, index_lag: int) -> None:
    """Change the data for the kinds that change it before the request."""
    if fault.kind == "rows_change":
        drift.touch_some(fault.details["n"])
    elif fault.kind == "rows_vanish" and path.startswith("/accounts"):
        drift.delete_some_accounts(fault.details["n"])
    elif fault.kind == "rows_vanish":
        drift.delete_some(fault.details["n"])
    elif fault.kind == "rival":
        given = json.loads(body or b"{}").get("attributes", {})
        keys = {name: given[name] for name in ("email", "externalId") if name in given}
        if "email" in keys:
            drift.create_contact(keys, lag=index_lag, by="rival")
    elif fault.kind == "contact_vanishes" and (named := re.match(r"/contacts/(\d+)", path)):
        drift.delete_contact(int(named[1]))


def replacement(fault: Fault, path: str, query: bytes) -> Answer:
    """Return the response of a kind in `REPLACING` that sends one."""
    details = fault.details
    if fault.kind in ("html", "empty", "no_content"):
        content = _html(details["title"]) if fault.kind == "html" else b""
        media_type = "text/html; charset=utf-8" if fault.kind == "html" else "application/json"
        return Answer(204 if fault.kind == "no_content" else 200, content, {}, media_type)
    if fault.kind == "redirect":
        location = details["location"].replace("{path}", path).replace("{query}", query.decode("latin-1"))
        return Answer(details["code"], b"", {"Location": location})
    error = {"type": details.get("type", "gone"), "message": details["message"]}
    if fault.kind == "gone":
        return Answer(410, {"error": error}, {})
    if fault.kind == "error_body":
        return Answer(200, {"error": error}, {})
    if fault.kind == "errors_body":
        return Answer(200, {"errors": [error]}, {})
    headers = dict(details["headers"] or {})
    if details["retry_after"] is not None:
        given = details["retry_after"]
        headers |= retry_after("seconds", given) if isinstance(given, int | float) else {"Retry-After": given}
    if details["body"] == "html":
        return Answer(details["status"], _html(details["message"]), headers, "text/html; charset=utf-8")
    return Answer(details["status"], b"" if details["body"] == "empty" else {"error": error}, headers)


def altered(fault: Fault, content: Any, path: str, raw_query: bytes, attempt: int) -> Any:
    """Return Drift's response with the fault of the other kinds; a kind that does not fit changes nothing."""
    query = _parsed(raw_query)
    content = copy.deepcopy(content)
    match fault.kind:
        case "body":
            return fault.details["change"](content)
        case "missing_data" if isinstance(content, dict):
            holder, key = _holder(content, fault.details["key"])
            holder.pop(key, None)
        case "wrong_type" if isinstance(content, dict):
            holder, key = _holder(content, fault.details["key"])
            holder[key] = _OTHER_TYPES[fault.details["to"]]
        case "missing_data" | "wrong_type":
            return _OTHER_TYPES[fault.details["to"]] if fault.kind == "wrong_type" else {}
        case "repeated_cursor" if isinstance(content, dict):
            _name_next(content, path, query.get("page_token", [""])[-1], query.get("next", [""])[-1], query)
        case "empty_page" if isinstance(content, dict):
            _empty(content)
            token, offset = paging.asked_again(query, attempt)
            if path.endswith("/messages"):
                offset = "0" * attempt + (query.get("next", [""])[-1] or "1")
            _name_next(content, path, token, offset, query)
        case "foreign_link" if isinstance(content, dict):
            _lead_away(content, fault.details["link"])
        case _:
            pass
    return content


def _name_next(content: dict[str, Any], path: str, token: str, offset: str, query: Mapping[str, list[str]]) -> None:
    data = content.get("data")
    if path.rstrip("/") == "/accounts":
        if isinstance(data, dict):
            index, size = query.get("index", ["0"])[-1], query.get("size", [str(paging.DEFAULT_ACCOUNTS)])[-1]
            data["next"] = f"/accounts?index={index}&size={size}"
        return
    links = content.get("links")
    if isinstance(links, dict) and (token or "pagination" not in content):
        links["next"] = f"{links['self'].partition('?')[0]}?page_token={token}"
    if offset and ("pagination" in content or not isinstance(links, dict)):
        content["pagination"] = {"more": True, "next": offset}


def _lead_away(content: dict[str, Any], template: str) -> None:
    for holder in (content.get("links"), content.get("data")):
        if isinstance(holder, dict) and isinstance(holder.get("next"), str) and holder["next"]:
            parts = urlsplit(holder["next"])
            token = parse_qs(parts.query).get("page_token", [""])[-1]
            filled = template.replace("{token}", token).replace("{path}", parts.path)
            holder["next"] = filled.replace("{query}", parts.query)


def _empty(content: dict[str, Any]) -> None:
    data = content.get("data")
    if isinstance(data, list):
        content["data"] = []
    elif isinstance(data, dict):
        for key in ("messages", "accounts", "properties"):
            if key in data:
                data[key] = []


def _holder(content: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    *parents, key = dotted.split(".")
    holder = content
    for parent in parents:
        inner = holder.get(parent)
        if not isinstance(inner, dict):
            return {}, key
        holder = inner
    return holder, key


def _matcher(path: str) -> Callable[[str], bool]:
    if path.startswith("^"):
        try:
            pattern = re.compile(path)
        except re.error as error:
            raise ValueError(f"{path} is no regular expression: {error}") from None
        return lambda asked: pattern.search(asked) is not None
    if any(sign in path for sign in "*?["):
        return lambda asked: fnmatchcase(asked, path)
    return lambda asked: asked in (path, f"{path}/")


def _parsed(query: bytes) -> dict[str, list[str]]:
    return parse_qs(query.decode("latin-1"), keep_blank_values=True)


def _cursor(query: Mapping[str, list[str]]) -> str | None:
    """Return the cursor of a request; a request for a first page has none."""
    for name in ("page_token", "next", "index"):
        given = query.get(name, [""])[-1]
        if given and (name != "index" or given.strip("0")):
            return given
    return None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _html(title: str) -> bytes:
    return f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>".encode()
