"""What the manifest cannot say in YAML; each class says why. Checked against airbyte-cdk 7.39.1."""

import json
import logging
import random
import re
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import InitVar, dataclass
from email.utils import parsedate_to_datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

import airbyte_cdk as cdk
import orjson
import requests
import urllib3
from airbyte_cdk.sources.declarative.migrations.state_migration import StateMigration
from airbyte_cdk.sources.streams.http.error_handlers import ErrorHandler
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction

CONFIG, SYSTEM, TRANSIENT = (cdk.FailureType(f"{kind}_error") for kind in ("config", "system", "transient"))
WIND_DOWN = "Drift is being wound down; if this lasts, ask Salesloft whether your organization is still served."
# Milliseconds by which a state may run ahead of Drift's clock; the cursors of the manifest look back as far.
LOOK_BACK = 600_000
# Where an answer may name the next page, likeliest first, and where it may tell how many rows there are.
PLACES = ("links", "_links", "pagination", "data", "data.pagination", "")
TOTALS = ("total", "count", "pagination.total", "data.total", "data.count")
REQUEST = {"verdict": "", "failures": 0, "lively": 0, "denied": 0, "before": 0, "waited": 0.0, "renewal": ""}
WALK: dict[str, Any] = {"pages": 0, "fresh": 0, "above": None, "partition": None, "child": None}


def failure(message: str, failure_type: cdk.FailureType = SYSTEM) -> cdk.AirbyteTracedException:
    """An error whose message is shown to the user as it stands, and which carries nothing of request or answer."""
    return cdk.AirbyteTracedException(message=message, internal_message=message, failure_type=failure_type)


class StreamNotes(list[Any]):
    """What the components of a stream share ('': of all streams), on the API budget, the one thing that all are given.
    The list is of children that could not be read. A deep copy is itself: the CDK copies a state when it hands a child
    out, and a child that fails after that must stand in the state that passes it.
    """

    def __init__(self, name: str) -> None:
        self.name, self.what, self.reason, self.scope, self.last = name, "rows", "", "", dict[str, Any]()
        self.found = self.gone = self.refused = self.failed_in_a_row = self.handed_out = 0
        self.lock, self.room, self.error = threading.Lock(), threading.Semaphore(100), list[Any]()
        self.threads, self.metrics = dict[int, SimpleNamespace](), dict[str, bool | None]()
        self.saved, self.said = list[Any](), set[str]()

    def __deepcopy__(self, memo: Any) -> "StreamNotes":
        return self

    @property
    def thread(self) -> SimpleNamespace:
        return self.threads.setdefault(threading.get_ident(), SimpleNamespace(kept={}, seen={}, **REQUEST, **WALK))

    def warn(self, sentence: str, kind: str) -> None:
        """One WARN line of each kind in a sync. It holds figures and names of fields, never data."""
        logging.getLogger("airbyte").warning(f"{self.name}: {sentence}") if kind not in self.said else None
        self.said.add(kind)

    def stop(self, message: str, failure_type: cdk.FailureType = SYSTEM) -> Any:
        """The error that ends the stream: whatever has not begun raises it, too."""
        self.error = self.error or [message, failure_type]
        return self.end(failure(message, failure_type))

    def begin(self, partition: Any, child: Any) -> None:
        """This thread begins to read a child; the last one only when all others have had their last answer."""
        self.end(failure(""))
        self.thread.partition, self.thread.child = partition, child
        all(self.room.acquire(timeout=4000) for _ in range(99 if partition == self.last else 0))
        if self.error:
            raise self.end(failure(*self.error))
        if self.gone and partition == self.last:
            self.warn(f"{self.gone:,} of {self.handed_out:,} no longer exist in Drift; they were skipped.", "gone")

    def end(self, error: Any = None) -> Any:
        """The child of this thread has had its last answer. Raises in the last one if any could not be read."""
        partition, self.thread.partition = self.thread.partition, None
        self.room.release() if partition else None
        if self and not error and partition and partition == self.last:
            text = f"{len(self):,} of the {self.what} could not be read; the next sync asks for them. {self.reason}"
            raise self.stop(*((self.scope, CONFIG) if self.refused and not self.found else (text, SYSTEM)))
        return error

    def miss(self, text: str, kind: cdk.FailureType = SYSTEM) -> None:
        """Puts the child of this thread on the retry list. Raises where there is none, or where the list is full."""
        if not self.handed_out:
            raise self.end(failure(text, kind))
        if self.thread.child not in self and len(self) >= 100:
            raise self.stop(f"More than 100 {self.what} could not be read. {text}", kind)
        self.reason = self.reason or text
        self.extend({self.thread.child} - set(self))

    def ignore(self, answer: Any, text: str) -> ErrorResolution:
        vars(answer).update(drift_rows=[], drift_body=None)
        self.end()
        return ErrorResolution(ResponseAction.IGNORE, None, text)


def notes_of(api_budget: Any, name: str) -> StreamNotes:
    return vars(api_budget).setdefault(f"notes on {name}", StreamNotes(name))  # type: ignore[no-any-return]


def time_of(value: Any) -> int | None:
    """A value of Drift as epoch milliseconds; None for what cannot be a time of Drift's, such as 0 or microseconds."""
    value = int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value) else value
    return int(value) if isinstance(value, int | float) and 1e11 <= value < 1e14 else None


@dataclass
class NamedPages(cdk.RecordExtractor, cdk.PaginationStrategy, StateMigration):
    """Reads the records of an answer, where the CDK's extractors take a missing path for zero records, and asks for the
    page that it names, where `CursorPagination`, without a memory, loops for ever and sees nothing of what moved. Takes
    only the query of what is named: no URL of an answer is requested. As a state migration it notes the retry list.
    """

    config: Mapping[str, Any]
    parameters: InitVar[Mapping[str, Any]]
    api_budget: Any = None
    # What a stream may say of itself in its `$parameters`; the manifest explains it.
    name, records_at, cursor_field, instead, required_scope, first, most_idle = "", "data", "", "", "", "", 100
    one = never_absent = child = windowed = newest_first = False
    key, only = ("id",), tuple[str, ...]()

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        vars(self).update(parameters)
        self.notes, self.source = notes_of(self.api_budget, self.name), notes_of(self.api_budget, "")

    def extract_records(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        """The rows as Drift sent them, but for those that this walk has read before."""
        walk, records, clock = self.notes.thread, [], time.time()
        with suppress(ValueError, OverflowError):
            # Drift's own clock, unless the answer was kept somewhere for a day.
            theirs = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
            clock = theirs if abs(theirs - clock) < 86400 else clock
        walk.clock, walk.fresh = int(clock * 1000), 0
        token = str(response.request.headers.get("Authorization")).removeprefix("Bearer ")
        for row in self.rows(response) or []:
            sent, moment = row.get(self.cursor_field), time_of(row.get(self.cursor_field))
            version = repr([*map(row.get, self.key), sent])
            is_new = version not in walk.kept and (walk.above is None or (moment or 0) > walk.above)
            walk.fresh += version not in walk.seen
            walk.kept[version] = walk.seen[version] = None
            if sent is not None and (moment is None or moment > walk.clock + LOOK_BACK):
                row = row | {self.cursor_field: self._as_cursor(sent, moment and walk.clock + LOOK_BACK)}
                self.notes.warn(f"some {self.cursor_field} lie ahead of Drift's clock or are no times.", "times")
            if self.only:
                row = {name: row[name] for name in self.only if name in row and token not in str(row[name])}
            records += [row] if is_new else []
        return records

    def rows(self, response: requests.Response) -> list[Any] | None:
        """The rows of an answer, None where it leaves them out. Raises ValueError, saying how it is, for any other."""
        kept = vars(response)
        if "drift_rows" not in kept:
            found = self._found(self._body_of(response))
            rows = [row for row in found or [] if row or not isinstance(row, dict | None)]
            if self.name == "conversation_metrics":
                names = json.loads(response.request.body or b"{}")["metrics"]
                rows = [self._with_metrics(row, names) for row in rows]
            for name, row in ((name, row) for row in rows for name in self.key):
                if not isinstance(row, dict) or row.get(name) in (None, ""):
                    raise ValueError(f"with a row of the {self.name} stream that has no {name}, its key")
            if found and len(rows) < len(found):
                self.notes.warn(f"{len(found) - len(rows):,} of {len(found):,} rows were empty and left out.", "empty")
            if kept.get("drift_repaired"):
                self.notes.warn("an answer held text that is not valid Unicode; U+FFFD stands in its place.", "text")
            kept["drift_rows"], kept["drift_sent"] = None if found is None else rows, len(found or [])
        return kept["drift_rows"]  # type: ignore[no-any-return]

    def _found(self, body: Any) -> list[Any] | None:
        fields, data = body if isinstance(body, dict) else {}, self._at(body, "data")
        likely = [self._at(body, self.records_at), data, body if self.one or isinstance(body, list) else None]
        for counts in (*likely, self._at(data, self.records_at), fields) if self.name == "conversation_stats" else ():
            if isinstance(counts, dict) and re.fullmatch(r"(\d+(\.0)?|None)+", "".join(map(str, counts.values()))):
                return [{"status": status, "count": int(float(n or 0))} for status, n in counts.items()]
        inside = [list(holder.values()) for holder in (*likely, fields) if isinstance(holder, dict) and not self.one]
        lists = [found for values in inside for found in (values, *values) if isinstance(found, list)]
        for place, found in enumerate([*likely, *lists]):
            rows = found if isinstance(found, list) else [found] if place == 0 or self.one else []
            has_key = any(isinstance(row, dict) and isinstance(row.get(self.key[0]), str | int | float) for row in rows)
            if has_key or (rows is found and place < 3 and (found or not self.one)):
                return rows
        # Drift leaves out what is not set: a list that is missing where its place is there is an empty one.
        has_place = body in (None, []) or (self.one and body == {}) or {"data", "links", "pagination"} & set(fields)
        is_empty = has_place or "0" in (str(self._at(body, "count")), str(self._at(body, "total")))
        is_empty = has_place and self.notes.thread.pages > 0 if self.never_absent else is_empty
        inside = list(data.values()) if isinstance(data, dict) else [[data]] if data else []
        if not is_empty or any(isinstance(one, list | dict) and one for one in inside) or self._told(body):
            raise ValueError(f"without records at {self.records_at or 'its root'}")
        return None

    @property
    def initial_token(self) -> str | None:
        if self.notes.error:
            raise failure(*self.notes.error)
        vars(self.notes.thread).update(kept={}, walks=0, total=0, above=None)
        return self._begin(self.first)

    def _begin(self, query: str) -> str | None:
        walk = self.notes.thread
        vars(walk).update(seen={} if walk.walks else walk.kept, names=set(), pages=0, idle=0, given=0, places=PLACES)
        walk.anew, walk.walks = walk.walks > 0, walk.walks + 1
        return self._past_the_cache(query) or None

    def _past_the_cache(self, query: str) -> str:
        """A fragment is never sent. It keeps the CDK's cache from answering what the walk before was answered, and from
        mixing its pages with one that had to be asked for anew.
        """
        return f"{query}#{time.time_ns()}" if self.notes.thread.anew else query

    def get_page_size(self) -> int | None:
        return None

    def next_page_token(self, response: Any, *_: Any, stream_slice: Any = None, **__: Any) -> str | None:
        walk, rows = self.notes.thread, self.rows(response) or []
        walk.pages, walk.given, walk.idle = walk.pages + 1, walk.given + len(rows), 0 if walk.fresh else walk.idle + 1
        times = [time_of(row.get(self.cursor_field)) for row in rows]
        if walk.pages == 1:
            walk.size, walk.head = len(rows), max(filter(None, times), default=0)
        start = int(dict[str, Any](stream_slice or {}).get("start_time", 0)) if walk.above is None else walk.above + 1
        if not self.child and self.name != "meetings" and walk.above is None and start > walk.clock + LOOK_BACK:
            raise failure(f"{self.name} would begin in the future. Correct the start date, or clear the state.", CONFIG)
        is_over = self.newest_first and len(times) > 1 and all(moment and moment < start for moment in times)
        query = None if is_over or self.one else self._named(response)
        for version in list(walk.kept)[:-5000] if self.newest_first else []:
            del walk.kept[version]
        is_new = query is not None and query not in walk.names
        if query is not None and (is_new or walk.fresh) and walk.idle <= self.most_idle:
            walk.names.add(query)
            walk.anew = walk.anew or "Cache-Control" in response.request.headers
            return self._past_the_cache(query)
        if is_new and rows:
            self.notes.miss(f"Drift names pages of {self.name} without end, and they hold nothing new.")
        elif is_new:
            self.notes.warn(f"Drift names more pages without end; {walk.idle} empty ones were read.", "endless")
        if self.newest_first and walk.pages > 1 and walk.walks <= 3:
            walk.above = max(walk.head, walk.above or 0)
            return self._begin(self.first)
        is_short = not self.newest_first and walk.total > len(walk.kept)
        if is_short and walk.size and walk.walks == 1:
            return self._begin(re.sub(r"size=\d+", f"size={walk.size}", self.first))
        figures = f"Drift says {walk.total:,} in total, {len(walk.kept):,} were listed, twice over."
        self.notes.warn(figures, "total") if is_short else None
        return self.notes.end()  # type: ignore[no-any-return]

    def _named(self, response: requests.Response) -> str | None:
        """The query of the page behind this one, None where none is named."""
        body, walk = self._body_of(response), self.notes.thread
        walk.total = max(walk.total, self._told(body))
        if walk.walks > 1 and "index=" in self.first:
            return urlencode({"index": walk.given, "size": walk.size}) if self.rows(response) else None
        place, named = self._next_page_of(body, walk.places)
        told = [str(self._at(body, more)).lower() for more in ("pagination.more", "more", "hasMore", "has_more")]
        has_more = ("true" in told and (walk.fresh or walk.pages == 1)) or "next" in response.links
        path = urlsplit(named).path if named.startswith("http") and "?" not in named else ""
        if (not named and has_more) or path not in ("", urlsplit(str(response.request.url)).path):
            self.notes.miss(f"Drift says that there is more of {self.name}, but names no next page.")
        walk.places = (place,) if named else walk.places
        if named.startswith(("http:", "https:")) or "?" in named or not named:
            pairs = parse_qsl(named.partition("?")[2].partition("#")[0], keep_blank_values=True)
            return urlencode(pairs) if any(value.strip() for _, value in pairs) else None
        name = "page_token" if "links" in place else "index" if "index=" in self.first else "next"
        sent = parse_qsl(urlsplit(str(response.request.url)).query, keep_blank_values=True)
        return urlencode([pair for pair in sent if pair[0] not in ("page_token", name)] + [(name, named)])

    def _as_cursor(self, value: Any, moment: int | None) -> Any:
        """A value that is printed as it is. Its `int`, which the CDK takes for the cursor, is `moment`, or fails."""
        base = type(value) if isinstance(value, str | list | dict | float) else int
        return type("Cursor", (base,), {"__int__": lambda _: int("no time" if moment is None else moment)})(value)

    def _body_of(self, response: requests.Response) -> Any:
        """The JSON body, parsed once, text repaired, integers exact. Raises where it is none: a gateway speaks then."""
        kept = vars(response)
        if "drift_body" not in kept:
            content = b"null" if response.status_code == 204 else response.content.removeprefix(b"\xef\xbb\xbf")
            try:
                # orjson rounds integers beyond 64 bits, and refuses surrogates without a pair, malformed UTF-16.
                kept["drift_body"] = orjson.loads(b"" if re.search(rb"\d{20}", content) else content)
            except orjson.JSONDecodeError:
                text = json.dumps(json.loads(content.decode("utf-8", "replace")), ensure_ascii=False)
                text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
                kept["drift_body"], kept["drift_repaired"] = json.loads(text), "\ufffd" in text
        return kept["drift_body"]

    def _at(self, body: Any, path: str) -> Any:
        """What stands at a dotted path of an answer, in any case; '' is the root. Links in a list go by their `rel`."""
        for name in filter(None, path.split(".")):
            body = {one.get("rel"): one for one in body if isinstance(one, dict)} if isinstance(body, list) else body
            body = {str(key).lower(): body[key] for key in body}.get(name.lower()) if isinstance(body, dict) else None
        return body

    def _told(self, body: Any) -> int:
        return max(int(total) if total.isdecimal() else 0 for total in (str(self._at(body, path)) for path in TOTALS))

    def _next_page_of(self, body: Any, places: Iterable[str] = PLACES) -> tuple[str, str]:
        """The place where an answer names the next page, and how; '' where it names none."""
        for place in places:
            named, more = self._at(body, f"{place}.next"), str(self._at(body, f"{place}.more")).lower()
            named = str(named.get("href") if isinstance(named, dict) else named).strip()
            if named.lower() not in ("", "null", "none", "true", "false", "[]", "-1") and (
                "links" in place or more not in ("false", "0")
            ):
                return place, named
        return "", ""

    def _with_metrics(self, row: Any, names: list[str]) -> Any:
        """A row of a report with its metrics by name (devdocs conversation-reporting); "NaN" and "" are null."""
        metrics = self._at(row, "metrics")
        metrics = [metrics.get(name) for name in names] if isinstance(metrics, dict) else metrics
        if not isinstance(metrics, list) or len(metrics) != len(names):
            raise ValueError("with a row that has not the metrics that were asked for")
        values = {}
        for name, metric in zip(names, metrics, strict=True):
            with suppress(ValueError, TypeError, OverflowError):
                number = metric if isinstance(metric, int) or str(metric).isdecimal() else float(metric)
                metric = None if number != number else int(number) if int(number) == float(number) else number
            values[name] = None if metric == "" else metric
        return {name: value for name, value in row.items() if name != "metrics"} | values

    def should_migrate(self, stream_state: Mapping[str, Any]) -> bool:
        self.notes.saved = list((stream_state.get("parent_state") or {}).get("unread") or [])
        return False

    def migrate(self, stream_state: Mapping[str, Any]) -> Mapping[str, Any]:
        return stream_state


@dataclass
class DriftErrorHandler(NamedPages, ErrorHandler, cdk.BackoffStrategy):
    """Decides what an answer means, where a filter of the CDK sees one answer alone. What fails raises: the CDK's own
    FAIL logs both bodies; a child goes on the retry list. What is not Drift's own JSON is asked for again, like a 5xx:
    8 attempts if others succeed meanwhile, else 16 (five minutes). An odd 2xx counts once it is said twice.
    """

    missing_scope: str = ""
    refused_token: str = ""
    max_retries: int = 10_000
    max_time: int = 6000

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self.backoff_strategies, self.notes.scope = [self], self.missing_scope.format(**vars(self))

    def interpret_response(self, response_or_exception: Any) -> ErrorResolution:
        answer, notes, request = response_or_exception, self.notes, self.source.thread
        if not isinstance(answer, requests.Response):
            return self._again(answer, f"Drift could not be reached ({type(answer).__name__}).")
        status, trouble, verdict, kept = answer.status_code, f"with HTTP {answer.status_code}", "", vars(answer)
        is_good, path = 200 <= status < 300, urlsplit(str(answer.request.url)).path
        try:
            self._body_of(answer)
            verdict = ("doubtful" if self.instead else "absent") if is_good and self.rows(answer) is None else ""
        except (ValueError, RecursionError) as wrong:
            trouble = str(wrong) if "drift_body" in kept else "with a body that is not JSON" if is_good else trouble
            verdict = "doubtful" if "drift_body" in kept else ""
        body = kept.get("drift_body")
        error = self._at(body, "error") or self._at(body, "errors")
        error = error or (not is_good and (self._at(body, "type") or self._at(body, "message")) and body)
        said = json.dumps(error).lower().replace(" ", "_") if error else ""
        verdict, trouble = ("doubtful", "with an error") if said and is_good else (verdict, trouble)
        text = f"Drift answered {answer.request.method} {path} {trouble}."
        is_first = is_good and verdict not in ("", request.verdict)
        request.verdict = verdict if "drift_body" in kept else request.verdict
        if status == 429 or "rate_limit" in said or "too_many_requests" in said:
            request.verdict = "throttled"
            if request.waited > 3600:
                return self._fail(answer, f"{text} Gave up after an hour.", TRANSIENT)
            return ErrorResolution(ResponseAction.RATE_LIMITED, TRANSIENT, text)
        if said and (status == 401 or ("authentication_error" in said and (is_good or status == 403))):
            return self._denied(answer)
        is_bare = is_good and not kept.get("drift_rows")
        is_missing = said and (status == 410 or ("not_found" in said and (is_bare or status == 404)))
        if (self.child and is_missing) or (self.one and verdict == "absent" and not is_first):
            notes.gone += 1
            if notes.handed_out and notes.gone >= 25 and not notes.found:
                text = f"All {notes.what} are 404 Not Found. Does the token have the {self.required_scope} scope?"
                raise notes.stop(text)
            what = notes.thread.child if notes.handed_out else "an address"
            return notes.ignore(answer, f"{self.name}: skipped {what}, which no longer exists in Drift.")
        if "drift_body" not in kept or not (is_good or said) or status >= 500 or status in (408, 409, 425):
            return self._again(answer, text)
        if path == f"/{self.instead}" and (is_good or status == 403):
            notes.warn("Drift accepts the token but does not describe it, so its scopes are unknown.", "token")
            return notes.ignore(answer, text)
        is_done = is_good and verdict != "doubtful" and not is_first
        is_refused = status in (400, 422)
        if is_first or ((is_done or is_refused) and self._asks_otherwise(answer.request, is_done)):
            return ErrorResolution(ResponseAction.RETRY, TRANSIENT, text)
        if self.windowed and (is_refused or (is_done and self._is_cut(answer))):
            return ErrorResolution(ResponseAction.SPLIT_REQUEST_WINDOW, TRANSIENT, text)
        if is_done:
            notes.found, self.source.found, notes.failed_in_a_row = notes.found + 1, self.source.found + 1, 0
            return ErrorResolution(ResponseAction.SUCCESS)
        if status == 403 and not notes.found:
            notes.refused += 1
            is_scope = not notes.handed_out or notes.refused >= 5
            return self._fail(answer, notes.scope if is_scope else text, CONFIG, is_scope)
        return self._fail(answer, f"{text} {WIND_DOWN}" if status in (404, 410) else text)

    def _is_cut(self, response: requests.Response) -> bool:
        """Whether Drift held back rows of a window: it says so, or they are as many as some maximum, known or not."""
        body, count, request = self._body_of(response), vars(response)["drift_sent"], response.request
        ends, query = re.findall(r"\d{12,}", str(request.body)), dict(parse_qsl(urlsplit(str(request.url)).query))
        # So many may be of one moment, which no split ends: there a count that agrees is believed.
        is_one = self._told(body) == count and len(ends) == 2 and int(ends[1]) - int(ends[0]) < 21_600_000
        is_round = count > 0 and not is_one and (count in (20, 25) or count % 50 == 0)
        is_full = is_round or 0 < int(query.get("limit", 0)) <= count
        says_more = "true" in (str(self._at(body, more)).lower() for more in ("more", "pagination.more"))
        return self._told(body) > count or says_more or is_full

    def _denied(self, response: requests.Response) -> ErrorResolution:
        request, others = self.source.thread, self.source.found
        request.denied, request.before = request.denied + 1, request.before if request.denied else others
        if request.denied < 3:
            # The CDK refreshes once for a request; what is refused after that is sent with the newest token.
            has_refresh = request.denied == 1 and self.config["credentials"]["credentials"] == "oauth2.0"
            action = ResponseAction.REFRESH_TOKEN_THEN_RETRY if has_refresh else ResponseAction.RETRY
            return ErrorResolution(action, CONFIG, "Drift refused the token.")
        text = f"Drift refused the token for {self.name}, but accepted it for other streams. {self.notes.scope}"
        text = request.renewal or (text if others and response.status_code == 401 else self.refused_token)
        kind = TRANSIENT if request.renewal else CONFIG
        return self._fail(response, text, kind, stops=not (self.notes.found and others > request.before))

    def _again(self, answer: Any, text: str) -> ErrorResolution:
        request, notes, others = self.source.thread, self.notes, self.source.found
        # While Drift is down, what was under way may still arrive at the first attempts.
        request.lively += bool(request.failures) and others > request.before
        request.failures, request.before = request.failures + 1, others
        is_row = request.lively >= 4 or (notes.handed_out and notes.thread.child in notes.saved)
        if request.failures < (2 if notes.failed_in_a_row >= 8 else 8 if is_row or not others else 16):
            return ErrorResolution(ResponseAction.RETRY, TRANSIENT, text)
        ending, kind = ("", SYSTEM) if isinstance(answer, requests.Response) else (f" {WIND_DOWN}", TRANSIENT)
        return self._fail(answer, f"{text} Gave up after {request.failures} attempts.{ending}", kind)

    def _fail(self, answer: Any, text: str, kind: cdk.FailureType = SYSTEM, stops: bool = False) -> ErrorResolution:
        notes = self.notes
        if self.instead and isinstance(answer, requests.Response) and answer.request.method == "POST":
            answer.request.method, answer.request.url = "GET", f"{self.config['api_url']}/{self.instead}"
            answer.request.prepare_body(None, None)
            self.source.thread.denied = 1
            return ErrorResolution(ResponseAction.RETRY, TRANSIENT, text)
        if stops:
            raise notes.stop(text, kind)
        notes.miss(text, kind)
        notes.failed_in_a_row += 1
        return notes.ignore(answer, f"{text} The next sync asks for it first.")

    def _asks_otherwise(self, request: requests.PreparedRequest, is_good: bool) -> bool:
        """Changes a refused request for one without what may be refused; metrics are asked for one by one."""
        body, known, parts = json.loads(request.body or b"{}"), self.notes.metrics, urlsplit(str(request.url))
        query = parse_qsl(parts.query, keep_blank_values=True)
        fewer = [pair for pair in query if pair[0] not in ("limit", "size")]
        fewer = [pair for pair in query if pair[1]] if fewer == query else fewer
        if fewer != query and not is_good:
            request.url = parts._replace(query=urlencode(fewer)).geturl()
            return True
        if "metrics" not in body or (is_good and not known):
            return False
        names, ends = body["metrics"], body["filters"][0]["values"]
        known.update({} if known else dict.fromkeys([self.cursor_field, *names]))
        known.update(dict.fromkeys(names if is_good or len(names) == 1 else [], is_good))
        kept = [name for name, is_known in known.items() if is_known]
        unknown = [name for name, is_known in known.items() if is_known is None]
        body["metrics"] = unknown[:1] or kept
        if is_good and not unknown and len(names) > 1:
            return False
        if not is_good and (known[self.cursor_field] is False or sorted(kept) == sorted(names)):
            known.update({} if kept else dict.fromkeys(known))
            body["metrics"] = kept or list(known)
            if isinstance(ends[0], str):
                return False
            days = (ends[0] / 1000 - 86400, ends[1] / 1000 + 86400)
            body["filters"][0]["values"] = [time.strftime("%Y-%m-%d", time.gmtime(day)) for day in days]
        elif not unknown and len(kept) < len(known):
            refused = ", ".join(name for name in known if name not in kept)
            self.notes.warn(f"Drift refuses the metrics {refused}; they are left out.", "metrics")
        request.prepare_body(None, None, json=body)
        return True

    def backoff_time(self, response_or_exception: Any, attempt_count: int) -> float:
        """Seconds, never 0, which the CDK takes for none: exponential with jitter up to 60, `Retry-After` up to 600."""
        wait, request = 0.0, self.source.thread
        with suppress(urllib3.exceptions.InvalidHeader, AttributeError, ValueError):
            wait = urllib3.Retry().parse_retry_after(response_or_exception.headers.get("Retry-After", "0"))
        attempts = min(attempt_count if request.verdict == "throttled" else request.failures, 10)
        wait = max(min(60.0, 2.0 ** (attempts - 1)) * random.uniform(0.5, 1), min(wait, 600.0))  # noqa: S311
        request.waited += wait
        return wait


@dataclass
class OldestFirstSubstreamRouter(cdk.SubstreamPartitionRouter):
    """Reads the children of the conversations, which are listed newest first, oldest first; the CDK's router moves no
    state before the last of them, and none past one that fails. The state is the retry list of the children that failed
    (`unread`), asked for first, and a floor: all that is older has been yielded. While it lists it yields the newest
    fifth, to fill the rate limit, and keeps the floor below what was listed before them. The very newest waits for all.
    """

    api_budget: Any = None
    name: str = ""

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        parent: Any = self.parent_stream_configs[0]
        self._field, self._key = parent.partition_field.eval(self.config), parent.parent_key.eval(self.config)
        self._parent, self._cursor_field = parent.stream, parent.stream.cursor.cursor_field.cursor_field_key
        self._floor, self._passes_saved = int(self._parent.cursor.state[self._cursor_field]), False
        self._notes = notes_of(self.api_budget, self.name)
        self._notes.what = self._field.removesuffix("_id") + "s"

    def get_stream_state(self) -> Mapping[str, Any]:
        unread = self._notes if self._passes_saved else self._notes.saved
        return {self._parent.name: {self._cursor_field: str(self._floor)}, "unread": unread}

    def stream_slices(self) -> Iterable[cdk.StreamSlice]:
        notes, cursors, early, place, highest = self._notes, array("q"), set[Any](), 0, 0
        keys: Any = array("q")
        for record in (one for partition in self._parent.generate_partitions() for one in partition.read()):
            key, cursor = record.data.get(self._key), time_of(record.data.get(self._cursor_field)) or 0
            number = re.fullmatch(r"(-?(?:0|[1-9]\d{0,17}))(?:\.0)?", str(key))
            key = int(number[1]) if number else quote(str(key or ""), safe="%")
            if not key or (isinstance(key, int) and key < 0):
                continue
            keys = keys if isinstance(key, int) or isinstance(keys, list) else list(keys)
            keys.append(key)
            cursors.append(cursor)
            highest = highest if early else max(highest, cursor)
            while place < len(keys) and (keys[place] == keys[0] or keys[place] in early):
                place += 1
            most = min(len(keys) // 5, 300 * self.config["max_requests_per_second"]) + len(keys) // 1000
            if len(early) < most and place < len(keys) and notes.room.acquire(blocking=False):
                early.add(keys[place])
                yield self._slice(keys[place], wait=False)
        again = {one for one, two in pairwise(sorted(keys, key=str if isinstance(keys, list) else None)) if one == two}
        order, seen = array("L"), set(early)
        for place in sorted(range(len(keys)), key=cursors.__getitem__, reverse=True):
            # The newest comes last, even if it is on the retry list.
            if keys[place] not in seen and (not order or keys[place] not in notes.saved):
                order.append(place)
            seen.update({keys[place]} & again)
        logging.getLogger("airbyte").info(f"{self.name}: {len(early) + len(order):,} {notes.what} to read.")
        first = [key for key in notes.saved if key not in early and not (order and key == keys[order[0]])]
        for key in first:
            yield self._slice(key, is_last=key == first[-1] and not order)
        self._passes_saved = True
        for left in range(len(order) - 1, -1, -1):
            # Few floors: the CDK holds on to each that it cannot keep. Behind the last but one only the newest comes.
            if left % 50 == 0 or left == 1:
                self._floor = max(self._floor, min(cursors[order[0 if left == 1 else left]], highest))
            yield self._slice(keys[order[left]], is_last=left == 0)
        self._floor = max(self._floor, highest)

    def _slice(self, key: Any, wait: bool = True, is_last: bool = False) -> cdk.StreamSlice:
        while wait and not self._notes.room.acquire(timeout=1) and not self._notes.error:
            pass
        if self._notes.error:
            raise failure(*self._notes.error)
        partition = {self._field: key, "is_last": True} if is_last else {self._field: key}
        self._notes.last, self._notes.handed_out = partition if is_last else {}, self._notes.handed_out + 1
        return cdk.StreamSlice(partition=partition, cursor_slice={})

    def get_request_headers(self, *_: Any, stream_slice: Any = None, next_page_token: Any = None, **__: Any) -> Any:
        """None. The CDK asks for them in the worker before each request, and nothing else tells that one begins."""
        if stream_slice and not next_page_token:
            self._notes.begin(dict(stream_slice.partition), stream_slice.partition[self._field])
        return {}


@dataclass
class OneHostAuthenticator(cdk.DeclarativeAuthenticator):
    """Signs requests. No authenticator of the CDK sees a redirect to another host, or says why a refresh failed."""

    authenticator: Any
    parameters: InitVar[Mapping[str, Any]]
    api_budget: Any = None

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._source = notes_of(self.api_budget, "")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._stay in request.hooks["response"]:
            # The CDK signs a request anew before it repeats it; its cache would answer what it answered before.
            request.headers["Cache-Control"] = "no-cache"
        else:
            request.register_hook("response", self._stay)  # type: ignore[no-untyped-call]
            vars(self._source.thread).update(REQUEST)
        header = self._source.thread.header = self.get_auth_header()
        request.headers.update(header)
        if request.body and str(request.url).endswith("/token_info"):
            request.prepare_body(None, None, json={"access_token": header["Authorization"].split()[1]})
        return request

    def _stay(self, response: requests.Response, **_: Any) -> None:
        target = urlsplit(urljoin(str(response.url), response.headers.get("Location", "")))
        if response.is_redirect and target[:2] != urlsplit(str(response.url))[:2]:
            text = f"Drift redirects to another host, {target.hostname}; the token stays here. {WIND_DOWN}"
            raise self._given_up(text)

    def get_auth_header(self) -> Mapping[str, Any]:
        header: Mapping[str, Any] = self._in_words(self.authenticator.get_auth_header)
        # A quote or a backslash would be escaped in a body of JSON, where the CDK's log does not find the token.
        if not re.fullmatch(r"Bearer (?!None$)[\x21\x23-\x5b\x5d-\x7e]+", header["Authorization"]):
            message = "There is no access token, or it holds a character that no token has, such as a blank or a quote."
            raise self._given_up(f"{message} Copy it again, or re-authenticate this source.", CONFIG)
        return header

    def _given_up(self, text: str, kind: cdk.FailureType = SYSTEM) -> Exception:
        """The error of a request that no handler sees: the child that it belongs to has had its last answer."""
        for notes in list(vars(self.api_budget).values()):
            if isinstance(notes, StreamNotes) and notes.thread.partition:
                notes.stop(text, kind)
        return failure(text, kind)

    def refresh_and_set_access_token(self) -> None:
        # The CDK looks whether another thread has refreshed the token, and only then waits for its turn to refresh it.
        with self._source.lock:
            if self.get_auth_header() == self._source.thread.header:
                self._in_words(self.authenticator.refresh_and_set_access_token)

    def _in_words(self, exchange: Callable[[], Any]) -> Any:
        try:
            return exchange()
        except (requests.RequestException, cdk.AirbyteTracedException) as error:
            status = getattr(getattr(error, "response", None), "status_code", 0)
            is_refused = (400 <= status < 500 and status != 429) or getattr(error, "failure_type", None) == CONFIG
            message = f"The OAuth token was not renewed ({type(error).__name__}). Re-authenticate if this lasts."
            self._source.thread.renewal = message
            is_over = is_refused or exchange == self.authenticator.get_auth_header
            raise (self._given_up if is_over else failure)(message, CONFIG if is_refused else TRANSIENT) from None
