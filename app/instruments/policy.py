"""What the operator allows: set in the environment of the run process, never from the browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import UserError
from app.instruments.origins import Origin, is_loopback
from checks.contract import InstrumentFailure, LoadPlan

HOSTS_VARIABLE = "GREENLIGHT_ALLOW_HOSTS"
FILE_VARIABLE = "GREENLIGHT_ALLOW_FILE"
USERS_VARIABLE = "GREENLIGHT_MAX_USERS"
RATE_VARIABLE = "GREENLIGHT_MAX_RATE"
MAX_USERS = 2_000
MAX_RATE_PER_S = 25_000.0


class AllowListError(UserError):
    """The operator's allow-list cannot be read; the message names the file."""


class CeilingError(UserError):
    """An operator's ceiling is not a number; the message names the variable."""


@dataclass(frozen=True, slots=True)
class Policy:
    """``allowed_hosts`` holds ``host`` (any port) or ``host:port``; loopback is always allowed.

    ``faults`` says whether this run may break things. ``max_users`` and ``max_rate_per_s`` are the ceilings
    of a load: users, or requests under way at once in the open model, and arrivals a second.
    """

    allowed_hosts: frozenset[str] = frozenset()
    faults: bool = True
    max_users: int = MAX_USERS
    max_rate_per_s: float = MAX_RATE_PER_S

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, faults: bool) -> Policy:
        """Read the allow-list from GREENLIGHT_ALLOW_HOSTS (commas) and GREENLIGHT_ALLOW_FILE (a line each).

        In the file, ``#`` begins a comment. GREENLIGHT_MAX_USERS and GREENLIGHT_MAX_RATE replace the ceilings
        of a load. Raises AllowListError when the file cannot be read, CeilingError for a ceiling that is not
        a number above 0.
        """
        entries = environ.get(HOSTS_VARIABLE, "").split(",")
        if path := environ.get(FILE_VARIABLE):
            try:
                lines = Path(path).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise AllowListError(f"The allow-list {path} cannot be read: {error}.") from error
            entries += [line.partition("#")[0] for line in lines]
        return cls(
            frozenset(entry.strip().lower() for entry in entries if entry.strip()),
            faults,
            max_users=int(_ceiling(environ, USERS_VARIABLE, MAX_USERS)),
            max_rate_per_s=_ceiling(environ, RATE_VARIABLE, MAX_RATE_PER_S),
        )

    def allows(self, origin: Origin) -> bool:
        """Whether more than passive checks may touch this place."""
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        listed = {origin.host, host, f"{host}:{origin.port}"} & self.allowed_hosts
        return is_loopback(origin.host) or bool(listed)

    def refusal(self, origin: Origin) -> InstrumentFailure | None:
        """Why ``origin`` may not be touched, or None."""
        if self.allows(origin):
            return None
        return InstrumentFailure(
            f"{origin.host} is not this machine and is not on the operator's allow-list, so only passive "
            f"checks may run. Add it to {HOSTS_VARIABLE} (or to the file that {FILE_VARIABLE} names)."
        )

    def load_refusal(self, plan: LoadPlan) -> InstrumentFailure | None:
        """Why a load of this size may not run, or None."""
        if plan.users > self.max_users:
            what = "requests under way at once" if plan.stages else "users"
            return InstrumentFailure(
                f"The scenario {plan.scenario} has {plan.users:,} {what}; at most {self.max_users:,} are "
                f"allowed. The operator raises this with {USERS_VARIABLE}."
            )
        peak_per_s = max((max(stage.from_per_s, stage.to_per_s) for stage in plan.stages), default=0.0)
        if peak_per_s > self.max_rate_per_s:
            return InstrumentFailure(
                f"The scenario {plan.scenario} sends {peak_per_s:,g} requests a second; at most "
                f"{self.max_rate_per_s:,g} are allowed. The operator raises this with {RATE_VARIABLE}."
            )
        return None


def _ceiling(environ: Mapping[str, str], variable: str, default: float) -> float:
    text = environ.get(variable, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value < float("inf"):
        raise CeilingError(f"{variable} is {text!r}, which is not a number of 1 or more.")
    return value
