"""The command of the Airbyte source connector for Drift: `source-drift`, or `python -m source_drift`."""
