"""Authentication: one refresh per sync, new tokens are emitted, and no credential is in the output."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from unit_tests.conftest import (
    API,
    CHILDREN,
    EMPTY,
    HTML,
    NOW,
    SECRET,
    STREAMS,
    TOKEN,
    Answer,
    Clock,
    Connector,
    Drift,
    Outcome,
    needs,
    parts,
)

TOKEN_PATH = "/oauth2/token"
REFRESH_TOKEN = "made-up-refresh-token"
CLIENT_SECRET = "made-up-client-secret"
DENIED = {"error": {"type": "authentication_error", "message": SECRET}}
# All streams except those that fail before they start, and those that request several windows.
ALONE = [stream for stream in STREAMS if stream not in [*CHILDREN, "meetings"]]


def access_token(token: str) -> dict[str, Any]:
    return {"credentials": {"credentials": "access_token", "access_token": token}}


def oauth(**more: Any) -> dict[str, Any]:
    """An OAuth config with an expired access token, and the settings that the streams need."""
    credentials = {
        "credentials": "oauth2.0",
        "client_id": "made-up-client-id",
        "client_secret": CLIENT_SECRET,
        "refresh_token": REFRESH_TOKEN,
        "access_token": "stale-token",
    }
    return {"credentials": {**credentials, **more}, **needs(*STREAMS)}


def in_an_hour() -> str:
    return str(datetime.now(UTC) + timedelta(hours=1))


def refreshed(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"access_token": f"fresh-token-{number}", "refresh_token": f"rotated-{number}", "orgId": 1, **more}


def guarded(
    stream: str, *accepted: str, status: int = 401, said: Any = DENIED
) -> Callable[[requests.PreparedRequest], Any]:
    """Responds to the accepted tokens, and refuses all others."""

    def answer(request: requests.PreparedRequest) -> Any:
        known = request.headers["Authorization"].removeprefix("Bearer ") in accepted
        return STREAMS[stream].body() if known else Answer(said, status)

    return answer


def tokens(drift: Drift, stream: str) -> list[str]:
    return [request.headers["Authorization"].removeprefix("Bearer ") for request in drift.asked(STREAMS[stream].path)]


def assert_complete(outcome: Outcome, *streams: str) -> None:
    assert {stream: outcome.status(stream) for stream in streams} == dict.fromkeys(streams, "COMPLETE"), outcome.summary
    assert {stream: outcome.keys(stream) for stream in streams} == {stream: [STREAMS[stream].one] for stream in streams}


def assert_failed(outcome: Outcome, stream: str, said: str, kind: str = "config_error") -> None:
    error = outcome.error(stream)
    assert (outcome.status(stream), outcome.records(stream)) == ("INCOMPLETE", []), outcome.summary
    assert (said in error.message, error.failure_type.value) == (True, kind), error.message
    assert SECRET not in error.message


# OAuth, before the first request


def test_one_refresh_serves_all_streams(drift: Drift, connector: Connector) -> None:
    """Streams that start together share one refresh, and the platform gets the new tokens once."""
    drift.answers(TOKEN_PATH, refreshed())
    outcome = connector.read(*STREAMS, config=oauth())
    assert_complete(outcome, *STREAMS)
    [request] = drift.asked(TOKEN_PATH)
    assert (request.method, request.headers["Content-Type"]) == ("POST", "application/x-www-form-urlencoded")
    assert parse_qs(request.body) == {
        "grant_type": ["refresh_token"],
        "client_id": ["made-up-client-id"],
        "client_secret": [CLIENT_SECRET],
        "refresh_token": [REFRESH_TOKEN],
    }
    assert {token for stream in STREAMS for token in tokens(drift, stream)} == {"fresh-token-1"}
    [handed] = outcome.configs
    credentials = handed["credentials"]
    assert (credentials["refresh_token"], credentials["access_token"]) == ("rotated-1", "fresh-token-1")
    assert datetime.fromisoformat(credentials["token_expiry_date"]) > datetime.now(UTC) + timedelta(minutes=50)
    # The emitted config is valid and needs no refresh.
    again = connector.read("users", config=handed)
    assert_complete(again, "users")
    assert (len(drift.asked(TOKEN_PATH)), again.configs) == (1, [])


def test_refresh_token_that_is_not_rotated_is_kept(drift: Drift, connector: Connector) -> None:
    """If the response has no new refresh token, the config keeps the old one."""
    drift.answers(TOKEN_PATH, {"access_token": "fresh-token-1"})
    [handed] = connector.read("users", config=oauth()).configs
    assert handed["credentials"]["refresh_token"] == REFRESH_TOKEN


@pytest.mark.parametrize("expires_in", [0, 1, 7200, 7_200_000, -1, "soon", None, 10**15])
def test_expires_in_causes_no_repeated_refresh(drift: Drift, connector: Connector, expires_in: Any) -> None:
    """One refresh serves the sync, whatever the unit of `expires_in`, and even if it is always 0."""
    drift.answers(TOKEN_PATH, refreshed(expires_in=expires_in))
    assert_complete(connector.read("users", "teams", "accounts", config=oauth()), "users", "teams", "accounts")
    assert len(drift.asked(TOKEN_PATH)) == 1


# OAuth, after a refused request


@pytest.mark.parametrize(("status", "said"), [(401, DENIED), (403, DENIED), (401, b"")])
def test_refused_token_is_refreshed_once(drift: Drift, connector: Connector, status: int, said: Any) -> None:
    """If Drift refuses a token early with 401 or 403, it is refreshed once for all streams, and no row is lost."""
    for stream in STREAMS:
        drift.answers(STREAMS[stream].path, guarded(stream, "fresh-token-1", status=status, said=said))
    drift.answers(TOKEN_PATH, refreshed())
    outcome = connector.read(*STREAMS, config=oauth(token_expiry_date=in_an_hour()))
    assert_complete(outcome, *STREAMS)
    assert len(drift.asked(TOKEN_PATH)) == 1
    assert [handed["credentials"]["refresh_token"] for handed in outcome.configs] == ["rotated-1"]
    # The token_info request contains the new token.
    asked = [
        (json.loads(one.body)["access_token"], one.headers["Content-Length"]) for one in drift.asked("/app/token_info")
    ]
    assert asked[-1] == ("fresh-token-1", "33"), asked


def test_token_that_expires_between_pages(drift: Drift, connector: Connector) -> None:
    """After a 401 on a later page, the token is refreshed and the page requested again: every row comes once."""
    first = {"data": [{"id": 1, "updatedAt": NOW}], "links": {"next": "/conversations/list?page_token=b"}}
    drift.answers("/conversations/list", first, Answer(DENIED, 401), {"data": [{"id": 2, "updatedAt": NOW - 1}]})
    drift.answers(TOKEN_PATH, refreshed())
    outcome = connector.read("conversations", config=oauth(token_expiry_date=in_an_hour()))
    assert (outcome.status("conversations"), outcome.keys("conversations")) == ("COMPLETE", [1, 2]), outcome.summary
    assert tokens(drift, "conversations")[:3] == ["stale-token", "stale-token", "fresh-token-1"]
    assert len(drift.asked(TOKEN_PATH)) == 1


def test_refusal_that_lasts_is_a_config_error(drift: Drift, connector: Connector) -> None:
    """If Drift also refuses a new token, every stream fails after three requests and at most one refresh."""
    for stream in STREAMS:
        drift.answers(STREAMS[stream].path, guarded(stream, "never-issued"))
    drift.answers(TOKEN_PATH, refreshed(1), refreshed(2))
    outcome = connector.read(*ALONE, config=oauth(token_expiry_date=in_an_hour()))
    for stream in [name for name in ALONE if name != "token_info"]:
        assert_failed(outcome, stream, "Drift refused the token: it is invalid, expired or revoked.")
    assert_failed(outcome, "token_info", "")
    assert len(drift.asked("/teams/org")) == 3
    assert len(drift.asked(TOKEN_PATH)) <= len(ALONE)


def test_check_with_a_token_that_is_refused_after_its_refresh(drift: Drift, connector: Connector) -> None:
    """If Drift refuses a new token for token_info and users, the check fails and says what to do."""
    for stream in ("token_info", "users"):
        drift.answers(STREAMS[stream].path, guarded(stream, "never-issued"))
    drift.answers(TOKEN_PATH, refreshed())
    status, message = connector.check(oauth(token_expiry_date=in_an_hour())).check
    assert (status, "Issue a new access token" in str(message)) == ("FAILED", True), message


# Access tokens


@pytest.mark.parametrize("status", [401, 403])
def test_refused_access_token_is_tried_twice_more(drift: Drift, connector: Connector, status: int) -> None:
    """The sync continues after one refusal; after the third one, each stream fails and says what to do."""
    for stream in ALONE:
        drift.answers(STREAMS[stream].path, Answer(DENIED, status), Answer(DENIED, status), STREAMS[stream].body())
    assert_complete(connector.read(*ALONE), *ALONE)
    drift.requests.clear()
    for stream in ALONE:
        drift.answers(STREAMS[stream].path, Answer(DENIED, status))
    outcome = connector.read(*ALONE)
    for stream in ALONE:
        assert_failed(outcome, stream, "Issue a new access token for your app")
    assert len(drift.asked("/teams/org")) == 3


def test_401_of_one_stream_names_its_scope(drift: Drift, connector: Connector) -> None:
    """If other streams succeed, a 401 means a missing scope, and the error does not blame the token."""

    def refuse(_: requests.PreparedRequest) -> Any:
        return Answer({"error": {"type": "unauthorized", "message": SECRET}}, 401)

    drift.answers("/conversations/list", {"data": [{"id": 1, "updatedAt": NOW, "contactId": 1}]})
    drift.answers("/contacts/1", refuse)
    assert_failed(connector.read("contacts"), "contacts", "missing the contact_read scope")


ODD_TOKENS = [
    "1e5",
    "0",
    "007",
    "1_000",
    "True",
    "[1]",
    "{}",
    "'quoted'",
    "a'b",
    "{{config}}",
    "{%x%}",
    "a%20b",
    "a+b/c==",
]


@pytest.mark.parametrize("token", [*ODD_TOKENS, "9" * 30, "1.", "0x10", "a#b", "none"])
def test_access_token_is_sent_verbatim(token: str) -> None:
    """A token that looks like a number, a literal or a template is sent unchanged in header and body."""
    [made] = parts("token_info", credentials=access_token(token)["credentials"])
    request = requests.Request("POST", f"{API}/app/token_info", json={"access_token": "-"}).prepare()
    made.authenticator(request)
    assert request.headers["Authorization"] == f"Bearer {token}"
    assert json.loads(request.body) == {"access_token": token}


@pytest.mark.parametrize("token", ["1e5", "0", "None", "a'b", 'a"b', "a\\b", "{{config}}", "a+b/c=="])
def test_oauth_credentials_are_sent_verbatim(drift: Drift, connector: Connector, token: str) -> None:
    """Client ID, client secret, refresh token and new access token are sent unchanged."""
    drift.answers(TOKEN_PATH, refreshed(access_token="1e5", refresh_token="2e5"))
    given = oauth(client_id=token, client_secret=token, refresh_token=token)
    handed = connector.read("users", config=given).configs[-1]["credentials"]
    sent = parse_qs(drift.asked(TOKEN_PATH)[0].body)
    assert {sent[name][0] for name in ("client_id", "client_secret", "refresh_token")} == {token}
    assert tokens(drift, "users") == ["1e5"]
    assert (handed["access_token"], handed["refresh_token"]) == ("1e5", "2e5")


@pytest.mark.parametrize(
    "token",
    [*[f"{TOKEN}{odd}1" for odd in (" ", "\r\nX: ", "\t", "\x7f", "é", "\u200b", '"', "\\")], "", "  ", "\n", "None"],
)
def test_malformed_token_is_not_sent(drift: Drift, connector: Connector, token: str) -> None:
    """An empty token, and one with a space, a quote or a non-ASCII letter, is an error that does not show the token."""
    outcome = connector.read("users", "token_info", config=access_token(token))
    for stream in ("users", "token_info"):
        assert_failed(outcome, stream, "The access token is missing or malformed")
    assert drift.requests == []
    assert outcome.holds(TOKEN) == []


# Failed refreshes

REFUSED = {
    "invalid_grant": {"error": "invalid_grant", "error_description": f"{SECRET} {REFRESH_TOKEN} {CLIENT_SECRET}"},
    "drift": {"error": {"type": "authentication_error", "message": f"{SECRET} {REFRESH_TOKEN} {CLIENT_SECRET}"}},
    "errors": {"errors": [{"type": "validation_error", "message": SECRET}]},
    "html": f"<html>{SECRET} {REFRESH_TOKEN}</html>",
    "empty": b"",
    "array": [SECRET],
}
BEFORE = pytest.mark.parametrize("expired", [True, False], ids=["before-a-request", "after-a-401"])


def read_with_refresh(drift: Drift, connector: Connector, expired: bool, answer: Any, *streams: str) -> Outcome:
    """Read with an expired token, or with one that Drift refuses before it expires."""
    for stream in streams:
        drift.answers(STREAMS[stream].path, guarded(stream, "never-issued"))
    drift.answers(TOKEN_PATH, answer)
    return connector.read(*streams, config=oauth() if expired else oauth(token_expiry_date=in_an_hour()))


@pytest.mark.parametrize(
    ("expired", "status", "shape"),
    [*[(False, 400, shape) for shape in REFUSED], (True, 400, "invalid_grant"), (True, 401, "drift")],
)
def test_refused_refresh_says_re_authenticate(
    drift: Drift, connector: Connector, expired: bool, status: int, shape: str
) -> None:
    """Every form of a refused refresh token gives the same error, after one request."""
    outcome = read_with_refresh(drift, connector, expired, Answer(REFUSED[shape], status), "users", "token_info")
    for stream in ("users", "token_info"):
        assert_failed(outcome, stream, "e-authenticate")
    assert outcome.holds(REFRESH_TOKEN) + outcome.holds(CLIENT_SECRET) == []


@pytest.mark.parametrize(
    ("expired", "answer"),
    [
        *[(False, answer) for answer in ({}, {"access_token": None}, {"access_token": ""})],
        *[(True, answer) for answer in ({"refresh_token": "r"}, [])],
    ],
    ids=str,
)
def test_refresh_without_a_token_says_re_authenticate(
    drift: Drift, connector: Connector, expired: bool, answer: Any
) -> None:
    """A token response without an access token is an error: `Bearer None` is never sent."""
    outcome = read_with_refresh(drift, connector, expired, answer, "users")
    assert_failed(outcome, "users", "e-authenticate")
    assert set(tokens(drift, "users")) <= {"stale-token"}


def test_settings_without_a_token_are_not_printed(drift: Drift, connector: Connector) -> None:
    """If a refresh gives no token, the error contains none of the settings that the CDK would print."""
    drift.answers(TOKEN_PATH, {"orgId": 1}, refreshed())
    given = (connector.read("users", config=oauth()).configs or [oauth()])[-1]
    outcome = connector.read("users", config=given)
    assert_failed(outcome, "users", "The access token is missing or malformed")
    assert outcome.holds(REFRESH_TOKEN) + outcome.holds(CLIENT_SECRET) == []


@BEFORE
@pytest.mark.parametrize("trouble", [Answer(SECRET, 503), Answer(SECRET, 429), requests.ConnectionError])
def test_failing_token_endpoint_is_a_transient_error(
    drift: Drift, connector: Connector, clock: Clock, expired: bool, trouble: Any
) -> None:
    """If the token endpoint fails for minutes, the error is transient; a short failure has no effect."""
    outcome = read_with_refresh(drift, connector, expired, trouble, "users")
    assert_failed(outcome, "users", "The OAuth token", "transient_error")
    assert outcome.configs == []
    drift.answers(TOKEN_PATH, trouble, refreshed())
    drift.answers("/users/list", guarded("users", "fresh-token-1"))
    assert_complete(
        connector.read("users", config=oauth(**{} if expired else {"token_expiry_date": in_an_hour()})), "users"
    )


@pytest.mark.parametrize("answer", [HTML, EMPTY])
def test_token_response_that_is_not_json(drift: Drift, connector: Connector, answer: Answer) -> None:
    """If the token endpoint returns 200 without JSON, the stream fails with a clear error."""
    assert_failed(
        read_with_refresh(drift, connector, True, answer, "users"), "users", "The OAuth token", "transient_error"
    )


@pytest.mark.parametrize("refresh", [refreshed(), Answer(b"", 503)], ids=["refreshed", "not refreshed"])
def test_error_after_a_refresh_has_no_url(drift: Drift, connector: Connector, refresh: Any) -> None:
    """A 401 after a refresh, successful or not, gives our error, because the CDK's contains the URL and its query."""
    drift.answers(TOKEN_PATH, refresh)
    drift.answers("/contacts", Answer({"error": {"message": "no"}}, 401))
    outcome = connector.read(
        "contacts_by_email", config=oauth(token_expiry_date=in_an_hour()) | {"contact_emails": [SECRET]}
    )
    kind = "transient_error" if isinstance(refresh, Answer) else "config_error"
    assert outcome.error("contacts_by_email").failure_type.value == kind, outcome.summary
    assert outcome.holds(SECRET) == []


# Secrecy


@pytest.mark.parametrize(
    ("token", "status"),
    [*[(TOKEN, status) for status in (400, 401, 403, 500)], ("made'up'token-1234", 200), ("made+up/token==", 404)],
)
def test_access_token_is_nowhere_in_the_output(drift: Drift, connector: Connector, token: str, status: int) -> None:
    """No record, log line or error contains the token, even if Drift returns it, and even with --debug."""
    for stream in ("users", "token_info"):
        body = {**STREAMS[stream].body(), "access_token": token}
        error = {"error": {"type": "some_error", "message": f"bad token {token}"}}
        drift.answers(STREAMS[stream].path, body if status == 200 else Answer({**body, **error}, status))
    outcome = connector.read("users", "token_info", debug=True, config=access_token(token))
    assert outcome.holds(token) == [], outcome.holds(token)[0]
    assert all("access_token" not in record for record in outcome.records("token_info"))


def test_oauth_credentials_are_nowhere_in_the_output(drift: Drift, connector: Connector) -> None:
    """The output contains old and new credentials only in the config for the platform."""
    outcome = read_with_refresh(drift, connector, False, refreshed(), "token_info", "users")
    for secret in (REFRESH_TOKEN, CLIENT_SECRET, "stale-token", "fresh-token-1", "rotated-1"):
        assert outcome.holds(secret) == [], outcome.holds(secret)[0]


# check, and tokens that Drift does not describe


FORBIDDEN = Answer({"error": {"type": "forbidden"}}, 403)


@pytest.mark.parametrize(
    ("answer", "users"),
    [
        *[(Answer({"error": {"type": "x", "message": SECRET}}, status), None) for status in (400, 404, 500)],
        (Answer({"error": {"type": "x", "message": SECRET}}, 403), FORBIDDEN),
        (Answer({}), FORBIDDEN),
    ],
    ids=["400", "404", "500", "403-forbidden", "{}-forbidden"],
)
def test_token_that_is_not_described_is_valid(drift: Drift, connector: Connector, answer: Answer, users: Any) -> None:
    """If Drift returns the users but does not describe the token, the stream logs a warning and has no row."""
    drift.answers("/app/token_info", answer)
    if users:
        drift.answers("/users/list", users)
    outcome = connector.check()
    assert (outcome.check, drift.foreign) == (("SUCCEEDED", None), [])
    assert [line for line in outcome.logs("WARN") if "Drift accepts the token but does not describe it" in line]
    outcome = connector.read("token_info")
    assert (outcome.status("token_info"), outcome.records("token_info")) == ("COMPLETE", []), outcome.summary
    assert SECRET not in outcome.text


def test_check_refreshes_and_emits_the_token(drift: Drift, connector: Connector) -> None:
    """A check with OAuth refreshes once and emits the new token; with a revoked one it asks to re-authenticate."""
    drift.answers(TOKEN_PATH, refreshed(), Answer(REFUSED["drift"], 400))
    outcome = connector.check(oauth())
    assert outcome.check == ("SUCCEEDED", None)
    assert [handed["credentials"]["refresh_token"] for handed in outcome.configs] == ["rotated-1"]
    status, message = connector.check(oauth()).check
    assert (status, "e-authenticate" in str(message)) == ("FAILED", True), message


def test_lists_send_the_token_only_in_the_header(drift: Drift, connector: Connector) -> None:
    """Requests for lists have the token in one header, and not in the URL or a body."""
    connector.read("accounts", "conversations", "users")
    for request in drift.requests:
        assert (request.headers["Authorization"], request.body) == (f"Bearer {TOKEN}", None)
        assert TOKEN not in str(request.url)
