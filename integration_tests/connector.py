"""Runs the connector as a process and parses its output."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from integration_tests.hurried import IN_A_HURRY, ROOT, Pace, run_script

TOKEN = "sandbox-token"
PRIMARY_KEYS = {
    "accounts": ("accountId",),
    "users": ("id",),
    "messages": ("id",),
    "conversation_details": ("id",),
    "contacts": ("id",),
    "conversations": ("id",),
    "conversation_metrics": ("conversationId",),
    "meetings": ("slug", "agentId"),
    "teams": ("id",),
    "playbooks": ("id",),
    "landing_pages": ("playbookId", "landingPageUrl"),
    "contacts_by_email": ("id",),
    "contact_attributes": ("name",),
    "conversation_stats": ("status",),
    "token_info": ("authenticated_userid",),
}
EVERY_STREAM = tuple(PRIMARY_KEYS)
# The children of conversations, with the field of a conversation that has the requested ID.
CHILDREN = {"messages": "id", "conversation_details": "id", "contacts": "contactId"}
# The endpoint of each stream, as in a fault plan.
ENDPOINTS = {
    "accounts": "/accounts",
    "conversations": "/conversations/list",
    "users": "/users/list",
    "messages": "/conversations/*/messages",
    "conversation_details": "^/conversations/[0-9]+$",
    "contacts": "^/contacts/[0-9]+$",
    "conversation_metrics": "/reports/conversations",
    "meetings": "/users/meetings/org",
    "teams": "/teams/org",
    "playbooks": "/playbooks/list",
    "landing_pages": "/playbooks/clp",
    "contacts_by_email": "/contacts",
    "contact_attributes": "/contacts/attributes",
    "conversation_stats": "/conversations/stats",
    "token_info": "/app/token_info",
}
# The CDK logs this for each custom error handler at every read, although ours does split windows.
MISLEADING = re.compile(r"^Stream (conversation_metrics|meetings) defines `request_window_splitting` but no .+")
# Seconds, more than any run takes. A process that hangs is stopped and fails its test.
LONGEST_RUN = 240


@dataclass(frozen=True)
class Run:
    """The result of one process: its exit code, the messages on standard output, and standard error.

    `peak` is its peak memory in MB; 0 if it was killed.
    """

    code: int
    messages: list[dict[str, Any]]
    stderr: str
    peak: float = 0.0

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
        """The key of each record: a value, or a tuple if it has several fields."""
        return [key_of(stream, record) for record in self.records(stream)]

    @cached_property
    def statuses(self) -> dict[str, str]:
        """The last status of each stream.

        A status with reasons is left out: the CDK prints RUNNING at each throttled request, even of a parent that is
        complete.
        """
        traces = [trace["stream_status"] for trace in self.of("TRACE") if trace["type"] == "STREAM_STATUS"]
        return {one["stream_descriptor"]["name"]: one["status"] for one in traces if not one.get("reasons")}

    def error(self, stream: str | None = None) -> str:
        """The message for the user about a stream, or about the process without a stream; '' if there is none."""
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
        """All warnings except two misleading ones of the CDK."""
        warned = (log["message"] for log in self.of("LOG") if log["level"] == "WARN")
        return [line for line in warned if not MISLEADING.match(line)]

    @property
    def connection(self) -> tuple[str, str]:
        """Status and message of `check`."""
        (status,) = self.of("CONNECTION_STATUS")
        return status["status"], status.get("message", "")

    @property
    def configs(self) -> list[dict[str, Any]]:
        """The configs in CONTROL messages."""
        return [control["connectorConfig"]["config"] for control in self.of("CONTROL")]

    def states(self, stream: str) -> list[dict[str, Any]]:
        return [
            state["stream"]["stream_state"]
            for state in self.of("STATE")
            if state["stream"]["stream_descriptor"]["name"] == stream
        ]

    def last_states(self) -> list[dict[str, Any]]:
        """The newest state message of each stream, as the next sync gets it."""
        return newest_states(self)


def key_of(stream: str, row: Mapping[str, Any]) -> Any:
    names = PRIMARY_KEYS[stream]
    return row[names[0]] if len(names) == 1 else tuple(row[name] for name in names)


def newest_states(*runs: Run) -> list[dict[str, Any]]:
    """The state that a platform has saved after these runs: the newest message of each stream."""
    return list(
        {state["stream"]["stream_descriptor"]["name"]: state for run in runs for state in run.of("STATE")}.values()
    )


def state_of(stream: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """A state message, as a platform passes it to the next sync."""
    return {"type": "STREAM", "stream": {"stream_descriptor": {"name": stream}, "stream_state": dict(state)}}


def access_token(url: str, token: str = TOKEN, **fields: Any) -> dict[str, Any]:
    """A config that reads the sandbox at `url` with a private token. The start date can be a day."""
    if len(day := fields.get("start_date", "")) == len("2026-01-31"):
        fields["start_date"] = f"{day}T00:00:00Z"
    return {"credentials": {"credentials": "access_token", "access_token": token}, "api_url": url, **fields}


def oauth(url: str, **credentials: Any) -> dict[str, Any]:
    """A config that reads the sandbox at `url` with OAuth."""
    given = {"client_id": "sandbox-client", "client_secret": "sandbox-secret", "refresh_token": "sandbox-refresh-1"}
    return {"credentials": {"credentials": "oauth2.0", **given, **credentials}, "api_url": url}


def catalog(*streams: str, **modes: str) -> dict[str, Any]:
    """A configured catalog of these streams; full refresh unless `modes` has another mode."""
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
    script: str = "source-drift",
    pace: Pace = IN_A_HURRY,
    kill_after: int | None = None,
    environment: Mapping[str, str] | None = None,
    longest: int = LONGEST_RUN,
    connector: Path = ROOT,
) -> Run:
    """Run a command of the connector with short waits, and check that its output contains no secret of `config`.

    CONTROL messages are not checked, because they must contain the secrets. With `kill_after`, the process is killed
    when it has printed this many records, and an incomplete last line is dropped. `connector` is the folder of
    manifest.yaml and components.py.
    """
    command = [script, verb, *arguments]
    if script == "source-declarative-manifest":
        command += [
            "--manifest-path",
            str(connector / "manifest.yaml"),
            "--components-path",
            str(connector / "components.py"),
        ]
    with TemporaryDirectory() as folder:
        for name, content in {"config": config, "catalog": streams, "state": state}.items():
            if content is not None:
                path = Path(folder, f"{name}.json")
                path.write_text(json.dumps(content), encoding="utf-8")
                command += [f"--{name}", str(path)]
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        # A process that is killed at once may not have opened them.
        stdout.touch()
        stderr.touch()
        environment = {"AIRBYTE_ENABLE_UNSAFE_CODE": "true", **(environment or {})}
        is_enough = None if kill_after is None else partial(_holds_records, stdout, kill_after)
        code = run_script(command, environment, str(stdout), str(stderr), longest, pace, is_enough, connector)
        output, errors = stdout.read_text(encoding="utf-8"), stderr.read_text(encoding="utf-8")
        # Not splitlines(), which also splits at characters in records. Text after the last newline is incomplete.
        lines = output.split("\n")[:-1]
        peak = Path(f"{stdout}.peak")
        # A process that is killed may not have written it.
        megabytes = int(peak.read_text(encoding="utf-8") or 0) / 1024 if peak.exists() else 0.0
    said = "\n".join(line for line in lines if not line.startswith('{"type":"CONTROL"')) + errors
    for secret in secrets_of(config):
        assert secret not in said, f"a secret is in the output of `{verb}`"
    return Run(code, [json.loads(line) for line in lines], errors, megabytes)


def _holds_records(stdout: Path, count: int) -> bool:
    return stdout.exists() and stdout.read_bytes().count(b'{"type":"RECORD"') >= count


def secrets_of(config: Mapping[str, Any]) -> set[str]:
    """Every credential of a config, unchanged, URL-encoded and in base64."""
    credentials = config.get("credentials") or {}
    names = ("access_token", "refresh_token", "client_secret")
    plain = {str(credentials[name]) for name in names if credentials.get(name)}
    return {form for one in plain for form in (one, quote(one, safe=""), base64.b64encode(one.encode()).decode())}
