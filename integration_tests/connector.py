"""Runs the connector as a process and reads what it says."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from integration_tests.hurried import run_script

ROOT = Path(__file__).parents[1]
TOKEN = "sandbox-token"
PRIMARY_KEYS = {"accounts": "accountId", "conversations": "id", "users": "id", "token_info": "authenticated_userid"}
EVERY_STREAM = tuple(PRIMARY_KEYS)
# Longer than any run takes; a process that hangs is ended and fails its test.
LONGEST_RUN = 240


@dataclass(frozen=True)
class Run:
    """What one process left: its exit code, the messages of standard output, and standard error."""

    code: int
    messages: list[dict[str, Any]]
    stderr: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The messages of a type, without their envelope."""
        return [
            message[field]
            for message in self.messages
            if message["type"] == kind
            for field in message.keys() - {"type"}
        ]

    def records(self, stream: str) -> list[dict[str, Any]]:
        return [record["data"] for record in self.of("RECORD") if record["stream"] == stream]

    def keys(self, stream: str) -> list[Any]:
        return [record[PRIMARY_KEYS[stream]] for record in self.records(stream)]

    @cached_property
    def statuses(self) -> dict[str, str]:
        """The last status of each stream."""
        traces = [trace["stream_status"] for trace in self.of("TRACE") if trace["type"] == "STREAM_STATUS"]
        return {trace["stream_descriptor"]["name"]: trace["status"] for trace in traces}

    def error(self, stream: str | None = None) -> str:
        """The message shown to the user for a stream, '' where there is none; without a stream that of the process."""
        for trace in self.of("TRACE"):
            if trace["type"] == "ERROR":
                named = trace["error"].get("stream_descriptor", {}).get("name")
                if stream is None or named == stream:
                    return str(trace["error"]["message"])
        return ""

    @property
    def logs(self) -> list[str]:
        return [log["message"] for log in self.of("LOG")]

    @property
    def warnings(self) -> list[str]:
        return [log["message"] for log in self.of("LOG") if log["level"] == "WARN"]

    @property
    def connection(self) -> tuple[str, str]:
        """Status and message of `check`."""
        (status,) = self.of("CONNECTION_STATUS")
        return status["status"], status.get("message", "")

    @property
    def configs(self) -> list[dict[str, Any]]:
        """The configs handed back to the platform."""
        return [control["connectorConfig"]["config"] for control in self.of("CONTROL")]

    def states(self, stream: str) -> list[dict[str, Any]]:
        return [
            state["stream"]["stream_state"]
            for state in self.of("STATE")
            if state["stream"]["stream_descriptor"]["name"] == stream
        ]

    def last_states(self) -> list[dict[str, Any]]:
        """The newest state message of each stream, as the next sync is given it."""
        newest = {state["stream"]["stream_descriptor"]["name"]: state for state in self.of("STATE")}
        return list(newest.values())


def access_token(url: str, token: str = TOKEN, **fields: Any) -> dict[str, Any]:
    """A config that reads the sandbox at `url` with a private token."""
    return {"credentials": {"credentials": "access_token", "access_token": token}, "api_url": url, **fields}


def oauth(url: str, **credentials: Any) -> dict[str, Any]:
    """A config that reads the sandbox at `url` with OAuth."""
    given = {"client_id": "sandbox-client", "client_secret": "sandbox-secret", "refresh_token": "sandbox-refresh-1"}
    return {"credentials": {"credentials": "oauth2.0", **given, **credentials}, "api_url": url}


def catalog(*streams: str, **modes: str) -> dict[str, Any]:
    """A configured catalog of these streams, full refresh unless `modes` says otherwise."""
    return {
        "streams": [
            {
                "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]},
                "sync_mode": modes.get(name, "full_refresh"),
                "destination_sync_mode": "append",
            }
            for name in dict.fromkeys([*streams, *modes])
        ]
    }


def run(
    verb: str,
    config: Mapping[str, Any],
    streams: Mapping[str, Any] | None = None,
    state: Sequence[Mapping[str, Any]] | None = None,
    *arguments: str,
    script: str = "source-declarative-manifest",
) -> Run:
    """Run a verb of the connector in a hurry, and see that no secret of `config` stands in anything that it says.

    The config that the connector hands back is left out of that: it has to hold them.
    """
    command = [script, verb, *arguments]
    if script == "source-declarative-manifest":
        command += ["--manifest-path", str(ROOT / "manifest.yaml"), "--components-path", str(ROOT / "components.py")]
    with TemporaryDirectory() as folder:
        for name, content in {"config": config, "catalog": streams, "state": state}.items():
            if content is not None:
                path = Path(folder, f"{name}.json")
                path.write_text(json.dumps(content), encoding="utf-8")
                command += [f"--{name}", str(path)]
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        environment = {"AIRBYTE_ENABLE_UNSAFE_CODE": "true"}
        code = run_script(command, environment, str(stdout), str(stderr), LONGEST_RUN)
        lines, errors = stdout.read_text(encoding="utf-8").splitlines(), stderr.read_text(encoding="utf-8")
    said = "\n".join(line for line in lines if not line.startswith('{"type":"CONTROL"')) + errors
    for secret in secrets_of(config):
        assert secret not in said, f"a secret stands in what `{verb}` says"
    return Run(code, [json.loads(line) for line in lines], errors)


def secrets_of(config: Mapping[str, Any]) -> set[str]:
    """Every credential of a config as it is, URL-encoded and in base64."""
    credentials = config.get("credentials") or {}
    names = ("access_token", "refresh_token", "client_secret")
    plain = {str(credentials[name]) for name in names if credentials.get(name)}
    return {form for one in plain for form in (one, quote(one, safe=""), base64.b64encode(one.encode()).decode())}
