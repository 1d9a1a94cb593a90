"""Tests every verb, log level and failure: no credential leaves the connector, and no message text is logged."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, quote_plus

from integration_tests.connector import ENDPOINTS, EVERY_STREAM, Run, access_token, catalog, oauth, run
from sandbox import Drift, Fault, Options, Sandbox
from tools.evidence.faults import addresses

# Invented, with all characters that a token may contain (RFC 6750, 2.1) and that encodings change.
TOKEN = "made-up/token+with.odd~characters=="  # noqa: S105
FAILURES: dict[str, list[Fault]] = {
    "nothing": [],
    "HTTP 401": [Fault("*", "status", status=401, times=None)],
    "HTTP 403": [Fault("*", "status", status=403, times=None)],
    "HTTP 418": [Fault("*", "status", status=418, times=None)],
    "HTTP 500": [Fault(path, "status", status=500, times=None) for path in ENDPOINTS.values()],
    "HTML": [Fault("*", "html", times=None)],
    "redirect": [Fault("*", "redirect", times=None)],
    "reset": [Fault("*", "reset", times=None)],
}
VERBS = ("check", "discover", "read")


@dataclass(frozen=True)
class Finding:
    """Leaks in the output of one run; empty if nothing leaked."""

    verb: str
    credentials: str
    level: str
    failure: str
    leaked: list[str] = field(default_factory=list)
    personal: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not (self.leaked or self.personal or self.left_behind)


def forms(secret: str) -> set[str]:
    """A secret unchanged, in a URL, in a form, in JSON, in JSON within JSON, and in base64."""
    in_json = json.dumps(secret)[1:-1]
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {secret, quote(secret, safe=""), quote_plus(secret), in_json, json.dumps(in_json)[1:-1], encoded}


def findings() -> Iterator[Finding]:
    """Run every verb with both kinds of credentials, at both log levels, under every failure."""
    drift = Drift(conversations=12, accounts=3, users=3, meetings=4, history_days=60)
    for verb in VERBS:
        for credentials in ("access token", "OAuth"):
            for level in ("INFO", "--debug"):
                for failure, plan in FAILURES.items():
                    yield finding(verb, credentials, level, failure, plan, drift)


def finding(verb: str, credentials: str, level: str, failure: str, plan: list[Fault], drift: Drift) -> Finding:
    """Run a verb once with the faults in `plan`, named `failure`, and search its output and leftover files."""
    emails = addresses(drift)
    options = Options(rate_limit=None, tokens={TOKEN: Options().tokens["sandbox-token"]}, refresh_token=TOKEN)
    with Sandbox(drift, options, faults=plan) as sandbox, TemporaryDirectory() as folder:
        more = {"contact_emails": emails, "start_date": "2025-01-01T00:00:00Z"}
        config = access_token(sandbox.url, TOKEN, **more)
        if credentials == "OAuth":
            config = {**oauth(sandbox.url, refresh_token=TOKEN), **more}
        streams = catalog(*EVERY_STREAM) if verb == "read" else None
        arguments = () if level == "INFO" else (level,)
        ended = run(verb, config, streams, None, *arguments, environment={"TMPDIR": folder})
        left = [str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()]
        secrets = {secret for given in (config, *ended.configs) for secret in _secrets(given)}
    return Finding(
        verb,
        credentials,
        level,
        failure,
        sorted({name for name, secret in secrets if any(form in _said(ended) for form in forms(secret))}),
        # SECURITY.md documents that the CDK prints responses with --debug.
        sorted(text for text in {*_private(drift), *emails} if text in _logged(ended)) if level == "INFO" else [],
        left,
    )


def _secrets(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("access_token", "refresh_token", "client_secret"):
        if config["credentials"].get(name):
            yield name, config["credentials"][name]


def _private(drift: Drift) -> set[str]:
    """Message texts and IP addresses."""
    found: set[str] = set()
    for message in drift.expected("messages"):
        found |= {str(message.get("body") or ""), str((message.get("context") or {}).get("ip") or "")}
    return {text for text in found if len(text) > 6}


def _said(ended: Run) -> str:
    """All output of the process, except the config that it returns to the platform, which must contain the secrets."""
    return ended.stderr + "\n".join(json.dumps(message) for message in ended.messages if message["type"] != "CONTROL")


def _logged(ended: Run) -> str:
    return ended.stderr + "\n".join(
        json.dumps(message, ensure_ascii=False) for message in ended.messages if message["type"] in ("LOG", "TRACE")
    )
