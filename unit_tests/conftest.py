"""What the unit tests share: a Drift that answers what a test says, a clock that only jumps, and the real manifest."""

import base64
import json
import logging
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import formatdate
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import orjson
import pyrate_limiter.clocks
import pytest
import requests
import requests_mock
from airbyte_cdk.models import AirbyteMessage, AirbyteMessageSerializer, SyncMode, Type
from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.sources.streams import call_rate
from airbyte_cdk.sources.streams.http import rate_limiting
from airbyte_cdk.test.catalog_builder import CatalogBuilder
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput, _run_command, read
from airbyte_cdk.test.state_builder import StateBuilder
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from airbyte_cdk.utils.yaml_loader import safe_load_yaml
from backoff import _sync

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "manifest.yaml"
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import components  # noqa: E402 (the line above makes it found, here and by the class names of the manifest)

API = "https://driftapi.com"
TOKEN = "made-up-token-1234567890"
NOW = 1_768_478_400_000  # 2026-01-15T12:00:00Z
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# No test needs as many requests: beyond it a walk runs in circles.
MOST_REQUESTS = 400


@dataclass
class Stream:
    """What is particular about a stream: where it is asked for, its key, its scope, and how its answer looks."""

    path: str
    key: str
    scope: str
    envelope: Callable[[list[dict[str, Any]]], Any]
    one: Any = 1
    method: str = "GET"

    @property
    def asked(self) -> str:
        return f"{self.method} {self.path}"

    def row(self, key: Any = None) -> dict[str, Any]:
        return {self.key: self.one if key is None else key}

    def body(self, *keys: Any) -> Any:
        return self.envelope([self.row(key) for key in keys or [None]])


STREAMS = {
    "accounts": Stream(
        "/accounts", "accountId", "account_read", lambda rows: {"data": {"accounts": rows}}, "1_a.example"
    ),
    "conversations": Stream("/conversations/list", "id", "conversation_read", lambda rows: {"data": rows}),
    "users": Stream("/users/list", "id", "user_read", lambda rows: {"data": rows}),
    "token_info": Stream(
        "/app/token_info", "authenticated_userid", "of any kind", lambda rows: rows[0], "orgId:1", method="POST"
    ),
}
LISTS = ["accounts", "conversations", "users"]


@dataclass
class Answer:
    """One answer of Drift: text and bytes as they are, anything else as JSON."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


HTML = Answer("<html><body>secret of somebody</body></html>", headers={"Content-Type": "text/html"})
EMPTY = Answer(b"")
SECRET = "somebody@example.com"
ERROR_OBJECT = Answer({"error": {"type": "server_error", "message": SECRET}})
NO_DATA = Answer({"unexpected": SECRET})


class Clock:
    """Seconds that pass only when somebody waits, and what the CDK waited for between two attempts."""

    def __init__(self) -> None:
        self.now = NOW / 1000
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def time(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        with self._lock:
            # The budget rounds to milliseconds, and would otherwise wait for 0 of them for ever.
            self.now += max(seconds, 0.001)

    def sleep(self, seconds: float) -> None:
        # The retry loop of the CDK sleeps for the back-off, and then for nothing.
        if seconds:
            self.waits.append(seconds)
            self.pause(seconds)

    @property
    def date(self) -> str:
        return formatdate(self.now, usegmt=True)


class Drift:
    """Answers per path what it was told to, the last answer again and again, and keeps what it was asked.

    Every other host answers with a record whose key is 666; none of them may ever reach the output.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.requests: list[requests.PreparedRequest] = []
        self.foreign: list[requests.PreparedRequest] = []
        self._answers: dict[str, list[Any]] = {}
        for stream in STREAMS.values():
            self.answers(stream.path, stream.body())

    def answers(self, path: str, *answers: Any) -> None:
        self._answers[path] = list(answers)

    def asked(self, path: str) -> list[requests.PreparedRequest]:
        return [request for request in self.requests if urlsplit(request.url).path == path]

    def queries(self, path: str) -> list[dict[str, str]]:
        """The query of each request, decoded."""
        return [
            {name: values[-1] for name, values in parse_qs(urlsplit(request.url).query, True).items()}
            for request in self.asked(path)
        ]

    def respond(self, request: Any) -> requests.Response:
        prepared: requests.PreparedRequest = request._request.copy()
        place = urlsplit(prepared.url)
        if (place.scheme, place.hostname, place.port) != ("https", "driftapi.com", None):
            self.foreign.append(prepared)
            known = [stream for stream in STREAMS.values() if stream.path == place.path]
            return self._response(request, Answer(known[0].body(666) if known else {"data": [{"id": 666}]}))
        self.requests.append(prepared)
        if len(self.requests) > MOST_REQUESTS:
            raise RuntimeError(f"An endless loop: {len(self.requests)} requests, the last one {prepared.url}")
        answers = self._answers.get(place.path, [Answer({"error": "not_found"}, 404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer) and not isinstance(answer, type):
            answer = answer(prepared)
        if isinstance(answer, type) and issubclass(answer, Exception):
            answer = answer("made up")
        if isinstance(answer, Exception):
            # A connection that breaks names its request, one that breaks inside a body does not.
            if not isinstance(answer, requests.exceptions.ChunkedEncodingError):
                answer.request = request._request
            raise answer
        return self._response(request, answer if isinstance(answer, Answer) else Answer(answer))

    def _response(self, request: Any, answer: Answer) -> requests.Response:
        headers = {"Date": self.clock.date, "Content-Type": "application/json", **answer.headers}
        made = requests_mock.create_response(
            request,
            status_code=answer.status,
            content=answer.content,
            headers={name: value for name, value in headers.items() if value is not None},
        )
        # As requests has it, and not the wrapper that requests_mock makes at every attempt.
        made.request = request._request
        return made


@dataclass
class Outcome:
    """What a command told the platform, and everything that it printed."""

    output: EntrypointOutput
    printed: str

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [message.record.data for message in self.output.records if message.record.stream == stream]

    def keys(self, stream: str) -> list[Any]:
        return [record[STREAMS[stream].key] for record in self.records(stream)]

    def status(self, stream: str) -> str | None:
        statuses = self.output.get_stream_statuses(stream)
        return statuses[-1].value if statuses else None

    @property
    def errors(self) -> list[Any]:
        """The errors of streams; the last one of a failed read only says which streams failed."""
        return [message.trace.error for message in self.output.errors if message.trace.error.stream_descriptor]

    def error(self, stream: str) -> Any:
        found = [error for error in self.errors if error.stream_descriptor.name == stream]
        assert len(found) == 1, (stream, [error.message for error in self.errors])
        return found[0]

    def states(self, stream: str) -> list[dict[str, Any]]:
        states = [message.state.stream for message in self.output.state_messages]
        return [vars(state.stream_state) for state in states if state.stream_descriptor.name == stream]

    def state(self, stream: str) -> dict[str, Any]:
        return self.states(stream)[-1]

    @property
    def configs(self) -> list[dict[str, Any]]:
        """The configs handed back to the platform, oldest first."""
        lines = [json.loads(line) for line in self.printed.splitlines() if line.startswith('{"type":"CONTROL"')]
        return [line["control"]["connectorConfig"]["config"] for line in lines]

    def logs(self, level: str) -> list[str]:
        return [message.log.message for message in self.output.logs if message.log.level.value == level]

    @property
    def check(self) -> tuple[str, str | None]:
        status = self.output.connection_status_messages[-1].connectionStatus
        return status.status.value, status.message

    @property
    def text(self) -> str:
        """All that left the process but the configs, which are handed to the platform alone."""
        lines = [line for line in self.printed.splitlines() if '"type":"CONTROL"' not in line]
        messages = [_dump(message) for message in self.output.get_message_iterator() if message.type != Type.CONTROL]
        return "\n".join(lines + messages)

    @property
    def summary(self) -> str:
        """What to show where a test fails."""
        statuses = {stream: self.status(stream) for stream in STREAMS if self.status(stream)}
        return f"{statuses}; {[error.message for error in self.errors]}"

    def holds(self, secret: str) -> list[str]:
        """The lines of the output that hold the secret as it is, or in one of the forms in which it is sent."""
        forms = {
            secret,
            json.dumps(secret)[1:-1],
            quote(secret, safe=""),
            quote_plus(secret),
            base64.b64encode(secret.encode()).decode().rstrip("="),
        }
        bare = secret.replace("\\", "")
        return [
            line
            for line in self.text.splitlines()
            # However often the backslashes of an escape are escaped themselves.
            if any(form in line for form in forms) or bare in line.replace("\\", "")
        ]


def _dump(message: AirbyteMessage) -> str:
    if message.type == Type.LOG:
        return str(message.log.message) + str(message.log.stack_trace or "")
    return orjson.dumps(AirbyteMessageSerializer.dump(message)).decode()


@cache
def _manifest() -> dict[str, Any]:
    return safe_load_yaml(MANIFEST.read_text())


# The schema of the CDK is a large YAML file too, which every source parses anew.
_schema = cache(concurrent_declarative_source.get_declarative_component_schema)


class Source(YamlDeclarativeSource):
    """The source of the real manifest; what the CDK makes of its text is made once for all tests, in half the time."""

    _prepared = b""

    def _read_and_parse_yaml_file(self, path_to_yaml_file: str) -> dict[str, Any]:
        return _manifest()

    def _pre_process_manifest(self, manifest: dict[str, Any]) -> dict[str, Any]:
        if not Source._prepared:
            prepared = super()._pre_process_manifest(deepcopy(manifest))
            concurrent_declarative_source.validate_manifest(prepared, _schema())
            Source._prepared = pickle.dumps(prepared)
        return dict(pickle.loads(Source._prepared))  # noqa: S301 (our own bytes)

    def _validate_source(self) -> None:
        pass


def config(**more: Any) -> dict[str, Any]:
    """A config with an access token."""
    return {"credentials": {"credentials": "access_token", "access_token": TOKEN}, **more}


class Connector:
    """Runs commands of the connector against the made-up Drift."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys = capsys
        self.config_path = folder / "config.json"

    def read(
        self,
        *streams: str,
        config: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        debug: bool = False,
    ) -> Outcome:
        """Reads the streams; with a state, even an empty one, incrementally. The state is of the first stream."""
        given = _config_or_default(config)
        mode = SyncMode.full_refresh if state is None else SyncMode.incremental
        catalog = CatalogBuilder()
        for stream in streams:
            catalog = catalog.with_stream(stream, mode)
        states = StateBuilder().with_stream_state(streams[0], state).build() if state else []
        self._capsys.readouterr()
        source = self.source(given, catalog.build(), states)
        output = read(source, given, catalog.build(), states, expecting_exception=True, debug=debug)
        return Outcome(output, "".join(self._capsys.readouterr()))

    def check(self, config: Mapping[str, Any] | None = None) -> Outcome:
        given = _config_or_default(config)
        self._capsys.readouterr()
        source = self.source(given)
        output = _run_command(source, ["check", "--config", str(self.config_path)], expecting_exception=True)
        return Outcome(output, "".join(self._capsys.readouterr()))

    def source(self, config: Mapping[str, Any] | None = None, catalog: Any = None, state: Any = None) -> Source:
        self.config_path.write_text(json.dumps(_config_or_default(config)))
        return Source(
            path_to_yaml=str(MANIFEST),
            config=deepcopy(_config_or_default(config)),
            catalog=catalog,
            state=state,
            config_path=str(self.config_path),
        )


def _config_or_default(given: Mapping[str, Any] | None) -> dict[str, Any]:
    return config() if given is None else dict(given)


@pytest.fixture(scope="session")
def manifest() -> dict[str, Any]:
    """The manifest as it stands in the file, with its references. Read only."""
    return _manifest()


@pytest.fixture(scope="session")
def resolved() -> dict[str, Any]:
    """The manifest with references and parameters resolved, as the CDK builds from it. Read only."""
    return dict(Source(path_to_yaml=str(MANIFEST), config=config()).resolved_manifest)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that everything in the CDK and in components.py which waits or measures looks at."""
    clock = Clock()
    monkeypatch.setattr(concurrent_declarative_source, "get_declarative_component_schema", _schema)
    monkeypatch.setattr(rate_limiting, "time", SimpleNamespace(sleep=clock.sleep))
    monkeypatch.setattr(_sync, "time", SimpleNamespace(sleep=clock.sleep))
    now = SimpleNamespace(now=lambda: datetime.fromtimestamp(clock.now))
    monkeypatch.setattr(_sync, "datetime", SimpleNamespace(datetime=now))
    monkeypatch.setattr(call_rate, "time", SimpleNamespace(sleep=clock.pause))
    monkeypatch.setattr(pyrate_limiter.clocks, "time", clock.time)
    monkeypatch.setattr(components, "time", SimpleNamespace(time=clock.time))
    return clock


@pytest.fixture
def drift(clock: Clock) -> Iterator[Drift]:
    """A Drift without a network, in place of every host."""
    drift = Drift(clock)
    with requests_mock.Mocker() as mocker:
        mocker.add_matcher(drift.respond)
        yield drift


@pytest.fixture
def connector(drift: Drift, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Connector]:
    """The connector, in front of the made-up Drift."""
    update_secrets([])
    yield Connector(capsys, tmp_path)
    update_secrets([])
    logging.getLogger("airbyte").setLevel(logging.INFO)


def response(
    body: Any = b"",
    status: int = 200,
    url: str = f"{API}/users/list",
    method: str = "GET",
    **headers: str | None,
) -> requests.Response:
    """An answer as a component gets it. Header names are written with underscores; None leaves `Date` out."""
    made = requests.Response()
    made.status_code = status
    made._content = Answer(body).content
    given = {"Date": formatdate(NOW / 1000, usegmt=True), **{n.replace("_", "-"): v for n, v in headers.items()}}
    made.headers.update({name: value for name, value in given.items() if value is not None})
    made.url = url
    made.request = requests.Request(method, url).prepare()
    return made
