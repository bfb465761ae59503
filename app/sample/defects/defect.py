"""What a defect is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Defect:
    """One defect. ``notices``: exactly the checks whose outcome it changes; ``group``: a check family."""

    name: str
    title: str
    description: str
    notices: tuple[str, ...]
    group: str
