"""The dialects of the sandbox: what the real Drift may plausibly do although no documentation says so.

Nobody here has met the real service, and its public descriptions contradict each other. So each behaviour that a real
backend may have is an entry of this table: a name, a sentence on why it is plausible, and the deviations that make it.
`Options(dialects=("list-next-blank",))` and `python -m sandbox serve --dialect list-next-blank` switch it on; several
may be active at once and are applied in the order given.

The first part of a name is the area, which also says what paths the dialect concerns.
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
"""The areas and the paths of each; `token`, `json` and `gateway` are about all reads."""


@dataclass(frozen=True)
class Dialect:
    """One behaviour.

    Attributes:
        name: the area and what is different, in kebab case.
        why: one sentence on why a real backend may do so.
        deviations: applied in this order, to the request and then to the answer.
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
        """The paths that it concerns, as a regular expression."""
        return AREAS[self.area]

    def concerns(self, path: str) -> bool:
        return self._matches.search(path) is not None

    def rows_as_sent(self, row: Row) -> list[Row]:
        """A row of Drift's in the forms in which this dialect sends it."""
        forms = [row]
        forms += [deviation.row(row) for deviation in self.deviations if deviation.row]
        return forms


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError for a name that no dialect has; the message holds the names that are like it."""
    for name in names:
        if name not in DIALECTS:
            like = get_close_matches(name, DIALECTS, 3) or [known for known in DIALECTS if name and name in known][:3]
            hint = f"did you mean {' or '.join(like)}?" if like else "python -m sandbox serve --dialects lists them"
            raise ValueError(f"no dialect {name!r}: {hint}")


# What more than one entry, or a long one, needs


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
    """Five rows of each page are deleted ones, which are left out after the page was cut."""
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
    """The page at the first size is empty; those behind it stand one page later."""
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
    """Each page names the same token, and the server remembers how far the reader is."""
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
    """Update the last row of the page before this one."""
    before = asked.drift.conversations_from(asked.number("next") - 1, 1).rows
    asked.drift.touch(before[0]["id"])


def _touch_oldest(asked: Asked) -> None:
    for row in list(asked.drift.expected("conversations"))[-60:]:
        asked.drift.touch(row["id"])


def _delete_still_listed(asked: Asked) -> None:
    for row in list(asked.drift.expected("conversations"))[::40]:
        asked.drift.delete_conversation(row["id"], still_listed=True)


def _repeat_across_pages(asked: Asked, content: Any) -> Any:
    """Put the last five rows of the page before this one in front of it."""
    before = asked.memory.get("last", []) if asked.first("page_token") else []
    asked.memory["last"] = content["data"][-5:]
    return placed(content, "data", before + content["data"])


def _one_old_row_early(found: list[Any]) -> list[Any]:
    return [*found[:5], found[-1], *found[5:-1]] if len(found) > 6 else found


def _rows_and_cursor(asked: Asked, content: Any) -> Any:
    """The page again under a cursor that was never seen before."""
    asked.memory["spelled"] = asked.memory.get("spelled", 0) + 1
    found = found_at(content, "links.next")
    token = token_of(found) if found else f"same-{asked.memory['spelled']}"
    return placed(content, "links.next", f"https://api.drift.com/conversations/list?page_token={token}")


def _last_page_again(asked: Asked) -> None:
    """Know the cursors that were made up for the last page."""
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
    """Change each value of a report's rows; it gets the metric's name and the value."""

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
    """Whether the range of a report is given in days."""
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
    """Whether a contact last had a conversation before two thirds of all contacts had theirs."""
    newest_first = dict.fromkeys(row["contactId"] for row in asked.drift.expected("conversations"))
    contacts = [str(contact) for contact in newest_first]
    return asked.subject in contacts[-(len(contacts) // 3) :]


def _put_one_at_an_end(asked: Asked) -> None:
    """Update the oldest conversation at the very end of a report's range, or at its beginning."""
    bounds = report_range(asked)
    if bounds and not _names_days(asked):
        low, high = map(moment, bounds)
        oldest = list(asked.drift.expected("conversations"))[-1]["id"]
        asked.drift.touch(oldest, at=high if high <= asked.drift.now else low + 1)


def _lag(asked: Asked, content: Any) -> Any:
    """Hide what happened in the last five minutes before the first report, until it has been hidden once."""
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
    """Put a text into the body of one message in seven."""
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
    """An entry whose deviations may come as tuples of several."""
    name, why, *given = entry
    flat: list[Deviation] = []
    for one in given:
        flat += one if isinstance(one, tuple) else (one,)
    return name, why, *flat


# name, why, deviations
_ACCOUNTS = (
    (
        "accounts-total-counts-deleted",
        "The total comes from a COUNT(*) that forgets the filter on deleted accounts.",
        convert("data.total", lambda total: total + 6),
    ),
    (
        "accounts-total-estimated",
        "The search index behind the list only estimates how many accounts match.",
        convert("data.total", lambda total: round(total, -2) + 100),
    ),
    (
        "accounts-total-of-page",
        "The total is the size of the list that was serialised, which is one page.",
        put("data.total", lambda content: len(content["data"]["accounts"])),
    ),
    ("accounts-total-text", "A BIGINT is serialised as text to be safe for JavaScript.", convert("data.total", _text)),
    ("accounts-no-total", "Counting was dropped because it was slow for large organisations.", drop("data.total")),
    (
        "accounts-index-is-page-number",
        "Spring's Pageable numbers pages, and somebody named the page number index.",
        ask(_number_pages),
        edit_with(_name_page_number),
    ),
    (
        "accounts-index-floored",
        "The storage reads blocks of 50, and an index in the middle of one begins at its start.",
        set_query("index", lambda index: index // 50 * 50),
    ),
    ("accounts-size-clamped-to-10", "A limit meant for the user interface was moved into the API.", clamp("size", 10)),
    ("accounts-size-clamped-to-25", "All lists share the page size of conversations.", clamp("size", 25)),
    ("accounts-size-clamped-to-50", "The search index behind the list returns 50 hits at most.", clamp("size", 50)),
    (
        "accounts-size-above-50-refused",
        "A @Max(50) on the parameter refuses what an older version lowered.",
        when(lambda asked: asked.number("size", 10) > 50, refuse(400)),
    ),
    (
        "accounts-page-of-25-named-as-asked",
        "Pages are clamped to 25, but the next link repeats the size that was asked for.",
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
        "The next link is index plus size, and nobody looks whether there are more rows.",
        edit_with(_every_account_page_names_next),
    ),
    (
        "accounts-deleted-filtered-after-paging",
        "Soft-deleted rows are dropped in Java after the database has cut the page.",
        ask(_page_before_filtering),
        edit_with(_name_page_before_filtering),
    ),
    (
        "accounts-empty-page-in-the-middle",
        "A whole page of soft-deleted rows was dropped after the database had cut it.",
        Deviation(ask=_empty_account_page),
        edit_with(_name_late_account_page),
    ),
    (
        "accounts-deleted-while-walking",
        "People delete accounts at any time, and the rows behind a deleted one move up.",
        once(lambda asked: asked.number("index") > 0, disturb(_delete_read_account)),
    ),
    (
        "accounts-duplicates-across-pages",
        "Two replicas sort ties differently, so rows at the edge of a page come twice.",
        set_query("index", lambda index: max(0, index - 5)),
    ),
    (
        "accounts-next-absolute",
        "A newer framework builds absolute links.",
        convert("data.next", lambda found: f"https://driftapi.com{found}"),
    ),
    (
        "accounts-next-on-internal-host",
        "The link is built from the host that the load balancer asked.",
        convert("data.next", lambda found: f"http://accounts-api.internal:8080{found}"),
    ),
    (
        "accounts-next-only-a-query",
        "The link is relative to the resource itself.",
        convert("data.next", lambda found: found.removeprefix("/accounts")),
    ),
    (
        "accounts-next-null-text",
        "String concatenation turned the missing link of the last page into a text.",
        on_last_page(put("data.next", "null")),
    ),
    (
        "accounts-next-blank",
        "The missing link of the last page is an empty text.",
        on_last_page(put("data.next", "")),
    ),
    (
        "accounts-next-is-number",
        "The next index is sent instead of a link.",
        convert("data.next", lambda found: int(re.findall(r"index=(\d+)", found)[0])),
    ),
    (
        "accounts-next-at-root",
        "A response filter moved the link beside the data.",
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
        "GitHub names the next page in a header, and so do many that were modelled on it.",
        Deviation(alter=_name_next_in_header),
    ),
    (
        "accounts-total-count-alone",
        "The page object was renamed, and its next page is computed by the web app.",
        edit(lambda content: placed(content, "data.totalCount", content["data"]["total"])),
        drop("data.total"),
        drop("data.next"),
    ),
    (
        "accounts-next-minus-one-at-the-end",
        "A primitive int has no null, so the last page names -1.",
        on_last_page(put("data.next", -1)),
    ),
    ("accounts-next-false-at-the-end", "PHP sends false for what is not there.", on_last_page(put("data.next", False))),
    ("accounts-null-list-beside-facets", "A search answers facets beside its rows.", put("data.facets", {"plan": 1})),
    ("accounts-at-root", "The envelope was dropped in a half-done migration.", unwrap()),
    ("accounts-data-is-the-list", "The list was moved up to data, as in all other lists.", list_at("data")),
    (
        "accounts-root-list",
        "A cached export answers all accounts as one array.",
        ask(lambda asked: asked.query.update(index=["0"], size=["65"])),
        edit_with(lambda asked, _: asked.drift.account_page(0, asked.drift.account_count())[0]),
    ),
    (
        "accounts-spring-page",
        "Spring serialises a Page object as it is, with its rows in content.",
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
        "A .NET service behind the gateway names its properties in Pascal case.",
        edit(lambda content: {"Data": {key.capitalize(): value for key, value in content["data"].items()}}),
    ),
    ("accounts-null-row", "A join found no row and Jackson wrote a null.", row_list(lambda found: [None, *found])),
    (
        "accounts-deleted-rows-listed",
        "A search index that lags still lists deleted accounts.",
        row_list(lambda found: [*found, {"accountId": "1_gone.example.com", "deleted": True}]),
    ),
    (
        "accounts-row-without-key",
        "An account that an import left half done has no accountId.",
        some_rows(lambda row: _less(row, "accountId"), "accountId"),
    ),
    ("accounts-null-when-none", "Jackson leaves out empty lists.", drop("data.accounts")),
    ("accounts-empty-data-when-none", "Jackson leaves out everything that is empty or zero.", put("data", _NOTHING)),
    ("accounts-data-null-when-none", "An empty Optional is serialised as null.", put("data", None)),
    ("accounts-204-when-none", "An empty Optional becomes 204 in JAX-RS.", empty(204)),
    (
        "accounts-404-not-in-plan",
        "Accounts belong to paid plans, and others have no such route.",
        refuse(404, "not_found"),
    ),
)

_LIST = (
    (
        "list-last-page-full-without-links",
        "Links are left out when there is nothing to link to.",
        links_only(),
        on_last_page(drop("links")),
    ),
    ("list-next-blank", "The missing link is an empty text.", links_only(), on_last_page(put("links.next", ""))),
    (
        "list-next-without-token",
        "The link is built from a template although there is no token to fill in.",
        links_only(),
        on_last_page(put("links.next", "https://api.drift.com/conversations/list?page_token=")),
    ),
    (
        "list-next-is-self",
        "The last page's link is built from the token that was sent.",
        links_only(),
        on_last_page(put("links.next", lambda content: content["links"]["self"])),
    ),
    (
        "list-no-data-behind-the-end",
        "A full last page names one page more, and Jackson leaves out that page's empty list.",
        pages_after_the_end(lambda _, __: {"links": {"self": ""}}),
    ),
    (
        "list-three-empty-pages-in-the-middle",
        "Rows that the token may not see are dropped after the page was cut.",
        hidden_pages(3),
    ),
    (
        "list-next-for-ever",
        "Every page names a next one, also those behind the end.",
        pages_after_the_end(lambda _, following: {"data": [], "links": {"next": following}}),
    ),
    (
        "list-cursors-differ-for-the-same-rows",
        "A cursor holds the time at which it was made, so that of the last page is always new.",
        links_only(),
        ask(_last_page_again),
        edit_with(_rows_and_cursor),
    ),
    (
        "list-next-floored",
        "The older paging turns an offset into a page number of 20 rows and back.",
        older_paging(),
        set_query("next", lambda offset: offset // 20 * 20),
    ),
    (
        "list-last-row-updated-between-pages",
        "A conversation is updated while its page is being read, and offsets shift.",
        older_paging(),
        when(lambda asked: asked.number("next") > 0, disturb(_touch_row_before)),
    ),
    (
        "list-sixty-rows-updated-at-once",
        "Somebody closes sixty old conversations with one click while the list is read by offset.",
        older_paging(),
        once(lambda asked: asked.number("next") > 0, disturb(_touch_oldest)),
    ),
    ("list-limit-above-25-refused", "A @Max(25) on the parameter refuses larger pages.", when(_full_list, refuse(400))),
    (
        "list-limit-above-25-times-out",
        "Pages of more than 25 conversations take longer than the gateway waits.",
        when(_full_list, html(504, "Gateway Time-out")),
    ),
    (
        "list-blank-page-token-refused",
        "A @NotBlank on the parameter refuses the empty token of a first page.",
        when(lambda asked: asked.query.get("page_token") == [""], refuse(400)),
    ),
    (
        "list-limit-beside-token-refused",
        "The limit is part of the token, and giving both is an error.",
        when(lambda asked: bool(asked.first("page_token")) and "limit" in asked.query, refuse(400)),
    ),
    (
        "list-updated-every-other-request",
        "A busy organisation updates a conversation every second.",
        every(2, disturb(lambda asked: asked.drift.touch_some(1))),
    ),
    (
        "list-next-relative",
        "The link is relative to the host.",
        link(lambda found: found.removeprefix("https://api.drift.com")),
    ),
    (
        "list-next-http",
        "TLS ends at the load balancer, so the service believes that it speaks http.",
        link(lambda found: found.replace("https://", "http://")),
    ),
    (
        "list-next-on-internal-host",
        "The link is built from the host that the load balancer asked.",
        link(lambda found: found.replace("api.drift.com", "conversations.svc.cluster.local:8443")),
    ),
    (
        "list-next-with-other-parameter",
        "The parameter was renamed to cursor while the old name is still read.",
        _rename_query("cursor", "page_token"),
        link(lambda found: found.replace("page_token=", "cursor=")),
    ),
    (
        "list-next-with-extra-parameters",
        "The link carries a version that the server wants to see again.",
        when(lambda asked: bool(asked.first("page_token")) and asked.first("v") != "2", refuse(400)),
        link(lambda found: f"{found}&v=2&statusId=1&statusId=2&statusId=3"),
    ),
    ("list-next-with-fragment", "The link comes from a template of the web app.", link(lambda found: f"{found}#top")),
    (
        "list-next-encoded-twice",
        "Two layers encode the token, and both decode it again.",
        ask(_unquote_token),
        link(lambda found: found.replace("page_token=", f"page_token={quote(quote('v1+/=', safe=''))}")),
    ),
    (
        "list-token-expired-once",
        "A page token lives for a short time, and the first ones were too old when they came back.",
        once(lambda asked: bool(asked.first("page_token")), refuse(400, message="page_token has expired")),
    ),
    (
        "list-more-false-as-text",
        "The older paging sends a boolean as text, and a next although there is none.",
        older_paging(),
        on_last_page(put("pagination", {"more": "false", "next": ""})),
    ),
    (
        "list-more-true-without-next",
        "The older paging says that there may be more whenever a page is full.",
        older_paging(),
        on_last_page(put("pagination", {"more": True})),
    ),
    (
        "list-pagination-next-integer",
        "The documentation calls next an integer, whatever recordings show.",
        older_paging(),
        convert("pagination.next", int),
    ),
    (
        "list-pagination-next-object",
        "The cursor was turned into an object when it had to hold two fields.",
        older_paging(),
        convert("pagination.next", lambda found: {"offset": int(found)}),
    ),
    (
        "list-pagination-next-url",
        "The older paging was taught to send whole links.",
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
        "list-pods-of-two-generations",
        "Half of the pods run the version before.",
        every(2, *older_paging()),
    ),
    (
        "list-first-page-empty-with-next",
        "The newest rows are hidden from the token, and the page was cut before that.",
        ask(_ask_behind_a_hidden_page),
        edit_with(_hide_the_first_page),
    ),
    (
        "list-next-page-token-elsewhere",
        "Google's style names it nextPageToken, at the root.",
        edit(lambda content: {"data": content["data"], "nextPageToken": _token_behind(content)}),
    ),
    (
        "list-next-token-null-as-text",
        "A link is put together from a token that is null.",
        when(lambda asked: asked.first("page_token") == "null", refuse(400)),
        links_only(),
        on_last_page(put("links.next", "https://api.drift.com/conversations/list?page_token=null")),
    ),
    (
        "list-old-field-empty",
        "The rows moved, and the field of before is left empty.",
        edit(lambda content: content | {"data": [], "conversations": content["data"]}),
    ),
    ("list-oldest-first", "Somebody turned the order round.", Deviation(ask=_oldest_first)),
    (
        "list-included-beside-data",
        "JSON:API sends what rows refer to beside them.",
        put("included", [{"id": "1", "type": "contact"}]),
    ),
    ("list-422-for-the-limit", "Bean validation answers 422.", when(_full_list, refuse(422))),
    (
        "list-updated-at-with-fractions",
        "A double holds the time.",
        rows(lambda row: row | {"updatedAt": row["updatedAt"] + 0.5}),
    ),
    (
        "list-capitalised-keys",
        "A .NET service behind the gateway names its properties in Pascal case.",
        edit(lambda content: {key.capitalize(): value for key, value in content.items()}),
    ),
    (
        "list-under-conversations",
        "A half-done migration names the list, as accounts and messages do.",
        list_at("data.conversations"),
    ),
    (
        "list-duplicates-across-pages",
        "Keyset paging with >= instead of > repeats rows.",
        edit_with(_repeat_across_pages),
    ),
    ("list-repeats-rows", "A join with participants multiplies rows.", row_list(lambda found: [*found, *found[:7]])),
    ("list-pages-of-25", "The limit is ignored since page tokens exist.", clamp("limit", 25)),
    ("list-pages-of-7", "A server under load lowers the size of its pages.", clamp("limit", 7)),
    (
        "list-one-old-row-early",
        "The index sorts by a time that differs from updatedAt for imported rows.",
        row_list(_one_old_row_early),
    ),
    (
        "list-one-future-row",
        "A server whose clock was wrong once stamped a conversation a year ahead.",
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
        "Longs are sent as text to be safe for JavaScript.",
        fields(createdAt=_text, updatedAt=_text),
    ),
    (
        "list-times-as-floats",
        "A JSON library without integers sends doubles.",
        fields(createdAt=float, updatedAt=float),
    ),
    ("list-times-in-iso", "Jackson writes dates as text in another mode.", fields(createdAt=iso, updatedAt=iso)),
    (
        "list-times-in-seconds",
        "Instants of java.time are serialised in seconds unless told otherwise.",
        fields(createdAt=lambda time: time // 1000, updatedAt=lambda time: time // 1000),
    ),
    ("list-ids-as-text", "Longs are sent as text to be safe for JavaScript.", fields(id=_text, contactId=_text)),
    ("list-ids-as-floats", "A JSON library without integers sends doubles.", fields(id=float, contactId=float)),
    ("list-contact-id-zero", "An unset long is 0 in Java.", some_rows(lambda row: row | {"contactId": 0})),
    ("list-contact-id-null", "A contact was erased under GDPR.", some_rows(lambda row: row | {"contactId": None})),
    ("list-contact-id-minus-one", "-1 stands for an unknown contact.", some_rows(lambda row: row | {"contactId": -1})),
    (
        "list-null-row",
        "A row was deleted between index and storage.",
        row_list(lambda found: [*found[:3], None, *found[3:]]),
    ),
    (
        "list-empty-row",
        "A deleted row is serialised without its fields.",
        row_list(lambda found: [*found[:3], {}, *found[3:]]),
    ),
    (
        "list-row-without-key",
        "The index sends a row that storage did not fill in.",
        some_rows(lambda row: _less(row, "id"), share=29),
    ),
    (
        "list-names-deleted-conversations",
        "The index notices deletions minutes after the storage.",
        once(lambda _: True, disturb(_delete_still_listed)),
    ),
    ("list-scrolls", "The list is a scroll of a search engine, whose token never changes.", Deviation(ask=_scroll)),
    ("list-no-data-when-none", "Jackson leaves out empty lists.", drop("data")),
    ("list-204-when-none", "An empty result becomes 204 in JAX-RS.", empty(204)),
)

_CONVERSATIONS = (
    ("conversation-410-for-ever", "A purged conversation is marked as gone.", _at_one(refuse(410, "gone"))),
    ("conversation-400-for-ever", "A corrupt row fails the validation of its own answer.", _at_one(refuse(400))),
    ("conversation-403-for-ever", "A private conversation may not be read.", _at_one(refuse(403, "permission_error"))),
    ("conversation-500-for-ever", "A corrupt row cannot be serialised.", _at_one(refuse(500, "server_error"))),
    ("conversation-504-for-ever", "A huge conversation takes longer than the gateway waits.", _at_one(html(504))),
    (
        "conversation-404-plain-text-for-ever",
        "A proxy answers for a route that the id broke.",
        _at_one(say(b"404 page not found\n", 404, "text/plain")),
    ),
    (
        "conversation-404-in-errors-list",
        "The list of errors is the other documented shape.",
        _at_one(say({"errors": [{"type": "not_found", "message": "Not found"}]}, 404)),
    ),
    (
        "conversation-200-error-for-ever",
        "An exception mapper writes the error and forgets the status.",
        _at_one(say(_SERVER_ERROR)),
    ),
    ("conversation-200-error-once", "An exception mapper forgets the status.", at_first(say(_SERVER_ERROR))),
    ("conversation-200-not-found", "A deleted conversation is an error with status 200.", _at_one(say(_NOT_FOUND))),
    ("conversation-data-null", "An empty Optional is serialised as null.", _at_one(say({"data": None}))),
    ("conversation-forty-answer-500", "A shard of the storage is broken.", on(40, refuse(500, "server_error"))),
    ("conversation-all-404", "The route moved, and its old place knows nothing.", refuse(404, "not_found")),
    ("details-empty-object", "A deleted row is serialised without its fields.", _at_one(say({"data": {}}))),
    ("details-empty-list", "A query by id answers a list.", _at_one(say({"data": []}))),
    ("details-array-of-one", "A query by id answers a list.", convert("data", lambda row: [row])),
    ("details-at-root", "The envelope was dropped in a half-done migration.", unwrap()),
    (
        "details-older-than-the-list",
        "Details come from a replica that lags behind the list.",
        fields(updatedAt=lambda at: at - 3_600_000),
    ),
    ("details-ids-as-text", "Longs are sent as text to be safe for JavaScript.", fields(id=_text, contactId=_text)),
)

_MESSAGES = (
    (
        "messages-fifty-rows-no-pagination",
        "The pagination is left out when there is no more, also after a full page.",
        on_last_page(drop("pagination")),
    ),
    (
        "messages-hundred-rows-no-pagination",
        "Pages hold a hundred messages, and the pagination is left out when there is no more.",
        message_pages(100),
    ),
    (
        "messages-empty-pagination",
        "Jackson leaves out what is false or null.",
        on_last_page(put("pagination", _NOTHING)),
    ),
    (
        "messages-pages-of-100",
        "The fixed size of pages was doubled.",
        message_pages(100, end={"more": False}),
    ),
    (
        "messages-pages-of-20",
        "The fixed size of pages was lowered.",
        message_pages(20, end={"more": False, "next": None}),
    ),
    ("messages-all-at-once", "The paging was removed for small conversations.", message_pages(10_000)),
    (
        "messages-next-for-ever",
        "Every page names a next one, also those behind the end.",
        edit_with(
            lambda asked, content: placed(
                content, "pagination", {"more": True, "next": str(asked.number("next", 1) + 1)}
            )
        ),
    ),
    ("messages-empty-data-object", "Jackson leaves out empty lists.", _at_one(say({"data": {}}))),
    ("messages-null", "An unset list is null in Java.", _at_one(say({"data": {"messages": None}}))),
    ("messages-empty-data-list", "PHP serialises an empty map as a list.", _at_one(say({"data": []}))),
    ("messages-204-when-none", "An empty result becomes 204 in JAX-RS.", _at_one(empty(204))),
    (
        "messages-every-second-conversation-empty",
        "Conversations that were opened by mail have no messages, and Jackson leaves out empty lists.",
        on_every_second(say({"data": {}})),
    ),
    (
        "messages-lone-surrogate",
        "A bot cuts a text in the middle of an emoji, and JSON can hold the half.",
        _body(f"Hi {_MARK}"),
        _in_bytes(_MARK, rb"\ud83d"),
    ),
    (
        "messages-invalid-utf8",
        "A text that was imported in Latin-1 is sent byte for byte.",
        _body(f"Caf{_MARK}"),
        _in_bytes(_MARK, b"\xe9"),
    ),
    ("messages-dated-minus-one", "-1 stands for an unknown time.", some_rows(lambda row: row | {"createdAt": -1})),
    (
        "messages-dated-in-microseconds",
        "An import wrote microseconds.",
        some_rows(lambda row: row | {"createdAt": row["createdAt"] * 1000}),
    ),
    ("messages-empty-row", "A deleted message is serialised without its fields.", row_list(lambda found: [*found, {}])),
    ("messages-null-row", "A deleted message is a null in its list.", row_list(lambda found: [None, *found])),
    (
        "messages-without-key",
        "A message that is still being sent has no id.",
        some_rows(lambda row: _less(row, "id")),
    ),
    ("messages-without-created-at", "System messages have no time.", some_rows(lambda row: _less(row, "createdAt"))),
    ("messages-without-conversation-id", "The id is known from the path.", without("conversationId")),
    ("messages-newest-first", "The web app shows the newest first.", message_pages(50, newest_first=True)),
    ("messages-pages-overlap", "A page begins with the last row of the one before it.", message_pages(50, overlap=1)),
    ("messages-next-zero-based", "Pages are numbered from 0.", message_pages(50, first=0, end={"more": False})),
    (
        "messages-next-url",
        "A newer framework sends links.",
        convert("pagination.next", lambda found: f"https://driftapi.com/conversations/1/messages?next={found}"),
    ),
    (
        "messages-pagination-in-data",
        "The pagination was serialised with the list that it belongs to.",
        edit(lambda content: placed(content, "data.pagination", content.get("pagination"))),
        drop("pagination"),
    ),
    ("messages-more-missing", "Jackson leaves out primitives with a default.", drop("pagination.more")),
    (
        "messages-more-false-with-next",
        "The next page is counted although there is none.",
        on_last_page(put("pagination", {"more": False, "next": "99"})),
    ),
    (
        "messages-more-as-text",
        "A template writes booleans as text.",
        convert("pagination.more", lambda more: str(more).lower()),
    ),
    (
        "messages-not-found-error-beside-rows",
        "One of the message's authors was not found.",
        put("error", {"type": "not_found"}),
    ),
    (
        "messages-next-malformed",
        "A link is put together from an IPv6 address without its end.",
        message_pages(1, end={"more": False}),
        _at_one(convert("pagination.next", lambda _: "http://[::1/conversations")),
    ),
    (
        "messages-error-in-data",
        "An exception mapper puts its text where the data should be.",
        _at_one(say({"data": {"error": "internal error"}})),
    ),
    (
        "messages-more-for-ever-without-next",
        "A flag was left on in a rewrite.",
        put("pagination", {"more": True}),
    ),
    ("messages-data-is-the-list", "The list was moved up to data, as in the list of conversations.", list_at("data")),
    ("messages-at-root", "The envelope was dropped in a half-done migration.", unwrap()),
    (
        "messages-root-list",
        "A half-done migration answers the bare list, in one piece.",
        message_pages(10_000),
        edit(lambda content: content["data"]["messages"]),
    ),
    (
        "messages-body-of-2-mb",
        "Somebody pastes a log file into the chat.",
        some_rows(lambda row: row | {"body": "x" * 2_000_000}, share=31),
    ),
    ("messages-nul-characters", "A binary file was pasted into the chat.", _body("a\x00b")),
    (
        "messages-deeply-nested",
        "Attributes are free-form, and a bot nests the whole conversation into each.",
        some_rows(lambda row: row | {"attributes": _nested(100)}),
    ),
    (
        "messages-number-of-thirty-digits",
        "A bot writes an identifier as a number.",
        some_rows(lambda row: row | {"attributes": {"order": "9" * 30}}),
        _in_bytes(f'"{"9" * 30}"', b"9" * 30),
    ),
    ("messages-ids-as-text", "Longs are sent as text to be safe for JavaScript.", fields(id=_text)),
    ("messages-attachments-as-ids", "The internal API names attachments by id.", fields(attachments=[11, 12])),
    ("messages-created-at-in-iso", "Jackson writes dates as text in another mode.", fields(createdAt=iso)),
)

_CONTACTS = (
    ("contacts-null-when-erased", "A contact that was erased under GDPR leaves a null.", _at_one(say({"data": None}))),
    ("contacts-empty-object-when-erased", "An erased contact is an object without fields.", _at_one(say({"data": {}}))),
    ("contacts-empty-list-when-erased", "A query by id finds nothing.", _at_one(say({"data": []}))),
    (
        "contacts-array-of-one",
        "The query by id answers a list, as the one by e-mail does.",
        convert("data", lambda row: [row]),
    ),
    ("contacts-at-root", "The envelope was dropped in a half-done migration.", unwrap()),
    ("contacts-merged", "A merged contact answers under the id that is left.", _at_one(rows(_merged))),
    (
        "contacts-oldest-third-gone",
        "An organisation purges contacts that it has not seen for a year.",
        when(_is_of_the_oldest_third, refuse(404, "not_found")),
    ),
    ("contacts-all-404", "The route moved, and its old place knows nothing.", refuse(404, "not_found")),
    ("contacts-410", "An erased contact is marked as gone.", _at_one(refuse(410, "gone"))),
    (
        "contacts-first-thirty-gone",
        "Contacts that nobody talked to for long were purged.",
        on(30, refuse(404, "not_found")),
    ),
    (
        "contacts-404-in-camel-case",
        "The exception's class name is the type of the error.",
        when(_is_of_the_oldest_third, say({"error": {"type": "ContactNotFoundException"}}, 404)),
    ),
    (
        "contacts-404-message-alone",
        "Dropwizard sends a code and a message without an error object.",
        when(_is_of_the_oldest_third, say({"code": 404, "message": "Contact not found"}, 404)),
    ),
    (
        "contacts-external-id-of-twenty-digits",
        "An external id is any number that a customer chose.",
        rows(lambda row: row | {"attributes": row["attributes"] | {"externalId": "80000000000000000003"}}),
        _in_bytes('"80000000000000000003"', b"80000000000000000003"),
    ),
    ("contacts-attributes-null", "An unset map is null in Java.", some_rows(lambda row: row | {"attributes": None})),
    ("contacts-ids-as-floats", "A JSON library without integers sends doubles.", fields(id=float)),
    (
        "attributes-as-map",
        "The properties are kept in a map by name.",
        convert("data.properties", lambda found: {row["name"]: row for row in found}),
    ),
    ("attributes-data-is-the-list", "The list was moved up to data.", list_at("data")),
    ("attributes-null-row", "A property of a deleted type is null.", row_list(lambda found: [*found, None])),
    (
        "emails-404-for-nobody",
        "A search that finds nothing is a 404.",
        where(lambda content: not content["data"], _404()),
    ),
    (
        "emails-null-for-nobody",
        "An empty Optional is null.",
        where(lambda content: not content["data"], put("data", None)),
    ),
    (
        "emails-204-for-nobody",
        "An empty result becomes 204 in JAX-RS.",
        where(lambda content: not content["data"], _204()),
    ),
    ("emails-object", "A single match comes without its array, as the documentation shows.", convert("data", _only)),
)

_REPORTS = (
    ("reports-no-count", "The count was never documented as required.", drop("count")),
    (
        "reports-count-zero-without-data",
        "Jackson leaves out empty lists.",
        where(lambda content: not content["data"], drop("data")),
    ),
    (
        "reports-204-when-none",
        "An empty result becomes 204 in JAX-RS.",
        where(lambda content: not content["data"], _204()),
    ),
    (
        "reports-unknown-metric",
        "A metric was retired, and asking for it is an error.",
        when(_asks_for_unknown_metric, refuse(400, message="Unknown metric: meaningfulConversation")),
    ),
    (
        "reports-202-while-it-runs",
        "A report is a job, which runs at first.",
        at_first(say({"count": 0, "data": [], "status": "RUNNING"}, 202), times=3),
    ),
    (
        "reports-fifty-of-this-minute",
        "Fifty conversations were closed with one click a minute ago.",
        once(lambda _: True, disturb(_touch_fifty)),
    ),
    (
        "reports-know-one-metric",
        "All but one metric were retired.",
        when(lambda asked: set(asked.body.get("metrics", ())) != {"updatedAt"}, refuse(400)),
    ),
    (
        "reports-days-and-an-unknown-metric",
        "The documentation shows filters as days, and a metric was retired.",
        when(lambda asked: not _names_days(asked), refuse(400)),
        when(_asks_for_unknown_metric, refuse(400)),
    ),
    (
        "reports-422-for-an-unknown-metric",
        "Bean validation answers 422.",
        when(_asks_for_unknown_metric, refuse(422)),
    ),
    (
        "reports-more-than-ten-metrics-refused",
        "A @Size(max = 10) on the list of metrics.",
        when(lambda asked: len(asked.body.get("metrics", ())) > 10, refuse(400)),
    ),
    ("reports-numbers-as-text", "A report is written for spreadsheets.", _metrics(lambda _, value: str(value))),
    ("reports-blank-for-missing", "A missing number is an empty text.", _missing_metric("")),
    ("reports-null-for-missing", "A missing number is null.", _missing_metric(None)),
    (
        "reports-bare-nan",
        "Jackson writes NaN without quotation marks in its lenient mode.",
        _in_bytes('"NaN"', b"NaN"),
    ),
    (
        "reports-booleans",
        "A metric that is 0 or 1 is a boolean.",
        _metrics(lambda name, value: bool(value) if name == "meaningfulConversation" else value),
    ),
    (
        "reports-times-in-iso",
        "Jackson writes dates as text in another mode.",
        _metrics(lambda name, value: iso(value) if name.endswith("At") and value != "NaN" else value),
    ),
    ("reports-count-text", "A BIGINT is serialised as text.", convert("count", _text)),
    ("reports-ids-as-text", "Longs are sent as text to be safe for JavaScript.", fields(conversationId=_text)),
    (
        "reports-ranges-over-90-days-refused",
        "The warehouse behind the reports bounds the range of a query.",
        when(lambda asked: report_days(asked) > 90, refuse(400)),
    ),
    (
        "reports-days-wanted",
        "The documentation shows filters as days.",
        when(lambda asked: not _names_days(asked), refuse(400)),
    ),
    (
        "reports-exclusive-ends",
        "BETWEEN leaves out both of its ends.",
        once(lambda _: True, disturb(_put_one_at_an_end)),
        edit_with(_exclusive_ends),
    ),
    (
        "reports-lag",
        "Reports are computed every five minutes.",
        once(lambda _: True, disturb(lambda asked: asked.drift.touch_some(3))),
        edit_with(_lag),
    ),
    ("reports-capped-at-100", "A query returns a hundred rows at most, and counts all.", _cap_report(100)),
    ("reports-capped-at-100-without-count", "A query returns a hundred rows at most.", _cap_report(100, count=False)),
    ("reports-capped-at-10-without-count", "A search engine returns ten rows at most.", _cap_report(10, count=False)),
    ("reports-capped-at-500-without-count", "A query returns 500 rows at most.", _cap_report(500, count=False)),
    ("reports-capped-at-1000-without-count", "A query returns 1,000 rows at most.", _cap_report(1000, count=False)),
    (
        "reports-capped-with-more",
        "A query returns 40 rows at most and says that there are more.",
        _cap_report(40, count=False, more=True),
    ),
    (
        "reports-metrics-as-map",
        "A newer version names the metrics.",
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
        "A query returns a hundred rows at most, and some of them were erased.",
        _cap_report(90, count=False),
        row_list(lambda found: [*found, *[None] * 10] if len(found) == 90 else found),
    ),
    ("reports-page-named-and-ignored", "A generic envelope names a page.", put("pagination", {"next": "2"})),
    ("reports-null-row", "A join found no row.", row_list(lambda found: [*found, None])),
)

_MEETINGS = (
    ("meetings-limit-clamped-to-100", "The default of 100 is also the most.", clamp("limit", 100)),
    ("meetings-limit-clamped-to-250", "The calendar behind the list returns 250 events at most.", clamp("limit", 250)),
    (
        "meetings-limit-above-250-refused",
        "A @Max(250) on the parameter refuses larger limits.",
        when(lambda asked: asked.number("limit", 100) > 250, refuse(400)),
    ),
    (
        "meetings-year-refused",
        "The calendar behind the list bounds the range of a query.",
        when(lambda asked: meeting_days(asked) > 366, refuse(400)),
    ),
    (
        "meetings-far-future-refused",
        "Nobody books a meeting more than a year ahead.",
        when(_ends_too_late, refuse(400)),
    ),
    (
        "meetings-older-refused",
        "Meetings are kept for 30 days, and asking for older ones is an error.",
        when(_starts_too_early, refuse(400)),
    ),
    (
        "meetings-older-answered-with-nothing",
        "Meetings are kept for 30 days, and a range that begins earlier is empty.",
        when(_starts_too_early, say({"data": []})),
    ),
    (
        "meetings-without-slug",
        "Meetings that were booked by an agent have no slug.",
        some_rows(lambda row: _less(row, "slug"), "slug", 3),
    ),
    (
        "meetings-without-agent-id",
        "A meeting that was routed to nobody has no agent.",
        some_rows(lambda row: _less(row, "agentId"), "slug", 3),
    ),
    (
        "meetings-null-when-none",
        "Jackson leaves out empty lists.",
        where(lambda content: not content["data"], drop("data")),
    ),
    ("meetings-under-meetings", "A half-done migration names the list.", list_at("data.meetings")),
    ("meetings-root-list", "The envelope was dropped in a half-done migration.", unwrap()),
    (
        "meetings-repeated-in-every-range",
        "A meeting belongs to every range that it touches.",
        row_list(lambda found: found * 2),
    ),
)

_LISTS = (
    ("users-without-key", "An invited user has no id yet.", some_rows(lambda row: _less(row, "id"), share=2)),
    (
        "users-status-error-without-data",
        "A JSend envelope says error in its status.",
        say({"status": "error", "data": None}),
    ),
    ("users-null-row", "A deleted user is null.", row_list(lambda found: [*found, None])),
    (
        "users-paged-by-pagination",
        "Large organisations made it necessary to page.",
        pages(2, lambda content, offset: content | {"pagination": {"more": True, "next": str(offset)}}),
    ),
    (
        "users-paged-by-links",
        "Large organisations made it necessary to page.",
        pages(
            2,
            lambda content, offset: (
                content | {"links": {"next": f"https://driftapi.com/users/list?page_token={offset}"}}
            ),
        ),
    ),
    ("users-under-users", "A half-done migration names the list.", list_at("data.users")),
    ("users-root-list", "The envelope was dropped in a half-done migration.", unwrap()),
    (
        "users-as-map",
        "The call for some users answers a map by id.",
        convert("data", lambda found: {str(row["id"]): row for row in found}),
    ),
    ("users-ids-as-text", "Longs are sent as text to be safe for JavaScript.", fields(id=_text)),
    ("teams-root-list", "The envelope was dropped in a half-done migration.", unwrap()),
    ("teams-null-when-none", "Jackson leaves out empty lists.", drop("data")),
    ("playbooks-in-data", "All other lists stand in data.", wrap_in("data")),
    ("playbooks-null-row", "A playbook that was switched off leaves a null.", row_list(lambda found: [None, *found])),
    ("playbooks-204-when-none", "An empty result becomes 204 in JAX-RS.", empty(204)),
    ("pages-in-data", "All other lists stand in data.", wrap_in("data")),
    (
        "pages-without-key",
        "A page that belongs to no playbook any more has no id.",
        some_rows(lambda row: _less(row, "playbookId"), "landingPageUrl", 2),
    ),
    ("stats-in-data", "All other answers stand in data.", wrap_in("data")),
    (
        "stats-lower-case",
        "Statuses are in lower case everywhere else.",
        convert("conversationCount", lambda found: {status.lower(): count for status, count in found.items()}),
    ),
    (
        "stats-null-counts",
        "A status that nobody has is null.",
        edit(lambda content: {"conversationCount": dict.fromkeys(content["conversationCount"])}),
    ),
    (
        "stats-as-list",
        "A GROUP BY answers rows.",
        convert(
            "conversationCount", lambda found: [{"status": status, "count": count} for status, count in found.items()]
        ),
    ),
)

_TOKENS = (
    ("token-info-400", "The service wants the camel-case name of the token.", refuse(400)),
    ("token-info-403", "Private tokens may not be looked into.", refuse(403, "permission_error")),
    ("token-info-404", "The route belongs to the app store, which is switched off.", refuse(404, "not_found")),
    ("token-info-500", "The OAuth server behind the route is switched off.", refuse(500, "server_error")),
    ("token-info-html", "The gateway answers a page for a route that it does not know.", html(404, "Not found")),
    ("token-info-empty-object", "Private tokens have no entry, and Jackson leaves out nulls.", say({})),
    ("token-info-in-data", "All other answers stand in data.", wrap_in("data")),
    (
        "token-info-token-renamed",
        "The token is sent back in camel case.",
        edit(lambda content: _renamed(content, "access_token", "accessToken")),
    ),
    (
        "token-info-token-as-id",
        "The token is the key of its own entry.",
        edit(lambda content: content | {"id": content["access_token"]}),
    ),
    (
        "token-info-scope-list",
        "A newer framework sends a list of scopes.",
        convert("scope", lambda scope: scope.split()),
    ),
    (
        "token-403-when-expired",
        "Spring Security answers 403 for a token that it does not know.",
        restatus(401, 403),
    ),
    (
        "token-403-when-access-token-expires",
        "Spring Security answers 403 for an access token that has expired.",
        restatus(401, 403),
    ),
    (
        "token-401-without-body-when-access-token-expires",
        "Spring Security answers 401 without a body.",
        Deviation(alter=lambda _, answer: Answer(401, b"", {}) if answer.status == 401 else answer),
    ),
    ("token-401-for-missing-scope", "Some services answer a missing scope with 401.", restatus(403, 401)),
    ("oauth-no-new-refresh-token", "A refresh token stays as it is, as RFC 6749 allows.", drop("refresh_token")),
    ("oauth-expires-in-text", "A template writes numbers as text.", convert("expires_in", _text)),
    (
        "oauth-expires-in-milliseconds",
        "The documentation of token_info says milliseconds.",
        convert("expires_in", lambda seconds: seconds * 1000),
    ),
    ("oauth-503-once", "The token endpoint is restarted.", between(1, 1, html(503, "Service Unavailable"))),
)

_GATEWAY = (
    (
        "gateway-401-now-and-then",
        "One of the gateway's nodes has an old list of keys.",
        every(250, empty(401), first=100),
    ),
    (
        "gateway-403-now-and-then",
        "A firewall takes one request in some hundred for an attack.",
        every(250, html(403), first=100),
    ),
    ("gateway-400-now-and-then", "A proxy breaks a header once in a while.", every(250, html(400), first=100)),
    (
        "gateway-401-in-json-now-and-then",
        "The cache of tokens is empty for a moment.",
        every(250, refuse(401, "authentication_error"), first=100),
    ),
    (
        "gateway-401-without-body-now-and-then",
        "Spring Security answers 401 without a body.",
        every(250, empty(401), first=100),
    ),
    (
        "gateway-404-message-during-deploy",
        "While pods are replaced the gateway knows no route, and says so in JSON of its own.",
        between(6, 20, say({"message": "no Route matched with those values"}, 404)),
    ),
    (
        "gateway-404-message-and-request-during-deploy",
        "While pods are replaced the gateway knows no route, and repeats the request in its own JSON.",
        between(6, 20, say({"message": "Route not found", "request": {"type": "GET"}}, 404)),
    ),
    (
        "gateway-retry-after-year-10000",
        "A date is computed from the largest integer.",
        every(20, say(_SERVER_ERROR, 429, Retry_After="Mon, 01 Jan 99999 00:00:00 GMT")),
    ),
    (
        "gateway-404-html-during-deploy",
        "While pods are replaced the gateway knows no route.",
        between(6, 20, html(404)),
    ),
    ("gateway-503-for-150-seconds", "A deploy that goes wrong takes minutes.", between(20, 220, html(503))),
    ("gateway-502-now-and-then", "A pod ends while it answers.", every(20, html(502))),
    ("gateway-520-now-and-then", "Cloudflare has statuses of its own.", every(20, html(520))),
    ("gateway-409-now-and-then", "Optimistic locking fails for a read.", every(90, refuse(409, "conflict"))),
    ("gateway-204-once", "A cache answers without a body before it is filled.", at_first(empty(204))),
    ("gateway-empty-body-once", "A cache answers before it is filled.", at_first(say(b""))),
    ("gateway-html-once", "A maintenance page comes with status 200.", at_first(html(200, "Maintenance"))),
    ("gateway-error-object-once", "An exception mapper forgets the status.", at_first(say(_SERVER_ERROR))),
    (
        "gateway-throttle-as-403",
        "An old gateway answers 403 when the rate is exceeded.",
        every(10, refuse(403, "rate_limit", "Rate limit exceeded")),
    ),
    (
        "gateway-throttle-as-503",
        "AWS answers 503 when the rate is exceeded.",
        every(10, say(_SERVER_ERROR, 503, Retry_After="1")),
    ),
    ("gateway-429-html", "The gateway throttles with a page.", every(10, html(429))),
    *(
        (
            f"gateway-retry-after-{name}",
            why,
            every(20, say({"error": {"type": "rate_limit_error", "message": ""}}, 429, Retry_After=value)),
        )
        for name, value, why in (
            ("milliseconds", "1500", "The wait is told in milliseconds."),
            ("negative", "-1", "The wait is computed from a clock that is behind."),
            ("fraction", "0.5", "The wait is a decimal number although the standard says seconds."),
            ("soon", "soon", "Somebody wrote a text into the configuration of the gateway."),
        )
    ),
    (
        "gateway-redirects-to-another-host",
        "Drift moves into Salesloft's platform.",
        Deviation(ask=lambda asked: Answer(302, b"", {"Location": f"https://drift.salesloft.example{asked.path}"})),
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
        "A cache sends the date of the answer that it kept.",
        header("Date", "Thu, 01 Jan 2015 00:00:00 GMT"),
    ),
    ("gateway-date-unreadable", "A proxy writes a date of its own.", header("Date", "today")),
    ("gateway-no-date", "A proxy leaves the date out.", header("Date", "")),
    (
        "gateway-set-cookie",
        "A load balancer keeps a client at one node.",
        header("Set-Cookie", "AWSALB=abc; Path=/; Secure"),
    ),
    ("gateway-gzip", "The gateway packs answers.", packed()),
    ("gateway-chunked", "The gateway does not know the length yet.", header("Transfer-Encoding", "chunked")),
    ("gateway-charset", "Spring adds the character set.", media_type("application/json;charset=UTF-8")),
    (
        "gateway-wrong-charset",
        "Servlets declare Latin-1 unless told otherwise.",
        media_type("application/json;charset=ISO-8859-1"),
    ),
    ("gateway-text-plain", "A proxy does not know the type.", media_type("text/plain")),
    ("gateway-text-html", "A framework's default type is text/html.", media_type("text/html; charset=utf-8")),
    ("gateway-no-content-type", "A proxy drops the type.", media_type("")),
    ("gateway-201", "A generic handler answers 201.", status(201)),
    ("gateway-206", "A cache answers a part that is the whole.", status(206)),
    ("json-byte-order-mark", "A .NET service writes a byte order mark.", raw(lambda body: _BOM + body)),
    ("json-white-space", "A template leaves lines before and behind.", raw(lambda body: b"\n\n  " + body + b"\n")),
    (
        "json-trailing-garbage",
        "A proxy appends a comment to every page.",
        raw(lambda body: body + b"\n<!-- edge-7 -->"),
    ),
    ("json-escaped-slashes", "PHP escapes slashes.", raw(lambda body: body.replace(b"/", rb"\/"))),
    ("json-ascii", "Everything but ASCII is escaped, emoji as two surrogates.", raw(_ascii)),
    ("json-error-null", "Every answer has a field for its error.", edit(lambda content: _beside(content, error=None))),
    ("json-errors-empty", "Every answer has a list of its errors.", edit(lambda content: _beside(content, errors=[]))),
    (
        "json-warnings",
        "A deprecation is announced beside the data.",
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
"""All dialects by name, in the order of the areas."""
