"""What the parts of a reading of an expression share. Private to this family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from checks.contract.promql import (
    Node,
    Selector,
)
from checks.monitoring._rules.facts import Labels, World
from checks.monitoring._rules.selecting import Selecting
from checks.monitoring._rules.vectors import (
    Flaw,
    Presence,
    Vector,
    Verdict,
    projected,
)

Recorded = Callable[[Selector], Vector | None]


@dataclass
class Reader:
    """Reads one expression for what it can return, whatever the service does.

    ``errors`` are what cannot be evaluated, now or one day. ``recorded`` gives what a recording returns for a
    selector, None where its name is no recording. ``meant``: a part is not there, as its author surely knows.
    """

    world: World
    selecting: Selecting
    recorded: Recorded
    errors: list[Flaw] = field(default_factory=list)
    meant: bool = False

    def read(self, node: Node) -> Vector:
        """What ``node`` can return."""
        raise NotImplementedError

    def err(self, flaw: Flaw) -> None:
        """Note what cannot be evaluated."""
        if flaw not in self.errors:
            self.errors.append(flaw)

    def nameless(self, node: Node, of: Vector) -> tuple[Labels, ...]:
        """The label sets without names; two that then are one cannot be evaluated."""
        if not any("__name__" in each for each in of.sets):
            return of.sets
        sets = projected(of.sets, None, frozenset(("__name__",)))
        if len(sets) < len(of.sets):
            why = "series of several metrics lose their names here and are then the same"
            now = of.real and of.presence is Presence.ALWAYS
            self.err(Flaw(Verdict.ERROR if now else Verdict.LATENT, node, why))
        return sets
