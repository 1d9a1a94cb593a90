"""A second sync brings what changed and loses nothing: the state of the conversations, and where it may stand."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from airbyte_cdk.sources.declarative.interpolation import jinja

from unit_tests.conftest import DAY, HOUR, MINUTE, NOW, Answer, Connector, Drift, Outcome, config

PATH = "/conversations/list"
STREAM = "conversations"


def row(key: int, updated: Any) -> dict[str, Any]:
    return {"id": key, "updatedAt": updated}


def pages(drift: Drift, *pages: Any) -> None:
    """Answers the pages of a list in the newer generation: the token of each is its number, that of the first empty."""

    def answer(request: requests.PreparedRequest) -> Any:
        token = dict(parse_qsl(urlsplit(request.url).query)).get("page_token", "0")
        page = pages[int(token)]
        if not isinstance(page, list):
            return page
        following = f"{PATH}?page_token={int(token) + 1}" if int(token) + 1 < len(pages) else None
        return {"data": page, "links": {"next": following}}

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
    """A first sync brings every conversation, and its state is the newest update."""
    pages(drift, [row(3, NOW - HOUR), row(2, NOW - DAY)], [row(1, 1_400_000_000_000)])
    assert_synced(connector.read(STREAM, state={}), [1, 2, 3], NOW - HOUR)


def test_full_refresh_reads_all(drift: Drift, connector: Connector) -> None:
    """A full refresh brings every conversation, too."""
    pages(drift, [row(3, NOW - HOUR)], [row(1, 1_400_000_000_000)])
    outcome = connector.read(STREAM)
    assert (outcome.status(STREAM), sorted(outcome.keys(STREAM))) == ("COMPLETE", [1, 3])


def test_empty_drift_keeps_the_start(drift: Drift, connector: Connector) -> None:
    """A first sync of nothing is COMPLETE, and its state hides nothing that comes later."""
    pages(drift, [])
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), outcome.records(STREAM)) == ("COMPLETE", [])
    assert int(outcome.state(STREAM)["updatedAt"]) <= 1_388_534_400_000  # 2014-01-01


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
    """A second sync brings what is newer than the state, takes the state as text and as number, and moves it on."""
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
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW - DAY)})
    assert_synced(outcome, [2], NOW - DAY)
    assert len(drift.requests) == 1


def test_what_one_sync_hands_over_the_next_takes(drift: Drift, connector: Connector) -> None:
    """Three syncs in a row, each with the state of the one before, bring every change once or more and lose none."""
    listed = [row(2, NOW - DAY), row(1, NOW - 2 * DAY)]
    pages(drift, listed)
    state = connector.read(STREAM, state={}).state(STREAM)
    listed = [row(1, NOW - HOUR), row(2, NOW - DAY)]
    pages(drift, listed)
    second = connector.read(STREAM, state=state)
    assert_synced(second, [1, 2], NOW - HOUR)
    pages(drift, [row(3, NOW), *listed])
    assert_synced(connector.read(STREAM, state=second.state(STREAM)), [1, 3], NOW)


@pytest.mark.parametrize(
    ("updated", "comes"),
    [
        (NOW - DAY + 1, True),
        (NOW - DAY, True),
        (NOW - DAY - 1, True),
        (NOW - DAY - 10 * MINUTE, True),
        (NOW - DAY - 10 * MINUTE - 1, False),
        (NOW - DAY - HOUR, False),
    ],
)
def test_look_back_is_ten_minutes(drift: Drift, connector: Connector, updated: int, comes: bool) -> None:
    """What Drift lists up to ten minutes late still comes, to the millisecond, and nothing older."""
    pages(drift, [row(2, NOW - MINUTE), row(1, updated)])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW - DAY)})
    assert_synced(outcome, [1, 2] if comes else [2], NOW - MINUTE)


def test_ties_with_the_state_come_again(drift: Drift, connector: Connector) -> None:
    """Conversations of the very millisecond of the state come again: one of them may be new."""
    pages(drift, [row(key, NOW - DAY) for key in (3, 2, 1)])
    assert_synced(connector.read(STREAM, state={"updatedAt": str(NOW - DAY)}), [1, 2, 3], NOW - DAY)


def test_look_back_goes_over_a_page_break(drift: Drift, connector: Connector) -> None:
    """A page that lies half in the look-back is no end of the walk."""
    inside, outside = NOW - DAY - 5 * MINUTE, NOW - DAY - HOUR
    pages(drift, [row(5, NOW - HOUR)], [row(4, inside), row(3, outside)], [row(2, inside)], [row(1, outside)] * 2, [])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW - DAY)})
    assert_synced(outcome, [2, 4, 5], NOW - HOUR)
    assert pages_asked(drift) == {0, 1, 2, 3}


@pytest.mark.parametrize("odd", [1, NOW - 400 * DAY])
def test_one_old_row_never_ends_a_walk(drift: Drift, connector: Connector, odd: Any) -> None:
    """An old row at the end of a page of new ones, or all that is left of one, hides nothing of what follows."""
    new = [[row(5, NOW - HOUR), row(4, odd)], [row(3, NOW - 2 * HOUR), row(2, odd)], [row(1, NOW - 3 * HOUR)]]
    pages(drift, *new[:2], [row(2, odd)], *new[2:])
    assert_synced(connector.read(STREAM, state={"updatedAt": str(NOW - DAY)}), [1, 3, 5], NOW - HOUR)


def test_one_old_row_never_ends_a_later_walk(drift: Drift, connector: Connector) -> None:
    """What was updated while a walk went on is read whole although an old row stands among it."""
    old = [row(3, NOW - HOUR), row(4, NOW - 2 * HOUR)]
    walks = iter([[old[:1], old[1:]]])
    # Behind the back of the first walk two conversations came to the head, and an old row stands between them.
    later = [[row(1, NOW + 500), old[1]], [row(2, NOW + 400), old[0]]]
    listed: list[Any] = []

    def answer(request: requests.PreparedRequest) -> Any:
        token = int(dict(parse_qsl(urlsplit(request.url).query)).get("page_token", 0))
        if token == 0:
            listed[:] = next(walks, later)
        return {"data": listed[token], "links": {"next": f"{PATH}?page_token=1" if token == 0 else None}}

    drift.answers(PATH, answer)
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", {1, 2, 3, 4}), outcome.summary


def walks(drift: Drift, *walks: list[list[Any]]) -> None:
    """Answers each walk with the pages of a list of its own, the last one from then on."""
    left = list(walks)
    listed: list[list[Any]] = []

    def answer(request: requests.PreparedRequest) -> Any:
        token = int(dict(parse_qsl(urlsplit(request.url).query)).get("page_token") or 0)
        if token == 0:
            listed[:] = left.pop(0) if len(left) > 1 else left[0]
        following = f"{PATH}?page_token={token + 1}" if token + 1 < len(listed) else None
        return {"data": listed[token], "links": {"next": following}}

    drift.answers(PATH, answer)


@pytest.mark.parametrize("lag", [0, 3000, 9 * MINUTE], ids=["at once", "3 s late", "9 min late"])
def test_last_page_that_moves_to_the_head_is_read(drift: Drift, connector: Connector, lag: int) -> None:
    """What stood on the last page and is updated before that is asked for comes, however late Drift dates it."""
    first, moved = row(1, NOW - HOUR), row(2, NOW + 100 - lag)
    walks(drift, [[first], []], [[moved, first], []])
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), sorted(outcome.keys(STREAM))) == ("COMPLETE", [1, 2]), outcome.summary


def test_page_of_rows_dated_ahead_hides_nothing(drift: Drift, connector: Connector) -> None:
    """Rows dated ahead stand before all others, and a walk goes past them to what is new."""
    ahead, first, moved = row(9, NOW + DAY), row(1, NOW - HOUR), row(2, NOW + 100)
    walks(drift, [[ahead], [first], []], [[ahead], [moved], [first]])
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", {1, 2, 9}), outcome.summary


@pytest.mark.parametrize("start_date", ["2099-12-31", "2099-12-31T00:00:00Z"])
def test_far_start_is_an_error(drift: Drift, connector: Connector, start_date: str) -> None:
    """A start that Drift's clock has not reached reads nothing, and is an error and not an empty stream."""
    pages(drift, [row(1, NOW - HOUR)])
    outcome = connector.read(STREAM, config=config(start_date=start_date))
    assert "ahead of Drift's clock" in outcome.error(STREAM).message


def test_far_state_is_an_error(drift: Drift, connector: Connector) -> None:
    """So is a saved state that lies centuries ahead, as one in microseconds would."""
    pages(drift, [row(1, NOW - HOUR)])
    outcome = connector.read(STREAM, state={"updatedAt": "9999999999999"})
    assert "cannot be read. Clear it" in outcome.message


@pytest.mark.parametrize("odd", [0, 1, 1_700_000_000])
def test_row_of_an_odd_time_is_not_too_old(drift: Drift, connector: Connector, odd: Any) -> None:
    """Without a start date nothing is too old to be read."""
    pages(drift, [row(1, NOW - HOUR), row(2, odd)])
    assert sorted(connector.read(STREAM).keys(STREAM)) == [1, 2]


def test_walks_that_never_catch_up_are_an_error(drift: Drift, connector: Connector) -> None:
    """A list that changes on both its pages during every walk ends in an error after ten of them."""
    changes = iter(range(1, 1000))

    def answer(request: requests.PreparedRequest) -> Any:
        named = "page_token=1" in request.url
        following = None if named else f"{PATH}?page_token=1"
        return {"data": [row(2 if named else 1, NOW + next(changes))], "links": {"next": following}}

    drift.answers(PATH, answer)
    outcome = connector.read(STREAM, state={})
    assert outcome.status(STREAM) == "INCOMPLETE", outcome.summary
    error = outcome.error(STREAM)
    said = "Drift's conversation list changes faster than it can be read. Run the sync again."
    assert (error.message, error.failure_type.value) == (said, "transient_error")
    assert len(drift.queries(PATH)) == 20


@pytest.mark.parametrize("odd", [None, "soon"])
def test_row_without_a_time_comes_and_moves_nothing(drift: Drift, connector: Connector, odd: Any) -> None:
    """A conversation whose update cannot be read is not older than anything, and no state."""
    pages(drift, [row(2, NOW - HOUR), row(1, odd)], [row(3, NOW - 2 * HOUR)])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW - DAY)})
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", {1, 2, 3}), outcome.summary
    assert outcome.state(STREAM) == {"updatedAt": str(NOW - HOUR)}


def test_row_that_lacks_its_time_comes_and_moves_nothing(drift: Drift, connector: Connector) -> None:
    """A conversation without any update time comes, and does not end the walk."""
    pages(drift, [{"id": 1}], [row(2, NOW - HOUR)])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW - DAY)})
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", {1, 2}), outcome.summary
    assert outcome.state(STREAM) == {"updatedAt": str(NOW - HOUR)}


# The clock


@pytest.mark.parametrize("ahead", [1000, HOUR, 400 * DAY, 10**15])
def test_page_dated_ahead_comes_and_no_state_runs_ahead(drift: Drift, connector: Connector, ahead: int) -> None:
    """Rows dated ahead of Drift's clock come with the time of the answer, and the state stays behind the clock."""
    ahead_of_it = [row(key, NOW + ahead) for key in range(2, 52)]
    pages(drift, ahead_of_it, [row(1, NOW - HOUR)])
    outcome = connector.read(STREAM, state={})
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", set(range(1, 52))), outcome.summary
    assert max(record["updatedAt"] for record in outcome.records(STREAM)) == NOW + 999
    assert outcome.state(STREAM) == {"updatedAt": str(NOW + 999)}
    assert len([line for line in outcome.logs("WARN") if "ahead of its own clock" in line]) == 1


def test_row_dated_ahead_comes_lowered(drift: Drift, connector: Connector) -> None:
    """One row dated ahead comes with the time of the answer, and nothing else is touched."""
    pages(drift, [row(2, NOW + HOUR), row(1, NOW - HOUR)])
    outcome = connector.read(STREAM, state={})
    assert_synced(outcome, [1, 2], NOW + 999)
    assert outcome.records(STREAM) == [row(2, NOW + 999), row(1, NOW - HOUR)]


def test_conversation_after_one_dated_ahead_is_not_hidden(drift: Drift, connector: Connector) -> None:
    """What is updated after a sync that saw a row dated ahead comes with the next sync."""
    pages(drift, [row(1, NOW + 400 * DAY)])
    state = connector.read(STREAM, state={}).state(STREAM)
    drift.clock.now += 3600
    pages(drift, [row(1, NOW + 400 * DAY), row(2, NOW + HOUR)])
    outcome = connector.read(STREAM, state=state)
    assert (outcome.status(STREAM), set(outcome.keys(STREAM))) == ("COMPLETE", {1, 2}), outcome.summary


def test_state_follows_drifts_clock_and_not_ours(drift: Drift, connector: Connector) -> None:
    """Where our clock is a day slow or fast, Drift's own decides."""
    date = {"Date": "Fri, 16 Jan 2026 12:00:00 GMT"}
    drift.answers(PATH, Answer({"data": [row(1, NOW + DAY - MINUTE)]}, headers=date))
    assert_synced(connector.read(STREAM, state={}), [1], NOW + DAY - MINUTE)


@pytest.mark.parametrize("ahead", [HOUR, 400 * DAY])
def test_state_ahead_of_the_clock_is_an_error(drift: Drift, connector: Connector, ahead: int) -> None:
    """A state in the future would read nothing, green, until then: it is a clear error."""
    pages(drift, [row(1, NOW)])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW + ahead)})
    error = outcome.error(STREAM)
    assert (outcome.status(STREAM), error.failure_type.value) == ("INCOMPLETE", "config_error")
    assert "ahead of Drift's clock" in error.message
    assert "clear the state" in error.message


def test_state_a_moment_ahead_is_covered_by_the_look_back(drift: Drift, connector: Connector) -> None:
    """A state that lies ahead by less than the look-back hides nothing and is no error."""
    pages(drift, [row(1, NOW)])
    outcome = connector.read(STREAM, state={"updatedAt": str(NOW + 5 * MINUTE)})
    assert (outcome.status(STREAM), outcome.keys(STREAM)) == ("COMPLETE", [1]), outcome.summary


# start_date


@pytest.mark.parametrize(
    ("start_date", "keys"),
    [
        ("2026-01-15T00:00:00Z", [3]),
        ("2026-01-14T12:00:00Z", [2, 3]),
        ("2026-01-14", [2, 3]),
        ("2026-01-01", [2, 3]),
        ("", [1, 2, 3]),
    ],
)
def test_start_date_leaves_out_what_is_older(
    drift: Drift, connector: Connector, start_date: str, keys: list[int]
) -> None:
    """A start date leaves out what was last updated before it, in either form, and an empty one nothing."""
    pages(drift, [row(3, NOW - HOUR), row(2, NOW - DAY), row(1, 1_400_000_000_000)])
    assert_synced(connector.read(STREAM, config=config(start_date=start_date), state={}), keys, NOW - HOUR)


def test_start_date_is_missing(drift: Drift, connector: Connector) -> None:
    """Without a start date everything since 2014 comes."""
    pages(drift, [row(2, NOW), row(1, 1_388_534_400_000)])
    assert_synced(connector.read(STREAM, state={}), [1, 2], NOW)


def test_start_date_ahead_of_the_clock_is_an_error(drift: Drift, connector: Connector) -> None:
    """A start date in the future is a clear error, and not an empty green stream."""
    pages(drift, [row(1, NOW)])
    outcome = connector.read(STREAM, config=config(start_date="2026-02-01T00:00:00Z"), state={})
    assert (outcome.status(STREAM), outcome.error(STREAM).failure_type.value) == ("INCOMPLETE", "config_error")
    assert "start_date" in outcome.error(STREAM).message


# Failure


@pytest.mark.parametrize(
    "broken",
    [
        Answer(b"", 403),
        Answer(b"", 500),
        Answer(b"<html>"),
        Answer({}),
        requests.ConnectionError,
        requests.exceptions.ChunkedEncodingError,
        Answer(b"", 302, {"Location": "https://evil.example"}),
        Answer({"data": [row(1, NOW)], "links": {"next": "no token"}}),
    ],
    ids=["403", "500", "html", "no-data", "reset", "truncated", "redirect", "unreadable-link"],
)
@pytest.mark.parametrize("state", [{}, {"updatedAt": str(NOW - DAY)}], ids=["first-sync", "second-sync"])
def test_page_that_fails_keeps_the_old_state(
    drift: Drift, connector: Connector, broken: Any, state: dict[str, str]
) -> None:
    """A walk that breaks off is INCOMPLETE and leaves the state where it was, so that the next sync loses nothing."""
    pages(drift, [row(4, NOW - MINUTE)], broken)
    outcome = connector.read(STREAM, state=state)
    assert outcome.status(STREAM) == "INCOMPLETE"
    assert len(outcome.errors) == 1, outcome.summary
    # The CDK states a start of its own, without the look-back, where there was no state.
    kept = {int(given["updatedAt"]) for given in outcome.states(STREAM)}
    assert max(kept) <= int(state.get("updatedAt", 1_388_534_400_000)), kept
    pages(drift, [row(4, NOW - MINUTE)], [row(3, NOW - HOUR)], [row(2, NOW - 2 * HOUR)])
    assert_synced(connector.read(STREAM, state=outcome.state(STREAM)), [2, 3, 4], NOW - MINUTE)


@pytest.mark.parametrize("state", [{"updatedAt": "yesterday"}, {"updatedAt": "2026-01-14T12:00:00Z"}], ids=str)
def test_state_that_cannot_be_read_is_no_empty_stream(
    drift: Drift, connector: Connector, state: dict[str, str]
) -> None:
    """A state that nobody wrote is an error, and never a green stream without records."""
    pages(drift, [row(1, NOW)])
    outcome = connector.read(STREAM, state=state)
    assert outcome.keys(STREAM) == [1] or outcome.status(STREAM) != "COMPLETE", outcome.summary


@pytest.mark.parametrize("stream", ["accounts", "users", "teams", "playbooks", "conversation_stats", "token_info"])
def test_other_streams_have_no_cursor(drift: Drift, connector: Connector, stream: str) -> None:
    """Lists that hide what vanished are read whole each time, and their state says no more than that."""
    outcome = connector.read(stream)
    assert outcome.states(stream) == [{"__ab_no_cursor_state_message": True}]
