"""What takes too long or is too large ends in an error: a body that drips, one without end, a refresh that hangs."""

import gzip
import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

import components
from unit_tests.conftest import (
    API,
    LISTS,
    STREAMS,
    TOKEN,
    Answer,
    Connector,
    Drift,
    config,
    needs,
    response,
    wait_until,
)

# Nobody waits as long as this: it only ends a test that would hang.
PATIENCE = 30
TOKEN_PATH = "/oauth2/token"


# Bodies


class Server:
    """Answers one request after the other on loopback with the given pieces, until the client is gone."""

    def __init__(self) -> None:
        self.pieces: Callable[[], Iterable[bytes]] = tuple
        self.head = b"Content-Length: 1000"
        self.gone = threading.Event()
        self._ended = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/users/list"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def drip(self, text: bytes) -> Iterator[bytes]:
        """A byte after the other, each long before the time-out of a read."""
        for byte in text:
            if self._ended.wait(0.02):
                return
            yield bytes([byte])

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + self.head + b"\r\n\r\n")
                    for piece in self.pieces():
                        connection.sendall(piece)
                except OSError:
                    self.gone.set()

    def close(self) -> None:
        self._ended.set()
        # A thread in accept() is not woken by close() alone.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def ask(server: Server) -> requests.Response:
    """The answer of the server, as the connector asks for it."""
    return requests.get(server.url, timeout=(5, 5), hooks={"response": components.read_body})


def chunked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def without_end(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


@pytest.mark.parametrize("head", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
def test_body_that_drips_is_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    """A server that sends a byte within every time-out is left after `LONGEST_BODY`, like a connection that broke."""
    monkeypatch.setattr(components, "LONGEST_BODY", 0.3)
    server.head = head
    sent = b'{"data": [' + b" " * 100_000
    server.pieces = lambda: chunked(server.drip(sent)) if b"chunked" in head else server.drip(sent)
    begun = time.monotonic()
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        ask(server)
    assert 0.3 <= time.monotonic() - begun < PATIENCE
    assert server.gone.wait(PATIENCE), "the connection is still open"


def test_body_without_a_length_that_drips_is_no_json(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing says how long a body is, it ends as it stands, and is refused as JSON that was cut."""
    monkeypatch.setattr(components, "LONGEST_BODY", 0.3)
    server.head = b"X-Length: none"
    server.pieces = lambda: server.drip(b'{"data": [' + b" " * 100_000)
    answer = ask(server)
    assert answer.content.startswith(b'{"')
    with pytest.raises(components.UnexpectedAnswer, match="not JSON"):
        components.body_of(answer)


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> components.Bodies:
    """Looks after the bodies of a test alone, and often."""
    bodies = components.Bodies()
    monkeypatch.setattr(bodies, "EVERY", 0.01)
    monkeypatch.setattr(components, "BODIES", bodies)
    return bodies


def test_body_that_takes_its_time_is_read(server: Server, bodies: components.Bodies) -> None:
    """A slow body comes whole, and so does the next one; one thread looks after both, and ends with the process."""
    before = set(threading.enumerate())
    body = b'{"data": [{"id": 1}]}'
    server.head = b"Content-Length: %d" % len(body)
    server.pieces = lambda: server.drip(body)
    for _ in range(2):
        assert components.body_of(ask(server)) == {"data": [{"id": 1}]}
    assert [thread.daemon for thread in set(threading.enumerate()) - before] == [True]
    assert bodies._ends == {}


def test_body_that_breaks_is_forgotten(bodies: components.Bodies, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing cuts off what is read later with the connection of a body that was too large."""
    monkeypatch.setattr(components, "MOST_BYTES", 1)
    with pytest.raises(AirbyteTracedException):
        components.read_body(on_its_way(b"[]   "))
    assert bodies._ends == {}


def on_its_way(body: bytes) -> requests.Response:
    """An answer whose body is not yet read."""
    answer = response()
    answer._content = False
    answer.raw = io.BytesIO(body)
    return answer


class Released(io.BytesIO):
    """A body that waits to be cut off, and whose connection cannot be shut down."""

    error: type[Exception]
    refused = 0

    def read(self, size: int | None = -1) -> bytes:
        wait_until(lambda: self.refused == 3, PATIENCE)
        return super().read(size)

    def shutdown(self) -> None:
        self.refused = min(3, self.refused + 1)
        raise self.error


@pytest.mark.parametrize("error", [ValueError, RuntimeError, OSError])
def test_body_that_ended_before_it_is_cut_off(
    bodies: components.Bodies, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """What is cut off too late has no connection, in any of the ways of urllib3; the other bodies are still watched."""
    monkeypatch.setattr(components, "LONGEST_BODY", 0)
    answer = on_its_way(b"")
    answer.raw = Released(b"[]")
    answer.raw.error = error
    components.read_body(answer)
    assert answer.content == b"[]"


def zipped(size: int) -> bytes:
    return gzip.compress(b"[" + b" " * size)


@pytest.mark.parametrize(
    ("head", "pieces"),
    [
        (b"Transfer-Encoding: chunked", lambda: chunked(without_end(b" " * 65536))),
        (b"X-Length: none", lambda: without_end(b" " * 65536)),
        (b"Content-Length: 2000000000", lambda: without_end(b" " * 65536)),
        # Members of a gzip file may follow each other: 8 MB of blanks in 8 kB, again and again.
        (
            b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip",
            lambda: chunked(without_end(zipped(8_000_000))),
        ),
    ],
    ids=["chunked", "no-length", "length", "gzip"],
)
def test_body_without_end_is_an_error(
    server: Server, monkeypatch: pytest.MonkeyPatch, head: bytes, pieces: Callable[[], Iterable[bytes]]
) -> None:
    """A body of more than `MOST_BYTES` unpacked is left in the middle, and named by request and size."""
    monkeypatch.setattr(components, "MOST_BYTES", 1_000_000)
    server.head, server.pieces = head, pieces
    with pytest.raises(AirbyteTracedException) as error:
        ask(server)
    assert error.value.message == "Drift answered GET /users/list with more than 1 MB."
    assert error.value.failure_type is FailureType.system_error
    assert server.gone.wait(PATIENCE), "the connection is still open"


@pytest.mark.parametrize(("more", "is_read"), [(0, True), (1, False)])
@pytest.mark.parametrize("zip_it", [False, True], ids=["plain", "gzip"])
def test_bound_of_a_body_is_that_of_its_unpacked_bytes(
    server: Server, monkeypatch: pytest.MonkeyPatch, zip_it: bool, more: int, is_read: bool
) -> None:
    """Exactly as many bytes as allowed are read, packed or not, and not one more."""
    monkeypatch.setattr(components, "MOST_BYTES", 100_000)
    body = b"[" + b" " * (99_998 + more) + b"]"
    sent = gzip.compress(body) if zip_it else body
    server.head = b"Content-Length: %d" % len(sent) + (b"\r\nContent-Encoding: gzip" if zip_it else b"")
    server.pieces = lambda: [sent]
    if is_read:
        assert ask(server).content == body
        return
    with pytest.raises(AirbyteTracedException, match="more than"):
        ask(server)


def test_bounds_are_these() -> None:
    """A body has five minutes and a hundred megabytes: far more than any page of Drift's needs."""
    assert (components.LONGEST_BODY, components.MOST_BYTES) == (300, 100_000_000)


@pytest.mark.parametrize(("cached", "is_read"), [(True, False), (False, True), (None, True)])
def test_cached_body_passes(cached: bool | None, is_read: bool) -> None:
    """What the cache answers was bounded when it came, and is left as it is."""
    answer = on_its_way(b"[]")
    if cached is not None:
        answer.from_cache = cached
    components.read_body(answer, timeout=5)
    assert (answer._content, answer.raw.read()) == ((b"[]", b"") if is_read else (False, b"[]"))


@pytest.mark.parametrize("stream", [*LISTS, "conversation_metrics", "token_info"])
def test_large_answer_fails_its_stream(
    drift: Drift, connector: Connector, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    """An answer that is too large fails the stream at once and in words."""
    monkeypatch.setattr(components, "MOST_BYTES", 1_000_000)
    drift.answers(STREAMS[stream].path, Answer(b" " * 1_000_001))
    outcome = connector.read(stream)
    assert (outcome.status(stream), outcome.records(stream)) == ("INCOMPLETE", [])
    assert outcome.error(stream).message == f"Drift answered {STREAMS[stream].asked} with more than 1 MB."
    assert len(drift.requests) == 1


def hooks(request: requests.PreparedRequest) -> list[Any]:
    return list(request.hooks["response"])


def test_every_request_is_bounded_once(drift: Drift, connector: Connector) -> None:
    """Each request of each stream has the hook, once at each attempt, and a repeated one passes by the cache."""
    for stream in STREAMS.values():
        drift.answers(stream.path, Answer(b"", 503), stream.body())
    outcome = connector.read(*STREAMS)
    assert {outcome.status(stream) for stream in STREAMS} == {"COMPLETE"}, outcome.summary
    assert len(drift.requests) >= 2 * len(STREAMS)
    for request in drift.requests:
        assert hooks(request) == [components.read_body], request.url
    for stream in STREAMS.values():
        first, *repeated = drift.asked(stream.path)
        assert first.headers.get("Cache-Control") != "no-cache", stream.path
        assert repeated[0].headers["Cache-Control"] == "no-cache", stream.path


# Refreshes


class Hanging:
    """An authenticator whose token ran out, and whose refresh waits until it is released."""

    def __init__(self, expired: bool = True, header: str = "Bearer old") -> None:
        self.expired = expired
        self.header = header
        self.released = threading.Event()
        self.refreshes: list[threading.Thread] = []

    def token_has_expired(self) -> bool:
        return self.expired

    def get_auth_header(self) -> dict[str, str]:
        if self.expired:
            self.refresh_and_set_access_token()
        return {"Authorization": self.header}

    def refresh_and_set_access_token(self) -> None:
        self.refreshes.append(threading.current_thread())
        assert self.released.wait(PATIENCE)
        self.header, self.expired = "Bearer new", False


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    made = Hanging()
    yield made
    made.released.set()
    for thread in made.refreshes:
        if thread is not threading.current_thread():
            thread.join(PATIENCE)


def guard(authenticator: Any, seconds: float = 0.1) -> components.AuthenticatorGuard:
    return components.AuthenticatorGuard(authenticator=authenticator, parameters={}, longest_refresh=seconds)


def assert_hangs(call: Callable[[], Any]) -> None:
    with pytest.raises(AirbyteTracedException) as error:
        call()
    assert error.value.message == f"The OAuth token could not be refreshed (Timeout). {components.WIND_DOWN}"
    assert error.value.failure_type is FailureType.transient_error


@pytest.mark.parametrize(
    ("expired", "header", "method"),
    [
        (True, "Bearer old", "get_auth_header"),
        (False, "Bearer ", "get_auth_header"),
        (False, "Bearer old", "refresh_and_set_access_token"),
    ],
    ids=["expired", "no-token", "refused"],
)
def test_refresh_that_hangs_ends(hanging: Hanging, expired: bool, header: str, method: str) -> None:
    """A refresh that hangs ends after its time, in a thread that keeps no process alive, and from then on at once."""
    hanging.expired, hanging.header = expired, header
    made = guard(hanging)
    if method != "get_auth_header":
        made.get_auth_header()
    assert_hangs(getattr(made, method))
    [thread] = hanging.refreshes
    assert (thread.is_alive(), thread.daemon, thread is not threading.current_thread()) == (True, True, True)
    # So long as nobody would wait for it.
    made.longest_refresh = 10 * PATIENCE
    begun = time.monotonic()
    assert_hangs(getattr(made, method))
    assert time.monotonic() - begun < PATIENCE
    assert hanging.refreshes == [thread], "it was refreshed again"


def test_refresh_in_time_is_used(hanging: Hanging) -> None:
    """A refresh that takes its time but ends yields the new token, and what follows is no refresh."""
    hanging.released.set()
    made = guard(hanging, PATIENCE)
    assert made.get_auth_header() == {"Authorization": "Bearer new"}
    assert made.get_auth_header() == {"Authorization": "Bearer new"}
    assert len(hanging.refreshes) == 1


def test_token_that_is_good_needs_no_thread(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that has not run out is taken as it is, at every one of the many requests."""
    hanging.expired = False
    monkeypatch.setattr(threading, "Thread", None)
    assert guard(hanging).get_auth_header() == {"Authorization": "Bearer old"}
    assert hanging.refreshes == []


def test_error_of_a_refresh_comes_through(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a refresh raises in its thread is raised to whoever asked, and does not count as hanging."""

    def refuse() -> None:
        raise requests.HTTPError(response=response(b"", 400))

    monkeypatch.setattr(hanging, "refresh_and_set_access_token", refuse)
    made = guard(hanging, PATIENCE)
    for _ in range(2):
        with pytest.raises(AirbyteTracedException, match="refused to refresh") as error:
            made.get_auth_header()
        assert error.value.failure_type is FailureType.config_error
    assert not made._hangs


def test_refresh_has_longer_than_the_cdk_repeats_it() -> None:
    """The bound is no shorter than the five minutes for which the CDK repeats a refresh that fails."""
    assert components.AuthenticatorGuard(authenticator=Hanging(), parameters={}).longest_refresh == 330


def test_url_of_an_odd_answer_is_not_warned_of() -> None:
    """urllib3 would warn of a header that it cannot read with the URL, whose query may be an address."""
    assert not logging.getLogger("urllib3.connection").isEnabledFor(logging.WARNING)


def test_look_at_a_token_while_another_thread_refreshes_it_ends() -> None:
    """A second thread that is refused waits for a refresh that hangs no longer than the first one."""
    released = threading.Event()

    class Hangs:
        """An authenticator that is locked by a refresh, once that has begun."""

        def __init__(self) -> None:
            self.looks = 0

        def token_has_expired(self) -> bool:
            return False

        def get_auth_header(self) -> Mapping[str, Any]:
            self.looks += 1
            if self.looks > 1:
                released.wait(PATIENCE)
            return {"Authorization": f"Bearer {TOKEN}"}

    guard = components.AuthenticatorGuard(authenticator=Hangs(), parameters={}, longest_refresh=0.1)
    assert guard.get_auth_header() == {"Authorization": f"Bearer {TOKEN}"}
    try:
        with pytest.raises(AirbyteTracedException, match="OAuth token could not be refreshed"):
            guard.refresh_and_set_access_token()
    finally:
        released.set()


def test_sync_with_a_refresh_that_hangs_ends(
    drift: Drift, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token endpoint that never answers ends the sync in words for every stream, with nothing asked of Drift."""
    released = threading.Event()
    begin = components.AuthenticatorGuard.__post_init__

    def shorter(self: components.AuthenticatorGuard, parameters: Any) -> None:
        begin(self, parameters)
        self.longest_refresh = 0.2

    def hang(request: requests.PreparedRequest) -> Any:
        assert released.wait(PATIENCE)
        return Answer({"error": "invalid_grant"}, 400)

    monkeypatch.setattr(components.AuthenticatorGuard, "__post_init__", shorter)
    drift.answers(TOKEN_PATH, hang)
    credentials = {"credentials": "oauth2.0", "client_id": "a", "client_secret": "b", "refresh_token": TOKEN}
    try:
        outcome = connector.read(*LISTS, config=config(**needs(*LISTS)) | {"credentials": credentials})
    finally:
        # No refresh may go on behind the test, where nobody stands in for Drift.
        released.set()
        for thread in [thread for thread in threading.enumerate() if "(settle)" in thread.name]:
            thread.join(PATIENCE)
            assert not thread.is_alive(), thread
    for stream in LISTS:
        assert outcome.status(stream) == "INCOMPLETE"
        assert outcome.error(stream).message.startswith("The OAuth token could not be refreshed (Timeout).")
    assert {request.url for request in drift.requests} <= {API + TOKEN_PATH}
