"""Write docs/erd.dbml and docs/erd.svg anew; a stale one fails the unit tests."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.erd.dbml import dbml
from tools.erd.svg import svg
from tools.erd.tables import ROOT, ErdError, tables

DOCS = ROOT / "docs"


def files() -> dict[Path, str]:
    """Return what the files must hold now.

    Raises:
        ErdError: the manifest holds what cannot be drawn.
    """
    drawn = tables()
    return {DOCS / "erd.dbml": dbml(drawn), DOCS / "erd.svg": svg(drawn)}


if __name__ == "__main__":
    try:
        for path, text in files().items():
            path.write_text(text, encoding="utf-8")
            print(f"Wrote {path.relative_to(ROOT)}")
    except ErdError as error:
        sys.exit(str(error))
