"""Writes the evidence as a page: docs/reliability.md."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from integration_tests.connector import EVERY_STREAM
from integration_tests.dialects import Outcome as Spoken
from tools.evidence import faults as fault_matrix
from tools.evidence.commands import EVIDENCE, Ended, Evidence
from tools.evidence.dialects import came_out
from tools.evidence.hostile import Outcome
from tools.evidence.secrets import Finding

INTRODUCTION = """# Reliability tests

A sync delivers every record or fails with an error, and no credentials leak. `make prove` tests this and writes this
page: it runs the connector as a process against the local Drift, a mock of Drift's API, and records the results. In
these tests, the waits between attempts are 1,000 times shorter.
"""
TITLES = (
    "Faults",
    "Dialects",
    "Hostile responses",
    "Secrets and personal data",
    *(evidence.title for evidence in EVIDENCE.values()),
)


@dataclass(frozen=True)
class Section:
    """One kind of evidence: its heading, its table, and the problems that were found."""

    title: str
    summary: str
    text: str
    wrong: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not self.wrong


def page(sections: Iterable[Section], before: str = "") -> str:
    """The whole page. Sections that are not given stay as they are in the page `before`."""
    told = dict(re.findall(r"^- \*\*(.+?)\*\*: (.+)$", before, re.MULTILINE))
    texts = {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in before.split("\n## ")[1:]}
    for section in sections:
        told[section.title], texts[section.title] = section.summary, section.text.strip()
    summary = "\n".join(f"- **{title}**: {told[title]}" for title in TITLES if title in told)
    return (
        "\n".join([INTRODUCTION, summary, *(f"\n## {title}\n\n{texts[title]}" for title in TITLES if title in texts)])
        + "\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a bar in a cell is escaped."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def faults(cells: Sequence[fault_matrix.Cell]) -> Section:
    """Streams on which a fault has the same effect share a row."""
    groups: dict[tuple[str, bool, str, int, int, str], list[fault_matrix.Cell]] = {}
    for cell in cells:
        message = re.sub(r"(GET|POST) /[^ ]*", "…", cell.message)
        message = re.sub(r"/[a-z]+(/[a-z_{}]+)*(?= |\.)", "/…", message)
        message = message.replace(f"the {cell.stream} stream", "the … stream")
        message = re.sub(r"\w+ scope", "… scope", message)
        groups.setdefault((cell.fault, cell.lasts, cell.outcome, cell.attempts, cell.code, message), []).append(cell)
    rows = []
    for (fault, lasts, outcome, attempts, code, message), alike in groups.items():
        streams = [cell.stream for cell in alike]
        names = "all" if len(streams) == len(EVERY_STREAM) else ", ".join(f"`{name}`" for name in streams)
        if 6 < len(streams) < len(EVERY_STREAM):
            others = ", ".join(f"`{name}`" for name in EVERY_STREAM if name not in streams)
            names = f"all except {others}"
        status = "INCOMPLETE" if outcome == "fails" else "COMPLETE"
        rows.append(
            (
                fault,
                "always" if lasts else "once",
                names,
                outcome,
                attempts,
                code,
                status,
                message or "–",
            )
        )
    head = (
        "What Drift does",
        "How often",
        "Streams",
        "Outcome",
        "Attempts",
        "Exit code",
        "Status",
        "Message",
    )
    wrong = [f"{cell.fault} on {cell.stream}: {cell.outcome}, {cell.message}" for cell in cells if not cell.is_sound]
    kinds = len({cell.fault for cell in cells})
    summary = (
        f"{kinds} faults on each of {len(EVERY_STREAM)} streams, once and always: {len(cells)} cases, "
        f"in {len(wrong)} of them, the sync succeeded with missing rows or failed without a clear message."
    )
    note = "\nThe exit code is that of the whole sync: 1 if any stream fails. The other streams are complete.\n"
    return Section("Faults", summary, table(head, rows) + note, wrong)


def dialects(found: Sequence[Spoken]) -> Section:
    """One row for each dialect of the local Drift."""
    rows = [(f"`{one.dialect.name}`", one.dialect.why, came_out(one)) for one in found]
    wrong = [f"{one.dialect.name}: {problem}" for one in found for problem in one.problems]
    wrongly = sum(bool(one.problems) for one in found)
    red = sum(" red: " in one.came for one in found)
    summary = (
        f"{len(found)} ways in which the real Drift may differ from its documentation: {wrongly} have a wrong outcome; "
        f"{red} make a stream fail with a clear reason; all others succeed and are complete."
    )
    head = ("Dialect", "Why Drift may do this", "Result")
    return Section("Dialects", summary, table(head, rows), wrong)


def hostile(outcomes: Sequence[Outcome]) -> Section:
    """One row for each hostile response."""
    rows = [
        (
            found.case.title,
            f"{found.rows:,} {'row' if found.rows == 1 else 'rows'}" if found.code == 0 else found.message,
            found.requests,
            f"{found.peak:.0f} MB",
        )
        for found in outcomes
    ]
    wrong = [
        f"{found.case.title}: exit code {found.code}, {found.rows} rows, {found.message}"
        for found in outcomes
        if not found.is_sound
    ]
    most = max(found.peak for found in outcomes)
    summary = (
        f"{len(outcomes)} hostile responses: each gives the right rows or a clear error, with at most "
        f"{most:.0f} MB of memory."
    )
    head = ("Response", "Outcome", "Requests", "Peak memory")
    return Section("Hostile responses", summary, table(head, rows), wrong)


def secrets(findings: Sequence[Finding]) -> Section:
    """One row for each verb, kind of credentials and log level."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for found in findings:
        groups.setdefault((found.verb, found.credentials, found.level), []).append(found)
    rows = []
    for (verb, credentials, level), alike in groups.items():
        leaked = sum(bool(found.leaked) for found in alike)
        personal = "see docs" if level != "INFO" else sum(bool(found.personal) for found in alike)
        left = sum(bool(found.left_behind) for found in alike)
        rows.append((verb, credentials, level, len(alike), leaked, personal, left))
    head = (
        "Verb",
        "Credentials",
        "Log level",
        "Failures tried",
        "With a credential",
        "With personal data",
        "With a file left behind",
    )
    wrong = [
        f"{found.verb}, {found.credentials}, {found.level}, {found.failure}: "
        f"{found.leaked} {found.personal} {found.left_behind}"
        for found in findings
        if not found.is_sound
    ]
    summary = (
        f"{len(findings)} runs with every verb, log level and failure: {len(wrong)} of them have a credential in any "
        "form or message text in the output, or leave a file behind."
    )
    return Section("Secrets and personal data", summary, table(head, rows), wrong)


def ended(evidence: Evidence, commands: Sequence[Ended]) -> Section:
    """One row for each command."""
    rows = [(f"`{one.command}`", one.code, one.line) for one in commands]
    wrong = [f"{one.command} ended with {one.code}: {one.line}" for one in commands if one.code]
    text = f"{evidence.how}\n\n{table(('Command', 'Exit code', 'Last line of output'), rows)}"
    return Section(evidence.title, f"{evidence.what}: {'; '.join(one.line for one in commands)}.", text, wrong)
