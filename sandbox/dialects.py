"""The dialects of the sandbox: undocumented behaviors that the real Drift may plausibly have.

The connector has not been run against the real Drift, and its public descriptions contradict each other. Each dialect
has a name, a sentence on why a backend may behave this way, and the deviations that simulate it. To activate it, use
`Options(dialects=("list-next-blank",))` or `python -m sandbox serve --dialect list-next-blank`. Several dialects can be
active at once; they apply in the given order.

The first part of a name is the area. It determines which paths the dialect affects.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, unquote, urlencode

from sandbox.answer import Answer
from sandbox.blueprint import METRICS
from sandbox.deviations import (
    Asked,
    Deviation,
    Row,
    ask,
    at_first,
    between,
    clamp,
    convert,
    disturb,
    drop,
    edit,
    edit_with,
    empty,
    every,
    fields,
    found_at,
    header,
    hidden_pages,
    html,
    iso,
    link,
    links_only,
    list_at,
    media_type,
    meeting_days,
    message_pages,
    moment,
    names_next,
    older_paging,
    on,
    on_every_second,
    on_last_page,
    once,
    packed,
    pages,
    pages_after_the_end,
    placed,
    put,
    raw,
    refuse,
    report_days,
    report_range,
    restatus,
    row_list,
    rows,
    say,
    set_query,
    some_rows,
    status,
    token_of,
    unwrap,
    when,
    where,
    without,
    wrap_in,
)
from sandbox.seeds import DAY

AREAS = {
    "accounts": r"^/accounts/?$",
    "list": r"^/conversations/list$",
    "conversation": r"^/conversations/\d+(/messages)?$",
    "details": r"^/conversations/\d+$",
    "messages": r"^/conversations/\d+/messages$",
    "contacts": r"^/contacts/\d+$",
    "emails": r"^/contacts$",
    "attributes": r"^/contacts/attributes$",
    "reports": r"^/reports/conversations$",
    "meetings": r"^/users/meetings/org$",
    "users": r"^/users/list$",
    "teams": r"^/teams/org$",
    "playbooks": r"^/playbooks/list$",
    "pages": r"^/playbooks/clp$",
    "stats": r"^/conversations/stats$",
    "token-info": r"^/app/token_info$",
    "oauth": r"^/oauth2/token$",
    "token": r"^/(?!app/|oauth2/)",
    "json": r"^/(?!app/|oauth2/)",
    "gateway": r"^/(?!app/|oauth2/)",
}
"""The paths of each area; `token`, `json` and `gateway` affect all reads."""


@dataclass(frozen=True)
class Dialect:
    """One behavior.

    Attributes:
        name: the area and the difference, in kebab case.
        why: one sentence on why a backend may behave this way.
        deviations: applied in this order, first to the request, then to the response.
    """

    name: str
    why: str
    deviations: tuple[Deviation, ...]
    _matches: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_matches", re.compile(AREAS[self.area]))

    @property
    def area(self) -> str:
        return max((area for area in AREAS if self.name.startswith(f"{area}-")), key=len)

    @property
    def path(self) -> str:
        """The affected paths, as a regular expression."""
        return AREAS[self.area]

    def concerns(self, path: str) -> bool:
        return self._matches.search(path) is not None

    def rows_as_sent(self, row: Row) -> list[Row]:
        """All forms in which this dialect sends a row."""
        forms = [row]
        forms += [deviation.row(row) for deviation in self.deviations if deviation.row]
        return forms


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError for an unknown name; the message suggests similar names."""
    for name in names:
        if name not in DIALECTS:
            like = get_close_matches(name, DIALECTS, 3) or [known for known in DIALECTS if name and name in known][:3]
            hint = f"did you mean {' or '.join(like)}?" if like else "python -m sandbox serve --dialects lists them"
            raise ValueError(f"no dialect {name!r}: {hint}")


# Helpers


def _every_account_page_names_next(asked: Asked, content: Any) -> Any:
    index, size = asked.number("index"), asked.number("size", 10)
    return placed(content, "data.next", f"/accounts?index={index + size}&size={size}")


def _number_pages(asked: Asked) -> None:
    asked.memory["page"] = asked.number("index")
    asked.query["index"] = [str(asked.number("index") * asked.number("size", 10))]


def _name_page_number(asked: Asked, content: Any) -> Any:
    if not names_next(content):
        return content
    return placed(content, "data.next", f"/accounts?index={asked.memory['page'] + 1}&size={asked.number('size', 10)}")


def _page_before_filtering(asked: Asked) -> None:
    """Remove five rows of each page, as if they were deleted."""
    index, size = asked.number("index"), asked.number("size", 10)
    asked.memory["page"] = index, size
    left = max(1, size - 5)
    asked.query |= {"index": [str(index // size * left)], "size": [str(left)]}


def _name_page_before_filtering(asked: Asked, content: Any) -> Any:
    if not names_next(content):
        return content
    index, size = asked.memory["page"]
    return placed(content, "data.next", f"/accounts?index={index + size}&size={size}")


def _empty_account_page(asked: Asked) -> Answer | None:
    """The second page is empty, and its rows and all later ones come one page later."""
    index, size = asked.number("index"), asked.number("size", 10)
    if index == size:
        content = {"data": {"accounts": [], "total": 0, "next": f"/accounts?index={index + size}&size={size}"}}
        return Answer(200, content, {})
    asked.memory["late"] = index > size
    asked.query["index"] = [str(index - size if index > size else index)]
    return None


def _name_late_account_page(asked: Asked, content: Any) -> Any:
    if not (asked.memory["late"] and names_next(content)):
        return content
    index, size = asked.number("index"), asked.number("size", 10)
    return placed(content, "data.next", f"/accounts?index={index + 2 * size}&size={size}")


def _token_behind(content: Any) -> str | None:
    found = found_at(content, "links.next")
    return token_of(found) if found else None


def _oldest_first(asked: Asked) -> Answer:
    found, first = list(asked.drift.expected("conversations"))[::-1], asked.number("next")
    is_last = first + 50 >= len(found)
    paging = {} if is_last else {"pagination": {"more": True, "next": str(first + 50)}}
    return Answer(200, {"data": found[first : first + 50], **paging}, {})


def _scroll(asked: Asked) -> Answer:
    """Send the same token with each page, and remember the position."""
    first = asked.memory["read"] = asked.memory["read"] + 50 if asked.first("page_token") else 0
    found = list(asked.drift.expected("conversations"))
    paging = {"links": {"next": "/conversations/list?page_token=scroll"}} if first + 50 < len(found) else {}
    return Answer(200, {"data": found[first : first + 50], **paging}, {})


def _touch_fifty(asked: Asked) -> None:
    for row in list(asked.drift.expected("conversations"))[:50]:
        asked.drift.touch(row["id"], at=int(time.time() * 1000) - 60_000)


def _rel_links(href: Any) -> list[Row]:
    return [{"rel": ["self"], "href": "/accounts"}] + ([{"rel": ["next"], "href": href}] if href else [])


def _name_next_in_header(_: Asked, answer: Answer) -> Answer:
    found = found_at(answer.content, "data.next")
    if not found:
        return answer
    content = placed(answer.content, "data.next", None)
    return Answer(answer.status, content, {**answer.headers, "Link": f'<{found}>; rel="next"'})


def _delete_read_account(asked: Asked) -> None:
    asked.drift.delete_account(asked.drift.account_page(0, 1)[0][0]["accountId"])


def _ask_behind_a_hidden_page(asked: Asked) -> None:
    asked.memory["hides"] = not asked.first("page_token")
    asked.query["page_token"] = ["" if asked.first("page_token") == "first" else asked.first("page_token")]


def _hide_the_first_page(asked: Asked, content: Any) -> Any:
    hidden = {"data": [], "links": {"next": "https://api.drift.com/conversations/list?page_token=first"}}
    return hidden if asked.memory["hides"] else content


def _touch_row_before(asked: Asked) -> None:
    """Update the last row of the previous page."""
    before = asked.drift.conversations_from(asked.number("next") - 1, 1).rows
    asked.drift.touch(before[0]["id"])


def _touch_oldest(asked: Asked) -> None:
    for row in list(asked.drift.expected("conversations"))[-60:]:
        asked.drift.touch(row["id"])


def _delete_still_listed(asked: Asked) -> None:
    for row in list(asked.drift.expected("conversations"))[::40]:
        asked.drift.delete_conversation(row["id"], still_listed=True)


def _repeat_across_pages(asked: Asked, content: Any) -> Any:
    """Start the page with the last five rows of the previous page."""
    before = asked.memory.get("last", []) if asked.first("page_token") else []
    asked.memory["last"] = content["data"][-5:]
    return placed(content, "data", before + content["data"])


def _one_old_row_early(found: list[Any]) -> list[Any]:
    return [*found[:5], found[-1], *found[5:-1]] if len(found) > 6 else found


def _rows_and_cursor(asked: Asked, content: Any) -> Any:
    """Link the last page to itself with a new cursor."""
    asked.memory["spelled"] = asked.memory.get("spelled", 0) + 1
    found = found_at(content, "links.next")
    token = token_of(found) if found else f"same-{asked.memory['spelled']}"
    return placed(content, "links.next", f"https://api.drift.com/conversations/list?page_token={token}")


def _last_page_again(asked: Asked) -> None:
    """Accept the invented cursors of the last page."""
    token = asked.first("page_token")
    if token.startswith("same-"):
        asked.query["page_token"] = [asked.memory["token"]]
    elif token:
        asked.memory["token"] = token


def _full_list(asked: Asked) -> bool:
    return asked.number("limit", 25) > 25


def _rename_query(before: str, after: str) -> Deviation:
    def change(asked: Asked) -> None:
        if before in asked.query:
            asked.query[after] = asked.query.pop(before)

    return ask(change)


def _unquote_token(asked: Asked) -> None:
    token = asked.first("page_token")
    while unquote(token) != token:
        token = unquote(token)
    asked.query["page_token"] = [token.removeprefix("v1+/=")]


def _merged(row: Row) -> Row:
    return row | {"id": row["id"] + 1}


def _metrics(change: Any) -> Deviation:
    """Change each value of a report's rows; `change` gets the metric's name and the value."""

    def changed(asked: Asked, content: Any) -> Any:
        names = asked.body.get("metrics", METRICS)
        made = [
            row | {"metrics": [change(name, value) for name, value in zip(names, row["metrics"], strict=True)]}
            for row in content["data"]
        ]
        return content | {"data": made}

    return edit_with(changed)


def _missing_metric(other: Any) -> Deviation:
    return _metrics(lambda _, value: other if value == "NaN" else value)


def _cap_report(most: int, *, count: bool = True, more: bool = False) -> Deviation:
    def change(content: Any) -> Any:
        cut = {"data": content["data"][:most]}
        if more and len(content["data"]) > most:
            cut["more"] = True
        return ({"count": content["count"]} if count else {}) | cut

    return edit(change)


def _asks_for_unknown_metric(asked: Asked) -> bool:
    return "meaningfulConversation" in asked.body.get("metrics", ())


def _names_days(asked: Asked) -> bool:
    """Whether the range of a report consists of days."""
    return all(re.fullmatch(r"\d{4}-\d\d-\d\d", str(bound)) for bound in report_range(asked) or ())


def _exclusive_ends(asked: Asked, content: Any) -> Any:
    bounds = report_range(asked)
    names = asked.body.get("metrics", ())
    if not bounds or "updatedAt" not in names or _names_days(asked):
        return content
    place, (low, high) = names.index("updatedAt"), map(moment, bounds)
    left = [row for row in content["data"] if low < row["metrics"][place] < high]
    return {"count": len(left), "data": left}


def _is_of_the_oldest_third(asked: Asked) -> bool:
    """Whether the contact belongs to the third with the oldest conversations."""
    newest_first = dict.fromkeys(row["contactId"] for row in asked.drift.expected("conversations"))
    contacts = [str(contact) for contact in newest_first]
    return asked.subject in contacts[-(len(contacts) // 3) :]


def _put_one_at_an_end(asked: Asked) -> None:
    """Update the oldest conversation, so that it lies exactly at the end of the range or just after its start."""
    bounds = report_range(asked)
    if bounds and not _names_days(asked):
        low, high = map(moment, bounds)
        oldest = list(asked.drift.expected("conversations"))[-1]["id"]
        asked.drift.touch(oldest, at=high if high <= asked.drift.now else low + 1)


def _lag(asked: Asked, content: Any) -> Any:
    """Hide updates in the five minutes before the first report, in the first report that has any."""
    names = asked.body.get("metrics", ())
    if "updatedAt" not in names or asked.memory.get("caught_up", False):
        return content
    horizon = asked.memory.setdefault("horizon", time.time() * 1000 - 300_000)
    left = [row for row in content["data"] if row["metrics"][names.index("updatedAt")] < horizon]
    asked.memory["caught_up"] = len(left) < len(content["data"])
    return {"count": len(left), "data": left}


def _starts_too_early(asked: Asked) -> bool:
    return asked.number("min_start_time") < time.time() * 1000 - 31 * DAY


def _ends_too_late(asked: Asked) -> bool:
    return asked.number("max_start_time") > (time.time() + 366 * 86_400) * 1000


def _date(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


def _text(value: Any) -> str:
    return str(value)


def _less(row: Row, name: str) -> Row:
    return {other: value for other, value in row.items() if other != name}


def _renamed(content: Row, before: str, after: str) -> Row:
    return _less(content, before) | {after: content[before]}


def _beside(content: Any, **more: Any) -> Any:
    return content | more if isinstance(content, dict) else content


def _only(found: list[Any]) -> Any:
    return found[0] if len(found) == 1 else found


def _nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels):
        inner = {"inner": inner}
    return inner


def _404() -> Deviation:
    return Deviation(alter=lambda _, __: Answer(404, _NOT_FOUND, {}))


def _204() -> Deviation:
    return Deviation(alter=lambda _, __: Answer(204, b"", {}))


def _redirect_to_slash() -> Deviation:
    def answer(asked: Asked) -> Answer:
        return Answer(301, b"", {"Location": f"{asked.path}/?{urlencode(asked.query, doseq=True)}"})

    return Deviation(ask=answer)


def _ascii(body: bytes) -> bytes:
    return json.dumps(json.loads(body)).encode()


_MARK = "\ufffd"
_NOTHING: dict[str, Any] = {}
_BOM = b"\xef\xbb\xbf"


def _body(text: str) -> Deviation:
    """Replace the body of one message in seven."""
    return some_rows(lambda row: row | {"body": text})


def _in_bytes(before: str, after: bytes) -> Deviation:
    return raw(lambda body: body.replace(before.encode(), after))


def _at_one(*deviations: Deviation) -> Deviation:
    return on(1, *deviations)


_NOT_FOUND = {"error": {"type": "not_found", "message": "Not found"}}
_SERVER_ERROR = {"error": {"type": "server_error", "message": "Something went wrong"}}


def _table(*entries: tuple[Any, ...]) -> dict[str, Dialect]:
    return {name: Dialect(name, why, tuple(deviations)) for name, why, *deviations in map(_entry, entries)}


def _entry(entry: tuple[Any, ...]) -> tuple[Any, ...]:
    """Flatten deviations that are given as tuples."""
    name, why, *given = entry
    flat: list[Deviation] = []
    for one in given:
        flat += one if isinstance(one, tuple) else (one,)
    return name, why, *flat


# name, why, deviations
_ACCOUNTS = (
    (
        "accounts-total-counts-deleted",
        "The total comes from a COUNT(*) that does not exclude deleted accounts.",
        convert("data.total", lambda total: total + 6),
    ),
    (
        "accounts-total-estimated",
        "The search index behind the list only estimates how many accounts match.",
        convert("data.total", lambda total: round(total, -2) + 100),
    ),
    (
        "accounts-total-of-page",
        "The total is the length of the serialized list, which is one page.",
        put("data.total", lambda content: len(content["data"]["accounts"])),
    ),
    (
        "accounts-total-text",
        "A BIGINT is serialized as a string because JavaScript would round it.",
        convert("data.total", _text),
    ),
    ("accounts-no-total", "Counting was too slow for large organizations and was removed.", drop("data.total")),
    (
        "accounts-index-is-page-number",
        "Spring's Pageable counts pages, and a developer called the page number index.",
        ask(_number_pages),
        edit_with(_name_page_number),
    ),
    (
        "accounts-index-floored",
        "The storage reads blocks of 50, so it rounds an index down to the start of its block.",
        set_query("index", lambda index: index // 50 * 50),
    ),
    ("accounts-size-clamped-to-10", "A limit meant for the user interface was moved into the API.", clamp("size", 10)),
    ("accounts-size-clamped-to-25", "All lists share the page size of conversations.", clamp("size", 25)),
    ("accounts-size-clamped-to-50", "The search index behind the list returns 50 hits at most.", clamp("size", 50)),
    (
        "accounts-size-above-50-refused",
        "A @Max(50) on the parameter rejects sizes that an older version lowered.",
        when(lambda asked: asked.number("size", 10) > 50, refuse(400)),
    ),
    (
        "accounts-page-of-25-named-as-asked",
        "Pages are limited to 25 rows, but the next link repeats the requested size.",
        ask(lambda asked: asked.memory.__setitem__("size", asked.first("size") or "10")),
        clamp("size", 25),
        edit_with(
            lambda asked, content: (
                placed(
                    content, "data.next", re.sub(r"size=\d+", f"size={asked.memory['size']}", content["data"]["next"])
                )
                if names_next(content)
                else content
            )
        ),
    ),
    (
        "accounts-next-on-every-page",
        "The next link is index plus size, without a check for more rows.",
        edit_with(_every_account_page_names_next),
    ),
    (
        "accounts-deleted-filtered-after-paging",
        "Java removes soft-deleted rows after the database has limited the page.",
        ask(_page_before_filtering),
        edit_with(_name_page_before_filtering),
    ),
    (
        "accounts-empty-page-in-the-middle",
        "Java removed all rows of a page, because all of them were soft-deleted.",
        Deviation(ask=_empty_account_page),
        edit_with(_name_late_account_page),
    ),
    (
        "accounts-deleted-while-walking",
        "A user deletes an account during the read, and all later rows move up by one.",
        once(lambda asked: asked.number("index") > 0, disturb(_delete_read_account)),
    ),
    (
        "accounts-duplicates-across-pages",
        "Two replicas sort ties differently, so rows at the end of a page come twice.",
        set_query("index", lambda index: max(0, index - 5)),
    ),
    (
        "accounts-next-absolute",
        "A newer framework builds absolute links.",
        convert("data.next", lambda found: f"https://driftapi.com{found}"),
    ),
    (
        "accounts-next-on-internal-host",
        "The link contains the host name that the load balancer used.",
        convert("data.next", lambda found: f"http://accounts-api.internal:8080{found}"),
    ),
    (
        "accounts-next-only-a-query",
        "The link is relative to the resource itself.",
        convert("data.next", lambda found: found.removeprefix("/accounts")),
    ),
    (
        "accounts-next-is-a-path",
        "A newer framework puts the page into the path of its link.",
        convert("data.next", lambda found: f"/accounts/from/{re.findall(r'index=([0-9]+)', found)[0]}"),
        drop("data.total"),
    ),
    (
        "accounts-next-null-text",
        "String concatenation turned the missing link of the last page into 'null'.",
        on_last_page(put("data.next", "null")),
    ),
    (
        "accounts-next-blank",
        "The missing link of the last page is an empty string.",
        on_last_page(put("data.next", "")),
    ),
    (
        "accounts-next-is-number",
        "The response contains the next index instead of a link.",
        convert("data.next", lambda found: int(re.findall(r"index=(\d+)", found)[0])),
    ),
    (
        "accounts-next-at-root",
        "A response filter moved the link out of data.",
        edit(lambda content: placed(content, "next", found_at(content, "data.next"))),
        drop("data.next"),
    ),
    (
        "accounts-hal-links",
        "Spring HATEOAS puts links into an object named _links.",
        edit(lambda content: placed(content, "data._links.next.href", content["data"].get("next"))),
        drop("data.next"),
    ),
    (
        "accounts-hal-links-with-a-list-of-rels",
        "A link may have several relations, so rel is a list.",
        edit(lambda content: placed(content, "data.links", _rel_links(content["data"].get("next")))),
        drop("data.next"),
    ),
    (
        "accounts-embedded",
        "HAL puts the rows into an object named _embedded.",
        edit(lambda content: {"_embedded": {"accounts": content["data"]["accounts"]}, "_links": {}}),
    ),
    (
        "accounts-link-header",
        "GitHub sends the link to the next page in a header, and many APIs copy GitHub.",
        Deviation(alter=_name_next_in_header),
    ),
    (
        "accounts-total-count-alone",
        "The fields were renamed, and the web app computes the next page itself.",
        edit(lambda content: placed(content, "data.totalCount", content["data"]["total"])),
        drop("data.total"),
        drop("data.next"),
    ),
    (
        "accounts-next-minus-one-at-the-end",
        "A primitive int can't be null, so the last page has -1.",
        on_last_page(put("data.next", -1)),
    ),
    ("accounts-next-false-at-the-end", "PHP sends false for a missing value.", on_last_page(put("data.next", False))),
    (
        "accounts-null-list-beside-facets",
        "A search engine returns facets next to the rows.",
        put("data.facets", {"plan": 1}),
    ),
    ("accounts-at-root", "An unfinished migration removed the envelope.", unwrap()),
    ("accounts-data-is-the-list", "The rows moved to data, where all other lists have them.", list_at("data")),
    (
        "accounts-root-list",
        "A cached export returns all accounts as one array.",
        ask(lambda asked: asked.query.update(index=["0"], size=["65"])),
        edit_with(lambda asked, _: asked.drift.account_page(0, asked.drift.account_count())[0]),
    ),
    (
        "accounts-spring-page",
        "Spring serializes a Page object unchanged, with the rows in content.",
        edit(
            lambda content: {
                "data": {
                    "content": content["data"]["accounts"],
                    "totalElements": content["data"]["total"],
                    "next": content["data"].get("next"),
                }
            }
        ),
    ),
    (
        "accounts-capitalised-keys",
        "A .NET service behind the gateway uses Pascal case.",
        edit(lambda content: {"Data": {key.capitalize(): value for key, value in content["data"].items()}}),
    ),
    ("accounts-null-row", "A join found no row and Jackson wrote a null.", row_list(lambda found: [None, *found])),
    (
        "accounts-deleted-rows-listed",
        "A search index that lags behind still lists deleted accounts.",
        row_list(lambda found: [*found, {"accountId": "1_gone.example.com", "deleted": True}]),
    ),
    (
        "accounts-row-without-key",
        "An import that failed halfway left an account without an accountId.",
        some_rows(lambda row: _less(row, "accountId"), "accountId"),
    ),
    ("accounts-null-when-none", "Jackson leaves out empty lists.", drop("data.accounts")),
    ("accounts-empty-data-when-none", "Jackson leaves out values that are empty or zero.", put("data", _NOTHING)),
    ("accounts-data-null-when-none", "An empty Optional is serialized as null.", put("data", None)),
    (
        "accounts-none-once-beside-total",
        "The index behind the list is rebuilt, and for a moment it is empty; the total comes from the database.",
        once(lambda _: True, put("data.accounts", [])),
    ),
    ("accounts-204-when-none", "JAX-RS returns 204 for an empty Optional.", empty(204)),
    (
        "accounts-404-not-in-plan",
        "Only paid plans have accounts, so other plans lack the route.",
        refuse(404, "not_found"),
    ),
)

_LIST = (
    (
        "list-last-page-full-without-links",
        "The links are left out when there is no next page.",
        links_only(),
        on_last_page(drop("links")),
    ),
    ("list-next-blank", "The missing link is an empty string.", links_only(), on_last_page(put("links.next", ""))),
    (
        "list-next-without-token",
        "A template builds the link although there is no token.",
        links_only(),
        on_last_page(put("links.next", "https://api.drift.com/conversations/list?page_token=")),
    ),
    (
        "list-next-is-self",
        "The last page builds its link from the token in the request.",
        links_only(),
        on_last_page(put("links.next", lambda content: content["links"]["self"])),
    ),
    (
        "list-no-data-behind-the-end",
        "A full last page links to another page, and Jackson leaves out its empty list.",
        pages_after_the_end(lambda _, __: {"links": {"self": ""}}),
    ),
    (
        "list-three-empty-pages-in-the-middle",
        "Rows that the token can't access are removed after the page was limited.",
        hidden_pages(3),
    ),
    (
        "list-next-for-ever",
        "Every page links to a next page, even after the end.",
        pages_after_the_end(lambda _, following: {"data": [], "links": {"next": following}}),
    ),
    (
        "list-cursors-differ-for-the-same-rows",
        "A cursor contains the time of its creation, so the last page always has a new one.",
        links_only(),
        ask(_last_page_again),
        edit_with(_rows_and_cursor),
    ),
    (
        "list-next-floored",
        "The older pagination converts the offset to a page of 20 rows and back.",
        older_paging(),
        set_query("next", lambda offset: offset // 20 * 20),
    ),
    (
        "list-last-row-updated-between-pages",
        "A conversation is updated between two pages, so offsets shift.",
        older_paging(),
        when(lambda asked: asked.number("next") > 0, disturb(_touch_row_before)),
    ),
    (
        "list-sixty-rows-updated-at-once",
        "A user closes sixty old conversations at once while the list is read by offset.",
        older_paging(),
        once(lambda asked: asked.number("next") > 0, disturb(_touch_oldest)),
    ),
    ("list-limit-above-25-refused", "A @Max(25) on the parameter rejects larger pages.", when(_full_list, refuse(400))),
    (
        "list-limit-above-25-times-out",
        "Pages of more than 25 conversations take longer than the gateway waits.",
        when(_full_list, html(504, "Gateway Time-out")),
    ),
    (
        "list-blank-page-token-refused",
        "A @NotBlank on the parameter rejects an empty token.",
        when(lambda asked: asked.query.get("page_token") == [""], refuse(400)),
    ),
    (
        "list-limit-beside-token-refused",
        "The token contains the limit, so sending both is an error.",
        when(lambda asked: bool(asked.first("page_token")) and "limit" in asked.query, refuse(400)),
    ),
    (
        "list-updated-every-other-request",
        "A busy organization updates a conversation every second.",
        every(2, disturb(lambda asked: asked.drift.touch_some(1))),
    ),
    (
        "list-next-relative",
        "The link is relative to the host.",
        link(lambda found: found.removeprefix("https://api.drift.com")),
    ),
    (
        "list-next-http",
        "The load balancer terminates TLS, so the service sees plain HTTP.",
        link(lambda found: found.replace("https://", "http://")),
    ),
    (
        "list-next-on-internal-host",
        "The link contains the host name that the load balancer used.",
        link(lambda found: found.replace("api.drift.com", "conversations.svc.cluster.local:8443")),
    ),
    (
        "list-next-with-other-parameter",
        "The parameter was renamed to cursor, but the old name still works.",
        _rename_query("cursor", "page_token"),
        link(lambda found: found.replace("page_token=", "cursor=")),
    ),
    (
        "list-next-with-extra-parameters",
        "The link contains a version, and the server requires it in the next request.",
        when(lambda asked: bool(asked.first("page_token")) and asked.first("v") != "2", refuse(400)),
        link(lambda found: f"{found}&v=2&statusId=1&statusId=2&statusId=3"),
    ),
    ("list-next-with-fragment", "The link comes from a template of the web app.", link(lambda found: f"{found}#top")),
    (
        "list-next-encoded-twice",
        "Two layers encode the token, and both decode it.",
        ask(_unquote_token),
        link(lambda found: found.replace("page_token=", f"page_token={quote(quote('v1+/=', safe=''))}")),
    ),
    (
        "list-token-expired-once",
        "Page tokens expire quickly, and the first one expired before it was used.",
        once(lambda asked: bool(asked.first("page_token")), refuse(400, message="page_token has expired")),
    ),
    (
        "list-more-false-as-text",
        "The older pagination sends the boolean as a string, and an empty next.",
        older_paging(),
        on_last_page(put("pagination", {"more": "false", "next": ""})),
    ),
    (
        "list-more-true-without-next",
        "The older pagination says more: true whenever a page is full.",
        older_paging(),
        on_last_page(put("pagination", {"more": True})),
    ),
    (
        "list-pagination-next-integer",
        "The documentation says that next is an integer, although recordings differ.",
        older_paging(),
        convert("pagination.next", int),
    ),
    (
        "list-pagination-next-object",
        "The cursor became an object because it needed two fields.",
        older_paging(),
        convert("pagination.next", lambda found: {"offset": int(found)}),
    ),
    (
        "list-pagination-next-url",
        "The older pagination was changed to send complete links.",
        older_paging(),
        convert("pagination.next", lambda found: f"https://driftapi.com/conversations/list?limit=50&next={found}"),
    ),
    (
        "list-hal-links",
        "Spring HATEOAS puts links into an object named _links.",
        links_only(),
        edit(lambda content: placed(content, "_links.next.href", found_at(content, "links.next"))),
        drop("links"),
    ),
    (
        "list-links-array",
        "Spring HATEOAS without HAL sends links as an array of rel and href.",
        links_only(),
        convert("links", lambda links: [{"rel": rel, "href": href} for rel, href in links.items()]),
    ),
    (
        "list-page-token-ignored",
        "Only the newer host honors the page token; the older one ignores it, although it links with it.",
        when(
            lambda asked: not asked.first("next"),
            ask(lambda asked: asked.query.update(page_token=[""])),
            links_only(),
        ),
    ),
    (
        "list-next-in-hubspot-style",
        "Drift's founders came from HubSpot, where a page is named by an object with a cursor and a link.",
        links_only(),
        edit(lambda content: placed(content, "paging.next.link", found_at(content, "links.next"))),
        where(lambda content: not found_at(content, "paging.next.link"), drop("paging")),
        drop("links"),
    ),
    (
        "list-more-with-a-hyphen",
        "A gateway rewrites the envelope in kebab case; the link stays behind.",
        links_only(),
        edit(lambda content: content | {"has-more": "next" in (content.pop("links", None) or {})}),
    ),
    (
        "list-contact-under-another-name",
        "The list takes over the name of the reports, endUserId.",
        some_rows(lambda row: _less(row, "contactId") | {"endUserId": row.get("contactId")}, share=1),
    ),
    (
        "list-pods-of-two-generations",
        "Half of the pods still run the previous version.",
        every(2, *older_paging()),
    ),
    (
        "list-first-page-empty-with-next",
        "The token can't access the newest rows, and they filled the first page.",
        ask(_ask_behind_a_hidden_page),
        edit_with(_hide_the_first_page),
    ),
    (
        "list-next-page-token-elsewhere",
        "Google's API style has nextPageToken at the root.",
        edit(lambda content: {"data": content["data"], "nextPageToken": _token_behind(content)}),
    ),
    (
        "list-next-token-null-as-text",
        "The link is built from a null token.",
        when(lambda asked: asked.first("page_token") == "null", refuse(400)),
        links_only(),
        on_last_page(put("links.next", "https://api.drift.com/conversations/list?page_token=null")),
    ),
    (
        "list-old-field-empty",
        "The rows moved to a new field, and the old field is empty.",
        edit(lambda content: content | {"data": [], "conversations": content["data"]}),
    ),
    ("list-oldest-first", "A developer reversed the sort order.", Deviation(ask=_oldest_first)),
    (
        "list-included-beside-data",
        "JSON:API sends related objects next to the rows.",
        put("included", [{"id": "1", "type": "contact"}]),
    ),
    ("list-422-for-the-limit", "Bean Validation returns 422.", when(_full_list, refuse(422))),
    (
        "list-updated-at-with-fractions",
        "The timestamp is stored as a double.",
        rows(lambda row: row | {"updatedAt": row["updatedAt"] + 0.5}),
    ),
    (
        "list-capitalised-keys",
        "A .NET service behind the gateway uses Pascal case.",
        edit(lambda content: {key.capitalize(): value for key, value in content.items()}),
    ),
    (
        "list-under-conversations",
        "An unfinished migration puts the rows into data.conversations.",
        list_at("data.conversations"),
    ),
    (
        "list-duplicates-across-pages",
        "Keyset paging with >= instead of > repeats rows.",
        edit_with(_repeat_across_pages),
    ),
    (
        "list-repeats-rows",
        "A join with the participants duplicates rows.",
        row_list(lambda found: [*found, *found[:7]]),
    ),
    ("list-pages-of-25", "The server ignores the limit since page tokens were introduced.", clamp("limit", 25)),
    ("list-pages-of-7", "A server under load sends smaller pages.", clamp("limit", 7)),
    (
        "list-one-old-row-early",
        "The index sorts by a timestamp that differs from updatedAt in imported rows.",
        row_list(_one_old_row_early),
    ),
    (
        "list-one-future-row",
        "A server with a wrong clock dated a conversation one year ahead.",
        some_rows(lambda row: row | {"updatedAt": row["updatedAt"] + 365 * DAY}, share=29),
    ),
    (
        "list-updated-at-null",
        "Rows from before 2018 have no updatedAt.",
        some_rows(lambda row: row | {"updatedAt": None}),
    ),
    ("list-updated-at-zero", "An unset long is 0 in Java.", some_rows(lambda row: row | {"updatedAt": 0})),
    (
        "list-times-as-text",
        "A long is sent as a string because JavaScript would round it.",
        fields(createdAt=_text, updatedAt=_text),
    ),
    (
        "list-times-as-floats",
        "The JSON library has no integers and sends doubles.",
        fields(createdAt=float, updatedAt=float),
    ),
    ("list-times-in-iso", "Jackson can also write dates as ISO strings.", fields(createdAt=iso, updatedAt=iso)),
    (
        "list-times-in-seconds",
        "Jackson writes a java.time Instant in seconds by default.",
        fields(createdAt=lambda time: time // 1000, updatedAt=lambda time: time // 1000),
    ),
    (
        "list-ids-as-text",
        "A long is sent as a string because JavaScript would round it.",
        fields(id=_text, contactId=_text),
    ),
    ("list-ids-as-floats", "The JSON library has no integers and sends doubles.", fields(id=float, contactId=float)),
    ("list-contact-id-zero", "An unset long is 0 in Java.", some_rows(lambda row: row | {"contactId": 0})),
    ("list-contact-id-null", "A contact was erased under GDPR.", some_rows(lambda row: row | {"contactId": None})),
    ("list-contact-id-minus-one", "-1 stands for an unknown contact.", some_rows(lambda row: row | {"contactId": -1})),
    (
        "list-null-row",
        "The index still has a row that the storage has deleted.",
        row_list(lambda found: [*found[:3], None, *found[3:]]),
    ),
    (
        "list-empty-row",
        "A deleted row is serialized without its fields.",
        row_list(lambda found: [*found[:3], {}, *found[3:]]),
    ),
    (
        "list-row-without-key",
        "The index returned a row that the storage did not complete.",
        some_rows(lambda row: _less(row, "id"), share=29),
    ),
    (
        "list-names-deleted-conversations",
        "The index removes deleted conversations minutes later.",
        once(lambda _: True, disturb(_delete_still_listed)),
    ),
    ("list-scrolls", "The list is a search engine's scroll, and its token never changes.", Deviation(ask=_scroll)),
    ("list-no-data-when-none", "Jackson leaves out empty lists.", drop("data")),
    ("list-204-when-none", "JAX-RS returns 204 for an empty result.", empty(204)),
)

_CONVERSATIONS = (
    ("conversation-410-for-ever", "Drift returns 410 Gone for a purged conversation.", _at_one(refuse(410, "gone"))),
    ("conversation-400-for-ever", "A corrupt row fails the server's response validation.", _at_one(refuse(400))),
    (
        "conversation-403-for-ever",
        "The token can't read a private conversation.",
        _at_one(refuse(403, "permission_error")),
    ),
    ("conversation-500-for-ever", "The server can't serialize a corrupt row.", _at_one(refuse(500, "server_error"))),
    ("conversation-504-for-ever", "A huge conversation takes longer than the gateway waits.", _at_one(html(504))),
    (
        "conversation-404-plain-text-for-ever",
        "The ID breaks the route, so a proxy responds.",
        _at_one(say(b"404 page not found\n", 404, "text/plain")),
    ),
    (
        "conversation-404-in-errors-list",
        "The documentation also shows errors as a list.",
        _at_one(say({"errors": [{"type": "not_found", "message": "Not found"}]}, 404)),
    ),
    (
        "conversation-200-error-for-ever",
        "An exception handler writes the error but does not set the status.",
        _at_one(say(_SERVER_ERROR)),
    ),
    ("conversation-423-once", "A row is locked while it is moved to another shard.", at_first(refuse(423, "locked"))),
    ("conversation-200-error-once", "An exception handler does not set the status.", at_first(say(_SERVER_ERROR))),
    (
        "conversation-200-not-found",
        "A deleted conversation is reported as an error with status 200.",
        _at_one(say(_NOT_FOUND)),
    ),
    ("conversation-data-null", "An empty Optional is serialized as null.", _at_one(say({"data": None}))),
    ("conversation-forty-answer-500", "One shard of the storage is down.", on(40, refuse(500, "server_error"))),
    ("conversation-all-404", "The route moved, and the old one no longer exists.", refuse(404, "not_found")),
    ("details-empty-object", "A deleted row is serialized without its fields.", _at_one(say({"data": {}}))),
    ("details-empty-list", "A query by ID returns a list.", _at_one(say({"data": []}))),
    ("details-array-of-one", "A query by ID returns a list.", convert("data", lambda row: [row])),
    ("details-at-root", "An unfinished migration removed the envelope.", unwrap()),
    (
        "details-older-than-the-list",
        "Details come from a replica that lags behind the list's replica.",
        fields(updatedAt=lambda at: at - 3_600_000),
    ),
    (
        "details-ids-as-text",
        "A long is sent as a string because JavaScript would round it.",
        fields(id=_text, contactId=_text),
    ),
)

_MESSAGES = (
    (
        "messages-fifty-rows-no-pagination",
        "The pagination is left out on the last page, even if that page is full.",
        on_last_page(drop("pagination")),
    ),
    (
        "messages-hundred-rows-no-pagination",
        "A page holds 100 messages, and the last page has no pagination.",
        message_pages(100),
    ),
    (
        "messages-empty-pagination",
        "Jackson leaves out values that are false or null.",
        on_last_page(put("pagination", _NOTHING)),
    ),
    (
        "messages-pages-of-100",
        "The fixed page size was doubled.",
        message_pages(100, end={"more": False}),
    ),
    (
        "messages-pages-of-20",
        "The fixed page size was reduced.",
        message_pages(20, end={"more": False, "next": None}),
    ),
    ("messages-all-at-once", "Pagination was removed for small conversations.", message_pages(10_000)),
    (
        "messages-next-for-ever",
        "Every page links to a next page, even after the end.",
        edit_with(
            lambda asked, content: placed(
                content, "pagination", {"more": True, "next": str(asked.number("next", 1) + 1)}
            )
        ),
    ),
    ("messages-empty-data-object", "Jackson leaves out empty lists.", _at_one(say({"data": {}}))),
    ("messages-null", "An unset list is null in Java.", _at_one(say({"data": {"messages": None}}))),
    ("messages-empty-data-list", "PHP serializes an empty map as a list.", _at_one(say({"data": []}))),
    ("messages-204-when-none", "JAX-RS returns 204 for an empty result.", _at_one(empty(204))),
    (
        "messages-every-second-conversation-empty",
        "Conversations started by email have no messages, and Jackson leaves out empty lists.",
        on_every_second(say({"data": {}})),
    ),
    (
        "messages-lone-surrogate",
        "A bot truncates a text inside an emoji, and JSON allows half of a surrogate pair.",
        _body(f"Hi {_MARK}"),
        _in_bytes(_MARK, rb"\ud83d"),
    ),
    (
        "messages-invalid-utf8",
        "A text was imported in Latin-1 and is sent with the same bytes.",
        _body(f"Caf{_MARK}"),
        _in_bytes(_MARK, b"\xe9"),
    ),
    ("messages-dated-minus-one", "-1 means that the time is unknown.", some_rows(lambda row: row | {"createdAt": -1})),
    (
        "messages-dated-in-microseconds",
        "An import wrote microseconds.",
        some_rows(lambda row: row | {"createdAt": row["createdAt"] * 1000}),
    ),
    ("messages-empty-row", "A deleted message is serialized without its fields.", row_list(lambda found: [*found, {}])),
    ("messages-null-row", "A deleted message is a null in its list.", row_list(lambda found: [None, *found])),
    (
        "messages-without-key",
        "A message has no ID until it has been sent.",
        some_rows(lambda row: _less(row, "id")),
    ),
    (
        "messages-without-created-at",
        "System messages have no timestamp.",
        some_rows(lambda row: _less(row, "createdAt")),
    ),
    ("messages-without-conversation-id", "The path already contains the ID.", without("conversationId")),
    ("messages-newest-first", "The web app shows the newest messages first.", message_pages(50, newest_first=True)),
    (
        "messages-pages-overlap",
        "Each page starts with the last row of the previous page.",
        message_pages(50, overlap=1),
    ),
    ("messages-next-zero-based", "Pages are numbered from 0.", message_pages(50, first=0, end={"more": False})),
    (
        "messages-next-url",
        "A newer framework sends links.",
        convert("pagination.next", lambda found: f"https://driftapi.com/conversations/1/messages?next={found}"),
    ),
    (
        "messages-pagination-in-data",
        "The pagination is serialized together with its list.",
        edit(lambda content: placed(content, "data.pagination", content.get("pagination"))),
        drop("pagination"),
    ),
    ("messages-more-missing", "Jackson leaves out primitives with a default value.", drop("pagination.more")),
    (
        "messages-more-false-with-next",
        "The server computes a next page although there is none.",
        on_last_page(put("pagination", {"more": False, "next": "99"})),
    ),
    (
        "messages-more-as-text",
        "A template writes booleans as strings.",
        convert("pagination.more", lambda more: str(more).lower()),
    ),
    (
        "messages-not-found-error-beside-rows",
        "The author of one message was not found.",
        put("error", {"type": "not_found"}),
    ),
    (
        "messages-next-malformed",
        "The link is built from an incomplete IPv6 address.",
        message_pages(1, end={"more": False}),
        _at_one(convert("pagination.next", lambda _: "http://[::1/conversations")),
    ),
    (
        "messages-error-in-data",
        "An exception handler writes its message into data.",
        _at_one(say({"data": {"error": "internal error"}})),
    ),
    (
        "messages-more-for-ever-without-next",
        "After a rewrite, the flag is always true.",
        put("pagination", {"more": True}),
    ),
    ("messages-data-is-the-list", "The rows moved to data, as in the list of conversations.", list_at("data")),
    ("messages-at-root", "An unfinished migration removed the envelope.", unwrap()),
    (
        "messages-root-list",
        "An unfinished migration returns all rows as a bare list.",
        message_pages(10_000),
        edit(lambda content: content["data"]["messages"]),
    ),
    (
        "messages-body-of-2-mb",
        "A visitor pasted a log file into the chat.",
        some_rows(lambda row: row | {"body": "x" * 2_000_000}, share=31),
    ),
    ("messages-nul-characters", "A visitor pasted a binary file into the chat.", _body("a\x00b")),
    (
        "messages-deeply-nested",
        "Attributes are free-form, and a bot stores nested conversations in them.",
        some_rows(lambda row: row | {"attributes": _nested(100)}),
    ),
    (
        "messages-number-of-thirty-digits",
        "A bot writes an order number as a JSON number.",
        some_rows(lambda row: row | {"attributes": {"order": "9" * 30}}),
        _in_bytes(f'"{"9" * 30}"', b"9" * 30),
    ),
    ("messages-ids-as-text", "A long is sent as a string because JavaScript would round it.", fields(id=_text)),
    (
        "messages-attachments-as-ids",
        "The internal API lists only the IDs of attachments.",
        fields(attachments=[11, 12]),
    ),
    ("messages-created-at-in-iso", "Jackson can also write dates as ISO strings.", fields(createdAt=iso)),
)

_CONTACTS = (
    ("contacts-null-when-erased", "A contact that was erased under GDPR becomes null.", _at_one(say({"data": None}))),
    (
        "contacts-empty-object-when-erased",
        "An erased contact becomes an object without fields.",
        _at_one(say({"data": {}})),
    ),
    (
        "contacts-empty-list-when-erased",
        "A query by ID finds nothing and returns an empty list.",
        _at_one(say({"data": []})),
    ),
    (
        "contacts-array-of-one",
        "The query by ID returns a list, like the query by email address.",
        convert("data", lambda row: [row]),
    ),
    ("contacts-at-root", "An unfinished migration removed the envelope.", unwrap()),
    ("contacts-merged", "After a merge, Drift returns the remaining contact.", _at_one(rows(_merged))),
    (
        "contacts-oldest-third-gone",
        "An organization purges contacts that it has not seen for a year.",
        when(_is_of_the_oldest_third, refuse(404, "not_found")),
    ),
    ("contacts-all-404", "The route moved, and the old one no longer exists.", refuse(404, "not_found")),
    ("contacts-410", "Drift returns 410 Gone for an erased contact.", _at_one(refuse(410, "gone"))),
    (
        "contacts-first-thirty-gone",
        "Inactive contacts were purged.",
        on(30, refuse(404, "not_found")),
    ),
    (
        "contacts-404-in-camel-case",
        "The error type is the class name of the exception.",
        when(_is_of_the_oldest_third, say({"error": {"type": "ContactNotFoundException"}}, 404)),
    ),
    (
        "contacts-404-message-alone",
        "Dropwizard sends code and message without an error object.",
        when(_is_of_the_oldest_third, say({"code": 404, "message": "Contact not found"}, 404)),
    ),
    (
        "contacts-external-id-of-twenty-digits",
        "Customers choose the external ID, and it can be any number.",
        rows(lambda row: row | {"attributes": row["attributes"] | {"externalId": "80000000000000000003"}}),
        _in_bytes('"80000000000000000003"', b"80000000000000000003"),
    ),
    ("contacts-attributes-null", "An unset map is null in Java.", some_rows(lambda row: row | {"attributes": None})),
    ("contacts-ids-as-floats", "The JSON library has no integers and sends doubles.", fields(id=float)),
    (
        "attributes-as-map",
        "The properties are a map from name to property.",
        convert("data.properties", lambda found: {row["name"]: row for row in found}),
    ),
    ("attributes-data-is-the-list", "The list moved up to data.", list_at("data")),
    ("attributes-null-row", "A property of a deleted type is null.", row_list(lambda found: [*found, None])),
    (
        "emails-404-for-nobody",
        "A search without results returns 404.",
        where(lambda content: not content["data"], _404()),
    ),
    (
        "emails-null-for-nobody",
        "An empty Optional is serialized as null.",
        where(lambda content: not content["data"], put("data", None)),
    ),
    (
        "emails-204-for-nobody",
        "JAX-RS returns 204 for an empty result.",
        where(lambda content: not content["data"], _204()),
    ),
    ("emails-object", "The documentation shows a single match without an array.", convert("data", _only)),
)

_REPORTS = (
    ("reports-no-count", "The documentation does not require the count.", drop("count")),
    (
        "reports-count-zero-without-data",
        "Jackson leaves out empty lists.",
        where(lambda content: not content["data"], drop("data")),
    ),
    (
        "reports-204-when-none",
        "JAX-RS returns 204 for an empty result.",
        where(lambda content: not content["data"], _204()),
    ),
    (
        "reports-unknown-metric",
        "A metric was retired, and requests for it are an error.",
        when(_asks_for_unknown_metric, refuse(400, message="Unknown metric: meaningfulConversation")),
    ),
    (
        "reports-202-while-it-runs",
        "A report is a job that takes time to run.",
        at_first(say({"count": 0, "data": [], "status": "RUNNING"}, 202), times=3),
    ),
    (
        "reports-fifty-of-this-minute",
        "A user closed fifty conversations at once a minute ago.",
        once(lambda _: True, disturb(_touch_fifty)),
    ),
    (
        "reports-know-one-metric",
        "All metrics but one were retired.",
        when(lambda asked: set(asked.body.get("metrics", ())) != {"updatedAt"}, refuse(400)),
    ),
    (
        "reports-days-and-an-unknown-metric",
        "The documentation filters by day, and a metric was retired.",
        when(lambda asked: not _names_days(asked), refuse(400)),
        when(_asks_for_unknown_metric, refuse(400)),
    ),
    (
        "reports-422-for-an-unknown-metric",
        "Bean Validation returns 422.",
        when(_asks_for_unknown_metric, refuse(422)),
    ),
    (
        "reports-more-than-ten-metrics-refused",
        "A @Size(max = 10) on the list rejects more than ten metrics.",
        when(lambda asked: len(asked.body.get("metrics", ())) > 10, refuse(400)),
    ),
    ("reports-numbers-as-text", "The report is formatted for spreadsheets.", _metrics(lambda _, value: str(value))),
    ("reports-blank-for-missing", "A missing number is an empty string.", _missing_metric("")),
    ("reports-null-for-missing", "A missing number is null.", _missing_metric(None)),
    (
        "reports-bare-nan",
        "Jackson's lenient mode writes NaN without quotation marks.",
        _in_bytes('"NaN"', b"NaN"),
    ),
    (
        "reports-booleans",
        "A metric that is 0 or 1 is a boolean.",
        _metrics(lambda name, value: bool(value) if name == "meaningfulConversation" else value),
    ),
    (
        "reports-times-in-iso",
        "Jackson can also write dates as ISO strings.",
        _metrics(lambda name, value: iso(value) if name.endswith("At") and value != "NaN" else value),
    ),
    ("reports-count-text", "A BIGINT is serialized as a string.", convert("count", _text)),
    (
        "reports-ids-as-text",
        "A long is sent as a string because JavaScript would round it.",
        fields(conversationId=_text),
    ),
    (
        "reports-ranges-over-90-days-refused",
        "The warehouse behind the reports limits the range of a query.",
        when(lambda asked: report_days(asked) > 90, refuse(400)),
    ),
    (
        "reports-days-wanted",
        "The documentation filters by day.",
        when(lambda asked: not _names_days(asked), refuse(400)),
    ),
    (
        "reports-exclusive-ends",
        "BETWEEN excludes both ends.",
        once(lambda _: True, disturb(_put_one_at_an_end)),
        edit_with(_exclusive_ends),
    ),
    (
        "reports-lag",
        "Reports are computed every five minutes.",
        once(lambda _: True, disturb(lambda asked: asked.drift.touch_some(3))),
        edit_with(_lag),
    ),
    (
        "reports-count-counts-erased",
        "The count comes from a COUNT(*) that does not exclude erased conversations.",
        where(lambda content: bool(content["data"]), convert("count", lambda count: count + 1)),
    ),
    ("reports-count-of-organization", "The count is that of the whole organization.", put("count", 151)),
    ("reports-capped-at-100", "A query returns 100 rows at most, but counts all of them.", _cap_report(100)),
    ("reports-capped-at-100-without-count", "A query returns 100 rows at most.", _cap_report(100, count=False)),
    (
        "reports-capped-beside-total-elements",
        "A page of Spring returns 40 rows at most, and its own name for the total.",
        edit(lambda content: {"totalElements": content["count"], "data": content["data"][:40]}),
    ),
    ("reports-capped-at-10-without-count", "A search engine returns 10 rows at most.", _cap_report(10, count=False)),
    ("reports-capped-at-500-without-count", "A query returns 500 rows at most.", _cap_report(500, count=False)),
    ("reports-capped-at-1000-without-count", "A query returns 1,000 rows at most.", _cap_report(1000, count=False)),
    (
        "reports-capped-with-more",
        "A query returns 40 rows at most, with more: true.",
        _cap_report(40, count=False, more=True),
    ),
    (
        "reports-metrics-as-map",
        "A newer version returns the metrics by name.",
        edit_with(
            lambda asked, content: placed(
                content,
                "data",
                [
                    row | {"metrics": dict(zip(asked.body["metrics"], row["metrics"], strict=True))}
                    for row in content["data"]
                ],
            )
        ),
    ),
    (
        "reports-null-rows-at-the-maximum",
        "A query returns 100 rows at most, and some of them were erased.",
        _cap_report(90, count=False),
        row_list(lambda found: [*found, *[None] * 10] if len(found) == 90 else found),
    ),
    ("reports-page-named-and-ignored", "A generic envelope contains a next page.", put("pagination", {"next": "2"})),
    (
        "reports-metrics-as-objects",
        "A newer version returns each metric with its name.",
        edit_with(
            lambda asked, content: placed(
                content,
                "data",
                [
                    row
                    | {
                        "metrics": [
                            {"name": name, "value": value}
                            for name, value in zip(asked.body["metrics"], row["metrics"], strict=True)
                        ]
                    }
                    for row in content["data"]
                ],
            )
        ),
    ),
    ("reports-null-row", "A join found no row.", row_list(lambda found: [*found, None])),
)

_MEETINGS = (
    ("meetings-limit-clamped-to-100", "The default of 100 is also the maximum.", clamp("limit", 100)),
    ("meetings-limit-clamped-to-250", "The calendar behind the list returns 250 events at most.", clamp("limit", 250)),
    (
        "meetings-limit-above-250-refused",
        "A @Max(250) on the parameter rejects larger limits.",
        when(lambda asked: asked.number("limit", 100) > 250, refuse(400)),
    ),
    (
        "meetings-year-refused",
        "The calendar behind the list limits the range of a query.",
        when(lambda asked: meeting_days(asked) > 366, refuse(400)),
    ),
    (
        "meetings-far-future-refused",
        "Meetings can't be booked more than a year ahead.",
        when(_ends_too_late, refuse(400)),
    ),
    (
        "meetings-older-refused",
        "Meetings are kept for 30 days, and requests for older ones are an error.",
        when(_starts_too_early, refuse(400)),
    ),
    (
        "meetings-older-answered-with-nothing",
        "Meetings are kept for 30 days, and a range that starts earlier is empty.",
        when(_starts_too_early, say({"data": []})),
    ),
    (
        "meetings-without-slug",
        "Meetings booked by an agent have no slug.",
        some_rows(lambda row: _less(row, "slug"), "slug", 3),
    ),
    (
        "meetings-without-agent-id",
        "A meeting that was assigned to nobody has no agent.",
        some_rows(lambda row: _less(row, "agentId"), "slug", 3),
    ),
    (
        "meetings-null-when-none",
        "Jackson leaves out empty lists.",
        where(lambda content: not content["data"], drop("data")),
    ),
    (
        "meetings-under-meetings",
        "An unfinished migration adds a level with the name of the list.",
        list_at("data.meetings"),
    ),
    ("meetings-root-list", "An unfinished migration removed the envelope.", unwrap()),
    (
        "meetings-repeated-in-every-range",
        "A meeting belongs to every range that it overlaps.",
        row_list(lambda found: found * 2),
    ),
)

_LISTS = (
    ("users-without-key", "An invited user has no ID yet.", some_rows(lambda row: _less(row, "id"), share=2)),
    (
        "users-status-error-without-data",
        "A JSend envelope has the status error.",
        say({"status": "error", "data": None}),
    ),
    (
        "users-in-a-page-that-is-not-the-last",
        "A page of Spring says that it is not the last one, and has no link.",
        edit(lambda content: {"content": content["data"][:20], "last": False}),
    ),
    ("users-null-row", "A deleted user becomes null.", row_list(lambda found: [*found, None])),
    (
        "users-paged-by-pagination",
        "Large organizations have too many users for one response.",
        pages(2, lambda content, offset: content | {"pagination": {"more": True, "next": str(offset)}}),
    ),
    (
        "users-paged-by-links",
        "Large organizations have too many users for one response.",
        pages(
            2,
            lambda content, offset: (
                content | {"links": {"next": f"https://driftapi.com/users/list?page_token={offset}"}}
            ),
        ),
    ),
    ("users-under-users", "An unfinished migration adds a level with the name of the list.", list_at("data.users")),
    ("users-root-list", "An unfinished migration removed the envelope.", unwrap()),
    (
        "users-as-map",
        "The endpoint for several users returns a map by ID.",
        convert("data", lambda found: {str(row["id"]): row for row in found}),
    ),
    ("users-ids-as-text", "A long is sent as a string because JavaScript would round it.", fields(id=_text)),
    ("teams-root-list", "An unfinished migration removed the envelope.", unwrap()),
    ("teams-null-when-none", "Jackson leaves out empty lists.", drop("data")),
    ("playbooks-in-data", "All other lists are in data.", wrap_in("data")),
    ("playbooks-null-row", "A deactivated playbook becomes null.", row_list(lambda found: [None, *found])),
    ("playbooks-204-when-none", "JAX-RS returns 204 for an empty result.", empty(204)),
    ("pages-in-data", "All other lists are in data.", wrap_in("data")),
    (
        "pages-without-key",
        "A page without a playbook has no playbookId.",
        some_rows(lambda row: _less(row, "playbookId"), "landingPageUrl", 2),
    ),
    ("stats-in-data", "All other responses are in data.", wrap_in("data")),
    (
        "stats-lower-case",
        "Statuses are in lower case everywhere else.",
        convert("conversationCount", lambda found: {status.lower(): count for status, count in found.items()}),
    ),
    (
        "stats-null-counts",
        "The count of an unused status is null.",
        edit(lambda content: {"conversationCount": dict.fromkeys(content["conversationCount"])}),
    ),
    (
        "stats-as-list",
        "A GROUP BY returns rows.",
        convert(
            "conversationCount", lambda found: [{"status": status, "count": count} for status, count in found.items()]
        ),
    ),
)

_TOKENS = (
    ("token-info-400", "The service expects the token's name in camel case.", refuse(400)),
    ("token-info-403", "Drift does not describe private tokens.", refuse(403, "permission_error")),
    ("token-info-404", "The route belongs to the app store, which was shut down.", refuse(404, "not_found")),
    ("token-info-500", "The OAuth server behind the route was shut down.", refuse(500, "server_error")),
    ("token-info-html", "The gateway returns an HTML page for an unknown route.", html(404, "Not found")),
    ("token-info-empty-object", "Private tokens have no entry, and Jackson leaves out nulls.", say({})),
    ("token-info-in-data", "All other responses are in data.", wrap_in("data")),
    (
        "token-info-token-renamed",
        "The response has the token's name in camel case.",
        edit(lambda content: _renamed(content, "access_token", "accessToken")),
    ),
    (
        "token-info-token-as-id",
        "The token is also the ID of its entry.",
        edit(lambda content: content | {"id": content["access_token"]}),
    ),
    (
        "token-info-scope-list",
        "A newer framework sends a list of scopes.",
        convert("scope", lambda scope: scope.split()),
    ),
    (
        "token-403-when-expired",
        "Spring Security returns 403 for an unknown token.",
        restatus(401, 403),
    ),
    (
        "token-403-when-access-token-expires",
        "Spring Security returns 403 for an expired access token.",
        restatus(401, 403),
    ),
    (
        "token-401-without-body-when-access-token-expires",
        "Spring Security returns 401 without a body.",
        Deviation(alter=lambda _, answer: Answer(401, b"", {}) if answer.status == 401 else answer),
    ),
    ("token-401-for-missing-scope", "Some services return 401 for a missing scope.", restatus(403, 401)),
    ("oauth-no-new-refresh-token", "The refresh token stays the same, as RFC 6749 allows.", drop("refresh_token")),
    ("oauth-expires-in-text", "A template writes numbers as strings.", convert("expires_in", _text)),
    (
        "oauth-expires-in-milliseconds",
        "The documentation of token_info uses milliseconds.",
        convert("expires_in", lambda seconds: seconds * 1000),
    ),
    ("oauth-503-once", "The token endpoint restarts.", between(1, 1, html(503, "Service Unavailable"))),
)

_GATEWAY = (
    (
        "gateway-401-now-and-then",
        "One node of the gateway has an old list of keys.",
        every(250, empty(401), first=100),
    ),
    (
        "gateway-403-now-and-then",
        "A firewall takes a few requests for attacks.",
        every(250, html(403), first=100),
    ),
    ("gateway-400-now-and-then", "A proxy corrupts a header now and then.", every(250, html(400), first=100)),
    (
        "gateway-401-in-json-now-and-then",
        "The cache of tokens is empty for a moment.",
        every(250, refuse(401, "authentication_error"), first=100),
    ),
    (
        "gateway-401-without-body-now-and-then",
        "Spring Security returns 401 without a body.",
        every(250, empty(401), first=100),
    ),
    (
        "gateway-404-message-during-deploy",
        "During a deployment, the gateway has no route and responds with its own JSON.",
        between(6, 20, say({"message": "no Route matched with those values"}, 404)),
    ),
    (
        "gateway-404-message-and-request-during-deploy",
        "During a deployment, the gateway has no route, and its JSON repeats the request.",
        between(6, 20, say({"message": "Route not found", "request": {"type": "GET"}}, 404)),
    ),
    (
        "gateway-retry-after-year-10000",
        "The date is computed from the largest integer.",
        every(20, say(_SERVER_ERROR, 429, Retry_After="Mon, 01 Jan 99999 00:00:00 GMT")),
    ),
    (
        "gateway-404-html-during-deploy",
        "During a deployment, the gateway has no route.",
        between(6, 20, html(404)),
    ),
    ("gateway-503-for-150-seconds", "A failed deployment takes minutes.", between(20, 220, html(503))),
    ("gateway-502-now-and-then", "A pod stops while it sends a response.", every(20, html(502))),
    ("gateway-520-now-and-then", "Cloudflare has its own status codes.", every(20, html(520))),
    ("gateway-409-now-and-then", "Optimistic locking fails during a read.", every(90, refuse(409, "conflict"))),
    ("gateway-204-once", "A cold cache responds without a body.", at_first(empty(204))),
    ("gateway-empty-body-once", "A cold cache responds with an empty body.", at_first(say(b""))),
    ("gateway-html-once", "A maintenance page has the status 200.", at_first(html(200, "Maintenance"))),
    ("gateway-error-object-once", "An exception handler does not set the status.", at_first(say(_SERVER_ERROR))),
    (
        "gateway-throttle-as-403",
        "An old gateway returns 403 when the rate limit is exceeded.",
        every(10, refuse(403, "rate_limit", "Rate limit exceeded")),
    ),
    (
        "gateway-throttled-as-403",
        "A gateway of its own make says throttled.",
        every(10, refuse(403, "throttled", "Slow down")),
    ),
    (
        "gateway-throttle-as-503",
        "AWS returns 503 when the rate limit is exceeded.",
        every(10, say(_SERVER_ERROR, 503, Retry_After="1")),
    ),
    ("gateway-429-html", "The gateway throttles with an HTML page.", every(10, html(429))),
    *(
        (
            f"gateway-retry-after-{name}",
            why,
            every(20, say({"error": {"type": "rate_limit_error", "message": ""}}, 429, Retry_After=value)),
        )
        for name, value, why in (
            ("milliseconds", "1500", "The wait is in milliseconds."),
            ("negative", "-1", "The wait is computed from a clock that is behind."),
            ("fraction", "0.5", "The wait is a decimal number, although the standard allows whole seconds only."),
            ("soon", "soon", "The gateway is configured with a word instead of a number."),
        )
    ),
    (
        "gateway-redirects-to-another-host",
        "Drift moves to Salesloft's platform.",
        Deviation(ask=lambda asked: Answer(302, b"", {"Location": f"https://drift.salesloft.example{asked.path}"})),
    ),
    (
        "gateway-redirects-to-a-missing-page",
        "During maintenance, the gateway redirects to a page that the service does not have.",
        between(6, 20, Deviation(ask=lambda _: Answer(302, b"", {"Location": "/maintenance"}))),
    ),
    (
        "gateway-redirects-to-the-slash",
        "A framework redirects /accounts to /accounts/.",
        when(lambda asked: asked.path == "/accounts", _redirect_to_slash()),
    ),
    ("gateway-date-30-seconds-behind", "The gateway's clock is wrong.", header("Date", lambda: _date(-30))),
    ("gateway-date-a-day-ahead", "The gateway's clock is wrong.", header("Date", lambda: _date(86_400))),
    (
        "gateway-date-from-cache",
        "A cache sends the date of the cached response.",
        header("Date", "Thu, 01 Jan 2015 00:00:00 GMT"),
    ),
    ("gateway-date-unreadable", "A proxy replaces the date with its own text.", header("Date", "today")),
    ("gateway-no-date", "A proxy removes the date.", header("Date", "")),
    (
        "gateway-set-cookie",
        "A load balancer binds each client to one node.",
        header("Set-Cookie", "AWSALB=abc; Path=/; Secure"),
    ),
    ("gateway-gzip", "The gateway compresses responses.", packed()),
    ("gateway-chunked", "The gateway does not know the length in advance.", header("Transfer-Encoding", "chunked")),
    ("gateway-charset", "Spring adds the character set.", media_type("application/json;charset=UTF-8")),
    (
        "gateway-wrong-charset",
        "Servlets declare Latin-1 by default.",
        media_type("application/json;charset=ISO-8859-1"),
    ),
    ("gateway-text-plain", "A proxy does not know the media type.", media_type("text/plain")),
    ("gateway-text-html", "A framework's default type is text/html.", media_type("text/html; charset=utf-8")),
    ("gateway-no-content-type", "A proxy removes the media type.", media_type("")),
    ("gateway-201", "A generic handler returns 201.", status(201)),
    ("gateway-206", "A cache returns the whole response as a part.", status(206)),
    ("json-byte-order-mark", "A .NET service writes a byte order mark.", raw(lambda body: _BOM + body)),
    ("json-white-space", "A template leaves blank lines around the JSON.", raw(lambda body: b"\n\n  " + body + b"\n")),
    (
        "json-trailing-garbage",
        "A proxy appends a comment to every page.",
        raw(lambda body: body + b"\n<!-- edge-7 -->"),
    ),
    ("json-escaped-slashes", "PHP escapes slashes.", raw(lambda body: body.replace(b"/", rb"\/"))),
    ("json-ascii", "All non-ASCII characters are escaped; emoji become surrogate pairs.", raw(_ascii)),
    ("json-error-null", "Every response has a field for an error.", edit(lambda content: _beside(content, error=None))),
    ("json-errors-empty", "Every response has a list of errors.", edit(lambda content: _beside(content, errors=[]))),
    (
        "json-warnings",
        "A deprecation is announced next to the data.",
        edit(lambda content: _beside(content, warnings=["This version is deprecated"])),
    ),
    (
        "json-status-beside-data",
        "An envelope repeats the status.",
        edit(lambda content: _beside(content, status="ok", code=200)),
    ),
)

DIALECTS: dict[str, Dialect] = _table(
    *_ACCOUNTS,
    *_LIST,
    *_CONVERSATIONS,
    *_MESSAGES,
    *_CONTACTS,
    *_REPORTS,
    *_MEETINGS,
    *_LISTS,
    *_TOKENS,
    *_GATEWAY,
)
"""All dialects by name, grouped by area."""
