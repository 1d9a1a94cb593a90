"""`make demo`: a whole sync of a local Drift, or of the real one, into a DuckDB file, held against what is in Drift."""
