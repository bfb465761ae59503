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


Way = Literal["refuse", "hang", "errors", "few_errors", "slow", "reset", "kill", "pause", "term"]


class Lever(Table):
    """``[levers.NAME]``: what breaks and restores one dependency, or the service itself.

    ``toxiproxy`` needs ``api`` and ``proxy``. ``faultproxy`` is Greenlight's own proxy, which needs the same,
    can ``errors`` and ``few_errors`` too (every call, or the next two, get a 503), and counts calls.
    ``command`` needs ``break`` and ``restore``. ``process`` signals what listens on ``port`` of this host
    (the target's where left out): it can ``kill``, ``pause`` and, by the signal of ``[shutdown]``, ``term``;
    what has ended is started again by its supervisor, or by ``restore`` where that is declared.
    """

    kind: Literal["toxiproxy", "faultproxy", "command", "process"]
    ways: tuple[Way, ...] = ("refuse",)
    api: str | None = None
    proxy: str | None = None
    port: int | None = Field(default=None, ge=1, le=65_535)
    break_command: tuple[str, ...] | None = Field(default=None, alias="break")
    restore_command: tuple[str, ...] | None = Field(default=None, alias="restore")

    @model_validator(mode="after")
    def _complete(self) -> Lever:
        if self.kind in ("toxiproxy", "faultproxy") and not (self.api and self.proxy):
            raise ValueError(f"a {self.kind} lever needs `api` and `proxy`")
        if self.kind == "command" and not (self.break_command and self.restore_command):
            raise ValueError("a command lever needs `break` and `restore`")
        return self


class Shutdown(Table):
    """``[shutdown]``: how the service is asked to end, and how long it may take."""

    signal: Literal["SIGTERM", "SIGINT", "SIGQUIT"] = "SIGTERM"
    within_s: float = Field(default=30.0, gt=0, le=600)
