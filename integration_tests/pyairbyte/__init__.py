"""The recipe docs/recipes/pyairbyte.md, run as it is written, in an environment of its own: `make test-pyairbyte`."""
