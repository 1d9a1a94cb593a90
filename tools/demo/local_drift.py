"""The demo's Drift without an account: a sandbox of realistic size that knows what a read must deliver."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from sandbox import METRICS, PRIMARY_KEYS, Drift, Options, Sandbox
from source_drift.archive.connector import Stream
from source_drift.archive.errors import ArchiveError
from source_drift.words import counted

CONVERSATIONS, ACCOUNTS, USERS, MEETINGS = 450, 400, 14, 80
LOOKBACKS = {"conversation_metrics": 86_400_000, "conversations": 600_000}
"""How far before a state each stream is read again, in milliseconds, as the manifest says it."""
INCREMENTAL = {"conversations", "messages", "conversation_details", "contacts", "conversation_metrics"}
"""The streams for which a second read returns only changes."""

_SEED = 1
_DAYS = 365
_LATENCY = 0.05
# The most that the connector allows. The local Drift throttles whatever exceeds it for long.
_REQUESTS_PER_SECOND = 50
_ANSWERED, _EDITED, _CLOSED, _ADDED = 18, 2, 5, 5

# Whose request a path is. The list of conversations is shared by all streams that need it.
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
    """A running sandbox whose list of conversations names one that was deleted, and another of a deleted contact.

    Raises:
        ArchiveError: (on entering) it cannot listen on the loopback interface.
    """

    def __init__(
        self,
        *,
        conversations: int = CONVERSATIONS,
        accounts: int = ACCOUNTS,
        users: int = USERS,
        meetings: int = MEETINGS,
    ) -> None:
        drift = Drift(
            seed=_SEED,
            history_days=_DAYS,
            accounts=accounts,
            conversations=conversations,
            users=users,
            meetings=meetings,
        )
        self._drift = drift
        self._sandbox = Sandbox(drift, Options(latency=_LATENCY))
        self._random = random.Random(_SEED)
        self._newest: int | None = None
        """`updatedAt` of the newest conversation before the last change: the state of the read before it."""
        self._changed = 0
        vanishing = self._random.sample(sorted(drift.keys("conversations")), 2) if conversations > 1 else []
        for conversation_id in vanishing[:1]:
            drift.delete_conversation(conversation_id, still_listed=True)
        for conversation_id in vanishing[1:]:
            drift.delete_contact((drift.conversation(conversation_id) or {})["contactId"])
        self._emails = self._chosen_emails()
        self._start_date = self._day_of_the_oldest()
        self._size = f"{conversations:,} conversations, {accounts:,} accounts, {users:,} users"

    def __enter__(self) -> Self:
        try:
            self._sandbox.__enter__()
        except OSError as error:
            raise ArchiveError(f"The local Drift cannot start: {error.strerror or error}.") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sandbox.__exit__(kind, error, trace)

    @property
    def title(self) -> str:
        return f"a local Drift: {self._size}"

    @property
    def about(self) -> list[str]:
        """Sentences with background information for the reader."""
        requests, seconds = self._sandbox.options.rate_limit or (0, 0)
        holders = self._drift.count("contacts_by_email", emails=self._emails)
        return [
            f"Each response takes {_LATENCY} s. The local Drift throttles more than {requests:,} requests in "
            f"{seconds:.0f} s; the connector sends at most {_REQUESTS_PER_SECOND} per second.",
            f"The config sets start_date to {self._start_date}, which is before the oldest conversation, so no data "
            "is left out. Without it, the reports since 2014 alone would take three minutes.",
            f"Its contact_emails contain {len(self._emails)} addresses; {holders} contacts have one of them.",
            "1 conversation and 1 contact were deleted, but the list of conversations still contains their IDs: the "
            "connector has to skip and log both.",
        ]

    def config(self) -> dict[str, Any]:
        """Return a config with which the connector reads all of it."""
        token = next(iter(self._sandbox.options.tokens))
        return {
            "credentials": {"credentials": "access_token", "access_token": token},
            "api_url": self._sandbox.url,
            "start_date": self._start_date,
            "contact_emails": self._emails,
            "max_requests_per_second": _REQUESTS_PER_SECOND,
        }

    def count(self, stream: Stream) -> int | None:
        """Return how many records a complete read delivers, or None if Drift has no such data."""
        known = stream.name in PRIMARY_KEYS
        return self._drift.count(stream.name, emails=self._emails) if known else None

    def due(self, stream: Stream) -> int:
        """Return how many records a sync has to bring: all, or of an incremental stream what changed before it.

        That is everything about the conversations that were updated since the last state, or within the look-back
        before it. Only for streams that have a count.
        """
        if self._newest is None or stream.name not in INCREMENTAL:
            return self._drift.count(stream.name, emails=self._emails)
        since = self._newest - LOOKBACKS.get(stream.name, LOOKBACKS["conversations"])
        if stream.name == "conversation_metrics":
            return sum(1 for _ in self._drift.metrics_between(since, None))
        listed = [row for row in self._drift.expected("conversations") if row["updatedAt"] >= since]
        match stream.name:
            case "messages":
                return sum(len(self._drift.messages(row["id"]) or []) for row in listed)
            case "conversation_details":
                return sum(self._drift.conversation(row["id"]) is not None for row in listed)
            case "contacts":
                return sum(self._drift.contact(key) is not None for key in {row["contactId"] for row in listed})
        return len(listed)

    def rows(self, stream: Stream) -> Iterator[dict[str, Any]]:
        """Yield every record that a complete read delivers, as the connector is to deliver it.

        Only for streams that have a count.
        """
        rows = self._drift.expected(stream.name, emails=self._emails)
        return map(_named_metrics, rows) if stream.name == "conversation_metrics" else rows

    def change(self) -> str:
        """Change the data, and return a description of the changes."""
        drift = self._drift
        self._newest = max(row["updatedAt"] for row in drift.expected("conversations"))
        known = {row["id"]: row["status"] for row in drift.expected("conversation_details")}
        still_open = sorted(key for key, status in known.items() if status == "open")
        closed = self._random.sample(still_open, min(_CLOSED, len(still_open)))
        others = sorted(known.keys() - closed)
        touched = self._random.sample(others, min(_ANSWERED + _EDITED, len(others)))
        edited = [key for key in touched if drift.messages(key)][:_EDITED]
        for conversation_id in closed:
            drift.update_conversation(conversation_id, status="closed")
        for conversation_id in touched:
            if conversation_id in edited:
                drift.edit_message(conversation_id)
            else:
                drift.add_message(conversation_id)
        for _ in range(_ADDED):
            drift.add_conversation()
        drift.add_user()
        drift.delete_some_accounts(1)
        self._changed = len(touched) + len(closed) + _ADDED
        return (
            f"{counted(len(touched) - len(edited), 'conversation')} got a message, {counted(len(edited), 'message')} "
            f"were edited, {counted(len(closed), 'conversation')} were closed, {_ADDED} began, 1 user joined, "
            "1 account was deleted"
        )

    def explanation(self, streams: Iterable[Stream]) -> str:
        """Explain which records of an incremental read come from the last change and which from the look-back."""
        more = {stream.name: self.due(stream) - self._changed for stream in streams if stream.name in LOOKBACKS}
        text = (
            f"Sync 2 reads everything about the {counted(self._changed, 'conversation')} that changed, including all "
            "messages, because old messages can be edited."
        )
        if any(more.values()):
            listed = " and ".join(f"{number:,} of {name}" for name, number in more.items() if number)
            text += (
                f" It also reads unchanged records again, {listed}: every sync includes the last 10 minutes before a "
                "state, and for conversation_metrics the last day."
            )
        return text

    def forget_requests(self) -> None:
        """Count requests from now on."""
        self._sandbox.journal.clear()

    def requests(self) -> Counter[str]:
        """Return how many requests were made for each stream; `""` counts those for none."""
        return Counter(stream_of(request.path) for request in self._sandbox.journal)

    def gone(self) -> Counter[str]:
        """Return how many of them were answered with 404."""
        return Counter(stream_of(request.path) for request in self._sandbox.journal if request.status == 404)

    def _day_of_the_oldest(self) -> str:
        oldest = min((row["updatedAt"] for row in self._drift.expected("conversations")), default=self._drift.now)
        return datetime.fromtimestamp(oldest / 1000, UTC).strftime("%Y-%m-%dT00:00:00Z")

    def _chosen_emails(self) -> list[str]:
        """Return three addresses of contacts, or as many as there are; the first is shared by two, if any is."""
        contacts = (row["attributes"].get("email") for row in self._drift.expected("contacts"))
        holders = Counter(email for email in contacts if email)
        shared = [email for email, number in holders.items() if number > 1][:1]
        return (shared + [email for email, number in holders.items() if number == 1])[:3]


def stream_of(path: str) -> str:
    """Return the stream whose records stand at a path of the API, `""` for no stream's."""
    match = _STREAM_OF.fullmatch(path)
    return (match.lastgroup or "") if match else ""


def _named_metrics(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of Drift's report as the connector delivers it: each metric by its name, None for `"NaN"`."""
    values = (None if value == "NaN" else value for value in row["metrics"])
    return {"conversationId": row["conversationId"], **dict(zip(METRICS, values, strict=True))}
