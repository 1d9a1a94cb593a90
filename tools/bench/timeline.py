"""Draws requests per second over time, one panel for each run, as an SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tools.bench.traffic import LIST

COLOURS = {LIST: "#b35900", "messages": "#2f6db3", "conversation_details": "#3f8f5b", "contacts": "#8a5aa8"}
_OTHER = "#777777"
_WIDTH, _HEIGHT, _LEFT, _TOP = 900, 110, 60, 62
_PANEL = _HEIGHT + 58


@dataclass(frozen=True)
class Panel:
    """One run: requests a second of each stream, a value for every `step` seconds, and the limit."""

    title: str
    limit: int
    seconds: float
    step: int
    streams: Mapping[str, Sequence[float]]


def draw(panels: Sequence[Panel]) -> str:
    """An SVG of all panels, one below the other, on one scale of time."""
    longest = max((panel.seconds for panel in panels), default=1.0)
    highest = max((panel.limit for panel in panels), default=1) * 1.25
    height = _TOP + _PANEL * len(panels) + 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + _LEFT + 20} {height}" '
        'font-family="sans-serif" font-size="13" fill="#222">',
        f'<rect width="100%" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="16">Requests per second; the dashed line is the limit</text>',
    ]
    x = float(_LEFT)
    for name, colour in COLOURS.items():
        parts.append(f'<rect x="{x:.0f}" y="34" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17:.0f}" y="45">{escape(name)}</text>')
        x += 40 + 7.5 * len(name)
    for number, panel in enumerate(panels):
        parts += _panel(panel, _TOP + number * _PANEL, longest, highest)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, top: float, longest: float, highest: float) -> list[str]:
    floor = top + 22 + _HEIGHT
    across, up = _WIDTH / longest, _HEIGHT / highest
    parts = [f'<text x="{_LEFT}" y="{top + 15:.0f}" font-weight="bold">{escape(panel.title)}</text>']
    below = [0.0] * max((len(values) for values in panel.streams.values()), default=0)
    for name in [*COLOURS, *(other for other in panel.streams if other not in COLOURS)]:
        if name not in panel.streams:
            continue
        above = [low + value for low, value in zip(below, panel.streams[name], strict=True)]
        there, back = _steps(above, panel, across, up, floor), _steps(below, panel, across, up, floor)
        parts.append(f'<path d="M{" L".join(there + back[::-1])} Z" fill="{COLOURS.get(name, _OTHER)}"/>')
        below = above
    limit = floor - panel.limit * up
    end = _LEFT + panel.seconds * across
    parts += [
        f'<line x1="{_LEFT}" y1="{limit:.1f}" x2="{end:.1f}" y2="{limit:.1f}" stroke="#222" stroke-dasharray="4 3"/>',
        f'<text x="{_LEFT - 6}" y="{limit + 4:.1f}" text-anchor="end">{panel.limit}</text>',
        f'<text x="{_LEFT - 6}" y="{floor:.1f}" text-anchor="end">0</text>',
        f'<line x1="{_LEFT}" y1="{floor:.1f}" x2="{_LEFT + _WIDTH}" y2="{floor:.1f}" stroke="#222"/>',
        f'<line x1="{end:.1f}" y1="{floor - _HEIGHT:.1f}" x2="{end:.1f}" y2="{floor:.1f}" stroke="#222"/>',
    ]
    tick = next(size for size in (5, 10, 20, 30, 60, 120, 300, 600, 1800, 7200) if longest / size <= 12 or size == 7200)
    for second in range(0, int(longest) + 1, tick):
        x = _LEFT + second * across
        parts.append(f'<line x1="{x:.1f}" y1="{floor:.1f}" x2="{x:.1f}" y2="{floor + 4:.1f}" stroke="#222"/>')
        parts.append(f'<text x="{x:.1f}" y="{floor + 18:.1f}" text-anchor="middle">{second} s</text>')
    return parts


def _steps(values: Sequence[float], panel: Panel, across: float, up: float, floor: float) -> list[str]:
    """The corners of a staircase, from left to right."""
    corners: list[str] = []
    for place, value in enumerate(values):
        sides = (place * panel.step, min((place + 1) * panel.step, panel.seconds))
        left, right = (f"{_LEFT + second * across:.1f} {floor - value * up:.1f}" for second in sides)
        # A step as high as the one before it only makes that longer.
        corners[-1:] = [right] if place and value == values[place - 1] else [*corners[-1:], left, right]
    return corners
