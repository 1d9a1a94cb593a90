"""Regenerates docs/erd: the tables as DBML and as a Mermaid diagram. The unit tests fail if a file is stale."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.erd import mermaid
from tools.erd.dbml import dbml
from tools.erd.tables import ROOT, ErdError, tables

DOCS = ROOT / "docs" / "erd"


def files() -> dict[Path, str]:
    """Return the current content of each file.

    Raises:
        ErdError: a join or key in the manifest does not exist.
    """
    found = tables()
    return {DOCS / "source.dbml": dbml(found), DOCS / "README.md": mermaid.page(found)}


if __name__ == "__main__":
    try:
        for path, text in files().items():
            path.write_text(text, encoding="utf-8")
            print(f"Wrote {path.relative_to(ROOT)}")
    except ErdError as error:
        sys.exit(str(error))
