"""The Airbyte source connector for Drift as a command of its own: `source-drift`, or `python -m source_drift`."""
