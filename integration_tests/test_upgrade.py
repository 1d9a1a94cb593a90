"""Configs of the published 0.4.x and 0.2.x work unchanged, and the migrated config is emitted."""

import json
from collections import Counter
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from integration_tests.connector import PRIMARY_KEYS, TOKEN, access_token, catalog, oauth, run
from integration_tests.test_read import assert_complete
from sandbox import Drift, Sandbox

PUBLISHED = json.loads(Path(__file__).with_name("catalog_0.4.json").read_text(encoding="utf-8"))["streams"]
STREAMS = tuple(stream["name"] for stream in PUBLISHED)
PLACEHOLDER = "test@test.com"


@pytest.fixture
def drift() -> Drift:
    return Drift(accounts=70, conversations=60, users=5)


def address_of(drift: Drift) -> str:
    """The address of a contact of the conversations."""
    emails = (contact["attributes"].get("email") for contact in drift.expected("contacts"))
    return next(email for email in emails if email)


def saved_catalog() -> dict[str, Any]:
    """All five streams of a 0.4.x connection: full refresh, the old schemas and the old key."""
    return {
        "streams": [
            {
                "stream": stream,
                "sync_mode": "full_refresh",
                "destination_sync_mode": "overwrite",
                "cursor_field": [],
                "primary_key": stream["source_defined_primary_key"],
                "generation_id": 7,
                "minimum_generation_id": 7,
                "sync_id": 42,
            }
            for stream in PUBLISHED
        ]
    }


def saved_config(kind: str, email: str, url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A config of an old version, and its migrated form; the flat one of 0.2.x has no address.

    With OAuth, the access token has expired, because 0.4.x never renewed it.
    """
    if kind == "flat":
        return {"access_token": TOKEN, "api_url": url}, access_token(url)
    now = access_token(url) if kind == "access_token" else oauth(url, access_token="of-long-ago")
    return {**now, "email": email}, now if email == PLACEHOLDER else {**now, "contact_emails": [email]}


@pytest.mark.parametrize(
    ("kind", "has_address", "verb"),
    [
        ("access_token", True, "read"),
        ("access_token", False, "check"),
        ("oauth2.0", True, "discover"),
        ("flat", False, "read"),
    ],
)
def test_a_saved_config_is_migrated_and_emitted(kind: str, has_address: bool, verb: str, drift: Drift) -> None:
    """The first command after the upgrade works with the saved config, and emits the current form."""
    with Sandbox(drift) as sandbox:
        email = address_of(drift) if has_address else PLACEHOLDER
        before, now = saved_config(kind, email, sandbox.url)
        ran = run(verb, before, saved_catalog() if verb == "read" else None)
    assert ran.code == 0, ran.error()
    assert ran.configs[0] == now
    if verb == "check":
        assert ran.connection == ("SUCCEEDED", "")
    elif verb == "discover":
        (discovered,) = ran.of("CATALOG")
        assert {stream["name"] for stream in discovered["streams"]} == set(PRIMARY_KEYS)
    else:
        assert_complete(ran, drift, STREAMS)


def test_each_run_uses_the_emitted_config_of_the_previous_one(drift: Drift) -> None:
    """As on a platform, check, discover and read share the refresh of the first command."""
    with Sandbox(drift) as sandbox:
        config, _ = saved_config("oauth2.0", PLACEHOLDER, sandbox.url)
        for verb, streams in {"check": None, "discover": None, "read": saved_catalog()}.items():
            ran = run(verb, config, streams)
            config = (ran.configs or [config])[-1]
        assert sandbox.journal.count("/oauth2/token") == 1
    assert_complete(ran, drift, STREAMS)


def test_a_saved_connection_reads_everything(drift: Drift) -> None:
    """With the state of a full refresh of 0.4.x, every row is read."""
    state = {"__ab_no_cursor_state_message": True}
    states = [{"type": "STREAM", "stream": {"stream_descriptor": {"name": n}, "stream_state": state}} for n in STREAMS]
    with Sandbox(drift) as sandbox:
        config, _ = saved_config("access_token", PLACEHOLDER, sandbox.url)
        read = run("read", config, saved_catalog(), states)
    assert_complete(read, drift, STREAMS)


def test_the_saved_address_moves_to_its_own_stream(drift: Drift) -> None:
    """`contacts_by_email` has the contacts with the saved address, as `contacts` had before."""
    with Sandbox(drift) as sandbox:
        email = address_of(drift)
        config, _ = saved_config("access_token", email, sandbox.url)
        read = run("read", config, catalog("contacts_by_email"))
    wanted = list(drift.keys("contacts_by_email", emails=[email]))
    assert wanted
    assert sorted(read.keys("contacts_by_email")) == sorted(wanted)


def test_a_saved_selection_costs_what_the_migration_page_says(drift: Drift) -> None:
    """One request per contact, one per conversation and each further 50 messages, and the list at most twice."""
    with Sandbox(drift) as sandbox:
        config, _ = saved_config("access_token", PLACEHOLDER, sandbox.url)
        run("read", config, saved_catalog())
        lists, *asked = [
            sandbox.journal.count(path)
            for path in ("^/conversations/list$", "^/conversations/[0-9]+/messages$", "^/contacts/[0-9]+$")
        ]
    # Conversations, messages and contacts each request its first page once more.
    assert lists <= 2 * ceil(drift.count("conversations") / 50) + 3
    threads = Counter(row["conversationId"] for row in drift.expected("messages"))
    assert asked == [
        sum(ceil(threads[thread] / 50) or 1 for thread in drift.keys("conversations")),
        len({row["contactId"] for row in drift.expected("conversations")}),
    ]
