"""The bill of materials of what the connector runs with: `make sbom`."""
