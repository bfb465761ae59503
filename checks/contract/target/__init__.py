"""What to assess: the shape of a target file, and how a request is filled in and a reply is read.

Everything here is pure. Only ``url`` is needed; what is left out cannot be measured, and the finding then
names the key to add. Loading from disk, discovery and secrets live in app/targets.py.
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from checks.contract.target.auth import Auth
from checks.contract.target.calls import Table
from checks.contract.target.chaos import ChaosExperiment
from checks.contract.target.dependencies import Cost, Lever, Redis, Shutdown, Upstream
from checks.contract.target.monitoring import AlertDrill, Alertmanager, Grafana, Notifications, Prometheus
from checks.contract.target.objectives import Objectives
from checks.contract.target.prompts import Prompts
from checks.contract.target.service import Ask, Health, OpenApiPlace, Stream
from checks.contract.target.team import Claim, Waiver
from checks.contract.target.transaction import Transaction


def _clean_origin(origin: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?", origin):
        raise ValueError(f"{origin!r} is not a web origin such as https://shop.example")
    return origin.lower()


class Target(Table):
    """A service to assess. ``key`` is the name of its file and of its history.

    ``web_origins`` are the sites whose pages may call it with their users' credentials.
    """

    key: str = "service"
    url: str
    name: str = ""
    team: str = ""
    public: bool = False
    web_origins: tuple[Annotated[str, AfterValidator(_clean_origin)], ...] = ()
    allow_faults: bool = False
    ask: Ask | None = None
    stream: Stream | None = None
    auth: Auth | None = None
    health: Health = Health()
    openapi: OpenApiPlace | None = None
    prompts: Prompts = Prompts()
    objectives: Objectives = Objectives()
    redis: Redis | None = None
    upstream: Upstream | None = None
    cost: Cost | None = None
    levers: dict[str, Lever] = Field(default_factory=dict)
    shutdown: Shutdown = Shutdown()
    prometheus: Prometheus | None = None
    alertmanager: Alertmanager | None = None
    grafana: Grafana | None = None
    notifications: Notifications | None = None
    alert_drill: AlertDrill | None = None
    transaction: Transaction | None = None
    chaos: tuple[ChaosExperiment, ...] = Field(default=(), max_length=20)
    waivers: tuple[Waiver, ...] = ()
    claims: tuple[Claim, ...] = ()
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict)
    guessed: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _sound(self) -> Target:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url {self.url!r} is not an http(s) URL with a host")
        for what, failing in self.transaction.failings if self.transaction else ():
            if failing.lever is not None:
                self._can(failing.lever, failing.way, what)
        if self.transaction and self.transaction.service is not None:
            self._can(self.transaction.service, "kill", "transaction.service")
        if self.alert_drill and self.alert_drill.lever not in self.levers:
            raise ValueError(f"alert_drill names lever {self.alert_drill.lever!r}, not declared")
        return self

    def _can(self, lever: str, way: str, what: str) -> None:
        declared = self.levers.get(lever)
        if declared is None:
            raise ValueError(f"{what} names lever {lever!r}, not declared")
        if way not in declared.ways:
            raise ValueError(f"{what} needs the way {way!r}: add it to `[levers.{lever}] ways`")

    @property
    def host(self) -> str:
        """The host that is assessed, without port."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port that is assessed."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def title(self) -> str:
        """The name people read."""
        return self.name or self.host

    def under_load(self) -> Target:
        """The same target, whose questions are sent with the credential that its rate limit spares."""
        if self.auth is None or self.auth.spared is None:
            return self
        calls = {name: call for name in ("ask", "stream") if (call := getattr(self, name)) is not None}
        return self.model_copy(
            update={
                name: call.model_copy(update={"headers": self.auth.sent_with(self.auth.spared, call.headers)})
                for name, call in calls.items()
            }
        )

    def absolute(self, place: str) -> str:
        """Full URL of a path of this target, or ``place`` itself where it is a URL already."""
        if place.startswith(("http://", "https://")):
            return place
        return f"{self.url.rstrip('/')}/{place.lstrip('/')}"  # joined as text: a path never becomes a host
