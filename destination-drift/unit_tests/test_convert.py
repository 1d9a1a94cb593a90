"""Values of a warehouse as Drift takes them."""

from typing import Any

import pytest

from destination_drift.convert import converted, differs
from destination_drift.errors import Rejected

NOON = 1_768_478_400_000  # 2026-01-15T12:00:00Z
DAY = 1_768_435_200_000


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("STRING", "  as it is ", "  as it is "),
        ("STRING", 12025550143, "12025550143"),
        ("NUMERIC", 7, 7),
        ("NUMERIC", 2.5, 2.5),
        ("NUMERIC", "1234567890123456789", 1234567890123456789),
        ("NUMERIC", " -12.50 ", -12.5),
        ("BOOLEAN", False, False),
        ("BOOLEAN", "True", True),
        ("DATE", "2026-01-15", DAY),
        ("DATE", DAY, DAY),
        ("DATETIME", "2026-01-15T12:00:00Z", NOON),
        ("DATETIME", "2026-01-15 12:00:00.0004", NOON),
        ("DATETIME", "2026-01-15T13:00:00.123456+01:00", NOON + 123),
        ("DATETIME", "2026-01-15", DAY),
        (None, "new", "new"),
        (None, True, True),
        (None, 38.5, 38.5),
        ("ENUM", "later type", "later type"),
    ],
)
def test_what_fits_is_converted(kind: str | None, value: Any, expected: Any) -> None:
    """A value gets the type of its attribute; times become epoch milliseconds in UTC."""
    result = converted(value, kind, "field")
    assert (result, type(result)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("STRING", True, "wrong_type"),
        ("STRING", 1.5, "wrong_type"),
        ("STRING", ["a"], "wrong_type"),
        ("NUMERIC", True, "wrong_type"),
        ("NUMERIC", {}, "wrong_type"),
        ("NUMERIC", "many", "not_a_number"),
        ("NUMERIC", "NaN", "not_a_number"),
        ("NUMERIC", "1,5", "not_a_number"),
        ("NUMERIC", "1e999", "not_a_number"),
        ("NUMERIC", float("nan"), "not_a_number"),
        ("NUMERIC", float("-inf"), "not_a_number"),
        ("NUMERIC", 2**63, "too_large"),
        ("NUMERIC", "9" * 5000, "not_a_number"),
        ("BOOLEAN", 1, "wrong_type"),
        ("BOOLEAN", "yes", "wrong_type"),
        ("DATE", "2026-01-15T12:00:00Z", "wrong_type"),
        ("DATE", "15.01.2026", "wrong_type"),
        ("DATE", "2026-02-30", "wrong_type"),
        ("DATE", "20260115", "wrong_type"),
        ("DATETIME", "soon", "wrong_type"),
        ("DATETIME", 1.5, "wrong_type"),
        ("DATETIME", True, "wrong_type"),
        ("DATETIME", "2026-01-15T25:00:00Z", "wrong_type"),
        (None, [1], "wrong_type"),
        (None, float("nan"), "not_a_number"),
    ],
)
def test_what_does_not_fit_is_rejected(kind: str | None, value: Any, code: str) -> None:
    """The rejection names the field and never holds the value."""
    with pytest.raises(Rejected) as caught:
        converted(value, kind, "field")
    assert (caught.value.code, caught.value.field, str(caught.value)) == (code, "field", code)


@pytest.mark.parametrize(
    ("name", "value", "current", "expected"),
    [
        ("plan", "team", "team", False),
        ("plan", "team", "Team", True),
        ("plan", "team", None, True),
        ("plan", "", None, False),
        ("plan", "", "team", True),
        ("seats", 3, 3.0, False),
        ("seats", 0, False, True),
        ("is_trial", True, 1, True),
        ("is_trial", False, None, True),
        ("email", "Ada@example.com", "ada@example.com", False),
        ("externalId", "7", 7, False),
        ("externalId", 7, "8", True),
    ],
)
def test_equal_values_are_no_change(name: str, value: Any, current: Any, expected: bool) -> None:
    """A second sync of the same rows must find nothing to change, whatever form Drift has stored."""
    assert differs(name, value, current) is expected
