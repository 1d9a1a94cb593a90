"""What stands in an answer is read as what it is, in every envelope of Drift, and anything else is never no rows."""

from typing import Any

import pytest
import requests
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

import components
from unit_tests.conftest import (
    API,
    DAY,
    LATEST,
    METRICS,
    NOW,
    STREAMS,
    Connector,
    Drift,
    report,
    response,
)

ROWS = [{"id": 1}, {"id": 2}]
# Read in one answer: what is held back of it would be missed without a word.
WHOLE = ["users", "teams", "playbooks", "landing_pages", "contacts_by_email", "contact_attributes"]


def rows(body: Any, envelope: str, records_at: str = "data") -> list[dict[str, Any]]:
    return components.rows_of(response(body), records_at.split(".") if records_at else [], envelope)


def refused(body: Any, envelope: str, records_at: str = "data") -> str:
    with pytest.raises(components.UnexpectedAnswer) as error:
        rows(body, envelope, records_at)
    return str(error.value)


# list or one


@pytest.mark.parametrize(
    ("found", "expected"), [(ROWS, ROWS), ([], []), ({"id": 1}, [{"id": 1}]), ([{"id": 1}], [{"id": 1}])]
)
def test_list_or_one_takes_both(found: Any, expected: list[dict[str, Any]]) -> None:
    """Contacts come as an array, or as one object where there is one."""
    assert rows({"data": found}, "list or one") == expected


@pytest.mark.parametrize("found", [None, "row", 1, True, {}, [{}], [1], [{"id": 1}, None]], ids=repr)
def test_list_or_one_takes_nothing_else(found: Any) -> None:
    """What is neither is an error and never an unknown address."""
    assert refused({"data": found}, "list or one") == "JSON that has not a list of objects at data"


# counts


def test_counts_are_rows() -> None:
    """An object of numbers is read as one row for each, whatever Drift calls them."""
    body = {"conversationCount": {"OPEN": 3, "CLOSED": 0, "unheard_of": 1}}
    assert rows(body, "counts", "conversationCount") == [
        {"status": "OPEN", "count": 3},
        {"status": "CLOSED", "count": 0},
        {"status": "unheard_of", "count": 1},
    ]


@pytest.mark.parametrize("found", [None, 1, "3", ["OPEN"], {"OPEN": "3"}, {"OPEN": None}, {"OPEN": True}], ids=repr)
def test_counts_are_numbers(found: Any) -> None:
    """A count that is no number makes the answer an error."""
    said = refused({"conversationCount": found}, "counts", "conversationCount")
    assert said == "JSON that has not an object of numbers at conversationCount"


def test_counts_are_not_a_list() -> None:
    """A list of rows is no object of numbers."""
    assert "an object of numbers" in refused({"data": [{"status": "OPEN", "count": 1}]}, "counts")


# Root arrays, and one kind for the other


@pytest.mark.parametrize(
    ("body", "envelope"),
    [
        ({"data": ROWS}, "list"),
        ({"id": 1}, "list"),
        ([1], "list"),
        ([None], "list"),
        ([{}], "list"),
        (ROWS, "one"),
        ([], "one"),
    ],
    ids=repr,
)
def test_root_of_another_kind_is_refused(body: Any, envelope: str) -> None:
    """An object where an array stands at the root, and the other way round, is an error."""
    assert refused(body, envelope, "").endswith(" at its root")


# Reports


def reported(names: list[str], *data: Any, **more: Any) -> list[dict[str, Any]]:
    """The rows of a report that was asked for these metrics."""
    body = {"count": len(data), "data": list(data), **more}
    answer = response({name: value for name, value in body.items() if value is not None}, sent={"metrics": names})
    return components.rows_of(answer, ["data"], "report")


def test_metrics_are_named_by_their_place() -> None:
    """The metrics of a row get the names of the request, in its order and in no other."""
    names = ["numBotMessages", "createdAt", "updatedAt"]
    assert reported(names, {"conversationId": 7, "metrics": [1, 2, 3]}) == [
        {"conversationId": 7, "numBotMessages": 1, "createdAt": 2, "updatedAt": 3}
    ]


@pytest.mark.parametrize(
    ("sent", "expected"), [("NaN", None), (None, None), (0, 0), (1.5, 1.5), (True, 1), (False, 0), (-1, -1)], ids=repr
)
def test_metric_is_a_number_or_none(sent: Any, expected: Any) -> None:
    """ "NaN" and null say that there is none; a boolean is 1 or 0, as Drift's own figures are."""
    [row] = reported(["createdAt"], {"conversationId": 7, "metrics": [sent]})
    assert (row["createdAt"], type(row["createdAt"])) == (expected, type(expected))


@pytest.mark.parametrize("metric", ["", "nan", "3", "Infinity", [], {}, [1]], ids=repr)
def test_metric_that_is_no_number_is_refused(metric: Any) -> None:
    """A metric of another kind is an error: the column is one of numbers."""
    with pytest.raises(components.UnexpectedAnswer, match=r"^a report that holds a metric which is no number$"):
        reported(["createdAt"], {"conversationId": 7, "metrics": [metric]})


@pytest.mark.parametrize(
    "row",
    [
        {"conversationId": 7, "metrics": []},
        {"conversationId": 7, "metrics": [1]},
        {"conversationId": 7, "metrics": [1, 2, 3]},
        {"conversationId": 7, "metrics": {"createdAt": 1, "updatedAt": 2}},
        {"conversationId": 7, "metrics": "12"},
        {"conversationId": 7, "metrics": None},
        {"conversationId": 7},
        {"conversationId": None, "metrics": [1, 2]},
        {"metrics": [1, 2]},
    ],
    ids=str,
)
def test_row_with_other_metrics_than_asked_is_refused(row: Any) -> None:
    """Fewer or more metrics than were asked for would shift them under the wrong names."""
    with pytest.raises(
        components.UnexpectedAnswer, match=r"^a report whose rows have not the metrics that were asked for$"
    ):
        reported(["createdAt", "updatedAt"], {"conversationId": 1, "metrics": [1, 2]}, row)


@pytest.mark.parametrize("count", [None, "1", 1.5, [1]], ids=repr)
def test_report_without_a_count_is_refused(count: Any) -> None:
    """Without a count nobody knows whether the report is whole."""
    with pytest.raises(components.UnexpectedAnswer, match=r"^a report without a count$"):
        reported(["createdAt"], {"conversationId": 7, "metrics": [1]}, count=count)


def test_report_without_a_request_body_is_an_error_of_ours() -> None:
    """A report is only ever read beside the request that named its metrics."""
    with pytest.raises(KeyError):
        components.rows_of(response(report((1, {}))), ["data"], "report")


# Parts of an answer


@pytest.mark.parametrize(
    ("body", "query", "expected"),
    [
        ({"data": ROWS}, "", False),
        (ROWS, "", False),
        ({"data": ROWS}, "?limit=3", False),
        ({"data": ROWS}, "?limit=2", True),
        ({"data": ROWS}, "?limit=1", True),
        ({"data": []}, "?limit=1", False),
        ({"data": ROWS, "count": 2}, "", False),
        ({"data": ROWS, "count": 3}, "", True),
        ({"data": ROWS, "count": 1}, "", True),
        ({"data": ROWS, "links": {"next": "/x?page_token=a"}}, "", True),
        ({"data": ROWS, "links": {"self": "/x", "next": None}}, "", False),
        ({"data": ROWS, "links": None, "pagination": None}, "", False),
        ({"data": ROWS, "pagination": {"more": True, "next": 2}}, "", True),
        ({"data": ROWS, "pagination": {"more": False, "next": ""}}, "", False),
    ],
    ids=str,
)
def test_part_is_told_from_a_whole(body: Any, query: str, expected: bool) -> None:
    """A full limit, a count of other rows, and a next page each say that Drift held something back."""
    answer = response(body, url=f"{API}/users/list{query}")
    assert components.is_part(answer, body if isinstance(body, list) else body["data"]) is expected


@pytest.mark.parametrize("name", ["links", "pagination"])
@pytest.mark.parametrize("links", [["/x?page_token=a"], "/x?page_token=a", 1, True], ids=repr)
def test_links_of_another_kind_are_no_crash(drift: Drift, connector: Connector, name: str, links: Any) -> None:
    """A way to name pages that nobody knows names none, and ends in no error of Python."""
    drift.answers("/users/list", {"data": ROWS, name: links})
    outcome = connector.read("users")
    assert (outcome.status("users"), outcome.keys("users")) == ("COMPLETE", [1, 2]), outcome.summary


@pytest.mark.parametrize("stream", [name for name in WHOLE if name not in ("playbooks", "landing_pages")])
@pytest.mark.parametrize(
    "held_back",
    [{"links": {"next": "/x?page_token=a"}}, {"pagination": {"more": True, "next": "2"}}, {"count": 2}],
    ids=["links", "pagination", "count"],
)
def test_part_of_a_list_is_an_error(drift: Drift, connector: Connector, stream: str, held_back: Any) -> None:
    """A list that is read in one answer and names another page, or another count, fails without a row."""
    drift.answers(STREAMS[stream].path, {**STREAMS[stream].body(), **held_back})
    outcome = connector.read(stream)
    assert (outcome.status(stream), outcome.records(stream)) == ("INCOMPLETE", [])
    assert outcome.error(stream).message == (
        f"Drift answered only a part of GET {STREAMS[stream].path}, which is read as a whole."
    )


@pytest.mark.parametrize("stream", [*WHOLE, "conversation_metrics", "meetings", "messages", "conversation_stats"])
def test_nothing_there_is_no_error(drift: Drift, connector: Connector, stream: str) -> None:
    """An organisation that has none of something is COMPLETE, after one request."""
    drift.answers(STREAMS[stream].path, STREAMS[stream].envelope([]))
    outcome = connector.read(stream)
    assert (outcome.status(stream), outcome.records(stream), outcome.errors) == ("COMPLETE", [], [])
    assert len(drift.asked(STREAMS[stream].path)) == 1


def asked_for(body: Any) -> requests.Response:
    return response(body, url=f"{API}/reports/conversations", method="POST", sent={"metrics": METRICS})


def extractor(**more: Any) -> components.DriftRecordExtractor:
    return components.DriftRecordExtractor(parameters={}, records_at=["data"], envelope="report", **more)


def test_part_of_a_window_yields_nothing() -> None:
    """A window that holds more than its answer yields no row, since it is asked for in halves; a whole one all."""
    made = extractor(splits_window=True, cursor_field="updatedAt")
    assert made.extract_records(asked_for(report((1, {}), count=2))) == []
    assert [row["conversationId"] for row in made.extract_records(asked_for(report((1, {}))))] == [1]


def test_part_of_a_whole_is_an_error() -> None:
    """What is no window cannot be halved: a part of it raises, and is never extracted."""
    made = extractor(whole_answer=True)
    with pytest.raises(AirbyteTracedException, match="only a part of POST /reports/conversations"):
        made.extract_records(asked_for(report((1, {}), count=2)))


def test_details_of_another_conversation_are_an_error(drift: Drift, connector: Connector) -> None:
    """An answer that belongs to another request is not what was asked for."""
    drift.answers("/conversations/1", {"data": {"id": 2, "updatedAt": NOW}})
    outcome = connector.read("conversation_details")
    assert (outcome.status("conversation_details"), outcome.records("conversation_details")) == ("INCOMPLETE", [])
    assert "another record than was asked for" in outcome.error("conversation_details").message


# Times that no state can hold

TIMED = [
    ("conversations", "updatedAt", {}),
    ("messages", "createdAt", {}),
    ("conversation_details", "updatedAt", {}),
    ("contacts", "createdAt", {}),
    ("meetings", "slotStart", {"agentId": 1}),
]


@pytest.mark.parametrize(("stream", "cursor", "more"), TIMED)
@pytest.mark.parametrize("time", [-1, -NOW, -0.5, LATEST, str(LATEST), "-1", True, False, {}, {"of": 1}, [], [NOW]])
def test_time_that_no_state_can_hold_is_an_error(
    drift: Drift, connector: Connector, stream: str, cursor: str, more: Any, time: Any
) -> None:
    """A time before 1970 or after 2099 is named in a sentence; one ahead of Drift's clock is lowered before."""
    row = {STREAMS[stream].key: STREAMS[stream].one, **more, cursor: time}
    drift.answers(STREAMS[stream].path, STREAMS[stream].envelope([row]))
    outcome = connector.read(stream, state={})
    if time in (LATEST, str(LATEST)) and cursor == "updatedAt":
        assert [record[cursor] for record in outcome.records(stream)] == [NOW + 999], outcome.summary
        return
    assert (outcome.status(stream), outcome.records(stream)) == ("INCOMPLETE", [])
    asked = STREAMS[stream].asked
    assert outcome.error(stream).message == (
        f"Drift answered {asked} with a {cursor} that no state can hold: it is no time, or one before 1970 or after"
        " 2099."
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(value, True) for value in (0, 1, 0.5, NOW, LATEST - 1, LATEST - 0.5, "0", str(LATEST - 1), None)],
        *[(value, True) for value in ("", "soon", "1.5", "2026-01-15T12:00:00Z")],
        *[(value, False) for value in (-1, -0.5, LATEST, LATEST + 1, 9e99, "-1", str(LATEST), "9" * 30)],
        *[(value, False) for value in (float("nan"), float("inf"), True, False, [], {}, [1], {"a": 1})],
    ],
    ids=repr,
)
def test_state_holds_times(value: Any, expected: bool) -> None:
    """A state holds the milliseconds from 1970 to 2099; what the CDK passes over as no time does no harm either."""
    assert components.fits_state(value) is expected


@pytest.mark.parametrize(("stream", "cursor", "more"), TIMED)
@pytest.mark.parametrize("time", [None, "", "soon"], ids=repr)
def test_no_time_is_no_error(
    drift: Drift, connector: Connector, stream: str, cursor: str, more: Any, time: Any
) -> None:
    """A row without a time, and one with a text that says none, come as they are."""
    row = {STREAMS[stream].key: STREAMS[stream].one, **more, cursor: time}
    drift.answers(STREAMS[stream].path, STREAMS[stream].envelope([row]))
    outcome = connector.read(stream, state={})
    assert (outcome.status(stream), len(outcome.records(stream))) == ("COMPLETE", 1), outcome.summary


@pytest.mark.parametrize("time", [0, 1, NOW - 20_000 * DAY])
def test_old_times_are_times(drift: Drift, connector: Connector, time: int) -> None:
    """1970 is old, and no error."""
    drift.answers("/conversations/1/messages", STREAMS["messages"].envelope([{"id": 1, "createdAt": max(time, 0)}]))
    outcome = connector.read("messages", state={})
    assert (outcome.status("messages"), outcome.keys("messages")) == ("COMPLETE", [1]), outcome.summary
