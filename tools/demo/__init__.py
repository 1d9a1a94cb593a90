"""`make demo`: syncs a local Drift, or the real one, into a DuckDB file and compares the file with Drift."""
