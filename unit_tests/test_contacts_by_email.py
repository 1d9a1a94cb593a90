"""Contacts are found only by the addresses in the config, and no log or error contains an address."""

from typing import Any

import pytest
import requests

from unit_tests.conftest import EMAIL, HTML, NOW, Answer, Connector, Drift, Outcome, config

PATH = "/contacts"
STREAM = "contacts_by_email"
ODD = "o'neil+a&b=c%20#d@example.com"


def contact(key: int, **attributes: Any) -> dict[str, Any]:
    return {"id": key, "createdAt": NOW, "attributes": attributes}


def by_address(drift: Drift, found: dict[str, Any]) -> None:
    """Respond to each given address, and with an empty list to any other."""
    drift.answers(PATH, lambda request: found.get(drift.queries(PATH)[-1]["email"], {"data": []}))


def read(connector: Connector, *emails: str) -> Outcome:
    # One request at a time, so that the last request is the one to respond to.
    return connector.read(STREAM, config=config(contact_emails=list(emails), max_requests_per_second=1))


@pytest.mark.parametrize(
    ("found", "keys"),
    [
        ([contact(1)], [1]),
        (contact(1), [1]),
        ([contact(1), contact(2), contact(3)], [1, 2, 3]),
        ([], []),
    ],
    ids=["array", "object", "several", "unknown"],
)
def test_contacts_of_an_address(drift: Drift, connector: Connector, found: Any, keys: list[int]) -> None:
    """A contact can be an array or an object; a shared address gives all its contacts, an unknown one none."""
    by_address(drift, {EMAIL: {"data": found}})
    outcome = read(connector, EMAIL)
    assert (outcome.status(STREAM), outcome.keys(STREAM), outcome.errors) == ("COMPLETE", keys, [])
    assert drift.queries(PATH) == [{"limit": "100", "email": EMAIL}]


def test_each_address_is_requested(drift: Drift, connector: Connector) -> None:
    """Every address in the config is requested once, whatever the others return."""
    drift.answers(PATH, Answer({"error": "not_found"}, 404), {"data": []}, {"data": [contact(1)]})
    outcome = read(connector, "a@example.com", "b@example.com", "c@example.com")
    assert (outcome.status(STREAM), outcome.keys(STREAM)) == ("COMPLETE", [1]), outcome.summary
    assert sorted(query["email"] for query in drift.queries(PATH)) == [
        "a@example.com",
        "b@example.com",
        "c@example.com",
    ]


def test_address_is_sent_unchanged(drift: Drift, connector: Connector) -> None:
    """An address with characters that are special in a query is sent as one address."""
    by_address(drift, {ODD: {"data": contact(1)}})
    assert read(connector, ODD).keys(STREAM) == [1]


@pytest.mark.parametrize("given", [{}, {"contact_emails": []}], ids=str)
def test_no_address_no_request(drift: Drift, connector: Connector, given: Any) -> None:
    """Without addresses, no request is sent, and the stream is COMPLETE."""
    outcome = connector.read(STREAM, config=config(**given))
    assert (outcome.status(STREAM), outcome.records(STREAM), drift.requests) == ("COMPLETE", [], []), outcome.summary


def test_next_page_is_followed(drift: Drift, connector: Connector) -> None:
    """If Drift paginates the contacts of a shared address, all of them come."""
    drift.answers(
        PATH,
        {"data": [contact(key) for key in range(100)], "links": {"next": f"{PATH}?email={EMAIL}&page_token=2"}},
        {"data": [contact(100)]},
    )
    outcome = read(connector, EMAIL)
    assert (outcome.status(STREAM), sorted(outcome.keys(STREAM))) == ("COMPLETE", list(range(101))), outcome.summary
    assert drift.queries(PATH)[1]["page_token"] == "2"


@pytest.mark.parametrize(
    "answer",
    [
        {"data": contact(1)},
        {"data": []},
        *[Answer({"error": {"message": ODD}}, status) for status in (400, 401, 403, 404, 410, 429, 500)],
        Answer(b"", 302, {"Location": f"https://evil.example/contacts?email={ODD}"}),
        HTML,
        {"data": [contact(key) for key in range(100)]},
        requests.ConnectionError(f"for url: /contacts?email={ODD}"),
    ],
    ids=["found", "unknown", "400", "401", "403", "404", "410", "429", "500", "302", "html", "part", "reset"],
)
def test_address_is_in_no_log_line_and_no_error(drift: Drift, connector: Connector, answer: Any) -> None:
    """No message contains the address, whatever Drift responds."""
    drift.answers(PATH, answer)
    outcome = read(connector, ODD)
    assert outcome.status(STREAM) in ("COMPLETE", "INCOMPLETE")
    assert outcome.holds(ODD) == [], outcome.holds(ODD)[0]
