"""The code in the pages of docs/recipes, and the folder in which a test runs it."""

import json
import re
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from integration_tests.connector import ROOT

RECIPES = ROOT / "docs" / "recipes"
TOOLS = ROOT / ".venv-recipes" / "bin"
needs_tools = pytest.mark.skipif(not (TOOLS.parent / "ready").exists(), reason="`make test-recipes` runs this")


def code(page: str, language: str) -> str:
    """The only code block of a language in a page."""
    (block,) = codes(page, language)
    return block


def codes(page: str, language: str) -> list[str]:
    """The code blocks of a language in a page."""
    text = (RECIPES / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def configure(folder: Path, config: Mapping[str, Any]) -> None:
    """Save a config with the maximum rate, because waits have their full length here."""
    (folder / "config.json").write_text(json.dumps({**config, "max_requests_per_second": 50}))


def run_tool(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of .venv-recipes in a folder, with this environment's `python` and `source-drift` on PATH."""
    environment = {
        "PATH": f"{sysconfig.get_path('scripts')}:/usr/bin:/bin",
        "HOME": str(folder),
        "DAGSTER_HOME": str(folder),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "DLT_DATA_DIR": str(folder / ".dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    program = str(TOOLS / command[0])
    return subprocess.run([program, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True)


def messages(folder: Path) -> list[list[dict[str, Any]]]:
    """The messages of each run of drift_sync.py in a folder, oldest run first."""
    files = sorted(folder.glob("messages-*.jsonl"))
    return [[json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in files]


def keys(run: list[dict[str, Any]], stream: str) -> list[int]:
    """The IDs of the records of a stream."""
    records = (message["record"] for message in run if message["type"] == "RECORD")
    return [record["data"]["id"] for record in records if record["stream"] == stream]
