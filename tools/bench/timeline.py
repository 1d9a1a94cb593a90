"""Draws requests per second over time, one panel for each run, as an SVG for light and dark pages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair
import vl_convert

from tools.bench.traffic import LIST

# On a light and on a dark background.
_COLORS = {
    "ink": ("#222222", "#e6e6e6"),
    "list": ("#b35900", "#f0a35e"),
    "messages": ("#2f6db3", "#7fb2ea"),
    "details": ("#3f8f5b", "#77c793"),
    "contacts": ("#8a5aa8", "#c79be3"),
    "other": ("#777777", "#999999"),
}
_STREAMS = {LIST: "list", "messages": "messages", "conversation_details": "details", "contacts": "contacts"}


@dataclass(frozen=True)
class Panel:
    """One run: requests per second of each stream, one value for every `step` seconds, and the limit."""

    title: str
    limit: int
    seconds: float
    step: int
    streams: Mapping[str, Sequence[float]]


def draw(panels: Sequence[Panel]) -> str:
    """An SVG of all panels, one below the other, with the same time scale."""
    streams = [*_STREAMS, *sorted({name for panel in panels for name in panel.streams} - {*_STREAMS})]
    colors = altair.Scale(domain=streams, range=[f"var(--{_STREAMS.get(name, 'other')})" for name in streams])
    longest = max((panel.seconds for panel in panels), default=1.0)
    rows = [_panel(panel, longest, colors) for panel in panels]
    picture = altair.vconcat(*rows, title="Requests per second; the dashed line is the limit")
    config = {
        "background": "transparent",
        "axis": {"grid": False, "labelFontSize": 12, **_ink("domainColor", "labelColor", "tickColor")},
        "legend": {"columnPadding": 30, "labelFontSize": 13, "orient": "top", "title": None, **_ink("labelColor")},
        "title": {"anchor": "start", "fontSize": 14, **_ink("color")},
        "view": {"stroke": None},
    }
    svg: str = vl_convert.vegalite_to_svg({**picture.to_dict(), "config": config})
    light, dark = (" ".join(f"--{name}: {pair[ground]};" for name, pair in _COLORS.items()) for ground in (0, 1))
    style = f"<style>:root {{ {light} }} @media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}</style>"
    svg = re.sub(r"\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}", svg)
    return svg.replace("><", f">{style}<", 1) + "\n"


def _panel(panel: Panel, longest: float, colors: altair.Scale) -> altair.LayerChart | altair.FacetChart:
    # The last value is repeated at the end of the run, so that its step is visible.
    values = [
        {"second": min(place * panel.step, panel.seconds), "stream": name, "rate": rate}
        for name, rates in panel.streams.items()
        for place, rate in enumerate([*rates, *rates[-1:]])
    ]
    across = altair.X(
        "second:Q",
        title=None,
        scale=altair.Scale(domain=(0, longest), nice=False),
        axis=altair.Axis(labelExpr="datum.label + ' s'", labelOverlap=True),
    )
    up = altair.Y(
        "rate:Q",
        title=None,
        scale=altair.Scale(domain=(0, panel.limit * 1.25)),
        axis=altair.Axis(values=[0, panel.limit]),
    )
    requests = altair.Chart(altair.InlineData(values=values)).mark_area(interpolate="step-after")
    limit = altair.Chart(altair.InlineData(values=[{"second": 0, "end": panel.seconds, "rate": panel.limit}]))
    layers = altair.layer(
        requests.encode(across, up, altair.Color("stream:N", scale=colors), altair.Order("stream:N")),
        limit.mark_rule(strokeDash=[4, 3], color="var(--ink)").encode(across, up, altair.X2("end")),
    )
    return layers.properties(title=panel.title, width=900, height=110)


def _ink(*parts: str) -> dict[str, str]:
    return dict.fromkeys(parts, "var(--ink)")
