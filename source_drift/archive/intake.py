"""What the connector reads on its way into the file: each state is committed together with the records before it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import orjson

from source_drift.archive.connector import Message, Stream
from source_drift.archive.errors import ArchiveError
from source_drift.archive.reading import Progress, Reading, State
from source_drift.archive.tables import LINE, OTHER, as_key, columns, divided
from source_drift.archive.warehouse import COMPLETE, INCOMPLETE, INTERRUPTED, RUNNING, StreamSync, Warehouse

IDENTITY = "token_info"
"""The stream that names the organization. It needs no scope and takes one request."""

_ORGANIZATION = re.compile(r"orgId:\d+")
# The connector saves a state every ten minutes. Records of an incremental stream go into the file before that, as the
# key allows, so that what Drift has given once is soon safe.
_SECONDS_BETWEEN_COMMITS = 10.0


class Spool:
    """Records of one stream on disk, so that a read of any size needs little memory.

    Raises:
        ArchiveError: (all methods) the disk is full.
    """

    def __init__(self, stream: Stream, folder: Path) -> None:
        self.stream = stream
        self.path = folder / f"{stream.name}.ndjson"
        self.empty = True
        self._columns = columns(stream)
        self._number = 0
        self._file = self.path.open("wb", buffering=1 << 16)

    def add(self, data: Mapping[str, Any]) -> None:
        """Append a record.

        Raises:
            ArchiveError: it has no key.
        """
        row, other = divided(data, self._columns)
        for field in self.stream.key:
            if field in other:
                # An id as text, or with a decimal point, is the same id.
                row[field] = as_key(other.pop(field), self._columns.get(field))
            if row.get(field) is None:
                raise ArchiveError(f"A record of {self.stream.name} has no usable {field}, which is its key.")
        row[LINE] = self._number
        self._number += 1
        if other:
            row[OTHER] = other
        self.empty = False
        try:
            self._file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise self._full(error) from error

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise self._full(error) from error

    def clear(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.empty = True

    def close(self) -> None:
        # What a full disk has not taken is not needed any more.
        with suppress(OSError):
            self._file.close()

    def _full(self, error: OSError) -> ArchiveError:
        return ArchiveError(f"The records cannot be kept in {self.path.parent}: {error.strerror}.")


class Intake:
    """Commits what `reading` has counted, stream by stream, into `warehouse` as part of one sync.

    A full refresh stream replaces its table when it is complete. An incremental stream is merged by key with each of
    its states, and every few seconds. Nothing is committed before the organization is known, or `IDENTITY` has ended
    without naming it.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        streams: Sequence[Stream],
        reading: Reading,
        folder: Path,
        *,
        sync: int,
        started: datetime,
    ) -> None:
        self._warehouse = warehouse
        self._reading = reading
        self._sync = sync
        self._started = started
        self._spools = {stream.name: Spool(stream, folder) for stream in streams}
        self._states: dict[str, Message] = {}
        """States that are not committed yet."""
        self._identified = IDENTITY not in self._spools
        self._committed_at = dict.fromkeys(self._spools, time.monotonic())
        self._committed: set[str] = set()
        """Streams whose end is in the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for spool in self._spools.values():
            spool.close()

    def take(self, message: Message) -> None:
        """Take a message after `reading` has.

        Raises:
            ArchiveError: the token belongs to another organization, a record cannot be kept, or the file cannot be
                written; it then holds what was committed before.
        """
        kind = message["type"]
        if kind == "RECORD":
            name, data = message["record"]["stream"], message["record"]["data"]
            spool = self._spools.get(name)
            if spool is None:
                raise ArchiveError(f"The connector sent a record of {name!r}, a stream that was not requested.")
            spool.add(data)
            if name == IDENTITY:
                self._identify(data)
            if spool.stream.incremental and time.monotonic() - self._committed_at[name] >= _SECONDS_BETWEEN_COMMITS:
                self._commit(name)
        elif kind == "STATE":
            name = ((message["state"].get("stream") or {}).get("stream_descriptor") or {}).get("name", "")
            if name in self._spools and self._spools[name].stream.incremental:
                self._states[name] = message["state"]
                self._commit(name)
        elif kind == "TRACE":
            for name, progress in self._reading.streams.items():
                if progress.state.final and name not in self._committed:
                    self._ended(name)

    def finish(self, *, interrupted: bool) -> None:
        """Commit what has come, also of streams that did not end; if `interrupted`, they count as such."""
        if not interrupted:
            self._identified = True
        for name in self._spools:
            if name not in self._committed and self._identified:
                self._commit(name, interrupted=interrupted)

    def _identify(self, data: Mapping[str, Any]) -> None:
        organization = data.get("authenticated_userid")
        if isinstance(organization, str) and _ORGANIZATION.fullmatch(organization):
            self._warehouse.claim_organization(organization)
            self._identified = True

    def _ended(self, name: str) -> None:
        if name == IDENTITY:
            self._identified = True
        if self._identified:
            for each, progress in self._reading.streams.items():
                if each not in self._committed and (progress.state.final or each in self._states):
                    self._commit(each)

    def _commit(self, name: str, *, interrupted: bool = False) -> None:
        """Commit the spooled records of a stream, its state and its outcome in one transaction."""
        if not self._identified:
            return
        progress, spool = self._reading.streams[name], self._spools[name]
        complete = progress.state is State.COMPLETE
        entry = self._entry(progress, interrupted=interrupted)
        spool.flush()
        with self._warehouse.transaction():
            if spool.stream.incremental and (complete or not spool.empty):
                self._warehouse.load(spool.stream, spool.path, self._started, replace=False)
            elif complete:
                self._warehouse.load(spool.stream, spool.path, self._started, replace=True)
            if name in self._states:
                self._warehouse.save_state(name, self._states[name])
            self._warehouse.note(self._sync, entry)
        self._states.pop(name, None)
        self._committed_at[name] = time.monotonic()
        if spool.stream.incremental or entry.outcome != RUNNING:
            spool.clear()
        if entry.outcome != RUNNING:
            self._committed.add(name)

    def _entry(self, progress: Progress, *, interrupted: bool) -> StreamSync:
        """Return what the history says of a stream now."""
        over = self._reading.ended is not None
        outcome = RUNNING
        if progress.state is State.COMPLETE:
            outcome = COMPLETE
        elif interrupted:
            outcome = INTERRUPTED
        elif progress.state.final or over:
            outcome = INCOMPLETE
        error = None
        if outcome in (INCOMPLETE, INTERRUPTED):
            error = progress.error or self._reading.error
        if outcome == INCOMPLETE:
            error = error or "The connector ended before the stream was read completely."
        end = progress.ended or (self._reading.ended if over else None)
        return StreamSync(
            stream=progress.name,
            started=self._started,
            ended=None if end is None or outcome == RUNNING else datetime.fromtimestamp(end, UTC).replace(tzinfo=None),
            outcome=outcome,
            records=progress.records,
            error=error,
            warnings=self._reading.warnings_of(progress.name),
            skipped=progress.skipped,
            seconds=progress.seconds(end or self._reading.clock()),
        )
