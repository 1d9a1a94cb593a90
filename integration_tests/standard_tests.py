"""Runs `airbyte-cdk connector test` against a sandbox on a free port: `python -m integration_tests.standard_tests`.

It runs in a copy, in which every config with a loopback `api_url` uses that port and reads only two months: waits have
their full length here, and each month costs one of the 50 reports per minute. It skips the suite's Docker tests, which
build an image and need Docker and a network.
"""

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from sandbox import Drift, Sandbox

ROOT = Path(__file__).parents[1]
DRIFT = Drift(conversations=60, history_days=60)
CONNECTOR = ("manifest.yaml", "components.py", "metadata.yaml", "acceptance-test-config.yml", "integration_tests")


def main() -> int:
    """Return the exit code of the suite; additional arguments go to its pytest."""
    with TemporaryDirectory() as temporary, Sandbox(DRIFT) as sandbox:
        folder = Path(temporary) / "source-drift"
        folder.mkdir()
        for name in CONNECTOR:
            path = ROOT / name
            if path.is_dir():
                shutil.copytree(path, folder / name, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
            else:
                shutil.copy2(path, folder)
        for path in folder.glob("integration_tests/**/*.json"):
            point_at(sandbox.url, path)
        command = [Path(sys.executable).with_name("airbyte-cdk"), "connector", "test", folder]
        arguments = [f"--pytest-arg={word}" for word in ("-k", "not docker", "-ra", *sys.argv[1:])]
        return subprocess.run([*command, *arguments]).returncode


def point_at(url: str, path: Path) -> None:
    """If the config at `path` uses this machine, change it to this Drift.

    It gets the address of a contact, because every stream must have a record.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    api_url = content.get("api_url") if isinstance(content, dict) else None
    if api_url and urlsplit(api_url).hostname in ("127.0.0.1", "localhost"):
        start_date = f"{datetime.now(UTC) - timedelta(days=61):%Y-%m-%dT%H:%M:%SZ}"
        address = next(filter(None, (row["attributes"].get("email") for row in DRIFT.expected("contacts"))))
        ours = {"api_url": url, "start_date": start_date, "contact_emails": [address]}
        path.write_text(json.dumps({**content, **ours}), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
