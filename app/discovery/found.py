"""What discovery found: a target, and where each of its lines comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from checks.contract import Target


@dataclass(frozen=True, slots=True)
class Discovery:
    """``why`` says of a table or key (``ask``, ``ask.cached``) where it comes from; ``aside`` is the rest.

    A sentence that begins with "Guess" is about a line that nothing has confirmed.
    """

    target: Target
    why: Mapping[str, str] = field(default_factory=dict)
    aside: tuple[str, ...] = ()
