"""OAuth: one refresh per sync, the new token is emitted, and each failure has a clear error."""

from datetime import UTC, datetime, timedelta

import pytest

from integration_tests.connector import CHILDREN, EVERY_STREAM, catalog, oauth, run
from integration_tests.test_read import assert_complete
from sandbox import Drift, Fault, Options, Sandbox

TOKEN_URL = "/oauth2/token"


@pytest.fixture
def drift() -> Drift:
    return Drift(accounts=100, conversations=80, users=5)


def tomorrow() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()


def test_a_sync_refreshes_once(drift: Drift) -> None:
    """Without a valid access token, every stream uses the token of a single refresh."""
    with Sandbox(drift, Options(reports_per_minute=None)) as sandbox:
        read = run("read", oauth(sandbox.url), catalog(*EVERY_STREAM))
        assert sandbox.journal.count(TOKEN_URL) == 1
        (refresh,) = sandbox.journal.requests(TOKEN_URL)
    assert_complete(read, drift)
    assert refresh.headers["content-type"] == "application/x-www-form-urlencoded"
    assert set(refresh.parsed) == {"grant_type", "client_id", "client_secret", "refresh_token"}, refresh.parsed
    assert refresh.parsed["grant_type"] == ["refresh_token"]


def test_a_token_that_expires_during_a_sync_is_refreshed_once(drift: Drift) -> None:
    """Streams whose access token expires share one refresh, and lose no row."""
    streams = ("conversations", *CHILDREN)
    with Sandbox(drift, Options(access_token_uses=150)) as sandbox:
        (config,) = run("read", oauth(sandbox.url), catalog("users")).configs
        config["credentials"]["token_expiry_date"] = tomorrow()
        read = run("read", config, catalog(*streams))
        assert sandbox.journal.count(TOKEN_URL) == 2
        assert sandbox.journal.statuses()[401] > 0, "the token never expired"
    assert_complete(read, drift, streams)


@pytest.mark.parametrize(
    ("refusal", "expiry"),
    [
        ({"kind": "status", "status": 401, "body": "html"}, tomorrow()),
        (
            {"kind": "body", "change": lambda answer: {key: answer[key] for key in answer.keys() - {"access_token"}}},
            "2020-01-01T00:00:00Z",
        ),
    ],
    ids=["401 in its middle", "no access token"],
)
def test_a_refused_refresh_says_reauthenticate(refusal: dict[str, object], expiry: str, drift: Drift) -> None:
    """Before and during a sync, a failed refresh tells the user what to do."""
    with Sandbox(drift, faults=[Fault(TOKEN_URL, times=None, **refusal)]) as sandbox:  # type: ignore[arg-type]
        config = oauth(sandbox.url, access_token="revoked-token", token_expiry_date=expiry)
        read = run("read", config, catalog("users"))
        checked = run("check", config)
        assert not [one for one in sandbox.journal if one.headers.get("authorization") == "Bearer None"]
    assert read.code == 1
    assert "e-authenticate" in read.error("users"), read.error("users")
    assert checked.connection[0] == "FAILED"
    assert "e-authenticate" in checked.connection[1], checked.connection
