"""What the connector is made of: known vulnerabilities (`make audit`) and a bill of materials (`make sbom`)."""
