"""A request of several steps, and the state of every party."""

from __future__ import annotations

from pydantic import Field

from checks.contract.target.calls import Call, Headers, Place, Table
from checks.contract.target.dependencies import Way


class StateProbe(Table):
    """Where a party of the transaction shows its state as JSON; ``ignore`` lists paths that may change."""

    name: str
    url: Place
    headers: Headers = Field(default_factory=dict)
    ignore: tuple[str, ...] = ()


class Step(Table):
    """One step of the transaction, and the lever (with its way) that makes it fail."""

    name: str
    lever: str
    way: Way = "refuse"


class Transaction(Call):
    """``[transaction]``: a multi-step request, its steps, and the state of every party."""

    good_statuses: tuple[int, ...] = (200, 201)
    settle_s: float = Field(default=2.0, gt=0, le=60)
    state: tuple[StateProbe, ...] = Field(min_length=1)
    steps: tuple[Step, ...] = Field(min_length=1)
