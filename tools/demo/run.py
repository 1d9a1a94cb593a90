"""Runs the demo: archives a local Drift twice, compares every row with it, and answers three questions."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from source_drift.archive.connector import CONNECTOR, Connector
from source_drift.archive.errors import ArchiveError
from source_drift.archive.log import Log
from source_drift.archive.run import main as archive
from source_drift.archive.settings import Settings
from source_drift.archive.warehouse import Answer, Warehouse
from tools.demo.comparison import Comparison, compared
from tools.demo.local_drift import LocalDrift
from tools.demo.questions import Question, questions

OUTPUT = Path("build/demo")

_UNKNOWN = "–"


def main(*, command: Sequence[str] = CONNECTOR, output: Path = OUTPUT) -> int:
    """Run the demo and return its exit code: 0 if each sync leaves every row of Drift in the archive, else 1.

    `command` runs the connector; `output` is the folder of the archive and its report.
    """
    out = _Output(Console(highlight=False))
    try:
        return _run(out, command, output)
    except ArchiveError as error:
        out.failure(str(error))
        return 1


def _run(out: _Output, command: Sequence[str], output: Path) -> int:
    path = output / "drift.duckdb"
    # The local Drift is a new one each time.
    for old in (path, path.with_name(f"{path.name}.wal")):
        old.unlink(missing_ok=True)
    with LocalDrift() as drift, TemporaryDirectory() as folder:
        config = Path(folder, "config.json")
        config.write_text(json.dumps(drift.config()))
        out.prose(f"{drift.title}.")
        for sentence in drift.about:
            out.prose(sentence, mark="· ")
        streams = Connector(
            Settings(drift.config(), Path(folder, "copy.json"), origin=config, rescue=config),
            folder=Path(folder),
            log=Log(Path(folder, "log")),
            notify=out.prose,
            command=command,
        ).discover()
        faults = []
        for number in (1, 2):
            if number == 2:
                out.prose(f"Drift has changed: {drift.change()}.", mark="» ")
            out.line(f"\n$ source-drift archive --config config.json --into {path}", style="bold")
            drift.forget_requests()
            code = archive(["--config", str(config), "--into", str(path)], command=command)
            if code:
                return code
            with Warehouse(path) as warehouse:
                comparisons = compared(streams, warehouse, drift)
            out.comparison(f"Sync {number} beside the local Drift, row by row", comparisons)
            faults += [f"{one.stream}: {one.fault}" for one in comparisons if one.fault]
        out.prose(drift.explanation(streams))
    for fault in faults:
        out.failure(fault)
    if faults:
        return 1
    with Warehouse(path) as warehouse:
        for question in questions():
            out.answer(question, warehouse.ask(question.sql))
    out.line("")
    out.line(f"{path.with_name('report.html')} shows the archive in a browser. More queries: docs/queries/.")
    out.line("✓ Every row in Drift is in DuckDB with the same values, after both syncs.", style="bold green")
    return 0


class _Output:
    """Prints what the demo adds to the output of the command."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)

    def failure(self, text: str) -> None:
        self.line(f"✗ {text}", style="bold red")

    def prose(self, text: str, mark: str = "") -> None:
        """Print sentences, broken between words at the width of the console, under each other after the mark."""
        width = max(20, self._console.width - len(mark))
        for number, line in enumerate(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)):
            self.line((" " * len(mark) if number else mark) + line)

    def comparison(self, title: str, comparisons: Sequence[Comparison]) -> None:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        table.add_column("")
        table.add_column("stream", vertical="bottom", overflow="fold")
        for heading in ("records\nread", "rows in\nDuckDB", "records\nin Drift", "\nrequests"):
            table.add_column(heading, justify="right", no_wrap=True, min_width=8)
        for one in comparisons:
            mark = Text("✗", style="bold red") if one.fault else Text("✓", style="green")
            figures = (one.records, one.rows, one.in_drift, one.requests)
            table.add_row(mark, one.stream, *(_UNKNOWN if each is None else f"{each:,}" for each in figures))
        self.line(f"\n{title}", style="bold")
        self._print(table)
        self.line("")

    def answer(self, question: Question, answer: Answer) -> None:
        """Show a question, its SQL and its answer."""
        self.line(f"\n{question.text}", style="bold")
        sql = Syntax("", "sql", theme="ansi_dark", background_color="default").highlight(question.sql)
        sql.rstrip()
        for line in sql.split("\n"):
            self._console.print(Text("  ") + line if line else line, soft_wrap=True)
        self.line("")
        self._print(Padding(_table(answer), (0, 0, 0, 2), expand=False))

    def _print(self, renderable: RenderableType) -> None:
        """Print lines, without trailing blanks."""
        for segments in self._console.render_lines(renderable, pad=False):
            line = Text.assemble(*((segment.text, segment.style or "") for segment in segments))
            line.rstrip()
            self._console.print(line, soft_wrap=True)


def _table(answer: Answer) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    for number, column in enumerate(answer.columns):
        numeric = any(isinstance(row[number], int | float) for row in answer.rows)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in answer.rows:
        table.add_row(*(Text(_shown(value)) for value in row))
    return table


def _shown(value: Any) -> str:
    return _UNKNOWN if value is None else str(value)
