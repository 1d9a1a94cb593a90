"""A sync that is killed repeatedly at random times becomes complete, and repeats little.

The messages of one conversation return 500: they are on the retry list, and are read once they succeed.
"""

import random
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from integration_tests.connector import CHILDREN, Run, access_token, catalog, newest_states, run
from integration_tests.hurried import Pace
from sandbox import Drift, Fault, Options, Sandbox

KILLS = 3
CONVERSATIONS = 600
# Conversations within two floors, in progress in workers, and not yet printed when the process is killed.
CHECKPOINT, IN_FLIGHT, UNSAID = 100, 23, 60
# Conversations with the same millisecond: if it is the floor, all of them are read again.
TIES = 50
# The newest half, which is read during the list, and again after a kill.
EARLY = CONVERSATIONS // 2
HOUR = 3_600_000


@dataclass(frozen=True)
class Life:
    """A process that was killed, or the last one, which was not."""

    run: Run
    asked: Counter[str]


def test_kills_lose_nothing() -> None:
    """A first sync that is killed three times at random has all rows but the failing ones, and repeats little."""
    # Few messages, so that the kills happen in all three streams.
    drift = Drift(
        conversations=CONVERSATIONS, ties=TIES, messages_per_conversation=1, now=int(time.time() * 1000) - HOUR
    )
    bad = sorted(drift.expected("conversations"), key=lambda row: row["updatedAt"])[200]["id"]
    with Sandbox(drift, Options(rate_limit=None)) as sandbox:
        sandbox.faults = [Fault(f"/conversations/{bad}/messages", "status", status=500, times=None)]
        lives = lives_of(sandbox)
        sandbox.faults = []
        changed = set(drift.touch_some(30))
        healed = live(sandbox, lives, Pace())
    last = lives[-1]
    assert [life.run.code for life in lives] == [*[-9] * KILLS, 1], last.run.error()
    assert last.run.statuses == dict.fromkeys(CHILDREN, "COMPLETE") | {"messages": "INCOMPLETE"}
    assert last.run.error("messages").startswith("1 of the conversations could not be read"), last.run.error()
    assert healed.run.code == 0, healed.run.error()
    for stream in CHILDREN:
        assert_nothing_missed(stream, [*lives, healed], drift)
        assert_state_never_goes_back(stream, [*lives, healed])
        assert_little_printed_twice(stream, lives, drift)
    assert_little_asked_twice(lives)
    assert_exact_increment(healed, changed | {bad}, last, drift)


def lives_of(sandbox: Sandbox) -> list[Life]:
    """First syncs of the three streams, each with the printed states of the previous ones."""
    moments = random.Random(20)
    lives: list[Life] = []
    # State is written after each conversation, because the CDK's ten minutes are too long for a test.
    pace = Pace(state_seconds=0)
    while len(lives) <= KILLS:
        kill_after = moments.randint(50, 350) if len(lives) < KILLS else None
        lives.append(live(sandbox, lives, pace, kill_after))
    return lives


def live(sandbox: Sandbox, lives: list[Life], pace: Pace, kill_after: int | None = None) -> Life:
    sandbox.journal.clear()
    state = newest_states(*[life.run for life in lives])
    streams = catalog(**dict.fromkeys(CHILDREN, "incremental"))
    read = run("read", access_token(sandbox.url), streams, state or None, pace=pace, kill_after=kill_after)
    return Life(read, Counter(request.path for request in sandbox.journal))


def floor(state: dict[str, object]) -> int:
    return int(state.get("parent_state", {}).get("conversations", {}).get("updatedAt", 0))  # type: ignore[attr-defined]


def assert_nothing_missed(stream: str, lives: list[Life], drift: Drift) -> None:
    """Check that the records of all processes, combined by key, are the rows of Drift."""
    read = {record["id"]: record for life in lives for record in life.run.records(stream)}
    assert read == {row["id"]: row for row in drift.expected(stream)}


def assert_state_never_goes_back(stream: str, lives: list[Life]) -> None:
    """Check that the states never go back, across all processes."""
    floors = [floor(state) for life in lives for state in life.run.states(stream)]
    assert floors, "there was no state"
    assert floors == sorted(floors)
    # At most a hundred conversations are in progress, so a stall passes two floors at most.
    assert len(set(floors)) >= 3, sorted(set(floors))


def assert_little_printed_twice(stream: str, lives: list[Life], drift: Drift) -> None:
    """Check that printed rows are repeated only if they are after the floor or were read early."""
    field = CHILDREN[stream]
    parent = {row["id"]: row["conversationId"] if stream == "messages" else row["id"] for row in drift.expected(stream)}
    repeated = [
        len({parent[key] for key in before.run.keys(stream)} & {parent[key] for key in after.run.keys(stream)})
        for before, after in pairwise(lives)
    ]
    assert max(repeated) <= CHECKPOINT + IN_FLIGHT + TIES + EARLY, (field, repeated)


def assert_little_asked_twice(lives: list[Life]) -> None:
    """Check that each kill repeats only requests after the floor, in progress, not printed, or read early."""
    bound = CHECKPOINT + IN_FLIGHT + UNSAID + TIES + EARLY
    for before, after in pairwise(lives):
        again = {path for path in before.asked.keys() & after.asked.keys() if "/list" not in path}
        assert len(again) <= bound, len(again)


def assert_exact_increment(healed: Life, changed: set[int], last: Life, drift: Drift) -> None:
    """Check that a later sync requests only changes, failed conversations, and those with the time of the floor."""
    at = {row["id"]: row["updatedAt"] for row in drift.expected("conversations")}
    asked = {int(path.split("/")[2]) for path in healed.asked if path.endswith("/messages")}
    reach = {key for key, moment in at.items() if moment >= floor(last.run.states("messages")[-1])}
    assert changed <= asked <= reach | changed, asked - reach - changed
    assert len(reach) <= len(changed) + 5
