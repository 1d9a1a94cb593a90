"""What Drift cuts off without a word is asked for in smaller windows, and all of it arrives."""

import time

from integration_tests.connector import access_token, catalog, run
from integration_tests.test_read import assert_complete
from sandbox import Drift, Options, Sandbox

DAY = 86_400_000
REPORTS = "/reports/conversations"


def since(drift: Drift) -> str:
    """A day before the oldest conversation: the windows before it are empty."""
    oldest = min(row["updatedAt"] for row in drift.expected("conversations"))
    return time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime((oldest - DAY) / 1000))


def test_a_report_that_is_cut_is_asked_for_in_halves() -> None:
    """Where a report counts more rows than it holds, halves of its window are read until they hold them all."""
    drift = Drift(conversations=400, history_days=150)
    with Sandbox(drift, Options(rate_limit=None, reports_per_minute=None, reports_row_cap=30)) as sandbox:
        read = run("read", access_token(sandbox.url, start_date=since(drift)), catalog("conversation_metrics"))
        assert sandbox.journal.count(REPORTS) > 15, sandbox.journal.count(REPORTS)
    assert_complete(read, drift, ("conversation_metrics",))


def test_a_report_that_is_cut_within_an_hour_is_an_error() -> None:
    """Where even an hour holds more rows than Drift gives, the stream fails and says why; it is not green and short."""
    drift = Drift(conversations=30, ties=10, history_days=20)
    with Sandbox(drift, Options(rate_limit=None, reports_per_minute=None, reports_row_cap=1)) as sandbox:
        read = run("read", access_token(sandbox.url, start_date=since(drift)), catalog("conversation_metrics"))
    assert read.code == 1
    assert read.statuses == {"conversation_metrics": "INCOMPLETE"}
    reason = "Drift gives only a part of the conversation_metrics even of 60 minutes."
    assert read.error("conversation_metrics").startswith(reason), read.error("conversation_metrics")
    tied = {row["id"] for row in drift.expected("conversations")}
    assert set(read.keys("conversation_metrics")) < tied


def test_more_than_a_thousand_meetings_are_all_read() -> None:
    """Drift gives 1,000 meetings at most: with more in the range, parts of it are read."""
    drift = Drift(conversations=100, meetings=4000)
    with Sandbox(drift) as sandbox:
        read = run("read", access_token(sandbox.url), catalog("meetings"))
        assert sandbox.journal.count("/users/meetings/org") > 3
    assert drift.count("meetings") > 2000
    assert_complete(read, drift, ("meetings",))
