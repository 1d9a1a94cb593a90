"""`python -im tools.demo.sql FILE`: opens a DuckDB file of the demo read-only; `sql("FROM users")` queries it."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(path), read_only=True)


if __name__ == "__main__":
    sql = connect(Path(sys.argv[1])).sql
    print('Ask with sql("FROM users"), end with exit(). The file is open for reading only.')
