"""The tables of the connector and how they join, as files that are drawn from manifest.yaml alone: `python -m erd`."""
