"""What the tests of `source-drift person` share: people who are easily mixed up, and the command as a user calls it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from source_drift import __main__ as source_drift
from unit_tests.person.archives import NOON, Row, archived, contact, conversation, message

ADA = "ada@example.com"
GRACE, WILL, BOT = 1, 2, 9
ONE, LATER, BEFORE, WORK = 101, 102, 103, 104
COLLEAGUE, SUFFIX, MENTIONS, OWNED = 201, 202, 203, 204
REPORT = {
    "id": 7_001,
    "fileName": "report.pdf",
    "mimeType": "application/pdf",
    "url": "https://files.example.com/report.pdf",
}

# How an attribute may hold an address, and how it is asked for.
ODD_ADDRESSES = pytest.mark.parametrize(
    ("attributes", "asked"),
    [
        pytest.param({"email": ["x@example.com", "ADA@example.com"]}, ADA, id="list"),
        pytest.param({"Email": "x@example.com; ada@example.com"}, ADA, id="several in one"),
        pytest.param({"email": "Ada <ada@example.com>"}, ADA, id="with a name"),
        pytest.param({"email": "ÄDA@example.com"}, "Äda@example.com", id="not ASCII"),
        pytest.param({"email": "İDA@example.com"}, "İda@example.com", id="longer in lower case"),
        pytest.param({"email": "\u006bda@example.com".replace("k", "\u212a")}, "kda@example.com", id="sign for kelvin"),
        pytest.param({"email": 'a"d\\a@example.com'}, 'a"d\\a@example.com', id="quoted in JSON"),
        pytest.param({"secondary_email": ADA}, "  ada@example.com  ", id="second"),
    ],
)


def people() -> dict[str, list[Row]]:
    """Rows of Ada, who has four contacts, and of others whose records look like hers."""
    return {
        "users": [
            {"id": GRACE, "name": "Grace O'Hara", "alias": "Grace", "email": "grace@team.example.com", "bot": False},
            {"id": WILL, "name": "Will", "email": "will@team.example.com", "bot": False},
            {"id": BOT, "name": "Driftbot", "bot": True},
        ],
        "contacts": [
            contact(
                ONE,
                email=f" {ADA.upper()} ",
                name="Ada Foxglove",
                work_email="ada.foxglove@work.example.com",
                account_owner_email="grace@team.example.com",
                account_owner="Grace O'Hara",
            ),
            # The row is older than the address, which only the other table knows.
            contact(LATER, start_date=NOON),
            contact(BEFORE, ip="192.0.2.7"),
            contact(WORK, email="ada.foxglove@work.example.com", plan="team"),
            contact(COLLEAGUE, email="nada@example.com", name="Nada"),
            contact(SUFFIX, email="ada@example.com.example.org"),
            contact(MENTIONS, email="ben@example.com", manager_email=ADA, notes=f"ask {ADA}"),
            contact(OWNED, email="cy@example.com", account_owner_email="grace@team.example.com"),
        ],
        "contacts_by_email": [contact(LATER, email="ADA@example.com", start_date=NOON)],
        "conversations": [
            conversation(10, ONE),
            conversation(11, LATER),
            conversation(12, BEFORE),
            conversation(13, WORK),
            conversation(14, COLLEAGUE),
            conversation(15, SUFFIX),
            conversation(16, MENTIONS),
            conversation(17, OWNED),
            # Hers only because she wrote in it.
            conversation(18, COLLEAGUE),
        ],
        "conversation_details": [
            conversation(10, ONE) | {"participants": [GRACE], "conversationTags": [{"name": "demo"}]},
            conversation(17, OWNED) | {"participants": [GRACE]},
        ],
        "messages": [
            message(1, 10, ONE, "Is there a <b>demo</b>?", context={"ip": "192.0.2.1"}),
            message(2, 10, GRACE, "Yes &amp; soon. GRACE O&#39;HARA, grace@team.example.com", user=True),
            message(3, 10, BEFORE, "I asked before.", context={"ip": "192.0.2.7"}),
            message(4, 10, WILL, "She will buy.", user=True, type="private_note", attachments=[REPORT]),
            message(5, 11, LATER),
            message(6, 12, BEFORE),
            message(7, 13, WORK),
            message(8, 14, COLLEAGUE, "A secret of Nada's"),
            message(9, 15, SUFFIX, "A secret of another"),
            message(10, 16, MENTIONS, f"A secret about {ADA}"),
            message(11, 17, OWNED, "A secret of Cy's"),
            message(12, 18, COLLEAGUE, "Hello Ada", context={"ip": "192.0.2.99"}),
            message(13, 18, WORK, "Hello Nada"),
            message(14, 10, BOT, "Hi", user=True),
        ],
        "conversation_metrics": [
            {"conversationId": 10, "endUserId": ONE, "lastAgentId": GRACE, "numAgentMessages": 2.0},
            {"conversationId": 14, "endUserId": COLLEAGUE, "numAgentMessages": 1.0},
        ],
        "meetings": [
            {"slug": "by-contact", "agentId": GRACE, "schedulerId": WORK, "slotStart": NOON},
            {"slug": "by-conversation", "agentId": GRACE, "conversationId": 10, "slotStart": NOON + 1},
            {"slug": "by-address", "agentId": GRACE, "attendees": [{"email": "Ada@example.com"}]},
            {
                "slug": "of-nada",
                "agentId": GRACE,
                "schedulerId": COLLEAGUE,
                "attendees": [{"email": "nada@example.com"}],
            },
        ],
    }


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of these people, which the command only reads."""
    return archived(tmp_path_factory.mktemp("archive") / "drift.duckdb", people())


@dataclass
class Outcome:
    """What the command left behind."""

    code: int
    folder: Path
    printed: str

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    @property
    def person(self) -> Any:
        return self.json("person.json")

    @property
    def manifest(self) -> Any:
        return self.json("manifest.json")

    @property
    def html(self) -> str:
        return (self.folder / "person.html").read_text(encoding="utf-8")

    def ids(self, table: str, key: str = "id") -> list[Any]:
        return [row[key] for row in self.person[table]]


Ask = Callable[..., Outcome]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Call `source-drift person` with an archive, text on standard input, and further arguments."""

    def asked(archive: Path, text: str = ADA, *arguments: str) -> Outcome:
        folder = tmp_path / "answer"
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        with pytest.raises(SystemExit) as end:
            source_drift.main(["person", "--archive", str(archive), "--out", str(folder), *arguments])
        captured = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Outcome(end.value.code, folder, captured.out + captured.err)

    return asked
