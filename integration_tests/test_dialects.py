"""Whatever dialect Drift speaks: all rows and green, or red with the right reason."""

import pytest

from integration_tests.dialects import EXPECTED, outcome
from sandbox.dialects import DIALECTS


@pytest.mark.parametrize("name", list(DIALECTS)[::8])
def test_a_dialect_is_read(name: str) -> None:
    """What must come out comes out, and the dialect was really spoken. `make prove` runs all, this an eighth."""
    found = outcome(name)
    assert found.problems == [], f"{found.dialect.why} {found.came}"


def test_each_expectation_has_its_dialect() -> None:
    """An outcome that is not green and complete says why."""
    assert EXPECTED.keys() <= DIALECTS.keys()
    assert [name for name, one in EXPECTED.items() if one.kind != "complete" and not one.why.endswith(".")] == []
