"""The messages of a conversation, page by page: every one once, as Drift sends it, and never a loop."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

import components
from unit_tests.conftest import API, DAY, NOW, SECRET, Answer, Connector, Drift, response

PATH = "/conversations/1/messages"


def page(*keys: int, **pagination: Any) -> dict[str, Any]:
    """A page of messages; without words about paging where none are given."""
    body: dict[str, Any] = {"data": {"messages": [{"id": key, "createdAt": NOW - key} for key in keys]}}
    return {**body, "pagination": pagination} if pagination else body


def pagination() -> components.MessagesPagination:
    return components.MessagesPagination(parameters={}, page_size=50, records_at=["data", "messages"], name="messages")


def named(query: str) -> str:
    return dict(parse_qsl(query.partition("#")[0])).get("next", "")


def walk(pages: Mapping[str, Any], made: components.MessagesPagination | None = None) -> list[str]:
    """The pages that a walk asks for, each by its `next`; the first one has none."""
    made = made or pagination()
    query: str | None = ""
    asked = []
    while query is not None:
        asked.append(named(query))
        assert len(asked) <= 1000, "an endless loop"
        query = made.next_query(response_of(pages[asked[-1]], query), query, {})
    return asked


def response_of(body: Any, query: str) -> requests.Response:
    return response(body, url=f"{API}{PATH}?{query}")


def refused(pages: Mapping[str, Any]) -> str:
    with pytest.raises(AirbyteTracedException) as error:
        walk(pages)
    return str(error.value.message)


# Where a walk goes on, and where it ends


def test_walk_follows_next() -> None:
    """Each page names the next one, as text or as a number, until one names none."""
    pages = {"": page(1, more=True, next="2"), "2": page(2, more=True, next=3), "3": page(3, more=False)}
    assert walk(pages) == ["", "2", "3"]


@pytest.mark.parametrize(
    "last",
    [
        {"more": False},
        {"more": False, "next": None},
        {"more": False, "next": ""},
        {"more": False, "next": "1"},
        {"more": False, "next": 7},
        {"next": None},
        {"next": ""},
        {"more": None},
        {"unheard_of": 1},
    ],
    ids=str,
)
def test_walk_ends(last: dict[str, Any]) -> None:
    """`more` that is false, and a next page that is missing, empty or null, each end a walk."""
    assert walk({"": page(1, **last)}) == [""]


@pytest.mark.parametrize("count", [0, 1, 49])
def test_short_page_without_pagination_is_the_last(count: int) -> None:
    """A page that is not full needs no word on whether there is another."""
    assert walk({"": page(*range(count))}) == [""]


@pytest.mark.parametrize("pagination", [{}, {"pagination": None}, {"pagination": {}}], ids=str)
@pytest.mark.parametrize("count", [50, 51])
def test_full_page_without_pagination_is_refused(count: int, pagination: dict[str, Any]) -> None:
    """A full page that says nothing about another may be cut: an error."""
    said = refused({"": {**page(*range(count)), **pagination}})
    assert said == "Drift answered a full page of messages without saying whether there is another."


@pytest.mark.parametrize("last", [{"more": False}, {"next": None}], ids=str)
def test_full_page_may_be_the_last(last: dict[str, Any]) -> None:
    """A full page that says so is the end."""
    assert walk({"": page(*range(50), **last)}) == [""]


@pytest.mark.parametrize("following", [{}, {"next": None}, {"next": ""}], ids=str)
def test_more_without_next_is_refused(following: dict[str, Any]) -> None:
    """More messages that nobody can ask for are an error, and not the end."""
    said = refused({"": page(1, more=True, **following)})
    assert said == "Drift says that a conversation has more messages, but names no next page."


@pytest.mark.parametrize("given", [[1], "more", 7, True, {"next": True}, {"next": [2]}, {"next": 1.5}], ids=repr)
def test_pagination_of_another_kind_is_refused(given: Any) -> None:
    """What cannot be read as a next page is an error, and not the end."""
    said = refused({"": {**page(1), "pagination": given}})
    assert said == "Drift named the next page of the messages in a way that cannot be read."


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_empty_pages_are_no_end(empty: int) -> None:
    """A walk goes on behind up to two empty pages in a row."""
    names = ["", *[str(number) for number in range(1, empty + 2)]]
    pages: dict[str, Any] = {name: page(more=True, next=follows) for name, follows in pairwise(names)}
    pages[""] = page(1, more=True, next=names[1])
    pages[names[-1]] = page(2, more=False)
    assert walk(pages) == names


def test_third_empty_page_is_refused() -> None:
    """A third empty page in a row that names yet another is an error."""
    pages = {str(number or ""): page(more=True, next=number + 1) for number in range(3)}
    pages["3"] = page(3, more=False)
    assert refused(pages) == "Drift answered three empty pages of messages in a row, and named yet another."


def test_two_empty_pages_may_come_first() -> None:
    """The first page is counted like any other."""
    assert walk({"": page(more=True, next=1), "1": page(more=True, next=2), "2": page(2)}) == ["", "1", "2"]


def test_empty_pages_are_counted_in_a_row() -> None:
    """Rows between empty pages begin the count anew."""
    pages = {str(number or ""): page(*[number] * (number % 3 == 0), more=True, next=number + 1) for number in range(30)}
    pages["30"] = page(more=False)
    assert len(walk(pages)) == 31


# Circles


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_circle_is_refused(length: int, before: int) -> None:
    """A walk in a circle of any length, wherever it begins, ends in an error instead of never."""
    last = before + length
    pages = {str(number or ""): page(number, more=True, next=number + 1) for number in range(last)}
    pages[str(last)] = page(last, more=True, next=before + 1)
    assert refused(pages) == "Drift named the same page of messages twice."


def test_page_to_come_back_to_is_taken_anew() -> None:
    """A walk remembers one page, that after 1, 2, 4, 8, ... of them, so that no circle is too long to be noticed."""
    query, marks = "", []
    for number in range(1, 10):
        query = pagination().next_query(response_of(page(number, more=True, next=number), query), query, {}) or ""
        marks.append(dict(parse_qsl(query.partition("#")[2]))["mark"])
    assert marks == ["1", "2", "2", "4", "4", "4", "4", "8", "8"]


def test_long_walk_is_no_circle() -> None:
    """Five hundred pages are walked to their end."""
    pages = {str(number or ""): page(number, more=True, next=number + 1) for number in range(500)}
    pages["500"] = page(500, more=False)
    assert walk(pages) == [str(number or "") for number in range(501)]


def test_one_instance_walks_many_conversations_at_once() -> None:
    """What one walk remembers is not that of another: the CDK gives one instance to all threads."""
    made = pagination()

    def one(conversation: int) -> list[str]:
        # All of them pass through pages of the same names, in another order each.
        names = [str((number * conversation) % 101) for number in range(1, 40)]
        pages: dict[str, Any] = {
            name: page(1, more=True, next=follows) for name, follows in zip(["", *names], names, strict=False)
        }
        pages[names[-1]] = page(1, more=False)
        assert walk(pages, made) == ["", *names]
        return names

    with ThreadPoolExecutor(8) as threads:
        assert len({tuple(names) for names in threads.map(one, range(1, 60))}) == 59


def test_walks_that_take_turns_are_apart() -> None:
    """Two walks on one instance, step by step: neither sees a circle in the pages of the other."""
    made, queries = pagination(), ["", ""]
    for number in range(1, 9):
        for conversation in (0, 1):
            body = page(number, more=True, next=number)
            following = made.next_query(response_of(body, queries[conversation]), queries[conversation], {})
            assert named(following or "") == str(number)
            queries[conversation] = following or ""


# Through the manifest


def pages_of(drift: Drift, path: str, count: int) -> None:
    """Answers `count` messages in pages of fifty, named by their number from 1."""

    def answer(request: requests.PreparedRequest) -> Any:
        number = int(dict(parse_qsl(urlsplit(request.url).query)).get("next", 1))
        keys = range(50 * number - 49, min(50 * number, count) + 1)
        more = 50 * number < count
        return page(*keys, more=more, **({"next": number + 1} if more else {}))

    drift.answers(path, answer)


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 120])
def test_every_message_once(drift: Drift, connector: Connector, count: int) -> None:
    """A conversation of any length is read whole, and nothing but `next` is ever sent."""
    pages_of(drift, PATH, count)
    outcome = connector.read("messages")
    assert (outcome.status("messages"), outcome.keys("messages")) == ("COMPLETE", list(range(1, count + 1)))
    names = range(2, (max(count, 1) - 1) // 50 + 2)
    assert [request.path_url for request in drift.asked(PATH)] == [PATH, *[f"{PATH}?next={name}" for name in names]]


@pytest.mark.parametrize(
    "bad",
    [Answer(b"", 418), page(2, more=True), {"data": []}, {"data": {"messages": {}}}, page(3, more=True, next=2)],
    ids=["418", "no-next", "array", "object", "circle"],
)
def test_second_page_that_fails_fails_the_stream(drift: Drift, connector: Connector, bad: Any) -> None:
    """A conversation that is read to its half makes the stream INCOMPLETE, in words."""
    drift.answers(PATH, page(1, more=True, next=2), bad)
    outcome = connector.read("messages", state={})
    assert outcome.status("messages") == "INCOMPLETE", outcome.summary
    assert outcome.error("messages").message.endswith("."), outcome.summary


def test_404_of_a_later_page_is_told(drift: Drift, connector: Connector) -> None:
    """A conversation that is deleted while its messages are read keeps what came, and the log says so."""
    drift.answers(PATH, page(1, more=True, next=2), Answer({"error": SECRET}, 404))
    outcome = connector.read("messages")
    assert (outcome.status("messages"), outcome.keys("messages")) == ("COMPLETE", [1]), outcome.summary
    assert [line for line in outcome.logs("INFO") if "404" in line] == [
        "messages: skipped 1, which Drift does not know any more (HTTP 404)."
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"id": 1},
        {"id": 1, "createdAt": None},
        {"id": 1, "createdAt": "soon"},
        {"id": 1, "createdAt": NOW + DAY},
        {"id": 1, "createdAt": NOW, "body": None, "author": None, "type": None},
        {"id": 1, "createdAt": NOW, "type": "unheard_of", "author": {"type": "unheard_of"}},
        {"id": 1, "createdAt": NOW, "buttons": [], "attachments": None, "attributes": {"a": {"b": [1]}}},
        {"id": 2**40, "createdAt": 0, "body": "<p>Zoë &amp; 😀</p>", "unheard_of": {"of": [None]}},
    ],
    ids=str,
)
def test_message_comes_as_it_is(drift: Drift, connector: Connector, row: dict[str, Any]) -> None:
    """A message without a body, author or time, or dated ahead, comes as Drift sends it, and blocks nothing."""
    drift.answers(PATH, {"data": {"messages": [row]}, "pagination": {"more": False}})
    outcome = connector.read("messages", state={})
    # The protocol leaves out what is null at the top.
    expected = {name: value for name, value in row.items() if value is not None}
    assert (outcome.status("messages"), outcome.records("messages"), outcome.errors) == ("COMPLETE", [expected], [])
