"""The mutants that mutmut makes of a module: their names, and what each of them changes."""

import ast
import difflib
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass

# `components.xǁClassǁmethod__mutmut_7` or `components.x_function__mutmut_7`
NAME = re.compile(r"components\.x(?:ǁ(?P<of>\w+?)ǁ|_)(?P<function>\w+?)__mutmut_\d+")
# Where a statement holds others.
BLOCKS = ("body", "orelse", "finalbody", "handlers")


@dataclass(frozen=True)
class Change:
    """What a mutant changes: lines of `where` (a function, or Class.method) before and after, joined by newlines."""

    where: str
    was: str
    becomes: str


@dataclass(frozen=True)
class Place:
    """Where a mutant differs from the original: lines of the statements, and of the function that holds them."""

    lines: Set[int]
    function: Set[int]


def pattern(only: str) -> str:
    """mutmut's pattern for a class, a Class.method, a function, or one mutant by its full name."""
    if "__mutmut_" in only:
        return only
    name, _, method = only.partition(".")
    of_class = name.lstrip("_")[:1].isupper()
    return f"components.xǁ{name}ǁ{method or '*'}__mutmut_*" if of_class else f"components.x_{name}__mutmut_*"


def changes(mutated: str) -> dict[str, Change]:
    """What each mutant changes, by its name, from the module that mutmut wrote with all mutants side by side."""
    found = {}
    for name, original, mutant in _pairs(mutated):
        lines = list(difflib.ndiff(_lines(original), _lines(mutant)))
        was, becomes = ("\n".join(line[2:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
        found[name[0]] = Change(".".join(filter(None, (name["of"], name["function"]))), was, becomes)
    return found


def places(mutated: str) -> dict[str, Place]:
    """Where each mutant differs, by its name, in the lines that the original has in that module."""
    found = {}
    for name, original, mutant in _pairs(mutated):
        function = frozenset(range(original.lineno, (original.end_lineno or 0) + 1))
        befores, afters = list(_statements(original)), list(_statements(mutant))
        # A line `def` runs where no test can be seen, and what was added or taken away stands in no line of both.
        is_told = len(befores) == len(afters) and befores[0][0] == afters[0][0]
        differing = [lines for (was, lines), (becomes, _) in zip(befores, afters, strict=False) if was != becomes]
        found[name[0]] = Place(frozenset().union(*differing) if is_told else function, function)
    return found


def _pairs(mutated: str) -> Iterator[tuple[re.Match[str], ast.FunctionDef, ast.FunctionDef]]:
    """Each mutant's name, original and mutated function."""
    functions = {node.name: node for node in ast.walk(ast.parse(mutated)) if isinstance(node, ast.FunctionDef)}
    for mangled, mutant in functions.items():
        name = NAME.fullmatch(f"components.{mangled}")
        if name is not None:
            yield name, functions[f"{mangled.rpartition('__mutmut_')[0]}__mutmut_orig"], mutant


def _lines(function: ast.FunctionDef) -> list[str]:
    """The source of a function in one form, whatever its formatting and its own name."""
    return re.sub(r"(?<=^def )\w+", "_", ast.unparse(function), flags=re.MULTILINE).splitlines()


def _statements(function: ast.FunctionDef) -> Iterator[tuple[str, range]]:
    """A function and all of its statements, each without those that it holds: what it says, and its lines."""
    for node in ast.walk(function):
        if isinstance(node, ast.stmt | ast.excepthandler):
            held = [inner.lineno for name in BLOCKS for inner in getattr(node, name, ())]
            end = max(node.lineno, min(held) - 1) if held else node.end_lineno or 0
            own = {name: [] if name in BLOCKS else value for name, value in ast.iter_fields(node)}
            own |= {"name": ""} if node is function else {}
            yield ast.dump(type(node)(**own)), range(node.lineno, end + 1)
