"""Writes a CycloneDX SBOM of the packages that the connector runs with: `make sbom`."""

import json
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

SCHEMA = SchemaVersion.V1_6


def tidied(bom: dict[str, Any]) -> dict[str, Any]:
    """The SBOM of cyclonedx-py without links and authors, because they change with each release and name registries."""
    tools = bom["metadata"].get("tools", {}).get("components", [])
    for component in [bom["metadata"]["component"], *tools, *bom["components"]]:
        for field in ("externalReferences", "author", "authors"):
            component.pop(field, None)
    return bom


def text_of(bom: dict[str, Any]) -> str:
    """The SBOM as text. Raises `ValueError` if it does not match CycloneDX's schema."""
    text = json.dumps(bom, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    error = JsonStrictValidator(SCHEMA).validate_str(text)
    if error is not None:
        raise ValueError(f"not a CycloneDX {SCHEMA.to_version()} SBOM: {error!r}")
    return text


def main(path: str) -> None:
    """Read the SBOM of cyclonedx-py from standard input, clean and validate it, and write it to `path`."""
    bom = tidied(json.load(sys.stdin))
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text_of(bom), encoding="utf-8")
    print(f"{path}: {len(bom['components'])} packages")


if __name__ == "__main__":
    main(sys.argv[1])
