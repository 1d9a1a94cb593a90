"""Shows figures and their targets on the screen, and writes them to results.json and results.md."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from tools.bench.process import ROOT

_MEASURED = {
    "manifest.yaml and components.py": [ROOT / "manifest.yaml", ROOT / "components.py"],
    "destination_drift": sorted((ROOT / "destination-drift" / "destination_drift").glob("*.py")),
}
_PACKAGES = ("airbyte-cdk", "requests", "orjson", "uvicorn")


@dataclass(frozen=True)
class Figure:
    """One figure with a target; `met` says whether it was reached."""

    name: str
    value: str
    target: str
    met: bool


@dataclass
class Section:
    """The result of one measurement.

    Attributes:
        figures: those with a target; ratios and other figures that do not depend on the machine come first.
        columns, rows: a table of the figures behind them.
        notes: sentences that explain the figures.
        picture: the file name of an image in the same folder, or empty.
    """

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    picture: str = ""

    def at_most(self, name: str, value: float, target: float, form: str = "{:.3f}", unit: str = "") -> None:
        """Add a figure that should not exceed its target; `form` formats both, `unit` is appended."""
        shown = [form.format(number) + unit for number in (value, target)]
        self.figures.append(Figure(name, shown[0], f"≤ {shown[1]}", value <= target))

    def at_least(self, name: str, value: float, target: float, form: str = "{:,.0f}", unit: str = "") -> None:
        """Add a figure that should reach its target."""
        shown = [form.format(number) + unit for number in (value, target)]
        self.figures.append(Figure(name, shown[0], f"≥ {shown[1]}", value >= target))


def spread(values: Sequence[float], form: str = "{:,.0f}") -> str:
    """`median (minimum to maximum)`, or the value if there is only one."""
    shown = [form.format(value) for value in (median(values), min(values), max(values))]
    return shown[0] if len(values) == 1 else f"{shown[0]} ({shown[1]} to {shown[2]})"


def missed(sections: Sequence[Section]) -> list[str]:
    """One line for each target that was missed."""
    return [
        f"{section.name}: {figure.name}: {figure.value}, target {figure.target}"
        for section in sections
        for figure in section.figures
        if not figure.met
    ]


def text(section: Section) -> str:
    """The section for the screen."""
    lines = [f"\n== {section.title}"]
    width = max((len(figure.name) for figure in section.figures), default=0)
    for figure in section.figures:
        verdict = "" if figure.met else "   MISSED"
        lines.append(f"  {figure.name:<{width}}  {figure.value:>12}   target {figure.target}{verdict}")
    widths = [max(map(len, column)) for column in zip(section.columns, *section.rows, strict=True)]
    for row in [section.columns, *section.rows] if section.rows else []:
        cells = [cell.rjust(size) if at else cell.ljust(size) for at, (cell, size) in enumerate(zip(row, widths))]  # noqa: B905
        lines.append("  " + "  ".join(cells).rstrip())
    notes = [*section.notes, *([f"Picture: {section.picture}"] if section.picture else [])]
    return "\n".join([*lines, *(f"  {note}" for note in notes)])


def machine() -> str:
    """The machine, the versions, the files of both connectors, and the load before the run."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    digests = ", ".join(
        f"{name} as of {hashlib.sha256(b''.join(path.read_bytes() for path in paths)).hexdigest()[:8]}"
        for name, paths in _MEASURED.items()
    )
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores of {model}, {memory:.0f} GB, {platform.system()}, "
        f"Python {'.'.join(map(str, sys.version_info[:3]))}, {versions}; {digests}; "
        f"load before the run {os.getloadavg()[0]:.1f}"
    )


def keep(sections: Sequence[Section], measured_on: str, folder: Path, order: Sequence[str]) -> Path:
    """Write results.json and results.md into `folder`; sections that were not measured stay unchanged.

    Returns:
        The path of results.md.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.json"
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for section in sections:
        kept[section.name] = {"machine": measured_on, **asdict(section)}
    kept = {name: kept[name] for name in order if name in kept}
    path.write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    page = folder / "results.md"
    page.write_text(markdown(kept), encoding="utf-8")
    return page


def markdown(kept: Mapping[str, Any]) -> str:
    """The page of results: all figures with a target first, then the tables behind them."""
    lines = [
        "# Results",
        "",
        "`make bench` writes this page. [README.md](README.md) explains what each figure means and how to measure it.",
        "",
        "| Measurement | Figure | Measured | Target | |",
        "|---|---|--:|--:|---|",
    ]
    lines += [
        f"| {name} | {one['name']} | {one['value']} | {one['target']} | {'met' if one['met'] else '**missed**'} |"
        for name, section in kept.items()
        for one in section["figures"]
    ]
    machines: dict[str, list[str]] = {}
    for name, section in kept.items():
        machines.setdefault(section["machine"], []).append(name)
    lines += ["", "All absolute figures on this page were measured on the following machine and day:", ""]
    lines += [f"- {', '.join(names)}: {one}." for one, names in machines.items()]
    for section in kept.values():
        lines += ["", f"## {section['title']}", ""]
        if section["rows"]:
            lines += [
                "| " + " | ".join(section["columns"]) + " |",
                "|---" + "|--:" * (len(section["columns"]) - 1) + "|",
            ]
            lines += ["| " + " | ".join(row) + " |" for row in section["rows"]]
        lines += [line for note in section["notes"] for line in ("", note)]
        if section["picture"]:
            lines += ["", f"![{section['title']}]({section['picture']})"]
    return "\n".join(lines) + "\n"
