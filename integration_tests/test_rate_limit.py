"""The budget keeps a sync below Drift's limits, and a throttled sync waits."""

import re
from collections.abc import Sequence

from integration_tests.connector import access_token, catalog, run
from integration_tests.hurried import Pace
from integration_tests.test_read import assert_complete
from sandbox import Drift, Fault, Options, Sandbox

LIST = "/conversations/list"
WAIT = re.compile(r"Rate limit exceeded \(HTTP 429\)\. Retrying in ([\d.]+) seconds\.")


def most_within(seconds: float, moments: Sequence[float]) -> int:
    """The maximum number of times within any period of this length."""
    return max(sum(start <= moment < start + seconds for moment in moments) for start in moments)


def test_the_budget_stays_below_drifts_limit() -> None:
    """A sync of messages at the rate of the manifest, without other clients, is never throttled."""
    # Drift's 1,000 in 20 seconds, without the initial burst, which would hide a missing budget.
    drift = Drift(conversations=300, messages_per_conversation=1)
    with Sandbox(drift, Options(rate_limit=(50, 1.0))) as sandbox:
        read = run("read", access_token(sandbox.url), catalog("messages"), pace=Pace(budget=1))
        assert_complete(read, drift, ("messages",))
        assert set(sandbox.journal.statuses()) == {200}, sandbox.journal.statuses()


def test_reports_have_their_own_budget() -> None:
    """More than 100 reports, because Drift truncates each, stay within the allowed number per minute."""
    drift = Drift(conversations=400, history_days=1000)
    pace = Pace(budget=20)
    with Sandbox(drift, Options(rate_limit=None, reports_per_minute=None, reports_row_cap=10)) as sandbox:
        read = run("read", access_token(sandbox.url), catalog("conversation_metrics", "users"), pace=pace)
        moments = [request.at for request in sandbox.journal.requests("/reports/")]
    assert_complete(read, drift, ("conversation_metrics", "users"))
    assert len(moments) > 100, len(moments)
    assert most_within(60 / pace.budget, moments) <= 60


def test_a_shared_limit_slows_the_sync_down() -> None:
    """If other clients use most of the limit, the sync is throttled, waits and finishes."""
    drift = Drift(accounts=300, conversations=120)
    streams = ("accounts", "conversations", "messages", "conversation_metrics")
    with Sandbox(drift, Options(rate_limit=(60, 1.0), reports_per_minute=None)) as sandbox:
        read = run("read", access_token(sandbox.url), catalog(*streams))
        assert sandbox.journal.statuses()[429] > 0, "the limit was never reached"
    assert_complete(read, drift, streams)


def test_ten_minutes_of_throttling_are_no_error() -> None:
    """A sync survives ten minutes of 429 responses, and logs each wait."""
    drift = Drift(conversations=20)
    faults = [Fault(LIST, "status", status=429, times=30), Fault("/users/list", "status", status=429, times=30)]
    with Sandbox(drift, Options(rate_limit=None), faults=faults) as sandbox:
        read = run("read", access_token(sandbox.url), catalog("messages", "users"))
    assert_complete(read, drift, ("messages", "users"))
    waits = [float(match[1]) for line in read.logs if (match := WAIT.search(line))]
    assert len(waits) == 60
    assert sum(waits) > 2 * 600, waits
