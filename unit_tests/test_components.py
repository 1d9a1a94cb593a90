"""Direct tests of each class of components.py: its contract with the CDK, and its errors."""

import ast
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import urllib3
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ResponseAction
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

import components
from unit_tests.conftest import API, NOW, SECRET, TOKEN, Answer, Drift, parts, response

GOOD = {"data": [{"id": 1}]}
MESSAGES = f"{API}/conversations/1/messages"


def raised(error: pytest.ExceptionInfo[Any]) -> tuple[str, FailureType]:
    return error.value.message, error.value.failure_type


def test_failure_has_one_message_for_user_and_log() -> None:
    """A failure shows its text unchanged, and is a system error by default."""
    made = components.failure("Something.")
    assert (made.message, made.internal_message, made.failure_type) == (
        "Something.",
        "Something.",
        FailureType.system_error,
    )
    assert components.failure("x", FailureType.config_error).failure_type is FailureType.config_error


def test_class_names_of_the_manifest_are_these_classes() -> None:
    """The manifest uses the same classes that these tests import."""
    [made] = parts("messages")
    assert isinstance(made.extractor, components.NamedPages)
    assert isinstance(made.pages, components.NamedPages)
    assert isinstance(made.handler, components.DriftErrorHandler)
    assert isinstance(made.router, components.OldestFirstSubstreamRouter)
    assert isinstance(made.authenticator, components.OneHostAuthenticator)


def test_each_public_name_is_tested_here() -> None:
    """This file calls every public class, method and function of components.py by name."""
    tree, own = ast.parse(Path(components.__file__).read_text("utf-8")), ast.parse(Path(__file__).read_text("utf-8"))
    owners = [tree, *[node for node in tree.body if isinstance(node, ast.ClassDef)]]
    defined = [node.name for owner in owners for node in owner.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    used = {node.attr for node in ast.walk(own) if isinstance(node, ast.Attribute)}
    assert [name for name in defined if not name.startswith("_") and name not in used] == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NOW, NOW),
        (float(NOW), NOW),
        (str(NOW), NOW),
        *[(odd, None) for odd in (0, -NOW, NOW * 1000, None, True, "", "soon", f"-{NOW}", "9" * 19, [NOW])],
    ],
    ids=repr,
)
def test_time_is_epoch_milliseconds(value: Any, expected: int | None) -> None:
    """Only a number, or digits, within the valid range is a time."""
    assert components.time_of(value) == expected


# StreamNotes


def test_notes_belong_to_a_budget_and_a_stream() -> None:
    """All components of a stream with the same budget share its notes, and other streams don't."""
    budget = SimpleNamespace()
    notes = components.notes_of(budget, "users")
    assert components.notes_of(budget, "users") is notes
    assert components.notes_of(budget, "accounts") is not notes
    assert components.notes_of(SimpleNamespace(), "users") is not notes


def test_notes_list_a_failed_child_once() -> None:
    """A child is on the retry list once, with its first reason, and child 101 stops the stream."""
    notes = components.StreamNotes("messages")
    with pytest.raises(AirbyteTracedException, match=r"^No list\.$"):
        notes.miss("No list.")
    notes.handed_out, notes.thread.child = 1, 7
    notes.miss("The first.")
    notes.miss("The second.")
    assert (notes, notes.reason, notes.error) == ([7], "The first.", [])
    notes.extend(range(100, 199))
    notes.miss("It is on the list.")
    notes.thread.child = 8
    with pytest.raises(AirbyteTracedException, match=r"^More than 100 rows could not be read\. Full\.$"):
        notes.miss("Full.")
    assert (len(notes), 8 in notes) == (100, False)


def test_notes_release_a_child_once() -> None:
    """A child that has its last response makes room for one other child, however often it is reported."""
    notes = components.StreamNotes("messages")
    notes.slots[1] = (1, 7)
    notes.room.acquire()
    notes.begin(1)
    error = ValueError()
    assert (notes.release(error), notes.release()) == (error, None)
    assert [notes.room.acquire(blocking=False) for _ in range(101)] == [*[True] * 100, False]


def test_slot_is_free_when_its_thread_begins_another() -> None:
    """Until then, the CDK may not have closed the partition; one that failed is never closed."""
    notes = components.StreamNotes("messages")
    notes.slots.update({1: (1, "a"), 2: (2, "b"), 3: (3, "c")})
    notes.begin(1)
    notes.end()
    assert notes.slots[1] == (1, "a")
    notes.begin(2)
    assert notes.slots == {1: (1, None), 2: (2, "b"), 3: (3, "c")}
    notes.begin(3)
    assert notes.slots == {1: (1, None), 2: (2, "b"), 3: (3, "c")}


def test_notes_warn_once_of_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    """Each kind of warning is logged once per stream."""
    notes = components.StreamNotes("users")
    for sentence, when in (("1 row.", True), ("None.", False), ("1,204 row.", True), ("5 pages.", 5)):
        notes.warn(sentence, when)
    assert [(one.levelname, one.message) for one in caplog.records] == [
        ("WARNING", "users: 1 row."),
        ("WARNING", "users: 5 pages."),
    ]


def test_copied_state_shares_the_notes() -> None:
    """A child that fails after its state was copied is in the copy."""
    notes = components.StreamNotes("messages")
    copied = deepcopy({"unread": notes})
    notes.append(7)
    assert (copied["unread"], copied["unread"] is notes) == ([7], True)


def test_notes_belong_to_a_thread() -> None:
    """A note about a request is visible only in its thread."""
    notes = components.StreamNotes("users")
    notes.thread.child = 1
    with ThreadPoolExecutor(1) as other:
        assert other.submit(lambda: vars(notes.thread)).result() == {}
    assert notes.thread.child == 1


def test_stopped_stream_starts_nothing_new() -> None:
    """Whatever starts after the stream has stopped raises the first error."""
    notes = components.StreamNotes("messages")
    notes.slots[1] = (1, 7)
    assert notes.stop("A scope is missing.", FailureType.config_error).message == "A scope is missing."
    notes.stop("Another one.")
    with pytest.raises(AirbyteTracedException) as error:
        notes.begin(1)
    assert raised(error) == ("A scope is missing.", FailureType.config_error)


def test_last_child_waits_for_all_others() -> None:
    """The last child starts when all others have their last response, and raises an error if one could not be read."""
    notes = components.StreamNotes("messages")
    notes.slots.update({1: (1, "other"), 2: (2, "last")})
    notes.last = 2
    others, done, order = threading.Event(), threading.Event(), list[str]()

    def other() -> None:
        notes.room.acquire()
        notes.begin(1)
        others.set()
        assert done.wait(10)
        notes.append(1)
        order.append("other")
        notes.end()

    def last() -> None:
        assert others.wait(10)
        notes.room.acquire()
        threading.Timer(0.05, done.set).start()
        notes.begin(2)
        order.append("last")
        notes.end()

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.submit(other), threads.submit(last)
        first.result()
        with pytest.raises(AirbyteTracedException, match="1 of the rows could not be read"):
            second.result()
    assert order == ["other", "last"]


def test_skipped_response_has_no_rows() -> None:
    """A skipped response yields no record."""
    [made], answer = parts("messages"), response(GOOD, 404, MESSAGES)
    resolution = made.handler.notes.ignore(answer, "Said.")
    assert (resolution.response_action, resolution.error_message) == (ResponseAction.IGNORE, "Said.")
    assert list(made.extractor.extract_records(answer)) == []


# NamedPages


def test_pages_and_extractor_share_a_read() -> None:
    """The extractor yields the rows of a page, except those that were read before."""
    [made] = parts("messages")
    assert (made.pages.initial_token, made.pages.get_page_size()) == (None, None)
    first = {"data": {"messages": [{"id": 1}, {"id": 2}]}, "pagination": {"more": True, "next": "b"}}
    answers = [response(first, url=MESSAGES), response({"data": {"messages": [{"id": 2}, {"id": 3}]}}, url=MESSAGES)]
    keys, tokens = [], []
    for answer in answers:
        keys += [row["id"] for row in made.extractor.extract_records(answer)]
        tokens.append(made.pages.next_page_token(answer, 2, None))
    assert (keys, tokens) == ([1, 2, 3], ["next=b#1", None])
    assert made.pages.rows(answers[0]) == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("state", "unread"),
    [
        ({}, []),
        ({"parent_state": None}, []),
        ({"parent_state": {"conversations": {"updatedAt": str(NOW)}}}, []),
        ({"parent_state": {"unread": [7, 8]}}, [7, 8]),
        ({"parent_state": {"unread": None}}, []),
        ({"parent_state": {"unread": [None, 7]}}, [7]),
    ],
    ids=str,
)
def test_retry_list_of_a_state_reaches_the_router(state: dict[str, Any], unread: list[int]) -> None:
    """The saved state does not change, and the router gets its retry list."""
    [made] = parts("messages")
    assert (made.pages.should_migrate(state), made.pages.migrate(state)) == (False, state)
    assert list(made.router.get_stream_state()["unread"]) == unread


# DriftErrorHandler


@pytest.mark.parametrize(
    ("answers", "actions"),
    [
        ([response(GOOD)], ["SUCCESS"]),
        ([response(GOOD, 201)], ["SUCCESS"]),
        ([response({"data": None})] * 2, ["RETRY", "SUCCESS"]),
        ([response({"data": None}), response(GOOD)], ["RETRY", "SUCCESS"]),
        ([response({"x": SECRET}), response({"data": None}), response({"data": None})], ["RETRY", "RETRY", "SUCCESS"]),
        ([response(b"", 503), requests.ReadTimeout(SECRET), response(GOOD)], ["RETRY", "RETRY", "SUCCESS"]),
        ([response(SECRET, 429)] * 20, ["RATE_LIMITED"] * 20),
    ],
)  # fmt: skip
def test_handler_considers_earlier_responses(answers: list[Any], actions: list[str]) -> None:
    """A response is accepted, retried or delayed depending on earlier ones; no message contains a body."""
    [made] = parts("users")
    resolutions = [made.handler.interpret_response(answer) for answer in answers]
    assert [one.response_action.name for one in resolutions if one.response_action] == actions
    assert SECRET not in str(resolutions)


def test_handler_raises_one_message() -> None:
    """An error has the same message for user and log, without the query of the request."""
    [made] = parts("users")
    with pytest.raises(AirbyteTracedException) as error:
        made.handler.interpret_response(response({"error": SECRET}, 418, f"{API}/users/list?email={SECRET}"))
    said = "Drift answered GET /users/list with HTTP 418."
    assert (raised(error), error.value.internal_message) == ((said, FailureType.system_error), said)
    assert made.handler.backoff_time(response(b"", 503), 1) > 0


# OldestFirstSubstreamRouter


def test_router_emits_oldest_first_and_moves_its_floor(drift: Drift) -> None:
    """Each key comes once, oldest first; the state is a floor below all keys that have not started.

    Few partitions read them in turn, because the CDK keeps a cursor for each.
    """
    rows = [{"id": key, "updatedAt": NOW - 1000 * key} for key in (1, 2, 3)]
    drift.answers("/conversations/list", {"data": [*rows, rows[0]]})
    [made] = parts("messages", api_url=API)
    found = []
    for step in made.router.stream_slices():
        assert made.router.get_request_headers(stream_slice=step) == {}
        assert int(made.router.get_stream_state()["conversations"]["updatedAt"]) <= NOW - 1000
        found.append((step.extra_fields["conversation_id"], step.partition))
        made.handler.notes.end()
    assert found == [(3, {"slot": 1}), (2, {"slot": 2}), (1, {"slot": 1})]
    assert made.router.get_stream_state()["conversations"] == {"updatedAt": str(NOW - 1000)}


def test_router_stops_with_the_stream(drift: Drift) -> None:
    """A stopped stream emits no more keys."""
    drift.answers("/conversations/list", {"data": [{"id": 1, "updatedAt": NOW}, {"id": 2, "updatedAt": NOW - 1}]})
    [made] = parts("messages", api_url=API)
    slices = made.router.stream_slices()
    next(slices)
    made.handler.notes.stop("Drift answered badly.")
    with pytest.raises(AirbyteTracedException, match="Drift answered badly"):
        next(slices)


# OneHostAuthenticator


class Inner:
    """An authenticator that returns or raises what a test says."""

    def __init__(self, *headers: Any) -> None:
        self.headers, self.refreshed = list(headers), 0

    def get_auth_header(self) -> dict[str, str]:
        header = self.headers.pop(0) if len(self.headers) > 1 else self.headers[0]
        if isinstance(header, Exception):
            raise header
        return {"Authorization": header}

    def refresh_and_set_access_token(self) -> None:
        self.refreshed += 1
        self.get_auth_header()


def authenticator(*headers: Any) -> Any:
    return components.OneHostAuthenticator(Inner(*headers), parameters={}, api_budget=SimpleNamespace())


def test_authenticator_signs_each_attempt_again() -> None:
    """Header and body of a repeated request have the current token, and the cache does not answer it."""
    made = authenticator("Bearer first", "Bearer second-and-longer")
    request = requests.Request("POST", f"{API}/app/token_info", json={"a": "-"}).prepare()
    sent = []
    for _ in range(2):
        made(request)
        sent.append((request.headers["Authorization"], request.body, request.headers["Content-Length"]))
    assert sent == [
        ("Bearer first", b'{"access_token": "first"}', "25"),
        ("Bearer second-and-longer", b'{"access_token": "second-and-longer"}', "37"),
    ]
    assert request.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "header", ["Bearer ", "Bearer None", f"Bearer {TOKEN} x", f'Bearer "{TOKEN}"', f"Bearer {TOKEN}\n"]
)
def test_authenticator_refuses_malformed_tokens(header: str) -> None:
    """A missing or malformed token is a config error that does not show it."""
    with pytest.raises(AirbyteTracedException, match=r"^The access token is missing or malformed") as error:
        authenticator(header).get_auth_header()
    assert error.value.failure_type is FailureType.config_error
    assert TOKEN not in f"{error.value!r} {error.value.internal_message}"


def http_error(status: int) -> requests.HTTPError:
    return requests.HTTPError(f"for url: {API}/oauth2/token {SECRET}", response=response(SECRET, status))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *[(http_error(status), FailureType.config_error) for status in (400, 401, 403, 404, 422)],
        *[(http_error(status), FailureType.transient_error) for status in (429, 500, 503)],
        (requests.ConnectionError(SECRET), FailureType.transient_error),
        (requests.JSONDecodeError("no JSON", SECRET, 0), FailureType.transient_error),
        # The CDK's error for a refused token.
        (AirbyteTracedException(SECRET, SECRET, FailureType.config_error), FailureType.config_error),
    ],
)
@pytest.mark.parametrize("method", ["get_auth_header", "refresh_and_set_access_token"])
def test_authenticator_explains_a_failed_refresh(method: str, error: Exception, kind: FailureType) -> None:
    """A failed refresh gives the right kind of error, without anything from the response."""
    with pytest.raises(AirbyteTracedException) as caught:
        getattr(authenticator(error), method)()
    said, failure_type = raised(caught)
    assert (failure_type, said.startswith("The OAuth token"), "e-authenticate" in said) == (kind, True, True), said
    assert SECRET not in f"{caught.value!r} {caught.value.internal_message} {caught.value.__cause__!r}"


@pytest.mark.parametrize(("now", "refreshes"), [("Bearer old", 1), ("Bearer new", 0)])
def test_authenticator_refreshes_the_refused_token(now: str, refreshes: int) -> None:
    """A refused request causes one refresh, or none if another thread has already refreshed."""
    made = authenticator("Bearer old", now)
    made(requests.Request("GET", f"{API}/users/list").prepare())
    made.refresh_and_set_access_token()
    assert made.authenticator.refreshed == refreshes


class Received(io.BytesIO):
    """A body that says how much of it was received."""

    most = 0

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.most = max(self.most, self.tell())
        return found


@pytest.mark.parametrize(
    ("hours", "size", "received"),
    [(6, 300_000, None), (6, 300_001, 300_001), (6, 20_000_000, 327_680), (5, 20_000_000, None)],
)
def test_authenticator_receives_no_large_report(hours: int, size: int, received: int | None) -> None:
    """A long window with a large response counts as cut, and its body is not received."""
    values = [str(NOW - hours * 3_600_000), str(NOW)]
    request = requests.Request("POST", f"{API}/reports/conversations", json={"filters": [{"values": values}]})
    body = Received(b" " * size)
    answer = requests.Response()
    answer.request, answer.status_code = request.prepare(), 200
    answer.raw = urllib3.HTTPResponse(body, preload_content=False)
    authenticator()._stay(answer)
    assert answer.content == (b'{"data":[],"more":true}' if received else b" " * size)
    assert body.most == (received or size)


@pytest.mark.parametrize(
    ("place", "is_ours"),
    [
        ("/users/list/", True),
        (f"{API}/elsewhere", True),
        ("https://evil.example/x", False),
        ("http://driftapi.com/", False),
    ],
)
def test_authenticator_refuses_a_redirect_to_another_host(drift: Drift, place: str, is_ours: bool) -> None:
    """A redirect is followed only within the same scheme, host and port."""
    drift.answers("/users/list", Answer(b"", 302, {"Location": place}))
    with requests.Session() as session:
        request = authenticator(f"Bearer {TOKEN}")(
            session.prepare_request(requests.Request("GET", f"{API}/users/list"))
        )
        if is_ours:
            assert session.send(request).history
        else:
            with pytest.raises(AirbyteTracedException, match="another host"):
                session.send(request)
    assert drift.foreign == []
