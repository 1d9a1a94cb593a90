"""Asks pip-audit for the known vulnerabilities of what requirements.lock pins: `make audit`.

Fails on a vulnerability without an exception in exceptions.toml, and on an exception that is expired or unused. What
the vulnerability service did not answer for is said to be not audited: no failure, and no success either.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
EXCEPTIONS = Path(__file__).with_name("exceptions.toml")
SECONDS_FOR_ALL = 300
# What pip-audit and requests say where nobody answers. Any other end of pip-audit is an error of ours.
UNREACHABLE = re.compile(
    r"\b(?:Connect\w*Error|ConnectTimeout|ReadTimeout|ProxyError|SSLError|ServiceError)\b|Could not connect"
)


@dataclass(frozen=True)
class Allowed:
    """One entry of exceptions.toml: a vulnerability that may be there up to and with `until`."""

    id: str
    package: str
    reason: str
    until: date


@dataclass(frozen=True)
class Verdict:
    """What the audit found: `notes` for the user, and `troubles`, each of which fails it."""

    notes: list[str]
    troubles: list[str]


def exceptions(text: str) -> list[Allowed]:
    """The entries of an exceptions.toml. Raises `ValueError` for one that is not complete."""
    entries = []
    for entry in tomllib.loads(text).get("exception", []):
        if set(entry) != {"id", "package", "reason", "until"} or not all(entry.values()):
            raise ValueError(f"an exception needs id, package, reason and until, and nothing else: {entry}")
        # A datetime is a date to isinstance, but cannot be compared with one.
        if type(entry["until"]) is not date:
            raise ValueError(f"until is a date without quotes or time, as 2026-12-31: {entry}")
        entries.append(Allowed(**{**entry, "package": canonicalize_name(entry["package"])}))
    return entries


def not_reached(count: int) -> Verdict:
    """The verdict where the vulnerability service did not answer at all."""
    return Verdict([f"NOT AUDITED: {count} of {count} packages, the vulnerability service could not be reached"], [])


def verdict(answer: Mapping[str, Any], allowed: Sequence[Allowed], today: date) -> Verdict:
    """Judge pip-audit's JSON. An exception counts as unused only where its package was audited, or is not locked."""
    found = {canonicalize_name(package["name"]): package for package in answer["dependencies"]}
    unknown = sorted(name for name, package in found.items() if "skip_reason" in package)
    troubles, used = [], set()
    for name, package in found.items():
        for vulnerability in package.get("vulns", []):
            ids = {vulnerability["id"], *vulnerability.get("aliases", [])}
            matching = {entry for entry in allowed if entry.package == name and entry.id in ids}
            used |= matching
            if not matching:
                fixed = ", ".join(vulnerability.get("fix_versions", [])) or "no version"
                troubles.append(f"{name} {package['version']} has {vulnerability['id']}, which {fixed} mends")
    for entry in allowed:
        if entry.until < today:
            troubles.append(f"the exception for {entry.id} of {entry.package} expired on {entry.until}")
        if entry not in used and entry.package not in unknown:
            troubles.append(f"the exception for {entry.id} of {entry.package} is unused: take it out")
    return Verdict(list(_notes(len(found), unknown, len(used))), troubles)


def _notes(count: int, unknown: Sequence[str], excepted: int) -> Iterable[str]:
    if unknown:
        names = "" if len(unknown) == count else f" ({', '.join(unknown)})"
        yield f"NOT AUDITED: {len(unknown)} of {count} packages{names}, the vulnerability service does not know them"
    if len(unknown) < count:
        yield f"Audited: {count - len(unknown)} of {count} packages, {excepted} exceptions in use"


def ask(lock: Path) -> dict[str, Any] | None:
    """pip-audit's JSON on the packages of `lock`, None where the vulnerability service cannot be reached.

    Raises `RuntimeError` with the last line of pip-audit where it failed in another way.
    """
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--require-hashes", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_FOR_ALL)  # noqa: S603
    except subprocess.TimeoutExpired:
        return None
    try:
        # With a vulnerability it exits with 1, as with any error of its own: only the JSON tells them apart.
        return dict(json.loads(run.stdout))
    except ValueError:
        if UNREACHABLE.search(run.stderr):
            return None
        raise RuntimeError(f"pip-audit: {(run.stderr.strip() or 'no answer').splitlines()[-1]}") from None


def main() -> int:
    """Print the verdict on requirements.lock and return the exit code."""
    answer = ask(LOCK)
    allowed = exceptions(EXCEPTIONS.read_text(encoding="utf-8"))
    locked = len(re.findall(r"^[\w.-]+==", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    judged = not_reached(locked) if answer is None else verdict(answer, allowed, date.today())
    print("\n".join([*judged.notes, *(f"FAILED: {trouble}" for trouble in judged.troubles)]))
    return 1 if judged.troubles else 0


if __name__ == "__main__":
    sys.exit(main())
