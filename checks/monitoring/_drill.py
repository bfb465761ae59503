"""An alert on its way to people, with the time of each stage. Private to this family."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from checks.contract import InstrumentFailure, Instruments
from checks.contract.instruments.monitoring import Alert, Heard, Notification, Routing

HeardBy = Literal["webhook", "alertmanager", ""]
GROUP_WAIT_S = 30.0  # Alertmanager's default


@dataclass
class Times:
    """In s from the breakage, ``resolved_s`` from the restore; None for what was not seen."""

    pending_s: float | None = None
    firing_s: float | None = None
    notified_s: float | None = None
    resolved_s: float | None = None


@dataclass
class Drill:
    """What to wait for, and what was seen so far.

    ``expected`` is the alert's name, None for any that is not among those ``before``. ``seen`` is the one
    that fired. Without ``heard`` Alertmanager is asked.
    """

    instruments: Instruments
    expected: str | None
    before: frozenset[tuple[str, ...]]
    heard: Heard | None = None
    unheard: str = ""
    broken_at: float = 0.0
    seen: str = ""
    heard_by: HeardBy = ""
    times: Times = field(default_factory=Times)

    @property
    def told(self) -> bool:
        """Whether the notification was seen."""
        return self.times.notified_s is not None

    async def look(self) -> None:
        """Take the time of whatever is new."""
        alerts = await self._new()
        now_s = round(monotonic() - self.broken_at, 2)
        if alerts and self.times.pending_s is None:
            self.times.pending_s = now_s
        firing = [alert for alert in alerts if alert.state == "firing"]
        if firing and not self.seen:
            self.seen, self.times.firing_s = firing[0].name, now_s
        if self.seen:
            await self._listen(now_s)

    async def ended(self) -> bool:
        """Whether the alert is over, and whoever heard of it has heard that too."""
        if any(alert.name == self.seen for alert in await self._new()):
            return False
        told = [each.status for each in self._notifications()]
        return self.heard_by != "webhook" or told[-1:] == ["resolved"]

    async def _listen(self, now_s: float) -> None:
        first = next((each for each in self._notifications() if each.status == "firing"), None)
        if first:
            self.times.notified_s, self.heard_by = round(first.heard_at - self.broken_at, 2), "webhook"
            # Prometheus is looked at four times a second, the webhook hears at once.
            self.times.firing_s = min(self.times.firing_s or now_s, self.times.notified_s)
        elif self.heard is None and await self._at_alertmanager():
            self.times.notified_s, self.heard_by = now_s, "alertmanager"

    def _notifications(self) -> list[Notification]:
        told = self.heard.notifications if self.heard else ()
        return [each for each in told if each.alert == self.seen and each.heard_at >= self.broken_at]

    async def _at_alertmanager(self) -> bool:
        try:
            alerts = await self.instruments.alertmanager.alerts()
        except InstrumentFailure as failure:
            if failure.reason not in self.unheard:
                self.unheard = f"{self.unheard} {failure.reason}".strip()
            return False
        return any(
            alert.labels.get("alertname") == self.seen and alert.state == "active" and alert.receivers
            for alert in alerts
        )

    async def _new(self) -> list[Alert]:
        return [
            alert
            for rule in await self.instruments.prometheus.rules()
            for alert in rule.alerts
            if alert_key(alert) not in self.before and self.expected in (None, alert.name)
        ]


def alert_key(alert: Alert) -> tuple[str, ...]:
    """What tells one alert from another."""
    return (alert.name, *(f"{name}={value}" for name, value in sorted(alert.labels.items())))


async def collects_for_s(instruments: Instruments) -> float:
    """The longest time for which a route of Alertmanager collects alerts before it tells of them."""
    try:
        facts = await instruments.alertmanager.facts()
    except InstrumentFailure:  # none is declared, or it does not tell; the drill goes on without
        return GROUP_WAIT_S
    return max(_waits_s(facts.routing))


def _waits_s(routing: Routing) -> list[float]:
    return [routing.group_wait_s, *(wait_s for route in routing.routes for wait_s in _waits_s(route))]
