"""Formats numbers and times for sentences, removes invalid characters, and finds the texts of a JSON value."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

# What HTML does not allow, wherever a text comes from.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Return about how long a time is, in one unit: `5 s`, `3 min`, `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 10 else f"{hours:,.0f} h"


def span(seconds: float) -> str:
    """Return how long a time is, in two units at most: `1.5 s`, `1 min 58 s`, `2 h`, `3 d 4 h`."""
    whole = round(seconds)
    for (size, unit), (smaller, rest) in pairwise(((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))):
        if whole >= size:
            over = whole % size // smaller
            return f"{whole // size:,} {unit}" + (f" {over} {rest}" if over else "")
    return f"{seconds:.1f}".removesuffix(".0") + " s"


def allowed(text: str) -> str:
    """Return a text without the characters that HTML does not allow."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def strings(value: Any) -> Iterator[str]:
    """Yield every text within a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
