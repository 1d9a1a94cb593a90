"""Evidence that a command gives: its exit code, and what it says last."""

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PYTEST = (sys.executable, "-m", "pytest", "-q", "-n", "2")


@dataclass(frozen=True)
class Ended:
    """A command as people call it, its exit code and its last line."""

    command: str
    code: int
    line: str


@dataclass(frozen=True)
class Evidence:
    """What some commands prove: their heading, what their last lines are about, and how they do it."""

    title: str
    what: str
    how: str
    commands: Mapping[str, Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=dict)

    def gather(self) -> list[Ended]:
        """Run the commands one after the other; the output of one that fails is printed."""
        return [self._run(name, command) for name, command in self.commands.items()]

    def _run(self, name: str, command: Sequence[str]) -> Ended:
        # What a make that calls this one was told, such as its jobs and ONLY, is not meant for these.
        environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "ONLY", "ARGS")}
        try:
            ended = subprocess.run(  # noqa: S603 (our own tests and targets)
                command,
                cwd=ROOT,
                env={**environment, **self.environment},
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            return Ended(name, 127, str(error))
        if ended.returncode:
            print(f"{ended.stdout[-2000:]}{ended.stderr[-2000:]}", flush=True)
        lines = [line.strip("= ") for line in ended.stdout.splitlines() if line.strip("= ")]
        # The CDK's use of its cache is deprecated, at each start of a source.
        said = re.sub(r", \d+ warnings?", "", lines[-1]) if lines else "no output"
        return Ended(name, ended.returncode, said)


def _tests(*paths: str, of: str = "") -> dict[str, Sequence[str]]:
    return {f"{of}pytest {' '.join(paths)}": (*_PYTEST, *paths)}


def _targets(*names: str) -> dict[str, Sequence[str]]:
    return {f"make {name}": ("make", "--no-print-directory", name) for name in names}


# By the name that `--only` takes.
EVIDENCE = {
    "links": Evidence(
        "Where the token goes",
        "Links and redirects to another host, which never sees the token",
        "Links to another host, without a scheme, with a lesser scheme, with a name and a password, with our host as a"
        " part of theirs; redirects of every kind to another host; a second server, which notes what it is asked. The"
        " one exception is the renewal of an OAuth token, which follows redirects:"
        " [SECURITY.md](../SECURITY.md#where-the-token-goes).",
        _tests("integration_tests/test_hostile_links.py"),
    ),
    "conservation": Evidence(
        "Nothing is lost",
        "Random Drifts, faults, changes, kills and syncs",
        "For any Drift, paging, selection of streams and faults, and any sequence of syncs, changes and kills: what was"
        " emitted, reduced by key, is what Drift holds, or a run failed aloud and a later one healed it without reset."
        " The property is integration_tests/conservation.py; each counterexample ever found is replayed first.",
        _tests("integration_tests/test_conservation.py", of="CONSERVATION=prove "),
        {
            "CONSERVATION": "prove",
            # Of all workers of pytest the same.
            "CONSERVATION_SEED": os.environ.get("CONSERVATION_SEED") or str(secrets.randbelow(1 << 32)),
        },
    ),
    "contract": Evidence(
        "What the local Drift answers",
        "Random requests to every endpoint, and every field of every schema, against sandbox/openapi.yaml",
        "All of this page was measured on a local Drift, so schemathesis holds that to the contract, and each field of"
        " each stream stands in it, and the other way round, or is listed with its reason.",
        _tests("unit_tests/sandbox/test_contract.py", "unit_tests/test_openapi.py"),
    ),
    "supply": Evidence(
        "What it is built on",
        "Known vulnerabilities, the list of packages, the newest CDK",
        "Every package is installed by its hash in requirements.lock. `make audit` asks for known vulnerabilities, if"
        " an advisory service answers; `make sbom` lists what the connector runs with; `make newest` runs the unit"
        " tests with the newest airbyte-cdk that pyproject.toml allows; the locked one is the oldest.",
        _targets("audit", "sbom", "newest"),
    ),
}
