"""A row of a stream, and what rows are written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Row:
    """One record.

    Attributes:
        stream: the name of the stream.
        number: its position among the records of its stream in this run, from 1.
        data: as the standard library parses JSON; integers are exact.
    """

    stream: str
    number: int
    data: Mapping[str, Any]


class DriftObject(Protocol):
    """A kind of object in Drift. Several threads call it at the same time."""

    def lane_keys(self, row: Row) -> frozenset[str]:
        """Return what identifies the row: rows that share any key are written one after the other, in order.

        Raises:
            Rejected: the row has no usable key.
        """

    def fold(self, rows: Sequence[Row]) -> Row | None:
        """Return one row that has the effect of these rows in this order; None if there is none.

        The rows are of one stream, have the same lane keys and wait behind each other. If the folded row is rejected,
        each of them is written alone.
        """

    def write(self, row: Row) -> bool:
        """Write the row. Return True if Drift accepted a change, False if there was nothing to change.

        Raises:
            Rejected: this row cannot be written.
            Later: this row can be written only after all others; it is kept in memory.
            ConfigError, TransientError, OutcomeUnknown: no further row can be written.
        """

    def finish(self) -> None:
        """Do what follows the last row. It is not called if the input is incomplete.

        Raises:
            ConfigError, TransientError: the run fails, although all rows are settled.
        """
