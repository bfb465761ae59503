"""The instruments that a check may use, as protocols. app/instruments has the real ones.

An instrument measures and never judges. A reply that failed is a value, not an exception: ``Reply.failure``.
What an instrument cannot do at all raises ``InstrumentFailure``; a check that lets it through is reported as
not assessed with that sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal, Protocol

from checks.contract.instruments.chaos import Chaos
from checks.contract.instruments.faults import Faults
from checks.contract.instruments.http import Bodies, Credentials, Http, Tls
from checks.contract.instruments.monitoring import Alertmanager, Grafana, Notifications, Prometheus
from checks.contract.instruments.openapi import OpenApi
from checks.contract.instruments.promql import PromQL
from checks.contract.instruments.questions import Bursts, PromptSource, Questions
from checks.contract.instruments.redis import Redis
from checks.contract.instruments.service import Counts, Memory, Metrics, Processes, Upstream
from checks.contract.instruments.streams import Sse
from checks.contract.load import Load, Scenario, Statistics


@dataclass(frozen=True, slots=True)
class Profile:
    """How long to measure. ``quick`` is for a developer, ``standard`` for a release, ``deep`` for a night."""

    name: Literal["quick", "standard", "deep"]
    samples: int
    outage_s: float
    deadline_factor: float
    scenarios: Mapping[str, Scenario]


class Instruments(Protocol):
    """All instruments of a run. One that ``CHECK.needs`` does not name raises InstrumentFailure."""

    profile: Profile
    random: Random
    prompts: PromptSource
    http: Http
    credentials: Credentials
    sse: Sse
    questions: Questions
    bursts: Bursts
    load: Load
    redis: Redis
    upstream: Upstream
    counts: Counts
    processes: Processes
    openapi: OpenApi
    metrics: Metrics
    memory: Memory
    faults: Faults
    chaos: Chaos
    prometheus: Prometheus
    promql: PromQL
    alertmanager: Alertmanager
    grafana: Grafana
    notifications: Notifications
    bodies: Bodies
    tls: Tls
    statistics: Statistics

    def say(self, text: str) -> None:
        """Tell whoever watches the run what happens now."""
