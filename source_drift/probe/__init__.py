"""`source-drift probe`: compares what the connector assumes about Drift with what Drift returns.

It sends at most 60 requests, at most five per second, and none of them changes anything. It prints one line per
assumption, without any data of the organization.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from source_drift import connector_folder
from source_drift.probe.assumptions import Finding, findings
from source_drift.probe.client import Client
from source_drift.probe.config import ConfigError, Settings
from source_drift.probe.observations import TokenRefused, gather

REFUSED = (
    "Drift refused the token for every endpoint (HTTP 401): it is invalid, expired or revoked. "
    "Issue a new access token for your app at dev.drift.com and save it in the config file."
)
UNREACHABLE = "Drift did not respond. Check the network connection of this machine, then run the probe again."


def main(arguments: Sequence[str]) -> int:
    """Run the probe with the arguments after `probe` and return the exit code.

    0 if Drift responded, whatever the verdicts; 1 with one sentence on standard error if the config cannot be used, if
    Drift refuses the token everywhere or does not respond, or if FILE cannot be written; 2 for wrong arguments.
    """
    parser = argparse.ArgumentParser(
        prog="source-drift probe",
        description="Compare what the connector assumes about Drift with what Drift returns. Sends at most 60 requests "
        "that change nothing, and prints no data of your organization.",
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="the settings of the connector")
    parser.add_argument("--json", metavar="FILE", help="also write the result to this file, for a bug report")
    given = parser.parse_args(arguments)
    manifest = _manifest()
    try:
        settings = Settings.read(Path(given.config), manifest)
        if given.json and Path(given.json).resolve() == Path(given.config).resolve():
            raise ConfigError("--json names the config file. Choose another file for the result.")
        client = Client(settings.api_url, settings.access_token)
        print("Sending at most 60 requests, 5 per second …", file=sys.stderr)
        if not settings.access_token:
            client.use(settings.renew(client))
        renew = partial(settings.renew, client) if settings.is_oauth else None
        found = findings(gather(client, manifest, renew))
    except ConfigError as error:
        return _failed(str(error))
    except TokenRefused:
        return _failed(REFUSED)
    if all(answer.status is None for answer in client.answers):
        return _failed(UNREACHABLE)
    print(page(found, client.sent))
    if given.json:
        try:
            Path(given.json).write_text(json.dumps(record(found, client.sent), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            return _failed(f"The result cannot be written to {given.json}: {error.strerror}.")
    return 0


@cache
def _manifest() -> dict[str, Any]:
    return dict(yaml.safe_load((connector_folder() / "manifest.yaml").read_text(encoding="utf-8")))


def page(found: Sequence[Finding], requests: int) -> str:
    """Return one line per assumption, and one with the totals."""
    width = max(len(one.assumption.name) for one in found)
    lines = [f"{one.verdict:<11}  {one.assumption.name:<{width}}  {_said(one)}" for one in found]
    counts = Counter(one.verdict for one in found)
    totals = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("held", "refuted", "cannot tell"))
    return "\n".join([*lines, "", f"{totals}; {requests} requests. AGENTS.md explains the numbered behaviors."])


def _said(one: Finding) -> str:
    dialects = f"; dialects {', '.join(one.assumption.dialects)}" if one.verdict == "refuted" else ""
    return f"{one.assumption.claim} Seen: {one.evidence} [AGENTS.md {one.assumption.rule}{dialects}]"


def record(found: Sequence[Finding], requests: int) -> dict[str, Any]:
    """Return the same for a file."""
    try:
        installed = version("airbyte-source-drift")
    except PackageNotFoundError:
        installed = "unknown"
    return {
        "version": installed,
        "requests": requests,
        "assumptions": [
            {
                "name": one.assumption.name,
                "claim": one.assumption.claim,
                "verdict": one.verdict,
                "evidence": one.evidence,
                "rule": one.assumption.rule,
                "dialects": one.assumption.dialects,
            }
            for one in found
        ],
    }


def _failed(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1
