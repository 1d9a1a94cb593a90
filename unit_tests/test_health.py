"""A stream that cannot be read is given up after a few conversations, loudly, and not asked for to the end."""

import pytest

import components
from components import Health, failure
from unit_tests.conftest import HOUR, NOW, SECRET, Answer, Connector, Drift

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
        health.note(error=failure("Drift answered badly."))
    with pytest.raises(components.AirbyteTracedException, match="Drift answered badly"):
        health.wait_for_answers(0)


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
