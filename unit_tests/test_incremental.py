"""A second sync brings what changed and loses nothing: states, cursors, and where either may stand."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from airbyte_cdk.sources.declarative.interpolation import jinja

from unit_tests.conftest import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    REPORTS,
    STREAMS,
    Answer,
    Connector,
    Drift,
    Outcome,
    config,
    needs,
    report,
)

PATH = "/conversations/list"
STREAM = "conversations"
IN_2014 = 1_388_534_400_000


def row(key: int, updated: Any) -> dict[str, Any]:
    return {"id": key, "updatedAt": updated}


def pages(drift: Drift, *pages: Any) -> None:
    """Answers the pages of a list in the newer generation: the token of each is its number, that of the first empty."""

    def answer(request: requests.PreparedRequest) -> Any:
        token = int(dict(parse_qsl(urlsplit(str(request.url)).query)).get("page_token", "0"))
        page = pages[token]
        following = f"{PATH}?page_token={token + 1}" if token + 1 < len(pages) else None
        return {"data": page, "links": {"next": following}} if isinstance(page, list) else page

    drift.answers(PATH, answer)


def walks(drift: Drift, *walks: list[list[Any]], minutes: int = 0) -> None:
    """Answers each walk with the pages of a list of its own, the last one from then on, and so long after the other."""
    left, listed = list(walks), list[list[Any]]()

    def answer(request: requests.PreparedRequest) -> Any:
        token = int(dict(parse_qsl(urlsplit(str(request.url)).query)).get("page_token") or 0)
        if token == 0:
            drift.clock.now += 60 * minutes if listed else 0
            listed[:] = left.pop(0) if len(left) > 1 else left[0]
        following = f"{PATH}?page_token={token + 1}" if token + 1 < len(listed) else None
        return {"data": listed[token], "links": {"next": following}}

    drift.answers(PATH, answer)


def pages_asked(drift: Drift) -> set[int]:
    return {int(query["page_token"] or 0) for query in drift.queries(PATH)}


def assert_synced(outcome: Outcome, keys: list[int], state: int) -> None:
    """Exactly these conversations, each once, and this state, as the text that the CDK prints."""
    assert (outcome.status(STREAM), outcome.errors) == ("COMPLETE", []), outcome.summary
    assert sorted(outcome.keys(STREAM)) == sorted(keys)
    assert outcome.states(STREAM)
    assert {tuple(given.items()) for given in outcome.states(STREAM)} == {(("updatedAt", str(state)),)}


def test_first_sync_reads_all_and_keeps_the_newest(drift: Drift, connector: Connector) -> None:
    """A first sync brings every conversation since 2014, as a full refresh does, and its state is the newest update."""
    pages(drift, [row(3, NOW - HOUR), row(2, NOW - DAY)], [row(1, IN_2014)])
    assert_synced(connector.read(STREAM, state={}), [1, 2, 3], NOW - HOUR)
    assert sorted(connector.read(STREAM).keys(STREAM)) == [1, 2, 3]


def test_empty_drift_keeps_the_start(drift: Drift, connector: Connector) -> None:
    """A first sync of nothing is COMPLETE, and its state hides nothing that comes later."""
    pages(drift, [])
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), outcome.records(STREAM)) == ("COMPLETE", [])
    assert int(outcome.state(STREAM)["updatedAt"]) <= IN_2014


def test_records_cost_no_templates(drift: Drift, connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of fifty evaluates as many templates as a page of one: one for each record took a fourth of its time."""
    evaluated: list[str] = []
    evaluate = jinja.JinjaInterpolation._eval

    def note(interpolation: jinja.JinjaInterpolation, template: str, context: Any) -> str | None:
        evaluated.append(template)
        return evaluate(interpolation, template, context)

    monkeypatch.setattr(jinja.JinjaInterpolation, "_eval", note)
    counts = []
    for rows in (1, 50):
        pages(drift, [row(key, NOW - key) for key in range(rows)])
        evaluated.clear()
        assert_synced(connector.read(STREAM, state={}), list(range(rows)), NOW)
        counts.append(len(evaluated))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("form", [str, int])
def test_second_sync_reads_what_changed(drift: Drift, connector: Connector, form: Any) -> None:
    """A second sync stops behind what is newer than the state, text or number, and moves the state on."""
    pages(
        drift,
        [row(4, NOW - MINUTE), row(1, NOW - HOUR)],
        [row(3, NOW - 2 * DAY), row(2, NOW - 3 * DAY)],
        Answer({"error": "must not be asked"}, 500),
    )
    outcome = connector.read(STREAM, state={"updatedAt": form(NOW - DAY)})
    assert_synced(outcome, [1, 4], NOW - MINUTE)
    assert pages_asked(drift) == {0, 1}


def test_nothing_changed(drift: Drift, connector: Connector) -> None:
    """A sync without news asks for one page, brings what lies in the look-back and keeps the state."""
    pages(drift, [row(2, NOW - DAY), row(1, NOW - 2 * DAY)])
    assert_synced(connector.read(STREAM, state={"updatedAt": str(NOW - DAY)}), [2], NOW - DAY)
    assert len(drift.requests) == 1


def test_what_one_sync_hands_over_the_next_takes(drift: Drift, connector: Connector) -> None:
    """Three syncs in a row, each with the state of the one before, bring every change once or more and lose none."""
    pages(drift, [row(2, NOW - DAY), row(1, NOW - 2 * DAY)])
    state = connector.read(STREAM, state={}).state(STREAM)
    listed = [row(1, NOW - HOUR), row(2, NOW - DAY)]
    pages(drift, listed)
    second = connector.read(STREAM, state=state)
    assert_synced(second, [1, 2], NOW - HOUR)
    pages(drift, [row(3, NOW), *listed])
    assert_synced(connector.read(STREAM, state=second.state(STREAM)), [1, 3], NOW)


@pytest.mark.parametrize(
    ("updated", "comes"), [(NOW - DAY, True), (NOW - DAY - 10 * MINUTE, True), (NOW - DAY - 10 * MINUTE - 1, False)]
)
def test_look_back_is_ten_minutes(drift: Drift, connector: Connector, updated: int, comes: bool) -> None:
    """What Drift lists up to ten minutes late still comes, to the millisecond, and nothing older."""
    pages(drift, [row(2, NOW - MINUTE), row(1, updated)])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW - DAY)})
    assert_synced(outcome, [1, 2] if comes else [2], NOW - MINUTE)


def test_look_back_goes_over_a_page_break(drift: Drift, connector: Connector) -> None:
    """A page that lies half in the look-back, or holds one old row alone, is no end of the walk."""
    inside, outside = NOW - DAY - 5 * MINUTE, NOW - DAY - HOUR
    listed = [[row(5, NOW - HOUR), row(4, inside), row(3, outside)], [row(3, outside)], [row(2, inside)]]
    pages(drift, *listed, [row(1, outside)] * 2, [])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW - DAY)})
    assert_synced(outcome, [2, 4, 5], NOW - HOUR)
    assert pages_asked(drift) == {0, 1, 2, 3}


@pytest.mark.parametrize("odd", [{"updatedAt": None}, {"updatedAt": "soon"}, {"updatedAt": 1}, {}], ids=str)
def test_row_without_a_time_comes_and_moves_nothing(drift: Drift, connector: Connector, odd: dict[str, Any]) -> None:
    """A conversation whose update cannot be read is not older than anything, ends no walk, and is no state."""
    pages(drift, [{"id": 1, **odd}, {"id": 4, **odd}], [row(2, NOW - HOUR)])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW - DAY)})
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", {1, 2, 4}), outcome.summary
    assert outcome.records(STREAM)[0].get("updatedAt") == odd.get("updatedAt")
    assert outcome.state(STREAM) == {"updatedAt": str(NOW - HOUR)}


# What moves while the list is read


@pytest.mark.parametrize("lag", [0, 3000, 9 * MINUTE], ids=["at once", "3 s late", "9 min late"])
def test_last_page_that_moves_to_the_head_is_read(drift: Drift, connector: Connector, lag: int) -> None:
    """What stood on the last page and is updated before that is asked for comes, however late Drift dates it."""
    first, moved = row(1, NOW - HOUR), row(2, NOW + 100 - lag)
    walks(drift, [[first], []], [[moved, first], []])
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), sorted(outcome.keys(STREAM))) == ("COMPLETE", [1, 2]), outcome.summary


def test_second_look_reads_on_to_what_is_known(drift: Drift, connector: Connector) -> None:
    """Several pages of what moved in a long walk come, although an old row stands among them and tokens repeat."""
    old = [row(3, NOW - HOUR), row(4, NOW - 2 * HOUR)]
    moved = [[row(1, NOW + 50 * MINUTE), old[1]], [row(2, NOW + 20 * MINUTE), old[0]]]
    walks(drift, [old[:1], old[1:]], moved, minutes=60)
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", {1, 2, 3, 4}), outcome.summary


def test_row_dated_ahead_hides_nothing_that_moves(drift: Drift, connector: Connector) -> None:
    """One dated ahead stands before all others; what is updated behind it comes with this sync or the next."""
    ahead, first, moved = row(9, NOW + DAY), row(1, NOW - HOUR), row(2, NOW + 100)
    walks(drift, [[ahead], [first], []], [[ahead], [moved], [first]])
    outcome = connector.read(STREAM, state={})
    assert outcome.status(STREAM) == "COMPLETE", outcome.summary
    second = connector.read(STREAM, state=outcome.state(STREAM))
    assert {*outcome.keys(STREAM), *second.keys(STREAM)} == {1, 2, 9}


def test_list_that_never_rests_is_no_error(drift: Drift, connector: Connector) -> None:
    """A list that changes on both its pages during every walk is read four times at most, and is green."""
    changes = iter(range(1, 1000))

    def answer(request: requests.PreparedRequest) -> Any:
        is_second = "page_token=1" in str(request.url)
        following = None if is_second else f"{PATH}?page_token=1"
        return {"data": [row(2 if is_second else 1, NOW + next(changes))], "links": {"next": following}}

    drift.answers(PATH, answer)
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", {1, 2}), outcome.summary
    assert [query["page_token"] for query in drift.queries(PATH)].count("") == 4


# Clocks, and a start in the future


@pytest.mark.parametrize("ahead", [1000, HOUR, 400 * DAY, 10**15])
def test_row_dated_ahead_comes_unchanged_and_no_state_runs_ahead(
    drift: Drift, connector: Connector, ahead: int
) -> None:
    """Rows dated ahead keep their value; the state never passes Drift's clock, and hides nothing."""
    pages(drift, [row(2, NOW + ahead), row(3, NOW + ahead)], [row(1, NOW - HOUR)])
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), outcome.errors) == ("COMPLETE", []), outcome.summary
    expected = [row(2, NOW + ahead), row(3, NOW + ahead), row(1, NOW - HOUR)]
    assert outcome.records(STREAM) == expected
    assert outcome.state(STREAM) == {"updatedAt": str(NOW if ahead < 10**15 else NOW - HOUR)}
    warned = [line for line in outcome.logs("WARN") if "in the future" in line]
    assert len(warned) == (ahead > 10 * MINUTE)
    drift.clock.now += 3600
    pages(drift, [row(2, NOW + ahead), row(4, NOW + MINUTE)])
    assert 4 in connector.read(STREAM, state=outcome.state(STREAM)).keys(STREAM)


@pytest.mark.parametrize(("date", "state"), [("Fri, 16 Jan 2026 00:00:00 GMT", 11 * HOUR), (None, 0)])
def test_state_follows_drifts_clock_and_not_ours(
    drift: Drift, connector: Connector, date: str | None, state: int
) -> None:
    """Where our clock is slow, Drift's own decides, in the next sync, too; where Drift tells no time, ours does."""
    drift.answers(PATH, Answer({"data": [row(1, NOW + 11 * HOUR)]}, headers={"Date": date}))
    first = connector.read(STREAM, state={})
    assert_synced(first, [1], NOW + state)
    assert_synced(connector.read(STREAM, state=first.state(STREAM)), [1], NOW + state)


# The CDK makes no window behind now: with a state of the reports nothing is asked for, and nothing can tell.
@pytest.mark.parametrize(
    ("given", "stream"),
    [
        *[("start_date", stream) for stream in ("conversations", "contacts", "conversation_metrics")],
        *[("state", stream) for stream in ("conversations", "messages")],
    ],
)
def test_start_in_the_future_is_refused(drift: Drift, connector: Connector, stream: str, given: str) -> None:
    """What begins in the future would read nothing, green, until then: a clear error of the config."""
    pages(drift, [row(1, NOW), row(2, NOW)])
    drift.answers(REPORTS, report())
    later = {"updatedAt": str(NOW + 20 * DAY)}
    state = later if stream in ("conversations", "conversation_metrics") else {"parent_state": {"conversations": later}}
    outcome = connector.read(
        stream,
        config=config(start_date="2026-02-01" if given == "start_date" else "2026-01-01"),
        state=state if given == "state" else {},
    )
    error = outcome.error(stream)
    assert (outcome.status(stream), outcome.records(stream)) == ("INCOMPLETE", [])
    assert (error.failure_type.value, "in the future" in error.message) == ("config_error", True), error.message
    assert ("start date" in error.message, "state" in error.message) == (True, True), error.message


def test_state_a_moment_ahead_is_covered_by_the_look_back(drift: Drift, connector: Connector) -> None:
    """A state that lies ahead by less than the look-back hides nothing and is no error."""
    pages(drift, [row(1, NOW)])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW + 5 * MINUTE)})
    assert (outcome.status(STREAM), outcome.keys(STREAM)) == ("COMPLETE", [1]), outcome.summary


# start_date


@pytest.mark.parametrize(
    ("start_date", "keys"),
    [("2026-01-14T12:00:00Z", [2, 3]), ("2026-01-14T12:00:01Z", [3]), ("2026-01-14", [2, 3]), ("", [1, 2, 3])],
)
def test_start_date_leaves_out_what_is_older(
    drift: Drift, connector: Connector, start_date: str, keys: list[int]
) -> None:
    """A start date leaves out what was last updated before it, in either form, and an empty one nothing."""
    pages(drift, [row(3, NOW - HOUR), row(2, NOW - DAY), row(1, 1_400_000_000_000)])
    assert_synced(connector.read(STREAM, config=config(start_date=start_date), state={}), keys, NOW - HOUR)


# Failure


@pytest.mark.parametrize(
    "broken",
    [
        Answer({"error": "x"}, 403),
        Answer(b"", 500),
        Answer(b"<html>"),
        Answer({"message": "Too busy"}),
        requests.ConnectionError,
        requests.exceptions.ChunkedEncodingError,
        Answer(b"", 302, {"Location": "https://evil.example"}),
    ],
    ids=["403", "500", "html", "no-list", "reset", "truncated", "redirect"],
)
def test_page_that_fails_keeps_the_old_state(drift: Drift, connector: Connector, broken: Any) -> None:
    """A walk that breaks off is INCOMPLETE and leaves the state where it was, so that the next sync loses nothing."""
    # The CDK states a start of its own, without the look-back, where there was no state.
    for state in ({"updatedAt": str(NOW - DAY)}, {}):
        pages(drift, [row(4, NOW - MINUTE)], broken)
        outcome = connector.read(STREAM, state=state)
        assert (outcome.status(STREAM), len(outcome.errors)) == ("INCOMPLETE", 1), outcome.summary
        kept = {int(given["updatedAt"]) for given in outcome.states(STREAM)}
        assert max(kept) <= int(state.get("updatedAt", IN_2014)), kept
    pages(drift, [row(4, NOW - MINUTE)], [row(3, NOW - HOUR)], [row(2, NOW - 2 * HOUR)])
    assert_synced(connector.read(STREAM, state=outcome.state(STREAM)), [2, 3, 4], NOW - MINUTE)


# Cursors that a destination can trust

UPDATED, LATER = 1_795_700_000_000, 1_795_800_000_000
# Two versions of one row as Drift may give them; the second is the one to keep.
VERSIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "meetings": (
        {"slug": "abc-1", "agentId": 5, "slotStart": 1_796_200_000_000, "updatedAt": UPDATED},
        {"slug": "abc-1", "agentId": 5, "slotStart": 1_796_000_000_000, "updatedAt": LATER},
    ),
    "conversations": (row(1, UPDATED) | {"status": "open"}, row(1, LATER) | {"status": "closed"}),
    "conversation_details": (row(1, UPDATED) | {"tags": ["new"]}, row(1, LATER) | {"tags": []}),
    "conversation_metrics": (
        {"conversationId": 1, "updatedAt": UPDATED, "timeToCloseMillis": 9},
        {"conversationId": 1, "updatedAt": LATER, "timeToCloseMillis": 5},
    ),
    # Neither changes its time when it is edited: of equal ones a warehouse keeps the later row.
    "messages": ({"id": 1, "createdAt": UPDATED, "body": "teh"}, {"id": 1, "createdAt": UPDATED, "body": "the"}),
    "contacts": (
        {"id": 1, "createdAt": UPDATED, "attributes": {"a": 1}},
        {"id": 1, "createdAt": UPDATED, "attributes": {}},
    ),
}
# By which a row is told from its earlier versions: the time of its last change, or one that never changes.
TRUSTED = {"updatedAt", "createdAt"}


def deduplicated(rows: list[dict[str, Any]], keys: list[str], cursor: str) -> list[dict[str, Any]]:
    """What a warehouse keeps: of the rows with one key the one with the greatest cursor, of equal ones the last."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for found in rows:
        key = tuple(found[name] for name in keys)
        if key not in kept or found[cursor] >= kept[key][cursor]:
            kept[key] = found
    return list(kept.values())


@pytest.mark.parametrize("stream", VERSIONS)
def test_warehouse_keeps_the_newest_version(drift: Drift, connector: Connector, stream: str) -> None:
    """No declared cursor goes down while a row lives: after two syncs the row with the greater one is the new one."""
    drift.clock.now = LATER / 1000 + 100_000
    [built] = connector.source(None, None, None, stream).streams({})
    [cursor] = built.as_airbyte_stream().default_cursor_field
    assert cursor in TRUSTED
    given, state, rows = config(**needs(stream)), dict[str, Any](), list[dict[str, Any]]()
    for version in VERSIONS[stream]:
        drift.answers(PATH, {"data": [row(1, version.get("updatedAt", LATER)) | {"contactId": 1}]})
        drift.answers(STREAMS[stream].path, answer_of(stream, version))
        outcome = connector.read(stream, state=state, config=given)
        assert outcome.status(stream) == "COMPLETE", outcome.summary
        state, rows = outcome.state(stream), rows + outcome.records(stream)
    newest = VERSIONS[stream][1]
    [kept] = deduplicated(rows, STREAMS[stream].keys, cursor)
    assert {name: kept[name] for name in newest} == newest
    assert len(rows) >= 2


def answer_of(stream: str, version: Mapping[str, Any]) -> Any:
    if stream == "conversation_metrics":
        return report((version["conversationId"], version))
    return STREAMS[stream].envelope([dict(version)])
