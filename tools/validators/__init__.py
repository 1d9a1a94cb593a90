"""Runs Airbyte's own validators on this connector in a separate environment: `make validators`."""
