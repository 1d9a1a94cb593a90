"""Whatever goes wrong with an answer: all records and exit code 0, or an error that names its cause. Never short."""

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
# What hangs on the conversations is asked for once for each of them; the rest is one list, report or answer.
LISTS = {stream: path for stream, path in ENDPOINTS.items() if stream not in (*CHILDREN, "token_info")}
# Those that a mixture of faults hits: each way of paging, the messages, and what has no pages.
MIXED = ("accounts", "conversations", "users", "token_info", "messages", "meetings")
# Where the records are, unless they are in `data`.
RECORDS_AT = {"conversation_stats": "conversationCount"}
# The faults that pass, and how the error reads if they do not.
PASSING: dict[str, tuple[dict[str, Any], str]] = {
    "status 500": ({"status": 500}, "HTTP 500"),
    "status 502": ({"status": 502, "body": "html"}, "HTTP 502"),
    "status 503": ({"status": 503, "body": "empty"}, "HTTP 503"),
    "status 504": ({"status": 504}, "HTTP 504"),
    "status 408": ({"status": 408}, "HTTP 408"),
    "reset": ({}, "could not be reached (ConnectionError)"),
    "truncated": ({}, "could not be reached (ChunkedEncodingError)"),
    "hang": ({"seconds": 30.0}, "could not be reached (ReadTimeout)"),
    "html": ({}, "a body that is not JSON"),
    "empty": ({}, "an empty body"),
    "no_content": ({}, "an empty body"),
    "error_body": ({}, "an error object"),
    "errors_body": ({}, "an error object"),
    "missing_data": ({}, "JSON that has not"),
    "wrong_type": ({"to": "null"}, "JSON that has not"),
    "wrong_type ": ({"to": "string"}, "JSON that has not"),
}
# The faults that last: the first answer of this kind fails the stream.
LASTING: dict[str, tuple[dict[str, Any], str]] = {
    "status 400": ({"status": 400}, "HTTP 400"),
    "status 401": ({"status": 401}, "Drift refused the token"),
    "status 403": ({"status": 403}, "the token lacks the scope"),
    "status 404": ({"status": 404}, "(HTTP 404)"),
    "status 405": ({"status": 405}, "HTTP 405"),
    "status 409": ({"status": 409, "message": "private words"}, "HTTP 409"),
    "status 418": ({"status": 418, "message": "private words"}, "HTTP 418"),
    "status 422": ({"status": 422, "message": "private words"}, "HTTP 422"),
    "status 451": ({"status": 451, "message": "private words"}, "HTTP 451"),
    "gone": ({}, "Drift is being wound down"),
}


def faults(kind: str, details: dict[str, Any], times: int | None) -> list[Fault]:
    """The same fault on every endpoint."""
    name = kind.split(" ")[0]
    keys = RECORDS_AT if name in ("missing_data", "wrong_type") else {}
    return [
        Fault(path, name, times=times, **details, **({"key": keys[stream]} if stream in keys else {}))
        for stream, path in ENDPOINTS.items()
    ]


def read_with(plan: list[Fault], drift: Drift, streams: tuple[str, ...] = EVERY_STREAM, **options: Any) -> Run:
    with Sandbox(drift, Options(rate_limit=None, reports_per_minute=None, **options), faults=plan) as sandbox:
        return run("read", config_for(sandbox, drift, days=110), catalog(*streams))


def read_lists_with_lasting(kind: str, details: dict[str, Any], drift: Drift) -> tuple[Run, dict[str, int]]:
    """A read under a fault that never passes, and how often the endpoint of each stream was asked."""
    with Sandbox(drift, Options(rate_limit=None), faults=faults(kind, details, times=None)) as sandbox:
        read = run("read", config_for(sandbox, drift, days=20), catalog(*LISTS))
        asked = {stream: sandbox.journal.count(f"^{re.escape(path)}$") for stream, path in LISTS.items()}
        return read, asked


def config_for(sandbox: Sandbox, drift: Drift, days: int) -> dict[str, Any]:
    """A config with an address, that reads the conversations of these days: a report for each 30."""
    start = f"{datetime.now(UTC) - days * DAY:%Y-%m-%dT%H:%M:%SZ}"
    return access_token(sandbox.url, start_date=start, contact_emails=EMAILS)


def assert_sound(read: Run, streams: tuple[str, ...], expected: Callable[[str], set[Any]]) -> None:
    """Every stream is complete, and then holds all that Drift holds, or failed with a sentence for the user."""
    for stream in streams:
        status, error = read.statuses[stream], read.error(stream)
        if status == "COMPLETE":
            assert set(read.keys(stream)) >= expected(stream), f"{stream} is green and short"
        else:
            assert status == "INCOMPLETE", (stream, status)
            assert read.code == 1
            assert error.startswith(("Drift", "Records vanished")), (stream, error)
            assert error.endswith("."), (stream, error)
    assert (read.code == 0) == all(status == "COMPLETE" for status in read.statuses.values())


@pytest.fixture(scope="module")
def drift() -> Drift:
    return Drift(accounts=140, conversations=60, users=5, history_days=100)


def keys_of(drift: Drift) -> Callable[[str], set[Any]]:
    return lambda stream: set() if stream == "token_info" else set(drift.keys(stream, emails=EMAILS))


@pytest.mark.parametrize("kind", PASSING)
def test_a_fault_that_passes_is_healed(kind: str, drift: Drift) -> None:
    """One bad answer of each endpoint, those of the children too, costs a retry and no record."""
    read = read_with(faults(kind, PASSING[kind][0], times=1), drift)
    assert read.code == 0, read.error()
    for stream in (*LISTS, *CHILDREN):
        assert sorted(map(str, read.keys(stream))) == sorted(map(str, keys_of(drift)(stream))), stream
    assert len(read.keys("token_info")) == 1


@pytest.mark.parametrize("kind", PASSING)
def test_a_fault_that_lasts_fails_after_eight_attempts(kind: str, drift: Drift) -> None:
    """Each endpoint is asked eight times; then its stream fails with a sentence that names the cause."""
    details, cause = PASSING[kind]
    read, asked = read_lists_with_lasting(kind, details, drift)
    assert read.code == 1
    assert asked == dict.fromkeys(LISTS, 8)
    for stream in LISTS:
        assert read.statuses[stream] == "INCOMPLETE"
        assert read.records(stream) == []
        assert cause in read.error(stream), (stream, read.error(stream))
        assert " It was asked 8 times." in read.error(stream), (stream, read.error(stream))


@pytest.mark.parametrize("kind", LASTING)
def test_a_refusal_is_not_repeated(kind: str, drift: Drift) -> None:
    """A request that Drift refuses is sent once, and the user's message holds nothing of the answer's body."""
    details, cause = LASTING[kind]
    read, asked = read_lists_with_lasting(kind, details, drift)
    assert read.code == 1
    assert asked == dict.fromkeys(LISTS, 1)
    # An address that Drift does not know is no failure.
    for stream in LISTS.keys() - ({"contacts_by_email"} if kind == "status 404" else set()):
        assert read.statuses[stream] == "INCOMPLETE"
        assert cause in read.error(stream), (stream, read.error(stream))
        assert "private words" not in read.error(stream)


@pytest.mark.parametrize("kind", ["status 500", "status 403", "status 409", "html", "truncated"])
def test_a_fault_of_the_children_that_lasts_fails_them_alone(kind: str) -> None:
    """What hangs on the conversations fails with a sentence that names the cause; the conversations are read."""
    details, cause = (PASSING | LASTING)[kind]
    drift = Drift(conversations=4)
    plan = [Fault(ENDPOINTS[stream], kind.split(" ")[0], times=None, **details) for stream in CHILDREN]
    with Sandbox(drift, Options(rate_limit=None), faults=plan) as sandbox:
        read = run("read", access_token(sandbox.url), catalog("conversations", *CHILDREN))
    assert read.code == 1
    assert read.statuses == {"conversations": "COMPLETE"} | dict.fromkeys(CHILDREN, "INCOMPLETE")
    for stream in CHILDREN:
        assert cause in read.error(stream), (stream, read.error(stream))
        assert "private words" not in read.error(stream)
        assert read.records(stream) == []


def test_a_throttle_is_waited_out(drift: Drift) -> None:
    """Twelve throttled answers in a row and a failing one among them use up nothing."""
    plan = [
        fault
        for path in ENDPOINTS.values()
        for fault in (Fault(path, "status", status=503, after=6), Fault(path, "status", status=429, times=12))
    ]
    read = read_with(plan, drift)
    assert read.code == 0, read.error()
    assert_sound(read, EVERY_STREAM, keys_of(drift))


KINDS = st.sampled_from(
    [
        ("status", {"status": 503}),
        ("status", {"status": 429, "retry_after": 1}),
        ("status", {"status": 429}),
        ("reset", {}),
        ("truncated", {}),
        ("html", {}),
        ("empty", {}),
        ("no_content", {}),
        ("error_body", {}),
        ("missing_data", {}),
        ("wrong_type", {"to": "object"}),
        ("wrong_type", {"to": "null"}),
        ("redirect", {"location": "http://127.0.0.1:1{path}"}),
        ("slow", {"seconds": 0.05}),
        ("gone", {}),
    ]
)
# Of a child it means that its conversation was deleted.
NOT_FOUND = st.just(("status", {"status": 404}))
PAGING_KINDS = st.sampled_from(
    [
        ("repeated_cursor", {}),
        ("foreign_link", {"link": "//evil.example{path}?{query}"}),
        ("empty_page", {}),
        ("rows_change", {"n": 7}),
        ("rows_vanish", {"n": 3}),
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
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    plan=st.lists(FAULT, min_size=1, max_size=5),
    paging=st.sampled_from(["next", "links", "both"]),
    last_page=st.sampled_from(["omitted", "null", "more_false", "empty_page"]),
    conversations=st.sampled_from([0, 1, 50, 60, 110]),
)
def test_a_mixture_of_faults_is_never_short(plan: list[Fault], paging: str, last_page: str, conversations: int) -> None:
    """Under any mixture of faults a stream that ends green holds every record that Drift still has."""
    drift = Drift(accounts=conversations // 2 + 40, conversations=conversations, users=3, history_days=100)
    read = read_with(plan, drift, MIXED, paging=paging, last_page=last_page)
    assert_sound(read, MIXED, keys_of(drift))
