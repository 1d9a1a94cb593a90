"""What a run says: which mutants live, which of them are known as equivalent, and which entries are stale."""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tools.mutation.mutants import Change

KILLED = ("killed", "timeout")


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


def equivalents(text: str) -> list[Change]:
    """The entries of an equivalent.toml. Raises `ValueError` for one that is not complete."""
    entries = tomllib.loads(text).get("equivalent", [])
    for entry in entries:
        if set(entry) != {"where", "was", "becomes", "reason"} or not entry["reason"].strip():
            raise ValueError(f"an equivalent mutant needs where, was, becomes and a reason, and nothing else: {entry}")
    return [Change(entry["where"], entry["was"].strip(), entry["becomes"].strip()) for entry in entries]


def judge(results: Mapping[str, str], known: Mapping[str, Change], excused: Iterable[Change]) -> Verdict:
    """Judge the `results` (name to status) for some of the `known` mutants, all that there are."""
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
