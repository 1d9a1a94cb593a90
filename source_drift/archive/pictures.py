"""The charts of the report: each is a DuckDB query, shown as a chart, a sentence, and a table for screen readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from source_drift.archive.charts import Chart, Column, drawn
from source_drift.archive.connector import ROOT
from source_drift.archive.warehouse import Answer, Row
from source_drift.words import counted, span

_QUERIES = Path(__file__).resolve().parent / "queries"
# In a wheel, those that are needed here are in the folder above.
_DEFINITIONS = ROOT / "docs" / "queries"

_COLOURS = ("navy", "teal", "amber", "grey", "plum", "rose")
_OF_STATUSES = {"closed": "navy", "open": "teal", "pending": "amber", "bulk_sent": "grey"}
_OF_WRITERS = {"contact": "navy", "person": "teal", "bot": "amber", None: "grey"}
_WRITERS = {"contact": "contacts", "person": "people", "bot": "bots", None: "unknown"}

Unit = Literal["week", "month", "year"]
Ask = Callable[[str], Answer]
"""Answers a query, or raises `Nothing`."""


class Nothing(Exception):
    """There is nothing to be drawn; the text says why."""


@dataclass(frozen=True)
class Layer:
    """What has one colour in all bars of a picture."""

    name: str
    total: int
    colour: str


@dataclass(frozen=True)
class Panel:
    """One chart of a picture."""

    title: str
    text: str
    chart: Chart


@dataclass(frozen=True)
class Picture:
    """What a question came to."""

    name: str
    title: str
    text: str
    panels: Sequence[Panel] = ()
    layers: Sequence[Layer] = ()
    notes: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    """The figures, a row for each bar."""


def pictures(ask: Ask) -> list[Picture]:
    """Return the pictures; a picture without data says why."""
    return [
        _drawn(_conversations, ask, "conversations", "Conversations by week and status"),
        _drawn(_first_answers, ask, "first-answers", "Time to first response"),
        _drawn(_messages, ask, "messages", "Messages by hour of day"),
    ]


def query(name: str, definitions: str | None = None) -> str:
    """Return a query of the report, led by what one of docs/queries defines before its own answer.

    So a word means the same on the page and in the documents.
    """
    text = (_QUERIES / f"{name}.sql").read_text(encoding="utf-8")
    if definitions is None:
        return text
    defined, _, _ = definition(definitions).rpartition("\nSELECT\n")
    return f"{defined}\n{text}"


def definition(name: str) -> str:
    """Return a query of docs/queries that the report uses."""
    path = _QUERIES / f"{name}.sql"
    return (path if path.exists() else _DEFINITIONS / path.name).read_text(encoding="utf-8")


def _drawn(draw: Callable[[Ask, str, str], Picture], ask: Ask, name: str, title: str) -> Picture:
    try:
        return draw(ask, name, title)
    except Nothing as reason:
        return Picture(name, title, str(reason))


def _conversations(ask: Ask, name: str, _: str) -> Picture:
    rows = ask(query("conversations")).rows
    dated = [row[1:] for row in rows if row[1] is not None]
    notes = _left_out(rows, dated, "conversation")
    unit: Unit = rows[0][0]
    days = [dated[0][0]]
    while days[-1] < dated[-1][0]:
        days.append(following(unit, days[-1]))
    layers, table = _stack(dated, days, _OF_STATUSES, _status, "statuses")
    totals = [sum(values) for values in table]
    peak = totals.index(max(totals))
    text = f"{counted(sum(totals), 'conversation')} began in {_period(unit, days[0])}."
    if len(days) > 1:
        text = (
            f"{counted(sum(totals), 'conversation')} began in {len(days):,} {unit}s, "
            f"{sum(totals) / len(days):,.1f} per {unit}. The peak is {totals[peak]:,}, in {_period(unit, days[peak])}."
        )
    columns = _columns([_period(unit, day) for day in days], layers, table, _short(unit, days[peak]))
    return Picture(
        name,
        f"Conversations by {unit} and status",
        text,
        [Panel("", text, drawn(columns, [layer.colour for layer in layers], [*days, following(unit, days[-1])]))],
        layers,
        ["Weeks begin on Monday, UTC." if unit == "week" else f"{unit.title()}s are in UTC.", *notes],
        [unit, *(layer.name for layer in layers), "together"],
        [[day.isoformat(), *values, sum(values)] for day, values in zip(days, table, strict=True)],
    )


def _first_answers(ask: Ask, name: str, title: str) -> Picture:
    summary = ask(definition("first_human_response")).rows
    if not summary:
        raise Nothing("No message of a contact was read.")
    rows = ask(query("first_answers", "first_human_response")).rows
    steps = sorted({row[1] for row in rows})
    waits = [*(f"{_wait(step)} to {_wait(end)}" for step, end in pairwise(steps)), f"{_wait(steps[-1])} and more"]
    answers = {writer: [row[2] for row in rows if row[0] == writer] for writer, *_ in summary}
    asked = summary[0][1]
    talks = counted(asked, "conversation")

    def column(wait: str, *values: int) -> Column:
        return Column(
            [100 * value / asked for value in values], f"{wait}: {sum(values):,}", _percent(sum(values), asked)
        )

    bars, texts = {}, {}
    for writer, _, answered, median, late in summary:
        bars[writer] = [column(wait, value) for wait, value in zip(waits, answers[writer], strict=True)]
        bars[writer] += [Column((), ""), column("no answer", 0, asked - answered)]
        texts[writer] = f"answered none of {talks}."
        if answered:
            texts[writer] = (
                f"answered {answered:,} of {talks}, half within {span(median)}, nine of ten within {span(late)}."
            )
    most = max(sum(bar.values) for made in bars.values() for bar in made)
    marks: dict[float, str] = {place: _wait(step) for place, step in enumerate(steps) if place}
    marks[len(steps) + 1.5] = "no answer"
    return Picture(
        name,
        title,
        f"Contacts wrote in {talks}. How long did they wait for a person, and how long for a bot?",
        [
            Panel(
                _WRITERS[writer].title(),
                texts[writer],
                drawn(made, [_OF_WRITERS[writer], "grey"], marks, most=most, unit=" %"),
            )
            for writer, made in bars.items()
        ],
        notes=[f"Percentage of the {talks}. The wait begins with the contact's first message."],
        columns=["wait", *(_WRITERS[writer] for writer in bars)],
        rows=[
            *([wait, *values] for wait, *values in zip(waits, *answers.values(), strict=True)),
            ["no answer", *(row[1] - row[2] for row in summary)],
            ["together", *(row[1] for row in summary)],
        ],
    )


def _messages(ask: Ask, name: str, title: str) -> Picture:
    rows = ask(query("messages", "first_human_response")).rows
    timed = [row for row in rows if row[0] is not None]
    notes = _left_out(rows, timed, "message")
    layers, table = _stack(timed, range(24), _OF_WRITERS, _WRITERS.__getitem__)
    totals = [sum(values) for values in table]
    peak = totals.index(max(totals))
    hours = [f"{hour:02}:00 to {hour + 1:02}:00" for hour in range(24)]
    text = (
        f"{counted(sum(totals), 'message')}. The busiest hour of the day is {hours[peak]} UTC, with {totals[peak]:,}."
    )
    marks: dict[float, str] = {hour: f"{hour:02}:00" for hour in range(0, 24, 3)}
    return Picture(
        name,
        title,
        text,
        [Panel("", text, drawn(_columns(hours, layers, table), [layer.colour for layer in layers], marks))],
        layers,
        ["Hours are UTC. Messages that contacts can't see, such as private notes, are not included.", *notes],
        ["hour", *(layer.name for layer in layers), "together"],
        [[hour, *values, sum(values)] for hour, values in zip(hours, table, strict=True)],
    )


def _left_out(rows: Sequence[Row], timed: Sequence[Row], noun: str) -> list[str]:
    """Return a note of the rows without a usable time, where there are any.

    Raises:
        Nothing: there are no others.
    """
    untimed = sum(row[-1] for row in rows) - sum(row[-1] for row in timed)
    if not rows:
        raise Nothing(f"No {noun}s were read.")
    if not timed:
        raise Nothing(f"{counted(untimed, noun)} {'was' if untimed == 1 else 'were'} read, but without a usable time.")
    return [f"Not shown: {counted(untimed, noun)} without a usable time."] if untimed else []


def _stack(
    rows: Iterable[Row],
    places: Iterable[Any],
    colours: Mapping[Any, str],
    name_of: Callable[[Any], str],
    several: str = "",
) -> tuple[list[Layer], list[list[int]]]:
    """Return the layers of rows of place, kind and number, the largest first, and their numbers at each place.

    Of more kinds than there are colours the smallest make up one layer.
    """
    totals, numbers = Counter[Any](), Counter[Any]()
    for place, kind, number in rows:
        totals[kind] += number
        numbers[place, kind] += number
    kinds = [[kind] for kind, _ in totals.most_common()]
    if len(kinds) > len(_COLOURS):
        kinds[len(_COLOURS) - 1 :] = [[kind for (kind,) in kinds[len(_COLOURS) - 1 :]]]
    taken = {colours.get(kind[0]) for kind in kinds if len(kind) == 1}
    spare = [colour for colour in _COLOURS if colour not in taken]
    layers = []
    for kind in kinds:
        name = name_of(kind[0]) if len(kind) == 1 else f"{len(kind)} other {several}"
        colour = colours.get(kind[0]) if len(kind) == 1 else None
        layers.append(Layer(name, sum(totals[one] for one in kind), colour or spare.pop()))
    return layers, [[sum(numbers[place, one] for one in kind) for kind in kinds] for place in places]


def _columns(
    names: Sequence[str], layers: Sequence[Layer], table: Sequence[Sequence[int]], peak_at: str = ""
) -> list[Column]:
    """Return a column for each row of the table, the first one of the highest labelled."""
    totals = [sum(values) for values in table]
    peak = totals.index(max(totals))
    columns = []
    for place, (name, values) in enumerate(zip(names, table, strict=True)):
        parts = [f"{layer.name} {value:,}" for layer, value in zip(layers, values, strict=True) if value]
        label = " · ".join(filter(None, (f"{totals[place]:,}", peak_at))) if place == peak else ""
        columns.append(
            Column(values, f"{name}: {totals[place]:,}" + (f" ({', '.join(parts)})" if parts else ""), label)
        )
    return columns


def following(unit: Unit, day: date) -> date:
    """Return the first day of the next week, month or year."""
    if unit == "week":
        return day + timedelta(days=7)
    return (day + timedelta(days=31)).replace(day=1) if unit == "month" else day.replace(year=day.year + 1)


def _status(status: str | None) -> str:
    return "(none)" if status is None else status.strip() or "(empty)"


def _percent(part: int, whole: int) -> str:
    """Return a share in whole percent, or an empty string for zero."""
    share = 100 * part / whole
    return "" if not part else "<1" if share < 1 else ">99" if 99 < share < 100 else f"{share:.0f}"


def _wait(millis: int) -> str:
    return span(millis / 1000) if millis else "0"


def _period(unit: Unit, day: date) -> str:
    return {"week": f"the week of {day.day} {day:%B %Y}", "month": f"{day:%B %Y}", "year": f"{day:%Y}"}[unit]


def _short(unit: Unit, day: date) -> str:
    return {"week": f"{day.day} {day:%b %Y}", "month": f"{day:%b %Y}", "year": f"{day:%Y}"}[unit]
