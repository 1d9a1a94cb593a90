"""The building blocks of dialects: small deviations from the documented responses that can be combined.

A deviation receives each request before the endpoint. It can change the query or the body, or respond instead of the
endpoint. It also receives the response and can change it. Functions that change a response receive their own copy.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import orjson

from sandbox.answer import Answer
from sandbox.seeds import DAY

if TYPE_CHECKING:
    from sandbox.data import Drift

Row = dict[str, Any]
Query = dict[str, list[str]]


@dataclass
class Asked:
    """A request as a dialect sees it.

    Attributes:
        query, body: what the endpoint receives; can be changed in place. `body` is JSON, or None without a body.
        drift: the data, which a dialect may change.
        count: how many requests the dialect has affected, including this one.
        memory: the memory of the dialect's deviations while the service runs.
        disturbed: whether this request caused a change of the data.
    """

    method: str
    path: str
    query: Query
    body: Any
    drift: Drift
    count: int = 1
    memory: dict[Any, Any] = field(default_factory=dict)
    disturbed: bool = False

    @property
    def subject(self) -> str:
        """The ID in the path, or the path if it has none."""
        found = re.search(r"/(\d+)(?:/|$)", self.path)
        return found[1] if found else self.path

    def first(self, name: str) -> str:
        """The value of a query parameter, or '' if it is missing."""
        return self.query.get(name, [""])[-1]

    def number(self, name: str, default: int = 0) -> int:
        given = self.first(name)
        return int(given) if given.isdigit() else default


Ask = Callable[[Asked], Answer | None]
Alter = Callable[[Asked, Answer], Answer]


@dataclass(frozen=True)
class Deviation:
    """One building block.

    Attributes:
        ask: receives the request; a returned response replaces that of the endpoint.
        alter: receives the response and returns another one.
        row: how it changes the values of a row, so that tests can compare rows.
    """

    ask: Ask | None = None
    alter: Alter | None = None
    row: Callable[[Row], Row] | None = None


# The place of the rows in a response


def place_of(path: str) -> str:
    """The dotted path of the rows in the documented response; '' is the root."""
    if path.startswith("/playbooks/"):
        return ""
    inner = {"/accounts": "accounts", "/contacts/attributes": "properties"}.get(path.rstrip("/"))
    inner = "messages" if path.endswith("/messages") else inner
    return f"data.{inner}" if inner else "data"


def found_at(content: Any, dotted: str) -> Any:
    """The value at a dotted path, or None."""
    for key in filter(None, dotted.split(".")):
        content = content.get(key) if isinstance(content, dict) else None
    return content


def placed(content: Any, dotted: str, value: Any) -> Any:
    """The content with a value at a dotted path; missing objects are created."""
    if not dotted:
        return value
    key, _, rest = dotted.partition(".")
    if not isinstance(content, dict):
        return content
    return content | {key: placed(content.get(key) or {}, rest, value) if rest else value}


def names_next(content: Any) -> bool:
    """Whether a response links to another page in a documented place."""
    return any(found_at(content, place) for place in ("links.next", "pagination.next", "data.next"))


# Changing the response


def edit(change: Callable[[Any], Any]) -> Deviation:
    """Change the JSON of a successful response."""
    return edit_with(lambda _, content: change(content))


def edit_with(change: Callable[[Asked, Any], Any]) -> Deviation:
    """Like `edit`, but `change` also receives the request."""

    def alter(asked: Asked, answer: Answer) -> Answer:
        if answer.status != 200 or isinstance(answer.content, bytes):
            return answer
        return answer._replace(content=change(asked, answer.content))

    return Deviation(alter=alter)


def drop(dotted: str) -> Deviation:
    """Remove a key."""

    def change(content: Any) -> Any:
        parent, _, key = dotted.rpartition(".")
        holder = found_at(content, parent)
        if not isinstance(holder, dict) or key not in holder:
            return content
        return placed(content, parent, {name: value for name, value in holder.items() if name != key})

    return edit(change)


def put(dotted: str, value: Any) -> Deviation:
    """Set a key to a value, or to the result of a function of the content."""
    return edit(lambda content: placed(content, dotted, value(content) if callable(value) else value))


def convert(dotted: str, change: Callable[[Any], Any]) -> Deviation:
    """Change the value at a place, if there is one."""

    def converted(content: Any) -> Any:
        found = found_at(content, dotted)
        return content if found is None else placed(content, dotted, change(found))

    return edit(converted)


def wrap_in(key: str) -> Deviation:
    """Put the whole response under a key."""
    return edit(lambda content: {key: content})


def unwrap() -> Deviation:
    """Respond with the content of `data`, merged with its sibling fields."""

    def change(content: Any) -> Any:
        inner = found_at(content, "data")
        if not isinstance(inner, dict):
            return inner
        return {name: value for name, value in content.items() if name != "data"} | inner

    return edit(change)


def list_at(dotted: str) -> Deviation:
    """Move the list of rows to another place, and its sibling fields to the root."""

    def change(asked: Asked, content: Any) -> Any:
        place = place_of(asked.path)
        found = found_at(content, place)
        holder = found_at(content, place.rpartition(".")[0])
        beside = {} if not isinstance(holder, dict) else holder | (content if isinstance(content, dict) else {})
        rest = {name: value for name, value in beside.items() if name not in ("data", place.rpartition(".")[2])}
        return placed(rest, dotted, found)

    return edit_with(change)


def rows(change: Callable[[Row], Row]) -> Deviation:
    """Change each row, or the object if the response contains only one."""

    def changed(asked: Asked, content: Any) -> Any:
        place = place_of(asked.path)
        found = found_at(content, place)
        if isinstance(found, dict):
            return placed(content, place, change(found))
        return placed(content, place, [change(row) for row in found]) if isinstance(found, list) else content

    return replace(edit_with(changed), row=change)


def row_list(change: Callable[[list[Any]], list[Any]]) -> Deviation:
    """Change the order or length of the list of rows, but not the rows."""

    def changed(asked: Asked, content: Any) -> Any:
        place = place_of(asked.path)
        found = found_at(content, place)
        return placed(content, place, change(found)) if isinstance(found, list) else content

    return edit_with(changed)


def fields(**values: Any) -> Deviation:
    """Set fields of every row to a value, or to the result of a function of the current value."""

    def change(row: Row) -> Row:
        made = {name: value(row[name]) for name, value in values.items() if callable(value) and name in row}
        return row | made | {name: value for name, value in values.items() if not callable(value)}

    return rows(change)


def without(*names: str) -> Deviation:
    """Remove fields from every row."""
    return rows(lambda row: {name: value for name, value in row.items() if name not in names})


def some_rows(change: Callable[[Row], Row], key: str = "id", share: int = 7) -> Deviation:
    """Change one row in `share`; the choice is always the same."""
    return rows(lambda row: change(row) if _chosen(row.get(key), share) else row)


def _chosen(key: Any, share: int) -> bool:
    return sum(str(key).encode()) % share == 0


def raw(change: Callable[[bytes], bytes]) -> Deviation:
    """Change the bytes of a successful response."""

    def alter(_: Asked, answer: Answer) -> Answer:
        body = answer.content if isinstance(answer.content, bytes) else orjson.dumps(answer.content)
        return answer._replace(content=change(body)) if answer.status == 200 else answer

    return Deviation(alter=alter)


def header(name: str, value: str | Callable[[], str]) -> Deviation:
    """Send a header; an empty value removes it."""
    return Deviation(
        alter=lambda _, answer: answer._replace(headers=answer.headers | {name: value() if callable(value) else value})
    )


def media_type(name: str) -> Deviation:
    """Send another content type with the same body."""
    return Deviation(alter=lambda _, answer: answer._replace(media_type=name))


def status(number: int) -> Deviation:
    """Send another status with a successful response."""
    return Deviation(alter=lambda _, answer: answer._replace(status=number) if answer.status == 200 else answer)


def restatus(before: int, after: int) -> Deviation:
    """Replace one error status with another."""
    return Deviation(alter=lambda _, answer: answer._replace(status=after) if answer.status == before else answer)


def packed() -> Deviation:
    """Send the body gzipped."""
    return _both(raw(gzip.compress), header("Content-Encoding", "gzip"))


def _both(one: Deviation, other: Deviation) -> Deviation:
    first, second = one.alter, other.alter
    if first is None or second is None:
        raise ValueError("both deviations must alter the answer")
    return Deviation(alter=lambda asked, answer: second(asked, first(asked, answer)))


# Responding instead of the endpoint


def say(content: Any, number: int = 200, media: str = "application/json", **headers: str) -> Deviation:
    """Respond instead of the endpoint; bytes are sent unchanged. `Retry_After` sets the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Deviation(ask=lambda _: Answer(number, content, named, media))


def refuse(number: int, kind: str = "validation_error", message: str = "The request was refused") -> Deviation:
    """Respond with Drift's JSON error."""
    return say({"error": {"type": kind, "message": message}}, number)


def html(number: int, title: str = "Something went wrong") -> Deviation:
    """Respond with an HTML page, as a gateway does."""
    return say(f"<html><head><title>{title}</title></head><body></body></html>".encode(), number, "text/html")


def empty(number: int) -> Deviation:
    """Respond with a status and no body."""
    return say(b"", number, "text/plain")


# Changing the request


def ask(change: Callable[[Asked], object]) -> Deviation:
    """Change the query, the body or the data before the endpoint responds."""

    def changed(asked: Asked) -> None:
        change(asked)

    return Deviation(ask=changed)


def set_query(name: str, value: Callable[[int], int]) -> Deviation:
    """Replace a number in the query."""

    def change(asked: Asked) -> None:
        if asked.first(name).isdigit():
            asked.query[name] = [str(value(asked.number(name)))]

    return ask(change)


def clamp(name: str, most: int) -> Deviation:
    """Limit a number in the query silently."""
    return set_query(name, lambda value: min(value, most))


def ignore(name: str) -> Deviation:
    """Ignore a parameter of the query."""
    return ask(lambda asked: asked.query.pop(name, None))


def disturb(change: Callable[[Asked], object]) -> Deviation:
    """Change the data before the endpoint responds."""

    def changed(asked: Asked) -> None:
        change(asked)
        asked.disturbed = True

    return ask(changed)


# When a deviation applies


def when(holds: Callable[[Asked], bool], *deviations: Deviation) -> Deviation:
    """Apply deviations to some requests and to their responses."""
    slot = object()

    def decide(asked: Asked) -> bool:
        if asked.memory.get(slot, (None,))[0] is not asked:
            asked.memory[slot] = (asked, holds(asked))
        return bool(asked.memory[slot][1])

    def apply_ask(asked: Asked) -> Answer | None:
        if decide(asked):
            for one in deviations:
                answer = one.ask(asked) if one.ask else None
                if answer is not None:
                    return answer
        return None

    def apply_alter(asked: Asked, answer: Answer) -> Answer:
        if decide(asked):
            for one in deviations:
                answer = one.alter(asked, answer) if one.alter else answer
        return answer

    row = next((one.row for one in deviations if one.row), None)
    return Deviation(apply_ask, apply_alter, row)


def where(holds: Callable[[Any], bool], *deviations: Deviation) -> Deviation:
    """Apply deviations to responses whose JSON meets a condition."""

    def alter(asked: Asked, answer: Answer) -> Answer:
        if answer.status == 200 and not isinstance(answer.content, bytes) and holds(answer.content):
            for one in deviations:
                answer = one.alter(asked, answer) if one.alter else answer
        return answer

    return Deviation(alter=alter)


def on_last_page(*deviations: Deviation) -> Deviation:
    """Apply deviations to responses without a link to a next page."""
    return where(lambda content: not names_next(content), *deviations)


def every(number: int, *deviations: Deviation, first: int | None = None) -> Deviation:
    """Apply deviations to one request in `number`, starting with request `first` (default: `number`)."""
    place = (number if first is None else first) % number
    return when(lambda asked: asked.count % number == place, *deviations)


def between(low: int, high: int, *deviations: Deviation) -> Deviation:
    """Apply deviations to requests number `low` to `high`."""
    return when(lambda asked: low <= asked.count <= high, *deviations)


def at_first(*deviations: Deviation, times: int = 1) -> Deviation:
    """Apply deviations to the first `times` requests for the same thing; later ones succeed."""
    slot = object()

    def holds(asked: Asked) -> bool:
        seen = asked.memory.setdefault(slot, {})
        asked_for = (asked.path, orjson.dumps([asked.query, asked.body]))
        seen[asked_for] = seen.get(asked_for, 0) + 1
        return bool(seen[asked_for] <= times)

    return when(holds, *deviations)


def once(holds: Callable[[Asked], bool], *deviations: Deviation) -> Deviation:
    """Apply deviations to the first request that meets a condition."""
    slot = object()

    def first(asked: Asked) -> bool:
        if slot in asked.memory or not holds(asked):
            return False
        asked.memory[slot] = True
        return True

    return when(first, *deviations)


def on(number: int, *deviations: Deviation) -> Deviation:
    """Apply deviations permanently to the first `number` requested conversations or contacts."""
    slot = object()

    def holds(asked: Asked) -> bool:
        chosen = asked.memory.setdefault(slot, set())
        if len(chosen) < number:
            chosen.add(asked.subject)
        return asked.subject in chosen

    return when(holds, *deviations)


def on_every_second(*deviations: Deviation) -> Deviation:
    """Apply deviations permanently to every second conversation or contact."""
    return when(lambda asked: _chosen(asked.subject, 2), *deviations)


# Pagination


def older_paging() -> tuple[Deviation, ...]:
    """Paginate the list by offsets in `next`, like generation 1."""
    return ignore("page_token"), drop("links")


def links_only() -> Deviation:
    """Paginate the list by links, like generation 2."""
    return drop("pagination")


def link(change: Callable[[str], str]) -> tuple[Deviation, Deviation]:
    """Change the format of `links.next`, and send no other link to the next page."""
    return links_only(), convert("links.next", lambda found: change(found) if found else found)


def token_of(url: str) -> str:
    """The page token of a link."""
    return parse_qs(urlsplit(url).query).get("page_token", [""])[-1]


def pages_after_the_end(page: Callable[[int, str], Any]) -> tuple[Deviation, ...]:
    """Add pages after the end of the list; `page` builds each from its number and a link to the next one."""
    base = "https://api.drift.com/conversations/list?page_token=end-"

    def answer(asked: Asked) -> Answer | None:
        token = asked.first("page_token")
        if not token.startswith("end-"):
            return None
        number = int(token.removeprefix("end-"))
        return Answer(200, page(number, f"{base}{number + 1}"), {})

    return links_only(), on_last_page(put("links.next", f"{base}1")), Deviation(ask=answer)


def hidden_pages(number: int) -> tuple[Deviation, ...]:
    """Put empty pages before the second page of the list."""
    base = "https://api.drift.com/conversations/list?page_token="

    def answer(asked: Asked) -> Answer | None:
        left, sign, token = asked.first("page_token").partition("~")
        if not sign:
            return None
        if int(left):
            return Answer(200, {"data": [], "links": {"next": f"{base}{int(left) - 1}~{token}"}}, {})
        asked.query["page_token"] = [token]
        return None

    def mark(asked: Asked, content: Any) -> Any:
        found = found_at(content, "links.next")
        if asked.first("page_token") or not found:
            return content
        return placed(content, "links.next", f"{base}{number}~{token_of(found)}")

    return links_only(), Deviation(ask=answer), edit_with(mark)


def message_pages(
    size: int, *, first: int = 1, overlap: int = 0, newest_first: bool = False, end: Any = None
) -> Deviation:
    """Send messages in pages of another size or order; `end` is the `pagination` of the last page."""

    def answer(asked: Asked) -> Answer | None:
        found = asked.drift.messages(int(asked.subject))
        if found is None:
            return None
        if newest_first:
            found = found[::-1]
        page = asked.number("next", first)
        start = (page - first) * (size - overlap)
        content: dict[str, Any] = {"data": {"messages": found[start : start + size]}}
        if start + size < len(found):
            content["pagination"] = {"more": True, "next": str(page + 1)}
        elif end is not None:
            content["pagination"] = end
        return Answer(200, content, {})

    return Deviation(ask=answer)


def pages(size: int, name: Callable[[Any, int], Any]) -> Deviation:
    """Paginate a list that Drift sends in one response; `name` adds the link to the page at an offset."""

    def change(asked: Asked, content: Any) -> Any:
        place = place_of(asked.path)
        start = max((asked.number(key) for key in ("next", "page_token", "index")), default=0)
        found = found_at(content, place)
        if not isinstance(found, list):
            return content
        cut = placed(content, place, found[start : start + size])
        return name(cut, start + size) if start + size < len(found) else cut

    return edit_with(change)


# Reports and meetings


def report_range(asked: Asked) -> tuple[Any, Any] | None:
    """The range of `updatedAt` in a request for a report."""
    given = asked.body.get("filters", []) if isinstance(asked.body, Mapping) else []
    for one in given:
        if one.get("property") == "updatedAt" and one.get("operation") == "BETWEEN":
            return one["values"][0], one["values"][1]
    return None


def report_days(asked: Asked) -> float:
    """The number of days in a report's range."""
    bounds = report_range(asked)
    return (moment(bounds[1]) - moment(bounds[0])) / DAY if bounds else float("inf")


def meeting_days(asked: Asked) -> float:
    """The number of days in the range of a request for meetings."""
    return (asked.number("max_start_time") - asked.number("min_start_time")) / DAY


def moment(value: Any) -> int:
    """A time in a report's filter, in epoch milliseconds."""
    text = str(value)
    if text.removeprefix("-").isdigit():
        return int(text)
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def iso(value: Any) -> str:
    """Epoch milliseconds as ISO 8601."""
    return datetime.fromtimestamp(value / 1000, UTC).isoformat().replace("+00:00", "Z")
