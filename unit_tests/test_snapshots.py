"""What the connector shows to others is what was agreed: its form, its catalog, and a row of each stream.

A change that is wanted is written down anew with `WRITE_SNAPSHOTS=1 .venv/bin/python -m pytest
unit_tests/test_snapshots.py`, and read in the diff.
"""

import json
import os
import re
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
import requests
from airbyte_cdk.models import AirbyteMessage, AirbyteMessageSerializer, ConnectorSpecificationSerializer, Type

import sandbox
import sandbox.data
from sandbox.auth import Authority
from sandbox.endpoints import ENDPOINTS, Call
from sandbox.errors import ApiError
from unit_tests.conftest import NOW, STREAMS, TOKEN, Answer, Connector, Drift, config

FOLDER = Path(__file__).parent / "snapshots"
COMMAND = "WRITE_SNAPSHOTS=1 .venv/bin/python -m pytest unit_tests/test_snapshots.py"
OPTIONS = sandbox.Options(tokens={TOKEN: sandbox.ALL_SCOPES})


def compare(name: str, now: Any) -> None:
    """Compares a value with its snapshot, or writes it there where that was asked for."""
    path = FOLDER / name
    # Through JSON, as others see it.
    text = json.dumps(now, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("WRITE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    kept = path.read_text(encoding="utf-8") if path.exists() else "null"
    assert json.loads(text) == json.loads(kept), f"{path.name} is another now. If that is wanted: {COMMAND}"
    assert text == kept, f"{path.name} was edited by hand. To write it anew: {COMMAND}"


def serve(drift: Drift, organisation: sandbox.Drift) -> None:
    """Answers every path with what the sandbox says, without its server."""
    authority = Authority()

    def answer(request: requests.PreparedRequest) -> Any:
        place = urlsplit(str(request.url))
        for endpoint in ENDPOINTS:
            pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", endpoint.path)
            found = re.fullmatch(pattern, place.path)
            if found and endpoint.method == request.method:
                body = request.body or b""
                body = body.encode() if isinstance(body, str) else body
                query = place.query.encode()
                call = Call(organisation, OPTIONS, authority, query, found.groupdict(), dict(request.headers), body)
                try:
                    return endpoint.handler(call)
                except ApiError as error:
                    return Answer(error.body(), error.status)
        return Answer({"error": "not_found"}, 404)

    drift.answers_all(answer)


def test_spec(connector: Connector) -> None:
    """The form that a user fills in is the one that was agreed."""
    compare("spec.json", ConnectorSpecificationSerializer.dump(connector.source()._spec_component.generate_spec()))


def test_catalog(connector: Connector) -> None:
    """Streams, keys, cursors and types of the catalog are those that destinations were made for."""
    source = connector.source()
    message = AirbyteMessage(type=Type.CATALOG, catalog=source.discover(source.logger, {}))
    compare("catalog.json", AirbyteMessageSerializer.dump(message)["catalog"])


def test_records(drift: Drift, connector: Connector) -> None:
    """A row of each stream comes as it always came, from a sandbox that is always the same."""
    organisation = sandbox.Drift(
        7, now=NOW - 60_000, conversations=20, accounts=5, users=4, meetings=10, messages_per_conversation=2
    )
    serve(drift, organisation)
    emails = [contact["attributes"].get("email") for contact in organisation.expected("contacts")]
    given = config(contact_emails=[next(email for email in emails if email)], start_date="2023-01-01")
    with patch.object(sandbox.data, "_wall_clock", lambda: NOW):
        outcome = connector.read(*STREAMS, config=given)
    assert {outcome.status(stream) for stream in STREAMS} == {"COMPLETE"}, outcome.summary
    rows = {stream: sorted(outcome.records(stream), key=lambda row: json.dumps(row)) for stream in STREAMS}
    rows["token_info"][0]["created_at"] = NOW  # the sandbox issued the token just now
    # The row with the most in it, the same one however the streams took turns.
    compare("records.json", {stream: max(rows[stream], key=lambda row: len(json.dumps(row))) for stream in STREAMS})


def test_snapshot_that_differs_says_how_to_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who changed a snapshot on purpose is told the one command."""
    monkeypatch.delenv("WRITE_SNAPSHOTS", raising=False)
    with pytest.raises(AssertionError, match=re.escape(COMMAND)):
        compare("spec.json", {"changed": True})
    with pytest.raises(AssertionError, match=re.escape(COMMAND)):
        compare("missing.json", {"new": True})


def test_snapshots_are_these() -> None:
    """No snapshot lies about that nothing is compared with, and each has a row of every stream."""
    assert sorted(path.name for path in FOLDER.iterdir()) == ["catalog.json", "records.json", "spec.json"]
    assert set(json.loads((FOLDER / "records.json").read_text(encoding="utf-8"))) == set(STREAMS)
