"""Which tests a mutant is run with, and in which order."""

from collections import Counter
from collections.abc import Container, Iterable, Set
from dataclasses import dataclass

from tools.mutation.mutants import Place


@dataclass(frozen=True)
class Run:
    """A test as it ran on the original: its id, its seconds, and the lines that it executed."""

    test: str
    seconds: float
    lines: Set[int]


def choose(place: Place, runs: Iterable[Run]) -> list[Run]:
    """The tests that execute the lines of a mutant, or else its function: Python does not tell of every line."""
    of_function = [run for run in runs if run.lines & place.function]
    return [run for run in of_function if run.lines & place.lines] or of_function


def in_order(runs: Iterable[Run], killers: Container[str]) -> list[Run]:
    """Those first that are likely to fail soon: what killed a mutant's like, then the quickest.

    The second set of parameters of a test counts as twice as slow as it is, the third one as three times, and so on.
    """
    seen: Counter[str] = Counter()
    ranked = []
    for run in sorted(runs, key=lambda run: run.seconds):
        name = run.test.partition("[")[0]
        seen[name] += 1
        ranked.append((run.test not in killers, seen[name] * run.seconds, run))
    return [run for *_, run in sorted(ranked, key=lambda rank: rank[:2])]


def allowed(seconds: float) -> float:
    """The seconds after which tests that took `seconds` on the original are taken to run for ever."""
    return 10 * seconds + 30
