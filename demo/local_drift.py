"""The Drift of the demo where there is no account: a sandbox of believable size that knows what a read must deliver."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from demo.connector import Stream
from demo.errors import DemoError
from sandbox import PRIMARY_KEYS, Drift, Options, Sandbox

ACCOUNTS, CONVERSATIONS, USERS = 400, 3_000, 40
_SEED = 1
_LATENCY = 0.05
_CHANGED, _ADDED, _JOINED = 25, 5, 1

# Whose request a path is. The list of conversations is read once for all streams that need it.
_PATHS = {
    "accounts": r"/accounts/?",
    "conversations": r"/conversations/list",
    "users": r"/users/list",
    "messages": r"/conversations/\d+/messages",
    "conversation_details": r"/conversations/\d+",
    "contacts": r"/contacts/\d+",
    "conversation_metrics": r"/reports/conversations",
    "meetings": r"/users/meetings/org",
    "teams": r"/teams/org",
    "playbooks": r"/playbooks/list",
    "contacts_by_email": r"/contacts/?",
    "landing_pages": r"/playbooks/clp",
    "contact_attributes": r"/contacts/attributes",
    "conversation_stats": r"/conversations/stats",
    "token_info": r"/app/token_info",
}
_STREAM_OF = re.compile("|".join(f"(?P<{stream}>{path})" for stream, path in _PATHS.items()))


class LocalDrift:
    """A running sandbox.

    Raises:
        DemoError: (on entering) it cannot listen on the loopback interface.
    """

    def __init__(self, *, accounts: int = ACCOUNTS, conversations: int = CONVERSATIONS, users: int = USERS) -> None:
        drift = Drift(seed=_SEED, accounts=accounts, conversations=conversations, users=users)
        self._sandbox = Sandbox(drift, Options(latency=_LATENCY))
        self.changes: dict[str, int] = {}
        """How many records of an incremental stream the last change has touched."""
        self._size = f"{accounts:,} accounts, {conversations:,} conversations, {users:,} users"

    def __enter__(self) -> Self:
        try:
            self._sandbox.__enter__()
        except OSError as error:
            raise DemoError(f"The local Drift cannot start: {error.strerror or error}.") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sandbox.__exit__(kind, error, trace)

    @property
    def title(self) -> str:
        return f"a local Drift: {self._size}"

    def config(self) -> dict[str, Any]:
        """Return a config with which the connector reads it."""
        token = next(iter(self._sandbox.options.tokens))
        credentials = {"credentials": "access_token", "access_token": token}
        return {"credentials": credentials, "api_url": self._sandbox.url}

    def count(self, stream: Stream) -> int | None:
        """Return how many records a complete read delivers, None for what is no data of Drift's."""
        return self._sandbox.drift.count(stream.name) if stream.name in PRIMARY_KEYS else None

    def rows(self, stream: Stream) -> Iterator[dict[str, Any]]:
        """Yield every record that a complete read delivers, as Drift sends it; only for streams that have a count."""
        return self._sandbox.drift.expected(stream.name)

    def change(self) -> str:
        """Let something happen; return it in words."""
        drift = self._sandbox.drift
        known = sorted(drift.keys("conversations"))
        changed = random.Random(_SEED).sample(known, min(_CHANGED, len(known)))
        for conversation_id in changed:
            drift.add_message(conversation_id)
        for _ in range(_ADDED):
            drift.add_conversation()
        for _ in range(_JOINED):
            drift.add_user()
        self.changes = {"conversations": len(changed) + _ADDED}
        return f"{_CHANGED} conversations got a message, {_ADDED} began, {_JOINED} user joined"

    def forget_requests(self) -> None:
        """Count requests from now on."""
        self._sandbox.journal.clear()

    def requests(self) -> Counter[str]:
        """Return how many requests were made for each stream; `""` counts those for none."""
        return Counter(stream_of(request.path) for request in self._sandbox.journal)


def stream_of(path: str) -> str:
    """Return the stream whose records stand at a path of the API, `""` for no stream's."""
    match = _STREAM_OF.fullmatch(path)
    return (match.lastgroup or "") if match else ""
