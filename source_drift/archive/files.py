"""Downloads the files that messages name (`source-drift archive --files DIR`).

Drift documents no call for them: `GET /attachments/{id}/data` comes from one published client, and nobody has seen what
it answers. Untested against Drift, and off by default.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Event, Lock
from typing import Any
from urllib.parse import urljoin, urlsplit

import duckdb
import requests
from airbyte_cdk.sources.streams.call_rate import HttpAPIBudget, LimiterSession, MovingWindowCallRatePolicy, Rate
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from source_drift.archive.errors import ArchiveError

LARGEST = 500 * 1024 * 1024
"""A file of more bytes is not kept."""

DOWNLOADED, GONE, UNUSABLE = "downloaded", "gone", "unusable id"

_TOO_LARGE = f"larger than {LARGEST // 1024**2} MB"
_AT_ONCE = 4
_PIECE = 64 * 1024
_PART = ".part"
_TIMEOUTS = (10, 60)
# Bytes that trickle in keep every other time-out from expiring.
_LONGEST_SECONDS = 30 * 60
_ATTEMPTS = 8
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
_LONGEST_RETRY_AFTER = 600.0
_FAILURES_IN_A_ROW = 20
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_EXTENSIONS = {
    "application/json": "json",
    "application/msword": "doc",
    "application/pdf": "pdf",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/zip": "zip",
    "image/gif": "gif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "text/csv": "csv",
    "text/plain": "txt",
    "video/mp4": "mp4",
}
# What a server sends in place of a file when something is wrong.
_OF_ERRORS = ("application/json", "text/html")
_TABLE = """CREATE TABLE IF NOT EXISTS attachments (
    conversationId BIGINT, messageId BIGINT, id VARCHAR, path VARCHAR, size BIGINT, sha256 VARCHAR, outcome VARCHAR,
    PRIMARY KEY (messageId, id))"""


@dataclass
class Counts:
    """Files by what became of them. A file that several messages of a conversation name counts once."""

    downloaded: int = 0
    present: int = 0
    gone: int = 0
    failed: int = 0


@dataclass(frozen=True)
class _File:
    """A file of a conversation, with the messages that name it."""

    conversation: int | None
    id: str
    type: str
    messages: tuple[int, ...]

    @property
    def path(self) -> str:
        # Nothing of the file's own name, which may hold any path.
        return f"{self.conversation}/{self.id}.{_EXTENSIONS.get(self.type, 'bin')}"


@dataclass(frozen=True)
class _Result:
    outcome: str
    path: str | None = None
    size: int | None = None
    sha256: str | None = None


class _TryAgain(Exception):
    """An attempt failed in a way that may pass; `seconds` is how long Drift asks to wait."""

    def __init__(self, outcome: str, seconds: float = 0.0) -> None:
        super().__init__(outcome)
        self.outcome, self.seconds = outcome, seconds


def fetch(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    api_url: str,
    token: Callable[[], str],
    rate: int,
    notify: Callable[[str], None],
) -> Counts:
    """Download every file that the table `messages` names and `folder` lacks, and note each in the table `attachments`.

    A file is `<conversationId>/<id>.<extension>` in `folder`; only its owner can read it. `attachments` has a row for
    each file of each message, with its path in `folder`, size in bytes, SHA-256 and outcome: `downloaded`, `gone` (404
    or 410), `redirected to HOST`, `larger than 500 MB`, `unusable id`, or `failed: REASON`. The next run tries all but
    `downloaded` again.

    Args:
        api_url: the base of every address; the addresses in messages are never asked, and no redirect is followed.
        token: returns the access token. It is called before each request, by one thread at a time.
        rate: the most requests in a second, retries included.
        notify: is told, in sentences for the user, what is not there.

    Raises:
        ArchiveError: Drift refuses the token (401, 403), many files in a row fail, or the folder cannot be written.
    """
    files = _named(connection, notify)
    connection.execute(_TABLE)
    _prepare(folder)
    known: dict[tuple[int | None, str], _Result] = {}
    noted = set()
    for conversation, message, number, *more in connection.execute(
        "SELECT conversationId, messageId, id, path, size, sha256 FROM attachments WHERE outcome = ?", [DOWNLOADED]
    ).fetchall():
        known[conversation, number] = _Result(DOWNLOADED, *more)
        noted.add((message, number))
    counts, in_a_row = Counts(), 0
    wanted = []
    for file in files:
        present = _present(folder, file, known.get((file.conversation, file.id)))
        if present is None:
            wanted.append(file)
            continue
        counts.present += 1
        if not all((message, file.id) in noted for message in file.messages):
            _note(connection, file, present)
    download = _Download(folder, api_url, token, rate)
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for file, result in zip(wanted, pool.map(download.file, wanted), strict=True):
            _note(connection, file, result)
            if result.outcome == DOWNLOADED:
                counts.downloaded += 1
            elif result.outcome == GONE:
                counts.gone += 1
                notify(f"File {file.id} of conversation {file.conversation} is gone from Drift.")
            else:
                counts.failed += 1
                notify(f"File {file.id} of conversation {file.conversation}: {result.outcome}.")
            in_a_row = in_a_row + 1 if result.outcome.startswith("failed") else 0
            if in_a_row == _FAILURES_IN_A_ROW:
                raise ArchiveError(
                    f"{in_a_row} files in a row failed. Run the command again later to download the rest."
                )
    finally:
        # Also after Ctrl-C: no thread begins another file, and the next piece ends the one that it downloads.
        download.stopping.set()
        pool.shutdown(cancel_futures=True)
    return counts


class _Session(LimiterSession):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Never look at where an answer redirects: even unfollowed, an address that is malformed would be an error."""


class _Download:
    """Downloads files from one Drift. Several threads use it."""

    def __init__(self, folder: Path, api_url: str, token: Callable[[], str], rate: int) -> None:
        self._folder, self._api_url, self._token = folder, api_url.rstrip("/"), token
        self._lock = Lock()
        self._refused: ArchiveError | None = None
        self.stopping = Event()
        policy = MovingWindowCallRatePolicy(rates=[Rate(rate, timedelta(seconds=1))], matchers=[])
        self._session = _Session(api_budget=HttpAPIBudget(policies=[policy]))

    def file(self, file: _File) -> _Result:
        if file.conversation is None or not _ID.fullmatch(file.id):
            return _Result(UNUSABLE)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._attempt(file)
            except (requests.RequestException, HTTPError):
                failed = _TryAgain("failed: no complete response")
            except OSError as error:
                raise ArchiveError(f"{self._folder} cannot be written: {error.strerror}.") from error
            except _TryAgain as error:
                failed = error
            wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt) * random.uniform(0.5, 1)  # noqa: S311
            if attempt == _ATTEMPTS or self.stopping.wait(max(wait, failed.seconds)):
                break
        return _Result(failed.outcome)

    def _attempt(self, file: _File) -> _Result:
        if self._refused:
            raise self._refused
        url = f"{self._api_url}/attachments/{file.id}/data"
        with self._session.get(
            url,
            auth=self._authorized,
            # A file that is compressed itself is to arrive as it is.
            headers={"Accept-Encoding": "identity"},
            stream=True,
            allow_redirects=False,
            timeout=_TIMEOUTS,
        ) as response:
            status = response.status_code
            if status == 200:
                return self._save(file, response)
            if 300 <= status < 400:
                return _Result(f"redirected to {_host(url, response.headers.get('Location', ''))}")
            if status in (404, 410):
                return _Result(GONE)
            if status in (401, 403):
                # The other threads finish the file that they have, and ask for no other.
                self._refused = ArchiveError(
                    f"Drift refused to return a file (HTTP {status}). The token needs the conversation_read scope; add "
                    "it to your app, then issue a new token."
                )
                raise self._refused
            if status in (408, 429) or status >= 500:
                raise _TryAgain(f"failed: HTTP {status}", _retry_after(response))
            return _Result(f"failed: HTTP {status}")

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As a header of the session, a .netrc file would replace it.
        with self._lock:
            request.headers["Authorization"] = f"Bearer {self._token()}"
        return request

    def _save(self, file: _File, response: requests.Response) -> _Result:
        sent = _media_type(response.headers.get("Content-Type"))
        if sent in _OF_ERRORS and file.type not in ("", sent):
            raise _TryAgain(f"failed: {sent} instead of {file.type}")
        if (_length(response) or 0) > LARGEST:
            return _Result(_TOO_LARGE)
        target = self._folder / file.path
        target.parent.mkdir(mode=0o700, exist_ok=True)
        size, digest, deadline = 0, hashlib.sha256(), time.monotonic() + _LONGEST_SECONDS
        part = NamedTemporaryFile(dir=target.parent, prefix=target.name, suffix=_PART, delete=False)  # noqa: SIM115
        try:
            with part:
                # As the bytes arrive: `iter_content` waits for a whole piece, which can take hours.
                while piece := response.raw.read1(_PIECE, decode_content=True):
                    size += len(piece)
                    if size > LARGEST:
                        return _Result(_TOO_LARGE)
                    if self.stopping.is_set() or time.monotonic() > deadline:
                        raise _TryAgain(f"failed: not complete after {_LONGEST_SECONDS // 60} minutes")
                    digest.update(piece)
                    part.write(piece)
            os.replace(part.name, target)
        finally:
            Path(part.name).unlink(missing_ok=True)
        return _Result(DOWNLOADED, file.path, size, digest.hexdigest())


def _named(connection: duckdb.DuckDBPyConnection, notify: Callable[[str], None]) -> list[_File]:
    """Return each file that the messages name, once for a conversation, the oldest conversation first."""
    columns = {
        name
        for (name,) in connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database() "
            "AND table_name = 'messages' AND column_name IN ('id', 'conversationId', 'attachments', '_other')"
        ).fetchall()
    }
    if not {"id", "conversationId", "attachments"} <= columns:
        notify("The archive has no messages, so there are no files to download.")
        return []
    # Some messages have one `attachment`, a field that Drift does not document.
    single = "json_extract_string(_other, '$.attachment')" if "_other" in columns else "NULL"
    found: dict[tuple[int | None, str], _File] = {}
    for conversation, message, listed, one in connection.execute(
        f"SELECT conversationId, id, to_json(attachments)::VARCHAR, {single} FROM messages "
        f"WHERE attachments IS NOT NULL OR {single} IS NOT NULL ORDER BY conversationId, id"
    ).fetchall():
        for number, kind in [*_entries(listed), *_entries(one)]:
            before = found.get((conversation, number))
            messages = before.messages if before else ()
            known = before.type if before and before.type else kind
            messages = messages if message in messages else (*messages, message)
            found[conversation, number] = _File(conversation, number, known, messages)
    return list(found.values())


def _entries(text: str | None) -> Iterator[tuple[str, str]]:
    """Yield the id and the media type of each entry: an object with both, or an id alone, in a list or not."""
    try:
        entries = json.loads(text) if text else None
    except ValueError:
        entries = text
    for entry in entries if isinstance(entries, list) else [entries]:
        number, kind = (entry.get("id"), entry.get("mimeType")) if isinstance(entry, dict) else (entry, None)
        if entry is not None:
            given = str(number) if type(number) in (int, str) else json.dumps(entry)
            yield given[:200], _media_type(kind)


def _media_type(text: Any) -> str:
    return text.partition(";")[0].strip().lower() if isinstance(text, str) else ""


def _prepare(folder: Path) -> None:
    """Make the folder, closed to others, and remove what a killed run left unfinished."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in folder.glob(f"*/*{_PART}"):
            part.unlink()
    except OSError as error:
        raise ArchiveError(f"{folder} cannot be written: {error.strerror}.") from error


def _present(folder: Path, file: _File, known: _Result | None) -> _Result | None:
    """Return what is known of a file that is in the folder, None if it is not there."""
    if known is not None and known.path is not None:
        with suppress(OSError):
            if (folder / known.path).stat().st_size == known.size:
                return known
        return None
    path = folder / file.path
    if not _ID.fullmatch(file.id) or not path.is_file():
        return None
    # A run that was killed has put the file in its place, but not its row.
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
        return _Result(DOWNLOADED, file.path, content.tell(), digest.hexdigest())


def _note(connection: duckdb.DuckDBPyConnection, file: _File, result: _Result) -> None:
    for message in file.messages:
        connection.execute(
            "INSERT OR REPLACE INTO attachments VALUES (?, ?, ?, ?, ?, ?, ?)",
            [file.conversation, message, file.id, result.path, result.size, result.sha256, result.outcome],
        )


def _length(response: requests.Response) -> int | None:
    given = response.headers.get("Content-Length", "")
    return int(given) if given.isdecimal() else None


def _host(url: str, location: str) -> str:
    """Return the host of a redirect alone: what follows may be a signature, which is a secret."""
    try:
        return urlsplit(urljoin(url, location)).hostname or "an address without a host"
    except ValueError:
        return "an address that cannot be read"


def _retry_after(response: requests.Response) -> float:
    """Return the seconds that an answer asks to wait, at most 600; 0.0 if it does not say."""
    try:
        return min(Retry().parse_retry_after(response.headers.get("Retry-After", "")), _LONGEST_RETRY_AFTER)
    except InvalidHeader:
        return 0.0
