"""`check` works with any single scope, and says what to do if it fails."""

import socket

import pytest

from integration_tests.connector import ENDPOINTS, access_token, run
from sandbox import ALL_SCOPES, Drift, Fault, Options, Sandbox

TOKEN_INFO, USERS = ENDPOINTS["token_info"], ENDPOINTS["users"]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(Drift(accounts=1, conversations=1, users=1))


@pytest.mark.parametrize("scope", ALL_SCOPES[:2])
def test_any_single_scope_is_enough(scope: str) -> None:
    """A token with any single scope passes, and only the token is requested."""
    with Sandbox(Drift(), Options(tokens={"sandbox-token": (scope,)})) as sandbox:
        assert run("check", access_token(sandbox.url)).connection == ("SUCCEEDED", "")


@pytest.mark.parametrize(
    ("status", "refused_users"), [(404, False), (403, True)], ids=["users are listed", "users answer 403"]
)
def test_a_token_that_is_not_described_passes_with_a_warning(
    status: int, refused_users: bool, sandbox: Sandbox
) -> None:
    """If /app/token_info fails for a valid token, the users show that it is valid, even if they need another scope."""
    plan = [Fault(TOKEN_INFO, "status", status=status, times=None)]
    plan += [Fault(USERS, "status", status=403, times=None)] if refused_users else []
    with sandbox:
        sandbox.faults = plan
        checked = run("check", access_token(sandbox.url))
    assert checked.connection == ("SUCCEEDED", "")
    assert checked.warnings == [
        "token_info: Drift accepts the token but does not describe it, so its scopes are unknown."
    ]


def test_a_wrong_token_fails_with_a_fix(sandbox: Sandbox) -> None:
    """If both endpoints return 401, the check fails after a few requests and asks for a new token."""
    with sandbox:
        status, message = run("check", access_token(sandbox.url, "unknown-token")).connection
        asked = {path: sandbox.journal.count(path) for path in (TOKEN_INFO, USERS)}
    assert status == "FAILED"
    assert "Issue a new access token for your app at dev.drift.com" in message
    assert all(1 <= count <= 3 for count in asked.values()), asked


def test_a_dead_network_mentions_the_wind_down() -> None:
    """If Drift can't be reached, the error says that Drift may be gone."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        status, message = run("check", access_token(f"http://127.0.0.1:{unused.getsockname()[1]}")).connection
    assert status == "FAILED"
    assert "could not be reached (ConnectionError)" in message
    assert "Drift is being wound down" in message


def test_a_service_that_is_gone_mentions_the_wind_down(sandbox: Sandbox) -> None:
    """If every request returns 410, the error says that Drift may be gone."""
    with sandbox:
        sandbox.faults = [Fault("*", "gone", times=None)]
        status, message = run("check", access_token(sandbox.url)).connection
    assert status == "FAILED"
    assert "Drift is being wound down" in message


@pytest.mark.parametrize("token", ["1e5", "{{7*7}}"])
def test_a_token_is_sent_unchanged(token: str) -> None:
    """A token that looks like a number, a list or a template is sent unchanged."""
    with Sandbox(Drift(), Options(tokens={token: ("user_read",)})) as sandbox:
        assert run("check", access_token(sandbox.url, token)).connection == ("SUCCEEDED", "")
        (asked,) = sandbox.journal
    assert asked.headers["authorization"] == f"Bearer {token}"
    assert asked.parsed == {"access_token": token}
