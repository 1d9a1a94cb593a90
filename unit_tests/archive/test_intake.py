"""What is committed when: with a state, every few seconds, at the end, never before it is known whose it is."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from source_drift.archive.errors import ArchiveError
from source_drift.archive.intake import Intake
from source_drift.archive.reading import Reading
from source_drift.archive.warehouse import Warehouse
from unit_tests.archive.messages import INTEGER, STRING, record, state, status, stream

TALKS = stream("talks", {"id": INTEGER, "status": STRING}, incremental=True)
PEOPLE = stream("people", {"id": INTEGER, "name": STRING})
TOKEN = stream("token_info", {"authenticated_userid": STRING}, key=("authenticated_userid",))
MINE = record("token_info", authenticated_userid="orgId:1")

Take = Callable[..., None]


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    with Warehouse(tmp_path / "drift.duckdb") as warehouse:
        warehouse.claim("driftapi.com", "1.0.0")
        yield warehouse


@pytest.fixture
def intake(warehouse: Warehouse, tmp_path: Path) -> Iterator[tuple[Intake, Take]]:
    """An intake, and a function that has it take lines of the connector."""
    streams = [TALKS, PEOPLE, TOKEN]
    reading = Reading([each.name for each in streams])
    sync, started = warehouse.begin(streams, {})
    with Intake(warehouse, streams, reading, tmp_path, sync=sync, started=started) as intake:

        def take(*lines: str) -> None:
            for line in lines:
                message = json.loads(line)
                reading.take(message)
                intake.take(message)

        yield intake, take


def _held(warehouse: Warehouse) -> dict[str, Any]:
    return {name: warehouse.count(name) for name in warehouse.tables()}


def test_a_state_is_committed_with_the_records_before_it(warehouse: Warehouse, intake: tuple[Intake, Take]) -> None:
    """Neither earlier nor later; what comes after it waits for the next one."""
    _, take = intake
    take(MINE, record("talks", id=1), record("talks", id=2))
    assert _held(warehouse) == {}
    take(state("talks", at=2), record("talks", id=3))
    assert _held(warehouse) == {"talks": 2}
    assert [each["stream"]["stream_state"] for each in warehouse.states()] == [{"at": 2}]
    take(status("talks", "COMPLETE"))
    assert _held(warehouse) == {"talks": 3}


def test_a_full_refresh_is_swapped_in_when_it_is_complete(warehouse: Warehouse, intake: tuple[Intake, Take]) -> None:
    """Not with a state, of which it has none that counts."""
    _, take = intake
    take(MINE, record("people", id=1), state("people", at=1))
    assert _held(warehouse) == {}
    take(record("people", id=2), status("people", "COMPLETE"))
    assert _held(warehouse) == {"people": 2}
    assert warehouse.states() == []


def test_records_do_not_wait_for_a_state(
    warehouse: Warehouse, intake: tuple[Intake, Take], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of an incremental stream go into the file, where the key removes what comes again."""
    monkeypatch.setattr("source_drift.archive.intake._SECONDS_BETWEEN_COMMITS", 0)
    _, take = intake
    take(MINE, *(record("talks", id=number) for number in range(10)))
    take(*(record("people", id=number) for number in range(10)))
    assert _held(warehouse)["talks"] == 10
    assert "people" not in _held(warehouse)
    assert warehouse.states() == []


def test_nothing_is_committed_before_it_is_known_whose_it_is(warehouse: Warehouse, intake: tuple[Intake, Take]) -> None:
    """Then everything that waited is, also a stream that has ended since."""
    _, take = intake
    take(record("talks", id=1), state("talks", at=1), record("people", id=1), status("people", "COMPLETE"))
    assert (_held(warehouse), warehouse.states()) == ({}, [])
    take(MINE, status("token_info", "COMPLETE"))
    assert _held(warehouse) == {"people": 1, "talks": 1, "token_info": 1}
    assert len(warehouse.states()) == 1


def test_an_interrupt_before_that_commits_nothing(warehouse: Warehouse, intake: tuple[Intake, Take]) -> None:
    """Another organization's rows could be among them."""
    committing, take = intake
    take(record("talks", id=1), state("talks", at=1))
    committing.finish(interrupted=True)
    assert (_held(warehouse), warehouse.states()) == ({}, [])


@pytest.mark.parametrize("data", [{}, {"id": None}, {"id": "seven"}], ids=["absent", "null", "of another type"])
def test_a_record_without_its_key_is_an_error(intake: tuple[Intake, Take], data: dict[str, Any]) -> None:
    """It could neither be found again nor be told from another."""
    with pytest.raises(ArchiveError, match="talks has no usable id"):
        intake[1](record("talks", **data))


def test_a_record_of_another_stream_is_an_error(intake: tuple[Intake, Take]) -> None:
    """It has no place to go, and dropping it would be a loss."""
    with pytest.raises(ArchiveError, match="'teams', a stream that was not requested"):
        intake[1](record("teams", id=1))


def test_an_id_as_text_is_the_same_id(warehouse: Warehouse, intake: tuple[Intake, Take]) -> None:
    """A Drift that spells ids as text or with a decimal point is archived, in the same rows."""
    committing, take = intake
    take(MINE, *(record("people", id=number) for number in ("7", 8.0, 7)), status("people", "COMPLETE"))
    committing.finish(interrupted=False)
    assert sorted(warehouse.ask("SELECT id, _other FROM people").rows) == [(7, None), (8, None)]
