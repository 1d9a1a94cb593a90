"""Airbyte destination for Drift: writes rows to contacts."""
