"""The evidence as a page for people: docs/reliability.md."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from integration_tests.connector import EVERY_STREAM
from reliability import faults as fault_matrix
from reliability.hostile import Outcome
from reliability.secrets import Finding

INTRODUCTION = """# How the promise is held

Every record or a loud failure; nothing leaks. This page is written by `make prove`, which runs the connector as a real
process against a local Drift and notes what came of it. Waits are those that the connector announced; the process
itself waits a thousandth of them.
"""
TITLES = (
    "What Drift can do wrong",
    "What nobody should send",
    "Where the token goes",
    "What leaves the connector",
    "Nothing is lost",
)


@dataclass(frozen=True)
class Section:
    """One kind of evidence: its heading, its table, and what was wrong."""

    title: str
    summary: str
    text: str
    wrong: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not self.wrong


def page(sections: Iterable[Section], before: str = "") -> str:
    """The whole page; a section that is not given stays as it was in the page `before`."""
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
        message = re.sub(r"/[a-z]+(/[a-z_{}]+)*(?= |\.)", "/…", message).replace(f"stream {cell.stream}", "stream …")
        message = re.sub(r"(lacks the scope) \w+", r"\1 …", message)
        groups.setdefault((cell.fault, cell.lasts, cell.outcome, cell.attempts, cell.code, message), []).append(cell)
    rows = []
    for (fault, lasts, outcome, attempts, code, message), alike in groups.items():
        waited = [cell.waited for cell in alike]
        seconds = f"{min(waited):.1f} to {max(waited):.1f} s"
        streams = [cell.stream for cell in alike]
        names = "all" if len(streams) == len(EVERY_STREAM) else ", ".join(f"`{name}`" for name in streams)
        if 6 < len(streams) < len(EVERY_STREAM):
            others = ", ".join(f"`{name}`" for name in EVERY_STREAM if name not in streams)
            names = f"all but {others}"
        status = "INCOMPLETE" if outcome == "fails" else "COMPLETE"
        rows.append(
            (
                fault,
                "always" if lasts else "once",
                names,
                outcome,
                attempts,
                seconds if max(waited) else "–",
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
        "Waited",
        "Exit code",
        "Status",
        "Message",
    )
    wrong = [f"{cell.fault} on {cell.stream}: {cell.outcome}, {cell.message}" for cell in cells if not cell.is_sound]
    kinds = len({cell.fault for cell in cells})
    summary = (
        f"{kinds} faults on each of {len(EVERY_STREAM)} streams, once and always: {len(cells)} cases, "
        f"{len(wrong)} green and short or without a sentence for the user."
    )
    note = "\nThe exit code is that of the whole sync: 1 as soon as one stream fails. The others are complete.\n"
    return Section("What Drift can do wrong", summary, table(head, rows) + note, wrong)


def hostile(outcomes: Sequence[Outcome]) -> Section:
    """One row for each hostile answer."""
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
        f"{len(outcomes)} hostile answers: the right rows or a clear error each time, at most {most:.0f} MB of memory."
    )
    return Section(
        "What nobody should send", summary, table(("Answer", "Outcome", "Requests", "Peak memory"), rows), wrong
    )


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
        f"{len(findings)} runs of every verb, log level and failure: {len(wrong)} with a credential in any form, or"
        " with what people wrote, in the output, or with a file left behind."
    )
    return Section("What leaves the connector", summary, table(head, rows), wrong)


def links(code: int, line: str) -> Section:
    """The tests of links and redirects to other places."""
    text = (
        "Links to another host, without a scheme, with a lesser scheme, with a name and a password, with our host as a"
        " part of theirs; redirects of every kind to another host; a second server, which notes what it is asked:"
        " integration_tests/test_hostile_links.py. The one exception is the renewal of an OAuth token, which follows"
        " redirects: [SECURITY.md](../SECURITY.md#where-the-token-goes).\n"
    )
    summary = f"Links and redirects to another host, which never sees the token: {line}."
    return Section("Where the token goes", summary, text, [] if code == 0 else [line])


def conservation(code: int, line: str) -> Section:
    """The property test in its long form."""
    text = (
        "For any Drift, paging, selection of streams and faults, and any sequence of syncs, changes and kills: what was"
        " emitted, reduced by key, is what Drift holds, or a run failed aloud and a later one healed it without reset."
        " The property is integration_tests/conservation.py; each counterexample ever found is replayed first.\n"
    )
    summary = f"Random Drifts, faults, changes, kills and syncs: {line}."
    return Section("Nothing is lost", summary, text, [] if code == 0 else [line])
