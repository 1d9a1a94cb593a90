"""Rejected rows are reported, kept in a file on request, and stop a run if there are too many."""

import io
import json
import os
import stat
from pathlib import Path

import pytest

from destination_drift import rejects
from destination_drift.errors import ConfigError, Rejected
from destination_drift.messages import Output
from destination_drift.rejects import Brake, Rejects
from destination_drift.rows import Row

ROW = Row("contact", 7, {"email": "ada@example.com", "id": 123456789012345678901, "half": "\ud83d"})


def test_a_rejected_row_is_a_warning_without_its_values() -> None:
    """The warning has the stream, the number of the row, the code, the field and the status."""
    file = io.BytesIO()
    reports = Rejects(None, {}, Output(file))
    reports.report(ROW, Rejected("wrong_type", "seats"))
    reports.report(ROW, Rejected("refused_by_drift", status=400))
    logs = [json.loads(line)["log"] for line in file.getvalue().splitlines()]
    assert logs == [
        {"level": "WARN", "message": "Row 7 of the stream contact was rejected: wrong_type, seats."},
        {"level": "WARN", "message": "Row 7 of the stream contact was rejected: refused_by_drift, HTTP 400."},
    ]


def test_rejected_rows_are_appended_to_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has the whole row and the reason, survives a cut line, and is on disk after `sync`."""
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    folder = tmp_path / "new" / "rejected"
    for _ in range(2):
        reports = Rejects(folder, {"a/b": 5}, Output(io.BytesIO()))
        reports.sync()
        reports.report(Row("a/b", 1, ROW.data), Rejected("missing_key", "email"))
        assert len(synced) in (0, 1)
        reports.sync()
        reports.sync()
        (path,) = folder.iterdir()
        with path.open("ab") as cut:
            cut.write(b'{"cut')
    assert len(synced) == 2
    assert path.name == "a_b-5.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    first, cut, second, _ = path.read_text().split("\n")
    assert (first, cut) == (second, '{"cut')
    assert json.loads(first) == {
        **ROW.data,
        "rejected_reason": "missing_key",
        "rejected_field": "email",
        "rejected_message": "Row 1 of the stream a/b was rejected: missing_key, email.",
    }


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """It is found before the first row, and also for a single file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^rejected_rows_directory cannot be written: "):
        Rejects(tmp_path / "file", {}, Output(io.BytesIO()))
    (tmp_path / "contact.jsonl").mkdir()
    reports = Rejects(tmp_path, {}, Output(io.BytesIO()))
    with pytest.raises(ConfigError, match=r"^rejected_rows_directory cannot be written: Is a directory"):
        reports.report(ROW, Rejected("missing_key"))


def test_too_many_rejected_rows_stop_the_run() -> None:
    """20 % of the last 500 rows are accepted, one more is not; before 500 rows there is no share."""
    brake = Brake(20)
    for number in range(rejects.WINDOW):
        brake.count("no_match" if number % 5 == 1 else None)
    for code in (None, "wrong_type"):
        brake.count(code)
    with pytest.raises(ConfigError, match=r"^101 of the last 500 rows were rejected, most of them with no_match"):
        brake.count("wrong_type")


def test_one_reason_for_all_rows_at_the_beginning_stops_the_run() -> None:
    """The first 50 rows with one code stop it; with two codes, they do not."""
    brake, other = Brake(20), Brake(20)
    for _ in range(rejects.OPENING - 1):
        brake.count("no_match")
        other.count("no_match")
    other.count("wrong_type")
    other.count("no_match")
    with pytest.raises(ConfigError, match=r"^The first 50 rows were all rejected \(no_match\)"):
        brake.count("no_match")


def test_rows_that_were_postponed_are_compared_with_all_rows() -> None:
    """They come together at the end, where most of them are rejected; a fifth of all rows may be."""
    brake = Brake(20)
    for _ in range(rejects.WINDOW):
        brake.count(None, late=False)
    for _ in range(125):
        brake.count("no_match", late=True)
    with pytest.raises(ConfigError, match=r"^126 of 626 rows were rejected after they were tried again, .* no_match"):
        brake.count("no_match", late=True)


def test_zero_percent_accepts_no_rejected_row_and_a_hundred_all() -> None:
    """The two ends of the setting are exact."""
    strict, lenient = Brake(0), Brake(100)
    strict.count(None)
    for _ in range(rejects.WINDOW + 1):
        lenient.count("no_match")
    with pytest.raises(ConfigError, match="max_rejected_percent is 0"):
        strict.count("no_match")
