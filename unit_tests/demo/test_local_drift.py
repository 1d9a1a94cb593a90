"""The demo's own Drift: which request belongs to which stream, what changes, and what its questions answer."""

import statistics
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import PRIMARY_KEYS, Sandbox
from source_drift.archive.connector import ROOT, Stream
from source_drift.archive.errors import ArchiveError
from source_drift.archive.warehouse import Answer, Warehouse
from tools.demo.comparison import difference
from tools.demo.local_drift import INCREMENTAL, LOOKBACKS, LocalDrift, stream_of
from tools.demo.questions import Question, questions
from unit_tests.analysis.landing import load
from unit_tests.archive.messages import stream

MANIFEST = yaml.safe_load((ROOT / "manifest.yaml").read_text())


def _stream(name: str) -> Stream:
    definition = MANIFEST["definitions"][name]
    schema = MANIFEST["schemas"]["contacts" if name == "contacts_by_email" else name]
    key = tuple(definition["primary_key"])
    return stream(name, schema["properties"], key=key, incremental=name in INCREMENTAL)


STREAMS = {name: _stream(name) for name in PRIMARY_KEYS}


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
    """As many rows more as the line says, changed ones beside them, and an account that is gone."""
    drift = LocalDrift(accounts=3, conversations=90, users=4)

    def rows(name: str) -> dict[Any, dict[str, Any]]:
        return {row[PRIMARY_KEYS[name][0]]: row for row in drift.rows(STREAMS[name])}

    before = {name: rows(name) for name in ("conversations", "messages", "users", "accounts")}
    assert drift.change() == (
        "18 conversations got a message, 2 messages were edited, 5 conversations were closed, 5 began, 1 user joined, "
        "1 account was deleted"
    )
    conversations, messages = rows("conversations"), rows("messages")
    new = conversations.keys() - before["conversations"].keys()
    old = before["conversations"]
    assert (len(new), len(rows("users")), len(rows("accounts"))) == (5, 5, 2)
    assert sum(conversations[key]["updatedAt"] > old[key]["updatedAt"] for key in old) == 25
    assert sum(conversations[key]["status"] != old[key]["status"] for key in old) == 5
    added = [row for key, row in messages.items() if key not in before["messages"]]
    assert sum(row["conversationId"] not in new for row in added) == 18
    assert sum(messages[key] != row for key, row in before["messages"].items()) == 2


def test_a_second_read_is_due_to_bring_what_changed() -> None:
    """All of the changed conversations and of those within the look-back, counted here row by row; else everything."""
    drift = LocalDrift(accounts=3, conversations=2_000, users=4)
    assert all(drift.due(of) == drift.count(of) for of in STREAMS.values())
    newest = max(row["updatedAt"] for row in drift.rows(STREAMS["conversations"]))
    drift.change()

    def since(milliseconds: int) -> dict[int, dict[str, Any]]:
        rows = drift.rows(STREAMS["conversations"])
        return {row["id"]: row for row in rows if row["updatedAt"] >= newest - milliseconds}

    read, of_a_day = since(600_000), since(86_400_000)
    contacts = {row["contactId"] for row in read.values()}
    assert len(read) < len(of_a_day)
    wanted = {
        "conversations": len(read),
        "messages": sum(row["conversationId"] in read for row in drift.rows(STREAMS["messages"])),
        "conversation_details": sum(row["id"] in read for row in drift.rows(STREAMS["conversation_details"])),
        "contacts": sum(row["id"] in contacts for row in drift.rows(STREAMS["contacts"])),
        "conversation_metrics": sum(
            row["conversationId"] in of_a_day for row in drift.rows(STREAMS["conversation_metrics"])
        ),
    }
    assert {name: drift.due(STREAMS[name]) for name in INCREMENTAL} == wanted
    assert all(drift.due(of) == drift.count(of) for name, of in STREAMS.items() if name not in INCREMENTAL)


def test_the_look_backs_are_the_manifests() -> None:
    """And so are the streams whose second read is shorter, the figures of the throttle, and the words for them."""
    definitions = MANIFEST["definitions"]
    assert LOOKBACKS == {"conversations": 10 * 60_000, "conversation_metrics": 86_400_000}
    assert definitions["updated_at_cursor"]["lookback_window"] == "PT10M"
    assert definitions["conversation_metrics"]["incremental_sync"]["lookback_window"] == "P1D"
    assert definitions["child_cursor"]["lookback_window"] == "PT0S"
    drift = LocalDrift(accounts=3, conversations=200, users=4)
    drift.change()
    text = drift.explanation(STREAMS.values())
    assert "everything about the 30 conversations that changed" in text
    assert "1 of conversations" in text
    assert "last 10 minutes before a state" in text
    assert "conversation_metrics the last day" in text


def test_the_config_leaves_nothing_out() -> None:
    """Its start lies before all conversations, in few enough windows of 30 days; the first address is shared."""
    drift = LocalDrift()
    config = drift.config()
    times = [row["updatedAt"] for row in drift.rows(STREAMS["conversations"])]
    oldest, newest = min(times), max(times)
    start = datetime.fromisoformat(config["start_date"]).timestamp() * 1000
    assert 0 <= oldest - start < 86_400_000
    assert f"start_date to {config['start_date']}" in " ".join(drift.about)
    # Of 30 days each; the connector asks for at most 50 a minute.
    windows = (newest - start) / (30 * 86_400_000)
    assert windows < 40
    holders = Counter(row["attributes"]["email"] for row in drift.rows(STREAMS["contacts_by_email"]))
    assert list(holders) == config["contact_emails"]
    assert list(holders.values()) == [2, 1, 1]
    properties = MANIFEST["spec"]["connection_specification"]["properties"]
    assert config["max_requests_per_second"] == properties["max_requests_per_second"]["maximum"]


def test_something_is_gone_before_it_is_read() -> None:
    """The list names a conversation and a contact that Drift answers with 404."""
    drift = LocalDrift()
    count = {name: drift.count(of) for name, of in STREAMS.items()}
    listed = {row["contactId"] for row in drift.rows(STREAMS["conversations"])}
    assert count["conversations"] == 450
    assert (count["conversation_details"], count["conversation_metrics"]) == (449, 449)
    assert count["contacts"] == len(listed) - 1


def test_port_trouble_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lets nobody listen on its loopback interface is told so, without a stack trace."""

    def refuse(_: object) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(Sandbox, "__enter__", refuse)
    with pytest.raises(ArchiveError, match="The local Drift cannot start: Permission denied"), LocalDrift():
        pass


def test_what_is_no_data_of_drifts_has_no_count() -> None:
    """token_info describes the token."""
    drift = LocalDrift(accounts=1, conversations=1, users=1)
    assert drift.count(stream("token_info")) is None
    assert all(drift.count(stream(name)) is not None for name in PRIMARY_KEYS)


@pytest.fixture(scope="module")
def local() -> LocalDrift:
    return LocalDrift(accounts=40, conversations=300, users=8)


@pytest.fixture(scope="module")
def warehouse(local: LocalDrift, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    folder: Path = tmp_path_factory.mktemp("demo")
    warehouse = Warehouse(folder / "drift.duckdb")
    warehouse.claim("driftapi.com", "1.0.0")
    for of in STREAMS.values():
        load(warehouse, of, local.rows(of), folder)
    return warehouse


@pytest.mark.parametrize("name", STREAMS)
def test_rows_of_every_stream_are_compared(
    name: str, local: LocalDrift, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the connector delivers of a stream is equal to what Drift holds; one other value is not."""
    of = STREAMS[name]

    def fault() -> str | None:
        return difference(of, warehouse.rows(of), local.rows(of))

    assert fault() is None
    rows = list(local.rows(of))
    field = next(field for field in rows[0] if field not in of.key)
    other = [rows[0] | {field: "other"}, *rows[1:]]
    monkeypatch.setattr(local, "rows", lambda _: iter(other))
    assert "1 row in DuckDB is not the same as in Drift" in str(fault())


def test_metrics_are_named() -> None:
    """Null where the report has "NaN"."""
    rows = list(LocalDrift(accounts=1, conversations=40, users=4).rows(STREAMS["conversation_metrics"]))
    assert set(rows[0]) == set(STREAMS["conversation_metrics"].schema["properties"])
    assert any(row["firstCloseAt"] is None for row in rows)
    assert all(isinstance(value, int | None) for row in rows for value in row.values())


@pytest.mark.parametrize("question", questions(), ids=lambda question: question.path.name)
def test_every_question_has_an_answer(warehouse: Warehouse, question: Question) -> None:
    """Rows with a name and a count in each; the question is one sentence."""
    assert question.text.endswith("?")
    answer = warehouse.ask(question.sql)
    assert len(answer.rows) > 1
    assert all(row[0] and row[1] for row in answer.rows)
    assert "--" not in question.text


def _answer(warehouse: Warehouse, number: int) -> Answer:
    return warehouse.ask(questions()[number].sql)


def test_the_months_are_right(warehouse: Warehouse, local: LocalDrift) -> None:
    """Statuses add up to the conversations, month by month."""
    months = _answer(warehouse, 0)
    assert months.columns == ("month", "conversations", "open", "pending", "closed", "bulk_sent", "open %")
    rows = list(local.rows(STREAMS["conversations"]))
    began = Counter(datetime.fromtimestamp(row["createdAt"] / 1000, UTC).strftime("%Y-%m") for row in rows)
    still_open = Counter(
        datetime.fromtimestamp(row["createdAt"] / 1000, UTC).strftime("%Y-%m")
        for row in rows
        if row["status"] == "open"
    )
    assert 11 <= len(months.rows) <= 12
    for month, conversations, *statuses, percent in months.rows:
        assert (conversations, statuses[0]) == (began[month], still_open[month])
        assert sum(statuses) == conversations
        # SQL and Python round a half in their own ways.
        assert percent == pytest.approx(100 * still_open[month] / conversations, abs=0.051)


def test_the_first_answers_are_right(warehouse: Warehouse, local: LocalDrift) -> None:
    """As soon as Drift's own figures say it of people; bots answer at once."""
    answers = {row[0]: row for row in _answer(warehouse, 1).rows}
    assert set(answers) == {"bot", "person"}
    threads: dict[int, list[dict[str, Any]]] = {}
    for row in local.rows(STREAMS["messages"]):
        threads.setdefault(row["conversationId"], []).append(row)
    asked = {key for key, rows in threads.items() if any(row["author"]["type"] == "contact" for row in rows)}
    waits = [
        row["timeToAgentResponseMillis"] / 1000
        for row in local.rows(STREAMS["conversation_metrics"])
        if row["timeToAgentResponseMillis"] is not None and row["conversationId"] in asked
    ]
    _, conversations, percent, median, p90, messages = answers["person"]
    assert conversations == len(waits)
    assert percent == pytest.approx(100 * len(waits) / len(asked), abs=0.051)
    assert median == pytest.approx(statistics.median(waits), abs=0.1)
    assert p90 == pytest.approx(statistics.quantiles(waits, n=10, method="inclusive")[8], abs=0.1)
    said = sum(
        row["author"]["type"] == "user" and not row["author"].get("bot") and row["type"] == "chat"
        for key in asked
        for row in threads[key]
    )
    assert messages == pytest.approx(said / len(waits), abs=0.051)
    assert answers["bot"][3] < 3 < median


def test_the_meetings_are_right(warehouse: Warehouse, local: LocalDrift) -> None:
    """Each counts once, however many agents it has, with the playbook that began its conversation."""
    playbooks = {row["id"]: row["name"] for row in local.rows(STREAMS["playbooks"])}
    talks = {row["id"]: row for row in local.rows(STREAMS["conversation_details"])}
    slugs: dict[str, set[str]] = {}
    rows = list(local.rows(STREAMS["meetings"]))
    for row in rows:
        talk = talks.get(row.get("conversationId"))
        playbook = (talk or {}).get("relatedPlaybookId")
        name = "(no playbook)" if playbook is None else playbooks.get(playbook, "(switched off)")
        slugs.setdefault(name if talk else "(no conversation)", set()).add(row["slug"])
    found = {row[0]: row[1:] for row in _answer(warehouse, 2).rows}
    assert {name: row[0] for name, row in found.items()} == {name: len(each) for name, each in slugs.items()}
    assert len(rows) > sum(row[0] for row in found.values())
    canceled = {row["slug"] for row in rows if row["status"] == "CANCELED"}
    assert sum(row[1] for row in found.values()) == len(canceled)
    assert {"(no conversation)", "(switched off)"} < set(found)


@pytest.mark.parametrize("number", range(3))
def test_the_answers_fit_80_columns(number: int, warehouse: Warehouse) -> None:
    """No heading and no value is broken."""
    answer = _answer(warehouse, number)
    widths = [max(len(str(cell)) for cell in column) for column in zip(answer.columns, *answer.rows, strict=True)]
    assert 2 + sum(widths) + 3 * (len(widths) - 1) <= 80
