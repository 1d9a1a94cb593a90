"""The sandbox's HTTP server: Drift's API with synthetic data, on loopback only."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from typing import Self

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox import faults as fault_kinds
from sandbox.answer import Answer
from sandbox.auth import Authority
from sandbox.call import Call, Endpoint
from sandbox.control import PREFIX, control_routes
from sandbox.data import Drift
from sandbox.endpoints import ENDPOINTS
from sandbox.errors import ApiError, not_found
from sandbox.faults import Fault, FaultPlan
from sandbox.interpreter import Interpreter, Turn
from sandbox.journal import Journal, Request, interned
from sandbox.options import Options
from sandbox.rate_limit import LeakyBucket, retry_after

_OWN = "sandbox"


class Service:
    """The sandbox as an ASGI application; `Sandbox` serves it, tests may call it directly.

    Order of a request: journal, latency, rate limit, fault plan, token, scope, dialects, validation, dialects again
    with the response.

    Attributes:
        interpreter: the dialects of the options, with their memory and their counts; a new one replaces it when the
            options contain other dialects.
    """

    def __init__(self, drift: Drift, options: Options, faults: Iterable[Fault] = ()) -> None:
        self.drift = drift
        self.journal = Journal()
        self.authority = Authority()
        self.plan = FaultPlan(faults)
        self.stopping = asyncio.Event()
        self.interpreter = Interpreter(())
        self.options = options
        paths = dict.fromkeys(endpoint.path for endpoint in ENDPOINTS)
        routes = [Route(path, _Resource(self, path), include_in_schema=False) for path in paths]
        self._routes = Starlette(
            routes=[*routes, *control_routes(self)],
            exception_handlers={404: _unknown_path},
        )
        self._routes.router.redirect_slashes = False

    @property
    def options(self) -> Options:
        return self._options

    @options.setter
    def options(self, options: Options) -> None:
        self._options = options
        self._bucket = options.rate_limit and LeakyBucket(*options.rate_limit)
        per_minute = options.reports_per_minute
        self._reports_bucket = per_minute and LeakyBucket(per_minute, 60.0)
        if options.dialects != self.interpreter.names:
            self.interpreter = Interpreter(options.dialects)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"].startswith(PREFIX):
            await self._routes(scope, receive, send)
            return
        exchange = _Exchange(self, scope, send)
        self.journal.add(exchange.request)
        self.drift.advance()
        if scope["method"] not in ("GET", "HEAD"):
            exchange.request.body = await _body(receive)
        wait = self._wait(scope["path"])
        if self._options.latency:
            await self.sleep(self._options.latency)
        if wait:
            headers = retry_after(self._options.retry_after, wait)
            await exchange.refuse(ApiError(429, "rate_limit_error", "Too many requests", headers=headers))
            return
        fault = self.plan.take(scope["method"], scope["path"], scope["query_string"])
        if fault is not None:
            exchange.request.fault = fault.kind
            exchange.fault = fault
            fault_kinds.disturb(fault, self.drift, scope["path"], exchange.request.body, self._options.index_lag)
            if fault.kind in fault_kinds.REPLACING:
                await exchange.replace(fault)
                return
        scope[_OWN] = exchange
        await self._routes(scope, receive, send)

    def _wait(self, path: str) -> float:
        """Return the seconds that a request must wait; 0.0 if it is accepted."""
        if self._reports_bucket and path.startswith("/reports/"):
            wait = self._reports_bucket.admit()
            if wait:
                return wait
        return self._bucket.admit() if self._bucket else 0.0

    async def sleep(self, seconds: float) -> None:
        """Wait, but stop when the sandbox stops."""
        if seconds < 0.5:
            await asyncio.sleep(seconds)
            return
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return


class _Exchange:
    """One request and the connection to its client."""

    def __init__(self, service: Service, scope: Scope, send: Send) -> None:
        self.service, self.scope, self._send = service, scope, send
        self.fault: Fault | None = None
        authorization = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        self.authorization = authorization and authorization.decode("latin-1")
        self.request = Request(
            method=scope["method"],
            path=scope["path"],
            raw_query=scope["query_string"],
            raw_headers=interned(tuple(scope["headers"])),
            at=time.monotonic(),
            token=service.authority.label(service.options, self.authorization),
        )

    async def refuse(self, error: ApiError) -> None:
        await self.answer(error.answer())

    async def answer(self, answer: Answer) -> None:
        fault = self.fault
        if fault is not None and fault.kind == "answer_lost":
            _reset(self.scope)
            return
        if fault is not None and fault.kind == "applied_status":
            answer = ApiError(fault.details["status"], "server_error", "Something went wrong").answer()
        content = answer.content
        if fault is not None and answer.status == 200 and not isinstance(content, bytes):
            attempt = self.service.plan.next_attempt() if fault.kind == "empty_page" else 0
            content = fault_kinds.altered(fault, content, self.scope["path"], self.scope["query_string"], attempt)
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        headers = [(b"content-type", answer.media_type.encode())] if answer.media_type and answer.status != 204 else []
        sent = {"date": formatdate(usegmt=True)} | {name.lower(): value for name, value in answer.headers.items()}
        headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items() if value]
        if answer.status != 204 and "transfer-encoding" not in sent:
            headers.append((b"content-length", b"%d" % len(body)))
        self.request.status = answer.status
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if fault is not None and fault.kind in fault_kinds.DELIVERING:
            await self._deliver_badly(fault, body)
        else:
            await self._send({"type": "http.response.body", "body": body})

    async def replace(self, fault: Fault) -> None:
        if fault.kind == "hang":
            await self.service.sleep(fault.details["seconds"])
        elif fault.kind == "reset":
            _reset(self.scope)
        else:
            await self.answer(fault_kinds.replacement(fault, self.scope["path"], self.scope["query_string"]))
            return
        _close(self.scope)

    async def _deliver_badly(self, fault: Fault, body: bytes) -> None:
        if fault.kind == "truncated":
            part = body[: int(len(body) * fault.details["share"])]
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
            _close(self.scope)
            return
        pieces = 20
        step = -(-len(body) // pieces) or 1
        for start in range(0, len(body), step):
            await self._send({"type": "http.response.body", "body": body[start : start + step], "more_body": True})
            await self.service.sleep(fault.details["seconds"] / pieces)
        await self._send({"type": "http.response.body", "body": b""})


class _Resource:
    """All methods of one path."""

    def __init__(self, service: Service, path: str) -> None:
        self._service = service
        self._by_method = {endpoint.method: endpoint for endpoint in ENDPOINTS if endpoint.path == path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: _Exchange = scope[_OWN]
        endpoint = self._by_method.get(scope["method"])
        request, service = exchange.request, self._service
        turn = service.interpreter.turn(request.method, request.path, request.raw_query, request.body, service.drift)
        try:
            if endpoint is None:
                allow = {"Allow": ", ".join(self._by_method)}
                raise ApiError(405, "method_not_allowed", f"{scope['method']} is not allowed here", headers=allow)
            answer = self._run(endpoint, exchange, scope, turn)
        except ApiError as error:
            answer = error.answer()
        await exchange.answer(turn.altered(answer) if turn else answer)

    def _run(self, endpoint: Endpoint, exchange: _Exchange, scope: Scope, turn: Turn | None) -> Answer:
        service = self._service
        if endpoint.token:
            service.authority.check(service.options, exchange.authorization, endpoint.scope)
        answer = turn.answer() if turn else None
        if answer is not None:
            return answer
        headers: Mapping[str, str] = exchange.request.headers if exchange.request.body else {}
        content = endpoint.handler(
            Call(
                service.drift,
                service.options,
                service.authority,
                turn.query if turn else scope["query_string"],
                scope["path_params"],
                headers,
                turn.body if turn else exchange.request.body,
            )
        )
        return content if isinstance(content, Answer) else Answer(200, content, {})


class Sandbox:
    """A running sandbox: `with Sandbox(drift) as sandbox:` serves from its own thread until the block ends.

    `url` is set while it runs. `options` and `faults` can be replaced at any time; a new fault plan starts counting
    from zero. It listens on 127.0.0.1 only.

    Raises:
        OSError: (on entering) the port is in use.
    """

    def __init__(
        self,
        drift: Drift | None = None,
        options: Options | None = None,
        *,
        faults: Iterable[Fault] = (),
        port: int = 0,
    ) -> None:
        self.drift = Drift() if drift is None else drift
        self.service = Service(self.drift, options or Options(), faults)
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def journal(self) -> Journal:
        return self.service.journal

    @property
    def authority(self) -> Authority:
        return self.service.authority

    @property
    def options(self) -> Options:
        return self.service.options

    @options.setter
    def options(self, options: Options) -> None:
        self.service.options = options

    @property
    def faults(self) -> tuple[Fault, ...]:
        return self.service.plan.faults

    @faults.setter
    def faults(self, faults: Iterable[Fault]) -> None:
        self.service.plan = FaultPlan(faults)

    def __enter__(self) -> Self:
        listener = self._listen()
        self.service.stopping.clear()
        self._port = listener.getsockname()[1]
        self._server = _Server(self.service)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="sandbox", daemon=True)
        self._thread.start()
        self._server.ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server and self._thread:
            self._server.stop()
            self._thread.join()
        self._server = self._thread = None

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", self._port))
            listener.listen(2048)
        except OSError as error:
            listener.close()
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            raise OSError(error.errno, f"port {self._port} of 127.0.0.1 {reason}") from None
        return listener


class _Protocol(HttpToolsProtocol):
    """Gives the application access to the connection, for faults that break it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport


class _Server(uvicorn.Server):
    def __init__(self, service: Service) -> None:
        super().__init__(
            uvicorn.Config(
                service,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                # Responses have their own Date, which a dialect can change.
                date_header=False,
                # Longer than any pause of a client: a connection that closes during a request would look like a fault.
                timeout_keep_alive=120,
                timeout_graceful_shutdown=1,
            )
        )
        self.ready = threading.Event()
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        # Without uvicorn's polling, which would delay the end of each test.
        await self._stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.tasks:
            await super().shutdown(sockets)
            return
        # Without a request in progress, uvicorn would still wait for a tenth of a second.
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)

    def stop(self) -> None:
        if self._loop:
            self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._service.stopping.set()
        self._stopped.set()


def _reset(scope: Scope) -> None:
    """Make closing this connection send RST instead of FIN."""
    transport = scope.get("state", {}).get("transport")
    if transport is not None:
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()


def _close(scope: Scope) -> None:
    """Close the connection after all data is written."""
    transport = scope.get("state", {}).get("transport")
    if transport is not None:
        transport.close()


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return body


async def _unknown_path(request: StarletteRequest, _: Exception) -> Response:
    """Respond with Drift's 404 error."""
    error = not_found(request.scope["path"])
    exchange: _Exchange | None = request.scope.get(_OWN)
    if exchange is not None:
        exchange.request.status = error.status
    headers = {"Date": formatdate(usegmt=True)}
    return Response(orjson.dumps(error.body()), error.status, headers, media_type="application/json")
