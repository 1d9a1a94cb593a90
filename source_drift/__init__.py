"""The command of the Airbyte source connector for Drift: `source-drift`, or `python -m source_drift`."""

from pathlib import Path


def connector_folder() -> Path:
    """Return the folder of manifest.yaml and components.py: this package in a wheel, its parent in a checkout."""
    package = Path(__file__).resolve().parent
    return package if (package / "manifest.yaml").is_file() else package.parent
