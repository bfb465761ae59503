"""A breakage on purpose: pending, firing, heard, resolved, each timed."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

import pytest

from checks.contract import InstrumentFailure, Outcome
from checks.contract.instruments.monitoring import (
    Alert,
    AlertmanagerFacts,
    Notification,
    Routed,
    Routing,
    ScrapeTarget,
)
from checks.contract.wording import NBSP
from checks.monitoring import alert_drill
from tests.checks import scripted
from tests.checks.scripted import (
    ScriptedAlertmanager,
    ScriptedFaults,
    ScriptedInstruments,
    ScriptedNotifications,
    ScriptedPrometheus,
    ScriptedQuestions,
    a_rule,
)

NAME = "ChatHighErrorRate"
LABELS = {"job": "chat"}
DRILL = {"lever": "upstream", "way": "refuse", "alert": NAME, "ask_per_s": 100}
LEVERS = {"upstream": {"kind": "command", "break": ["true"], "restore": ["true"]}}
SERVER = {"url": "http://127.0.0.1:9090", "labels": LABELS}
FACTS = AlertmanagerFacts("0.25.0", (), Routing("on-call", (), False, (Routing("x", (), True),), 1.0), {}, {})
LEFT_OUT = InstrumentFailure("No webhook is declared.", missing="notifications")


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(alert_drill, "POLL_S", 0.001)
    monkeypatch.setattr(alert_drill, "WATCH_S", 31.0)


def impatient(monkeypatch):
    """Give up after a moment: rules that wait for nothing, and an Alertmanager that collects for nothing."""
    monkeypatch.setattr(alert_drill, "WATCH_S", 0.3)
    monkeypatch.setattr("checks.monitoring._drill.GROUP_WAIT_S", 0.0)


@dataclass
class World(ScriptedPrometheus):
    """A Prometheus whose alert is pending from the second look on that finds the lever pulled.

    ``fires`` and ``heard`` say how far it comes; ``ends`` whether it is over once the lever is let go.
    """

    faults: ScriptedFaults = field(default_factory=lambda: ScriptedFaults({"upstream": ("refuse",)}))
    webhook: ScriptedNotifications = field(default_factory=ScriptedNotifications)
    pends: bool = True
    fires: bool = True
    heard: bool = True
    ends: bool = True
    calms: bool = False
    name: str = NAME
    state: str = "inactive"
    looks: int = 0

    def __post_init__(self):
        super().__init__(targets=[ScrapeTarget("http://127.0.0.1:1/metrics", LABELS, "up", "", 0.0, 0.001)])

    async def rules(self):
        self._go_on()
        alerts = () if self.state == "inactive" else (Alert(self.name, self.state, {"job": "chat"}, {}, 1.0),)
        quiet = a_rule("ChatDown", "up == 0", interval_s=0.001, position=1)
        return (a_rule(self.name, "x > 1", for_s=0.0, interval_s=0.001, alerts=alerts), quiet)

    def _go_on(self):
        if self.faults.cut:
            self.looks += 1
            if self.looks == 2 and self.pends:
                self.state = "pending"
            if self.looks == 4 and self.pends and self.fires:
                self.state = "firing"
                self._tell("firing")
        elif self.calms and not self.looks:
            self.state, self.calms = "inactive", False
        elif self.state == "firing" and self.ends and self.looks:
            self.state = "inactive"
            self._tell("resolved")

    def _tell(self, status):
        if self.heard:
            self.webhook.notifications.append(Notification(status, self.name, LABELS, {}, monotonic()))


def found(world, *, drill=None, answers=None, webhook=None, alertmanager=None):
    target = scripted.a_target(
        allow_faults=True, levers=LEVERS, prometheus=SERVER, alert_drill={**DRILL, **(drill or {})}
    )
    instruments = ScriptedInstruments(
        prometheus=world,
        notifications=webhook or world.webhook,
        alertmanager=alertmanager,
        faults=world.faults,
        questions=ScriptedQuestions(answers or (lambda *_: scripted.a_bad_answer(503))),
    )
    finding = scripted.measure(alert_drill, target, instruments)
    assert world.faults.away == {}
    return finding.but(reason=finding.reason.replace(NBSP, " "))


def test_an_alert_that_fires_is_heard_and_ends_passes_with_its_times(monkeypatch):
    facts = ScriptedAlertmanager(FACTS)
    finding = found(World(), alertmanager=facts)
    assert finding.outcome is Outcome.PASS
    assert f"{NAME} fired after" in finding.reason
    assert "its notification was heard after" in finding.reason
    assert "It was resolved" in finding.reason
    assert finding.limit.pass_at == pytest.approx(30.0 + 2 * 0.002)  # the route inside has the default wait


def test_heard_on_the_limit_passes_and_later_warns_until_five_minutes():
    times = {"pending_s": 1.0, "firing_s": 3.0, "resolved_s": 1.0}
    outcomes = []
    for notified_s in (5.0, 5.1, 300.0, 300.1):
        evidence = alert_drill.Evidence(
            "upstream", "refuse", NAME, loaded=True, for_s=2, round_s=1, group_wait_s=1, watched_s=9,
            times=alert_drill.Times(**times, notified_s=notified_s), heard_by="webhook",
        )  # fmt: skip
        outcomes.append(scripted.judge(alert_drill, evidence).outcome)
    assert outcomes == [Outcome.PASS, Outcome.WARN, Outcome.WARN, Outcome.FAIL]


def test_an_alert_that_nobody_hears_fails(monkeypatch):
    impatient(monkeypatch)
    finding = found(World(heard=False))
    assert finding.outcome is Outcome.FAIL
    assert "no notification of it came" in finding.reason


@pytest.mark.parametrize(
    ("world", "says"),
    [
        ({"pends": False}, "did not even become pending"),
        ({"fires": False}, "was pending and never fired"),
        ({"name": "AnotherAlert"}, f"Prometheus has no alert named {NAME}"),
    ],
)
def test_an_alert_that_does_not_come_fails_and_says_how_far_it_came(world, says, monkeypatch):
    impatient(monkeypatch)
    finding = found(World(**world))
    assert (finding.outcome, finding.share) == (Outcome.FAIL, 0)
    assert says in finding.reason


def test_any_alert_will_do_where_none_is_declared():
    finding = found(World(name="Whatever"), drill={"alert": None}, alertmanager=ScriptedAlertmanager(FACTS))
    assert finding.outcome is Outcome.PASS
    assert "Whatever fired" in finding.reason


def test_without_a_declared_alert_a_breakage_that_nobody_felt_proves_nothing(monkeypatch):
    impatient(monkeypatch)
    finding = found(World(pends=False), drill={"alert": None}, answers=lambda *_: scripted.an_answer())
    assert (finding.outcome, finding.missing) == (Outcome.NOT_ASSESSED, "alert_drill.alert")


def test_what_alertmanager_has_is_less_than_what_was_heard():
    routed = Routed({"alertname": NAME}, {}, "active", ("on-call",), 1.0)
    finding = found(
        World(heard=False),
        webhook=ScriptedNotifications(refusal=LEFT_OUT),
        alertmanager=ScriptedAlertmanager(FACTS, [(), (routed,)]),
    )
    assert (finding.outcome, finding.missing, finding.share) == (Outcome.WARN, "notifications", 0.5)
    assert "No webhook is declared." in finding.reason


def test_without_webhook_and_alertmanager_what_people_heard_is_not_assessed(monkeypatch):
    impatient(monkeypatch)
    finding = found(World(heard=False), webhook=ScriptedNotifications(refusal=LEFT_OUT))
    assert (finding.outcome, finding.missing) == (Outcome.NOT_ASSESSED, "notifications")
    assert f"{NAME} fired after" in finding.reason


def test_an_alert_that_does_not_end_warns(monkeypatch):
    impatient(monkeypatch)
    finding = found(World(ends=False))
    assert finding.outcome is Outcome.WARN
    assert "It had not ended" in finding.reason


def test_an_alert_that_is_active_before_anything_is_broken_cannot_be_drilled(monkeypatch):
    monkeypatch.setattr(alert_drill, "QUIET_S", 0.05)
    with pytest.raises(InstrumentFailure, match="is active already"):
        found(World(state="firing"))


def test_an_alert_that_an_earlier_check_set_off_is_waited_for():
    world = World(state="firing", calms=True)
    assert found(world, alertmanager=ScriptedAlertmanager(FACTS)).outcome is Outcome.PASS


def test_an_alert_that_waits_longer_than_the_profile_watches_names_a_longer_profile(monkeypatch):
    monkeypatch.setattr(alert_drill, "WATCH_S", 10.0)
    with pytest.raises(InstrumentFailure, match="Choose a longer profile"):
        found(World(), alertmanager=ScriptedAlertmanager(FACTS))


def test_a_way_that_the_lever_has_not_is_said_so():
    with pytest.raises(InstrumentFailure, match="no way 'hang'") as caught:
        found(World(), drill={"way": "hang"})
    assert caught.value.missing == "levers.upstream.ways"
