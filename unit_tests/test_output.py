"""Standard output is buffered, whatever Python was told, so that no write that is cut short loses what follows."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import components


@pytest.fixture
def unbuffered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.TextIOWrapper]:
    """The standard output of a process that was told not to buffer, which goes to the file `out`."""
    raw = io.FileIO(tmp_path / "out", "w")
    with io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace", write_through=True) as stdout:  # type: ignore[type-var]
        monkeypatch.setattr(sys, "__stdout__", stdout)
        yield stdout


def test_unbuffered_output_is_buffered(
    unbuffered: io.TextIOWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file is written to, in the same encoding, and whoever holds the old one can go on with it."""
    monkeypatch.setattr(sys, "stdout", unbuffered)
    components.keep_output_whole()
    assert sys.stdout is sys.__stdout__ is not unbuffered
    assert isinstance(sys.__stdout__.buffer, io.BufferedWriter)
    print("new é", flush=True)
    sys.__stdout__.close()
    unbuffered.write("old")
    assert (tmp_path / "out").read_text(encoding="ascii") == "new \\xe9\nold"


def test_output_that_was_led_elsewhere_stays_there(
    unbuffered: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what stands for the standard output is replaced."""
    elsewhere = io.StringIO()
    monkeypatch.setattr(sys, "stdout", elsewhere)
    components.keep_output_whole()
    assert sys.__stdout__ is not unbuffered
    assert sys.stdout is elsewhere


@pytest.mark.parametrize("stdout", [None, io.StringIO(), io.TextIOWrapper(io.BytesIO())], ids=["none", "text", "bytes"])
def test_other_output_is_left_alone(stdout: io.TextIOBase | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without a standard output, and one with a buffer, keeps what it has."""
    monkeypatch.setattr(sys, "__stdout__", stdout)
    components.keep_output_whole()
    assert sys.__stdout__ is stdout
