"""Each query in docs/queries gives the same result as plain Python."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.demo.questions import questions
from tools.demo.warehouse import Warehouse
from unit_tests.analysis.answers import ANSWERS
from unit_tests.analysis.landing import Rows, empty, landed, odd, seeded

QUERIES = {question.path.stem: question for question in questions(Path(__file__).parents[2] / "docs" / "queries")}
# The queries round to one decimal.
ROUNDED = 0.0501

Landed = tuple[Rows, Warehouse]


@pytest.fixture(scope="module", params=[seeded, odd, empty], ids=lambda make: make.__name__)
def drift(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landed]:
    """The rows of a Drift, and the DuckDB file that contains them."""
    rows = request.param()
    with landed(rows, tmp_path_factory.mktemp("rows")) as warehouse:
        yield rows, warehouse


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_answers_its_question(name: str, drift: Landed) -> None:
    """The unchanged file returns the same rows as Python, in the same order, even for empty tables."""
    rows, warehouse = drift
    given = warehouse.ask(QUERIES[name].path.read_text(encoding="utf-8")).rows
    expected = ANSWERS[name](rows)
    assert [approximately(row) for row in expected] == given


@pytest.mark.parametrize("name", QUERIES)
def test_the_data_has_answers(name: str) -> None:
    """The answers for the test data have several rows or figures, because an empty test would always pass."""
    for make in (seeded, odd):
        answer = ANSWERS[name](make())
        assert len(answer) > 1, make.__name__
        assert len(set(answer)) == len(answer)


def test_every_query_is_a_question_with_an_answer() -> None:
    """Each file starts with its question, and has an answer to compare with."""
    assert sorted(QUERIES) == sorted(ANSWERS)
    assert [question.text for question in QUERIES.values() if not question.text.endswith("?")] == []


def approximately(row: tuple[Any, ...]) -> Any:
    """The row, with fractions that are equal after rounding."""
    return tuple(pytest.approx(value, abs=ROUNDED) if isinstance(value, float) else value for value in row)
