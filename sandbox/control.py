"""Endpoints under `/_sandbox/` to control the sandbox manually. Drift does not have them; they need no token."""

from __future__ import annotations

from typing import Any, Protocol

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.data import PRIMARY_KEYS, Drift
from sandbox.journal import Journal

PREFIX = "/_sandbox"
_MOST_CHANGES = 100_000


class Controlled(Protocol):
    """What the control endpoints need."""

    drift: Drift
    journal: Journal


def control_routes(service: Controlled) -> list[Route]:
    """Return the control endpoints.

    `GET journal?limit=100` (newest last), `GET counts`, `POST change` with `{"touch": 1, "add": 1, "delete": 1}`.
    """

    async def journal(request: Request) -> Response:
        given = request.query_params.get("limit", "100")
        limit = int(given) if given.isdigit() else 100
        newest = service.journal.requests()[-limit:] if limit else []
        rows = [
            {
                "method": one.method,
                "path": one.path,
                "query": one.query,
                "status": one.status,
                "at": one.at,
                "token": one.token,
                "fault": one.fault,
            }
            for one in newest
        ]
        return _json({"total": service.journal.total, "requests": rows})

    async def counts(_: Request) -> Response:
        return _json(await run_in_threadpool(lambda: {stream: service.drift.count(stream) for stream in PRIMARY_KEYS}))

    async def change(request: Request) -> Response:
        try:
            wanted = orjson.loads(await request.body())
        except orjson.JSONDecodeError:
            wanted = None
        known = {"touch", "add", "delete"}
        if (
            not isinstance(wanted, dict)
            or not wanted
            or not set(wanted) <= known
            or not all(type(n) is int and 0 <= n <= _MOST_CHANGES for n in wanted.values())
        ):
            return _json({"error": f"send an object with {', '.join(sorted(known))}: 0 to {_MOST_CHANGES} each"}, 400)
        drift = service.drift
        done = {
            "touched": await run_in_threadpool(drift.touch_some, wanted.get("touch", 0)),
            "added": [drift.add_conversation() for _ in range(wanted.get("add", 0))],
            "deleted": await run_in_threadpool(drift.delete_some, wanted.get("delete", 0)),
        }
        return _json(done)

    return [
        Route(f"{PREFIX}/journal", journal, methods=["GET"]),
        Route(f"{PREFIX}/counts", counts, methods=["GET"]),
        Route(f"{PREFIX}/change", change, methods=["POST"]),
    ]


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
