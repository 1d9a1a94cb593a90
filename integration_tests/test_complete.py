"""A first sync of every stream has all rows of Drift, field by field, and no warnings."""

from collections.abc import Iterator, Mapping
from typing import Any

from integration_tests.connector import CHILDREN, EVERY_STREAM, Run, access_token, catalog, key_of, run
from sandbox import METRICS, Drift, Options, Sandbox

INCREMENTAL = ("conversations", *CHILDREN, "conversation_metrics", "meetings")


class Organization:
    """700 conversations, 200 of them updated in the same millisecond, and addresses that several contacts share."""

    def __init__(self) -> None:
        self.drift = Drift(conversations=700, ties=200, accounts=300, meetings=300, contacts=400)
        addresses = [row["attributes"].get("email") for row in self.drift.expected("contacts")]
        known = list(dict.fromkeys(address for address in addresses if address))
        shared = [address for address in known if len(self.drift.contacts_by_email(address)) > 1]
        assert shared, "no two contacts share an address"
        self.emails = list(dict.fromkeys([*shared[:10], *known[:30], "nobody@example.com"]))

    def rows(self, stream: str) -> Iterator[dict[str, Any]]:
        """The rows as the connector prints them: metrics by name, without missing ones ("NaN")."""
        for row in self.drift.expected(stream, emails=self.emails):
            yield with_named_metrics(row) if stream == "conversation_metrics" else row


def with_named_metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    # They are null in the connector, and the CDK prints no null fields.
    named = zip(METRICS, row["metrics"], strict=True)
    return {"conversationId": row["conversationId"], **{name: value for name, value in named if value != "NaN"}}


def test_records_are_the_rows_of_drift() -> None:
    """Each row of Drift is read exactly once, with every field unchanged, and no warning is logged."""
    organization = Organization()
    with Sandbox(organization.drift, Options(rate_limit=None, reports_per_minute=None)) as sandbox:
        config = access_token(sandbox.url, contact_emails=organization.emails)
        read = run("read", config, catalog(*EVERY_STREAM, **dict.fromkeys(INCREMENTAL, "incremental")))
    assert (read.code, read.error(), read.warnings) == (0, "", [])
    assert read.statuses == dict.fromkeys(EVERY_STREAM, "COMPLETE")
    for stream in EVERY_STREAM[:-1]:
        assert_whole(stream, read, organization)
    assert_states(read, organization)


def assert_whole(stream: str, read: Run, organization: Organization) -> None:
    expected = {key_of(stream, row): row for row in organization.rows(stream)}
    keys = read.keys(stream)
    assert len(expected) > 1, stream
    assert set(keys) == set(expected), (stream, len(keys), len(expected))
    assert len(keys) == len(expected), f"{stream}: some of {len(keys)} records came twice"
    differing = [row for row in read.records(stream) if row != expected[key_of(stream, row)]]
    assert not differing, (stream, len(differing), differing[0], expected[key_of(stream, differing[0])])


def assert_states(read: Run, organization: Organization) -> None:
    """Check that the state of each stream is the newest update of a conversation."""
    newest = max(row["updatedAt"] for row in organization.drift.expected("conversations"))
    for stream in CHILDREN:
        parent_state = {"conversations": {"updatedAt": str(newest)}, "unread": []}
        assert read.states(stream)[-1]["parent_state"] == parent_state, stream
    for stream in ("conversations", "conversation_metrics"):
        assert read.states(stream)[-1] == {"updatedAt": str(newest)}, stream
