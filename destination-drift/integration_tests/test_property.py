"""Nothing is lost, written twice or acknowledged too early, whatever happens to Drift and to the runs.

The law is in histories.py. Every counterexample is in counterexamples.json, and is played first. A history that fails
is printed as one line of JSON: add it there.

    HISTORIES=300 .venv/bin/python -m pytest destination-drift/integration_tests/test_property.py

plays so many, half of them in each of two tests, with another seed each time, which is in the name of the test.
HISTORIES_SEED repeats one.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from histories import History, tell
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from sandbox import Sandbox

COUNTEREXAMPLES = json.loads(Path(__file__).with_name("counterexamples.json").read_text(encoding="utf-8"))
EXAMPLES = int(os.environ.get("HISTORIES") or 4)
SEED = int(os.environ.get("HISTORIES_SEED") or (random.randrange(1 << 32) if "HISTORIES" in os.environ else 0))

LOOKUP, ONE = "/contacts", "^/contacts/[0-9]+$"
ANYWHERE: list[dict[str, Any]] = [
    {"kind": "reset"},
    {"kind": "truncated"},
    {"kind": "answer_lost"},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 408},
    {"kind": "status", "status": 429},
    {"kind": "status", "status": 429, "retry_after": 1},
    {"kind": "status", "status": 400},
    {"kind": "status", "status": 401},
    {"kind": "status", "status": 403},
]
OF_LOOKUPS = [
    {"kind": "html"},
    {"kind": "empty"},
    {"kind": "status", "status": 404, "body": "html"},
    {"kind": "wrong_type", "to": "string"},
    {"kind": "missing_data"},
]
OF_CREATES = [{"kind": "rival"}, {"kind": "rival"}, {"kind": "applied_status", "status": 500}]
OF_CHANGES = [{"kind": "contact_vanishes"}, {"kind": "applied_status", "status": 500}]
FAULTS = st.sampled_from(
    [
        *({"path": LOOKUP, "method": "GET", **one} for one in ANYWHERE + OF_LOOKUPS),
        *({"path": ONE, "method": "GET", **one} for one in ANYWHERE + OF_LOOKUPS),
        *({"path": LOOKUP, "method": "POST", **one} for one in ANYWHERE + OF_CREATES * 3),
        *({"path": ONE, "method": "PATCH", **one} for one in ANYWHERE + OF_CHANGES * 2),
    ]
)
TIMES = st.fixed_dictionaries({"times": st.sampled_from([1, 1, 2, 9]), "after": st.integers(0, 6)})
FAULT = st.builds(lambda fault, times: fault | times, FAULTS, TIMES)
VALUES = (
    st.tuples(st.sampled_from(["absent", None, "", "a", "b", "c"]), st.sampled_from(["absent", None, "", 1, 2, 3])),
    st.tuples(
        st.sampled_from(["absent", None, "", "Ada", "Ben"]),
        st.sampled_from(["absent", None, "", "+1-202-555-0101", "+1-202-555-0102"]),
    ),
)
ENDS = st.one_of(
    st.fixed_dictionaries({"kill_after": st.integers(1, 30), "signal": st.sampled_from(["kill", "kill", "term"])}),
    st.fixed_dictionaries(
        {"cut": st.integers(0, 20), "end": st.sampled_from(["complete", "incomplete", "none", "torn"])}
    ),
    st.just({}),
)
RUN = st.builds(lambda faults, end: {"faults": faults, **end}, st.lists(FAULT, max_size=3), ENDS)


@st.composite
def rows(draw: st.DrawFn, people: int) -> dict[str, Any]:
    stream = draw(st.sampled_from([0, 0, 1]))
    return {
        "stream": stream,
        "person": draw(st.integers(0, people)),
        "keys": draw(st.sampled_from(["both", "both", "email", "email", "external"])),
        "upper": draw(st.sampled_from([False, False, True])),
        "moved": draw(st.sampled_from([False, False, True])),
        "values": draw(VALUES[stream]),
        "bad": draw(st.sampled_from([*[None] * 10, "value", "email"])),
    }


STATES = st.fixed_dictionaries({"state": st.integers(0, 1), "wait": st.booleans()})


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Up to four people, some of whom exist, up to 30 rows and states, and up to four runs."""
    matching = draw(st.sampled_from(["email", "external_id", "external_id_then_email", "id"]))
    message = rows(draw(st.integers(0, 3)))
    kinds = ["none", "none", "email", "both", *(["double"] if matching == "email" else [])]
    hidden = draw(st.sampled_from([0, 0, 3, 1_000]))
    length = draw(st.sampled_from([2, 6, 12, 24]))
    return {
        "matching": matching,
        "mode": draw(st.sampled_from(["append_dedup", "append", "append_dedup", "update"])),
        "states": draw(st.sampled_from(["stream", "global"])),
        "on_ambiguous": draw(st.sampled_from(["reject", "oldest", "all"])),
        "empty_values": draw(st.sampled_from(["ignore", "write"])),
        "options": {
            "index_lag": hidden,
            # A rival that stays hidden, and whose contact is refused like a wrong value, leaves nothing to go by.
            "duplicate_status": 409 if hidden == 1_000 else draw(st.sampled_from([400, 409])),
            "email_case": draw(st.sampled_from(["sensitive", "insensitive"])),
        },
        "existing": draw(st.lists(st.sampled_from(kinds), min_size=4, max_size=4)),
        "messages": draw(st.lists(st.one_of(message, message, message, STATES), min_size=length, max_size=length)),
        "runs": draw(st.lists(RUN, min_size=1, max_size=3)),
    }


@pytest.fixture(scope="module")
def local_drift() -> Iterator[Sandbox]:
    """One server for all histories; each has its own Drift."""
    with Sandbox() as running:
        yield running


@pytest.mark.parametrize("found", COUNTEREXAMPLES, ids=lambda found: found["found"])
def test_counterexamples_are_fixed(found: dict[str, Any], local_drift: Sandbox, tmp_path: Path) -> None:
    """Every history that once broke the law keeps it."""
    tell(found["history"], local_drift, tmp_path)


@pytest.mark.parametrize("seed_", [SEED, SEED + 1])
def test_the_law_holds(seed_: int, local_drift: Sandbox, tmp_path: Path) -> None:
    """Whatever fails and whenever a run is killed, states come back after their rows, and nobody exists twice."""

    @seed(seed_)
    @settings(
        max_examples=EXAMPLES // 2,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(histories())
    def law(history: History) -> None:
        note(json.dumps(history))
        tell(history, local_drift, tmp_path)

    law()
