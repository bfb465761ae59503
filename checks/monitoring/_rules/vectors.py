"""What an expression can return, whatever the service does: the words that the reading of rules speaks in.

Private to this family. A ``Vector`` is not a result of now. It holds which label sets there can be, between
which numbers the values lie, and whether there is ever an element, or always one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from checks.contract.promql import Matcher, Node
from checks.monitoring._rules.bounds import ANY, Bounds
from checks.monitoring._rules.facts import Labels

ANY_LABEL = "*"  # among the labels that may be there besides those known: any


class Verdict(StrEnum):
    """What is to be said of a rule."""

    ALIVE = "alive"
    MEANT_SO = "meant_so"
    NOT_YET = "not_yet"
    DEAD = "dead_selector"
    CONSTANT = "constant"
    ERROR = "evaluation_error"
    LATENT = "latent_error"

    @property
    def bad(self) -> bool:
        """Whether the rule does not do what it is there for."""
        return self in (Verdict.DEAD, Verdict.CONSTANT, Verdict.ERROR, Verdict.LATENT)


class Presence(StrEnum):
    """Whether there are elements."""

    NEVER = "never"
    PENDING = "pending"  # cannot be told yet
    SOMETIMES = "sometimes"
    ALWAYS = "always"  # whenever there is data at all: no condition decides


@dataclass(frozen=True)
class Flaw:
    """What is wrong, with which part, why; ``near`` is what exists, ``mended`` what to write for the part."""

    verdict: Verdict
    at: Node
    why: str
    near: str = ""
    mended: Node | None = None


@dataclass(frozen=True)
class Vector:
    """What a node can return.

    ``sets`` are label sets that there are, or (not ``real``) one that may come for each; ``open`` labels can
    get further values, ``more`` are labels that may be there besides. ``limits`` are the matchers that values
    of a label had to meet. ``holds`` is what is known of the values of parts, by part. ``single``: at most
    one element for each value of these labels. ``info``: the labels tell, and a target has one series.
    ``counts``: events make its series, one for each kind of them. ``sure``: there is an element even without
    any data. ``cut``: there are more sets than are known. ``flaw`` says why there is never an element, why it
    cannot be told, or why there is always one; ``fixed`` why the value tells nothing.
    """

    presence: Presence = Presence.ALWAYS
    bounds: Bounds = ANY
    sets: tuple[Labels, ...] = ({},)
    open: frozenset[str] = frozenset()
    more: frozenset[str] = frozenset()
    real: bool = True
    limits: Mapping[str, tuple[Matcher, ...]] = field(default_factory=dict)
    holds: tuple[tuple[Node, Bounds], ...] = ()
    single: frozenset[str] | None = None
    info: bool = False
    counts: bool = False
    scalar: bool = False
    sure: bool = False
    cut: bool = False
    flaw: Flaw | None = None
    fixed: Flaw | None = None

    @property
    def labels(self) -> frozenset[str]:
        """The labels that any of its sets has."""
        return frozenset(label for each in self.sets for label in each)

    def may_have(self, label: str) -> bool:
        """Whether ``label`` may be there besides those known."""
        return label in self.more or ANY_LABEL in self.more


def never(flaw: Flaw | None) -> Vector:
    """No element, ever."""
    return Vector(Presence.NEVER, sets=(), flaw=flaw)


def pending(flaw: Flaw | None) -> Vector:
    """Cannot be told yet."""
    return Vector(Presence.PENDING, sets=({},), more=frozenset((ANY_LABEL,)), real=False, flaw=flaw)


def projected(
    sets: Iterable[Labels], keep: frozenset[str] | None, drop: frozenset[str] = frozenset()
) -> tuple[Labels, ...]:
    """Label sets with only ``keep`` (all where it is None) and without ``drop``, each once."""
    found = {
        tuple(
            sorted(
                (name, value)
                for name, value in each.items()
                if (keep is None or name in keep) and name not in drop
            )
        )
        for each in sets
    }
    return tuple(dict(each) for each in sorted(found))
