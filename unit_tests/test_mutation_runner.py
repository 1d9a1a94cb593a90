"""What `make mutants` makes of the processes in which the tests of a mutant run."""

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest

from tools.mutation.choice import Run
from tools.mutation.forks import Ended
from tools.mutation.runner import Runner, status

ROOT = Path(__file__).parents[1]


def told_by(script: str, folder: Path) -> Any:
    """What a script tells in JSON: a process of its own, since only one with a single thread may be forked."""
    ended = subprocess.run(
        [sys.executable, "-c", dedent(script)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        input="not for tasks",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_task_ends_with_what_it_returned_or_with_a_code(tmp_path: Path) -> None:
    """A task that raises and one that is killed return nothing, and end no other."""
    script = """
        import json, os, signal, subprocess, sys, time
        from tools.mutation.forks import forked

        # A process that is none of the tasks, and ends before them.
        subprocess.Popen(["true"])
        time.sleep(0.2)
        tasks = [
            ("returns", lambda: {"a": [1]}),
            ("raises", lambda: 1 / 0),
            ("exits", sys.exit),
            ("is killed", lambda: os.kill(os.getpid(), signal.SIGSEGV)),
        ]
        print(json.dumps({ended.name: [ended.code, ended.returned] for ended in forked(tasks, 2, sys.stderr)}))
    """
    assert told_by(script, tmp_path) == {
        "returns": [0, {"a": [1]}],
        "raises": [1, None],
        "exits": [1, None],
        "is killed": [-signal.SIGSEGV, None],
    }


def test_task_is_taken_when_there_is_room(tmp_path: Path) -> None:
    """As many tasks run at once as there may be children, and what one of them told is known to those that follow."""
    script = """
        import json, sys
        from tools.mutation.forks import forked

        events = []

        def tasks():
            for name in "abc":
                events.append(f"take {name}")
                yield name, str

        for ended in forked(tasks(), 1, sys.stderr):
            events.append(f"end {ended.name}")
        print(json.dumps(events))
    """
    assert told_by(script, tmp_path) == ["take a", "end a", "take b", "end b", "take c", "end c"]


def test_two_tasks_run_at_once(tmp_path: Path) -> None:
    """A task that waits for another one, and two children, end."""
    script = """
        import json, os, signal, sys
        from tools.mutation.forks import forked

        read, write = os.pipe()

        def wait():
            signal.alarm(10)
            return os.read(read, 1).decode()

        all_ended = forked([("waits", wait), ("ends", lambda: os.write(write, b"x"))], 2, sys.stderr)
        print(json.dumps({ended.name: ended.returned for ended in all_ended}))
    """
    assert told_by(script, tmp_path) == {"waits": "x", "ends": 1}


# A task that hangs, as does a process of its own; `gone` says that nobody holds the other end of the pipe any more.
HANGS = """
    import json, os, select, signal, subprocess, sys, time
    from tools.mutation.forks import forked

    read, write = os.pipe()
    os.set_inheritable(write, True)

    def hang():
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], close_fds=False)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        time.sleep(100)

    def gone():
        os.close(write)
        return bool(select.select([read], [], [], 10)[0])
"""


def test_task_that_hangs_is_a_timeout_and_gone(tmp_path: Path) -> None:
    """The alarm ends a task, and the processes that it started go with it."""
    (code, gone) = told_by(
        dedent(HANGS)
        + dedent("""
            (ended,) = forked([("hangs", hang)], 1, sys.stderr)
            print(json.dumps([ended.code, gone()]))
        """),
        tmp_path,
    )
    assert status(Ended("hangs", code)) == "timeout"
    assert gone


def test_tasks_are_gone_where_nobody_waits_for_them(tmp_path: Path) -> None:
    """An interrupted run leaves no process behind."""
    script = dedent(HANGS).replace("ITIMER_REAL, 0.2", "ITIMER_REAL, 100") + dedent("""
        ended = forked([("hangs", hang), ("ends", int)], 2, sys.stderr)
        name = next(ended).name
        ended.close()
        print(json.dumps([name, gone()]))
    """)
    assert told_by(script, tmp_path) == ["ends", True]


def test_what_a_task_prints_and_writes_is_out_of_the_way(tmp_path: Path) -> None:
    """Its output goes nowhere, its exception to the log, and its temporary files are removed."""
    script = """
        import json, os, tempfile
        from tools.mutation.forks import forked

        def task():
            nowhere = os.stat(os.devnull)
            assert [os.path.samestat(os.fstat(number), nowhere) for number in range(3)] == [True] * 3
            own = os.path.dirname(tempfile.mkdtemp())
            assert os.listdir(os.path.dirname(own)) == [os.path.basename(own)]
            raise KeyError("made up")

        with open("log", "w") as log:
            codes = [ended.code for ended in forked([("first", task), ("second", task)], 1, log)]
        print(json.dumps([codes, open("log").read()]))
    """
    codes, log = told_by(script, tmp_path)
    assert codes == [1, 1]
    assert log.count("KeyError: 'made up'\n") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_test_has_ten_times_as_long_and_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is for each test and for all of them, measured by how long they took on the original."""
    runner = Runner("", {}, 1, StringIO())
    now = iter([1000, 1000, 1015, 1045, 1061])
    alarms: list[float] = []
    monkeypatch.setattr("tools.mutation.runner.time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr("tools.mutation.runner.set_mutant_under_test", lambda _: None)
    monkeypatch.setattr(signal, "setitimer", lambda _, seconds: alarms.append(seconds))
    monkeypatch.setattr(runner, "_fails", lambda _: False)
    runs = [Run(str(number), seconds, frozenset()) for number, seconds in enumerate([1, 0.5, 1, 0.5])]
    assert runner._failed("mutant", runs) == ""
    # 60 seconds for all: the third test has 40, and 15 are left; for the fourth there is nothing left.
    assert alarms == [40, 35, 15, 0.001]


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (Ended("a", 0, "unit_tests/test_a.py::test_a"), "killed"),
        (Ended("a", 0, ""), "survived"),
        (Ended("a", -signal.SIGALRM), "timeout"),
        (Ended("a", 1), "ended with 1"),
        (Ended("a", -signal.SIGKILL), "ended with -9"),
    ],
)
def test_end_of_the_tests_says_what_became_of_the_mutant(ended: Ended, expected: str) -> None:
    """Only a test that failed or that ran for ever kills a mutant, and not a process that broke down."""
    assert status(ended) == expected


MODULE = """
    def is_positive(number):
        return number > 0

    def to_zero(number):
        while number:
            number = 0

    def unused():
        return 1
"""
# Each of them notes that it ran, and for which mutant. The last one calls its function in a thread.
TESTS = """
    import os
    import time
    from threading import Event, Thread

    import pytest
    from components import is_positive, to_zero

    @pytest.fixture(autouse=True)
    def note(request):
        with open("ran", "a") as file:
            print(request.node.name, "for", os.environ.get("MUTANT_UNDER_TEST", "the original"), file=file)

    def test_limit():
        time.sleep(0.3)
        assert is_positive(1)
        assert not is_positive(0)

    def test_many():
        assert is_positive(2)

    def test_to_zero():
        thread = Thread(target=to_zero, args=[2])
        thread.start()
        thread.join()
"""
# What mutation/__main__.py does in large, with less patience.
RUN = """
    import json, pathlib, sys
    from contextlib import redirect_stdout

    import pytest

    from tools.mutation import runner
    from tools.mutation.mutants import changes, places

    def run(mutated):
        runner.allowed = lambda seconds: 3
        with open("log", "w") as log, redirect_stdout(sys.stderr):
            plugin = runner.Runner(str(pathlib.Path("components.py").resolve()), places(mutated), 1, log)
            pytest.main(["-pno:cacheprovider", "--capture=sys"], plugins=[plugin])
        print(json.dumps([plugin.trouble, plugin.statuses]))

    sys.path.insert(0, ".")
"""


def run(script: str, module: str, tests: str, folder: Path) -> Any:
    (folder / "components.py").write_text(dedent(module))
    (folder / "test_it.py").write_text(dedent(tests))
    return told_by(dedent(RUN) + dedent(script), folder)


def test_each_mutant_is_run_with_the_tests_that_reach_it_until_one_fails(tmp_path: Path) -> None:
    """A mutant is killed by a test that fails or hangs, survives those that pass, or has none.

    The quickest test comes first, but what has killed a mutant of the same function before it.
    """
    script = """
        from mutmut.mutation.file_mutation import mutate_file_contents

        pathlib.Path("pyproject.toml").write_text('[tool.mutmut]\\nsource_paths = ["components.py"]')
        module = pathlib.Path("components.py")
        mutated = mutate_file_contents(module.name, module.read_text()).code
        module.write_text(mutated)
        run(mutated)
    """
    trouble, statuses = run(script, MODULE, TESTS, tmp_path)
    assert trouble == ""
    assert statuses == {
        "components.x_is_positive__mutmut_1": "killed",
        "components.x_is_positive__mutmut_2": "killed",
        "components.x_to_zero__mutmut_1": "survived",
        "components.x_to_zero__mutmut_2": "timeout",
        "components.x_unused__mutmut_1": "no tests",
    }
    assert (tmp_path / "ran").read_text().splitlines() == [
        "test_limit for the original",
        "test_many for the original",
        "test_to_zero for the original",
        "test_many for components.x_is_positive__mutmut_1",
        "test_limit for components.x_is_positive__mutmut_1",
        "test_limit for components.x_is_positive__mutmut_2",
        "test_to_zero for components.x_to_zero__mutmut_1",
        "test_to_zero for components.x_to_zero__mutmut_2",
    ]


@pytest.mark.parametrize(
    ("was", "becomes", "expected", "log"),
    [
        ("is_positive(2)", "is_positive(0)", "test_it.py::test_many fails without a mutant", "AssertionError"),
        ("@pytest.f", "Thread(target=Event().wait, daemon=True).start()\n    @pytest.f", "A thread was started", ""),
        ("is_positive, to_zero", "nothing", "The tests cannot be collected.", "cannot import name 'nothing'"),
    ],
)
def test_nothing_runs_where_the_original_is_in_trouble(
    was: str, becomes: str, expected: str, log: str, tmp_path: Path
) -> None:
    """Tests that fail by themselves would kill every mutant, and a process with threads cannot be forked."""
    (tmp_path / "test_more.py").write_text("def test_nothing():\n    pass\n")
    trouble, statuses = run("run('')", MODULE, TESTS.replace(was, becomes), tmp_path)
    assert trouble.startswith(expected)
    assert log in (tmp_path / "log").read_text()
    assert statuses == {}
