"""The connector's config: read from the user's file, passed to the connector as a private copy, saved on changes."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from source_drift.archive.errors import ArchiveError

API_URL = "https://driftapi.com"

# Fields of a config, in any of its forms, whose value no log may show.
_SECRET = re.compile(r"(?i)token|secret|password|key|code|client_?id")


class Settings:
    """A config and the private file, readable by its owner alone, in which the connector finds it.

    With `origin`, the user's own file, a changed config is saved there too: Drift rotates refresh tokens, and whoever
    keeps an old one is locked out. `rescue` takes the config where `origin` cannot be written. `start_date` counts for
    the connector alone and never reaches the user's file.
    """

    def __init__(
        self, config: Mapping[str, Any], copy: Path, *, origin: Path, rescue: Path, start_date: str | None = None
    ) -> None:
        self.path = copy
        self.secrets = set(_secrets(config))
        """Every secret it has held so far."""
        self._config = dict(config)
        self._origin = origin
        self._rescue = rescue
        self._start_date = start_date
        self._pass_on()

    @property
    def token(self) -> str:
        """The access token, as the connector renewed it last; empty where the config has none."""
        credentials = self._config.get("credentials") or {}
        return str(credentials.get("access_token") or "")

    @property
    def api_url(self) -> str:
        return str(self._config.get("api_url") or API_URL)

    @property
    def rate(self) -> int:
        """The most requests in a second."""
        return int(self._config.get("max_requests_per_second") or 35)

    def update(self, config: Mapping[str, Any]) -> str | None:
        """Accept a config from the connector; return a message for the user, or None if nothing changed.

        Raises:
            ArchiveError: it could be saved neither in the user's file nor in the rescue file.
        """
        config = dict(config)
        if self._start_date and config.get("start_date") == self._start_date:
            config.pop("start_date")
            if "start_date" in self._config:
                config["start_date"] = self._config["start_date"]
        if config == self._config:
            return None
        self.secrets.update(_secrets(config))
        self._config = config
        self._pass_on()
        try:
            save(self._origin, self._config)
        except OSError as reason:
            try:
                write(self._rescue, _text(self._config))
            except OSError as error:
                raise ArchiveError(
                    f"The connector's new config could be saved neither in {self._origin} ({reason.strerror}) "
                    f"nor in {self._rescue} ({error.strerror}). If it contained a new refresh token, authorize the app "
                    "again."
                ) from error
            return (
                f"{self._origin} cannot be written ({reason.strerror}). The connector's new config, perhaps with a new "
                f"refresh token, is in {self._rescue}. Use that file from now on."
            )
        return f"The connector returned a new config (renewed tokens or a new format). It is saved in {self._origin}."

    def _pass_on(self) -> None:
        overridden = {"start_date": self._start_date} if self._start_date else {}
        write(self.path, _text({**self._config, **overridden}))


def load(path: Path) -> dict[str, Any]:
    """Return the config in a file.

    Raises:
        ArchiveError: the file is missing, cannot be read, or is no JSON object. The message shows nothing of it.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ArchiveError(f"The config file {path} cannot be read: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ArchiveError(f"The config file {path} is not valid JSON: {error.msg} ({where}).") from None
    except ValueError:
        raise ArchiveError(f"The config file {path} is not UTF-8 text.") from None
    if not isinstance(config, dict):
        raise ArchiveError(f"The config file {path} must contain one JSON object with the connector's settings.")
    return config


def save(path: Path, config: Mapping[str, Any]) -> None:
    """Write a config to a file that exists, as a whole or not at all, readable only by its owner, who stays the same.

    A symbolic link stays one. Where the folder takes no new file (a single file mounted into a container), the file is
    overwritten in place.

    Raises:
        OSError: the file cannot be written.
    """
    path = path.resolve(strict=True)
    before = path.stat()
    try:
        write(path, _text(config), mode=stat.S_IMODE(before.st_mode) & 0o700, owner=(before.st_uid, before.st_gid))
    except OSError:
        with path.open("r+", encoding="utf-8") as file:
            file.write(_text(config))
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


def write(path: Path, text: str, *, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Write a file as a whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        written = os.stat(name)
        if owner is not None and owner != (written.st_uid, written.st_gid):
            os.chown(name, *owner)
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _secrets(value: Any, field: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _secrets(inner, name)
    elif isinstance(value, str) and value and _SECRET.search(field):
        yield value
