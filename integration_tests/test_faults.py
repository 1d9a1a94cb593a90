"""Whatever is wrong with a response, the sync has all records, or an error that names the cause."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from integration_tests.connector import CHILDREN, ENDPOINTS, EVERY_STREAM, Run, access_token, catalog, run
from sandbox import Drift, Fault, Options, Sandbox

EMAILS = ["somebody@example.com"]
DAY = timedelta(days=1)
# Children have one request for each conversation; the other streams are one list, report or response.
LISTS = {stream: path for stream, path in ENDPOINTS.items() if stream not in (*CHILDREN, "token_info")}
# The targets of mixed faults: each kind of pagination, the messages, and a stream without pages.
MIXED = ("accounts", "conversations", "users", "token_info", "messages", "meetings")
# Transient faults, and the error if they don't end.
PASSING: list[tuple[str, dict[str, Any], str]] = [
    ("status", {"status": 503, "body": "empty"}, "with HTTP 503. Gave up after "),
    ("status", {"status": 404, "body": "html"}, "with HTTP 404. Gave up after "),
    ("reset", {}, "could not be reached (ConnectionError). Gave up after "),
    ("truncated", {}, "could not be reached (ChunkedEncodingError). Gave up after "),
    ("hang", {"seconds": 30.0}, "could not be reached (ReadTimeout). Gave up after "),
    ("html", {}, "with a body that is not JSON. Gave up after "),
    ("error_body", {}, "with an error."),
]
# Permanent faults, which are retried once at most, and fail the stream.
LASTING: list[tuple[str, dict[str, Any], str]] = [
    ("status", {"status": 401}, "token"),
    ("status", {"status": 403}, "The token is missing the"),
    ("status", {"status": 404}, "with HTTP 404."),
    ("status", {"status": 405}, "with HTTP 405."),
    ("status", {"status": 451, "message": "private words"}, "with HTTP 451."),
    ("gone", {}, "Drift is being wound down"),
]
# Where the records are, unless they are in `data`.
RECORDS_AT = {"conversation_stats": "conversationCount"}


def config_for(sandbox: Sandbox, days: int) -> dict[str, Any]:
    """A config with an address, and with a start date before these conversations."""
    start = f"{datetime.now(UTC) - days * DAY:%Y-%m-%dT%H:%M:%SZ}"
    return access_token(sandbox.url, start_date=start, contact_emails=EMAILS)


def read_with(
    plan: list[Fault], drift: Drift, streams: tuple[str, ...] = EVERY_STREAM, **options: Any
) -> tuple[Run, Callable[[str], int]]:
    """A read with a fault plan, and the number of requests to the stream's endpoint."""
    with Sandbox(drift, Options(rate_limit=None, reports_per_minute=None, **options), faults=plan) as sandbox:
        read = run("read", config_for(sandbox, 110), catalog(*streams))
        journal = list(sandbox.journal)
    return read, lambda stream: sum(Fault(ENDPOINTS[stream], "reset").concerns(r.method, r.path, b"") for r in journal)


@pytest.fixture(scope="module")
def drift() -> Drift:
    return Drift(accounts=140, conversations=60, users=5, history_days=100)


def keys_of(drift: Drift) -> Callable[[str], set[Any]]:
    return lambda stream: set() if stream == "token_info" else set(drift.keys(stream, emails=EMAILS))


def test_transient_faults_are_retried(drift: Drift) -> None:
    """Seven different faults in a row of each endpoint cost retries, but no record."""
    plan = [Fault(path, kind, **details) for path in ENDPOINTS.values() for kind, details, _ in PASSING]
    read, asked = read_with(plan, drift)
    assert read.code == 0, read.error()
    for stream in EVERY_STREAM[:-1]:
        assert sorted(map(str, read.keys(stream))) == sorted(map(str, keys_of(drift)(stream))), stream
        assert asked(stream) > len(PASSING), stream
    assert len(read.keys("token_info")) == 1


def test_a_permanent_fault_fails_its_stream(drift: Drift) -> None:
    """Each list has its own permanent fault: it is requested up to sixteen times, and the error names the cause."""
    kinds = [PASSING[place % len(PASSING)] for place in range(len(LISTS))]
    plan = [
        Fault(path, kind, times=None, **details) for path, (kind, details, _) in zip(LISTS.values(), kinds, strict=True)
    ]
    read, asked = read_with(plan, drift, tuple(LISTS))
    assert read.code == 1
    assert read.statuses == dict.fromkeys(LISTS, "INCOMPLETE")
    for stream, (kind, _, cause) in zip(LISTS, kinds, strict=True):
        assert cause in read.error(stream), (stream, read.error(stream))
        assert read.records(stream) == []
        # Reports and meetings are requested in windows.
        windows = {"conversation_metrics": 2, "meetings": 5}.get(stream, 1)
        attempts = (2, 2) if kind == "error_body" else (8, 16)
        assert attempts[0] <= asked(stream) <= attempts[1] * windows, (stream, asked(stream))


def test_a_refusal_is_not_repeated(drift: Drift) -> None:
    """A refused request is sent three times at most, and the error does not contain the body of the response."""
    # An unknown address is not a failure; teams show that the token is valid.
    lists = [stream for stream in LISTS if stream not in ("contacts_by_email", "teams")]
    kinds = {stream: LASTING[place % len(LASTING)] for place, stream in enumerate(lists)}
    plan = [Fault(ENDPOINTS[stream], kind, times=None, **details) for stream, (kind, details, _) in kinds.items()]
    read, asked = read_with(plan, drift, ("teams", *lists))
    assert read.code == 1
    assert read.statuses == dict.fromkeys(lists, "INCOMPLETE") | {"teams": "COMPLETE"}
    for stream, (_, _, cause) in kinds.items():
        assert cause in read.error(stream), (stream, read.error(stream))
        assert "private words" not in read.error(stream)
        assert asked(stream) <= 3 * {"conversation_metrics": 2, "meetings": 5}.get(stream, 1), (stream, asked(stream))


def test_records_of_the_wrong_type_are_an_error(drift: Drift) -> None:
    """If a list returns a string instead of records twice, it fails, and the error says where."""
    # The first two are lists at the root; a report has a count without its rows, so its window is split first.
    streams = [s for s in LISTS if s not in ("playbooks", "landing_pages", "conversation_metrics", "meetings")]
    plan = [
        Fault(LISTS[stream], "wrong_type", times=None, key=RECORDS_AT.get(stream, "data"), to="string")
        for stream in streams
    ]
    read, asked = read_with(plan, drift, tuple(streams))
    assert read.statuses == dict.fromkeys(streams, "INCOMPLETE")
    for stream in streams:
        assert "without records at " in read.error(stream), (stream, read.error(stream))
        assert asked(stream) == 2, (stream, asked(stream))


def test_failing_children_do_not_affect_the_conversations() -> None:
    """If all children fail, the error names the cause, and the conversations are complete."""
    causes = {"messages": "HTTP 500", "conversation_details": "HTTP 418", "contacts": "contact_read scope"}
    plan = [
        Fault(ENDPOINTS["messages"], "status", status=500, times=None),
        Fault(ENDPOINTS["conversation_details"], "status", status=418, message="private words", times=None),
        Fault(ENDPOINTS["contacts"], "status", status=403, times=None),
    ]
    drift = Drift(conversations=4)
    with Sandbox(drift, Options(rate_limit=None), faults=plan) as sandbox:
        read = run("read", access_token(sandbox.url), catalog("conversations", *CHILDREN))
    assert read.statuses == {"conversations": "COMPLETE"} | dict.fromkeys(CHILDREN, "INCOMPLETE")
    for stream, cause in causes.items():
        assert cause in read.error(stream), (stream, read.error(stream))
        assert "private words" not in read.error(stream)
        assert read.records(stream) == []


KINDS = st.sampled_from(
    [
        ("status", {"status": 503}),
        ("status", {"status": 429, "retry_after": 1}),
        ("status", {"status": 429}),
        ("reset", {}),
        ("truncated", {}),
        ("html", {}),
        ("empty", {}),
        ("error_body", {}),
        ("wrong_type", {"to": "string"}),
        ("redirect", {"location": "http://127.0.0.1:1{path}"}),
        ("slow", {"seconds": 0.05}),
    ]
)
# For a child, both mean that its conversation was deleted.
NOT_FOUND = st.sampled_from([("status", {"status": 404}), ("gone", {})])
PAGING_KINDS = st.sampled_from(
    [
        ("repeated_cursor", {}),
        ("foreign_link", {"link": "//evil.example{path}?{query}"}),
        ("empty_page", {}),
        ("rows_change", {"n": 7}),
    ]
)


def fault(paths: list[str], kinds: st.SearchStrategy[tuple[str, dict[str, Any]]]) -> st.SearchStrategy[Fault]:
    return st.builds(
        lambda path, kind, times, after: Fault(path, kind[0], times=times, after=after, **kind[1]),
        path=st.sampled_from(paths),
        kind=kinds,
        times=st.integers(1, 9),
        after=st.integers(0, 4),
    )


FAULT = (
    fault([ENDPOINTS[stream] for stream in MIXED], KINDS)
    | fault([ENDPOINTS[stream] for stream in MIXED if stream not in CHILDREN], NOT_FOUND)
    | fault(["/accounts", "/conversations/list"], PAGING_KINDS)
)


@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    plan=st.lists(FAULT, min_size=1, max_size=5),
    paging=st.sampled_from(["next", "links", "both"]),
    last_page=st.sampled_from(["omitted", "null", "more_false", "empty_page"]),
    conversations=st.sampled_from([0, 1, 50, 60, 110]),
)
def test_mixed_faults_never_lose_rows(plan: list[Fault], paging: str, last_page: str, conversations: int) -> None:
    """Under any mixture of faults, a stream that succeeds has every record that Drift still has."""
    drift = Drift(accounts=conversations // 2 + 40, conversations=conversations, users=3, history_days=100)
    read, _ = read_with(plan, drift, MIXED, paging=paging, last_page=last_page)
    for stream in MIXED:
        if read.statuses[stream] == "COMPLETE":
            assert set(read.keys(stream)) >= keys_of(drift)(stream), f"{stream} is green and incomplete"
        else:
            assert read.statuses[stream] == "INCOMPLETE", (stream, read.statuses)
            assert re.fullmatch(r"(?s)(Drift|The |\d).*\.", read.error(stream)), (stream, read.error(stream))
    assert read.code == any(status != "COMPLETE" for status in read.statuses.values())
