"""How the responses bear out each assumption: functions that return whether it holds, and the evidence.

The evidence holds only counts, types, HTTP statuses, our own words, and field names that look like identifiers. It
holds no value that Drift sent. A judge raises CannotTell if the responses do not show whether its assumption holds.
"""

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from source_drift.probe.client import Answer
from source_drift.probe.observations import (
    ACCOUNTS_PAGE,
    DAY,
    LIST_PAGE,
    MESSAGES_PAGE,
    CannotTell,
    Observations,
    at,
    conversations_of,
    is_integer,
    message_counts,
    metric_values,
    next_of,
    one_of,
    outcome,
    rows_of,
)
from source_drift.words import counted

Judge = Callable[[Observations], tuple[bool, str]]

DRIFT_HOSTS = ("driftapi.com", "api.drift.com")
# Seconds by which Drift's clock may differ from this machine's.
CLOCK = 10
# So many rows do not show whether longer responses are truncated. It is Drift's default limit of meetings.
MANY = 100
# Where the rows of each list are documented, with the stream whose schema they have and the key of a row.
LISTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "accounts 1": ("data.accounts", "accounts", ("accountId",)),
    "list 1": ("data", "conversations", ("id",)),
    "messages 1": ("data.messages", "messages", ("id",)),
    "meetings": ("data", "meetings", ("slug", "agentId")),
    "report": ("data", "conversation_metrics", ("conversationId",)),
    "users": ("data", "users", ("id",)),
    "teams": ("data", "teams", ("id",)),
    "playbooks": ("", "playbooks", ("id",)),
    "pages": ("", "landing_pages", ("playbookId", "landingPageUrl")),
    "attributes": ("data.properties", "contact_attributes", ("name",)),
}
SINGLES = {"conversation": "conversation_details", "contact": "contacts", "token_info": "token_info"}
# The fields of each response around its rows.
ENVELOPES: dict[str, dict[str, set[str]]] = {
    "accounts 1": {"": {"data"}, "data": {"accounts", "total", "next"}},
    "list 1": {"": {"data", "links", "pagination"}},
    "messages 1": {"": {"data", "pagination"}, "data": {"messages"}},
    "meetings": {"": {"data"}},
    "report": {"": {"data", "count"}},
    "users": {"": {"data"}},
    "teams": {"": {"data"}},
    "attributes": {"": {"data"}, "data": {"properties"}},
    "stats": {"": {"conversationCount"}},
    "conversation": {"": {"data"}},
    "contact": {"": {"data"}},
}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}")
_MOST_NAMES = 12


# Shapes in fixed words


def kind(value: Any) -> str:
    """Name the JSON type of a value."""
    names = {bool: "boolean", int: "integer", float: "number", str: "text", list: "list", dict: "object"}
    return "null" if value is None else names[type(value)]


def tally(words: Iterable[str]) -> str:
    """List each word with how often it occurs, most frequent first."""
    return ", ".join(f"{word} ({count})" for word, count in Counter(words).most_common())


def link_kind(content: Any, dotted: str) -> str:
    """Describe what is at the place of a link or cursor."""
    parent, _, key = dotted.rpartition(".")
    holder = at(content, parent)
    if not isinstance(holder, dict) or key not in holder:
        return "absent"
    value = holder[key]
    if not isinstance(value, str):
        return kind(value)
    if not value.strip():
        return "blank text"
    if value.isdigit():
        return "digits"
    parts = urlsplit(value)
    if not parts.query:
        return "text without a query"
    scheme = parts.scheme if parts.scheme in ("http", "https") else "odd"
    host = "Drift's host" if parts.hostname in DRIFT_HOSTS else "another host"
    where = f"{scheme} link to {host}" if parts.netloc else "relative link" if parts.path else "query"
    known = ("cursor", "index", "limit", "next", "page_token", "size")
    query = parse_qsl(parts.query, keep_blank_values=True)
    names = [name if name in known else "another parameter" for name, _ in query]
    values = [text for _, text in query]
    odd = {
        " (blank)": "" in values,
        " (null)": "null" in values,
        " (encoded twice)": any("%" in text for text in values),
        " with a fragment": bool(parts.fragment),
    }
    return f"{where} with {' and '.join(names)}{''.join(word for word, is_so in odd.items() if is_so)}"


def paging(answer: Answer, link: str, pagination: str = "pagination") -> str:
    """Describe how a page names the next one."""
    said = [f"{link} {link_kind(answer.content, link)}"] if link else []
    if pagination:
        found = at(answer.content, pagination)
        if isinstance(found, dict):
            more = found.get("more", "absent")
            text = str(more).lower() if isinstance(more, bool) else "absent" if more == "absent" else kind(more)
            said.append(f"{pagination} with more {text} and next {link_kind(found, 'next')}")
        else:
            present = isinstance(answer.content, dict) and pagination in answer.content
            said.append(f"{pagination} {kind(found) if present else 'absent'}")
    return ", ".join(said)


def names_of(fields: dict[str, Counter[str]]) -> str:
    """List undeclared fields with their types; names that do not look like identifiers are only counted."""
    shown = [name for name in sorted(fields) if _IDENTIFIER.fullmatch(name)][:_MOST_NAMES]
    hidden = len(fields) - len(shown)
    return ", ".join(
        [f"{name} {tally(fields[name])}" for name in shown] + [counted(hidden, "other field")] * (hidden > 0)
    )


# What several judges share


def good(seen: Observations, name: str) -> Answer:
    """Return a successful response. Raises CannotTell if there is none."""
    seen.good(name)
    return seen.answers[name]


def decided(seen: Observations, name: str) -> Answer:
    """Return a response, unless it is about the token, a limit, another place or an outage. Raises CannotTell then."""
    answer = seen.answers.get(name)
    if answer is None or answer.status in (None, 401, 403, 429) or answer.status_class in (3, 5):
        raise CannotTell(f"{answer.request} {outcome(answer)}" if answer else "not asked")
    return answer


def pages_of(seen: Observations, walk: str, place: str, key: str) -> list[list[Any]]:
    """Return the keys of the rows of each page that was read."""
    good(seen, f"{walk} 1")
    pages = [page for page in seen.walks[walk] if page.good]
    return [[row[key] for row in _objects(rows_or_empty(page, place)) if key in row] for page in pages]


def rows_or_empty(answer: Answer, place: str) -> list[Any]:
    try:
        return rows_of(answer, place)
    except CannotTell:
        return []


def _objects(rows: Iterable[Any]) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict) and row]


def stands_at(name: str, place: str) -> Judge:
    """The rows are where they are documented."""

    def judge(seen: Observations) -> tuple[bool, str]:
        if name in seen.answers and seen.answers[name].status == 204:
            return False, "status 204"
        found = at(seen.good(name), place)
        if isinstance(found, list):
            if not found:
                elsewhere = rows_or_empty(seen.answers[name], place)
                return not elsewhere, counted(len(elsewhere), "row") + (" elsewhere" if elsewhere else "")
            return True, counted(len(found), "row")
        try:
            elsewhere = rows_of(seen.answers[name], place)
        except CannotTell:
            return False, f"{kind(found)} at {place or 'the root'}, no list anywhere"
        return False, f"{kind(found)} at {place or 'the root'}, {counted(len(elsewhere), 'row')} elsewhere"

    return judge


def is_one_object(name: str) -> Judge:
    """The row is an object at `data`."""

    def judge(seen: Observations) -> tuple[bool, str]:
        content = seen.good(name)
        found = at(content, "data")
        present = isinstance(content, dict) and "data" in content
        return isinstance(found, dict) and bool(found), f"data {kind(found) if present else 'absent'}"

    return judge


def is_not_found(name: str) -> Judge:
    """A row that does not exist is a 404 with Drift's own error."""

    def judge(seen: Observations) -> tuple[bool, str]:
        answer = decided(seen, name)
        said = error_kind(answer)
        return answer.status == 404 and said == "error with type not_found", f"status {answer.status}, {said}"

    return judge


def error_kind(answer: Answer) -> str:
    """Describe the error of a response in fixed words."""
    content = answer.content
    if "no JSON" in answer.flaws:
        return "no JSON"
    if not isinstance(content, dict):
        return kind(content)
    error = content.get("error")
    if isinstance(content.get("errors"), list):
        return f"errors, a list of {counted(len(content['errors']), 'item')}"
    if error is None:
        return "data " + kind(content["data"]) if "data" in content else "no error"
    if not isinstance(error, dict):
        return f"error as {kind(error)}"
    known = (
        "authentication_error",
        "not_found",
        "permission_error",
        "rate_limit",
        "rate_limit_error",
        "validation_error",
    )
    given = error.get("type")
    return f"error with type {given}" if given in known else f"error with {'another' if given else 'no'} type"


# Accounts


def accounts_page_size(seen: Observations) -> tuple[bool, str]:
    answer = seen.answers["accounts 1"]
    if answer.status in (400, 422):
        return False, f"size {ACCOUNTS_PAGE} returned {answer.status}"
    rows = rows_of(answer, "data.accounts")
    if len(rows) < ACCOUNTS_PAGE and paging(answer, "data.next", "") == "data.next absent":
        raise CannotTell(f"there are only {counted(len(rows), 'account')}")
    return len(rows) == ACCOUNTS_PAGE, f"size {ACCOUNTS_PAGE} returned {counted(len(rows), 'row')}"


def accounts_over(seen: Observations) -> tuple[bool, str]:
    answer = seen.answers["accounts over"]
    if answer.status in (400, 422):
        return False, f"size 100 returned {answer.status}"
    rows = rows_of(answer, "data.accounts")
    if len(rows) < 100 and paging(answer, "data.next", "") == "data.next absent":
        raise CannotTell(f"there are only {counted(len(rows), 'account')}")
    return len(rows) == ACCOUNTS_PAGE, f"size 100 returned {counted(len(rows), 'row')}"


def accounts_total(seen: Observations) -> tuple[bool, str]:
    content = seen.good("accounts 1")
    total = at(content, "data.total")
    if total is None:
        return False, "data.total absent"
    rows = rows_or_empty(good(seen, "accounts tail"), "data.accounts")
    return is_integer(total) and len(rows) == min(1, int(total)), (
        f"data.total {kind(total)}, {counted(len(rows), 'row')} from the last position that it counts"
    )


def accounts_position(seen: Observations) -> tuple[bool, str]:
    first = [row.get("accountId") for row in _objects(seen.rows("accounts 1", "data.accounts"))]
    shifted = [row.get("accountId") for row in _objects(seen.rows("accounts shifted", "data.accounts"))]
    if len(first) < 8:
        raise CannotTell(f"there are only {counted(len(first), 'account')}")
    same = sum(one == other for one, other in zip(first[3:8], shifted, strict=False))
    return same == 5 == len(shifted), f"index 3 with size 5 returned {counted(len(shifted), 'row')}, {same} as expected"


def accounts_next(seen: Observations) -> tuple[bool, str]:
    answer = good(seen, "accounts 1")
    rows, said = rows_or_empty(answer, "data.accounts"), paging(answer, "data.next", "")
    total = at(answer.content, "data.total")
    if said == "data.next absent" and (len(rows) < ACCOUNTS_PAGE or total == len(rows)):
        raise CannotTell("there is only one page")
    return said == "data.next relative link with index and size", f"{counted(len(rows), 'row')}, {said}"


def accounts_hidden(seen: Observations) -> tuple[bool, str]:
    return no_empty_page(seen, "accounts", "data.accounts")


def accounts_last(seen: Observations) -> tuple[bool, str]:
    answer = good(seen, "accounts tail")
    rows, said = rows_or_empty(answer, "data.accounts"), paging(answer, "data.next", "")
    if len(rows) > 1:
        raise CannotTell("data.total does not lead to the last page")
    return said == "data.next absent", f"{counted(len(rows), 'row')}, {said}"


def accounts_deleted(seen: Observations) -> tuple[bool, str]:
    rows = _objects(seen.rows("accounts 1", "data.accounts"))
    if not rows:
        raise CannotTell("there are no accounts")
    deleted = sum(row.get("deleted") is True for row in rows)
    return not deleted, f"{deleted} of {counted(len(rows), 'row')} deleted"


def no_empty_page(seen: Observations, walk: str, place: str) -> tuple[bool, str]:
    good(seen, f"{walk} 1")
    pages = [page for page in seen.walks[walk] if page.good]
    if len(pages) < 2:
        raise CannotTell("there is only one page")
    empty = sum(not rows_or_empty(page, place) and next_of(page) is not None for page in pages)
    return not empty, f"{empty} of {counted(len(pages), 'page')} empty with a next page"


# The conversation list


def list_page_size(seen: Observations) -> tuple[bool, str]:
    answer = good(seen, "list 1")
    refused = seen.answers.get("list refused")
    if refused is not None:
        return False, f"limit {LIST_PAGE} with an empty page_token {outcome(refused)}, without both {answer.status}"
    rows = rows_of(answer, "data")
    if len(rows) < LIST_PAGE and next_of(answer) is None:
        raise CannotTell(f"there are only {counted(len(rows), 'conversation')}")
    return len(rows) == LIST_PAGE, f"limit {LIST_PAGE} returned {counted(len(rows), 'row')}"


def list_over(seen: Observations) -> tuple[bool, str]:
    good(seen, "list 1")
    answer = seen.answers["list over"]
    if answer.status in (400, 422, 504):
        return False, f"limit 200 returned {answer.status}"
    rows = rows_of(answer, "data")
    if len(rows) < 100 and next_of(answer) is None:
        raise CannotTell(f"there are only {counted(len(rows), 'conversation')}")
    return len(rows) == 100, f"limit 200 returned {counted(len(rows), 'row')}"


def list_next(seen: Observations) -> tuple[bool, str]:
    answer = good(seen, "list 1")
    said = paging(answer, "links.next")
    rows = len(rows_of(answer, "data"))
    known = len(rows_or_empty(seen.answers["report all"], "data")) if "report all" in seen.answers else 0
    if next_of(answer) is None and (rows < LIST_PAGE or rows == known):
        raise CannotTell("there is only one page")
    # The last of the pages that were read need not name another one.
    pages = [page for page in seen.walks["list"][:-1] if page.good] or [answer]
    kinds = [link_kind(page.content, "links.next") for page in pages]
    return set(kinds) == {
        "https link to Drift's host with page_token"
    }, f"first page: {said}; links.next {tally(kinds)}"


def list_last(seen: Observations) -> tuple[bool, str]:
    good(seen, "list 1")
    answer = seen.walks["list"][-1]
    if not answer.good or next_of(answer) is not None:
        answer = good(seen, "list tail")
        if len(rows_or_empty(answer, "data")) > 1:
            raise CannotTell("the last page was not reached")
    said = paging(answer, "links.next")
    found = at(answer.content, "data")
    count = counted(len(found), "row") if isinstance(found, list) else "no list"
    links = f"links {kind(answer.content['links']) if 'links' in answer.content else 'absent'}"
    agrees = isinstance(found, list) and links == "links object" and said == "links.next absent, pagination absent"
    return agrees, f"{count}, {links}, {said}"


def list_hidden(seen: Observations) -> tuple[bool, str]:
    return no_empty_page(seen, "list", "data")


def list_order(seen: Observations) -> tuple[bool, str]:
    times = [row["updatedAt"] for row in conversations_of(seen) if is_integer(row.get("updatedAt"))]
    if len(times) < 2:
        raise CannotTell("fewer than two conversations with an integer updatedAt")
    rises = sum(later > earlier for earlier, later in pairwise(times))
    return not rises, f"{counted(len(times), 'row')}, updatedAt rises {counted(rises, 'time')}"


def no_repeats(walk: str, place: str) -> Judge:
    """No row comes twice in the pages that were read."""

    def judge(seen: Observations) -> tuple[bool, str]:
        pages = pages_of(seen, walk, place, "id")
        keys = [str(key) for page in pages for key in page]
        if not keys:
            raise CannotTell("no rows were read")
        repeats = len(keys) - len(set(keys))
        return not repeats, f"{counted(len(keys), 'row')} on {counted(len(pages), 'page')}, {repeats} repeated"

    return judge


def list_same_page(seen: Observations) -> tuple[bool, str]:
    if "list 2" not in seen.answers:
        raise CannotTell("there is only one page")
    before, after = decided(seen, "list 2"), decided(seen, "list 2 again")
    if not (before.good and after.good):
        return False, f"status {before.status}, then {after.status}"
    first, second = ({str(row.get("id")) for row in _objects(rows_or_empty(one, "data"))} for one in (before, after))
    same = len(first & second)
    seconds = round(after.received - before.received)
    return 2 * same > len(
        first
    ) or first == second, f"{same} of {counted(len(first), 'row')} the same after {seconds} s"


def list_contacts(seen: Observations) -> tuple[bool, str]:
    rows = conversations_of(seen)
    if not rows:
        raise CannotTell("no conversation was read")
    named = sum(bool(row.get("contactId")) and float(row["contactId"]) > 0 for row in rows)
    return named == len(rows), f"{named} of {counted(len(rows), 'row')} with a positive contactId"


# Messages and single rows


def messages_page_size(seen: Observations) -> tuple[bool, str]:
    answer = good(seen, "messages 1")
    rows = rows_of(answer, "data.messages")
    if len(rows) < MESSAGES_PAGE and next_of(answer) is None and len(rows) >= longest(seen):
        raise CannotTell(f"the longest conversation has only {counted(len(rows), 'message')}")
    return len(rows) == MESSAGES_PAGE, f"first page with {counted(len(rows), 'row')}"


def messages_next(seen: Observations) -> tuple[bool, str]:
    answer = good(seen, "messages 1")
    rows, said = rows_of(answer, "data.messages"), paging(answer, "")
    if next_of(answer) is None and len(rows) >= longest(seen):
        raise CannotTell("there is only one page")
    return said == "pagination with more true and next digits", f"{counted(len(rows), 'row')}, {said}"


def messages_last(seen: Observations) -> tuple[bool, str]:
    good(seen, "messages 1")
    answer = seen.walks["messages"][-1]
    rows, said = rows_or_empty(answer, "data.messages"), paging(answer, "")
    if not answer.good or (next_of(answer) is not None and rows):
        raise CannotTell("the last page was not reached")
    return said == "pagination with more false and next absent", f"{counted(len(rows), 'row')}, {said}"


def messages_order(seen: Observations) -> tuple[bool, str]:
    good(seen, "messages 1")
    pages = [page for page in seen.walks["messages"] if page.good]
    rows = [row for page in pages for row in _objects(rows_or_empty(page, "data.messages"))]
    times = [row["createdAt"] for row in rows if is_integer(row.get("createdAt"))]
    if len(times) < 2:
        raise CannotTell("fewer than two messages with an integer createdAt")
    falls = sum(later < earlier for earlier, later in pairwise(times))
    return not falls, f"{counted(len(times), 'row')}, createdAt falls {counted(falls, 'time')}"


def longest(seen: Observations) -> int:
    """Return how many messages the longest conversation of the report has, 0 if the report does not say."""
    return max((count for _, count in message_counts(seen)), default=0)


def messages_none(seen: Observations) -> tuple[bool, str]:
    if "messages none" not in seen.answers:
        raise CannotTell("the report has no conversation without messages")
    content = seen.answers["messages none"].content if seen.answers["messages none"].status == 204 else None
    if content is None and seen.answers["messages none"].status == 204:
        return False, "status 204"
    content = seen.good("messages none")
    found, data = at(content, "data.messages"), at(content, "data")
    said = (
        f"data {kind(data)}, data.messages {kind(found) if isinstance(data, dict) and 'messages' in data else 'absent'}"
    )
    return isinstance(found, list), said


def details_fresh(seen: Observations) -> tuple[bool, str]:
    row = one_of(seen.good("conversation"))
    listed = [one for one in conversations_of(seen) if str(one.get("id")) == str(row["id"])]
    if not listed:
        raise CannotTell("the conversation has another ID than in the list")
    behind = listed[0]["updatedAt"] - row["updatedAt"]
    return behind <= 0, f"updatedAt {counted(round(max(0, behind) / 60_000), 'minute')} behind the list"


def emails_none(seen: Observations) -> tuple[bool, str]:
    answer = seen.answers["emails none"]
    if answer.status not in (204, 404):
        content = seen.good("emails none")
        return at(content, "data") == [], f"status {answer.status}, data {kind(at(content, 'data'))}"
    return False, f"status {answer.status}"


def emails(seen: Observations) -> tuple[bool, str]:
    found = at(seen.good("emails"), "data")
    return isinstance(found, list), f"data {kind(found)}"


# Reports


def widest(seen: Observations) -> str:
    """Return the name of the report with the widest window that was accepted."""
    names = ("report all", "report year", "report quarter")
    asked = [name for name in names if name in seen.answers]
    return next((name for name in asked if seen.answers[name].good), asked[-1] if asked else names[0])


def reports_metrics(seen: Observations) -> tuple[bool, str]:
    answer, total = seen.answers["report"], len(seen.metrics)
    if answer.status not in (400, 422):
        seen.good("report")
        return True, f"{total} of {total} names accepted"
    single = {name: seen.answers[f"metric {name}"] for name in seen.metrics if f"metric {name}" in seen.answers}
    refused = [name for name, one in single.items() if one.status in (400, 422)]
    if not single or len(refused) == total:
        raise CannotTell("every report was refused")
    said = f"refused: {', '.join(refused)}" if refused else "each accepted, but not all together"
    return False, f"{len(single) - len(refused)} of {len(single)} names accepted, {said}"


def reports_form(seen: Observations) -> tuple[bool, str]:
    if seen.answers.get("report in days", seen.answers["report"]).good:
        days = "report in days" in seen.answers
        return not days, "days accepted, milliseconds refused" if days else "milliseconds accepted"
    seen.good("report one metric")
    return True, "milliseconds accepted"


def reports_count(seen: Observations) -> tuple[bool, str]:
    name = widest(seen)
    content, rows = seen.good(name), rows_or_empty(seen.answers[name], "data")
    given = content.get("count", "absent")
    if not is_integer(given):
        return False, "count absent" if given == "absent" else f"count {kind(given)}"
    return given == len(rows), f"count {given:,}, {counted(len(rows), 'row')}"


def reports_whole(seen: Observations) -> tuple[bool, str]:
    keys = {
        name: {str(row.get("conversationId")) for row in _objects(seen.rows(name, "data"))}
        for name in (widest(seen), "report older", "report newer")
    }
    whole, older, newer = keys.values()
    more = " and more" if at(seen.good(widest(seen)), "more") else ""
    agrees = not (older | newer) - whole and not more
    if agrees and len(whole) <= MANY:
        raise CannotTell(f"the report has only {counted(len(whole), 'row')}")
    return agrees, f"{counted(len(whole), 'row')}{more}, {len(older | newer):,} in its two halves"


def reports_window(seen: Observations) -> tuple[bool, str]:
    decided(seen, "report all")
    name = widest(seen)
    seen.good(name)
    spans = {"report all": "since 2014", "report year": "365 days", "report quarter": "89 days"}
    return name == "report all", f"widest window accepted: {spans[name]}"


def reports_ends(seen: Observations) -> tuple[bool, str]:
    reports = good(seen, "report from"), good(seen, "report to")
    times = [time for row in seen.rows(widest(seen), "data") for time in metric_values(row) if is_integer(time)]
    inside = [any(min(times) in metric_values(row) for row in rows_or_empty(one, "data")) for one in reports]
    words = ["included" if one else "excluded" for one in inside]
    return all(inside), f"start {words[0]}, end {words[1]}"


def reports_fresh(seen: Observations) -> tuple[bool, str]:
    if not conversations_of(seen):
        raise CannotTell("no conversation was read")
    head = max(
        (row for row in conversations_of(seen) if is_integer(row.get("updatedAt"))), key=lambda row: row["updatedAt"]
    )
    minutes = max(0, (seen.now - head["updatedAt"]) // 60_000)
    name = "report" if seen.answers["report"].good else widest(seen)
    present = any(str(row.get("conversationId")) == str(head["id"]) for row in _objects(seen.rows(name, "data")))
    if present and minutes >= 10:
        raise CannotTell(f"the newest conversation was updated {counted(minutes, 'minute')} ago")
    said = "is in the report" if present else "is not in the report"
    return present, f"the newest conversation, updated {counted(minutes, 'minute')} ago, {said}"


def reports_numbers(seen: Observations) -> tuple[bool, str]:
    rows = _objects(seen.rows("report", "data"))
    values = [value for row in rows for value in metric_values(row)]
    if not rows:
        raise CannotTell("the report has no rows")
    if not values:
        return False, f"metrics {tally(kind(row.get('metrics')) for row in rows)}"
    words = ["NaN" if value == "NaN" else "blank text" if value == "" else kind(value) for value in values]
    return set(words) <= {"integer", "number", "NaN"}, tally(words)


def reports_none(seen: Observations) -> tuple[bool, str]:
    answer = seen.answers["report none"]
    if answer.status == 204:
        return False, "status 204"
    content = seen.good("report none")
    said = ", ".join(f"{key} {kind(content[key]) if key in content else 'absent'}" for key in ("count", "data"))
    return at(content, "data") == [] and content.get("count") == 0, said


def reports_at_once(seen: Observations) -> tuple[bool, str]:
    statuses = [one.status for one in seen.client.answers if one.request == "POST /reports/conversations" and one.good]
    if not statuses:
        seen.good("report")
    return set(statuses) == {200}, f"status {tally(map(str, statuses))}"


# Meetings


def meetings_whole(seen: Observations) -> tuple[bool, str]:
    if "meetings of 60 days by 100" in seen.answers:
        seen.good("meetings of 60 days by 100")
        return False, f"limit 1,000 returned {seen.answers['meetings'].status}, limit 100 is accepted"
    name = "meetings" if seen.answers["meetings"].good else "meetings of 60 days"
    keys = {
        one: {(str(row.get("slug")), str(row.get("agentId"))) for row in _objects(seen.rows(one, "data"))}
        for one in (name, "meetings past", "meetings coming")
    }
    whole, past, coming = keys.values()
    agrees = not (past | coming) - whole
    if agrees and len(whole) <= MANY:
        raise CannotTell(f"there are only {counted(len(whole), 'meeting')}")
    return agrees, f"{counted(len(whole), 'row')}, {len(past | coming):,} in its two halves"


def meetings_range(seen: Observations) -> tuple[bool, str]:
    answer = seen.answers["meetings"]
    if answer.status in (400, 422) and seen.answers["meetings of 60 days"].good:
        return False, f"two years ahead returned {answer.status}, 30 days ahead is accepted"
    seen.good("meetings")
    return True, "two years ahead is accepted"


def meetings_history(seen: Observations) -> tuple[bool, str]:
    answer = seen.answers["meetings from 0"]
    if answer.status in (400, 422):
        return False, f"a start of 0 returned {answer.status}"
    seen.good("meetings from 0")
    rows, past = _objects(rows_or_empty(answer, "data")), _objects(seen.rows("meetings past", "data"))
    if not past:
        raise CannotTell("there are no past meetings")
    days = max((seen.now - row["slotStart"] for row in rows), default=0) // DAY
    said = f"a start of 0 returned {counted(len(rows), 'row')}, the oldest {days} days ago"
    return len(rows) >= len(past) and days <= 30, f"{said}; a start 30 days ago returned {counted(len(past), 'row')}"


def meetings_keys(seen: Observations) -> tuple[bool, str]:
    name = "meetings" if seen.answers["meetings"].good else "meetings of 60 days"
    rows = _objects(seen.rows(name, "data"))
    if not rows:
        raise CannotTell("there are no meetings")
    present = {key: sum(row.get(key) is not None for row in rows) for key in ("slug", "agentId", "updatedAt")}
    distinct = len({(str(row.get("slug")), str(row.get("agentId"))) for row in rows})
    said = ", ".join(f"{key} {count}" for key, count in present.items())
    return {*present.values(), distinct} == {len(rows)}, f"{counted(len(rows), 'row')}: {said}, {distinct} distinct"


# Tokens and scopes


def users_whole(seen: Observations) -> tuple[bool, str]:
    content = seen.good("users")
    said = paging(seen.answers["users"], "links.next")
    agrees = said == "links.next absent, pagination absent" and at(content, "next") is None
    return agrees, f"{counted(len(rows_or_empty(seen.answers['users'], 'data')), 'row')}, {said}"


def stats_shape(seen: Observations) -> tuple[bool, str]:
    found = at(seen.good("stats"), "conversationCount")
    if not isinstance(found, dict):
        return False, f"conversationCount {kind(found) if found is not None else 'absent'}"
    upper = sum(name.isupper() for name in found)
    agrees = upper == len(found) and all(map(is_integer, found.values()))
    return agrees, f"{counted(len(found), 'name')}, {upper} in upper case, {tally(map(kind, found.values()))}"


def token_info_shape(seen: Observations) -> tuple[bool, str]:
    answer = seen.answers["token_info"]
    if answer.status is None or answer.status in (401, 429):
        raise CannotTell(f"{answer.request} {outcome(answer)}")
    if not answer.good:
        return False, outcome(answer)
    root = answer.content if isinstance(answer.content, dict) else {}
    if "scope" not in root:
        return False, "scope at data" if at(answer.content, "data.scope") is not None else "scope absent"
    return isinstance(root["scope"], str), f"scope {kind(root['scope'])}"


def token_info_secret(seen: Observations) -> tuple[bool, str]:
    found = one_of(seen.good("token_info"))
    others = sum(seen.client.holds_token(value) for name, value in found.items() if name != "access_token")
    return not others, f"the token is in {counted(others, 'other field')}"


def missing_scopes(seen: Observations) -> tuple[bool, str]:
    given = one_of(seen.good("token_info")).get("scope")
    granted = set(given.split() if isinstance(given, str) else map(str, given or ()))
    if not granted & set(seen.scopes.values()):
        raise CannotTell("token_info lists no scope that the connector uses")
    statuses: dict[str, int] = {}
    for answer in seen.client.answers:
        path = answer.request.split(" ")[1]
        if answer.status and answer is not seen.answers.get("wrong token"):
            statuses[path] = answer.status
    paths = {path: scope for path, scope in seen.scopes.items() if path in statuses}
    lacking = {path: statuses[path] for path, scope in paths.items() if scope not in granted}
    refused = [path for path, scope in paths.items() if scope in granted and statuses[path] in (401, 403)]
    said = "; ".join([*(f"{path} without its scope {code}" for path, code in lacking.items())])
    if refused:
        return False, "; ".join(filter(None, (said, *(f"{path} with its scope {statuses[path]}" for path in refused))))
    if not lacking:
        raise CannotTell(f"the token has the scopes of all {counted(len(paths), 'path')} that were requested")
    return set(lacking.values()) == {403}, said


def wrong_token(seen: Observations) -> tuple[bool, str]:
    answer = seen.answers["wrong token"]
    if answer.status in (None, 429) or answer.status_class in (3, 5):
        raise CannotTell(f"{answer.request} {outcome(answer)}")
    said = error_kind(answer)
    return answer.status == 401 and said == "error with type authentication_error", f"status {answer.status}, {said}"


def bad_request(seen: Observations) -> tuple[bool, str]:
    answer = decided(seen, "bad request")
    said = error_kind(answer)
    return answer.status == 400 and said == "error with type validation_error", f"status {answer.status}, {said}"


# All responses

LIMIT_HEADERS = (
    "Retry-After",
    "RateLimit",
    "RateLimit-Limit",
    "RateLimit-Policy",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "X-Rate-Limit-Limit",
    "X-Rate-Limit-Remaining",
    "X-Rate-Limit-Reset",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
)
MEDIA_TYPES = ("application/json", "text/html", "text/plain")


def answered(seen: Observations) -> list[Answer]:
    found = [answer for answer in seen.client.answers if answer.status is not None]
    if not found:
        raise CannotTell("there was no response")
    return found


def not_throttled(seen: Observations) -> tuple[bool, str]:
    found = answered(seen)
    names = [name for answer in found for name in LIMIT_HEADERS if name in answer.headers]
    kinds = ("error with type rate_limit", "error with type rate_limit_error")
    slowed = [f"status {one.status}" for one in found if one.status == 429 or error_kind(one) in kinds]
    said = f"{len(slowed)} of {counted(len(found), 'response')} throttled"
    said += f", {tally(slowed)}" if slowed else ""
    return not slowed and not names, f"{said}, headers about limits: {tally(names) or 'none'}"


def own_json(seen: Observations) -> tuple[bool, str]:
    found = answered(seen)
    odd = [outcome(one) for one in found if not one.redirects and ("no JSON" in one.flaws or one.status_class == 5)]
    odd += [f"returned {one.status} with an error" for one in found if one.good and at(one.content, "error")]
    return not odd, f"{len(odd)} of {counted(len(found), 'response')}" + (f": {tally(odd)}" if odd else "")


def strict_json(seen: Observations) -> tuple[bool, str]:
    flaws = [flaw for one in answered(seen) for flaw in one.flaws if flaw != "no JSON"]
    return not flaws, tally(flaws) or f"{counted(len(answered(seen)), 'response')} without flaws"


def status_200(seen: Observations) -> tuple[bool, str]:
    statuses = [str(one.status) for one in answered(seen) if one.status_class == 2]
    return set(statuses) == {"200"}, f"successful responses: {tally(statuses) or 'none'}"


def json_type(seen: Observations) -> tuple[bool, str]:
    types = []
    for one in answered(seen):
        if one.good:
            given = one.headers.get("Content-Type", "").lower().replace(" ", "")
            name, _, rest = given.partition(";")
            known = name if name in MEDIA_TYPES else "another type" if name else "no type"
            types.append(known + (" in another character set" if "charset" in rest and "utf-8" not in rest else ""))
    return set(types) == {"application/json"}, tally(types) or "no successful response"


def clock(seen: Observations) -> tuple[bool, str]:
    found = answered(seen)
    offsets, odd = [], []
    for one in found:
        given = one.headers.get("Date")
        try:
            offsets.append(parsedate_to_datetime(given or "").timestamp() - one.received)
        except (ValueError, TypeError, OverflowError):
            odd.append("unreadable" if given else "absent")
    if odd or not offsets:
        return False, f"Date {tally(odd)} in {counted(len(found), 'response')}"
    median = round(statistics.median(offsets))
    # The median, because a response that takes long to read has an older date.
    return abs(median) <= CLOCK, f"Date is {median:+d} s from this machine's clock (median)"


def no_redirects(seen: Observations) -> tuple[bool, str]:
    found = [f"{one.status} to {where}" for one in answered(seen) for where in one.redirects]
    return not found, tally(found) or "none"


# Rows and fields of all streams


def known_rows(seen: Observations) -> Iterator[tuple[str, list[Any]]]:
    """Yield each stream of which rows were read, with the rows."""
    for name, (place, stream, _) in LISTS.items():
        yield stream, read_rows(seen, name, place)
    for name, stream in SINGLES.items():
        if name in seen.answers and seen.answers[name].good:
            try:
                yield stream, [one_of(seen.answers[name].content)]
            except CannotTell:
                continue


def read_rows(seen: Observations, name: str, place: str) -> list[Any]:
    """Return the rows of a list, of all its pages that were read."""
    pages = seen.walks.get(name.removesuffix(" 1"), [seen.answers[name]] if name in seen.answers else [])
    return [row for page in pages for row in rows_or_empty(page, place)]


def row_keys(seen: Observations) -> tuple[bool, str]:
    odd, total = [], 0
    for name, (place, stream, keys) in LISTS.items():
        rows = read_rows(seen, name, place)
        total += len(rows)
        for row in rows:
            if not isinstance(row, dict) or not row:
                odd.append(f"{stream}: {'empty' if row == {} else kind(row)}")
            elif any(row.get(key) is None for key in keys):
                odd.append(f"{stream}: without its key")
    if not total:
        raise CannotTell("no rows were read")
    return not odd, tally(odd) or f"{counted(total, 'row')}"


def field_types(seen: Observations) -> tuple[bool, str]:
    names = {"string": "text", "array": "list"}
    odd, total = [], 0
    for stream, rows in known_rows(seen):
        declared = seen.schemas[stream]["properties"]
        for row in _objects(rows):
            for field, schema in declared.items():
                if field in row:
                    allowed = {names.get(one, one) for one in _listed(schema["type"])}
                    allowed |= {"integer"} if "number" in allowed else set()
                    total += 1
                    if kind(row[field]) not in allowed:
                        odd.append(f"{stream}.{field} {kind(row[field])}")
    if not total:
        raise CannotTell("no rows were read")
    return not odd, tally(odd) or f"{counted(total, 'value')}"


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def timestamps(seen: Observations) -> tuple[bool, str]:
    odd, total = [], 0
    for stream, rows in known_rows(seen):
        for row in _objects(rows):
            for field in ("createdAt", "updatedAt", "createDateTime", "updateDateTime"):
                if field in row:
                    total += 1
                    word = _moment(row[field], seen.now)
                    if word:
                        odd.append(f"{stream}.{field} {word}")
    if not total:
        raise CannotTell("no timestamps were read")
    return not odd, tally(odd) or f"{counted(total, 'timestamp')}"


def _moment(value: Any, now: int) -> str:
    """Say what is odd about a timestamp, '' if nothing is."""
    if not is_integer(value):
        return kind(value)
    return "before 2010" if value < 1_262_304_000_000 else "in the future" if value > now + DAY else ""


def declared_fields(seen: Observations) -> tuple[bool, str]:
    said = []
    more = {"conversation_metrics": {"metrics"}, "token_info": {"access_token"}}
    streams: dict[str, list[Any]] = {}
    for stream, rows in known_rows(seen):
        streams.setdefault(stream, []).extend(_objects(rows))
    for stream, rows in streams.items():
        declared = {*seen.schemas[stream]["properties"], *more.get(stream, ())}
        said += _undeclared(stream, rows, declared, named=stream != "contacts")
    for name, levels in ENVELOPES.items():
        if name in seen.answers and seen.answers[name].good:
            for place, declared in levels.items():
                found = at(seen.answers[name].content, place)
                said += _undeclared(f"{name.removesuffix(' 1')} response", _objects([found]), declared)
    if not streams:
        raise CannotTell("no rows were read")
    return not said, "; ".join(said) or f"all fields of {counted(len(streams), 'stream')} declared"


def _undeclared(what: str, rows: Sequence[dict[str, Any]], declared: set[str], *, named: bool = True) -> list[str]:
    """Describe the fields of rows that are not declared.

    An object without any declared field may be a map whose keys are data, and attributes of contacts may be beside
    the declared fields. Names are left out of both.
    """
    fields: dict[str, Counter[str]] = {}
    unknown = 0
    for row in rows:
        if not declared & row.keys():
            unknown += 1
            continue
        for field, value in row.items():
            if field not in declared:
                fields.setdefault(field, Counter())[kind(value)] += 1
    said = [f"{what}: {counted(unknown, 'object')} without any declared field"] if unknown else []
    if fields:
        listed = names_of(fields) if named else counted(len(fields), "other field")
        said.append(f"{what}: {listed}")
    return said
