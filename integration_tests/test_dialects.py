"""With every dialect, a stream is green and complete, or red with the right reason."""

import pytest

from integration_tests.dialects import EXPECTED, outcome
from sandbox.dialects import DIALECTS


@pytest.mark.parametrize("name", list(DIALECTS)[::8])
def test_a_dialect_is_read(name: str) -> None:
    """The result is the expected one, and the dialect had an effect. `make prove` runs all dialects, this an eighth."""
    found = outcome(name)
    assert found.problems == [], f"{found.dialect.why} {found.came}"


def test_each_expectation_has_its_dialect() -> None:
    """Each expectation belongs to a dialect, and says why unless it is green and complete."""
    assert EXPECTED.keys() <= DIALECTS.keys()
    assert [name for name, one in EXPECTED.items() if one.kind != "complete" and not one.why.endswith(".")] == []
