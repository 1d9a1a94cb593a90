"""Tokens: scopes, lifetimes, OAuth with rotation, and token_info."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from sandbox import ALL_SCOPES, WRITE_SCOPES, Drift, Options
from sandbox.auth import Authority
from sandbox.endpoints import ENDPOINTS
from sandbox.errors import ApiError
from unit_tests.sandbox.conftest import UNLIMITED, Client, Start

REFRESH = {
    "client_id": "sandbox-client",
    "client_secret": "sandbox-secret",
    "refresh_token": "sandbox-refresh-1",
    "grant_type": "refresh_token",
}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def call(client: Client, method: str, path: str, headers: dict[str, str]) -> requests.Response:
    filled = path.replace("{conversationId}", "1").replace("{contactId}", "1").replace("{accountId}", "1")
    return requests.request(method, client.sandbox.url + filled, headers=headers, json={}, timeout=10)


@pytest.mark.parametrize("header", [{}, bearer("other"), {"Authorization": "Basic sandbox-token"}, bearer("")])
def test_every_endpoint_but_the_token_one_needs_a_token(start: Start, header: dict[str, str]) -> None:
    """No token, an unknown token and another scheme return 401, before anything else is checked."""
    client = start()
    for endpoint in ENDPOINTS:
        answer = call(client, endpoint.method, endpoint.path, header)
        if endpoint.token:
            assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error"), endpoint
        else:
            assert answer.status_code == 400


@pytest.mark.parametrize("status", [401, 403])
def test_every_endpoint_needs_its_scope(start: Start, status: Any) -> None:
    """A token with all scopes but the right one is refused; a token with only the right one is accepted."""
    scopes = {*ALL_SCOPES, *WRITE_SCOPES}
    tokens = {f"without-{scope}": tuple(scopes - {scope}) for scope in scopes}
    tokens |= {f"only-{scope}": (scope,) for scope in scopes}
    client = start(None, Options(rate_limit=None, tokens=tokens, missing_scope_status=status))
    for endpoint in ENDPOINTS:
        if endpoint.scope:
            refused = call(client, endpoint.method, endpoint.path, bearer(f"without-{endpoint.scope}"))
            assert (refused.status_code, refused.json()["error"]["type"]) == (status, "permission_error"), endpoint
            assert endpoint.scope in refused.json()["error"]["message"]
            assert call(client, endpoint.method, endpoint.path, bearer(f"only-{endpoint.scope}")).status_code in (
                200,
                400,
                404,
            )


def test_bearer_may_be_lower_case(start: Start) -> None:
    """The scheme may be lowercase, as in Drift's own sample."""
    assert call(start(), "GET", "/users/list", {"Authorization": "bearer sandbox-token"}).status_code == 200


def test_a_private_token_expires_after_some_requests(start: Start) -> None:
    """After the given number of requests a private token is refused; another token still works."""
    tokens = {"first": ALL_SCOPES, "second": ALL_SCOPES}
    client = start(None, Options(rate_limit=None, tokens=tokens, token_uses=3))
    statuses = [call(client, "GET", "/users/list", bearer("first")).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 401, 401]
    assert call(client, "GET", "/users/list", bearer("second")).status_code == 200


def test_tokens_expire_by_the_clock() -> None:
    """Private tokens expire some time after the start, issued tokens some time after their issue."""
    now = [100.0]
    authority = Authority(clock=lambda: now[0])
    options = Options(token_seconds=10, access_token_seconds=20)
    now[0] = 105.0
    issued = authority.exchange(options, REFRESH)["access_token"]
    for at, private, access in ((109.9, True, True), (110.0, False, True), (124.9, False, True), (125.0, False, False)):
        now[0] = at
        alive = []
        for token in ("sandbox-token", issued):
            try:
                authority.check(options, f"Bearer {token}", "user_read")
                alive.append(True)
            except ApiError as error:
                alive.append(error.status != 401)
        assert alive == [private, access], at


def test_a_revoked_token_is_refused(start: Start) -> None:
    """A revoked token is refused from the next request on."""
    client = start()
    assert client.get("/users/list").status_code == 200
    client.sandbox.authority.revoke("sandbox-token")
    assert client.get("/users/list").status_code == 401


def test_refresh_tokens_rotate(start: Start) -> None:
    """Each refresh returns new tokens; the used refresh token no longer works, and the new one works once."""
    client = start()
    first = client.post("/oauth2/token", data=REFRESH).json()
    assert first == {
        "access_token": "sandbox-access-1",
        "refresh_token": "sandbox-refresh-2",
        "token_type": "bearer",
        "expires_in": 7200,
        "orgId": first["orgId"],
    }
    assert call(client, "GET", "/users/list", bearer(first["access_token"])).status_code == 200
    again = client.post("/oauth2/token", data=REFRESH)
    assert (again.status_code, again.json()["error"]["type"]) == (400, "invalid_grant")
    second = client.post("/oauth2/token", data=REFRESH | {"refresh_token": first["refresh_token"]})
    assert second.json()["access_token"] == "sandbox-access-2"
    assert client.sandbox.authority.refreshes == 2


def test_refresh_tokens_can_stay(start: Start) -> None:
    """Without rotation, the same refresh token works repeatedly."""
    client = start(None, Options(rotate_refresh_tokens=False))
    answers = [client.post("/oauth2/token", data=REFRESH).json() for _ in range(3)]
    assert {answer["refresh_token"] for answer in answers} == {"sandbox-refresh-1"}
    assert len({answer["access_token"] for answer in answers}) == 3


def test_a_code_is_exchanged_once(start: Start) -> None:
    """The authorization code gives a working refresh token, and works only once."""
    client = start()
    form = REFRESH | {"grant_type": "authorization_code", "code": "sandbox-code"}
    answer = client.post("/oauth2/token", data=form)
    assert answer.status_code == 200
    assert client.post("/oauth2/token", data=form).status_code == 400
    assert (
        client.post("/oauth2/token", data=REFRESH | {"refresh_token": answer.json()["refresh_token"]}).status_code
        == 200
    )


def test_issued_tokens_expire_and_have_scopes(start: Start) -> None:
    """`access_token_uses` and `oauth_scopes` apply only to issued tokens; a refresh gives a new token."""
    client = start(None, Options(access_token_uses=2, oauth_scopes=("user_read",)))
    answer = client.post("/oauth2/token", data=REFRESH).json()
    statuses = [call(client, "GET", "/users/list", bearer(answer["access_token"])).status_code for _ in range(3)]
    assert statuses == [200, 200, 401]
    answer = client.post("/oauth2/token", data=REFRESH | {"refresh_token": answer["refresh_token"]}).json()
    assert call(client, "GET", "/accounts", bearer(answer["access_token"])).status_code == 403
    assert client.get("/accounts").status_code == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"client_id": "other"}, 401),
        ({"client_secret": "other"}, 401),
        ({"refresh_token": "other"}, 400),
        ({"refresh_token": ""}, 400),
        ({"client_id": ""}, 400),
        ({"grant_type": "password"}, 400),
        ({"grant_type": ""}, 400),
    ],
)
def test_wrong_grants_are_refused(start: Start, change: dict[str, str], status: int) -> None:
    """A wrong client returns 401, a wrong grant 400, and neither gets a token."""
    client = start()
    assert client.post("/oauth2/token", data=REFRESH | change).status_code == status
    assert client.sandbox.authority.refreshes == 0


def test_the_token_call_is_a_form(start: Start) -> None:
    """A JSON body, Drift's format of 2018, is refused; an option selects the field names of the response."""
    client = start(None, Options(oauth_names="camel"))
    assert client.post("/oauth2/token", json=REFRESH).status_code == 400
    assert {"accessToken", "refreshToken"} < set(client.post("/oauth2/token", data=REFRESH).json())


def test_token_info_shows_scopes_and_lifetime(start: Start) -> None:
    """The response is the documented flat object; the lifetime is in milliseconds, 0 if it is unlimited."""
    client = start(None, Options(tokens={"sandbox-token": ("user_read", "account_read")}))
    info = client.post("/app/token_info", json={"access_token": "sandbox-token"}).json()
    assert (info["scope"], info["expires_in"], info["token_type"]) == ("user_read account_read", 0, "bearer")
    issued = client.post("/oauth2/token", data=REFRESH).json()["access_token"]
    info = client.post("/app/token_info", json={"access_token": issued}).json()
    assert 7_000_000 < info["expires_in"] <= 7_200_000
    assert info["access_token"] == issued


def test_token_info_needs_header_and_body(start: Start) -> None:
    """A bad header returns 401, a bad body 400, and an option refuses every body."""
    client = start()
    body = {"access_token": "sandbox-token"}
    assert call(client, "POST", "/app/token_info", bearer("other")).status_code == 401
    for wrong in ({}, {"accessToken": "sandbox-token"}, {"access_token": "other"}, {"access_token": 1}):
        assert client.post("/app/token_info", json=wrong).status_code == 400, wrong
    assert client.post("/app/token_info", data="no json").status_code == 400
    assert client.post("/app/token_info", json=body).status_code == 200
    client.sandbox.options = Options(token_info="400")
    assert client.post("/app/token_info", json=body).status_code == 400


def test_one_scope_is_enough_for_token_info(start: Start) -> None:
    """token_info works with any scope, so the connection check does too."""
    client = start(Drift(conversations=1), Options(tokens={"sandbox-token": ()}))
    assert client.post("/app/token_info", json={"access_token": "sandbox-token"}).json()["scope"] == ""


def test_the_journal_names_tokens(start: Start) -> None:
    """The journal shows a known token by its name, another one as unknown, and no token as None."""
    client = start(None, UNLIMITED)
    for header in (bearer("sandbox-token"), bearer("a-real-one"), {}):
        call(client, "GET", "/users/list", header)
    assert [request.token for request in client.sandbox.journal] == ["sandbox-token", "unknown", None]
