"""Nobody is erased by accident, nothing claims more than Drift said, and who was erased does not come back."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pytest
from destination_tests import config
from hypothesis import strategies as st

from destination_drift.catalog import ERASURE_COLUMNS
from destination_drift.client import Client
from destination_drift.destination import DestinationDrift
from destination_drift.erasure import DAY, Erasures, Unsuppressed, close_request
from destination_drift.errors import ConfigError, Later, Rejected, TransientError, WouldWrite
from destination_drift.ledger import FILE, init_ledger, open_ledger
from destination_drift.matching import Memory
from destination_drift.messages import Output
from destination_drift.rows import Row
from sandbox import ALL_SCOPES, WRITE_SCOPES, Drift, Fault, Options, Sandbox

TOKENS = {"made-up-token": ALL_SCOPES + WRITE_SCOPES}
OPTIONS = Options(rate_limit=None, tokens=TOKENS, email_case="insensitive", erasure_delay=0)
SETTINGS = DestinationDrift(Output(io.BytesIO())).settings(config(audit_key="made-up-key-of-hashes"))
EXAMPLES, SEED = int(os.environ.get("HISTORIES") or 40), int(os.environ.get("HISTORIES_SEED") or 0)
ADA, BEN = "ada@example.com", "ben@example.com"


class Crash(BaseException):
    """Ends a run as kill -9 does: nothing runs after it."""


class World:
    """A running Drift, a ledger, and the rows of one sync after the other.

    Attributes:
        passes: what happens during a wait.
        now: the clock of the destination.
        memory: what the other rows of the syncs have taught.
    """

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        self.drift = sandbox.drift = sandbox.service.drift = Drift(conversations=0, accounts=0, contacts=0)
        sandbox.options, sandbox.faults = OPTIONS, ()
        sandbox.journal.clear()
        self.now = self.drift.now
        self.memory = Memory()
        self.logs: list[str] = []
        self.waits: list[float] = []
        self.outcomes_of_rows: dict[int, Any] = {}
        self.passes: Callable[[float], None] = lambda seconds: self.drift.advance()
        self.settings = replace(SETTINGS, ledger_directory=folder / "ledger")
        init_ledger(self.settings)
        self.ledger = open_ledger(self.settings)

    def restart(self) -> None:
        self.ledger.close()
        self.ledger = open_ledger(self.settings)

    def erasures(self, *, dry_run: bool = False, **erasure: Any) -> Erasures:
        """The object of a sync."""
        credentials = {"access_token": "made-up-token"}
        return Erasures(
            Client(self.sandbox.url, credentials, lambda _: None, rate=1_000, halt=_Never(), dry_run=dry_run),
            self.ledger,
            replace(SETTINGS.erasure, **erasure),
            {"mail": "email", **{name: name for name in ERASURE_COLUMNS}},
            log=lambda level, text: self.logs.append(f"{level} {text}"),
            memory=self.memory,
            wait=self.wait,
            dry_run=dry_run,
            now=lambda: self.now,
        )

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += round(seconds * 1000)
        self.passes(seconds)

    def row(self, **data: Any) -> dict[str, Any]:
        """A request that is in order, but for `data`."""
        given = {"request_id": "R-1", "email": ADA, "requested_by": "Ann Lee", "approved_by": "Bob Ray"}
        return {**given, "requested_at": self.now - 2 * DAY, "approved_at": self.now - DAY, **data}

    def sync(self, *rows: dict[str, Any], finish: bool = True, **settings: Any) -> list[Any]:
        """Write rows as one sync; return whether each was written, or the code and field of its rejection."""
        erasures = self.erasures(**settings)
        self.outcomes_of_rows = outcomes = dict[int, Any]()
        for is_last in (False, True):
            for number, data in enumerate(rows, 1):
                row = Row("erasure_request", number, data)
                if number not in outcomes:
                    try:
                        assert erasures.lane_keys(row)
                        outcomes[number] = erasures.write(row)
                    except Rejected as rejected:
                        outcomes[number] = (rejected.code, rejected.field)
                    except WouldWrite:
                        outcomes[number] = "would write"
                    except Later:
                        assert not is_last
        if finish:
            erasures.finish()
        return [outcomes[number] for number in sorted(outcomes)]

    @property
    def erased(self) -> list[Any]:
        return [one.subject for one in self.drift.writes if one.action == "erase"]

    @property
    def outcomes(self) -> list[tuple[Any, ...]]:
        with self.ledger.transaction() as rows:
            return rows.execute("SELECT request_id, outcome, contact_ids, contacts FROM erasures").fetchall()


class _Never:
    def wait(self, seconds: float) -> bool:
        return False


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Drift(conversations=0, contacts=0), OPTIONS) as running:
        yield running


@pytest.fixture
def world(sandbox: Sandbox, tmp_path: Path) -> Iterator[World]:
    found = World(sandbox, tmp_path)
    yield found
    found.ledger.close()


def test_an_approved_request_is_accepted_and_then_confirmed(world: World) -> None:
    """The address is sent once; the ledger has counts and outcome, no address, and no ID once none is found."""
    world.sandbox.options = replace(OPTIONS, erasure_delay=2)
    world.drift.add_contact(email=ADA)
    other = world.drift.add_contact(email=BEN)
    assert world.sync(world.row()) == [True]
    assert world.erased == [ADA]
    assert world.outcomes == [("R-1", "no longer found", None, 1)]
    assert world.drift.contact(other)
    assert world.waits == [1.0]
    assert world.logs == [
        "INFO Drift accepted the erasure request R-1.",
        "INFO The contacts of the erasure request R-1 are no longer found.",
    ]
    kept = (world.folder / "ledger" / FILE).read_bytes()
    assert [one for one in (ADA, "ada@", "Ann Lee", "Bob Ray") if one.encode() in kept] == []


def test_a_request_without_a_contact_is_sent_too(world: World) -> None:
    """An empty look-up proves nothing: Drift may have removed the contact from its index only."""
    hidden = world.drift.add_contact(email=ADA)
    world.drift.deindex_contact(hidden)
    assert world.sync(world.row()) == [True]
    assert (world.erased, world.drift.contact(hidden)) == ([ADA], None)


NOT_IN_ORDER: list[tuple[dict[str, Any], str, str]] = [
    ({"approved_by": None}, "not_approved", "approved_by"),
    ({"approved_by": ""}, "not_approved", "approved_by"),
    ({"approved_by": "  "}, "not_approved", "approved_by"),
    ({"approved_by": "NULL"}, "not_approved", "approved_by"),
    ({"approved_by": "n/a"}, "not_approved", "approved_by"),
    ({"approved_by": "yes"}, "not_approved", "approved_by"),
    ({"approved_by": "-"}, "not_approved", "approved_by"),
    ({"approved_by": "y"}, "not_approved", "approved_by"),
    ({"approved_by": "??"}, "not_approved", "approved_by"),
    ({"approved_by": True}, "not_approved", "approved_by"),
    ({"approved_by": 1}, "not_approved", "approved_by"),
    ({"approved_by": ["Bob Ray"]}, "not_approved", "approved_by"),
    ({"requested_by": None}, "not_approved", "requested_by"),
    ({"approved_by": "Ann Lee"}, "not_approved", "approved_by"),
    ({"approved_by": " ANN  lee "}, "not_approved", "approved_by"),
    ({"approved_by": "Lee, Ann"}, "not_approved", "approved_by"),
    ({"approved_by": "Ánn Lee"}, "not_approved", "approved_by"),
    ({"approved_by": "Ann\u00a0Lee"}, "not_approved", "approved_by"),
    ({"approved_by": "\uff21nn Lee"}, "not_approved", "approved_by"),
    ({"approved_by": "An\u200bn Lee"}, "not_approved", "approved_by"),
    ({"approved_by": "Ann"}, "not_approved", "approved_by"),
    ({"approved_by": "Ann Mary Lee"}, "not_approved", "approved_by"),
    ({"approved_by": "ann.lee@example.com"}, "not_approved", "approved_by"),
    ({"approved_by": "Bob Ray <ann.lee+approvals@example.com>"}, "not_approved", "approved_by"),
    (
        {"requested_by": "ann.lee+a@example.com", "approved_by": "ann.lee+b@example.com"},
        "not_approved",
        "approved_by",
    ),
    ({"requested_at": None}, "not_approved", "requested_at"),
    ({"approved_at": ""}, "not_approved", "approved_at"),
    ({"approved_at": "yesterday"}, "wrong_type", "approved_at"),
    ({"approved_at": True}, "wrong_type", "approved_at"),
    ({"email": None}, "missing_key", "email"),
    ({"email": " "}, "missing_key", "email"),
    ({"email": "Ada <ada@example.com>"}, "invalid_email", "email"),
    ({"email": "ada@example.com, ben@example.com"}, "invalid_email", "email"),
    ({"email": "ada@example.com;ben@example.com"}, "invalid_email", "email"),
    ({"email": "ada@example.com ben@example.com"}, "invalid_email", "email"),
    ({"email": ["ada@example.com"]}, "invalid_email", "email"),
    ({"email": "@example.com"}, "invalid_email", "email"),
    ({"email": "*@example.com"}, "invalid_email", "email"),
    ({"email": "%@example.com"}, "invalid_email", "email"),
    ({"email": "ada@ex\u0430mple.com"}, "invalid_email", "email"),
    ({"email": "ada@\uff45xample.com"}, "invalid_email", "email"),
    ({"email": "ada@example.com."}, "invalid_email", "email"),
    ({"email": "ada@example.com\u200b"}, "invalid_email", "email"),
    ({"email": "jim@our.example"}, "not_approved", "email"),
    ({"email": "jim@Mail.OUR.example"}, "not_approved", "email"),
    ({"request_id": None}, "missing_key", "request_id"),
    ({"request_id": ""}, "missing_key", "request_id"),
    ({"request_id": ADA}, "wrong_type", "request_id"),
    ({"request_id": True}, "wrong_type", "request_id"),
    ({"erase_user": "maybe"}, "wrong_type", "erase_user"),
    ({"allow": "maybe"}, "wrong_type", "allow"),
    ({"alow": True}, "unknown_attribute", "alow"),
    ({"Email": BEN}, "unknown_attribute", "Email"),
    ({"mail": BEN}, "unknown_attribute", "mail"),
]


def test_a_request_that_is_not_in_order_erases_nobody(world: World) -> None:
    """The row is rejected before anything is asked or written, and the next row goes on."""
    for given, code, field in NOT_IN_ORDER:
        found = world.sync(world.row(**given), finish=False, protected_domains=["@our.example"])
        assert (given, found) == (given, [(code, field)])
    assert (len(world.sandbox.journal), world.outcomes) == (0, [])


def test_an_odd_request_that_is_in_order_is_carried_out(world: World) -> None:
    """Two people, one address: how they are written does not matter."""
    odd: list[dict[str, Any]] = [
        {"requested_by": ADA, "approved_by": "Bob Ray"},
        {"requested_by": "Bob Lee"},
        {"requested_by": "\u674e \u5b89", "approved_by": "\u738b \u4f1f"},
        {"email": "jim@notour.example"},
        {"email": f" {ADA.upper()} "},
        {"request_id": 7},
        {"erase_user": "", "allow": "false"},
        {"requested_at": "2020-01-01T00:00:00Z", "approved_at": "2020-01-01"},
    ]
    for number, given in enumerate(odd):
        if "approved_at" in given:
            world.now = 1_577_836_800_000
        row = world.row(**{"request_id": f"R-{number}", **given})
        assert (given, world.sync(row, protected_domains=["our.example"])) == (given, [True])
    assert len(world.erased) == len(odd)


def test_an_approval_follows_the_request_and_expires(world: World) -> None:
    """Days from now: approved within 60 days after the request, not more than 60 days ago, and not in the future."""
    moment = 1 / DAY
    for number, (requested, approved, is_approved) in enumerate(
        [
            (0, 0, True),
            (-60, 0, True),
            (-60 - moment, 0, False),
            (0, -moment, False),
            (-60, -60, True),
            (-61, -60 - moment, False),
            (0, 1, True),
            (0, 1 + moment, False),
            (-400, -399, False),
        ]
    ):
        at = {"requested_at": world.now + round(requested * DAY), "approved_at": world.now + round(approved * DAY)}
        found = world.sync(world.row(**at, request_id=f"R-{number}"), finish=False)
        assert (number, found) == (number, [True if is_approved else ("not_approved", "approved_at")])


def test_only_the_address_itself_is_erased(world: World) -> None:
    """A plus-address and the address without it are two; neither stands for the other."""
    plain, plus = (world.drift.add_contact(email=one) for one in (ADA, "ada+news@example.com"))
    assert world.sync(world.row(email="ada+news@example.com")) == [True]
    assert world.erased == ["ada+news@example.com"]
    assert world.drift.contact(plain)
    assert world.drift.contact(plus) is None


def test_more_requests_than_allowed_erase_nobody(world: World) -> None:
    """Up to the limit all are carried out; one more, and none is. Rows that are rejected anyway do not count."""
    rows = [world.row(request_id=f"R-{number}", email=f"person{number}@example.com") for number in range(4)]
    assert world.sync(*rows, max_per_sync=3) == [("over_limit", None)] * 4
    assert (world.erased, world.outcomes, len(world.sandbox.journal)) == ([], [], 0)
    assert world.sync(*rows[:3], {**rows[3], "approved_by": None}, max_per_sync=3)[:3] == [True] * 3
    assert len(world.erased) == 3
    # What is done already does not count either.
    assert world.sync(*rows, max_per_sync=1) == [False, False, False, True]
    assert len(world.erased) == 4


def test_one_request_never_has_two_addresses(world: World) -> None:
    """In one sync both rows are rejected; later, the one that differs from the ledger."""
    rows = world.row(), world.row(email=BEN)
    assert world.sync(*rows) == [("not_approved", "request_id")] * 2
    assert world.erased == []
    assert world.sync(rows[0]) == [True]
    assert world.sync(rows[1], world.row(allow=True)) == [("not_approved", "request_id")] * 2
    assert world.erased == [ADA]


def test_a_request_that_comes_again_is_not_sent_again(world: World) -> None:
    """In the same sync and in later ones, even if the approval has expired: somebody with the address may be back."""
    assert world.sync(world.row(), world.row()) == [True, False]
    row = world.row()
    world.now += 100 * DAY
    back = world.drift.add_contact(email=ADA)
    world.restart()
    assert world.sync(row) == [False]
    assert (world.erased, bool(world.drift.contact(back))) == ([ADA], True)


def test_every_contact_with_the_address_is_looked_for(world: World) -> None:
    """In both spellings, and also those that this sync wrote and look-ups do not find yet."""
    world.sandbox.options = replace(OPTIONS, email_case="sensitive", erasure_delay=10_000)
    written, *others = (world.drift.add_contact(email=email) for email in (ADA, ADA, ADA.upper()))
    world.sync(world.row(email=ADA.upper()), finish=False)
    world.drift.deindex_contact(written)
    world.memory.remember(written, {"email": BEN})
    world.drift.update_contact(written, email=BEN)
    world.sync(world.row(request_id="R-2", email=BEN), finish=False)
    assert [json.loads(one[2]) for one in world.outcomes] == [[written, *others], [written]]


def test_many_contacts_are_for_a_person_to_look_at(world: World) -> None:
    """21 contacts with one address are not erased, 20 are."""
    contacts = [world.drift.add_contact(email=ADA) for _ in range(21)]
    assert world.sync(world.row()) == [("ambiguous_match", "email")]
    assert (world.erased, world.outcomes) == ([], [])
    world.drift.delete_contact(contacts[0])
    assert world.sync(world.row()) == [True]
    assert [one for one in contacts if world.drift.contact(one)] == []


@pytest.mark.parametrize(
    ("setting", "of_row", "is_erased"),
    [(False, None, False), (False, True, False), (True, None, False), (True, False, False), (True, True, True)],
)
def test_a_user_of_drift_is_erased_only_if_setting_and_row_say_so(
    world: World, setting: bool, of_row: bool | None, is_erased: bool
) -> None:
    """Drift would erase the colleague who has the address, in any spelling."""
    world.drift.add_user(email=ADA.upper())
    found = world.sync(world.row(erase_user=of_row), erase_users=setting)
    assert found == [True if is_erased else ("a_drift_user", "email")]
    assert world.erased == ([ADA] if is_erased else [])


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/users/list", "error_body"),
        Fault("/users/list", "wrong_type", to="array"),
        Fault("/users/list", "wrong_type", to="object"),
        Fault("/users/list", "status", status=404),
    ],
    ids=lambda fault: str(fault.details),
)
def test_nobody_is_erased_without_the_list_of_users(world: World, fault: Fault) -> None:
    """A list that is missing or empty does not show that nobody is a user."""
    world.sandbox.faults = (fault,)
    with pytest.raises(TransientError, match="nobody is erased"):
        world.sync(world.row())
    assert (world.erased, world.outcomes) == ([], [])


@pytest.mark.parametrize("scope", ["user_read", "gdpr_write"])
def test_a_missing_scope_ends_the_sync(world: World, scope: str) -> None:
    """The error names it, and nobody is erased."""
    scopes = tuple(one for one in ALL_SCOPES + WRITE_SCOPES if one != scope)
    world.sandbox.options = replace(OPTIONS, tokens={"made-up-token": scopes})
    with pytest.raises(ConfigError, match=f"missing the {scope} scope"):
        world.sync(world.row())
    assert world.erased == []


def test_a_dry_run_erases_nobody_and_remembers_nothing(world: World) -> None:
    """It looks up contacts and users, and says what would be sent."""
    assert world.sync(world.row(), world.row(request_id="R-2", allow=True), dry_run=True) == ["would write"] * 2
    assert (world.erased, world.outcomes) == ([], [])
    assert {one.method for one in world.sandbox.journal} == {"GET"}


def test_drift_may_refuse_a_request(world: World) -> None:
    """The row is rejected with the status; it can be sent again, and the address is not written until then."""
    world.sandbox.faults = (Fault("/gdpr/delete", "status", status=422),)
    assert world.sync(world.row()) == [("refused_by_drift", None)]
    assert world.outcomes == [("R-1", "refused", None, 0)]
    assert world.sync(world.row()) == [True]
    assert world.erased == [ADA]


@pytest.mark.parametrize("fault", ["html", "empty"])
def test_a_page_of_a_gateway_is_no_acceptance(world: World, fault: str) -> None:
    """The request stays open, and the next sync sends it again."""
    world.sandbox.faults = (Fault("/gdpr/delete", fault),)
    with pytest.raises(TransientError):
        world.sync(world.row())
    assert world.outcomes == [("R-1", "started", "[]", 0)]
    assert world.sync(world.row()) == [True]


def test_a_lost_answer_is_asked_again(world: World) -> None:
    """A request that took effect without an answer is sent again; it erases only what is left."""
    world.sandbox.faults = (Fault("/gdpr/delete", "answer_lost"), Fault("/gdpr/delete", "applied_status", after=1))
    contact = world.drift.add_contact(email=ADA)
    assert world.sync(world.row()) == [True]
    assert (world.erased, world.drift.contact(contact)) == ([ADA] * 3, None)
    assert world.outcomes == [("R-1", "no longer found", None, 1)]


@pytest.mark.parametrize("is_sent", [False, True])
def test_a_request_survives_a_kill_before_or_after_it_was_sent(
    world: World, monkeypatch: pytest.MonkeyPatch, is_sent: bool
) -> None:
    """The next sync sends it (again), and confirms the contacts that the first one found."""
    contact = world.drift.add_contact(email=ADA)
    send = Client.send

    def crashing(*args: Any, **more: Any) -> Any:
        if is_sent:
            send(*args, **more)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(Client, "send", crashing)
        with pytest.raises(Crash):
            world.sync(world.row())
    assert (world.drift.contact(contact) is None) == is_sent
    assert world.outcomes == [("R-1", "started", json.dumps([contact]), 1)]
    world.restart()
    began = world.now
    world.now += DAY
    assert world.sync(world.row()) == [True]
    assert world.outcomes == [("R-1", "no longer found", None, 1)]
    with world.ledger.transaction() as rows:
        assert rows.execute("SELECT started_at FROM erasures").fetchall() == [(began,)]
    assert world.erased == [ADA] * (2 if is_sent else 1)


def test_a_later_sync_confirms_what_was_slow(world: World) -> None:
    """After the set time, the sync ends well; the next one looks again, without any row."""
    world.sandbox.options = replace(OPTIONS, erasure_delay=10_000)
    contact = world.drift.add_contact(email=ADA)
    assert world.sync(world.row(), confirm_within_minutes=2) == [True]
    assert world.waits == [1, 2, 4, 8, 16, 32, 60]
    assert world.outcomes == [("R-1", "accepted", json.dumps([contact]), 1)]
    assert world.logs[-1] == "INFO 1 erasure requests have contacts that Drift still finds."
    world.restart()
    world.now += DAY
    world.waits.clear()
    assert world.sync() == []
    assert world.waits == []
    world.drift.advance(10_000)
    world.sync()
    assert world.outcomes == [("R-1", "no longer found", None, 1)]


def test_a_request_that_is_open_for_a_week_is_an_error(world: World) -> None:
    """It names the request in each sync, after all other work, until the contacts are no longer found."""
    world.sandbox.options = replace(OPTIONS, erasure_delay=10_000)
    world.drift.add_contact(email=ADA)
    world.sync(world.row(), confirm_within_minutes=0)
    world.now += 7 * DAY
    world.sync()
    world.now += 1
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"^The erasure requests R-1 have been open for more than 7 days\."):
            world.sync()
    world.drift.advance(10_000)
    world.sync()


def test_an_accepted_request_that_is_closed_is_done(world: World) -> None:
    """No sync fails because of it or sends its row again; the address stays suppressed, and the contact is kept."""
    world.sandbox.options = replace(OPTIONS, erasure_delay=10_000)
    contact = world.drift.add_contact(email=ADA)
    world.sync(world.row(), confirm_within_minutes=0)
    world.now += 8 * DAY
    with pytest.raises(ConfigError, match="destination-drift ledger close"):
        world.sync()
    assert close_request(world.ledger, "R-1", world.now) == (
        "The erasure request R-1 is closed. Drift accepted it; whether it erased is not known."
    )
    world.restart()
    assert world.outcomes == [("R-1", "closed", None, 1)]
    assert world.sync(world.row(), world.row(email=BEN)) == [False, ("not_approved", "request_id")]
    assert (world.erased, bool(world.drift.contact(contact)), is_suppressed(world, ADA)) == ([ADA], True, True)
    assert not [line for line in world.logs if "no longer found" in line]


def test_a_started_request_that_is_closed_can_be_sent_again(world: World) -> None:
    """No sync fails because of it; its row begins it anew, and until then the address stays suppressed."""
    world.sandbox.faults = (Fault("/gdpr/delete", "html"),)
    world.drift.add_contact(email=ADA)
    with pytest.raises(TransientError):
        world.sync(world.row())
    world.now += 8 * DAY
    with pytest.raises(ConfigError, match="R-1"):
        world.sync()
    assert close_request(world.ledger, "R-1", world.now) == (
        "The erasure request R-1 is withdrawn. Whether Drift received it is not known; if its row comes again, it is "
        "sent again."
    )
    assert world.sync() == []
    assert (world.outcomes, is_suppressed(world, ADA)) == ([("R-1", "withdrawn", None, 1)], True)
    assert world.sync(world.row(email=BEN)) == [("not_approved", "request_id")]
    assert world.sync(world.row()) == [True]
    assert (world.erased, world.outcomes) == ([ADA], [("R-1", "no longer found", None, 1)])


def test_only_an_open_request_can_be_closed(world: World) -> None:
    """Any other keeps its outcome, an unknown ID is an error that does not quote it, and no address becomes free."""
    world.sync(world.row(), world.row(request_id="R-2", email=BEN), world.row(request_id="R-3", allow=True))
    with world.ledger.transaction() as rows:
        rows.execute("UPDATE erasures SET outcome = 'refused' WHERE request_id = 'R-2'")
    before = world.outcomes
    assert [one[1] for one in before] == ["no longer found", "refused", "allowed"]
    for name, outcome, *_ in before:
        said = f'The request {name} is not open, its outcome is "{outcome}". Nothing was changed.'
        assert close_request(world.ledger, name, world.now) == said
    with pytest.raises(ConfigError, match="no request with this ID") as raised:
        close_request(world.ledger, ADA, world.now)
    assert ADA not in str(raised.value)
    assert world.outcomes == before


def test_a_newer_contact_is_reported_and_kept(world: World) -> None:
    """Whoever writes to the organization after the erasure is somebody new."""
    world.sandbox.options = replace(OPTIONS, erasure_delay=20)
    world.drift.add_contact(email=ADA)

    def passes(seconds: float) -> None:
        if seconds == 1:
            world.drift.add_contact(email=ADA)
        elif seconds == 4:
            world.drift.advance(20)
            world.drift.add_contact(email=ADA)

    world.passes = passes
    assert world.sync(world.row()) == [True]
    assert world.outcomes == [("R-1", "no longer found", None, 1)]
    assert [line for line in world.logs if line.startswith("WARN")] == [
        "WARN A contact is newer than the erasure request R-1 of its address."
    ]


def test_a_contact_that_only_the_address_finds_keeps_the_request_open(world: World) -> None:
    """A contact that was there before, but not found then, was to be erased as well."""
    erasures = world.erasures()
    world.now += DAY
    row = Row("erasure_request", 1, world.row())
    with pytest.raises(Later):
        erasures.write(row)
    assert erasures.write(row)
    world.drift.add_contact(email=ADA)
    erasures.finish()
    assert world.outcomes == [("R-1", "accepted", "[]", 0)]


@pytest.mark.parametrize("data", [None, {}, [], "gone"], ids=str)
def test_drift_may_say_in_other_ways_that_a_contact_is_gone(world: World, data: Any) -> None:
    """A contact that is empty, or 410 Gone, counts as 404 does."""
    world.sandbox.options = replace(OPTIONS, erasure_delay=10_000)
    path = f"/contacts/{world.drift.add_contact(email=ADA)}"
    world.sync(world.row(), confirm_within_minutes=0)
    empty = Fault(path, "body", change=lambda _: {"data": data})
    world.sandbox.faults = (Fault(path, "gone") if data == "gone" else empty,)
    world.sync()
    assert world.outcomes[0][1] == "no longer found"


@pytest.mark.parametrize("fault", ["html_404", "error_body", "html", "status"])
def test_a_gateway_confirms_nothing(world: World, fault: str) -> None:
    """Only Drift's own answer shows that there is no such contact."""
    world.sandbox.options = replace(OPTIONS, erasure_delay=10_000)
    contact = world.drift.add_contact(email=ADA)
    world.sync(world.row(), confirm_within_minutes=0)
    path, times = f"/contacts/{contact}", None
    world.sandbox.faults = {
        "html_404": (Fault(path, "status", status=404, body="html"),),
        "error_body": (Fault(path, "error_body", times=times),),
        "html": (Fault(path, "html"),),
        "status": (Fault(path, "status", status=400, times=times),),
    }[fault]
    world.sync()
    assert world.outcomes[0][1] == "accepted"


class Everything:
    """Accepts all rows."""

    def lane_keys(self, row: Row) -> frozenset[str]:
        return frozenset({"key"})

    def fold(self, rows: Any) -> None:
        return None

    def write(self, row: Row) -> bool:
        return True

    def finish(self) -> None:
        pass


def is_suppressed(world: World, email: Any, column: str = "email") -> bool:
    guarded = Unsuppressed(Everything(), {"mail": "email"}, world.ledger)
    try:
        return guarded.lane_keys(Row("contact", 1, {column: email, "name": ADA})) != {"key"}
    except Rejected as rejected:
        return (rejected.code, rejected.field) == ("suppressed", "email")


def test_an_erased_address_does_not_come_back(world: World) -> None:
    """Rows with it are rejected in any spelling and column, until two people allow it in a row of its own."""
    assert not is_suppressed(world, ADA)
    world.sync(world.row())
    world.restart()
    assert is_suppressed(world, ADA)
    assert is_suppressed(world, f" {ADA.upper()}", "mail")
    assert not [one for one in (BEN, None, "", "ada+news@example.com") if is_suppressed(world, one)]
    allow = {"request_id": "A-1", "allow": True}
    assert world.sync(world.row(**allow, approved_by="ann lee")) == [("not_approved", "approved_by")]
    assert is_suppressed(world, ADA)
    assert world.sync(world.row(**allow), protected_domains=["example.com"]) == [True]
    assert not is_suppressed(world, ADA)
    assert world.erased == [ADA]
    with world.ledger.transaction() as rows:
        (allowed_by,) = rows.execute("SELECT allowed_by FROM suppressed").fetchone()
    assert allowed_by == f"{world.ledger.hashed('Ann Lee')} {world.ledger.hashed('Bob Ray')}"


def test_an_old_permission_does_not_lift_a_new_erasure(world: World) -> None:
    """Rows that come again change nothing: neither the erasure that was lifted, nor the permission."""
    first, allow = world.row(), world.row(request_id="A-1", allow=True)
    second = world.row(request_id="R-2")
    assert world.sync(first, allow) == [True, True]
    assert world.sync(first, allow) == [False, False]
    assert not is_suppressed(world, ADA)
    assert world.sync(first, allow, second) == [False, False, True]
    assert world.sync(first, allow, second) == [False, False, False]
    assert is_suppressed(world, ADA)


def test_an_erased_contact_is_no_member_any_more(world: World) -> None:
    """The memory of audiences forgets the contact once it is no longer found."""
    contact = world.drift.add_contact(email=ADA)
    with world.ledger.transaction() as rows:
        rows.executemany(
            "INSERT INTO members (audience, contact_id, key_hash, added_at) VALUES ('trial', ?, '', 1)",
            [(contact,), (7,)],
        )
    world.sync(world.row())
    with world.ledger.transaction() as rows:
        assert rows.execute("SELECT contact_id FROM members").fetchall() == [(7,)]


ROWS = st.fixed_dictionaries(
    {
        "request_id": st.sampled_from(("R-1", "R-2", "R-3")),
        "email": st.sampled_from((ADA, ADA, BEN, ADA.upper())),
        "approved_by": st.sampled_from(("Bob Ray", "Bob Ray", "Bob Ray", "ann lee", None)),
        "allow": st.sampled_from((None, None, True)),
    }
)
KILLS = st.one_of(st.none(), st.tuples(st.sampled_from(("before", "sent", "accepted")), st.integers(1, 2)))


@hypothesis.settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)
@hypothesis.seed(SEED)
@hypothesis.given(syncs=st.lists(st.tuples(st.lists(ROWS, max_size=4), KILLS), min_size=2, max_size=6))
def test_any_history_erases_only_who_was_approved(sandbox: Sandbox, syncs: Any) -> None:
    """Whatever comes again or is killed: a request is sent once, and again only after a kill.

    Whoever comes back is not erased without a new request. The address is suppressed until two people allow it.
    """
    with TemporaryDirectory() as folder:
        world = World(sandbox, Path(folder))
        suppressed = {ADA: False, BEN: False}
        meant: dict[str, tuple[str, Any]] = {}
        done: set[str] = set()
        for requests, kill in syncs:
            contacts = {email: world.drift.add_contact(email=email) for email in (ADA, BEN)}
            rows = [world.row(**request) for request in requests]
            before = len(world.erased)
            is_killed = kill is not None and sync_is_killed(world, rows, *kill)
            if kill is None:
                world.sync(*rows, max_per_sync=2)
            erased = world.erased[before:]
            # The row without an outcome is the one that was killed; the next ones were not begun.
            carried_out = []
            for number, row in enumerate(rows, 1):
                outcome, name = world.outcomes_of_rows.get(number), row["request_id"]
                if isinstance(outcome, tuple):
                    continue
                meaning = (row["email"].lower(), row["allow"])
                assert meant.setdefault(name, meaning) == meaning
                if outcome is not False:
                    assert (row["approved_by"], name in done) == ("Bob Ray", False)
                    suppressed[row["email"].lower()] = not row["allow"]
                    carried_out += [] if row["allow"] else [row["email"]]
                if outcome is True or row["allow"] or (outcome is None and kill[0] == "accepted"):
                    done.add(name)
                assert outcome is not False or name in done
                if outcome is None:
                    assert is_killed
                    break
            assert erased == (carried_out[:-1] if is_killed and kill[0] == "before" else carried_out)
            assert len(erased) <= 2
            gone = {email for email, contact in contacts.items() if world.drift.contact(contact) is None}
            assert gone == {email.lower() for email in erased}
            assert {email: is_suppressed(world, email) for email in suppressed} == suppressed
            world.restart()
        world.ledger.close()


def sync_is_killed(world: World, rows: list[dict[str, Any]], point: str, number: int) -> bool:
    """Run a sync that is killed at a point of its n-th request, if it sends so many."""
    send, accepted = Client.send, Erasures._set
    sent = 0

    def kill_at(here: str) -> None:
        if (point, number) == (here, sent):
            raise Crash

    def sending(*args: Any) -> Any:
        nonlocal sent
        sent += 1
        kill_at("before")
        answer = send(*args)
        kill_at("sent")
        return answer

    def accepting(*args: Any) -> None:
        accepted(*args)
        kill_at("accepted")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Client, "send", sending)
        patched.setattr(Erasures, "_set", accepting)
        try:
            world.sync(*rows, finish=False, max_per_sync=2)
        except Crash:
            return True
    return False


def test_no_log_line_has_more_than_the_request_id(world: World) -> None:
    """Neither address nor name nor contact ID appears."""
    contact = world.drift.add_contact(email=ADA)
    world.sync(world.row())
    assert not re.search(rf"@|Ann|Bob|{contact}", " ".join(world.logs))
