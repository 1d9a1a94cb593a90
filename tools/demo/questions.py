"""The questions in `queries/`: one SQL file each, its first line the question as a comment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "queries"


@dataclass(frozen=True)
class Question:
    """A question and the SQL that answers it."""

    text: str
    sql: str
    path: Path


def questions(folder: Path = FOLDER) -> list[Question]:
    """Return the questions of a folder in the order of their file names."""
    return [_question(path) for path in sorted(folder.glob("*.sql"))]


def _question(path: Path) -> Question:
    first, _, sql = path.read_text(encoding="utf-8").partition("\n")
    return Question(first.removeprefix("--").strip(), sql.strip(), path)
