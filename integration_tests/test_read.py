"""A read delivers every record of Drift, each once."""

from collections import Counter

import pytest

from integration_tests.connector import EVERY_STREAM, Run, access_token, catalog, run
from sandbox import Drift, Options, Sandbox

SCRIPTS = ("source-declarative-manifest", "source-drift")
SIZES = {
    "empty": Drift(accounts=0, conversations=0, users=0),
    "one row": Drift(accounts=1, conversations=1, users=1),
    "one full page": Drift(accounts=65, conversations=50, users=1),
    "full pages": Drift(accounts=130, conversations=100, users=2),
    "many pages": Drift(accounts=1003, conversations=1234, users=40, ties=120),
}


def assert_complete(read: Run, drift: Drift, streams: tuple[str, ...] = EVERY_STREAM) -> None:
    """Every record of Drift was read once, and nothing else."""
    assert read.code == 0, read.error()
    for stream in streams:
        assert read.statuses[stream] == "COMPLETE", (stream, read.statuses)
        if stream != "token_info":
            missing = Counter(drift.keys(stream))
            missing.subtract(read.keys(stream))
            assert not {key: count for key, count in missing.items() if count}, stream


@pytest.mark.parametrize("paging", ["next", "links", "both"])
@pytest.mark.parametrize("size", SIZES)
def test_every_record_is_read_once(size: str, paging: str) -> None:
    """In each generation of paging, with the maxima of each endpoint enforced, exactly Drift's keys are read."""
    drift = SIZES[size]
    with Sandbox(drift, Options(paging=paging, over_limit="refuse")) as sandbox:
        read = run("read", access_token(sandbox.url), catalog(*EVERY_STREAM))
    assert_complete(read, drift)


@pytest.mark.parametrize("paging", ["next", "links", "both"])
@pytest.mark.parametrize(
    "last_page", ["omitted", "null", "empty_string", "more_false", "empty_page", "empty_page_repeats"]
)
def test_every_form_of_the_last_page_ends_the_walk(last_page: str, paging: str) -> None:
    """However Drift says that there is no further page, the walk ends there, complete."""
    drift = Drift(accounts=130, conversations=100, users=1)
    # An empty page of accounts that names itself again is an error: it does not move forward.
    streams = ("conversations",) if last_page == "empty_page_repeats" else ("accounts", "conversations")
    with Sandbox(drift, Options(paging=paging, last_page=last_page, accounts_next="slash")) as sandbox:
        read = run("read", access_token(sandbox.url), catalog(*streams))
    assert_complete(read, drift, streams)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_verbs_work_in_both_scripts(script: str) -> None:
    """`check`, `discover` and `read` do the same in the CDK's script and in ours."""
    drift = Drift(accounts=70, conversations=60, users=5)
    with Sandbox(drift) as sandbox:
        config = access_token(sandbox.url)
        assert run("check", config, script=script).connection == ("SUCCEEDED", "")
        (discovered,) = run("discover", config, script=script).of("CATALOG")
        assert [stream["name"] for stream in discovered["streams"]] == list(EVERY_STREAM)
        assert_complete(run("read", config, catalog(*EVERY_STREAM), script=script), drift)


def test_records_are_as_drift_sends_them() -> None:
    """A record is Drift's row, field by field, and the token stands in none of them."""
    drift = Drift(accounts=70, conversations=60, users=5)
    with Sandbox(drift) as sandbox:
        read = run("read", access_token(sandbox.url), catalog(*EVERY_STREAM))
    for stream in ("accounts", "conversations", "users"):
        assert read.records(stream) == list(drift.expected(stream)), stream
    (token_info,) = read.records("token_info")
    assert "conversation_read" in token_info["scope"].split(), token_info
    assert "access_token" not in token_info, token_info


def test_the_budget_holds_off_drifts_limit() -> None:
    """A sync that has the whole limit to itself is never throttled."""
    with Sandbox(Drift(accounts=3000, conversations=2500), Options(rate_limit=(1000, 20.0))) as sandbox:
        read = run("read", access_token(sandbox.url), catalog("accounts", "conversations"))
        assert read.code == 0, read.error()
        assert set(sandbox.journal.statuses()) == {200}, sandbox.journal.statuses()


def test_a_shared_limit_slows_the_sync_down() -> None:
    """A sync that others leave little of the limit is throttled, waits and finishes."""
    drift = Drift(accounts=600, conversations=600)
    with Sandbox(drift, Options(rate_limit=(20, 4.0))) as sandbox:
        read = run("read", access_token(sandbox.url), catalog("accounts", "conversations"))
        assert sandbox.journal.statuses()[429] > 0, "the limit was never reached"
    assert_complete(read, drift, ("accounts", "conversations"))
