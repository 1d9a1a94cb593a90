"""Runs the tests for each mutant: a plugin of pytest, which collects them once."""

import gc
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TextIO

import coverage
import pytest
from mutmut.mutation.trampoline import set_mutant_under_test

from tools.mutation.choice import Run, allowed, choose, in_order
from tools.mutation.forks import Ended, forked
from tools.mutation.mutants import Place


def status(ended: Ended) -> str:
    """What became of a mutant whose tests have `ended` and returned the one that failed."""
    if ended.code:
        return "timeout" if ended.code == -signal.SIGALRM else f"ended with {ended.code}"
    return "killed" if ended.returned else "survived"


class Runner:
    """Runs, in place of all tests once, those that concern a mutant, for each of `mutants`.

    They stand side by side in the file `mutated`, whose path has no symbolic links.
    """

    def __init__(self, mutated: str, mutants: Mapping[str, Place], children: int, log: TextIO) -> None:
        self._mutated = mutated
        self._mutants = mutants
        self._children = children
        self._log = log
        self._items: dict[str, pytest.Item] = {}
        self._has_failed = False
        # By mutant, as far as they were run, and why none was.
        self.statuses: dict[str, str] = {}
        self.trouble = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = {item.nodeid: item for item in session.items}
        if session.testsfailed or not session.items:
            self.trouble = "The tests cannot be collected."
        elif threading.active_count() > 1:
            self.trouble = "A thread was started before the first test, so no process can be forked."
        else:
            # What the collector does not look at stays shared with the children.
            gc.collect()
            gc.freeze()
            runs = self._on_original()
            if not self.trouble:
                self._on_mutants(runs)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._has_failed = self._has_failed or report.failed
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_internalerror(self, excrepr: object) -> None:
        print(excrepr, file=self._log)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            print(f"\n{report.nodeid}\n{report.longreprtext}", file=self._log, flush=True)

    def _on_original(self) -> list[Run]:
        """How each test runs on the original; a test that fails is a trouble."""
        tests = list(self._items)
        tasks = [(str(part), partial(self._measured, tests[part :: self._children])) for part in range(self._children)]
        runs: list[Run] = []
        with closing(forked(tasks, self._children, self._log)) as all_ended:
            for ended in all_ended:
                failed, measured = ended.returned or ("A test", [])
                if failed:
                    self.trouble = f"{failed} fails without a mutant, in the order in which the tests ran here."
                    break
                runs += [Run(test, seconds, frozenset(lines)) for test, seconds, lines in measured]
        return runs

    def _on_mutants(self, runs: Sequence[Run]) -> None:
        killers: defaultdict[str, set[str]] = defaultdict(set)

        def tasks() -> Iterator[tuple[str, Callable[[], str]]]:
            for name, place in self._mutants.items():
                chosen = in_order(choose(place, runs), killers[_function(name)])
                if chosen:
                    yield name, partial(self._failed, name, chosen)
                else:
                    self.statuses[name] = "no tests"

        with closing(forked(tasks(), self._children, self._log)) as all_ended:
            for ended in all_ended:
                self.statuses[ended.name] = status(ended)
                if ended.returned:
                    killers[_function(ended.name)].add(ended.returned)
                print(f"{ended.name} {self.statuses[ended.name]} {ended.returned or ''}", file=self._log)
                alive = len([one for one in self.statuses.values() if one not in ("killed", "timeout")])
                self._progress(f"{len(self.statuses):,} of {len(self._mutants):,} mutants ran, {alive} alive")

    def _measured(self, tests: Sequence[str]) -> tuple[str, list[tuple[str, float, list[int]]]]:
        """In a child: the first test that fails, or '', and of each test its seconds and lines."""
        tracer = coverage.Coverage(data_file=None, config_file=False, include=[self._mutated])
        seconds = {}
        tracer.start()
        for test in tests:
            tracer.switch_context(test)
            began = time.perf_counter()
            if self._fails(test):
                return test, []
            seconds[test] = time.perf_counter() - began
        tracer.stop()
        lines: defaultdict[str, list[int]] = defaultdict(list)
        for line, executing in tracer.get_data().contexts_by_lineno(self._mutated).items():
            for test in executing:
                lines[test].append(line)
        return "", [(test, seconds[test], lines[test]) for test in tests]

    def _failed(self, mutant: str, runs: Sequence[Run]) -> str:
        """In a child: the first test that fails for a mutant, or ''. SIGALRM ends the child where a test hangs."""
        set_mutant_under_test(mutant)
        end = time.monotonic() + allowed(sum(run.seconds for run in runs))
        for run in runs:
            left = end - time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, max(0.001, min(allowed(run.seconds), left)))
            if self._fails(run.test):
                return run.test
        return ""

    def _fails(self, test: str) -> bool:
        """In a child: whether a test fails. No fixture outlives it, so that the order of the tests makes no odds."""
        item = self._items[test]
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        return self._has_failed

    def _progress(self, line: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{line} ", end="", file=sys.stderr, flush=True)


def _function(mutant: str) -> str:
    return mutant.rpartition("__mutmut_")[0]
