"""The index of the recipes, and the versions in their pages."""

import re

import pytest

from integration_tests.recipes.page import RECIPES

LOCK = (RECIPES.parents[1] / "integration_tests" / "recipes" / "requirements.lock").read_text(encoding="utf-8")


def test_the_index_has_every_page() -> None:
    """The table lists each page of the folder once, and no other."""
    named = re.findall(
        r"^\| \[[^]]+\]\(([\w-]+\.md)\) \|", (RECIPES / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(named) == sorted(path.name for path in RECIPES.glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("tool", ["dlt", "dagster", "meltano"])
def test_the_version_is_the_tested_one(tool: str) -> None:
    """A version in a recipe is the locked version, with which the recipe is tested."""
    (locked,) = re.findall(rf"^{tool}==(\d+\.\d+)\.", LOCK, re.MULTILINE)
    text = (RECIPES / f"{tool}.md").read_text(encoding="utf-8")
    assert re.findall(rf"with {tool} (\d+\.\d+)", text, re.IGNORECASE) == [locked]
