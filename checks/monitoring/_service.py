"""Which targets and series of a Prometheus are this service's. Private to this family.

A Prometheus watches many services. Series are the service's own where they have the labels of its scrape
target; `[prometheus] labels` says so, or the target is found by the address of the metrics route. Proxies and
probes tell of the service in series of their own: those name it in a label.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Literal
from urllib.parse import urlsplit

from checks.contract import InstrumentFailure, Target
from checks.contract.instruments.monitoring import Prometheus, ScrapeTarget

# What tells one instance of a service from another, and so does not mark the service.
OF_AN_INSTANCE = frozenset(("instance", "pod", "node", "host", "pod_template_hash", "container_id", "pid"))
# Where proxies, meshes and probes say of whom a series tells.
NAMING = (
    "destination_service_name", "destination_service", "destination_workload", "destination_app",
    "destination_canonical_service", "service", "service_name", "exported_service", "exported_job", "ingress",
    "host", "envoy_cluster_name", "app", "deployment", "container", "backend", "proxy", "target", "instance",
)  # fmt: skip
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
PORTS = {"http": 80, "https": 443}
YOUNG_S = 8.0  # a Prometheus that has just started scrapes first after five seconds
PAUSE_S = 0.5
MADE = frozenset(("up", "ALERTS", "ALERTS_FOR_STATE"))
MOST_TARGETS = 50
MOST_METRICS = 20_000
COMMON_NAMES = frozenset(
    ("", "service", "app", "default", "api", "web", "prod", "production", "kubernetes-pods")
)

Whose = Literal["own", "other", "nowhere"]


@dataclass(frozen=True)
class Service:
    """What a Prometheus has of the service.

    ``targets`` are the labels of its scrape targets, ``marks`` those that they share: they mark its series.
    ``names`` are words that name it in series of others. ``metrics`` are the names of its own series, and
    ``caches`` the host and port of its cache, which has an exporter of its own.
    """

    targets: tuple[dict[str, str], ...] = ()
    marks: dict[str, str] | None = None
    names: tuple[str, ...] = ()
    metrics: frozenset[str] = frozenset()
    caches: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether there are none but those that Prometheus makes of every target itself."""
        return all(name in MADE or name.startswith("scrape_") or ":" in name for name in self.metrics)

    @property
    def selector(self) -> str:
        """A selector of its own series; "" where it is not known."""
        pairs = [f"{name}={json.dumps(value)}" for name, value in sorted((self.marks or {}).items())]
        return f"{{{','.join(pairs)}}}" if pairs else ""

    def named_by(self, value: str) -> bool:
        """Whether a label's value names the service, alone or as a part: ``chat.shop.svc.cluster.local``."""
        said = value.lower()
        parts = {said, *re.split(r"[.:/|@]+", said)}
        return bool(parts & set(self.names)) or any(":" in name and name in said for name in self.names)


def own_targets(target: Target, scraped: Sequence[ScrapeTarget]) -> list[ScrapeTarget]:
    """The scrape targets that are instances of the service; empty where none can be told to be.

    Those that have the declared labels. Where one of them (or of all, if none are declared) has the address
    of the declared metrics route, those that share its labels: a sidecar exporter is not the service.
    """
    declared = target.prometheus.labels if target.prometheus else {}
    among = [each for each in scraped if declared.items() <= each.labels.items()] if declared else scraped
    here = [each for each in among if at_its_address(target, each)]
    if here:
        marks = _marks(here[0].labels).items()
        return [each for each in among if marks <= each.labels.items()]
    return list(among) if declared else []


async def settled_targets(target: Target, prometheus: Prometheus) -> Sequence[ScrapeTarget]:
    """All scrape targets; a server that has just started, and so knows none yet, is given some time."""
    until = monotonic() + YOUNG_S
    while True:
        scraped = await prometheus.targets()
        known = all(each.health != "unknown" for each in own_targets(target, scraped))
        if (scraped and known) or monotonic() > until:
            return scraped
        await asyncio.sleep(PAUSE_S)


def at_its_address(target: Target, scraped: ScrapeTarget) -> bool:
    """Whether Prometheus scrapes this at the address of the service's metrics route."""
    return _address(scraped.url) == _address(target.absolute(target.health.metrics or "/metrics"))


async def read_service(target: Target, prometheus: Prometheus) -> Service:
    """The service as Prometheus has it. Raises InstrumentFailure where its series cannot be told."""
    own = own_targets(target, await settled_targets(target, prometheus))[:MOST_TARGETS]
    declared = target.prometheus.labels if target.prometheus else {}
    if not own and not declared:
        raise InstrumentFailure(
            "Prometheus scrapes nothing at the address of this service, so its series cannot be told from "
            'others\'. Add `[prometheus] labels`, such as `labels = { job = "chat" }`, to the target file.',
            missing="prometheus.labels",
        )
    marks = dict(declared)
    if own:
        shared = set.intersection(*(set(each.labels.items()) for each in own))
        marks |= _marks(dict(shared))
    service = Service(
        targets=tuple(dict(each.labels) for each in own) or (dict(declared),),
        marks=marks,
        names=_names(target, marks),
    )
    metrics = await values_now("__name__", service.selector, prometheus)
    return replace(service, metrics=frozenset(metrics[:MOST_METRICS]), caches=_caches(target))


async def values_now(label: str, selector: str, prometheus: Prometheus) -> tuple[str, ...]:
    """The values of ``label`` among the series that there are now: the index also has those of yesterday."""
    answered = await prometheus.query(f"count by ({label}) ({selector})")
    return tuple(value for each in answered.series if (value := each.labels.get(label)))


def _caches(target: Target) -> tuple[str, ...]:
    place = target.redis.url.rpartition("@")[2].rpartition("://")[2].partition("/")[0] if target.redis else ""
    return (place,) if place and "$" not in place else ()


def _marks(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name not in OF_AN_INSTANCE and value}


def _names(target: Target, marks: Mapping[str, str]) -> tuple[str, ...]:
    host = target.host.lower()
    said = [marks.get(name, "") for name in ("job", "app", "service", "service_name", "application")]
    said += [
        target.key,
        re.sub(r"\s+", "-", target.name),
        "" if host in LOOPBACK else host,
        host.split(".")[0],
    ]
    said += [urlsplit(target.url).netloc]
    named = {name.lower() for name in said} - COMMON_NAMES - LOOPBACK
    return tuple(sorted(name for name in named if not name.isdigit()))


def _address(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return url, None
    return "localhost" if host in LOOPBACK else host, port
