"""Reports and meetings are read in windows without gaps, which are halved if Drift truncates them."""

import json
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
import requests

from unit_tests.conftest import (
    API,
    DAY,
    HOUR,
    METRICS,
    MINUTE,
    NOW,
    REPORTS,
    SECRET,
    Answer,
    Clock,
    Connector,
    Drift,
    Outcome,
    config,
    parts,
    report,
    response,
)

MEETINGS = "/users/meetings/org"
IN_2014 = 1_388_534_400_000
START = 1_767_225_600_000  # 2026-01-01, two weeks before these tests
STEP = 120 * DAY
# How Drift may interpret the ends of a window.
ENDS: dict[str, Callable[[int, int, int], bool]] = {
    "both": lambda low, moment, high: low <= moment <= high,
    "low": lambda low, moment, high: low <= moment < high,
    "high": lambda low, moment, high: low < moment <= high,
    "none": lambda low, moment, high: low < moment < high,
}
Window = tuple[int, int]


@pytest.fixture(autouse=True)
def asks_ahead(drift: Drift) -> None:
    """These tests also check the windows in the future."""
    drift.has_ahead = True


def bounds(drift: Drift, stream: str) -> list[Window]:
    """The requested windows of a stream, in order."""
    if stream == "meetings":
        return [(int(query["min_start_time"]), int(query["max_start_time"])) for query in drift.queries(MEETINGS)]
    windows = []
    for request in drift.asked(REPORTS):
        [only] = json.loads(request.body or b"")["filters"]
        assert (only["property"], only["operation"]) == ("updatedAt", "BETWEEN")
        low, high = only["values"]
        windows.append((millis(low), millis(high)))
    return windows


def millis(value: int | str) -> int:
    """The end of a window: a number, or a day if Drift refused numbers."""
    return int(datetime.fromisoformat(f"{value}T00:00Z").timestamp() * 1000) if isinstance(value, str) else value


def body_of(stream: str, rows: dict[int, int], **more: Any) -> dict[str, Any]:
    """Drift's response with rows, each with its time."""
    if stream == "meetings":
        data = [
            {"slug": f"m-{key}", "agentId": 1, "slotStart": moment, "updatedAt": NOW - DAY}
            for key, moment in rows.items()
        ]
        return {"data": data, **more}
    return report(*[(key, {"updatedAt": moment}) for key, moment in rows.items()], **more)


def answers(
    drift: Drift, stream: str, rows: dict[int, int], ends: str = "both", finish: Any = lambda window, found: found
) -> None:
    """Respond with the rows of each window; `finish` builds the body or selects the rows."""

    def answer(_: requests.PreparedRequest) -> Any:
        low, high = bounds(drift, stream)[-1]
        found = {key: moment for key, moment in rows.items() if ENDS[ends](low, moment, high)}
        made = finish((low, high), found)
        is_rows = isinstance(made, dict) and "data" not in made
        return body_of(stream, made) if is_rows else made

    drift.answers(MEETINGS if stream == "meetings" else REPORTS, answer)


def read(connector: Connector, stream: str, state: Any = None, **more: Any) -> Outcome:
    # One request at a time, so that the last requested window is the one to respond to.
    given = config(max_requests_per_second=1, **more)
    return connector.read(stream, state={} if state is None else state, config=given)


def keys_of(outcome: Outcome, stream: str) -> set[int]:
    assert (outcome.status(stream), outcome.errors) == ("COMPLETE", []), outcome.summary
    return {int(str(key).removeprefix("m-")) for key in outcome.keys(stream)}


def misleading(line: str) -> bool:
    """The CDK logs this at every read of a stream whose custom error handler splits windows."""
    return "will never be split unless" in line


# The ends of windows


def test_reports_are_read_from_2014_to_a_day_ahead_in_at_most_forty_requests(
    drift: Drift, connector: Connector
) -> None:
    """A first sync requests all reports since 2014 in fewer requests than one minute allows."""
    rows = {1: IN_2014, 2: IN_2014 + STEP, 3: NOW, 4: NOW + DAY}
    answers(drift, "conversation_metrics", rows)
    outcome = read(connector, "conversation_metrics")
    assert keys_of(outcome, "conversation_metrics") == set(rows)
    asked = sorted(bounds(drift, "conversation_metrics"))
    assert len(asked) <= 40
    assert (asked[0][0], asked[-1][1]) == (IN_2014 - 1, NOW + DAY + 1)
    # The ends are extended by a millisecond, so the windows overlap.
    assert {low - high for (_, high), (low, _) in pairwise(asked)} == {-1}
    # A row dated in the future does not change, and the state does not pass the clock.
    [ahead] = [row for row in outcome.records("conversation_metrics") if row["conversationId"] == 4]
    assert ahead["updatedAt"] == NOW + DAY
    assert int(outcome.state("conversation_metrics")["updatedAt"]) <= drift.clock.now * 1000


@pytest.mark.parametrize("start_date", ["2026-01-05", "2026-01-05T00:00:00Z"])
def test_reports_start_at_the_start_date(drift: Drift, connector: Connector, start_date: str) -> None:
    """A start date, in either format, excludes the windows before it."""
    answers(drift, "conversation_metrics", {})
    read(connector, "conversation_metrics", start_date=start_date)
    assert bounds(drift, "conversation_metrics") == [(1_767_571_200_000 - 1, NOW + DAY + 1)]


@pytest.mark.parametrize(
    "state", [{}, {"updatedAt": str(NOW)}, {"updatedAt": str(NOW + 700 * DAY)}, {"slotStart": str(NOW)}], ids=str
)
@pytest.mark.parametrize("start_date", ["", "2026-02-01"])
def test_every_sync_covers_all_meetings(drift: Drift, connector: Connector, state: Any, start_date: str) -> None:
    """Every sync requests the last thirty days and the next two years in four requests, so that changes are found."""
    rows = {1: NOW - 30 * DAY + HOUR + MINUTE, 2: NOW, 3: NOW + 730 * DAY}
    answers(drift, "meetings", rows)
    outcome = read(connector, "meetings", state, start_date=start_date)
    assert keys_of(outcome, "meetings") == set(rows)
    asked = sorted(bounds(drift, "meetings"))
    assert len(asked) <= 4
    assert (asked[0][0], asked[-1][1]) == (NOW - 30 * DAY + HOUR - 1, NOW + 731 * DAY + 1)
    assert all(low < high for (_, high), (low, _) in pairwise(asked)), asked
    assert {query["limit"] for query in drift.queries(MEETINGS)} == {"1000"}
    # With the state of the first sync, its rows are read again.
    again = read(connector, "meetings", outcome.state("meetings"), start_date=start_date)
    assert keys_of(again, "meetings") == set(rows)


@pytest.mark.parametrize("stream", ["conversation_metrics", "meetings"])
@pytest.mark.parametrize("ends", ENDS)
def test_row_between_two_windows_is_read(drift: Drift, connector: Connector, stream: str, ends: str) -> None:
    """A row at the exact millisecond between two windows is read, whichever ends Drift includes."""
    answers(drift, stream, {})
    read(connector, stream, start_date="2025-01-01")
    asked = sorted(bounds(drift, stream))
    edges = [edge for (_, high), (low, _) in pairwise(asked) for edge in range(min(low, high) - 1, max(low, high) + 2)]
    rows = dict(enumerate([asked[0][0] + 1, *edges, asked[-1][1] - 1]))
    drift.requests.clear()
    drift.clock.now = NOW / 1000
    answers(drift, stream, rows, ends)
    assert keys_of(read(connector, stream, start_date="2025-01-01"), stream) == set(rows)


@pytest.mark.parametrize(
    ("age", "most"), [(-12 * HOUR, 1), (0, 1), (28 * DAY, 1), (100 * DAY, 1), (200 * DAY, 2)], ids=str
)
def test_second_sync_looks_back_a_day(drift: Drift, connector: Connector, age: int, most: int) -> None:
    """A second sync starts a day before the state, because reports may be late, and costs a request or two."""
    rows = {1: NOW - age - DAY - 2, 2: NOW - age - DAY, 3: NOW - MINUTE}
    answers(drift, "conversation_metrics", rows)
    outcome = read(connector, "conversation_metrics", {"updatedAt": str(NOW - age)})
    assert keys_of(outcome, "conversation_metrics") == {2, 3}
    assert len(bounds(drift, "conversation_metrics")) <= most
    assert outcome.state("conversation_metrics") == {"updatedAt": str(max(NOW - MINUTE, NOW - age))}


def test_sync_without_rows_keeps_the_state(drift: Drift, connector: Connector) -> None:
    """Without updates, the state does not change, so late reports are not skipped."""
    answers(drift, "conversation_metrics", {})
    outcome = read(connector, "conversation_metrics", {"updatedAt": str(NOW - 2 * DAY)})
    assert keys_of(outcome, "conversation_metrics") == set()
    assert outcome.state("conversation_metrics") == {"updatedAt": str(NOW - 2 * DAY)}


def test_metrics_are_requested_and_named_by_position(drift: Drift, connector: Connector) -> None:
    """A request names thirteen metrics, and each number of the response gets its name; "NaN" becomes null."""
    sent = {name: NOW - DAY + place for place, name in enumerate(METRICS)}
    drift.answers(REPORTS, report((7, sent), (8, {"updatedAt": NOW - DAY})))
    outcome = read(connector, "conversation_metrics", start_date="2026-01-01")
    assert [json.loads(request.body or b"")["metrics"] for request in drift.asked(REPORTS)] == [METRICS]
    assert [request.method for request in drift.asked(REPORTS)] == ["POST"]
    assert outcome.records("conversation_metrics") == [
        {"conversationId": 7, **sent},
        {"conversationId": 8, "updatedAt": NOW - DAY},
    ]


# Truncated windows

SIGNS: dict[str, tuple[int, dict[str, Any], bool]] = {
    "count above": (3, {"count": 4}, True),
    "total above": (3, {"total": 4}, True),
    "total of pagination above": (3, {"pagination": {"total": 4}}, True),
    "count as text": (3, {"count": "4"}, True),
    "more": (3, {"more": True}, True),
    "more of pagination": (3, {"pagination": {"more": True}}, True),
    **{f"{rows} rows": (rows, {}, True) for rows in (20, 25, 50, 100, 250, 1000)},
    **{f"{rows} rows": (rows, {}, False) for rows in (0, 1, 19, 51, 99, 999)},
    "count below": (3, {"count": 2}, False),
    "no more": (3, {"more": False, "count": 3, "total": 3}, False),
}


@pytest.mark.parametrize("stream", ["conversation_metrics", "meetings"])
def test_signs_of_a_truncated_window(stream: str) -> None:
    """A window is halved if Drift says that there are more rows, or returns a typical maximum of them."""
    [made] = parts(stream)
    for sign, (count, more, is_cut) in SIGNS.items():
        body = body_of(stream, dict.fromkeys(range(count), START))
        # Without a count in the test, the response has none.
        body.pop("count", None)
        if stream == "meetings":
            answer = response(body | more, url=f"{API}{MEETINGS}?limit=1000")
        else:
            asked = {"metrics": METRICS, "filters": [{"values": [START, START + 14 * DAY]}]}
            answer = response(body | more, url=f"{API}{REPORTS}", method="POST", sent=asked)
        _ = made.pages.initial_token
        action = made.handler.interpret_response(answer).response_action.name
        assert action == ("SPLIT_REQUEST_WINDOW" if is_cut else "SUCCESS"), sign


CAPS = {
    "conversation_metrics": [("counted", 10), ("silent", 100), ("silent", 25), ("silent", 10), ("counted", 19)],
    "meetings": [("silent", 1000), ("silent", 250), ("silent", 100), ("counted", 77)],
}


@pytest.mark.parametrize(("stream", "how", "cap"), [(stream, *cap) for stream, caps in CAPS.items() for cap in caps])
def test_rows_beyond_a_maximum_are_read(drift: Drift, connector: Connector, stream: str, how: str, cap: int) -> None:
    """Every row comes once, however few Drift returns per request, and whether or not it says so."""
    rows = {key: NOW - 29 * DAY + key * 28 * DAY // (4 * cap) for key in range(4 * cap)}

    def finish(_: Window, found: dict[int, int]) -> Any:
        body = body_of(stream, dict(list(found.items())[:cap]))
        return body | {"count": len(found)} if how == "counted" else {**body, "count": None}

    answers(drift, stream, rows, finish=finish)
    outcome = read(connector, stream, start_date="2025-12-01")
    assert keys_of(outcome, stream) == set(rows)
    edges = len(bounds(drift, stream))
    assert len(outcome.records(stream)) <= len(rows) + 2 * edges
    assert [line for line in outcome.logs("WARN") if not misleading(line)] == []


@pytest.mark.parametrize("stream", ["conversation_metrics", "meetings"])
def test_truncated_narrowest_window_is_an_error(drift: Drift, connector: Connector, stream: str) -> None:
    """If a window can't be halved further, the stream fails, and no new state is saved."""
    crowd = dict.fromkeys(range(40), NOW - DAY)
    answers(drift, stream, crowd, finish=lambda _, found: body_of(stream, found, count=2 * len(found)))
    outcome = read(connector, stream, {"updatedAt": str(NOW - DAY)})
    assert (outcome.status(stream), outcome.records(stream)) == ("INCOMPLETE", [])
    assert "Drift gives only a part of it. Run the sync again" in outcome.error(stream).message
    assert int(outcome.state(stream)["updatedAt"]) <= NOW - DAY
    assert min(high - low for low, high in bounds(drift, stream)) <= 5 * HOUR
    assert len(bounds(drift, stream)) <= 40


@pytest.mark.parametrize("count", [10, 20, 25, 50, 100])
def test_a_maximum_of_rows_at_one_moment_is_no_error(drift: Drift, connector: Connector, count: int) -> None:
    """If many conversations are closed at once, Drift's count shows that none is missing."""
    crowd = dict.fromkeys(range(count), NOW - DAY)
    answers(drift, "conversation_metrics", crowd)
    outcome = read(connector, "conversation_metrics", start_date="2026-01-01")
    assert keys_of(outcome, "conversation_metrics") == set(crowd)


def test_large_report_is_halved(drift: Drift, connector: Connector) -> None:
    """A year's rows in one response would need gigabytes; rows of one moment are read, however many."""
    rows = {key: NOW - key * DAY for key in range(1, 10)}
    crowd = dict.fromkeys(range(100, 103), NOW - 12 * DAY)

    def finish(_: Window, found: dict[int, int]) -> Any:
        is_large = len(found) > 3 or set(crowd) <= set(found)
        return body_of("conversation_metrics", found, padding="." * 300_000 * is_large)

    answers(drift, "conversation_metrics", rows | crowd, finish=finish)
    outcome = read(connector, "conversation_metrics", start_date="2026-01-01")
    assert keys_of(outcome, "conversation_metrics") == set(rows | crowd)
    assert len(outcome.records("conversation_metrics")) == len(rows | crowd)
    assert min(high - low for low, high in bounds(drift, "conversation_metrics")) < 6 * HOUR


@pytest.mark.parametrize(("stream", "widest"), [("conversation_metrics", 90), ("meetings", 100)])
def test_range_that_drift_refuses_is_halved(drift: Drift, connector: Connector, stream: str, widest: int) -> None:
    """A 400 for a long window is not the end: its halves are requested."""
    rows = {key: NOW - key * DAY for key in range(1, 29)}
    refusal = Answer({"error": {"type": "invalid_request"}}, 400)

    def finish(window: Window, found: dict[int, int]) -> Any:
        return refusal if window[1] - window[0] > widest * DAY else found

    answers(drift, stream, rows, finish=finish)
    assert keys_of(read(connector, stream, start_date="2025-01-01"), stream) == set(rows)


@pytest.mark.parametrize("stream", ["conversation_metrics", "meetings"])
def test_window_that_fails_fails_the_stream(drift: Drift, connector: Connector, stream: str) -> None:
    """If a later window fails, the stream is INCOMPLETE, and the next sync starts where this one did."""
    broken = Answer({"error": {"type": "teapot", "message": SECRET}}, 418)
    first = NOW - 300 * DAY if stream == "conversation_metrics" else NOW

    def finish(window: Window, found: dict[int, int]) -> Any:
        return found if window[0] < first else broken

    answers(drift, stream, {1: NOW - 20 * DAY}, finish=finish)
    outcome = read(connector, stream, {"updatedAt": str(NOW - 300 * DAY)})
    assert outcome.status(stream) == "INCOMPLETE"
    assert {error.message.partition(" ")[0] for error in outcome.errors} == {"Drift"}
    assert {"HTTP 418" in error.message for error in outcome.errors} == {True}
    if stream == "conversation_metrics":
        assert max(int(state["updatedAt"]) for state in outcome.states(stream)) <= NOW - 300 * DAY


def test_reports_have_their_own_budget(drift: Drift, connector: Connector, clock: Clock) -> None:
    """No minute has more than the sixty reports that Drift allows, even if windows are halved."""
    sent: list[float] = []
    rows = {key: IN_2014 + key * 90 * DAY for key in range(49)}

    def finish(_: Window, found: dict[int, int]) -> Any:
        sent.append(clock.now)
        return body_of("conversation_metrics", found, count=1 if len(found) < 2 else 3)

    answers(drift, "conversation_metrics", rows, finish=finish)
    outcome = connector.read("conversation_metrics", state={}, config=config(max_requests_per_second=5))
    assert keys_of(outcome, "conversation_metrics") == set(rows)
    assert len(sent) > 80
    # Parallel waits all make the test clock jump, which shifts it by a few requests.
    assert max(len([other for other in sent if moment <= other < moment + 59.9]) for moment in sent) <= 60
