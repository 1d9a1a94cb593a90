"""docs/erd matches the manifest, column by column and join by join."""

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tools.erd import mermaid
from tools.erd.__main__ import files
from tools.erd.dbml import dbml
from tools.erd.tables import MANIFEST, ErdError, Table, manifest, tables

PLANTED = "joins to teams.id"

Changed = Callable[..., list[Table]]


@pytest.fixture
def changed() -> Changed:
    """Return a function that builds the tables of the manifest with a changed description of one field."""

    def change(stream: str, field: str, **other: Any) -> list[Table]:
        parsed: Any = deepcopy(manifest())
        parsed["schemas"][stream]["properties"][field].update(other)
        return tables(parsed)

    return change


def test_the_files_are_up_to_date() -> None:
    """The files of docs/erd are those that `make erd` writes."""
    stale = [path.name for path, text in files().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run `make erd`"


def test_a_description_creates_a_join(changed: Changed) -> None:
    """The right words in a description create a line in the diagram and a Ref."""
    found = changed("landing_pages", "playbookName", description=f"Name of it; {PLANTED}, now and then.")
    assert "Ref: landing_pages.playbookName > teams.id\n" in dbml(found)
    assert 'teams ||--o{ landing_pages : "id = playbookName"\n' in mermaid.page(found)
    assert "string playbookName FK\n" in mermaid.page(found)


def test_each_join_of_a_description_is_written() -> None:
    """Every join in the descriptions is written, including lists and objects inside fields."""
    named = re.findall(r"joins? to (\w+\.\w+)(?: or (\w+\.\w+))?", MANIFEST.read_text(encoding="utf-8"), re.IGNORECASE)
    targets = sorted(target for pair in named for target in pair if target)
    written, drawn = dbml(tables()), mermaid.page(tables())
    assert sorted(re.findall(r"^Ref: \S+ (?:>|<>|-) (\S+)", written, re.MULTILINE)) == targets
    joins = re.findall(r"^    (\w+) [|}o{-]+ \w+ : \"(\w+) = ", drawn, re.MULTILINE)
    assert sorted(".".join(join) for join in joins) == targets
    assert "Ref: messages.author > users.id // by author.id\n" in written
    assert "Ref: teams.members <> users.id\n" in written
    assert "Ref: conversation_metrics.conversationId - conversations.id\n" in written
    assert 'users }o--o{ teams : "id = members"\n' in drawn
    assert 'conversations ||--|| conversation_metrics : "id = conversationId"\n' in drawn


def test_a_join_inside_a_list_is_one_to_many(changed: Changed) -> None:
    """A field of the objects in an array joins by its path."""
    items = {"type": "object", "properties": {"id": {"type": "integer", "description": PLANTED}}}
    found = changed("teams", "members", description="Those in it.", items=items)
    assert "Ref: teams.members <> teams.id // by members.id\n" in dbml(found)
    assert 'teams }o--o{ teams : "id = members.id"\n' in mermaid.page(found)


@pytest.mark.parametrize("target", ["users.email", "bosses.id", "meetings.slug"])
def test_an_invalid_join_is_an_error(target: str, changed: Changed) -> None:
    """A description with an unknown table or an incomplete or unknown key is refused."""
    with pytest.raises(ErdError, match=rf"^teams\.owner joins to {target}, which is not a key\.$"):
        changed("teams", "owner", description=f"joins to {target}")


def test_every_field_and_key_is_written() -> None:
    """Each table has all its fields; a key of several fields is an index in DBML, and quotes are escaped."""
    written, drawn = dbml(tables()), mermaid.page(tables())
    for table in tables():
        names = [field.name for field in table.fields]
        block = re.search(rf"^Table {table.name} \{{\n(.*?)^\}}", written, re.MULTILINE | re.DOTALL)
        assert block, table.name
        assert re.findall(r"^  (\w+) \w+ \[", block[1], re.MULTILINE) == names
        if len(table.key) == 1:
            assert re.findall(r"^  (\w+) \w+ \[pk", block[1], re.MULTILINE) == [*table.key]
        else:
            assert f"({', '.join(table.key)}) [pk]" in block[1]
        box = re.search(rf"^    {table.name} \{{\n(.*?)^    \}}", drawn, re.MULTILINE | re.DOTALL)
        assert box, table.name
        assert re.findall(r"^        \w+ (\w+)", box[1], re.MULTILINE) == names
        assert re.findall(r"(\w+) PK", box[1]) == [name for name in names if name in table.key]
    assert "the organization\\'s own among them" in written
