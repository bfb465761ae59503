"""Reads an expression for what it can return, whatever the service does. Pure, private to this family."""

from __future__ import annotations

from dataclasses import replace

from checks.contract.promql import (
    SET_OPERATORS,
    Aggregation,
    Binary,
    Call,
    Negative,
    Node,
    Number,
    Selector,
    Subquery,
    Text,
)
from checks.monitoring._rules.aggregating import read_aggregation
from checks.monitoring._rules.bounds import (
    exactly,
    negated,
)
from checks.monitoring._rules.calls import read_call
from checks.monitoring._rules.operators import read_binary
from checks.monitoring._rules.reader import Reader
from checks.monitoring._rules.selecting import too_old
from checks.monitoring._rules.sets import read_set
from checks.monitoring._rules.vectors import (
    Presence,
    Vector,
    never,
    pending,
)


class Reading(Reader):
    """Reads any node: what each kind of it returns stands in a module of its own."""

    def read(self, node: Node) -> Vector:  # noqa: PLR0911 - one for each kind of node
        """What ``node`` can return."""
        match node:
            case Number():
                return Vector(bounds=exactly(node.value), scalar=True, sure=True)
            case Text():
                return Vector(scalar=True, sure=True)
            case Selector():
                return self._selector(node)
            case Call():
                return read_call(self, node)
            case Aggregation():
                return read_aggregation(self, node)
            case Binary():
                read = read_set if node.operator in SET_OPERATORS else read_binary
                return read(self, node, self.read(node.left), self.read(node.right))
            case Negative():
                of = self.read(node.of)
                return replace(of, bounds=negated(of.bounds), holds=(), sets=self.nameless(node, of))
            case Subquery():
                of = self.read(node.of)
                stopped = of.presence in (Presence.NEVER, Presence.PENDING)
                return replace(of, holds=(), flaw=of.flaw if stopped else None)

    def _selector(self, node: Selector) -> Vector:
        found = self.recorded(node) or self.selecting.found(node)
        if found.presence is Presence.NEVER:
            return found
        old = too_old(node, self.world.facts.reaches)
        if old is not None:
            return never(old) if old.verdict.bad else pending(old)
        return found
