"""The demo's own Drift: which request belongs to which stream, what changes, and what its questions answer."""

from pathlib import Path

import pytest

from demo.errors import DemoError
from demo.local_drift import LocalDrift, stream_of
from demo.questions import Question, questions
from demo.warehouse import Spool, Warehouse
from sandbox import PRIMARY_KEYS, Sandbox
from unit_tests.demo.messages import INTEGER, STRING, stream

STREAMS = {
    "accounts": stream(
        "accounts",
        {
            "accountId": STRING,
            "ownerId": INTEGER,
            "targeted": {"type": "boolean"},
            "updateDateTime": INTEGER,
        },
        key=("accountId",),
    ),
    "conversations": stream(
        "conversations",
        {"id": INTEGER, "status": STRING, "inboxId": INTEGER, "createdAt": INTEGER, "updatedAt": INTEGER},
        incremental=True,
    ),
    "users": stream("users", {"id": INTEGER, "name": STRING, "role": STRING}),
}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/accounts", "accounts"),
        ("/accounts/", "accounts"),
        ("/conversations/list", "conversations"),
        ("/conversations/stats", "conversation_stats"),
        ("/conversations/37", "conversation_details"),
        ("/conversations/37/messages", "messages"),
        ("/contacts/37", "contacts"),
        ("/contacts/attributes", "contact_attributes"),
        ("/contacts", "contacts_by_email"),
        ("/users/list", "users"),
        ("/users/meetings/org", "meetings"),
        ("/app/token_info", "token_info"),
        ("/oauth2/token", ""),
        ("/conversations/37/transcript", ""),
    ],
)
def test_a_request_counts_for_one_stream(path: str, name: str) -> None:
    """By its whole path, however it begins."""
    assert stream_of(path) == name


def test_something_happens_between_the_reads() -> None:
    """As many rows more as the line says, and changed ones beside them."""
    drift = LocalDrift(accounts=3, conversations=60, users=4)
    conversations, users = STREAMS["conversations"], STREAMS["users"]
    before = {row["id"]: row["updatedAt"] for row in drift.rows(conversations)}
    assert drift.change() == "25 conversations got a message, 5 began, 1 user joined"
    assert drift.changes == {"conversations": 30}
    after = {row["id"]: row["updatedAt"] for row in drift.rows(conversations)}
    assert (drift.count(conversations), drift.count(users), drift.count(STREAMS["accounts"])) == (65, 5, 3)
    assert sum(after[key] > before[key] for key in before) == 25


def test_port_trouble_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lets nobody listen on its loopback interface is told so, without a stack trace."""

    def refuse(_: object) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(Sandbox, "__enter__", refuse)
    with pytest.raises(DemoError, match="The local Drift cannot start: Permission denied"), LocalDrift():
        pass


def test_what_is_no_data_of_drifts_has_no_count() -> None:
    """token_info tells of the token."""
    drift = LocalDrift(accounts=1, conversations=1, users=1)
    assert drift.count(stream("token_info")) is None
    assert all(drift.count(stream(name)) is not None for name in PRIMARY_KEYS)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    drift = LocalDrift(accounts=40, conversations=300, users=8)
    folder: Path = tmp_path_factory.mktemp("demo")
    warehouse = Warehouse(folder / "drift.duckdb")
    with Spool(STREAMS.values(), folder) as spool:
        for name, of in STREAMS.items():
            for row in drift.rows(of):
                spool.add(name, row)
        warehouse.load(spool, STREAMS.values(), anew=True)
    return warehouse


@pytest.mark.parametrize("question", questions(), ids=lambda question: question.path.name)
def test_every_question_has_an_answer(warehouse: Warehouse, question: Question) -> None:
    """Rows with a name and a count in each; the question is one sentence."""
    assert question.text.endswith("?")
    answer = warehouse.ask(question.sql)
    assert answer.rows
    assert all(row[0] for row in answer.rows)
    assert "--" not in question.text


def test_the_answers_are_right(warehouse: Warehouse) -> None:
    """Sums over all groups give what the tables hold, as far as the list is not cut."""
    months, inboxes, owners = (warehouse.ask(question.sql) for question in questions())
    assert 2 <= len(months.rows) <= 12
    assert all(row[1] == sum(row[2:]) for row in months.rows), months
    assert sum(row[1] for row in inboxes.rows) == 300, inboxes
    assert sum(row[2] for row in owners.rows) <= 40
    assert all(row[4] <= row[3] <= row[1] for row in inboxes.rows), inboxes
