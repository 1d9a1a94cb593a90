"""Reads the connector's settings, and renews an OAuth access token without losing the new refresh token."""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from source_drift.probe.client import Client

API_URL = "https://driftapi.com"
# Bytes, more than two renewed tokens need.
_ROOM = 16_384


class ConfigError(Exception):
    """The config file cannot be used. The message is for the user and contains no setting."""


@dataclass
class Settings:
    """What the probe needs of a config file.

    Attributes:
        access_token: '' if OAuth has not issued one yet.
        is_oauth: whether the token can be renewed.
    """

    path: Path
    config: dict[str, Any]
    credentials: dict[str, Any]
    api_url: str
    access_token: str
    is_oauth: bool

    @classmethod
    def read(cls, path: Path, manifest: Mapping[str, Any]) -> "Settings":
        """Read a config file of this connector, also one that 0.2.x or 0.4.x saved.

        Raises:
            ConfigError: the file is missing or malformed, or has no usable token or URL.
        """
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"The config file {path} cannot be read: {error.strerror}.") from None
        except ValueError:
            config = None
        if not isinstance(config, dict):
            raise ConfigError(f"The config file {path} is not a JSON object with the settings.")
        credentials = config["credentials"] if isinstance(config.get("credentials"), dict) else config
        is_oauth = bool(credentials.get("client_id") or credentials.get("refresh_token"))
        token = credentials.get("access_token") or ""
        if not isinstance(token, str) or not (token.strip() or is_oauth):
            raise ConfigError(f"The config file {path} has no access token. Add it under credentials.access_token.")
        url = config.get("api_url") or API_URL
        pattern = manifest["spec"]["connection_specification"]["properties"]["api_url"]["pattern"]
        if not isinstance(url, str) or not re.search(pattern, url):
            raise ConfigError("api_url must be an https URL without a path. Remove it to use Drift's own.")
        return cls(path.resolve(), config, credentials, url, sendable(token), is_oauth)

    def renew(self, client: Client) -> str:
        """Renew the access token, save the renewed tokens in the config file, and return the access token.

        Drift may accept a refresh token only once. So the new file, which only its owner can read, is created with room
        for the tokens before the request, and replaces the config file before the new token is used.

        Raises:
            ConfigError: Drift does not renew the token, or the file cannot be created; if it cannot replace the config
                file, it is kept, and the message names it.
        """
        try:
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        except OSError as error:
            raise ConfigError(
                f"The access token must be renewed, but the folder of {self.path.name} takes no new file: "
                f"{error.strerror}. Make the folder writable."
            ) from None
        with open(descriptor, "w", encoding="utf-8") as file:
            try:
                file.write(" " * (len(json.dumps(self.config)) + _ROOM))
                file.flush()
                token = self._renewed(client)
            except BaseException:
                os.unlink(name)
                raise
            file.seek(0)
            file.write(json.dumps(self.config, indent=2, ensure_ascii=False) + "\n")
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        try:
            os.replace(name, self.path)
        except OSError as error:
            raise ConfigError(
                f"The renewed tokens cannot be saved in {self.path.name}: {error.strerror}. "
                f"They are in {name}: replace the config file with it."
            ) from None
        return sendable(token)

    def _renewed(self, client: Client) -> str:
        """Renew the access token and put the renewed tokens into `config`."""
        form = {key: str(self.credentials.get(key) or "") for key in ("client_id", "client_secret", "refresh_token")}
        answer = client.renewed_tokens({"grant_type": "refresh_token", **form})
        found = answer if isinstance(answer, dict) else {}
        token = found.get("access_token") or found.get("accessToken")
        if not isinstance(token, str):
            raise ConfigError("Drift did not renew the access token. Authorize the app again.")
        renewed = found.get("refresh_token") or found.get("refreshToken") or form["refresh_token"]
        self.credentials |= {"access_token": token, "refresh_token": renewed}
        return token


def sendable(token: str) -> str:
    """Return a token as it is sent in a header. Raises ConfigError if it cannot be."""
    token = token.strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError("The access token contains characters that cannot be sent. Copy it again from dev.drift.com.")
    return token
