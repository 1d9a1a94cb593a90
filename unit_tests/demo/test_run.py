"""The demo as a whole, with a scripted connector in place of the real one."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from source_drift.archive.warehouse import Answer
from tools.demo.questions import Question, questions
from tools.demo.run import _Output, main
from unit_tests.archive.messages import catalog, connection, entry, record, scripted, state, status

DONE = status("conversations", "COMPLETE")


def test_a_row_that_is_missing_is_red(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The archive says complete, but the comparison knows better; what is special about the local Drift is told."""
    read = [record("conversations", id=1), state("conversations", at=1), DONE]
    discover = [catalog(entry("conversations", incremental=True))]
    command = scripted(tmp_path, [connection("SUCCEEDED")], discover, read, [record("conversations", id=2), DONE])
    output = tmp_path / "demo"
    assert main(command=command, output=output) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "450 conversations, 400 accounts, 14 users" in lines[0]
    printed = " ".join(lines)
    for part in ("1 conversation and 1 contact were deleted", "Drift has changed: 18", "✓ Complete: 1 of 1 streams."):
        assert part in printed, part
    assert [line.split()[:4] for line in lines if line.startswith("✗  conversations")] == [
        ["✗", "conversations", "1", "1"],
        ["✗", "conversations", "1", "2"],
    ]
    assert "✗ conversations: 1 record was read instead of 450." in lines
    assert (output / "report.html").exists()


@pytest.mark.parametrize("question", questions(), ids=lambda question: question.path.name)
def test_questions_fit_80_columns(question: Question) -> None:
    """The question and each line of its SQL stand on one line, ready to be copied."""
    console = Console(file=io.StringIO(), width=80)
    _Output(console).answer(question, Answer(("a", "b"), [(1, "x"), (None, "[b]")]))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert question.text in lines
    assert max(map(len, lines)) <= 80
    assert [line[2:] for line in lines if line.strip()][1 : question.sql.count("\n") + 2] == question.sql.splitlines()
    assert lines[-1].split() == ["–", "[b]"]
