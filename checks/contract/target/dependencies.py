"""What the service depends on, what it costs, and how each part is broken."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from checks.contract.target.calls import Count, Table


class Redis(Table):
    """``[redis]``: the cache's server. ``url`` may hold ``${ENV_NAME}``; ``key_prefix`` is this service's."""

    url: str
    key_prefix: str = ""


class Upstream(Table):
    """``[upstream]``: the paid service behind this one, where its calls are counted."""

    calls: Count


class Cost(Table):
    """``[cost]``: what a paid call costs, to project a month, and what a month may cost."""

    price_per_call_usd: float = Field(gt=0)
    calls_per_question: float = Field(default=1, gt=0)
    questions_per_day: float = Field(gt=0)
    budget_per_month_usd: float | None = Field(default=None, gt=0)


Way = Literal["refuse", "hang", "errors", "slow", "reset"]


class Lever(Table):
    """``[levers.NAME]``: what breaks and restores one dependency.

    ``toxiproxy`` needs ``api`` and ``proxy``; ``command`` needs ``break`` and ``restore``.
    """

    kind: Literal["toxiproxy", "command"]
    ways: tuple[Way, ...] = ("refuse",)
    api: str | None = None
    proxy: str | None = None
    break_command: tuple[str, ...] | None = Field(default=None, alias="break")
    restore_command: tuple[str, ...] | None = Field(default=None, alias="restore")

    @model_validator(mode="after")
    def _complete(self) -> Lever:
        if self.kind == "toxiproxy" and not (self.api and self.proxy):
            raise ValueError("a toxiproxy lever needs `api` and `proxy`")
        if self.kind == "command" and not (self.break_command and self.restore_command):
            raise ValueError("a command lever needs `break` and `restore`")
        return self
