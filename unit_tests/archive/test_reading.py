"""What is counted while a read runs, and when a stream counts as complete."""

import json

from source_drift.archive.connector import ROOT
from source_drift.archive.reading import Reading, State
from unit_tests.archive.messages import failure, log, record, status

PAGE = "https://driftapi.com/conversations/7/messages"


def _reading(*lines: str, now: float = 20.0) -> Reading:
    reading = Reading(["talks", "people", "people_by_email"], clock=lambda: now)
    for line in lines:
        reading.take(json.loads(line))
    return reading


def test_records_are_counted_by_stream() -> None:
    """One does not count for another."""
    reading = _reading(record("talks", id=1), record("people", id=1), record("talks", id=2))
    assert {name: stream.records for name, stream in reading.streams.items()} == {
        "talks": 2,
        "people": 1,
        "people_by_email": 0,
    }
    assert reading.records == 3


def test_a_stream_goes_through_its_states() -> None:
    """Throttled is a state of its own, which the next record ends."""
    seen = []
    reading = _reading()
    for line in (
        status("talks", "STARTED"),
        status("talks", "RUNNING"),
        status("talks", "RUNNING", throttled=True),
        record("talks", id=1),
        record("talks", id=2),
        status("talks", "COMPLETE"),
    ):
        changed = reading.take(json.loads(line))
        seen.append(changed.state.value if changed else None)
    assert seen == ["started", "running", "throttled", "running", None, "complete"]


def test_seconds_are_the_connectors_own() -> None:
    """From started to complete as it stamped them, whenever its lines arrive; till now while it runs."""
    reading = _reading(status("talks", "STARTED", at=10), *(record("talks", id=n) for n in range(8)))
    assert reading.streams["talks"].seconds(20.0) == 10.0
    reading.take(json.loads(status("talks", "COMPLETE", at=14)))
    assert reading.streams["talks"].seconds(20.0) == 4.0
    assert reading.streams["people"].seconds(20.0) == 0.0


def test_a_read_lasts_from_the_first_start_to_the_last_end() -> None:
    """What the connector's process needs before and after tells nothing of Drift."""
    now = [100.0]
    reading = Reading(["talks", "people"], clock=lambda: now[0])
    assert reading.seconds == 0.0
    now[0] = 103.0
    assert reading.seconds == 0.0
    for line in (status("talks", "STARTED", at=102), status("people", "STARTED", at=102.5)):
        reading.take(json.loads(line))
    assert reading.seconds == 1.0
    for line in (status("people", "COMPLETE", at=103), status("talks", "COMPLETE", at=106)):
        reading.take(json.loads(line))
    now[0] = 107.0
    reading.finish()
    assert reading.seconds == 4.0


def test_a_stream_that_nobody_completed_is_incomplete() -> None:
    """Neither silence nor a last record makes it complete."""
    reading = _reading(status("talks", "COMPLETE"), status("people", "RUNNING"), record("people", id=1))
    reading.finish()
    assert [stream.name for stream in reading.incomplete] == ["people", "people_by_email"]
    assert reading.streams["people"].state is State.INCOMPLETE


def test_errors_belong_to_their_stream() -> None:
    """The first one counts: what comes after is the summary."""
    reading = _reading(failure("No scope.", "talks"), failure("Worse.", "talks"), failure("talks did not sync."))
    assert (reading.streams["talks"].error, reading.streams["people"].error) == ("No scope.", None)
    assert reading.error == "talks did not sync."


def test_skips_are_counted_by_stream() -> None:
    """INFO lines of the connector that say so; a 404 in any other is none."""
    gone = "skipped a deleted record. Drift answered GET /x/7 with HTTP 404."
    reading = _reading(
        log(f"people_by_email: {gone}"),
        log(f"people: {gone}"),
        log(f"people: {gone}"),
        log(f"talks: {gone}", "WARN"),
        log("talks: 404 conversations to read."),
        log(f"nobody: {gone}"),
    )
    assert [stream.skipped for stream in reading.streams.values()] == [0, 2, 1]


def test_warnings_are_counted_once_each() -> None:
    """A warning of every page is one warning."""
    reading = _reading(log("Odd clock.", "WARN"), log("Odd clock.", "WARN"), log("Odd row.", "WARN"), log("Fine."))
    assert reading.warnings == {"Odd clock.": 2, "Odd row.": 1}


def test_warnings_belong_to_the_stream_that_they_name() -> None:
    """In front, as the connector writes it; a name that only begins alike is another stream's."""
    reading = _reading(log("people: odd.", "WARN"), log("people_by_email: odder.", "WARN"), log("talks: fine.", "WARN"))
    assert [reading.warnings_of(name) for name in reading.streams] == [
        ["talks: fine."],
        ["people: odd."],
        ["people_by_email: odder."],
    ]


def test_the_speed_is_in_records() -> None:
    """Not told within the first second, or without a record."""
    reading = _reading(status("talks", "STARTED", at=18), record("talks", id=1), record("talks", id=2))
    talks = reading.streams["talks"]
    assert [talks.speed(now) for now in (18.5, 20.0)] == [None, 1.0]
    assert reading.streams["people"].speed(20.0) is None


def test_a_retry_is_told_until_something_comes() -> None:
    """A record ends the waiting."""
    text = "UserDefinedBackoffException: Rate limit exceeded (HTTP 503). Retrying in 2.0 seconds."
    reading = _reading(log(text))
    assert reading.retry == "Drift answered with HTTP 503. Retrying in 2 seconds."
    reading.take(json.loads(record("talks", id=1)))
    assert reading.retry is None


def _total(name: str, requests: int) -> str:
    return log(f"{name}: {requests:,} conversations to read.")


def test_the_rest_of_a_child_is_estimated_from_its_total() -> None:
    """By conversations, however many messages each has; skipped ones are done, too. The next children count as well."""
    now = [0.0]
    reading = Reading(["messages", "conversation_details", "contacts", "users"], clock=lambda: now[0])
    messages = reading.streams["messages"]
    reading.take(json.loads(status("messages", "STARTED")))
    now[0] = 10.0
    assert reading.take(json.loads(_total("messages", 100))) is messages
    for number in range(19):
        for message in range(3):
            reading.take(json.loads(record("messages", id=1000 * number + message, conversationId=number)))
    now[0] = 12.0
    assert (messages.done, messages.remaining(now[0]), reading.remaining) == (19, None, None)
    reading.take(json.loads(log("messages: skipped a deleted record. Drift answered GET /x/7 with HTTP 404.")))
    assert (messages.done, messages.total, messages.remaining(now[0])) == (20, 100, 8.0)
    assert reading.remaining == 8.0 + 2 * 10.0
    reading.take(json.loads(status("messages", "COMPLETE", at=12)))
    assert (messages.remaining(now[0]), reading.remaining) == (None, None)
    reading.take(json.loads(_total("conversation_details", 40)))
    for number in range(20):
        reading.take(json.loads(record("conversation_details", id=number)))
    now[0] = 16.0
    assert reading.remaining == 4.0 + 8.0


def test_what_is_read_while_it_is_listed_is_done() -> None:
    """The first child reads before its total is told: that counts as done, and not as done since."""
    now = [0.0]
    reading = Reading(["messages"], clock=lambda: now[0])
    messages = reading.streams["messages"]
    for number in range(60):
        reading.take(json.loads(record("messages", id=number, conversationId=number)))
    now[0] = 10.0
    reading.take(json.loads(_total("messages", 100)))
    assert (messages.done, messages.remaining(now[0])) == (60, None)
    now[0] = 12.0
    for number in range(60, 80):
        reading.take(json.loads(record("messages", id=number, conversationId=number)))
    assert (messages.done, messages.remaining(now[0])) == (80, 2.0)


def test_a_share_needs_little_memory() -> None:
    """What was seen last is remembered, not everything: the connector reads few conversations at the same time."""
    reading = _reading(_total("talks", 5_000), *(record("talks", id=number) for number in range(3_000)))
    assert reading.streams["talks"].done == 3_000
    assert len(reading._recent["talks"]) == 1_000


def test_the_words_are_the_connectors() -> None:
    """The lines that are counted must stay what the connector writes."""
    components = (ROOT / "components.py").read_text()
    assert "{notes.what} to read." in components
    assert "{self.name}: skipped a deleted record. " in components
