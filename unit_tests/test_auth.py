"""Who the connector says it is: one refresh per sync, rotated tokens handed back, and no credential in the output."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from unit_tests.conftest import (
    EMPTY,
    HTML,
    LISTS,
    SECRET,
    STREAMS,
    TOKEN,
    Answer,
    Clock,
    Connector,
    Drift,
    Outcome,
    config,
    needs,
)

TOKEN_PATH = "/oauth2/token"
REFRESH_TOKEN = "made-up-refresh-token"
CLIENT_SECRET = "made-up-client-secret"


def oauth(**more: Any) -> dict[str, Any]:
    """A config of an OAuth app whose access token ran out, with what the streams need."""
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


def guarded(stream: str, *accepted: str) -> Callable[[requests.PreparedRequest], Any]:
    """Answers a stream for the accepted tokens, and with 401 for any other."""

    def answer(request: requests.PreparedRequest) -> Any:
        known = request.headers["Authorization"].removeprefix("Bearer ") in accepted
        return STREAMS[stream].body() if known else Answer({"error": {"message": SECRET}}, 401)

    return answer


def tokens(drift: Drift, stream: str) -> list[str]:
    return [request.headers["Authorization"] for request in drift.asked(STREAMS[stream].path)]


def assert_complete(outcome: Outcome, *streams: str) -> None:
    assert {stream: outcome.status(stream) for stream in streams} == dict.fromkeys(streams, "COMPLETE"), outcome.summary
    assert {stream: outcome.keys(stream) for stream in streams} == {stream: [STREAMS[stream].one] for stream in streams}


def assert_reauthenticate(outcome: Outcome, *streams: str) -> None:
    for stream in streams:
        error = outcome.error(stream)
        assert outcome.status(stream) == "INCOMPLETE"
        assert outcome.records(stream) == []
        assert "Re-authenticate this source" in error.message, error.message
        assert error.failure_type.value == "config_error", error
        assert SECRET not in error.message, error.message


# OAuth, before the first request


def test_one_refresh_serves_all_streams(drift: Drift, connector: Connector) -> None:
    """Streams that begin together share one refresh, and each sends the fresh token."""
    drift.answers(TOKEN_PATH, refreshed())
    assert_complete(connector.read(*STREAMS, config=oauth()), *STREAMS)
    [request] = drift.asked(TOKEN_PATH)
    assert (request.method, request.headers["Content-Type"]) == ("POST", "application/x-www-form-urlencoded")
    assert parse_qs(request.body) == {
        "grant_type": ["refresh_token"],
        "client_id": ["made-up-client-id"],
        "client_secret": [CLIENT_SECRET],
        "refresh_token": [REFRESH_TOKEN],
    }
    assert {token for stream in STREAMS for token in tokens(drift, stream)} == {"Bearer fresh-token-1"}


def test_rotated_refresh_token_is_handed_back(drift: Drift, connector: Connector) -> None:
    """The platform is given the whole config with the new tokens, once per refresh."""
    drift.answers(TOKEN_PATH, refreshed())
    [handed] = connector.read("users", config=oauth()).configs
    credentials = handed["credentials"]
    assert (credentials["refresh_token"], credentials["access_token"]) == ("rotated-1", "fresh-token-1")
    assert credentials["client_secret"] == CLIENT_SECRET
    assert datetime.fromisoformat(credentials["token_expiry_date"]) > datetime.now(UTC) + timedelta(minutes=50)


def test_config_handed_back_is_a_config(drift: Drift, connector: Connector) -> None:
    """A second sync with the config that the first one handed back refreshes nothing."""
    drift.answers(TOKEN_PATH, refreshed())
    [handed] = connector.read("users", config=oauth()).configs
    outcome = connector.read("users", config=handed)
    assert_complete(outcome, "users")
    assert (len(drift.asked(TOKEN_PATH)), outcome.configs) == (1, [])


def test_refresh_token_that_is_not_rotated_is_kept(drift: Drift, connector: Connector) -> None:
    """An answer without a new refresh token leaves the old one in the config."""
    drift.answers(TOKEN_PATH, {"access_token": "fresh-token-1"})
    [handed] = connector.read("users", config=oauth()).configs
    assert handed["credentials"]["refresh_token"] == REFRESH_TOKEN


def test_token_that_is_still_good_is_not_refreshed(drift: Drift, connector: Connector) -> None:
    """An access token before its expiry is used as it is."""
    given = oauth(access_token="good-token", token_expiry_date=in_an_hour())
    assert_complete(connector.read(*STREAMS, config=given), *STREAMS)
    assert drift.asked(TOKEN_PATH) == []
    assert tokens(drift, "users") == ["Bearer good-token"]


@pytest.mark.parametrize("expires_in", [0, 1, 7200, 7_200_000, -1, "7200", "soon", None, 10**15])
def test_expires_in_causes_no_repeated_refresh(drift: Drift, connector: Connector, expires_in: Any) -> None:
    """Whatever unit `expires_in` has, and whether it says 0 for ever, one refresh serves the sync."""
    drift.answers(TOKEN_PATH, refreshed(expires_in=expires_in))
    assert_complete(connector.read(*STREAMS, config=oauth()), *STREAMS)
    assert len(drift.asked(TOKEN_PATH)) == 1


# OAuth, after a 401


def test_401_refreshes_once_and_retries(drift: Drift, connector: Connector) -> None:
    """An access token that dies before its time is refreshed once for all streams, and nothing is lost."""
    for stream in STREAMS:
        drift.answers(STREAMS[stream].path, guarded(stream, "fresh-token-1"))
    drift.answers(TOKEN_PATH, refreshed())
    outcome = connector.read(*STREAMS, config=oauth(token_expiry_date=in_an_hour()))
    assert_complete(outcome, *STREAMS)
    assert len(drift.asked(TOKEN_PATH)) == 1
    assert [handed["credentials"]["refresh_token"] for handed in outcome.configs] == ["rotated-1"]


def test_token_that_dies_in_the_middle_of_a_walk(drift: Drift, connector: Connector) -> None:
    """A 401 on a later page is refreshed and that page asked for again: every row comes once."""
    page = {"data": [{"id": 1}, {"id": 2}], "links": {"next": "/conversations/list?page_token=b"}}
    drift.answers("/conversations/list", page, Answer(b"", 401), {"data": [{"id": 3}]}, {"data": []})
    drift.answers(TOKEN_PATH, refreshed())
    outcome = connector.read("conversations", config=oauth(token_expiry_date=in_an_hour()))
    assert (outcome.status("conversations"), outcome.keys("conversations")) == ("COMPLETE", [1, 2, 3]), outcome.summary
    assert tokens(drift, "conversations")[:3] == ["Bearer stale-token", "Bearer stale-token", "Bearer fresh-token-1"]
    assert len(drift.asked(TOKEN_PATH)) == 1


@pytest.mark.parametrize("stream", STREAMS)
def test_second_401_is_a_config_error(drift: Drift, connector: Connector, stream: str) -> None:
    """A fresh token that is refused as well ends the stream, without a second refresh."""
    drift.answers(STREAMS[stream].path, Answer({"error": SECRET}, 401))
    drift.answers(TOKEN_PATH, refreshed(1), refreshed(2))
    outcome = connector.read(stream, config=oauth(token_expiry_date=in_an_hour()))
    error = outcome.error(stream)
    assert (outcome.status(stream), error.failure_type.value) == ("INCOMPLETE", "config_error"), error
    assert (len(drift.asked(TOKEN_PATH)), len(drift.asked(STREAMS[stream].path))) == (1, 2)


def test_token_info_is_renewed_in_header_and_body(drift: Drift, connector: Connector) -> None:
    """After a refresh the question about the token is about the fresh one."""
    drift.answers("/app/token_info", guarded("token_info", "fresh-token-1"))
    drift.answers(TOKEN_PATH, refreshed())
    assert_complete(connector.read("token_info", config=oauth(token_expiry_date=in_an_hour())), "token_info")
    sent = [
        (request.headers["Authorization"], json.loads(request.body), request.headers["Content-Length"])
        for request in drift.asked("/app/token_info")
    ]
    assert sent == [
        ("Bearer stale-token", {"access_token": "stale-token"}, "31"),
        ("Bearer fresh-token-1", {"access_token": "fresh-token-1"}, "33"),
    ]


# A refresh that fails

REFUSED = {
    "invalid_grant": {"error": "invalid_grant", "error_description": SECRET},
    "drift": {"error": {"type": "authentication_error", "message": SECRET}},
    "errors": {"errors": [{"type": "validation_error", "message": SECRET}]},
    "html": f"<html>{SECRET}</html>",
    "empty": b"",
    "array": [SECRET],
}
BEFORE = pytest.mark.parametrize("expired", [True, False], ids=["before-a-request", "after-a-401"])


def read_with_refresh(drift: Drift, connector: Connector, expired: bool, answer: Any, *streams: str) -> Outcome:
    """Reads with a token that ran out, or with one that Drift refuses before it ran out."""
    for stream in streams:
        drift.answers(STREAMS[stream].path, guarded(stream, "never-issued"))
    drift.answers(TOKEN_PATH, answer)
    return connector.read(*streams, config=oauth() if expired else oauth(token_expiry_date=in_an_hour()))


@BEFORE
@pytest.mark.parametrize(
    ("status", "shape"),
    [*[(400, shape) for shape in REFUSED], *[(status, "drift") for status in (401, 403, 404)], (401, "html")],
)
def test_refused_refresh_says_re_authenticate(
    drift: Drift, connector: Connector, expired: bool, status: int, shape: str
) -> None:
    """A refresh token that Drift refuses is told as that, in every shape of the refusal, and asked with once."""
    outcome = read_with_refresh(drift, connector, expired, Answer(REFUSED[shape], status), "users")
    assert_reauthenticate(outcome, "users")
    assert len(drift.asked(TOKEN_PATH)) == 1


def test_refused_refresh_fails_every_stream_in_words(drift: Drift, connector: Connector) -> None:
    """Each stream of the sync says re-authenticate."""
    outcome = read_with_refresh(drift, connector, True, Answer(REFUSED["drift"], 400), *STREAMS)
    assert_reauthenticate(outcome, *STREAMS)


@BEFORE
@pytest.mark.parametrize(
    "answer",
    [{}, {"refresh_token": "rotated-1"}, {"access_token": None}, {"access_token": ""}, {"accessToken": "x"}, []],
    ids=str,
)
def test_refresh_without_a_token_says_re_authenticate(
    drift: Drift, connector: Connector, expired: bool, answer: Any
) -> None:
    """An answer of the token endpoint without an access token is no token: `Bearer None` is never sent."""
    outcome = read_with_refresh(drift, connector, expired, answer, "users")
    assert_reauthenticate(outcome, "users")
    assert set(tokens(drift, "users")) <= {"Bearer stale-token"}


def test_new_refresh_token_is_used_at_once(drift: Drift, connector: Connector) -> None:
    """Somebody who was told to re-authenticate and saves a new refresh token needs to wait for nothing."""
    drift.answers(TOKEN_PATH, {"orgId": 1}, refreshed())
    given = (connector.read("users", config=oauth()).configs or [oauth()])[-1]
    given["credentials"]["refresh_token"] = "pasted"
    assert_complete(connector.read("users", config=given), "users")


@BEFORE
@pytest.mark.parametrize("status", [500, 503, 429])
def test_token_endpoint_in_trouble_is_no_refusal(
    drift: Drift, connector: Connector, clock: Clock, expired: bool, status: int
) -> None:
    """A token endpoint that fails for minutes fails the stream as passing trouble, and never says re-authenticate."""
    outcome = read_with_refresh(drift, connector, expired, Answer(SECRET, status), "users")
    error = outcome.error("users")
    assert (outcome.status("users"), error.failure_type.value) == ("INCOMPLETE", "transient_error"), error
    assert "e-authenticate" not in error.message, error.message
    assert SECRET not in error.message, error.message
    assert len(drift.asked(TOKEN_PATH)) > 1
    assert outcome.configs == []


@BEFORE
def test_token_endpoint_that_cannot_be_reached_is_no_refusal(drift: Drift, connector: Connector, expired: bool) -> None:
    """A token endpoint behind a broken network fails the stream as passing trouble."""
    outcome = read_with_refresh(drift, connector, expired, requests.ConnectionError, "users")
    error = outcome.error("users")
    assert (outcome.status("users"), error.failure_type.value) == ("INCOMPLETE", "transient_error"), error
    assert "e-authenticate" not in error.message, error.message


@pytest.mark.parametrize("trouble", [Answer(b"", 503), Answer(b"", 429), requests.ConnectionError])
def test_token_endpoint_heals(drift: Drift, connector: Connector, trouble: Any) -> None:
    """A token endpoint that fails for a moment is asked again."""
    drift.answers(TOKEN_PATH, trouble, refreshed())
    assert_complete(connector.read(*STREAMS, config=oauth()), *STREAMS)


@pytest.mark.parametrize("answer", [HTML, EMPTY])
def test_token_answer_that_is_not_json(drift: Drift, connector: Connector, answer: Answer) -> None:
    """A token endpoint that answers 200 without JSON fails the stream in words."""
    outcome = read_with_refresh(drift, connector, True, answer, "users")
    error = outcome.error("users")
    assert outcome.status("users") == "INCOMPLETE"
    assert "OAuth token could not be refreshed" in error.message, error.message


@pytest.mark.parametrize("refresh", [refreshed(), Answer(b"", 503)], ids=["refreshed", "not refreshed"])
def test_request_that_is_refused_again_is_told_without_its_address(
    drift: Drift, connector: Connector, refresh: Any
) -> None:
    """A 401 after the refresh, or after one that failed, fails in our words: the CDK's hold the URL and its query."""
    drift.answers(TOKEN_PATH, refresh)
    drift.answers("/contacts", Answer({"error": {"message": "no"}}, 401))
    given = oauth(access_token="stale-token", token_expiry_date="2030-01-01T00:00:00Z") | {"contact_emails": [SECRET]}
    outcome = connector.read("contacts_by_email", config=given)
    error = outcome.error("contacts_by_email")
    kind = "transient_error" if isinstance(refresh, Answer) else "config_error"
    assert (outcome.status("contacts_by_email"), error.failure_type.value) == ("INCOMPLETE", kind), error
    assert error.message.startswith("Drift refused the token"), error
    assert outcome.holds(SECRET) == []


# Tokens as they are

ODD_TOKENS = ["1e5", "0", "007", "1_000", "None", "True", "[1]", "{}", "'quoted'", "a'b"]
ODD_TOKENS += ["{{config}}", "{%x%}", "a%20b", "a+b/c==", "123456789012345678901234567890", "1.", "0x10", "a#b"]


@pytest.mark.parametrize("token", ODD_TOKENS)
def test_access_token_is_sent_verbatim(drift: Drift, connector: Connector, token: str) -> None:
    """A token that looks like a number, a literal or a template is sent as it is, in header and body."""
    given = {"credentials": {"credentials": "access_token", "access_token": token}}
    outcome = connector.read("users", "token_info", config=given)
    if token == "None":
        # What the CDK makes of no token at all.
        assert_reauthenticate(outcome, "users", "token_info")
        return
    assert tokens(drift, "users") == [f"Bearer {token}"]
    assert [json.loads(request.body) for request in drift.asked("/app/token_info")] == [{"access_token": token}]


@pytest.mark.parametrize("token", ["1e5", "0", "None", "a'b", 'a"b', "a\\b", "{{config}}", "a+b/c=="])
def test_oauth_credentials_are_sent_verbatim(drift: Drift, connector: Connector, token: str) -> None:
    """Client id, client secret, refresh token and fresh access token are sent as they are."""
    drift.answers(TOKEN_PATH, refreshed(access_token="1e5", refresh_token="2e5"))
    given = oauth(client_id=token, client_secret=token, refresh_token=token)
    handed = connector.read("users", config=given).configs[-1]["credentials"]
    sent = parse_qs(drift.asked(TOKEN_PATH)[0].body)
    assert {sent[name][0] for name in ("client_id", "client_secret", "refresh_token")} == {token}
    assert tokens(drift, "users") == ["Bearer 1e5"]
    assert (handed["access_token"], handed["refresh_token"]) == ("1e5", "2e5")


@pytest.mark.parametrize(
    "token",
    [
        f"{TOKEN} {TOKEN}",
        f"{TOKEN}\n{TOKEN}",
        f"{TOKEN}\r\nX-Injected: 1",
        f"{TOKEN}é",
        f"{TOKEN}\u200b",
        "ÿ" + TOKEN,
        f'"{TOKEN}"',
        f"{TOKEN}\\",
    ],
)
def test_token_that_is_no_header_value(drift: Drift, connector: Connector, token: str) -> None:
    """A token with a blank, a quote, a line break or a letter beyond ASCII is refused in our words, unsent, unshown."""
    given = {"credentials": {"credentials": "access_token", "access_token": token}}
    outcome = connector.read("users", "token_info", config=given)
    for stream in ("users", "token_info"):
        error = outcome.error(stream)
        assert outcome.status(stream) == "INCOMPLETE"
        assert error.message.startswith("The access token holds a character that no token has"), error.message
        assert error.failure_type.value == "config_error"
    assert drift.requests == []
    assert outcome.holds(TOKEN) == []
    assert outcome.holds(token) == []


@pytest.mark.parametrize("token", ["", "  ", "\n"])
def test_no_access_token_is_told(drift: Drift, connector: Connector, token: str) -> None:
    """A config without a token is refused in words before anything is sent."""
    outcome = connector.read("users", config={"credentials": {"credentials": "access_token", "access_token": token}})
    assert_reauthenticate(outcome, "users")
    assert drift.requests == []


# token_info and secrecy


def test_token_info_row_has_everything_but_the_token(drift: Drift, connector: Connector) -> None:
    """The row of the token has its scopes, and the token in neither of its spellings."""
    row = {"authenticated_userid": "orgId:1", "scope": "user_read account_read", "expires_in": 0}
    drift.answers("/app/token_info", {**row, "access_token": TOKEN, "accessToken": TOKEN})
    outcome = connector.read("token_info")
    assert outcome.records("token_info") == [row]
    assert outcome.holds(TOKEN) == []


@pytest.mark.parametrize(
    ("stream", "status", "debug"),
    [
        *[("users", status, False) for status in (200, 401, 403, 418, 500)],
        *[("token_info", status, debug) for status in (200, 400, 401, 403, 404, 500) for debug in (False, True)],
    ],
)
def test_access_token_is_nowhere_in_the_output(
    drift: Drift, connector: Connector, stream: str, status: int, debug: bool
) -> None:
    """Neither records nor logs nor errors hold the token, even where Drift sends it back, and even in debug."""
    body = STREAMS[stream].envelope([STREAMS[stream].row()])
    if stream == "token_info":
        body = {**body, "access_token": TOKEN}
    if status != 200:
        body = {**body, "error": {"type": "authentication_error", "message": f"bad token {TOKEN}"}}
    drift.answers(STREAMS[stream].path, Answer(body, status))
    outcome = connector.read(stream, debug=debug)
    assert outcome.holds(TOKEN) == [], outcome.holds(TOKEN)[0]
    if stream == "token_info":
        assert all("access_token" not in record for record in outcome.records(stream))


@pytest.mark.parametrize(
    "token", ['made"up"token-1234', "made\\up\\token-1234", "made'up'token-1234", "made+up/token=="]
)
@pytest.mark.parametrize("status", [403, 500])
def test_odd_access_token_is_nowhere_in_the_output(drift: Drift, connector: Connector, token: str, status: int) -> None:
    """A token that is written with escapes in JSON is hidden, too."""
    drift.answers("/app/token_info", Answer({"error": {"message": "no"}}, status))
    outcome = connector.read(
        "token_info", config={"credentials": {"credentials": "access_token", "access_token": token}}
    )
    assert outcome.holds(token) == [], outcome.holds(token)[0]


@BEFORE
@pytest.mark.parametrize(
    "answer",
    [
        refreshed(),
        Answer({"error": "invalid_grant", "error_description": f"{REFRESH_TOKEN} {CLIENT_SECRET}"}, 400),
        Answer({"error": {"message": f"{REFRESH_TOKEN} {CLIENT_SECRET}"}}, 400),
        Answer(f"<html>{REFRESH_TOKEN} {CLIENT_SECRET}", 401),
        requests.ConnectionError(f"{REFRESH_TOKEN} {CLIENT_SECRET}"),
    ],
    ids=["refreshed", "invalid_grant", "drift", "html", "reset"],
)
def test_oauth_credentials_are_nowhere_in_the_output(
    drift: Drift, connector: Connector, expired: bool, answer: Any
) -> None:
    """No token or secret of the app, old or new, is in the output; the config for the platform alone has them."""
    outcome = read_with_refresh(drift, connector, expired, answer, "token_info")
    for secret in (REFRESH_TOKEN, CLIENT_SECRET, "stale-token", "fresh-token-1", "rotated-1"):
        assert outcome.holds(secret) == [], outcome.holds(secret)[0]


UNKNOWN_SCOPES = "Drift accepts the token, but does not describe it: its scopes are unknown."


def test_400_of_token_info_passes_the_check_with_a_warning(drift: Drift, connector: Connector) -> None:
    """A token that Drift accepts but does not describe is a good one."""
    drift.answers("/app/token_info", Answer({"errors": [{"type": "validation_error", "message": SECRET}]}, 400))
    outcome = connector.check()
    assert outcome.check == ("SUCCEEDED", None)
    assert outcome.logs("WARN") == [UNKNOWN_SCOPES]
    assert len(drift.requests) == 1
    assert outcome.holds(SECRET) == []


def test_400_of_token_info_is_no_record(drift: Drift, connector: Connector) -> None:
    """A token that is not described has no row, and the stream says why."""
    drift.answers("/app/token_info", Answer({"errors": [{"message": SECRET}]}, 400))
    outcome = connector.read("token_info")
    assert (outcome.records("token_info"), len(drift.requests)) == ([], 1)
    assert outcome.logs("WARN") == [UNKNOWN_SCOPES], outcome.summary


def test_check_refreshes_and_hands_back(drift: Drift, connector: Connector) -> None:
    """A check with OAuth refreshes once and hands the rotated token back, as a read does."""
    drift.answers(TOKEN_PATH, refreshed())
    outcome = connector.check(oauth())
    assert outcome.check == ("SUCCEEDED", None)
    assert [handed["credentials"]["refresh_token"] for handed in outcome.configs] == ["rotated-1"]


def test_check_with_a_refused_refresh(drift: Drift, connector: Connector) -> None:
    """A check with a dead refresh token says re-authenticate."""
    drift.answers(TOKEN_PATH, Answer(REFUSED["drift"], 400))
    status, message = connector.check(oauth()).check
    assert status == "FAILED"
    assert "Re-authenticate this source" in str(message)


@pytest.mark.parametrize("stream", LISTS)
def test_lists_send_the_token_in_the_header_alone(drift: Drift, connector: Connector, stream: str) -> None:
    """Lists carry the token in one header, and neither in the URL nor in a body."""
    connector.read(stream, config=config())
    [request] = drift.requests
    assert (request.headers["Authorization"], request.body) == (f"Bearer {TOKEN}", None)
    assert TOKEN not in str(request.url)
