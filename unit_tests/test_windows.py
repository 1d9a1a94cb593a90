"""What Drift filters by time is asked for in windows without a gap, and in halves where one holds too much."""

import json
from itertools import pairwise
from typing import Any

import pytest
import requests

import components
from unit_tests.conftest import (
    API,
    DAY,
    HOUR,
    LATEST,
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
    report,
    response,
)

MEETINGS = "/users/meetings/org"
STEP = 30 * DAY
IN_2014 = 1_388_534_400_000
START = 1_767_225_600_000  # 2026-01-01, two weeks before these tests
SINCE = {"start_date": "2026-01-01"}
NOTHING_UNTIL_THEN = (
    "The conversation_metrics would be read from a moment that lies ahead of Drift's clock, and none until then."
    " Correct `start_date`, or clear the state of the stream."
)


@pytest.fixture(autouse=True)
def asks_ahead(drift: Drift) -> None:
    """These tests look at the window of what is dated ahead, too."""
    drift.has_ahead = True


def bounds(request: requests.PreparedRequest) -> tuple[int, int]:
    """The first and the last millisecond that a report is asked for."""
    [only] = json.loads(request.body or b"")["filters"]
    assert (only["property"], only["operation"]) == ("updatedAt", "BETWEEN")
    low, high = only["values"]
    assert (type(low), type(high)) == (int, int), only
    return low, high


def windows(drift: Drift) -> list[tuple[int, int]]:
    """The windows of the reports, in the order in which they were asked for."""
    return [bounds(request) for request in drift.asked(REPORTS)]


def reports(drift: Drift, rows: dict[int, int], cap: int = 10_000) -> None:
    """Answers the report over conversations with their updates; it counts all and gives no more than `cap`."""

    def answer(request: requests.PreparedRequest) -> Any:
        low, high = bounds(request)
        found = [(key, {"updatedAt": time}) for key, time in rows.items() if low <= time <= high]
        return report(*found[:cap], count=len(found))

    drift.answers(REPORTS, answer)


def read_reports(connector: Connector, state: Any = None, **more: Any) -> Outcome:
    return connector.read("conversation_metrics", state={} if state is None else state, config=config(**more))


def assert_read(outcome: Outcome, keys: set[int], stream: str = "conversation_metrics") -> None:
    assert (outcome.status(stream), outcome.errors) == ("COMPLETE", []), outcome.summary
    assert set(outcome.keys(stream)) == keys


# Conversation metrics


def test_windows_have_no_gap(drift: Drift, connector: Connector) -> None:
    """A first sync asks for all from 1970 to 2100, one window after the other, each from the end of the last."""
    reports(drift, {1: 0, 2: IN_2014, 3: IN_2014 + STEP, 4: NOW})
    assert_read(read_reports(connector), {1, 2, 3, 4})
    asked = windows(drift)
    # Before 2014 there was no Drift: what it may hold of that time is one window.
    assert (asked[0], asked[-1][1]) == ((0, IN_2014), LATEST)
    assert all(low == end for (_, end), (low, _) in pairwise(asked)), asked
    assert {high - low for low, high in asked[1:-1]} == {STEP}
    assert NOW - STEP <= asked[-1][0] < NOW


@pytest.mark.parametrize(
    "holds", [lambda low, edge, high: low <= edge < high, lambda low, edge, high: low < edge <= high]
)
@pytest.mark.parametrize("edge", [START - DAY, START - DAY + STEP], ids=["between", "ahead"])
def test_row_on_the_edge_is_read(drift: Drift, connector: Connector, edge: int, holds: Any) -> None:
    """A row of the very millisecond between two windows comes, whichever of its ends Drift takes for a part of it."""

    def answer(request: requests.PreparedRequest) -> Any:
        low, high = bounds(request)
        return report((1, {"updatedAt": edge})) if holds(low, edge, high) else report()

    drift.answers(REPORTS, answer)
    assert_read(read_reports(connector, start_date="2025-12-01"), {1})
    assert len({edge for window in windows(drift) for edge in window}) == len(windows(drift)) + 1


@pytest.mark.parametrize(
    ("start_date", "first"),
    [
        ("2013-12-31", (1_388_448_000_000, 1_388_448_000_000 + STEP)),
        ("2013-11-30", (1_385_769_600_000, IN_2014)),
        ("2000-01-01", (946_684_800_000, IN_2014)),
    ],
)
def test_first_window_reaches_to_2014_or_thirty_days(
    drift: Drift, connector: Connector, start_date: str, first: tuple[int, int]
) -> None:
    """The first window is one of thirty days, or reaches to where Drift began."""
    drift.answers(REPORTS, Answer(SECRET, 418))
    read_reports(connector, start_date=start_date)
    assert windows(drift) == [first]


def test_metrics_are_asked_for_and_named_by_place(drift: Drift, connector: Connector) -> None:
    """Each request names thirteen metrics, and each number of the answer comes under its own."""
    sent = {name: NOW - DAY + place for place, name in enumerate(METRICS)}
    drift.answers(REPORTS, report((7, sent)), report())
    outcome = read_reports(connector, **SINCE)
    for request in drift.asked(REPORTS):
        assert (request.method, json.loads(request.body or b"")["metrics"]) == ("POST", METRICS)
    assert outcome.records("conversation_metrics") == [{"conversationId": 7, **sent}]


def test_metric_that_is_missing_is_null(drift: Drift, connector: Connector) -> None:
    """ "NaN" is no number in any column: it comes as none."""
    reports(drift, {7: NOW - DAY})
    outcome = read_reports(connector, **SINCE)
    assert outcome.records("conversation_metrics") == [{"conversationId": 7, "updatedAt": NOW - DAY}]


@pytest.mark.parametrize("start_date", ["2026-01-05", "2026-01-05T00:00:00Z"])
def test_start_date_is_where_the_windows_begin(drift: Drift, connector: Connector, start_date: str) -> None:
    """A start date leaves out the windows before it, in either form."""
    reports(drift, {1: NOW - HOUR})
    read_reports(connector, start_date=start_date)
    start = 1_767_571_200_000
    assert windows(drift) == [(start, start + STEP), (start + STEP, LATEST)]


@pytest.mark.parametrize("start_date", ["2026-01-01", "2025-12-01"])
def test_rows_dated_ahead_are_asked_for_and_lowered(drift: Drift, connector: Connector, start_date: str) -> None:
    """What is dated ahead of the clock comes in the last window with the time of the answer; no state runs ahead."""
    reports(drift, {1: NOW - HOUR, 2: NOW + 400 * DAY})
    outcome = read_reports(connector, start_date=start_date)
    assert_read(outcome, {1, 2})
    assert windows(drift)[-1][1] == LATEST
    assert max(record["updatedAt"] for record in outcome.records("conversation_metrics")) == NOW + 999
    assert outcome.state("conversation_metrics") == {"updatedAt": str(NOW + 999)}
    assert len([line for line in outcome.logs("WARN") if "ahead of its own clock" in line]) == 1
    # The next sync does not lose what is updated meanwhile, and has the row that is dated ahead again.
    drift.clock.now += 3600
    reports(drift, {2: NOW + 400 * DAY, 3: NOW + 30 * MINUTE})
    assert_read(read_reports(connector, outcome.state("conversation_metrics"), start_date=start_date), {2, 3})


def test_second_sync_looks_back_a_day(drift: Drift, connector: Connector) -> None:
    """A second sync begins a day before the state, since reports may be computed late, and reads what lies there."""
    reports(drift, {1: NOW - 3 * DAY - 1, 2: NOW - 3 * DAY, 3: NOW - 2 * DAY - 12 * HOUR, 4: NOW - HOUR})
    outcome = read_reports(connector, {"updatedAt": str(NOW - 2 * DAY)})
    assert_read(outcome, {2, 3, 4})
    assert windows(drift)[0][0] == NOW - 3 * DAY
    assert outcome.state("conversation_metrics") == {"updatedAt": str(NOW - HOUR)}


@pytest.mark.parametrize("age", [0, DAY, 28 * DAY])
def test_second_sync_asks_for_two_windows_at_most(drift: Drift, connector: Connector, age: int) -> None:
    """A sync with a recent state costs two requests of the small budget of the reports, and not one for each day."""
    reports(drift, {1: NOW - MINUTE})
    assert_read(read_reports(connector, {"updatedAt": str(NOW - age)}), {1})
    assert len(windows(drift)) <= 2


def test_sync_of_nothing_keeps_the_state(drift: Drift, connector: Connector) -> None:
    """Where nothing was updated the state stays where it was: what is computed late is not skipped."""
    reports(drift, {})
    outcome = read_reports(connector, {"updatedAt": str(NOW - 2 * DAY)})
    assert_read(outcome, set())
    assert outcome.state("conversation_metrics") == {"updatedAt": str(NOW - 2 * DAY)}


def test_report_that_counts_more_is_halved(drift: Drift, connector: Connector) -> None:
    """Every conversation comes once where Drift gives no more than ten at once: a part is asked for, not extracted."""
    begin = START - 31 * DAY  # 2025-12-01
    rows = {key: begin + key * 4 * HOUR + 1 for key in range(1, 65)}
    reports(drift, rows, cap=10)
    outcome = read_reports(connector, start_date="2025-12-01")
    assert_read(outcome, set(rows))
    assert len(outcome.records("conversation_metrics")) == len(rows)
    asked = windows(drift)
    assert asked[:2] == [(begin, begin + STEP), (begin, begin + STEP // 2)]
    # A window that was not a part is followed by the one that begins at its end, a part by its first half.
    assert all(later[0] in earlier for earlier, later in pairwise(asked)), asked


def test_windows_grow_again(drift: Drift, connector: Connector) -> None:
    """One crowded hour makes the windows narrow, and behind it they double until they have thirty days again."""
    crowd = 1_735_689_600_000 + 40 * DAY  # forty days after the start
    rows = {key: crowd + key * MINUTE for key in range(60)}
    reports(drift, rows, cap=40)
    outcome = read_reports(connector, start_date="2025-01-01")
    assert_read(outcome, set(rows))
    asked = windows(drift)
    widths = [high - low for low, high in asked[:-1]]
    assert min(widths) <= 2 * HOUR, widths
    behind = [width for (low, _), width in zip(asked, widths, strict=False) if low > crowd + HOUR]
    assert all(later == min(STEP, 2 * earlier) for earlier, later in pairwise(behind)), behind
    assert behind[0] < DAY, behind
    assert STEP in behind, behind
    assert len(asked) <= 45, asked


def test_report_of_the_last_day_is_halved(drift: Drift, connector: Connector) -> None:
    """Conversations of the last hours are told apart as well as old ones, and those that are dated ahead, too."""
    rows = {key: NOW - DAY + key * 30 * MINUTE for key in range(1, 48)} | {100: NOW + DAY}
    reports(drift, rows, cap=20)
    assert_read(read_reports(connector, start_date="2026-01-10"), set(rows))


@pytest.mark.parametrize("counted", [1, -1], ids=["more", "fewer"])
def test_report_that_never_agrees_is_an_error(drift: Drift, connector: Connector, counted: int) -> None:
    """A count that differs even within an hour fails the stream in words, without a row and without a new state."""
    drift.answers(REPORTS, report((1, {"updatedAt": NOW - DAY}), count=1 + counted))
    outcome = read_reports(connector, {"updatedAt": str(NOW - DAY)})
    assert (outcome.status("conversation_metrics"), outcome.records("conversation_metrics")) == ("INCOMPLETE", [])
    assert outcome.error("conversation_metrics").message == (
        "Drift gives only a part of the conversation_metrics even of 60 minutes. Run the sync again; if this lasts,"
        " they cannot be read completely."
    )
    assert int(outcome.state("conversation_metrics")["updatedAt"]) <= NOW - DAY
    low, high = windows(drift)[-1]
    assert HOUR // 2 <= high - low <= HOUR
    assert len(windows(drift)) <= 12


def test_window_that_fails_fails_the_reports(drift: Drift, connector: Connector) -> None:
    """A later window that cannot be read makes the stream INCOMPLETE, and the next sync begins where this one did."""
    drift.answers(REPORTS, report((1, {"updatedAt": NOW - 20 * DAY})), Answer(SECRET, 418))
    state = {"updatedAt": str(NOW - 40 * DAY)}
    outcome = read_reports(connector, state)
    assert outcome.status("conversation_metrics") == "INCOMPLETE"
    assert outcome.error("conversation_metrics").message == "Drift answered POST /reports/conversations with HTTP 418."
    assert int(outcome.state("conversation_metrics")["updatedAt"]) <= NOW - 40 * DAY


def test_reports_have_a_budget_of_their_own(drift: Drift, connector: Connector, clock: Clock) -> None:
    """In no minute are more reports asked for than the sixty that Drift allows, whatever the config says."""
    sent: list[float] = []

    def answer(request: requests.PreparedRequest) -> Any:
        sent.append(clock.now)
        return report()

    drift.answers(REPORTS, answer)
    # Few workers: those that wait side by side would each let the clock of these tests jump for all.
    read_reports(connector, start_date="2017-01-01", max_requests_per_second=1)
    assert len(sent) >= 100
    for moment in sent:
        assert len([other for other in sent if moment <= other < moment + 59.9]) <= 50


@pytest.mark.parametrize("ahead", [DAY + MINUTE, 400 * DAY])
def test_state_of_reports_ahead_of_the_clock_is_an_error(drift: Drift, connector: Connector, ahead: int) -> None:
    """A state more than a day ahead of Drift's clock would read nothing, green, until then: it is a clear error."""
    reports(drift, {})
    outcome = read_reports(connector, {"updatedAt": str(NOW + ahead)})
    error = outcome.error("conversation_metrics")
    assert (error.message, error.failure_type.value) == (NOTHING_UNTIL_THEN, "config_error")
    assert (outcome.status("conversation_metrics"), len(drift.requests)) == ("INCOMPLETE", 1)


def test_state_of_reports_a_little_ahead_is_covered_by_the_look_back(drift: Drift, connector: Connector) -> None:
    """A state that Drift's clock put up to a day before ours hides nothing."""
    reports(drift, {1: NOW - MINUTE})
    assert_read(read_reports(connector, {"updatedAt": str(NOW + 12 * HOUR)}), {1})


def test_start_date_of_reports_ahead_of_the_clock_is_an_error(drift: Drift, connector: Connector) -> None:
    """A start date in the future is a clear error, and not an empty green stream, as for the conversations."""
    reports(drift, {1: NOW - MINUTE})
    outcome = read_reports(connector, start_date="2026-02-01")
    assert outcome.error("conversation_metrics").message == NOTHING_UNTIL_THEN


# The pagination by itself


def paged(low: int, high: int, query: str = "", part: bool = False, **headers: Any) -> str | None:
    """The token behind a window of the reports."""
    sent = {"metrics": [], "filters": [{"values": [low, high]}]}
    answer = response(report(count=1) if part else report(), url=f"{API}{REPORTS}", method="POST", sent=sent, **headers)
    walk = components.ReportsPagination(parameters={}, records_at=["data"], name="conversation_metrics")
    return walk.next_page_token(answer, 0, None, query or None)


@pytest.mark.parametrize(
    ("low", "high", "part", "expected"),
    [
        # The whole of one is followed by the next, at most thirty days and twice as wide.
        (0, IN_2014, False, f"#{IN_2014}-{IN_2014 + STEP}"),
        (START - DAY, START, False, f"#{START}-{START + 2 * DAY}"),
        (START - 15 * DAY - 1, START - DAY, False, f"#{START - DAY}-{LATEST}"),
        # Where the clock is reached the window is the last one.
        (NOW - DAY, NOW, False, f"#{NOW}-{LATEST}"),
        (NOW - DAY, NOW + 999, False, f"#{NOW + 999}-{LATEST}"),
        (NOW - DAY, NOW + 29 * DAY, False, f"#{NOW + 29 * DAY}-{LATEST}"),
        (NOW - DAY, LATEST, False, None),
        (NOW + DAY, LATEST, False, None),
        # A part is followed by its first half; the last window ends at the clock for that.
        (0, IN_2014, True, f"#0-{IN_2014 // 2}"),
        (START, START + HOUR + 1, True, f"#{START}-{START + HOUR // 2}"),
        (NOW + 999 - 2 * DAY, LATEST, True, f"#{NOW + 999 - 2 * DAY}-{NOW + 999 - DAY}"),
        (NOW - DAY, NOW + 29 * DAY, True, f"#{NOW - DAY}-{LATEST}"),
    ],
)
def test_window_behind_a_window(low: int, high: int, part: bool, expected: str | None) -> None:
    """Each window of the reports is followed by the one that its answer calls for."""
    assert paged(low, high, "#given", part) == expected


@pytest.mark.parametrize(("low", "high"), [(START, START + HOUR), (START, START + 1), (NOW + 999 - HOUR, LATEST)])
def test_part_of_an_hour_is_an_error(low: int, high: int) -> None:
    """An hour is not halved."""
    with pytest.raises(components.AirbyteTracedException, match="only a part of the conversation_metrics even of 60 m"):
        paged(low, high, "#given", True)


def test_only_the_first_window_can_lie_ahead() -> None:
    """The first request shows whether a sync begins ahead of the clock; the last window of each does."""
    with pytest.raises(components.AirbyteTracedException, match="ahead of Drift's clock"):
        paged(NOW + 1000, NOW + STEP)
    assert paged(NOW + 999, NOW + STEP) == f"#{NOW + STEP}-{LATEST}"
    assert paged(NOW + STEP, LATEST, "#given") is None


@pytest.mark.parametrize(("date", "is_refused"), [("Wed, 14 Jan 2026 12:00:00 GMT", True), (None, False)])
def test_start_is_compared_with_drifts_clock(clock: Clock, date: str | None, is_refused: bool) -> None:
    """Drift's clock decides what lies ahead, and ours only where it does not tell the time."""
    if is_refused:
        with pytest.raises(components.AirbyteTracedException, match="ahead of Drift's clock"):
            paged(NOW, NOW + STEP, Date=date)
    else:
        assert paged(NOW, NOW + STEP, Date=date)


# Meetings


def meeting(number: int, start: int, agent: int = 1) -> dict[str, Any]:
    return {"slug": f"meeting-{number}", "agentId": agent, "slotStart": start, "status": "ACTIVE"}


def slots(drift: Drift) -> list[tuple[int, int]]:
    """The windows of the meetings, in the order in which they were asked for."""
    assert {query["limit"] for query in drift.queries(MEETINGS)} == {"1000"}
    return [(int(query["min_start_time"]), int(query["max_start_time"])) for query in drift.queries(MEETINGS)]


def meetings(drift: Drift, rows: list[dict[str, Any]]) -> None:
    """Answers the meetings that start in a window, and no more than the limit, without a word on the others."""

    def answer(request: requests.PreparedRequest) -> Any:
        low, high = slots(drift)[-1]
        return {"data": [row for row in rows if low <= row["slotStart"] <= high][:1000]}

    drift.answers(MEETINGS, answer)


RANGE = (NOW - 31 * DAY, NOW + 731 * DAY)
STATES = [
    {},
    {"slotStart": str(NOW)},
    {"slotStart": NOW},
    {"slotStart": str(NOW + 700 * DAY)},
    {"slotStart": str(LATEST - 1)},
    {"unheard_of": [1]},
]


@pytest.mark.parametrize("state", STATES, ids=str)
def test_every_sync_covers_the_whole_range(drift: Drift, connector: Connector, state: Any) -> None:
    """Meetings are asked for in one window around the clock, whatever state was saved, so that changed ones come."""
    rows = [meeting(1, NOW - 30 * DAY), meeting(2, NOW), meeting(3, NOW + 730 * DAY), meeting(3, NOW + 730 * DAY, 2)]
    meetings(drift, rows)
    outcome = connector.read("meetings", state=state)
    assert (outcome.status("meetings"), outcome.records("meetings")) == ("COMPLETE", rows), outcome.summary
    assert slots(drift) == [RANGE]


def test_start_date_is_nothing_to_the_meetings(drift: Drift, connector: Connector) -> None:
    """A start date, even one ahead, changes nothing of the range."""
    meetings(drift, [meeting(1, NOW - DAY)])
    outcome = connector.read("meetings", state={}, config=config(start_date="2026-02-01"))
    assert (outcome.status("meetings"), outcome.keys("meetings")) == ("COMPLETE", ["meeting-1"]), outcome.summary
    assert slots(drift) == [RANGE]


def test_state_that_is_handed_back_changes_nothing(drift: Drift, connector: Connector) -> None:
    """A second sync with the state of the first one brings every meeting again, the cancelled one too."""
    rows = [meeting(1, NOW - DAY), meeting(2, NOW + DAY)]
    meetings(drift, rows)
    state = connector.read("meetings", state={}).state("meetings")
    cancelled = [{**rows[0], "status": "CANCELED"}, rows[1]]
    meetings(drift, cancelled)
    assert connector.read("meetings", state=state).records("meetings") == cancelled


def test_thousand_meetings_are_halved(drift: Drift, connector: Connector) -> None:
    """A full answer may be cut: its window is halved until every answer has room, and each meeting comes."""
    rows = [meeting(number, NOW + number * HOUR + 1) for number in range(1500)]
    meetings(drift, rows)
    outcome = connector.read("meetings", state={})
    assert (outcome.status("meetings"), outcome.errors) == ("COMPLETE", []), outcome.summary
    assert sorted(outcome.keys("meetings")) == sorted(row["slug"] for row in rows)
    asked = slots(drift)
    assert asked[:2] == [RANGE, (RANGE[0], rows[499]["slotStart"] + 1)]
    assert len(asked) <= 7, asked
    whole = [window for window, follows in pairwise([*asked, (-1, -1)]) if follows[0] in (window[1], -1)]
    assert (whole[0][0], whole[-1][1]) == RANGE
    assert all(low == end for (_, end), (low, _) in pairwise(whole)), whole


@pytest.mark.parametrize(("apart", "comes"), [(2 * MINUTE, True), (0, False)])
def test_meetings_are_told_apart_down_to_a_minute(drift: Drift, connector: Connector, apart: int, comes: bool) -> None:
    """Two crowds a few minutes apart are read; more than a thousand of one minute are an error, and no part of them."""
    rows = [meeting(number, NOW + number % 2 * apart) for number in range(1200)]
    meetings(drift, rows)
    outcome = connector.read("meetings", state={})
    if comes:
        assert (outcome.status("meetings"), len(set(outcome.keys("meetings")))) == ("COMPLETE", 1200), outcome.summary
        return
    assert (outcome.status("meetings"), outcome.records("meetings")) == ("INCOMPLETE", [])
    assert outcome.error("meetings").message == (
        "Drift gives only a part of the meetings even of 1 minutes. Run the sync again; if this lasts, they cannot be"
        " read completely."
    )
    low, high = slots(drift)[-1]
    assert MINUTE // 2 <= high - low <= MINUTE


@pytest.mark.parametrize(
    ("rows", "width"),
    [(0, 1000 * DAY), (1, 1000 * DAY), (16, 500 * DAY), (400, 20 * DAY), (800, 10 * DAY), (999, 691_891_891)],
)
def test_next_window_is_as_wide_as_its_answer_has_room(rows: int, width: int) -> None:
    """Behind a window of ten days comes one that would hold four fifths of an answer, were it as crowded."""
    low, high, end = NOW, NOW + 10 * DAY, NOW + 5000 * DAY
    assert behind_meetings(low, high, end, [NOW] * rows) == (high, high + width)
    assert behind_meetings(low, high, high + width - 1, [NOW] * rows) == (high, high + width - 1)
    assert behind_meetings(low, high, high, [NOW] * rows) is None


@pytest.mark.parametrize("rows", [0, 1])
def test_next_window_behind_a_day_of_one_meeting(rows: int) -> None:
    """Nothing counts as one."""
    assert behind_meetings(NOW, NOW + DAY, NOW + 5000 * DAY, [NOW] * rows) == (NOW + DAY, NOW + 801 * DAY)


def test_next_window_has_a_width() -> None:
    """However crowded a short window is, the one behind it is as wide as a cut leaves one, and the walk has an end."""
    following = behind_meetings(NOW, NOW + 1, NOW + DAY, [NOW] * 999)
    # As text, since a float would be asked for as such.
    assert str(following) == str((NOW + 1, NOW + 1 + MINUTE // 2))


def test_meetings_at_the_ends_of_a_window_are_inside() -> None:
    """Windows share their ends, so what starts there belongs to them."""
    end = NOW + 10 * DAY
    assert behind_meetings(NOW, end, end + 5000 * DAY, [NOW] * 200 + [end] * 200) == (end, end + 20 * DAY)


@pytest.mark.parametrize("answers", ["what overlaps", "whole hours", "nine hundred always"])
@pytest.mark.parametrize("first", [1, -1], ids=["oldest", "newest"])
def test_meetings_of_other_times_hold_up_nothing(drift: Drift, connector: Connector, answers: str, first: int) -> None:
    """Where Drift answers meetings that start outside the window, too, a walk neither crawls nor goes on for ever."""
    crowd = [meeting(number, NOW + number * MINUTE // 900) for number in range(900)]
    others = [meeting(900 + number, NOW + number * HOUR) for number in range(600)]
    rows = sorted([*crowd, *others], key=lambda row: row["slotStart"])[::first]

    def holds(low: int, high: int, row: dict[str, Any]) -> bool:
        start = row["slotStart"]
        if answers == "what overlaps":
            return start <= high and start + (7 * DAY if row in crowd else 0) >= low
        if answers == "whole hours":
            return low // HOUR * HOUR <= start <= -(-high // HOUR) * HOUR
        return low <= start <= high or row in crowd[:850]

    def answer(request: requests.PreparedRequest) -> Any:
        low, high = slots(drift)[-1]
        assert len(slots(drift)) <= 40, slots(drift)[-3:]
        return {"data": [row for row in rows if holds(low, high, row)][:1000]}

    drift.answers(MEETINGS, answer)
    outcome = connector.read("meetings", state={})
    assert (outcome.status("meetings"), len(set(outcome.keys("meetings")))) == ("COMPLETE", 1500), outcome.summary


@pytest.mark.parametrize(
    ("times", "middle"),
    [
        # The half of the rows, whatever their order, where that is less than the half of the time.
        ([NOW + number * MINUTE for number in range(1, 1001)], 500 * MINUTE + 1),
        ([NOW + number * MINUTE for number in range(1000, 0, -1)], 500 * MINUTE + 1),
        ([NOW + 9 * DAY] * 501 + [NOW + DAY] * 499, 5 * DAY),
        # Rows outside and without a time say nothing of what lies between.
        ([NOW, NOW + 10 * DAY] * 499 + [NOW + DAY, NOW + 1], MINUTE),
        ([NOW - DAY] * 900 + [NOW + 11 * DAY] * 99 + [NOW + DAY], DAY + 1),
        ([None] * 999 + [NOW + DAY], DAY + 1),
        ([None, "soon"] * 500, 5 * DAY),
        ([str(NOW + DAY)] * 1000, DAY + 1),
        ([NOW + 10 * DAY] * 1000, 5 * DAY),
        # No window is narrower than a minute for that.
        ([NOW] * 1000, MINUTE),
        ([NOW + 1] * 1000, MINUTE),
    ],
)
def test_full_window_is_cut_in_half(times: list[Any], middle: int) -> None:
    """A full window of ten days is followed by half of its time or of its rows."""
    assert behind_meetings(NOW, NOW + 10 * DAY, NOW + 10 * DAY, times) == (NOW, NOW + middle)


def behind_meetings(low: int, high: int, end: int, times: list[Any]) -> tuple[int, int] | None:
    """The window of meetings that follows one with these."""
    walk = components.MeetingsPagination(
        parameters={}, page_size=1000, records_at=["data"], name="meetings", cursor_field="slotStart"
    )
    url = f"{API}{MEETINGS}?limit=1000"
    answer = response({"data": [meeting(number, time) for number, time in enumerate(times)]}, url=url)
    return walk.next_window(low, high, end, answer)


def test_window_that_fails_fails_the_meetings(drift: Drift, connector: Connector) -> None:
    """A half that cannot be read makes the stream INCOMPLETE."""
    full = {"data": [meeting(number, NOW + number) for number in range(1000)]}
    drift.answers(MEETINGS, full, Answer(SECRET, 418))
    outcome = connector.read("meetings", state={})
    assert outcome.error("meetings").message == "Drift answered GET /users/meetings/org with HTTP 418."
    assert outcome.records("meetings") == []


def test_halving_is_no_warning(drift: Drift, connector: Connector) -> None:
    """That a window is asked for in halves is how it is meant, and nothing to warn of."""
    meetings(drift, [meeting(number, NOW + number * HOUR) for number in range(1100)])
    reports(drift, {key: NOW - key * HOUR for key in range(1, 30)}, cap=20)
    outcome = connector.read("meetings", "conversation_metrics", config=config(**SINCE))
    assert (outcome.status("meetings"), outcome.status("conversation_metrics")) == ("COMPLETE", "COMPLETE")
    assert outcome.logs("WARN") == []
