"""A quick part of `make prove` for `make test`, and tests that `make prove` finds problems."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from integration_tests.connector import EVERY_STREAM
from sandbox import Drift, Fault
from tools.evidence import hostile, report, secrets
from tools.evidence.commands import Evidence
from tools.evidence.faults import Cell, cells

SMALL = {"conversations": 6, "accounts": 3, "users": 2, "meetings": 2, "history_days": 40}


@pytest.mark.parametrize(
    ("kind", "details", "lasts"),
    [("status", {"status": 503}, False), ("status", {"status": 404}, True)],
    ids=["unavailable once", "always unknown"],
)
def test_no_case_is_green_and_incomplete(kind: str, details: Mapping[str, Any], lasts: bool) -> None:
    """Each stream is complete, logs each skipped row, or fails with a clear message."""
    found = list(cells(kind, kind, details, lasts, Drift(**SMALL)))
    assert sorted(cell.stream for cell in found) == sorted(EVERY_STREAM)
    assert [cell for cell in found if not cell.is_sound] == []
    if not lasts:
        assert {cell.outcome for cell in found} == {"complete"}


def test_the_matrix_finds_problems() -> None:
    """The summary has streams that succeed with missing rows and streams that fail without a message."""
    sound = Cell("users", "reset", False, "COMPLETE", 0, 2, "", True, 0)
    wrong = [
        replace(sound, complete=False),
        replace(sound, status="INCOMPLETE", code=1, message="KeyError: 'data'"),
        replace(sound, status="INCOMPLETE", code=0, message="Drift could not be reached."),
    ]
    assert not any(cell.is_sound for cell in wrong)
    section = report.faults([sound, *wrong])
    assert len(section.wrong) == len(wrong)
    assert "GREEN AND SHORT" in section.text
    assert not section.is_sound


def test_the_output_of_a_command_is_on_the_page(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The page has the last line of each command; a failed command is found, and its output is shown."""
    monkeypatch.setenv("ONLY", "a part")
    passes = (sys.executable, "-c", "print('Tests'); print('== 3 passed ==')")
    fails = (sys.executable, "-c", "import os; print(os.environ['SEED'], 'ONLY' in os.environ); raise SystemExit('no')")
    odd = (sys.executable, "-c", "import sys; sys.stdout.buffer.write(bytes([255]))")
    commands = {"passes": passes, "fails": fails, "odd": odd, "missing": ("./no-such-command",)}
    evidence = Evidence("Title", "Tests", "How.", commands, {"SEED": "7"})
    section = report.ended(evidence, evidence.gather())
    assert section.title == "Title"
    assert section.summary.startswith("Tests: 3 passed; 7 False; \ufffd; ")
    assert "| `passes` | 0 | 3 passed |" in section.text
    assert [line.partition(":")[0] for line in section.wrong] == ["fails ended with 1", "missing ended with 127"]
    assert "no\n" in capfd.readouterr().out


QUICK = ("gzip that ends early", "a line break in a cursor")


@pytest.mark.parametrize("case", [case for case in hostile.cases() if case.title in QUICK], ids=lambda case: case.title)
def test_a_hostile_response_is_refused_or_read(case: hostile.Case) -> None:
    """A hostile response gives the right rows or a clear error, and anything else would be found."""
    found = hostile.outcome(case)
    assert found.is_sound, found
    for wrong in (replace(case, rows=3), replace(case, rows=None, cause="another cause")):
        assert not replace(found, case=wrong).is_sound


@pytest.mark.parametrize(("credentials", "level"), [("access token", "INFO"), ("OAuth", "--debug")])
def test_no_credential_is_printed(credentials: str, level: str) -> None:
    """If every response is an error, the output has no credential, and by default no message text."""
    drift = Drift(**SMALL)
    refused = [Fault("*", "status", status=403, times=None)]
    found = secrets.finding("read", credentials, level, "HTTP 403", refused, drift)
    assert found.is_sound, found


def test_a_credential_is_found_in_every_form() -> None:
    """The search finds a credential unchanged, in a URL, in a form, in JSON and in base64."""
    assert secrets.forms('a/b+c "d"') == {
        'a/b+c "d"',
        "a%2Fb%2Bc%20%22d%22",
        "a%2Fb%2Bc+%22d%22",
        r"a/b+c \"d\"",
        r"a/b+c \\\"d\\\"",
        "YS9iK2MgImQi",
    }
