"""What an archive's file holds: types, odd values, upsert, replacement, views, and what it refuses."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from source_drift.archive.connector import ROOT, Stream
from source_drift.archive.errors import ArchiveError
from source_drift.archive.tables import columns
from source_drift.archive.warehouse import COMPLETE, INCOMPLETE, StreamSync, Warehouse, now
from unit_tests.analysis.landing import load as land
from unit_tests.archive.messages import INTEGER, STRING, stream

Load = Callable[..., None]

TEXT = 'it\'s "x"\n\t\\ 👩‍💻 大阪 \x00.'
JSON = {"type": ["object", "null"]}
TALKS = stream("talks", {"id": INTEGER, "status": STRING}, incremental=True)
PEOPLE = stream("people", {"id": INTEGER, "name": STRING})


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with Warehouse(tmp_path / "build" / "drift.duckdb") as warehouse:
        warehouse.claim("driftapi.com", "1.0.0")
        yield warehouse


@pytest.fixture
def load(warehouse: Warehouse, tmp_path: Path) -> Load:
    def load(*, of: Stream = TALKS, rows: list[dict[str, Any]]) -> None:
        land(warehouse, of, rows, tmp_path)

    return load


def test_types_follow_the_schema() -> None:
    """Each JSON type has its column type; several types, objects and arrays are JSON."""
    types = columns(
        stream(
            "all",
            {
                "id": {"type": "integer"},
                "name": STRING,
                "bot": {"type": ["boolean", "null"]},
                "score": {"type": ["number", "null"]},
                "both": {"type": ["integer", "number", "null"]},
                "mixed": {"type": ["string", "number", "null"]},
                "tags": {"type": ["array", "null"]},
                "place": JSON,
                "anything": {},
            },
        )
    )
    assert list(types.values()) == [
        "BIGINT", "VARCHAR", "BOOLEAN", "DOUBLE", "DOUBLE", "JSON", "JSON", "JSON", "JSON",
    ]  # fmt: skip


def test_values_come_back_as_they_went_in(warehouse: Warehouse, load: Load) -> None:
    """Ids beyond 2^53, quotes, line breaks, NUL, emoji, nested values, empty ones and nulls survive."""
    odd = stream("odd", {"id": INTEGER, 'na"me': STRING, "place": JSON, "tags": {"type": "array"}, "mixed": {}})
    rows: list[dict[str, Any]] = [
        {"id": 2**63 - 1, 'na"me': TEXT, "place": {"a": {"b": [1, None]}}, "tags": [], "mixed": "text"},
        {"id": -(2**63), 'na"me': "", "place": {}, "tags": [{"ü": 1.5}], "mixed": 7},
        {"id": 9_007_199_254_740_993, 'na"me': '{"not": "parsed"}', "place": None, "tags": None, "mixed": True},
    ]
    load(of=odd, rows=rows)
    found = sorted(warehouse.rows(odd), key=lambda row: row["id"])
    assert found == sorted(rows, key=lambda row: row["id"])
    assert warehouse.ask("SELECT place ->> '$.a.b[0]' FROM odd WHERE id > 9007199254740993").rows == [("1",)]


def test_missing_fields_are_null(warehouse: Warehouse, load: Load) -> None:
    """A field that Drift left out is null, and a stream without records has an empty table."""
    load(rows=[{"id": 1}])
    assert warehouse.ask("SELECT id, status, _other FROM talks").rows == [(1, None, None)]
    load(of=PEOPLE, rows=[])
    assert warehouse.ask("SELECT count(*), count(name) FROM people").rows == [(0, 0)]


def test_unforeseen_values_are_kept(warehouse: Warehouse, load: Load) -> None:
    """Undeclared fields and values of another type than declared go to _other, and none fails the load."""
    rows = [
        {"id": 1, "status": 5, "new": "x", "ID": "twin"},
        {"id": 2, "status": {"a": [1]}},
        {"id": 3, "status": "open", "huge": 2**64 - 1},
        {"id": 4, "status": True},
    ]
    load(rows=rows)
    assert sorted(warehouse.rows(TALKS), key=lambda row: row["id"]) == [
        {"id": 1, "status": 5, "new": "x", "ID": "twin"},
        {"id": 2, "status": {"a": [1]}},
        {"id": 3, "status": "open", "huge": 2**64 - 1},
        {"id": 4, "status": True},
    ]
    assert warehouse.ask("SELECT id FROM talks WHERE status IS NULL ORDER BY id").rows == [(1,), (2,), (4,)]


def test_too_large_an_integer_is_no_null(warehouse: Warehouse, load: Load) -> None:
    """An integer that no BIGINT holds is kept in _other, to the last digit; true is not one."""
    counted = stream("counted", {"id": INTEGER, "count": INTEGER})
    load(of=counted, rows=[{"id": 1, "count": 2**63}, {"id": 2, "count": True}])
    assert warehouse.ask("SELECT count, _other ->> '$.count' FROM counted ORDER BY id").rows == [
        (None, "9223372036854775808"),
        (None, "true"),
    ]


def test_fields_that_differ_only_by_case_both_survive(warehouse: Warehouse, load: Load) -> None:
    """DuckDB does not tell them apart: the second one goes to _other."""
    twins = stream("twins", {"id": INTEGER, "Plan": STRING, "plan": STRING})
    load(of=twins, rows=[{"id": 1, "Plan": "a", "plan": "b"}])
    assert list(warehouse.rows(twins)) == [{"id": 1, "Plan": "a", "plan": "b"}]
    assert warehouse.ask("SELECT plan, _other ->> '$.plan' FROM twins").rows == [("a", "b")]


def test_an_incremental_stream_is_upserted(warehouse: Warehouse, load: Load) -> None:
    """Rows with a known key are replaced as a whole, new ones added, the others stay."""
    load(rows=[{"id": 1, "status": "open"}, {"id": 2, "status": "open", "extra": 1}, {"id": 3, "status": "open"}])
    load(rows=[{"id": 2}, {"id": 4, "status": "new"}])
    assert warehouse.ask("SELECT id, status, _other FROM talks ORDER BY id").rows == [
        (1, "open", None),
        (2, None, None),
        (3, "open", None),
        (4, "new", None),
    ]


def test_a_key_of_two_fields_is_upserted(warehouse: Warehouse, load: Load) -> None:
    """Only rows that agree in both fields are the same."""
    pairs = stream("pairs", {"a": INTEGER, "b": STRING, "n": INTEGER}, key=("a", "b"), incremental=True)
    load(of=pairs, rows=[{"a": 1, "b": "x", "n": 1}, {"a": 1, "b": "y", "n": 1}])
    load(of=pairs, rows=[{"a": 1, "b": "y", "n": 2}, {"a": 2, "b": "x", "n": 2}])
    assert warehouse.ask("FROM pairs SELECT a, b, n ORDER BY ALL").rows == [(1, "x", 1), (1, "y", 2), (2, "x", 2)]


def test_a_full_refresh_replaces_the_table(warehouse: Warehouse, load: Load) -> None:
    """What vanished from Drift vanishes from the table."""
    load(of=PEOPLE, rows=[{"id": 1}, {"id": 2}])
    load(of=PEOPLE, rows=[{"id": 2, "name": "Ada"}])
    assert warehouse.ask("SELECT id, name FROM people").rows == [(2, "Ada")]


@pytest.mark.parametrize("of", [PEOPLE, TALKS], ids=["full refresh", "incremental"])
def test_the_last_of_equal_keys_counts(warehouse: Warehouse, load: Load, of: Stream) -> None:
    """A row that comes twice in one read is there once, as it came last."""
    field = "name" if of is PEOPLE else "status"
    load(of=of, rows=[{"id": 1, field: "first"}, {"id": 2}, {"id": 1, field: "last"}])
    load(of=of, rows=[{"id": 1, field: "newer"}, {"id": 1, field: "newest"}, {"id": 2}])
    assert warehouse.ask(f"SELECT id, {field} FROM {of.name} ORDER BY id").rows == [(1, "newest"), (2, None)]  # noqa: S608


def test_a_failed_transaction_leaves_everything_as_it_was(warehouse: Warehouse, load: Load) -> None:
    """Rows, states and history: what came before the failure in the same transaction goes with it."""
    load(rows=[{"id": 1, "status": "old"}])

    def fail() -> None:
        with warehouse.transaction():
            warehouse.save_state("talks", {"at": 1})
            warehouse.ask("UPDATE talks SET status = 'new'")
            warehouse.note(1, StreamSync("talks", now(), records="no number"))  # type: ignore[arg-type]

    with pytest.raises(ArchiveError, match="contains what was there before"):
        fail()
    assert warehouse.ask("SELECT status FROM talks").rows == [("old",)]
    assert warehouse.states() == []


@pytest.mark.parametrize("mode", [None, 0o644])
def test_the_file_is_private(tmp_path: Path, mode: int | None) -> None:
    """Also where it was there before, open to everybody; its folder stays as it is."""
    path = tmp_path / "drift.duckdb"
    if mode:
        duckdb.connect(str(path)).close()
        path.chmod(mode)
    tmp_path.chmod(0o755)
    with Warehouse(path) as warehouse:
        warehouse.claim("driftapi.com", "1.0.0")
        assert [stat.S_IMODE(each.stat().st_mode) for each in (path, tmp_path)] == [0o600, 0o755]


@pytest.mark.parametrize(
    ("host", "version", "message"),
    [
        ("drift.example.com", "1.0.0", "is an archive of driftapi.com, not of drift.example.com"),
        ("driftapi.com", "0.9.9", "was written by source-drift 1.0.0; this is 0.9.9"),
    ],
)
def test_a_file_of_another_is_refused(warehouse: Warehouse, host: str, version: str, message: str) -> None:
    """Of another host, or of a newer version, in one sentence; it stays what it was."""
    with pytest.raises(ArchiveError, match=message):
        warehouse.claim(host, version)
    assert warehouse.ask("SELECT version, host FROM _drift_archive").rows == [("1.0.0", "driftapi.com")]


def test_a_newer_version_goes_on_with_the_file(warehouse: Warehouse) -> None:
    """1.10 is newer than 1.9, and the file says which version wrote it last."""
    warehouse.claim("driftapi.com", "1.9.0")
    warehouse.claim("driftapi.com", "1.10.0")
    assert warehouse.ask("SELECT version FROM _drift_archive").rows == [("1.10.0",)]


def test_another_organization_is_refused(warehouse: Warehouse) -> None:
    """The first one that is known counts."""
    warehouse.claim_organization("orgId:1")
    warehouse.claim_organization("orgId:1")
    with pytest.raises(ArchiveError, match="organization orgId:1, but the token belongs to orgId:2"):
        warehouse.claim_organization("orgId:2")


def test_another_database_is_left_alone(tmp_path: Path) -> None:
    """A DuckDB file with tables of its own is no archive."""
    path = tmp_path / "mine.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE users (id INTEGER)")
    path.chmod(0o640)
    with Warehouse(path) as warehouse, pytest.raises(ArchiveError, match="not an archive of Drift"):
        warehouse.claim("driftapi.com", "1.0.0")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("users",)]


def test_a_column_that_came_later_is_added(warehouse: Warehouse, load: Load) -> None:
    """A table of an earlier version gets it, with the view; its rows have none."""
    load(rows=[{"id": 1, "status": "open"}])
    later = stream("talks", {"closed": INTEGER, "id": INTEGER, "status": STRING}, incremental=True)
    with warehouse.transaction():
        warehouse.define(later)
    load(of=later, rows=[{"id": 2, "closed": 7}])
    assert warehouse.ask("SELECT id, closed FROM readable.talks ORDER BY id").rows == [(1, None), (2, 7)]


def test_a_view_has_times_and_the_usual_attributes(warehouse: Warehouse, load: Load) -> None:
    """Epoch milliseconds are timestamps, null where no calendar holds them; attributes of contacts are columns."""
    moment = {"type": ["integer", "null"], "description": "When it began, epoch milliseconds, UTC."}
    contacts = stream("contacts", {"id": INTEGER, "createdAt": moment, "attributes": JSON}, incremental=True)
    attributes = {"email": "ada@example.com", "externalId": 7, "last_active": 1_700_000_000_000, "start_date": "soon"}
    load(of=contacts, rows=[{"id": 1, "createdAt": 0, "attributes": attributes}, {"id": 2, "createdAt": 2**62}])
    found = "SELECT createdAt, email, name, externalId, last_active, start_date FROM readable.contacts ORDER BY id"
    began, active = datetime(1970, 1, 1), datetime(2023, 11, 14, 22, 13, 20)
    assert warehouse.ask(found).rows == [
        (began, "ada@example.com", None, "7", active, None),
        (None, None, None, None, None, None),
    ]


def test_rows_know_their_sync(warehouse: Warehouse, load: Load) -> None:
    """By its start, in a column of its own."""
    load(rows=[{"id": 1}])
    assert warehouse.ask("SELECT _synced_at FROM talks").rows == [(datetime(2026, 11, 21),)]


def test_states_come_back_as_they_were(warehouse: Warehouse, load: Load) -> None:
    """The last one of each stream, unless somebody dropped its table: then it would skip what is not there."""
    state = {"type": "STREAM", "stream": {"stream_state": {"at": 9_007_199_254_740_993, "x": None}}}
    load(rows=[{"id": 1}])
    for name, value in (("talks", {"at": 1}), ("talks", state), ("people", state)):
        warehouse.save_state(name, value)
    assert warehouse.states() == [state]


def test_a_killed_sync_counts_as_interrupted(warehouse: Warehouse) -> None:
    """As soon as the next one begins; what it had completed is known."""
    warehouse.begin([TALKS, PEOPLE], {})
    warehouse.note(1, StreamSync("people", now(), ended=now(), outcome=COMPLETE, records=3))
    done = warehouse.unfinished(timedelta(hours=1))
    assert [(entry.stream, entry.records) for entry in done.values()] == [("people", 0)]
    warehouse.begin([TALKS, PEOPLE], done)
    history = {
        sync: [(entry.stream, entry.outcome) for entry in entries] for sync, entries in warehouse.history().items()
    }
    assert history[1] == [("talks", "interrupted"), ("people", "complete")]
    assert history[2] == [("talks", "running"), ("people", "complete")]


@pytest.mark.parametrize(
    ("outcomes", "hours", "expected"),
    [
        ((COMPLETE, COMPLETE), 0, set()),
        ((INCOMPLETE, COMPLETE), 0, {"people"}),
        ((INCOMPLETE, COMPLETE), 2, set()),
    ],
    ids=["all complete", "one is not", "too long ago"],
)
def test_only_an_unfinished_sync_is_gone_on_with(
    warehouse: Warehouse, outcomes: tuple[str, str], hours: int, expected: set[str]
) -> None:
    """One that completed all its streams is over, and so is one of long ago."""
    warehouse.begin([TALKS, PEOPLE], {})
    ended = now() - timedelta(hours=hours)
    for name, outcome in zip(("talks", "people"), outcomes, strict=True):
        warehouse.note(1, StreamSync(name, ended, ended=ended, outcome=outcome))
    assert warehouse.unfinished(timedelta(hours=1)).keys() == expected


def test_each_stream_is_exported(warehouse: Warehouse, load: Load, tmp_path: Path) -> None:
    """To a Parquet file of its name, which replaces an older one; nothing else is there."""
    load(rows=[{"id": 1}])
    load(of=PEOPLE, rows=[{"id": 7, "name": "Ada"}])
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        assert warehouse.export(folder) == ["people", "talks"]
    assert sorted(os.listdir(folder)) == ["people.parquet", "talks.parquet"]
    found = warehouse.ask(f"SELECT id, name FROM '{folder / 'people.parquet'}'")  # noqa: S608
    assert found.rows == [(7, "Ada")]


def test_a_file_in_use_is_one_clear_line(warehouse: Warehouse) -> None:
    """Another process that opens it is told why it cannot."""
    code = "import sys; from source_drift.archive.warehouse import *; Warehouse(Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(warehouse.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith("is open in another program. Try again when that has ended."), done


def test_the_tables_of_a_query_are_known_before_it_is_asked(warehouse: Warehouse) -> None:
    """Also those that are missing."""
    asked = warehouse.asked("WITH a AS (FROM talks) FROM a JOIN people ON a.id = people.id -- users")
    assert asked >= {"talks", "people"}
    assert "users" not in asked
    with pytest.raises(ArchiveError, match="no answer"):
        warehouse.asked("SELECT FROM FROM")


def test_descriptions_become_comments(warehouse: Warehouse, load: Load) -> None:
    """The file explains its columns to whoever opens it."""
    told = stream("told", {"id": {"type": "integer", "description": "Key of Drift's row."}})
    load(of=told, rows=[{"id": 1}])
    answer = warehouse.ask("SELECT comment FROM duckdb_columns() WHERE table_name = 'told' AND comment IS NOT NULL")
    assert [comment for (comment,) in answer.rows if "Drift" in comment] == ["Key of Drift's row."]
    assert len(answer.rows) == 3


def test_a_file_that_is_no_duckdb_file_is_one_clear_line(tmp_path: Path) -> None:
    """The user learns which file is in the way."""
    path = tmp_path / "drift.duckdb"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(ArchiveError, match=r"drift\.duckdb cannot be opened as a DuckDB file"):
        Warehouse(path)


def test_a_folder_is_no_archive(tmp_path: Path) -> None:
    """It is left as it is."""
    tmp_path.chmod(0o755)
    with pytest.raises(ArchiveError, match="cannot be opened as a DuckDB file"):
        Warehouse(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_query_without_answer_is_an_error(warehouse: Warehouse) -> None:
    """A question about a stream that was not read names the missing table."""
    with pytest.raises(ArchiveError, match="nowhere"):
        warehouse.ask("FROM nowhere")
