"""The team's own experiments become one finding."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from checks.contract import InstrumentFailure, Outcome
from checks.contract.instruments.chaos import ChaosActivity, ChaosJournal
from checks.error_recovery import chaos_experiments
from tests.checks import scripted
from tests.checks.scripted import ScriptedFaults, ScriptedInstruments

DONE = ChaosActivity("cut the cache", "action", "succeeded", 1.0, "")
BAD = ChaosActivity("mend the cache", "action", "failed", 1.0, "connection refused")


def a_journal(**changes):
    fields = {
        "title": "No cache",
        "status": "completed",
        "deviated": False,
        "seconds": 3.0,
        "steady_before": True,
        "steady_after": True,
        "outside": (),
        "method": (DONE,),
        "rollbacks": (),
    }
    return ChaosJournal(**fields | changes)


@dataclass
class ScriptedChaos:
    """The journal of each experiment by its file, or why there is none."""

    journals: dict[str, ChaosJournal | InstrumentFailure]

    async def carry_out(self, experiment):
        found = self.journals[experiment.file]
        if isinstance(found, InstrumentFailure):
            raise found
        return found


def found(**journals):
    target = scripted.a_target(allow_faults=True, chaos=[{"file": name} for name in journals])
    instruments = ScriptedInstruments(chaos=ScriptedChaos(journals), faults=ScriptedFaults({}))
    return scripted.measure(chaos_experiments, target, instruments)


def test_experiments_that_hold_pass():
    finding = found(one=a_journal(), two=a_journal(rollbacks=(DONE,)))
    assert (finding.outcome, finding.value) == (Outcome.PASS, 0)
    assert finding.reproduce == "chaos run one\nchaos run two"


def test_one_that_deviates_fails_and_names_the_probe():
    finding = found(one=a_journal(), two=a_journal(deviated=True, steady_after=False, outside=("p95",)))
    assert (finding.outcome, finding.value) == (Outcome.FAIL, 1)
    assert "two (No cache) deviated: p95 was out of tolerance afterwards." in finding.reason


def test_a_rollback_that_did_not_succeed_fails_however_steady_the_service_is():
    finding = found(one=a_journal(rollbacks=(BAD,)))
    assert finding.outcome is Outcome.FAIL
    assert "the rollback mend the cache did not succeed: connection refused" in finding.reason


@pytest.mark.parametrize(
    ("journal", "says"),
    [
        (
            a_journal(status="failed", steady_before=False, steady_after=None, outside=("p95",)),
            "before anything",
        ),
        (a_journal(method=(BAD,)), "mend the cache did not succeed"),
        (a_journal(steady_before=None, steady_after=None), "has no hypothesis to hold"),
        (a_journal(status="aborted"), "was aborted"),
        (InstrumentFailure("The Chaos Toolkit is not installed."), "is not installed"),
    ],
)
def test_one_that_says_nothing_is_not_assessed(journal, says):
    finding = found(one=a_journal(), two=journal)
    assert (finding.outcome, finding.missing) == (Outcome.NOT_ASSESSED, "chaos")
    assert says in finding.reason


def test_without_an_experiment_the_check_is_not_carried_out():
    assert "target.chaos" in chaos_experiments.CHECK.needs
