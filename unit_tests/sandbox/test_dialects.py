"""The dialects of the sandbox: their building blocks, and that each dialect changes requests or responses."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
import requests

from sandbox import ALL_SCOPES, METRICS, Drift, Options, Sandbox
from sandbox.__main__ import main
from sandbox.answer import Answer
from sandbox.deviations import (
    Asked,
    Deviation,
    at_first,
    clamp,
    drop,
    every,
    fields,
    list_at,
    on,
    put,
    raw,
    refuse,
    row_list,
    some_rows,
    token_of,
    unwrap,
    when,
    wrap_in,
)
from sandbox.dialects import AREAS, DIALECTS
from sandbox.seeds import DAY
from unit_tests.sandbox.conftest import TOKEN, UNLIMITED

DRIFT = Drift(seed=3, conversations=150, accounts=130, users=5, meetings=12, history_days=100)
USERS = {"data": [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Ben"}]}
ACCOUNTS = {"data": {"accounts": [{"accountId": "1_a"}], "total": 3, "next": "/accounts?index=1"}}


def asked(path: str = "/users/list", count: int = 1, **query: str) -> Asked:
    return Asked("GET", path, {name: [value] for name, value in query.items()}, None, DRIFT, count)


def altered(deviation: Deviation, content: Any, request: Asked | None = None) -> Any:
    assert deviation.alter is not None
    return deviation.alter(request or asked(), Answer(200, content, {})).content


def served(deviation: Deviation, request: Asked) -> int:
    """The status that a deviation returns instead of the endpoint; 0 if the endpoint responds."""
    assert deviation.ask is not None
    answer = deviation.ask(request)
    return answer.status if answer else 0


@pytest.mark.parametrize(
    ("deviation", "content", "expected"),
    [
        (drop("data.total"), {"data": {"total": 3, "next": None}}, {"data": {"next": None}}),
        (drop("links.next"), {"data": []}, {"data": []}),
        (put("links.next", ""), {"data": []}, {"data": [], "links": {"next": ""}}),
        (put("count", lambda content: len(content["data"])), {"data": [1]}, {"data": [1], "count": 1}),
        (wrap_in("data"), [1], {"data": [1]}),
        (unwrap(), {"data": [1]}, [1]),
        (fields(name=str.upper, role="agent"), {"data": [{"name": "a"}]}, {"data": [{"name": "A", "role": "agent"}]}),
        (row_list(lambda rows: [None, *rows]), {"data": [1]}, {"data": [None, 1]}),
        (list_at("data.users"), USERS, {"data": {"users": USERS["data"]}}),
        (raw(lambda body: b"\xef\xbb\xbf" + body), [1], b"\xef\xbb\xbf[1]"),
        (some_rows(lambda row: row | {"id": None}, share=1), {"data": [{"id": 7}]}, {"data": [{"id": None}]}),
    ],
)
def test_a_block_changes_the_response(deviation: Deviation, content: Any, expected: Any) -> None:
    """Each building block changes the response as its name says, and does not change its input."""
    before = orjson.dumps(content)
    assert altered(deviation, content) == expected
    assert orjson.dumps(content) == before


def test_rows_are_found_where_the_endpoint_puts_them() -> None:
    """Accounts are at data.accounts, playbooks at the root."""
    mark = fields(seen=True)
    assert altered(mark, ACCOUNTS, asked("/accounts"))["data"]["accounts"] == [{"accountId": "1_a", "seen": True}]
    assert altered(mark, [{"id": 1}], asked("/playbooks/list")) == [{"id": 1, "seen": True}]
    assert altered(list_at("data"), ACCOUNTS, asked("/accounts")) == {
        "data": [{"accountId": "1_a"}],
        "total": 3,
        "next": "/accounts?index=1",
    }


def test_error_responses_do_not_change() -> None:
    """A block for successful responses does not change an error response."""
    refused = Answer(403, {"error": {}}, {})
    for deviation in (wrap_in("data"), raw(lambda _: b""), drop("error")):
        assert deviation.alter is not None
        assert deviation.alter(asked(), refused) == refused


def test_a_block_changes_the_query() -> None:
    """A number is limited silently, and a missing one is not added."""
    large, none = asked(size="65"), asked()
    assert [served(clamp("size", 25), large), served(clamp("size", 25), none)] == [0, 0]
    assert (large.query, none.query) == ({"size": ["25"]}, {})


def test_when_a_deviation_applies() -> None:
    """A deviation applies to every nth request, the first of each, some conversations permanently, or a condition."""
    no = refuse(400)
    assert [served(every(3, no), asked(count=count)) for count in range(1, 7)] == [0, 0, 400, 0, 0, 400]
    memory: dict[Any, Any] = {}
    once, two = at_first(no), on(2, no)
    paths = ["/contacts/1", "/contacts/1", "/contacts/2", "/contacts/3", "/contacts/2"]
    requests_of = [replace(asked(path), memory=memory) for path in paths]
    assert [served(once, one) for one in requests_of] == [400, 0, 400, 400, 0]
    assert [served(two, one) for one in requests_of] == [400, 400, 400, 0, 400]
    large = when(lambda one: one.number("limit") > 25, no)
    assert [served(large, asked(limit=limit)) for limit in ("25", "26")] == [0, 400]


def test_names_and_reasons_are_well_formed() -> None:
    """A name starts with its area, in kebab case; the reason is one sentence."""
    for name, dialect in DIALECTS.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", name), name
        assert dialect.name == name
        assert dialect.area in AREAS
        assert re.fullmatch(r"[A-Z0-9@/-].{15,}\.", dialect.why), name
        assert len(dialect.why) < 110, name


def test_an_unknown_name_is_refused() -> None:
    """The error suggests similar names, or says how to list all of them."""
    with pytest.raises(ValueError, match="no dialect 'list-next-blanc': did you mean list-next-blank"):
        Options(dialects=("list-next-blanc",))
    with pytest.raises(ValueError, match="serve --dialects lists them"):
        Options(dialects=("zzz",))


def test_the_command_line_lists_dialects(capsys: pytest.CaptureFixture[str]) -> None:
    """--dialects prints each name with its reason; an unknown --dialect is refused."""
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--dialects"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(DIALECTS)
    assert all(
        line.startswith(name) and line.endswith(one.why)
        for line, (name, one) in zip(lines, DIALECTS.items(), strict=True)
    )
    assert main(["serve", "--dialect", "accounts-no-total", "--dialect", "list-next-blanc"]) == 2
    assert "did you mean" in capsys.readouterr().err


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(DRIFT, UNLIMITED) as running:
        yield running


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as client:
        client.trust_env = False
        client.headers.update(TOKEN)
        yield client


def speak(sandbox: Sandbox, *names: str) -> None:
    tokens = {"sandbox-token": ALL_SCOPES, "poor": ()}
    # The dialects before this one use up a refresh token.
    sandbox.options = replace(UNLIMITED, tokens=tokens, rotate_refresh_tokens=False, dialects=names)


def test_several_apply_in_the_order_given(sandbox: Sandbox, session: requests.Session) -> None:
    """Two dialects apply together, and a new set of dialects starts counting again."""
    speak(sandbox, "users-null-row", "users-root-list")
    rows = session.get(sandbox.url + "/users/list", timeout=10).json()
    assert isinstance(rows, list)
    assert rows[-1] is None
    assert dict(sandbox.service.interpreter.hits) == {"users-null-row": 1, "users-root-list": 1}
    speak(sandbox, "users-root-list", "users-null-row")
    # The second dialect finds no list in the documented place.
    assert None not in session.get(sandbox.url + "/users/list", timeout=10).json()
    assert dict(sandbox.service.interpreter.hits) == {"users-root-list": 1, "users-null-row": 0}


def test_the_journal_shows_the_original_request(sandbox: Sandbox, session: requests.Session) -> None:
    """A dialect that changes the query does not change the journal."""
    speak(sandbox, "accounts-size-clamped-to-10")
    answer = session.get(f"{sandbox.url}/accounts?index=0&size=65", timeout=10).json()
    assert len(answer["data"]["accounts"]) == 10
    assert answer["data"]["next"] == "/accounts?index=10&size=10"
    assert sandbox.journal[-1].query["size"] == ["65"]


def test_a_dialect_may_set_the_date(sandbox: Sandbox, session: requests.Session) -> None:
    """A response has one Date header, or none."""
    dates = []
    for names in ((), ("gateway-date-from-cache",), ("gateway-no-date",)):
        speak(sandbox, *names)
        dates.append(session.get(sandbox.url + "/users/list", timeout=10).headers.get("Date"))
    assert dates[0] is not None
    assert "," not in dates[0].partition(",")[2]
    assert dates[1:] == ["Thu, 01 Jan 2015 00:00:00 GMT", None]


# Requests for each area, so that each dialect can apply.
Requests = Iterator[Callable[[], object]]


def reads(area: str, url: str, session: requests.Session) -> Requests:
    def get(path: str, **query: Any) -> Callable[[], requests.Response]:
        return lambda: session.get(url + path, params=query, timeout=10, allow_redirects=False)

    def post(path: str, **more: Any) -> Callable[[], requests.Response]:
        return lambda: session.post(url + path, timeout=10, **more)

    ids = [row["id"] for row in DRIFT.conversations_from(0, 60).rows]
    now = int(time.time() * 1000)
    if area == "accounts":
        yield from (get("/accounts", index=index, size=65) for index in (0, 65, 130))
    elif area == "list":
        link = f"https://api.drift.com/?page_token={''}"
        for _ in range(5):
            answer = get("/conversations/list", limit=50, page_token=token_of(link))()
            yield lambda: None
            content = answer.json() if answer.content[:1] == b"{" else {}
            link = (content.get("links") or {}).get("next") or "" if isinstance(content.get("links"), dict) else ""
        yield from (get("/conversations/list", limit=50, next=offset) for offset in (50, 100))
    elif area in ("conversation", "details", "messages"):
        yield from (get(f"/conversations/{one}{end}") for one in ids for end in ("/messages", ""))
        yield from (get(f"/conversations/{one}/messages", next=2) for one in ids if len(DRIFT.messages(one) or ()) > 50)
    elif area == "contacts":
        keys = list(dict.fromkeys(row["contactId"] for row in DRIFT.expected("conversations")))
        yield from (get(f"/contacts/{key}") for key in (*keys[:30], keys[-1]))
    elif area == "emails":
        known = next(row["attributes"]["email"] for row in DRIFT.expected("contacts") if row["attributes"].get("email"))
        yield from (get("/contacts", email=email) for email in (known, "nobody@example.com"))
    elif area == "reports":
        oldest = min(row["updatedAt"] for row in DRIFT.expected("conversations"))
        for low, high in ((oldest, now), (1, 2)):
            between = {"property": "updatedAt", "operation": "BETWEEN", "values": [low, high]}
            yield post("/reports/conversations", json={"filters": [between], "metrics": list(METRICS)})
    elif area == "meetings":
        for low, high in ((now - 60 * DAY, now + 800 * DAY), (now + 700 * DAY, now + 701 * DAY)):
            yield get("/users/meetings/org", min_start_time=low, max_start_time=high, limit=1000)
    elif area == "token-info":
        yield post("/app/token_info", json={"access_token": "sandbox-token"})
    elif area == "oauth":
        form = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
        yield post("/oauth2/token", data=form | {"grant_type": "refresh_token", "refresh_token": "sandbox-refresh-1"})
    elif area == "token":
        yield from (get("/users/list") for _ in ())
        yield from (
            post("/reports/conversations", headers={"Authorization": f"Bearer {token}"}, json={})
            for token in ("unknown", "poor")
        )
    elif area in ("json", "gateway"):
        yield get("/accounts", index=0, size=65)
        yield from (get("/users/list") for _ in range(120))
    else:
        paths = ("/users/list", "/teams/org", "/playbooks/list", "/playbooks/clp", "/contacts/attributes")
        yield from (get(path) for path in (*paths, "/conversations/stats") if re.search(AREAS[area], path))


def test_every_dialect_changes_something(sandbox: Sandbox, session: requests.Session) -> None:
    """Each dialect changes a request or response of its area, and no request breaks the server."""
    silent = []
    for name, dialect in DIALECTS.items():
        speak(sandbox, name)
        sandbox.journal.clear()
        for send in reads(dialect.area, sandbox.url, session):
            send()
            if sandbox.service.interpreter.hits[name]:
                break
        else:
            silent.append(name)
        assert None not in sandbox.journal.statuses(), name
    assert silent == []
