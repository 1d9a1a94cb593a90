"""Reliability tests: `make prove` runs them and writes docs/reliability.md."""
