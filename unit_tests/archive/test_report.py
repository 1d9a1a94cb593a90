"""The page that shows an archive: its figures are those of DuckDB, and nothing of it is taken for markup."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from source_drift.archive.charts import Column, drawn
from source_drift.archive.pictures import definition, following
from source_drift.archive.report import page
from source_drift.archive.warehouse import StreamSync, Warehouse
from source_drift.words import span
from unit_tests.analysis.answers import ANSWERS
from unit_tests.analysis.landing import Row, Rows, empty, landed, odd, seeded
from unit_tests.archive.pages import (
    MARKUP,
    STREAMS,
    Large,
    bots_alone,
    conversations,
    hostile,
    page_of,
    parsed,
    run_of,
    section,
    table,
    text_of,
)

Landed = tuple[Rows, Warehouse, str]
STEPS = (0, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400, 604800)


@pytest.fixture(scope="module", params=[seeded, odd], ids=lambda make: make.__name__)
def drift(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Landed]:
    """The rows of a Drift, the DuckDB file in which they have landed, and the page about it."""
    rows = request.param()
    with landed(rows, tmp_path_factory.mktemp("rows")) as warehouse:
        warnings: list[str] = []
        text = page(run_of(warehouse, skipped=2), warehouse, warnings.append)
        assert warnings == []
        yield rows, warehouse, text


def _numbers(rows: list[list[str]]) -> dict[str, list[int]]:
    """The figures of a table by the first cell of their row."""
    return {row[0]: [int(cell.replace(",", "").replace("–", "-1")) for cell in row[1:]] for row in rows}


def _moment(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)


def _week(millis: int) -> date:
    day = _moment(millis).date()
    return day - timedelta(days=day.weekday())


def charts(part: Element) -> list[Element]:
    """The pictures of a section, each in both widths."""
    return [svg for svg in part.iter("svg") if "marks" in svg.get("class", "")]


def parts(chart: Element) -> list[tuple[str, float, float]]:
    """Of each part of a bar the colour, where it ends at the right, and how high it is."""
    found = []
    for path in chart.iter("path"):
        if path.get("class") == "bar":
            left, width, height = re.fullmatch(r"M([\d.]+),[\d.]+h([\d.]+)v([\d.]+)h.*", path.get("d")).groups()
            found.append((path.get("fill"), float(left) + float(width), float(height)))
    return found


def scale(chart: Element) -> list[str]:
    """What stands beside the bars."""
    return [
        text_of(label) for label in chart.iter("text") if label.get("text-anchor") == "end" and label.get("opacity")
    ]


def _writer(row: Row, bots: set[int]) -> str:
    author = row.get("author") or {}
    if author.get("type") == "user":
        return "bots" if author.get("bot") or author.get("id") in bots else "people"
    return "contacts" if author.get("type") == "contact" else "unknown"


def test_the_streams_are_those_of_the_file(drift: Landed) -> None:
    """Each with its mode, the rows of its table, and what the syncs brought; the last row is their sum."""
    _, warehouse, text = drift
    heading, *rows, together = table(section(parsed(text), "what"))
    assert heading == ["Stream", "Rows", "Records, last sync", "Records, all syncs", "Complete as of (UTC)"]
    counts = {stream.name: warehouse.count(stream.name) or 0 for stream in STREAMS}
    expected = [
        [
            f"✓{stream.name} {'incremental' if stream.incremental else 'full refresh'}",
            *(f"{number:,}" for number in (count, count // 9, count + count // 9)),
            "2026-11-22",
        ]
        for stream, count in zip(STREAMS, counts.values(), strict=True)
    ]
    assert rows == expected
    last = sum(count // 9 for count in counts.values())
    total = sum(counts.values())
    assert together == ["Total", *(f"{number:,}" for number in (total, last, total + last)), ""]


def test_the_speed_is_that_of_the_syncs(drift: Landed) -> None:
    """Each sync with its records over its seconds, the newest first, and the last one by stream."""
    _, warehouse, text = drift
    counts = [warehouse.count(stream.name) or 0 for stream in STREAMS]
    part = section(parsed(text), "fast")
    first, last = sum(counts), sum(count // 9 for count in counts)
    assert table(part)[1:] == [
        ["2026-11-22 13:50", "2 s", f"{last:,}", f"{last / 2:,.0f}", "15 of 15"],
        ["2026-11-21 13:50", "2 s", f"{first:,}", f"{first / 2:,.0f}", "15 of 15"],
    ]
    assert table(part, 1)[1:] == [
        [stream.name, "2 s", f"{count // 9:,}", f"{count // 9 / 2:,.0f}"]
        for stream, count in zip(STREAMS, counts, strict=True)
    ]


def test_of_many_syncs_the_newest_are_shown(tmp_path: Path) -> None:
    """The others count all the same, and a killed one, of which nothing is known, has a dash."""
    with landed(empty(), tmp_path) as warehouse:
        run = run_of(warehouse)
        killed = [StreamSync("users", datetime(2026, 12, 1), outcome="interrupted")]
        run = replace(run, history=dict(enumerate([*run.history.values()] * 20, start=1)) | {41: killed})
        root = parsed(page(run, warehouse, pytest.fail))
    found = table(section(root, "fast"))
    assert len(found) == 31
    assert found[1] == ["2026-12-01 00:00", "–", "0", "–", "0 of 1"]
    assert "The last 30 of 41 syncs, the newest first." in text_of(section(root, "fast"))
    assert "users: interrupted" in text_of(root.find(".//header"))  # type: ignore[arg-type]


def test_the_coverage_is_that_of_the_documents(drift: Landed) -> None:
    """Row by row what plain Python finds for docs/queries/coverage.sql; skips stand above."""
    rows, _, text = drift
    part = section(parsed(text), "complete")
    expected = [
        [what, *("–" if value is None else f"{value:,}" for value in values)]
        for what, *values in ANSWERS["coverage"](rows)
    ]
    assert table(part)[1:] == expected
    assert "Skipped: 2 of messages." in text_of(part)


def test_conversations_are_counted_by_week_and_status(drift: Landed) -> None:
    """As in the rows, weeks without any included; the sums are those of docs/queries/volume_by_week_and_inbox.sql."""
    rows, warehouse, text = drift
    heading, *found = table(section(parsed(text), "conversations"))
    dated = [row for row in rows["conversations"] if row.get("createdAt") is not None]
    counts = Counter((_week(row["createdAt"]), row.get("status") or "(none)") for row in dated)
    weeks = [_week(min(row["createdAt"] for row in dated)) + timedelta(days=7 * number) for number in range(len(found))]
    assert weeks[-1] == _week(max(row["createdAt"] for row in dated))
    assert sorted(heading[1:-1]) == sorted({status for _, status in counts})
    assert _numbers(found) == {
        str(week): [*(counts[week, status] for status in heading[1:-1]), sum(counts[week, s] for s in heading[1:-1])]
        for week in weeks
    }
    volume = warehouse.ask(definition("volume_by_week_and_inbox"))
    sums = Counter[str]()
    for week, _, number, _ in volume.rows:
        sums[str(week)] += number
    assert {week: values[-1] for week, values in _numbers(found).items() if values[-1]} == {
        week: number for week, number in sums.items() if week != "None"
    }


def test_first_answers_are_those_of_the_documents(drift: Landed) -> None:
    """Conversations, answers, median and ninth decile are those of docs/queries/first_human_response.sql."""
    _, warehouse, text = drift
    part = section(parsed(text), "first-answers")
    heading, *found = table(part)
    figures = _numbers(found)
    assert heading == ["wait", "people", "bots"]
    summary = warehouse.ask(definition("first_human_response")).rows
    for column, (_, asked, answered, median, late) in enumerate(summary):
        values = [row[column] for row in figures.values()]
        assert (sum(values[:-2]), values[-2], values[-1]) == (answered, asked - answered, asked)
        sentence = f"answered {answered:,} of {asked:,} conversations, half within {span(median)}"
        assert f"{sentence}, nine of ten within {span(late)}." in text_of(part)


def test_messages_are_counted_by_hour_and_writer(drift: Landed) -> None:
    """Those that a contact sees, by the hour in UTC."""
    rows, _, text = drift
    heading, *found = table(section(parsed(text), "messages"))
    bots = {row["id"] for row in rows["users"] if row.get("bot")}
    counts = Counter(
        (_moment(row["createdAt"]).hour, _writer(row, bots))
        for row in rows["messages"]
        if row.get("type") in (None, "chat") and row.get("createdAt") is not None
    )
    assert sorted(heading[1:-1]) == sorted({writer for _, writer in counts})
    figures = _numbers(found)
    assert len(figures) == 24
    for hour, values in enumerate(figures.values()):
        assert values[:-1] == [counts[hour, writer] for writer in heading[1:-1]]
        assert values[-1] == sum(values[:-1])


@pytest.mark.parametrize("name", ["conversations", "messages"])
def test_bars_are_as_high_as_their_figures(drift: Landed, name: str) -> None:
    """Each part has the height of its number on the scale, and the colour that the legend gives it."""
    part = section(parsed(drift[2]), name)
    heading, *found = table(part)
    colours = {text_of(item[1]): item[0][0].get("class") for item in part.findall(".//ul[@class='legend']/li")}
    assert list(colours) == heading[1:-1]
    assert len(set(colours.values())) == len(colours)
    for chart in charts(part):
        drawn = iter(parts(chart))
        height, top = 200, max(int(label) for label in scale(chart))
        for values in _numbers(found).values():
            for colour, value in zip(colours.values(), values[:-1], strict=True):
                if value:
                    assert next(drawn)[0] == f"var(--{colour})"
        assert next(drawn, None) is None
        values = [value for row in _numbers(found).values() for value in row[:-1] if value]
        assert [bar[2] for bar in parts(chart)] == pytest.approx([value * height / top for value in values], abs=0.01)


def test_bars_say_their_figures_to_the_pointer(drift: Landed) -> None:
    """Place, number and the parts of it."""
    part = section(parsed(drift[2]), "messages")
    for chart in charts(part):
        titles = [text_of(title) for title in chart.iter("title")]
        assert titles
        assert all(re.fullmatch(r"\d\d:00 to \d\d:00: [\d,]+ \(.+ [\d,]+\)", title) for title in titles), titles


def test_the_legend_adds_up(drift: Landed) -> None:
    """What it counts of each layer is what the bars show of it."""
    part = section(parsed(drift[2]), "conversations")
    heading, *found = table(part)
    totals = {text_of(item[1]): int(text_of(item[2]).replace(",", "")) for item in part.findall(".//li")}
    sums = [sum(values) for values in zip(*_numbers(found).values(), strict=True)]
    assert totals == dict(zip(heading[1:-1], sums, strict=False))


def test_nothing_that_somebody_wrote_is_on_the_page(drift: Landed) -> None:
    """No name, no address, no message: neither of people, nor of accounts, teams and playbooks."""
    rows, _, text = drift
    said = set()
    for stream in ("users", "contacts", "contacts_by_email", "accounts", "messages", "teams", "playbooks", "meetings"):
        for row in rows[stream]:
            said |= set(_texts(row))
    said -= {"chat", "user", "contact", "open", "closed"}
    assert len(said) > 10
    words = text_of(parsed(text)[1])
    assert [one for one in said if len(one) > 3 and re.search(rf"(?<!\w){re.escape(one)}(?!\w)", words)] == []
    assert "@" not in words


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def test_markup_stays_text(tmp_path: Path) -> None:
    """A status, a place, an error and a warning that are markup are shown as they are, and make no element."""
    text = page_of(hostile(), tmp_path, place=MARKUP[0], faults={"users": MARKUP[1]}, warnings=[MARKUP[2]])
    root = parsed(text)
    assert {element.tag for element in root.iter()} & {"script", "img", "a", "link", "iframe"} == set()
    assert [name for element in root.iter() for name in element.attrib if name.startswith("on")] == []
    legend = [text_of(item[1]) for item in section(root, "conversations").findall(".//ul[@class='legend']/li")]
    assert {" ".join(markup.split()) for markup in MARKUP} <= set(legend)
    assert legend[-1].endswith("other statuses")
    header = text_of(root.find(".//header"))  # type: ignore[arg-type]
    assert MARKUP[0] in header
    assert f"users: {MARKUP[1]}" in header
    assert f"messages: {MARKUP[2]}" in text_of(section(root, "complete"))


def test_what_html_does_not_allow_is_replaced(tmp_path: Path) -> None:
    """NUL, escapes and lone surrogates, wherever they come from."""
    text = page_of(conversations(4, 2, ["a\x00b\x1b\ufffe"]), tmp_path, faults={"users": "\ud800"})
    assert "a\ufffdb\ufffd\ufffd" in text
    assert "\N{REPLACEMENT CHARACTER}</li>" in text
    assert text.encode()


def test_each_status_has_a_name_and_a_colour(tmp_path: Path) -> None:
    """None and an empty one are two; one that is not known takes no colour of those that are."""
    part = section(parsed(page_of(conversations(12, 2, ["", None, "x", "y", "z", "open"]), tmp_path)), "conversations")
    colours = {text_of(item[1]): item[0][0].get("class") for item in part.findall(".//ul[@class='legend']/li")}
    assert sorted(colours) == ["(empty)", "(none)", "open", "x", "y", "z"]
    assert colours["open"] == "teal"
    assert len(set(colours.values())) == 6


def test_an_empty_drift_has_an_empty_page(tmp_path: Path) -> None:
    """Every stream with its zero, no picture, and why."""
    root = parsed(page_of(empty(), tmp_path))
    assert [row[1] for row in table(section(root, "what"))[1:]] == ["0"] * (len(STREAMS) + 1)
    assert root.findall(".//svg") == []
    for name, reason in (
        ("conversations", "No conversations were read."),
        ("first-answers", "No message of a contact was read."),
        ("messages", "No messages were read."),
    ):
        assert text_of(section(root, name)).endswith(reason)


def test_times_that_no_calendar_holds_are_counted(tmp_path: Path) -> None:
    """They are not drawn, and told; where there are no others, there is no picture."""
    rows = conversations(3, 1)
    for key, moment in enumerate((None, -1, 9 * 10**18, 4_102_444_800_000)):
        rows["conversations"].append({"id": 10 + key, "status": "open", "createdAt": moment})
    part = section(parsed(page_of(rows, tmp_path / "a")), "conversations")
    assert "3 conversations began in the week of" in text_of(part)
    assert "Not shown: 4 conversations without a usable time." in text_of(part)
    rows["conversations"] = rows["conversations"][3:]
    part = section(parsed(page_of(rows, tmp_path / "b")), "conversations")
    assert text_of(part).endswith("4 conversations were read, but without a usable time.")
    rows = bots_alone([1_000])
    rows["messages"][1]["createdAt"] = None
    part = section(parsed(page_of(rows, tmp_path / "c")), "messages")
    assert "Not shown: 1 message without a usable time." in text_of(part)


@pytest.mark.parametrize(
    ("weeks", "unit", "bars"), [(1, "week", 1), (2, "week", 2), (300, "week", 300), (700, "month", 162)]
)
def test_time_is_drawn_in_bars_that_can_be_seen(weeks: int, unit: str, bars: int, tmp_path: Path) -> None:
    """Weeks, as long as there are no more than fit; none is left out between the first and the last."""
    part = section(parsed(page_of(conversations(max(3, weeks), weeks), tmp_path)), "conversations")
    heading, *found = table(part)
    assert (heading[0], len(found)) == (unit, bars)
    assert text_of(part[0]) == f"Conversations by {unit} and status"
    assert sum(values[-1] for values in _numbers(found).values()) == max(3, weeks)
    wide, narrow = (max(edge for _, edge, _ in parts(chart)) for chart in charts(part))
    assert narrow <= 280.1 < wide <= 640.1 or (weeks < 3 and narrow < wide < 100)


def test_one_conversation_out_of_time_hides_no_other(tmp_path: Path) -> None:
    """One of 1970 makes it years: all are drawn."""
    rows = conversations(10, 3)
    rows["conversations"].append({"id": 99, "status": "open", "createdAt": 0})
    heading, *found = table(section(parsed(page_of(rows, tmp_path)), "conversations"))
    assert heading[0] == "year"
    assert [found[0][0], found[-1][0], len(found)] == ["1970-01-01", "2026-01-01", 57]
    assert [row[-1] for row in found if row[-1] != "0"] == ["1", "10"]


def test_bots_alone_are_no_people(tmp_path: Path) -> None:
    """Each wait in its step, at both ends; of people there is no answer, and no time is made up."""
    waits = [0, 999, 1_000, 4_999, 5_000, 59_999, 60_000, 604_799_999, 604_800_000, 10**12]
    part = section(parsed(page_of(bots_alone(waits), tmp_path)), "first-answers")
    _, *found = table(part)
    ends = [*STEPS[1:], float("inf")]
    counts = [sum(1000 * step <= wait < 1000 * end for wait in waits) for step, end in zip(STEPS, ends, strict=True)]
    assert [values[1] for values in _numbers(found).values()] == [*counts, 0, len(waits)]
    assert [values[0] for values in _numbers(found).values()] == [*[0] * len(STEPS), len(waits), len(waits)]
    assert "People answered none of 10 conversations." in text_of(part)
    assert [[colour for colour, *_ in parts(chart)] for chart in charts(part)[:2]] == [["var(--grey)"]] * 2


def test_huge_numbers_are_whole(tmp_path: Path) -> None:
    """In full where they are figures, short beside an axis."""
    with landed(conversations(30, 3), tmp_path) as warehouse:
        path = warehouse.path
    with Large(path) as large:
        root = parsed(page(run_of(large, times=Large.times), large, pytest.fail))
    part = section(root, "conversations")
    assert "30,000,000,000,000 conversations began in 3 weeks, 10,000,000,000,000.0 per week." in text_of(part)
    zero, *labels = scale(charts(part)[0])
    assert zero == "0"
    assert labels
    assert all(re.fullmatch(r"[\d.]+T", label) for label in labels), labels
    assert table(section(root, "what"))[-1][1] == "30,000,000,000,000"


def test_what_was_not_read_is_not_drawn(tmp_path: Path) -> None:
    """Even from the table of an earlier run; what is wrong stands at the top, and the stream is marked."""
    text = page_of(seeded(), tmp_path, unread=["users", "conversation_stats"])
    root = parsed(text)
    assert "users: No scope." in text_of(root.find(".//header"))  # type: ignore[arg-type]
    assert text_of(section(root, "complete")).endswith("This needs conversation_stats, which was not read completely.")
    for name in ("first-answers", "messages"):
        assert text_of(section(root, name)).endswith("This needs users, which was not read completely.")
    assert section(root, "conversations").find(".//svg") is not None
    rows = {row[0]: row[1:] for row in table(section(root, "what"))}
    assert rows["✗Not complete: users full refresh"][0] == "–"
    assert "13 of 15 streams read completely." in text_of(section(root, "complete"))


def test_a_query_without_an_answer_costs_one_picture(tmp_path: Path) -> None:
    """The error is told, but not on the page, since it may quote a value."""
    with landed(seeded(), tmp_path) as warehouse:
        warehouse.ask("CREATE OR REPLACE TABLE conversations AS SELECT 1 AS id, 's3cret' AS createdAt, '' AS status")
        warnings: list[str] = []
        text = page(run_of(warehouse), warehouse, warnings.append)
    root = parsed(text)
    assert "s3cret" not in text
    assert text_of(section(root, "conversations")).endswith("The tables do not match this query.")
    assert section(root, "messages").find(".//svg") is not None
    assert [warning.startswith("A part of the report is missing: ") for warning in warnings] == [True] * len(warnings)
    assert warnings


def test_the_page_forbids_to_load_anything(tmp_path: Path) -> None:
    """It has no script, no link and no picture from elsewhere, and its policy refuses them."""
    text = page_of(seeded(), tmp_path)
    assert text.startswith("<!DOCTYPE html>\n")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert re.findall(r"https?:|//|url\(|@import|<script|<link|<img", text) == []


@pytest.mark.parametrize(
    ("unit", "columns"),
    [
        *(("week", columns) for columns in (1, 2, 5, 10, 11, 26, 53, 100, 320)),
        *(("month", columns) for columns in (74, 144, 320)),
        *(("year", columns) for columns in (27, 130)),
    ],
)
def test_marks_of_time_stand_apart(unit: Any, columns: int) -> None:
    """There is one at least, and there are few enough that they do not touch."""
    days = [date(1970, 1, 1) if unit == "year" else date(2023, 11, 20).replace(day=20 if unit == "week" else 1)]
    for _ in range(columns):
        days.append(following(unit, days[-1]))
    chart = drawn([Column([1], "") for _ in range(columns)], ["navy"], days)
    for svg, most in ((chart.wide, 14), (chart.narrow, 7)):
        marks = [mark for mark in parsed(svg).iter("text") if mark.get("text-anchor") == "middle"]
        assert 1 <= len(marks) <= most, [text_of(mark) for mark in marks]
        assert all(re.fullmatch(r"\d{4}|[A-Z][a-z]{2}|\d+ [A-Z][a-z]{2}", text_of(mark)) for mark in marks)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (1.5, "1.5 s"),
        (59.4, "59.4 s"),
        (59.9, "1 min"),
        (60, "1 min"),
        (118.1, "1 min 58 s"),
        (3_600, "1 h"),
        (7_530, "2 h 5 min"),
        (604_800, "7 d"),
        (1e9, "11,574 d 1 h"),
    ],
)
def test_a_time_has_two_units_at_most(seconds: float, text: str) -> None:
    """The larger one, and what is left in the next."""
    assert span(seconds) == text
