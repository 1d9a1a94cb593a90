"""Runs the whole demo: check, discover, two reads into DuckDB, their results, a report page and three questions."""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from rich.console import Console

from tools.demo import settings
from tools.demo.connector import CONNECTOR, ROOT, Connector, Message, Stream
from tools.demo.errors import DemoError
from tools.demo.log import Log, masked
from tools.demo.outcome import Outcome, outcomes
from tools.demo.questions import questions
from tools.demo.reading import Reading, State
from tools.demo.report import Read, Run, page
from tools.demo.screen import Screen
from tools.demo.warehouse import Spool, Warehouse

if TYPE_CHECKING:
    from tools.demo.local_drift import LocalDrift

OUTPUT = ROOT / "build" / "demo"
REAL_OUTPUT = ROOT / "build" / "drift"
"""A separate folder, so that a run with the local Drift never touches a copy of the real one."""

_TEMPORARY = ".run-"


def main(
    arguments: Sequence[str] | None = None, *, command: Sequence[str] = CONNECTOR, output: Path | None = None
) -> int:
    """Run the demo and return its exit code: 0 if everything in Drift was read, 1 if not, 130 after Ctrl-C.

    `command` runs the connector; `output` is the folder for the DuckDB file, the report and the connector's
    log, by default `OUTPUT`, or with --config `REAL_OUTPUT`.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo",
        description="Sync a local mock of Drift into a DuckDB file, or the real Drift with --config.",
    )
    parser.add_argument("--config", type=Path, metavar="PATH", help="JSON config file for the real Drift")
    config: Path | None = parser.parse_args(arguments).config
    screen = _screen()
    _end_cleanly_on_signals()
    try:
        with ExitStack() as stack:
            return Demo(screen, stack, config, command, output or (REAL_OUTPUT if config else OUTPUT)).run()
    except DemoError as error:
        screen.failure(str(error))
        return 1
    except KeyboardInterrupt:
        screen.failure("Interrupted.")
        return 130


class Demo:
    """One run of the demo. `stack` ends the processes that it starts and removes its temporary files."""

    def __init__(
        self, screen: Screen, stack: ExitStack, config: Path | None, command: Sequence[str], output: Path
    ) -> None:
        self._screen = screen
        self._complete: set[str] = set()
        """Streams that were read completely at least once."""
        self._drift: LocalDrift | None = None
        if config is None:
            from tools.demo.local_drift import LocalDrift

            self._drift = stack.enter_context(LocalDrift())
            given = self._drift.config()
            self._place = "a local Drift"
            title = self._drift.title
        else:
            given = settings.load(config)
            self._place = _place(given)
            title = f"{self._place}, with {config}"
        self._warehouse = stack.enter_context(Warehouse(output / "drift.duckdb"))
        # A killed run left these behind. The lock on the file shows that no other run is active.
        for left in output.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True)
        # A private folder next to the file, because /tmp can be too small or in memory.
        self._folder = Path(stack.enter_context(TemporaryDirectory(prefix=_TEMPORARY, dir=output)))
        self._log = output / "connector.log"
        self._report = output / "report.html"
        # These files always belong to the last run.
        for old in (self._log, self._report):
            old.unlink(missing_ok=True)
        self._settings = settings.Settings(
            given, self._folder / "config.json", origin=config, rescue=output / "config.json"
        )
        self._connector = Connector(
            self._settings,
            folder=self._folder,
            log=Log(self._folder / "connector.log"),
            notify=screen.warning,
            command=command,
        )
        screen.title(title, self._drift.about if self._drift else ())

    def run(self) -> int:
        """Return 0 if everything in Drift was read, else 1.

        Raises:
            DemoError: it could not go on.
        """
        try:
            return self._run()
        except DemoError:
            log = self._kept_log()
            if log:
                self._screen.note(log)
            raise

    def _run(self) -> int:
        streams = self._connect()
        title = "Read 1: everything"
        reading, results = self._read(title, streams, [])
        reads = [Read(title, reading, results)]
        about = self._drift.about if self._drift else []
        if not reading.incomplete:
            if self._drift:
                change = f"Before read 2, Drift changed: {self._drift.change()}."
                self._screen.event(change)
                self._screen.note("")
                about.append(change)
            title = "Read 2: what changed"
            reads.append(Read(title, *self._read(title, streams, reading.states)))
        self._screen.results(reads)
        if self._drift and len(reads) > 1:
            explanation = self._drift.explanation(streams)
            self._screen.aside(explanation)
            about.append(explanation)
        faults = _faults(outcome for read in reads for outcome in read.outcomes)
        self._write_report(streams, reads, faults, about)
        if self._complete:
            path, tables = self._warehouse.path, self._warehouse.tables()
            self._screen.file(
                _from(ROOT, path), str(ROOT), _from(ROOT, Path(sys.executable)), tables, path.stat().st_size
            )
            for stream in streams:
                if stream.name in tables and stream.name not in self._complete:
                    self._screen.warning(f"{stream.name} was not read. Its table is from an earlier run.")
            self._answer({stream.name for stream in streams} - self._complete)
        return self._end(faults)

    def _connect(self) -> list[Stream]:
        started = time.monotonic()
        with self._screen.waiting("check"):
            self._connector.check()
        self._screen.done("check", "the connector can read this Drift", time.monotonic() - started)
        started = time.monotonic()
        with self._screen.waiting("discover"):
            streams = self._connector.discover()
        names = ", ".join(stream.name for stream in streams)
        kind = "stream" if len(streams) == 1 else "streams"
        self._screen.done("discover", f"{len(streams)} {kind}: {names}", time.monotonic() - started)
        self._screen.note("")
        return streams

    def _read(self, title: str, streams: list[Stream], states: list[Message]) -> tuple[Reading, list[Outcome]]:
        """Read the streams and load those that are complete.

        In a read without `states`, each of them replaces its table. The tables of all other streams stay unchanged,
        including those of earlier runs. Only the first read of the local Drift starts with an empty file.
        """
        if self._drift:
            self._drift.forget_requests()
        modes = {stream.name: "incremental" if stream.incremental else "full" for stream in streams}
        reading = Reading(modes)
        loaded_in: float | None = None
        with Spool(streams, self._folder) as spool:
            with (
                self._screen.progress(title, reading, modes) as watch,
                closing(self._connector.read(streams, states)) as messages,
            ):
                for message in messages:
                    if message["type"] == "RECORD":
                        spool.add(message["record"]["stream"], message["record"]["data"])
                    watch(reading.take(message))
            reading.finish()
            complete = [stream for stream in streams if reading.streams[stream.name].state is State.COMPLETE]
            if complete:
                started = time.monotonic()
                with self._screen.waiting("loading into DuckDB"):
                    self._warehouse.load(spool, complete, anew=not states, alone=self._drift is not None)
                loaded_in = time.monotonic() - started
                self._complete.update(stream.name for stream in complete)
        self._screen.summary(reading, loaded_in)
        return reading, outcomes(reading, streams, self._warehouse, self._drift, whole=not states)

    def _answer(self, unread: set[str]) -> None:
        """Answer the questions, except those about streams that were not read, and those whose query fails."""
        for question in questions():
            try:
                lacking = sorted(self._warehouse.asked(question.sql) & unread)
                answer = None if lacking else self._warehouse.ask(question.sql)
            except DemoError as error:
                self._screen.note("")
                self._screen.warning(f"{question.path.name}: {error}")
                continue
            if answer:
                self._screen.answer(question, answer)
            else:
                self._screen.note("")
                were = "was" if len(lacking) == 1 else "were"
                self._screen.warning(f"{question.path.name} skipped: {' and '.join(lacking)} {were} not read.")

    def _write_report(self, streams: list[Stream], reads: list[Read], faults: list[str], about: list[str]) -> None:
        run = Run(
            place=self._place,
            at=datetime.now(UTC),
            verdict=self._verdict(faults),
            # They may quote Drift's responses.
            faults=[masked(fault, self._settings.secrets) for fault in faults],
            about=about,
            local=self._drift is not None,
            streams=streams,
            reads=reads,
        )
        text = page(run, self._warehouse, warn=self._screen.warning)
        try:
            self._report.touch(mode=0o600)
            self._report.write_text(text, encoding="utf-8")
        except OSError as error:
            # An incomplete page would look like a complete one.
            self._report.unlink(missing_ok=True)
            self._screen.warning(f"{self._report} cannot be written: {error.strerror}.")
        else:
            self._screen.page(_from(ROOT, self._report))

    def _verdict(self, faults: list[str]) -> str:
        if faults:
            return "Not everything was read."
        if self._drift:
            return "Every row in Drift is in DuckDB with the same values, after both reads."
        return "The connector read all streams completely, twice."

    def _end(self, faults: list[str]) -> int:
        self._screen.note("")
        verdict = self._verdict(faults)
        if not faults:
            self._screen.success(verdict)
            return 0
        self._screen.failure(" ".join(filter(None, (verdict, self._kept_log()))))
        for fault in faults:
            self._screen.failure(fault)
        return 1

    def _kept_log(self) -> str | None:
        """Save the connector's errors and return a sentence that says where; None if there were none."""
        kept = False
        # If the log cannot be saved, for example on a full disk, the original error still has to be shown.
        with suppress(OSError):
            kept = self._connector.keep_log(self._log)
        if not kept:
            return None
        return f"The connector's errors are in {_from(Path.cwd(), self._log)}."


def _faults(outcomes: Iterable[Outcome]) -> list[str]:
    """Return each fault once, with the streams that have it."""
    streams: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.fault:
            streams.setdefault(outcome.fault, []).append(outcome.stream)
    return [_about(dict.fromkeys(names), fault) for fault, names in streams.items()]


def _about(names: Iterable[str], fault: str) -> str:
    """Return the fault of some streams, with the names that it does not contain itself."""
    missing = [name for name in names if not re.search(rf"\b{re.escape(name)}\b", fault)]
    return f"{', '.join(missing)}: {fault}" if missing else fault


def _place(config: Mapping[str, Any]) -> str:
    """Return the Drift that a config points to, with only the host of its URL."""
    url = config.get("api_url")
    try:
        host = urlsplit(url).netloc.rpartition("@")[2] if isinstance(url, str) else ""
    except ValueError:
        host = ""
    return f"Drift at {host}" if host not in ("", "driftapi.com") else "the real Drift"


def _from(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _screen() -> Screen:
    # A terminal or a file that cannot show a sign gets a question mark instead of an exception.
    with suppress(AttributeError):
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    console = Console(highlight=False)
    return Screen(console, animated=sys.stdout.isatty() and not console.is_dumb_terminal)


def _end_cleanly_on_signals() -> None:
    """On SIGTERM or a closed terminal, stop the connector and remove temporary files, as after an error."""

    def end(number: int, _: object) -> NoReturn:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
