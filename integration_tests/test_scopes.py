"""A token without a scope: the streams that need it fail and say so, and all others are read."""

import pytest

from integration_tests.connector import CHILDREN, EVERY_STREAM, TOKEN, access_token, catalog, run
from sandbox import ALL_SCOPES, Drift, Options, Sandbox

# What hangs on the conversations needs their list as well.
NEEDS = {
    "account_read": {"accounts"},
    "contact_read": {"contacts", "contacts_by_email"},
    "playbook_read": {"playbooks", "landing_pages"},
    "all_contact_read": {"contact_attributes"},
    "user_read": {"users", "meetings", "teams"},
    "conversation_read": {"conversations", *CHILDREN, "conversation_metrics", "conversation_stats"},
}


@pytest.mark.parametrize("scope", NEEDS)
def test_a_missing_scope_fails_what_needs_it(scope: str) -> None:
    """The streams that need the scope fail with a message that names it, and nothing else does."""
    drift = Drift(conversations=12, accounts=20)
    held = tuple(other for other in ALL_SCOPES if other != scope)
    with Sandbox(drift, Options(tokens={TOKEN: held}, reports_per_minute=None)) as sandbox:
        config = access_token(sandbox.url, contact_emails=["somebody@example.com"])
        read = run("read", config, catalog(*EVERY_STREAM))
    assert read.code == 1
    failed = {stream for stream, status in read.statuses.items() if status == "INCOMPLETE"}
    assert failed == NEEDS[scope]
    assert set(read.statuses.values()) == {"COMPLETE", "INCOMPLETE"}
    for stream in NEEDS[scope]:
        message = read.error(stream)
        assert f"the token lacks the scope {scope}" in message, (stream, message)
        # The children ask for the list first, in its name.
        assert f"the stream {stream}:" in message or (stream in CHILDREN and scope == "conversation_read"), message
        assert read.records(stream) == []
    for stream in set(EVERY_STREAM) - NEEDS[scope] - {"token_info", "contacts_by_email"}:
        assert sorted(map(str, read.keys(stream))) == sorted(map(str, drift.keys(stream))), stream
