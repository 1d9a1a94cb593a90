"""Records are found wherever Drift may put them, values are unchanged, and an empty result needs evidence."""

import json
import re
from typing import Any

import orjson
import pytest
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer, SyncMode
from airbyte_cdk.test.catalog_builder import CatalogBuilder

from unit_tests.conftest import (
    CHILDREN,
    DAY,
    ERROR_OBJECT,
    LISTS,
    METRICS,
    NO_DATA,
    NOW,
    REPORTS,
    SECRET,
    STREAMS,
    TOKEN,
    Answer,
    Connector,
    Drift,
    Outcome,
    config,
    parts,
    response,
)

ONE, TWO = {"id": 1}, {"id": 2}
TOKEN_ROW = {"authenticated_userid": "orgId:1", "scope": "user_read account_read", "expires_in": 0}
ACCOUNTS = [{"accountId": "1_a"}, {"accountId": "2_b"}]
COUNTS = {"OPEN": 3, "CLOSED": 0, "unheard_of": 1}


def rows(stream: str, body: Any, **more: Any) -> list[dict[str, Any]]:
    [made] = parts(stream)
    _ = made.pages.initial_token
    return list(made.extractor.extract_records(response(body, **more)))


def assert_complete(outcome: Outcome, stream: str, *keys: Any) -> None:
    assert (outcome.status(stream), outcome.keys(stream)) == ("COMPLETE", list(keys)), outcome.summary


def assert_failed(outcome: Outcome, stream: str, said: str) -> None:
    assert (outcome.status(stream), outcome.records(stream)) == ("INCOMPLETE", []), outcome.summary
    assert said in outcome.error(stream).message
    assert outcome.holds(SECRET) == []


# The place of the records


@pytest.mark.parametrize(
    ("stream", "expected", "bodies"),
    [
        (
            "accounts",
            ACCOUNTS,
            [
                {"data": {"accounts": ACCOUNTS, "total": 2}},
                {"data": ACCOUNTS},
                ACCOUNTS,
                {"accounts": ACCOUNTS},
                {"Data": {"Accounts": ACCOUNTS}},
                {"data": {"items": ACCOUNTS, "tags": [1]}},
            ],
        ),
        (
            "users",
            [ONE, TWO],
            [{"data": [ONE, TWO]}, [ONE, TWO], {"users": [ONE, TWO]}, {"data": {"users": [ONE, TWO]}}],
        ),
        ("users", [ONE], [{"data": ONE}, {"data": {"user": ONE}}, {"data": [ONE], "error": None, "errors": []}]),
        ("users", [{"id": 1, "error": "its"}], [{"data": [{"id": 1, "error": "its"}], "warnings": ["w"]}]),
        ("users", [], [{"data": []}, []]),
        # The documented place has priority.
        ("users", [ONE], [{"data": [ONE], "users": [TWO]}]),
        ("messages", [ONE, TWO], [{"data": {"messages": [ONE, TWO]}}, {"data": [ONE, TWO]}, {"messages": [ONE, TWO]}]),
        ("playbooks", [ONE], [[ONE], {"data": [ONE]}, {"playbooks": [ONE]}, {"data": {"playbooks": [ONE]}}]),
        ("conversation_details", [ONE], [{"data": ONE}, {"data": [ONE]}, ONE, [ONE]]),
        ("token_info", [TOKEN_ROW], [TOKEN_ROW, {"data": TOKEN_ROW}, [TOKEN_ROW], {"data": [TOKEN_ROW]}]),
        (
            "conversation_stats",
            [{"status": status, "count": count} for status, count in COUNTS.items()],
            [
                {"conversationCount": COUNTS},
                {"data": {"conversationCount": COUNTS}},
                {"data": COUNTS},
                COUNTS,
                {"conversationCount": {name: str(count) for name, count in COUNTS.items()}},
            ],
        ),
    ],
)
def test_rows_are_found_in_every_usual_place(stream: str, expected: list[Any], bodies: list[Any]) -> None:
    """The same rows come in the same order, whichever of the usual envelopes Drift uses."""
    assert [rows(stream, body) for body in bodies] == [expected] * len(bodies)


def test_rows_of_an_envelope_are_parsed_once() -> None:
    """The handler, the extractor and the pages share one list; missing rows are None, not an empty list."""
    [made], answer = parts("users"), response({"data": [ONE]})
    found = made.handler.rows(answer)
    answer._content = b"never read again"
    assert (found, made.pages.rows(answer) is found) == ([ONE], True)
    assert made.extractor.rows(response({"data": None})) is None


def test_empty_rows_are_dropped_with_a_warning(drift: Drift, connector: Connector) -> None:
    """Empty rows are dropped, and one log line says how many."""
    drift.answers("/users/list", {"data": [None, {}, ONE]})
    outcome = connector.read("users")
    assert_complete(outcome, "users", 1)
    assert [line for line in outcome.logs("WARN") if line.startswith("users: 2 of 3 rows were empty")]


# No records


@pytest.mark.parametrize(
    ("stream", "body"),
    [
        ("accounts", {"data": {}}),
        ("accounts", {"data": {"accounts": None}}),
        ("accounts", {"data": {"total": 0}}),
        ("users", {"data": None}),
        ("users", Answer(b"", 204)),
        ("playbooks", Answer(b"", 204)),
        ("messages", {"data": {}}),
        ("messages", {"data": {"messages": None}, "pagination": {"more": False}}),
        ("conversation_metrics", {"count": 0}),
        ("meetings", {"pagination": {}}),
    ],
    ids=str,
)
def test_missing_list_is_empty_after_two_responses(drift: Drift, connector: Connector, stream: str, body: Any) -> None:
    """Drift leaves out values that are not set, so a list that is missing twice is empty."""
    path = STREAMS[stream].path
    drift.answers(path, body)
    outcome = connector.read(stream)
    assert_complete(outcome, stream)
    assert (outcome.errors, len(drift.asked(path))) == ([], 2)


@pytest.mark.parametrize(
    ("beside", "is_empty"),
    [
        ({"hasNext": False, "requestId": "a1", "errors": [], "error": None, "status": "ok", "code": 200}, True),
        ({"success": False}, False),
        ({"status": "error"}, False),
        ({"message": "It failed."}, False),
        ({"users": [{"name": "without a key"}]}, False),
        ({"_embedded": {"users": [{"name": "without a key"}]}}, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("none", [[], None])
def test_empty_list_counts_unless_other_fields_contradict_it(
    drift: Drift, connector: Connector, none: Any, beside: Any, is_empty: bool
) -> None:
    """A list is not empty if its envelope reports a failure or has rows elsewhere."""
    drift.answers("/users/list", {"data": none, **beside})
    outcome = connector.read("users")
    if is_empty:
        assert_complete(outcome, "users")
    else:
        assert_failed(outcome, "users", "without records at data")


def test_list_that_was_missing_once_is_read(drift: Drift, connector: Connector) -> None:
    """After one response without the list, the next response is read."""
    drift.answers("/users/list", {"data": None}, {"data": [ONE]})
    assert_complete(connector.read("users"), "users", 1)


@pytest.mark.parametrize("has_list", [True, False])
def test_empty_list_counts_at_once(drift: Drift, connector: Connector, has_list: bool) -> None:
    """An empty list is COMPLETE after one request; an empty single record is requested twice."""
    streams = [stream for stream in STREAMS if stream != "token_info"]
    ones = [stream for stream in streams if STREAMS[stream].shape == "an object"]
    for stream in [stream for stream in streams if stream != "conversations" or not has_list]:
        is_bare = stream in ones or stream == "conversation_stats"
        drift.answers(STREAMS[stream].path, {"data": []} if is_bare else STREAMS[stream].envelope([]))
    outcome = connector.read(*streams)
    for stream in streams:
        assert_complete(outcome, stream, *([1] if stream == "conversations" and has_list else []))
        requests = 0 if stream in CHILDREN and not has_list else 2 if stream in ones else 1
        assert len(drift.asked(STREAMS[stream].path)) == requests, stream


@pytest.mark.parametrize("body", [{"data": {}}, {"data": None}, {"count": 0}, Answer(b"", 204), b"null"], ids=str)
def test_missing_conversation_list_is_an_error(drift: Drift, connector: Connector, body: Any) -> None:
    """If the first page has no list, the sync fails, however often Drift repeats it, because other streams need it."""
    drift.answers("/conversations/list", body)
    outcome = connector.read("conversations", "messages")
    for stream in ("conversations", "messages"):
        assert_failed(outcome, stream, "Drift answered GET /conversations/list without records at data.")


@pytest.mark.parametrize(
    ("stream", "answer", "said"),
    [
        *[(stream, NO_DATA, "without records at {place}") for stream in LISTS],
        *[(stream, ERROR_OBJECT, "with an error") for stream in ("messages", "playbooks")],
        ("conversations", Answer({"errors": [{"message": SECRET}], "data": [ONE]}), "with an error"),
        ("users", Answer({}), "without records at {place}"),
        ("users", Answer({"data": {"secret": {"of": SECRET}}}), "without records at {place}"),
        ("playbooks", Answer(b"1"), "without records at {place}"),
    ],
    ids=str,
)
def test_other_json_is_an_error_after_two_responses(
    drift: Drift, connector: Connector, stream: str, answer: Answer, said: str
) -> None:
    """Error objects and other JSON never mean zero records: two of them are an error, one is retried."""
    path = STREAMS[stream].path
    drift.answers(path, answer)
    place = {"accounts": "data.accounts", "messages": "data.messages", "playbooks": "its root"}.get(stream, "data")
    said = f"Drift answered {STREAMS[stream].asked} {said.format(place=place)}."
    assert_failed(connector.read(stream), stream, said)
    asked = len(drift.asked(path))
    drift.answers(path, answer, STREAMS[stream].body())
    assert_complete(connector.read(stream), stream, STREAMS[stream].one)
    assert asked == 2


# Rows


@pytest.mark.parametrize(
    ("stream", "row", "missing"),
    [
        ("meetings", {"slug": "a-b"}, "agentId"),
        ("meetings", {"agentId": 1}, "slug"),
        ("users", {"name": "x"}, "id"),
        ("users", {"id": ""}, "id"),
        ("users", "row", "id"),
        ("messages", {"id": None, "createdAt": NOW}, "id"),
        ("conversations", {"updatedAt": NOW}, "id"),
        ("landing_pages", {"playbookId": 1}, "landingPageUrl"),
        ("landing_pages", {"landingPageUrl": "https://www.example.com/a"}, "playbookId"),
    ],
    ids=str,
)
def test_row_without_its_key_is_an_error(
    drift: Drift, connector: Connector, stream: str, row: Any, missing: str
) -> None:
    """A row without its key is an error that names the stream and the field."""
    drift.answers(STREAMS[stream].path, STREAMS[stream].envelope([STREAMS[stream].row(), row]))
    said = f"with a row of the {stream} stream that has no {missing}, its key"
    assert_failed(connector.read(stream), stream, said)


def reported(*metrics: Any) -> list[dict[str, Any]]:
    body = {"data": [{"conversationId": 7, "metrics": one} for one in metrics]}
    names = METRICS[: len(metrics[0])]
    return rows("conversation_metrics", body, sent={"metrics": names}, method="POST")


def test_metrics_are_named_by_position() -> None:
    """Integers stay integers, whole floats become integers, text becomes a number, and "NaN" and "" become null."""
    sent = [1700000000000, 5, 5.0, 2**53 + 1, 1.5, "3", "1.5", "NaN", "", None, 0, -1]
    [row] = reported(sent)
    values = [1700000000000, 5, 5, 2**53 + 1, 1.5, 3, 1.5, None, None, None, 0, -1]
    # As printed, because 5 and 5.0 differ there.
    assert json.dumps(row) == json.dumps({"conversationId": 7, **dict(zip(METRICS, values, strict=False))})


def test_metrics_by_name_are_read() -> None:
    """If Drift sends metrics by name, their order does not matter."""
    [row, _] = reported({METRICS[1]: 2, METRICS[0]: 1}, [3, 4])
    assert row == {"conversationId": 7, METRICS[0]: 1, METRICS[1]: 2}


@pytest.mark.parametrize("metrics", [[], [1], [1] * 14, "12", None, 5], ids=str)
def test_wrong_number_of_metrics_is_an_error(drift: Drift, connector: Connector, metrics: Any) -> None:
    """Too few or too many metrics would get the wrong names."""
    drift.answers(REPORTS, {"count": 1, "data": [{"conversationId": 7, "metrics": metrics}]})
    outcome = connector.read("conversation_metrics")
    assert_failed(outcome, "conversation_metrics", "with a row that lacks the requested metrics")


# Text and numbers


def printed(connector: Connector, stream: str) -> str:
    """The record of a stream, as the process prints it."""
    catalog = CatalogBuilder().with_stream(stream, SyncMode.full_refresh).build()
    entrypoint = AirbyteEntrypoint(connector.source(config(), catalog))
    path = connector.config_path.with_name("catalog.json")
    path.write_bytes(orjson.dumps(ConfiguredAirbyteCatalogSerializer.dump(catalog)))
    arguments = ["read", "--config", str(connector.config_path), "--catalog", str(path)]
    lines = list(entrypoint.run(AirbyteEntrypoint.parse_args(arguments)))
    [record] = [line for line in lines if json.loads(line)["type"] == "RECORD"]
    return record


@pytest.mark.parametrize(
    ("stream", "body", "expected", "is_repaired"),
    [
        (
            "messages",
            rb'{"data":{"messages":[{"id":11,"body":"thanks \ud83d","createdAt":1700000000000}]}}',
            {"id": 11, "body": "thanks \ufffd", "createdAt": 1700000000000},
            True,
        ),
        ("users", b'{"data":[{"id":1,"name":"a\xffb"}]}', {"id": 1, "name": "a\ufffdb"}, True),
        ("users", b'\xef\xbb\xbf{"data":[{"id":1,"name":"bom"}]}', {"id": 1, "name": "bom"}, False),
        ("users", rb'{"data":[{"id":1,"name":"\ud83d\ude00"}]}', {"id": 1, "name": "\U0001f600"}, False),
        (
            "contacts",
            b'{"data":{"id":1,"attributes":{"externalId":80000000000000000003}}}',
            {"id": 1, "attributes": {"externalId": 80000000000000000003}},
            False,
        ),
        (
            "users",
            b'{"data":[{"id":1,"balance":-80000000000000000003,"ratio":0.1,"of":[1e3]}]}',
            {"id": 1, "balance": -80000000000000000003, "ratio": 0.1, "of": [1000.0]},
            False,
        ),
    ],
    ids=["lone-surrogate", "not-utf-8", "bom", "pair", "long-integer", "long-negative"],
)
def test_valid_json_is_read_exactly(
    drift: Drift, connector: Connector, stream: str, body: bytes, expected: Any, is_repaired: bool
) -> None:
    """Invalid Unicode becomes U+FFFD with a warning; integers of any length are printed exactly."""
    drift.answers(STREAMS[stream].path, body)
    assert json.loads(printed(connector, stream))["record"]["data"] == expected
    outcome = connector.read(stream)
    assert_complete(outcome, stream, expected["id"])
    told = [line for line in outcome.logs("WARN") if line.startswith(f"{stream}: some text is not")]
    assert bool(told) is is_repaired, outcome.logs("WARN")


# Times


TIMES = [-1, 0, NOW + DAY, NOW * 1000, str(NOW), str(NOW + DAY), "soon", "", "-1", 1.5, [NOW], {"of": 1}]


@pytest.mark.parametrize(
    ("stream", "cursor", "times"),
    [
        ("conversations", "updatedAt", TIMES),
        ("messages", "createdAt", TIMES),
        ("meetings", "updatedAt", TIMES),
        *[("conversation_details", "updatedAt", [time]) for time in (NOW + DAY, "soon", [NOW])],
        *[("contacts", "createdAt", [time]) for time in (NOW + DAY, "soon", [NOW])],
    ],
    ids=str,
)
def test_time_is_unchanged(drift: Drift, connector: Connector, stream: str, cursor: str, times: list[Any]) -> None:
    """Any value of a time comes unchanged, and never moves the state beyond Drift's clock."""
    keys = [f"{number}" if stream == "meetings" else number for number in range(1, len(times) + 1)]
    rows = [{**STREAMS[stream].row(key), cursor: time} for key, time in zip(keys, times, strict=True)]
    drift.answers(STREAMS[stream].path, STREAMS[stream].envelope(rows))
    outcome = connector.read(stream, state={})
    sent = [json.dumps(record[cursor]) for record in outcome.records(stream)]
    assert (outcome.status(stream), sent) == ("COMPLETE", [json.dumps(time) for time in times]), outcome.summary
    assert all(int(moment) <= NOW for moment in re.findall(r"\d{6,}", str(outcome.states(stream))))


@pytest.mark.parametrize("behind", [30, 3600])
def test_clock_that_is_behind_changes_no_value(drift: Drift, connector: Connector, behind: int) -> None:
    """A `Date` that is behind changes no record, and the state stays behind it."""
    late = "Thu, 15 Jan 2026 11:59:30 GMT" if behind == 30 else "Thu, 15 Jan 2026 11:00:00 GMT"
    drift.answers("/conversations/list", Answer({"data": [{"id": 1, "updatedAt": NOW}]}, headers={"Date": late}))
    outcome = connector.read("conversations", state={})
    assert outcome.records("conversations") == [{"id": 1, "updatedAt": NOW}], outcome.summary
    assert outcome.state("conversations") == {"updatedAt": str(NOW - behind * 1000)}


@pytest.mark.parametrize("date", [None, "garbage", "Thu, 15 Jan 2015 12:00:00 GMT"])
def test_without_a_valid_date_our_clock_counts(drift: Drift, connector: Connector, date: str | None) -> None:
    """If the `Date` is missing or implausible, the connector uses its own clock."""
    body = {"data": [{"id": 1, "updatedAt": NOW + DAY}]}
    drift.answers("/conversations/list", Answer(body, headers={"Date": date}))
    assert connector.read("conversations", state={}).state("conversations") == {"updatedAt": str(NOW)}


# token_info


@pytest.mark.parametrize(
    "body",
    [
        {"data": {**TOKEN_ROW, "access_token": TOKEN}},
        {**TOKEN_ROW, "accessToken": TOKEN, "x": {"of": [TOKEN]}},
        {**TOKEN_ROW, "id": TOKEN, "credential_id": f"of {TOKEN}"},
    ],
    ids=["wrapped", "other-name", "declared-name"],
)
def test_token_info_has_only_declared_fields(drift: Drift, connector: Connector, body: Any) -> None:
    """No record contains the token, whatever its name and place in the response."""
    drift.answers("/app/token_info", body)
    outcome = connector.read("token_info", debug=True)
    assert outcome.records("token_info") == [TOKEN_ROW], outcome.summary
    assert outcome.holds(TOKEN) == []
