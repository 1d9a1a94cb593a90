"""The page as Chromium shows it: on a phone and on a desk, in light and in dark, on paper, and read aloud."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from source_drift.archive.report import page
from unit_tests.analysis.landing import empty, landed, odd, seeded
from unit_tests.archive.browser import NAMES, PROGRAM, Tab, browser
from unit_tests.archive.pages import MARKUP, Large, bots_alone, conversations, hostile, page_of, run_of

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=f"none of {', '.join(NAMES)} is on PATH")

PHONE, DESK = 360, 1200
PAGES: dict[str, Any] = {
    "seeded": (seeded, {"skipped": 2}),
    "odd": (odd, {"place": "drift.example.com", "unread": ["users"], "warnings": ["odd."]}),
    "empty": (empty, {}),
    "hostile": (hostile, {"place": MARKUP[0], "faults": {"users": MARKUP[1]}, "warnings": [MARKUP[2], "x" * 200]}),
    "1 week": (lambda: conversations(5, 1), {}),
    "10 weeks": (lambda: conversations(300, 10), {}),
    "300 weeks": (lambda: conversations(3_000, 300), {}),
    "700 weeks": (lambda: conversations(3_000, 700), {}),
    "bots": (lambda: bots_alone(range(0, 9_000, 90)), {}),
}
# Rectangles in the coordinates of the page, of what is shown at all.
SHOWN = """
const box = element => {
  const {left, right, top, bottom, width, height} = element.getBoundingClientRect();
  return {left, right, top, bottom, shown: width > 0 && height > 0 && getComputedStyle(element).display !== "none"};
};
const shown = selector => [...document.querySelectorAll(selector)].filter(element => box(element).shown);
"""
# WCAG 2: relative luminance, and the ratio of two of them.
CONTRAST = """
const light = colour => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const paper = light(getComputedStyle(document.documentElement).backgroundColor);
const contrast = colour => {
  const [dark, bright] = [light(colour), paper].sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
};
"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(params=[*PAGES, "huge"])
def path(request: pytest.FixtureRequest, folder: Path) -> Path:
    """A page in a file of its own."""
    return _page(request.param, folder)


def _page(name: str, folder: Path) -> Path:
    path = folder / f"{name}.html"
    if path.exists():
        return path
    if name == "huge":
        with landed(seeded(), folder / name) as warehouse:
            file = warehouse.path
        with Large(file) as large:
            text = page(run_of(large, times=Large.times), large, pytest.fail)
    else:
        make, run = PAGES[name]
        (folder / f"rows of {name}").mkdir()
        text = page_of(make(), folder / f"rows of {name}", **run)
    path.write_text(text, encoding="utf-8")
    return path


def _asked(tab: Tab, script: str) -> Any:
    return tab.ask(f"(() => {{ {SHOWN} {CONTRAST} {script} }})()")


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_page_stands_alone_fits_and_can_be_read(tab: Tab, path: Path, width: int) -> None:
    """One request, an empty console, nothing out at the side, and letters that are large enough and apart.

    Markup from Drift has not run, and of the tables of figures, all open, a wide one scrolls in its own box.
    """
    tab.open(path, width=width)
    assert tab.requested() == [path.as_uri()]
    assert tab.complaints() == []
    assert _asked(tab, "return document.title").startswith("The archive of ")
    assert _asked(tab, "return document.querySelectorAll('script, img, link, iframe, object').length") == 0
    overlaps = """return shown(".chart svg").flatMap(svg => {
      const texts = [...svg.querySelectorAll("text")].filter(text => box(text).shown);
      return texts.flatMap((one, number) => texts.slice(number + 1)
        .filter(other => box(one).left < box(other).right + 3 && box(other).left < box(one).right + 3
          && box(one).top < box(other).bottom - 4 && box(other).top < box(one).bottom - 4)
        .map(other => [one.textContent, other.textContent]));
    })"""
    assert _asked(tab, overlaps) == []
    sizes = _asked(tab, "return shown('svg text').map(text => parseFloat(getComputedStyle(text).fontSize))")
    assert min(sizes, default=11) >= 11
    _asked(tab, "document.querySelectorAll('details').forEach(details => details.open = true)")
    assert _asked(tab, "return [document.documentElement.scrollWidth, innerWidth]") == [width, width]
    wide = f"""return shown("body *:not(.scroll *, .hidden)")
      .filter(element => box(element).left < 0 || box(element).right > {width})
      .map(element => element.outerHTML.slice(0, 200))"""
    assert _asked(tab, wide) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["seeded", "odd", "hostile"])
def test_colours_stand_out(tab: Tab, folder: Path, name: str, scheme: str) -> None:
    """Letters by 4.5 to 1, bars and lines of an axis by 3 to 1, as WCAG has it, on light ground and on dark."""
    tab.open(_page(name, folder), width=DESK, scheme=scheme)
    texts = _asked(
        tab,
        """return shown("body *").filter(element => [...element.childNodes].some(node =>
            node.nodeType === Node.TEXT_NODE && node.textContent.trim()) && !element.matches("title, desc"))
          .map(element => [element.textContent.trim().slice(0, 40), contrast(
            getComputedStyle(element)[element.matches("text") ? "fill" : "color"])])""",
    )
    assert len(texts) > 50
    assert [text for text in texts if text[1] < 4.5] == []
    shapes = _asked(
        tab,
        """return [...shown(".legend rect, .bar").map(shape => [shape.tagName, getComputedStyle(shape).fill]),
            ...[...document.querySelectorAll(".role-axis-domain line")]
              .map(line => [line.tagName, getComputedStyle(line).stroke])]
          .map(([name, colour]) => [name, contrast(colour)])""",
    )
    assert {name for name, _ in shapes} == {"rect", "path", "line"}
    assert [shape for shape in shapes if shape[1] < 3] == []


def test_dark_is_dark_and_paper_is_white(tab: Tab, folder: Path) -> None:
    """As the reader prefers on a screen, but never in print."""
    path, ground = _page("seeded", folder), "return Math.round(paper * 100)"
    tab.open(path, width=DESK)
    assert _asked(tab, ground) > 90
    tab.open(path, width=DESK, scheme="dark")
    assert _asked(tab, ground) < 2
    tab.open(path, width=680, scheme="dark", media="print")
    assert _asked(tab, ground) == 100
    assert _asked(tab, "return contrast(getComputedStyle(document.body).color)") > 10


def test_it_is_printed_on_a_few_pages(tab: Tab, folder: Path) -> None:
    """Each picture whole on one of them, without the tables of figures."""
    tab.open(_page("seeded", folder), width=DESK)
    printed = tab.printed()
    assert printed.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 7
    tab.open(_page("seeded", folder), width=680, media="print")
    assert _asked(tab, "return shown('details').length") == 0
    assert _asked(tab, "return shown('figure').map(figure => getComputedStyle(figure).breakInside)") == ["avoid"] * 3


def test_it_can_be_heard(tab: Tab, folder: Path) -> None:
    """Pictures have a name and a description, tables their rows and headings on a phone too, sections a name."""
    tab.open(_page("seeded", folder), width=PHONE)
    nodes = [node for node in tab.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    spoken = [
        (node["role"]["value"], node.get("name", {}).get("value", ""), node.get("description", {}).get("value", ""))
        for node in nodes
    ]
    # A picture is told in whole by its name, the title and the sentence.
    pictures = [name + text for role, name, text in spoken if role in ("image", "img")]
    assert len(pictures) == 4
    assert all(re.search(r"\d.*\.$", picture) for picture in pictures), pictures
    regions = [name for role, name, _ in spoken if role == "region"]
    assert regions[:3] == ["What is archived", "Completeness", "Syncs and speed"]
    assert len(regions) == 6
    roles = [role for role, *_ in spoken]
    assert roles.count("table") == 4
    assert roles.count("rowheader") >= 15 + 15 + 8
    assert "" not in [name for role, name, _ in spoken if role in ("heading", "columnheader", "rowheader", "table")]


def test_what_is_looked_for_is_found(tab: Tab, folder: Path, tmp_path: Path) -> None:
    """A page that loads, logs and sticks out is seen to do so; its policy lets it neither load nor log."""
    text = _page("empty", folder).read_text(encoding="utf-8")
    bad = '<img src="http://127.0.0.1:9/x.png"/><script>console.log("x")</script><p style="width: 500px">x</p></body>'
    path = tmp_path / "bad.html"
    path.write_text(text.replace("</body>", bad), encoding="utf-8")
    tab.open(path, width=PHONE)
    assert "http://127.0.0.1:9/x.png" in tab.requested()
    assert sum("Content Security Policy" in complaint for complaint in tab.complaints()) == 2
    assert _asked(tab, "return document.documentElement.scrollWidth") > PHONE
    path.write_text(text.replace("</body>", bad).replace("default-src 'none'", ""), encoding="utf-8")
    tab.open(path, width=PHONE)
    assert any("ERR_" in complaint for complaint in tab.complaints())
    assert any('"type": "log"' in complaint for complaint in tab.complaints())
