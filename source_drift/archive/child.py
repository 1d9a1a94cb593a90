"""`python -m source_drift.archive.child VERB …`: the connector, which ends together with the process that reads it.

On its own, it would notice that nobody reads it any more only after it has requested everything that it has planned,
with the token that the next run uses.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from threading import Thread

from source_drift import protocol


def main(arguments: Sequence[str]) -> None:
    """Run a command of the Airbyte protocol; standard input is a pipe that only the reader holds open."""
    Thread(target=_end_with_reader, daemon=True).start()
    protocol.main([*arguments])


def _end_with_reader() -> None:
    # Not sys.stdin, whose lock would be held when the interpreter ends.
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
