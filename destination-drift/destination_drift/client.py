"""Requests to Drift: one host, one rate limit, retries, and no error that quotes an address.

Errors of requests and urllib3 contain the URL, and with it the email address that was looked up. Here, every one of
them is replaced (`from None`).
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from threading import Event, Lock
from typing import Any, NamedTuple

import requests
from airbyte_cdk.sources.streams.call_rate import APIBudget, LimiterSession, MovingWindowCallRatePolicy, Rate
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, InvalidHeader, NewConnectionError
from urllib3.util import Retry

from destination_drift.errors import ConfigError, OutcomeUnknown, TransientError, WouldWrite

ATTEMPTS = 8
# Seconds.
FIRST_WAIT, LONGEST_WAIT, LONGEST_RETRY_AFTER = 1.0, 60.0, 600.0
LONGEST_THROTTLING = 3600.0
TIMEOUTS = (10, 60)

_MOST_BYTES = 64_000_000
_TOKEN = re.compile(r"[!-~]+")


class Answer(NamedTuple):
    """A response of Drift.

    Attributes:
        status: 2xx, or a 4xx other than 401, 403, 408 and 429.
        body: the parsed JSON; None if there is none.
    """

    status: int
    body: Any


class Client:
    """Sends requests to one Drift. Several threads use it.

    A request that Drift throttles (429) is repeated for up to an hour; all threads wait, at least for `Retry-After`.
    One without a complete response, and one with 408 or 5xx, is sent up to 8 times. A 401 renews an OAuth token once.

    Args:
        credentials: the object of that name in the config.
        save: is called with the renewed credentials before they are used, because Drift revokes the old ones.
        rate: the most requests in a second, retries included.
        halt: ends all waits when it is set.
        dry_run: `send` raises `WouldWrite` instead of sending.

    Raises:
        ConfigError: Drift refuses the token, or it lacks a scope.
        TransientError: Drift does not answer, or `halt` is set.
    """

    def __init__(
        self,
        api_url: str,
        credentials: Mapping[str, Any],
        save: Callable[[Mapping[str, Any]], None],
        *,
        rate: int,
        halt: Event,
        dry_run: bool = False,
    ) -> None:
        self._api_url, self._halt, self._dry_run = api_url.rstrip("/"), halt, dry_run
        policy = MovingWindowCallRatePolicy(rates=[Rate(rate, timedelta(seconds=1))], matchers=[])
        # Not its HttpAPIBudget, which fails on a header of Drift that is no number.
        self._session = _Session(api_budget=APIBudget(policies=[policy]))
        self._session.headers["User-Agent"] = "destination-drift"
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=rate))
        self._resume_at = 0.0
        self._tokens = _Tokens(credentials, save, self._exchange)

    def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Answer:
        """Request a path. A 2xx without JSON counts as no response."""
        return self._call("GET", path, repeat=True, params=list(query))

    def token_info(self) -> Answer:
        """Ask Drift to describe the token (devdocs: get-token-information)."""
        return self._call("POST", "/app/token_info", repeat=True)

    def send(self, method: str, path: str, body: Any = None, *, repeat: bool = True) -> Answer:
        """Send a request that writes.

        Args:
            repeat: whether the request may be applied twice.

        Raises:
            OutcomeUnknown: `repeat` is false, and the request may have been applied.
        """
        if self._dry_run:
            raise WouldWrite
        return self._call(method, path, repeat=repeat, json=body)

    def _call(self, method: str, path: str, *, repeat: bool, **content: Any) -> Answer:
        failures, throttled, first = 0, 0, time.monotonic()
        while True:
            self.wait(0.0)
            token = self._tokens.current()
            if path == "/app/token_info":
                content = {"json": {"access_token": token}}
            response = self._once(method, path, _Bearer(token), **content)
            status, body = response.status, response.body
            if status == 401 or (status == 403 and _type_of_error(body) == "authentication_error"):
                self._tokens.renew(token)
                continue
            if status is not None:
                self._tokens.accept(token)
            if status == 403:
                raise ConfigError(
                    f"The token is missing the {_scope(method, path)} scope. Add it to your app, then issue a new "
                    "token: scopes are fixed when a token is issued."
                )
            if status == 429:
                throttled += 1
                self._pause(_backoff(throttled, response.retry_after))
                if time.monotonic() - first > LONGEST_THROTTLING:
                    raise TransientError(
                        "Drift throttled a request for an hour. Run the sync again later, or lower "
                        "max_requests_per_second."
                    )
                continue
            if status is not None and 300 <= status < 400:
                raise TransientError(f"Drift redirected a request (HTTP {status}). Run the sync again later.")
            # A gateway that answers 404 during a deployment does not prove that there is no contact.
            is_answer = status is not None and status < 500 and status != 408 and (status != 404 or body is not None)
            if status is not None and is_answer and (method != "GET" or status >= 300 or body is not None):
                return Answer(status, body)
            if not repeat and response.arrived:
                raise OutcomeUnknown
            failures += 1
            if failures == ATTEMPTS:
                how = f"answered with HTTP {status}" if status else "gave no complete response"
                raise TransientError(f"Drift {how} {ATTEMPTS} times in a row. Run the sync again later.")
            self.wait(_backoff(failures, response.retry_after))

    def wait(self, seconds: float) -> None:
        """Wait for Drift, but not when the run ends."""
        if self._halt.wait(seconds):
            raise TransientError("The sync was stopped while it waited for Drift. Run it again.")

    def _once(self, method: str, path: str, auth: AuthBase, **content: Any) -> _Response:
        if (wait := self._resume_at - time.monotonic()) > 0:
            self.wait(wait)
        try:
            with self._session.request(
                method,
                self._api_url + path,
                auth=auth,
                stream=True,
                timeout=TIMEOUTS,
                **content,
            ) as response:
                return _Response(response.status_code, _parsed(_body(response)), _retry_after(response))
        except (requests.RequestException, HTTPError, OSError, _TooMuch) as error:
            return _Response(None, None, 0.0, arrived=not _never_sent(error))

    def _exchange(self, form: Mapping[str, str]) -> Any:
        """Return Drift's JSON for a token request; None if Drift refuses it."""
        for attempt in range(1, ATTEMPTS + 1):
            response = self._once("POST", "/oauth2/token", _Bearer(None), data=form)
            if response.status in (400, 401, 403):
                return None
            if response.status is not None and response.status < 300 and isinstance(response.body, dict):
                return response.body
            if attempt < ATTEMPTS:
                self.wait(_backoff(attempt, response.retry_after))
        raise TransientError("Drift did not renew the access token. Run the sync again later.")

    def _pause(self, seconds: float) -> None:
        """Let no thread send a request for so long."""
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)


class _Response(NamedTuple):
    """What came of one request: `status` is None without a complete response, and `arrived` whether Drift may know."""

    status: int | None
    body: Any
    retry_after: float
    arrived: bool = True


class _TooMuch(Exception):
    """A body is too large or too slow."""


class _Session(LimiterSession):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow no redirect: the token goes to one host."""


class _Bearer(AuthBase):
    """Signs a request. As a header of the session, a .netrc file would replace it."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _Tokens:
    """The access token, which one thread at a time renews."""

    def __init__(
        self,
        credentials: Mapping[str, Any],
        save: Callable[[Mapping[str, Any]], None],
        exchange: Callable[[Mapping[str, str]], Any],
    ) -> None:
        self._credentials, self._save, self._exchange = dict(credentials), save, exchange
        self._lock = Lock()
        self._token = str(credentials.get("access_token") or "").strip()
        # Whether Drift has not yet accepted the token that it issued last.
        self._unproven = False

    def current(self) -> str:
        with self._lock:
            if not self._token:
                self._renew()
            if not _TOKEN.fullmatch(self._token):
                raise ConfigError(
                    "The access token contains a character that no token has. Copy it again from dev.drift.com."
                )
            return self._token

    def accept(self, token: str) -> None:
        with self._lock:
            if token == self._token:
                self._unproven = False

    def renew(self, refused: str) -> None:
        """Replace a token that Drift refused, unless another thread has done so."""
        with self._lock:
            if refused == self._token:
                self._renew()

    def _renew(self) -> None:
        if not self._credentials.get("refresh_token"):
            raise ConfigError("Drift refused the access token. Issue a new one at dev.drift.com.")
        if self._unproven:
            raise ConfigError("Drift refused an access token that it just issued. Authorize the app again.")
        sent = {name: str(self._credentials.get(name, "")) for name in ("client_id", "client_secret", "refresh_token")}
        renewed = self._exchange({**sent, "grant_type": "refresh_token"})
        # Drift used the names in camel case until 2018.
        token = renewed and (renewed.get("access_token") or renewed.get("accessToken"))
        if not isinstance(token, str):
            raise ConfigError("Drift refused to renew the access token. Authorize the app again.")
        rotated = renewed.get("refresh_token") or renewed.get("refreshToken") or sent["refresh_token"]
        self._credentials.update(access_token=token, refresh_token=rotated)
        self._save(dict(self._credentials))
        self._token, self._unproven = token, True


def _scope(method: str, path: str) -> str:
    if path == "/contacts/attributes":
        return "all_contact_read"
    kind = {"gdpr": "gdpr", "users": "user"}.get(path.split("/")[1], "contact")
    return f"{kind}_read" if method == "GET" else f"{kind}_write"


def _backoff(failures: int, retry_after: float) -> float:
    """Return the seconds to wait after so many failures in a row: the longer of Drift's wish and our own."""
    own = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 10))
    return max(own * random.uniform(0.5, 1), retry_after)  # noqa: S311


def _retry_after(response: requests.Response) -> float:
    """Return the seconds that a response asks to wait, at most 600; 0.0 if it does not say."""
    try:
        return min(Retry().parse_retry_after(response.headers.get("Retry-After", "")), LONGEST_RETRY_AFTER)
    except InvalidHeader:
        return 0.0


def _never_sent(error: Exception) -> bool:
    """Whether the connection was never made, so that Drift cannot have applied the request."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)


def _body(response: requests.Response) -> bytes:
    until, body = time.monotonic() + TIMEOUTS[1], bytearray()
    # As the bytes arrive: `iter_content` waits for a whole piece.
    while piece := response.raw.read1(65_536, decode_content=True):
        body += piece
        if len(body) > _MOST_BYTES or time.monotonic() > until:
            raise _TooMuch
    return bytes(body)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError):
        return None


def _type_of_error(body: Any) -> Any:
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("type") if isinstance(error, dict) else None
