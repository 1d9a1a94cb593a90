"""The client retries what may be repeated, renews a token once, and its errors quote nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from destination_tests import oauth

from destination_drift import client as module
from destination_drift.client import Client
from destination_drift.errors import ConfigError, OutcomeUnknown, TransientError, WouldWrite
from sandbox import Fault, Sandbox

SECRET = "canary@example.com"
QUERY = [("email", SECRET), ("limit", "50")]
BODY = {"attributes": {"email": SECRET}}


@pytest.fixture
def saved() -> list[Any]:
    return []


@pytest.fixture
def connect(sandbox: Sandbox, saved: list[Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Client]:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.001)

    def connected(token: str = "sandbox-token", url: str = "", halt: Event | None = None, **more: Any) -> Client:
        credentials = more.pop("credentials", {"access_token": token})
        return Client(url or sandbox.url, credentials, saved.append, rate=50, halt=halt or Event(), **more)

    return connected


def test_a_request_is_answered(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    """Answers have the status and the JSON; a 4xx is an answer too. The query and the body arrive."""
    client = connect()
    assert client.get("/contacts/999999").status == 404
    created = client.send("POST", "/contacts", BODY, repeat=False)
    assert created.status == 200
    assert client.get("/contacts", QUERY).body["data"] == [created.body["data"]]
    lookup = sandbox.journal.requests("/contacts", method="GET")[-1]
    assert (lookup.query, lookup.token) == ({"email": [SECRET], "limit": ["50"]}, "sandbox-token")
    assert client.send("POST", "/contacts", {"attributes": {}}).status == 400


@pytest.mark.parametrize(
    "fault",
    [
        ("status", {"status": 500}),
        ("status", {"status": 408}),
        ("status", {"status": 429}),
        ("status", {"status": 404, "body": "html"}),
        ("reset", {}),
        ("truncated", {}),
        ("html", {}),
        ("empty", {}),
    ],
    ids=lambda fault: f"{fault[0]} {fault[1].get('status', '')}",
)
def test_a_look_up_is_repeated(sandbox: Sandbox, connect: Callable[..., Client], fault: tuple[str, Any]) -> None:
    """A look-up whose answer is missing or useless is sent again."""
    sandbox.faults = [Fault("/contacts", fault[0], times=3, **fault[1])]
    assert connect().get("/contacts", QUERY).body == {"data": []}
    assert sandbox.journal.count("/contacts") == 4


def test_a_dead_drift_is_an_error_without_the_address(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    """After eight attempts, the error says how Drift answered, and nothing of the request."""
    sandbox.faults = [Fault("/contacts", "status", status=502, times=None)]
    with pytest.raises(TransientError, match=r"^Drift answered with HTTP 502 8 times in a row"):
        connect().get("/contacts", QUERY)
    assert sandbox.journal.count("/contacts") == 8
    with pytest.raises(TransientError, match=r"^Drift gave no complete response 8 times in a row") as error:
        connect(url="http://127.0.0.1:9").get("/contacts", QUERY)
    assert error.value.__context__ is None


@pytest.mark.parametrize(
    "fault", [("reset", {}), ("status", {"status": 500}), ("truncated", {})], ids=lambda one: one[0]
)
def test_a_write_that_must_not_be_repeated_is_not(
    sandbox: Sandbox, connect: Callable[..., Client], fault: tuple[str, Any]
) -> None:
    """If Drift may have applied it, the caller decides; with `repeat`, it is sent again."""
    sandbox.faults = [Fault("/contacts", fault[0], method="POST", **fault[1])]
    client = connect()
    with pytest.raises(OutcomeUnknown):
        client.send("POST", "/contacts", BODY, repeat=False)
    assert sandbox.journal.count("/contacts", method="POST") == 1
    sandbox.faults = [Fault("/contacts", fault[0], method="POST", **fault[1])]
    client.send("POST", "/contacts", {"attributes": {"email": "b@example.com"}})
    assert sandbox.journal.count("/contacts", method="POST") == 3


def test_a_write_that_never_left_is_repeated(connect: Callable[..., Client]) -> None:
    """A connection that is refused cannot have applied anything, so the outcome is known."""
    with pytest.raises(TransientError):
        connect(url="http://127.0.0.1:9").send("POST", "/contacts", BODY, repeat=False)


def test_a_throttled_write_is_repeated_after_the_wait(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    """429 says that nothing was applied; all threads wait as long as Drift asks."""
    sandbox.faults = [Fault("/contacts", "status", method="POST", status=429, retry_after=1)]
    client = connect()
    client.send("POST", "/contacts", BODY, repeat=False)
    first, second = sandbox.journal.requests("/contacts", method="POST")
    assert second.at - first.at >= 1


def test_throttling_ends_after_an_hour(
    sandbox: Sandbox, connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Drift that always throttles is an error at last, after more than eight attempts."""
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.001)
    # Each look at the clock takes 20 seconds.
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=count(step=20).__next__))
    sandbox.faults = [Fault("/contacts", "status", status=429, times=None)]
    with pytest.raises(TransientError, match="throttled a request for an hour"):
        connect().get("/contacts", QUERY)
    assert sandbox.journal.count("/contacts") > 8


def test_all_threads_keep_to_the_rate(connect: Callable[..., Client]) -> None:
    """The first request above the limit of a second is sent in the next one."""
    client, begun = connect(), time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: client.get("/contacts", QUERY), range(51)))
    assert time.monotonic() - begun >= 1


def test_a_missing_scope_is_named(connect: Callable[..., Client]) -> None:
    """403 is an error of the settings."""
    client = connect("made-up-reader")
    for request, scope in {
        ("GET", "/contacts/attributes"): "all_contact_read",
        ("PATCH", "/contacts/1"): "contact_write",
    }.items():
        with pytest.raises(ConfigError, match=f"^The token is missing the {scope} scope"):
            client.get(request[1]) if request[0] == "GET" else client.send(*request, BODY)


def test_a_refused_private_token_is_an_error(connect: Callable[..., Client]) -> None:
    """It cannot be renewed, and is not quoted; one that cannot be sent in a header is not sent."""
    with pytest.raises(ConfigError, match=r"^Drift refused the access token"):
        connect("made-up-token").get("/contacts", QUERY)
    with pytest.raises(ConfigError, match="a character that no token has") as error:
        connect("made-up\ntöken").get("/contacts", QUERY)
    assert "made-up" not in str(error.value)


@pytest.mark.parametrize("names", ["snake", "camel"])
def test_threads_renew_an_expired_token_once(
    sandbox: Sandbox, connect: Callable[..., Client], saved: list[Any], names: Any
) -> None:
    """Whoever gets 401 first renews it; the renewed credentials are saved before they are used."""
    sandbox.options = replace(sandbox.options, oauth_names=names)
    client = connect(credentials={**oauth("")["credentials"], "access_token": "made-up-expired"})
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: client.get("/contacts", QUERY).status, range(10)))
    assert answers == [200] * 10
    assert sandbox.authority.refreshes == 1
    (credentials,) = saved
    assert credentials["access_token"] == "sandbox-access-1"
    assert credentials["refresh_token"] == "sandbox-refresh-2"
    assert credentials["credentials"] == "oauth2.0"


def test_a_token_that_expires_later_is_renewed_again(
    sandbox: Sandbox, connect: Callable[..., Client], saved: list[Any]
) -> None:
    """A long run renews each token that Drift had accepted."""
    sandbox.options = replace(sandbox.options, access_token_uses=2)
    client = connect(credentials=oauth("")["credentials"])
    assert [client.get("/contacts", QUERY).status for _ in range(5)] == [200] * 5
    assert [one["refresh_token"] for one in saved] == ["sandbox-refresh-2", "sandbox-refresh-3", "sandbox-refresh-4"]


def test_a_new_token_that_is_refused_is_not_renewed(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    """401 right after a renewal is an error, not a loop."""
    sandbox.faults = [Fault("/contacts", "status", status=401, times=None)]
    with pytest.raises(ConfigError, match="refused an access token that it just issued"):
        connect(credentials=oauth("")["credentials"]).get("/contacts", QUERY)
    assert sandbox.authority.refreshes == 1


def test_a_refused_refresh_token_is_an_error(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    """It is asked once, and the user must authorize the app again; a dead token endpoint is asked eight times."""
    credentials = {**oauth("")["credentials"], "refresh_token": "made-up-old"}
    with pytest.raises(ConfigError, match=r"^Drift refused to renew the access token"):
        connect(credentials=credentials).get("/contacts", QUERY)
    assert sandbox.journal.count("/oauth2/token") == 1
    sandbox.faults = [Fault("/oauth2/token", "status", status=503, times=None)]
    with pytest.raises(TransientError, match=r"^Drift did not renew"):
        connect(credentials=credentials).get("/contacts", QUERY)
    assert sandbox.journal.count("/oauth2/token") == 9


def test_an_expired_token_may_come_with_403(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    """A 403 whose error is an authentication_error is an expired token, not a missing scope."""
    sandbox.faults = [Fault("/contacts", "status", status=403, type="authentication_error")]
    credentials = {**oauth("")["credentials"], "access_token": "sandbox-token"}
    assert connect(credentials=credentials).get("/contacts", QUERY).status == 200
    assert sandbox.authority.refreshes == 1


def test_a_redirect_is_not_followed(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    """The token goes to one host; a malformed address does no harm."""
    for location in ("https://evil.example/contacts?{query}", "https://[evil"):
        sandbox.faults = [Fault("/contacts", "redirect", location=location)]
        with pytest.raises(TransientError, match=r"^Drift redirected a request \(HTTP 302\)") as error:
            connect().get("/contacts", QUERY)
        assert "evil" not in str(error.value)


def test_a_dry_run_sends_no_write(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    """Look-ups and token_info are sent, writes are not."""
    client = connect(dry_run=True)
    assert client.token_info().status == client.get("/contacts", QUERY).status == 200
    with pytest.raises(WouldWrite):
        client.send("PATCH", "/contacts/1", BODY)
    assert [one.method for one in sandbox.journal] == ["POST", "GET"]


def test_a_halt_ends_a_wait(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    """Nothing waits for Drift after the run has ended, and no further request is sent."""
    halt = Event()
    halt.set()
    sandbox.faults = [Fault("/contacts", "status", status=429, retry_after=600)]
    begun = time.monotonic()
    with pytest.raises(TransientError, match="stopped"):
        connect(halt=halt).get("/contacts", QUERY)
    assert time.monotonic() - begun < 300
    assert sandbox.journal.count() == 0
