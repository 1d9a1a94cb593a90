"""Evidence from a command: its exit code and its last line of output."""

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
    """A command, its exit code and its last line of output."""

    command: str
    code: int
    line: str


@dataclass(frozen=True)
class Evidence:
    """Evidence from some commands: the heading, a summary, and a description of the method."""

    title: str
    what: str
    how: str
    commands: Mapping[str, Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=dict)

    def gather(self) -> list[Ended]:
        """Run the commands one after the other; the output of one that fails is printed."""
        return [self._run(name, command) for name, command in self.commands.items()]

    def _run(self, name: str, command: Sequence[str]) -> Ended:
        # Options of the calling make, such as its jobs and ONLY, must not reach these commands.
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
        # The CDK causes a deprecation warning for its cache at each start of a source.
        said = re.sub(r", \d+ warnings?", "", lines[-1]) if lines else "no output"
        return Ended(name, ended.returncode, said)


def _tests(*paths: str, of: str = "") -> dict[str, Sequence[str]]:
    return {f"{of}pytest {' '.join(paths)}": (*_PYTEST, *paths)}


def _targets(*names: str) -> dict[str, Sequence[str]]:
    return {f"make {name}": ("make", "--no-print-directory", name) for name in names}


# By the name for `--only`.
EVIDENCE = {
    "links": Evidence(
        "Where the token goes",
        "Links and redirects to another host, which never receives the token",
        "These tests use links to another host, without a scheme, with http instead of https, with a user name and a"
        " password, and with our host name as a part of the other one. They also use redirects of every kind to another"
        " host. A second server records the requests that it receives. The only exception is the renewal of an OAuth"
        " token, which follows redirects:"
        " [SECURITY.md](../SECURITY.md#where-the-token-goes).",
        _tests("integration_tests/test_hostile_links.py"),
    ),
    "conservation": Evidence(
        "No data is lost",
        "Random data, faults, changes, kills and syncs",
        "This property test uses random data, pagination, stream selections and faults, and random sequences of syncs,"
        " changes and killed processes. After deduplication by key, the emitted records must be the records in Drift."
        " Otherwise, a run must have failed with an error, and a later run must have recovered without a reset. The"
        " property is in integration_tests/conservation.py. The test first replays all counterexamples found so far.",
        _tests("integration_tests/test_conservation.py", of="CONSERVATION=prove "),
        {
            "CONSERVATION": "prove",
            # All pytest workers use the same seed.
            "CONSERVATION_SEED": os.environ.get("CONSERVATION_SEED") or str(secrets.randbelow(1 << 32)),
        },
    ),
    "destination": Evidence(
        "The destination",
        "Random rows, faults, kills and restarts of destination-drift",
        "Each of 1,000 random histories has up to 24 rows and states, contacts that exist, and runs with faults that"
        " are cut off, stopped or killed. After each run, what follows the last acknowledged state is sent again. At"
        " each acknowledged state, Drift has the effect of every row before it that was not reported as rejected. At"
        " the end, the contacts have the values of the last rows, nobody exists twice, and nothing else was changed."
        " The property is in destination-drift/histories.py. The test first replays all counterexamples found so far.",
        _tests("destination-drift/integration_tests/test_property.py", of="HISTORIES=1000 "),
        {"HISTORIES": "1000", "HISTORIES_SEED": os.environ.get("HISTORIES_SEED") or str(secrets.randbelow(1 << 32))},
    ),
    "contract": Evidence(
        "The local Drift matches its API description",
        "Random requests to every endpoint, and every field of every schema, against sandbox/openapi.yaml",
        "All results on this page come from the local Drift. Therefore, schemathesis tests it against its API"
        " description. Another test checks that each stream's fields and the API description match; exceptions are"
        " listed with a reason.",
        _tests("unit_tests/sandbox/test_contract.py", "unit_tests/test_openapi.py"),
    ),
    "supply": Evidence(
        "Dependencies",
        "Known vulnerabilities, the list of packages, the newest CDK",
        "Every package is checked against its hash in requirements.lock. `make audit` looks for known vulnerabilities,"
        " if an advisory service is available. `make sbom` lists the packages that the connector runs with. `make"
        " newest` runs the unit tests with the newest airbyte-cdk that pyproject.toml allows; the locked version is the"
        " oldest one allowed.",
        _targets("audit", "sbom", "newest"),
    ),
}
