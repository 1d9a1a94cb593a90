"""Files that messages name are downloaded whole and once, from Drift alone, and what is not there is said."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests

from sandbox import Drift, Fault, Options, Sandbox
from source_drift.archive import files
from source_drift.archive.errors import ArchiveError
from source_drift.archive.files import Counts, fetch
from source_drift.archive.interrupts import Interrupted, Interrupts

# Ids that the sandbox has, and one that it has not.
ONE, TWO, THREE = 9_000_001, 9_000_002, 9_000_003
LOST = 7
DRIFT = Drift(conversations=0, accounts=0)
ROOT = Path(__file__).parents[2]
TYPES = "conversationId BIGINT, id BIGINT, attachments JSON, _other JSON"
Row = tuple[int | None, int, Any]


def named(number: Any, kind: str | None = "application/pdf") -> dict[str, Any]:
    return {"id": number, "fileName": "../../x.pdf", "mimeType": kind, "url": "https://evil.example/x.pdf"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(DRIFT) as running:
        yield running


@pytest.fixture(autouse=True)
def _quick(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_FIRST_WAIT", 0.001)
    sandbox.options, sandbox.faults = Options(rate_limit=None), ()
    sandbox.journal.clear()


class Archive:
    """An archive with messages, and the folder that its files go to."""

    def __init__(self, folder: Path, url: str) -> None:
        self.connection = duckdb.connect()
        self.connection.execute(f"CREATE TABLE messages ({TYPES})")
        self.folder, self.url = folder / "files", url
        self.said: list[str] = []

    def add(self, *rows: Row, other: Any = None) -> None:
        for conversation, message, attachments in rows:
            values = [conversation, message, json.dumps(attachments), other and json.dumps(other)]
            self.connection.execute("INSERT INTO messages VALUES (?, ?, ?, ?)", values)

    def fetch(self, token: str = "sandbox-token", rate: int = 1_000) -> Counts:
        self.said.clear()
        return fetch(self.connection, self.folder, self.url, lambda: token, rate, self.said.append)

    @property
    def table(self) -> dict[tuple[int, str], tuple[Any, ...]]:
        rows = self.connection.execute(
            "SELECT messageId, id, conversationId, path, size, sha256, outcome FROM attachments"
        ).fetchall()
        return {(message, number): tuple(more) for message, number, *more in rows}

    @property
    def outcomes(self) -> dict[str, str]:
        return {number: row[-1] for (_, number), row in self.table.items()}

    @property
    def files(self) -> dict[str, bytes]:
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}


@pytest.fixture
def archive(tmp_path: Path, sandbox: Sandbox) -> Iterator[Archive]:
    made = Archive(tmp_path, sandbox.url)
    yield made
    made.connection.close()


def content(number: int) -> bytes:
    found = DRIFT.attachment(number)
    assert found is not None
    return found


def asked(sandbox: Sandbox) -> list[str]:
    return sorted(request.path for request in sandbox.journal)


def test_files_are_downloaded_and_noted(archive: Archive, sandbox: Sandbox) -> None:
    """Each file is at its conversation and id, with nothing of its own name, closed to others, and in the table."""
    archive.add((10, 100, [named(ONE), named(TWO, "image/PNG; x=y")]), (11, 101, [named(THREE, "x/unknown")]))
    assert archive.fetch() == Counts(downloaded=3)
    assert archive.files == {
        f"10/{ONE}.pdf": content(ONE),
        f"10/{TWO}.png": content(TWO),
        f"11/{THREE}.bin": content(THREE),
    }
    digest = hashlib.sha256(content(ONE)).hexdigest()
    row = (10, f"10/{ONE}.pdf", len(content(ONE)), digest, "downloaded")
    assert archive.table[100, str(ONE)] == row
    modes = {path.stat().st_mode & 0o777 for path in [archive.folder, *archive.folder.rglob("*")]}
    assert modes == {0o700, 0o600}
    assert asked(sandbox) == [f"/attachments/{number}/data" for number in (ONE, TWO, THREE)]
    assert archive.said == []


def test_what_is_there_is_not_fetched_again(archive: Archive, sandbox: Sandbox) -> None:
    """A second run asks only for what is new, and for what was removed from the folder or cut off in it."""
    archive.add((10, 100, [named(ONE), named(TWO)]))
    archive.fetch()
    sandbox.journal.clear()
    archive.add((10, 101, [named(ONE), named(THREE)]))
    assert archive.fetch() == Counts(downloaded=1, present=2)
    assert asked(sandbox) == [f"/attachments/{THREE}/data"]
    assert archive.table[101, str(ONE)] == archive.table[100, str(ONE)]
    (archive.folder / f"10/{ONE}.pdf").write_bytes(b"cut off")
    (archive.folder / f"10/{TWO}.pdf").unlink()
    assert archive.fetch() == Counts(downloaded=2, present=1)
    assert archive.files[f"10/{ONE}.pdf"] == content(ONE)


def test_a_file_without_its_row_is_noted(archive: Archive, sandbox: Sandbox) -> None:
    """A run that was killed between file and row leaves a whole file, which the next run only counts."""
    archive.add((10, 100, [named(ONE)]))
    archive.fetch()
    before = archive.table
    archive.connection.execute("DELETE FROM attachments")
    sandbox.journal.clear()
    assert archive.fetch() == Counts(present=1)
    assert (archive.table, asked(sandbox)) == (before, [])


def test_odd_entries_are_used_or_named(archive: Archive, sandbox: Sandbox) -> None:
    """Numbers and single entries are files too; what has no usable id is noted, and nothing is asked for it."""
    archive.add(
        (10, 100, [ONE, None, ONE, named(ONE), named(str(TWO))]),
        (10, 101, named(THREE)),
        (10, 102, None),
        (10, 103, []),
        (10, 104, [named("../../etc"), named("a/b"), named("x" * 101), {"fileName": "x"}, named(None), named(1.5), ""]),
        (None, 105, [named(ONE + 10)]),
    )
    archive.add((10, 106, None), other={"attachment": named(ONE + 11)})
    archive.add((10, 107, None), other={"attachment": ONE + 12})
    assert archive.fetch() == Counts(downloaded=5, failed=8)
    assert len([one for one in archive.outcomes.values() if one == "unusable id"]) == 8
    assert set(archive.files) == {
        *(f"10/{number}.pdf" for number in (ONE, TWO, THREE, ONE + 11)),
        f"10/{ONE + 12}.bin",
    }
    assert len(sandbox.journal) == 5


def test_what_is_gone_is_said(archive: Archive, sandbox: Sandbox) -> None:
    """404 and 410 leave no file, a row, and a sentence; a later run asks again."""
    sandbox.faults = [Fault(f"/attachments/{TWO}/data", "gone")]
    archive.add((10, 100, [named(LOST), named(TWO), named(ONE)]))
    assert archive.fetch() == Counts(downloaded=1, gone=2)
    assert archive.outcomes == {str(LOST): "gone", str(TWO): "gone", str(ONE): "downloaded"}
    assert archive.said == [f"File {number} of conversation 10 is gone from Drift." for number in (LOST, TWO)]
    assert archive.fetch() == Counts(downloaded=1, gone=1, present=1)


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("https://storage.example/x?signature=secret", "storage.example"),
        ("//storage.example/x?signature=secret", "storage.example"),
        ("/elsewhere?signature=secret", "127.0.0.1"),
        ("https://[broken?signature=secret", "an address that cannot be read"),
    ],
)
def test_no_redirect_is_followed(archive: Archive, sandbox: Sandbox, location: str, host: str) -> None:
    """The outcome names the host alone, because the rest of the address may be a signature."""
    sandbox.faults = [Fault(f"/attachments/{ONE}/data", "redirect", location=location)]
    archive.add((10, 100, [named(ONE)]))
    assert archive.fetch() == Counts(failed=1)
    assert archive.outcomes == {str(ONE): f"redirected to {host}"}
    assert archive.said == [f"File {ONE} of conversation 10: redirected to {host}."]
    assert len(sandbox.journal) == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda path: Fault(path, "status", status=429), id="429"),
        pytest.param(lambda path: Fault(path, "status", status=503, times=3), id="503"),
        pytest.param(lambda path: Fault(path, "reset"), id="reset"),
        pytest.param(lambda path: Fault(path, "truncated"), id="broken off"),
        pytest.param(lambda path: Fault(path, "truncated", share=0), id="broken off at once"),
        pytest.param(lambda path: Fault(path, "html"), id="page instead of a file"),
    ],
)
def test_what_passes_is_tried_again(archive: Archive, sandbox: Sandbox, fault: Callable[[str], Fault]) -> None:
    """After a throttle, an error of the server, or a body that breaks off, the whole file is there."""
    sandbox.faults = [fault(f"/attachments/{ONE}/data")]
    archive.add((10, 100, [named(ONE)]))
    assert archive.fetch() == Counts(downloaded=1)
    assert archive.files == {f"10/{ONE}.pdf": content(ONE)}
    assert len(sandbox.journal) > 1


@pytest.mark.parametrize(
    ("kind", "details", "outcome", "requests"),
    [
        ("status", {"status": 500}, "failed: HTTP 500", 8),
        ("truncated", {}, "failed: no complete response", 8),
        ("status", {"status": 400}, "failed: HTTP 400", 1),
        ("no_content", {}, "failed: HTTP 204", 1),
    ],
)
def test_one_bad_file_does_not_stop_the_others(
    archive: Archive, sandbox: Sandbox, kind: str, details: dict[str, Any], outcome: str, requests: int
) -> None:
    """A file that always fails is noted with the reason, leaves nothing in the folder, and the rest comes."""
    sandbox.faults = [Fault(f"/attachments/{ONE}/data", kind, times=None, **details)]
    archive.add((10, 100, [named(ONE), named(TWO)]))
    assert archive.fetch() == Counts(downloaded=1, failed=1)
    assert archive.outcomes == {str(ONE): outcome, str(TWO): "downloaded"}
    assert set(archive.files) == {f"10/{TWO}.pdf"}
    assert len(sandbox.journal) == requests + 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"5\r\nhello\r\n", Counts(failed=1)),
        (b"5\r\nhel", Counts(failed=1)),
        (b"5\r\nhello\r\n0\r\n\r\n", Counts(downloaded=1)),
    ],
)
def test_a_body_in_chunks_is_whole_or_no_file(archive: Archive, body: bytes, expected: Counts) -> None:
    """Without a declared size, the last chunk tells whether the file is complete."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(1 << 16)
                        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)

        threading.Thread(target=serve, daemon=True).start()
        archive.url = f"http://127.0.0.1:{server.getsockname()[1]}"
        archive.add((10, 100, [named(ONE)]))
        assert archive.fetch() == expected
        server.shutdown(socket.SHUT_RDWR)
    assert list(archive.files.values()) == [b"hello"] * expected.downloaded


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_scope_stops_and_is_named(archive: Archive, sandbox: Sandbox, status: Any) -> None:
    """A token that may not read files ends the run after a few requests, and what is there stays noted."""
    sandbox.options = Options(rate_limit=None, tokens={"poor": ("user_read",)}, missing_scope_status=status)
    archive.add(*((10, number, [named(ONE + number)]) for number in range(40)))
    with pytest.raises(ArchiveError, match=rf"HTTP {status}.*conversation_read") as error:
        archive.fetch("poor")
    assert "poor" not in str(error.value)
    assert len(sandbox.journal) <= 8
    assert archive.files == {}


def test_a_refusal_ends_no_download_that_began(archive: Archive, sandbox: Sandbox) -> None:
    """After a 403, a file that is on its way still comes, and no other is asked for."""
    others = [named(ONE + number) for number in range(1, 40)]
    sandbox.faults = [
        Fault(f"/attachments/{ONE}/data", "slow", seconds=0.5),
        Fault("/attachments/*", "status", status=403, times=None),
    ]
    archive.add((10, 100, [named(ONE), *others]))
    with pytest.raises(ArchiveError):
        archive.fetch()
    assert archive.outcomes == {str(ONE): "downloaded"}
    assert len(sandbox.journal) <= 8


def test_a_drift_that_fails_every_file_stops_the_run(archive: Archive, sandbox: Sandbox) -> None:
    """When many files in a row fail, the run ends instead of waiting for each of them."""
    sandbox.faults = [Fault("/attachments/*", "status", status=400, times=None)]
    archive.add(*((10, number, [named(ONE + number)]) for number in range(60)))
    with pytest.raises(ArchiveError, match="20 files in a row failed"):
        archive.fetch()
    assert set(archive.outcomes.values()) == {"failed: HTTP 400"}
    assert len(archive.outcomes) == 20


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
def test_a_file_beyond_the_limit_is_not_kept(
    archive: Archive, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, declared: bool
) -> None:
    """Whether the size is declared or found out on the way, the file is left out and the outcome says so."""
    monkeypatch.setattr(files, "LARGEST", 1_000)
    if not declared:
        monkeypatch.setattr(files, "_length", lambda response: None)
    archive.add((10, 100, [named(ONE)]))
    assert archive.fetch() == Counts(failed=1)
    assert archive.outcomes == {str(ONE): "larger than 500 MB"}
    assert archive.files == {}


def test_at_most_four_files_at_once_within_the_rate(archive: Archive, sandbox: Sandbox) -> None:
    """A fifth request waits for one of four, and a second holds no more requests than the rate allows."""
    sandbox.options = Options(rate_limit=None, latency=0.05)
    archive.add(*((10, number, [named(ONE + number)]) for number in range(24)))
    assert archive.fetch(rate=20) == Counts(downloaded=24)
    times = sorted(request.at for request in sandbox.journal)
    assert min(later - earlier for earlier, later in zip(times, times[4:], strict=False)) >= 0.045
    assert min(later - earlier for earlier, later in zip(times, times[20:], strict=False)) >= 0.9


PROGRAM = """
import sys
from pathlib import Path
import duckdb
from source_drift.archive.files import fetch
with duckdb.connect(sys.argv[1]) as connection:
    fetch(connection, Path(sys.argv[2]), sys.argv[3], lambda: "sandbox-token", 50, print)
"""


def began(folder: Path) -> bool:
    """Whether a part of a file is there within half a minute."""
    deadline = time.monotonic() + 30
    while not list(folder.glob("*/*.part")):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_ctrl_c_removes_the_half_file(archive: Archive, sandbox: Sandbox) -> None:
    """The run ends at once, without the part that was downloaded, and the next one fetches the file whole."""
    sandbox.faults = [Fault(f"/attachments/{ONE}/data", "slow", seconds=10)]
    archive.add((10, 100, [named(ONE)]))
    thread = threading.Thread(target=lambda: began(archive.folder) and os.kill(os.getpid(), signal.SIGINT))
    thread.start()
    with Interrupts().raised(), pytest.raises(Interrupted):
        archive.fetch()
    thread.join()
    assert archive.files == {}
    assert archive.fetch() == Counts(downloaded=1)


def test_a_run_that_is_killed_leaves_no_half_file_for_long(tmp_path: Path, sandbox: Sandbox) -> None:
    """A kill leaves a part under another name; the next run removes it and fetches the file whole."""
    sandbox.faults = [Fault(f"/attachments/{ONE}/data", "slow", seconds=10)]
    database, folder = tmp_path / "drift.duckdb", tmp_path / "files"
    with duckdb.connect(str(database)) as connection:
        connection.execute(f"CREATE TABLE messages ({TYPES})")
        connection.execute("INSERT INTO messages VALUES (10, 100, ?, NULL)", [json.dumps([named(ONE)])])
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(database), str(folder), sandbox.url], cwd=ROOT)
    try:
        assert began(folder)
    finally:
        process.kill()
        process.wait()
    assert [path.suffix for path in folder.glob("*/*")] == [".part"]
    with duckdb.connect(str(database)) as connection:
        assert fetch(connection, folder, sandbox.url, lambda: "sandbox-token", 50, pytest.fail) == Counts(downloaded=1)
    assert [path.name for path in folder.glob("*/*")] == [f"{ONE}.pdf"]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        ("86400", 600, 600),
        ("-5", 0, 0),
        ("nan", 0, 0),
        ("soon", 0, 0),
        (None, 0, 0),
        (formatdate(time.time() + 590, usegmt=True), 1, 590),
        (formatdate(time.time() - 300, usegmt=True), 0, 0),
    ],
    ids=["seconds", "a day", "negative", "nan", "text", "none", "a date ahead", "a date before"],
)
def test_retry_after_is_read(header: str | None, least: float, most: float) -> None:
    """Seconds and dates are waited for, up to ten minutes."""
    response = requests.Response()
    if header is not None:
        response.headers["Retry-After"] = header
    assert least <= files._retry_after(response) <= most


def test_the_token_goes_with_every_request_and_no_netrc_replaces_it(
    archive: Archive, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .netrc file with an entry for the host is not asked."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login made-up password made-up\n")
    monkeypatch.setenv("NETRC", str(netrc))
    archive.add((10, 100, [named(ONE)]))
    assert archive.fetch() == Counts(downloaded=1)
    assert sandbox.journal[-1].token == "sandbox-token"


def test_a_folder_that_cannot_be_written_is_named(archive: Archive) -> None:
    """A file in the way of the folder, or of a conversation in it, ends the run with a sentence."""
    archive.folder.mkdir()
    (archive.folder / "10").touch()
    archive.add((10, 100, [named(ONE)]))
    with pytest.raises(ArchiveError, match="cannot be written: "):
        archive.fetch()
    archive.folder = archive.folder / "10"
    with pytest.raises(ArchiveError, match="cannot be written: "):
        archive.fetch()


def test_an_archive_without_messages_has_no_files(archive: Archive) -> None:
    """Where messages were not synced, that is said and nothing fails."""
    archive.connection.execute("DROP TABLE messages")
    assert archive.fetch() == Counts()
    assert archive.said == ["The archive has no messages, so there are no files to download."]
