"""Which tests `make mutants` runs for a mutant, and in which order."""

from textwrap import dedent

import pytest

from tools.mutation.choice import Run, choose, in_order
from tools.mutation.mutants import Place, places

FUNCTION = frozenset(range(10, 20))


def run(test: str, seconds: float = 1, *lines: int) -> Run:
    return Run(test, seconds, frozenset(lines))


def ids(runs: list[Run]) -> list[str]:
    return [run.test for run in runs]


def place(original: str, mutant: str) -> Place:
    """The place of a mutant in a module whose first line is that of the original."""
    (found,) = places(
        dedent(original).strip().replace("def f", "def x_f__mutmut_orig")
        + "\n\n"
        + dedent(mutant).strip().replace("def f", "def x_f__mutmut_1")
    ).values()
    return found


LOOP = """
    def f(rows, least=1):
        for row in rows:
            if (
                row > least
            ):
                print(
                    row
                )
            else:
                least = 2
        return least
    """


@pytest.mark.parametrize(
    ("was", "becomes", "lines"),
    [
        ("for row in rows:", "for row in None:", {2}),
        ("row > least", "row >= least", {3, 4, 5}),
        ("    row\n", "    None\n", {6, 7, 8}),
        ("least = 2", "least = 3", {10}),
        ("return least", "return None", {11}),
    ],
)
def test_lines_of_a_change(was: str, becomes: str, lines: set[int]) -> None:
    """A mutant differs in the lines of its statement, without those of the statements inside it."""
    found = place(LOOP, LOOP.replace(was, becomes))
    assert (found.lines, found.function) == (lines, set(range(1, 12)))


@pytest.mark.parametrize(("was", "becomes"), [("least=1", "least=2"), ("        return least", "")])
def test_change_without_a_line_concerns_the_function(was: str, becomes: str) -> None:
    """No test executes the line of a default, nor one that is not there."""
    assert place(LOOP, LOOP.replace(was, becomes)).lines == set(range(1, 12))


def test_exception_that_is_caught_has_a_line() -> None:
    """The head of an `except` is executed only where something was raised."""
    guarded = "def f():\n    try:\n        a()\n    except A:\n        b()\n    finally:\n        c()"
    assert place(guarded, guarded.replace("except A", "except B")).lines == {4}
    assert place(guarded, guarded.replace("c()", "d()")).lines == {7}


def test_function_inside_a_function_has_lines_of_its_own() -> None:
    """What a nested function does is not executed where it is defined."""
    nested = "def f():\n    def g():\n        return 1\n    return g"
    assert place(nested, nested.replace("return 1", "return 2")).lines == {3}


def test_tests_of_the_changed_lines_are_chosen() -> None:
    """A test that executes none of the changed lines cannot tell the mutant from the original."""
    runs = [run("before", 1, 9, 10), run("on", 1, 10, 11), run("elsewhere", 1, 5), run("behind", 1, 12)]
    assert ids(choose(Place({11, 12}, FUNCTION), runs)) == ["on", "behind"]


def test_line_that_nothing_executes_stands_for_its_function() -> None:
    """Python executes some lines without telling, such as `while True:`."""
    runs = [run("other", 1, 9), run("same", 1, 10), run("none")]
    assert ids(choose(Place({11}, FUNCTION), runs)) == ["same"]
    assert choose(Place({11}, FUNCTION), [run("other", 1, 9)]) == []


def test_quick_tests_come_first() -> None:
    """Most mutants fail any test, so the quickest says so soonest."""
    assert ids(in_order([run("slow", 3), run("quick", 1), run("medium", 2)], ())) == ["quick", "medium", "slow"]


def test_parameters_of_one_test_are_spread() -> None:
    """A mutant that passes a test often passes it with other parameters, so those wait for other tests."""
    runs = [run("a[1]", 1), run("a[2]", 1.1), run("a[3]", 1.2), run("b", 2), run("c[1]", 3)]
    assert ids(in_order(runs, ())) == ["a[1]", "b", "a[2]", "c[1]", "a[3]"]


def test_killers_of_the_like_come_first() -> None:
    """What failed for another mutant of the function is tried before all others."""
    runs = [run("quick", 1), run("killer", 9), run("quicker killer", 8)]
    assert ids(in_order(runs, {"killer", "quicker killer", "gone"})) == ["quicker killer", "killer", "quick"]
