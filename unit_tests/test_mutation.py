"""What `make mutants` says of the mutants that it ran."""

import pytest

from tools.mutation.mutants import Change, changes, pattern
from tools.mutation.verdict import entry, equivalents, judge

# As mutmut writes it, in small: the original and the mutants side by side.
MUTATED = '''
class Guard:
    def xǁGuardǁwait__mutmut_orig(self, value: int) -> int:
        """Waits."""
        return value + 1

    def xǁGuardǁwait__mutmut_1(self, value: int) -> int:
        """Waits."""
        return value - 1

    def xǁGuardǁwait__mutmut_2(self, value: int) -> int:
        """Waits."""
        return (value +
            2)

def x__is_new__mutmut_orig(value):
    return value > 0

def x__is_new__mutmut_1(value):
    return value >= 0

def wait(self):
    pass
'''
MINUS = Change("Guard.wait", "return value + 1", "return value - 1")
TWO = Change("Guard.wait", "return value + 1", "return value + 2")
NEW = Change("_is_new", "return value > 0", "return value >= 0")
KNOWN = {
    "components.xǁGuardǁwait__mutmut_1": MINUS,
    "components.xǁGuardǁwait__mutmut_2": TWO,
    "components.x__is_new__mutmut_1": NEW,
}
FIRST, SECOND, THIRD = KNOWN


def test_changes_are_read() -> None:
    """Each mutant is told by function and changed lines, whatever its number and formatting."""
    assert changes(MUTATED) == KNOWN


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("Guard", "components.xǁGuardǁ*__mutmut_*"),
        ("_Guard", "components.xǁ_Guardǁ*__mutmut_*"),
        ("Guard.wait", "components.xǁGuardǁwait__mutmut_*"),
        ("_is_new", "components.x__is_new__mutmut_*"),
        (FIRST, FIRST),
    ],
)
def test_a_part_is_chosen(only: str, expected: str) -> None:
    """A class, a method, a function and a single mutant can be asked for."""
    assert pattern(only) == expected


def test_the_summary_counts_each_mutant_once() -> None:
    """Killed, equivalent and surviving add up to all that ran."""
    verdict = judge({FIRST: "killed", SECOND: "survived", THIRD: "survived"}, KNOWN, [TWO])
    assert str(verdict) == "mutants: 3, killed 1, equivalent 1, surviving 1"
    assert (verdict.surviving, verdict.troubles) == ({THIRD: NEW}, [])


@pytest.mark.parametrize("status", ["survived", "no tests", "ended with -11"])
def test_only_a_failed_test_kills(status: str) -> None:
    """A mutant that no test reaches, or whose process broke down, survives."""
    assert judge({FIRST: status}, KNOWN, []).surviving == {FIRST: MINUS}


@pytest.mark.parametrize("status", ["killed", "timeout"])
def test_a_mutant_that_runs_for_ever_is_killed(status: str) -> None:
    """A test that does not end has failed."""
    assert str(judge({FIRST: status}, KNOWN, [])) == "mutants: 1, killed 1, equivalent 0, surviving 0"


def test_an_entry_without_a_mutant_is_told() -> None:
    """An entry whose code was changed since is reported, in a run of a part as well."""
    gone = Change("Guard.wait", "return value + 3", "return value - 3")
    assert judge({THIRD: "killed"}, KNOWN, [gone]).troubles == [f"no such mutant any more: {gone}"]


def test_an_entry_whose_mutant_is_killed_is_told() -> None:
    """What a test can tell from the original is not equivalent."""
    assert judge({FIRST: "killed"}, KNOWN, [MINUS]).troubles == [f"killed, so not equivalent: {MINUS}"]


def test_an_entry_outside_the_part_that_ran_is_left_alone() -> None:
    """An entry that exists, but was not run, is neither counted nor reported."""
    verdict = judge({THIRD: "killed"}, KNOWN, [MINUS])
    assert (str(verdict), verdict.troubles) == ("mutants: 1, killed 1, equivalent 0, surviving 0", [])


def test_what_is_printed_is_an_entry() -> None:
    """A surviving mutant can be copied into equivalent.toml; a reason must be added."""
    several = Change("Guard.wait", "a = \"\\d\"\nb = 'é'", "")
    text = f"[[equivalent]]\n{entry(several)}\n"
    assert equivalents(f'{text}reason = "made up"') == [several]
    with pytest.raises(ValueError, match="needs where, was, becomes and a reason"):
        equivalents(text)
    with pytest.raises(ValueError, match="needs where, was, becomes and a reason"):
        equivalents(f'{text}reason = " "')
