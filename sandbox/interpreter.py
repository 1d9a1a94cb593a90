"""Applies each dialect to a request and its response, and counts its changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

import orjson

from sandbox.answer import Answer
from sandbox.deviations import Asked, Query
from sandbox.dialects import DIALECTS, Dialect

if TYPE_CHECKING:
    from sandbox.data import Drift


@dataclass
class _Spoken:
    """A dialect with its memory while one service runs."""

    dialect: Dialect
    count: int = 0
    hits: int = 0
    struck: set[str] = field(default_factory=set)
    memory: dict[Any, Any] = field(default_factory=dict)

    def hit(self, asked: Asked) -> None:
        self.hits += 1
        self.struck.add(asked.subject)


class Interpreter:
    """The dialects of one running service, in the order in which they are applied."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._spoken = [_Spoken(DIALECTS[name]) for name in names]

    @property
    def hits(self) -> Mapping[str, int]:
        """How many requests and responses each dialect has changed."""
        return {spoken.dialect.name: spoken.hits for spoken in self._spoken}

    @property
    def struck(self) -> frozenset[str]:
        """The IDs of the conversations and contacts whose requests or responses were changed; for others, the paths."""
        return frozenset().union(*(spoken.struck for spoken in self._spoken))

    def turn(self, method: str, path: str, raw_query: bytes, body: bytes, drift: Drift) -> Turn | None:
        """Start a request; None if no dialect affects it."""
        concerned = [spoken for spoken in self._spoken if spoken.dialect.concerns(path)]
        return Turn(concerned, method, path, raw_query, body, drift) if concerned else None


class Turn:
    """One request and its response."""

    def __init__(
        self, spoken: Sequence[_Spoken], method: str, path: str, raw_query: bytes, body: bytes, drift: Drift
    ) -> None:
        query: Query = parse_qs(raw_query.decode("latin-1"), keep_blank_values=True)
        self._raw_query, self._body = raw_query, body
        self._parsed = _parsed(body)
        self._query = query
        self._given = orjson.dumps([query, self._parsed])
        self._turns = []
        for one in spoken:
            one.count += 1
            self._turns.append((one, Asked(method, path, query, self._parsed, drift, one.count, one.memory)))

    def answer(self) -> Answer | None:
        """The response of a dialect, or None if the endpoint responds."""
        for spoken, asked in self._turns:
            for deviation in spoken.dialect.deviations:
                before = orjson.dumps([asked.query, asked.body])
                answer = deviation.ask(asked) if deviation.ask else None
                if answer is not None or asked.disturbed or before != orjson.dumps([asked.query, asked.body]):
                    spoken.hit(asked)
                if answer is not None:
                    return answer
        return None

    @property
    def query(self) -> bytes:
        """The query that the endpoint receives; unchanged to the byte if no dialect changed it."""
        return urlencode(self._query, doseq=True).encode() if self._changed else self._raw_query

    @property
    def body(self) -> bytes:
        return orjson.dumps(self._parsed) if self._changed and self._parsed is not None else self._body

    @property
    def _changed(self) -> bool:
        return orjson.dumps([self._query, self._parsed]) != self._given

    def altered(self, answer: Answer) -> Answer:
        """The response with the changes of the dialects; `answer` itself does not change."""
        if not isinstance(answer.content, bytes):
            answer = answer._replace(content=orjson.loads(orjson.dumps(answer.content)))
        for spoken, asked in self._turns:
            before = _dumped(answer)
            for deviation in spoken.dialect.deviations:
                answer = deviation.alter(asked, answer) if deviation.alter else answer
            if _dumped(answer) != before:
                spoken.hit(asked)
        return answer


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return None


def _dumped(answer: Answer) -> tuple[Any, ...]:
    content = answer.content if isinstance(answer.content, bytes) else orjson.dumps(answer.content)
    return answer._replace(content=content)
