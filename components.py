"""What the manifest cannot say in YAML. Checked against airbyte-cdk 7.39.1.

| class | why it is not YAML |
|---|---|
| `DriftRecordExtractor` | an extractor of the CDK reads a missing or wrong path as zero records |
| `DriftErrorHandler` | a predicate cannot tell `{}` from HTML, nor which host answered; `max_time` is not in YAML |
| `DriftBackoffStrategy` | the strategies of the CDK read no HTTP date, and cannot wait for the longer of two |
| `ConversationsPagination` | `CursorPagination` has no memory: a repeated cursor loops for ever |
| `MessagesPagination`, `AccountsPagination` | `CursorPagination` cannot fail on a `next` that stands still |
| `keep_output_whole` | the CDK prints to whatever Python made of its standard output |
| `Bodies` | the time-outs of requests are for the pieces of a body alone |
| `Health` | the CDK asks for every partition of a stream, however many failed |
| `OldestFirstSubstreamRouter` | `SubstreamPartitionRouter` cannot resume where the parent is newest first |
| `ReportsPagination`, `MeetingsPagination` | `request_window_splitting` needs slices, which fill every worker |
| `StateGuard` | a state that cannot be read ends in an exception of the CDK that does not name the stream |
| `AuthenticatorGuard` | a refused refresh ends in a bare HTTP error, and one without a token is sent as `Bearer None` |
| `TokenInfoRequester` | `HttpRequester` follows redirects, and repeats a stale token in the body of a retry |
"""

import hashlib
import io
import logging
import random
import re
import sys
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import InitVar, dataclass, field
from email.utils import parsedate_to_datetime
from statistics import median_low
from typing import Any, TypeGuard
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import orjson
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.auth.declarative_authenticator import DeclarativeAuthenticator
from airbyte_cdk.sources.declarative.extractors.record_extractor import RecordExtractor
from airbyte_cdk.sources.declarative.migrations.state_migration import StateMigration
from airbyte_cdk.sources.declarative.partition_routers import SubstreamPartitionRouter
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.declarative.requesters.error_handlers import DefaultErrorHandler
from airbyte_cdk.sources.declarative.requesters.paginators.strategies.pagination_strategy import PaginationStrategy
from airbyte_cdk.sources.streams.http.error_handlers import BackoffStrategy
from airbyte_cdk.sources.streams.http.error_handlers.response_models import (
    SUCCESS_RESOLUTION,
    ErrorResolution,
    ResponseAction,
)
from airbyte_cdk.sources.types import Record, StreamSlice
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

WIND_DOWN = "Drift is being wound down: if this lasts, ask Salesloft whether your organisation is still served."
Answer = requests.Response | Exception | None

# What a body may take: requests has time-outs for its pieces alone, and unpacks whatever it is sent.
LONGEST_BODY = 300.0
MOST_BYTES = 100_000_000

NO_TOKEN = ("Bearer ", "Bearer None")
REFRESH_LOCK = threading.Lock()

# 2100-01-01. The cursors of the CDK end in 9999, and a state at their end would read nothing.
LATEST = 4_102_444_800_000
DAY = 86_400_000

logger = logging.getLogger("airbyte")
# It warns of odd headers with the URL, whose query may be an e-mail address.
logging.getLogger("urllib3").setLevel(logging.ERROR)


def keep_output_whole() -> None:
    """Buffers standard output where Python was told not to (`-u`, PYTHONUNBUFFERED).

    Then it takes a write that was cut short for a whole one, and a process that is stopped while it writes to a pipe,
    and goes on, loses parts of records. What holds the old standard output can go on with it.
    """
    stdout = sys.__stdout__
    if stdout is None or not isinstance(getattr(stdout, "buffer", None), io.RawIOBase):
        return
    whole = open(stdout.fileno(), "w", encoding=stdout.encoding, errors=stdout.errors, closefd=False)  # noqa: SIM115
    if sys.stdout is stdout:
        sys.stdout = whole
    sys.__stdout__ = whole  # type: ignore[misc]


keep_output_whole()


class UnexpectedAnswer(ValueError):
    """A 2xx answer that is not what was asked for. The text says in which way, and holds nothing of the body."""


class Health:
    """How the requests of one stream have gone, so that a stream that cannot be read is not asked for to the end.

    The CDK goes on with all other partitions where one fails: with a scope missing, or Drift down, every conversation
    would be asked for, each with all its attempts.
    """

    # Partitions handed out beyond those that were answered, before the first success and after it. The Connector
    # Builder, whose one worker cannot read while it is waited for, reads at most 20.
    FIRST, AHEAD = 25, 100
    MOST_FAILURES = 30
    LONGEST_WAIT = 90.0

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answers = self._failures = 0
        self._ahead = self.FIRST
        # The error with which the stream was given up.
        self.error: AirbyteTracedException | None = None

    def note(
        self, answer: Answer = None, *, succeeded: bool = False, error: AirbyteTracedException | None = None
    ) -> None:
        """Takes note of an answer: a success, one that ends in an error, or else one that will be tried again.

        A further page, which has a query, is of a partition that was answered before.
        """
        is_further = isinstance(answer, requests.Response) and urlsplit(url_of(answer)).query != ""
        with self._changed:
            self._answers += (succeeded or error is not None) and not is_further
            self._failures = 0 if succeeded else self._failures + bool(error)
            if succeeded and self._ahead == self.FIRST:
                self._ahead = self.AHEAD
            is_refused = error is not None and error.failure_type == FailureType.config_error
            if is_refused or self._failures >= self.MOST_FAILURES:
                self.error = self.error or error
            self._changed.notify_all()

    def ended(self, answer: Answer, error: AirbyteTracedException) -> AirbyteTracedException:
        """Takes note of an answer that ends in this error, and returns it to be raised."""
        self.note(answer, error=error)
        return error

    def has_room(self, handed_out: int) -> bool:
        """Whether another partition may be handed out without a wait."""
        return handed_out - self._answers < self._ahead and not self.error

    def wait_for_answers(self, handed_out: int) -> None:
        """Waits until another partition may be handed out, and never again once that took `LONGEST_WAIT` seconds.

        Raises what `raise_error` raises.
        """
        with self._changed:
            while not self.has_room(handed_out) and not self.error:
                if not self._changed.wait(self.LONGEST_WAIT):
                    self._ahead = sys.maxsize
        self.raise_error()

    def raise_error(self) -> None:
        """Raises the error with which the stream was given up, if it was, so that it cannot end as complete."""
        if self.error:
            raise failure(str(self.error.message), self.error.failure_type)


# Of the streams of a source, by its config, which is one object for all its components, and their names.
HEALTH: dict[tuple[int, str], Health] = {}
# Whether they go on from a saved state.
GOES_ON: dict[tuple[int, str], bool] = {}


def failure(message: str, failure_type: FailureType = FailureType.system_error) -> AirbyteTracedException:
    """An error whose message is shown to the user as it stands, and which carries nothing of request or answer."""
    return AirbyteTracedException(message=message, internal_message=message, failure_type=failure_type)


def body_of(response: requests.Response) -> Any:
    """The JSON body, parsed once per response. Raises `UnexpectedAnswer` where the body is not JSON.

    orjson refuses NaN, invalid UTF-8 and more than 1,024 levels, where `response.json()` passes or dies of them.
    """
    kept = vars(response)
    if "drift_body" not in kept:
        try:
            kept["drift_body"] = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            raise UnexpectedAnswer("a body that is not JSON" if response.content else "an empty body") from None
    return kept["drift_body"]


class Bodies:
    """The answers whose bodies are being read, each of which is cut off `LONGEST_BODY` seconds after it began.

    One thread looks after all of them, once a second: a timer for each would cost a tenth of what a request costs.
    """

    EVERY = 1.0

    def __init__(self) -> None:
        # By `id`, as an answer that passes by the cache has no hash.
        self._ends: dict[int, tuple[float, requests.Response]] = {}
        self._watch = threading.Thread()
        self._lock = threading.Lock()

    @contextmanager
    def in_time(self, response: requests.Response) -> Iterator[None]:
        """Shuts the connection of `response` where what is done here takes too long, so that reading it breaks off."""
        with self._lock:
            self._ends[id(response)] = time.monotonic() + LONGEST_BODY, response
            if not self._watch.is_alive():
                self._watch = threading.Thread(target=self._cut_off, daemon=True)
                self._watch.start()
        try:
            yield
        finally:
            with self._lock:
                del self._ends[id(response)]

    def _cut_off(self) -> None:
        while True:
            time.sleep(self.EVERY)
            with self._lock:
                late = [response for end, response in self._ends.values() if end < time.monotonic()]
            for response in late:
                with suppress(ValueError, RuntimeError, OSError):
                    response.raw.shutdown()


BODIES = Bodies()


def read_body(response: requests.Response, *args: Any, **kwargs: Any) -> None:
    """A hook of requests: reads the body within `LONGEST_BODY` seconds and `MOST_BYTES` unpacked bytes.

    A body that takes longer ends as one that was cut off, with `requests.exceptions.ChunkedEncodingError` or as it
    stands. Raises `AirbyteTracedException` for a larger one.
    """
    if getattr(response, "from_cache", False):
        return
    body = bytearray()
    with BODIES.in_time(response):
        for piece in response.iter_content(1 << 16):
            body += piece
            if len(body) > MOST_BYTES:
                response.close()
                raise failure(f"Drift answered {asked(response)} with more than {MOST_BYTES // 1_000_000} MB.")
    response._content = bytes(body)


def rows_of(response: requests.Response, records_at: list[str], envelope: str = "list") -> list[dict[str, Any]]:
    """The records of an answer, in its order.

    `records_at` is the path of keys from the root; the empty path is the root. `envelope` says what stands there: a
    `list` of records, `one` record, `list or one`, `counts` (an object of numbers, each read as `status` and `count`),
    or a `report` (rows of metrics in the order in which the request names them, "NaN" for none).

    Raises `UnexpectedAnswer` for any other shape, and for an error beside the records.
    """
    body = found = body_of(response)
    if isinstance(body, dict) and (body.get("error") or body.get("errors")):
        raise UnexpectedAnswer("an error object")
    for key in records_at:
        found = found.get(key) if isinstance(found, dict) else None
    rows = [found] if envelope == "one" or (envelope == "list or one" and isinstance(found, dict)) else found
    if envelope == "counts" and isinstance(found, dict) and all(is_time(count) for count in found.values()):
        rows = [{"status": status, "count": count} for status, count in found.items()]
    is_list = isinstance(rows, list) and (rows is not found or envelope != "counts")
    if not is_list or not all(isinstance(row, dict) and row for row in rows):
        wanted = {"list": "a list of objects", "one": "an object", "counts": "an object of numbers"}
        raise UnexpectedAnswer(
            f"JSON that has not {wanted.get(envelope, wanted['list'])} at {'.'.join(records_at) or 'its root'}"
        )
    return metrics_of(response, rows) if envelope == "report" else rows


def metrics_of(response: requests.Response, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a report with their metrics by name (devdocs conversation-reporting), None where there is none.

    Raises `UnexpectedAnswer` for a row that has not one number for each metric of the request, and for no `count`.
    """
    names = orjson.loads(response.request.body or b"{}")["metrics"]
    if not isinstance(body_of(response).get("count"), int):
        raise UnexpectedAnswer("a report without a count")
    records = []
    for row in rows:
        metrics = row.get("metrics")
        if row.get("conversationId") is None or not isinstance(metrics, list) or len(metrics) != len(names):
            raise UnexpectedAnswer("a report whose rows have not the metrics that were asked for")
        metrics = [None if metric == "NaN" else metric for metric in metrics]
        if not all(isinstance(metric, int | float | None) for metric in metrics):
            raise UnexpectedAnswer("a report that holds a metric which is no number")
        numbers = [int(metric) if isinstance(metric, bool) else metric for metric in metrics]
        records.append({"conversationId": row["conversationId"], **dict(zip(names, numbers, strict=True))})
    return records


def is_part(response: requests.Response, rows: list[dict[str, Any]]) -> bool:
    """Whether Drift held back records of an answer that has no pages.

    So it is where a report counts more or fewer rows than it has, where there are as many rows as the request's `limit`
    allows, and where a next page is named.
    """
    body = body_of(response)
    body = body if isinstance(body, dict) else {}
    limit = dict(parse_qsl(urlsplit(url_of(response)).query)).get("limit")
    is_full = limit is not None and len(rows) >= int(limit)
    names_more = any(isinstance(body.get(name), dict) and body[name].get("next") for name in ("links", "pagination"))
    return is_full or names_more or body.get("count", len(rows)) != len(rows)


def trouble_of(answer: Answer, records_at: list[str], envelope: str) -> str | None:
    """One sentence, fit for the user, on what is wrong with an answer; None where it is what was asked for."""
    if not isinstance(answer, requests.Response):
        return f"Drift could not be reached ({type(answer).__name__})."
    if not 200 <= answer.status_code < 300:
        return f"Drift answered {asked(answer)} with HTTP {answer.status_code}."
    try:
        rows_of(answer, records_at, envelope)
    except UnexpectedAnswer as error:
        return f"Drift answered {asked(answer)} with {error}."
    return None


def asked(response: requests.Response) -> str:
    """`GET /accounts`: the request without its query, which may hold an e-mail address or a cursor."""
    return f"{response.request.method} {urlsplit(url_of(response)).path}"


def url_of(response: requests.Response) -> str:
    """The URL that we asked for, with our fragment; a redirect on the same host may have changed it since."""
    return str((response.history or [response])[0].request.url)


def http_date(value: str | None) -> float | None:
    """Epoch seconds of an HTTP date (RFC 9110, 5.6.7), None where `value` is none."""
    try:
        return parsedate_to_datetime(value or "").timestamp()
    except (ValueError, OverflowError):
        return None


def clock_of(response: requests.Response) -> int:
    """Drift's clock: the last epoch millisecond that the answer's `Date` can mean, or ours where it has none."""
    date = http_date(response.headers.get("Date"))
    return int(time.time() * 1000) if date is None else int(date) * 1000 + 999


def is_time(value: Any) -> TypeGuard[float]:
    """Whether a value of Drift can be compared as epoch milliseconds."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_before(value: Any, moment: int) -> bool:
    """Whether a value of Drift is a time before `moment` (epoch milliseconds); what is no time never is."""
    return is_time(value) and value < moment


def time_of(value: Any) -> Any:
    """What the CDK takes a cursor value for: a text of a number is that number."""
    with suppress(ValueError):
        return int(value) if isinstance(value, str) else value
    return value


def fits_state(value: Any) -> bool:
    """Whether the CDK compares a cursor value as it should, or passes it over: null, and a text that is no number."""
    value = time_of(value)
    return isinstance(value, str | None) or (is_time(value) and 0 <= value < LATEST)


def says_end(body: Mapping[str, Any], *envelopes: str) -> bool:
    """Whether one of an answer's envelopes says whether there is a next page: `links` by being there."""
    found = {name: body.get(name) for name in envelopes}
    return isinstance(found.get("links"), dict) or any(
        isinstance(envelope, dict) and envelope.keys() & {"more", "next"} for envelope in found.values()
    )


def query_of(link: Any) -> str:
    """The query string of a link in an answer, '' where it has none or is no link."""
    try:
        return urlsplit(link).query if isinstance(link, str) else ""
    except ValueError:
        return ""


def version_of(row: Mapping[str, Any], row_key: str, cursor_field: str) -> str:
    """What tells a record from another, and from itself before it was updated."""
    return f"{row.get(row_key)}@{row.get(cursor_field)}"


def unread(
    response: requests.Response, rows: list[dict[str, Any]], row_key: str, cursor_field: str = ""
) -> list[dict[str, Any]]:
    """The records of a page that its pagination has not read before.

    A pagination says what it has read in the fragment of the request's URL, which is never sent: `after=KEY`, the
    record with which the page before ended; `since=MS`, the records older than that; `known=VERSION,...`, those. (The
    CDK's cache of the conversation list tells URLs apart by their fragment, too.)

    Raises `AirbyteTracedException` where the record of `after` is not there: those behind it may have moved before it.
    """
    read_before = dict(parse_qsl(urlsplit(url_of(response)).fragment))
    if "after" in read_before:
        keys = [str(row.get(row_key)) for row in rows]
        if read_before["after"] not in keys:
            message = "Records vanished from Drift's list while it was read, so others may have been missed."
            raise failure(f"{message} Run the sync again.", FailureType.transient_error)
        # Only where it stands first is it sure that nothing new came in before it.
        rows = rows[1:] if keys[0] == read_before["after"] else rows
    if "since" in read_before:
        since, known = int(read_before["since"]), set(read_before.get("known", "").split(","))
        rows = [
            row
            for row in rows
            if not is_before(row.get(cursor_field), since) and version_of(row, row_key, cursor_field) not in known
        ]
    return rows


@dataclass
class DriftRecordExtractor(RecordExtractor):
    """Yields the records of one of Drift's envelopes; see `rows_of` for `records_at` and `envelope`.

    `not_after_answer` names a field of epoch milliseconds that is lowered to Drift's clock where it lies ahead of it,
    so that no state runs ahead of the clock and hides what is updated until then. It says so once.

    Records that a pagination has read before are left out; see `unread` for that, `row_key` and `cursor_field`.

    An answer that is only a part of a window of time yields nothing (`splits_window`): it is asked for in halves.

    Raises `AirbyteTracedException` where the answer has another shape, where it is only a part although there are no
    pages (`whole_answer`), where it is another record than the path names (`key_in_path`), where `cursor_field` holds a
    time that no state can, and what `unread` raises.
    """

    parameters: InitVar[Mapping[str, Any]]
    records_at: list[str] = field(default_factory=list)
    envelope: str = "list"
    whole_answer: bool = False
    splits_window: bool = False
    not_after_answer: str | None = None
    row_key: str = "id"
    key_in_path: bool = False
    cursor_field: str = ""

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._warned = False

    def extract_records(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        trouble = trouble_of(response, self.records_at, self.envelope)
        if trouble:
            raise failure(trouble)
        rows = rows_of(response, self.records_at, self.envelope)
        if self.splits_window and is_part(response, rows):
            return []
        if self.whole_answer and is_part(response, rows):
            raise failure(f"Drift answered only a part of {asked(response)}, which is read as a whole.")
        path = urlsplit(url_of(response)).path.split("/")
        if self.key_in_path and not all(str(row.get(self.row_key)) in path for row in rows):
            raise failure(f"Drift answered {asked(response)} with another record than was asked for.")
        rows = unread(response, rows, self.row_key, self.cursor_field)
        if self.not_after_answer:
            rows = self._lowered(rows, self.not_after_answer, clock_of(response))
        if self.cursor_field and not all(fits_state(row.get(self.cursor_field)) for row in rows):
            message = f"Drift answered {asked(response)} with a {self.cursor_field} that no state can hold"
            raise failure(f"{message}: it is no time, or one before 1970 or after 2099.")
        return rows

    def _lowered(self, rows: list[dict[str, Any]], name: str, clock: int) -> list[dict[str, Any]]:
        # Copies, since the pagination recognises a record by the time that Drift sent.
        times = [time_of(row.get(name)) for row in rows]
        lowered = [
            {**row, name: clock} if is_time(at) and at > clock else row for row, at in zip(rows, times, strict=True)
        ]
        if lowered != rows and not self._warned:
            self._warned = True
            logger.warning(f"Drift sent records with {name} ahead of its own clock; it is lowered to that.")
        return lowered


@dataclass
class DriftErrorHandler(DefaultErrorHandler):
    """Says what an answer means: the manifest's filters for the statuses that they name, and in every case

    * a 2xx answer that is not what was asked for is retried, never read as empty;
    * an answer from another place than `api_url` raises `AirbyteTracedException`, whatever it holds;
    * a 401 refreshes the token with OAuth and fails at once with an access token;
    * 408, 425, 5xx and a broken connection are retried, any other status fails.

    What fails raises `AirbyteTracedException` here: the CDK's own FAIL logs the bodies of request and answer.
    """

    records_at: list[str] = field(default_factory=list)
    envelope: str = "list"
    name: str = ""
    # Seconds that one request may be throttled: the CDK's own 600 would end a sync in the middle of a long throttle.
    max_time: int = 3600

    def interpret_response(self, response_or_exception: Answer) -> ErrorResolution:
        answer = response_or_exception
        status = 0
        health = HEALTH.get((id(self.config), self.name), Health())
        if isinstance(answer, requests.Response):
            self._refuse_foreign(answer, health)
            status = answer.status_code
        trouble = trouble_of(answer, self.records_at, self.envelope)
        if trouble is None:
            health.note(answer, succeeded=True)
            return SUCCESS_RESOLUTION
        for response_filter in self.response_filters or []:
            resolution = response_filter.matches(answer)
            if resolution:
                return self._resolved(resolution, health, answer)
        fails = 300 <= status < 500 and status not in (408, 425)
        resolution = ErrorResolution(
            response_action=ResponseAction.FAIL if fails else ResponseAction.RETRY,
            failure_type=FailureType.system_error if status else FailureType.transient_error,
            error_message=trouble,
        )
        return self._resolved(resolution, health, answer)

    def _refuse_foreign(self, response: requests.Response, health: Health) -> None:
        hops = [*response.history, response]
        ours = urlsplit(self.config["api_url"].lower())[:2]
        if response.is_redirect or any(urlsplit(hop.url)[:2] != ours for hop in hops):
            error = failure(f"Drift redirects {asked(hops[0])} to another place. {WIND_DOWN}")
            raise health.ended(response, error)

    def _resolved(self, resolution: ErrorResolution, health: Health, answer: Answer) -> ErrorResolution:
        has_refresh = self.config["credentials"]["credentials"] == "oauth2.0"
        refreshes = resolution.response_action == ResponseAction.REFRESH_TOKEN_THEN_RETRY
        error = failure(str(resolution.error_message), resolution.failure_type or FailureType.system_error)
        fails = resolution.response_action == ResponseAction.FAIL or (refreshes and not has_refresh)
        if refreshes and has_refresh and isinstance(answer, requests.Response):
            # The CDK refreshes once for a request, and would show its whole URL where that is refused again.
            sent, kept = answer.request.headers.get("Authorization"), vars(answer.request)
            refused = kept.get("drift_refused")
            kept["drift_refused"] = sent
            fails = refused is not None
            if fails and refused == sent:
                message = "Drift refused the token, and it could not be refreshed. Run the sync again."
                error = failure(message, FailureType.transient_error)
        if fails:
            raise health.ended(answer, error)
        health.note(answer, succeeded=resolution.response_action == ResponseAction.IGNORE)
        return resolution


@dataclass
class DriftBackoffStrategy(BackoffStrategy):
    """Seconds to wait before a request is sent again: never None or 0, which would hand it to the CDK's own back-off.

    An exponential with jitter, at most `longest_wait`, or `Retry-After` where that is longer. A throttled request (429)
    is sent again for as long as the error handler's `max_time` allows, any other until it failed `max_attempts` times.

    Raises `AirbyteTracedException` at that last failure, and for a `Retry-After` beyond `longest_retry_after`.
    """

    config: Mapping[str, Any]
    parameters: InitVar[Mapping[str, Any]]
    records_at: list[str] = field(default_factory=list)
    envelope: str = "list"
    name: str = ""
    max_attempts: int = 8
    longest_wait: float = 60
    longest_retry_after: float = 600

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        # One instance serves many threads, and a thread sends one request, however often, before the next one.
        self._request = threading.local()

    def backoff_time(self, response_or_exception: Answer, attempt_count: int) -> float:
        answer = response_or_exception
        response = answer if isinstance(answer, requests.Response) else None
        trouble = trouble_of(answer, self.records_at, self.envelope)
        failures = 0 if attempt_count == 1 else getattr(self._request, "failures", 0)
        if response is None or response.status_code != 429:
            failures += 1
        self._request.failures = failures
        health = HEALTH.get((id(self.config), self.name), Health())
        if failures >= self.max_attempts or (failures and health.error):
            message = f"{trouble} It was asked {failures} times."
            error = failure(message)
            if response is None:
                error = failure(f"{message} {WIND_DOWN}", FailureType.transient_error)
            raise health.ended(answer, error)
        wait = min(self.longest_wait, 2.0 ** min(attempt_count - 1, 10)) * random.uniform(0.5, 1)  # noqa: S311
        if response is not None:
            wait = max(wait, self._retry_after(response, health))
        logger.info(f"{trouble} Waiting {wait:.1f} s before attempt {attempt_count + 1}.")
        return wait

    def _retry_after(self, response: requests.Response, health: Health) -> float:
        """`Retry-After` in seconds (RFC 9110, 10.2.3: seconds or an HTTP date), 0 where there is none to be read."""
        value = response.headers.get("Retry-After", "").strip()
        seconds = float(value) if re.fullmatch(r"\d{1,9}(\.\d+)?", value) else 0.0
        date = http_date(value)
        if date is not None:
            seconds = date - (http_date(response.headers.get("Date")) or time.time())
        if seconds > self.longest_retry_after:
            message = f"Drift asks to wait {seconds:.0f} s before {asked(response)}. Run the sync again after that."
            error = failure(message, FailureType.transient_error)
            raise health.ended(response, error)
        return seconds


@dataclass
class QueryPagination(PaginationStrategy):
    """A pagination whose token is the query string of the page, as the requester's `url` appends it.

    What names the next page is lifted out of the answer and sent to our own URL: no URL of an answer is requested.
    """

    parameters: InitVar[Mapping[str, Any]]
    page_size: int = 0
    records_at: list[str] = field(default_factory=list)
    row_key: str = "id"
    name: str = ""

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        pass

    @property
    @abstractmethod
    def initial_token(self) -> str | None:
        """The query of the first page, None where it has none."""

    @abstractmethod
    def next_query(self, response: requests.Response, query: str, stream_slice: Mapping[str, Any]) -> str | None:
        """The query of the page after the one that `query` named, None at the end of the walk."""

    def get_page_size(self) -> int | None:
        return self.page_size or None

    def next_page_token(
        self,
        response: requests.Response,
        last_page_size: int,
        last_record: Record | None,
        last_page_token_value: str | None = None,
        page_size_override: int | None = None,
        stream_slice: StreamSlice | None = None,
    ) -> str | None:
        return self.next_query(response, last_page_token_value or self.initial_token or "", stream_slice or {})

    def named(self, envelope: Any) -> str | None:
        """The `next` of one of an answer's envelopes, None where it names nothing."""
        following = (envelope or {}).get("next") if isinstance(envelope, dict | None) else True
        if isinstance(following, bool) or not isinstance(following, str | int | None):
            raise failure(f"Drift named the next page of the {self.name} in a way that cannot be read.")
        return None if following in (None, "") else str(following)

    def refuse_start(self, start: int, clock: int) -> None:
        """Raises `AirbyteTracedException` where a walk would begin ahead of Drift's clock and so find nothing."""
        if start > clock:
            message = (
                f"The {self.name} would be read from a moment that lies ahead of Drift's clock, and none until then."
                " Correct `start_date`, or clear the state of the stream."
            )
            raise failure(message, FailureType.config_error)

    def overlap(self, rows: list[dict[str, Any]], offset: int, following: int) -> tuple[int, dict[str, Any]]:
        """Where to ask for the page at `following` of a list that is paged by position, and what marks its beginning.

        A record that vanishes moves all others up, past a walk by position. So a page is asked for from the last record
        of the page before it, and the extractor sees that it is there. Where `following` is not the position behind
        that record, positions mean something else, and the page is asked for as it was named.
        """
        if len(rows) < 2 or following != offset + len(rows):
            return following, {}
        return following - 1, {"after": rows[-1].get(self.row_key)}


def page_query(parameters: Mapping[str, Any], read_before: Mapping[str, Any]) -> str:
    """The query of a page, with what was read before it for the extractor in a fragment, which is never sent."""
    return urlencode(parameters) + (f"#{urlencode(read_before)}" if read_before else "")


@dataclass
class ConversationsPagination(QueryPagination):
    """Walks the conversation list, newest first, in whichever of Drift's two generations of paging it answers.

    The newer one names the next page in `links.next` (its `page_token`), the older one in `pagination.next`; the link
    wins where both do. A walk ends where no page is named, where an empty page names none that is new, and after a
    page of several records that are all older than the slice's `start_time` (state minus look-back): a single one that
    is dated oddly, all that is left of its page, ends nothing.

    A conversation that is updated during a walk leaves its place for one that has been read. So a walk of several pages
    is followed by another, for what is new since it began (less `look_back`, in milliseconds), until one finds nothing.

    The walk is remembered on the instance: the list is one partition, read by one thread.

    Raises `AirbyteTracedException` for a page named twice, for a third empty page in a row that names yet another,
    for a page it cannot name, where `max_walks` do not reach the end of the changes, and where `start_time` lies ahead
    of Drift's clock: nothing would be read until then.
    """

    cursor_field: str = "updatedAt"
    look_back: int = 600_000
    max_walks: int = 10
    most_known: int = 500

    @property
    def initial_token(self) -> str:
        return urlencode({"limit": self.page_size, "page_token": ""})

    def next_query(self, response: requests.Response, query: str, stream_slice: Mapping[str, Any]) -> str | None:
        clock = clock_of(response)
        if query == self.initial_token:
            start = int(stream_slice.get("start_time") or 0)
            self.refuse_start(start, clock)
            self._walks = 0
            self._versions: set[str] = set()
            self._begin(start, {})
        rows = rows_of(response, self.records_at)
        times = [row[self.cursor_field] for row in rows if is_time(row.get(self.cursor_field))]
        if self._pages == 0:
            newest = max([time_sent for time_sent in times if time_sent <= clock], default=clock)
            self._begun_at = int(newest) - self.look_back
        is_news = [self._is_news(row) for row in rows]
        if any(is_news):
            self._has_news = True
        self._pages += 1
        self._clocks.setdefault(getattr(response, "from_cache", False), []).append(clock)
        is_over = not any(is_news) and len([at for at in times if at < self._start]) > 1
        parameters = None if is_over else self._following(response, rows, query)
        if parameters is not None:
            return page_query({"limit": self.page_size} | parameters, self._read_before | self._overlap)
        if self._pages == 1 or not self._has_news:
            return None
        if self._walks == self.max_walks:
            message = "Drift's conversation list changes faster than it can be read. Run the sync again."
            raise failure(message, FailureType.transient_error)
        # The cache may answer this walk where it answered all of the one before, and only with what followed that.
        (clocks, *others) = self._clocks.values()
        read_at = time.time_ns() if others else max(clocks)
        versions = ",".join(sorted(self._versions))
        # So many that each URL would be long come again, and their key tells it; the cache still tells them apart.
        known = {"known": versions}
        if len(self._versions) > self.most_known:
            known = {"many": hashlib.sha256(versions.encode()).hexdigest()}
        self._begin(self._begun_at, {"since": self._begun_at, "read_at": read_at} | known)
        return page_query({"limit": self.page_size, "page_token": ""}, self._read_before)

    def _begin(self, start: int, read_before: dict[str, Any]) -> None:
        self._walks += 1
        self._start = start
        self._read_before = read_before
        self._overlap: dict[str, Any] = {}
        self._pages = self._empty_pages = 0
        self._clocks: dict[bool, list[int]] = {}
        self._has_news = False
        self._seen: set[str] = set()
        self._last_keys: set[str] = set()
        self._by_links: bool | None = None

    def _is_news(self, row: Mapping[str, Any]) -> bool:
        """Whether a record is neither older than this walk reaches nor the same as an earlier walk found it."""
        version = version_of(row, self.row_key, self.cursor_field)
        is_known = bool(self._read_before) and version in self._versions
        if not is_before(row.get(self.cursor_field), self._begun_at):
            self._versions.add(version)
        return not is_known and not is_before(row.get(self.cursor_field), self._start)

    def _following(self, response: requests.Response, rows: list[dict[str, Any]], query: str) -> dict[str, Any] | None:
        body = body_of(response)
        following = self.named(body.get("links")) if self._by_links is not False else None
        by_links = following is not None
        if following is None:
            following = self.named(body.get("pagination"))
        says_more = (body.get("pagination") or {}).get("more")
        if following is None and says_more is True:
            raise failure("Drift says that it has more conversations, but names no next page.")
        if following is None and len(rows) >= self.page_size and not says_end(body, "links", "pagination"):
            following = self._position_behind(rows, query)
        if following is None or (not by_links and says_more is False):
            return None
        if self._by_links not in (None, by_links):
            raise failure("Drift changed the way it names the pages of the conversation list in the middle of it.")
        self._by_links = by_links
        if by_links:
            following = parse_qs(query_of(following)).get("page_token", [""])[0]
            if not following:
                raise failure("Drift named a next page of the conversation list without a page_token.")
        # A page that only repeats the one before it, or the record that it overlaps it by, holds nothing either.
        keys = {str(row.get(self.row_key)) for row in rows}
        is_empty = keys <= self._last_keys
        self._last_keys = keys
        if following in self._seen and keys <= set(map(str, self._overlap.values())):
            return None
        if following in self._seen:
            raise failure("Drift named the same page of the conversation list twice.")
        self._seen.add(following)
        self._empty_pages = self._empty_pages + 1 if is_empty else 0
        if self._empty_pages == 3:
            raise failure("Drift answered three empty pages of the conversation list in a row, and named yet another.")
        if by_links:
            return {"page_token": following}
        last = self._position_of(query)
        if not re.fullmatch(r"\d{1,15}", following) or last is None:
            return {"next": following}
        position, self._overlap = self.overlap(rows, last, int(following))
        return {"next": position if self._overlap else following}

    def _position_of(self, query: str) -> int | None:
        """The position that the older generation was asked for, None where it is named in another way."""
        last = dict(parse_qsl(query.partition("#")[0])).get("next", "0")
        return int(last) if re.fullmatch(r"\d{1,15}", last) else None

    def _position_behind(self, rows: list[dict[str, Any]], query: str) -> str:
        """The position behind a full page of the older generation, which does not say whether it is the last one."""
        last = self._position_of(query)
        if self._by_links or last is None:
            raise failure("Drift answered a full page of conversations without saying whether there is another.")
        return str(last + len(rows))


@dataclass
class MessagesPagination(QueryPagination):
    """Walks the messages of a conversation by `pagination.next`, which is sent back as `next`.

    A walk ends where `more` is false or where no next page is named. Drift fixes the size of a page; `page_size` is
    what it is. One instance serves many threads: what a walk remembers travels in the fragment of the URL, which is
    never sent.

    Raises `AirbyteTracedException` for a full page that says nothing about a next one, for `more` without a `next`, for
    a walk in circles, and for a third empty page in a row that names yet another.
    """

    @property
    def initial_token(self) -> None:
        return None

    def next_query(self, response: requests.Response, query: str, stream_slice: Mapping[str, Any]) -> str | None:
        rows = rows_of(response, self.records_at)
        pagination = body_of(response).get("pagination")
        if len(rows) >= self.page_size and not says_end(body_of(response), "pagination"):
            raise failure("Drift answered a full page of messages without saying whether there is another.")
        following = self.named(pagination)
        more = (pagination or {}).get("more")
        if following is None and more is True:
            raise failure("Drift says that a conversation has more messages, but names no next page.")
        if following is None or more is False:
            return None
        walk = dict(parse_qsl(query.partition("#")[2]))
        if following == walk.get("mark"):
            raise failure("Drift named the same page of messages twice.")
        pages = int(walk.get("pages", 0)) + 1
        empty_pages = 0 if rows else int(walk.get("empty_pages", 0)) + 1
        if empty_pages == 3:
            raise failure("Drift answered three empty pages of messages in a row, and named yet another.")
        # Brent's way to find a circle of any length with one name: it is taken anew after 1, 2, 4, 8, ... pages.
        mark = walk["mark"] if pages & (pages - 1) else following
        return page_query({"next": following}, {"pages": pages, "mark": mark, "empty_pages": empty_pages})


@dataclass
class AccountsPagination(QueryPagination):
    """Walks the accounts by the `index` and `size` of `data.next`, which may be relative or absolute.

    Raises `AirbyteTracedException` for a `next` that does not move forward, that skips accounts or that cannot be read,
    for an empty page that names a next one although `data.total` says that there is none, and for the other way round;
    and where a list that is paged by position gave fewer accounts than it held all the while: one has moved past the
    walk. The walk is remembered on the instance: the list is one partition, read by one thread.
    """

    @property
    def initial_token(self) -> str:
        return urlencode({"index": 0, "size": self.page_size})

    def next_query(self, response: requests.Response, query: str, stream_slice: Mapping[str, Any]) -> str | None:
        data = body_of(response)["data"]
        rows = rows_of(response, self.records_at)
        total = data["total"] if is_time(data.get("total")) else 0
        if query == self.initial_token:
            self._keys: set[str] = set()
            self._least_total = total
            self._by_position = True
        self._keys.update(str(row.get(self.row_key)) for row in rows)
        self._least_total = min(self._least_total, total)
        last_index, last_size = self._position(query.partition("#")[0])
        if not data.get("next"):
            if last_index + last_size < total:
                raise failure(f"Drift ended the list of its {total} accounts before their end.")
            if self._by_position and len(self._keys) < self._least_total:
                message = "Accounts changed places while they were read, so others may have been missed."
                raise failure(f"{message} Run the sync again.", FailureType.transient_error)
            return None
        index, size = self._position(query_of(data["next"]))
        self._by_position = self._by_position and index == last_index + len(rows)
        if not max(last_index + 1, last_index + len(rows)) <= index <= last_index + last_size:
            raise failure("Drift named a next page of the accounts that does not follow the page before it.")
        if not unread(response, rows, self.row_key) and last_index >= total:
            raise failure("Drift answered an empty page of accounts and named yet another.")
        position, read_before = self.overlap(rows, last_index, index)
        return page_query({"index": position, "size": size}, read_before)

    def _position(self, query: str) -> tuple[int, int]:
        named = dict(parse_qsl(query))
        try:
            return int(named["index"]), int(named.get("size", self.page_size))
        except (KeyError, ValueError):
            raise failure("Drift named a next page of the accounts in a way that cannot be read.") from None


@dataclass
class WindowPagination(QueryPagination):
    """Walks a range of time by windows, oldest first, where Drift gives no pages but may give only a part of a window.

    All times are epoch milliseconds. A window that Drift gives a part of is asked for in halves, of its time or of the
    records in that part, whichever is shorter. Behind it the windows grow again: twice as wide, or to what four fifths
    of `page_size` need where that is known. Windows share their ends, as it is not documented which of them belong to a
    range.

    One after the other, and not as slices of a cursor (`step`): while those wait for the budget of the reports, they
    occupy every worker.
    """

    cursor_field: str = ""
    widest: int = 30 * DAY
    narrowest: int = 3_600_000

    def next_window(self, low: int, high: int, end: int, response: requests.Response) -> tuple[int, int] | None:
        """The window after the one from `low` to `high`, None at the `end`.

        Raises `AirbyteTracedException` for a part of a window that is too narrow to be halved.
        """
        rows = rows_of(response, self.records_at)
        # Drift may answer records of other times, too: those say nothing of how crowded this one is.
        times = [time_of(row.get(self.cursor_field)) for row in rows]
        inside = [at for at in times if is_time(at) and low <= at <= high]
        if not is_part(response, rows):
            times_wider = 0.8 * self.page_size / max(1, len(inside)) if self.page_size else 2
            width = min(self.widest, max(self.narrowest // 2, int(times_wider * (high - low))))
            return None if high >= end else (high, min(end, high + width))
        if high - low <= self.narrowest:
            message = f"Drift gives only a part of the {self.name} even of {self.narrowest // 60_000} minutes."
            raise failure(f"{message} Run the sync again; if this lasts, they cannot be read completely.")
        # A millisecond behind a record, so that no window begins with one that came before.
        median = int(median_low(inside or [high])) + 1
        return low, min((low + high) // 2, max(median, low + self.narrowest))


@dataclass
class ReportsPagination(WindowPagination):
    """Walks the report on conversations by their `updatedAt`, from the slice's `start_time` on.

    The manifest writes the window into the body of the request: the first one from the slice, and those that follow
    from the fragment of the URL, which is never sent. What is dated ahead of Drift's clock belongs to the last one.
    """

    @property
    def initial_token(self) -> None:
        return None

    def next_query(self, response: requests.Response, query: str, stream_slice: Mapping[str, Any]) -> str | None:
        clock = clock_of(response)
        low, high = orjson.loads(response.request.body or b"")["filters"][0]["values"]
        if not query:
            self.refuse_start(low, clock)
        is_last = high >= LATEST
        window = self.next_window(low, clock if is_last else high, clock, response)
        if window is None and is_last:
            return None
        low, high = window or (high, LATEST)
        return f"#{low}-{LATEST if high >= clock else high}"


@dataclass
class MeetingsPagination(WindowPagination):
    """Walks the booked meetings by `slotStart`, from `days_back` to `days_ahead` (devdocs get-booked-meetings)."""

    narrowest: int = 60_000
    widest: int = 1000 * DAY
    days_back: int = 31
    days_ahead: int = 731

    @property
    def initial_token(self) -> str:
        now = int(time.time() * 1000)
        return self._query(now - self.days_back * DAY, now + self.days_ahead * DAY)

    def next_query(self, response: requests.Response, query: str, stream_slice: Mapping[str, Any]) -> str | None:
        asked_for, _, end = query.partition("#")
        window = dict(parse_qsl(asked_for))
        low, high = int(window["min_start_time"]), int(window["max_start_time"])
        following = self.next_window(low, high, int(end or high), response)
        return following and f"{self._query(*following)}#{end or high}"

    def _query(self, low: int, high: int) -> str:
        return urlencode({"min_start_time": low, "max_start_time": high, "limit": self.page_size})


@dataclass
class OldestFirstSubstreamRouter(SubstreamPartitionRouter):
    """Reads the children of the conversations, which Drift lists newest first, oldest first, so that they can resume.

    Lists the conversations that changed since the child's own state, and only then yields each distinct value of the
    parent key once, by ascending cursor. The state is a floor: every conversation older than it has been yielded
    before. The CDK keeps a floor once all partitions up to it are closed, and the next sync lists from it on, with the
    conversations that are dated the same. Where the list cannot be read, the floor stays.

    One page after the other leaves most of the rate limit unused, so the first sync yields keys while it lists, as many
    as workers can take at once, and no more than can be asked for in `read_early` seconds. They move no floor, and one
    that fails holds up all floors, hence what goes on from a state yields none early but a few, which show that the
    sync is alive. As they may be updated after that, no floor rises above what was listed before the first of them.

    The parent's cursor is epoch milliseconds, never ahead of Drift's clock (`not_after_answer`). A conversation without
    one is read first, and moves nothing. State has the form of `SubstreamPartitionRouter`, and either goes on from the
    other's.

    Raises `AirbyteTracedException` for a conversation without an id and for a key that cannot stand in a path.
    """

    name: str = ""
    # Partitions between two floors: the CDK holds on to every floor that it cannot keep yet.
    checkpoint_every: int = 50
    read_early: int = 300

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        (self._parent,) = self.parent_stream_configs
        self._cursor_field: str = self._parent.stream.cursor.cursor_field.cursor_field_key  # type: ignore[attr-defined]
        self._floor = int(self._parent.stream.cursor.state[self._cursor_field])

    def stream_slices(self) -> Iterable[StreamSlice]:
        health = HEALTH[id(self.config), self.name] = Health()
        newest: dict[int | str, int] = {}
        listed = yielded = 0
        goes_on = GOES_ON.get((id(self.config), self.name))
        most_early = 0 if goes_on else self.read_early * (self.config.get("max_requests_per_second") or 35)
        early: set[int | str] = set()
        highest_floor = LATEST
        for key, cursor in self._listed():
            health.raise_error()
            listed += 1
            if key is None:
                continue
            is_new = key not in newest
            newest[key] = max(newest.get(key, 0), cursor)
            # The newest are left for the end, where the floor rises as far as it may.
            is_early = len(newest) > self.checkpoint_every and len(early) < most_early + listed // 1000
            if is_new and is_early and health.has_room(len(early)):
                highest_floor = highest_floor if early else max(newest.values())
                early.add(key)
                yield self._slice(key)
        logger.info(f"{self.name}: {listed} conversations to read, oldest first, in {len(newest)} requests or more.")
        for key in early:
            del newest[key]
        keys = sorted(newest, key=newest.__getitem__, reverse=True)
        while keys:
            # Taken from the end, so that memory is given back on the way.
            key = keys.pop()
            cursor = newest.pop(key)
            health.wait_for_answers(len(early) + yielded)
            if yielded % self.checkpoint_every == 0 or not keys:
                self._floor = max(self._floor, min(cursor, highest_floor))
            yielded += 1
            yield self._slice(key)

    def _slice(self, key: int | str) -> StreamSlice:
        partition_field = self._parent.partition_field.eval(self.config)  # type: ignore[union-attr]
        return StreamSlice(partition={partition_field: key}, cursor_slice={})

    def _listed(self) -> Iterator[tuple[int | str | None, int]]:
        """The parent key, None where it has none, and the cursor of each conversation, in the order of the list."""
        parent_key = self._parent.parent_key.eval(self.config)  # type: ignore[union-attr]
        for partition in self._parent.stream.generate_partitions():
            for record in partition.read():
                if record.data.get("id") is None:
                    raise failure("Drift listed a conversation without an id, so nothing can be read of it.")
                key = record.data.get(parent_key)
                is_key = isinstance(key, int | str) and not isinstance(key, bool)
                if key is not None and not (is_key and re.fullmatch(r"[A-Za-z0-9_-]{1,100}", str(key))):
                    raise failure(f"Drift listed a conversation with a {parent_key} that cannot be asked for.")
                updated_at = record.data.get(self._cursor_field)
                yield key, int(updated_at) if is_time(updated_at) else 0

    def get_stream_state(self) -> Mapping[str, Any]:
        return {self._parent.stream.name: {self._cursor_field: str(self._floor)}}


@dataclass
class StateGuard(StateMigration):
    """Refuses a saved state that nobody wrote, on which the CDK would fail in words that help nobody.

    Notes in `GOES_ON` whether there is one, which the CDK shows to no other component.

    Raises `AirbyteTracedException` (config) naming the stream.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    cursor_field: str = ""

    def should_migrate(self, stream_state: Mapping[str, Any]) -> bool:
        return True

    def migrate(self, stream_state: Mapping[str, Any]) -> Mapping[str, Any]:
        GOES_ON[id(self.config), self.name] = bool(stream_state)
        try:
            groups = [stream_state.get("state", {}), *stream_state.get("parent_state", {}).values()]
            groups += [one["cursor"] for one in stream_state.get("states", [])]
            kept = [stream_state.get(self.cursor_field, 0), stream_state.get("lookback_window", 0)]
            times = [int(value) for value in [*kept, *(value for group in groups for value in group.values())]]
        except (AttributeError, KeyError, TypeError, ValueError):
            times = [-1]
        if not 0 <= min(times) <= max(times) < LATEST:
            message = f"The saved state of the stream {self.name} cannot be read."
            raise failure(f"{message} Clear it, and the stream is read from the start.", FailureType.config_error)
        return stream_state


@dataclass
class AuthenticatorGuard(DeclarativeAuthenticator):
    """The manifest's authenticator, with a sentence for each way in which it yields no usable token.

    Exchanges and keeps no token itself. Raises `AirbyteTracedException` where Drift refuses to refresh the token,
    where its answer holds none, and where a token cannot be a header value (requests would print it in its error).
    """

    authenticator: DeclarativeAuthenticator
    parameters: InitVar[Mapping[str, Any]]
    # Seconds, more than the 300 for which the CDK repeats a refresh that fails; it has no time-out for one that hangs.
    longest_refresh: float = 330

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._given = threading.local()
        self._hangs = False
        self._fixed: Mapping[str, Any] = {}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # The CDK signs a request anew before it repeats it; its cache would answer what it answered before.
        if read_body in request.hooks["response"]:
            request.headers["Cache-Control"] = "no-cache"
        else:
            request.register_hook("response", read_body)  # type: ignore[no-untyped-call]
        request.headers.update(self.get_auth_header())
        return request

    def get_auth_header(self) -> Mapping[str, Any]:
        # The CDK asks twice for each request, and would evaluate the template of an access token each time.
        if self._fixed:
            return self._fixed
        with self._refresh_in_words():
            expires = getattr(self.authenticator, "token_has_expired", None)
            if expires is None or not expires():
                header = self.authenticator.get_auth_header()
            else:
                header = self._in_time(self.authenticator.get_auth_header)
            if header["Authorization"] in NO_TOKEN and expires is not None:
                # A saved config may hold no token, but a time until which that need not be renewed.
                self._in_time(self.authenticator.refresh_and_set_access_token)  # type: ignore[attr-defined]
                header = self.authenticator.get_auth_header()
        if header["Authorization"] in NO_TOKEN:
            message = "There is no access token. Re-authenticate this source, or enter a token."
            raise failure(message, FailureType.config_error)
        # With a quote or a backslash it would stand escaped in a body of JSON, where the CDK's log does not find it.
        if not re.fullmatch(r"Bearer [\x21\x23-\x5b\x5d-\x7e]+", header["Authorization"]):
            message = (
                "The access token holds a character that no token has, such as a blank, a quote or an ellipsis."
                " Copy it again."
            )
            raise failure(message, FailureType.config_error)
        self._given.header = header
        if expires is None:
            self._fixed = header
        return header

    def refresh_and_set_access_token(self) -> None:
        # The CDK looks whether another thread has refreshed the token, and only then waits for its turn to refresh it.
        with REFRESH_LOCK, self._refresh_in_words():
            if self._in_time(self.authenticator.get_auth_header) == self._given.header:
                self._in_time(self.authenticator.refresh_and_set_access_token)  # type: ignore[attr-defined]

    def _in_time(self, refresh: Callable[[], Any]) -> Any:
        """What `refresh` returns. Raises `requests.Timeout` where it hangs, and from then on at once."""
        outcome: Future[Any] = Future()

        def settle() -> None:
            try:
                outcome.set_result(refresh())
            except BaseException as error:
                outcome.set_exception(error)

        if not self._hangs:
            # A thread that does not keep the process alive.
            threading.Thread(target=settle, daemon=True).start()
            with suppress(TimeoutError):
                return outcome.result(self.longest_refresh)
            self._hangs = True
        raise requests.Timeout

    @contextmanager
    def _refresh_in_words(self) -> Iterator[None]:
        try:
            yield
        except (requests.RequestException, AirbyteTracedException) as error:
            status = getattr(getattr(error, "response", None), "status_code", 0)
            refused = 400 <= status < 500 and status != 429
            if refused or getattr(error, "failure_type", None) == FailureType.config_error:
                message = "Drift refused to refresh the OAuth token. Re-authenticate this source."
                raise failure(message, FailureType.config_error) from None
            message = f"The OAuth token could not be refreshed ({type(error).__name__}). {WIND_DOWN}"
            raise failure(message, FailureType.transient_error) from None


@dataclass
class TokenInBody(requests.auth.AuthBase):
    """Sends the token of an authenticator in the header and in the JSON body, anew at every attempt."""

    authenticator: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.authenticator, name)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request = self.authenticator(request)
        request.prepare_body(data=None, files=None, json={"access_token": request.headers["Authorization"].split()[1]})
        return request


@dataclass
class TokenInfoRequester(HttpRequester):
    """Asks Drift about the token itself, `POST /app/token_info` (devdocs: get-token-information).

    Drift wants the token in the body too, which no library drops on a redirect to another host: none is followed.
    """

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self.authenticator = TokenInBody(self.authenticator)  # type: ignore[assignment]
        super().__post_init__(parameters)

    def send_request(self, *args: Any, **kwargs: Any) -> requests.Response:
        _, response = self._http_client.send_request(
            http_method=self.get_method().value,
            url=self.get_url(stream_slice=kwargs["stream_slice"]),
            request_kwargs={"allow_redirects": False},
            log_formatter=kwargs.get("log_formatter"),
        )
        if response.status_code == 400:
            logger.warning("Drift accepts the token, but does not describe it: its scopes are unknown.")
        return response
