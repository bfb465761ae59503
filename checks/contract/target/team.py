"""What the team accepts, and what it says."""

from __future__ import annotations

from typing import Literal

from checks.contract.target.calls import Table


class Waiver(Table):
    """``[[waivers]]``: an accepted failure. It earns nothing, lifts the cap, and ends by itself.

    ``until`` is an ISO date; a malformed one counts as ended.
    """

    check: str
    reason: str
    owner: str
    approver: str
    until: str


class Claim(Table):
    """``[[claims]]``: what the team says, tied to the value that ``check`` measures.

    ``check = "score"`` ties it to the score itself.
    """

    text: str
    check: str
    value: float
    better: Literal["higher", "lower"] = "higher"
