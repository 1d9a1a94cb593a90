"""A read delivers every record of Drift, each once."""

from collections import Counter

import pytest

from integration_tests.connector import CHILDREN, EVERY_STREAM, PRIMARY_KEYS, Run, access_token, catalog, run
from sandbox import Drift, Options, Sandbox

LISTS = ("accounts", "conversations")
# test_complete.py reads the streams with one request for each conversation.
CHEAP_STREAMS = tuple(stream for stream in EVERY_STREAM if stream not in (*CHILDREN, "conversation_metrics"))
SIZES = {
    "empty": Drift(accounts=0, conversations=0, users=0, teams=0, playbooks=0, landing_pages=0),
    "one full page": Drift(accounts=65, conversations=50, users=1),
    "full pages": Drift(accounts=130, conversations=100, users=2),
    "many pages": Drift(accounts=603, conversations=734, users=40, ties=120),
}


def assert_complete(read: Run, drift: Drift, streams: tuple[str, ...] = EVERY_STREAM) -> None:
    """Check that every record of Drift was read once, and nothing else."""
    assert read.code == 0, read.error()
    for stream in streams:
        assert read.statuses[stream] == "COMPLETE", (stream, read.statuses)
        if stream != "token_info":
            missing = Counter(drift.keys(stream))
            missing.subtract(read.keys(stream))
            assert not {key: count for key, count in missing.items() if count}, stream


@pytest.mark.parametrize(
    ("size", "paging"),
    [
        ("empty", "both"),
        ("one full page", "links"),
        ("full pages", "next"),
        ("many pages", "links"),
    ],
)
def test_every_record_is_read_once(size: str, paging: str) -> None:
    """In each generation of pagination, with all page maxima, exactly Drift's keys are read."""
    drift, streams = SIZES[size], CHEAP_STREAMS if size == "many pages" else EVERY_STREAM
    with Sandbox(drift, Options(paging=paging, over_limit="refuse", reports_per_minute=None)) as sandbox:
        read = run("read", access_token(sandbox.url), catalog(*streams))
    assert_complete(read, drift, streams)


@pytest.mark.parametrize(
    ("last_page", "paging"),
    [
        ("null", "next"),
        ("more_false", "both"),
        ("empty_page_repeats", "links"),
    ],
)
def test_every_form_of_the_last_page_ends_the_read(last_page: str, paging: str) -> None:
    """Whatever the last page looks like, of messages too, the read ends there and is complete."""
    # Some conversations have 50, 51 and 100 messages: one full page, two pages, and two full pages.
    drift = Drift(accounts=130, conversations=100, users=1)
    streams = (*LISTS, "messages")
    with Sandbox(drift, Options(paging=paging, last_page=last_page, accounts_next="slash")) as sandbox:
        read = run("read", access_token(sandbox.url), catalog(*streams))
    assert_complete(read, drift, streams)


def test_the_verbs_work_in_the_script_of_the_cdk() -> None:
    """`check`, `discover` and `read` work in `source-declarative-manifest` as in our script, which other tests use."""
    script = "source-declarative-manifest"
    drift = Drift(accounts=70, conversations=20, users=5)
    with Sandbox(drift, Options(reports_per_minute=None)) as sandbox:
        config = access_token(sandbox.url)
        assert run("check", config, script=script).connection == ("SUCCEEDED", "")
        (discovered,) = run("discover", config, script=script).of("CATALOG")
        keys = {stream["name"]: stream["source_defined_primary_key"] for stream in discovered["streams"]}
        assert keys == {stream: [[name] for name in names] for stream, names in PRIMARY_KEYS.items()}
        assert_complete(run("read", config, catalog(*EVERY_STREAM), script=script), drift)
