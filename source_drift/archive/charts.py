"""Stacked bars, drawn by Altair as SVG for a page: one for desktops and one for phones.

The colors are variables of the page, so one picture works in light and dark mode.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from math import ceil
from typing import Any
from xml.etree import ElementTree

import altair
import vl_convert

from source_drift.words import allowed

# How wide the bars are together: so the letters keep their size in a page that is as wide as that and the scale.
_WIDE, _NARROW, _HEIGHT = 640, 280, 200
# Fewer bars are no wider than those of so many, and more bars than that have no gaps between them.
_FEWEST, _MOST_WITH_GAPS = 13, 60
_SHORT_LABEL = 3
_FEW_MONTHS = 3
_STEPS = (
    *((months, "month", months) for months in (1, 3, 6)),
    *((12 * years, "year", years) for years in (1, 2, 5, 10, 20, 50)),
)
_TIME = "utcFormat(datum.value, utcdate(datum.value) > 1 ? '%-d %b' : utcmonth(datum.value) > 0 ? '%b' : '%Y')"
_NUMBER = "replace(format(datum.value, '~s'), 'G', 'B')"


@dataclass(frozen=True)
class Column:
    """A bar: the value of each layer, the first one at the foot."""

    values: Sequence[float]
    text: str
    """The tooltip."""
    label: str = ""
    """The label above the bar."""


@dataclass(frozen=True)
class Chart:
    """One picture in two widths."""

    wide: str
    narrow: str


def drawn(
    columns: Sequence[Column],
    colours: Sequence[str],
    marks: Mapping[float, str] | Sequence[date],
    *,
    most: float = 0,
    unit: str = "",
) -> Chart:
    """Return a chart with a bar for each column.

    Args:
        columns: the bars.
        colours: a variable of the page for each layer.
        marks: the labels below by their place, where bar `n` reaches from n to n + 1; or the days on which the bars
            begin, and the one on which the last bar ends.
        most: what the scale reaches to if no bar is higher. Charts that share it can be compared.
        unit: what stands behind the numbers of the scale.
    """
    if isinstance(marks, Mapping):
        edges, field = [float(place) for place in range(len(columns) + 1)], "start:Q"
    else:
        edges, field = [_millis(day) for day in marks], "start:T"
    ends = (edges[0], edges[0] + (edges[-1] - edges[0]) * max(1, _FEWEST / len(columns)))
    placed = list(zip(columns, pairwise(edges), strict=True))
    highest = max(1, most, *(sum(column.values) for column in columns))
    gap = 0.1 if len(columns) <= _MOST_WITH_GAPS else 0
    bars = [part for column, edge in placed for part in _parts(column, colours, edge, gap)]
    above = [_label(column, edge, ends) for column, edge in placed if column.label]
    pictures = []
    for width in (_WIDE, _NARROW):
        x = altair.X(
            field,
            title=None,
            scale=altair.Scale(type="utc" if field == "start:T" else "linear", domain=ends, nice=False),
            axis=altair.Axis(
                grid=False, labelOverlap="greedy", labelFlush=False, labelSeparation=12, **_marked(marks, width // 50)
            ),
        )
        y = altair.Y(
            "foot:Q",
            title=None,
            scale=altair.Scale(domain=(0, highest), nice=4),
            axis=altair.Axis(
                domain=False, ticks=False, tickCount=4, tickMinStep=1, labelExpr=f"{_NUMBER} + '{unit}'", labelPadding=8
            ),
        )
        layers = altair.layer(
            altair.Chart(altair.InlineData(values=bars))
            .mark_bar()
            .encode(
                x, altair.X2("end"), y, altair.Y2("top"), altair.Color("colour:N", scale=None), description="text:N"
            ),
            altair.Chart(altair.InlineData(values=above))
            .mark_text(align=altair.ExprRef("datum.align"), baseline="bottom", dy=-4, color="var(--ink)")
            .encode(x, y, text="text:N"),
        )
        pictures.append(_svg(layers.properties(width=width, height=_HEIGHT)))
    return Chart(*pictures)


def _marked(marks: Mapping[float, str] | Sequence[date], most: int) -> dict[str, Any]:
    """Return which marks an axis has, and what they say; of days no more than `most`, and only where a month begins."""
    if isinstance(marks, Mapping):
        labels = json.dumps({f"{place:g}": label for place, label in marks.items()})
        return {"values": [*marks], "labelExpr": f"{labels}[datum.value]"}
    months = (marks[-1] - marks[0]).days / 30
    if months < _FEW_MONTHS:
        return {
            "values": [_millis(day) for day in marks[: -1 : ceil(max(_FEWEST, len(marks)) / most)]],
            "labelExpr": _TIME,
        }
    unit, step = next(((unit, step) for length, unit, step in _STEPS if months / length < most), _STEPS[-1][1:])
    return {"tickCount": {"interval": unit, "step": step}, "labelExpr": _TIME}


def _parts(column: Column, colours: Sequence[str], edge: tuple[float, float], gap: float) -> Iterator[dict[str, Any]]:
    start, end = edge
    inset, foot = gap * (end - start), 0.0
    for colour, value in zip(colours, column.values, strict=False):
        if value:
            place = {"start": start + inset, "end": end - inset, "foot": foot, "top": foot + value}
            yield {**place, "colour": f"var(--{colour})", "text": allowed(column.text)}
        foot += value


def _label(column: Column, edge: tuple[float, float], ends: tuple[float, float]) -> dict[str, Any]:
    """Return where a label stands, so that a long one stays in the picture."""
    middle = sum(edge) / 2
    place = (middle - ends[0]) / (ends[1] - ends[0])
    at, align = middle, "center"
    if len(column.label) > _SHORT_LABEL and place < 1 / 3:
        at, align = edge[0], "left"
    elif len(column.label) > _SHORT_LABEL and place > 2 / 3:
        at, align = edge[1], "right"
    return {"start": at, "foot": sum(column.values), "text": column.label, "align": align}


def _svg(picture: altair.LayerChart | altair.FacetChart) -> str:
    """Return a picture as it stands in a page, without what names another document or is not shown."""
    config = {
        "background": "transparent",
        "font": "sans-serif",
        "axis": {
            "domainColor": "var(--soft)",
            "gridColor": "var(--grid)",
            "labelColor": "var(--soft)",
            "labelFontSize": 12,
            "tickColor": "var(--soft)",
        },
        "text": {"fontSize": 12},
        "view": {"stroke": None},
    }
    text = vl_convert.vegalite_to_svg({**picture.to_dict(), "config": config})
    root = ElementTree.fromstring(re.sub(r' xmlns(:\w+)?="[^"]*"', "", text))  # noqa: S314
    for above in list(root.iter()):
        for element in list(above):
            if (
                element.get("opacity") == "0"
                or element.get("display") == "none"
                or element.get("class") == "background"
            ):
                above.remove(element)
    for element in root.iter():
        if element.get("aria-roledescription") == "bar":
            element.set("class", "bar")
            ElementTree.SubElement(element, "title").text = element.get("aria-label")
        for name in [name for name in element.attrib if name.startswith(("aria-", "role", "font-family"))]:
            del element.attrib[name]
    return ElementTree.tostring(root, encoding="unicode")


def _millis(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000
