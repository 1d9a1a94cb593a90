"""The sizes of the measurements."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """How much each measurement reads, and how often.

    Attributes:
        runs: repetitions of noisy measurements.
        limit_conversations, limit_large: conversations for *limit*; 0 skips the second one.
        limit_rates: requests per second for *limit*.
        request_conversations: conversations for *requests*.
        listed: rows of each list stream for *cpu*.
        threads: (conversations, mean number of messages in each) for *cpu*.
        messages: numbers of messages for *memory*.
        listed_first: numbers of conversations with one message each for *memory*.
        everything: conversations of which *memory* reads all streams.
        growth: numbers of conversations for *growth*.
        idle: conversations for the sync without changes in *growth*.
        people: contacts for *destination*.
        rows: numbers of rows for its memory; the first one is also how many contacts are known.
    """

    runs: int = 5
    limit_conversations: int = 2_000
    limit_large: int = 0
    limit_rates: tuple[int, ...] = (35, 50)
    request_conversations: int = 2_000
    listed: int = 100_000
    threads: tuple[tuple[int, int], ...] = ((3_000, 6), (1_000, 25))
    messages: tuple[int, ...] = (10_000, 100_000, 400_000)
    listed_first: tuple[int, ...] = (100_000,)
    everything: int = 30_000
    growth: tuple[int, ...] = (1_000, 10_000)
    idle: int = 100_000
    people: int = 2_000
    rows: tuple[int, ...] = (100_000, 1_000_000)


USUAL = Sizes()
LARGE = Sizes(
    limit_large=20_000,
    messages=(10_000, 100_000, 1_000_000),
    listed_first=(100_000, 1_000_000),
    everything=100_000,
    growth=(1_000, 10_000, 100_000),
)
QUICK = Sizes(
    runs=2,
    limit_conversations=200,
    limit_rates=(50,),
    request_conversations=300,
    listed=40_000,
    threads=((300, 6), (100, 25)),
    messages=(1_000, 10_000),
    listed_first=(10_000,),
    everything=3_000,
    growth=(300, 3_000),
    idle=10_000,
    people=300,
    rows=(10_000, 100_000),
)
