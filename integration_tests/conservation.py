"""The conservation law: the destination has the rows of Drift, or a sync fails and a later one reads the rest.

A story is plain data: a Drift, its options, the selected streams, and steps, each a change of Drift or a sync. `tell`
plays it with the connector as a process, and raises `Lost` at the first row that is missing, wrong or invented.

The destination keeps the last version of each key. It commits the records of a stream at each state of that stream
and when the stream is complete; the story says whether it commits or drops the rest of a failed or killed run. The
next sync gets the newest state of each incremental stream.
"""

import json
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from integration_tests.connector import ROOT, Run, access_token, catalog, key_of, run
from integration_tests.hurried import Pace
from sandbox import METRICS, MISSING, Drift, Fault, Options, Sandbox

Row = dict[str, Any]
Story = dict[str, Any]
Step = dict[str, Any]

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# The windows of the first read of reports start here, 30 days each; all rows are later.
START = 100 * DAY
HISTORY_DAYS = 90
# The look-back of 10 minutes, minus the maximum time of a story.
LATE = 9 * MINUTE
INCREMENTAL = ("conversations", "messages", "conversation_details", "contacts", "conversation_metrics", "meetings")
EMAILS = 3
# A child emits its state after each conversation.
PACE = Pace(state_seconds=0)


class Lost(AssertionError):
    """The law is broken; the message has the row and the stream."""


class LivelyDrift(Drift):
    """A Drift in which meetings also change, and the list of conversations can have rows out of order."""

    def misdate(self, conversation_id: int, updated_at: int) -> None:
        """Change the time of a conversation, but not its place in the list."""
        with self._lock:
            changed = self._change(conversation_id)
            changed.row = changed.row | {"updatedAt": updated_at}

    def change_meeting(self, place: int, **fields: Any) -> None:
        """Change the listed meeting at `place`, if there is one."""
        with self._lock:
            rows = self.meetings(0, 1 << 62)
            if rows:
                row = rows[place % len(rows)]
                self._meetings = [one | fields if one is row else one for one in self._meetings or []]

    def add_meeting(self, days: int) -> None:
        """Book another meeting like the first one, in the given number of days."""
        with self._lock:
            rows = self.meetings(0, 1 << 62)
            if rows:
                slug = f"meet-added-{len(self._meetings or [])}"
                slot = {"slotStart": now() + days * DAY, "slotEnd": now() + days * DAY + HOUR}
                self._meetings = [*(self._meetings or []), rows[0] | slot | {"slug": slug}]


def now() -> int:
    return int(time.time() * 1000)


class World:
    """Drift, the rows in the destination, and the saved state."""

    def __init__(self, story: Story, sandbox: Sandbox) -> None:
        sizes = dict(story["drift"])
        edges = sizes.pop("edges", [])
        self.drift = LivelyDrift(history_days=HISTORY_DAYS, now=now() - 12 * MINUTE, **sizes)
        self.sandbox, self.story = sandbox, story
        self.streams: dict[str, str] = story["streams"]
        sandbox.drift = sandbox.service.drift = self.drift
        self.options = Options(rate_limit=None, reports_per_minute=None, **story.get("options", {}))
        start = (now() - START) // DAY * DAY
        emails = [row["attributes"].get("email") for row in self.drift.expected("contacts")]
        self.emails = [email for email in dict.fromkeys(emails) if email][:EMAILS]
        self.config = access_token(
            sandbox.url,
            start_date=datetime.fromtimestamp(start / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            contact_emails=self.emails,
        )
        self.destination: dict[str, dict[Any, Row]] = {stream: {} for stream in self.streams}
        self.states: dict[str, dict[str, Any]] = {}
        self.ever: dict[str, set[Any]] = {stream: set() for stream in self.streams}
        # Rows that an incremental read may miss: their changes, or the whole row.
        self.silent: dict[str, dict[Any, str]] = {stream: {} for stream in self.streams}
        self.log: list[str] = []
        self.misdated: int | None = None
        for place, (window, offset) in enumerate(edges):
            # The boundary of two windows of the reports.
            self._touch(place, start + window * 30 * DAY + offset)

    # Changes

    def change(self, step: Step) -> None:
        """Make one change in Drift; if it does not apply, nothing happens."""
        do, place, when = step["do"], step.get("i", 0), step.get("when")
        drift = self.drift
        match do:
            case "add":
                fields = {} if step.get("contact") is None else {"contactId": self._contact_of(step["contact"])}
                for _ in range(step.get("n", 1)):
                    drift.add_conversation(self._at(when), **{k: v for k, v in fields.items() if v is not None})
            case "touch":
                at = self._at(when)
                for offset in range(step.get("n", 1)):
                    self._touch(place + offset, at)
            case "message" if conversation := self._conversation(place):
                drift.add_message(conversation, self._at(when))
                self._heard(conversation)
            case "edit" if conversation := self._conversation(place):
                if drift.messages(conversation):
                    drift.edit_message(conversation, at=self._at(when), body=f"<p>edit {now()}</p>")
                    self._heard(conversation)
            case "update" if conversation := self._conversation(place):
                status = step.get("status", "closed")
                fields = {} if step.get("contact") is None else {"contactId": self._contact_of(step["contact"])}
                drift.update_conversation(conversation, self._at(when), status=status, **fields)
                self._heard(conversation)
            case "strip" if conversation := self._conversation(place):
                # A conversation without `updatedAt` keeps its place, which an incremental read may not reach.
                drift.update_conversation(conversation, updatedAt=MISSING)
                self._unheard("conversations", conversation)
                self._unheard("conversation_details", conversation)
            case "misdate" if conversation := self._conversation(place):
                # Older than any state, among new rows: only this row may count as old, not the ones after it.
                # Only one at a time: a page of several old rows ends a read, and a story's pages can have two rows.
                if self.misdated in drift.keys("conversations"):
                    return
                self.misdated = conversation
                drift.touch(conversation)
                for stream, key in self._named_by(conversation):
                    self._unheard(stream, key, "row")
                drift.misdate(conversation, now() - START + DAY)
            case "delete" if conversation := self._conversation(place):
                drift.delete_conversation(conversation, still_listed=step.get("still_listed", False))
            case "contact" if contact := self._contact_of(place):
                drift.update_contact(contact, plan=f"plan {now()}")
                self._unheard("contacts", contact)
            case "delete_contact" if contact := self._contact_of(place):
                drift.delete_contact(contact)
            case "account":
                ids = list(drift.keys("accounts"))
                if step["how"] == "add":
                    drift.add_account()
                elif ids and step["how"] == "update":
                    drift.update_account(ids[place % len(ids)], name=f"Name {now()}")
                elif ids:
                    drift.delete_account(ids[place % len(ids)])
            case "user":
                ids = list(drift.keys("users"))
                if step["how"] == "add":
                    drift.add_user()
                elif ids:
                    drift.delete_user(ids[place % len(ids)])
            case "meeting":
                if step["how"] == "add":
                    drift.add_meeting(step.get("days", 1))
                else:
                    drift.change_meeting(place, status="CANCELED", updatedAt=now())

    def _at(self, when: str | None) -> int | None:
        """Epoch milliseconds of a change; None is now, but later than before."""
        if when == "late":
            return now() - LATE
        if when == "ahead":
            return now() + 2 * HOUR
        if when == "tie":
            times = [row.get("updatedAt") for row in self.drift.expected("conversations")]
            newest = max((at for at in times if isinstance(at, int) and at <= now()), default=0)
            return newest if newest > now() - LATE else None
        return None

    def _touch(self, place: int, at: int | None) -> None:
        if conversation := self._conversation(place):
            self.drift.touch(conversation, at)
            self._heard(conversation)

    def _conversation(self, place: int) -> int | None:
        ids = list(self.drift.keys("conversations"))
        return ids[place % len(ids)] if ids else None

    def _contact_of(self, place: int) -> int | None:
        ids = list(self.drift.keys("contacts"))
        return ids[place % len(ids)] if ids else None

    def _heard(self, conversation: int) -> None:
        """The `updatedAt` of a conversation has changed, so all its children must be read again."""
        for stream, key in self._named_by(conversation):
            if stream in self.silent:
                self.silent[stream].pop(key, None)

    def _unheard(self, stream: str, key: Any, what: str = "change") -> None:
        if stream in self.silent:
            self.silent[stream][key] = what

    def _named_by(self, conversation: int) -> list[tuple[str, Any]]:
        row = self.drift.conversation(conversation) or {}
        messages = [("messages", message["id"]) for message in self.drift.messages(conversation) or ()]
        own = [(stream, conversation) for stream in ("conversations", "conversation_details", "conversation_metrics")]
        return [*own, ("contacts", row.get("contactId")), *messages]

    # Syncs

    def sync(self, step: Step) -> Run:
        """Run one sync, pass its messages to the destination, and compare complete streams with Drift."""
        self.sandbox.faults = Fault.from_json(step.get("faults", []))
        self.sandbox.options = replace(self.options, reports_row_cap=step.get("reports_row_cap"))
        given = [self.states[stream] for stream in sorted(self.states)]
        before = self._held()
        read = run(
            "read",
            self.config,
            catalog(**self.streams),
            given,
            pace=PACE,
            kill_after=step.get("kill_after"),
            connector=connector(self.story.get("page_size")),
        )
        after = self._held()
        for stream in self.streams:
            self.ever[stream] |= before[stream].keys() | after[stream].keys()
        self._deliver(read, keeps=step.get("keeps", True))
        was_killed = read.code < 0
        self.log.append("killed" if was_killed else "failed" if read.code else "complete")
        for stream in self.streams:
            if read.statuses.get(stream) == "COMPLETE":
                self._hold(stream, before[stream], after[stream])
                if self.streams[stream] == "full_refresh":
                    self.silent[stream].clear()
            elif not was_killed:
                self._hear(stream, read)
        all_complete = all(read.statuses.get(stream) == "COMPLETE" for stream in self.streams)
        if not was_killed and (read.code == 0) != all_complete:
            raise Lost(f"exit code {read.code} with {read.statuses}: {read.error()}")
        return read

    def _held(self) -> dict[str, dict[Any, Row]]:
        """The current rows of each selected stream by key, as the connector must write them."""
        held: dict[str, dict[Any, Row]] = {}
        for stream in self.streams:
            rows = self.drift.expected(stream, emails=self.emails) if stream != "token_info" else ()
            held[stream] = {key_of(stream, row): row for row in map(_as_written, rows)}
        return held

    def _deliver(self, read: Run, *, keeps: bool) -> None:
        pending: dict[str, list[Row]] = {stream: [] for stream in self.streams}

        def commit(stream: str) -> None:
            self.destination[stream].update((key_of(stream, row), row) for row in pending[stream])
            pending[stream].clear()

        is_full = {stream: mode == "full_refresh" for stream, mode in self.streams.items()}
        for message in read.messages:
            if message["type"] == "RECORD":
                pending[message["record"]["stream"]].append(message["record"]["data"])
            elif message["type"] == "STATE":
                state = message["state"]
                stream = state["stream"]["stream_descriptor"]["name"]
                if not is_full[stream]:
                    commit(stream)
                    self.states[stream] = {"type": "STREAM", "stream": state["stream"]}
        for stream in self.streams:
            is_complete = read.statuses.get(stream) == "COMPLETE"
            if is_full[stream] and is_complete:
                self.destination[stream] = {}
            if is_complete or (keeps and not is_full[stream]):
                commit(stream)

    def _hold(self, stream: str, before: dict[Any, Row], after: dict[Any, Row]) -> None:
        """The law for one complete stream.

        Every row that was in Drift before and after the sync is in the destination, with the values of Drift if it did
        not change meanwhile. Every row in the destination was once in Drift; with a full refresh, during the sync.
        """
        if stream == "token_info":
            return
        rows, is_full = self.destination[stream], self.streams[stream] == "full_refresh"
        for key in before.keys() & after.keys():
            silent = None if is_full else self.silent[stream].get(key)
            if key not in rows and silent != "row":
                raise Lost(f"{stream} is complete without {key}: {after[key]}")
            if not silent and before[key] == after[key] != rows[key]:
                raise Lost(f"{stream} has {key} as {rows[key]}, where Drift has {after[key]}")
        known = before.keys() | after.keys() if is_full else self.ever[stream]
        if rows.keys() - known:
            raise Lost(f"{stream} has rows that Drift does not have: {sorted(map(str, rows.keys() - known))[:5]}")

    def _hear(self, stream: str, read: Run) -> None:
        """Check that an incomplete stream has a message for the user and fails the run."""
        said = read.error(stream)
        if read.code != 1 or not said.endswith(".") or said.startswith(("An unexpected error", "Something went wrong")):
            raise Lost(f"{stream} ends {read.statuses.get(stream)} with exit code {read.code}, and says {said!r}")


def _as_written(row: Row) -> Row:
    """A row as the connector writes it: metrics by name. The CDK leaves out nulls."""
    if "metrics" not in row:
        return {name: one for name, one in row.items() if one is not None}
    figures = zip(METRICS, row["metrics"], strict=True)
    return {"conversationId": row["conversationId"]} | {name: one for name, one in figures if one != "NaN"}


def tell(story: Story, sandbox: Sandbox) -> World:
    """Play a story, and then a sync without faults, which must read everything that is still missing."""
    world = World(story, sandbox)
    for step in story["steps"]:
        if step["do"] == "sync":
            world.sync(step)
        else:
            world.change(step)
    healed = world.sync({"do": "sync"})
    if healed.code != 0:
        raise Lost(f"a sync without faults fails: {healed.error()}")
    return world


@cache
def connector(page_size: int | None) -> Path:
    """A copy of the connector with small pages, and a floor after three conversations."""
    content: dict[str, Any] = safe_load_yaml((ROOT / "manifest.yaml").read_text(encoding="utf-8"))
    definitions = content["definitions"]
    for router in ("conversations_router", "contacts_router"):
        definitions[router]["checkpoint_every"] = 3
    if page_size is not None:
        definitions["conversations"]["$parameters"]["first"] = f"limit={page_size}&page_token="
        definitions["accounts"]["$parameters"]["first"] = f"index=0&size={page_size}"
    folder = Path(tempfile.mkdtemp())
    # JSON is YAML.
    (folder / "manifest.yaml").write_text(json.dumps(content), encoding="utf-8")
    shutil.copy(ROOT / "components.py", folder)
    return folder


if __name__ == "__main__":
    with Sandbox() as sandbox:
        for line in sys.stdin:
            print(tell(json.loads(line), sandbox).log)
