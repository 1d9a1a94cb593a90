"""Rejected rows: how they are reported, and when there are too many."""

from __future__ import annotations

import json
import os
import re
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from destination_drift.errors import ConfigError, Rejected
from destination_drift.messages import Output
from destination_drift.rows import Row

WINDOW = 500
OPENING = 50


class Rejects:
    """Reports each rejected row with a warning and, if there is a directory, as a line of a file.

    The line is the row with `rejected_reason`, `rejected_field` and `rejected_message`, as other Airbyte destinations
    write it. The file is `<stream>-<sync_id>.jsonl`; only its owner can read it. It is not thread-safe.

    Args:
        sync_ids: the sync of each stream, to be part of the file's name.

    Raises:
        ConfigError: the directory cannot be written.
    """

    def __init__(self, directory: Path | None, sync_ids: Mapping[str, object], output: Output) -> None:
        self._directory, self._sync_ids, self._output = directory, sync_ids, output
        self._files: dict[str, BinaryIO] = {}
        self._is_dirty = False
        if directory:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise _unwritable(error) from None
            if not os.access(directory, os.W_OK):
                raise _unwritable(PermissionError(0, "Permission denied"))

    def report(self, row: Row, rejected: Rejected) -> None:
        about = f", {rejected.field}" if rejected.field else ""
        status = f", HTTP {rejected.status}" if rejected.status else ""
        message = f"Row {row.number} of the stream {row.stream} was rejected: {rejected.code}{about}{status}."
        self._output.warn(message)
        if self._directory:
            line = {
                **row.data,
                "rejected_reason": rejected.code,
                "rejected_field": rejected.field,
                "rejected_message": message,
            }
            try:
                self._file(row.stream).write(json.dumps(line).encode() + b"\n")
            except OSError as error:
                raise _unwritable(error) from None
            self._is_dirty = True

    def sync(self) -> None:
        """Return when everything reported is on disk."""
        if self._is_dirty:
            try:
                for file in self._files.values():
                    os.fsync(file.fileno())
            except OSError as error:
                raise _unwritable(error) from None
            self._is_dirty = False

    def _file(self, stream: str) -> BinaryIO:
        if stream not in self._files and self._directory:
            sync_id = self._sync_ids.get(stream)
            name = re.sub(r"[^\w.-]", "_", stream if sync_id is None else f"{stream}-{sync_id}")
            descriptor = os.open(self._directory / f"{name}.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            file = os.fdopen(descriptor, "ab", buffering=0)
            size = os.fstat(descriptor).st_size
            # A run that was killed may have left a part of a line.
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                file.write(b"\n")
            self._files[stream] = file
        return self._files[stream]


class Brake:
    """Stops a run whose rows are rejected too often, because then the mapping is wrong rather than the rows.

    Args:
        percent: the most rejected rows among the last 500. 0 stops at any rejected row, 100 at none.
    """

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._window: deque[str | None] = deque(maxlen=WINDOW)
        self._seen = self._late = 0

    def count(self, code: str | None, *, late: bool = False) -> None:
        """Count a settled row, with its code if it was rejected.

        Args:
            late: the row was postponed. Most of these are rejected, so they are compared with all rows.

        Raises:
            ConfigError: too many rows were rejected.
        """
        self._seen += 1
        if late:
            self._late += code is not None
        else:
            self._window.append(code)
        if code is None or self._percent == 100:
            return
        if self._percent == 0:
            raise ConfigError(f"A row was rejected ({code}), and max_rejected_percent is 0. Correct the row.")
        if late:
            if self._late * 100 > self._percent * max(self._seen, WINDOW):
                raise ConfigError(
                    f"{self._late} of {self._seen} rows were rejected after they were tried again, the last one with "
                    f"{code}. Correct the rows or the mapping, or raise max_rejected_percent."
                )
            return
        codes = Counter(one for one in self._window if one)
        if self._seen == OPENING and codes[code] == OPENING:
            raise ConfigError(
                f"The first {OPENING} rows were all rejected ({code}). Check match_by, stream_map and field_map."
            )
        if len(self._window) == WINDOW and codes.total() * 100 > self._percent * WINDOW:
            raise ConfigError(
                f"{codes.total()} of the last {WINDOW} rows were rejected, most of them with "
                f"{codes.most_common(1)[0][0]}. Correct the rows or the mapping, or raise max_rejected_percent."
            )


def _unwritable(error: OSError) -> ConfigError:
    return ConfigError(f"rejected_rows_directory cannot be written: {error.strerror}. Choose another directory.")
