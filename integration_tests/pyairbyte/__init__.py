"""Runs the recipe docs/recipes/pyairbyte.md unchanged, in its own environment: `make test-pyairbyte`."""
