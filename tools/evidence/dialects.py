"""Reads every dialect of the local Drift with a real process, to test responses that Drift does not document."""

from concurrent.futures import ThreadPoolExecutor

from integration_tests.dialects import Outcome, outcome
from sandbox.dialects import DIALECTS

# Each read is a separate process, so two of them use two cores.
_AT_ONCE = 2


def read_all() -> list[Outcome]:
    """Read each dialect once, in the order of the table, and print each result."""
    found = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for one in pool.map(outcome, DIALECTS):
            print(f"  {'✗' if one.problems else '✓'} {one.dialect.name}: {one.came}", flush=True)
            found.append(one)
    return found


def came_out(found: Outcome) -> str:
    """The result, and why it is right if the sync did not succeed completely."""
    if found.problems:
        return f"WRONG: {found.problems[0]}"
    return f"{found.came} ({found.expected.why})" if found.expected.why else found.came
