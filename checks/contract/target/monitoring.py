"""Where the service is watched: Prometheus, Alertmanager, Grafana, and who hears its alerts."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from checks.contract.target.calls import Headers, Place, Table
from checks.contract.target.dependencies import Way


def _clean_base(url: str) -> str:
    if not re.match(r"https?://[^/\s]+", url):
        raise ValueError(f"{url!r} is not an http(s) URL with a host")
    return url.rstrip("/")


def _clean_address(address: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.\-]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}", address):
        raise ValueError(f"{address!r} is not host:port")
    return address


BaseUrl = Annotated[str, AfterValidator(_clean_base)]
Address = Annotated[str, AfterValidator(_clean_address)]


class Prometheus(Table):
    """``[prometheus]``: the server that scrapes the service. ``url`` may have a path in front of its API.

    ``labels`` are those that mark the service's own series, ``{ job = "chat" }``.
    """

    url: BaseUrl
    headers: Headers = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class Alertmanager(Table):
    """``[alertmanager]``: where alerts go."""

    url: BaseUrl
    headers: Headers = Field(default_factory=dict)


class Grafana(Table):
    """``[grafana]``: where dashboards are. ``dashboards`` are uids; else those that name the service."""

    url: BaseUrl
    headers: Headers = Field(default_factory=dict)
    dashboards: tuple[str, ...] = Field(default=(), max_length=50)


class Notifications(Table):
    """``[notifications]``: where the run listens for Alertmanager's webhook, during a drill only.

    A receiver of the team's Alertmanager posts to ``http://LISTEN/PATH``.
    """

    listen: Address = "127.0.0.1:9096"
    path: Place = "/"


class AlertDrill(Table):
    """``[alert_drill]``: what is broken, and which alert must then tell of it (any new one if left out)."""

    lever: str
    way: Way = "refuse"
    alert: str | None = None
    ask_per_s: float = Field(default=5, ge=0, le=100)
