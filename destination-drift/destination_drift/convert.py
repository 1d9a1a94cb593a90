"""Values of rows as attributes of contacts. What does not fit is refused, because Drift may accept anything."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

from destination_drift.errors import Rejected

_INT64 = 2**63
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
# What datetime reads beyond this, such as 20260115 or 2026-W03, may as well mean something else.
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DATETIME = re.compile(_DATE.pattern + r"([T ][0-9]{2}:[0-9]{2}.*)?", re.ASCII)


def is_empty(value: Any) -> bool:
    return value is None or value == ""


def converted(value: Any, kind: str | None, field: str) -> str | int | float | bool:
    """Return a value that is not empty as Drift takes it.

    Args:
        kind: the attribute's type: `STRING`, `NUMERIC`, `BOOLEAN`, `DATE` or `DATETIME`. Any other is taken for an
            attribute that the value will create.

    Returns:
        A DATE or DATETIME as epoch milliseconds. A day is its first moment, and a time without a zone is in UTC.

    Raises:
        Rejected: `wrong_type`, `not_a_number`, or `too_large` for an integer of more than 64 bits.
    """
    result: str | int | float | bool | None
    match kind:
        case "STRING":
            # A phone number or postal code that a warehouse stores as an integer loses nothing as text.
            fits = isinstance(value, str | int) and not isinstance(value, bool)
            result = str(value) if fits else None
        case "NUMERIC":
            result = _number(value, field)
        case "BOOLEAN":
            result = {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, bool | str) else None
        case "DATE" | "DATETIME":
            result = _moment(value, _DATE if kind == "DATE" else _DATETIME)
        case _:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            result = _number(value, field) if number else value if isinstance(value, str | bool) else None
    if result is None:
        raise Rejected("wrong_type", field)
    if isinstance(result, int) and not -_INT64 <= result < _INT64:
        raise Rejected("too_large", field)
    return result


def differs(name: str, value: Any, current: Any) -> bool:
    """Whether a converted value changes a contact's attribute. Two spellings of one email address do not."""
    if value == "":
        return not is_empty(current)
    if name == "email":
        return str(current).strip().lower() != str(value).lower()
    if name == "externalId":
        return str(current) != str(value)
    return isinstance(value, bool) != isinstance(current, bool) or bool(value != current)


def _number(value: Any, field: str) -> int | float | None:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            raise Rejected("not_a_number", field)
        # A decimal number of a warehouse arrives as text, so that no digit is lost on the way.
        value = int(value) if re.fullmatch(r"\s*-?[0-9]{1,30}\s*", value) else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Rejected("not_a_number", field)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _moment(value: Any, form: re.Pattern[str]) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str) or not form.fullmatch(value.strip()):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
