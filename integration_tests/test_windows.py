"""Silently truncated windows are requested in parts, and all rows arrive."""

import json
import time

import pytest

from integration_tests.connector import Run, access_token, catalog, run
from integration_tests.test_read import assert_complete
from sandbox import Drift, Options, Sandbox

DAY = 86_400_000
MEETINGS = "/users/meetings/org"


def test_a_report_truncated_within_a_millisecond_is_an_error() -> None:
    """If the narrowest window has more rows than Drift returns, the stream fails and says why."""
    drift = Drift(conversations=30, ties=10, history_days=20)
    oldest = min(row["updatedAt"] for row in drift.expected("conversations"))
    start = time.strftime("%Y-%m-%d", time.gmtime((oldest - DAY) / 1000))
    with Sandbox(drift, Options(rate_limit=None, reports_per_minute=None, reports_row_cap=1)) as sandbox:
        read = run("read", access_token(sandbox.url, start_date=start), catalog("conversation_metrics"))
    assert read.code == 1
    assert read.statuses == {"conversation_metrics": "INCOMPLETE"}
    assert "Drift gives only a part of it." in read.error("conversation_metrics"), read.error("conversation_metrics")


@pytest.mark.parametrize(
    ("shown", "dialects"), [(260, ("meetings-limit-clamped-to-100",)), (2000, ())], ids=["clamped", "as documented"]
)
def test_more_meetings_than_a_response_can_have_are_all_read(shown: int, dialects: tuple[str, ...]) -> None:
    """Drift returns 1,000 meetings at most, or silently 100; if there are more, parts of the range are read."""
    drift = Drift(conversations=100, meetings=shown * 2)
    with Sandbox(drift, Options(dialects=dialects)) as sandbox:
        read = run("read", access_token(sandbox.url), catalog("meetings"))
        assert sandbox.journal.count(MEETINGS) > 3
    assert drift.count("meetings") > shown
    assert_complete(read, drift, ("meetings",))


class Calendar(Drift):
    """A Drift in which a meeting can be moved."""

    def move(self, row: dict[str, object], **fields: object) -> None:
        with self._lock:
            self._meetings = [one | fields if one == row else one for one in self._meetings or []]


def test_a_meeting_moved_to_an_earlier_time_replaces_the_old_row() -> None:
    """A destination that keeps the greater cursor of two rows with one key keeps the newer row."""
    drift = Calendar(conversations=20, meetings=20)
    rows = list(drift.expected("meetings"))
    moved = max(rows, key=lambda row: row["slotStart"])
    with Sandbox(drift) as sandbox:
        config, modes = access_token(sandbox.url), catalog(meetings="incremental")
        (discovered,) = run("discover", config).of("CATALOG")
        (cursor,) = next(one for one in discovered["streams"] if one["name"] == "meetings")["default_cursor_field"]
        first = run("read", config, modes)
        drift.move(moved, slotStart=moved["slotStart"] - 5 * DAY, updatedAt=int(time.time() * 1000))
        second = run("read", config, modes, first.last_states())
    assert (first.code, second.code) == (0, 0), (first.error(), second.error())
    kept = kept_by_a_destination(cursor, first, second)
    assert kept == {key(row): row for row in drift.expected("meetings")}


def key(row: dict[str, object]) -> str:
    return json.dumps([row["slug"], row["agentId"]])


def kept_by_a_destination(cursor: str, *reads: Run) -> dict[str, dict[str, object]]:
    """The rows by key: the one with the greater cursor, or the later one if they are equal."""
    kept: dict[str, dict[str, object]] = {}
    for read in reads:
        for row in read.records("meetings"):
            before = kept.get(key(row))
            if before is None or int(str(row[cursor])) >= int(str(before[cursor])):
                kept[key(row)] = row
    return kept
