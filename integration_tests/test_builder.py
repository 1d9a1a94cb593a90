"""The Connector Builder works with the connector: the CDK's manifest server resolves, checks, discovers and reads."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from integration_tests.connector import (
    CHILDREN,
    ENDPOINTS,
    EVERY_STREAM,
    LONGEST_RUN,
    ROOT,
    TOKEN,
    Run,
    access_token,
    catalog,
    key_of,
    oauth,
    run,
    secrets_of,
)
from integration_tests.hurried import run_script
from sandbox import Drift, Fault, Options, Sandbox

MANIFEST = yaml.safe_load((ROOT / "manifest.yaml").read_text(encoding="utf-8"))
CODE = (ROOT / "components.py").read_text(encoding="utf-8")
RECIPE = (ROOT / "docs" / "recipes" / "connector-builder.md").read_text(encoding="utf-8")
# The code, as the Builder passes it to a published connector.
COMPONENTS = {
    "__injected_components_py": CODE,
    "__injected_components_py_checksums": {"md5": hashlib.md5(CODE.encode()).hexdigest()},  # noqa: S324
}
# The request for `resolve` from the Builder's form.
FOR_THE_FORM = {"__should_normalize": True, "__should_migrate": True}
MOST = {"slice_limit": 20, "page_limit": 20, "record_limit": 5000}
# Waits have their full length in the server. A response takes a second or two, or at least 90 if it waits for a worker.
LONGEST_ANSWER = 60
# Long enough for rows in every stream, and short enough for the Builder's limit of five pages.
HISTORY_DAYS = 60


@dataclass(frozen=True)
class Builder:
    """A manifest server with the Builder's requests; `log` is its output."""

    url: str
    log: Path

    def ask(self, verb: str, manifest: Mapping[str, Any] = MANIFEST, **body: Any) -> requests.Response:
        answer = requests.post(
            f"{self.url}/v1/manifest/{verb}", json={"manifest": manifest, **body}, timeout=LONGEST_ANSWER
        )
        shown = answer.text if "latest_config_update" not in answer.text else without_update(answer.json())
        for secret in secrets_of(body.get("config", {})):
            assert secret not in shown, f"a secret is in the output of `{verb}`"
        return answer

    def test_read(self, stream: str, config: Mapping[str, Any], code: str = CODE, **limits: int) -> dict[str, Any]:
        answer = self.ask("test_read", config=config, stream_name=stream, custom_components_code=code, **limits)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def without_update(read: Mapping[str, Any]) -> str:
    """A test read as text, without the returned config, which must contain the secrets."""
    return json.dumps({**read, "latest_config_update": None})


def pages_of(read: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [page for one in read["slices"] for page in one["pages"]]


def rows_of(read: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [row for page in pages_of(read) for row in page["records"]]


def errors_of(read: Mapping[str, Any]) -> set[str]:
    return {log["message"] for log in read["logs"] if log["level"] == "ERROR"}


def in_order(stream: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows by key, without null fields, because record messages leave them out."""
    return [without_nulls(row) for row in sorted(rows, key=lambda row: str(key_of(stream, row)))]


def without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def days_ago(days: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}"


@contextmanager
def manifest_server(folder: Path, **environment: str) -> Iterator[Builder]:
    """A manifest server in its own process, which finds no components except those in its requests."""
    log = folder / "server.log"
    # Requests wait at the socket until the server has started, so no check is needed.
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as output:
        handle = listener.fileno()
        server = subprocess.Popen(
            # -S, because the editable install would put this checkout, with components.py, on its path.
            [sys.executable, "-S", "-m", "uvicorn", "airbyte_cdk.manifest_server.app:app", "--fd", str(handle)],
            env={**os.environ, "PYTHONPATH": sysconfig.get_path("purelib"), **environment},
            cwd=folder,
            stdout=output,
            stderr=output,
            pass_fds=[handle],
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield Builder(url, log)
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    with manifest_server(tmp_path_factory.mktemp("builder"), AIRBYTE_ENABLE_UNSAFE_CODE="true") as server:
        yield server


@pytest.fixture(scope="module")
def drift() -> Drift:
    return Drift(accounts=130, conversations=5, history_days=HISTORY_DAYS, meetings=3)


@pytest.fixture(scope="module")
def sandbox(drift: Drift) -> Iterator[Sandbox]:
    with Sandbox(drift, Options(reports_per_minute=None)) as running:
        yield running


@pytest.fixture(scope="module")
def config(drift: Drift, sandbox: Sandbox) -> dict[str, Any]:
    address = next(filter(None, (row["attributes"].get("email") for row in drift.expected("contacts"))))
    return access_token(sandbox.url, start_date=days_ago(HISTORY_DAYS + 1), contact_emails=[address])


@pytest.fixture(scope="module")
def synced(config: dict[str, Any]) -> Run:
    """The same Drift, read by the console script."""
    return run("read", config, catalog(*EVERY_STREAM))


def published(
    manifest: Mapping[str, Any], config: Mapping[str, Any], state: Sequence[Mapping[str, Any]], folder: Path
) -> Run:
    """Read every stream like a connector that was published in the Builder, with the connector in its config."""
    content = {
        "config": {**config, **COMPONENTS, "__injected_declarative_manifest": manifest},
        "catalog": incremental(),
        "state": state,
    }
    command = ["source-declarative-manifest", "read"]
    for name, value in content.items():
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
        command += [f"--{name}", str(folder / f"{name}.json")]
    stdout, stderr = folder / "stdout", folder / "stderr"
    environment = {"AIRBYTE_ENABLE_UNSAFE_CODE": "true"}
    code = run_script(command, environment, str(stdout), str(stderr), LONGEST_RUN)
    lines = stdout.read_text(encoding="utf-8").split("\n")[:-1]
    return Run(code, [json.loads(line) for line in lines], stderr.read_text(encoding="utf-8"))


def incremental() -> dict[str, Any]:
    """A catalog of every stream, incremental where it can be."""
    return catalog(*EVERY_STREAM, conversations="incremental", **dict.fromkeys(CHILDREN, "incremental"))


def test_both_resolves_show_every_stream(builder: Builder) -> None:
    """`resolve` and `full_resolve` return the 15 streams without references or generated streams."""
    for verb, body in (("resolve", {}), ("full_resolve", {"config": {}})):
        answer = builder.ask(verb, **body)
        assert answer.status_code == 200, answer.text
        streams = answer.json()["manifest"]["streams"]
        assert [stream["name"] for stream in streams] == list(EVERY_STREAM), verb
        assert "$ref" not in json.dumps(streams), verb


def test_check_and_discover_use_the_code_in_the_config(builder: Builder, config: dict[str, Any]) -> None:
    """With code and checksum in the config, `check` passes, and `discover` returns the console script's catalog."""
    answer = builder.ask("check", config={**config, **COMPONENTS}).json()
    assert answer == {"success": True, "message": None}
    answer = builder.ask("discover", config={**config, **COMPONENTS}).json()
    (discovered,) = run("discover", config).of("CATALOG")
    assert [without_nulls(stream) for stream in answer["catalog"]["streams"]] == discovered["streams"]


@pytest.mark.parametrize("stream", ["accounts", "messages", "conversation_metrics", "token_info"])
def test_a_test_read_shows_the_records_of_a_sync(
    stream: str, builder: Builder, config: dict[str, Any], synced: Run
) -> None:
    """For data within its limits, the Builder shows each record of each kind of stream, without a warning."""
    read = builder.test_read(stream, config)
    assert not read["logs"], read["logs"]
    assert rows_of(read), "a stream without rows shows nothing"
    assert in_order(stream, rows_of(read)) == in_order(stream, synced.records(stream))


@pytest.mark.parametrize("stream", ["conversations", "messages"])
def test_a_test_read_of_a_large_drift_ends(stream: str, builder: Builder) -> None:
    """With the Builder's maximum of slices and pages, its one worker reads only these, and ends."""
    with Sandbox(Drift(accounts=1400, conversations=1500), Options(reports_per_minute=None)) as sandbox:
        read = builder.test_read(stream, access_token(sandbox.url), **MOST)
        asked = sandbox.journal.count()
    assert not errors_of(read), errors_of(read)
    assert read["test_read_limit_reached"]
    if stream in CHILDREN:
        assert len(read["slices"]) == 20
        # The pages of the list that are needed for this many slices, and those of the children.
        assert asked <= 5 + len(pages_of(read))
    else:
        assert asked == 20


@pytest.mark.parametrize(("status", "shown"), [(403, "missing the conversation_read scope"), (503, "HTTP 503")])
def test_a_test_read_of_failing_children_ends(status: int, shown: str, builder: Builder) -> None:
    """If every slice fails, each is requested once without a wait, and the Builder shows why."""
    refused = Fault(ENDPOINTS["messages"], "status", status=status, times=None)
    with Sandbox(Drift(conversations=100), faults=[refused]) as sandbox:
        read = builder.test_read("messages", access_token(sandbox.url))
        assert sandbox.journal.statuses()[status] == 5
    assert errors_of(read), "the Builder shows no error"
    assert all(shown in error for error in errors_of(read)), errors_of(read)


def test_oauth_tokens_come_back_from_a_test_read_alone(builder: Builder, drift: Drift) -> None:
    """A test read returns the renewed config, which the Builder then uses; `check` loses it.

    It shows and logs the renewed token, as docs/recipes/connector-builder.md warns.
    """
    renewed_token = "sandbox-refresh-2"
    with Sandbox(drift) as sandbox:
        read = builder.test_read("users", oauth(sandbox.url))
        assert renewed_token in without_update(read)
        assert renewed_token in builder.log.read_text(encoding="utf-8")
        again = builder.test_read("users", read["latest_config_update"])
        assert rows_of(again) == rows_of(read) != []
        assert sandbox.journal.count("/oauth2/token") == 1
    with Sandbox(drift) as sandbox:
        given = {**oauth(sandbox.url), **COMPONENTS}
        assert builder.ask("check", config=given).json()["success"]
        message = builder.ask("check", config=given).json()["message"]
    assert "The OAuth token was not renewed" in message


def test_without_the_variable_nothing_is_requested(tmp_path: Path, sandbox: Sandbox, config: dict[str, Any]) -> None:
    """Without permission for custom code, only resolve works; the rest fails as in the recipe, without a request."""
    sandbox.journal.clear()
    with manifest_server(tmp_path, AIRBYTE_ENABLE_UNSAFE_CODE="") as locked:
        assert not requests.get(f"{locked.url}/capabilities/", timeout=LONGEST_ANSWER).json()["custom_code_execution"]
        assert locked.ask("resolve").status_code == 200
        read = locked.ask("test_read", config=config, stream_name="users", custom_components_code=CODE)
        check = locked.ask("check", config={**config, **COMPONENTS})
        discover = locked.ask("discover", config={**config, **COMPONENTS})
    (reason,) = {line for line in locked.log.read_text(encoding="utf-8").splitlines() if "NotPermittedError: " in line}
    reason = reason.partition(": ")[2]
    assert " ".join(reason.split()) in " ".join(RECIPE.split())
    assert (read.status_code, read.text) == (500, "Internal Server Error")
    assert (check.status_code, check.json()["detail"]) == (400, f"Error checking connection: {reason}")
    assert (discover.status_code, discover.json()["detail"]) == (400, f"Error discovering streams: {reason}")
    assert not sandbox.journal.count()


def test_without_the_code_nothing_is_requested(tmp_path: Path, sandbox: Sandbox, config: dict[str, Any]) -> None:
    """Without components.py, `check` and a test read fail with the error in the recipe."""
    sandbox.journal.clear()
    with manifest_server(tmp_path, AIRBYTE_ENABLE_UNSAFE_CODE="true") as empty:
        check = empty.ask("check", config=config).json()
        read = empty.ask("test_read", config=config, stream_name="users")
    reason = "Could not load module `source_declarative_manifest.components`."
    assert reason in RECIPE
    assert not check["success"]
    assert reason in check["message"]
    assert (read.status_code, read.json()["detail"]) == (400, f"Error reading stream: {reason}")
    assert not sandbox.journal.count()


def test_what_the_builder_makes_of_the_manifest_reads_the_same(builder: Builder, tmp_path: Path) -> None:
    """After import, export and publication in the Builder, it reads the same records with the same requests.

    This is also true with the state of a first sync, and with a token without scopes.
    """
    answer = builder.ask("resolve", manifest={**MANIFEST, **FOR_THE_FORM}).json()["manifest"]
    exported = yaml.safe_load(yaml.safe_dump(answer, sort_keys=False))
    assert exported != MANIFEST
    drift = Drift(accounts=130, conversations=60, history_days=HISTORY_DAYS, meetings=3)
    with Sandbox(drift, Options(reports_per_minute=None)) as sandbox:
        config = access_token(sandbox.url, start_date=days_ago(HISTORY_DAYS + 1))

        def asked(code: int) -> Any:
            # Two streams request the list of conversations at the same time, and share the pages that one has already.
            shared = ENDPOINTS["conversations"]
            counted = Counter((one.method, one.path) for one in sandbox.journal if one.path != shared)
            sandbox.journal.clear()
            # The number of windows in progress when the first one is refused can vary.
            return set(counted) if code else counted

        def both(state: Sequence[Mapping[str, Any]]) -> Run:
            sandbox.journal.clear()
            original = run("read", config, incremental(), state)
            wanted = asked(original.code)
            rewritten = published(exported, config, state, tmp_path)
            assert asked(rewritten.code) == wanted
            assert rewritten.code == original.code, rewritten.error()
            assert rewritten.statuses == original.statuses
            for stream in EVERY_STREAM:
                rows = in_order(stream, original.records(stream))
                assert in_order(stream, rewritten.records(stream)) == rows, stream
                assert rewritten.error(stream) == original.error(stream), stream
            return rewritten

        first = both([])
        assert len(first.records("conversations")) == 60, first.error()
        drift.touch_some(3)
        second = both(first.last_states())
        assert 3 <= len(second.records("conversations")) < 60
        sandbox.options = Options(tokens={TOKEN: ()})
        refused = both([])
        assert all(
            refused.error(stream) for stream in EVERY_STREAM if stream not in ("token_info", "contacts_by_email")
        )
