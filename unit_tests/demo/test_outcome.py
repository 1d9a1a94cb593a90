"""Whether a read was complete: held against a Drift that knows what it has."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.demo.connector import Stream
from tools.demo.outcome import Outcome, outcomes
from tools.demo.reading import Reading
from tools.demo.warehouse import Spool, Warehouse
from unit_tests.demo.messages import INTEGER, STRING, failure, log, record, status, stream

TALKS = stream("talks", {"id": INTEGER, "status": STRING, "tags": {"type": "array"}}, incremental=True)
PEOPLE = stream("people", {"id": INTEGER, "status": STRING})
ROWS = [{"id": 1, "status": "open"}, {"id": 2, "status": "closed", "tags": [{"name": "ü"}]}]


class Drift:
    """Knows `rows` of every stream; None for what it cannot tell."""

    def __init__(self, rows: list[dict[str, Any]] | None, due: int | None = None, gone: int = 0) -> None:
        self._rows = rows
        self._due = due
        self._gone = gone

    def count(self, _: Stream) -> int | None:
        return None if self._rows is None else len(self._rows)

    def due(self, _: Stream) -> int:
        return len(self._rows or []) if self._due is None else self._due

    def rows(self, _: Stream) -> list[dict[str, Any]]:
        assert self._rows is not None
        return self._rows

    def requests(self) -> dict[str, int]:
        return {"talks": 3}

    def gone(self) -> dict[str, int]:
        return {"talks": self._gone}


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with Warehouse(tmp_path / "demo.duckdb") as warehouse:
        yield warehouse


def _outcome(
    warehouse: Warehouse,
    drift: Drift | None,
    *,
    rows: list[dict[str, Any]] = ROWS,
    of: Stream = TALKS,
    read: int | None = None,
    whole: bool = True,
    lines: tuple[str, ...] = (status("talks", "COMPLETE"), status("people", "COMPLETE")),
) -> Outcome:
    """Return what becomes of a stream whose table holds `rows`, after a read of `read` records."""
    with Spool([of], warehouse.path.parent) as spool:
        for row in rows:
            spool.add(of.name, row)
        warehouse.load(spool, [of], anew=True)
    reading = Reading([of.name])
    records = [record(of.name, id=n) for n in range(len(rows) if read is None else read)]
    for line in (*records, *lines):
        reading.take(json.loads(line))
    reading.finish()
    (outcome,) = outcomes(reading, [of], warehouse, drift, whole=whole)
    return outcome


def test_equal_rows_are_complete(warehouse: Warehouse) -> None:
    """The figures of both sides stand in the outcome."""
    outcome = _outcome(warehouse, Drift(ROWS))
    assert (outcome.records, outcome.rows, outcome.in_drift, outcome.requests, outcome.fault) == (2, 2, 2, 3, None)


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (ROWS[:1], "1 record was read instead of 2."),
        ([*ROWS, {"id": 3}], "3 records were read instead of 2."),
        ([{"id": 3}, {"id": 4}], "2 records in Drift are missing in DuckDB, such as 1."),
        ([row | {"status": "?"} for row in ROWS], "2 rows in DuckDB are not the same as in Drift, such as 1."),
        ([ROWS[0], {"id": 3}], "1 record in Drift is missing in DuckDB, such as 2."),
        ([ROWS[0], ROWS[1] | {"status": "open"}], "1 row in DuckDB is not the same as in Drift, such as 2."),
        ([ROWS[0], ROWS[1] | {"tags": []}], "1 row in DuckDB is not the same as in Drift, such as 2."),
        ([ROWS[0], {"id": 2, "status": "closed"}], "1 row in DuckDB is not the same as in Drift, such as 2."),
    ],
)
def test_any_difference_is_a_fault(warehouse: Warehouse, found: list[dict[str, Any]], fault: str) -> None:
    """Too few, too many, others, or other values: each is told with an example."""
    assert _outcome(warehouse, Drift(ROWS), rows=found).fault == fault


def test_an_incremental_read_is_held_against_its_table(warehouse: Warehouse) -> None:
    """It brings just the records that are due, and the table must hold all that there are."""
    assert _outcome(warehouse, Drift(ROWS, due=1), read=1, whole=False).fault is None
    outcome = _outcome(warehouse, Drift(ROWS, due=1), read=2, whole=False)
    assert outcome.fault == "2 records were read instead of 1."
    outcome = _outcome(warehouse, Drift([*ROWS, {"id": 3}], due=1), read=1, whole=False)
    assert outcome.fault == "1 record in Drift is missing in DuckDB, such as 3."
    outcome = _outcome(warehouse, Drift(ROWS[:1]), read=1, whole=False)
    assert outcome.fault == "1 row in DuckDB is not in Drift, such as 2."


def test_every_404_is_told_as_a_skip(warehouse: Warehouse) -> None:
    """Neither more nor fewer: a skip that nobody tells is a loss."""
    done = status("talks", "COMPLETE")
    skip = log("talks: skipped a deleted record. Drift answered GET /x/7 with HTTP 404.")
    assert _outcome(warehouse, Drift(ROWS, gone=1), lines=(skip, done)).fault is None
    outcome = _outcome(warehouse, Drift(ROWS, gone=2), lines=(skip, done))
    assert outcome.fault == "1 skip logged, but Drift responded with 404 to 2 requests."
    assert "0 skips logged" in str(_outcome(warehouse, Drift(ROWS, gone=1), lines=(done,)).fault)
    assert "0 requests" in str(_outcome(warehouse, Drift(ROWS), lines=(skip, done)).fault)


def test_a_composite_key_names_a_row(warehouse: Warehouse) -> None:
    """Two rows that share one of its fields are two rows."""
    talks = stream("talks", {"slug": STRING, "agent": INTEGER}, key=("slug", "agent"))
    rows = [{"slug": "a", "agent": 1}, {"slug": "a", "agent": 2}]
    assert _outcome(warehouse, Drift(rows), rows=rows, of=talks).fault is None
    outcome = _outcome(warehouse, Drift([rows[0], {"slug": "a", "agent": 3}]), rows=rows, of=talks)
    assert outcome.fault == "1 record in Drift is missing in DuckDB, such as a, 3."


def test_what_drift_cannot_tell_is_not_held_against_it(warehouse: Warehouse) -> None:
    """The real Drift, or a stream that is no data of Drift's."""
    outcome = _outcome(warehouse, None)
    assert (outcome.in_drift, outcome.requests, outcome.fault) == (None, None, None)
    assert _outcome(warehouse, Drift(None)).fault is None


def test_an_incomplete_stream_says_why(warehouse: Warehouse) -> None:
    """With its own error, or that of the whole read; the table of an earlier run is not taken for its own."""
    outcome = _outcome(warehouse, None, lines=(failure("No scope.", "talks"), failure("Failed.")))
    assert (outcome.fault, outcome.rows) == ("No scope.", None)
    assert _outcome(warehouse, None, lines=(failure("Failed."),)).fault == "Failed."
    assert "ended before" in str(_outcome(warehouse, None, lines=()).fault)
