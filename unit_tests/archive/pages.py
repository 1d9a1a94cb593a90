"""Reports of archives that never were, about rows that have landed in DuckDB."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from source_drift.archive.connector import Stream
from source_drift.archive.report import Run, page
from source_drift.archive.warehouse import COMPLETE, INCOMPLETE, Answer, StreamSync, Warehouse
from tools.erd.tables import tables
from unit_tests.analysis.landing import DAY, NOON, Rows, empty, landed

INCREMENTAL = ("conversations", "messages")
STREAMS = [Stream(table.name, table.schema, table.key, table.name in INCREMENTAL, {}) for table in tables()]
BEGAN = datetime(2026, 11, 21, 13, 50)
MARKUP = (
    "<script>document.title = 'taken'</script>",
    '"><img src="x" onerror="document.title = `taken`">',
    "</style><b>&amp;{{ 7 * 7 }}",
)


def run_of(
    warehouse: Warehouse,
    *,
    place: str = "driftapi.com",
    faults: Mapping[str, str] | None = None,
    unread: Collection[str] = (),
    warnings: Sequence[str] = (),
    skipped: int = 0,
    times: int = 1,
) -> Run:
    """An archive that two syncs filled: everything, and a ninth of each again, but streams in `unread`.

    The last sync of a stream in `faults` has that error.
    """
    rows = {stream.name: (warehouse.count(stream.name) or 0) * times for stream in STREAMS}
    history = {}
    for number in (1, 2):
        began, entries = BEGAN + timedelta(days=number - 1), []
        for stream in STREAMS:
            error = (faults or {}).get(stream.name) if number == 2 else None
            error = "No scope." if stream.name in unread else error
            entries.append(
                StreamSync(
                    stream.name,
                    began,
                    ended=began + timedelta(seconds=2),
                    outcome=INCOMPLETE if error else COMPLETE,
                    records=0 if stream.name in unread else rows[stream.name] // (9 if number == 2 else 1),
                    error=error,
                    warnings=[f"messages: {text}" for text in warnings] if stream.name == "messages" else [],
                    skipped=skipped if stream.name == "messages" and number == 1 else 0,
                    seconds=2.0,
                )
            )
        history[number] = entries
    found = {name: None if name in unread else count for name, count in rows.items()}
    return Run(place, datetime(2026, 11, 23, 13, 58, tzinfo=UTC), STREAMS, history, found)


def page_of(rows: Rows, folder: Path, **run: Any) -> str:
    """The page about these rows; no query may be without an answer."""
    warnings: list[str] = []
    with landed(rows, folder) as warehouse:
        text = page(run_of(warehouse, **run), warehouse, warnings.append)
    assert warnings == []
    return text


class Large(Warehouse):
    """A DuckDB file each of whose rows counts for very many."""

    times = 10**12

    def ask(self, sql: str) -> Answer:
        answer = super().ask(sql)
        counted = {"conversations", "messages", "answered", "expected", "landed", "missing"}
        rows = [
            tuple(
                value * self.times if name in counted and value is not None else value
                for name, value in zip(answer.columns, row, strict=True)
            )
            for row in answer.rows
        ]
        return Answer(answer.columns, rows)


def conversations(number: int, weeks: int, statuses: Sequence[str | None] = ("closed", "open", "pending")) -> Rows:
    """Conversations from the first to the last of these weeks, of every status."""
    chance = random.Random(weeks)
    first = NOON - (weeks - 1) * 7 * DAY
    moments = [first, NOON, *(chance.randrange(first, NOON + 1) for _ in range(number - 2))]
    rows = empty()
    rows["conversations"] = [
        {"id": key, "status": statuses[key % len(statuses)], "createdAt": moment} for key, moment in enumerate(moments)
    ]
    return rows


def bots_alone(waits: Iterable[int]) -> Rows:
    """Conversations that a contact begins and nobody but a bot answers, after these milliseconds."""
    rows = empty()
    for key, wait in enumerate(waits):
        rows["messages"] += [
            _message(2 * key, key, NOON, {"id": 1, "type": "contact"}),
            _message(2 * key + 1, key, NOON + wait, {"id": 2, "type": "user", "bot": True}),
        ]
    return rows


def hostile() -> Rows:
    """Statuses that are markup, without end, without a letter, or written from right to left."""
    others = ("x" * 300, "long and " * 30, "\u202edesrever", "\x00\x1b\ufffe", "", None)
    rows = conversations(100, 20, [*MARKUP, *others])
    # Without others, the markup is no part of `other statuses`.
    rows["conversations"] += conversations(200, 20, MARKUP)["conversations"]
    rows["conversations"] = [row | {"id": key} for key, row in enumerate(rows["conversations"])]
    return rows


def parsed(text: str) -> ET.Element:
    """The page as elements; one that is not well-formed is an error."""
    return ET.fromstring(text.partition("\n")[2] if text.startswith("<!DOCTYPE") else text)  # noqa: S314


def text_of(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def section(root: ET.Element, name: str) -> ET.Element:
    """The part of the page whose heading has this id."""
    found = root.find(f".//section[@aria-labelledby='{name}']")
    assert found is not None, name
    return found


def table(part: ET.Element, number: int = 0) -> list[list[str]]:
    """The cells of a table, heading and feet included."""
    found = part.findall(".//table")[number]
    return [[text_of(cell) for cell in row] for row in found.iter("tr")]


def _message(key: int, conversation: int, at: int, author: dict[str, Any]) -> dict[str, Any]:
    return {"id": key, "conversationId": conversation, "createdAt": at, "type": "chat", "author": author}
