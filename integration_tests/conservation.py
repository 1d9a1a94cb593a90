"""The conservation law: what was read is what Drift holds, or a run said that it is not and a later one mends it.

A story is plain data: a Drift, how it answers, what is selected, and steps, each a change of Drift or a sync. `tell`
plays it with one of two drivers, `in_process` and `as_process`, and raises `Lost` at the first row that is missing,
wrong or made up.

The destination keeps the last version of each key. It commits the records of a stream when it is handed a state of
that stream or the stream is complete; what a run that fails or is killed left behind may be committed or dropped, as
the story says. The next sync is given the newest state of each incremental stream, and never any other.
"""

import json
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import backoff._sync
import pytest
from airbyte_cdk.entrypoint import AirbyteEntrypoint
from airbyte_cdk.exception_handler import assemble_uncaught_exception
from airbyte_cdk.models import AirbyteStateMessageSerializer, ConfiguredAirbyteCatalogSerializer
from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.declarative.incremental import ConcurrentPerPartitionCursor
from airbyte_cdk.sources.declarative.yaml_declarative_source import YamlDeclarativeSource
from airbyte_cdk.sources.streams.http import rate_limiting
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from integration_tests.connector import ROOT, Run, access_token, catalog, key_of, run
from integration_tests.hurried import Pace
from sandbox import METRICS, MISSING, Drift, Fault, Options, Sandbox

Row = dict[str, Any]
Story = dict[str, Any]
Step = dict[str, Any]
Driver = Callable[..., Run]

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# The windows of a first read of the reports begin here, 30 days each; all rows lie behind it.
START = 100 * DAY
HISTORY_DAYS = 90
# Less than the look-back of 10 minutes by what a story takes at most.
LATE = 9 * MINUTE
# The streams whose `updatedAt` is lowered to Drift's clock.
LOWERED = ("conversations", "conversation_details", "conversation_metrics")
INCREMENTAL = ("conversations", "messages", "conversation_details", "contacts", "conversation_metrics", "meetings")
EMAILS = 3
# A server makes its `Date` once a second, where it has the time.
SLOW_CLOCK = 10_000


class Lost(AssertionError):
    """The law is broken; the text says by which row of which stream."""


class LivelyDrift(Drift):
    """A Drift whose meetings change, too, and whose list of conversations holds rows that are dated out of order."""

    def misdate(self, conversation_id: int, updated_at: int) -> None:
        """Date a conversation otherwise, and leave it where it stands in the list."""
        with self._lock:
            changed = self._change(conversation_id)
            changed.row = changed.row | {"updatedAt": updated_at}

    def change_meeting(self, place: int, **fields: Any) -> None:
        """Change the place-th meeting that Drift shows, if there is one."""
        with self._lock:
            rows = self.meetings(0, 1 << 62)
            if rows:
                row = rows[place % len(rows)]
                self._meetings = [one | fields if one is row else one for one in self._meetings or []]

    def add_meeting(self, days: int) -> None:
        """Book another meeting like the first, so many days from now."""
        with self._lock:
            rows = self.meetings(0, 1 << 62)
            if rows:
                slug = f"meet-added-{len(self._meetings or [])}"
                slot = {"slotStart": now() + days * DAY, "slotEnd": now() + days * DAY + HOUR}
                self._meetings = [*(self._meetings or []), rows[0] | slot | {"slug": slug}]


def now() -> int:
    return int(time.time() * 1000)


class World:
    """Drift, what the destination holds, and the state that the platform keeps."""

    def __init__(self, story: Story, sandbox: Sandbox, driver: Driver) -> None:
        sizes = dict(story["drift"])
        edges = sizes.pop("edges", [])
        self.drift = LivelyDrift(history_days=HISTORY_DAYS, now=now() - 12 * MINUTE, **sizes)
        self.sandbox, self.driver, self.story = sandbox, driver, story
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
        # Rows that no incremental read needs to come by, and whether it may miss their changes or the whole row.
        self.silent: dict[str, dict[Any, str]] = {stream: {} for stream in self.streams}
        self.log: list[str] = []
        self.misdated: int | None = None
        for place, (window, offset) in enumerate(edges):
            # Where one window of the reports ends and the next begins.
            self._touch(place, start + window * 30 * DAY + offset)

    # Changes

    def change(self, step: Step) -> None:
        """Make one change of Drift; one that fits nothing in it changes nothing."""
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
                # A conversation without `updatedAt` keeps its place, where no incremental read needs to come by.
                drift.update_conversation(conversation, updatedAt=MISSING)
                self._unheard("conversations", conversation)
                self._unheard("conversation_details", conversation)
            case "misdate" if conversation := self._conversation(place):
                # Older than any state, in the midst of what is new: only it may be taken for old, not what follows.
                # One at a time: a walk ends at a page of several, and a story's pages can have two records.
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
        """Epoch milliseconds of a moment of a change; None is now, and later than before."""
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
        """The `updatedAt` of a conversation has moved: all that hangs on it must be read anew."""
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
        """Run one sync, hand its messages to the destination, and hold what is complete against Drift."""
        self.sandbox.faults = Fault.from_json(step.get("faults", []))
        self.sandbox.options = replace(self.options, reports_row_cap=step.get("reports_row_cap"))
        given = [self.states[stream] for stream in sorted(self.states)]
        before = self._held()
        read = self.driver(
            self.config, catalog(**self.streams), deepcopy(given), step.get("kill_after"), self.story.get("page_size")
        )
        after, ended = self._held(), now()
        for stream in self.streams:
            self.ever[stream] |= before[stream].keys() | after[stream].keys()
        self._deliver(read, keeps=step.get("keeps", True))
        was_killed = read.code < 0
        self.log.append("killed" if was_killed else "failed" if read.code else "complete")
        for stream in self.streams:
            if read.statuses.get(stream) == "COMPLETE":
                self._hold(stream, before[stream], after[stream], ended)
                if self.streams[stream] == "full_refresh":
                    self.silent[stream].clear()
            elif not was_killed:
                self._hear(stream, read)
        all_complete = all(read.statuses.get(stream) == "COMPLETE" for stream in self.streams)
        if not was_killed and (read.code == 0) != all_complete:
            raise Lost(f"exit code {read.code} with {read.statuses}: {read.error()}")
        return read

    def _held(self) -> dict[str, dict[Any, Row]]:
        """What Drift holds of each selected stream now, by key, as the connector is to write it."""
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

    def _hold(self, stream: str, before: dict[Any, Row], after: dict[Any, Row], ended: int) -> None:
        """The law for one complete stream.

        Every row that Drift held before and after the sync is there. It is as Drift has it if it did not change
        meanwhile. What is there was once in Drift, and with a full refresh it was while the sync ran.
        """
        if stream == "token_info":
            return
        rows, is_full = self.destination[stream], self.streams[stream] == "full_refresh"
        for key in before.keys() & after.keys():
            silent = None if is_full else self.silent[stream].get(key)
            if key not in rows and silent != "row":
                raise Lost(f"{stream} is complete without {key}: {after[key]}")
            if not silent and before[key] == after[key] and not _is_same(stream, after[key], rows[key], ended):
                raise Lost(f"{stream} has {key} as {rows[key]}, where Drift has {after[key]}")
        known = before.keys() | after.keys() if is_full else self.ever[stream]
        if rows.keys() - known:
            raise Lost(f"{stream} holds what Drift does not: {sorted(map(str, rows.keys() - known))[:5]}")

    def _hear(self, stream: str, read: Run) -> None:
        """A stream that is not complete says so, in a sentence for the user, and fails the run."""
        said = read.error(stream)
        if read.code != 1 or not said.endswith(".") or said.startswith(("An unexpected error", "Something went wrong")):
            raise Lost(f"{stream} ends {read.statuses.get(stream)} with exit code {read.code}, and says {said!r}")


def _as_written(row: Row) -> Row:
    """A row of Drift as it leaves the connector: the metrics of a report by name. The CDK leaves out what is null."""
    if "metrics" not in row:
        return row
    figures = zip(METRICS, row["metrics"], strict=True)
    return {"conversationId": row["conversationId"]} | {name: one for name, one in figures if one != "NaN"}


def _is_same(stream: str, held: Row, written: Row, ended: int) -> bool:
    """Whether a row is as Drift has it, but for a time that was ahead of the clock of its answer, and is lowered to it.

    That clock is the end of a second, and a busy sandbox tells it some seconds late.
    """
    at, lowered = held.get("updatedAt"), written.get("updatedAt")
    if stream not in LOWERED or not isinstance(at, int) or not isinstance(lowered, int):
        return held == written
    is_lowered = lowered < at and lowered % 1000 == 999 and (at - lowered <= SLOW_CLOCK or at > ended)
    if not is_lowered and at > ended + 1000:
        return False
    return held == (written | {"updatedAt": at} if is_lowered else written)


def tell(story: Story, sandbox: Sandbox, driver: Driver) -> World:
    """Play a story to its end, and then a sync of a Drift that answers well, which must mend whatever went wrong."""
    world = World(story, sandbox, driver)
    for step in story["steps"]:
        if step["do"] == "sync":
            world.sync(step)
        else:
            world.change(step)
    healed = world.sync({"do": "sync"})
    if healed.code != 0:
        raise Lost(f"a sync of a Drift that answers well fails: {healed.error()}")
    return world


# Drivers


def as_process(
    config: Mapping[str, Any],
    streams: Mapping[str, Any],
    state: list[dict[str, Any]],
    kill_after: int | None,
    page_size: int | None,
) -> Run:
    """A read of the real connector in a process of its own, killed once it has printed `kill_after` records.

    Its pages are those of the manifest, whatever `page_size` says.
    """
    return run("read", config, streams, state, pace=Pace(state_seconds=0), kill_after=kill_after)


def in_process(
    config: Mapping[str, Any],
    streams: Mapping[str, Any],
    state: list[dict[str, Any]],
    kill_after: int | None,
    page_size: int | None,
) -> Run:
    """A read of manifest.yaml and components.py in this process, left alone after `kill_after` records and states.

    With small pages (`page_size`), a checkpoint after three conversations and no budget. Call it within `hurry`.
    """
    selected = [stream["stream"]["name"] for stream in streams["streams"]]
    source = _Source(
        selected=selected,
        page_size=page_size,
        path_to_yaml="",
        config=deepcopy(dict(config)),
        catalog=ConfiguredAirbyteCatalogSerializer.load(dict(streams)),
        state=[AirbyteStateMessageSerializer.load(one) for one in state],
    )
    lines: list[str] = []
    code, seen = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        command = ["read"]
        for name, content in {"config": config, "catalog": streams, "state": state}.items():
            path = Path(folder, f"{name}.json")
            path.write_text(json.dumps(content), encoding="utf-8")
            command += [f"--{name}", str(path)]
        said = AirbyteEntrypoint(source).run(AirbyteEntrypoint.parse_args(command))
        try:
            for line in said:
                if kill_after is not None and seen >= kill_after:
                    code = -9
                    break
                lines.append(line)
                seen += line.startswith(('{"type":"RECORD"', '{"type":"STATE"'))
        except Exception as error:
            code = 1
            message = assemble_uncaught_exception(type(error), error).as_airbyte_message()
            lines.append(AirbyteEntrypoint.airbyte_message_to_string(message))
        finally:
            # Nothing of a read that was left alone may reach the sandbox later.
            source._concurrent_source._threadpool._threadpool.shutdown(cancel_futures=True)
            said.close()
    return Run(code, [json.loads(line) for line in lines], "")


class _Source(YamlDeclarativeSource):
    """The source of the real manifest; what is the same in all reads is made once."""

    _prepared: ClassVar[dict[int | None, bytes]] = {}

    def __init__(self, selected: list[str], page_size: int | None, **given: Any) -> None:
        self._selected, self._page_size = selected, page_size
        super().__init__(**given)

    def _create_streams(self, selected_configs: Any, all_configs: Any) -> Any:
        wanted = [stream for stream in selected_configs if stream["name"] in self._selected]
        return super()._create_streams(wanted, all_configs)

    def _read_and_parse_yaml_file(self, path_to_yaml_file: str) -> dict[str, Any]:
        return _manifest(self._page_size)

    def _pre_process_manifest(self, manifest: dict[str, Any]) -> dict[str, Any]:
        if self._page_size not in self._prepared:
            self._prepared[self._page_size] = pickle.dumps(super()._pre_process_manifest(deepcopy(manifest)))
        return dict(pickle.loads(self._prepared[self._page_size]))  # noqa: S301 (our own bytes)

    def _validate_source(self) -> None:
        pass


@cache
def _manifest(page_size: int | None) -> dict[str, Any]:
    manifest: dict[str, Any] = safe_load_yaml((ROOT / "manifest.yaml").read_text(encoding="utf-8"))
    definitions = manifest["definitions"]
    for router in ("conversations_router", "contacts_router"):
        definitions[router]["checkpoint_every"] = 3
    if page_size is not None:
        for paginator in ("conversations_paginator", "accounts_paginator"):
            definitions[paginator]["pagination_strategy"]["page_size"] = page_size
    del manifest["api_budget"]
    manifest["concurrency_level"]["default_concurrency"] = 6
    return manifest


@contextmanager
def hurry() -> Iterator[None]:
    """For `in_process`: nothing waits, and a child says its state whenever a partition is closed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        for module in (rate_limiting, backoff._sync):
            patch.setattr(module, "time", SimpleNamespace(sleep=lambda seconds: None))
        patch.setattr(ConcurrentPerPartitionCursor, "_throttle_state_message", lambda cursor: time.time())
        # After a crash nobody answers any more.
        patch.setattr(import_module("components").Health, "LONGEST_WAIT", 0.0)
        schema = cache(concurrent_declarative_source.get_declarative_component_schema)
        patch.setattr(concurrent_declarative_source, "get_declarative_component_schema", schema)
        yield


if __name__ == "__main__":
    with Sandbox() as sandbox, hurry():
        for line in sys.stdin:
            print(tell(json.loads(line), sandbox, in_process).log)
