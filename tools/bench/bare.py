"""The minimum cost of a read in Python: `python -m tools.bench.bare URL STREAM` (accounts, conversations or messages).

One thread uses requests and orjson and prints each row as a record, without a budget, checks, state or retries. The
difference is the cost of the connector.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests

from tools.bench.connector import TOKEN

Row = dict[str, Any]


def rows(url: str, stream: str) -> Iterator[Row]:
    """Every row of a stream of a local Drift that supports both generations of pagination."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {TOKEN}"

    def ask(path: str) -> Any:
        return orjson.loads(session.get(url + path, timeout=60).content)

    if stream == "accounts":
        query: str | None = "index=0&size=65"
        while query:
            data = ask(f"/accounts?{query}")["data"]
            yield from data["accounts"]
            query = urlsplit(data["next"]).query if data.get("next") else None
        return
    query = "limit=50&page_token="
    while query:
        page = ask(f"/conversations/list?{query}")
        query = urlsplit((page.get("links") or {}).get("next") or "").query
        if stream == "conversations":
            yield from page["data"]
            continue
        for conversation in page["data"]:
            path = following = f"/conversations/{conversation['id']}/messages"
            while following:
                answer = ask(following)
                yield from answer["data"]["messages"]
                named = (answer.get("pagination") or {}).get("next")
                following = f"{path}?next={named}" if named else ""


def main() -> None:
    url, stream = sys.argv[1:]
    for row in rows(url, stream):
        record = {"type": "RECORD", "record": {"stream": stream, "data": row, "emitted_at": 0}}
        print(orjson.dumps(record).decode())


if __name__ == "__main__":
    main()
