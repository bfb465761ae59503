"""The engine, with checks written to disk as a user would write them, and a toolbox without a service."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.engine import Cancelled, Engine, Measured, Watcher, in_order
from app.rubric import Rubric
from checks import LoadedCheck, all_checks
from checks.contract import InstrumentFailure, Outcome, Profile
from checks.contract.target import Target

QUICK = Profile("quick", samples=1, outage_s=1, deadline_factor=1, scenarios={})
TARGET = Target(url="http://127.0.0.1:1")
RUBRIC = Rubric.model_validate(
    {
        "name": "t",
        "version": 1,
        "categories": {},
        "bands": [{"verdict": "NOT READY", "from": 0, "min_coverage": 0}],
        "caps": {"p0_failed": "NOT READY", "p0_not_assessed": "NOT READY"},
        "grades": {"F": 0},
        "checks": {},
    }
)
CHECK = '''
"""It is good.

Why it matters
It does.

How it is measured
By looking.

How to fix it
Mend it.
"""
import asyncio, time
from dataclasses import dataclass
from checks.contract import Check, Finding, InstrumentFailure, Kind

CHECK = Check(failure_title="It is bad", kind=Kind.{kind}, does="Looks", needs=(), deadline_s={deadline_s},
              typical_s=1, hostile={hostile}, beside={beside})

@dataclass(frozen=True)
class Thresholds:
    limit: float = 1

@dataclass(frozen=True)
class Evidence:
    value: object = 1

async def gather(target, instruments):
{gather}

def judge(evidence, thresholds):
{judge}
'''


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., LoadedCheck]:
    """Write a check file and load it; its gather and judge are given as source."""

    def build(
        name: str = "one",
        gather: str = "return Evidence()",
        judge: str = 'return Finding.passed("good")',
        *,
        kind: str = "ACTIVE",
        deadline_s: float = 20,
        hostile: bool = False,
        beside: bool = False,
    ) -> LoadedCheck:
        folder = tmp_path / name / "family"
        folder.mkdir(parents=True)
        source = CHECK.format(
            kind=kind,
            deadline_s=deadline_s,
            hostile=hostile,
            beside=beside,
            gather=textwrap.indent(gather, "    "),
            judge=textwrap.indent(judge, "    "),
        )
        (folder / f"{name}.py").write_text(source.lstrip(), encoding="utf-8")
        found = all_checks([tmp_path / name])
        return found[f"family.{name}"]

    return build


class Toolbox:
    """Instruments that do nothing; ``answers`` says whether the primary question is answered."""

    def __init__(self, answers: Callable[[], bool | None] = lambda: True, refuse: str = "") -> None:
        self.answers, self.refuse = answers, refuse
        self.closed: list[str] = []

    def refusal(self, check: LoadedCheck) -> InstrumentFailure | None:
        return InstrumentFailure(self.refuse, missing="[redis] url") if self.refuse else None

    @asynccontextmanager
    async def open(self, check: LoadedCheck) -> Iterator[SimpleNamespace]:
        try:
            yield SimpleNamespace()
        finally:
            self.closed.append(check.id)

    async def primary_answers(self, timeout_s: float) -> bool | None:
        return self.answers()


def run(*checks: LoadedCheck, toolbox: Toolbox | None = None, cancelled: Callable[[], bool] = lambda: False):
    abandoned: list[str] = []
    watcher = Watcher(
        began=lambda check: None,
        ended=lambda measured: None,
        cancelled=cancelled,
        abandoned=lambda check: abandoned.append(check.id),
    )
    engine = Engine(TARGET, toolbox or Toolbox(), RUBRIC, QUICK, watcher)
    found: dict[str, Measured] = {item.check.id.removeprefix("family."): item for item in engine.run(checks)}
    return found, abandoned


def test_a_finding_keeps_its_evidence_thresholds_and_time(make) -> None:
    found, _ = run(make())
    assert found["one"].finding.outcome is Outcome.PASS
    assert found["one"].evidence == {"value": 1}
    assert found["one"].thresholds == {"limit": 1}
    assert found["one"].measured_at is not None


@pytest.mark.parametrize(
    ("gather", "judge", "says"),
    [
        ('raise KeyError("boom")', "pass", "KeyError: 'boom'"),
        ("raise SystemExit(3)", "pass", "SystemExit"),
        ("return Evidence()", "return 1 / 0", "ZeroDivisionError"),
        ('return {"value": 1}', "pass", "returned dict, not its Evidence"),
        ('return Evidence(float("nan"))', "pass", "not JSON"),
        ("return Evidence(object())", "pass", "not JSON"),
        ('return Evidence("x" * 600_000)', "pass", "bytes, more than"),
        ("return Evidence()", "return None", "returned NoneType, not a Finding"),
        ("return Evidence()", 'return Finding.passed("")', "needs a reason"),
        (
            "return Evidence()",
            'return Finding.passed("a", value=float("inf"), unit="ms")',
            "not a finite number",
        ),
        ("return Evidence()", 'return Finding.warned("a", share=7)', "outside 0..1"),
        ("return Evidence()", 'return Finding.errored("a")', "only the engine may say"),
    ],
)
def test_a_check_that_raises_or_returns_nonsense_becomes_an_error_and_the_others_go_on(
    make, gather: str, judge: str, says: str
) -> None:
    found, _ = run(make("bad", gather, judge), make("good"))
    assert found["bad"].finding.outcome is Outcome.ERROR
    assert says in found["bad"].finding.reason
    assert found["bad"].finding.share == 0
    assert found["good"].finding.outcome is Outcome.PASS


def test_a_check_that_waits_past_its_deadline_is_stopped_and_its_instruments_are_closed(make) -> None:
    toolbox = Toolbox()
    found, abandoned = run(
        make("slow", "await asyncio.sleep(600)", deadline_s=0.3), make("good"), toolbox=toolbox
    )
    assert found["slow"].finding.outcome is Outcome.ERROR
    assert "deadline of 300\u00a0ms" in found["slow"].finding.reason
    assert (found["good"].finding.outcome, abandoned) == (Outcome.PASS, [])
    assert "family.slow" in toolbox.closed


def test_a_check_that_blocks_its_thread_is_abandoned_and_the_others_go_on(make, monkeypatch) -> None:
    monkeypatch.setattr("app.engine.STOP_GRACE_S", 0.3)
    blocking = make("blocks", "time.sleep(5)", deadline_s=0.2)
    found, abandoned = run(blocking, make("good"))
    assert found["blocks"].finding.outcome is Outcome.ERROR
    assert abandoned == ["family.blocks"]
    assert found["good"].finding.outcome is Outcome.PASS


def test_what_an_instrument_cannot_measure_is_not_assessed_and_names_the_key_to_add(make) -> None:
    check = make(gather='raise InstrumentFailure("Redis says NOPERM", missing="[redis] url")')
    finding = run(check)[0]["one"].finding
    assert (finding.outcome, finding.reason, finding.missing) == (
        Outcome.NOT_ASSESSED,
        "Redis says NOPERM",
        "[redis] url",
    )


def test_a_check_that_is_refused_is_never_started(make) -> None:
    finding = run(make(gather="raise RuntimeError"), toolbox=Toolbox(refuse="No Redis is declared."))[0][
        "one"
    ].finding
    assert (finding.outcome, finding.missing) == (Outcome.NOT_ASSESSED, "[redis] url")


def test_what_can_harm_comes_last(make) -> None:
    checks = [
        make("a", kind="FAULT"),
        make("b", hostile=True),
        make("c", kind="LOAD"),
        make("d"),
        make("e", kind="PASSIVE"),
    ]
    assert [check.id[-1] for check in in_order(checks, RUBRIC)] == ["e", "d", "c", "b", "a"]


MEETS = """
from pathlib import Path
Path({mine!r}).touch()
while not Path({other!r}).exists():
    await asyncio.sleep(0.01)
return Evidence()
"""


def test_checks_that_disturb_nobody_run_side_by_side_and_first(make, tmp_path) -> None:
    places = str(tmp_path / "one is here"), str(tmp_path / "other is here")
    one = make("one", MEETS.format(mine=places[0], other=places[1]), beside=True)
    other = make("other", MEETS.format(mine=places[1], other=places[0]), beside=True, kind="PASSIVE")
    alone = make("alone", kind="PASSIVE")
    found, _ = run(alone, one, other)
    assert {item.finding.outcome for item in found.values()} == {Outcome.PASS}
    assert list(found)[-1] == "alone"


def test_a_check_that_can_harm_never_runs_beside_another_one(make) -> None:
    checks = [make("a", kind="FAULT", beside=True), make("b", hostile=True, beside=True), make("c")]
    assert [check.id[-1] for check in in_order(checks, RUBRIC)] == ["c", "b", "a"]


def test_cancelling_stops_all_that_run_side_by_side(make) -> None:
    toolbox, stop = Toolbox(), threading.Event()
    slow = [make(name, "await asyncio.sleep(600)", deadline_s=600, beside=True) for name in "abcdef"]
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Cancelled):
        run(*slow, toolbox=toolbox, cancelled=stop.is_set)
    assert len(toolbox.closed) == 4


def test_a_service_that_stops_answering_after_a_check_is_said_to_be_broken_by_it(make, monkeypatch) -> None:
    monkeypatch.setattr("app.engine.RECOVERY_S", 0.1)
    monkeypatch.setattr("app.engine.RETRY_S", 0.01)
    answers = iter([True])
    toolbox = Toolbox(answers=lambda: next(answers, False))
    found, _ = run(
        make("a_passive", kind="PASSIVE"),
        make("hostile", hostile=True),
        make("z", kind="FAULT"),
        toolbox=toolbox,
    )
    assert found["a_passive"].finding.outcome is Outcome.PASS
    assert found["hostile"].finding.outcome is Outcome.FAIL
    assert "Our probe broke it" in found["hostile"].finding.reason
    assert found["hostile"].finding.share == 0
    assert found["z"].finding.outcome is Outcome.NOT_ASSESSED
    assert found["z"].finding.follows_from == "family.hostile"


def test_a_service_that_never_answered_is_not_blamed_on_a_check(make) -> None:
    found, _ = run(
        make("hostile", hostile=True), make("z", kind="FAULT"), toolbox=Toolbox(answers=lambda: False)
    )
    assert {item.finding.outcome for item in found.values()} == {Outcome.PASS}


def test_a_service_that_recovers_within_the_allowance_is_not_broken(make, monkeypatch) -> None:
    monkeypatch.setattr("app.engine.RETRY_S", 0.01)
    answers = iter([True, False, False, True])
    found, _ = run(make("load", kind="LOAD"), toolbox=Toolbox(answers=lambda: next(answers, True)))
    assert found["load"].finding.outcome is Outcome.PASS


def test_cancelling_stops_the_check_that_runs_and_closes_its_instruments(make) -> None:
    toolbox, stop = Toolbox(), threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        run(make("slow", "await asyncio.sleep(600)", deadline_s=600), toolbox=toolbox, cancelled=stop.is_set)
    assert time.monotonic() - began < 60
    assert toolbox.closed == ["family.slow"]
