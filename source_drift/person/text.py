"""Drift's message bodies, which are HTML, as plain text, and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from typing import Any

_BLOCKS = frozenset(("blockquote", "br", "div", "h1", "h2", "h3", "h4", "li", "ol", "p", "pre", "tr", "ul"))
_UNSEEN = frozenset(("script", "style"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def plain(markup: str) -> str:
    """Return the words of a message without its markup, a line for each paragraph, with the address of each link."""
    text = unescape(markup) if "<" not in markup else _words(markup)
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def moment(value: Any) -> str | None:
    """Return epoch milliseconds, or an ISO time in UTC, as `28 November 2026, 13:02 UTC`; None for what is neither."""
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            return None
        else:
            at = _EPOCH + timedelta(milliseconds=value)
    except (OverflowError, ValueError):
        return None
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def _words(markup: str) -> str:
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return "".join(reader.parts)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._links: list[tuple[str, int]] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag in _BLOCKS:
            self.parts.append("\n")
        elif tag == "img":
            self.parts.append(f"[image: {given['alt']}]" if given.get("alt") else "[image]")
        elif tag == "a":
            self._links.append((given.get("href") or "", len(self.parts)))

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n")
        elif tag == "a" and self._links:
            address, start = self._links.pop()
            target = address.removeprefix("mailto:")
            if target and target not in "".join(self.parts[start:]):
                self.parts.append(f" ({target})")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            # In HTML, tags begin a new line and line breaks do not.
            self.parts.append(data.replace("\n", " "))
