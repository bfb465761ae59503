"""Prometheus, Alertmanager and Grafana over their HTTP APIs, and the webhook that a drill listens on.

All raise InstrumentFailure where the server cannot be reached, refuses, or answers what it should not.
Times are seconds since the epoch unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an instant query. A scalar has no labels. ``value`` may be NaN or infinite."""

    labels: Mapping[str, str]
    value: float
    at: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What Prometheus said to an expression: its series, or why it could not be evaluated."""

    series: tuple[Series, ...] = ()
    error: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Points:
    """One series of a range query: times and values."""

    labels: Mapping[str, str]
    values: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class ScrapeTarget:
    """Something that Prometheus scrapes; ``health`` is ``up``, ``down`` or ``unknown``."""

    url: str
    labels: Mapping[str, str]
    health: str
    last_error: str
    last_scrape: float
    interval_s: float


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that is active: ``pending`` or ``firing``."""

    name: str
    state: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    active_at: float


@dataclass(frozen=True, slots=True)
class Rule:
    """A loaded rule. Its key is file, group and position: names repeat.

    ``health`` is ``ok``, ``err`` or ``unknown`` (not evaluated yet); ``keep_firing_for_s`` is 0 where
    it is not told.
    """

    kind: Literal["alert", "record"]
    name: str
    file: str
    group: str
    position: int
    expression: str
    interval_s: float
    for_s: float = 0.0
    keep_firing_for_s: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    health: str = "unknown"
    last_error: str = ""
    evaluated_at: float = 0.0
    alerts: tuple[Alert, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """What HELP and TYPE say of a metric; it may have no series yet.

    ``other_kinds`` are further TYPEs, where programs that are scraped do not agree.
    """

    kind: str
    help: str
    other_kinds: tuple[str, ...] = ()


class Prometheus(Protocol):
    """Reads the declared Prometheus; nothing is changed in it."""

    async def query(self, expression: str, *, at: float | None = None) -> Answered:
        """An instant query, now or ``at``."""

    async def query_range(
        self, expression: str, *, start: float, end: float, step_s: float
    ) -> tuple[Points, ...]:
        """A range query. An expression that cannot be evaluated raises InstrumentFailure."""

    async def targets(self) -> tuple[ScrapeTarget, ...]:
        """The active targets."""

    async def rules(self) -> tuple[Rule, ...]:
        """All rules of all groups, in order."""

    async def metadata(self, targets: str = "") -> Mapping[str, MetricInfo]:
        """HELP and TYPE by metric name, as scraped (a histogram under its base name).

        Of all targets, or of those whose labels the selector ``targets`` fits.
        """

    async def label_values(self, label: str, selectors: Sequence[str] = ()) -> tuple[str, ...]:
        """The values of a label among the series that match; ``__name__`` gives the names of metrics."""

    async def alertmanagers(self) -> tuple[str, ...]:
        """The URLs of the Alertmanagers to which it sends."""

    async def settings(self) -> Mapping[str, Any]:
        """Its loaded configuration: the keys of ``global`` (``scrape_interval``, ``external_labels``...).

        Beside them stand the other parts of the file (``scrape_configs``, ``alerting``, ``rule_files``), and
        ``flags``, its command line (``rules.alert.resend-delay``; empty where the server does not tell).
        Durations are texts, as Prometheus writes them.
        """


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver of Alertmanager's configuration; ``kinds`` are what it has (``webhook``, ``email``...)."""

    name: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Routing:
    """A node of the routing tree: who receives what matches, and the routes below it.

    ``matchers`` are written as Alertmanager writes them (``severity="page"``). It is silent in the intervals
    of ``muted_in``, and outside those of ``active_in`` where there are any.
    """

    receiver: str
    matchers: tuple[str, ...]
    goes_on: bool
    routes: tuple[Routing, ...] = ()
    muted_in: tuple[str, ...] = ()
    active_in: tuple[str, ...] = ()
    group_wait_s: float = 30.0
    group_interval_s: float = 300.0
    repeat_interval_s: float = 14_400.0


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While an alert that matches ``source`` is active, those that match ``target`` tell nobody.

    That holds among alerts whose labels ``equal`` have the same values.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    equal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence that holds now, until ``ends_at``."""

    matchers: tuple[str, ...]
    ends_at: float
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class AlertmanagerFacts:
    """How an Alertmanager is set up, and how many notifications it sent, by kind of receiver.

    ``sent`` counts notifications, ``failed`` those of them that it gave up, which it does after a group
    interval; ``tries`` counts requests, ``failed_tries`` those that failed, which it sees at once. All count
    since it started, and are empty where its metrics cannot be read.
    ``time_intervals`` says of each whether it covers all times (``always``), none any more (``never``) or
    some (``sometimes``). ``loaded`` is whether its file is what it runs on: a reload may have failed.
    ``started_at`` is 0 where it does not tell.
    """

    version: str
    receivers: tuple[Receiver, ...]
    routing: Routing
    sent: Mapping[str, float]
    failed: Mapping[str, float]
    tries: Mapping[str, float] = field(default_factory=dict)
    failed_tries: Mapping[str, float] = field(default_factory=dict)
    inhibitions: tuple[Inhibition, ...] = ()
    silences: tuple[Silence, ...] = ()
    time_intervals: Mapping[str, Literal["always", "sometimes", "never"]] = field(default_factory=dict)
    loaded: bool = True
    started_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Routed:
    """An alert as Alertmanager has it: ``active``, ``suppressed`` or ``unprocessed``, and who receives it.

    ``updated_at`` is when Prometheus last sent it.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    state: str
    receivers: tuple[str, ...]
    started_at: float
    updated_at: float = 0.0


class Alertmanager(Protocol):
    """Reads the declared Alertmanager; nothing is changed in it."""

    async def facts(self) -> AlertmanagerFacts:
        """Its configuration and counters now."""

    async def alerts(self) -> tuple[Routed, ...]:
        """The alerts that it has now."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification as the webhook heard it, and when (monotonic, in s)."""

    status: Literal["firing", "resolved"]
    alert: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    heard_at: float


class Heard(Protocol):
    """What was heard so far, in order."""

    @property
    def notifications(self) -> Sequence[Notification]:
        """All so far."""


class Notifications(Protocol):
    """Serves the declared webhook for as long as a block lasts."""

    def listening(self) -> AbstractAsyncContextManager[Heard]:
        """Listen. Raises InstrumentFailure where none is declared or the port is taken."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel of a dashboard and its queries, with template variables filled in.

    ``kind`` is Grafana's (``timeseries``, ``text``), ``datasource`` the uid of its source, or a name that
    Grafana does not know. A hidden query is not among ``expressions``.
    """

    title: str
    kind: str
    datasource: str
    expressions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard and its panels, rows unfolded."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    url: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a query of a panel gives: whether there is any data, and what Grafana says where it failed."""

    data: bool
    error: str = ""


class Grafana(Protocol):
    """Reads the declared Grafana; nothing is changed in it."""

    async def dashboards(self) -> tuple[Dashboard, ...]:
        """The declared dashboards that are there, or those that name the service."""

    async def shows(self, panel: Panel, expression: str) -> Shown:
        """What one query of a panel gives for the last hour, asked through Grafana itself."""
