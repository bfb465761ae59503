"""error_recovery.graceful_shutdown against a service in memory that is told to end."""

from __future__ import annotations

import re

import pytest

from checks.contract import InstrumentFailure, Outcome
from checks.error_recovery import _ending, graceful_shutdown
from checks.error_recovery.graceful_shutdown import Evidence, UnderWay
from tests.checks.error_recovery.mortal import Mortal, a_mortal_target
from tests.checks.scripted import ScriptedFaults, gather, judge


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(graceful_shutdown, "WARM_S", 0.5)
    monkeypatch.setattr(_ending, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(_ending, "LEAD_S", 0.01)


def measured(service: Mortal, target=None):
    target = target or a_mortal_target()
    return judge(graceful_shutdown, gather(graceful_shutdown, target, service.instruments()), target)


def under_way(kind: str = "answer", **changes) -> UnderWay:
    fields = {
        "kind": kind,
        "sent_s": -0.2,
        "began": True,
        "ended_s": 0.1,
        "good": True,
        "status": 200,
        "refused": False,
        "problem": "",
    }
    return UnderWay(**fields | changes)


def cut(kind: str = "answer", **changes) -> UnderWay:
    return under_way(kind, **{"good": False, "status": None, "problem": "cut short", **changes})


def judged(*seen: UnderWay, **changes):
    fields = {
        "route": "ask",
        "signal": "SIGTERM",
        "within_s": 30.0,
        "before": 50,
        "under_way": seen,
        "waiting": 0,
        "ended_s": 1.0,
        "again_s": 2.0,
    }
    return judge(graceful_shutdown, Evidence(**fields | changes), a_mortal_target())


def test_what_was_under_way_ends_well_and_so_does_the_process():
    finding = measured(Mortal())
    assert finding.outcome is Outcome.PASS
    assert finding.value == 0
    assert re.match(r"[3-6].requests and [1-3].streams? were under way at SIGTERM", finding.reason)
    assert "kill -TERM" in finding.reproduce


@pytest.mark.parametrize("how", ["cut", 503])
def test_lost_requests_fail(how):
    finding = measured(Mortal(ends={"answer": how, "stream": "well"}))
    assert finding.outcome is Outcome.FAIL
    assert finding.value >= 3
    assert finding.fix


def test_cut_streams_warn():
    finding = measured(Mortal(ends={"answer": "well", "stream": "cut"}))
    assert finding.outcome is Outcome.WARN
    assert re.search(r"([1-3]) of \1.streams? were cut", finding.reason)


def test_a_process_that_stays_fails():
    finding = measured(Mortal(ends_in_s=None))
    assert finding.outcome is Outcome.FAIL
    assert "after SIGTERM the process still runs" in finding.reason


@pytest.mark.parametrize(("ended_s", "outcome"), [(30.0, Outcome.PASS), (None, Outcome.FAIL)])
def test_on_the_limit_of_what_whoever_deploys_it_waits(ended_s, outcome):
    assert judged(under_way(), ended_s=ended_s).outcome is outcome


def test_one_lost_request_is_one_too_many():
    assert judged(under_way(), cut()).value == 1


def test_refused_and_limited_requests_were_never_begun():
    seen = (under_way(), cut(refused=True), cut(status=429))
    assert judged(*seen).outcome is Outcome.PASS


def test_what_waited_in_the_kernels_queue_does_not_count_the_latest_first():
    sent = [cut(sent_s=-0.3), cut(sent_s=-0.2), cut(sent_s=-0.1)]
    assert judged(*sent, waiting=3).outcome is Outcome.PASS
    finding = judged(*sent, waiting=2)
    assert (finding.outcome, finding.value) == (Outcome.FAIL, 1)


def test_an_error_reply_shows_that_it_was_begun():
    assert judged(cut(status=503, problem="status 503"), waiting=5).outcome is Outcome.FAIL


def test_what_cannot_be_seen_of_the_queue_counts():
    assert judged(cut(), waiting=None).outcome is Outcome.FAIL


def test_where_only_streams_can_be_asked_for_one_that_has_not_begun_is_a_request():
    assert judged(under_way("stream"), cut("stream", began=False)).outcome is Outcome.FAIL
    assert judged(under_way("stream"), cut("stream")).outcome is Outcome.WARN


def test_nothing_under_way_measures_nothing():
    finding = judged(usual_ms=4.0)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "levers.upstream.ways"
    assert judged(ended_s=None).outcome is Outcome.FAIL, "but that it stays is seen all the same"


def test_a_quick_service_is_slowed_where_the_lever_can():
    service = Mortal(takes_s=0.1)
    instruments = service.instruments()
    service.faults.declared["upstream"] = ("slow",)
    gather(graceful_shutdown, a_mortal_target(), instruments)
    assert service.faults.events == [
        "broke upstream slow",
        "broke service term",
        "restored service term",
        "restored upstream slow",
    ]


def test_requests_that_failed_before_say_nothing():
    finding = measured(Mortal(fails_before=True, takes_s=0.05))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"


def test_a_service_that_nothing_starts_again_is_told():
    finding = measured(Mortal(raises="Restore it by hand: systemctl start shop"))
    assert finding.outcome is Outcome.PASS
    assert "systemctl start shop" in finding.reason


def test_where_nothing_answers_it_follows_from_the_primary_route():
    service = Mortal(working=None)
    assert measured(service).follows_from == "endpoint_health.primary_route"
    assert service.faults.events == []


def test_a_lever_without_the_way_is_named():
    instruments = Mortal().instruments(faults=ScriptedFaults({"service": ("kill",)}))
    with pytest.raises(InstrumentFailure) as raised:
        gather(graceful_shutdown, a_mortal_target(), instruments)
    assert raised.value.missing == "levers.service.ways"


def test_without_a_stream_only_requests_are_sent():
    finding = measured(Mortal(), a_mortal_target(stream=None))
    assert finding.outcome is Outcome.PASS
    assert "0 streams" in finding.reason.replace("\u00a0", " ")


def test_a_service_in_a_container_is_judged_by_its_replies_alone():
    lever = {"kind": "command", "ways": ["term"], "break": ["docker", "stop"], "restore": ["docker", "start"]}
    target = a_mortal_target(levers={"service": lever})
    finding = measured(Mortal(queued=None), target)
    assert finding.outcome is Outcome.PASS
    assert "process was gone" not in finding.reason


def test_a_service_that_may_take_longer_than_the_profile_is_not_told_to_end():
    service = Mortal()
    with pytest.raises(InstrumentFailure, match="Choose a longer profile"):
        gather(graceful_shutdown, a_mortal_target(shutdown={"within_s": 121}), service.instruments())
    assert service.faults.events == []
