"""Changes components.py in many small ways and looks whether a unit test fails each time: `make mutants`.

mutmut makes the changes, in a copy in .tmp/mutants; the tests that run a changed line are run for each of them. It
changes no module constants and no body of a decorated function (`@property`). `make mutants ONLY=NamedPages`,
ONLY=unread or ONLY=Class.method takes a part, after some minutes in which every test runs once on the original.
"""

import argparse
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from mutmut.mutation.file_mutation import mutate_file_contents

from tools.mutation.mutants import changes, pattern, places
from tools.mutation.runner import Runner
from tools.mutation.verdict import entry, equivalents, judge

ROOT = Path(__file__).resolve().parents[2]
COPY = ROOT / ".tmp" / "mutants"
MODULE = COPY / "components.py"
LOG = COPY / "mutants.log"
NOT_COPIED = (".*", "__pycache__", "build", "dist", "*.duckdb", "config.json", "secrets")
# Files whose tests run the connector or its components. test_manifest_schema.py reads the hints of the classes, to
# which mutmut adds its own; test_docs.py, which test_migrations.py imports, reads components.py as a text.
EXERCISES = re.compile(r"^import components$|\bconnector: Connector\b", re.MULTILINE)
NOT_THESE = ("test_manifest_schema.py", "test_migrations.py")
# No file for what is printed, which all processes would share, and no plugin that writes, traces, forks or is slow to
# load. The other styles of a traceback parse the whole module, for two seconds.
WITHOUT = ("cacheprovider", "faulthandler", "hypothesispytest", "pytest_cov", "schemathesis", "xdist")
OPTIONS = ("--capture=sys", "--tb=native", *(f"-pno:{plugin}" for plugin in WITHOUT))


def selected() -> Iterator[str]:
    """The test files that exercise components.py."""
    for path in sorted((COPY / "unit_tests").glob("test_*.py")):
        if path.name not in NOT_THESE and EXERCISES.search(path.read_text(encoding="utf-8")):
            yield f"unit_tests/{path.name}"


def prepare() -> str:
    """Make a fresh copy of the repository, since tests read many of its files, and go there.

    Return what its components.py holds: all mutants side by side.
    """
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.copytree(ROOT, COPY, ignore=shutil.ignore_patterns(*NOT_COPIED))
    os.chdir(COPY)
    sys.path.insert(0, str(COPY))
    with Path("pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[tool.mutmut]\nsource_paths = ["{MODULE.name}"]\n')
    mutated = mutate_file_contents(MODULE.name, MODULE.read_text(encoding="utf-8")).code
    MODULE.write_text(mutated, encoding="utf-8")
    return mutated


def main(only: list[str], children: int) -> int:
    """Run the mutants, print those that survive and the counts, and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    excused = equivalents(Path(__file__).with_name("equivalent.toml").read_text(encoding="utf-8"))
    mutated = prepare()
    chosen = re.compile("|".join(re.escape(pattern(name)).replace(r"\*", ".*") for name in only) or ".*")
    mutants = {name: place for name, place in places(mutated).items() if chosen.fullmatch(name)}
    if not mutants:
        print(f"No mutant is one of {' '.join(only)}.")
        return 1
    # What the tests and the connector print in every process goes nowhere; failures and results go to the log.
    with open(os.devnull, "w") as nowhere, LOG.open("w", encoding="utf-8") as log, redirect_stdout(nowhere):
        runner = Runner(str(MODULE), mutants, children, log)
        ended = pytest.main([*OPTIONS, *selected()], plugins=[runner])
    verdict = judge(runner.statuses, changes(mutated), excused)
    for name, change in verdict.surviving.items():
        print(f"\n# {runner.statuses[name]}: make mutants ONLY={name}\n[[equivalent]]\n{entry(change)}")
    print("".join(f"\nFAILED: {trouble}" for trouble in verdict.troubles))
    left = len(mutants) - len(runner.statuses)
    if left:
        why = runner.trouble or f"pytest ended with {pytest.ExitCode(ended).name}."
        print(f"{why} {left:,} mutants did not run; see {LOG}")
    print(verdict)
    return 1 if verdict.surviving or verdict.troubles or left else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="classes, functions, Class.method or full names of mutants")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 2, help="how many mutants at once")
    arguments = parser.parse_args()
    sys.exit(main(arguments.only, arguments.children))
