"""A sync that is killed at any moment, again and again, ends complete, and does little twice."""

import random
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from integration_tests.connector import CHILDREN, Run, access_token, catalog, newest_states, run
from integration_tests.hurried import Pace
from sandbox import Drift, Options, Sandbox

KILLS = 10
# Conversations between two floors, the workers of the connector, and what a kill takes along that was not printed yet.
CHECKPOINT, IN_FLIGHT, UNSAID = 50, 23, 60
# Conversations of one millisecond: where the floor is theirs, all of them come again.
TIES = 50
HOUR = 3_600_000


@dataclass(frozen=True)
class Life:
    """A process that was killed, or the last one, which ended."""

    run: Run
    asked: Counter[str]


def test_ten_kills_lose_nothing() -> None:
    """A first sync that is killed ten times at random moments ends complete, and does little twice."""
    # So few messages that the kills fall on all three streams.
    drift = Drift(conversations=600, ties=TIES, messages_per_conversation=1)
    lives = lives_of(drift)
    assert [life.run.code for life in lives] == [*[-9] * KILLS, 0], lives[-1].run.error()
    assert lives[-1].run.statuses == dict.fromkeys(CHILDREN, "COMPLETE")
    for stream in CHILDREN:
        assert_nothing_missed(stream, lives, drift)
        assert_state_never_goes_back(stream, lives)
        assert_little_printed_twice(stream, lives, drift)
    assert_little_asked_twice(lives)


def lives_of(drift: Drift) -> list[Life]:
    """First syncs of the three streams, each going on from the states that the ones before had printed."""
    moments = random.Random(20)
    lives: list[Life] = []
    # State is written after each conversation: at the CDK's ten minutes no test would ever see one.
    pace = Pace(state_seconds=0)
    with Sandbox(drift, Options(rate_limit=None)) as sandbox:
        streams = catalog(**dict.fromkeys(CHILDREN, "incremental"))
        while len(lives) <= KILLS:
            sandbox.journal.clear()
            state = newest_states(*[life.run for life in lives])
            kill_after = moments.randint(50, 350) if len(lives) < KILLS else None
            read = run("read", access_token(sandbox.url), streams, state or None, pace=pace, kill_after=kill_after)
            lives.append(Life(read, Counter(request.path for request in sandbox.journal)))
    return lives


def floor(state: dict[str, object]) -> int:
    return int(state.get("parent_state", {}).get("conversations", {}).get("updatedAt", 0))  # type: ignore[attr-defined]


def assert_nothing_missed(stream: str, lives: list[Life], drift: Drift) -> None:
    """What they printed, put together by key, is what Drift holds."""
    read = {record["id"]: record for life in lives for record in life.run.records(stream)}
    assert read == {row["id"]: row for row in drift.expected(stream)}


def assert_state_never_goes_back(stream: str, lives: list[Life]) -> None:
    """No state that is printed lies before an earlier one, over all processes."""
    floors = [floor(state) for life in lives for state in life.run.states(stream)]
    assert floors, "there was no state"
    assert floors == sorted(floors)
    assert len(set(floors)) >= 5, sorted(set(floors))


def assert_little_printed_twice(stream: str, lives: list[Life], drift: Drift) -> None:
    """Of what was printed before it was killed, a process's successor repeats no more than lies behind the floor."""
    field = CHILDREN[stream]
    parent = {row["id"]: row["conversationId"] if stream == "messages" else row["id"] for row in drift.expected(stream)}
    repeated = [
        len({parent[key] for key in before.run.keys(stream)} & {parent[key] for key in after.run.keys(stream)})
        for before, after in pairwise(lives)
    ]
    assert max(repeated) <= CHECKPOINT + IN_FLIGHT + TIES, (field, repeated)


def assert_little_asked_twice(lives: list[Life]) -> None:
    """Each kill costs the requests of fifty conversations, the ties, those in flight, and those not printed."""
    bound = CHECKPOINT + IN_FLIGHT + UNSAID + TIES
    for before, after in pairwise(lives):
        again = {path for path in before.asked.keys() & after.asked.keys() if "/list" not in path}
        assert len(again) <= bound, len(again)
