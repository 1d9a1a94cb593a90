"""Compares the number of requests of a sync with the minimum that Drift's API allows for the same data."""

from __future__ import annotations

from collections import Counter
from math import ceil
from pathlib import Path

from sandbox import Drift, Sandbox
from tools.bench.connector import OF_CONVERSATIONS, UNLIMITED, read, unlimited
from tools.bench.report import Section
from tools.bench.sizes import Sizes
from tools.bench.traffic import LIST, kind_of

TARGET = 1.02
# Maximum rows per page of the list: in both generations of pagination, and in the newer one only.
_PAGE, _LONG_PAGE = 50, 100
_MESSAGES = 50


def measure(sizes: Sizes, _: Path) -> Section:
    """Requests of a first sync ÷ the minimum, by kind."""
    size = sizes.request_conversations
    section = Section("requests", f"Requests ÷ minimum number of requests, {size:,} conversations")
    section.columns = ["request", "made", "fewest", "ratio"]
    drift = Drift(conversations=size)
    with unlimited() as manifest, Sandbox(drift, UNLIMITED) as sandbox:
        read(sandbox, *OF_CONVERSATIONS, manifest=manifest)
        made = Counter(kind_of(one.path) for one in sandbox.journal)
    least = fewest(drift)
    for kind in dict.fromkeys([*least, *made]):
        ratio = f"{made[kind] / least[kind]:.3f}" if least[kind] else "–"
        section.rows.append([kind, f"{made[kind]:,}", f"{least[kind]:,}", ratio])
    section.at_most(f"all, list pages of {_PAGE}", made.total() / least.total(), TARGET)
    longer = least.total() - least[LIST] + ceil(size / _LONG_PAGE)
    section.at_most(f"all, list pages of {_LONG_PAGE}", made.total() / longer, TARGET)
    section.notes = [
        f"The connector requests the list of conversations in pages of {_PAGE}, because at the first request it does "
        f"not know which of the two generations of pagination Drift uses; only the newer one allows {_LONG_PAGE}. If "
        "the list has several pages, the connector then reads the first ones again to find updates. The conversations "
        "and the first child stream request the list at the same time, so some pages are requested twice.",
    ]
    return section


def fewest(drift: Drift) -> Counter[str]:
    """Each page of the list and each page of 50 messages once; everything else once for each row."""
    messages = Counter(row["conversationId"] for row in drift.expected("messages"))
    ids = list(drift.keys("conversations"))
    return Counter(
        {
            LIST: max(1, ceil(len(ids) / _PAGE)),
            "messages": sum(max(1, ceil(messages[one] / _MESSAGES)) for one in ids),
            "conversation_details": len(ids),
            "contacts": drift.count("contacts"),
        }
    )
