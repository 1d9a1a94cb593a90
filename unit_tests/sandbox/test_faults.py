"""Each fault as a client sees it, and the plan that decides which requests it affects."""

from __future__ import annotations

import socket
import struct
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from sandbox import Drift, Fault, Options, Write
from sandbox.faults import KINDS, FaultPlan
from unit_tests.conftest import wait_until
from unit_tests.sandbox.conftest import TOKEN, UNLIMITED, WRITABLE, Client, Start

LIST = "/conversations/list"


def connect(client: Client, path: str) -> socket.socket:
    """Send a request over a raw socket, to see what happens to the connection."""
    address = urlsplit(client.sandbox.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=10)
    request = f"GET {path} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: {TOKEN['Authorization']}\r\n\r\n"
    connection.sendall(request.encode())
    return connection


def received(connection: socket.socket) -> bytes:
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def cursor(link: str) -> str:
    return parse_qs(urlsplit(link).query)["page_token"][0]


@pytest.mark.parametrize("status", [400, 404, 409, 418, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("body", ["json", "html", "empty"])
def test_status(start: Start, status: int, body: str) -> None:
    """The fault sends a status with the given body and headers once; the next response is Drift's own."""
    fault = Fault("/users/list", "status", status=status, body=body, headers={"X-Trace": "1"}, retry_after=7)
    client = start(faults=[fault])
    answer = client.get("/users/list")
    assert (answer.status_code, answer.headers["X-Trace"], answer.headers["Retry-After"]) == (status, "1", "7")
    if body == "json":
        assert answer.json()["error"]["message"] == "Something went wrong"
    else:
        assert answer.text.startswith("<!doctype html>") if body == "html" else answer.content == b""
    assert client.get("/users/list").status_code == 200
    assert [request.fault for request in client.sandbox.journal] == ["status", None]


def test_reset(start: Start) -> None:
    """The connection ends with RST, not FIN, before any byte of a response; the journal shows no status."""
    client = start(faults=[Fault("/users/list", "reset")])
    with connect(client, "/users/list") as connection, pytest.raises(ConnectionResetError):
        received(connection)
    client.sandbox.faults = [Fault("/users/list", "reset")]
    with pytest.raises(requests.ConnectionError):
        client.get("/users/list")
    assert client.sandbox.journal.statuses() == {None: 2}


def test_truncated(start: Start) -> None:
    """The Content-Length is larger than the body that arrives before the connection closes."""
    client = start(faults=[Fault("/users/list", "truncated", share=0.25, times=2)])
    with connect(client, "/users/list") as connection:
        head, _, body = received(connection).partition(b"\r\n\r\n")
    announced = int(head.lower().partition(b"content-length: ")[2].split()[0])
    assert len(body) == announced // 4
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        client.get("/users/list").json()


def test_slow(start: Start) -> None:
    """The complete body arrives in many pieces."""
    client = start(faults=[Fault("/users/list", "slow", seconds=0.2)])
    with connect(client, "/users/list") as connection:
        whole = client.get("/users/list").content
        pieces = [connection.recv(65536)]
        while not b"".join(pieces).endswith(whole):
            pieces.append(connection.recv(65536))
    assert len(pieces) > 5


def test_hang(start: Start) -> None:
    """There is no response; the connection closes later, and stopping the sandbox does not wait for it."""
    client = start(faults=[Fault("/users/list", "hang", seconds=0.05), Fault("/users/list", "hang", seconds=3600)])
    with connect(client, "/users/list") as connection:
        assert received(connection) == b""
    with connect(client, "/users/list") as connection:
        wait_until(lambda: client.sandbox.journal.count() == 2)
        client.sandbox.__exit__()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 10, 0))
        assert received(connection) == b""


@pytest.mark.parametrize(
    ("fault", "status", "content"),
    [
        (Fault(LIST, "html"), 200, b"<!doctype html>"),
        (Fault(LIST, "empty"), 200, b""),
        (Fault(LIST, "no_content"), 204, b""),
        (Fault(LIST, "error_body", type="timeout"), 200, b'{"error":{"type":"timeout"'),
        (Fault(LIST, "errors_body"), 200, b'{"errors":[{"type":"server_error"'),
        (Fault(LIST, "gone"), 410, b'{"error":{"type":"gone"'),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_responses_instead_of_drifts(start: Start, fault: Fault, status: int, content: bytes) -> None:
    """Each replacing kind sends its status and body without calling the endpoint."""
    answer = start(faults=[fault]).get(LIST)
    assert answer.status_code == status
    assert answer.content.startswith(content)
    assert bool(answer.content) == bool(content)


def test_redirect(start: Start) -> None:
    """The Location contains the path and the query of the request."""
    fault = Fault(LIST, "redirect", location="https://evil.example{path}?{query}", code=307)
    answer = start(faults=[fault]).get(f"{LIST}?limit=3", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, f"https://evil.example{LIST}?limit=3")


@pytest.mark.parametrize(
    ("path", "key", "left"),
    [
        (LIST, "data", {"pagination", "links"}),
        ("/accounts", "data.accounts", {"data"}),
        ("/contacts/attributes", "data.properties", {"data"}),
        ("/playbooks/list", "data", set()),
    ],
)
def test_missing_data(start: Start, path: str, key: str, left: set[str]) -> None:
    """The key is missing, everything else remains; a bare array becomes an empty object."""
    answer = start(faults=[Fault(path, "missing_data", key=key)]).get(path).json()
    assert set(answer) == left
    assert "accounts" not in answer.get("data", {})


@pytest.mark.parametrize(
    ("to", "value"), [("null", None), ("string", "unexpected"), ("number", 7), ("object", {}), ("array", [])]
)
def test_wrong_type(start: Start, to: str, value: Any) -> None:
    """The records have the given type, at any depth and at the root."""
    faults = [
        Fault("/users/list", "wrong_type", to=to),
        Fault("/accounts", "wrong_type", to=to, key="data.accounts"),
        Fault("/playbooks/list", "wrong_type", to=to),
    ]
    client = start(faults=faults)
    assert client.get("/users/list").json()["data"] == value
    assert client.get("/accounts").json()["data"]["accounts"] == value
    assert client.get("/playbooks/list").json() == value


def test_repeated_cursor(start: Start) -> None:
    """A page with rows links to the cursor that was just used; first pages are not affected."""
    client = start(Drift(conversations=300, accounts=200), faults=[Fault("^/", "repeated_cursor", times=None)])
    first = client.get(f"{LIST}?limit=50&page_token=").json()
    token = cursor(first["links"]["next"])
    second = client.get(f"{LIST}?limit=50&page_token={token}").json()
    assert second["data"] != first["data"]
    assert cursor(second["links"]["next"]) == token
    assert client.get(f"{LIST}?limit=50&next=50").json()["pagination"] == {"more": True, "next": "50"}
    assert client.get("/accounts?size=20&index=0").json()["data"]["next"] == "/accounts?index=20&size=20"
    assert client.get("/accounts?size=20&index=20").json()["data"]["next"] == "/accounts?index=20&size=20"
    long = next(
        key for key in client.sandbox.drift.keys("conversations") if len(client.sandbox.drift.messages(key) or ()) > 50
    )
    answer = client.get(f"/conversations/{long}/messages?next=2").json()
    assert answer["pagination"] == {"more": True, "next": "2"}


@pytest.mark.parametrize(
    "link",
    [
        "//evil.example{path}?page_token={token}",
        "http://driftapi.com{path}?page_token={token}",
        "https://driftapi.com:8443{path}?page_token={token}",
        "https://driftapi.com@evil.example{path}?page_token={token}",
        "https://evil.example\\@driftapi.com{path}?page_token={token}",
    ],
)
def test_foreign_link(start: Start, link: str) -> None:
    """The link points to the given host, with the real token and path."""
    client = start(Drift(conversations=200, accounts=90), faults=[Fault("^/", "foreign_link", link=link, times=2)])
    answer = client.get(f"{LIST}?limit=50&page_token=").json()
    accounts = client.get("/accounts?size=65").json()["data"]["next"]
    true = cursor(client.get(f"{LIST}?limit=50&page_token=").json()["links"]["next"])
    assert answer["links"]["next"] == link.replace("{path}", LIST).replace("{token}", true)
    assert accounts == link.replace("{path}", "/accounts").replace("{token}", "")


def test_empty_page(start: Start) -> None:
    """Empty pages have new cursors for the same position; following them reaches the same rows."""
    drift = Drift(conversations=130)
    wanted = list(drift.keys("conversations"))
    client = start(drift, faults=[Fault(LIST, "empty_page", times=2), Fault(LIST, "empty_page", after=2)])
    seen: list[Any] = []
    tokens = [""]
    for _ in range(9):
        answer = client.get(LIST, params={"limit": 50, "page_token": tokens[-1]}).json()
        seen += [row["id"] for row in answer["data"]]
        if "next" not in answer["links"]:
            break
        tokens.append(cursor(answer["links"]["next"]))
    assert seen == wanted
    assert len(set(tokens)) == len(tokens) == 6
    client.sandbox.faults = [Fault("^/", "empty_page", after=1)]
    assert [row["id"] for row in client.walk_next()] == wanted
    long = next(key for key in drift.keys("conversations") if len(drift.messages(key) or ()) == 120)
    client.sandbox.faults = [Fault("*/messages", "empty_page", after=1)]
    assert client.walk_messages(long) == drift.messages(long)
    cursors = [request.query["next"][0] for request in client.sandbox.journal.requests("^.*/messages$")]
    assert len(set(cursors)) == len(cursors) == 4


def test_rows_change(start: Start) -> None:
    """Before the response, conversations move to the top, and the response shows them there."""
    drift = Drift(conversations=100)
    before = list(drift.keys("conversations"))
    client = start(drift, faults=[Fault(LIST, "rows_change", n=3)])
    rows = client.get(f"{LIST}?limit=50").json()["data"]
    assert all(row["updatedAt"] > drift.now for row in rows[:3])
    assert rows[3]["updatedAt"] <= drift.now
    assert {row["id"] for row in rows[:3]} < set(before)
    assert drift.count("conversations") == 100


def test_rows_vanish(start: Start) -> None:
    """Before the response, conversations are deleted, or accounts for requests to accounts."""
    drift = Drift(conversations=100, accounts=50)
    client = start(
        drift, faults=[Fault("/conversations/*", "rows_vanish", n=3), Fault("/accounts", "rows_vanish", n=4)]
    )
    client.get(LIST)
    assert client.get("/accounts").json()["data"]["total"] == 46
    assert (drift.count("conversations"), drift.count("accounts")) == (97, 46)


def test_body(start: Start) -> None:
    """A callable receives a copy of the response; the data does not change."""

    def spoil(answer: dict[str, Any]) -> dict[str, Any]:
        answer["data"][0]["name"] = "spoiled"
        return answer | {"extra": 1}

    client = start(faults=[Fault("/users/list", "body", change=spoil)])
    answer = client.get("/users/list").json()
    assert (answer["extra"], answer["data"][0]["name"]) == (1, "spoiled")
    assert client.get("/users/list").json()["data"][0]["name"] != "spoiled"


NEW = {"attributes": {"email": "ada@example.com", "plan": "team"}}


def test_answer_lost(start: Start) -> None:
    """The contact is created, but the client gets a reset connection, and the journal shows no status."""
    client = start(options=WRITABLE, faults=[Fault("/contacts", "answer_lost", method="POST")])
    with pytest.raises(requests.ConnectionError):
        client.send("POST", "/contacts", NEW)
    assert [write.action for write in client.sandbox.drift.writes] == ["create"]
    assert [(one.status, one.fault) for one in client.sandbox.journal] == [(None, "answer_lost")]
    assert client.send("POST", "/contacts", NEW).status_code == 409


def test_applied_status(start: Start) -> None:
    """The contact is created, but the response is an error."""
    client = start(options=WRITABLE, faults=[Fault("/contacts", "applied_status", method="POST", status=502)])
    assert client.send("POST", "/contacts", NEW).status_code == 502
    assert client.send("POST", "/contacts", NEW).status_code == 409
    assert [write.action for write in client.sandbox.drift.writes] == ["create"]


def test_rival(start: Start) -> None:
    """Before the request, another client creates a contact with the same email, so the request is refused."""
    client = start(options=WRITABLE, faults=[Fault("/contacts", "rival", method="POST")])
    assert client.send("POST", "/contacts", NEW).status_code == 409
    (found,) = client.get("/contacts", params={"email": "ada@example.com"}).json()["data"]
    assert client.sandbox.drift.writes == [Write("create", found["id"], {"email": "ada@example.com"}, "rival")]


def test_contact_vanishes(start: Start) -> None:
    """Before the request, the contact is deleted."""
    client = start(options=WRITABLE, faults=[Fault("/contacts/*", "contact_vanishes", method="PATCH")])
    path = f"/contacts/{client.sandbox.drift.add_contact()}"
    assert client.get(path).status_code == 200
    assert client.send("PATCH", path, {"attributes": {}}).status_code == 404
    assert client.get(path).status_code == 404


def test_every_kind_has_a_test() -> None:
    """Each kind has a test of the same name or is one of the replacing kinds."""
    here = set(globals())
    replacing = {"html", "empty", "no_content", "error_body", "errors_body", "gone"}
    assert {kind for kind in KINDS if f"test_{kind}" not in here} == replacing


def test_a_fault_does_not_change_errors(start: Start) -> None:
    """A fault changes only responses with status 200; a refused token still returns 401."""
    client = start(None, Options(tokens={}), faults=[Fault("/users/list", "missing_data")])
    assert client.get("/users/list").status_code == 401


@pytest.mark.parametrize(
    ("path", "hit", "missed"),
    [
        ("/accounts", ["/accounts", "/accounts/"], ["/accounts/1", "/accountsx"]),
        ("/conversations/*/messages", ["/conversations/1/messages"], ["/conversations/list", "/conversations/1"]),
        ("^/conversations/\\d+$", ["/conversations/12"], ["/conversations/list", "/conversations/12/messages"]),
    ],
)
def test_paths_are_exact_globs_or_expressions(path: str, hit: list[str], missed: list[str]) -> None:
    """A fault affects exactly the paths that it matches."""
    fault = Fault(path, "html")
    assert [fault.concerns("GET", one, b"") for one in hit + missed] == [True] * len(hit) + [False] * len(missed)


def test_the_plan_counts_matches_and_hits() -> None:
    """`after` requests pass, `times` are affected; the first due fault applies, and the others keep counting."""
    plan = FaultPlan(
        [
            Fault("/a", "html", after=1, times=2),
            Fault("/a", "empty", method="POST"),
            Fault("/a", "reset", after=3, times=None),
        ]
    )
    taken = [plan.take(method, "/a", b"") for method in ("GET", "GET", "POST", "POST", "GET", "GET")]
    assert [fault and fault.kind for fault in taken] == [None, "html", "html", "empty", "reset", "reset"]
    assert plan.take("GET", "/b", b"") is None


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("reset /users/list", "reset", {"path": "/users/list", "times": 1, "method": None}),
        ("status POST /app/token_info status=429 times=3 retry_after=1", "status", {"method": "POST", "times": 3}),
        ("html * times=always after=2", "html", {"path": "*", "times": None, "after": 2}),
    ],
)
def test_faults_are_written_on_one_line(text: str, kind: str, expected: dict[str, Any]) -> None:
    """The command-line form is equal to the arguments."""
    fault = Fault.parse(text)
    assert fault.kind == kind
    assert {name: getattr(fault, name) for name in expected} == expected


def test_a_line_contains_details() -> None:
    """Details can be numbers, words, quoted strings and JSON."""
    fault = Fault.parse("""status /x status=418 body=html message="not now" 'headers={"X-A": "1"}'""")
    assert fault.details == KINDS["status"][1] | {
        "status": 418,
        "body": "html",
        "message": "not now",
        "headers": {"X-A": "1"},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense /x", "no fault 'nonsense'"),
        ("reset", "a fault reads"),
        ("reset /x loose", "a fault reads"),
        ("reset /x seconds=3", "takes no details"),
        ("status /x status=99", "status cannot be 99"),
        ("wrong_type /x to=date", "to cannot be 'date'"),
        ("rows_change /x n=many", "n cannot be 'many'"),
        ("body /x", "change cannot be None"),
        ("html /x times=often", "times"),
        ("html /x after=-1", "after"),
        ("html ^(", "regular expression"),
    ],
)
def test_invalid_faults_are_refused(text: str, message: str) -> None:
    """The error says what is wrong with the line."""
    with pytest.raises(ValueError, match=message):
        Fault.parse(text)


def test_plans_are_read_from_json() -> None:
    """A plan is a list of objects with the arguments; anything else is refused."""
    plan = Fault.from_json([{"path": "/x", "kind": "status", "status": 500, "times": None}])
    assert (plan[0].details["status"], plan[0].times) == (500, None)
    plans: list[Any] = [{}, [1], [{"path": "/x"}]]
    for wrong in plans:
        with pytest.raises(ValueError, match="a fault plan is a list"):
            Fault.from_json(wrong)


def test_a_plan_can_be_replaced_while_running(start: Start) -> None:
    """A new plan starts counting from zero, and the same fault can be used again."""
    fault = Fault("/users/list", "gone")
    client = start(None, UNLIMITED, faults=[fault])
    statuses = [client.get("/users/list").status_code for _ in range(2)]
    client.sandbox.faults = [fault]
    statuses += [client.get("/users/list").status_code for _ in range(2)]
    assert statuses == [410, 200, 410, 200]
    assert client.sandbox.faults == (fault,)
