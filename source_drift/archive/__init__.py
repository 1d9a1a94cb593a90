"""`source-drift archive`: Drift in one DuckDB file, which is a consistent copy at every moment."""
