"""The code in docs/recipes/pyairbyte.md loads all of Drift into DuckDB, and later the changes."""

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sandbox import PRIMARY_KEYS, Drift, Fault, Options, Sandbox

if find_spec("airbyte") is None:
    pytest.skip("`make test-pyairbyte` runs these", allow_module_level=True)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "recipes" / "pyairbyte.md"
# The files that the connector is installed from.
CHECKOUT = ("manifest.yaml", "components.py", "source_drift", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
TOKEN = {"credentials": "access_token", "access_token": "sandbox-token"}
OAUTH = {
    "credentials": "oauth2.0",
    "client_id": "sandbox-client",
    "client_secret": "sandbox-secret",
    "refresh_token": "sandbox-refresh-1",
}
HOUR = 3_600_000
LOOK_BACK = 600_000
# Waits have their full length here, and each month costs one of the 50 reports per minute.
HISTORY_DAYS = 60
START = f"{datetime.now(UTC) - timedelta(days=HISTORY_DAYS + 1):%Y-%m-%dT%H:%M:%SZ}"


def follow(heading: str, page: Path = PAGE) -> dict[str, Any]:
    """Run the only Python block under a heading of a page as a script, and return its variables."""
    text = page.read_text(encoding="utf-8")
    section = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"{page} has no section {heading}"
    (code,) = re.findall(r"^```python\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, heading, "exec"), names)  # noqa: S102
    return names


def configure(sandbox: Sandbox, credentials: dict[str, str], **fields: Any) -> None:
    config = {"credentials": credentials, "api_url": sandbox.url, "start_date": START, **fields}
    Path("config.json").write_text(json.dumps(config), encoding="utf-8")


def rows(cache: Any, stream: str) -> list[dict[str, Any]]:
    return [dict(row) for row in cache[stream].to_pandas().to_dict("records")]


def keys(cache: Any, stream: str) -> list[str]:
    names = [name.lower() for name in PRIMARY_KEYS[stream]]
    return sorted(str([row[name] for name in names]) for row in rows(cache, stream))


def wanted(drift: Drift, stream: str, **options: Any) -> list[str]:
    return sorted(str([row[name] for name in PRIMARY_KEYS[stream]]) for row in drift.expected(stream, **options))


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is a temporary checkout, so files of a block don't outlast the test."""
    for name in CHECKOUT:
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRBYTE_ENABLE_UNSAFE_CODE", "")


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """With the variable of the page, PyAirbyte's own process connects only to this machine."""
    exported = dict(re.findall(r"^export (\w+)=(\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert exported, "the page exports nothing"
    assert "airbyte" not in sys.modules, "PyAirbyte reads its variables when it is imported"
    folder = tmp_path_factory.mktemp("pyairbyte")
    for name in ("AIRBYTE_PROJECT_DIR", "AIRBYTE_LOGGING_ROOT"):
        os.environ[name] = str(folder)
    os.environ.update(exported)
    asked: set[str] = set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost"):
            asked.add(str(arguments[0]))

    sys.addaudithook(note)
    yield
    assert not asked


def with_a_new_field(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "data": [{**row, "newField": 1} for row in content["data"]]}


def test_a_full_sync_and_incremental_syncs() -> None:
    """The first run loads all of Drift, the second one the changes; after each, the tables equal Drift."""
    drift = Drift(conversations=60, history_days=HISTORY_DAYS, meetings=3, now=int(time.time() * 1000) - HOUR)
    emails = [next(filter(None, (row["attributes"].get("email") for row in drift.expected("contacts"))))]
    new_field = Fault("/users/list", "body", times=None, change=with_a_new_field)
    with Sandbox(drift, Options(reports_per_minute=None), faults=[new_field]) as sandbox:
        configure(sandbox, TOKEN, contact_emails=emails)
        cache = follow("A full sync, then incremental ones")["cache"]
        for stream in PRIMARY_KEYS:
            assert keys(cache, stream) == wanted(drift, stream, emails=emails), stream
        newest = max(row["updatedAt"] for row in drift.expected("conversations"))
        changed = {*drift.touch_some(2), drift.add_conversation()}
        drift.delete_account(next(drift.expected("accounts"))["accountId"])
        # The page mentions this case: a list that becomes empty.
        configure(sandbox, TOKEN, contact_emails=[])
        sandbox.journal.clear()
        cache = follow("A full sync, then incremental ones")["cache"]
        asked = {int(one.path.split("/")[2]) for one in sandbox.journal.requests("^/conversations/[0-9]+/messages$")}
    late = {row["id"] for row in drift.expected("conversations") if row["updatedAt"] >= newest - LOOK_BACK}
    assert changed <= asked == late
    assert len(asked) < 20
    for stream in PRIMARY_KEYS:
        assert keys(cache, stream) == wanted(drift, stream, emails=emails), stream
    times = {row["id"]: row["updatedat"] for row in rows(cache, "conversations")}
    assert times == {row["id"]: row["updatedAt"] for row in drift.expected("conversations")}
    assert not [name for row in rows(cache, "users") for name in row if "new" in name], "the schema does not name it"


def test_a_failed_read_writes_no_rows(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a scope, the read fails with the connector's message, and no table gets a row."""
    tokens = {"sandbox-token": ("conversation_read",)}
    with Sandbox(Drift(conversations=5, history_days=HISTORY_DAYS), Options(tokens=tokens)) as sandbox:
        configure(sandbox, TOKEN)
        with pytest.raises(Exception, match="Connector failed") as failure:
            follow("A full sync, then incremental ones")
    assert type(failure.value).__name__ == "AirbyteConnectorFailedError"
    assert "ERROR: Drift refused the stream" in " ".join(capfd.readouterr().err.split())
    from airbyte.caches import DuckDBCache

    with pytest.raises(Exception, match="Ambiguous reference"):
        DuckDBCache(db_path="drift.duckdb", schema_name="drift")
    with DuckDBCache(db_path="drift.duckdb").get_sql_engine().connect() as database:
        tables = {str(name) for (name,) in database.exec_driver_sql("SELECT table_name FROM duckdb_tables()")}
        assert "_airbyte_state" in tables
        assert not tables & set(PRIMARY_KEYS), tables
        assert list(database.exec_driver_sql("FROM _airbyte_state")) == []


def test_oauth_continues_with_the_renewed_token() -> None:
    """The read and the next run use the renewed refresh token, which is also saved."""
    with Sandbox(Drift(conversations=5, history_days=HISTORY_DAYS)) as sandbox:
        configure(sandbox, OAUTH)
        follow("OAuth")
        assert json.loads(Path("config.json").read_text())["credentials"]["refresh_token"] != OAUTH["refresh_token"]
        follow("OAuth")
        assert set(sandbox.journal.statuses("/oauth2/token")) == {200}, sandbox.journal.statuses("/oauth2/token")


def test_pyairbyte_installs_the_connector() -> None:
    """PyAirbyte installs this version from the checkout, and it reaches Drift."""
    with Sandbox(Drift(conversations=1)) as sandbox:
        configure(sandbox, TOKEN)
        source = follow("An environment of its own for the connector")["source"]
        assert sandbox.journal.count("/app/token_info") == 1
    assert Path(os.environ["AIRBYTE_PROJECT_DIR"], ".venv-source-drift", "bin", "source-drift").exists()
    assert f'version = "{source.executor.reported_version}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_readme_example_reads_every_stream() -> None:
    """The example in README.md reads all streams into PyAirbyte's own cache."""
    drift = Drift(conversations=5, history_days=HISTORY_DAYS)
    with Sandbox(drift) as sandbox:
        configure(sandbox, TOKEN)
        cache = follow("PyAirbyte", ROOT / "README.md")["ab"].get_default_cache()
    for stream in PRIMARY_KEYS:
        assert keys(cache, stream) == wanted(drift, stream), stream


def test_the_manifest_reads_everything_again() -> None:
    """With `source_manifest`, a second read requests every conversation again, although its state is saved."""
    drift = Drift(conversations=20, history_days=HISTORY_DAYS, now=int(time.time() * 1000) - HOUR)
    asked = []
    with Sandbox(drift) as sandbox:
        configure(sandbox, TOKEN)
        for _ in range(2):
            sandbox.journal.clear()
            source = follow("The manifest alone")["source"]
            asked.append(sandbox.journal.count("^/conversations/[0-9]+/messages$"))
    assert asked[0] == asked[1] >= 20, asked
    assert source.get_selected_streams() == ["conversations", "messages"]
