"""Runs the connector as Airbyte does, one process per run, and checks that no record was lost."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import yaml

from sandbox import PRIMARY_KEYS, Options, Sandbox
from tools.bench.process import ROOT, Failed, Usage, spend

CHILDREN = ("messages", "conversation_details", "contacts")
# In the order of `discover`, in which the first child reads the list.
OF_CONVERSATIONS = (*CHILDREN, "conversations")
INCREMENTAL = (*OF_CONVERSATIONS, "conversation_metrics", "meetings")
MANIFEST = ROOT / "manifest.yaml"
TOKEN = "sandbox-token"
# A Drift that never throttles.
UNLIMITED = Options(rate_limit=None, reports_per_minute=None)
# More requests per second than any run reaches.
_NO_LIMIT = 100_000

Message = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One read: its resource usage, the number of records of each stream, and its last state messages."""

    usage: Usage
    records: Mapping[str, int]
    states: Sequence[Message]

    def state_bytes(self, stream: str) -> int:
        """Size in bytes of the stream's last state as compact JSON, or 0 without a state."""
        return sum(
            len(orjson.dumps(state["stream"]["stream_state"]))
            for state in self.states
            if state["stream"]["stream_descriptor"]["name"] == stream
        )


@dataclass
class _Said:
    """What a read said."""

    keys: dict[str, list[Any]] = field(default_factory=dict)
    states: dict[str, Message] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def read(
    sandbox: Sandbox,
    *streams: str,
    state: Sequence[Message] | None = None,
    manifest: Path = MANIFEST,
    partial: bool = False,
    under: Sequence[str] = (),
    **settings: Any,
) -> Run:
    """Clear the journal of a local Drift and read its streams incrementally; `settings` go into the config.

    `under` is a command that runs the connector's command.

    Raises:
        Failed: a stream failed, a record is missing (unless `partial`), or one is not in Drift.
    """
    configured = [
        {
            "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]},
            "sync_mode": "incremental" if name in INCREMENTAL else "full_refresh",
            "destination_sync_mode": "append",
        }
        for name in streams
    ]
    sandbox.journal.clear()
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = {"config": config(sandbox.url, **settings), "catalog": {"streams": configured}}
        usage = run("read", folder, files if state is None else {**files, "state": state}, manifest, under)
        said = _said(folder / "stdout")
    incomplete = [name for name in streams if said.statuses.get(name) != "COMPLETE"]
    if usage.code or incomplete:
        raise Failed(f"exit code {usage.code}, not complete: {incomplete}; {' '.join(said.errors)}")
    for name in streams:
        _compare(sandbox, name, said.keys.get(name, []), partial)
    return Run(usage, {name: len(said.keys.get(name, [])) for name in streams}, list(said.states.values()))


def run(
    verb: str, folder: Path, files: Mapping[str, Any], manifest: Path = MANIFEST, under: Sequence[str] = ()
) -> Usage:
    """Run a command of the connector with these files (`config`, `catalog`, `state`); its output goes to `folder`."""
    command = [*under, str(Path(sysconfig.get_path("scripts"), "source-declarative-manifest")), verb]
    command += ["--manifest-path", str(manifest), "--components-path", str(ROOT / "components.py")]
    for name, content in files.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        command += [f"--{name}", str(path)]
    # Custom components from a path need this permission; in the connector's image they don't.
    return spend(command, folder, {"AIRBYTE_ENABLE_UNSAFE_CODE": "true"})


def config(url: str, **settings: Any) -> Message:
    """A config for a local Drift."""
    return {"credentials": {"credentials": "access_token", "access_token": TOKEN}, "api_url": url, **settings}


@contextmanager
def unlimited() -> Iterator[Path]:
    """A copy of the manifest whose budget never waits, but still does its work, so that it is measured."""
    manifest = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    for policy in manifest["api_budget"]["policies"]:
        for rate in policy["rates"]:
            rate["limit"] = _NO_LIMIT
    with TemporaryDirectory() as name:
        path = Path(name, "manifest.yaml")
        path.write_text(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True), encoding="utf-8")
        yield path


def _said(stdout: Path) -> _Said:
    said = _Said()
    with open(stdout, "rb") as lines:
        for line in lines:
            message = orjson.loads(line)
            kind = message["type"]
            if kind == "RECORD":
                record = message["record"]
                fields = PRIMARY_KEYS[record["stream"]]
                key = tuple(record["data"][field] for field in fields)
                said.keys.setdefault(record["stream"], []).append(key if len(key) > 1 else key[0])
            elif kind == "STATE":
                state = message["state"]
                said.states[state["stream"]["stream_descriptor"]["name"]] = state
            elif kind == "TRACE" and message["trace"]["type"] == "STREAM_STATUS":
                status = message["trace"]["stream_status"]
                said.statuses[status["stream_descriptor"]["name"]] = status["status"]
            elif kind == "TRACE" and message["trace"]["type"] == "ERROR":
                said.errors.append(message["trace"]["error"]["message"])
    return said


def _compare(sandbox: Sandbox, stream: str, keys: Sequence[Any], partial: bool) -> None:
    came = set(keys)
    missing, foreign = 0, set(came)
    for key in sandbox.drift.keys(stream):
        missing += key not in came
        foreign.discard(key)
    if foreign or (missing and not partial):
        raise Failed(f"{stream}: {missing:,} records are missing, {len(foreign):,} are not Drift's")
