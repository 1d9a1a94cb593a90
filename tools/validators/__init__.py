"""Airbyte's own validators, run over this connector in an environment of their own: `make validators`."""
