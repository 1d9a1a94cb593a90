"""The law of the destination: a state comes back only when every row before it is in Drift or reported.

A history is plain data: contacts, rows and states, and runs with faults and abrupt ends. `tell` plays it with the
destination as a process. After each run, what follows the last acknowledged state is sent again. It raises `Broken` at
the first state that came too early, contact that exists twice, row that is neither written nor reported, and value that
nobody sent.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from destination_tests import TOKEN, config, status, wait_until
from hurried_destination import Hurried

from sandbox import ALL_SCOPES, Drift, Fault, Options, Sandbox

History = dict[str, Any]
Snapshot = dict[int, dict[str, Any]]

STREAMS = ("contact", "lead")
FIELDS = (("plan", "seats"), ("name", "phone"))
"""Of each stream. If each has states of its own, their rows are sent again in another order."""
PEOPLE = 4
NEEDED = {
    "id": ("id",),
    "email": ("email",),
    "external_id": ("externalId",),
    "external_id_then_email": ("externalId", "email"),
}
# What other clients and a Drift that fails can do to a row.
OF_FAULTS = {"refused_by_drift", "duplicate_unresolved", "email_taken", "ambiguous_match", "no_match"}
NOBODY = 999_999_999


class Broken(AssertionError):
    """The law is broken; the message says where."""


@dataclass
class Item:
    """A row or a state of a history, and what has become of it."""

    stream: str | None
    data: dict[str, Any]
    person: int | None = None
    structural: set[str] = field(default_factory=set)
    """Codes of which a row must be rejected with one."""
    possible: set[str] = field(default_factory=set)
    """Codes that a row may be rejected with although nothing fails."""
    wait: bool = False
    rejected: bool = False
    delivered: bool = False


class World:
    def __init__(self, history: History, sandbox: Sandbox, folder: Path) -> None:
        self.history, self.sandbox, self.folder = history, sandbox, folder
        self.matching, self.global_states = history["matching"], history["states"] == "global"
        self.drift = sandbox.drift = sandbox.service.drift = Drift(conversations=0, accounts=0, contacts=0, users=0)
        sandbox.options = Options(
            rate_limit=None, tokens={TOKEN: (*ALL_SCOPES, "contact_write")}, latency=0.002, **history["options"]
        )
        self.before: Snapshot = {}
        self.ids: list[list[int]] = [self._exists(number, kind) for number, kind in enumerate(history["existing"])]
        self.stranger = self._add(email="stranger@example.com", externalId="x-9", plan="old", color="blue")
        self.items = list(self._items())
        self.acked: dict[str | None, int] = {}
        self.trouble = False

    def _add(self, **attributes: Any) -> int:
        contact_id = self.drift.add_contact(**attributes)
        self.before[contact_id] = dict(self.drift.contact(contact_id)["attributes"])
        return contact_id

    def _exists(self, number: int, kind: str) -> list[int]:
        email = {"email": f"p{number}@example.com"}
        match kind:
            case "email":
                return [self._add(**email, plan="old", color="red")]
            case "both":
                return [self._add(**email, externalId=f"x-{number}", phone="+1-202-555-0100", color="red")]
            case "double":
                return [self._add(**email, externalId=f"{one}-{number}", plan="old") for one in "xy"]
        return []

    # Rows

    def _items(self) -> Iterator[Item]:
        for given in self.history["messages"]:
            if "state" in given:
                yield Item(None if self.global_states else STREAMS[given["state"]], {}, wait=given["wait"])
            else:
                yield self._row(given)

    def _row(self, given: dict[str, Any]) -> Item:
        number, kinds = given["person"], given["keys"]
        exists = self.history["existing"][number]
        if exists == "double" or self.matching == "email":
            # An external ID would be changed, and a row without an email has no key.
            kinds = "email" if exists == "double" or kinds == "both" else kinds
        if self.matching == "id":
            kinds = "id"
        keys: dict[str, Any] = {}
        if kinds in ("email", "both"):
            name = "q" if given["moved"] and self.matching == "external_id" and exists in ("none", "both") else "p"
            keys["email"] = f"{name.upper() if given['upper'] else name}{number}@example.com"
        if kinds in ("external", "both"):
            keys["externalId"] = f"x-{number}"
        if kinds == "id":
            keys["id"] = self.ids[number][0] if self.ids[number] else NOBODY
        fields = FIELDS[given["stream"]]
        values = dict(zip(fields, given["values"], strict=True))
        if self.matching == "external_id_then_email" and kinds != "both":
            # Rows without a common key are written in any order.
            values[fields[kinds == "email"]] = "absent"
        row = Item(STREAMS[given["stream"]], keys | {name: v for name, v in values.items() if v != "absent"}, number)
        if given["bad"] == "value":
            row.data["seats" if given["stream"] == 0 else "name"] = ["many"]
            row.structural |= {"not_a_number", "wrong_type"}
        if given["bad"] == "email" and "email" in keys:
            row.data["email"] = "nonsense"
            row.structural.add("invalid_email")
        if not set(NEEDED[self.matching]) & keys.keys():
            row.structural.add("missing_key")
        if exists == "double" and self.matching == "email" and self.history["on_ambiguous"] == "reject":
            row.structural.add("ambiguous_match")
        if exists == "none" and ("id" in keys or self.history["mode"] == "update"):
            row.structural.add("no_match")
        if exists != "none" and exists != "both" and self.history["mode"] == "update" and kinds == "external":
            row.possible.add("no_match")
        if exists == "email" and self.matching == "external_id" and kinds == "both":
            row.structural |= {"email_taken", "no_match"} if self.history["mode"] == "update" else {"email_taken"}
        if self.matching.startswith("external_id") and kinds == "external" and exists != "both":
            row.possible.add("missing_key")
        if exists == "email" and kinds == "both" and self.history["mode"] == "update":
            row.possible.add("no_match")
        return row

    # Runs

    def run(self, plan: dict[str, Any], number: int) -> None:
        sent = [at for at, item in enumerate(self.items) if at > self.acked.get(item.stream, -1)]
        if self.global_states:
            sent = list(range(self.acked.get(None, -1) + 1, len(self.items)))
        sent = sent[: plan.get("cut", len(sent))]
        journal, faults = self.sandbox.journal, [Fault(**fault) for fault in plan.get("faults", ())]
        journal.clear()
        self.sandbox.faults = faults
        told = _Told(self, sent)
        chosen = {name: self.history[name] for name in ("on_ambiguous", "empty_values")}
        process = Hurried(
            self.folder,
            config(
                self.sandbox.url,
                match_by=self.matching,
                stream_map=[{"stream": "lead", "object": "contact"}],
                max_rejected_percent=100,
                **chosen,
            ),
            self._catalog(),
            told.hear,
        )
        kill_after = plan.get("kill_after")
        killer = threading.Thread(target=self._kill, args=(process, told, kill_after, plan.get("signal")), daemon=True)
        if kill_after is not None:
            killer.start()
        for at in sent:
            item = self.items[at]
            item.delivered = True
            process.send(self._line(at) + "\n")
            if item.wait:
                wait_until(lambda at=at: at in told.acks or not process.is_running)
        match plan.get("end", "complete"):
            case "torn":
                process.send('{"type": "RECORD", "record": {"stream": "contact", "data": {"email": "p0@exam')
            case "none":
                pass
            case end:
                for stream in STREAMS:
                    process.send(status(end.upper(), stream) + "\n")
        process.close()
        code = process.ended()
        if kill_after is not None:
            killer.join()
        self._settle()
        told.end(code, plan, disturbed=any(one.fault for one in journal))

    def _kill(self, process: Hurried, told: _Told, after: int, how: str | None) -> None:
        wait_until(lambda: self.sandbox.journal.total + len(told.acks) >= after or not process.is_running)
        if process.is_running:
            (process.process.terminate if how == "term" else process.process.kill)()

    def _settle(self) -> None:
        """Wait until Drift has done what it was asked. A restart takes longer than Drift's index."""
        with urllib.request.urlopen(f"{self.sandbox.url}/_sandbox/journal?limit=0") as answer:  # noqa: S310
            answer.read()
        wait_until(lambda: all(one.status is not None or one.fault for one in self.sandbox.journal))
        self.sandbox.faults = ()
        self.drift.advance(self.history["options"].get("index_lag", 0))

    def _catalog(self) -> dict[str, Any]:
        keys = {"id": {}} if self.matching == "id" else {"email": {}, "externalId": {}}
        return {
            "streams": [
                {
                    "stream": {"name": name, "json_schema": {"properties": keys | {one: {} for one in fields}}},
                    "sync_mode": "incremental",
                    "destination_sync_mode": self.history["mode"],
                }
                for name, fields in zip(STREAMS, FIELDS, strict=True)
            ]
        }

    def _line(self, at: int) -> str:
        item = self.items[at]
        if item.person is not None:
            content = {"stream": item.stream, "data": item.data, "emitted_at": 1}
            return json.dumps({"type": "RECORD", "record": content})
        return json.dumps({"type": "STATE", "state": self.state(at)})

    def state(self, at: int) -> dict[str, Any]:
        stream = self.items[at].stream
        if stream is None:
            return {"type": "GLOBAL", "id": at, "global": {"shared_state": {"at": at}, "stream_states": []}}
        described = {"stream_descriptor": {"name": stream}, "stream_state": {"at": at}}
        return {"type": "STREAM", "id": at, "stream": described}

    # The law

    def snapshot(self) -> Snapshot:
        """Everybody who exists: id -> attributes."""
        ids = [*self.before, *(one.subject for one in self.drift.writes if one.action == "create")]
        rows = {one: self.drift.contact(one) for one in ids}
        return {one: dict(row["attributes"]) for one, row in rows.items() if row is not None}

    def check(self, due: set[int], found: Snapshot, where: str) -> None:
        """Check that Drift holds the effect of the rows `due`, and nothing else than rows that were delivered."""
        created = [one.subject for one in self.drift.writes if one.action == "create"]
        vanished = {one for one in (*self.before, *created) if one not in found}
        known = set(self.before) - vanished
        if found[self.stranger] != self.before[self.stranger]:
            raise Broken(f"{where}: the stranger was changed: {found[self.stranger]}")
        for number in range(PEOPLE):
            emails = {f"p{number}@example.com", f"q{number}@example.com"}
            own = [
                one
                for one, attributes in found.items()
                if str(attributes.get("email")).lower() in emails or attributes.get("externalId") == f"x-{number}"
            ]
            has_vanished = any(one in vanished for one in self.ids[number]) or any(
                str(write.values.get("email")).lower() in emails
                for write in self.drift.writes
                if write.action == "create" and write.subject in vanished
            )
            is_double = self.history["existing"][number] == "double"
            if len(own) > (2 if is_double else 1):
                raise Broken(f"{where}: person {number} exists {len(own)} times: {[found[one] for one in own]}")
            rows = [at for at, item in enumerate(self.items) if item.person == number and not item.structural]
            wanted = [at for at in rows if at in due and not self.items[at].rejected]
            if wanted and not own and not has_vanished:
                raise Broken(f"{where}: person {number} does not exist, although row {wanted[-1]} is not rejected")
            for place, one in enumerate(own):
                untouched = is_double and place == 1 and self.history["on_ambiguous"] != "all"
                initial = self.before.get(one, {})
                for name in ("plan", "seats", "name", "phone"):
                    expected = (
                        {str(initial.get(name) or "")} if untouched else self._acceptable(name, rows, wanted, initial)
                    )
                    if has_vanished:
                        expected.add("")
                    if str(found[one].get(name) or "") not in expected:
                        raise Broken(
                            f"{where}: {name} of person {number} is {found[one].get(name)!r}, not {sorted(expected)}"
                        )
                if one in known and (found[one].get("color"), found[one]["events"]) != (
                    initial.get("color"),
                    initial["events"],
                ):
                    raise Broken(f"{where}: another attribute of person {number} was changed")
                if others := found[one].keys() - {
                    *("email", "externalId", "plan", "seats", "name", "phone", "color", "events")
                }:
                    raise Broken(f"{where}: person {number} has {others}")

    def _acceptable(self, name: str, rows: list[int], wanted: list[int], initial: dict[str, Any]) -> set[str]:
        """The values that an attribute may have: of the last row that must be in Drift, or of a later one."""
        empty = (None,) if self.history["empty_values"] == "write" else (None, "")
        setting = [at for at in rows if name in self.items[at].data and self.items[at].data[name] not in empty]
        if self.history["empty_values"] == "write":
            setting = [at for at in rows if name in self.items[at].data]
        base = max((at for at in setting if at in wanted), default=-1)
        later = {str(self.items[at].data[name] or "") for at in setting if at > base and self.items[at].delivered}
        value = initial.get(name) if base < 0 else self.items[base].data[name]
        return {str(value or ""), *later}


class _Told:
    """What a run says."""

    def __init__(self, world: World, sent: list[int]) -> None:
        self.world, self.sent = world, sent
        self.acks: list[int] = []
        self.rejected: dict[int, str] = {}
        self.summary: dict[str, int] = {}
        self.errors: list[tuple[str, str]] = []
        self.broken: Exception | None = None
        of_stream: dict[str, list[int]] = {name: [] for name in STREAMS}
        for at in sent:
            if world.items[at].person is not None:
                of_stream[world.items[at].stream].append(at)
                world.items[at].rejected = False
        self.rows = of_stream

    def hear(self, message: dict[str, Any]) -> None:
        try:
            self._hear(message)
        except Exception as error:
            self.broken = self.broken or error

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "STATE":
            found = self.world.snapshot()
            self._acknowledged(message["state"], found)
        elif message["type"] == "TRACE":
            error = message["trace"]["error"]
            self.errors.append((error["failure_type"], error["message"] + (error["stack_trace"] or "")))
        elif message["type"] == "LOG":
            words = message["log"]["message"].split()
            if words[0] == "Row":
                at = self.rows[words[5]][int(words[1]) - 1]
                if at in self.rejected:
                    raise Broken(f"row {at} was rejected twice")
                self.rejected[at] = words[8].strip(".,")
                self.world.items[at].rejected = True
            elif words[0] == "Stream" and words[3] == "written,":
                self.summary[words[1].strip(":")] = int(words[2]) + int(words[4]) + int(words[6])

    def _acknowledged(self, state: dict[str, Any], found: Snapshot) -> None:
        at = state["id"]
        stats = state.pop("destinationStats")
        if state != self.world.state(at):
            raise Broken(f"state {at} came back as {state}")
        stream = self.world.items[at].stream
        if self.acks and max([-1, *(one for one in self.acks if self.world.items[one].stream == stream)]) >= at:
            raise Broken(f"state {at} came back late or twice")
        places = [one for one in self.sent if one < at and (stream is None or self.world.items[one].stream == stream)]
        states = [one for one in places if self.world.items[one].person is None]
        rows = [one for one in places if one > max(states, default=-1) and self.world.items[one].person is not None]
        counted = {"recordCount": 0, "rejectedRecordCount": 0}
        for one in rows:
            counted["rejectedRecordCount" if one in self.rejected else "recordCount"] += 1
        if stats != counted:
            raise Broken(f"state {at} counts {stats}, not {counted}")
        self.acks.append(at)
        self.world.acked[stream] = at
        self.world.check(self._due(), found, f"at state {at}")

    def _due(self) -> set[int]:
        return {
            at
            for at, item in enumerate(self.world.items)
            if at < self.world.acked.get(None if self.world.global_states else item.stream, -1)
        }

    def end(self, code: int, plan: dict[str, Any], *, disturbed: bool) -> None:
        if self.broken:
            raise self.broken
        items = self.world.items
        self.world.trouble |= disturbed
        for at, reason in self.rejected.items():
            allowed = items[at].structural or items[at].possible
            if reason not in allowed | (OF_FAULTS if self.world.trouble else set()):
                raise Broken(f"row {at} was rejected with {reason}")
        wrong = [one for one in self.errors if one[0] == "system_error" and not one[1].startswith("Line ")]
        if wrong or (self.errors and not disturbed and plan.get("end") not in ("torn", "incomplete")):
            raise Broken(f"the run failed: {self.errors}")
        undisturbed = not disturbed and plan.get("kill_after") is None and plan.get("end") not in ("torn", "incomplete")
        if code not in ((0,) if undisturbed else (0, 1, -9, 143)):
            raise Broken(f"the run ended with {code}: {self.errors}")
        if code == 0:
            if missing := [at for at in self.sent if items[at].person is None and at not in self.acks]:
                raise Broken(f"states {missing} did not come back")
            counts = Counter({name: len(rows) for name, rows in self.rows.items()})
            if self.summary != counts:
                raise Broken(f"{counts} rows were sent, but {self.summary} counted")
            must = [
                at for rows in self.rows.values() for at in rows if items[at].structural and at not in self.rejected
            ]
            if must:
                raise Broken(f"row {must[0]} was not rejected")


def tell(history: History, sandbox: Sandbox, folder: Path) -> None:
    """Play a history, and then one more run in which nothing fails.

    Raises:
        Broken: the law is broken.
    """
    world = World(history, sandbox, folder)
    for number, plan in enumerate([*history["runs"], {}]):
        world.run(plan, number)
    rows = {at for at, item in enumerate(world.items) if item.person is not None}
    world.check(rows, world.snapshot(), "at the end")
