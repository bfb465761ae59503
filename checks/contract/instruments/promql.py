"""Reads expressions of PromQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from checks.contract.promql import Node


@dataclass(frozen=True, slots=True)
class Parsed:
    """The tree of an expression, or the problem with it in words."""

    node: Node | None
    problem: str = ""


class PromQL(Protocol):
    """Parses; asks nobody."""

    def parse(self, expression: str) -> Parsed:
        """The tree of ``expression``. What cannot be read is a value, never an exception."""
