"""Sends the probe's requests: read-only, to one host, few and slow."""

import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

Query = Sequence[tuple[str, Any]]

MOST_REQUESTS = 60
MOST_BYTES = 64_000_000
# Seconds.
PAUSE = 0.2
TIMEOUT = 60
SHORTEST_WAIT, LONGEST_WAIT = 2.0, 30.0
# So many requests in a row without a response end the probe.
MOST_UNANSWERED = 3

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

# The warnings of urllib3 about malformed headers contain the URL, and thereby the email address that was asked for.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Answer:
    """What came of one request.

    Attributes:
        request: method and path, without IDs and without the query.
        status: None if there was no response.
        content: the JSON of the body; None if it holds none (`flaws` then has "no JSON").
        flaws: how the body deviates from strict JSON in UTF-8, in fixed words.
        received: epoch seconds on this machine's clock.
        redirects: for each redirect, "same host" or "another host".
    """

    request: str
    status: int | None = None
    content: Any = None
    flaws: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=CaseInsensitiveDict)
    received: float = 0.0
    redirects: tuple[str, ...] = ()

    @property
    def status_class(self) -> int:
        """The first digit of the status, 0 without a response."""
        return (self.status or 0) // 100

    @property
    def good(self) -> bool:
        """Whether this is a successful response with JSON."""
        return self.status_class == 2 and "no JSON" not in self.flaws


class Client:
    """Sends up to `MOST_REQUESTS` requests with one token to one base URL, at most five per second.

    A throttled request, one that failed on the server and one without a response is sent once more. A redirect is
    followed once, and only within the same scheme, host and port.

    Attributes:
        answers: every response, in the order of arrival.
    """

    def __init__(self, base: str, token: str) -> None:
        self._base, self._token = base.rstrip("/"), token
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "source-drift-probe"
        self._left, self._next, self._unanswered = MOST_REQUESTS, 0.0, 0
        self.answers: list[Answer] = []

    @property
    def left(self) -> int:
        """How many requests may still be sent."""
        return self._left if self._unanswered < MOST_UNANSWERED else 0

    @property
    def sent(self) -> int:
        return MOST_REQUESTS - self._left

    def use(self, token: str) -> None:
        """Send all further requests with this token."""
        self._token = token

    def holds_token(self, value: Any) -> bool:
        """Whether a value is text that contains the token."""
        return isinstance(value, str) and self._token in value

    def get(self, path: str, query: Query = (), *, name: str = "", token: str | None = None) -> Answer:
        """Request a path; `name` replaces it in `Answer.request` if it contains an ID."""
        return self._twice("GET", path, name or path, token or self._token, params=list(query))

    def token_info(self) -> Answer:
        return self._twice("POST", "/app/token_info", "", self._token, json={"access_token": self._token})

    def report(self, body: Mapping[str, Any]) -> Answer:
        return self._twice("POST", "/reports/conversations", "", self._token, json=body)

    def renewed_tokens(self, form: Mapping[str, str]) -> Any:
        """Return the JSON of Drift's token endpoint, None if there is none. It is not among the `answers`."""
        answer = self._send("POST", f"{self._base}/oauth2/token", "POST /oauth2/token", None, data=form)
        self.answers = [one for one in self.answers if one is not answer]
        return answer.content

    def _twice(self, method: str, path: str, name: str, token: str | None, **sent: Any) -> Answer:
        label = f"{method} {name or path}"
        answer = self._send(method, self._base + path, label, token, **sent)
        if (answer.status in (None, 429) or answer.status_class == 5) and self.left:
            given = answer.headers.get("Retry-After", "")
            wait = float(given) if given.isascii() and given.isdigit() else SHORTEST_WAIT
            self._next = time.monotonic() + min(max(wait, SHORTEST_WAIT), LONGEST_WAIT)
            answer = self._send(method, self._base + path, label, token, **sent)
        return answer

    def _send(
        self, method: str, url: str, label: str, token: str | None, *, follow: bool = True, **sent: Any
    ) -> Answer:
        if not self.left:
            return Answer(label, flaws=("no JSON",))
        if (wait := self._next - time.monotonic()) > 0:
            time.sleep(wait)
        self._next = time.monotonic() + PAUSE
        self._left -= 1
        redirects: tuple[str, ...] = ()
        try:
            with self._session.request(
                method, url, auth=_Bearer(token), allow_redirects=False, stream=True, timeout=(10, TIMEOUT), **sent
            ) as response:
                target = response.headers.get("Location", "") if 300 <= response.status_code < 400 else ""
                if target:
                    redirects = (_host_of(url, urljoin(response.url, target)),)
                content, flaws = _parsed(_body(response))
                answer = Answer(label, response.status_code, content, flaws, response.headers, time.time(), redirects)
        except (requests.RequestException, ValueError, OSError):
            answer = Answer(label, flaws=("no JSON",), received=time.time())
        self._unanswered = 0 if answer.status else self._unanswered + 1
        self.answers.append(answer)
        if redirects == ("same host",) and method == "GET" and follow:
            # A target without a query keeps none: that is what a browser does.
            return self._send(method, urljoin(url, target), label, token, follow=False)
        return answer


class _Bearer(AuthBase):
    """Signs a request. requests would otherwise prefer the credentials of a .netrc file to the token."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _host_of(url: str, target: str) -> str:
    here, there = urlsplit(url), urlsplit(target)
    return "same host" if (here.scheme, here.netloc) == (there.scheme, there.netloc) else "another host"


def _body(response: requests.Response) -> bytes:
    """Return the body.

    Raises:
        ValueError: it is larger than `MOST_BYTES` or takes longer than `TIMEOUT`.
    """
    until, body = time.monotonic() + TIMEOUT, bytearray()
    for piece in response.iter_content(65_536):
        body += piece
        if len(body) > MOST_BYTES or time.monotonic() > until:
            raise ValueError("the response is too large or too slow")
    return bytes(body)


def _has_lone_surrogate(content: Any) -> bool:
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except RecursionError:
        pass
    return False


def _parsed(body: bytes) -> tuple[Any, tuple[str, ...]]:
    """Return the JSON of a body and how it deviates from strict JSON in UTF-8."""
    flaws = []
    if body.startswith(b"\xef\xbb\xbf"):
        flaws.append("byte order mark")
    text = body.decode("utf-8-sig", errors="replace")
    if "\ufffd" in text and "\ufffd".encode() not in body:
        flaws.append("bytes that are not UTF-8")
    constants: list[str] = []
    try:
        content, end = json.JSONDecoder(parse_constant=constants.append).raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return None, (*flaws, "no JSON")
    if text.lstrip()[end:].strip():
        if not isinstance(content, dict | list):
            return None, (*flaws, "no JSON")
        flaws.append("text after the JSON")
    if constants:
        flaws.append("NaN or Infinity without quotation marks")
    if _SURROGATE.search(body) and _has_lone_surrogate(content):
        flaws.append("a lone surrogate")
    return content, tuple(flaws)
