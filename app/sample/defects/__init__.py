"""The defects that the sample can have: switches, off by default, one per thing that a check must notice."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from app.errors import UserError
from app.sample.defects.cache import CACHE
from app.sample.defects.defect import Defect
from app.sample.defects.endpoint_health import ENDPOINT_HEALTH
from app.sample.defects.error_recovery import ERROR_RECOVERY
from app.sample.defects.load_scenarios import LOAD_SCENARIOS
from app.sample.defects.monitoring import MONITORING

__all__ = ["AS_FOUND", "DEFECTS", "Defect", "UnknownDefectError", "checked"]

FAMILIES = (CACHE, ENDPOINT_HEALTH, LOAD_SCENARIOS, MONITORING, ERROR_RECOVERY)


class UnknownDefectError(UserError):
    """There is no such defect; the message names the nearest one."""


DEFECTS: Mapping[str, Defect] = {defect.name: defect for family in FAMILIES for defect in family}

# The brief's situation: what the team had without knowing it.
AS_FOUND = (
    "primary_route_500",
    "cache_never_called",
    "stale_server",
    "no_upstream_timeout",
    "no_compensation",
)


def checked(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once and in the order of DEFECTS. Raises UnknownDefectError."""
    wanted = set(names)
    for name in sorted(wanted - DEFECTS.keys()):
        near = difflib.get_close_matches(name, DEFECTS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UnknownDefectError(
            f"There is no defect {name!r}.{hint} `python -m app sample defects` lists them."
        )
    return tuple(name for name in DEFECTS if name in wanted)
