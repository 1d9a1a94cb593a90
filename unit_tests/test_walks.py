"""Pagination follows the links in responses, reads every record once, requests no URL from a response, and ends."""

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import requests

from unit_tests.conftest import (
    API,
    DAY,
    MINUTE,
    NOW,
    STREAMS,
    Answer,
    Connector,
    Drift,
    Outcome,
    parts,
    response,
)

LIST = "/conversations/list"
MESSAGES = "/conversations/1/messages"


def rows(*keys: int) -> list[dict[str, Any]]:
    """Conversations in the order of the list, newest first."""
    return [{"id": key, "updatedAt": NOW - 1_000_000 - 1000 * key} for key in keys]


def link(token: Any) -> str:
    return f"https://api.drift.com{LIST}?limit=50&page_token={quote(str(token), safe='')}"


def linked(token: Any, *keys: int, **more: Any) -> dict[str, Any]:
    """A page of generation 2."""
    return {"data": rows(*keys), "links": {"self": link("self"), "next": token and link(token)}, **more}


def numbered(token: Any, *keys: int, **more: Any) -> dict[str, Any]:
    """A page of generation 1."""
    return {"data": rows(*keys), "pagination": {"more": True, "next": token, **more}}


def query_of(request: requests.PreparedRequest) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(str(request.url)).query, keep_blank_values=True))


def script(drift: Drift, pages: Mapping[str, Any], path: str = LIST) -> None:
    """Respond with the page of a token, in either parameter, and with 400 to an unknown token."""

    def answer(request: requests.PreparedRequest) -> Any:
        query = query_of(request)
        token = query.get("page_token") or query.get("next") or ""
        return pages.get(token, Answer({"error": {"type": "unknown_page"}}, 400))

    drift.answers(path, answer)


def assert_only_ours(drift: Drift) -> None:
    assert [request.url for request in drift.foreign] == []
    assert {urlsplit(request.url)[:2] for request in drift.requests} == {("https", "driftapi.com")}


def assert_read(outcome: Outcome, keys: Iterable[Any], stream: str = "conversations") -> None:
    """Check that exactly these keys come, each once."""
    assert outcome.status(stream) == "COMPLETE", outcome.summary
    assert sorted(outcome.keys(stream)) == sorted(keys)


def assert_refused(outcome: Outcome, *said: str, stream: str = "conversations") -> None:
    assert outcome.status(stream) == "INCOMPLETE", outcome.summary
    assert all(part in outcome.error(stream).message for part in said), outcome.summary


# Conversations


class ConversationList:
    """Drift's list: paginated by an offset in generation 1, by the last row in generation 2, or by both.

    `last` is the form of its last page.
    """

    def __init__(self, count: int, generation: str, last: str = "missing", limit: int = 50) -> None:
        self.rows = rows(*range(1, count + 1))
        self.generation, self.last, self.limit = generation, last, limit

    def __call__(self, request: requests.PreparedRequest) -> Any:
        query = query_of(request)
        limit, token = min(int(query.get("limit", 25)), self.limit), query.get("page_token", "")
        keys = [f"é+/={row['updatedAt']}&%#{row['id']}" for row in self.rows]
        start = int(query["next"]) if "next" in query else keys.index(token) + 1 if token else 0
        page = self.rows[start : start + limit]
        body: dict[str, Any] = {"data": page}
        is_last = start + limit >= len(self.rows)
        if self.generation != "links" and (not is_last or self.last == "null"):
            body["pagination"] = {"more": not is_last, "next": None if is_last else str(start + limit)}
        if self.generation != "next":
            body["links"] = {"self": link("self")}
            if not is_last or (self.last == "empty-page" and page):
                body["links"]["next"] = link(keys[start + len(page) - 1])
            elif self.last != "missing":
                body["links"]["next"] = {"null": None, "blank": " ", "no-token": link("")}.get(self.last)
        return body


ODD: list[Any] = [None, "next", 1, [], True]
NO_PAGE: list[Any] = [False, {}, "null"]


@pytest.mark.parametrize(
    ("generation", "count", "last", "limit"),
    [
        *[("links", count, "missing", 50) for count in (0, 1, 50, 51, 120)],
        *[("links", 100, last, 50) for last in ("null", "blank", "no-token", "empty-page")],
        *[("next", *case) for case in ((1, "missing", 50), (120, "missing", 50), (100, "null", 50))],
        *[("both", *case) for case in ((120, "missing", 50), (100, "null", 50), (100, "empty-page", 50))],
        ("links", 60, "missing", 25),
        ("next", 5, "missing", 1),
    ],
)
def test_every_conversation_once(
    drift: Drift, connector: Connector, generation: str, count: int, last: str, limit: int
) -> None:
    """A list of any length is read completely, with every form of its last page, even if Drift limits the page size."""
    drift.answers(LIST, ConversationList(count, generation, last, limit))
    assert_read(connector.read("conversations"), range(1, count + 1))
    assert_only_ours(drift)
    assert drift.queries(LIST)[0] == {"limit": "50", "page_token": ""}


@pytest.mark.parametrize(
    ("pages", "keys"),
    [
        # Generation 2 has priority, whatever `more` says.
        ({"": linked("b", 1, pagination={"more": False, "next": "x"}), "b": linked("", 2, more=False)}, 2),
        # `links` without a next page is not the end if `pagination` has one.
        ({"": {**numbered("b", 1), "links": {"self": link("a")}}, "b": numbered(None, 2, more=False)}, 2),
        # A read that started with `next` continues with `next` even if links appear later.
        ({"": numbered("b", 1), "b": {**numbered("c", 2), "links": {"next": link("x")}}, "c": {"data": rows(3)}}, 3),
        # In generation 1, `more: false` ends the read even if there is a next page.
        ({"": numbered("b", 1), "b": numbered("c", 2, more=False), "c": {"data": rows(666)}}, 2),
        *[({"": numbered("b", 1), "b": {"data": rows(2), "pagination": end}}, 2) for end in ({}, {"next": ""}, None)],
        # Other forms of links.
        ({"": {"data": rows(1), "links": [{"rel": "next", "href": link("b")}]}, "b": linked("", 2)}, 2),
        ({"": {"data": rows(1), "_links": {"next": {"href": link("b")}}}, "b": linked("", 2)}, 2),
        ({"": {"data": rows(1), "links": {"next": "b"}}, "b": linked("", 2)}, 2),
        ({"": numbered(2, 1), "2": {"data": rows(2)}}, 2),
        *[({"": {"data": rows(1), "links": odd}}, 1) for odd in ODD],
        *[({"": {"data": rows(1), "pagination": odd}}, 1) for odd in ODD],
        *[({"": {"data": rows(1), "links": {"next": odd}}}, 1) for odd in NO_PAGE],
        # Hidden rows cause empty pages.
        ({"": linked("b", 1), "b": linked("c"), "c": linked("d"), "d": linked("e"), "e": linked("", 2)}, 2),
        ({"": linked("b"), "b": linked("", 1)}, 1),
        # The page after the end may have no list.
        ({"": linked("b", 1), "b": {"links": {}}}, 1),
        # An empty page that links to itself or to an earlier page is the end, and so is a loop.
        ({"": linked("b", 1), "b": linked("c", 2), "c": linked("c")}, 2),
        ({"": linked("b", 1), "b": linked("c", 2), "c": linked("b", 3)}, 3),
        ({"": linked("b", 1), "b": linked("b", 1)}, 1),
        # A page that repeats rows of the previous one.
        ({"": numbered("b", 1, 2, 3), "b": numbered(None, 3, 4, more=False)}, 4),
    ],
    ids=str,
)  # fmt: skip
def test_pages_are_followed_to_the_end(drift: Drift, connector: Connector, pages: Mapping[str, Any], keys: int) -> None:
    """With any form of the next link, all rows come, each once."""
    script(drift, pages)
    assert_read(connector.read("conversations"), range(1, keys + 1))
    assert_only_ours(drift)


@pytest.mark.parametrize(
    "pagination",
    [
        {"more": True},
        {"more": True, "next": None},
        {"more": True, "next": ""},
        {"next": {"after": 5}},
        {"has-more": True},
    ],
)
def test_more_without_a_next_page_is_an_error(drift: Drift, connector: Connector, pagination: Any) -> None:
    """A response with records that says that there are more, without a next page, is not the end."""
    script(drift, {"": {"data": rows(1), "pagination": pagination}})
    assert_refused(connector.read("conversations"), "there are more", "names no next page")
    script(drift, {"": {"data": {"messages": rows(1)}, "pagination": pagination}}, MESSAGES)
    drift.answers(LIST, {"data": [{"id": 1}]})
    assert_refused(connector.read("messages"), "there are more", stream="messages")


@pytest.mark.parametrize(("stream", "most"), [("conversations", 102), ("messages", 10)])
def test_endless_pages_without_new_rows_are_an_error(
    drift: Drift, connector: Connector, stream: str, most: int
) -> None:
    """Endless pages with the same records stop the stream; for one conversation, they cost few requests."""
    path = STREAMS[stream].path

    def answer(request: requests.PreparedRequest) -> Any:
        token = str(len(drift.asked(path)))
        body = linked(token, 1)
        return body if stream == "conversations" else {**body, "data": {"messages": body["data"]}}

    drift.answers(path, answer)
    assert_refused(connector.read(stream), "keeps naming more pages", stream=stream)
    assert 5 < len(drift.asked(path)) <= most


@pytest.mark.parametrize(("stream", "most"), [("users", 102), ("messages", 10)])
def test_empty_pages_end_with_a_warning(drift: Drift, connector: Connector, stream: str, most: int) -> None:
    """A limited number of empty pages is read, and then taken for the end."""
    path = STREAMS[stream].path

    def answer(request: requests.PreparedRequest) -> Any:
        asked = query_of(request).get("page_token")
        body = linked(len(drift.asked(path)), *([] if asked else [1]))
        return body if stream == "users" else {**body, "data": {"messages": body["data"]}}

    drift.answers(path, answer)
    outcome = connector.read(stream)
    assert_read(outcome, [1], stream)
    assert len(drift.asked(path)) <= most
    assert [line for line in outcome.logs("WARN") if line.startswith(f"{stream}: ") and "more pages" in line]


# Tokens and links

ODD_TOKENS = ["a+b", "a/b", "a=b==", "a&b=c", "a%b", "a%20b", "a#b", "a b", "é", "日本", "😀", "1e5", "007", "1_000"]
ODD_TOKENS += ["[1]", "'a'", '"a"', "a\\b", "{{ config }}", "{% raw %}", "a;b", "a\tb", "9" * 20, "//x.example"]
HOSTILE = [
    "//evil.example/x?page_token={}",
    "http://driftapi.com/conversations/list?page_token={}",
    "https://evil.example/conversations/list?page_token={}",
    "https://driftapi.com:8443/conversations/list?page_token={}",
    "https://driftapi.com@evil.example/conversations/list?page_token={}",
    "https://user:password@driftapi.com/conversations/list?page_token={}",
    "https://driftapi.com.evil.example/?page_token={}",
    "https:\\\\evil.example\\x?page_token={}",
    "javascript:fetch('https://evil.example')?page_token={}",
    "file:///etc/passwd?page_token={}",
    "https://evil.example/x?page_token={}#page_token=c",
    "https://[::1/x?page_token={}",
    "?page_token={}",
    "/../../oauth2/token?page_token={}",
    " https://evil.example/x?page_token={}&api_url=https://evil.example",
    "https://evil.example/\r\nHost: evil.example?page_token={}",
]


@pytest.mark.parametrize("form", ["links", "pagination"])
def test_tokens_are_sent_unchanged(drift: Drift, connector: Connector, form: str) -> None:
    """A token that needs encoding, or that looks like a literal or a template, is sent unchanged."""
    tokens = ODD_TOKENS if form == "links" else [token for token in ODD_TOKENS if "?" not in token]
    page = linked if form == "links" else numbered
    names = zip(["", *tokens], [*tokens, None], strict=True)
    pages = {name: page(follows, key) for key, (name, follows) in enumerate(names)}
    script(drift, {**pages, tokens[-1]: {"data": rows(len(tokens))}})
    outcome = connector.read("conversations")
    parameter = "page_token" if form == "links" else "next"
    sent = [query.get(parameter) for query in drift.queries(LIST)]
    # Afterward, the first page is requested again.
    assert [token for token in sent if token][: len(tokens)] == tokens, outcome.summary
    assert_read(outcome, range(len(tokens) + 1))


def test_hostile_links_are_requested_from_our_own_host(drift: Drift, connector: Connector) -> None:
    """Only the query of a link is used, whatever its host and path."""
    pages = {str(key or ""): linked(None, key) for key in range(len(HOSTILE) + 1)}
    for key, hostile in enumerate(HOSTILE):
        pages[str(key or "")]["links"]["next"] = hostile.format(key + 1)
    script(drift, pages)
    outcome = connector.read("conversations")
    assert_read(outcome, range(len(HOSTILE) + 1))
    assert_only_ours(drift)
    assert {urlsplit(request.url).path for request in drift.requests} == {LIST}
    assert outcome.holds("evil.example") == []


@pytest.mark.parametrize(
    "named", ["https://evil.example/x?page_token=", link(""), {}, {"href": None}, {"after": "", "link": None}], ids=str
)
def test_link_without_a_token_is_the_end(drift: Drift, connector: Connector, named: Any) -> None:
    """An empty token means that there is no next page."""
    script(drift, {"": {"data": rows(1), "links": {"next": named}}})
    assert_read(connector.read("conversations"), [1])
    assert_only_ours(drift)
    assert len(drift.requests) <= 8


# Rows that move


def moving(drift: Drift, generation: str, is_due: Callable[[int], bool], count: int = 120) -> ConversationList:
    """A list whose last row is updated at given requests."""
    listed = ConversationList(count, generation)

    def answer(request: requests.PreparedRequest) -> Any:
        page = listed(request)
        number = len(drift.asked(LIST))
        if is_due(number):
            listed.rows = [{"id": listed.rows[-1]["id"], "updatedAt": NOW + number}, *listed.rows[:-1]]
        return page

    drift.answers(LIST, answer)
    return listed


@pytest.mark.parametrize("generation", ["links", "next"])
def test_conversation_updated_during_a_read_is_not_lost(drift: Drift, connector: Connector, generation: str) -> None:
    """A row that moves to the top of the list during a read is found by a second request for the first page."""
    moving(drift, generation, lambda number: number == 1)
    outcome = connector.read("conversations")
    assert_read(outcome, range(1, 121))
    # Three pages, the moved row with the page after it, and the first page once more.
    assert len(drift.asked(LIST)) <= 6


def test_list_that_keeps_changing_succeeds(drift: Drift, connector: Connector) -> None:
    """An update after every request is no error: the first page is requested three more times at most."""
    moving(drift, "links", lambda number: True)
    outcome = connector.read("conversations")
    assert (outcome.status("conversations"), set(outcome.keys("conversations"))) == ("COMPLETE", {*range(1, 121)})
    assert len(drift.asked(LIST)) <= 3 + 3 * 2


def test_unchanged_list_costs_one_more_request(drift: Drift, connector: Connector) -> None:
    """After one page, there is no second look; after several pages, the second look repeats no row."""
    for count, asked in ((50, 1), (120, 4)):
        drift.requests.clear()
        drift.answers(LIST, ConversationList(count, "links"))
        assert_read(connector.read("conversations"), range(1, count + 1))
        assert len(drift.asked(LIST)) == asked


@pytest.mark.parametrize(
    ("updated", "stops"),
    [
        ([NOW - 1, NOW - 2], True),
        ([NOW - 1], False),
        ([NOW, NOW - 1], False),
        ([NOW - 1, NOW + DAY, NOW - 2], False),
        ([str(NOW - 1), NOW - 2], True),
        ([], False),
        *[([NOW - 1, odd, NOW - 2], False) for odd in [*ODD, 0, -1, {}]],
    ],
    ids=str,
)
def test_only_a_page_of_older_rows_ends_a_read(updated: list[Any], stops: bool) -> None:
    """A page of several rows ends a read only if all of them are older than its start; a row without a time is not."""
    [made] = parts("conversations")
    pages, listed = made.pages, [{"id": key, "updatedAt": time} for key, time in enumerate(updated)]
    answer = response({"data": listed, "links": {"next": link("b")}})
    assert (pages.initial_token, pages.get_page_size()) == ("limit=50&page_token=", None)
    list(made.extractor.extract_records(answer))
    token = pages.next_page_token(answer, len(updated), None, None, stream_slice={"start_time": str(NOW)})
    assert token == (None if stops else "limit=50&page_token=b#1")


@pytest.mark.parametrize(("ahead", "is_refused"), [(DAY, True), (5 * MINUTE, False)])
def test_start_in_the_future_is_a_config_error(
    drift: Drift, connector: Connector, ahead: int, is_refused: bool
) -> None:
    """A state in the future would read nothing until then, so it is an error, unless it is within the look-back."""
    outcome = connector.read("conversations", state={"updatedAt": str(NOW + 10 * MINUTE + ahead)})
    if not is_refused:
        assert outcome.status("conversations") == "COMPLETE", outcome.summary
        return
    assert_refused(outcome, "would start in the future")
    assert outcome.error("conversations").failure_type.value == "config_error"


# Accounts


def accounts(following: Any, *keys: Any, **more: Any) -> dict[str, Any]:
    return {"data": {"accounts": [{"accountId": str(key)} for key in keys], "next": following, **more}}


class AccountList:
    """Drift's list of accounts.

    `form` is the form of the next link, `most` is the maximum page size, `kind` is the meaning of `index`, `hidden` are
    the rows that are filtered out of a page, and `always` adds a next link to the last page, too.
    """

    def __init__(self, count: int, form: str = "/accounts?index={index}&size={size}", most: int = 65) -> None:
        self.keys, self.form, self.most = list(range(1, count + 1)), form, most
        self.kind, self.hidden, self.always, self.total = "position", set[int](), False, len(self.keys)

    def __call__(self, request: requests.PreparedRequest) -> Any:
        query = {name: int(value) for name, value in query_of(request).items()}
        index, size = query["index"], min(query.get("size", 65), self.most)
        start = {"page": index * size, "floored": index // size * size}.get(self.kind, index)
        page = [key for key in self.keys[start : start + size] if key not in self.hidden]
        body = accounts(None, *page, total=self.total)
        if start + size < len(self.keys) or (self.always and start < len(self.keys)):
            following = index + 1 if self.kind == "page" else start + size
            body["data"]["next"] = self.form.format(index=following, size=size)
        return body


FORMS = [
    "https://driftapi.com/accounts/?size={size}&index={index}",
    "https://evil.example/accounts?index={index}&size={size}",
    "//evil.example/?index={index}",
    "?index={index}&size={size}#index=0",
    "{index}",
]


@pytest.mark.parametrize(
    ("count", "change"),
    [
        *[(count, {}) for count in (0, 1, 65, 66, 203)],
        *[(131, {"form": form}) for form in FORMS],
        *[(60, {"most": most}) for most in (10, 25, 50)],
        (131, {"kind": "page"}),
        (131, {"kind": "floored"}),
        (130, {"always": True}),
        (131, {"hidden": {2, 3, *range(66, 131)}, "total": 64}),
    ],
    ids=str,
)
def test_every_account_once(drift: Drift, connector: Connector, count: int, change: dict[str, Any]) -> None:
    """A list of any length is read completely from our own host, however Drift numbers and links its pages."""
    listed = AccountList(count)
    vars(listed).update(change)
    drift.answers("/accounts", listed)
    outcome = connector.read("accounts")
    assert_read(outcome, [str(key) for key in listed.keys if key not in listed.hidden], "accounts")
    assert_only_ours(drift)
    assert drift.queries("/accounts")[0] == {"index": "0", "size": "65"}
    assert outcome.logs("WARN") == []


@pytest.mark.parametrize("total", [200, "200", 64, 0, None, "many", True])
def test_wrong_total_causes_another_read_and_a_warning(drift: Drift, connector: Connector, total: Any) -> None:
    """A total above the number of rows is no proof: the list is read again, and a warning has both numbers."""
    listed = AccountList(130)
    listed.total = total
    drift.answers("/accounts", listed)
    outcome = connector.read("accounts")
    assert_read(outcome, map(str, range(1, 131)), "accounts")
    if total in (200, "200"):
        [line] = outcome.logs("WARN")
        assert re.search(r"\b200\b.*\b130\b", line)
        assert len(drift.requests) in (4, 5)
    else:
        assert (outcome.logs("WARN"), len(drift.requests)) == ([], 2)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        # A row that was read is deleted, so that later rows move to a page that was already read.
        (range(150), [*range(10), *range(11, 150)]),
        # A row that was not read moves to a page that was already read.
        (range(130), [100, *range(100), *range(101, 130)]),
        # Two rows on different pages are swapped.
        (range(130), [*range(64), 65, 64, *range(66, 130)]),
        (range(130), ["new", *range(130)]),
    ],
    ids=["deleted", "moved", "border", "new"],
)
def test_accounts_that_move_are_found_by_another_read(
    drift: Drift, connector: Connector, first: Iterable[Any], then: list[Any]
) -> None:
    """Accounts that move during a read are found by the second read, which the total causes."""
    listed = AccountList(0)
    listed.keys = list(first)
    listed.total = len(listed.keys)

    def answer(request: requests.PreparedRequest) -> Any:
        page = listed(request)
        listed.keys = then
        return page

    drift.answers("/accounts", answer)
    outcome = connector.read("accounts")
    assert outcome.status("accounts") == "COMPLETE", outcome.summary
    assert {*map(str, first)} | {*map(str, then)} == {*outcome.keys("accounts")} | ({"new"} & {*map(str, then)})


# Messages


def page(*keys: int, **pagination: Any) -> dict[str, Any]:
    """A page of messages, by default without `pagination`."""
    body: dict[str, Any] = {"data": {"messages": [{"id": key, "createdAt": NOW - key} for key in keys]}}
    return {**body, "pagination": pagination} if pagination else body


@pytest.mark.parametrize(
    ("count", "size", "last"),
    [(count, 50, {"more": False}) for count in (0, 1, 50, 51, 120)]
    + [(150, 100, {}), (150, 150, {}), (50, 50, {}), (100, 50, {"next": None}), (100, 50, {"more": False, "next": 2})],
)
def test_every_message_once(drift: Drift, connector: Connector, count: int, size: int, last: dict[str, Any]) -> None:
    """A conversation of any length is read completely in pages of any size, with no parameter except `next`."""

    def answer(request: requests.PreparedRequest) -> Any:
        number = int(query_of(request).get("next", 1))
        keys = range(size * (number - 1) + 1, min(size * number, count) + 1)
        return page(*keys, **({"more": True, "next": number + 1} if size * number < count else last))

    drift.answers(MESSAGES, answer)
    assert_read(connector.read("messages"), range(1, count + 1), "messages")
    names = range(2, (max(count, 1) - 1) // size + 2)
    assert [request.path_url for request in drift.asked(MESSAGES)] == [
        MESSAGES,
        *[f"{MESSAGES}?next={n}" for n in names],
    ]


def test_conversation_deleted_during_a_read_keeps_its_rows(drift: Drift, connector: Connector) -> None:
    """A 404 on a later page is logged and is no error."""
    drift.answers(MESSAGES, page(1, more=True, next=2), Answer({"error": {"type": "not_found"}}, 404))
    outcome = connector.read("messages")
    assert_read(outcome, [1], "messages")
    assert [
        line
        for line in outcome.logs("INFO")
        if "messages: skipped a deleted record. Drift answered GET /conversations/1/m" in line
    ]


@pytest.mark.parametrize("bad", [Answer({"error": {"type": "x"}}, 418), {"data": {"secret": {"a": 1}}}], ids=str)
def test_second_page_that_fails_fails_the_stream(drift: Drift, connector: Connector, bad: Any) -> None:
    """A conversation that can't be read completely makes the stream INCOMPLETE."""
    drift.answers(MESSAGES, page(1, more=True, next=2), bad)
    assert_refused(connector.read("messages"), "1 of the conversations could not be read", stream="messages")


def test_a_link_that_leads_back_once_is_followed_once_more() -> None:
    """A page with new rows and a link to itself is requested again, not left for a link that counts rows."""
    [made] = parts("conversations")
    token, followed = made.pages.initial_token, list[str | None]()
    for key in (1, 2, 2, 2):
        links = {"links": {"next": "/conversations/list?page_token=b"}, "pagination": {"next": key * 50}}
        answer = response(
            {"data": [{"id": key, "updatedAt": NOW - key}]} | links, url=f"{API}/conversations/list?{token}"
        )
        list(made.extractor.extract_records(answer))
        token = made.pages.next_page_token(answer, 1, None, stream_slice={"start_time": "0"})
        followed.append(token and token.partition("#")[0])
    assert followed == ["page_token=b", "page_token=b", "next=100", "limit=50&page_token="]


def test_reads_in_several_threads_are_separate() -> None:
    """One instance serves all threads: pages with the same tokens in other conversations are not a loop."""
    [made] = parts("messages")

    def walk(conversation: int) -> int:
        names, token, read = [str(number * conversation % 101) for number in range(1, 30)], made.pages.initial_token, 0
        for key, name in enumerate([*names, ""]):
            answer = response(page(key, more=bool(name), next=name), url=f"{API}{MESSAGES}?{token or ''}")
            read += len(list(made.extractor.extract_records(answer)))
            token = made.pages.next_page_token(answer, 1, None)
            assert str(token).partition("#")[0] == (f"next={name}" if name else "None")
        return read

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(walk, range(1, 40))) == {30}


# Lists without pages


@pytest.mark.parametrize("stream", ["users", "teams", "playbooks", "landing_pages", "contact_attributes"])
def test_list_without_pages_is_one_request(drift: Drift, connector: Connector, stream: str) -> None:
    """A list without pages is requested without parameters; if it has a next page, that page is read."""
    path, one = STREAMS[stream].path, STREAMS[stream].one
    two = f"{one}2" if isinstance(one, str) else 2
    assert_read(connector.read(stream), [one], stream)
    assert [request.path_url for request in drift.requests] == [path]
    root = {} if isinstance(STREAMS[stream].body(), dict) else {"data": STREAMS[stream].body()}
    first = {**(root or STREAMS[stream].body()), "links": {"next": f"https://evil.example{path}?page_token=b"}}
    drift.answers(path, first, STREAMS[stream].body(two))
    assert_read(connector.read(stream), [one, two], stream)
    assert drift.requests[-1].path_url == f"{path}?page_token=b"
