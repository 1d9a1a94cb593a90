"""A client that reads the sandbox as Drift documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from sandbox import ALL_SCOPES, WRITE_SCOPES, Drift, Options, Sandbox

TOKEN = {"Authorization": "Bearer sandbox-token"}
UNLIMITED = Options(rate_limit=None, reports_per_minute=None)
WRITABLE = replace(UNLIMITED, tokens={"sandbox-token": ALL_SCOPES + WRITE_SCOPES})
_MOST_PAGES = 200


class Client:
    """Sends requests to one sandbox in one session."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers.update(TOKEN)
        self.session.trust_env = False

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.session.get(self.sandbox.url + path, timeout=10, **more)

    def post(self, path: str, **more: Any) -> requests.Response:
        return self.session.post(self.sandbox.url + path, timeout=10, **more)

    def send(self, method: str, path: str, body: Any = None) -> requests.Response:
        return self.session.request(method, self.sandbox.url + path, json=body, timeout=10)

    def walk_links(self, limit: int = 50, meanwhile: Callable[[], object] | None = None) -> list[dict[str, Any]]:
        """Follow the token in `links.next` until it is missing or an empty page repeats it."""
        rows: list[dict[str, Any]] = []
        token = ""
        for _ in range(_MOST_PAGES):
            answer = self.get("/conversations/list", params={"limit": limit, "page_token": token}).json()
            rows += answer["data"]
            link = answer["links"].get("next")
            following = parse_qs(urlsplit(link).query)["page_token"][0] if link else None
            if following is None or (following == token and not answer["data"]):
                return rows
            assert following != token
            token = following
            if meanwhile:
                meanwhile()
        raise AssertionError("the pages do not end")

    def walk_next(self, limit: int = 50, meanwhile: Callable[[], object] | None = None) -> list[dict[str, Any]]:
        """Follow `pagination.next` until it is missing, `more` is false, or an empty page repeats it."""
        rows: list[dict[str, Any]] = []
        offset = ""
        for _ in range(_MOST_PAGES):
            answer = self.get("/conversations/list", params={"limit": limit, "next": offset}).json()
            rows += answer["data"]
            pagination = answer.get("pagination", {})
            following = pagination.get("next")
            if not pagination.get("more") or not following or (following == offset and not answer["data"]):
                return rows
            assert isinstance(following, str)
            offset = following
            if meanwhile:
                meanwhile()
        raise AssertionError("the pages do not end")

    def walk_accounts(self, size: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        path = f"/accounts?index=0&size={size}"
        for _ in range(_MOST_PAGES):
            data = self.get(path).json()["data"]
            rows += data["accounts"]
            following = data.get("next")
            parts = urlsplit(following or "")
            onwards = f"{parts.path}?{parts.query}"
            if not following or (onwards == path and not data["accounts"]):
                return rows
            path = onwards
        raise AssertionError("the pages do not end")

    def walk_messages(self, conversation_id: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        offset = ""
        for _ in range(_MOST_PAGES):
            answer = self.get(f"/conversations/{conversation_id}/messages", params={"next": offset}).json()
            rows += answer["data"]["messages"]
            if not answer["pagination"]["more"] or not answer["pagination"].get("next"):
                return rows
            offset = answer["pagination"]["next"]
        raise AssertionError("the pages do not end")


Start = Callable[..., Client]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start sandboxes that end with the test: `start(drift, options, faults=…)` returns a client of it."""
    running: list[Sandbox] = []

    def start_one(drift: Drift | None = None, options: Options = UNLIMITED, **more: Any) -> Client:
        sandbox = Sandbox(drift or Drift(conversations=60, accounts=20), options, **more)
        running.append(sandbox.__enter__())
        return Client(sandbox)

    yield start_one
    for sandbox in running:
        sandbox.__exit__()
