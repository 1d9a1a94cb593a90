"""The result of each status and each broken response: a retry, another request, a skipped row, or a clear error."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from unit_tests.conftest import (
    API,
    CHILDREN,
    EMPTY,
    HOUR,
    HTML,
    METRICS,
    NOW,
    REPORTS,
    SECRET,
    STREAMS,
    TOKEN,
    Answer,
    Clock,
    Connector,
    Drift,
    Outcome,
    config,
    parts,
    report,
    response,
)

LIST = "/conversations/list"
# Streams that need no other stream and have no fallback.
ALONE = [stream for stream in STREAMS if stream not in [*CHILDREN, "token_info"]]
NOT_FOUND = {"error": {"type": "not_found", "message": SECRET}}
GATEWAY = {
    "html": HTML,
    "empty": EMPTY,
    "truncated": Answer(b'{"data": [{"id": 1, "name": "'),
    "NaN": Answer(b'{"data": [{"id": NaN}'),
    "deep": Answer(b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "trailing": Answer(b'{"data": []} trailing'),
    "404-html": Answer(HTML.body, 404),
    "403-html": Answer(HTML.body, 403),
    "400-text": Answer(SECRET, 400),
    "418-other-json": Answer({"secret": SECRET}, 418),
    **{str(status): Answer({"error": SECRET}, status) for status in (408, 409, 425, 500, 502, 503, 504, 599)},
}
BROKEN: list[type[Exception]] = [
    requests.ConnectionError,
    requests.ConnectTimeout,
    requests.ReadTimeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.SSLError,
    requests.exceptions.ProxyError,
    requests.exceptions.ContentDecodingError,
]


def drifts(status: int, kind: str = "some_error") -> Answer:
    """Drift's own error, in JSON."""
    return Answer({"error": {"type": kind, "message": SECRET}}, status)


def assert_failed(outcome: Outcome, stream: str) -> Any:
    """Check that the stream is INCOMPLETE without a record, and that its error is short and has no body."""
    assert (outcome.status(stream), outcome.records(stream)) == ("INCOMPLETE", []), outcome.summary
    error = outcome.error(stream)
    assert re.fullmatch(r"[^\n]*\.", error.message), error.message
    assert "somebody" not in outcome.text
    return error


def assert_complete(outcome: Outcome, stream: str, *keys: Any) -> None:
    assert (outcome.status(stream), outcome.keys(stream)) == ("COMPLETE", list(keys or [STREAMS[stream].one])), (
        outcome.summary
    )
    assert outcome.errors == []


# Transient failures


def test_seven_failures_are_retried(drift: Drift, connector: Connector) -> None:
    """Errors of a gateway or connection are retried seven times, and then every row is read."""
    kinds = ["html", "empty", "404-html", "418-other-json", "503"]
    trouble = [*[GATEWAY[kind] for kind in kinds], requests.ConnectionError, requests.ReadTimeout]
    for stream in STREAMS.values():
        drift.answers(stream.path, *trouble, stream.body())
    outcome = connector.read(*STREAMS)
    for stream in STREAMS:
        assert_complete(outcome, stream)
    asked = {stream: len(drift.asked(STREAMS[stream].path)) for stream in STREAMS}
    # One more if a child found the bad response in the cache and requested it from Drift, too.
    assert 8 <= asked.pop("conversations") <= 8 + len(CHILDREN)
    assert set(asked.values()) == {len(trouble) + 1} == {8}, asked
    assert "somebody" not in outcome.text


@pytest.mark.parametrize("kind", GATEWAY)
def test_permanent_gateway_error_fails_after_eight_attempts(kind: str) -> None:
    """A gateway's status does not mean what it says, and no message contains its text."""
    [made], status = parts("users"), GATEWAY[kind].status
    for _ in range(7):
        answer = response(GATEWAY[kind].content, status)
        assert made.handler.interpret_response(answer).response_action.name == "RETRY"
    with pytest.raises(AirbyteTracedException) as error:
        made.handler.interpret_response(response(GATEWAY[kind].content, status))
    said = "a body that is not JSON" if status == 200 else f"HTTP {status}"
    assert error.value.message == f"Drift answered GET /users/list with {said}. Gave up after 8 attempts."


@pytest.mark.parametrize(("said", "attempts"), [(drifts(401), 3), (Answer(b"", 401), 8), (Answer(HTML.body, 401), 8)])
def test_401_is_retried_twice_and_a_gateways_seven_times(
    drift: Drift, connector: Connector, said: Answer, attempts: int
) -> None:
    """One 401 stops nothing, and a gateway may fail for a while."""
    drift.answers("/users/list", *[said] * (attempts - 1), STREAMS["users"].body())
    assert_complete(connector.read("users"), "users")
    assert len(drift.requests) == attempts
    drift.requests.clear()
    drift.answers("/users/list", said)
    assert "Drift refused the token" in assert_failed(connector.read("users"), "users").message
    assert len(drift.requests) == attempts


@pytest.mark.parametrize("broken", BROKEN)
def test_permanent_connection_error_mentions_the_wind_down(
    drift: Drift, connector: Connector, broken: type[Exception]
) -> None:
    """If Drift can't be reached, the error is transient and mentions that Drift is being wound down."""
    drift.answers("/users/list", broken)
    error = assert_failed(connector.read("users"), "users")
    said = rf"Drift could not be reached \({broken.__name__}\)\. Gave up after 8 attempts\. Drift is being wound down.*"
    assert re.fullmatch(said, error.message), error.message
    assert (error.failure_type.value, len(drift.requests)) == ("transient_error", 8)


@pytest.mark.parametrize("streams", [ALONE, CHILDREN], ids=["alone", "children"])
def test_permanent_failure_fails_every_stream(drift: Drift, connector: Connector, streams: list[str]) -> None:
    """No stream succeeds without its rows if its endpoint fails."""
    for stream in streams:
        drift.answers(STREAMS[stream].path, Answer({"error": SECRET}, 503))
    outcome = connector.read(*streams)
    for stream in streams:
        error = assert_failed(outcome, stream)
        assert f"Drift answered {STREAMS[stream].asked} with HTTP 503. Gave up after" in error.message


@pytest.mark.parametrize(("failures", "is_read"), [(15, True), (16, False)])
def test_outage_during_a_sync_has_sixteen_attempts(
    drift: Drift, connector: Connector, clock: Clock, failures: int, is_read: bool
) -> None:
    """If all requests start to fail, they are retried for at least five minutes."""
    first = {"data": [{"id": 1, "updatedAt": NOW}], "links": {"next": f"{LIST}?page_token=b"}}
    last = {"data": [{"id": 2, "updatedAt": NOW - 1}]}
    drift.answers(LIST, first, *[drifts(503)] * failures, last)
    outcome = connector.read("conversations")
    assert (outcome.status("conversations") == "COMPLETE") is is_read, outcome.summary
    assert sum(clock.waits) > 300, clock.waits
    assert (2 in outcome.keys("conversations")) is is_read


def test_row_that_fails_while_others_succeed_has_eight_attempts() -> None:
    """A request that fails while others succeed is a bad row, not an outage."""
    handler, other = (made.handler for made in parts("users", "accounts"))
    good = response({"data": {"accounts": []}}, url=f"{API}/accounts")
    other.interpret_response(good)
    for attempt in range(1, 8):
        assert handler.interpret_response(response(b"", 500)).response_action.name == "RETRY", attempt
        assert handler.backoff_time(response(b"", 500), attempt) > 0
        other.interpret_response(good)
    with pytest.raises(Exception, match="Gave up after 8 attempts"):
        handler.interpret_response(response(b"", 500))


def test_each_page_has_its_own_attempts(drift: Drift, connector: Connector) -> None:
    """Failures of one page don't count for the next."""
    first = {"data": [{"id": 1, "updatedAt": NOW}], "links": {"next": f"{LIST}?page_token=b"}}
    last = {"data": [{"id": 2, "updatedAt": NOW - 1}]}
    drift.answers(LIST, *[HTML] * 7, first, *[HTML] * 7, last)
    assert_complete(connector.read("conversations"), "conversations", 1, 2)


# Throttles and waits


@pytest.mark.parametrize(
    ("stream", "throttle"),
    [
        *[(stream, Answer(SECRET, 429)) for stream in ("users", "messages", "meetings", "token_info")],
        ("messages", drifts(403, "rate_limit_exceeded")),
        ("meetings", drifts(400, "rate limit")),
    ],
    ids=str,
)
def test_throttle_of_ten_minutes_does_not_fail(
    drift: Drift, connector: Connector, clock: Clock, stream: str, throttle: Answer
) -> None:
    """The sync waits until a throttle ends, whatever its status; the waits grow to a minute."""
    drift.answers(
        STREAMS[stream].path,
        lambda _: throttle if clock.now < NOW / 1000 + 700 else STREAMS[stream].body(),
    )
    assert_complete(connector.read(stream), stream)
    assert sum(clock.waits) >= 600, clock.waits
    assert max(clock.waits) <= 61, clock.waits


def test_permanent_throttle_fails_after_an_hour(drift: Drift, connector: Connector, clock: Clock) -> None:
    """A throttle that never ends fails the stream."""
    drift.answers("/users/list", Answer(SECRET, 429))
    error = assert_failed(connector.read("users"), "users")
    assert "Drift answered GET /users/list with HTTP 429." in error.message
    assert 3600 <= sum(clock.waits) <= 3800, sum(clock.waits)


def test_throttles_are_not_failures(drift: Drift, connector: Connector) -> None:
    """Throttles between failures neither count as one of the eight attempts nor reset them."""
    drift.answers("/users/list", *[Answer(b"", 429)] * 9, *[Answer(b"", 503), Answer(b"", 429)] * 7, Answer(b"", 503))
    error = assert_failed(connector.read("users"), "users")
    assert error.message.endswith("HTTP 503. Gave up after 8 attempts."), error.message
    assert len(drift.requests) == 9 + 15


def test_waits_grow_have_jitter_and_are_capped(drift: Drift, connector: Connector, clock: Clock) -> None:
    """The waits during a long throttle double up to a minute, and all are different."""
    drift.answers("/users/list", *[Answer(b"", 429)] * 20, STREAMS["users"].body())
    assert_complete(connector.read("users"), "users")
    # The CDK adds one second to every wait of a strategy.
    waits = [wait - 1 for wait in clock.waits]
    assert all(min(60, 2**n) / 2 <= wait <= min(60, 2**n) for n, wait in enumerate(waits)), waits
    assert len(set(waits)) == 20, waits


@pytest.mark.parametrize(
    ("status", "value", "waited"),
    [
        (429, "30", 30),
        (503, "30", 30),
        (429, " 30 ", 30),
        (429, "600", 600),
        (429, "Thu, 15 Jan 2026 12:01:30 GMT", 90),
        # Longer than a stream may be silent.
        (429, "86400", 600),
        (429, "Fri, 16 Jan 2026 12:00:00 GMT", 600),
        *[(429, value, None) for value in ("Thu, 15 Jan 2026 11:00:00 GMT", "soon", "0", "-5", "", "1e3", "NaN")],
        (429, "Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_retry_after_lengthens_a_wait(clock: Clock, status: int, value: str, waited: float | None) -> None:
    """The wait follows `Retry-After` in seconds or as a date, up to ten minutes; invalid values are ignored."""
    [made] = parts("users")
    wait = made.handler.backoff_time(response(b"", status, Retry_After=value), 1)
    assert wait == pytest.approx(waited, abs=1) if waited else 0.5 <= wait <= 1, wait


def test_cdk_waits_as_long_as_the_handler_says(drift: Drift, connector: Connector, clock: Clock) -> None:
    """The CDK uses the handler's wait after a throttle and after a failure."""
    named = [Answer(b"", status, {"Retry-After": "30"}) for status in (429, 503)]
    drift.answers("/users/list", *named, STREAMS["users"].body())
    assert_complete(connector.read("users"), "users")
    assert clock.waits == [31, 31]


def test_wait_is_the_longer_of_the_two() -> None:
    """A short `Retry-After` does not shorten the exponential backoff, and the handler decides every wait."""
    [made] = parts("users")
    handler = made.handler
    throttled = response(b"", 429, Retry_After="1")
    assert handler.interpret_response(throttled).response_action.name == "RATE_LIMITED"
    assert all(30 <= handler.backoff_time(throttled, attempt) <= 60 for attempt in (7, 10_000))
    assert handler.backoff_time(requests.ConnectionError(), 1) > 0
    assert handler.backoff_strategies == [handler]


# Drift's own 4xx


@pytest.mark.parametrize("status", [402, 404, 405, 406, 410, 418, 451])
def test_drifts_own_4xx_is_not_retried(drift: Drift, connector: Connector, status: int) -> None:
    """An error in Drift's own JSON fails every list at once; 404 and 410 mention the likely cause."""
    for stream in ALONE:
        if not STREAMS[stream].skips:
            drift.answers(STREAMS[stream].path, drifts(status))
    outcome = connector.read(*ALONE)
    for stream in ALONE:
        if STREAMS[stream].skips:
            continue
        error = assert_failed(outcome, stream)
        assert error.message.startswith(f"Drift answered {STREAMS[stream].asked} with HTTP {status}."), error.message
        assert ("wound down" in error.message) is (status in (404, 410))
        assert len(drift.asked(STREAMS[stream].path)) == 1


@pytest.mark.parametrize(
    "body", [{"errors": [{"message": SECRET}]}, {"type": "x", "message": SECRET}, {"error": SECRET}]
)
def test_forms_of_drifts_own_error(drift: Drift, connector: Connector, body: Any) -> None:
    """Drift's errors have `error`, `errors` or `type`."""
    drift.answers("/users/list", Answer(body, 418))
    assert assert_failed(connector.read("users"), "users").message == "Drift answered GET /users/list with HTTP 418."
    assert len(drift.requests) == 1


def test_missing_scope_fails_its_own_stream_only(drift: Drift, connector: Connector) -> None:
    """The error names stream and scope and asks for a new token; all other streams are complete."""
    refused = ["accounts", "teams", "contacts", "conversation_metrics", "playbooks", "contact_attributes"]
    for stream in refused:
        drift.answers(STREAMS[stream].path, drifts(403, "forbidden"))
    outcome = connector.read(*STREAMS)
    for stream in STREAMS:
        if stream in refused:
            error = assert_failed(outcome, stream)
            assert error.failure_type.value == "config_error"
            for part in (STREAMS[stream].scope, f" {stream} ", "issue a new token"):
                assert part in error.message, error.message
        else:
            assert (outcome.status(stream), outcome.keys(stream)) == ("COMPLETE", [STREAMS[stream].one])
    assert len(drift.asked("/accounts")) == 1


def test_403_after_a_success_is_one_row(drift: Drift, connector: Connector) -> None:
    """A stream that has read rows has its scope, so a later 403 does not blame it."""
    first = {"data": [{"id": 1, "updatedAt": NOW}], "links": {"next": f"{LIST}?page_token=b"}}
    drift.answers(LIST, first, drifts(403))
    error = connector.read("conversations").error("conversations")
    assert error.message == "Drift answered GET /conversations/list with HTTP 403."


# 400, with another request


@pytest.mark.parametrize(
    ("stream", "refuses"),
    [
        ("conversations", lambda query: "limit" in query),
        ("conversations", lambda query: "page_token=" in query),
        ("conversations", lambda query: query != ""),
        ("accounts", lambda query: "size" in query),
        ("contacts_by_email", lambda query: "limit" in query),
    ],
)
def test_refused_parameter_is_left_out(drift: Drift, connector: Connector, stream: str, refuses: Any) -> None:
    """After a 400, the request is repeated without the parameter that Drift may refuse."""
    path = STREAMS[stream].path

    def answer(request: requests.PreparedRequest) -> Any:
        return drifts(400) if refuses(str(request.url).partition("?")[2]) else STREAMS[stream].body()

    drift.answers(path, answer)
    assert_complete(connector.read(stream), stream)
    assert len(drift.asked(path)) <= 4


def test_permanent_400_fails(drift: Drift, connector: Connector) -> None:
    """If no other request helps, the stream fails without a record."""
    for stream in ALONE:
        drift.answers(STREAMS[stream].path, drifts(400))
    outcome = connector.read(*ALONE)
    for stream in ALONE:
        assert_failed(outcome, stream)
        assert len(drift.asked(STREAMS[stream].path)) < 100


@pytest.mark.parametrize("unknown", [["relatedPlaybookId"], ["numBotMessages", "meaningfulConversation"]])
def test_unknown_metric_is_left_out(drift: Drift, connector: Connector, unknown: list[str]) -> None:
    """The connector finds an unknown metric by requesting each one once, and logs its name."""
    known = [name for name in METRICS if name not in unknown]

    def answer(request: requests.PreparedRequest) -> Any:
        names = json.loads(request.body or b"")["metrics"]
        if set(names) & set(unknown):
            return drifts(400)
        return {"count": 1, "data": [{"conversationId": 1, "metrics": [known.index(name) for name in names]}]}

    drift.answers(REPORTS, answer)
    outcome = connector.read("conversation_metrics")
    expected = {"conversationId": 1, **{name: number for number, name in enumerate(known)}}
    assert outcome.records("conversation_metrics") == [expected], outcome.summary
    told = [line for line in outcome.logs("WARN") if "Drift refuses the metrics" in line]
    assert len(told) == 1, told
    assert all(name in told[0] for name in unknown), told
    assert len(drift.asked(REPORTS)) <= len(METRICS) + 3


def test_report_that_wants_dates_gets_dates(drift: Drift, connector: Connector) -> None:
    """If Drift refuses every metric, the connector requests days instead of milliseconds."""

    def answer(request: requests.PreparedRequest) -> Any:
        low, high = json.loads(request.body or b"")["filters"][0]["values"]
        is_date = re.fullmatch(r"\d{4}-\d\d-\d\d", str(low)) and re.fullmatch(r"\d{4}-\d\d-\d\d", str(high))
        return report((1, {"updatedAt": NOW})) if is_date else drifts(400)

    drift.answers(REPORTS, answer)
    outcome = connector.read("conversation_metrics")
    assert_complete(outcome, "conversation_metrics")
    low, high = json.loads(drift.requests[-1].body or b"")["filters"][0]["values"]
    assert (low, high) == ("2025-12-30", "2026-01-17")


# Many children


def children(drift: Drift, answer: Any, count: int = 120) -> None:
    """Respond with a list of conversations, and with the messages of each from a function of its key."""
    keys = range(1, count + 1)
    drift.answers(LIST, {"data": [{"id": key, "updatedAt": NOW - key * HOUR} for key in keys]})
    for key in keys:
        drift.answers(f"/conversations/{key}/messages", answer(key))


def asked(drift: Drift) -> int:
    return sum(str(request.url).endswith("/messages") for request in drift.requests)


def test_children_that_are_all_refused_stop_the_stream(drift: Drift, connector: Connector) -> None:
    """Several 403s without a success mean a missing scope, so no more children are requested."""
    children(drift, lambda _: drifts(403))
    outcome = connector.read("messages", state={})
    assert outcome.status("messages") == "INCOMPLETE"
    assert "missing the conversation_read scope" in outcome.message
    # These few, and those in progress in other workers.
    assert 1 < asked(drift) <= 10 + 31


@pytest.mark.parametrize(("failed", "attempts"), [(7, 16), (8, 2)])
def test_child_after_eight_failures_has_two_attempts(failed: int, attempts: int) -> None:
    """After eight failed children in a row, the next one is retried once and put on the retry list."""
    [made] = parts("messages")
    notes, answer = made.handler.notes, response(b"", 500, f"{API}/conversations/9/messages")
    made.handler.source.found, notes.handed_out, notes.thread.child, notes.failed_in_a_row = 1, 9, 9, failed
    actions = [made.handler.interpret_response(answer).response_action.name for _ in range(attempts)]
    assert (actions, notes) == ([*["RETRY"] * (attempts - 1), "IGNORE"], [9])


def test_failures_in_a_row_limit_the_attempts(drift: Drift, connector: Connector) -> None:
    """After eight failures in a row, each child has two attempts, so the sync ends in reasonable time."""
    children(drift, lambda _: drifts(503), 40)
    # Seven workers.
    outcome = connector.read("messages", state={}, config=config(max_requests_per_second=2))
    assert "40 of the conversations could not be read" in outcome.message
    # Without this rule, 640. Eight children, and those in progress in other workers, have all their attempts.
    assert asked(drift) <= 16 * (8 + 7) + 2 * 40


@pytest.mark.parametrize("status", [400, 403, 418])
def test_scattered_failures_do_not_stop_the_stream(drift: Drift, connector: Connector, status: int) -> None:
    """While other children succeed, every child is requested, and the error says how many failed."""
    good = {"data": {"messages": [{"id": 1, "createdAt": NOW}]}}
    children(drift, lambda key: drifts(status) if key % 3 == 2 else good)
    outcome = connector.read("messages", state={})
    assert (outcome.status("messages"), len(outcome.records("messages"))) == ("INCOMPLETE", 80), outcome.summary
    error = outcome.error("messages")
    assert error.message.startswith("40 of the conversations could not be read"), error.message
    assert f"with HTTP {status}" in error.message
    assert len(outcome.state("messages")["parent_state"]["unread"]) == 40


@pytest.mark.parametrize(
    ("stream", "gone"),
    [
        *[("contacts_by_email", gone) for gone in (Answer(NOT_FOUND, 404), drifts(410), Answer(NOT_FOUND))],
        ("messages", {"error": "Not Found"}),
        ("contacts", drifts(404, "ContactNotFound")),
    ],
    ids=str,
)
def test_deleted_row_is_skipped_and_logged(drift: Drift, connector: Connector, stream: str, gone: Any) -> None:
    """A row that was deleted after it was listed is skipped, with one log line."""
    drift.answers(STREAMS[stream].path, gone)
    outcome = connector.read(stream)
    assert (outcome.status(stream), outcome.records(stream), outcome.errors) == ("COMPLETE", [], []), outcome.summary
    said = f"{stream}: skipped a deleted record. Drift answered {STREAMS[stream].asked} with "
    assert [line for line in outcome.logs("INFO") if said in line], outcome.logs("INFO")
    assert "somebody" not in outcome.text
    assert len(drift.asked(STREAMS[stream].path)) == 1


# Redirects

ELSEWHERE = [
    "https://evil.example{path}",
    "//evil.example{path}",
    "http://driftapi.com{path}",
    "https://driftapi.com:8443{path}",
    "https://driftapi.com@evil.example{path}",
    "https://user:password@driftapi.com{path}",
    "https://driftapi.com.evil.example{path}",
]


@pytest.mark.parametrize(("place", "status"), [*zip(ELSEWHERE, [301, 302, 303, 307, 308, 302, 307], strict=True)])
def test_redirect_to_another_host_is_refused(drift: Drift, connector: Connector, place: str, status: int) -> None:
    """No request goes to another scheme, host or port, and the error names the host and the likely reason."""
    streams = ["users", "conversation_metrics", "token_info", "contacts"]
    for stream in streams:
        path = STREAMS[stream].path
        drift.answers(path, Answer(b"", status, {"Location": place.format(path=path)}))
    outcome = connector.read(*streams)
    host = "driftapi.com" if "evil" not in place else place.partition("evil")[2].partition("{")[0]
    for stream in streams:
        error = assert_failed(outcome, stream)
        assert error.message.startswith("Drift redirects to another host"), error.message
        assert host in error.message
        assert "wound down" in error.message
        assert len(drift.asked(STREAMS[stream].path)) == 1


@pytest.mark.parametrize("stream", ["users", "conversations", "messages", "token_info"])
@pytest.mark.parametrize("place", ["{path}/", "https://driftapi.com{path}/"])
def test_redirect_on_our_host_is_followed(drift: Drift, connector: Connector, stream: str, place: str) -> None:
    """A redirect on the same host, for example to a trailing slash, is followed with the token."""
    path = STREAMS[stream].path
    drift.answers(path, Answer(b"", 307, {"Location": place.format(path=path)}))
    drift.answers(f"{path}/", STREAMS[stream].body())
    assert_complete(connector.read(stream), stream)
    assert drift.asked(f"{path}/")[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_endless_redirects_fail(drift: Drift, connector: Connector) -> None:
    """A redirect to itself is an error."""
    drift.answers("/users/list", Answer(b"", 302, {"Location": "/users/list"}))
    error = assert_failed(connector.read("users"), "users")
    assert error.message.startswith("Drift could not be reached (TooManyRedirects)."), error.message


# check


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (drifts(401, "authentication_error"), ["Drift refused the token"]),
        (Answer(b"", 302, {"Location": "https://evil.example"}), ["another host", "wound down"]),
        (requests.ConnectionError, ["could not be reached", "wound down"]),
        (HTML, ["not JSON", "Gave up after"]),
        (drifts(503), ["HTTP 503", "Gave up after"]),
    ],
)
def test_check_explains_its_failure(drift: Drift, connector: Connector, answer: Any, said: list[str]) -> None:
    """The check fails if nothing shows that the token is valid, and the error does not contain the body."""
    drift.answers("/app/token_info", answer)
    drift.answers("/users/list", answer)
    outcome = connector.check()
    status, message = outcome.check
    assert status == "FAILED", message
    assert all(part in str(message) for part in said), message
    assert SECRET not in outcome.text


def test_check_requests_only_the_token(drift: Drift, connector: Connector) -> None:
    """A check needs no scope: it sends one request about the token and reads no list."""
    assert connector.check().check == ("SUCCEEDED", None)
    assert [(request.method, request.path_url) for request in drift.requests] == [("POST", "/app/token_info")]


@pytest.fixture(autouse=True)
def no_foreign_request(drift: Drift) -> Iterator[None]:
    """No test sends a request to another host."""
    yield
    assert [request.url for request in drift.foreign] == []
