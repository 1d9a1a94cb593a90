"""`make prove`: runs the reliability tests, prints a summary, and writes docs/reliability.md."""

import argparse
import sys
import time

from sandbox import Drift
from tools.evidence import report
from tools.evidence.commands import EVIDENCE, ROOT
from tools.evidence.dialects import read_all
from tools.evidence.faults import FAULTS, ONCE_ONLY, Cell, cells
from tools.evidence.hostile import cases as hostile_cases
from tools.evidence.hostile import outcome
from tools.evidence.secrets import findings

PAGE = ROOT / "docs" / "reliability.md"
PARTS = ("faults", "dialects", "hostile", "secrets", *EVIDENCE)


def main() -> int:
    """Return 0 if no sync succeeded with missing rows, nothing leaked, and every property was true."""
    parser = argparse.ArgumentParser(prog="python -m tools.evidence", description=__doc__)
    parser.add_argument(
        "--only",
        choices=PARTS,
        action="append",
        help="run only this part and keep the others on the page; repeatable",
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
    if "dialects" in only:
        sections.append(report.dialects(read_all()))
    if "hostile" in only:
        sections.append(report.hostile([outcome(case) for case in hostile_cases()]))
    if "secrets" in only:
        sections.append(report.secrets(list(findings())))
    for part, evidence in EVIDENCE.items():
        if part in only:
            print(f"  {evidence.title}", flush=True)
            sections.append(report.ended(evidence, evidence.gather()))
    before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    PAGE.write_text(report.page(sections, before), encoding="utf-8")
    print()
    for section in sections:
        print(("✓ " if section.is_sound else "✗ ") + section.summary)
        for line in section.wrong[:20]:
            print(f"    {line}")
    print(f"{(time.monotonic() - begun) / 60:.0f} minutes; the tables are in docs/reliability.md.")
    return 0 if all(section.is_sound for section in sections) else 1


if __name__ == "__main__":
    sys.exit(main())
