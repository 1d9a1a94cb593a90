"""Pagination: every form delivers every row once, pages have a maximum, and the two generations differ as in Drift."""

from __future__ import annotations

import base64
from typing import Any, get_args
from urllib.parse import parse_qs

import pytest

from sandbox import Drift, Options
from sandbox.options import AccountsNext, LastPage
from sandbox.paging import PageToken
from unit_tests.sandbox.conftest import UNLIMITED, Start

FREE: dict[str, Any] = {"rate_limit": None}


def ids(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["id"] for row in rows]


@pytest.mark.parametrize("last_page", get_args(LastPage))
@pytest.mark.parametrize("size", [0, 1, 50, 51, 100, 123])
def test_each_generation_reaches_every_conversation_once(start: Start, size: int, last_page: Any) -> None:
    """Each generation, alone or with the other, delivers every conversation once with every form of the last page."""
    drift = Drift(conversations=size)
    client = start(drift, Options(last_page=last_page, **FREE))
    wanted = list(drift.keys("conversations"))
    assert ids(client.walk_links()) == ids(client.walk_next()) == wanted
    client.sandbox.options = Options(paging="links", last_page=last_page, **FREE)
    assert ids(client.walk_links()) == wanted
    client.sandbox.options = Options(paging="next", last_page=last_page, **FREE)
    assert ids(client.walk_next()) == wanted


def test_a_generation_does_not_show_the_other(start: Start) -> None:
    """`links` has no pagination, `next` has no links, and `both` has both, with the same next page."""
    client = start(Drift(conversations=60))
    for paging, keys in (
        ("both", {"data", "pagination", "links"}),
        ("next", {"data", "pagination"}),
        ("links", {"data", "links"}),
    ):
        client.sandbox.options = Options(paging=paging, **FREE)  # type: ignore[arg-type]
        assert set(client.get("/conversations/list").json()) == keys
    client.sandbox.options = UNLIMITED
    token = client.get("/conversations/list?limit=20&page_token=").json()["links"]["next"].partition("page_token=")[2]
    assert client.get(f"/conversations/list?page_token={token}").json()["pagination"] == {"more": True, "next": "40"}


@pytest.mark.parametrize(
    ("last_page", "pagination", "link"),
    [
        ("omitted", None, "absent"),
        ("null", {"more": False, "next": None}, None),
        ("empty_string", {"more": False, "next": ""}, ""),
        ("more_false", {"more": False}, "absent"),
        ("empty_page", None, "absent"),
    ],
)
def test_the_last_page_looks_as_the_option_says(start: Start, last_page: Any, pagination: Any, link: Any) -> None:
    """The last page has exactly the chosen form."""
    client = start(Drift(conversations=10), Options(last_page=last_page, **FREE))
    answer = client.get("/conversations/list").json()
    if last_page == "empty_page":
        assert answer["pagination"] == {"more": True, "next": "10"}
        answer = client.get("/conversations/list?" + answer["links"]["next"].partition("?")[2]).json()
        assert answer["data"] == []
    assert answer.get("pagination") == pagination
    assert answer["links"].get("next", "absent") == link


def test_an_empty_page_can_link_to_itself(start: Start) -> None:
    """In the list and in accounts, only the repeated cursor shows the end."""
    drift = Drift(conversations=10, accounts=10)
    client = start(drift, Options(last_page="empty_page_repeats", **FREE))
    following = client.get("/conversations/list?page_token=").json()["links"]["next"].partition("?")[2]
    last = client.get(f"/conversations/list?{following}").json()
    assert (last["data"], last["links"]["next"].partition("?")[2]) == ([], following)
    last = client.get("/conversations/list?next=10").json()
    assert (last["data"], last["pagination"]["next"]) == ([], "10")
    data = client.get("/accounts?index=10&size=10").json()["data"]
    assert (data["accounts"], data["next"]) == ([], "/accounts?index=10&size=10")


def test_offsets_shift_when_rows_move_and_tokens_do_not(start: Start) -> None:
    """If a conversation is updated during a read, generation 1 repeats rows; generation 2 does not."""
    drift = Drift(conversations=120)
    client = start(drift)
    wanted = list(drift.keys("conversations"))
    moved = wanted[-1]
    by_next = ids(client.walk_next(meanwhile=lambda: drift.touch(moved)))
    assert len(by_next) > len(set(by_next))
    wanted = list(drift.keys("conversations"))
    moved = wanted[-1]
    by_links = ids(client.walk_links(meanwhile=lambda: drift.touch(moved)))
    assert by_links == wanted[:-1]


def test_the_token_is_a_keyset(start: Start) -> None:
    """The token is URL-safe base64 without padding, and contains the last row, the limit and the statuses."""
    client = start(Drift(conversations=400))
    first = client.get("/conversations/list?limit=7&statusId=1&statusId=3&page_token=").json()
    token = first["links"]["next"].partition("page_token=")[2]
    assert "=" not in token
    fields = parse_qs(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    last = first["data"][-1]
    assert fields == {
        "statusIds": ["1", "3"],
        "highestUpdatedAt": [str(last["updatedAt"])],
        "highestId": [str(last["id"])],
        "limit": ["7"],
    }
    second = client.get(f"/conversations/list?limit=50&page_token={token}").json()["data"]
    assert len(second) == 7
    assert {row["status"] for row in second} <= {"open", "pending"}


def test_a_place_can_have_several_tokens() -> None:
    """Another attempt gives another token for the same place."""
    token = PageToken((5, 7), 50, (1,))
    again = token.encode(3)
    assert again != token.encode()
    assert PageToken.decode(again) == token


@pytest.mark.parametrize("by", ["next", "links"])
@pytest.mark.parametrize("statuses", [[1], [2, 3], [1, 2, 3]])
def test_statuses_filter(start: Start, by: str, statuses: list[int]) -> None:
    """The list contains only the requested statuses; no status ID stands for bulk_sent."""
    drift = Drift(conversations=200)
    client = start(drift, Options(paging=by, **FREE))  # type: ignore[arg-type]
    names = [("open", "closed", "pending")[status - 1] for status in statuses]
    wanted = [row["id"] for row in drift.expected("conversations") if row["status"] in names]
    rows: list[dict[str, Any]] = []
    query: dict[str, Any] = {"statusId": statuses, "limit": 20}
    for _ in range(20):
        answer = client.get("/conversations/list", params=query).json()
        rows += answer["data"]
        if by == "next":
            following = answer.get("pagination", {}).get("next")
            query = {"statusId": statuses, "limit": 20, "next": following}
        else:
            following = answer["links"].get("next", "").partition("page_token=")[2]
            query = {"page_token": following}
        if not following:
            break
    assert ids(rows) == wanted
    assert len(wanted) < 200


@pytest.mark.parametrize(
    ("paging", "query", "most"),
    [
        ("next", "limit=500", 50),
        ("links", "limit=500", 100),
        ("both", "limit=500", 50),
        ("both", "limit=500&page_token=", 100),
    ],
)
def test_conversation_pages_have_a_maximum(start: Start, paging: Any, query: str, most: int) -> None:
    """A larger page size is lowered or refused, as the option says; the default is 25."""
    client = start(Drift(conversations=150), Options(paging=paging, **FREE))
    assert len(client.get(f"/conversations/list?{query}").json()["data"]) == most
    assert len(client.get("/conversations/list").json()["data"]) == 25
    client.sandbox.options = Options(paging=paging, over_limit="refuse", **FREE)
    refused = client.get(f"/conversations/list?{query}")
    assert (refused.status_code, refused.json()["errors"][0]["param"]) == (400, "limit")
    allowed = client.get(f"/conversations/list?{query.replace('500', str(most))}")
    assert (allowed.status_code, len(allowed.json()["data"])) == (200, most)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=1.5",
        "next=x",
        "next=-1",
        "statusId=4",
        "statusId=open",
        "page_token=!!",
        "page_token=YQ",
    ],
)
def test_invalid_parameters_are_refused_with_a_list_of_errors(start: Start, query: str) -> None:
    """An invalid parameter returns 400 in the form that the page on conversations documents."""
    answer = start().get(f"/conversations/list?{query}")
    assert answer.status_code == 400
    assert [error["type"] for error in answer.json()["errors"]] == ["validation_error"]


@pytest.mark.parametrize("last_page", get_args(LastPage))
@pytest.mark.parametrize("form", get_args(AccountsNext))
def test_every_account_once(start: Start, form: Any, last_page: Any) -> None:
    """Every account comes once with each form of `data.next` and of the last page, even if the last page is full."""
    drift = Drift(accounts=70, conversations=0)
    client = start(drift, Options(accounts_next=form, last_page=last_page, **FREE))
    for size in (35, 65):
        assert [row["accountId"] for row in client.walk_accounts(size)] == list(drift.keys("accounts"))
    following = client.get("/accounts?size=10").json()["data"]["next"]
    assert (
        following
        == {
            "relative": "/accounts?index=10&size=10",
            "slash": "/accounts/?index=10&size=10",
            "absolute": "https://api.drift.com/accounts?index=10&size=10",
        }[form]
    )


def test_account_pages_have_a_maximum(start: Start) -> None:
    """The maximum is 65 and the default 10, with and without a trailing slash."""
    client = start(Drift(accounts=80, conversations=0))
    for path in ("/accounts", "/accounts/"):
        assert len(client.get(f"{path}?size=100").json()["data"]["accounts"]) == 65
        assert len(client.get(path).json()["data"]["accounts"]) == 10
    client.sandbox.options = Options(over_limit="refuse", **FREE)
    assert client.get("/accounts?size=66").status_code == 400
    assert client.get("/accounts?size=65").status_code == 200


@pytest.mark.parametrize("last_page", get_args(LastPage))
def test_every_message_once(start: Start, last_page: Any) -> None:
    """Threads with no message, one message, exactly one page and several pages of 50 are complete."""
    drift = Drift(conversations=200)
    client = start(drift, Options(last_page=last_page, **FREE))
    threads = {len(drift.messages(key) or ()): key for key in drift.keys("conversations")}
    assert {0, 1, 50, 51, 100, 120} <= set(threads)
    for key in threads.values():
        assert client.walk_messages(key) == drift.messages(key)
    first = client.get(f"/conversations/{threads[120]}/messages").json()
    assert (len(first["data"]["messages"]), first["pagination"]) == (50, {"more": True, "next": "2"})


def test_meetings_are_truncated_silently(start: Start) -> None:
    """A response has 100 meetings by default and 1,000 at most, and does not say that there are more."""
    drift = Drift(conversations=0, meetings=2_500)
    client = start(drift)
    window = "/users/meetings/org?min_start_time=0&max_start_time=99999999999999"
    assert drift.count("meetings") > 1_000
    assert [len(client.get(f"{window}{more}").json()["data"]) for more in ("", "&limit=5000")] == [100, 1_000]
    assert set(client.get(window).json()) == {"data"}
    for query in ("", "?min_start_time=1", "?max_start_time=1", "?min_start_time=x&max_start_time=1"):
        assert client.get(f"/users/meetings/org{query}").status_code == 400
