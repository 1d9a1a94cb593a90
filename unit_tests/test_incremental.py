"""A second sync reads what changed and loses nothing: states and cursors."""

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
    """Respond with the pages of a list, in generation 2. The token of a page is its number, or empty for the first."""

    def answer(request: requests.PreparedRequest) -> Any:
        token = int(dict(parse_qsl(urlsplit(str(request.url)).query)).get("page_token", "0"))
        page = pages[token]
        following = f"{PATH}?page_token={token + 1}" if token + 1 < len(pages) else None
        return {"data": page, "links": {"next": following}} if isinstance(page, list) else page

    drift.answers(PATH, answer)


def walks(drift: Drift, *walks: list[list[Any]], minutes: int = 0) -> None:
    """Respond to each read of the list with its own pages; later reads get the last ones."""
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
    """Check that exactly these conversations come, each once, with this state, as printed by the CDK."""
    assert (outcome.status(STREAM), outcome.errors) == ("COMPLETE", []), outcome.summary
    assert sorted(outcome.keys(STREAM)) == sorted(keys)
    assert outcome.states(STREAM)
    assert {tuple(given.items()) for given in outcome.states(STREAM)} == {(("updatedAt", str(state)),)}


def test_first_sync_reads_all_and_keeps_the_newest(drift: Drift, connector: Connector) -> None:
    """A first sync reads every conversation since 2014, like a full refresh, and its state is the newest update."""
    pages(drift, [row(3, NOW - HOUR), row(2, NOW - DAY)], [row(1, IN_2014)])
    assert_synced(connector.read(STREAM, state={}), [1, 2, 3], NOW - HOUR)
    assert sorted(connector.read(STREAM).keys(STREAM)) == [1, 2, 3]


def test_empty_drift_keeps_the_start(drift: Drift, connector: Connector) -> None:
    """A first sync without rows is COMPLETE, and its state hides no later row."""
    pages(drift, [])
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), outcome.records(STREAM)) == ("COMPLETE", [])
    assert int(outcome.state(STREAM)["updatedAt"]) <= IN_2014


def test_records_cost_no_templates(drift: Drift, connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of fifty rows evaluates as many templates as a page of one, because templates per record are slow."""
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
def test_second_sync_reads_changes(drift: Drift, connector: Connector, form: Any) -> None:
    """A second sync stops after the rows that are newer than the state, text or number, and updates the state."""
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
    """A sync without changes requests one page, returns the rows of the look-back and keeps the state."""
    pages(drift, [row(2, NOW - DAY), row(1, NOW - 2 * DAY)])
    assert_synced(connector.read(STREAM, state={"updatedAt": str(NOW - DAY)}), [2], NOW - DAY)
    assert len(drift.requests) == 1


def test_syncs_continue_from_each_other(drift: Drift, connector: Connector) -> None:
    """Three syncs, each with the previous state, deliver every change at least once."""
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
    """Rows that Drift lists up to ten minutes late are read, to the millisecond, and no older ones."""
    pages(drift, [row(2, NOW - MINUTE), row(1, updated)])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW - DAY)})
    assert_synced(outcome, [1, 2] if comes else [2], NOW - MINUTE)


def test_look_back_crosses_pages(drift: Drift, connector: Connector) -> None:
    """A page that is partly in the look-back, or has only one old row, does not end the read."""
    inside, outside = NOW - DAY - 5 * MINUTE, NOW - DAY - HOUR
    listed = [[row(5, NOW - HOUR), row(4, inside), row(3, outside)], [row(3, outside)], [row(2, inside)]]
    pages(drift, *listed, [row(1, outside)] * 2, [])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW - DAY)})
    assert_synced(outcome, [2, 4, 5], NOW - HOUR)
    assert pages_asked(drift) == {0, 1, 2, 3}


@pytest.mark.parametrize("odd", [{"updatedAt": None}, {"updatedAt": "soon"}, {"updatedAt": 1}, {}], ids=str)
def test_row_without_a_time_is_read(drift: Drift, connector: Connector, odd: dict[str, Any]) -> None:
    """A conversation without a valid updatedAt is never old, does not end the read, and does not change the state."""
    pages(drift, [{"id": 1, **odd}, {"id": 4, **odd}], [row(2, NOW - HOUR)])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW - DAY)})
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", {1, 2, 4}), outcome.summary
    assert outcome.records(STREAM)[0].get("updatedAt") == odd.get("updatedAt")
    assert outcome.state(STREAM) == {"updatedAt": str(NOW - HOUR)}


# Changes during a read


@pytest.mark.parametrize("lag", [0, 3000, 9 * MINUTE], ids=["at once", "3 s late", "9 min late"])
def test_last_page_that_moves_to_the_top_is_read(drift: Drift, connector: Connector, lag: int) -> None:
    """Rows of the last page that are updated before it is requested are read, whatever date Drift gives them."""
    first, moved = row(1, NOW - HOUR), row(2, NOW + 100 - lag)
    walks(drift, [[first], []], [[moved, first], []])
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), sorted(outcome.keys(STREAM))) == ("COMPLETE", [1, 2]), outcome.summary


def test_second_look_continues_to_known_rows(drift: Drift, connector: Connector) -> None:
    """After a long read, several pages of moved rows are read, despite an old row among them and repeated tokens."""
    old = [row(3, NOW - HOUR), row(4, NOW - 2 * HOUR)]
    moved = [[row(1, NOW + 50 * MINUTE), old[1]], [row(2, NOW + 20 * MINUTE), old[0]]]
    walks(drift, [old[:1], old[1:]], moved, minutes=60)
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", {1, 2, 3, 4}), outcome.summary


def test_row_dated_in_the_future_hides_no_moved_row(drift: Drift, connector: Connector) -> None:
    """Updates that are listed after a row dated in the future come with this sync."""
    ahead, first, moved = row(9, NOW + DAY), row(1, NOW - HOUR), row(2, NOW + 100)
    walks(drift, [[ahead], [first], []], [[ahead], [moved], [first]])
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", {1, 2, 9}), outcome.summary


def test_list_that_keeps_changing_is_no_error(drift: Drift, connector: Connector) -> None:
    """A list that changes during every read is read four times at most, and the sync succeeds."""
    changes = iter(range(1, 1000))

    def answer(request: requests.PreparedRequest) -> Any:
        is_second = "page_token=1" in str(request.url)
        following = None if is_second else f"{PATH}?page_token=1"
        return {"data": [row(2 if is_second else 1, NOW + next(changes))], "links": {"next": following}}

    drift.answers(PATH, answer)
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", {1, 2}), outcome.summary
    assert [query["page_token"] for query in drift.queries(PATH)].count("") == 4


# Clocks, and dates in the future


@pytest.mark.parametrize("ahead", [1000, HOUR, 400 * DAY, 10**15])
def test_row_dated_in_the_future_does_not_move_the_state_there(drift: Drift, connector: Connector, ahead: int) -> None:
    """Rows dated in the future are unchanged; the state never passes Drift's clock, and no row is hidden."""
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
    """If our clock is slow, Drift's clock counts, also in the next sync; if Drift sends no date, ours does."""
    drift.answers(PATH, Answer({"data": [row(1, NOW + 11 * HOUR)]}, headers={"Date": date}))
    first = connector.read(STREAM, state={})
    assert_synced(first, [1], NOW + state)
    assert_synced(connector.read(STREAM, state=first.state(STREAM)), [1], NOW + state)


# The CDK creates no window after now, so with a future state of the reports, nothing is requested or noticed.
@pytest.mark.parametrize(
    ("given", "stream"),
    [
        *[("start_date", stream) for stream in ("conversations", "contacts", "conversation_metrics")],
        *[("state", stream) for stream in ("conversations", "messages")],
    ],
)
def test_start_in_the_future_is_refused(drift: Drift, connector: Connector, stream: str, given: str) -> None:
    """A start date in the future is a config error, because the sync would read nothing and succeed."""
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
    """A state that is in the future by less than the look-back hides no row and is no error."""
    pages(drift, [row(1, NOW)])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW + 5 * MINUTE)})
    assert (outcome.status(STREAM), outcome.keys(STREAM)) == ("COMPLETE", [1]), outcome.summary


# start_date


@pytest.mark.parametrize(
    ("start_date", "keys"),
    [("2026-01-14T12:00:00Z", [2, 3]), ("2026-01-14T12:00:01Z", [3]), ("2026-01-14", [2, 3]), ("", [1, 2, 3])],
)
def test_start_date_excludes_older_updates(
    drift: Drift, connector: Connector, start_date: str, keys: list[int]
) -> None:
    """The start date excludes rows by last update, in either format; an empty one excludes nothing."""
    pages(drift, [row(3, NOW - HOUR), row(2, NOW - DAY), row(1, 1_400_000_000_000)])
    assert_synced(connector.read(STREAM, config=config(start_date=start_date), state={}), keys, NOW - HOUR)


# Failures


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
    """A failed read is INCOMPLETE and keeps the old state, so the next sync loses nothing."""
    # Without a state, the CDK emits its own start, without the look-back.
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
# Two versions of one row, as Drift may send them; the second one must be kept.
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
    # An edit does not change their time: of equal ones, a warehouse keeps the later row.
    "messages": ({"id": 1, "createdAt": UPDATED, "body": "teh"}, {"id": 1, "createdAt": UPDATED, "body": "the"}),
    "contacts": (
        {"id": 1, "createdAt": UPDATED, "attributes": {"a": 1}},
        {"id": 1, "createdAt": UPDATED, "attributes": {}},
    ),
}
# The time that orders the versions of a row: that of its last change, or one that never changes.
TRUSTED = {"updatedAt", "createdAt"}


def deduplicated(rows: list[dict[str, Any]], keys: list[str], cursor: str) -> list[dict[str, Any]]:
    """The rows that a warehouse keeps: for each key the one with the greatest cursor, of equal ones the last."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for found in rows:
        key = tuple(found[name] for name in keys)
        if key not in kept or found[cursor] >= kept[key][cursor]:
            kept[key] = found
    return list(kept.values())


@pytest.mark.parametrize("stream", VERSIONS)
def test_warehouse_keeps_the_newest_version(drift: Drift, connector: Connector, stream: str) -> None:
    """The declared cursor of a row never decreases: after two syncs, the row with the greater one is the newer one."""
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
