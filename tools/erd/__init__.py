"""The tables of the connector and how they join, written from manifest.yaml alone: `make erd`."""
