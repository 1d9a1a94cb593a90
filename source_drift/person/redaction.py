"""Hides the names and email addresses of Drift's users, who are employees and not the person that asks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html.entities import codepoint2name
from typing import Any

from source_drift.person.archive import Row


class Redaction:
    """Replaces names, aliases and email addresses of `users` by `Drift user N`, counted in the order of their ids.

    They are found as whole words, in the bodies of messages too. Bots keep their names. A name that consists of words
    of `own` stays, because it is the person's own name or address.
    """

    def __init__(self, users: Iterable[Row], own: Iterable[str]) -> None:
        people = sorted((user for user in users if not user.get("bot")), key=lambda user: str(user.get("id")).zfill(20))
        self._labels = {user.get("id"): f"Drift user {number}" for number, user in enumerate(people, start=1)}
        words = {word for text in own for word in text.lower().split()}
        names: dict[str, str] = {}
        for user in people:
            for name in (user.get("name"), user.get("alias"), user.get("email")):
                parts = name.split() if isinstance(name, str) else []
                if len("".join(parts)) > 1 and not words.issuperset(" ".join(parts).lower().split()):
                    names.setdefault(" ".join(parts), self._labels[user.get("id")])
        # The longest first, so that a full name is not cut at its first word.
        ordered = sorted(names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_pattern, ordered))) if ordered else None
        self._replacements = [names[name] for name in ordered]

    def label(self, user: Row) -> str | None:
        """Return what stands for the name of a user, None for a bot."""
        return self._labels.get(user.get("id"))

    def applied(self, value: Any) -> Any:
        """Return a JSON value in which no text names a user. Names of fields stay."""
        if isinstance(value, str):
            return self._pattern.sub(self._replacement, value) if self._pattern else value
        if isinstance(value, Mapping):
            return {name: self.applied(item) for name, item in value.items()}
        return [self.applied(item) for item in value] if isinstance(value, list) else value

    def _replacement(self, found: re.Match[str]) -> str:
        # The group that matched is the place of the name among the patterns.
        return self._replacements[(found.lastindex or 1) - 1]


def _pattern(name: str) -> str:
    words = r"(?:\s|&nbsp;|&#160;)+".join("".join(map(_character, word)) for word in name.split())
    if "@" in name:
        return rf"(?<![\w.+-])((?i:{words}))(?![\w-]|\.\w)"
    # A single word such as Will or May is a name only as it is spelled.
    return rf"(?<!\w)((?i:{words}))(?!\w)" if " " in name else rf"(?<!\w)({words})(?!\w)"


def _character(character: str) -> str:
    """Return a pattern for a character that HTML may write in several ways."""
    if character.isascii() and character.isalnum():
        return character
    number = ord(character)
    ways = [re.escape(character), f"&#0*{number};", f"&#x0*{number:x};"]
    if number in codepoint2name:
        ways.append(f"&{codepoint2name[number]};")
    return f"(?:{'|'.join(ways)})"
