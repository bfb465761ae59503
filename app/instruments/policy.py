"""What the operator allows: set in the environment of the run process, never from the browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import UserError
from app.instruments.origins import Origin, is_loopback
from checks.contract import InstrumentFailure

HOSTS_VARIABLE = "GREENLIGHT_ALLOW_HOSTS"
FILE_VARIABLE = "GREENLIGHT_ALLOW_FILE"


class AllowListError(UserError):
    """The operator's allow-list cannot be read; the message names the file."""


@dataclass(frozen=True, slots=True)
class Policy:
    """``allowed_hosts`` holds ``host`` (any port) or ``host:port``; loopback is always allowed.

    ``faults`` says whether this run may break things; ``max_users`` is the ceiling of a load.
    """

    allowed_hosts: frozenset[str] = frozenset()
    faults: bool = True
    max_users: int = 200

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, faults: bool) -> Policy:
        """Read the allow-list from GREENLIGHT_ALLOW_HOSTS (commas) and GREENLIGHT_ALLOW_FILE (a line each).

        In the file, ``#`` begins a comment. Raises AllowListError when the file cannot be read.
        """
        entries = environ.get(HOSTS_VARIABLE, "").split(",")
        if path := environ.get(FILE_VARIABLE):
            try:
                lines = Path(path).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise AllowListError(f"The allow-list {path} cannot be read: {error}.") from error
            entries += [line.partition("#")[0] for line in lines]
        return cls(frozenset(entry.strip().lower() for entry in entries if entry.strip()), faults)

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
