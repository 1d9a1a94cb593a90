"""A stream that cannot be read is given up after a few conversations, loudly, and not asked for to the end."""

import threading
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.requesters.error_handlers import HttpResponseFilter

import components
from components import Health, failure
from unit_tests.conftest import API, HOUR, NOW, SECRET, Answer, Connector, Drift, config, response

LIST = "/conversations/list"
CONVERSATIONS = 120


@pytest.fixture
def listed(drift: Drift, monkeypatch: pytest.MonkeyPatch) -> Drift:
    """A Drift of 120 conversations, and a wait for answers as long as it is outside of tests."""
    monkeypatch.setattr(Health, "LONGEST_WAIT", 90.0)
    rows = [{"id": key, "updatedAt": NOW - key * HOUR} for key in range(1, CONVERSATIONS + 1)]
    drift.answers(LIST, {"data": rows, "pagination": {"more": False}})
    return drift


def asked(drift: Drift) -> int:
    return sum(request.url.endswith("/messages") for request in drift.requests)


@pytest.mark.parametrize(("status", "most"), [(403, Health.FIRST), (401, Health.FIRST), (400, 80)])
def test_what_is_refused_is_not_asked_to_the_end(listed: Drift, connector: Connector, status: int, most: int) -> None:
    """Where every conversation is refused, the stream fails with that refusal after a part of them."""
    for key in range(1, CONVERSATIONS + 1):
        listed.answers(f"/conversations/{key}/messages", Answer({"error": SECRET}, status))
    outcome = connector.read("messages", state={})
    assert outcome.status("messages") == "INCOMPLETE"
    assert 0 < asked(listed) <= most
    assert int(outcome.state("messages").get("parent_state", {}).get("conversations", {}).get("updatedAt", 0)) == 0


def test_refusal_while_it_lists_ends_the_list(listed: Drift, connector: Connector) -> None:
    """Where what is read early is refused, the rest of the list is of no use."""
    pages = 300
    is_refused = threading.Event()

    def page(request: requests.PreparedRequest) -> Any:
        number = int(dict(parse_qsl(urlsplit(str(request.url)).query)).get("page_token") or 0)
        # Once the third page names keys that are read early, the next ones wait for the answer.
        assert number < 4 or is_refused.wait(30)
        rows = [{"id": number * 50 + key, "updatedAt": NOW - (number * 50 + key) * HOUR} for key in range(50)]
        return {"data": rows, "links": {"next": f"{LIST}?page_token={number + 1}" if number < pages else None}}

    def refuse(request: requests.PreparedRequest) -> Answer:
        is_refused.set()
        return Answer({"error": SECRET}, 403)

    listed.answers(LIST, page)
    for key in range(50 * pages):
        listed.answers(f"/conversations/{key}/messages", refuse)
    outcome = connector.read("messages", state={})
    assert outcome.status("messages") == "INCOMPLETE"
    assert len(listed.asked(LIST)) < pages


def test_an_error_here_and_there_ends_nothing(listed: Drift, connector: Connector) -> None:
    """As long as others succeed, every conversation is asked for."""
    for key in range(1, CONVERSATIONS + 1):
        answer = Answer({"error": SECRET}, 400) if key % 3 == 0 else {"data": {"messages": []}}
        listed.answers(f"/conversations/{key}/messages", answer)
    outcome = connector.read("messages", state={})
    assert outcome.status("messages") == "INCOMPLETE"
    assert asked(listed) == CONVERSATIONS


def test_a_success_begins_the_count_of_failures_anew() -> None:
    """Only failures in a row give a stream up, and what gave it up is the error that is raised."""
    health = Health()
    for _ in range(3):
        for _ in range(Health.MOST_FAILURES - 1):
            health.note(error=failure("Drift answered badly."))
        health.note(succeeded=True)
    health.wait_for_answers(0)
    for _ in range(Health.MOST_FAILURES):
        health.note(error=failure("Drift answered badly.", FailureType.transient_error))
    assert_given_up(health, "Drift answered badly.", FailureType.transient_error)


def assert_given_up(health: Health, said: str, kind: FailureType) -> None:
    with pytest.raises(components.AirbyteTracedException) as error:
        health.wait_for_answers(0)
    assert (error.value.message, error.value.failure_type) == (said, kind)


def test_a_refusal_gives_a_stream_up_at_once() -> None:
    """What the user has to mend is said as it was said first, whatever follows it."""
    health = Health()
    health.note(error=failure("A scope is missing.", FailureType.config_error))
    health.note(error=failure("Another one, too.", FailureType.config_error))
    assert_given_up(health, "A scope is missing.", FailureType.config_error)


SUCCESS: dict[str, Any] = {"succeeded": True}
ERROR: dict[str, Any] = {"error": failure("Drift answered badly.")}
TRIED_AGAIN: dict[str, Any] = {}


class Waits(Exception):
    """Raised where a thread would wait."""


@pytest.mark.parametrize(
    ("answers", "most"),
    [
        ([], Health.FIRST),
        ([TRIED_AGAIN], Health.FIRST),
        ([ERROR], Health.FIRST + 1),
        ([ERROR, ERROR], Health.FIRST + 2),
        ([SUCCESS], Health.AHEAD + 1),
        ([SUCCESS, SUCCESS, SUCCESS], Health.AHEAD + 3),
        ([SUCCESS, ERROR, TRIED_AGAIN], Health.AHEAD + 2),
        ([ERROR, SUCCESS], Health.AHEAD + 2),
    ],
    ids=["none", "tried again", "error", "errors", "success", "successes", "success, error", "error, success"],
)
def test_so_many_are_handed_out_before_an_answer(answers: list[dict[str, Any]], most: int) -> None:
    """A few more are handed out than were answered, and many more once one of them succeeded."""
    health = Health()
    for answer in answers:
        health.note(**answer)
    with patch.object(health._changed, "wait", side_effect=Waits):
        health.wait_for_answers(most - 1)
        with pytest.raises(Waits):
            health.wait_for_answers(most)


def test_what_is_tried_again_is_no_failure() -> None:
    """Attempts that will be repeated, as in a throttle, neither give a stream up nor count as answered."""
    health = Health()
    for _ in range(10 * Health.MOST_FAILURES):
        health.note()
    health.wait_for_answers(Health.FIRST - 1)
    assert health.error is None


def test_a_wait_without_an_answer_is_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody answers, as in the Connector Builder or after a crash, all partitions are handed out."""
    monkeypatch.setattr(Health, "LONGEST_WAIT", 0.0)
    health = Health()
    health.wait_for_answers(Health.FIRST)
    monkeypatch.setattr(Health, "LONGEST_WAIT", 90.0)
    health.wait_for_answers(10_000)
    assert health.error is None


MESSAGES = f"{API}/conversations/1/messages"


@pytest.mark.parametrize("noted", [SUCCESS, ERROR], ids=["success", "error"])
def test_further_page_is_no_further_answer(noted: dict[str, Any]) -> None:
    """A conversation of many pages makes room for one other, and its later pages still count as how it went."""
    health = Health()
    health.note(response(url=MESSAGES), succeeded=True)
    for _ in range(5):
        health.note(response(url=f"{MESSAGES}?next=a#pages=1"), **noted)
    assert health.has_room(Health.AHEAD)
    assert not health.has_room(Health.AHEAD + 1)
    assert health._failures == (5 if noted is ERROR else 0)


class Noting(Health):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[dict[str, Any]] = []

    def note(self, answer: Any = None, **noted: Any) -> None:
        self.notes.append({"answer": answer, **noted})


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> Noting:
    """The health of the messages of `CONFIG`."""
    health = Noting()
    monkeypatch.setitem(components.HEALTH, (id(CONFIG), "messages"), health)
    return health


CONFIG = config(api_url=API)


@pytest.mark.parametrize(
    ("answer", "succeeded"),
    [
        (response({"data": []}), True),
        (response(status=404), True),
        (response(status=503), False),
        (response({"data": None}), False),
    ],
    ids=["success", "ignored", "503", "another shape"],
)
def test_handler_notes_what_goes_on(noting: Noting, answer: Any, succeeded: bool) -> None:
    """What was asked for, and what may be missing, is a success; what is tried again is none."""
    gone = HttpResponseFilter(config={}, parameters={}, http_codes={404}, action="IGNORE")
    made = components.DriftErrorHandler(
        config=CONFIG, parameters={}, records_at=["data"], response_filters=[gone], name="messages"
    )
    made.interpret_response(answer)
    assert noting.notes == [{"answer": answer, "succeeded": succeeded}]


def test_handler_notes_what_fails(noting: Noting) -> None:
    """The error that is raised is the one that is noted."""
    made = components.DriftErrorHandler(config=CONFIG, parameters={}, records_at=["data"], name="messages")
    for refused in (response(status=400), response(status=302, Location="https://other.example.com")):
        noting.notes.clear()
        with pytest.raises(components.AirbyteTracedException) as error:
            made.interpret_response(refused)
        assert noting.notes == [{"answer": refused, "error": error.value}]


def backoff(attempts: int) -> components.DriftBackoffStrategy:
    return components.DriftBackoffStrategy(config=CONFIG, parameters={}, name="messages", max_attempts=attempts)


def test_backoff_notes_the_last_failure(noting: Noting) -> None:
    """A request that is given up is noted with its error, and one that will be repeated is not."""
    assert backoff(2).backoff_time(response(status=500), 1) > 0
    assert noting.notes == []
    for refused in (response(status=500), response(status=429, Retry_After="3600")):
        noting.notes.clear()
        with pytest.raises(components.AirbyteTracedException) as error:
            backoff(1).backoff_time(refused, 1)
        assert noting.notes == [{"answer": refused, "error": error.value}]


def test_nothing_is_tried_again_for_a_stream_that_was_given_up(noting: Noting) -> None:
    """The requests under way end at their first failure; a throttled one did not fail."""
    noting.error = failure("Drift answered badly.")
    assert backoff(8).backoff_time(response(status=429), 1) > 0
    with pytest.raises(components.AirbyteTracedException, match="asked 1 times"):
        backoff(8).backoff_time(response(status=500), 1)
