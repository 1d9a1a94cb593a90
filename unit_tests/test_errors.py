"""A read delivers everything or fails loudly: what every answer of Drift that is not a record leads to."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from unit_tests.conftest import (
    CHILDREN,
    EMPTY,
    ERROR_OBJECT,
    HTML,
    LISTS,
    NO_DATA,
    NOW,
    SECRET,
    STREAMS,
    TOKEN,
    Answer,
    Clock,
    Connector,
    Drift,
    Outcome,
)

BAD_200 = {
    "html": HTML,
    "empty": EMPTY,
    "error": ERROR_OBJECT,
    "errors-beside-data": Answer({"errors": [{"message": SECRET}], "data": [{"id": 1}]}),
    "data-missing": NO_DATA,
    "data-null": Answer({"data": None}),
    "truncated": Answer(b'{"data": [{"id": 1, "name": "'),
    "no-content": Answer(b"", 204),
}
BAD_CASES = [
    *[(stream, bad) for stream in STREAMS for bad in ("html", "error")],
    # The one stream of one object at the root takes any object, even one without a `data`.
    *[(stream, "data-missing") for stream in STREAMS if stream != "token_info"],
    *[(stream, "empty") for stream in [*LISTS, "token_info"]],
    *[("conversations", bad) for bad in ("errors-beside-data", "data-null", "truncated", "no-content")],
]
BROKEN = {
    "reset": requests.ConnectionError,
    "connect-timeout": requests.ConnectTimeout,
    "read-timeout": requests.ReadTimeout,
    "truncated-body": requests.exceptions.ChunkedEncodingError,
    "tls": requests.exceptions.SSLError,
    "proxy": requests.exceptions.ProxyError,
    "bad-gzip": requests.exceptions.ContentDecodingError,
}
PASSING = [408, 425, 500, 502, 503, 504]


def assert_failed(outcome: Outcome, stream: str) -> Any:
    """The stream is INCOMPLETE without a record, and its error is one sentence or few on one line, without a body."""
    assert outcome.status(stream) == "INCOMPLETE", outcome.summary
    assert outcome.records(stream) == []
    error = outcome.error(stream)
    assert "\n" not in error.message, error.message
    assert error.message.endswith("."), error.message
    assert SECRET not in error.message
    assert "somebody" not in error.message
    return error


def assert_complete(outcome: Outcome, stream: str, *keys: Any) -> None:
    assert (outcome.status(stream), outcome.keys(stream)) == ("COMPLETE", list(keys or [STREAMS[stream].one])), (
        outcome.summary
    )
    assert outcome.errors == []


# 2xx answers that are not what was asked for


@pytest.mark.parametrize(("stream", "bad"), BAD_CASES)
def test_bad_200_heals(drift: Drift, connector: Connector, stream: str, bad: str) -> None:
    """A 2xx answer that is no answer is asked for again, and the good one after it is read whole."""
    drift.answers(STREAMS[stream].path, BAD_200[bad], STREAMS[stream].body())
    assert_complete(connector.read(stream), stream)
    assert len(drift.asked(STREAMS[stream].path)) == 2


@pytest.mark.parametrize(("stream", "bad"), BAD_CASES)
def test_bad_200_that_lasts_fails(drift: Drift, connector: Connector, stream: str, bad: str) -> None:
    """A 2xx answer that is none for eight attempts fails the stream in words, and is never zero records."""
    drift.answers(STREAMS[stream].path, BAD_200[bad])
    error = assert_failed(connector.read(stream), stream)
    assert re.fullmatch(
        rf"Drift answered {STREAMS[stream].asked} with (an empty body|a body that is not JSON|an error object|"
        rf"JSON that has not {STREAMS[stream].shape} at ([A-Za-z.]+|its root))\. It was asked 8 times\.",
        error.message,
    ), error.message
    assert len(drift.asked(STREAMS[stream].path)) == 8


@pytest.mark.parametrize("body", [b"[]", b"{}", b"null", b"1"])
def test_token_info_without_an_object_fails(drift: Drift, connector: Connector, body: bytes) -> None:
    """An answer about the token that holds nothing is never zero records either."""
    drift.answers("/app/token_info", Answer(body))
    assert_failed(connector.read("token_info"), "token_info")
    assert len(drift.requests) == 8


@pytest.mark.parametrize("stream", LISTS)
def test_no_rows_are_no_error(drift: Drift, connector: Connector, stream: str) -> None:
    """An organisation that has none of something is COMPLETE after one request."""
    drift.answers(STREAMS[stream].path, STREAMS[stream].envelope([]))
    outcome = connector.read(stream)
    assert (outcome.status(stream), outcome.records(stream), outcome.errors) == ("COMPLETE", [], [])
    assert len(drift.requests) == 1


@pytest.mark.parametrize("stream", LISTS)
def test_error_null_beside_data_is_fine(drift: Drift, connector: Connector, stream: str) -> None:
    """An `error` that is null says that there was none."""
    drift.answers(STREAMS[stream].path, {**STREAMS[stream].body(), "error": None, "errors": []})
    assert_complete(connector.read(stream), stream)


# 401, 403, 404, 410 and the rest that is not worth a second try


@pytest.mark.parametrize("stream", STREAMS)
def test_401_with_an_access_token_fails_at_once(drift: Drift, connector: Connector, stream: str) -> None:
    """An access token that is refused is asked with once, and the user is told what to do."""
    drift.answers(STREAMS[stream].path, Answer({"error": {"type": "authentication_error", "message": SECRET}}, 401))
    error = assert_failed(connector.read(stream), stream)
    assert error.failure_type.value == "config_error"
    assert "invalid, expired or revoked" in error.message
    assert "Issue a new access token" in error.message
    assert len(drift.asked(STREAMS[stream].path)) == 1


@pytest.mark.parametrize("stream", STREAMS)
def test_403_names_stream_and_scope(drift: Drift, connector: Connector, stream: str) -> None:
    """A missing scope is named with its stream, and that the token must be issued anew after adding it."""
    drift.answers(STREAMS[stream].path, Answer({"error": SECRET}, 403))
    error = assert_failed(connector.read(stream), stream)
    assert error.failure_type.value == "config_error"
    assert f"the stream {stream}: the token lacks the scope {STREAMS[stream].scope}." in error.message
    assert "issue the token anew" in error.message
    assert len(drift.asked(STREAMS[stream].path)) == 1


def test_403_fails_its_own_stream_only(drift: Drift, connector: Connector) -> None:
    """A missing scope leaves the other streams of the sync whole."""
    drift.answers("/accounts", Answer({"error": SECRET}, 403))
    outcome = connector.read(*STREAMS)
    assert_failed(outcome, "accounts")
    assert [error.stream_descriptor.name for error in outcome.errors] == ["accounts"]
    for stream in [name for name in STREAMS if name != "accounts"]:
        assert (outcome.status(stream), outcome.keys(stream)) == ("COMPLETE", [STREAMS[stream].one])


@pytest.mark.parametrize("stream", [name for name in STREAMS if not STREAMS[name].skips])
def test_404_of_a_list_fails(drift: Drift, connector: Connector, stream: str) -> None:
    """A list that is not there is an error and never an empty one."""
    drift.answers(STREAMS[stream].path, Answer({"error": SECRET}, 404))
    error = assert_failed(connector.read(stream), stream)
    assert f"{STREAMS[stream].path} (HTTP 404)" in error.message
    assert f"the stream {stream} cannot be read" in error.message
    assert len(drift.asked(STREAMS[stream].path)) == 1


@pytest.mark.parametrize("stream", [name for name in STREAMS if STREAMS[name].skips])
def test_404_of_one_that_was_deleted_is_skipped(drift: Drift, connector: Connector, stream: str) -> None:
    """What was deleted after it was listed is left out, with one line in the log that names stream and status."""
    drift.answers(STREAMS[stream].path, Answer({"error": SECRET}, 404))
    outcome = connector.read(stream)
    assert (outcome.status(stream), outcome.records(stream), outcome.errors) == ("COMPLETE", [], []), outcome.summary
    [line] = [line for line in outcome.logs("INFO") if "404" in line]
    what = "an address" if stream == "contacts_by_email" else "1"
    assert line == f"{stream}: skipped {what}, which Drift does not know any more (HTTP 404)."
    assert outcome.holds(SECRET) == []
    assert len(drift.asked(STREAMS[stream].path)) == 1


@pytest.mark.parametrize("stream", CHILDREN)
def test_404_of_the_list_fails_its_children(drift: Drift, connector: Connector, stream: str) -> None:
    """Where there is no list of conversations, a stream that hangs on it fails: nothing of it can be known."""
    drift.answers("/conversations/list", Answer({"error": SECRET}, 404))
    error = assert_failed(connector.read(stream), stream)
    assert error.message == (
        "Drift knows no /conversations/list (HTTP 404), so the stream conversations cannot be read."
    )


@pytest.mark.parametrize("stream", STREAMS)
def test_410_mentions_the_wind_down(drift: Drift, connector: Connector, manifest: dict[str, Any], stream: str) -> None:
    """A path that is gone is told with the likely cause."""
    endpoint = manifest["definitions"][stream]["$parameters"]["endpoint"]
    drift.answers(STREAMS[stream].path, Answer(SECRET, 410))
    error = assert_failed(connector.read(stream), stream)
    assert f"/{endpoint} is gone (HTTP 410)" in error.message
    assert "being wound down" in error.message
    assert len(drift.asked(STREAMS[stream].path)) == 1


@pytest.mark.parametrize(
    ("stream", "status"), [*[("users", status) for status in (418, 422)], *[(stream, 409) for stream in STREAMS]]
)
def test_other_4xx_is_asked_once(drift: Drift, connector: Connector, stream: str, status: int) -> None:
    """A status that no retry can mend fails at once, and the message holds nothing of the body."""
    drift.answers(STREAMS[stream].path, Answer({"error": {"message": SECRET}}, status))
    error = assert_failed(connector.read(stream), stream)
    assert error.message == f"Drift answered {STREAMS[stream].asked} with HTTP {status}."
    assert len(drift.asked(STREAMS[stream].path)) == 1


@pytest.mark.parametrize("status", [400, 402, 405, 451])
def test_rare_4xx_is_asked_once(drift: Drift, connector: Connector, status: int) -> None:
    """Each further 4xx that means us fails at once, too."""
    drift.answers("/users/list", Answer({"error": {"message": SECRET}}, status))
    error = assert_failed(connector.read("users"), "users")
    assert error.message == f"Drift answered GET /users/list with HTTP {status}."
    assert len(drift.requests) == 1


# What passes by itself


@pytest.mark.parametrize("stream", STREAMS)
def test_server_trouble_heals(drift: Drift, connector: Connector, clock: Clock, stream: str) -> None:
    """A server that fails seven times is asked an eighth time, and read whole."""
    trouble = [Answer(SECRET, status) for status in [*PASSING, 599]]
    drift.answers(STREAMS[stream].path, *trouble, STREAMS[stream].body())
    assert_complete(connector.read(stream), stream)
    assert len(clock.waits) == len(trouble) == 7


@pytest.mark.parametrize(
    ("stream", "status"),
    [*[("users", status) for status in PASSING], *[(stream, 503) for stream in STREAMS if stream != "users"]],
)
def test_server_trouble_that_lasts_fails(drift: Drift, connector: Connector, stream: str, status: int) -> None:
    """A server that fails eight times fails the stream, with its status."""
    drift.answers(STREAMS[stream].path, Answer(SECRET, status))
    error = assert_failed(connector.read(stream), stream)
    asked = STREAMS[stream].asked
    assert error.message == f"Drift answered {asked} with HTTP {status}. It was asked 8 times."
    assert len(drift.asked(STREAMS[stream].path)) == 8


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_connection_heals(drift: Drift, connector: Connector, broken: str) -> None:
    """A connection that breaks seven times is made an eighth time."""
    drift.answers("/users/list", *[BROKEN[broken]] * 7, STREAMS["users"].body())
    assert_complete(connector.read("users"), "users")
    assert len(drift.requests) == 8


@pytest.mark.parametrize(
    ("stream", "broken"),
    [*[("users", broken) for broken in BROKEN], *[(stream, "reset") for stream in STREAMS if stream != "users"]],
)
def test_broken_connection_that_lasts_fails(drift: Drift, connector: Connector, stream: str, broken: str) -> None:
    """A Drift that cannot be reached eight times fails the stream with the wind-down as a possible cause."""
    drift.answers(STREAMS[stream].path, BROKEN[broken])
    error = assert_failed(connector.read(stream), stream)
    assert error.message == (
        f"Drift could not be reached ({BROKEN[broken].__name__}). It was asked 8 times. Drift is being wound down: if"
        " this lasts, ask Salesloft whether your organisation is still served."
    )
    assert error.failure_type.value == "transient_error"
    assert len(drift.asked(STREAMS[stream].path)) == 8


def test_mixed_trouble_counts_together(drift: Drift, connector: Connector) -> None:
    """Eight failures of different kinds are eight failures."""
    mixed = [Answer(b"", 500), HTML, requests.ConnectionError, EMPTY, Answer(b"", 503), ERROR_OBJECT, NO_DATA]
    drift.answers("/users/list", *mixed, requests.ReadTimeout, STREAMS["users"].body())
    error = assert_failed(connector.read("users"), "users")
    assert error.message.startswith("Drift could not be reached (ReadTimeout)."), error.message
    assert len(drift.requests) == 8


def test_each_page_has_its_own_attempts(drift: Drift, connector: Connector) -> None:
    """Trouble on one page does not use up the attempts of the next."""
    pages = [
        {
            "data": [{"id": 1, "updatedAt": NOW - 1000}, {"id": 2, "updatedAt": NOW - 2000}],
            "links": {"next": "/?page_token=b"},
        },
        {"data": [{"id": 3, "updatedAt": NOW - 3000}]},
    ]
    trouble = [Answer(b"", 500)] * 7
    drift.answers("/conversations/list", *trouble, pages[0], *trouble, pages[1])
    assert_complete(connector.read("conversations"), "conversations", 1, 2, 3)


# Throttling


@pytest.mark.parametrize("stream", STREAMS)
def test_throttle_of_ten_minutes_does_not_fail(drift: Drift, connector: Connector, clock: Clock, stream: str) -> None:
    """A throttle that lasts ten minutes and more is waited out."""

    def throttled_until(request: requests.PreparedRequest) -> Any:
        return Answer(SECRET, 429) if clock.now < NOW / 1000 + 700 else STREAMS[stream].body()

    drift.answers(STREAMS[stream].path, throttled_until)
    assert_complete(connector.read(stream), stream)
    assert sum(clock.waits) >= 600, clock.waits
    assert max(clock.waits) <= 61, clock.waits


def test_throttle_without_end_ends_within_the_bound(drift: Drift, connector: Connector, clock: Clock) -> None:
    """A throttle that never ends fails the stream after an hour, and not never."""
    drift.answers("/users/list", Answer(SECRET, 429))
    outcome = connector.read("users")
    assert outcome.status("users") == "INCOMPLETE"
    assert outcome.error("users").message == "API rate limit exceeded."
    assert 3600 <= sum(clock.waits) <= 3600 + 61, sum(clock.waits)


def test_twenty_throttles_then_seven_failures_then_success(drift: Drift, connector: Connector, clock: Clock) -> None:
    """Throttles do not use up the attempts that failures have."""
    trouble = [*[Answer(b"", 429)] * 20, *[Answer(b"", 503)] * 7]
    drift.answers("/users/list", *trouble, STREAMS["users"].body())
    assert_complete(connector.read("users"), "users")
    assert len(clock.waits) == 27


def test_throttles_between_failures(drift: Drift, connector: Connector) -> None:
    """Failures are counted over the throttles between them: the eighth is the last."""
    drift.answers("/users/list", *[Answer(b"", 503), Answer(b"", 429)] * 7, Answer(b"", 503))
    error = assert_failed(connector.read("users"), "users")
    assert error.message.endswith("HTTP 503. It was asked 8 times."), error.message
    assert len(drift.requests) == 15


# The CDK adds one second to every wait that a strategy returns.
@pytest.mark.parametrize(
    ("status", "value", "waited"),
    [
        (429, "30", 31),
        (503, "30", 31),
        (429, "600", 601),
        (429, "Thu, 15 Jan 2026 12:01:30 GMT", 91),
        *[(429, value, None) for value in ("Thu, 15 Jan 2026 11:00:00 GMT", "soon", "0")],
    ],
)
def test_retry_after_is_honoured(
    drift: Drift, connector: Connector, clock: Clock, status: int, value: str, waited: float | None
) -> None:
    """`Retry-After` is waited for in seconds or until its date, and what cannot be read or lies past is not."""
    drift.answers("/users/list", Answer(b"", status, {"Retry-After": value}), STREAMS["users"].body())
    assert_complete(connector.read("users"), "users")
    [only] = clock.waits
    assert only == waited if waited else 1.5 <= only <= 2, only


@pytest.mark.parametrize("value", ["601", "86400", "Fri, 16 Jan 2026 12:00:00 GMT"])
def test_retry_after_beyond_ten_minutes_fails(drift: Drift, connector: Connector, clock: Clock, value: str) -> None:
    """A wait of more than ten minutes is not shortened: the stream fails and says when to come back."""
    drift.answers("/users/list", Answer(b"", 429, {"Retry-After": value}), STREAMS["users"].body())
    error = assert_failed(connector.read("users"), "users")
    assert re.match(r"Drift asks to wait \d+ s before GET /users/list\. Run the sync again", error.message)
    assert error.failure_type.value == "transient_error"
    assert clock.waits == []


def test_waits_grow_have_jitter_and_are_capped(drift: Drift, connector: Connector, clock: Clock) -> None:
    """The waits of a long throttle double up to a minute, and no two are alike."""
    drift.answers("/users/list", *[Answer(b"", 429)] * 20, STREAMS["users"].body())
    assert_complete(connector.read("users"), "users")
    waits = [wait - 1 for wait in clock.waits]
    for attempt, wait in enumerate(waits):
        full = min(60, 2**attempt)
        assert full / 2 <= wait <= full, (attempt, waits)
    assert len(set(waits)) == 20, waits


def test_waiting_is_told(drift: Drift, connector: Connector) -> None:
    """Somebody who looks at the log of a stream that waits sees why, and how long."""
    drift.answers("/users/list", Answer(SECRET, 503), STREAMS["users"].body())
    outcome = connector.read("users")
    told = [line for line in outcome.logs("INFO") if line.startswith("Drift answered")]
    assert len(told) == 1, told
    assert re.fullmatch(r"Drift answered GET /users/list with HTTP 503\. Waiting \d\.\d s before attempt 2\.", told[0])


@pytest.mark.parametrize("answer", [HTML, ERROR_OBJECT, NO_DATA, Answer({"error": SECRET}, 503), Answer(SECRET, 429)])
def test_what_is_retried_never_shows_its_body(drift: Drift, connector: Connector, answer: Answer) -> None:
    """The body of an answer that is retried stands in no message and no line of the log."""
    drift.answers("/users/list", *[answer] * 7, STREAMS["users"].body())
    outcome = connector.read("users")
    assert_complete(outcome, "users")
    assert "somebody" not in outcome.text


# Redirects

NEW = [stream for stream in STREAMS if stream not in [*LISTS, "token_info"]]
ELSEWHERE = [
    "https://evil.example{path}",
    "//evil.example{path}",
    "http://driftapi.com{path}",
    "https://driftapi.com:8443{path}",
    "https://driftapi.com@evil.example{path}",
    "https://user:password@driftapi.com{path}",
    "https://driftapi.com.evil.example{path}",
    "https://app.salesloft.example/login",
]


@pytest.mark.parametrize(
    ("stream", "place", "status"),
    [
        *[("users", place, 302) for place in ELSEWHERE],
        *[("users", ELSEWHERE[0], status) for status in (301, 303, 307, 308)],
        *[(stream, place, 307) for stream in ("accounts", "conversations") for place in ELSEWHERE[:2]],
        *[(stream, ELSEWHERE[0], 302) for stream in NEW],
    ],
)
def test_redirect_to_another_place_is_refused(
    drift: Drift, connector: Connector, stream: str, place: str, status: int
) -> None:
    """Records of another scheme, host or port never appear, it never sees the token, and the sentence says why."""
    path = STREAMS[stream].path
    drift.answers(path, Answer(b"", status, {"Location": place.format(path=path)}), STREAMS[stream].body(666))
    outcome = connector.read(stream)
    error = assert_failed(outcome, stream)
    assert error.message.startswith(f"Drift redirects {STREAMS[stream].asked} to another place. Drift is being wound")
    assert outcome.holds("evil.example") == [], outcome.summary


@pytest.mark.parametrize(
    ("place", "status"),
    [
        *[(place, 307) for place in [*ELSEWHERE, "/app/token_info/", "https://driftapi.com/elsewhere"]],
        *[("/app/token_info/", status) for status in (301, 302, 303, 308)],
    ],
)
def test_token_info_follows_no_redirect(drift: Drift, connector: Connector, place: str, status: int) -> None:
    """The request that carries the token in its body follows no redirect at all."""
    location = {"Location": place.format(path="/app/token_info")}
    drift.answers("/app/token_info", Answer(b"", status, location))
    error = assert_failed(connector.read("token_info"), "token_info")
    assert error.message.startswith("Drift redirects POST /app/token_info to another place.")
    assert ([request.url for request in drift.foreign], len(drift.requests)) == ([], 1)


def test_redirect_over_another_place_is_refused(
    drift: Drift, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A way back to our own host is refused when it leads over another one."""

    def bounce(request: Any, answer: Answer) -> requests.Response:
        foreign = "evil.example" in request.url
        location = {"Location": "https://driftapi.com/users/list?back"}
        return Drift._response(drift, request, Answer(b"", 302, location) if foreign else answer)

    monkeypatch.setattr(drift, "_response", bounce)
    drift.answers(
        "/users/list", Answer(b"", 302, {"Location": "https://evil.example/users/list"}), STREAMS["users"].body()
    )
    error = assert_failed(connector.read("users"), "users")
    assert "to another place" in error.message
    assert [request.url for request in drift.requests][1:] == ["https://driftapi.com/users/list?back"]


@pytest.mark.parametrize("stream", LISTS)
@pytest.mark.parametrize("place", ["{path}/", "https://driftapi.com{path}/"])
def test_redirect_on_our_host_is_followed(drift: Drift, connector: Connector, stream: str, place: str) -> None:
    """A redirect on the same host, such as one for a slash, is followed with the token."""
    path = STREAMS[stream].path
    drift.answers(path, Answer(b"", 302, {"Location": place.format(path=path)}))
    drift.answers(f"{path}/", STREAMS[stream].body())
    assert_complete(connector.read(stream), stream)
    [request] = drift.asked(f"{path}/")
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"


def test_trouble_behind_a_redirect_is_asked_eight_times(drift: Drift, connector: Connector) -> None:
    """A redirect on the same host does not hide how often the page behind it failed."""
    drift.answers("/users/list", Answer(b"", 302, {"Location": "/users/list/"}))
    drift.answers("/users/list/", Answer(SECRET, 503))
    error = assert_failed(connector.read("users"), "users")
    assert error.message == "Drift answered GET /users/list with HTTP 503. It was asked 8 times."
    assert len(drift.asked("/users/list")) == 8


def test_redirects_without_end_fail(drift: Drift, connector: Connector) -> None:
    """A redirect to itself ends after eight attempts."""
    drift.answers("/users/list", Answer(b"", 302, {"Location": "/users/list"}))
    error = assert_failed(connector.read("users"), "users")
    assert error.message.startswith("Drift could not be reached (TooManyRedirects)."), error.message


# check


def assert_check_fails(outcome: Outcome, *said: str) -> None:
    status, message = outcome.check
    assert status == "FAILED", message
    for part in said:
        assert part in str(message), message
    assert SECRET not in str(message)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer({"error": SECRET}, 401), ["invalid, expired or revoked", "Issue a new access token"]),
        (Answer({"error": SECRET}, 403), ["issue the token anew"]),
        (Answer({"error": SECRET}, 404), ["HTTP 404"]),
        (Answer({"error": SECRET}, 410), ["wound down"]),
        (Answer({"error": SECRET}, 503), ["HTTP 503", "8 times"]),
        (Answer(b"", 302, {"Location": "https://evil.example"}), ["another place", "wound down"]),
        (requests.ConnectionError, ["could not be reached", "wound down"]),
        (HTML, ["not JSON"]),
        (EMPTY, ["empty body"]),
        (ERROR_OBJECT, ["error object"]),
    ],
)
def test_check_fails_in_words(drift: Drift, connector: Connector, answer: Any, said: list[str]) -> None:
    """A check that fails says what is wrong, and nothing of the body."""
    drift.answers("/app/token_info", answer)
    assert_check_fails(connector.check(), *said)


def test_check_asks_for_the_token_alone(drift: Drift, connector: Connector) -> None:
    """A check needs no scope: it asks about the token once and reads no list."""
    assert connector.check().check == ("SUCCEEDED", None)
    assert [(request.method, request.path_url) for request in drift.requests] == [("POST", "/app/token_info")]


@pytest.fixture(autouse=True)
def no_foreign_record(connector: Connector, drift: Drift) -> Iterator[None]:
    """Whatever a test does: no host but ours is ever given the token."""
    yield
    assert [request.url for request in drift.foreign if TOKEN in f"{request.headers} {request.body!r}"] == []
