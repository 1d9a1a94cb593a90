"""A response, before it is sent to the client."""

from __future__ import annotations

from typing import Any, NamedTuple


class Answer(NamedTuple):
    """An HTTP response; `content` is JSON unless it is bytes. Headers without a value are not sent."""

    status: int
    content: Any
    headers: dict[str, str]
    media_type: str = "application/json"
