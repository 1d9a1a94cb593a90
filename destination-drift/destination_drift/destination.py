"""The commands `spec`, `check`, `discover` and `write`.

airbyte-cdk's `Destination` (7.39.1) is not used: it has no `discover`, quotes settings and exceptions in its messages,
and loses lines and parts of states (`messages.py`). Its `Connector` finds and loads spec.yaml.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from threading import Event
from typing import Any

from airbyte_cdk.connector import Connector
from airbyte_cdk.models import AirbyteConnectionStatus, ConnectorSpecificationSerializer, Status

from destination_drift import erasure
from destination_drift.audiences import Audience
from destination_drift.catalog import Stream, attribute_types, operations, streams_of
from destination_drift.client import Client
from destination_drift.contacts import Contacts
from destination_drift.erasure import Erasures, Unsuppressed
from destination_drift.errors import ConfigError, TransientError
from destination_drift.flow import Flow
from destination_drift.ledger import Ledger, open_ledger
from destination_drift.matching import Memory
from destination_drift.messages import Output, read
from destination_drift.rejects import Brake, Rejects
from destination_drift.rows import DriftObject
from destination_drift.settings import Settings

SCOPES = ("contact_read", "contact_write", "all_contact_read")
"""What writing contacts needs."""

_LOGGER = logging.getLogger("destination_drift")


class DestinationDrift(Connector):
    """Writes rows to Drift. It prints to `output`; `write` ends early when `stop` is called from another thread."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._halt = Event()
        self._flow: Flow | None = None
        self._stop_asked = False

    def specification(self) -> dict[str, Any]:
        """Return the content of a SPEC message."""
        return dict(ConnectorSpecificationSerializer.dump(self.spec(_LOGGER)))

    def settings(self, config: Any) -> Settings:
        """Return the settings of a config.

        Raises:
            ConfigError: a setting is missing or not allowed.
        """
        return Settings.of(config, self.spec(_LOGGER).connectionSpecification)

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Ask Drift what the token may do. Nothing is written."""
        try:
            settings = self.settings(config)
            client = self._client(settings)
            described = _described(client)
            scopes = described.get("scope")
            if not isinstance(scopes, str):
                # Drift does not describe this token. The one request that every run begins with must do.
                attribute_types(client)
            elif missing := [scope for scope in _scopes(settings) if scope not in scopes.split()]:
                raise ConfigError(
                    f"The token is missing {', '.join(missing)}. Add what is missing to the scopes of your app, then "
                    "issue a new token: scopes are fixed when a token is issued."
                )
            Rejects(settings.rejected_rows_directory, {}, self._output)
            if settings.ledger_directory or settings.erasure.enabled:
                open_ledger(settings, _organization(described)).close()
        except (ConfigError, TransientError) as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=str(error))
        return AirbyteConnectionStatus(status=Status.SUCCEEDED)

    def discover(self, config: Any) -> list[dict[str, Any]]:
        """Return the operations that rows can be mapped to.

        Raises:
            ConfigError, TransientError: Drift does not list its attributes.
        """
        settings = self.settings(config)
        return operations(attribute_types(self._client(settings)), with_erasure=settings.erasure.enabled)

    def write(self, config: Any, catalog: Any, lines: Iterable[bytes]) -> None:
        """Write the records among the lines, and print each state once every row before it is settled.

        Raises:
            ConfigError, TransientError, InputError, Stopped: see `Flow.run`.
        """
        settings = self.settings(config)
        streams = streams_of(catalog, settings)
        client = self._client(settings)
        ledger = None
        if settings.ledger_directory or any(stream.needs_ledger for stream in streams):
            ledger = open_ledger(settings, _organization(_described(client)))
        try:
            self._write(settings, streams, client, ledger, lines)
        finally:
            if ledger:
                ledger.close()

    def _write(
        self,
        settings: Settings,
        streams: list[Stream],
        client: Client,
        ledger: Ledger | None,
        lines: Iterable[bytes],
    ) -> None:
        types = attribute_types(client)
        # Streams may have rows about the same contacts.
        memory = Memory()
        targets = {stream.key: self._object(stream, settings, client, types, memory, ledger) for stream in streams}
        self._flow = flow = Flow(
            targets,
            self._output,
            Rejects(settings.rejected_rows_directory, {one.name: one.sync_id for one in streams}, self._output),
            Brake(settings.max_rejected_percent),
            # Half of them wait for Drift at any time.
            workers=settings.max_requests_per_second // 2 + 2,
            halt=self._halt,
            held={stream.key for stream in streams if stream.is_mirror},
            dry_run=settings.dry_run,
        )
        if self._stop_asked:
            flow.stop()
        try:
            flow.run(read(lines))
        finally:
            written = "would be written" if settings.dry_run else "written"
            for (_, name), counts in flow.counts.items():
                codes = "".join(f", {code}: {number}" for code, number in counts.rejected.most_common())
                self._output.log(
                    "INFO",
                    f"Stream {name}: {counts.written} {written}, {counts.unchanged} unchanged, "
                    f"{counts.rejected.total()} rejected{codes}.",
                )

    def stop(self) -> None:
        """End `write` early: rows that are being written are settled, and the states before them acknowledged."""
        self._stop_asked = True
        if self._flow:
            self._flow.stop()
        else:
            self._halt.set()

    def _client(self, settings: Settings) -> Client:
        return Client(
            settings.api_url,
            settings.credentials,
            lambda credentials: self._output.config({**settings.config, "credentials": credentials}),
            rate=settings.max_requests_per_second,
            halt=self._halt,
            dry_run=settings.dry_run,
        )

    def _object(
        self,
        stream: Stream,
        settings: Settings,
        client: Client,
        types: Mapping[str, str],
        memory: Memory,
        ledger: Ledger | None,
    ) -> DriftObject:
        if ledger and stream.object == "erasure_request":
            return Erasures(
                client,
                ledger,
                settings.erasure,
                stream.columns,
                log=self._output.log,
                memory=memory,
                wait=self._halt.wait,
                dry_run=settings.dry_run,
            )
        if stream.audience:
            contacts: Contacts = Audience(
                client,
                stream.audience,
                matching=stream.match_by,
                columns=stream.columns,
                on_ambiguous=settings.on_ambiguous,
                warn=self._output.warn,
                memory=memory,
                ledger=ledger if stream.is_mirror else None,
                dry_run=settings.dry_run,
            )
        else:
            contacts = Contacts(
                client,
                matching=stream.match_by,
                mode=stream.mode,
                columns=stream.columns,
                attributes=types,
                on_ambiguous=settings.on_ambiguous,
                empty_values=settings.empty_values,
                unknown_attributes=settings.unknown_attributes,
                warn=self._output.warn,
                memory=memory,
            )
        return Unsuppressed(contacts, stream.columns, ledger) if ledger else contacts


def _scopes(settings: Settings) -> tuple[str, ...]:
    return (*SCOPES, *(erasure.SCOPES if settings.erasure.enabled else ()))


def _described(client: Client) -> Mapping[str, Any]:
    """Return what Drift says of the token; nothing if it does not describe it."""
    status, body = client.token_info()
    return body if status == 200 and isinstance(body, dict) else {}


def _organization(described: Mapping[str, Any]) -> str | None:
    """Return the organization of the token; None if Drift does not say."""
    given = described.get("authenticated_userid")
    return str(given) if given else None
