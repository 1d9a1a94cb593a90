"""What stays of a failed run: enough to find the fault, nothing of a token or a record."""

import json
import stat
from pathlib import Path

import pytest

from source_drift.archive.log import Log, masked
from unit_tests.archive.messages import connection, failure, log, record, state, status


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("refused s3cret/1 and s3cret%2F1", "refused … and …"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
        ("no user ada.l@example.com.", "no user …"),
        ('answered {"name": "Ada", "id": 1}, {"id"', "answered …"),
        ("could not read [{'name': 'Ada'}]", "could not read …"),
        ("ValueError: invalid literal for int(): 'Ada'", "ValueError: invalid literal for int(): …"),
        ('orjson.JSONDecodeError: "Ada" is odd', "orjson.JSONDecodeError: … is odd"),
        ("x.AirbyteTracedException: Drift refused 'users'.", "x.AirbyteTracedException: Drift refused 'users'."),
        ('  File "/a/b.py", line 7, in read', '  File "/a/b.py", line 7, in read'),
    ],
)
def test_secrets_and_data_are_masked(line: str, expected: str) -> None:
    """Line by line; the places in the code stay."""
    assert masked(f"before\n{line}\nafter", ["s3cret/1", "s3cret"]) == f"before\n{expected}\nafter"


def test_only_errors_are_kept(tmp_path: Path) -> None:
    """In a file that only its owner can read; records, states and what is no error are passed over."""
    kept = Log(tmp_path / "scratch")
    for line in (record("talks", title="Ada"), state("talks", at=1), status("talks", "STARTED"), log("Ada", "INFO")):
        kept.note(json.loads(line))
    assert not kept.keep(tmp_path / "kept", [])
    assert not (tmp_path / "kept").exists()
    for line in (log("worse", "FATAL"), connection("FAILED", "No scope."), failure("Failed.", "talks")):
        kept.note(json.loads(line))
    assert kept.keep(tmp_path / "kept", [])
    text = (tmp_path / "kept").read_text()
    assert "Ada" not in text
    assert [line.split()[0] for line in text.splitlines()] == ["FATAL", "FAILED", "Traceback", "TRACE"]
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o600


def test_the_last_line_is_masked_too(tmp_path: Path) -> None:
    """It is shown on the screen."""
    kept = Log(tmp_path / "scratch")
    assert kept.last([]) == ""
    (tmp_path / "scratch").write_text("Traceback\nMemoryError: at s3cret\n\n")
    assert kept.last(["s3cret"]) == "MemoryError: at …"


def test_of_a_huge_log_the_end_is_kept(tmp_path: Path) -> None:
    """Whole lines of it."""
    kept = Log(tmp_path / "scratch")
    (tmp_path / "scratch").write_text("first s3cret\n" * 200_000 + "last\n")
    assert kept.keep(tmp_path / "kept", ["s3cret"])
    lines = (tmp_path / "kept").read_text().splitlines()
    assert (set(lines[:-1]), lines[-1], len(lines) < 100_000) == ({"first …"}, "last", True)
