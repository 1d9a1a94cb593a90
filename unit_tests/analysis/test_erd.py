"""docs/erd.dbml and docs/erd.svg show what the manifest says now, and the picture can be read."""

import re
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

from tools.erd import svg as drawing
from tools.erd.__main__ import files
from tools.erd.dbml import dbml
from tools.erd.svg import svg
from tools.erd.tables import MANIFEST, ErdError, Table, manifest, tables

SVG = "{http://www.w3.org/2000/svg}"
PLANTED = "joins to teams.id"

Changed = Callable[..., list[Table]]


class Segment(NamedTuple):
    """A stretch of a line, with the key that the line leads to."""

    target: str
    x1: float
    y1: float
    x2: float
    y2: float


@pytest.fixture
def changed() -> Changed:
    """Return a function that gives the tables of the manifest with another description of one field."""

    def change(stream: str, field: str, **other: Any) -> list[Table]:
        parsed: Any = deepcopy(manifest())
        parsed["schemas"][stream]["properties"][field].update(other)
        return tables(parsed)

    return change


@pytest.fixture
def picture() -> ElementTree.Element:
    return parsed(svg(tables()))


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314


def titles(picture: ElementTree.Element) -> list[str]:
    """What each line says it is."""
    return [line.findtext(f"{SVG}title") or "" for line in lines(picture)]


def lines(picture: ElementTree.Element) -> list[ElementTree.Element]:
    return [path for path in picture.iter(f"{SVG}path") if path.get("class") == "line"]


def segments(picture: ElementTree.Element) -> list[Segment]:
    """The straight parts of every line; its corners lie between them."""
    found = []
    for line in lines(picture):
        target = (line.findtext(f"{SVG}title") or "").partition(" → ")[2]
        x = y = 0.0
        for command, numbers in re.findall(r"([MHVQ])([-\d. ]+)", line.get("d") or ""):
            values = [float(number) for number in numbers.split()]
            # Of a curve the last two numbers are where it ends.
            to_x = x if command == "V" else values[-2] if len(values) > 1 else values[0]
            to_y = y if command == "H" else values[-1]
            if command in "HV":
                found.append(Segment(target, min(x, to_x), min(y, to_y), max(x, to_x), max(y, to_y)))
            x, y = to_x, to_y
    return found


def test_the_files_are_what_the_manifest_says() -> None:
    """docs/erd.dbml and docs/erd.svg are as `make erd` writes them now."""
    stale = [path.name for path, text in files().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run `make erd`"


def test_a_description_makes_a_join(changed: Changed) -> None:
    """Words in a description are a line of the picture and a Ref, also within the last column."""
    found = changed("landing_pages", "playbookName", description=f"Name of it; {PLANTED}, now and then.")
    assert "landing_pages.playbookName → teams.id" in titles(parsed(svg(found)))
    assert "Ref: landing_pages.playbookName > teams.id\n" in dbml(found)


def test_each_join_of_a_description_is_drawn(picture: ElementTree.Element) -> None:
    """As many lines as the manifest names targets, lists and objects inside of fields included."""
    named = re.findall(r"joins? to (\w+\.\w+)(?: or (\w+\.\w+))?", MANIFEST.read_text(encoding="utf-8"), re.IGNORECASE)
    targets = sorted(target for pair in named for target in pair if target)
    assert sorted(title.partition(" → ")[2] for title in titles(picture)) == targets
    written = dbml(tables())
    assert sorted(re.findall(r"^Ref: \S+ (?:>|<>|-) (\S+)", written, re.MULTILINE)) == targets
    assert {"messages.author.id → contacts.id", "messages.author.id → users.id"} <= {*titles(picture)}
    assert "Ref: messages.author > users.id // by author.id\n" in written
    assert "Ref: teams.members <> users.id\n" in written
    assert "Ref: conversation_metrics.conversationId - conversations.id\n" in written


def test_a_join_inside_a_list_is_one_to_many(changed: Changed) -> None:
    """A field of the objects of an array joins by its path."""
    items = {"type": "object", "properties": {"id": {"type": "integer", "description": PLANTED}}}
    found = changed("teams", "members", description="Those in it.", items=items)
    assert "teams.members.id → teams.id" in titles(parsed(svg(found)))
    assert "Ref: teams.members <> teams.id // by members.id\n" in dbml(found)


@pytest.mark.parametrize(
    ("stream", "field", "words", "error"),
    [
        ("teams", "owner", "joins to users.email", "teams.owner joins to users.email, which is no key."),
        ("teams", "owner", "joins to bosses.id", "teams.owner joins to bosses.id, which is no key."),
        ("teams", "owner", "joins to meetings.slug", "teams.owner joins to meetings.slug, which is no key."),
    ],
)
def test_a_join_to_no_key_is_an_error(stream: str, field: str, words: str, error: str, changed: Changed) -> None:
    """A description that names no field, no table or half a key is not drawn."""
    with pytest.raises(ErdError, match=re.escape(error)):
        changed(stream, field, description=words)


def test_a_line_that_would_cross_a_column_is_an_error(changed: Changed) -> None:
    """Tables that join stand side by side, or somebody has to move them."""
    with pytest.raises(ErdError, match="teams joins to contacts: COLUMNS must set them side by side"):
        svg(changed("teams", "owner", description="joins to contacts.id"))


def test_another_stream_or_field_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream without a place, and a field to show that is no longer there, are named."""
    with pytest.raises(ErdError, match="COLUMNS and the manifest differ in users"):
        svg([table for table in tables() if table.name != "users"])
    monkeypatch.setitem(drawing.SHOWN, "teams", ("nickname",))
    with pytest.raises(ErdError, match="SHOWN names fields that teams has not: nickname"):
        svg(tables())


def test_every_table_is_drawn_with_its_keys(picture: ElementTree.Element) -> None:
    """Each box has its stream's name, its keys in bold, and rows that make up all fields with those left out."""
    boxes = [group for group in picture.iter(f"{SVG}g") if group.find(f"{SVG}rect") is not None]
    by_name = {}
    for box in boxes:
        texts = [(text.get("class") or "", text.text or "") for text in box.iter(f"{SVG}text")]
        by_name[texts[0][1]] = texts[1:]
    assert sorted(by_name) == sorted(table.name for table in tables())
    for table in tables():
        texts = by_name[table.name]
        assert [text for kind, text in texts if "key" in kind.split()] == list(table.key)
        left_out = sum(int(text.split()[1]) for kind, text in texts if text.startswith("+ "))
        shown = {text.partition(".")[0] for kind, text in texts if "type" not in kind.split()}
        assert len(shown) + left_out == len(table.fields), table.name


def test_no_line_crosses_a_box_or_lies_on_another(picture: ElementTree.Element) -> None:
    """Lines keep to the channels, and those that lead to different keys only ever cross."""
    boxes = [
        [float(rect.get(name) or 0) for name in ("x", "y", "width", "height")]
        for rect in picture.iter(f"{SVG}rect")
        if rect.get("class") == "box"
    ]
    found = segments(picture)
    assert len(found) == 3 * len(lines(picture))
    for segment in found:
        for x, y, width, height in boxes:
            apart = segment.x2 <= x or segment.x1 >= x + width or segment.y2 <= y or segment.y1 >= y + height
            assert apart, (segment, x, y)
    for one in found:
        for other in found:
            if one.target != other.target:
                across = one.y1 == one.y2 == other.y1 == other.y2 and one.x1 < other.x2 and other.x1 < one.x2
                along = one.x1 == one.x2 == other.x1 == other.x2 and one.y1 < other.y2 and other.y1 < one.y2
                assert not across, (one, other)
                assert not along, (one, other)


def test_rows_of_neighbouring_columns_differ_in_height(picture: ElementTree.Element) -> None:
    """No two rows face each other, so that no join to come lies on another, whichever lanes they take."""
    columns: dict[str, set[str]] = {}
    for text in picture.findall(f"{SVG}g/{SVG}text"):
        if "right" not in (text.get("class") or "").split():
            columns.setdefault(text.get("x") or "", set()).add(text.get("y") or "")
    placed = [columns[x] for x in sorted(columns, key=float)]
    assert len(placed) == len(drawing.COLUMNS)
    assert [left & right for left, right in pairwise(placed) if left & right] == []


def test_the_picture_knows_light_and_dark(picture: ElementTree.Element) -> None:
    """Every colour that stands on light ground has another on dark ground, and text is text."""
    style = picture.findtext(f"{SVG}style") or ""
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    assert re.findall(r"^\.c\d", light, re.MULTILINE) == re.findall(r"^\.c\d", dark, re.MULTILINE) != []
    assert all(rule in dark for rule in (".ground", ".box", ".plain", "text", ".type", ".on"))
    assert "users" in {text.text for text in picture.iter(f"{SVG}text")}


def test_dbml_holds_every_field_and_key() -> None:
    """Each table has all its fields; a key of several fields is an index, and quotes are escaped."""
    written = dbml(tables())
    for table in tables():
        block = re.search(rf"^Table {table.name} \{{\n(.*?)^\}}", written, re.MULTILINE | re.DOTALL)
        assert block, table.name
        assert re.findall(r"^  (\w+) \w+ \[", block[1], re.MULTILINE) == [field.name for field in table.fields]
        if len(table.key) == 1:
            assert re.findall(r"^  (\w+) \w+ \[pk", block[1], re.MULTILINE) == [*table.key]
        else:
            assert f"({', '.join(table.key)}) [pk]" in block[1]
    assert "the organisation\\'s own among them" in written
