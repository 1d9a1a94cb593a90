"""The tables as boxes in columns, and each join as a line from a field to the key that it names.

Lines run in the channels between columns, where no box stands. So a join leads to a table of the same column or of the
one beside it: `COLUMNS` is arranged for that. All lines of a channel to one key share a lane and a colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import permutations

from tools.erd.tables import ErdError, Field, Join, Table

COLUMNS = (
    ("contacts", "contacts_by_email", "contact_attributes", "conversations", "conversation_stats"),
    ("messages", "conversation_details", "conversation_metrics", "meetings"),
    ("users", "playbooks", "token_info"),
    ("accounts", "teams", "landing_pages"),
)
SHOWN = {
    "accounts": ("name", "domain", "targeted"),
    "contact_attributes": ("displayName", "type"),
    "contacts": ("createdAt", "attributes"),
    "contacts_by_email": ("createdAt", "attributes"),
    "conversation_details": ("status", "createdAt", "conversationTags"),
    "conversation_metrics": ("firstCloseAt", "timeToCloseMillis", "timeToAgentResponseMillis"),
    "conversation_stats": ("count",),
    "conversations": ("status", "contactId", "inboxId", "createdAt", "updatedAt"),
    "landing_pages": ("playbookName",),
    "meetings": ("status", "slotStart", "scheduledAt"),
    "messages": ("type", "body", "createdAt"),
    "playbooks": ("name", "reportType"),
    "teams": ("name", "status"),
    "token_info": ("credential_id", "scope"),
    "users": ("name", "email", "role", "bot"),
}
"""The fields that a box shows beside keys and joins."""

# All heights are multiples of half a row, and every other column stands half a row lower: so no line to the left of a
# channel ever lies on one to the right.
ROW = 22
HEAD, FOOT = 33, 11
WIDTH = 264
MARGIN, TOP, GAP = 28, 99, 44
# Between a box and a lane, and between two lanes.
ASIDE, LANE = 26, 15
CURVE = 6

# One colour for each table that others join to, on light and on dark ground.
_COLOURS = (
    ("#1565c0", "#6cb6ff"),
    ("#b3541e", "#f0a35e"),
    ("#00796b", "#4fd1b5"),
    ("#8e3fa8", "#d99bf0"),
    ("#5d6b00", "#c6d65a"),
    ("#a3195b", "#ff8fb8"),
)

_SHAPES = """
text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
.title { font-size: 20px; font-weight: 600 }
.name { font-size: 14px; font-weight: 600 }
.key { font-weight: 700 }
.right { font-size: 12px; text-anchor: end }
.line { fill: none; stroke: currentColor; stroke-width: 1.6 }
""".strip()
_LIGHT = """
.ground, .box { fill: #ffffff }
.box { stroke: #c3cad3 }
.plain { fill: #eceff3 }
text { fill: #1f2933 }
.type { fill: #66717f }
.on { fill: #ffffff }
""".strip()
_DARK = """
.ground { fill: #14181d }
.box { fill: #1b2128; stroke: #414b57 }
.plain { fill: #2a323c }
text { fill: #e3e8ee }
.type { fill: #98a4b3 }
.on { fill: #14181d }
""".strip()


@dataclass(frozen=True)
class Box:
    """A table in its place."""

    table: Table
    column: int
    left: float
    top: float

    @property
    def height(self) -> float:
        return _height(self.table)

    def y(self, row: str) -> float:
        return self.top + HEAD + ROW * (_rows(self.table).index(row) + 0.5)


Trunks = dict[tuple[str, str], list[tuple[str, Join]]]
"""For each key (its table and field) that lines of a channel lead to: the tables and joins where they begin."""


def svg(tables: Sequence[Table]) -> str:
    """Return the picture; equal tables give an equal one.

    Raises:
        ErdError: `COLUMNS` or `SHOWN` do not fit the tables.
    """
    columns = _columns(tables)
    channels = _channels(columns)
    boxes = _boxes(columns, channels)
    targets = sorted({table for trunks in channels for table, _ in trunks})
    if len(targets) > len(_COLOURS):
        raise ErdError(f"{len(targets)} tables are joined to, but there are {len(_COLOURS)} colours.")
    colours = {table: f"c{number}" for number, table in enumerate(targets)}
    width = max(box.left for box in boxes.values()) + WIDTH + MARGIN
    height = max(box.top + box.height for box in boxes.values()) + MARGIN
    lines = [*_head(width, height, len(tables))]
    for box in boxes.values():
        lines += _box(box, colours)
    for number, trunks in enumerate(channels):
        lines += _trunks(number, trunks, boxes, colours)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _columns(tables: Sequence[Table]) -> list[list[Table]]:
    by_name = {table.name: table for table in tables}
    named = [name for column in COLUMNS for name in column]
    if sorted(named) != sorted(by_name):
        raise ErdError(f"COLUMNS and the manifest differ in {', '.join(sorted({*named} ^ {*by_name}))}.")
    return [[by_name[name] for name in column] for column in COLUMNS]


def _channels(columns: Sequence[Sequence[Table]]) -> list[Trunks]:
    """Return the trunks of each channel; the n-th channel is to the right of the n-th column."""
    column_of = {table.name: number for number, column in enumerate(columns) for table in column}
    channels: list[Trunks] = [{} for _ in columns[1:]]
    for table in (table for column in columns for table in column):
        for join in table.joins:
            here, there = column_of[table.name], column_of[join.table]
            if abs(here - there) > 1:
                raise ErdError(f"{table.name} joins to {join.table}: COLUMNS must set them side by side.")
            # Within the last column, where there is no channel to the right, the one to the left will do.
            channel = min(here, there, len(channels) - 1)
            channels[channel].setdefault((join.table, join.key), []).append((table.name, join))
    return channels


def _rows(table: Table) -> tuple[str, ...]:
    shown = SHOWN.get(table.name, ())
    names = [field.name for field in table.fields]
    if not {*shown} <= {*names}:
        raise ErdError(f"SHOWN names fields that {table.name} has not: {', '.join(sorted({*shown} - {*names}))}.")
    joins: dict[str, list[str]] = {}
    for join in table.joins:
        joins.setdefault(join.field, []).append(join.path)
    keys = list(table.key)
    wanted = [path for name in names for path in joins.get(name, [name] if name in shown else [])]
    return tuple(dict.fromkeys([*keys, *wanted]))


def _type(field: Field) -> str:
    return "time" if "epoch milliseconds" in field.description else field.type


def _more(table: Table) -> int:
    """Return how many fields the box leaves out."""
    return len(table.fields) - len({row.partition(".")[0] for row in _rows(table)})


def _height(table: Table) -> float:
    return HEAD + ROW * (len(_rows(table)) + bool(_more(table))) + FOOT


def _boxes(columns: Sequence[Sequence[Table]], channels: Sequence[Trunks]) -> dict[str, Box]:
    """Return each table in its place; short columns are spread over the height of the highest one."""
    tall = max(sum(_height(table) + GAP for table in column) - GAP for column in columns)
    boxes = {}
    left: float = MARGIN
    for number, column in enumerate(columns):
        spare = tall + GAP - sum(_height(table) + GAP for table in column)
        between = GAP + spare // max(1, len(column) - 1) // ROW * ROW
        top = TOP + number % 2 * ROW / 2
        for table in column:
            boxes[table.name] = Box(table, number, left, top)
            top += _height(table) + between
        if number < len(channels):
            left += WIDTH + 2 * ASIDE + LANE * (len(channels[number]) - 1)
    return boxes


def _trunks(number: int, trunks: Trunks, boxes: Mapping[str, Box], colours: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a channel."""
    # Where the column begins is the same for all its boxes.
    start = next(box.left for box in boxes.values() if box.column == number) + WIDTH + ASIDE
    for lane, (target, key) in enumerate(_lanes(number, trunks, boxes)):
        x = start + LANE * lane
        yield f'<g class="join {colours[target]}">'
        tip, end = _edge(boxes[target], number), boxes[target].y(key)
        for source, join in trunks[target, key]:
            edge, begin = _edge(boxes[source], number), boxes[source].y(join.path)
            name = escape(f"{source}.{join.path} → {target}.{key}")
            yield f'<path class="line" d="{_path(edge, begin, x, end, tip)}"><title>{name}</title></path>'
            yield f'<circle cx="{_n(edge)}" cy="{_n(begin)}" r="3"/>'
        yield f'<path d="M{_n(tip)} {_n(end)}l{9 if tip < x else -9} -5v10z"/></g>'


def _lanes(number: int, trunks: Trunks, boxes: Mapping[str, Box]) -> tuple[tuple[str, str], ...]:
    """Return the keys of a channel from left to right, so that as few lines as can be cross."""
    ends = {
        (target, key): [
            (box.y(row), box.column == number)
            for box, row in [(boxes[target], key), *((boxes[source], join.path) for source, join in joins)]
        ]
        for (target, key), joins in trunks.items()
    }

    def crossings(order: tuple[tuple[str, str], ...]) -> int:
        found = 0
        for place, trunk in enumerate(order):
            for y, from_left in ends[trunk]:
                for other in order[:place] if from_left else order[place + 1 :]:
                    heights = [height for height, _ in ends[other]]
                    found += min(heights) < y < max(heights)
        return found

    return min(permutations(trunks), key=crossings)


def _edge(box: Box, channel: int) -> float:
    """Return where a box meets a channel."""
    return box.left + WIDTH if box.column == channel else box.left


def _path(x1: float, y1: float, lane: float, y2: float, x2: float) -> str:
    """Return a line from one edge to the lane, along it, and to the other edge, with its corners rounded."""
    curve = min(CURVE, abs(y2 - y1) / 2)
    down = curve if y2 > y1 else -curve
    before, after = (curve if lane > x1 else -curve), (curve if x2 > lane else -curve)
    return (
        f"M{_n(x1)} {_n(y1)}H{_n(lane - before)}Q{_n(lane)} {_n(y1)} {_n(lane)} {_n(y1 + down)}"
        f"V{_n(y2 - down)}Q{_n(lane)} {_n(y2)} {_n(lane + after)} {_n(y2)}H{_n(x2)}"
    )


def _box(box: Box, colours: Mapping[str, str]) -> Iterator[str]:
    table, left, right = box.table, box.left + 12, box.left + WIDTH - 12
    types = {field.name: _type(field) for field in table.fields} | {join.path: join.type for join in table.joins}
    hub = f"join {colours[table.name]}" if table.name in colours else "plain"
    x, y, below = _n(box.left), _n(box.top), _n(box.top + HEAD)
    yield f"<g><title>{escape(table.description)}</title>"
    yield f'<rect class="box" x="{x}" y="{y}" width="{WIDTH}" height="{_n(box.height)}" rx="7"/>'
    # The head has round corners above alone.
    yield f'<path class="{hub}" d="M{x} {below}v-{HEAD - 7}q0 -7 7 -7h{WIDTH - 14}q7 0 7 7v{HEAD - 7}z"/>'
    yield _text(left, box.top + HEAD / 2, table.name, "name on" if table.name in colours else "name")
    for row in _rows(table):
        kinds = ["key"] * (row in table.key)
        targets = [join.table for join in table.joins if join.path == row]
        if len(targets) == 1:  # with more, no colour would tell the truth
            kinds += ["join", colours[targets[0]]]
        yield _text(left, box.y(row), row, " ".join(kinds))
        yield _text(right, box.y(row), types[row], "type right")
    if _more(table):
        more = f"+ {_more(table)} field{'s' if _more(table) > 1 else ''}"
        yield _text(left, box.top + HEAD + ROW * (len(_rows(table)) + 0.5), more, "type")
    yield "</g>"


def _head(width: float, height: float, count: int) -> Iterator[str]:
    size = f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="what">'
    yield "<!-- Drawn by `make erd` from manifest.yaml: change that instead. -->"
    yield f'<title id="what">The {count} tables of the Drift source and how they join</title>'
    yield f"<style>{_style()}</style>"
    yield f'<rect class="ground" width="{_n(width)}" height="{_n(height)}"/>'
    yield _text(MARGIN, 34, f"Drift: {count} tables and how they join", "title")
    legend = "Bold: key. Line: from a field to the key that it joins to; an array joins to several rows."
    yield _text(MARGIN, 62, f"{legend} time: epoch milliseconds, UTC.", "type")


def _style() -> str:
    """Return the colours for light ground and, where the reader prefers that, for dark ground."""
    grounds = []
    for number, rules in enumerate((_LIGHT, _DARK)):
        colours = (f".c{table} {{ color: {pair[number]} }}" for table, pair in enumerate(_COLOURS))
        grounds.append("\n".join([rules, *colours]))
    light, dark = grounds
    return f"\n{_SHAPES}\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n.join {{ fill: currentColor }}\n"


def _text(x: float, y: float, text: str, kind: str) -> str:
    # A third of the letters' height below the middle of the line: `dominant-baseline` is not known everywhere.
    return f'<text x="{_n(x)}" y="{_n(y + 4.5)}" class="{kind}">{escape(text)}</text>'


def _n(number: float) -> str:
    return f"{number:g}"
