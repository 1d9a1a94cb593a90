"""A sync that is killed at any moment, again and again, ends complete, and does little twice.

The messages of one conversation answer 500 all the while: they are on the retry list, and come once they are healed.
"""

import random
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from integration_tests.connector import CHILDREN, Run, access_token, catalog, newest_states, run
from integration_tests.hurried import Pace
from sandbox import Drift, Fault, Options, Sandbox

KILLS = 5
CONVERSATIONS = 600
# Conversations from a floor to the next but one, the workers, and what a kill takes along that was not printed yet.
CHECKPOINT, IN_FLIGHT, UNSAID = 100, 23, 60
# Conversations of one millisecond: where the floor is theirs, all of them come again.
TIES = 50
# What is read while the list is read, and comes again if the sync is killed: the newest half.
EARLY = CONVERSATIONS // 2
HOUR = 3_600_000


@dataclass(frozen=True)
class Life:
    """A process that was killed, or the last one, which ended."""

    run: Run
    asked: Counter[str]


def test_kills_lose_nothing() -> None:
    """A first sync that is killed five times at random moments has all but what fails, and does little twice."""
    # So few messages that the kills fall on all three streams.
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
    """First syncs of the three streams, each going on from the states that the ones before had printed."""
    moments = random.Random(20)
    lives: list[Life] = []
    # State is written after each conversation: at the CDK's ten minutes no test would ever see one.
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
    """What they printed, put together by key, is what Drift holds."""
    read = {record["id"]: record for life in lives for record in life.run.records(stream)}
    assert read == {row["id"]: row for row in drift.expected(stream)}


def assert_state_never_goes_back(stream: str, lives: list[Life]) -> None:
    """No state that is printed lies before an earlier one, over all processes."""
    floors = [floor(state) for life in lives for state in life.run.states(stream)]
    assert floors, "there was no state"
    assert floors == sorted(floors)
    # At most a hundred conversations are under way, so no stall passes more than two floors at once.
    assert len(set(floors)) >= 3, sorted(set(floors))


def assert_little_printed_twice(stream: str, lives: list[Life], drift: Drift) -> None:
    """What a process printed before it was killed comes again if it lies behind the floor or was read early."""
    field = CHILDREN[stream]
    parent = {row["id"]: row["conversationId"] if stream == "messages" else row["id"] for row in drift.expected(stream)}
    repeated = [
        len({parent[key] for key in before.run.keys(stream)} & {parent[key] for key in after.run.keys(stream)})
        for before, after in pairwise(lives)
    ]
    assert max(repeated) <= CHECKPOINT + IN_FLIGHT + TIES + EARLY, (field, repeated)


def assert_little_asked_twice(lives: list[Life]) -> None:
    """Each kill costs the requests of what lies behind the floor, is in flight, not printed, or was read early."""
    bound = CHECKPOINT + IN_FLIGHT + UNSAID + TIES + EARLY
    for before, after in pairwise(lives):
        again = {path for path in before.asked.keys() & after.asked.keys() if "/list" not in path}
        assert len(again) <= bound, len(again)


def assert_exact_increment(healed: Life, changed: set[int], last: Life, drift: Drift) -> None:
    """After the kills a sync asks for what has changed and what had failed, and besides for what shares the floor."""
    at = {row["id"]: row["updatedAt"] for row in drift.expected("conversations")}
    asked = {int(path.split("/")[2]) for path in healed.asked if path.endswith("/messages")}
    reach = {key for key, moment in at.items() if moment >= floor(last.run.states("messages")[-1])}
    assert changed <= asked <= reach | changed, asked - reach - changed
    assert len(reach) <= len(changed) + 5
