"""A response before it is sent to the client."""

from __future__ import annotations

from typing import Any, NamedTuple


class Answer(NamedTuple):
    """An HTTP answer before it is sent; `content` is JSON unless it is bytes. Headers without a value are left out."""

    status: int
    content: Any
    headers: dict[str, str]
    media_type: str = "application/json"
