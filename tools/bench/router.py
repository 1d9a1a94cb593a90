"""Runs only the router of the conversations' children: `python -m tools.bench.router CONVERSATIONS`.

The parent is a fake, so that no response, cache or queue counts. The memory of the router is the peak memory of this
process minus that of one without conversations.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from airbyte_cdk.sources.declarative.partition_routers.substream_partition_router import ParentStreamConfig
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream
from airbyte_cdk.sources.types import Record

from components import OldestFirstSubstreamRouter, notes_of
from tools.bench.process import Failed

_NEWEST = 1_700_000_000_000
_APART = 60_000
_ID = 9_000_000_000


class _CursorField:
    cursor_field_key = "updatedAt"


class _Cursor:
    cursor_field = _CursorField()
    state = {"updatedAt": "0"}  # noqa: RUF012


class _Conversations:
    """A parent stream with one partition and many conversations, newest first, with different IDs and times."""

    name = "conversations"
    cursor = _Cursor()

    def __init__(self, conversations: int) -> None:
        self._conversations = conversations

    def generate_partitions(self) -> Iterator[_Conversations]:
        yield self

    def read(self) -> Iterator[Record]:
        for number in range(self._conversations):
            row: dict[str, Any] = {"id": _ID + number, "updatedAt": _NEWEST - number * _APART, "status": "closed"}
            yield Record(data=row, stream_name=self.name, associated_slice=None)


def main() -> None:
    conversations = int(sys.argv[1])
    parent = ParentStreamConfig(
        stream=cast(AbstractStream, _Conversations(conversations)),
        parent_key="id",
        partition_field="conversation_id",
        config={},
        parameters={},
        incremental_dependency=True,
    )
    config, budget = {"max_requests_per_second": 35}, SimpleNamespace()
    router = OldestFirstSubstreamRouter(
        parent_stream_configs=[parent], config=config, parameters={}, api_budget=budget, name="messages"
    )
    slices = 0
    for _ in router.stream_slices():
        # Like a worker at the end of each child.
        notes_of(budget, "messages").room.release()
        slices += 1
    if slices != conversations:
        raise Failed(f"{slices:,} of {conversations:,} conversations were yielded")


if __name__ == "__main__":
    main()
