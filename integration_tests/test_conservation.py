"""No row is lost between Drift and the destination, whatever happens to them and to the syncs.

The law is in conservation.py. Every known counterexample is in
counterexamples/conservation.json, and is played first. A failing story is printed as one line of JSON: add it there.

    CONSERVATION=prove .venv/bin/python -m pytest integration_tests/test_conservation.py -v

plays many more stories, with the seed in the names of the tests. CONSERVATION_SEED repeats a seed, and
CONSERVATION_EXAMPLES sets the number of stories.
"""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from integration_tests.connector import CHILDREN, ENDPOINTS, EVERY_STREAM
from integration_tests.conservation import INCREMENTAL, Step, Story, tell
from sandbox import Sandbox

COUNTEREXAMPLES = json.loads(Path(__file__).with_name("counterexamples").joinpath("conservation.json").read_text())
IS_PROOF = os.environ.get("CONSERVATION") == "prove"
SEED = int(os.environ.get("CONSERVATION_SEED") or (random.randrange(1 << 32) if IS_PROOF else 0))
EXAMPLES = int(os.environ.get("CONSERVATION_EXAMPLES") or (300 if IS_PROOF else 5))

settings.register_profile(
    "conservation",
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
PROFILE = settings.get_profile("conservation")


# Faults that a stream survives or fails with. Responses that Drift repeats are not faults: a missing list, a deleted
# child, a page that links to itself. They can't be distinguished from the truth.
HARMLESS: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 503}),
    ("status", {"status": 429, "retry_after": 1}),
    ("status", {"status": 500}),
    ("status", {"status": 403}),
    ("status", {"status": 400}),
    ("reset", {}),
    ("truncated", {}),
    ("html", {}),
    ("empty", {}),
    ("error_body", {}),
    ("wrong_type", {"to": "string"}),
]
FINAL = [("status", {"status": 404}), ("gone", {})]
PAGED = ("accounts", "conversations", "messages")
PAGING = [("repeated_cursor", {}), ("foreign_link", {"link": "//evil.example{path}?{query}"}), ("empty_page", {})]
MOVING = [("rows_change", {"n": 1}), ("rows_change", {"n": 4})]
VANISHING = [("rows_vanish", {"n": 1}), ("rows_vanish", {"n": 2})]


@st.composite
def faults(draw: st.DrawFn, streams: list[str], paging: str) -> dict[str, Any]:
    """One line of a fault plan for an endpoint of the selected streams."""
    asked = [*streams, *(["conversations"] * 2 if set(streams) & {"conversations", *CHILDREN} else [])]
    stream = draw(st.sampled_from(sorted(asked)))
    kinds = [*HARMLESS, *MOVING * 3, *(PAGING * 2 if stream in PAGED else [])]
    if stream not in (*CHILDREN, "contacts_by_email"):
        kinds += FINAL
    if paging != "next":
        # In a list by position, rows after one that is deleted during the read can be missed.
        kinds += VANISHING * 2
    kind, details = draw(st.sampled_from(kinds))
    times, after = draw(st.sampled_from([1, 1, 2, 9, 9])), draw(st.integers(0, 3) | st.integers(0, 20))
    if kind in ("repeated_cursor", "empty_page"):
        times = 1
    return {"path": ENDPOINTS[stream], "kind": kind, "times": times, "after": after, **details}


WHEN = st.sampled_from(["now", "now", "late", "tie", "tie", "ahead"])
PLACE = st.integers(0, 299)


def change(do: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.fixed_dictionaries({"do": st.just(do), **fields})


CHANGES = st.one_of(
    change("add", when=WHEN, n=st.integers(1, 12), contact=st.none() | PLACE),
    change("touch", i=PLACE, when=WHEN, n=st.integers(1, 12)),
    change("message", i=PLACE, when=WHEN),
    change("edit", i=PLACE, when=WHEN),
    change("update", i=PLACE, when=WHEN, contact=st.none() | PLACE),
    change("strip", i=PLACE),
    change("misdate", i=PLACE),
    change("delete", i=PLACE, still_listed=st.booleans()),
    change("contact", i=PLACE),
    change("delete_contact", i=PLACE),
    change("account", i=PLACE, how=st.sampled_from(["add", "update", "delete"])),
    change("user", i=PLACE, how=st.sampled_from(["add", "delete"])),
    change("meeting", i=PLACE, how=st.sampled_from(["add", "change"]), days=st.integers(-29, 700)),
)
CHANGES_BETWEEN = st.lists(CHANGES, max_size=4)


@st.composite
def syncs(draw: st.DrawFn, streams: list[str], paging: str) -> Step:
    """A sync, with or without faults, complete or killed after some records."""
    step: Step = {"do": "sync"}
    if draw(st.booleans()):
        # Two faults of a kind could make a page name itself twice.
        plan = st.lists(
            faults(streams, paging), min_size=1, max_size=3, unique_by=lambda one: (one["path"], one["kind"])
        )
        step["faults"] = draw(plan)
    if draw(st.booleans()):
        step["kill_after"] = draw(st.integers(0, 30) | st.integers(0, 400))
    if draw(st.booleans()):
        step["keeps"] = False
    if "conversation_metrics" in streams and draw(st.booleans()):
        step["reports_row_cap"] = draw(st.integers(5, 40))
    return step


@st.composite
def stories(draw: st.DrawFn, most: int = 60) -> Story:
    """A Drift of up to `most` conversations, selected streams, and up to four syncs with changes between them."""
    modes = {
        stream: draw(st.sampled_from(["incremental", "incremental", "incremental", "full_refresh"]))
        if stream in INCREMENTAL
        else "full_refresh"
        for stream in draw(
            st.lists(st.sampled_from([*INCREMENTAL * 4, *EVERY_STREAM]), min_size=1, max_size=4, unique=True)
        )
    }
    conversations = draw(st.integers(0, most))
    paging = draw(st.sampled_from(["both", "links", "next"]))
    is_multi_page = draw(st.sampled_from([True, True, True, False]))
    return {
        "drift": {
            "seed": draw(st.integers(0, 99)),
            "conversations": conversations,
            "ties": draw(st.integers(0, conversations)),
            "contacts": draw(st.integers(1, conversations + 1)),
            "accounts": draw(st.integers(0, 40)),
            "users": draw(st.integers(0, 4)),
            "meetings": draw(st.integers(0, min(conversations, 9))),
            "messages_per_conversation": draw(st.sampled_from([1.0, 3.0])),
            "edges": draw(st.lists(st.tuples(st.integers(1, 3), st.integers(-1, 1)).map(list), max_size=3)),
        },
        "options": {
            "paging": paging,
            "last_page": draw(
                st.sampled_from(["omitted", "null", "empty_string", "more_false", "empty_page", "empty_page_repeats"])
            ),
        },
        "page_size": draw(st.integers(2, 9)) if is_multi_page else None,
        "streams": modes,
        "steps": [
            step
            for changes, sync in draw(
                st.lists(st.tuples(CHANGES_BETWEEN, syncs(list(modes), paging)), min_size=1, max_size=4)
            )
            for step in [*changes, sync]
        ],
    }


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One server for all stories; each story has its own Drift."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.mark.parametrize("found", COUNTEREXAMPLES, ids=lambda found: found["found"])
def test_counterexamples_are_fixed(found: dict[str, Any], sandbox: Sandbox) -> None:
    """Every row that was once lost, by a real or a planted defect, now arrives or causes an error."""
    tell(found["story"], sandbox)


@pytest.mark.parametrize("seed_", [SEED])
def test_nothing_is_lost(seed_: int, sandbox: Sandbox) -> None:
    """Whatever is changed, refused, truncated and killed, the destination has all rows of Drift, or a sync failed."""

    @seed(seed_)
    @settings(PROFILE, max_examples=EXAMPLES)
    @given(stories())
    def law(story: Story) -> None:
        note(json.dumps(story))
        tell(story, sandbox)

    law()
