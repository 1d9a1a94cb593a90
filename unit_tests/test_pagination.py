"""Where a walk goes on and where it ends: every record once, no URL of an answer requested, and never a loop."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

import components
from unit_tests.conftest import API, MINUTE, NOW, Answer, Clock, Connector, Drift, Outcome, response

PATH = "/conversations/list"
THREE_EMPTY = "Drift answered three empty pages of the conversation list in a row, and named yet another."
UNREADABLE_NEXT = "Drift named the next page of the conversations in a way that cannot be read."


def rows(*keys: int) -> list[dict[str, Any]]:
    """Conversations as the list has them: the later in the list, the older."""
    return [{"id": key, "updatedAt": NOW - 1_000_000 - 1000 * key} for key in keys]


def linked(following: Any, *keys: int, **more: Any) -> dict[str, Any]:
    """A page of the newer generation."""
    return {"data": rows(*keys), "links": {"self": f"{API}{PATH}", "next": following}, **more}


def numbered(following: Any, *keys: int, **more: Any) -> dict[str, Any]:
    """A page of the older generation."""
    return {"data": rows(*keys), "pagination": {"more": True, "next": following, **more}}


def link(token: Any) -> str:
    return f"https://api.drift.com{PATH}?limit=50&page_token={quote(str(token), safe='')}"


def script(drift: Drift, pages: Mapping[str, Any], path: str = PATH) -> None:
    """Answers each page by its token, whichever parameter names it, and any other with 400."""

    def answer(request: requests.PreparedRequest) -> Any:
        query = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
        return pages.get(query.get("page_token") or query.get("next") or "", Answer({"error": "unknown page"}, 400))

    drift.answers(path, answer)


def first_walk(drift: Drift) -> list[tuple[str, str]]:
    """The parameter and the token of each page, up to where the list is begun anew for what changed meanwhile."""
    asked = [
        next((name, query[name]) for name in ("next", "page_token") if name in query) for query in drift.queries(PATH)
    ]
    begins = [number for number, page in enumerate(asked) if page == ("page_token", "")]
    return asked[: begins[1]] if len(begins) > 1 else asked


def assert_only_ours(drift: Drift) -> None:
    assert [request.url for request in drift.foreign] == []
    assert {urlsplit(request.url)[:3] for request in drift.requests} == {("https", "driftapi.com", PATH)}


def assert_read(outcome: Outcome, keys: Iterable[int], stream: str = "conversations") -> None:
    """Exactly the keys, each once."""
    assert outcome.status(stream) == "COMPLETE", outcome.summary
    assert sorted(outcome.keys(stream)) == sorted(keys)


def assert_refused(outcome: Outcome, said: str, stream: str = "conversations", kind: str = "system_error") -> None:
    assert outcome.status(stream) == "INCOMPLETE", outcome.summary
    error = outcome.error(stream)
    assert (error.message, error.failure_type.value) == (said, kind)


# Conversations, in both generations


class ConversationList:
    """Drift's list: a position in the older generation, the last row in the newer one, or both side by side."""

    def __init__(self, count: int, generation: str, last: str, limit: int = 50) -> None:
        self.rows = rows(*range(1, count + 1))
        self.generation, self.last, self.limit = generation, last, limit

    def __call__(self, request: requests.PreparedRequest) -> Any:
        query = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
        assert int(query["limit"]) <= 50, query
        limit = min(int(query["limit"]), self.limit)
        token = query.get("page_token", "")
        if token and self.generation == "next":
            return Answer({"error": "page_token"}, 400)
        keys = [f"é+/={row['updatedAt']}&%#{row['id']}" for row in self.rows]
        start = int(query["next"]) if "next" in query else keys.index(token) + 1 if token else 0
        page = self.rows[start : start + limit]
        body: dict[str, Any] = {"data": page}
        is_last = start + limit >= len(self.rows)
        if self.generation != "links" and (not is_last or self.last == "null"):
            following = None if is_last else str(start + limit)
            body["pagination"] = {"more": not is_last, "next": following}
        if self.generation != "next":
            body["links"] = {"self": link("self")}
            if not is_last or (self.last == "empty-page" and page):
                body["links"]["next"] = link(keys[start + len(page) - 1])
            elif self.last == "null":
                body["links"]["next"] = None
        return body


@pytest.mark.parametrize("generation", ["next", "links", "both"])
@pytest.mark.parametrize(
    ("count", "last", "limit"),
    [
        *[(count, "missing", 50) for count in (0, 1, 49, 50, 51, 100, 234)],
        *[(count, last, 50) for count in (50, 101) for last in ("null", "empty-page")],
        (60, "missing", 25),
        (5, "missing", 1),
    ],
)
def test_every_conversation_once(
    drift: Drift, connector: Connector, generation: str, count: int, last: str, limit: int
) -> None:
    """A list of any length is read whole, however its last page looks and even where Drift clamps the limit."""
    drift.answers(PATH, ConversationList(count, generation, last, limit))
    assert_read(connector.read("conversations"), range(1, count + 1))
    assert_only_ours(drift)


def test_first_page_has_limit_and_an_empty_page_token(drift: Drift, connector: Connector) -> None:
    """The walk begins with a limit that both generations allow, and an empty page_token."""
    drift.answers(PATH, {"data": rows(1)})
    connector.read("conversations")
    assert drift.queries(PATH) == [{"limit": "50", "page_token": ""}]


def test_newer_generation_is_followed_by_page_token(drift: Drift, connector: Connector) -> None:
    """The page_token of `links.next` is lifted, decoded, and sent alone with the limit."""
    script(drift, {"": linked(link("b"), 1, 2), "b": linked(link("c"), 3), "c": linked(None, 4)})
    assert_read(connector.read("conversations"), [1, 2, 3, 4])
    assert first_walk(drift) == [("page_token", ""), ("page_token", "b"), ("page_token", "c")]
    assert {tuple(query) for query in drift.queries(PATH)} == {("limit", "page_token")}


def test_older_generation_is_followed_by_next(drift: Drift, connector: Connector) -> None:
    """Without `links` the `next` of `pagination` is sent as `next`, and no page_token beside it."""
    script(drift, {"": numbered("b", 1, 2), "b": numbered("c", 3), "c": {"data": rows(4)}})
    assert_read(connector.read("conversations"), [1, 2, 3, 4])
    assert first_walk(drift) == [("page_token", ""), ("next", "b"), ("next", "c")]
    assert {tuple(query) for query in drift.queries(PATH)} == {("limit", "page_token"), ("limit", "next")}


def test_links_win_over_pagination(drift: Drift, connector: Connector) -> None:
    """Where both generations name a page, the newer one is followed to the end."""
    both = {"pagination": {"more": False, "next": "never"}}
    script(drift, {"": linked(link("b"), 1, **both), "b": linked(link("c"), 2, **both), "c": linked("", 3, **both)})
    assert_read(connector.read("conversations"), [1, 2, 3])
    assert first_walk(drift) == [("page_token", ""), ("page_token", "b"), ("page_token", "c")]


@pytest.mark.parametrize("more", [False, None, "false", 0])
def test_links_are_followed_whatever_more_says(drift: Drift, connector: Connector, more: Any) -> None:
    """A new token is followed although `more` denies it: one request too many is cheaper than a short read."""
    script(drift, {"": linked(link("b"), 1, more=more, pagination={"more": more}), "b": linked(None, 2)})
    assert_read(connector.read("conversations"), [1, 2])


def test_more_false_ends_the_older_generation(drift: Drift, connector: Connector) -> None:
    """In the older generation `more: false` ends the walk although a `next` is named."""
    script(drift, {"": numbered("b", 1), "b": numbered("c", 2, more=False), "c": {"data": rows(666)}})
    assert_read(connector.read("conversations"), [1, 2])


@pytest.mark.parametrize("pagination", [{"next": None}, {"next": ""}, {}], ids=str)
def test_no_token_ends_the_older_generation(drift: Drift, connector: Connector, pagination: Any) -> None:
    """In the older generation a `next` that is missing, null or empty ends the walk."""
    script(drift, {"": numbered("b", 1), "b": {"data": rows(2), "pagination": pagination}})
    assert_read(connector.read("conversations"), [1, 2])


@pytest.mark.parametrize(
    "pagination", [{"more": True}, {"more": True, "next": None}, {"more": True, "next": ""}], ids=str
)
def test_more_without_a_token_is_an_error(drift: Drift, connector: Connector, pagination: Any) -> None:
    """A page that says that there is more, and does not say where, is not the end."""
    script(drift, {"": {"data": rows(1), "pagination": pagination}})
    assert_refused(
        connector.read("conversations"), "Drift says that it has more conversations, but names no next page."
    )


def test_pages_that_repeat_the_one_before_are_empty(drift: Drift, connector: Connector) -> None:
    """New tokens for ever, with the same rows, are an endless list of nothing."""
    script(
        drift,
        {"": linked(link("b"), 1), **{one: linked(link(two), 1) for one, two in zip("bcdefg", "cdefgh", strict=True)}},
    )
    assert_refused(connector.read("conversations"), THREE_EMPTY)


@pytest.mark.parametrize("links", [{}, {"next": None}, {"next": ""}, {"self": link("a")}], ids=str)
def test_no_token_ends_the_newer_generation(drift: Drift, connector: Connector, links: Any) -> None:
    """In the newer generation a `links` that names no page ends the walk."""
    script(drift, {"": linked(link("b"), 1), "b": {"data": rows(2), "links": links}})
    assert_read(connector.read("conversations"), [1, 2])


def test_walk_goes_on_after_an_empty_page(drift: Drift, connector: Connector) -> None:
    """Empty pages that name new tokens are passed over, up to two in a row, and again after a page with rows."""
    pages = [linked(link("b"), 1), linked(link("c")), linked(link("d")), linked(link("e"), 2), linked(link("f"))]
    script(drift, dict(zip(["", "b", "c", "d", "e", "f"], [*pages, linked(None, 3)], strict=True)))
    assert_read(connector.read("conversations"), [1, 2, 3])


@pytest.mark.parametrize("named", ["b", "c"])
def test_empty_page_that_names_nothing_new_ends_the_walk(drift: Drift, connector: Connector, named: str) -> None:
    """An empty page that names itself, or a page that was read, is the end."""
    script(drift, {"": linked(link("b"), 1), "b": linked(link("c"), 2), "c": linked(link(named))})
    assert_read(connector.read("conversations"), [1, 2])


@pytest.mark.parametrize("page", [linked, numbered])
def test_three_empty_pages_are_an_error(drift: Drift, connector: Connector, page: Any) -> None:
    """Three empty pages in a row that each name a new one are an error, and not an endless walk."""
    form = link if page is linked else str
    script(drift, {"": page(form("b"), 1), "b": page(form("c")), "c": page(form("d")), "d": page(form("e"))})
    assert_refused(connector.read("conversations"), THREE_EMPTY)


@pytest.mark.parametrize("page", [linked, numbered])
@pytest.mark.parametrize("named", ["b", "c"])
def test_token_named_twice_is_an_error(drift: Drift, connector: Connector, page: Any, named: str) -> None:
    """A page with rows that names itself, or one that was read before, would be walked in a circle."""
    form = link if page is linked else str
    script(drift, {"": page(form("b"), 1), "b": page(form("c"), 2), "c": page(form(named), 3)})
    assert_refused(connector.read("conversations"), "Drift named the same page of the conversation list twice.")


@pytest.mark.parametrize("page", [linked, numbered])
def test_page_that_is_answered_twice_is_an_error(drift: Drift, connector: Connector, page: Any) -> None:
    """A second page that is the first one again, as a cache may answer it, is no end: the rest was never read."""
    form = link if page is linked else str
    script(drift, {"": page(form("b"), 1, 2), "b": page(form("b"), 1, 2)})
    assert_refused(connector.read("conversations"), "Drift named the same page of the conversation list twice.")


@pytest.mark.parametrize("silent", [{}, {"links": None}, {"pagination": {}}], ids=str)
def test_full_page_that_says_nothing_is_not_the_last(drift: Drift, connector: Connector, silent: Any) -> None:
    """The older generation need not say that a page is the last one, so what would follow a full one is asked for."""
    full, rest = {"data": rows(*range(50)), **silent}, {"data": rows(*range(49, 53)), **silent}
    script(drift, {"": full, "49": rest})
    assert_read(connector.read("conversations"), list(range(53)))


def test_full_page_that_says_nothing_may_be_the_last(drift: Drift, connector: Connector) -> None:
    """Where nothing follows it, the walk ends."""
    script(drift, {"": {"data": rows(*range(50))}, "49": {"data": rows(49)}})
    assert_read(connector.read("conversations"), list(range(50)))


@pytest.mark.parametrize("form", [link, str], ids=["newer", "older"])
def test_full_page_in_a_walk_by_tokens_that_says_nothing_is_an_error(
    drift: Drift, connector: Connector, form: Any
) -> None:
    """Where pages have tokens, nobody can tell what would follow."""
    page = linked if form is link else numbered
    script(drift, {"": page(form("b"), *range(50)), "b": {"data": rows(*range(50, 100))}})
    said = "Drift answered a full page of conversations without saying whether there is another."
    assert_refused(connector.read("conversations"), said)


def test_list_that_turns_to_pagination_is_an_error(drift: Drift, connector: Connector) -> None:
    """A walk stays with its generation: an answer that has only the other one is neither followed nor the end."""
    script(drift, {"": linked(link("b"), 1), "b": numbered("c", 2), "c": {"data": rows(3)}})
    assert_refused(
        connector.read("conversations"),
        "Drift changed the way it names the pages of the conversation list in the middle of it.",
    )


def test_older_generation_stays_with_next(drift: Drift, connector: Connector) -> None:
    """A walk that began by `next` goes on by `next` where `links` turn up later."""
    late = {"links": {"next": link("never")}, **numbered("c", 2)}
    script(drift, {"": numbered("b", 1), "b": late, "c": {"data": rows(3)}})
    assert_read(connector.read("conversations"), [1, 2, 3])
    assert first_walk(drift)[1:] == [("next", "b"), ("next", "c")]


@pytest.mark.parametrize("following", [True, False, [], ["b"], {}, {"page_token": "b"}, 1.5], ids=str)
@pytest.mark.parametrize("page", [linked, numbered])
def test_page_named_in_a_way_that_cannot_be_read(drift: Drift, connector: Connector, page: Any, following: Any) -> None:
    """A `next` that is neither text nor a whole number is an error and not the end."""
    script(drift, {"": page(following, 1)})
    assert_refused(connector.read("conversations"), UNREADABLE_NEXT)


@pytest.mark.parametrize("links", [[], "next", 1, True, [link("b")]], ids=str)
@pytest.mark.parametrize("name", ["links", "pagination"])
def test_envelope_of_another_kind(drift: Drift, connector: Connector, name: str, links: Any) -> None:
    """`links` and `pagination` that are no objects are an error and not the end."""
    script(drift, {"": {"data": rows(1), name: links}})
    assert_refused(connector.read("conversations"), UNREADABLE_NEXT)


def test_page_named_by_pagination_beside_links_that_name_none(drift: Drift, connector: Connector) -> None:
    """Links without a next page are not the end where `pagination` names one."""
    first = {"data": rows(1, 2), "links": {"self": link("a")}, "pagination": {"more": True, "next": "b"}}
    script(drift, {"": first, "b": {"data": rows(3), "links": {"self": link("b")}}})
    assert_read(connector.read("conversations"), [1, 2, 3])


@pytest.mark.parametrize("name", ["links", "pagination"])
def test_envelope_that_is_null(drift: Drift, connector: Connector, name: str) -> None:
    """An envelope that is null names no page."""
    script(drift, {"": {"data": rows(1), name: None}})
    assert_read(connector.read("conversations"), [1])


@pytest.mark.parametrize("vanished", [1, 50, 51, 80])
def test_conversation_that_vanishes_hides_no_other(drift: Drift, connector: Connector, vanished: int) -> None:
    """Conversations that move up because one was deleted are all read, or the stream fails aloud."""
    listed = ConversationList(120, "next", "missing")

    def answer(request: requests.PreparedRequest) -> Any:
        page = listed(request)
        if len(drift.requests) == 1:
            listed.rows = [row for row in listed.rows if row["id"] != vanished]
        return page

    drift.answers(PATH, answer)
    outcome = connector.read("conversations")
    expected = set(range(1, 121)) - {vanished}
    assert outcome.status("conversations") == "INCOMPLETE" or expected <= set(outcome.keys("conversations"))


@pytest.mark.parametrize(
    ("token", "following", "expected"),
    [
        ("", "3", {"next": "2", "after": "3"}),
        ("limit=50&next=2#after=1", "5", {"next": "4", "after": "3"}),
        # No position behind the rows, so that the page is asked for as it was named.
        ("", "4", {"next": "4"}),
        ("limit=50&next=2", "4", {"next": "4"}),
        ("", "b", {"next": "b"}),
        ("limit=50&next=b", "3", {"next": "3"}),
        ("", "9" * 16, {"next": "9" * 16}),
        ("limit=50&next=" + "9" * 16, "3", {"next": "3"}),
    ],
)
def test_page_by_position_begins_with_the_row_before_it(token: str, following: str, expected: dict[str, str]) -> None:
    """Where `next` counts rows, a page is asked for from the last row of the one before, which must stand there."""
    made = components.ConversationsPagination(parameters={}, page_size=50, records_at=["data"])
    if token:
        made.next_page_token(response(numbered("seen", 7)), 1, None)
    query = made.next_page_token(response(numbered(following, 1, 2, 3)), 3, None, token or None)
    asked, _, read_before = str(query).partition("#")
    assert dict(parse_qsl(asked)) | dict(parse_qsl(read_before)) == {"limit": "50", **expected}


@pytest.mark.parametrize(
    "last", [{"pagination": {"more": False}}, {"pagination": {"next": None}}, {"links": {"next": None}}], ids=str
)
def test_full_page_that_says_so_is_the_last(last: dict[str, Any]) -> None:
    """A full page is the end where either generation says that nothing follows it."""
    made = components.ConversationsPagination(parameters={}, page_size=3, records_at=["data"])
    assert made.next_page_token(response({"data": rows(1, 2, 3), **last}), 3, None) is None


def test_page_that_holds_the_row_before_it_alone_is_empty() -> None:
    """Where nothing is left behind the last row, a page that names a known one ends the walk."""
    made = components.ConversationsPagination(parameters={}, page_size=50, records_at=["data"])
    token = made.next_page_token(response(numbered("3", 1, 2, 3)), 3, None)
    closing = made.next_page_token(response(numbered("3", 3)), 1, None, token)
    assert "since=" in str(closing), closing


# Tokens

ODD_TOKENS = [
    "a+b",
    "a/b",
    "a=b==",
    "a&b=c",
    "a%b",
    "a%20b",
    "a#b",
    "a b",
    "é",
    "日本",
    "😀",
    "1e5",
    "007",
    "1_000",
    "None",
]
ODD_TOKENS += [
    "[1]",
    "'a'",
    '"a"',
    "a\\b",
    "{{ config }}",
    "{% raw %}",
    "True",
    "null",
    "0",
    "-1",
    "a?b",
    "a;b",
    "a\tb",
]
ODD_TOKENS += ["99999999999999999999", "//evil.example", "page_token=x", "é+/=&%# ?"]


@pytest.mark.parametrize("token", ODD_TOKENS)
@pytest.mark.parametrize("name", ["page_token", "next"])
def test_token_is_sent_as_it_was_named(drift: Drift, connector: Connector, name: str, token: str) -> None:
    """A token with characters that need encoding, or that looks like a literal, comes back as it was."""
    first = linked(link(token), 1) if name == "page_token" else numbered(token, 1)
    drift.answers(PATH, first, {"data": rows(2)})
    assert_read(connector.read("conversations"), [1, 2])
    assert first_walk(drift) == [("page_token", ""), (name, token)]


@pytest.mark.parametrize("token", [2, 0, -1, 10**18])
def test_token_that_is_a_number(drift: Drift, connector: Connector, token: int) -> None:
    """A `next` that is a number is sent as its digits."""
    drift.answers(PATH, numbered(token, 1), {"data": rows(2)})
    assert_read(connector.read("conversations"), [1, 2])
    assert first_walk(drift) == [("page_token", ""), ("next", str(token))]


# Links that name other places

HOSTILE = [
    "//evil.example/x?page_token=b",
    "http://driftapi.com/conversations/list?page_token=b",
    "https://evil.example/conversations/list?page_token=b",
    "https://driftapi.com:8443/conversations/list?page_token=b",
    "https://driftapi.com@evil.example/conversations/list?page_token=b",
    "https://user:password@driftapi.com/conversations/list?page_token=b",
    "https://driftapi.com.evil.example/?page_token=b",
    "https:\\\\evil.example\\x?page_token=b",
    "https://driftapi.com\\@evil.example/x?page_token=b",
    "javascript:fetch('https://evil.example')?page_token=b",
    "file:///etc/passwd?page_token=b",
    "https://evil.example/x?page_token=b#page_token=c",
    "https://169.254.169.254/latest?page_token=b",
    "https://[::1]/x?page_token=b",
    "?page_token=b",
    "/../../oauth2/token?page_token=b",
    "https://evil.example/x?limit=1000000&statusId=9&page_token=b&page_token=c",
    "https://evil.example/x?page_token=b&api_url=https://evil.example",
    " https://evil.example/x?page_token=b",
    "https://evil.example/\r\nHost: evil.example?page_token=b",
]
UNREADABLE = [
    "https://evil.example/x",
    "https://evil.example/x?page_token=",
    "https://evil.example/x?token=b",
    "https://evil.example/x#?page_token=b",
    "https://[::1/x?page_token=b",
    "https://[evil]/x?page_token=b",
    "page_token=b",
    "b",
    "javascript:alert(1)",
    "https://evil.example/x?PAGE_TOKEN=b",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_link_is_asked_of_our_own_host(drift: Drift, connector: Connector, hostile: str) -> None:
    """Of a link that names another place nothing but the page_token is taken."""
    script(drift, {"": linked(hostile, 1), "b": linked(None, 2)})
    assert_read(connector.read("conversations"), [1, 2])
    assert_only_ours(drift)
    assert drift.queries(PATH)[1] == {"limit": "50", "page_token": "b"}


@pytest.mark.parametrize("hostile", UNREADABLE)
def test_link_without_a_token_is_an_error(drift: Drift, connector: Connector, hostile: str) -> None:
    """A link from which no page_token can be lifted is an error: it is neither requested nor the end."""
    script(drift, {"": linked(hostile, 1)})
    outcome = connector.read("conversations")
    assert_refused(outcome, "Drift named a next page of the conversation list without a page_token.")
    assert_only_ours(drift)
    assert outcome.holds("evil.example") == [], outcome.summary


@pytest.mark.parametrize(("most", "named"), [(2, 2), (1, 0)])
def test_closing_walk_names_what_is_known_while_that_is_little(most: int, named: int) -> None:
    """What changed within the look-back is named to the extractor, unless each URL of the walk would become long."""
    made = components.ConversationsPagination(parameters={}, page_size=1, records_at=["data"], most_known=most)
    token = None
    for body in (linked(link("b"), 1), linked(None, 2)):
        token = made.next_page_token(response(body), 1, None, token, None, None)
    read_before = dict(parse_qsl(str(token).partition("#")[2]))
    assert len(list(filter(None, read_before.get("known", "").split(",")))) == named
    assert ("many" in read_before) is (named == 0)


# Where a walk may stop


def stop(updated: list[Any], start: int = NOW) -> bool:
    """Whether a walk from `start` ends after a first page of these times, although a second is named."""
    made = components.ConversationsPagination(parameters={}, page_size=50, records_at=["data"], name="conversations")
    page = [{"id": key, **({} if value is ... else {"updatedAt": value})} for key, value in enumerate(updated)]
    body = {"data": page, "links": {"next": link("b")}}
    return made.next_page_token(response(body), len(page), None, None, None, {"start_time": str(start)}) is None


@pytest.mark.parametrize(
    ("updated", "stops"),
    [
        ([NOW - 1, NOW - 2], True),
        ([NOW - 1], False),
        ([NOW - 1, NOW - 2.5], True),
        ([NOW, NOW - 1], False),
        ([NOW - 1, NOW], False),
        ([NOW - 1, NOW + 10**12, NOW - 2], False),
        ([NOW], False),
        ([], False),
        *[([NOW - 1, odd, NOW - 2], False) for odd in (None, ..., "0", str(NOW - 5), True, {}, [])],
    ],
    ids=str,
)
def test_only_a_wholly_older_page_ends_a_walk(updated: list[Any], stops: bool) -> None:
    """A walk ends after a page of several rows that are all older than its start; one without a time is not older."""
    assert stop(updated) is stops


@pytest.mark.parametrize("stream_slice", [None, {}, {"start_time": None}, {"start_time": ""}, {"start_time": "0"}])
def test_walk_without_a_start_never_stops_early(stream_slice: Any) -> None:
    """Without a start no page is old."""
    made = components.ConversationsPagination(parameters={}, page_size=50, records_at=["data"])
    body = {"data": [{"id": 1, "updatedAt": 0}, {"id": 2, "updatedAt": 0}], "links": {"next": link("b")}}
    assert made.next_page_token(response(body), 1, None, None, None, stream_slice) is not None


def test_start_ahead_of_the_clock_is_a_config_error() -> None:
    """A start in Drift's future would read nothing in silence until then."""
    with pytest.raises(AirbyteTracedException) as error:
        stop([NOW], NOW + 1000)
    assert (error.value.message, error.value.failure_type) == (
        "The conversations would be read from a moment that lies ahead of Drift's clock, and none until then."
        " Correct `start_date`, or clear the state of the stream.",
        FailureType.config_error,
    )
    assert not stop([NOW + 5000], NOW + 999)


def test_memory_is_cleared_between_walks(drift: Drift) -> None:
    """A second walk of the same instance may see the tokens of the first, as a retry of the sync would."""
    made = components.ConversationsPagination(parameters={}, page_size=50, records_at=["data"])
    for _ in range(3):
        named = made.next_page_token(response(linked(link("b"), 1)), 1, None)
        assert dict(parse_qsl(str(named).partition("#")[0]))["page_token"] == "b"
    empty = response(linked(link("b")))
    assert [made.next_page_token(empty, 0, None) is None for _ in range(5)] == [False] * 5


@pytest.mark.parametrize(
    ("cached", "read_at"),
    [
        ((None, None), NOW + MINUTE + 999),
        ((False, False), NOW + MINUTE + 999),
        ((True, True), NOW + MINUTE + 999),
        ((True, False), NOW * 1_000_000),
        ((False, True), NOW * 1_000_000),
    ],
    ids=str,
)
def test_closing_walk_says_what_was_read(clock: Clock, cached: tuple[bool | None, bool | None], read_at: int) -> None:
    """A walk of several pages is followed by one that knows what is new, which no cache may answer for another walk."""
    made = components.ConversationsPagination(parameters={}, page_size=50, records_at=["data"])
    page = [{"id": key, "updatedAt": NOW + 999 - 600_000 * key} for key in range(3)]
    answers = [
        response({"data": page, "links": {"next": link("b")}}),
        response({"data": []}, Date="Thu, 15 Jan 2026 12:01:00 GMT"),
    ]
    query: str | None = None
    for answer, is_cached in zip(answers, cached, strict=True):
        if is_cached is not None:
            answer.from_cache = is_cached
        query = made.next_page_token(answer, 0, None, query)
    asked, _, known = str(query).partition("#")
    assert dict(parse_qsl(asked, keep_blank_values=True)) == {"limit": "50", "page_token": ""}
    since = NOW + 999 - 600_000
    assert dict(parse_qsl(known)) == {
        "since": str(since),
        "known": f"0@{NOW + 999},1@{since}",
        "read_at": str(read_at),
    }


def test_conversation_that_is_updated_during_a_walk_is_not_lost(drift: Drift, connector: Connector) -> None:
    """A row that jumps to the head of the list while later pages are read still comes."""
    listed = ConversationList(120, "links", "missing")
    moved = []

    def answer(request: requests.PreparedRequest) -> Any:
        page = listed(request)
        if not moved and len(drift.asked(PATH)) == 1:
            # The last row of all is updated behind the back of the walk.
            moved.append({"id": listed.rows[-1]["id"], "updatedAt": NOW + 500})
            listed.rows = [*moved, *listed.rows[:-1]]
        return page

    drift.answers(PATH, answer)
    outcome = connector.read("conversations")
    assert outcome.status("conversations") == "COMPLETE", outcome.summary
    assert set(outcome.keys("conversations")) == set(range(1, 121))


# Accounts

NOT_BEHIND = "Drift named a next page of the accounts that does not follow the page before it."
NO_POSITION = "Drift named a next page of the accounts in a way that cannot be read."


def accounts(following: Any, *keys: int, **more: Any) -> dict[str, Any]:
    return {"data": {"accounts": [{"accountId": str(key)} for key in keys], "next": following, **more}}


class AccountList:
    """Drift's list of accounts, which clamps the size and names the next page as told."""

    def __init__(self, count: int, form: str, most: int = 65) -> None:
        self.keys, self.form, self.most = range(1, count + 1), form, most

    def __call__(self, request: requests.PreparedRequest) -> Any:
        query = {name: int(value) for name, value in parse_qsl(urlsplit(request.url).query)}
        assert set(query) == {"index", "size"}, query
        index, size = query["index"], min(query["size"], self.most)
        page = self.keys[index : index + size]
        body = accounts(None, *page, total=len(self.keys))
        if index + size < len(self.keys):
            body["data"]["next"] = self.form.format(index=index + size, size=size)
        else:
            del body["data"]["next"]
        return body


FORMS = [
    "/accounts?index={index}&size={size}",
    "/accounts/?index={index}&size={size}",
    "https://driftapi.com/accounts?index={index}&size={size}",
    "https://driftapi.com/accounts/?size={size}&index={index}",
    "https://evil.example/accounts?index={index}&size={size}&api_url=x",
    "//evil.example/?index={index}",
    "?index={index}&size={size}#index=0",
]


@pytest.mark.parametrize(
    ("count", "form", "most"),
    [
        *[(131, form, 65) for form in FORMS],
        *[(count, FORMS[0], 65) for count in (0, 1, 64, 65, 66, 130, 203)],
        *[(25, FORMS[0], most) for most in (10, 1, 3)],
    ],
)
def test_every_account_once(drift: Drift, connector: Connector, count: int, form: str, most: int) -> None:
    """A list of any length is read whole from our own host, whatever form `next` has and whatever size Drift clamps."""
    drift.answers("/accounts", AccountList(count, form, most))
    outcome = connector.read("accounts")
    assert_read(outcome, [str(key) for key in range(1, count + 1)], "accounts")
    assert drift.foreign == []
    assert {urlsplit(request.url)[:3] for request in drift.requests} == {("https", "driftapi.com", "/accounts")}
    assert drift.queries("/accounts")[0] == {"index": "0", "size": "65"}


@pytest.mark.parametrize("vanished", [1, 65, 66, 100])
def test_account_that_vanishes_during_a_walk_hides_no_other(drift: Drift, connector: Connector, vanished: int) -> None:
    """Accounts that move up because one was deleted are all read, or the stream fails: never COMPLETE with a gap."""
    listed = AccountList(150, FORMS[0])

    def answer(request: requests.PreparedRequest) -> Any:
        page = listed(request)
        if len(drift.requests) == 1:
            listed.keys = [key for key in listed.keys if key != vanished]
        return page

    drift.answers("/accounts", answer)
    outcome = connector.read("accounts")
    expected = {str(key) for key in range(1, 151)} - {str(vanished)}
    assert outcome.status("accounts") == "INCOMPLETE" or expected <= set(outcome.keys("accounts")), outcome.summary


@pytest.mark.parametrize("following", [None, "", False, 0])
def test_accounts_without_a_next_end(drift: Drift, connector: Connector, following: Any) -> None:
    """A `next` that is missing, null or empty ends the list."""
    drift.answers("/accounts", accounts(following, 1, 2))
    assert_read(connector.read("accounts"), ["1", "2"], "accounts")
    assert len(drift.requests) == 1


@pytest.mark.parametrize(
    ("following", "said"),
    [
        ("/accounts?index=0&size=65", NOT_BEHIND),
        ("/accounts?index=-65&size=65", NOT_BEHIND),
        ("/accounts?index=1&size=65", NOT_BEHIND),
        ("/accounts?index=64&size=65", NOT_BEHIND),
        ("/accounts?index=66&size=65", NOT_BEHIND),
        ("/accounts?index=1000000&size=65", NOT_BEHIND),
        ("/accounts?size=65", NO_POSITION),
        ("/accounts?index=&size=65", NO_POSITION),
        ("/accounts?index=many&size=65", NO_POSITION),
        ("/accounts?index=65&size=many", NO_POSITION),
        ("/accounts?index=1.5&size=65", NO_POSITION),
        ("https://[::1/accounts?index=65", NO_POSITION),
        ("nonsense", NO_POSITION),
        (True, NO_POSITION),
        (65, NO_POSITION),
        (["/accounts?index=65"], NO_POSITION),
        ({"index": 65}, NO_POSITION),
    ],
    ids=str,
)
def test_accounts_next_that_cannot_be_followed(drift: Drift, connector: Connector, following: Any, said: str) -> None:
    """A `next` that stands still, goes back, skips accounts or cannot be read is an error and not the end."""
    drift.answers("/accounts", accounts(following, *range(1, 66)))
    assert_refused(connector.read("accounts"), said, "accounts")
    assert len(drift.requests) == 1


def test_accounts_that_stand_still_are_an_error(drift: Drift, connector: Connector) -> None:
    """An empty page that names itself is an error although `total` says that there are more."""
    drift.answers("/accounts", accounts("/accounts?index=0&size=65", total=130))
    assert_refused(connector.read("accounts"), NOT_BEHIND, "accounts")
    assert len(drift.requests) == 1


@pytest.mark.parametrize("index", [0, 1, 64])
def test_accounts_next_that_goes_back_later(drift: Drift, connector: Connector, index: int) -> None:
    """A second page that names the first again, or a place before itself, is an error and not a loop."""
    drift.answers(
        "/accounts",
        accounts("/accounts?index=65&size=65", *range(1, 66)),
        accounts(f"/accounts?index={index}&size=65", *range(65, 131)),
    )
    assert_refused(connector.read("accounts"), NOT_BEHIND, "accounts")


@pytest.mark.parametrize("total", [65, 0, None, "many", True, ...])
def test_empty_page_of_accounts_beyond_the_total_is_an_error(drift: Drift, connector: Connector, total: Any) -> None:
    """An empty page that names another one is an error where `total` does not say that there are more."""
    more = {} if total is ... else {"total": total}
    drift.answers("/accounts", accounts("/accounts?index=1&size=65", **more))
    outcome = connector.read("accounts")
    if total == 65:
        # Here there are more: the walk goes on, and ends in an error as soon as they are not there.
        assert outcome.status("accounts") == "INCOMPLETE"
    else:
        assert_refused(outcome, "Drift answered an empty page of accounts and named yet another.", "accounts")


def test_empty_page_of_accounts_below_the_total_is_passed_over(drift: Drift, connector: Connector) -> None:
    """An empty page in the middle of a list whose total says that there is more is no end."""
    drift.answers(
        "/accounts",
        accounts("/accounts?index=65&size=65", total=66),
        accounts(None, 66, total=66),
    )
    assert_read(connector.read("accounts"), ["66"], "accounts")


# Users


def test_accounts_that_end_before_their_total_are_an_error(drift: Drift, connector: Connector) -> None:
    """A page without `next` is not the end where Drift counts more accounts than were asked for."""
    drift.answers("/accounts", {"data": {"accounts": [{"accountId": "1"}], "total": 130}})
    assert_refused(connector.read("accounts"), "Drift ended the list of its 130 accounts before their end.", "accounts")


def accounts_walk(drift: Drift, first: list[str], then: list[str]) -> None:
    """Answers the first page of one list of accounts, and the pages from then on of another; both by position."""
    listed = iter([first])

    def answer(request: requests.PreparedRequest) -> Any:
        keys = next(listed, then)
        query = dict(parse_qsl(urlsplit(request.url).query))
        start, end = int(query["index"]), int(query["index"]) + int(query["size"])
        data = {"accounts": [{"accountId": key} for key in keys[start:end]], "total": len(keys)}
        return {"data": data | ({"next": f"/accounts?index={end}&size=65"} if end < len(keys) else {})}

    drift.answers("/accounts", answer)


KEYS = [str(key) for key in range(130)]


def test_account_that_moves_past_the_walk_is_missed_aloud(drift: Drift, connector: Connector) -> None:
    """An account that moves among those that were read is noticed by the number of all."""
    accounts_walk(drift, KEYS, ["100", *KEYS[:100], *KEYS[101:]])
    said = "Accounts changed places while they were read, so others may have been missed. Run the sync again."
    assert_refused(connector.read("accounts"), said, "accounts", "transient_error")


def test_account_that_moves_within_reach_is_read(drift: Drift, connector: Connector) -> None:
    """An account that changes its place without passing the walk costs nothing."""
    accounts_walk(drift, KEYS, [*KEYS[:64], "65", "64", *KEYS[66:]])
    outcome = connector.read("accounts")
    assert (outcome.status("accounts"), {r["accountId"] for r in outcome.records("accounts")}) == (
        "COMPLETE",
        set(KEYS),
    )


@pytest.mark.parametrize("then", [["new", *KEYS], [*KEYS, "new"], KEYS[:-1]], ids=["first", "last", "one less"])
def test_accounts_that_come_or_go_are_no_error(drift: Drift, connector: Connector, then: list[str]) -> None:
    """What is added while the list is read, or vanishes before it is reached, fails nothing."""
    accounts_walk(drift, KEYS, then)
    outcome = connector.read("accounts")
    assert outcome.status("accounts") == "COMPLETE", outcome.summary
    assert {r["accountId"] for r in outcome.records("accounts")} >= set(KEYS) & set(then)


def test_users_are_one_answer(drift: Drift, connector: Connector) -> None:
    """The users come in one request without parameters."""
    drift.answers("/users/list", {"data": [{"id": 1}], "links": {"next": None}, "pagination": {"more": False}})
    assert_read(connector.read("users"), [1], "users")
    assert [request.url for request in drift.requests] == [f"{API}/users/list"]


@pytest.mark.parametrize(
    "named", [{"links": {"next": link("b")}}, {"pagination": {"more": True, "next": "c"}}], ids=str
)
def test_part_of_the_users_is_an_error(drift: Drift, connector: Connector, named: Any) -> None:
    """An answer that names a next page of a list without pages is not all of it."""
    drift.answers("/users/list", {"data": [{"id": 1}], **named})
    assert_refused(
        connector.read("users"), "Drift answered only a part of GET /users/list, which is read as a whole.", "users"
    )
