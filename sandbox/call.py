"""One request to an endpoint, which takes it and returns the JSON of the response, or an answer of another type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

import orjson

from sandbox import paging
from sandbox.auth import Authority
from sandbox.data import Drift
from sandbox.errors import invalid, not_found
from sandbox.options import Options


@dataclass
class Call:
    """One request to an endpoint, with everything that the endpoint needs."""

    drift: Drift
    options: Options
    authority: Authority
    raw_query: bytes
    path_params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def query(self) -> paging.Query:
        return parse_qs(self.raw_query.decode("latin-1"), keep_blank_values=True)

    def json(self) -> dict[str, Any]:
        """Return the body's JSON object.

        Raises:
            ApiError: 400 if it is not one.
        """
        parsed = self._parsed()
        if not isinstance(parsed, dict):
            raise invalid(None, "The body must be a JSON object")
        return parsed

    def json_list(self) -> list[Any]:
        """Return the body's JSON array.

        Raises:
            ApiError: 400 if it is not one, or empty.
        """
        parsed = self._parsed()
        if not isinstance(parsed, list) or not parsed:
            raise invalid(None, "The body must be a JSON array with at least one value")
        return parsed

    def _parsed(self) -> Any:
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    def path_id(self, name: str, what: str) -> int:
        given = self.path_params[name]
        if not (given.isascii() and given.isdigit() and len(given) <= 19):
            raise not_found(f"{what} {given}")
        return int(given)


Handler = Callable[[Call], Any]


@dataclass(frozen=True)
class Endpoint:
    """An operation of openapi.yaml; `scope` is the scope that it needs, `token` is whether it needs a token."""

    method: str
    path: str
    handler: Handler
    scope: str | None = None
    token: bool = True
