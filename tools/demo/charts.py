"""Bars and axes as numbers, for the template to draw: across in percent, up and down in pixels.

So a picture is as wide as the page while its letters keep their size, on a phone as on paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from typing import Literal

HEIGHT = 200.0
"""From the foot of the bars to the uppermost line."""

Anchor = Literal["start", "middle", "end"]
Unit = Literal["week", "month", "year"]

_WIDEST_BAR = 8.0
_SHORT_LABEL = 3
# Thinner ones than of so many would be hardly wider than the gaps between them.
_MOST_WITH_GAPS = 60
_MOST_MARKS, _MOST_MARKS_ON_A_PHONE = 10, 6
_MONTHS = (1, 3, 6, 12, 24, 60, 120, 240, 480)


@dataclass(frozen=True)
class Mark:
    """A place on an axis with its label; one that is `spare` is left out where there is little room."""

    at: float
    label: str
    anchor: Anchor = "middle"
    spare: bool = False
    tick: bool = True


@dataclass(frozen=True)
class Column:
    """What a bar is made of: the value of each layer, the first one at the foot."""

    values: Sequence[float]
    text: str
    """What the pointer shows."""
    label: str = ""
    """What stands above the bar."""


@dataclass(frozen=True)
class Part:
    """What one layer adds to a bar."""

    layer: int
    top: float
    height: float


@dataclass(frozen=True)
class Bar:
    """A bar in its slot, the room that it has with the gaps beside it."""

    column: Column
    slot: float
    room: float
    left: float
    width: float
    top: float
    parts: tuple[Part, ...]

    @property
    def label_at(self) -> Mark:
        """Where the label stands, so that a long one stays in the picture."""
        is_long = len(self.column.label) > _SHORT_LABEL
        if is_long and self.left < 33:
            return Mark(self.left, self.column.label, "start")
        if is_long and self.left > 66:
            return Mark(round(self.left + self.width, 3), self.column.label, "end")
        return Mark(round(self.left + self.width / 2, 3), self.column.label)


@dataclass(frozen=True)
class Chart:
    """Bars with a scale beside them and marks below."""

    bars: tuple[Bar, ...]
    scale: tuple[Mark, ...]
    marks: tuple[Mark, ...]


def stacked(columns: Sequence[Column], marks: Sequence[Mark], *, most: float = 0, unit: str = "") -> Chart:
    """Return a chart with a bar for each column.

    The scale reaches to the highest bar, or further to `most`: charts that share it can be compared.
    """
    steps = scale(max(most, *(sum(column.values) for column in columns)))
    room = slot_of(len(columns))
    gap = 0.0 if len(columns) > _MOST_WITH_GAPS else room * 0.2
    bars = []
    for place, column in enumerate(columns):
        parts, foot = [], HEIGHT
        for layer, value in enumerate(column.values):
            if value:
                height = HEIGHT * value / steps[-1]
                foot -= height
                parts.append(Part(layer, round(foot, 2), round(height, 2)))
        slot = round(room * place, 3)
        left, width = round(room * place + gap / 2, 3), round(room - gap, 3)
        bars.append(Bar(column, slot, room, left, width, round(foot, 2), tuple(parts)))
    lines = tuple(Mark(round(HEIGHT - HEIGHT * step / steps[-1], 2), compact(step, steps[-1]) + unit) for step in steps)
    return Chart(tuple(bars), lines, tuple(marks))


def slot_of(bars: int) -> float:
    """Return the room of each of so many bars."""
    return round(min(100 / bars, _WIDEST_BAR), 4)


def scale(most: float) -> list[int]:
    """Return round numbers from 0 in equal steps, five of them at most, of which the last is no less than `most`."""
    step = next(
        factor * 10**power for power in count() for factor in (1, 2, 5) if factor * 10**power * 4 >= max(1, most)
    )
    return [step * number for number in range(-int(-max(1, most) // step) + 1)]


def compact(number: int, most: int) -> str:
    """Return a step of a scale that reaches to `most` as it fits beside an axis, all steps in one unit."""
    for size, sign in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if most >= 10 * size or most >= size >= 10**6:
            return f"{number / size:g} {sign}" if number else "0"
    return f"{number:,}"


def slots(unit: Unit, first: date, last: date) -> list[date]:
    """Return the first day of each week, month or year from one to another, none left out."""
    days = [first]
    while days[-1] < last:
        day = days[-1]
        if unit == "week":
            days.append(day + timedelta(days=7))
        elif unit == "month":
            days.append((day + timedelta(days=31)).replace(day=1))
        else:
            days.append(day.replace(year=day.year + 1))
    return days


def calendar(unit: Unit, days: Sequence[date]) -> list[Mark]:
    """Return the marks below bars that begin on these days.

    A few weeks have a mark each, anything longer has one where some months or years begin.
    """
    slot = slot_of(len(days))
    if unit == "week" and len(days) <= _MOST_MARKS:
        return [
            Mark(round(slot * (place + 0.5), 3), f"{day.day} {day:%b}", spare=place % 3 > 0, tick=False)
            for place, day in enumerate(days)
        ]
    starts = slots("month", days[0].replace(day=1), _last_month(unit, days[-1]))
    starts = [day for day in starts if day >= days[0]]
    wide, phone = (_every(starts, most) for most in (_MOST_MARKS, _MOST_MARKS_ON_A_PHONE))
    marks = []
    for day in starts:
        months = day.year * 12 + day.month - 1
        if months % wide == 0:
            at = round(slot * _place(unit, days[0], day), 3)
            label = str(day.year) if day.month == 1 else f"{day:%b}"
            marks.append(Mark(at, label, spare=months % phone > 0))
    return marks


def _every(starts: Sequence[date], most: int) -> int:
    """Return the least number of months between two marks with which no more than `most` of them are needed."""
    return next(
        (months for months in _MONTHS if sum((day.year * 12 + day.month - 1) % months == 0 for day in starts) <= most),
        _MONTHS[-1],
    )


def _last_month(unit: Unit, day: date) -> date:
    if unit == "week":
        return (day + timedelta(days=6)).replace(day=1)
    return day if unit == "month" else day.replace(month=12)


def _place(unit: Unit, first: date, day: date) -> float:
    """Return how many slots after the first day another one is."""
    if unit == "week":
        return (day - first).days / 7
    months = 12 * (day.year - first.year) + day.month - first.month
    return months if unit == "month" else months / 12
