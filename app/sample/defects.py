"""The defects that the sample can have: switches, off by default, one per thing that a check must notice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.errors import UserError


class UnknownDefectError(UserError):
    """There is no such defect; the message names the nearest one."""


@dataclass(frozen=True)
class Defect:
    """One defect. ``notices``: exactly the checks whose outcome it changes; ``group``: a check family."""

    name: str
    title: str
    description: str
    notices: tuple[str, ...]
    group: str


_ALL: tuple[Defect, ...] = ()
DEFECTS: Mapping[str, Defect] = {defect.name: defect for defect in _ALL}
AS_FOUND: tuple[str, ...] = ()


def checked(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once and in the order of DEFECTS. Raises UnknownDefectError."""
    wanted = set(names)
    for name in sorted(wanted - DEFECTS.keys()):
        raise UnknownDefectError(f"There is no defect {name!r}.")
    return tuple(name for name in DEFECTS if name in wanted)
