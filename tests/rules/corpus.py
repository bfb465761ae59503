"""The rule files of ``files/`` and the truth about each of their rules, which stands in the comment above it.

``# VERDICT | RETURNS | WAY`` and, below that, ``#   key: value`` lines:

VERDICT  what a judge must say, in every state unless a line ``quiet: VERDICT`` (or another state) differs
RETURNS  in which states the expression returns something: ``never``, ``always`` or some of ``quiet busy
         failing``; ``error`` where it cannot be evaluated. Prometheus itself is asked whether that is so
WAY      how the rule is dead, or why it only looks dead
at       the part at fault, as it stands in the expression
near     what the author probably meant: the nearest metric, label or value that exists
unshown  why a rule that lives is not seen to change in these three states
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.rules.exporters import STATES

FILES = sorted((Path(__file__).parent / "files").glob("*.yml"))
ALIVE = ("alive", "meant_so")
UNDECIDED = ("not_yet",)
DEAD = ("dead_selector", "constant", "evaluation_error", "latent_error")
KEYS = {"at", "near", "unshown", *STATES}


@dataclass(frozen=True)
class Truth:
    """One rule: where it stands, and what is true of it."""

    file: str
    group: str
    position: int
    kind: str
    name: str
    expression: str
    verdict: str
    returns: tuple[str, ...]
    way: str
    at: str
    near: str
    unshown: str
    in_state: dict[str, str]

    @property
    def key(self) -> tuple[str, str, int]:
        """Names repeat, so this is what tells rules apart."""
        return (self.file, self.group, self.position)

    @property
    def where(self) -> str:
        """For a reader: the place and the name."""
        return f"{self.file}: {self.group}[{self.position}] {self.name}"

    def verdict_in(self, state: str) -> str:
        """The right verdict in one state."""
        return self.in_state.get(state, self.verdict)

    def returns_in(self, state: str) -> bool:
        """Whether the expression returns something in one state."""
        return state in self.returns and not self.errs_in(state)

    def errs_in(self, state: str) -> bool:
        """Whether the expression cannot be evaluated in one state."""
        return self.verdict_in(state) == "evaluation_error"


def bare(expression: str) -> str:
    """An expression without what does not matter when parts of it are compared."""
    return re.sub(r"\s+", "", expression)


def truths(file: Path) -> list[Truth]:
    """The rules of a file, in order."""
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = []
    for group in _sequence(yaml.compose(text), "groups"):
        rules = _sequence(group, "rules")
        name = _scalar(group, "name")
        for position, rule in enumerate(rules):
            comment = _comment(lines, rule.start_mark.line)
            found.append(_truth(file.name, name, position, rule, comment))
    return found


def corpus() -> list[Truth]:
    """All rules of all files."""
    return [truth for file in FILES for truth in truths(file)]


def _comment(lines: list[str], line: int) -> list[str]:
    above = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        above.append(lines[line].lstrip().removeprefix("#").removeprefix(" "))
    return above[::-1]


def _truth(file: str, group: str, position: int, rule: Any, comment: list[str]) -> Truth:
    kind = "alert" if _scalar(rule, "alert") else "record"
    name = _scalar(rule, kind)
    assert comment, f"{file}: {group}[{position}] {name} has no truth above it"
    verdict, returns, *way = (word.strip() for word in comment[0].split("|", 2))
    details = dict(re.match(r"\s+(\w+): (.+)", line).groups() for line in comment[1:])
    assert set(details) <= KEYS, f"{file}: {name}: {set(details) - KEYS}"
    told = {"always": STATES, "never": (), "error": ()}.get(returns, tuple(returns.split()))
    assert set(told) <= set(STATES), f"{file}: {name}: {returns}"
    return Truth(
        file=file,
        group=group,
        position=position,
        kind=kind,
        name=name,
        expression=_scalar(rule, "expr"),
        verdict=verdict,
        returns=told,
        way=way[0] if way else "",
        at=details.get("at", ""),
        near=details.get("near", ""),
        unshown=details.get("unshown", ""),
        in_state={state: details[state] for state in STATES if state in details},
    )


def _sequence(node: Any, key: str) -> list[Any]:
    return next(value.value for name, value in node.value if name.value == key)


def _scalar(node: Any, key: str) -> str:
    return next((str(value.value) for name, value in node.value if name.value == key), "")
