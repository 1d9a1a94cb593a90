"""The sizes of the measurements."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """How much each measurement reads and how often.

    Attributes:
        runs: of what is noisy.
        limit_conversations, limit_large: of the measurements of the limit; none of the second one where it is 0.
        limit_rates: requests a second that it sets.
        request_conversations: of the count of requests.
        listed: rows of each list stream whose CPU is measured.
        threads: (conversations, mean of messages in each) whose CPU is measured.
        messages: numbers of messages at which memory is measured.
        routed: numbers of conversations that the router is fed with.
        growth: numbers of conversations over which time and requests are compared.
        idle: conversations of the idle sync of every incremental stream.
    """

    runs: int = 5
    limit_conversations: int = 2_000
    limit_large: int = 0
    limit_rates: tuple[int, ...] = (35, 50)
    request_conversations: int = 2_000
    listed: int = 100_000
    threads: tuple[tuple[int, int], ...] = ((3_000, 6), (1_000, 25))
    messages: tuple[int, ...] = (10_000, 100_000, 650_000, 800_000)
    routed: tuple[int, ...] = (100_000,)
    growth: tuple[int, ...] = (1_000, 10_000)
    idle: int = 100_000


USUAL = Sizes()
LARGE = Sizes(
    limit_large=20_000,
    messages=(10_000, 100_000, 650_000, 1_000_000),
    routed=(100_000, 1_000_000),
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
    routed=(100_000,),
    growth=(300, 3_000),
    idle=10_000,
)
