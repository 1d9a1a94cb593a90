"""`source-drift archive`: reads Drift into one DuckDB file, and goes on where an earlier run of it stopped."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import duckdb
from duckdb import DuckDBPyConnection
from rich.console import Console

from source_drift.archive import files, settings
from source_drift.archive.connector import CONNECTOR, Connector, Stream
from source_drift.archive.errors import ArchiveError
from source_drift.archive.files import Counts
from source_drift.archive.intake import IDENTITY, Intake
from source_drift.archive.interrupts import Interrupted, Interrupts
from source_drift.archive.log import Log, masked
from source_drift.archive.reading import Reading
from source_drift.archive.report import Run, page
from source_drift.archive.screen import Screen
from source_drift.archive.warehouse import COMPLETE, StreamSync, Warehouse

DISTRIBUTION = "airbyte-source-drift"

# A full refresh stream that an interrupted sync completed is not read again so soon, except for the one that names the
# organization, and the one whose addresses are in the config, where they may have changed since.
_STILL_NEW = timedelta(hours=12)
_ALWAYS_READ = (IDENTITY, "contacts_by_email")


def main(arguments: Sequence[str], *, command: Sequence[str] = CONNECTOR) -> int:
    """Archive Drift and return the exit code: 0 only if everything that was asked for is complete.

    It is 1 if not, and 128 plus the number of the signal after Ctrl-C or its like. `command` runs the connector.
    """
    options = _options(arguments)
    screen = _screen()
    interrupts = Interrupts()
    with ExitStack() as stack:
        stack.enter_context(_private())
        try:
            with interrupts.raised(), ExitStack() as inner:
                return _Archive(options, screen, interrupts, inner, command).run()
        except ArchiveError as error:
            screen.failure(str(error))
            return 1
        except (OSError, duckdb.Error) as error:
            reason = str(error).partition("\n")[0]
            screen.failure(f"{options.into} or a file next to it could not be written: {reason}")
            screen.failure("What was committed before is safe. Free some space, then run the same command again.")
            return 1
        except Interrupted as interrupted:
            again = shlex.join(["source-drift", "archive", *arguments])
            screen.failure("Interrupted. What was committed is in the file; to go on from there, run the same command:")
            screen.note(f"  {again}")
            return interrupted.code


class _Archive:
    """One run. `stack` ends the processes that it starts, closes the file and removes temporary files."""

    def __init__(
        self,
        options: argparse.Namespace,
        screen: Screen,
        interrupts: Interrupts,
        stack: ExitStack,
        command: Sequence[str],
    ) -> None:
        self._options = options
        self._screen = screen
        self._interrupts = interrupts
        config = settings.load(options.config)
        self._host = _host(config)
        path: Path = options.into
        self._warehouse = stack.enter_context(Warehouse(path))
        self._warehouse.claim(self._host, version(DISTRIBUTION))
        # A killed run left these behind. The lock on the file shows that no other run is active.
        prefix = f".{path.name}.run-"
        for left in path.parent.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        # A private folder next to the file, because /tmp can be too small or in memory. The connector runs elsewhere.
        self._folder = Path(stack.enter_context(TemporaryDirectory(prefix=prefix, dir=path.parent.absolute())))
        self._warehouse.spill_into(self._folder)
        self._log = path.with_name("connector.log")
        self._log.unlink(missing_ok=True)
        self._settings = settings.Settings(
            config,
            self._folder / "config.json",
            origin=options.config,
            rescue=path.with_name("config.rescued.json"),
            start_date=options.start_date,
        )
        self._connector = Connector(
            self._settings,
            folder=self._folder,
            log=Log(self._folder / "connector.log"),
            notify=screen.warning,
            command=command,
        )
        screen.title(f"{self._host} into {path}")

    def run(self) -> int:
        """Return 0 if everything that was asked for is complete, else 1.

        Raises:
            ArchiveError: it could not go on.
        """
        try:
            streams = self._connect()
            entries = self._read(streams)
            has_files = not self._options.files or self._download(self._options.files)
            if self._options.parquet:
                names = self._warehouse.export(self._options.parquet)
                self._screen.exported(self._options.parquet, names)
            self._warehouse.checkpoint()
            self._report()
            return self._end(entries, has_files=has_files)
        except ArchiveError:
            log = self._kept_log()
            if log:
                self._screen.note(log)
            raise

    def _connect(self) -> list[Stream]:
        """Return the streams that are asked for, with the one that names the organization first."""
        started = time.monotonic()
        with self._screen.waiting("check"):
            self._connector.check()
        self._screen.done("check", "the connector can read this Drift", time.monotonic() - started)
        started = time.monotonic()
        with self._screen.waiting("discover"):
            self._offered = offered = {stream.name: stream for stream in self._connector.discover()}
        names: list[str] = self._options.streams or list(offered)
        unknown = [name for name in names if name not in offered]
        if unknown:
            raise ArchiveError(f"There is no stream {', '.join(unknown)}. Choose from: {', '.join(offered)}.")
        self._screen.done("discover", f"{len(names)} of {len(offered)} streams", time.monotonic() - started)
        self._screen.note("")
        first = [IDENTITY] if IDENTITY in offered else []
        return [offered[name] for name in dict.fromkeys([*first, *names])]

    def _read(self, streams: list[Stream]) -> list[StreamSync]:
        """Read what is not done yet and return what became of each stream."""
        done = {
            name: entry
            for name, entry in self._warehouse.unfinished(_STILL_NEW).items()
            if any(stream.name == name and not stream.incremental for stream in streams) and name not in _ALWAYS_READ
        }
        if done:
            self._screen.aside(f"Complete since the last, unfinished sync: {', '.join(done)}.")
        wanted = [stream for stream in streams if stream.name not in done]
        sync, started = self._warehouse.begin(streams, done)
        states = [state for state in self._warehouse.states() if _stream_of(state) in {one.name for one in wanted}]
        reading = Reading([stream.name for stream in wanted])
        with Intake(self._warehouse, wanted, reading, self._folder, sync=sync, started=started) as intake:
            interrupted = True
            try:
                with (
                    self._screen.progress(f"Sync {sync}", reading) as watch,
                    closing(self._connector.read(wanted, states)) as messages,
                ):
                    for message in messages:
                        with self._interrupts.held():
                            changed = reading.take(message)
                            intake.take(message)
                        watch(changed)
                interrupted = False
            except ArchiveError as error:
                reading.error = str(error)
                raise
            finally:
                # What came before an error or Ctrl-C counts, and the page must not say what was true before it.
                with self._interrupts.held():
                    reading.finish()
                    intake.finish(interrupted=interrupted)
                    if interrupted:
                        self._report()
        self._screen.summary(reading)
        return self._warehouse.history()[sync]

    def _download(self, folder: Path) -> bool:
        """Download what the messages name, and return whether every file that Drift still has is there."""
        given = self._settings

        def fetch(connection: DuckDBPyConnection) -> Counts:
            return files.fetch(connection, folder, given.api_url, lambda: given.token, given.rate, self._screen.warning)

        try:
            with self._screen.waiting("files"):
                counts = self._warehouse.files(fetch)
        except ArchiveError as error:
            self._screen.failure(str(error))
            return False
        self._screen.files(folder, counts)
        return not counts.failed

    def _report(self) -> None:
        """Write a page about the whole archive, also about streams that this run was not asked for."""
        history = self._warehouse.history()
        synced = {entry.stream for entries in history.values() for entry in entries}
        streams = [stream for name, stream in self._offered.items() if name in synced]
        run = Run(
            place=f"{self._host} in {self._options.into.name}",
            at=datetime.now(UTC),
            streams=streams,
            history=history,
            rows={stream.name: self._warehouse.count(stream.name) for stream in streams},
            # They may quote Drift's responses.
            hide=lambda text: masked(text, self._settings.secrets),
        )
        path = self._options.into.with_name("report.html")
        text = page(run, self._warehouse, warn=self._screen.warning)
        try:
            settings.write(path, text)
        except OSError as error:
            self._screen.warning(f"{path} cannot be written: {error.strerror}.")
        else:
            self._screen.page(str(path))

    def _end(self, entries: list[StreamSync], *, has_files: bool) -> int:
        self._screen.file(self._options.into, self._warehouse.tables())
        self._screen.note("")
        faults = _faults(entries)
        if not faults and not has_files:
            self._screen.failure("All streams are complete, but not all files. Run the same command again to go on.")
            return 1
        if not faults:
            self._screen.success(f"Complete: {len(entries)} of {len(entries)} streams.")
            return 0
        complete = sum(entry.outcome == COMPLETE for entry in entries)
        verdict = f"Not complete: {complete} of {len(entries)} streams. Run the same command again to go on."
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
        return f"The connector's errors are in {self._log}." if kept else None


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="source-drift archive",
        description="Archive Drift in one DuckDB file. Run the same command again to go on or to bring it up to date.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="PATH", help="JSON config file with the token")
    parser.add_argument("--into", type=Path, required=True, metavar="FILE", help="the DuckDB file")
    parser.add_argument("--streams", type=_names, metavar="A,B", help="only these streams, by default all")
    parser.add_argument(
        "--start-date", type=_date, metavar="DATE", help="only what changed since then, such as 2024-01-31"
    )
    parser.add_argument("--parquet", type=Path, metavar="DIR", help="also export each stream to a Parquet file in DIR")
    parser.add_argument(
        "--files", type=Path, metavar="DIR", help="also download the files that messages name; untested against Drift"
    )
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("name at least one stream")
    return names


def _date(text: str) -> str:
    """Return a date as the connector's config has it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a date such as 2024-01-31") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _faults(entries: Iterable[StreamSync]) -> list[str]:
    """Return each error once, with the streams that have it."""
    streams: dict[str, list[str]] = {}
    for entry in entries:
        if entry.outcome != COMPLETE:
            streams.setdefault(entry.error or "not complete.", []).append(entry.stream)
    return [_about(dict.fromkeys(names), fault) for fault, names in streams.items()]


def _about(names: Iterable[str], fault: str) -> str:
    """Return the fault of some streams, with the names that it does not contain itself."""
    missing = [name for name in names if not re.search(rf"\b{re.escape(name)}\b", fault)]
    return f"{', '.join(missing)}: {fault}" if missing else fault


def _host(config: Mapping[str, Any]) -> str:
    """Return the host that a config points to, without anything else of its URL."""
    url = config.get("api_url")
    try:
        host = urlsplit(url).netloc.rpartition("@")[2] if isinstance(url, str) else ""
    except ValueError:
        host = ""
    return host.lower() or urlsplit(settings.API_URL).netloc


def _stream_of(state: Mapping[str, Any]) -> str | None:
    return ((state.get("stream") or {}).get("stream_descriptor") or {}).get("name")


@contextmanager
def _private() -> Iterator[None]:
    """Let only the owner read whatever is made within the block: records are people's data."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _screen() -> Screen:
    # A terminal or a file that cannot show a sign gets a question mark instead of an exception.
    with suppress(AttributeError):
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    console = Console(highlight=False)
    return Screen(console, animated=sys.stdout.isatty() and not console.is_dumb_terminal)
