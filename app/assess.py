"""The one use case: target and profile to run, scorecard and history."""

from __future__ import annotations

import fnmatch
import os
import secrets
import socket
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from pydantic import TypeAdapter

from app import paths, profiles, runs
from app import rubric as rubrics
from app.engine import Cancelled, Engine, Measured, Watcher, in_order, judged
from app.errors import UserError
from app.history.store import Store
from app.instruments.faults.ledger import Ledger, restore_left_behind
from app.instruments.policy import Policy
from app.instruments.toolbox import Hooks, Toolbox
from app.recorder import Listener, Recorder, StopSignal
from app.records import RunInfo, RunState, Scorecard, ScoredFinding, Snapshot
from app.reports import load_results
from app.rubric import Entry, Rubric
from app.scoring import score
from checks import LoadedCheck, all_checks
from checks.contract import Finding, Outcome, Profile
from checks.contract.target import Target

REACH_TIMEOUT_S = 5.0
LEFT_OUT = "Left out of this run."
EVIDENCE_LASTS = timedelta(days=30)  # older findings are not carried over into another run (catalogue)


class SelectionError(UserError):
    """No check, or no known profile, was chosen; the message says what there is."""


class UnreachableError(UserError):
    """Nothing answers at the target's address; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    """What a run is to do."""

    target: Target
    profile: str = profiles.DEFAULT
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    faults: bool = True


def chosen(checks: Mapping[str, LoadedCheck], plan: Plan) -> list[LoadedCheck]:
    """The checks that ``plan`` asks for. Raises SelectionError."""

    def matches(check: str, patterns: Sequence[str]) -> bool:
        return any(fnmatch.fnmatchcase(check, pattern) for pattern in patterns)

    for pattern in (*plan.only, *plan.skip):
        if not any(fnmatch.fnmatchcase(check, pattern) for check in checks):
            raise SelectionError(f"No check matches {pattern!r}. `python -m app checks list` shows them all.")
    picked = [
        check
        for check in checks.values()
        if (not plan.only or matches(check.id, plan.only)) and not matches(check.id, plan.skip)
    ]
    if not picked:
        raise SelectionError("No check is left to run: --skip takes away all that --only chose.")
    return picked


def reach(target: Target) -> None:
    """Raises UnreachableError when nothing accepts a connection at the target's address."""
    try:
        socket.create_connection((target.host, target.port), timeout=REACH_TIMEOUT_S).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        reason = "no such host" if isinstance(error, socket.gaierror) else reason
        reason = f"no connection in {REACH_TIMEOUT_S:g} s" if isinstance(error, TimeoutError) else reason
        message = f"No answer from {target.url}: {reason}. Start the service or change the URL."
        raise UnreachableError(message) from error


def carry_out(store: Store, run_id: int, plan: Plan, listener: Listener | None = None) -> RunInfo:
    """Carry out a run that ``store`` has as waiting, in this process; returns it as it ended.

    Must be called from the main thread, since it takes over SIGTERM and SIGINT.
    """
    info = _known(store, run_id)
    store.own(run_id, os.getpid(), psutil.Process().create_time())
    stop = StopSignal(store, run_id)
    stop.listen()
    if not runs.wait_for_turn(store, info, stop):
        store.end_run(run_id, stop.state, "Cancelled before it started.")
        return _known(store, run_id)
    try:
        with Recorder(store, run_id, listener) as recorder:
            scorecard = _run(store, run_id, plan, recorder, stop)
        store.finish_run(run_id, scorecard)
        _write_load_results(store, run_id)
    except Cancelled:
        found = _known(store, run_id)
        word = "Cancelled" if stop.state is RunState.CANCELLED else "Interrupted"
        message = f"{word} after {found.done} of {len(found.planned)} checks."
        store.end_run(run_id, stop.state, message)
    except UserError as error:
        store.end_run(run_id, RunState.BROKEN, str(error))
    except Exception as error:  # noqa: BLE001 - the run must end in a state that people can read
        traceback.print_exc()
        store.end_run(run_id, RunState.BROKEN, f"Greenlight itself broke: {type(error).__name__}: {error}")
    return _known(store, run_id)


def _known(store: Store, run_id: int) -> RunInfo:
    info = store.run(run_id)
    if info is None:
        raise SelectionError(f"There is no run with id {run_id}. `python -m app runs list` shows them.")
    return info


def _run(store: Store, run_id: int, plan: Plan, recorder: Recorder, stop: StopSignal) -> Scorecard:
    checks = all_checks(paths.plugin_folders())
    rubric = rubrics.load(checks=checks)
    picked = in_order(chosen(checks, plan), rubric)
    store.start_run(run_id, [check.id for check in picked])
    profile = profiles.named(plan.profile)
    typical_s = sum(check.about.takes_in(profile) for check in picked)
    said = {"checks": len(picked), "typical_s": typical_s}
    recorder.event("run", f"{plan.target.title}, {plan.profile} profile, {len(picked)} checks", data=said)
    _restore(recorder)
    reach(plan.target)
    toolbox = _toolbox(run_id, plan, recorder)
    found: dict[str, ScoredFinding] = {}

    def ended(measured: Measured) -> None:
        finding = scored(measured, rubric.checks[measured.check.id])
        found[finding.check] = finding
        recorder.finding(finding)
        data = {"outcome": finding.outcome.value, "reason": finding.reason, "seconds": finding.seconds}
        recorder.event("check", finding.title, finding.check, data)

    watcher = Watcher(
        began=lambda check: recorder.event("check", check.docs["title"], check.id, _began(check, profile)),
        ended=ended,
        cancelled=stop,
        abandoned=lambda _check: _restore(recorder, own=True),
    )
    Engine(plan.target, toolbox, rubric, profile, watcher).run(picked)
    recorder.event("run", "Scored")
    return scorecard_of(
        _carried(store, run_id, checks, rubric, plan.target) | found, checks, rubric, plan.target
    )


def _carried(
    store: Store, run_id: int, checks: Mapping[str, LoadedCheck], rubric: Rubric, target: Target
) -> dict[str, ScoredFinding]:
    """What the run that this one is run into found, judged under today's rubric, unless it is too old."""
    info = _known(store, run_id)
    base = store.run_by_number(info.target, info.based_on) if info.based_on else None
    card = snapshot_of(store, base.run_id).scorecard if base else None
    oldest = datetime.now(UTC) - EVIDENCE_LASTS
    return {
        item.check: _judged_again(checks[item.check], item, rubric, target)
        for item in (card.findings if card else ())
        if item.check in rubric.checks and item.measured_at is not None and item.measured_at > oldest
    }


def scorecard_of(
    found: Mapping[str, ScoredFinding], checks: Mapping[str, LoadedCheck], rubric: Rubric, target: Target
) -> Scorecard:
    """Score what was found; a check of the rubric that did not run is not assessed."""
    every = [
        found.get(name) or scored(Measured(checks[name], Finding.not_assessed(LEFT_OUT)), entry)
        for name, entry in rubric.checks.items()
    ]
    today = datetime.now(UTC).date()
    return score(every, rubric, waivers=target.waivers, claims=target.claims, today=today)


def scored(measured: Measured, entry: Entry) -> ScoredFinding:
    """What the rubric makes of one finding."""
    finding, check = measured.finding, measured.check
    bad = finding.outcome in (Outcome.WARN, Outcome.FAIL)
    return ScoredFinding(
        check=check.id,
        title=check.about.failure_title if bad else check.docs["title"],
        outcome=finding.outcome,
        severity=entry.severity,
        category=entry.category,
        points=entry.points,
        earned=entry.points * finding.share,
        value=finding.value,
        unit=finding.unit,
        limit=finding.limit,
        interval=finding.interval,
        reason=finding.reason,
        fix=finding.fix,
        reproduce=finding.reproduce,
        follows_from=finding.follows_from,
        missing=finding.missing,
        evidence=measured.evidence,
        thresholds=measured.thresholds,
        seconds=measured.seconds,
        measured_at=measured.measured_at,
    )


def _began(check: LoadedCheck, profile: Profile) -> dict[str, Any]:
    return {"began": True, "does": check.about.does, "typical_s": check.about.takes_in(profile)}


def _toolbox(run_id: int, plan: Plan, recorder: Recorder) -> Toolbox:
    hooks = Hooks(
        say=lambda text: recorder.event("say", text),
        load_second=lambda data: recorder.event("load", str(data.get("scenario", "")), data=data),
        load_result=recorder.load_result,
        lever=lambda lever, way, what, detail: recorder.event(
            "lever", f"{lever} {what}", data={"lever": lever, "way": way, "what": what, "detail": detail}
        ),
    )
    return Toolbox(
        plan.target,
        profiles.named(plan.profile),
        policy=Policy.from_environment(os.environ, faults=plan.faults),
        seed=secrets.randbits(48),
        hooks=hooks,
        ledger=Ledger(paths.levers_folder()),
        samples_folder=paths.samples_folder() / str(run_id),
        environment=os.environ,
    )


def _restore(recorder: Recorder, *, own: bool = False) -> None:
    """Put back what an earlier run that died, or (``own``) a check that had to be abandoned, left broken."""
    for item in restore_left_behind(paths.levers_folder(), os.environ, own=own):
        what = "restored" if item.ok else "failed"
        data = {"lever": item.lever, "way": item.way, "what": what, "detail": item.detail}
        recorder.event("lever", f"{item.lever} {what}", data=data)


def _write_load_results(store: Store, run_id: int) -> None:
    snapshot = store.snapshot(run_id)
    if snapshot and snapshot.load_results:
        file = paths.data_folder() / "load_test_results.json"
        partial = file.with_suffix(".json.tmp")
        partial.write_text(load_results.render(snapshot), encoding="utf-8")
        partial.replace(file)


def snapshot_of(store: Store, run_id: int) -> Snapshot:
    """A whole run. Raises SelectionError when there is none."""
    _known(store, run_id)
    snapshot = store.snapshot(run_id)
    if snapshot is None:
        raise SelectionError(f"There is no run with id {run_id}.")
    return snapshot


def rescored(store: Store, run_id: int, rubric_file: Path) -> Snapshot:
    """A kept run, judged and scored again under another rubric. Raises SelectionError, RubricError.

    A finding without evidence (not assessed, or the check broke) keeps its answer.
    """
    snapshot = snapshot_of(store, run_id)
    if snapshot.scorecard is None:
        raise SelectionError(f"Run {run_id} was {snapshot.run.state}: it has no score to compute again.")
    checks = all_checks(paths.plugin_folders())
    rubric = rubrics.load(rubric_file, checks)
    target = store.target(run_id)
    found = {
        item.check: _judged_again(checks[item.check], item, rubric, target)
        for item in snapshot.scorecard.findings
        if item.check in rubric.checks
    }
    return snapshot.model_copy(update={"scorecard": scorecard_of(found, checks, rubric, target)})


def _judged_again(check: LoadedCheck, old: ScoredFinding, rubric: Rubric, target: Target) -> ScoredFinding:
    finding = Finding(
        outcome=old.outcome, reason=old.reason, missing=old.missing, follows_from=old.follows_from
    )
    thresholds: dict[str, Any] = {}
    if old.evidence:
        evidence = TypeAdapter(check.evidence).validate_python(old.evidence)
        finding, thresholds = judged(check, evidence, target, rubric)
    measured = Measured(check, finding, old.evidence, thresholds, old.seconds, old.measured_at)
    return scored(measured, rubric.checks[check.id])
