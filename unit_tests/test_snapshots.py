"""The spec, the catalog and one row of each stream equal their snapshots.

After an intended change, update the snapshots with `WRITE_SNAPSHOTS=1 .venv/bin/python -m pytest
unit_tests/test_snapshots.py`, and review the diff.
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
from sandbox.call import Call
from sandbox.endpoints import ENDPOINTS
from sandbox.errors import ApiError
from unit_tests.conftest import NOW, STREAMS, TOKEN, Answer, Connector, Drift, config

FOLDER = Path(__file__).parent / "snapshots"
COMMAND = "WRITE_SNAPSHOTS=1 .venv/bin/python -m pytest unit_tests/test_snapshots.py"
OPTIONS = sandbox.Options(tokens={TOKEN: sandbox.ALL_SCOPES})


def compare(name: str, now: Any) -> None:
    """Compare a value with its snapshot, or write the snapshot if the variable is set."""
    path = FOLDER / name
    # As JSON, like the output.
    text = json.dumps(now, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("WRITE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    kept = path.read_text(encoding="utf-8") if path.exists() else "null"
    assert json.loads(text) == json.loads(kept), f"{path.name} differs. If this is intended, run: {COMMAND}"
    assert text == kept, f"{path.name} was edited by hand. To write it again, run: {COMMAND}"


def serve(drift: Drift, organization: sandbox.Drift) -> None:
    """Respond to every path with the sandbox's endpoints, without its server."""
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
                call = Call(organization, OPTIONS, authority, query, found.groupdict(), dict(request.headers), body)
                try:
                    return endpoint.handler(call)
                except ApiError as error:
                    return Answer(error.body(), error.status)
        return Answer({"error": "not_found"}, 404)

    drift.answers_all(answer)


def test_spec(connector: Connector) -> None:
    """The spec equals its snapshot."""
    compare("spec.json", ConnectorSpecificationSerializer.dump(connector.source()._spec_component.generate_spec()))


def test_catalog(connector: Connector) -> None:
    """The streams, keys, cursors and types of the catalog equal their snapshot."""
    source = connector.source()
    message = AirbyteMessage(type=Type.CATALOG, catalog=source.discover(source.logger, {}))
    compare("catalog.json", AirbyteMessageSerializer.dump(message)["catalog"])


def test_records(drift: Drift, connector: Connector) -> None:
    """One row of each stream equals its snapshot, read from a sandbox with fixed data."""
    organization = sandbox.Drift(
        7, now=NOW - 60_000, conversations=20, accounts=5, users=4, meetings=10, messages_per_conversation=2
    )
    serve(drift, organization)
    emails = [contact["attributes"].get("email") for contact in organization.expected("contacts")]
    given = config(contact_emails=[next(email for email in emails if email)], start_date="2023-01-01")
    with patch.object(sandbox.data, "_wall_clock", lambda: NOW):
        outcome = connector.read(*STREAMS, config=given)
    assert {outcome.status(stream) for stream in STREAMS} == {"COMPLETE"}, outcome.summary
    rows = {stream: sorted(outcome.records(stream), key=lambda row: json.dumps(row)) for stream in STREAMS}
    rows["token_info"][0]["created_at"] = NOW  # depends on the current time
    # The row with the most content, which does not depend on the order of the streams.
    compare("records.json", {stream: max(rows[stream], key=lambda row: len(json.dumps(row))) for stream in STREAMS})


def test_different_snapshot_says_how_to_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error contains the command that updates the snapshots."""
    monkeypatch.delenv("WRITE_SNAPSHOTS", raising=False)
    with pytest.raises(AssertionError, match=re.escape(COMMAND)):
        compare("spec.json", {"changed": True})
    with pytest.raises(AssertionError, match=re.escape(COMMAND)):
        compare("missing.json", {"new": True})


def test_snapshots_are_these() -> None:
    """The snapshots are these three, and the records have a row of every stream."""
    assert sorted(path.name for path in FOLDER.iterdir()) == ["catalog.json", "records.json", "spec.json"]
    assert set(json.loads((FOLDER / "records.json").read_text(encoding="utf-8"))) == set(STREAMS)
