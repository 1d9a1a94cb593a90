"""The recipe for Dagster, from its page: one asset for each stream, materialized if the stream is complete."""

import json
from pathlib import Path

import pytest

from integration_tests.connector import access_token, catalog
from integration_tests.recipes.page import code, configure, keys, messages, needs_tools, run_tool
from sandbox import Drift, Fault, Sandbox

pytestmark = needs_tools
STREAMS = catalog("users", "teams", conversations="incremental")
# Prints what Dagster's web interface would show about a run.
TOLD = """
import json, sys
import dagster as dg
import drift_dagster

dg.Definitions.validate_loadable(drift_dagster.defs)
result = dg.materialize([drift_dagster.drift], raise_on_error=False)
made = [event.materialization for event in result.get_asset_materialization_events()]
failures = [event.event_specific_data.user_failure_data.description for event in result.get_step_failure_events()]
print(json.dumps([{one.asset_key.to_user_string(): one.metadata["records"].value for one in made}, failures]))
"""


@pytest.fixture
def drift() -> Drift:
    return Drift(conversations=30, users=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "catalog.json").write_text(json.dumps(STREAMS))
    (tmp_path / "drift_sync.py").write_text(code("cron.md", "python"))
    (tmp_path / "drift_dagster.py").write_text(code("dagster.md", "python"))
    return tmp_path


def test_the_command_of_the_page_syncs(folder: Path, drift: Drift) -> None:
    """The `dagster asset materialize` command of the page reads everything."""
    with Sandbox(drift) as sandbox:
        configure(folder / "data", access_token(sandbox.url))
        ran = run_tool(folder, "dagster", "asset", "materialize", "--select", "*", "-f", "drift_dagster.py")
    assert ran.returncode == 0, ran.stderr
    (run,) = messages(folder / "data")
    assert sorted(keys(run, "conversations")) == sorted(drift.keys("conversations"))


def test_complete_streams_are_materialized(folder: Path, drift: Drift) -> None:
    """Each asset has the number of its records; a failed one is missing, and the run names it."""
    with Sandbox(drift) as sandbox:
        configure(folder / "data", access_token(sandbox.url))
        whole = run_tool(folder, "python", "-c", TOLD)
        sandbox.faults = [Fault("/users/list", "status", status=403, times=None)]
        broken = run_tool(folder, "python", "-c", TOLD)
    records, failures = json.loads(whole.stdout)
    assert records == {stream: drift.count(stream) for stream in ("users", "teams", "conversations")}
    assert failures == []
    records, failures = json.loads(broken.stdout)
    assert set(records) == {"teams", "conversations"}
    assert failures == ["drift_sync.py ended with 1; not read to the end: users"]
