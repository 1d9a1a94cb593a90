"""The page as Chromium shows it to the person: on a desk, on a phone, and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from unit_tests.archive.browser import NAMES, PROGRAM, Tab, browser
from unit_tests.person.archives import archived, message
from unit_tests.person.conftest import Ask, people

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=f"none of {', '.join(NAMES)} is on PATH")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def test_the_page_fits_a_desk_a_phone_and_paper(tab: Tab, tmp_path: Path, ask: Ask) -> None:
    """It asks for nothing, complains of nothing, is never wider than the screen, and prints without its links."""
    rows = people()
    rows["contacts"][0]["attributes"] |= {"long": "x" * 300, "<script>alert(1)</script>": "<img src=x>"}
    rows["messages"] += [message(number, 10, 101, f"<img src=y>{'word ' * 40}{'z' * 200}") for number in range(20, 50)]
    path = ask(archived(tmp_path / "drift.duckdb", rows)).folder / "person.html"
    for width in (1200, 360):
        tab.open(path, width=width)
        assert tab.requested() == [path.as_uri()]
        assert tab.complaints() == []
        assert tab.ask("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
        wide = f"""[...document.querySelectorAll("body *")].filter(element => {{
          const {{left, right}} = element.getBoundingClientRect();
          return left < 0 || right > {width};
        }}).map(element => element.outerHTML.slice(0, 100))"""
        assert tab.ask(wide) == []
        assert tab.ask("document.querySelectorAll('script, img, link, iframe').length") == 0
    tab.open(path, width=680, scheme="dark", media="print")
    assert tab.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert tab.ask("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    printed = tab.printed()
    assert printed.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 12
