"""Generates the diagram of tables and joins from manifest.yaml: `make erd`."""
