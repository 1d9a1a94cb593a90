"""What a run of mutmut says: which mutants live, which of them are known as equivalent, and which entries are stale."""

import ast
import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# `components.xǁClassǁmethod__mutmut_7` or `components.x_function__mutmut_7`
NAME = re.compile(r"components\.x(?:ǁ(?P<of>\w+?)ǁ|_)(?P<function>\w+?)__mutmut_\d+")
KILLED = ("killed", "timeout", "caught by type check")


@dataclass(frozen=True)
class Change:
    """What a mutant changes: lines of `where` (a function, or Class.method) before and after, joined by newlines."""

    where: str
    was: str
    becomes: str


@dataclass(frozen=True)
class Verdict:
    """The mutants that were run by name, those that survive without an excuse, and what is wrong with the excuses."""

    killed: int
    equivalent: int
    surviving: Mapping[str, Change]
    troubles: list[str]

    def __str__(self) -> str:
        run = self.killed + self.equivalent + len(self.surviving)
        counts = f"killed {self.killed}, equivalent {self.equivalent}, surviving {len(self.surviving)}"
        return f"mutants: {run}, {counts}"


def pattern(only: str) -> str:
    """mutmut's pattern for a class, a Class.method, a function, or one mutant by its full name."""
    if "__mutmut_" in only:
        return only
    name, _, method = only.partition(".")
    of_class = name.lstrip("_")[:1].isupper()
    return f"components.xǁ{name}ǁ{method or '*'}__mutmut_*" if of_class else f"components.x_{name}__mutmut_*"


def changes(mutated: str) -> dict[str, Change]:
    """What each mutant changes, by its name, from the module that mutmut wrote with all mutants side by side."""
    functions = {node.name: node for node in ast.walk(ast.parse(mutated)) if isinstance(node, ast.FunctionDef)}
    found = {}
    for mangled, node in functions.items():
        name = NAME.fullmatch(f"components.{mangled}")
        if name is None:
            continue
        where = ".".join(filter(None, (name["of"], name["function"])))
        original = functions[f"{mangled.rpartition('__mutmut_')[0]}__mutmut_orig"]
        lines = list(difflib.ndiff(_lines(original), _lines(node)))
        was, becomes = ("\n".join(line[2:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
        found[name[0]] = Change(where, was, becomes)
    return found


def _lines(node: ast.FunctionDef) -> list[str]:
    """The source of a function in one form, whatever its formatting and its own name."""
    return re.sub(r"(?<=^def )\w+", "_", ast.unparse(node), flags=re.MULTILINE).splitlines()


def equivalents(text: str) -> list[Change]:
    """The entries of an equivalent.toml. Raises `ValueError` for one that is not complete."""
    entries = tomllib.loads(text).get("equivalent", [])
    for entry in entries:
        if set(entry) != {"where", "was", "becomes", "reason"} or not entry["reason"].strip():
            raise ValueError(f"an equivalent mutant needs where, was, becomes and a reason, and nothing else: {entry}")
    return [Change(entry["where"], entry["was"].strip(), entry["becomes"].strip()) for entry in entries]


def judge(results: Mapping[str, str], known: Mapping[str, Change], excused: Iterable[Change]) -> Verdict:
    """Judge the `results` of mutmut (name to status) for some of the `known` mutants, all that there are."""
    excused = list(excused)
    alive = {name: known[name] for name, status in results.items() if status not in KILLED}
    killed = {known[name] for name, status in results.items() if status in KILLED}
    existing = set(known.values())
    troubles = [f"no such mutant any more: {entry}" for entry in excused if entry not in existing]
    troubles += [f"killed, so not equivalent: {entry}" for entry in excused if entry in killed]
    surviving = {name: change for name, change in alive.items() if change not in excused}
    return Verdict(len(results) - len(alive), len(alive) - len(surviving), surviving, troubles)


def entry(change: Change) -> str:
    """A surviving mutant as equivalent.toml would hold it, but for the reason."""
    # JSON's strings are TOML's, too.
    fields = {"where": change.where, "was": change.was, "becomes": change.becomes}
    return "\n".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items())
