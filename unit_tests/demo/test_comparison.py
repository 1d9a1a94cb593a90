"""Whether an archive is complete: held against a Drift that knows what it has."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from source_drift.archive.connector import Stream
from source_drift.archive.warehouse import COMPLETE, INCOMPLETE, StreamSync, Warehouse, now
from tools.demo.comparison import Comparison, compared, difference
from unit_tests.analysis.landing import load
from unit_tests.archive.messages import INTEGER, STRING, stream

TALKS = stream("talks", {"id": INTEGER, "status": STRING, "tags": {"type": "array"}}, incremental=True)
ROWS: list[dict[str, Any]] = [{"id": 1, "status": "open"}, {"id": 2, "status": "closed", "tags": [{"name": "ü"}]}]


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
    with Warehouse(tmp_path / "drift.duckdb") as warehouse:
        warehouse.claim("driftapi.com", "1.0.0")
        yield warehouse


def _compared(warehouse: Warehouse, drift: Drift, rows: list[dict[str, Any]] = ROWS, **entry: Any) -> Comparison:
    """Compare a table with `rows`, of which a complete sync brought all, unless `entry` says otherwise."""
    load(warehouse, TALKS, rows, warehouse.path.parent)
    sync, _ = warehouse.begin([TALKS], {})
    warehouse.note(sync, StreamSync(**{"stream": "talks", "started": now(), "outcome": COMPLETE, "records": 2} | entry))
    (comparison,) = compared([TALKS], warehouse, drift)
    return comparison


def test_equal_rows_are_complete(warehouse: Warehouse) -> None:
    """The figures of both sides are told."""
    found = _compared(warehouse, Drift(ROWS))
    assert (found.records, found.rows, found.in_drift, found.requests, found.fault) == (2, 2, 2, 3, None)


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ([{"id": 3}, {"id": 4}], "2 records in Drift are missing in DuckDB, such as 1."),
        ([row | {"status": "?"} for row in ROWS], "2 rows in DuckDB are not the same as in Drift, such as 1."),
        ([ROWS[0], {"id": 3}], "1 record in Drift is missing in DuckDB, such as 2."),
        ([ROWS[0], ROWS[1] | {"tags": []}], "1 row in DuckDB is not the same as in Drift, such as 2."),
        ([ROWS[0], {"id": 2, "status": "closed"}], "1 row in DuckDB is not the same as in Drift, such as 2."),
        ([*ROWS, {"id": 3}], "1 row in DuckDB is not in Drift, such as 3."),
    ],
)
def test_any_difference_is_a_fault(warehouse: Warehouse, found: list[dict[str, Any]], fault: str) -> None:
    """Missing rows, others, or other values: each is told with an example."""
    assert _compared(warehouse, Drift(ROWS), found).fault == fault


def test_a_row_that_is_there_twice_is_a_fault() -> None:
    """Even if both are right."""
    assert difference(TALKS, [*ROWS, ROWS[0] | {"tags": None}], ROWS) == "2 rows in DuckDB have the key 1."


def test_a_sync_brings_what_is_due(warehouse: Warehouse) -> None:
    """Neither more nor less than what has changed."""
    assert _compared(warehouse, Drift(ROWS, due=1), records=1).fault is None
    assert _compared(warehouse, Drift(ROWS, due=1)).fault == "2 records were read instead of 1."
    assert _compared(warehouse, Drift(ROWS), records=1).fault == "1 record was read instead of 2."


def test_every_404_is_told_as_a_skip(warehouse: Warehouse) -> None:
    """Neither more nor fewer: a skip that nobody tells is a loss."""
    assert _compared(warehouse, Drift(ROWS, gone=1), skipped=1).fault is None
    fault = _compared(warehouse, Drift(ROWS, gone=2), skipped=1).fault
    assert fault == "1 skip logged, but Drift responded with 404 to 2 requests."


def test_a_composite_key_names_a_row() -> None:
    """Two rows that share one of its fields are two rows."""
    talks = stream("talks", {"slug": STRING, "agent": INTEGER}, key=("slug", "agent"))
    rows = [{"slug": "a", "agent": 1}, {"slug": "a", "agent": 2}]
    assert difference(talks, rows, rows) is None
    fault = difference(talks, rows, [rows[0], {"slug": "a", "agent": 3}])
    assert fault == "1 record in Drift is missing in DuckDB, such as a, 3."


def test_what_drift_cannot_tell_is_not_held_against_it(warehouse: Warehouse) -> None:
    """A stream that is no data of Drift's."""
    assert _compared(warehouse, Drift(None)).fault is None


def test_an_incomplete_stream_says_why(warehouse: Warehouse) -> None:
    """With its own error."""
    assert _compared(warehouse, Drift(ROWS), outcome=INCOMPLETE, error="No scope.").fault == "No scope."
