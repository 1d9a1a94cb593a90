"""Shared parts of the unit tests: a fake Drift, a clock that only jumps, and the real manifest."""

import base64
import json
import logging
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cache
from itertools import count
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
from airbyte_cdk.sources.declarative.interpolation import jinja
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.sources.streams import call_rate
from airbyte_cdk.sources.streams.http import rate_limiting
from airbyte_cdk.test.catalog_builder import CatalogBuilder
from airbyte_cdk.test.entrypoint_wrapper import EntrypointOutput, _run_command, read
from airbyte_cdk.test.state_builder import StateBuilder
from airbyte_cdk.utils.airbyte_secrets_utils import update_secrets
from airbyte_cdk.utils.yaml_loader import safe_load_yaml
from backoff import _sync
from urllib3.util import retry

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "manifest.yaml"
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import components  # noqa: E402 (the line above makes it importable, here and for the class names of the manifest)

API = "https://driftapi.com"
TOKEN = "made-up-token-1234567890"
NOW = 1_768_478_400_000  # 2026-01-15T12:00:00Z
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
REPORTS = "/reports/conversations"
# No test needs this many requests; more of them mean an endless loop.
MOST_REQUESTS = 400


# The contact whose address is in the configs of these tests.
EMAIL = "one@example.com"
METRICS = [
    "createdAt",
    "updatedAt",
    "lastAgentId",
    "endUserId",
    "firstCloseAt",
    "firstAgentMessageAt",
    "timeToCloseMillis",
    "timeToAgentResponseMillis",
    "numAgentMessages",
    "numBotMessages",
    "numEndUserMessages",
    "relatedPlaybookId",
    "meaningfulConversation",
]


def report(*rows: tuple[int, Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A report: ID and metrics of each conversation, with "NaN" for missing ones."""
    data = [{"conversationId": key, "metrics": [given.get(name, "NaN") for name in METRICS]} for key, given in rows]
    return {"count": len(rows), "data": data, **more}


@dataclass
class Stream:
    """The differences between streams: path, keys, scope, and form of the response.

    `path` is that of the row with the key `one`; `more` is the content of a row besides its key; `needs` is what the
    config must contain so that one sync requests that path once.
    """

    path: str
    keys: list[str]
    scope: str
    envelope: Callable[[list[dict[str, Any]]], Any]
    one: Any = 1
    method: str = "GET"
    shape: str = "a list of objects"
    more: dict[str, Any] = field(default_factory=dict)
    needs: dict[str, Any] = field(default_factory=dict)
    # A 404 is skipped and logged, because the row was deleted after it was listed.
    skips: bool = False

    @property
    def key(self) -> str:
        return self.keys[0]

    @property
    def asked(self) -> str:
        return f"{self.method} {self.path}"

    def row(self, key: Any = None) -> dict[str, Any]:
        return {self.key: self.one if key is None else key, **self.more}

    def body(self, *keys: Any) -> Any:
        return self.envelope([self.row(key) for key in keys or [None]])


def _data(rows: list[dict[str, Any]]) -> Any:
    return {"data": rows}


def _root(rows: list[dict[str, Any]]) -> Any:
    return rows


def _one(rows: list[dict[str, Any]]) -> Any:
    return {"data": rows[0]}


STREAMS = {
    "accounts": Stream(
        "/accounts", ["accountId"], "account_read", lambda rows: {"data": {"accounts": rows}}, "1_a.example"
    ),
    "users": Stream("/users/list", ["id"], "user_read", _data),
    "messages": Stream(
        "/conversations/1/messages",
        ["id"],
        "conversation_read",
        lambda rows: {"data": {"messages": rows}, "pagination": {"more": False}},
        skips=True,
    ),
    "conversation_details": Stream(
        "/conversations/1", ["id"], "conversation_read", _one, shape="an object", skips=True
    ),
    "contacts": Stream("/contacts/1", ["id"], "contact_read", _one, shape="an object", skips=True),
    # Its row refers to one conversation and one contact.
    "conversations": Stream("/conversations/list", ["id"], "conversation_read", _data, more={"contactId": 1}),
    "conversation_metrics": Stream(
        REPORTS,
        ["conversationId"],
        "conversation_read",
        lambda rows: report(*[(row["conversationId"], {}) for row in rows]),
        method="POST",
        # One window up to the clock, instead of over a hundred since 2014.
        needs={"start_date": "2026-01-01T00:00:00Z"},
    ),
    "meetings": Stream("/users/meetings/org", ["slug", "agentId"], "user_read", _data, "a-b", more={"agentId": 1}),
    "teams": Stream("/teams/org", ["id"], "user_read", _data),
    "playbooks": Stream("/playbooks/list", ["id"], "playbook_read", _root),
    "landing_pages": Stream(
        "/playbooks/clp",
        ["playbookId", "landingPageUrl"],
        "playbook_read",
        _root,
        more={"landingPageUrl": "https://www.example.com/a"},
    ),
    "contacts_by_email": Stream(
        "/contacts", ["id"], "contact_read", _data, needs={"contact_emails": [EMAIL]}, skips=True
    ),
    "contact_attributes": Stream(
        "/contacts/attributes",
        ["name"],
        "all_contact_read",
        lambda rows: {"data": {"properties": rows}},
        "company",
    ),
    "conversation_stats": Stream(
        "/conversations/stats",
        ["status"],
        "conversation_read",
        lambda rows: {"conversationCount": {row["status"]: 1 for row in rows}},
        "OPEN",
        shape="an object of numbers",
    ),
    "token_info": Stream(
        "/app/token_info",
        ["authenticated_userid"],
        "of any kind",
        lambda rows: rows[0],
        "orgId:1",
        method="POST",
        shape="an object",
    ),
}
# Lists that are paged or read at once, in three of the places where their rows can be; what holds for the others is
# in test_streams.py.
LISTS = ["accounts", "conversations", "users"]
# One request for each changed conversation.
CHILDREN = ["messages", "conversation_details", "contacts"]


def needs(*streams: str) -> dict[str, Any]:
    """The settings, besides the credentials, that give one row of each stream."""
    return {name: value for stream in streams for name, value in STREAMS[stream].needs.items()}


@dataclass
class Answer:
    """One response: text and bytes unchanged, anything else as JSON."""

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
    """A clock on which time passes only during waits, and the CDK's waits between attempts."""

    def __init__(self) -> None:
        self.now = NOW / 1000
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def time(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        with self._lock:
            # The budget rounds to milliseconds, and would otherwise wait 0 of them forever.
            self.now += max(seconds, 0.001)

    def sleep(self, seconds: float) -> None:
        # The CDK's retry loop sleeps for the backoff, and then for 0 seconds.
        if seconds:
            self.waits.append(seconds)
            self.pause(seconds)

    @property
    def date(self) -> str:
        return formatdate(self.now, usegmt=True)


class Drift:
    """Sends the given responses of each path, repeats the last one, and keeps the requests.

    Every other host responds with a record whose key is 666, which must never reach the output.

    Meetings are requested in windows. The first one contains the current time; the later ones are empty and not kept,
    so that tests can treat meetings like any other list. `has_ahead` changes this.
    """

    has_ahead = False

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.requests: list[requests.PreparedRequest] = []
        self.foreign: list[requests.PreparedRequest] = []
        self._answers: dict[str, list[Any]] = {}
        self._others: Any = Answer({"error": "not_found"}, 404)
        for stream in STREAMS.values():
            self.answers(stream.path, stream.body())

    def answers(self, path: str, *answers: Any) -> None:
        self._answers[path] = list(answers)

    def answers_all(self, answer: Any) -> None:
        """Replace the responses of all paths with these."""
        self._answers.clear()
        self._others = answer

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
        if not self.has_ahead and self._is_ahead(prepared):
            return self._response(request, Answer({"data": []}))
        self.requests.append(prepared)
        if len(self.requests) > MOST_REQUESTS:
            raise RuntimeError(f"An endless loop: {len(self.requests)} requests, the last one {prepared.url}")
        answers = self._answers.get(place.path, [self._others])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer) and not isinstance(answer, type):
            answer = answer(prepared)
        if isinstance(answer, type) and issubclass(answer, Exception):
            answer = answer("made up")
        if isinstance(answer, Exception):
            # The error of a broken connection has its request; one that breaks inside a body does not.
            if not isinstance(answer, requests.exceptions.ChunkedEncodingError):
                answer.request = request._request
            raise answer
        return self._response(request, answer if isinstance(answer, Answer) else Answer(answer))

    def _is_ahead(self, request: requests.PreparedRequest) -> bool:
        """Whether a window of the meetings starts in the future."""
        starts = parse_qs(urlsplit(str(request.url)).query).get("min_start_time", ["0"])
        return int(starts[0]) > self.clock.now * 1000

    def _response(self, request: Any, answer: Answer) -> requests.Response:
        headers = {"Date": self.clock.date, "Content-Type": "application/json", **answer.headers}
        made = requests_mock.create_response(
            request,
            status_code=answer.status,
            content=answer.content,
            headers={name: value for name, value in headers.items() if value is not None},
        )
        # The request itself, not the wrapper that requests_mock creates for every attempt.
        made.request = request._request
        return made


@dataclass
class Outcome:
    """The messages of a command, and everything that it printed."""

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
        """The errors of streams, without the last one of a failed read, which only lists the failed streams."""
        return [message.trace.error for message in self.output.errors if message.trace.error.stream_descriptor]

    @property
    def message(self) -> str:
        """The message of the only error, in a stream or before the first stream."""
        found = {message.trace.error.message for message in self.output.errors}
        found = {error.message for error in self.errors} or found
        assert len(found) == 1, found
        return str(found.pop())

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
        """The emitted configs, oldest first."""
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
        """All output except the configs, which only the platform gets."""
        lines = [line for line in self.printed.splitlines() if '"type":"CONTROL"' not in line]
        messages = [_dump(message) for message in self.output.get_message_iterator() if message.type != Type.CONTROL]
        return "\n".join(lines + messages)

    @property
    def summary(self) -> str:
        """What to show if a test fails."""
        statuses = {stream: self.status(stream) for stream in STREAMS if self.status(stream)}
        return f"{statuses}; {[error.message for error in self.errors]}"

    def holds(self, secret: str) -> list[str]:
        """The lines of the output that contain the secret, unchanged or in one of the forms in which it is sent."""
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
            # However often the backslashes of an escape are escaped.
            if any(form in line for form in forms) or bare in line.replace("\\", "")
        ]


def _dump(message: AirbyteMessage) -> str:
    if message.type == Type.LOG:
        return str(message.log.message) + str(message.log.stack_trace or "")
    return orjson.dumps(AirbyteMessageSerializer.dump(message)).decode()


@cache
def _manifest() -> dict[str, Any]:
    return safe_load_yaml(MANIFEST.read_text())


# Every source would parse the CDK's schema, a large YAML file, again.
_schema = cache(concurrent_declarative_source.get_declarative_component_schema)
concurrent_declarative_source.get_declarative_component_schema = _schema


class Source(YamlDeclarativeSource):
    """The source of the real manifest, with shared results to save time.

    The manifest is parsed once, and only the selected streams are built: those of the catalog, the given ones, or
    else all.
    """

    _prepared = b""

    def __init__(self, *selected: str, **given: Any) -> None:
        catalog = given.get("catalog")
        self._selected = {stream.stream.name for stream in catalog.streams} if catalog else set(selected or STREAMS)
        super().__init__(**given)

    def _create_streams(self, selected_configs: Any, all_configs: Any) -> Any:
        selected = [stream for stream in selected_configs if stream["name"] in self._selected]
        return super()._create_streams(selected, all_configs)

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
    """A config with an access token. `start` can be a day; an empty one means no start date."""
    if "start_date" in more:
        day = more.pop("start_date")
        more |= {"start_date": f"{day}T00:00:00Z" if len(day) == len("2026-01-31") else day} if day else {}
    return {"credentials": {"credentials": "access_token", "access_token": TOKEN}, **more}


@dataclass
class Parts:
    """The components of a stream as the CDK builds them; those of one source share their notes."""

    extractor: Any
    pages: Any
    handler: Any
    authenticator: Any
    router: Any


def parts(*streams: str, **more: Any) -> list[Parts]:
    """The components of streams of one source."""
    source = Source(*streams, path_to_yaml=str(MANIFEST), config=config(**more))
    built = {stream.name: stream for stream in source.streams({})}
    found = []
    for stream in streams:
        retriever = built[stream]._stream_partition_generator._partition_factory._retriever
        requester = retriever.requester
        router = getattr(built[stream].cursor, "_partition_router", None)
        extractor, pages = retriever.record_selector.extractor, retriever.paginator.pagination_strategy
        # As the authenticator does when a request starts.
        vars(requester.error_handler.source.thread).update(odd="", failures=0, lively=0, denied=0, before=0, waited=0.0)
        found.append(Parts(extractor, pages, requester.error_handler, requester.authenticator, router))
    return found


class Connector:
    """Runs commands of the connector against the fake Drift."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys = capsys
        self.config_path = folder / "config.json"

    def read(
        self,
        *streams: str,
        config: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        states: Mapping[str, Mapping[str, Any]] | None = None,
        debug: bool = False,
    ) -> Outcome:
        """Read the streams; with a state, even an empty one, incrementally. The state is that of the first stream,
        unless `states` has those of several.

        The default config has the settings that the streams need.
        """
        given = _config_or_default(config, *streams)
        given_states = states or ({streams[0]: state} if state is not None else None)
        mode = SyncMode.full_refresh if given_states is None else SyncMode.incremental
        catalog = CatalogBuilder()
        for stream in streams:
            catalog = catalog.with_stream(stream, mode)
        saved = StateBuilder()
        for stream, its_state in (given_states or {}).items():
            saved = saved.with_stream_state(stream, its_state) if its_state else saved
        self._capsys.readouterr()
        source = self.source(given, catalog.build(), saved.build())
        output = read(source, given, catalog.build(), saved.build(), expecting_exception=True, debug=debug)
        return Outcome(output, "".join(self._capsys.readouterr()))

    def check(self, config: Mapping[str, Any] | None = None) -> Outcome:
        given = _config_or_default(config)
        self._capsys.readouterr()
        source = self.source(given)
        output = _run_command(source, ["check", "--config", str(self.config_path)], expecting_exception=True)
        return Outcome(output, "".join(self._capsys.readouterr()))

    def source(
        self, config: Mapping[str, Any] | None = None, catalog: Any = None, state: Any = None, *selected: str
    ) -> Source:
        self.config_path.write_text(json.dumps(_config_or_default(config)))
        return Source(
            *selected,
            path_to_yaml=str(MANIFEST),
            config=deepcopy(_config_or_default(config)),
            catalog=catalog,
            state=state,
            config_path=str(self.config_path),
        )


def _config_or_default(given: Mapping[str, Any] | None, *streams: str) -> dict[str, Any]:
    return config(**needs(*streams)) if given is None else dict(given)


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Return as soon as the condition is true; fail after the given seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def manifest() -> dict[str, Any]:
    """The manifest as in the file, with its references. Read only."""
    return _manifest()


@pytest.fixture(scope="session")
def resolved() -> dict[str, Any]:
    """The manifest with references and parameters resolved, as the CDK uses it. Read only."""
    return dict(Source(path_to_yaml=str(MANIFEST), config=config()).resolved_manifest)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that all waits and measurements in the CDK and components.py use."""
    clock = Clock()
    monkeypatch.setattr(rate_limiting, "time", SimpleNamespace(sleep=clock.sleep))
    monkeypatch.setattr(_sync, "time", SimpleNamespace(sleep=clock.sleep))
    now = SimpleNamespace(now=lambda: datetime.fromtimestamp(clock.now))
    monkeypatch.setattr(_sync, "datetime", SimpleNamespace(datetime=now))
    monkeypatch.setattr(call_rate, "time", SimpleNamespace(sleep=clock.pause))
    monkeypatch.setattr(pyrate_limiter.clocks, "time", clock.time)
    # A budget starts threads that never end; those of thousands of sources would exhaust the machine.
    monkeypatch.setattr(pyrate_limiter.BucketFactory, "schedule_leak", lambda *_: None)
    moments = count()
    now_ns: dict[str, Any] = {"time": clock.time, "time_ns": lambda: int(clock.now * 1e9) + next(moments)}
    monkeypatch.setattr(components, "time", SimpleNamespace(**{**vars(time), **now_ns}))
    monkeypatch.setattr(retry, "time", SimpleNamespace(**{**vars(time), **now_ns}))
    # The templates of the manifest use this.
    monkeypatch.setitem(jinja._ENVIRONMENT.globals, "now_utc", lambda: datetime.fromtimestamp(clock.now, UTC))
    return clock


@pytest.fixture
def drift(clock: Clock) -> Iterator[Drift]:
    """A Drift without a network, which replaces every host."""
    drift = Drift(clock)
    with requests_mock.Mocker() as mocker:
        mocker.add_matcher(drift.respond)
        yield drift


@pytest.fixture
def connector(
    drift: Drift, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connector]:
    """The connector, connected to the fake Drift."""
    # A command has its own cache; streams that are built without a command would share theirs between tests.
    monkeypatch.setenv("REQUEST_CACHE_PATH", str(tmp_path))
    update_secrets([])
    yield Connector(capsys, tmp_path)
    update_secrets([])
    logging.getLogger("airbyte").setLevel(logging.INFO)


def response(
    body: Any = b"",
    status: int = 200,
    url: str = f"{API}/users/list",
    method: str = "GET",
    sent: Any = None,
    **headers: str | None,
) -> requests.Response:
    """A response as a component gets it. Header names have underscores; None removes `Date`."""
    made = requests.Response()
    made.status_code = status
    made._content = Answer(body).content
    given = {"Date": formatdate(NOW / 1000, usegmt=True), **{n.replace("_", "-"): v for n, v in headers.items()}}
    made.headers.update({name: value for name, value in given.items() if value is not None})
    made.url = url
    made.request = requests.Request(method, url, {"Authorization": f"Bearer {TOKEN}"}, json=sent).prepare()
    return made
