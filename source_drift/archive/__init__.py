"""`source-drift archive`: a DuckDB file with everything that Drift holds, kept current by later syncs."""
