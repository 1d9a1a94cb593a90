"""Without a scope, the streams that need it fail after a few requests and say so; all others are complete."""

import pytest

from integration_tests.connector import CHILDREN, EVERY_STREAM, TOKEN, access_token, catalog, run
from sandbox import ALL_SCOPES, Drift, Options, Sandbox

# The children of conversations also need the list.
NEEDS = {
    "account_read": {"accounts"},
    "contact_read": {"contacts", "contacts_by_email"},
    "playbook_read": {"playbooks", "landing_pages"},
    "all_contact_read": {"contact_attributes"},
    "user_read": {"users", "meetings", "teams"},
    "conversation_read": {"conversations", *CHILDREN, "conversation_metrics", "conversation_stats"},
}
# Ten contacts show that the scope is missing; up to ten more are in progress.
MOST_REQUESTS = 30


@pytest.mark.parametrize(
    "missing",
    [("contact_read", "playbook_read", "user_read"), ("conversation_read", "account_read", "all_contact_read")],
    ids=" and ".join,
)
def test_a_missing_scope_fails_its_streams(missing: tuple[str, ...]) -> None:
    """The streams that need a scope fail with a message that names it, and no other stream fails."""
    drift = Drift(conversations=150, accounts=20, messages_per_conversation=1)
    held = tuple(scope for scope in ALL_SCOPES if scope not in missing)
    with Sandbox(drift, Options(tokens={TOKEN: held}, rate_limit=None, reports_per_minute=None)) as sandbox:
        config = access_token(sandbox.url, contact_emails=["somebody@example.com"])
        read = run("read", config, catalog(*EVERY_STREAM))
        refused = [request.path for request in sandbox.journal if request.status == 403]
    assert read.code == 1
    failed = {stream for stream, status in read.statuses.items() if status == "INCOMPLETE"}
    assert failed == set().union(*(NEEDS[scope] for scope in missing))
    for scope in missing:
        for stream in NEEDS[scope]:
            # The children request the list first.
            named = "conversations" if stream in CHILDREN and scope == "conversation_read" else stream
            start = f"The token is missing the {scope} scope, which the {named} stream needs."
            assert read.error(stream).startswith(start), (stream, read.error(stream))
            assert read.records(stream) == []
    assert len(refused) <= MOST_REQUESTS, len(refused)
    for stream in set(EVERY_STREAM) - failed - {"token_info", "contacts_by_email"}:
        assert sorted(map(str, read.keys(stream))) == sorted(map(str, drift.keys(stream))), stream
