"""What DuckDB holds after a load: types, odd values, upsert, replacement, and the old tables after a failure."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tools.demo.connector import Stream
from tools.demo.errors import DemoError
from tools.demo.sql import connect
from tools.demo.warehouse import Spool, Warehouse, columns
from unit_tests.demo.messages import INTEGER, STRING, stream

Load = Callable[..., None]

TEXT = 'it\'s "x"\n\t\\ 👩‍💻 大阪 \x00.'
JSON = {"type": ["object", "null"]}
TALKS = stream("talks", {"id": INTEGER, "status": STRING}, incremental=True)
PEOPLE = stream("people", {"id": INTEGER, "name": STRING})


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with Warehouse(tmp_path / "build" / "demo.duckdb") as warehouse:
        yield warehouse


@pytest.fixture
def load(warehouse: Warehouse, tmp_path: Path) -> Load:
    def load(anew: bool = False, *, alone: bool = False, of: Stream = TALKS, rows: list[dict[str, Any]]) -> None:
        with Spool([of], tmp_path) as spool:
            for row in rows:
                spool.add(of.name, row)
            warehouse.load(spool, [of], anew=anew, alone=alone)

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


def test_a_stream_without_key_keeps_every_row(warehouse: Warehouse, load: Load) -> None:
    """Equal rows are two where nothing says that they are one."""
    loose = stream("loose", {"n": INTEGER}, key=(), incremental=True)
    load(of=loose, rows=[{"n": 1}, {"n": 1}])
    assert warehouse.count(loose) == 2


@pytest.mark.parametrize("data", [{}, {"id": None}, {"id": "seven"}], ids=["absent", "null", "of another type"])
def test_a_record_without_its_key_is_an_error(load: Load, data: dict[str, Any]) -> None:
    """It could neither be found again nor be told from another."""
    with pytest.raises(DemoError, match="talks has no usable id"):
        load(rows=[data])


def test_a_record_of_another_stream_is_an_error(tmp_path: Path) -> None:
    """It has no place to go, and dropping it would be a loss."""
    with Spool([TALKS], tmp_path) as spool, pytest.raises(DemoError, match="'people', a stream that was not requested"):
        spool.add("people", {"id": 1})


def test_a_failed_load_leaves_all_tables_as_they_were(warehouse: Warehouse, tmp_path: Path) -> None:
    """One stream that cannot be loaded takes the others back with it, even in a load that begins anew."""
    with Spool([TALKS, PEOPLE], tmp_path) as spool:
        spool.add("talks", {"id": 1, "status": "old"})
        spool.add("people", {"id": 1, "name": "old"})
        warehouse.load(spool, [TALKS, PEOPLE], anew=True)
    with Spool([TALKS, PEOPLE], tmp_path) as spool:
        spool.add("talks", {"id": 1, "status": "new"})
        spool.add("people", {"id": 1, "name": "new"})
        spool.flush()
        spool.path(PEOPLE).write_bytes(b'{"id": 1, "name":\n')
        with pytest.raises(DemoError, match="Nothing was loaded"):
            warehouse.load(spool, [TALKS, PEOPLE], anew=True, alone=True)
    assert warehouse.ask("SELECT status, name FROM talks JOIN people USING (id)").rows == [("old", "old")]
    assert warehouse.tables() == ["people", "talks"]


def test_a_load_that_is_to_be_alone_begins_with_an_empty_file(warehouse: Warehouse, load: Load) -> None:
    """Tables of an earlier run, perhaps of another Drift, do not stay beside the new ones."""
    load(of=PEOPLE, rows=[{"id": 1}])
    load(anew=True, alone=True, rows=[{"id": 7}])
    assert warehouse.tables() == ["talks"]


def test_a_load_anew_replaces_its_own_tables_alone(warehouse: Warehouse, load: Load) -> None:
    """Also that of an incremental stream, whose vanished rows go; a stream that was not loaded keeps its rows."""
    load(of=PEOPLE, rows=[{"id": 1}])
    load(rows=[{"id": 1}, {"id": 2}])
    load(anew=True, rows=[{"id": 2}])
    assert warehouse.ask("SELECT talks.id, people.id FROM talks, people").rows == [(2, 1)]


@pytest.mark.parametrize("mode", [None, 0o755])
def test_the_file_and_its_folder_are_private(tmp_path: Path, mode: int | None) -> None:
    """Also where both were there before, open to everybody."""
    path = tmp_path / "build" / "demo.duckdb"
    if mode:
        path.parent.mkdir(mode=mode)
        duckdb.connect(str(path)).close()
        path.chmod(0o644)
    before = os.umask(0o022)
    try:
        with Warehouse(path):
            assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)] == [0o600, 0o700]
    finally:
        os.umask(before)


def test_the_tables_of_a_query_are_known_before_it_is_asked(warehouse: Warehouse) -> None:
    """Also those that are missing."""
    asked = warehouse.asked("WITH a AS (FROM talks) FROM a JOIN people ON a.id = people.id -- users")
    assert asked >= {"talks", "people"}
    assert "users" not in asked
    with pytest.raises(DemoError, match="no answer"):
        warehouse.asked("SELECT FROM FROM")


def test_the_file_is_opened_for_reading_only(tmp_path: Path) -> None:
    """By the command that the demo names for one's own questions."""
    with Warehouse(tmp_path / "demo.duckdb") as warehouse:
        warehouse.ask("CREATE TABLE talks AS SELECT 7 AS id")
    with connect(tmp_path / "demo.duckdb") as connection:
        assert connection.sql("FROM talks").fetchall() == [(7,)]
        with pytest.raises(duckdb.Error, match="read-only"):
            connection.execute("DELETE FROM talks")


def test_descriptions_become_comments(warehouse: Warehouse, load: Load) -> None:
    """The file explains its columns to whoever opens it."""
    told = stream("told", {"id": {"type": "integer", "description": "Key of Drift's row."}})
    load(of=told, rows=[{"id": 1}])
    answer = warehouse.ask("SELECT comment FROM duckdb_columns() WHERE table_name = 'told' AND column_name = 'id'")
    assert answer.rows == [("Key of Drift's row.",)]


def test_the_spool_leaves_nothing_behind(tmp_path: Path) -> None:
    """Records are somebody's data: no copy stays outside of the file."""
    with Spool([TALKS], tmp_path) as spool:
        spool.add("talks", {"id": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_duckdb_file_is_one_clear_line(tmp_path: Path) -> None:
    """The user learns which file is in the way."""
    path = tmp_path / "demo.duckdb"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(DemoError, match=r"demo\.duckdb cannot be opened .*delete it"):
        Warehouse(path)


def test_a_query_without_answer_is_an_error(warehouse: Warehouse) -> None:
    """A question about a stream that was not read names the missing table."""
    with pytest.raises(DemoError, match="nowhere"):
        warehouse.ask("FROM nowhere")
