"""`make prove`: gathers the evidence, prints one screen of it, and writes docs/reliability.md."""

import argparse
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

from reliability import report
from reliability.faults import FAULTS, ONCE_ONLY, Cell, cells
from reliability.hostile import cases as hostile_cases
from reliability.hostile import outcome
from reliability.secrets import findings
from sandbox import Drift

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
PARTS = ("faults", "hostile", "links", "secrets", "conservation")


def main() -> int:
    """Return 0 if nothing was green and short, nothing leaked, and every property held."""
    parser = argparse.ArgumentParser(prog="python -m reliability", description=__doc__)
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="one part; the others stay on the page as they are"
    )
    only = parser.parse_args().only or PARTS
    begun = time.monotonic()
    sections = []
    if "faults" in only:
        drift = Drift(conversations=12, accounts=7, users=2, meetings=4, history_days=60)
        found: list[Cell] = []
        for title, kind, details in FAULTS:
            for lasts in (False, True):
                if not (lasts and title in ONCE_ONLY):
                    found += cells(title, kind, details, lasts, drift)
            print(f"  {title}", flush=True)
        sections.append(report.faults(found))
    if "hostile" in only:
        sections.append(report.hostile([outcome(case) for case in hostile_cases()]))
    if "secrets" in only:
        sections.append(report.secrets(list(findings())))
    if "links" in only:
        sections.append(report.links(*_tested("test_hostile_links.py")))
    if "conservation" in only:
        # Of all workers of pytest the same.
        seed = os.environ.get("CONSERVATION_SEED") or str(secrets.randbelow(1 << 32))
        sections.append(
            report.conservation(*_tested("test_conservation.py", CONSERVATION="prove", CONSERVATION_SEED=seed))
        )
    before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    PAGE.write_text(report.page(sections, before), encoding="utf-8")
    print()
    for section in sections:
        print(("✓ " if section.is_sound else "✗ ") + section.summary)
        for line in section.wrong[:20]:
            print(f"    {line}")
    print(f"{(time.monotonic() - begun) / 60:.0f} minutes; docs/reliability.md holds the tables.")
    return 0 if all(section.is_sound for section in sections) else 1


def _tested(tests: str, **environment: str) -> tuple[int, str]:
    """The exit code and the closing line of some integration tests, whose output is printed where they fail."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"integration_tests/{tests}"]
    ended = subprocess.run(  # noqa: S603 (our own tests)
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        print(ended.stdout[-2000:], flush=True)
    return ended.returncode, ended.stdout.strip().splitlines()[-1].strip("= ")


if __name__ == "__main__":
    sys.exit(main())
