"""Changes components.py in many small ways and looks whether a unit test fails each time: `make mutants`.

mutmut does it on a copy in .tmp/mutants, with the tests that reach the changed function. It changes no module constants
and no body of a decorated function (`@property`). The whole of it takes hours on two cores;
`make mutants ONLY=DriftBackoffStrategy`, ONLY=unread or ONLY=Class.method takes a part, after two minutes in which
every test runs once.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mutmut.stats import status_by_exit_code

from mutation.verdict import changes, entry, equivalents, judge, pattern

ROOT = Path(__file__).parents[1]
COPY = ROOT / ".tmp" / "mutants"
NOT_COPIED = (".*", "__pycache__", "build", "dist", "*.duckdb", "config.json", "secrets")
# Files whose tests run the connector or its components. test_manifest_lint.py reads the hints of the classes, to
# which mutmut adds its own; test_docs.py, which test_migrations.py imports, reads components.py as a text.
EXERCISES = re.compile(r"^import components$|\bconnector: Connector\b", re.MULTILINE)
NOT_THESE = ("test_manifest_lint.py", "test_migrations.py")


def selected() -> Iterator[str]:
    """The test files that exercise components.py."""
    for path in sorted((ROOT / "unit_tests").glob("test_*.py")):
        if path.name not in NOT_THESE and EXERCISES.search(path.read_text(encoding="utf-8")):
            yield f"unit_tests/{path.name}"


def prepare() -> None:
    """Make a fresh copy of the repository, since tests read many of its files, with mutmut's settings."""
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.copytree(ROOT, COPY, ignore=shutil.ignore_patterns(*NOT_COPIED))
    settings = {
        "source_paths": ["components.py"],
        "also_copy": sorted({path.name for path in COPY.iterdir()} - {"components.py"}),
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-p", "mutation.order"],
        "pytest_add_cli_args_test_selection": list(selected()),
    }
    with (COPY / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tool.mutmut]\nuse_git_change_detection = false\n")
        file.writelines(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())


def main(only: list[str], children: int) -> int:
    """Run the mutants, print those that survive and the counts, and return the exit code."""
    patterns = [pattern(name) for name in only] or ["components.*"]
    prepare()
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(children), *patterns]
    with (COPY / "mutmut.log").open("w") as log:
        output = None if sys.stdout.isatty() else log
        ended = subprocess.run(command, cwd=COPY, stdout=output, stderr=output).returncode  # noqa: S603
    if ended:
        print(f"mutmut failed with {ended}; it wants tests that pass and a mutant that exists. See {log.name}")
        return 1
    meta = json.loads((COPY / "mutants" / "components.py.meta").read_text(encoding="utf-8"))
    chosen = re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in patterns))
    results = {
        name: status_by_exit_code[code] for name, code in meta["exit_code_by_key"].items() if chosen.fullmatch(name)
    }
    excused = equivalents(Path(__file__).with_name("equivalent.toml").read_text(encoding="utf-8"))
    verdict = judge(results, changes((COPY / "mutants" / "components.py").read_text(encoding="utf-8")), excused)
    for name, change in verdict.surviving.items():
        print(f"\n# {results[name]}: make mutants ONLY={name}\n[[equivalent]]\n{entry(change)}")
    print("".join(f"\nFAILED: {trouble}" for trouble in verdict.troubles))
    print(verdict)
    return 1 if verdict.surviving or verdict.troubles else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="classes, functions, Class.method or full names of mutants")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 2, help="how many mutants at once")
    arguments = parser.parse_args()
    sys.exit(main(arguments.only, arguments.children))
