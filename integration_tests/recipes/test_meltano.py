"""The recipe for Meltano, from its page: a job that runs the sync, and fails if it fails."""

import json
from pathlib import Path

import pytest

from integration_tests.connector import access_token, catalog
from integration_tests.recipes.page import code, configure, keys, messages, needs_tools, run_tool
from sandbox import Drift, Fault, Sandbox

pytestmark = needs_tools


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "catalog.json").write_text(json.dumps(catalog("users", conversations="incremental")))
    (tmp_path / "drift_sync.py").write_text(code("cron.md", "python"))
    (tmp_path / "meltano.yml").write_text(code("meltano.md", "yaml"))
    return tmp_path


def test_the_job_runs_the_sync(folder: Path) -> None:
    """The first run reads everything; if a stream fails, the Meltano job fails."""
    drift = Drift(conversations=30, users=3)
    with Sandbox(drift) as sandbox:
        configure(folder / "data", access_token(sandbox.url))
        whole = run_tool(folder, "meltano", "run", "drift-nightly")
        sandbox.faults = [Fault("/users/list", "status", status=403, times=None)]
        broken = run_tool(folder, "meltano", "run", "drift-nightly")
    assert whole.returncode == 0, whole.stderr
    first, second = messages(folder / "data")
    for stream in ("users", "conversations"):
        assert sorted(keys(first, stream)) == sorted(drift.keys(stream)), stream
    assert broken.returncode != 0
    assert len(keys(second, "conversations")) <= 1
