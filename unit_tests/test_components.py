"""Each class and function of components.py by itself: what it yields, and how it refuses."""

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
import requests
from airbyte_cdk.models import FailureType, Level
from airbyte_cdk.sources.declarative.auth.token import BearerAuthenticator
from airbyte_cdk.sources.declarative.auth.token_provider import InterpolatedStringTokenProvider
from airbyte_cdk.sources.declarative.requesters.error_handlers import HttpResponseFilter
from airbyte_cdk.sources.message import InMemoryMessageRepository
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ResponseAction
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

import components
from unit_tests.conftest import API, MINUTE, NOW, SECRET, TOKEN, Clock, Connector, Drift, config, response

ROWS = [{"id": 1}, {"id": 2}]
ENVELOPES = [
    pytest.param({"data": ROWS}, ["data"], "list", ROWS, id="data-array"),
    pytest.param({"data": {"accounts": ROWS, "total": 2}}, ["data", "accounts"], "list", ROWS, id="data.accounts"),
    pytest.param({"data": {"properties": ROWS}}, ["data", "properties"], "list", ROWS, id="data.properties"),
    pytest.param(ROWS, [], "list", ROWS, id="root-array"),
    pytest.param({"id": 1}, [], "one", [{"id": 1}], id="root-object"),
    pytest.param({"data": {"id": 1}}, ["data"], "one", [{"id": 1}], id="data-object"),
    pytest.param({"data": []}, ["data"], "list", [], id="no-rows"),
    pytest.param([], [], "list", [], id="no-rows-at-the-root"),
    pytest.param({"data": ROWS, "error": None}, ["data"], "list", ROWS, id="error-null"),
    pytest.param({"data": ROWS, "errors": []}, ["data"], "list", ROWS, id="errors-empty"),
    pytest.param({"data": [{"error": "its"}]}, ["data"], "list", [{"error": "its"}], id="error-inside-a-row"),
]
WRONG = [
    *[
        pytest.param({"data": value}, ["data"], "list", id=f"data-{value!r}")
        for value in (None, "rows", 1, True, {}, 0)
    ],
    *[pytest.param({"data": [row]}, ["data"], "list", id=f"array-of-{row!r}") for row in (None, "row", 1, [], True)],
    pytest.param({"data": [{"id": 1}, None]}, ["data"], "list", id="one-null-among-rows"),
    pytest.param({}, ["data"], "list", id="data-missing"),
    pytest.param({"data": {"id": 1}}, ["data"], "list", id="object-for-array"),
    pytest.param({"data": {}}, ["data", "accounts"], "list", id="accounts-missing"),
    pytest.param({"data": None}, ["data", "accounts"], "list", id="accounts-under-null"),
    pytest.param({"data": "accounts"}, ["data", "accounts"], "list", id="accounts-under-a-string"),
    pytest.param({"data": [{"accounts": []}]}, ["data", "accounts"], "list", id="accounts-under-an-array"),
    pytest.param(ROWS, ["data"], "list", id="root-array-for-object"),
    pytest.param({"data": ROWS}, [], "list", id="object-for-root-array"),
    pytest.param({"data": ROWS}, ["data"], "one", id="array-for-one-record"),
    pytest.param({"data": {}}, ["data"], "one", id="empty-object-for-one-record"),
    pytest.param({}, [], "one", id="empty-object-at-the-root"),
    pytest.param([], [], "one", id="empty-array-for-one-record-at-the-root"),
    pytest.param({"data": []}, ["data"], "one", id="empty-array-for-one-record"),
    *[pytest.param({"data": value}, ["data"], "one", id=f"one-record-{value!r}") for value in (None, "row", 1, True)],
    *[pytest.param(value, ["data"], "list", id=f"root-{value!r}") for value in (1, b'"data"', True, [], b"null")],
]
ERRORS = [
    {"error": {"type": "x", "message": SECRET}},
    {"error": SECRET},
    {"errors": [{"type": "x", "message": SECRET}]},
    {"error": {"message": SECRET}, "data": ROWS},
    {"errors": [SECRET], "data": ROWS},
]
NOT_JSON = [
    pytest.param(b"", id="empty"),
    pytest.param(b"  \n", id="blank"),
    pytest.param(f"<html>{SECRET}</html>".encode(), id="html"),
    pytest.param(f'{{"data": [{{"id": 1, "email": "{SECRET}'.encode(), id="truncated"),
    pytest.param(b'{"data": [{"id": NaN}]}', id="NaN"),
    pytest.param(b'{"data": [{"id": Infinity}]}', id="Infinity"),
    pytest.param(b'{"data": [{"id": 1, "name": "\xff\xfe"}]}', id="invalid-utf-8"),
    pytest.param(b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="100000-deep"),
    pytest.param(b'{"data": []} trailing', id="trailing"),
    pytest.param(b"\x1f\x8b\x08\x00", id="gzip-not-declared"),
]


def raised(error: pytest.ExceptionInfo[Any]) -> str:
    """The message that a user sees."""
    return str(error.value.message)


# Functions


def test_failure_carries_one_message_for_user_and_log() -> None:
    """A failure shows its text as it stands, and blames the system unless told otherwise."""
    made = components.failure("Something.")
    assert (made.message, made.internal_message, made.failure_type) == (
        "Something.",
        "Something.",
        FailureType.system_error,
    )
    assert components.failure("x", FailureType.config_error).failure_type is FailureType.config_error


def test_body_is_parsed_once() -> None:
    """The body of a response is parsed at the first look and kept."""
    answer = response({"data": ROWS})
    body = components.body_of(answer)
    answer._content = b"never read again"
    assert components.body_of(answer) is body


@pytest.mark.parametrize("content", NOT_JSON)
def test_body_that_is_not_json_is_refused(content: bytes) -> None:
    """A body that is no JSON is an unexpected answer, and its text is not in the error."""
    with pytest.raises(components.UnexpectedAnswer) as error:
        components.body_of(response(content))
    assert str(error.value) == ("a body that is not JSON" if content else "an empty body")
    assert error.value.__cause__ is None, repr(error.value.__cause__)


@pytest.mark.parametrize(("body", "records_at", "envelope", "expected"), ENVELOPES)
def test_rows_of_every_envelope(body: Any, records_at: list[str], envelope: str, expected: Any) -> None:
    """The rows of each of Drift's envelopes come in their order."""
    assert components.rows_of(response(body), records_at, envelope) == expected


@pytest.mark.parametrize(("body", "records_at", "envelope"), WRONG)
def test_rows_of_another_shape_are_refused(body: Any, records_at: list[str], envelope: str) -> None:
    """A missing path, and a value of another kind, are an error and never zero rows."""
    place = ".".join(records_at) or "its root"
    with pytest.raises(
        components.UnexpectedAnswer, match=rf"^JSON that has not (a list of objects|an object) at {place}$"
    ):
        components.rows_of(response(body), records_at, envelope)


@pytest.mark.parametrize("body", ERRORS, ids=str)
@pytest.mark.parametrize("envelope", ["list", "one", "list or one", "counts", "report"])
def test_error_beside_or_instead_of_rows_is_refused(body: Any, envelope: str) -> None:
    """An `error` or `errors` makes an answer an error, whatever data stands beside it."""
    with pytest.raises(components.UnexpectedAnswer, match=r"^an error object$"):
        components.rows_of(response(body), [] if envelope == "one" else ["data"], envelope)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (response({"data": ROWS}), None),
        (response({"data": []}), None),
        (response({"data": ROWS}, status=201), None),
        (response({"data": ROWS}, status=302), "Drift answered GET /users/list with HTTP 302."),
        (response({"data": ROWS}, status=199), "Drift answered GET /users/list with HTTP 199."),
        (response(SECRET, status=418), "Drift answered GET /users/list with HTTP 418."),
        (response(b""), "Drift answered GET /users/list with an empty body."),
        (response(b"", status=204), "Drift answered GET /users/list with an empty body."),
        (response(f"<p>{SECRET}"), "Drift answered GET /users/list with a body that is not JSON."),
        (response({"error": SECRET}), "Drift answered GET /users/list with an error object."),
        (
            response({"other": SECRET}),
            "Drift answered GET /users/list with JSON that has not a list of objects at data.",
        ),
        (
            requests.ConnectionError(f"{API}/users/list?email={SECRET}"),
            "Drift could not be reached (ConnectionError).",
        ),
        (None, "Drift could not be reached (NoneType)."),
    ],
)
def test_trouble_is_one_sentence_without_the_body(answer: Any, expected: str | None) -> None:
    """What is wrong with an answer is told by request and kind, without anything of the body."""
    assert components.trouble_of(answer, ["data"], "list") == expected


def test_trouble_names_the_root_of_a_single_record() -> None:
    """A record that was looked for at the root is said to be missing there."""
    assert components.trouble_of(response({}), [], "one") == (
        "Drift answered GET /users/list with JSON that has not an object at its root."
    )


def test_asked_leaves_out_the_query() -> None:
    """A request is named by method and path: its query may hold an address or a cursor."""
    made = response(url=f"{API}/contacts?{urlencode({'email': SECRET})}", method="POST")
    assert components.asked(made) == "POST /contacts"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Thu, 15 Jan 2026 12:00:00 GMT", NOW / 1000),
        ("Thursday, 15-Jan-26 12:00:00 GMT", NOW / 1000),
        ("Thu, 15 Jan 2026 13:00:00 +0100", NOW / 1000),
        ("Thu, 15 Jan 2026 12:00:00 -0000", NOW / 1000),
        *[
            (value, None)
            for value in (None, "", "soon", "120", "2026-01-15T12:00:00Z", "Thu, 45 Jan 2026 12:00:00 GMT")
        ],
        *[(value, None) for value in ("Thu, 15 Jan 99999 12:00:00 GMT", "0", "-1", ",", "Thu, 15 Jan")],
    ],
)
def test_http_date(value: str | None, expected: float | None) -> None:
    """An HTTP date is read as epoch seconds, and what is none yields none."""
    assert components.http_date(value) == expected


def test_clock_is_the_end_of_the_second_of_the_date() -> None:
    """The clock of Drift is the last millisecond that its `Date` can mean."""
    assert components.clock_of(response()) == NOW + 999


@pytest.mark.parametrize("date", [None, "garbage"])
def test_clock_without_a_date_is_ours(clock: Clock, date: str | None) -> None:
    """An answer without a readable `Date` is compared with our own clock."""
    clock.now = NOW / 1000 + 5
    assert components.clock_of(response(Date=date)) == NOW + 5000


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, True), (NOW, True), (1.5, True), (-1, True), (True, False), (False, False), (None, False), ("1", False)],
)
def test_is_time(value: Any, expected: bool) -> None:
    """Only numbers are times: a boolean, a string and null are not."""
    assert components.is_time(value) is expected


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("/accounts?index=1", "index=1"),
        ("https://a.example/b?c=d#e", "c=d"),
        ("?c=d", "c=d"),
        ("nothing", ""),
        ("https://[::1/?c=d", ""),
        *[(link, "") for link in (None, 1, True, [], {}, "")],
    ],
)
def test_query_of(link: Any, expected: str) -> None:
    """The query is all that is taken from a link, and what is no link has none."""
    assert components.query_of(link) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(NOW - 1, True), (NOW, False), (NOW + 1, False), *[(odd, False) for odd in (None, "0", True)]],
)
def test_is_before(value: Any, expected: bool) -> None:
    """Only a time can lie before a moment."""
    assert components.is_before(value, NOW) is expected


@pytest.mark.parametrize(
    ("body", "envelopes", "expected"),
    [
        ({}, ["links", "pagination"], False),
        ({"links": {"self": "/x"}}, ["links", "pagination"], True),
        ({"links": {"self": "/x"}}, ["pagination"], False),
        ({"links": None, "pagination": {}}, ["links", "pagination"], False),
        ({"pagination": {"more": False}}, ["links", "pagination"], True),
        ({"pagination": {"next": None}}, ["pagination"], True),
        ({"pagination": {"unheard_of": 1}}, ["pagination"], False),
        ({"pagination": "more"}, ["pagination"], False),
    ],
    ids=str,
)
def test_says_end(body: Any, envelopes: list[str], expected: bool) -> None:
    """Links are there or not; what pages otherwise says so by `more` or `next`."""
    assert components.says_end(body, *envelopes) is expected


def test_page_query_keeps_what_was_read_out_of_the_request() -> None:
    """What was read before stands behind `#`, which no client sends."""
    assert components.page_query({"a": "b c"}, {}) == "a=b+c"
    query = components.page_query({"a": "#"}, {"after": "#1"})
    assert query == "a=%23#after=%231"
    assert requests.Request("GET", f"{API}/x?{query}").prepare().path_url == "/x?a=%23"


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("", [1, 2, 3]),
        ("after=1", [2, 3]),
        # Others came in before the row: they may be new.
        ("after=3", [1, 2, 3]),
        (f"since={NOW}", [1, 2]),
        (f"since={NOW}&known=2@{NOW},1@{NOW}", [1]),
        (f"since={NOW + 1}", [1]),
        (f"after=1&since={NOW}", [2]),
    ],
)
def test_unread_leaves_out_what_was_read(fragment: str, expected: list[int]) -> None:
    """Rows up to the last one of the page before, and rows older than the walk before, are left out."""
    rows = [{"id": 1, "updatedAt": NOW + 5}, {"id": 2, "updatedAt": NOW}, {"id": 3, "updatedAt": NOW - 5}]
    left = components.unread(response(url=f"{API}/x?y=z#{fragment}"), rows, "id", "updatedAt")
    assert [row["id"] for row in left] == expected


def test_unread_fails_where_the_last_row_vanished() -> None:
    """A page that does not begin where the one before it ended may have moved past others: an error, not a gap."""
    with pytest.raises(AirbyteTracedException) as error:
        components.unread(response(url=f"{API}/x#after=9"), [{"id": 1}], "id")
    said = "Records vanished from Drift's list while it was read, so others may have been missed. Run the sync again."
    assert (raised(error), error.value.failure_type) == (said, FailureType.transient_error)


# Extractor


def extractor(records_at: list[str] | None = None, **more: Any) -> components.DriftRecordExtractor:
    return components.DriftRecordExtractor(parameters={}, records_at=records_at or [], **more)


@pytest.mark.parametrize(("body", "records_at", "envelope", "expected"), ENVELOPES)
def test_extractor_yields_the_records(body: Any, records_at: list[str], envelope: str, expected: Any) -> None:
    """The extractor yields the rows of each envelope."""
    rows = list(extractor(records_at, envelope=envelope).extract_records(response(body)))
    assert rows == expected


@pytest.mark.parametrize("content", [*NOT_JSON, *[json.dumps(body).encode() for body in [*ERRORS, {"other": SECRET}]]])
def test_extractor_refuses_an_unexpected_answer(content: bytes) -> None:
    """An answer of another shape ends in a sentence that names the request and holds nothing of the body."""
    with pytest.raises(AirbyteTracedException, match=r"^Drift answered GET /users/list with ") as error:
        list(extractor(["data"]).extract_records(response(content)))
    assert SECRET not in f"{error.value!r} {error.value.internal_message} {error.value.__cause__!r}"


@pytest.mark.parametrize(
    ("value", "expected", "warnings"),
    [
        (NOW - MINUTE, NOW - MINUTE, 0),
        (NOW, NOW, 0),
        (NOW + 999, NOW + 999, 0),
        (str(NOW + 999), str(NOW + 999), 0),
        (NOW + 1000, NOW + 999, 1),
        (NOW + MINUTE, NOW + 999, 1),
        (9e99, NOW + 999, 1),
        (NOW + 1000.5, NOW + 999, 1),
        (None, None, 0),
        (str(NOW + MINUTE), NOW + 999, 1),
        (str(NOW), str(NOW), 0),
        ("in a while", "in a while", 0),
        (True, True, 0),
        ({}, {}, 0),
    ],
)
def test_extractor_lowers_what_lies_ahead_of_the_clock(
    value: Any, expected: Any, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A time beyond the second of the answer's `Date` is lowered to its end; what the CDK takes for none stays."""
    with caplog.at_level(logging.WARNING, "airbyte"):
        rows = extractor(["data"], not_after_answer="updatedAt").extract_records(
            response({"data": [{"id": 1, "updatedAt": value}]})
        )
    assert list(rows) == [{"id": 1, "updatedAt": expected}]
    assert len(caplog.records) == warnings, caplog.text


@pytest.mark.parametrize("key", [7, "7"])
def test_extractor_yields_the_record_that_the_path_names(key: Any) -> None:
    """Where the path names a record, another one is refused, whatever it is part of."""
    made = extractor(envelope="one", key_in_path=True)
    answers = [response({"id": key}, url=f"{API}/conversations/{path}") for path in ("7", "77")]
    assert list(made.extract_records(answers[0])) == [{"id": key}]
    with pytest.raises(AirbyteTracedException) as error:
        made.extract_records(answers[1])
    assert raised(error) == "Drift answered GET /conversations/77 with another record than was asked for."


def test_extractor_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """Many rows ahead of the clock, over several answers, make one warning."""
    made = extractor(["data"], not_after_answer="updatedAt")
    ahead = {"data": [{"id": number, "updatedAt": NOW + MINUTE} for number in range(3)]}
    with caplog.at_level(logging.WARNING, "airbyte"):
        rows = [*made.extract_records(response(ahead)), *made.extract_records(response(ahead))]
    assert [row["updatedAt"] for row in rows] == [NOW + 999] * 6
    assert [record.levelname for record in caplog.records] == ["WARNING"], caplog.text


def test_extractor_without_the_option_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A time ahead of the clock is only lowered in the field that was named."""
    ahead = {"data": [{"updatedAt": NOW + MINUTE, "createdAt": NOW + MINUTE}]}
    assert list(extractor(["data"]).extract_records(response(ahead))) == ahead["data"]
    made = extractor(["data"], not_after_answer="createdAt").extract_records(response(ahead))
    assert list(made) == [{"updatedAt": NOW + MINUTE, "createdAt": NOW + 999}]


def test_extractor_without_a_date_uses_our_clock(clock: Clock) -> None:
    """Without a `Date` a time is compared with our own clock."""
    made = extractor(["data"], not_after_answer="updatedAt")
    rows = made.extract_records(response({"data": [{"updatedAt": NOW + 5 * MINUTE}]}, Date=None))
    assert list(rows) == [{"updatedAt": NOW}]


# Error handler


def handler(kind: str = "access_token", filters: Any = None, **more: Any) -> components.DriftErrorHandler:
    given = config(api_url=API)
    given["credentials"]["credentials"] = kind
    return components.DriftErrorHandler(
        config=given, parameters={}, records_at=["data"], response_filters=filters, **more
    )


def on_status(status: int, action: str, failure_type: str = "config_error") -> HttpResponseFilter:
    return HttpResponseFilter(
        config={}, parameters={}, http_codes={status}, action=action, failure_type=failure_type, error_message="Said."
    )


@pytest.mark.parametrize("answer", [response({"data": ROWS}), response({"data": []}), response({"data": []}, 201)])
def test_handler_accepts_what_was_asked_for(answer: requests.Response) -> None:
    """An answer of the expected shape is a success, with rows or without."""
    assert handler().interpret_response(answer).response_action is ResponseAction.SUCCESS


@pytest.mark.parametrize("content", [*NOT_JSON, *[json.dumps(body).encode() for body in [*ERRORS, {"other": SECRET}]]])
def test_handler_retries_an_unexpected_2xx(content: bytes) -> None:
    """A 2xx answer that is not what was asked for is retried, with a message that holds nothing of the body."""
    resolution = handler().interpret_response(response(content))
    assert resolution.response_action is ResponseAction.RETRY, resolution
    assert str(resolution.error_message).startswith("Drift answered GET /users/list with "), resolution
    assert SECRET not in str(resolution)


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 503, 504, 520, 599])
def test_handler_retries_a_status_that_passes(status: int) -> None:
    """Without a filter a 5xx, 408 and 425 are retried, and told without the body."""
    resolution = handler().interpret_response(response({"error": SECRET, "data": ROWS}, status))
    assert resolution.response_action is ResponseAction.RETRY, resolution
    assert resolution.failure_type is FailureType.system_error
    assert resolution.error_message == f"Drift answered GET /users/list with HTTP {status}."


@pytest.mark.parametrize(
    "status",
    [
        300,
        304,
        400,
        401,
        402,
        403,
        404,
        405,
        406,
        409,
        410,
        413,
        414,
        415,
        418,
        422,
        423,
        424,
        426,
        428,
        429,
        431,
        451,
        499,
    ],
)
def test_handler_fails_a_status_that_lasts(status: int) -> None:
    """Without a filter every other status fails at once, with nothing of the body in the error."""
    with pytest.raises(AirbyteTracedException) as raised:
        handler().interpret_response(response({"error": SECRET, "data": ROWS}, status))
    assert raised.value.failure_type is FailureType.system_error
    assert raised.value.message == f"Drift answered GET /users/list with HTTP {status}."
    assert raised.value.internal_message == raised.value.message


@pytest.mark.parametrize(
    "broken",
    [requests.ConnectionError, requests.ReadTimeout, requests.ConnectTimeout, requests.exceptions.ChunkedEncodingError],
)
def test_handler_retries_a_broken_connection(broken: type[Exception]) -> None:
    """A connection that breaks is a passing error, told with the wind-down and without the address."""
    resolution = handler().interpret_response(broken(f"{API}/contacts?email={SECRET}"))
    assert resolution.response_action is ResponseAction.RETRY, resolution
    assert resolution.failure_type is FailureType.transient_error
    assert resolution.error_message == f"Drift could not be reached ({broken.__name__})."


def test_handler_follows_the_first_filter_that_names_the_status() -> None:
    """A filter of the manifest decides over a status, the first one that matches."""
    made = handler(filters=[on_status(400, "RETRY"), on_status(404, "FAIL"), on_status(404, "IGNORE")])
    with pytest.raises(AirbyteTracedException) as raised:
        made.interpret_response(response(SECRET, 404))
    assert (raised.value.message, raised.value.internal_message) == ("Said.", "Said.")


def test_handler_refreshes_an_oauth_token() -> None:
    """A 401 is answered with a refresh of an OAuth token."""
    made = handler("oauth2.0", [on_status(401, "REFRESH_TOKEN_THEN_RETRY")])
    resolution = made.interpret_response(response(SECRET, 401))
    assert resolution.response_action is ResponseAction.REFRESH_TOKEN_THEN_RETRY, resolution


def test_handler_refreshes_no_access_token() -> None:
    """A 401 fails at once with an access token, which cannot be refreshed."""
    made = handler("access_token", [on_status(401, "REFRESH_TOKEN_THEN_RETRY")])
    with pytest.raises(AirbyteTracedException) as raised:
        made.interpret_response(response(SECRET, 401))
    assert (raised.value.message, raised.value.failure_type) == ("Said.", FailureType.config_error)


PLACES = [
    ("https://evil.example/users/list", False),
    ("http://driftapi.com/users/list", False),
    ("https://driftapi.com:8443/users/list", False),
    ("https://driftapi.com@evil.example/users/list", False),
    ("https://user:word@driftapi.com/users/list", False),
    ("https://driftapi.com.evil.example/users/list", False),
    ("https://www.driftapi.com/users/list", False),
    ("https://api.drift.com/users/list", False),
    ("https://driftapi.com/users/list?a=b", True),
    ("https://driftapi.com/elsewhere", True),
]


@pytest.mark.parametrize(("url", "ours"), PLACES)
def test_handler_accepts_answers_of_our_place_only(url: str, ours: bool) -> None:
    """An answer from another scheme, host or port, or from behind user-info, is refused whatever it holds."""
    answer = response({"data": ROWS}, url=url)
    if ours:
        assert handler().interpret_response(answer).response_action is ResponseAction.SUCCESS
        return
    with pytest.raises(AirbyteTracedException, match="another place"):
        handler().interpret_response(answer)


@pytest.mark.parametrize(("url", "ours"), PLACES)
def test_handler_looks_at_every_hop(url: str, ours: bool) -> None:
    """A way that leads over another place and back to ours is refused too."""
    answer = response({"data": ROWS})
    answer.history = [response(status=302), response(status=302, url=url)]
    if ours:
        assert handler().interpret_response(answer).response_action is ResponseAction.SUCCESS
        return
    with pytest.raises(AirbyteTracedException) as error:
        handler().interpret_response(answer)
    assert raised(error) == f"Drift redirects GET /users/list to another place. {components.WIND_DOWN}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_handler_refuses_a_redirect_that_was_not_followed(status: int) -> None:
    """A redirect that the requester did not follow is refused, with the wind-down as a possible cause."""
    with pytest.raises(AirbyteTracedException, match="wound down") as error:
        handler().interpret_response(response(status=status, Location=f"https://evil.example/{TOKEN}"))
    assert "evil" not in raised(error)


def test_handler_outlives_a_long_throttle() -> None:
    """The handler gives a throttled request an hour, where the CDK would give up after ten minutes."""
    assert handler().max_time == 3600


# Back-off


def backoff(**more: Any) -> components.DriftBackoffStrategy:
    return components.DriftBackoffStrategy(config={}, parameters={}, records_at=["data"], **more)


@pytest.mark.parametrize("status", [429, 500, 200])
@pytest.mark.parametrize("attempt", [1, 2, 3, 4, 5, 6, 7, 11, 100, 10_000])
def test_wait_grows_is_capped_and_never_nothing(status: int, attempt: int) -> None:
    """A wait lies between half and all of the exponential, is at most 60 seconds, and never zero."""
    full = min(60, 2 ** (attempt - 1))
    for _ in range(20):
        answer = response(b"", status)
        waited = backoff(max_attempts=10_001).backoff_time(answer, attempt)
        assert full / 2 <= waited <= full, (attempt, waited)


def test_wait_grows_ten_times() -> None:
    """Whatever `longest_wait` allows, no wait is longer than 1,024 seconds, and no attempt too many to be counted."""
    assert 512 <= backoff(longest_wait=10_000).backoff_time(response(status=429), 10_000) <= 1024


def test_wait_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The log says what was wrong, how long is waited and for which attempt."""
    with caplog.at_level(logging.INFO, "airbyte"):
        waited = backoff(envelope="one").backoff_time(response({"data": ROWS}), 3)
    said = "Drift answered GET /users/list with JSON that has not an object at data."
    assert caplog.messages == [f"{said} Waiting {waited:.1f} s before attempt 4."]


def test_wait_has_jitter() -> None:
    """Two requests that fail together do not come back together."""
    waits = {backoff().backoff_time(response(status=429), 5) for _ in range(20)}
    assert len(waits) == 20, waits


@pytest.mark.parametrize(
    ("value", "at_least"),
    [
        ("30", 30),
        ("30.5", 30.5),
        (" 30 ", 30),
        ("600", 600),
        ("Thu, 15 Jan 2026 12:01:30 GMT", 90),
        ("Thu, 15 Jan 2026 12:10:00 GMT", 600),
        *[(value, None) for value in ("0", "-5", "soon", "", "1e3", "NaN", "inf", "0x10", "30s", "3,5", "1_0")],
        *[(value, None) for value in ("Thu, 15 Jan 2026 11:59:00 GMT", "Thu, 15 Jan 2026 12:00:00 GMT")],
        *[(value, None) for value in ("Thu, 45 Jan 2026 12:00:00 GMT", "Fri, 31 Dec 99999 23:59:59 GMT")],
        (None, None),
    ],
)
def test_retry_after_lengthens_a_wait_and_never_shortens_it(value: str | None, at_least: float | None) -> None:
    """`Retry-After` counts in seconds or as a date against the answer's own, and garbage or the past count nothing."""
    waited = backoff().backoff_time(response(status=429, Retry_After=value), 1)
    if at_least is None:
        assert 0.5 <= waited < 1, waited
    else:
        assert waited == at_least


def test_retry_after_date_without_a_date_uses_our_clock(clock: Clock) -> None:
    """A `Retry-After` date beside no `Date` is compared with our own clock."""
    clock.now += 60
    answer = response(status=429, Retry_After="Thu, 15 Jan 2026 12:01:30 GMT", Date=None)
    assert backoff().backoff_time(answer, 1) == 30


def test_retry_after_is_shorter_than_the_exponential() -> None:
    """The longer of the two waits is taken."""
    assert backoff().backoff_time(response(status=429, Retry_After="1"), 7) >= 30


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("value", ["601", "86400", "999999999", "Thu, 15 Jan 2026 12:10:01 GMT"])
def test_retry_after_beyond_ten_minutes_fails(status: int, value: str) -> None:
    """A wait of more than 600 seconds ends the stream with a sentence that names it, and is not shortened."""
    with pytest.raises(AirbyteTracedException) as error:
        backoff().backoff_time(response(status=status, Retry_After=value), 1)
    seconds = value if value.isdigit() else "601"
    said = f"Drift asks to wait {seconds} s before GET /users/list. Run the sync again after that."
    assert (raised(error), error.value.failure_type) == (said, FailureType.transient_error)


@pytest.mark.parametrize(
    ("answer", "said", "kind"),
    [
        (response(SECRET, 500), "Drift answered GET /users/list with HTTP 500.", FailureType.system_error),
        (response(b""), "Drift answered GET /users/list with an empty body.", FailureType.system_error),
        (
            requests.ConnectionError(SECRET, request=requests.Request("GET", API).prepare()),
            "Drift could not be reached (ConnectionError).",
            FailureType.transient_error,
        ),
    ],
)
def test_eighth_failure_is_the_last(answer: Any, said: str, kind: FailureType) -> None:
    """Seven failures are waited for, the eighth raises and says how often it was asked."""
    made = backoff()
    assert all(made.backoff_time(answer, attempt) > 0 for attempt in range(1, 8))
    with pytest.raises(AirbyteTracedException) as error:
        made.backoff_time(answer, 8)
    wind_down = "" if kind is FailureType.system_error else f" {components.WIND_DOWN}"
    assert (raised(error), error.value.failure_type) == (f"{said} It was asked 8 times.{wind_down}", kind)


def test_failure_that_names_no_request_counts_too() -> None:
    """A connection that broke inside a body has no request, and is asked for eight times like any other."""
    made, broken = backoff(), requests.exceptions.ChunkedEncodingError(SECRET)
    assert all(made.backoff_time(broken, attempt) > 0 for attempt in range(1, 8))
    with pytest.raises(AirbyteTracedException, match=r"ChunkedEncodingError.* asked 8 times.* wound down"):
        made.backoff_time(broken, 8)


def test_throttles_are_not_failures() -> None:
    """Any number of throttles is waited for, and does not count against the failures that follow."""
    made = backoff()
    failing, throttled = response(status=503), response(status=429)
    failing.request = throttled.request
    assert all(made.backoff_time(throttled, attempt) > 0 for attempt in range(1, 101))
    assert all(made.backoff_time(failing, attempt) > 0 for attempt in range(101, 108))
    with pytest.raises(AirbyteTracedException, match="asked 8 times"):
        made.backoff_time(failing, 108)


def test_failures_of_two_requests_are_counted_apart() -> None:
    """One instance serves many threads, and the request of each has its own eight attempts."""
    made, failing = backoff(), response(status=500)
    turn = threading.Barrier(2)

    def fail_seven_times(_: int) -> bool:
        return all(turn.wait() >= 0 and made.backoff_time(failing, attempt) > 0 for attempt in range(1, 8))

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(fail_seven_times, range(2))) == [True, True]


def test_failures_of_the_request_before_are_forgotten() -> None:
    """A thread that sends its next request begins to count anew."""
    made, failing = backoff(), response(status=500)
    assert all(made.backoff_time(failing, attempt) > 0 for _ in range(2) for attempt in range(1, 8))


def test_attempt_that_nothing_is_known_of_is_the_first_failure() -> None:
    """What another thread counted is not counted here."""
    assert backoff(max_attempts=2).backoff_time(response(status=500), 2) > 0


# Paginations: the walks are in test_pagination.py


@pytest.mark.parametrize(
    ("count", "following", "expected"),
    [
        (0, 10, (10, {})),
        (1, 11, (11, {})),
        (2, 12, (11, {"after": 2})),
        (3, 13, (12, {"after": 3})),
        (3, 12, (12, {})),
        (3, 14, (14, {})),
    ],
)
def test_overlap_is_the_last_row(count: int, following: int, expected: Any) -> None:
    """A page right behind one of several rows is asked for from the last of them."""
    rows = [{"id": number} for number in range(1, count + 1)]
    assert components.AccountsPagination(parameters={}).overlap(rows, 10, following) == expected


class Counting(components.QueryPagination):
    """Counts to three."""

    @property
    def initial_token(self) -> str:
        return "page=1"

    def next_query(self, response: requests.Response, query: str, stream_slice: Any) -> str | None:
        page = int(query.removeprefix("page="))
        return None if page == 3 else f"page={page + 1}&{urlencode(stream_slice)}".rstrip("&")


def test_pagination_begins_at_its_first_query_and_goes_on_from_the_last() -> None:
    """The first page has no query before it; each later one follows the query that named it."""
    made = Counting(parameters={}, page_size=7)
    assert made.get_page_size() == 7
    assert made.next_page_token(response(), 0, None) == "page=2"
    assert made.next_page_token(response(), 0, None, "page=2", stream_slice={"a": "b"}) == "page=3&a=b"
    assert made.next_page_token(response(), 0, None, "page=3") is None


def sent(query: str) -> dict[str, str]:
    """The parameters of a page as Drift sees them: what follows `#` is never sent."""
    return dict(parse_qsl(query.partition("#")[0], keep_blank_values=True))


def test_first_queries_and_page_sizes() -> None:
    """The first page of the conversations has an empty page_token, that of the accounts index 0, messages none."""
    conversations = components.ConversationsPagination(parameters={}, records_at=["data"], page_size=50)
    accounts = components.AccountsPagination(parameters={}, records_at=["data", "accounts"], page_size=65)
    assert (sent(conversations.initial_token)["page_token"], conversations.get_page_size()) == ("", 50)
    assert (sent(accounts.initial_token), accounts.get_page_size()) == ({"index": "0", "size": "65"}, 65)
    messages = components.MessagesPagination(parameters={}, records_at=["data", "messages"], page_size=50)
    assert (messages.initial_token, messages.get_page_size()) == (None, 50)


def test_next_query_of_each_pagination() -> None:
    """Each pagination lifts the next page out of an answer and sends it as a query."""
    conversations = components.ConversationsPagination(parameters={}, records_at=["data"], page_size=50)
    answer = response({"data": ROWS, "links": {"next": "/conversations/list?page_token=a%2Fb"}})
    assert sent(conversations.next_query(answer, conversations.initial_token, {}) or "")["page_token"] == "a/b"
    accounts = components.AccountsPagination(parameters={}, records_at=["data", "accounts"], page_size=65)
    answer = response({"data": {"accounts": ROWS[:1], "next": "/accounts?index=1&size=65"}})
    assert sent(accounts.next_query(answer, accounts.initial_token, {}) or "") == {"index": "1", "size": "65"}


# Authenticators and the token_info requester: whole syncs are in test_auth.py


class Authenticator:
    """An authenticator that yields, or raises, what a test says."""

    def __init__(self, *headers: Any) -> None:
        self.headers = list(headers)
        self.refreshed = 0

    def get_auth_header(self) -> dict[str, str]:
        header = self.headers.pop(0) if len(self.headers) > 1 else self.headers[0]
        if isinstance(header, Exception):
            raise header
        return {"Authorization": header}

    def refresh_and_set_access_token(self) -> None:
        self.refreshed += 1
        self.get_auth_header()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self.get_auth_header())
        return request


def guard(*headers: Any) -> components.AuthenticatorGuard:
    return components.AuthenticatorGuard(authenticator=Authenticator(*headers), parameters={})


@pytest.mark.parametrize("token", [TOKEN, "1e5", "0", "a", "!~", "None.", "a'b", "a%20b+/=", "none"])
def test_guard_passes_a_token_on(token: str) -> None:
    """A token of visible ASCII without a quote or a backslash is sent as it is."""
    assert guard(f"Bearer {token}").get_auth_header() == {"Authorization": f"Bearer {token}"}


def test_guard_evaluates_an_access_token_once() -> None:
    """The CDK asks twice for each request; the template of an access token yields the same each time."""
    asked_once = guard("Bearer first", "Bearer second")
    assert [asked_once.get_auth_header()["Authorization"] for _ in range(3)] == ["Bearer first"] * 3


@pytest.mark.parametrize("header", ["Bearer ", "Bearer None"])
def test_guard_refuses_no_token(header: str) -> None:
    """An authenticator that has no token is told from one that has, and says re-authenticate."""
    with pytest.raises(AirbyteTracedException) as error:
        guard(header).get_auth_header()
    said = "There is no access token. Re-authenticate this source, or enter a token."
    assert (raised(error), error.value.failure_type) == (said, FailureType.config_error)


@pytest.mark.parametrize(
    "token",
    [
        f"a {TOKEN}",
        f"{TOKEN} ",
        f"{TOKEN}\n",
        f"{TOKEN}\r\nX: y",
        f"{TOKEN}\t",
        f"{TOKEN}é",
        f"{TOKEN}\x7f",
        f"{TOKEN}\0",
        f'{TOKEN}"',
        f"{TOKEN}\\",
    ],
)
def test_guard_refuses_what_no_token_holds(token: str) -> None:
    """A token that cannot be a header value, or not stand in JSON as it is, is refused without being shown."""
    with pytest.raises(AirbyteTracedException) as error:
        guard(f"Bearer {token}").get_auth_header()
    assert (raised(error), error.value.failure_type) == (
        "The access token holds a character that no token has, such as a blank, a quote or an ellipsis. Copy it again.",
        FailureType.config_error,
    )
    assert TOKEN not in f"{error.value!r} {error.value.internal_message}"


REFUSED = "Drift refused to refresh the OAuth token. Re-authenticate this source."


def not_now(kind: str) -> str:
    return f"The OAuth token could not be refreshed ({kind}). {components.WIND_DOWN}"


def http_error(status: int, body: Any = SECRET) -> requests.HTTPError:
    return requests.HTTPError(f"for url: {API}/oauth2/token {SECRET}", response=response(body, status))


@pytest.mark.parametrize(
    ("error", "said", "kind"),
    [
        *[(http_error(status), REFUSED, FailureType.config_error) for status in (400, 401, 403, 404, 422, 499)],
        *[(http_error(status), not_now("HTTPError"), FailureType.transient_error) for status in (429, 500, 503)],
        (requests.ConnectionError(SECRET), not_now("ConnectionError"), FailureType.transient_error),
        (requests.JSONDecodeError("no JSON", SECRET, 0), not_now("JSONDecodeError"), FailureType.transient_error),
    ],
)
@pytest.mark.parametrize("method", ["get_auth_header", "refresh_and_set_access_token"])
def test_guard_puts_a_failed_refresh_into_words(method: str, error: Exception, said: str, kind: FailureType) -> None:
    """A refresh that fails ends in a sentence, before a request and after a 401, and holds nothing of the answer."""
    with pytest.raises(AirbyteTracedException) as caught:
        getattr(guard(error), method)()
    assert (raised(caught), caught.value.failure_type) == (said, kind)
    assert caught.value.__cause__ is None
    assert SECRET not in f"{caught.value!r} {caught.value.internal_message}"


def test_guard_shows_nothing_of_an_answer_to_a_refresh() -> None:
    """A refusal that the CDK recognised holds the whole answer; it is told in our words, without that."""
    said = AirbyteTracedException(message="Said.", internal_message=SECRET, failure_type=FailureType.config_error)
    with pytest.raises(AirbyteTracedException) as error:
        guard(said).get_auth_header()
    assert raised(error) == REFUSED


@pytest.mark.parametrize(("now", "refreshes"), [("Bearer old", 1), ("Bearer new", 0)])
def test_guard_refreshes_what_it_gave(now: str, refreshes: int) -> None:
    """A forced refresh is one refresh of the authenticator inside, and none where another thread was faster."""
    made = guard("Bearer old", now)
    made.get_auth_header()
    made.refresh_and_set_access_token()
    assert made.authenticator.refreshed == refreshes


def test_token_in_body_is_taken_anew_at_every_attempt() -> None:
    """Header and body of a retry carry the token of that moment, and the length fits."""
    made = components.TokenInBody(Authenticator("Bearer first", "Bearer second-and-longer"))
    request = requests.Request("POST", f"{API}/app/token_info").prepare()
    for token in ("first", "second-and-longer"):
        made(request)
        assert request.headers["Authorization"] == f"Bearer {token}"
        assert json.loads(request.body) == {"access_token": token}
        assert request.headers["Content-Length"] == str(len(request.body))
        assert request.headers["Content-Type"] == "application/json"


def test_token_in_body_is_otherwise_the_authenticator() -> None:
    """What the CDK asks of an authenticator reaches the one inside, and what that lacks is lacking."""
    inner = Authenticator("Bearer x")
    made = components.TokenInBody(inner)
    made.refresh_and_set_access_token()
    assert inner.refreshed == 1
    assert not hasattr(made, "has_alternative_token")


def test_token_info_requester_sends_the_token_in_header_and_body(drift: Drift) -> None:
    """The request about the token is one POST that carries it twice and has no query."""
    provider = InterpolatedStringTokenProvider(config={}, api_token=TOKEN, parameters={})
    told = InMemoryMessageRepository(Level.DEBUG)
    requester = components.TokenInfoRequester(
        name="token_info",
        url=f"{API}/app/token_info",
        http_method="POST",
        config={},
        parameters={},
        authenticator=BearerAuthenticator(provider, {}, {}),
        message_repository=told,
    )
    answer = requester.send_request(
        stream_slice={}, request_params={"never": "sent"}, log_formatter=lambda answer: {"status": answer.status_code}
    )
    # What the Connector Builder shows.
    assert [json.loads(message.log.message) for message in told.consume_queue()] == [{"status": 200}]
    [request] = drift.requests
    assert answer.json() == {"authenticated_userid": "orgId:1"}
    assert (request.method, request.url, json.loads(request.body), request.headers["Authorization"]) == (
        "POST",
        f"{API}/app/token_info",
        {"access_token": TOKEN},
        f"Bearer {TOKEN}",
    )


def test_class_names_of_the_manifest_are_these_classes(connector: Connector) -> None:
    """The manifest is built from the components that these tests break and measure."""
    [users] = [stream for stream in connector.source().streams({}) if stream.name == "users"]
    retriever = users._stream_partition_generator._partition_factory._retriever
    assert type(retriever.record_selector.extractor) is components.DriftRecordExtractor
