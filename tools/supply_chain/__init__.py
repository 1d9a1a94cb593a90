"""Software bill of materials (SBOM) of the connector: `make sbom`."""
