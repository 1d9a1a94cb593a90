"""Every dialect of the local Drift, read by a real process: what the connector makes of what nobody has documented."""

from concurrent.futures import ThreadPoolExecutor

from integration_tests.dialects import Outcome, outcome
from sandbox.dialects import DIALECTS

# Each read is a process of its own, so that two of them keep two cores busy.
_AT_ONCE = 2


def read_all() -> list[Outcome]:
    """Read each dialect once, in the order of the table; each is printed with what came of it."""
    found = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for one in pool.map(outcome, DIALECTS):
            print(f"  {'✗' if one.problems else '✓'} {one.dialect.name}: {one.came}", flush=True)
            found.append(one)
    return found


def came_out(found: Outcome) -> str:
    """What came out, and why that is right where it is not green and complete."""
    if found.problems:
        return f"WRONG: {found.problems[0]}"
    return f"{found.came} ({found.expected.why})" if found.expected.why else found.came
