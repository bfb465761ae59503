"""Where the service is watched: Prometheus, Alertmanager, Grafana, and who hears its alerts."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from checks.contract.target.auth import Credential
from checks.contract.target.calls import Headers, Place, Table
from checks.contract.target.dependencies import Way


def _clean_base(url: str) -> str:
    if not re.match(r"https?://[^/\s]+", url):
        raise ValueError(f"{url!r} is not an http(s) URL with a host")
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError("holds a user; write `username` and `password` beside it")
    if parts.query or parts.fragment:
        raise ValueError(f"{url!r} goes on after its path; end it there")
    return url.rstrip("/")


def _clean_address(address: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.\-]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}", address):
        raise ValueError(f"{address!r} is not host:port")
    return address


BaseUrl = Annotated[str, AfterValidator(_clean_base)]
Address = Annotated[str, AfterValidator(_clean_address)]


class Server(Table):
    """A server of the team's monitoring. ``url`` may have a path in front of its API (a route prefix).

    It is asked with ``headers`` (``Authorization = "Bearer ${ENV_NAME}"``), or with ``username`` and
    ``password``. ``ca_file`` holds the certificate of a private authority that vouches for it.
    """

    url: BaseUrl
    headers: Headers = Field(default_factory=dict)
    username: str | None = None
    password: Credential | None = None
    ca_file: str | None = None

    @model_validator(mode="after")
    def _one_way_in(self) -> Server:
        if (self.username is None) != (self.password is None):
            raise ValueError("needs both of `username` and `password`, or none")
        if self.username is not None and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("has `username` and `password`, and an Authorization among `headers`: keep one")
        return self


class Prometheus(Server):
    """``[prometheus]``: the server that scrapes the service.

    ``labels`` are those that mark the service's own series, ``{ job = "chat" }``. ``runbooks`` are origins
    beside the service's own (``https://wiki.example``) whose pages alerts link to: links there are opened.
    """

    labels: dict[str, str] = Field(default_factory=dict)
    runbooks: tuple[BaseUrl, ...] = Field(default=(), max_length=20)


class Alertmanager(Server):
    """``[alertmanager]``: where alerts go."""


class Grafana(Server):
    """``[grafana]``: where dashboards are. ``dashboards`` are uids; else those that name the service."""

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
