"""What the manifest cannot say in YAML; each class says why. Checked against airbyte-cdk 7.39.1."""

import json
import logging
import random
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import InitVar, dataclass
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

import airbyte_cdk as cdk
import requests
import urllib3
from airbyte_cdk.sources.streams.http.error_handlers import ErrorHandler, ErrorResolution, ResponseAction

CONFIG, SYSTEM, TRANSIENT = (cdk.FailureType(f"{kind}_error") for kind in ("config", "system", "transient"))
WIND_DOWN = "Drift is being wound down; if this lasts, ask Salesloft whether your organization is still served."
LOOK_BACK = 600_000  # Milliseconds, as in the cursors of the manifest: a row may be listed later than it is dated.
# Where an answer may name the next page, likeliest first, how many rows there are, and that more are to come.
PLACES = ("links", "_links", "pagination", "data", "data.links", "data._links", "data.pagination", "meta", "paging", "")
TOTALS = [at + of for at in ("", "data.", "pagination.") for of in ("total", "count", "totalCount", "totalElements")]
MORE = ("more", "hasMore", "truncated", "pagination.more", "pagination.hasMore")
NOTHING = ("", "null", "none", "undefined", "true", "false", "[]", "{}", "-1")


def failure(message: str, failure_type: cdk.FailureType = SYSTEM) -> cdk.AirbyteTracedException:
    """An error whose message is shown to the user as it stands, and which carries nothing of request or answer."""
    return cdk.AirbyteTracedException(message=message, internal_message=message, failure_type=failure_type)


class StreamNotes(list[Any]):
    """What the components of a stream ('' is all streams) share, on the API budget, which each is given. As a list, the
    retry list. A deep copy is itself: the CDK copies a state when it hands out a child, which may fail later."""

    def __init__(self, name: str) -> None:
        self.name, self.what, self.reason, self.scope, self.slots = name, "rows", "", "", dict[int, tuple[int, Any]]()
        self.last = self.found = self.gone = self.refused = self.failed_in_a_row = self.handed_out = self.most = 0
        self.lock, self.room, self.thread = threading.Lock(), threading.Semaphore(100), cast(Any, threading.local())
        self.saved, self.error, self.metrics, self.said = list[Any](), list[Any](), dict[str, bool](), set[str]()

    def __deepcopy__(self, memo: Any) -> "StreamNotes":
        return self

    def warn(self, sentence: str, when: Any = True) -> None:
        """One WARN line of each kind in a sync. It holds figures and names of fields, never data."""
        kind = re.sub(r"[\d,]+", "", sentence)
        if when and kind not in self.said:
            logging.getLogger("airbyte").warning(f"{self.name}: {sentence}")
            self.said.add(kind)

    def stop(self, message: str, failure_type: cdk.FailureType = SYSTEM) -> Any:
        """The error that ends the stream: whatever has not begun raises it, too."""
        self.error = self.error or [message, failure_type]
        return self.release(failure(message, failure_type))

    def begin(self, slot: int) -> None:
        """This thread begins to read a child; the last one only when all others have had their last answer."""
        self.slots.update(vars(self.thread).pop("ended", {}))  # The CDK has closed it since, unless it failed.
        self.release()
        vars(self.thread).update(slot=slot, child=self.slots[slot][1], ended={})
        all(self.room.acquire(timeout=4000) for _ in range(99 if slot == self.last else 0))
        if self.error:
            raise self.release(failure(*self.error))

    def release(self, error: Any = None) -> Any:
        """The child of this thread has had its last answer."""
        if slot := vars(self.thread).pop("slot", 0):
            self.thread.ended = {slot: (self.slots[slot][0], None)}
            self.room.release()
        return error

    def end(self) -> None:
        """Like `release`, but raises in the last child if any could not be read."""
        is_last = vars(self.thread).get("slot") == self.last
        self.release()
        self.warn(f"{self.gone:,} of {self.handed_out:,} no longer exist in Drift.", self.gone and is_last)
        if is_last and self.gone >= 25 and not self.found:
            raise self.stop(f"Drift returned 404 for all {self.gone:,} {self.what}. Check the scopes of the token.")
        if self and is_last:
            text = f"{len(self):,} of the {self.what} could not be read; the next sync asks for them. {self.reason}"
            raise self.stop(*((self.scope, CONFIG) if self.refused and not self.found else (text, SYSTEM)))

    def miss(self, text: str, kind: cdk.FailureType = SYSTEM) -> None:
        """Puts the child of this thread on the retry list. Raises where there is none, or where the list is full."""
        if not self.handed_out:
            raise self.release(failure(text, kind))
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
class NamedPages(cdk.RecordExtractor, cdk.PaginationStrategy):
    """Finds records, where a CDK extractor takes a missing path for none, and follows named pages, where
    `CursorPagination` has no memory and loops. Only the query of a link is used. Notes the retry list of a state."""

    config: Mapping[str, Any]
    parameters: InitVar[Mapping[str, Any]]
    api_budget: Any = None
    name, records_at, cursor_field, instead, required_scope, first, most_idle = "", "data", "", "", "", "", 100
    one = never_absent = child = windowed = newest_first = counts = plans = False
    key, only, metrics = ("id",), tuple[str, ...](), tuple[str, ...]()

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        vars(self).update(parameters)
        self.notes, self.source = notes_of(self.api_budget, self.name), notes_of(self.api_budget, "")

    def extract_records(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        """The rows as Drift sent them, but for those that this walk has read before."""
        walk, clock = self.notes.thread, time.time()
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
            walk.fresh += walk.kept.get(version) != walk.walks
            walk.kept[version] = walk.walks
            if not isinstance(sent, bool | None) and (moment is None or moment > walk.clock):
                # Printed as it is; its `int`, which the CDK takes for the cursor, is no time ahead, or fails.
                ahead = {"__int__": lambda _, at="no time" if moment is None else walk.clock: int(at)}
                row = row | {self.cursor_field: type("Cursor", (type(sent),), ahead)(sent)}
                far = (moment or 1e15) > walk.clock + LOOK_BACK
                self.notes.warn(f"some {self.cursor_field} values are in the future or are not times.", far)
            row = {at: row[at] for at in self.only if at in row and token not in str(row[at])} if self.only else row
            yield from [row] if is_new else []

    def rows(self, response: requests.Response) -> list[Any] | None:
        """The rows of an answer, None where it leaves them out. Raises ValueError, saying how it is, for any other."""
        kept = vars(response)
        if "drift_rows" not in kept:
            found = self._found(self._body_of(response))
            rows = [row for row in found or [] if row or not isinstance(row, dict | None)]
            names = json.loads(response.request.body or b"")["metrics"] if self.metrics else []
            rows = [self._with_metrics(row, names) for row in rows] if self.metrics else rows
            for name, row in ((name, row) for row in rows for name in self.key):
                if not isinstance(row, dict) or row.get(name) in (None, ""):
                    raise ValueError(f"with a row of the {self.name} stream that has no {name}, its key")
            sent, left = len(found or []), len(found or []) - len(rows)
            self.notes.warn(f"{left:,} of {sent:,} rows were empty and left out.", left)
            kept["drift_rows"], kept["drift_sent"] = None if found is None else rows, sent
        return kept["drift_rows"]  # type: ignore[no-any-return]

    def _found(self, body: Any) -> list[Any] | None:
        fields, data = body if isinstance(body, dict) else {}, self._at(body, "data")
        likely = [self._at(body, self.records_at), data, body if self.one or isinstance(body, list) else None]
        for counts in (*likely, self._at(data, self.records_at), "data" in fields or fields) if self.counts else ():
            if isinstance(counts, dict) and re.fullmatch(r"(\d{1,15}(\.0)?|None)+", "".join(map(str, counts.values()))):
                return [{"status": status, "count": int(float(n or 0))} for status, n in counts.items()]
        inside = [list(holder.values()) for holder in (*likely, fields) if isinstance(holder, dict) and not self.one]
        lists = [found for values in inside for found in (values, *values) if isinstance(found, list)]
        for place, found in enumerate([*likely, *lists]):
            rows = found if isinstance(found, list) else [found] if place == 0 or self.one else []
            if any(isinstance(row, dict) and isinstance(row.get(self.key[0]), str | int | float) for row in rows):
                return rows
        told = next((found for found in likely if isinstance(found, list) and (found or not self.one)), None)
        # Drift leaves out what is not set: a missing list is empty if its place is there, and nothing says otherwise.
        has_place = (self.one and body in (None, [], {})) or set(fields) & {"data", *PLACES, *TOTALS}
        is_empty = has_place and (not self.never_absent or self.notes.thread.pages > 0) and not self._claims(body)[0]
        inside = list(data.values()) if isinstance(data, dict) else [[data]] if data else []
        is_empty = is_empty and not any(isinstance(one, list | dict | str) and one for one in inside)
        rest = json.dumps({name: fields[name] for name in {*fields} - {"data", "warnings", *PLACES, *TOTALS, *MORE}})
        denial = r'(?i)"(success|ok)":.false|:."[^"]*(error|fail)|:.[\[{][^\]}]'
        if (told is None and not is_empty) or re.search(denial, rest):
            raise ValueError(f"without records at {self.records_at or 'its root'}")
        return told

    @property
    def initial_token(self) -> str | None:
        if self.notes.error:
            raise failure(*self.notes.error)
        vars(self.notes.thread).update(kept={}, walks=0, total=0, above=None, anew=False)
        self._begin("")
        return self.first or None

    def _begin(self, query: str) -> str:
        """A walk begins. The fragment is never sent: it keeps the CDK's cache from answering as it did before."""
        walk = self.notes.thread
        vars(walk).update(names={}, pages=0, idle=0, given=0, size=0, head=0, place="links", walks=walk.walks + 1)
        return f"{query}#{time.time_ns()}"

    def get_page_size(self) -> int | None:
        return None

    def next_page_token(self, response: Any, *_: Any, stream_slice: Any = None, **__: Any) -> str | None:
        walk, rows = self.notes.thread, self.rows(response) or []
        walk.pages, walk.given, walk.idle = walk.pages + 1, walk.given + len(rows), 0 if walk.fresh else walk.idle + 1
        times = [at for row in rows if (at := time_of(row.get(self.cursor_field)) or 0) <= walk.clock]
        walk.size, walk.head = walk.size or len(rows), max([walk.head, *times])
        start = int(dict[str, Any](stream_slice or {}).get("start_time", 0)) if walk.above is None else walk.above + 1
        if not (self.child or self.plans or walk.above) and start > walk.clock + LOOK_BACK + 90_000_000 * self.windowed:
            raise failure(f"{self.name} would start in the future. Correct the start date, or clear the state.", CONFIG)
        is_older = len(times) > 1 and all(times) and times[0] < start and times == sorted(times, reverse=True)
        query = None if self.one or (self.newest_first and is_older) else self._named(response)
        for version in list(walk.kept)[:-5000] if self.newest_first else []:
            del walk.kept[version]
        is_new = query is not None and query not in walk.names
        if query is not None and (is_new or walk.fresh) and walk.idle <= self.most_idle:
            walk.names[query] = walk.names.pop(query, 0) + 1
            walk.anew = walk.anew or walk.walks > 1 or "Cache-Control" in response.request.headers
            return f"{query}#{time.time_ns() if walk.anew else walk.pages}"
        repeats = walk.names.get(query) == 1 and next(reversed(walk.names)) == query  # Sent for the page behind it.
        if rows and (is_new or (repeats and len(rows) in (10, 20, 25, 50, 65, 100))):
            self.notes.miss(f"Drift keeps naming more pages of {self.name}, but they contain nothing new.")
        self.notes.warn(f"Drift keeps naming more pages; the last {walk.idle} held nothing new.", is_new or repeats)
        if self.newest_first and walk.pages > 1 and walk.walks <= 3:
            walk.above = max(walk.head, walk.above or 0)
            return self._begin(self.first)
        is_short = not self.newest_first and walk.total > len(walk.kept)
        if is_short and walk.walks == 1:
            return self._begin(re.sub(r"size=\d+", f"size={walk.size or 65}", self.first))
        self.notes.warn(f"Drift reports {walk.total:,} in total, but it listed {len(walk.kept):,}, twice.", is_short)
        self.notes.end()
        return None

    def _named(self, response: requests.Response) -> str | None:
        """The query of the next page, if any; of several, the first not asked for, or once if this page is fresh."""
        body, walk = self._body_of(response), self.notes.thread
        total, says_more = self._claims(body)
        walk.total = max(walk.total, total)
        if walk.walks > 1 and "index=" in self.first:
            return urlencode({"index": walk.given, "size": walk.size}) if walk.fresh else None
        asked, named = urlsplit(str(response.request.url)), list[tuple[str, str]]()
        places = [(place, self._at(body, f"{place}.next")) for place in (walk.place, *PLACES)]
        for place, target in (*places, ("links", response.links.get("next"))):
            if isinstance(target, dict):
                target = [*(one for one in target.values() if "?" in str(one)), "?" * any(target.values())][0]
            target = str(target).strip()
            if target.lower() in NOTHING or str(self._at(body, f"{place}.more")).lower() in ("false", "0"):
                continue
            name = "page_token" if "links" in place else "index" if "index=" in self.first else "next"
            pairs = [one for one in parse_qsl(asked.query, True) if "page_token" != one[0] != name] + [(name, target)]
            if "?" in target or target.startswith(("http", asked.path)):
                path, _, query = target.partition("#")[0].partition("?")
                path, pairs = re.sub("^https?:/*[^/]*", "", path), parse_qsl(query, True)
                says_more = says_more or ("=" not in query and path + query != asked.path)
            told = {pair for pair in pairs if pair[1].strip().lower() not in NOTHING} - {*parse_qsl(self.first)}
            named += [(urlencode(pairs), place)] if told else []
        query, walk.place = min(named, key=lambda one: walk.names.get(one[0], 0) > bool(walk.fresh), default=("", ""))
        if says_more and not query and (walk.fresh or walk.pages == 1):
            self.notes.miss(f"Drift says that there are more {self.name}, but names no next page.")
        return query or None

    def _body_of(self, response: requests.Response) -> Any:
        """The JSON body, parsed once, text repaired, integers exact. Raises where it is none: a gateway speaks then."""
        kept = vars(response)
        if "drift_body" not in kept:
            text = '{"data":null}' if response.status_code == 204 else response.content.decode("utf-8-sig", "replace")
            body = json.loads(text)
            if re.search(r"\\u[dD]", text) or ("\ufffd" in text and "\ufffd".encode() not in response.content):
                # A surrogate without its pair cannot be written in UTF-8.
                text = json.dumps(body, ensure_ascii=False).encode("utf16", "surrogatepass").decode("utf16", "replace")
                self.notes.warn("some text is not valid Unicode; U+FFFD stands in its place.", "\ufffd" in text)
                body = json.loads(text)
            kept["drift_body"] = body
        return kept["drift_body"]

    def _at(self, body: Any, path: str) -> Any:
        """What stands at a dotted path of an answer, however spelled; '' is the root. Links in a list go by `rel`."""
        for name in filter(None, path.replace("_", "").replace("-", "").lower().split(".")):
            if isinstance(body, list):
                body = {str(one["rel"]).strip("[]'"): one for one in body if isinstance(one, dict) and "rel" in one}
            fields = body if isinstance(body, dict) else {}
            body = {str(key).replace("_", "").replace("-", "").lower(): fields[key] for key in fields}.get(name)
        return body

    def _claims(self, body: Any) -> tuple[int, bool]:
        """How many rows there are in all, 0 where Drift does not say so, and whether it says that there are more."""
        told = [str(self._at(body, place)) for place in TOTALS]
        more = [str(self._at(body, place)).lower() for place in MORE] + [str(self._at(body, "last") is False).lower()]
        beside = [one for place in PLACES if isinstance(one := self._at(body, place), dict)]
        more += ["true" for one in beside for name in one if one[name] and "next" in name.lower() != "next"]
        return max([0, *map(int, filter(re.compile(r"\d{1,18}").fullmatch, told))]), "true" in more

    def _with_metrics(self, row: Any, names: list[str]) -> Any:
        """A row of a report with its metrics by name (devdocs conversation-reporting); "NaN" and "" are null."""
        metrics = [one.get(name) for name in names] if isinstance(one := self._at(row, "metrics"), dict) else one
        if not isinstance(metrics, list) or [isinstance(one, dict) for one in metrics] != [False] * len(names):
            raise ValueError("with a row that lacks the requested metrics")
        values = {}
        for name, metric in zip(names, metrics, strict=True):
            with suppress(ValueError, TypeError, OverflowError):
                number = metric if isinstance(metric, int) or str(metric).isdecimal() else float(metric)
                metric = None if number != number else int(number) if int(number) == float(number) else number
            values[name] = None if metric == "" else metric
        return {name: value for name, value in row.items() if name != "metrics"} | values

    def should_migrate(self, stream_state: Mapping[str, Any]) -> bool:
        self.notes.saved[:] = filter(None, (stream_state.get("parent_state") or {}).get("unread") or [])
        return False

    def migrate(self, stream_state: Mapping[str, Any]) -> Mapping[str, Any]:
        return stream_state


class DriftErrorHandler(NamedPages, ErrorHandler, cdk.BackoffStrategy):
    """Decides what an answer means: a filter of the CDK sees one answer alone. What is not Drift's own JSON is retried
    like a 5xx: 8 attempts if others succeed meanwhile, else 16 (five minutes). An odd 2xx counts once it came twice."""

    missing_scope = refused_here = refused_token = ""
    max_retries, max_time = 10_000, 6000

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self.backoff_strategies, self.notes.scope = [self], self.missing_scope.format(**vars(self))

    def interpret_response(self, response_or_exception: Any) -> ErrorResolution:
        answer, notes, request = response_or_exception, self.notes, self.source.thread
        if not isinstance(answer, requests.Response):
            return self._again(answer, f"Drift could not be reached ({type(answer).__name__}).")
        status, kept, path, odd = answer.status_code, vars(answer), urlsplit(str(answer.request.url)).path, ""
        is_good = 200 <= status < 300 and status != 202
        try:
            self._body_of(answer)
            odd = "without records" if is_good and self.rows(answer) is None else ""
        except (ValueError, RecursionError) as wrong:
            odd = str(wrong) if "drift_body" in kept else "with a body that is not JSON"
        body = kept.get("drift_body")
        coded = self._at(body, "message") and (self._at(body, "type") or self._at(body, "code"))
        error = self._at(body, "error") or self._at(body, "errors") or (not is_good and coded and body)
        said = re.sub("[ _-]", "", json.dumps(error)).lower() if error and not answer.history else ""
        odd = "with an error" if said and is_good else odd
        text = f"Drift answered {answer.request.method} {path} {odd if is_good else f'with HTTP {status}'}."
        is_first, request.odd = is_good and odd not in ("", request.odd), odd
        is_absent = odd == "without records" and not (is_first or self.instead)
        if status == 429 or re.search("ratelimit|toomanyrequests|throttl", said):
            if request.waited > 3600:
                return self._fail(answer, f"{text} Gave up after an hour.", TRANSIENT)
            return ErrorResolution(ResponseAction.RATE_LIMITED, TRANSIENT, text)
        if status == 401 or ("authenticationerror" in said and (is_good or status == 403)):
            return self._denied(answer, 3 if said else 8)
        is_none = not kept.get("drift_rows") if is_good else status == 404
        is_missing = said and (status == 410 or ("notfound" in said and is_none))
        if (self.child and is_missing) or (self.one and is_absent):
            notes.gone += 1
            return notes.ignore(answer, f"{self.name}: skipped a deleted record. {text}")
        if "drift_body" not in kept or not (is_good or said) or status >= 500 or status in (408, 409, 423, 425):
            return self._again(answer, text)
        if path == f"/{self.instead}" and (is_good or status == 403):
            notes.warn("Drift accepts the token but does not describe it, so its scopes are unknown.")
            return notes.ignore(answer, text)
        is_done, is_refused = is_good and (not odd or is_absent), status in (400, 422)
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
        (total, says_more), count = self._claims(self._body_of(response)), vars(response)["drift_sent"]
        # So many may be of one moment, which no split ends. A window that lists far fewer than another hides some.
        is_narrow, most = 0 < vars(response).get("drift_hours", 0) < 6, max(self.notes.most, count)
        self.notes.most, hides = most, total > count and count < (most if is_narrow else most / 2)
        self.notes.warn(f"Drift counts {total:,} in a window, but it lists {count:,}.", hides)
        is_round = (count in (10, 20, 25) or count % 50 == 0 < count) and not (is_narrow and total == count)
        return says_more or is_round or (total > count and not hides) or f"limit={count}&" in f"{response.request.url}&"

    def _denied(self, response: requests.Response, attempts: int) -> ErrorResolution:
        request, others = self.source.thread, self.source.found
        request.denied, request.before = request.denied + 1, request.before if request.denied else others
        if request.denied < attempts and not self.source.error:
            # The CDK refreshes once for a request; what is refused after that is sent with the newest token.
            renews = request.denied == 1 and self.config["credentials"]["credentials"] == "oauth2.0"
            action = ResponseAction.REFRESH_TOKEN_THEN_RETRY if renews else ResponseAction.RETRY
            return ErrorResolution(action, CONFIG, "Drift refused the token.")
        text = self.refused_here if others and response.status_code == 401 else self.refused_token
        text, kind = self.source.error or (text.format(**vars(self)), CONFIG)
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
        if self.instead and isinstance(answer, requests.Response) and answer.request.method == "POST":
            answer.request.method, answer.request.url = "GET", f"{self.config['api_url']}/{self.instead}"
            answer.request.prepare_body(None, None)
            return ErrorResolution(ResponseAction.RETRY, TRANSIENT, text)
        if stops:
            raise self.notes.stop(text, kind)
        self.notes.miss(text, kind)
        self.notes.failed_in_a_row += 1
        return self.notes.ignore(answer, f"{text} The next sync asks for it first.")

    def _asks_otherwise(self, request: requests.PreparedRequest, is_good: bool) -> bool:
        """Asks without what may be refused: metrics one by one, and days where no metric is to blame."""
        query = parse_qsl(urlsplit(str(request.url)).query, keep_blank_values=True)
        fewer = [(name, value) for name, value in query if value and name not in ("limit", "size")]
        if fewer != query and not is_good:
            request.url = urlsplit(str(request.url))._replace(query=urlencode(fewer)).geturl()
            return True
        if not self.metrics:
            return False
        body, known = json.loads(request.body or b""), self.notes.metrics
        names, ends = body["metrics"], body["filters"][0]["values"]
        known.update(dict.fromkeys(names if is_good or len(names) == 1 else [], is_good))
        kept = [name for name in self.metrics if known.get(name)]
        unknown = [name for name in (self.cursor_field, *self.metrics) if name not in known]
        is_all = not unknown and sorted(kept) == sorted(names)
        is_range = not is_good and (is_all or known.get(self.cursor_field) is False)
        if (is_good and is_all) or (is_range and isinstance(ends[0], str)):
            return False
        body["metrics"] = (kept or self.metrics) if is_range else (unknown[:1] or kept)
        if is_range:
            known = self.notes.metrics = known if kept else {}
            ends[:] = map(lambda at, by: time.strftime("%Y-%m-%d", time.gmtime(at / 1000 + by)), ends, (-86400, 86400))
        refused = ", ".join(name for name in known if not known[name])
        self.notes.warn(f"Drift refuses the metrics {refused}; they are left out.", refused and not unknown)
        request.prepare_body(None, None, json=body)
        return True

    def backoff_time(self, response_or_exception: Any, attempt_count: int) -> float:
        """Seconds, never 0, which the CDK takes for none: exponential with jitter up to 60, `Retry-After` up to 600."""
        wait, request = 0.0, self.source.thread
        with suppress(urllib3.exceptions.InvalidHeader, AttributeError, ValueError, OverflowError):
            wait = urllib3.Retry().parse_retry_after(response_or_exception.headers.get("Retry-After", "0"))
        wait = max(min(60.0, 2.0 ** min(attempt_count - 1, 9)) * random.uniform(0.5, 1), min(wait, 600.0))  # noqa: S311
        request.waited += wait
        return wait


@dataclass
class OldestFirstSubstreamRouter(cdk.SubstreamPartitionRouter):
    """Reads the children of conversations oldest first: the CDK's router saves no state before the last, and none past
    one that fails. The state is a floor, below which all were yielded, and the retry list (`unread`), asked for first.
    While it lists, it yields the newest half, to fill the rate limit; the very newest waits for all others."""

    api_budget: Any = None
    name: str = ""

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        parent: Any = self.parent_stream_configs[0]
        self._field, self._key = parent.partition_field.eval(self.config), parent.parent_key.eval(self.config)
        self._parent, self._cursor_field = parent.stream, parent.stream.cursor.cursor_field.cursor_field_key
        self._notes, self._state = notes_of(self.api_budget, self.name), cast(Any, None)
        self._notes.what = self._field.removesuffix("_id") + "s"
        self._floor, self._unread = int(self._parent.cursor.state[self._cursor_field]), self._notes.saved

    def get_stream_state(self) -> Mapping[str, Any]:
        return {self._parent.name: {self._cursor_field: str(self._floor)}, "unread": self._unread}

    def stream_slices(self) -> Iterable[cdk.StreamSlice]:
        notes, count, begun, highest = self._notes, 0, 0, 0
        with closing(sqlite3.connect("", check_same_thread=False)) as table:  # On disk, where there are many.
            ask = table.execute
            ask("CREATE TABLE child (key UNIQUE, cursor)")
            for place, key in enumerate(reversed(notes.saved)):
                ask("INSERT OR IGNORE INTO child (rowid, key, cursor) VALUES (?, ?, -1)", [-place, key])
            for record in (one for partition in self._parent.generate_partitions() for one in partition.read()):
                key, cursor = record.data.get(self._key), time_of(record.data.get(self._cursor_field)) or 0
                number = re.fullmatch(r"(-?(?:0|[1-9]\d{0,17}))(?:\.0)?", str(key))
                key = int(number[1]) if number else quote(str(key or ""), safe="%")
                highest = highest if begun else max(highest, cursor)
                if key and not (isinstance(key, int) and key < 0):
                    count += ask("INSERT OR IGNORE INTO child VALUES (?, ?)", [key, cursor]).rowcount
                most = min(count // 2 - 1, 300 * self.config["max_requests_per_second"]) + count // 1000
                if begun < most and notes.room.acquire(blocking=False):
                    begun += 1  # The row ID is the place in the list.
                    yield self._slice(ask("SELECT key FROM child WHERE rowid = ?", [begun + 1]).fetchone()[0], False)
            notes.warn(f"no conversation names its {self._key}.", highest and not (count or notes.saved))
            ask("DELETE FROM child WHERE rowid BETWEEN 2 AND ?", [begun + 1])
            left, newest = ask("SELECT count(*), max(cursor) FROM child").fetchone()
            logging.getLogger("airbyte").info(f"{self.name}: {begun + left:,} {notes.what} to read.")
            rows = ask("SELECT key, cursor FROM child ORDER BY cursor, rowid")
            for behind, (key, cursor) in zip(range(left - 1, -1, -1), rows, strict=True):
                self._unread = notes.saved if cursor < 0 else notes
                # Few floors: the CDK holds on to each that it cannot keep. Behind the last but one comes the newest.
                for _ in range(50 if behind == 1 and notes.handed_out > 22 else 0):  # Are all gone? An answer tells.
                    time.sleep(0 if notes.found or notes.gone or notes or notes.error else 0.1)
                if (behind % 50 == 0 or behind == 1) and (notes.found or (notes.handed_out < 23 and not notes.gone)):
                    self._floor = max(self._floor, min(newest if behind == 1 else cursor, highest))
                yield self._slice(key, is_last=behind == 0)
        self._floor, self._unread = max(self._floor, highest), notes

    def _slice(self, key: Any, wait: bool = True, is_last: bool = False) -> cdk.StreamSlice:
        notes, state = self._notes, self.get_stream_state()
        while wait and not notes.room.acquire(timeout=1) and not notes.error:
            pass
        if notes.error:
            raise failure(*notes.error)
        # The CDK keeps a cursor of 3 kB for each partition, so these take turns. A new state needs one that has none.
        oldest = min((at for at, child in notes.slots.values() if child), default=notes.handed_out + 1)
        free = (
            slot for slot, (at, child) in notes.slots.items() if not child and (state == self._state or at < oldest)
        )
        slot, self._state, notes.handed_out = next(free, len(notes.slots) + 1), state, notes.handed_out + 1
        notes.slots[slot], notes.last = (notes.handed_out, key), slot if is_last else 0
        return cdk.StreamSlice(partition={"slot": slot}, cursor_slice={}, extra_fields={self._field: key})

    def get_request_headers(self, *_: Any, stream_slice: Any = None, next_page_token: Any = None, **__: Any) -> Any:
        """None. The CDK asks for them in the worker before each request, and nothing else tells that one begins."""
        if stream_slice and not next_page_token:
            self._notes.begin(stream_slice.partition["slot"])
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
            vars(self._source.thread).update(odd="", failures=0, lively=0, denied=0, before=0, waited=0.0)
        header = self._source.thread.header = self.get_auth_header()
        request.headers.update(header)
        if request.body and str(request.url).endswith("/token_info"):
            request.prepare_body(None, None, json={"access_token": header["Authorization"].split()[1]})
        return request

    def _stay(self, response: requests.Response, **_: Any) -> None:
        target = urlsplit(urljoin(str(response.url), response.headers.get("Location", "")))
        if response.is_redirect and target[:2] != urlsplit(str(response.url))[:2]:
            raise self._given_up(f"Drift redirects to another host, {target.hostname}. {WIND_DOWN}")
        ends, body = re.findall(r"\d{12,}", str(response.request.body)), b""
        hours = vars(response)["drift_hours"] = (int(ends[-1]) - int(ends[0])) / 3_600_000 if ends else 0
        if hours >= 6:
            # A report may have no maximum. A large one is not received, but halved: its thread would keep the memory.
            is_large = any(len(body := body + piece) > 300_000 for piece in response.iter_content(65536))
            vars(response)["_content"] = b'{"data":[],"more":true}' if is_large and b"<" not in body[:9] else body
            response.close()

    def get_auth_header(self) -> Mapping[str, Any]:
        header: Mapping[str, Any] = self._in_words(self.authenticator.get_auth_header)
        # A quote or a backslash would be escaped in a body of JSON, where the CDK's log does not find the token.
        if not re.fullmatch(r"Bearer (?!None$)[\x21\x23-\x5b\x5d-\x7e]+", header["Authorization"]):
            raise self._given_up("The access token is missing or malformed. Copy it again, or re-authenticate.", CONFIG)
        return header

    def _given_up(self, text: str, kind: cdk.FailureType = SYSTEM) -> Exception:
        """The error of a request that no handler sees: the child that it belongs to has had its last answer."""
        for notes in list(vars(self.api_budget).values()):
            if isinstance(notes, StreamNotes) and ("slot" in vars(notes.thread) or notes is self._source):
                notes.stop(text, kind)
        return failure(text, kind)

    def refresh_and_set_access_token(self) -> None:
        with self._source.lock:  # The CDK looks whether another thread has refreshed it, and only then waits.
            if self.get_auth_header() == self._source.thread.header:
                self._in_words(self.authenticator.refresh_and_set_access_token)

    def _in_words(self, exchange: Callable[[], Any]) -> Any:
        try:
            return exchange()
        except (requests.RequestException, cdk.AirbyteTracedException) as error:
            text = f"The OAuth token was not renewed ({type(error).__name__}). Re-authenticate if this lasts."
            is_refused = 400 <= getattr(getattr(error, "response", None), "status_code", 0) < 429
            raise self._given_up(text, CONFIG if is_refused else getattr(error, "failure_type", TRANSIENT)) from None
