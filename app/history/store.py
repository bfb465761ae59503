"""Reads and writes the history. The run process appends; pages and reports only read."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, defer

from app.breakages import breakages
from app.history.database import connect
from app.history.models import EventRow, FindingRow, LoadResultRow, RunRow
from app.records import (
    Breakage,
    CategoryScore,
    LoadResult,
    RubricRef,
    RunEvent,
    RunInfo,
    RunState,
    Scorecard,
    ScoredFinding,
    Snapshot,
    Verdict,
)
from checks.contract.target import Target

ACTIVE = (RunState.WAITING.value, RunState.RUNNING.value)
NUMBER_TRIES = 20


class Store:
    """The history of all runs of all targets."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str | None = None) -> Store:
        """Open the history at ``url`` (default: GREENLIGHT_DB, or SQLite). Raises HistoryError."""
        return cls(connect(url))

    # Reading

    def targets(self) -> list[str]:
        """Keys of the targets that have runs, the most recently assessed first."""
        query = select(RunRow.target).group_by(RunRow.target).order_by(func.max(RunRow.id).desc())
        with Session(self.engine) as session:
            return list(session.scalars(query))

    def runs(self, target: str, limit: int = 200) -> list[RunInfo]:
        """The runs of a target, newest first."""
        query = select(RunRow).where(RunRow.target == target).order_by(RunRow.id.desc()).limit(limit)
        return self._infos(query)

    def active(self) -> list[RunInfo]:
        """Runs that wait or run, oldest first."""
        return self._infos(select(RunRow).where(RunRow.state.in_(ACTIVE)).order_by(RunRow.id))

    def run(self, run_id: int) -> RunInfo | None:
        """One run by its global id."""
        return next(iter(self._infos(select(RunRow).where(RunRow.id == run_id))), None)

    def run_by_number(self, target: str, number: int) -> RunInfo | None:
        """One run by its number among those of its target."""
        query = select(RunRow).where(RunRow.target == target, RunRow.number == number)
        return next(iter(self._infos(query)), None)

    def findings(self, run_id: int) -> tuple[ScoredFinding, ...]:
        """The findings of a run so far, in the order they were found."""
        query = select(FindingRow.record).where(FindingRow.run_id == run_id).order_by(FindingRow.id)
        with Session(self.engine) as session:
            return tuple(ScoredFinding.model_validate(record) for record in session.scalars(query))

    def load_results(self, run_id: int) -> tuple[LoadResult, ...]:
        """The load results of a run, in the order they were measured."""
        query = select(LoadResultRow.record).where(LoadResultRow.run_id == run_id).order_by(LoadResultRow.id)
        with Session(self.engine) as session:
            return tuple(LoadResult.model_validate(record) for record in session.scalars(query))

    def load_scenarios(self, target: str) -> dict[int, tuple[str, ...]]:
        """The scenarios that each run of a target has measured; runs without any are left out."""
        query = (
            select(LoadResultRow.run_id, LoadResultRow.scenario)
            .join(RunRow, RunRow.id == LoadResultRow.run_id)
            .where(RunRow.target == target)
            .order_by(LoadResultRow.id)
        )
        found: dict[int, tuple[str, ...]] = {}
        with Session(self.engine) as session:
            for run_id, scenario in session.execute(query):
                found[run_id] = (*found.get(run_id, ()), scenario)
        return found

    def snapshot(self, run_id: int) -> Snapshot | None:
        """A whole run; its scorecard is None until, and unless, it finished."""
        info = self.run(run_id)
        if info is None:
            return None
        with Session(self.engine) as session:
            card = session.scalar(select(RunRow.scorecard).where(RunRow.id == run_id))
        findings = self.findings(run_id)
        scorecard = Scorecard.model_validate({**card, "findings": findings}) if card else None
        return Snapshot(
            run=info,
            scorecard=scorecard,
            load_results=self.load_results(run_id),
            unscored_findings=() if card else findings,
            breakages=self._breakages(run_id),
        )

    def _breakages(self, run_id: int) -> tuple[Breakage, ...]:
        query = (
            select(EventRow)
            .where(EventRow.run_id == run_id, EventRow.kind.in_(("check", "lever")))
            .order_by(EventRow.seq)
        )
        with Session(self.engine) as session:
            return breakages(map(_event, session.scalars(query)))

    def events(self, run_id: int, after_seq: int = 0, limit: int = 500) -> list[RunEvent]:
        """Events of a run after ``after_seq``, oldest first."""
        query = (
            select(EventRow)
            .where(EventRow.run_id == run_id, EventRow.seq > after_seq)
            .order_by(EventRow.seq)
            .limit(limit)
        )
        with Session(self.engine) as session:
            return [_event(row) for row in session.scalars(query)]

    def check_history(
        self, target: str, check: str, limit: int = 50
    ) -> list[tuple[RunInfo, ScoredFinding | None]]:
        """The newest runs of a target, oldest first, each with its finding of ``check``."""
        infos = [info for info in self.runs(target, limit) if info.state.final]
        query = select(FindingRow.run_id, FindingRow.record).where(
            FindingRow.check_id == check, FindingRow.run_id.in_([info.run_id for info in infos])
        )
        with Session(self.engine) as session:
            found = {
                run_id: ScoredFinding.model_validate(record) for run_id, record in session.execute(query)
            }
        return [(info, found.get(info.run_id)) for info in reversed(infos)]

    def target(self, run_id: int) -> Target:
        """The target of a run as it was then."""
        with Session(self.engine) as session:
            return Target.model_validate(session.get_one(RunRow, run_id).document)

    def owner(self, run_id: int) -> tuple[int | None, float | None, str]:
        """Process id, process start time and host of a run."""
        with Session(self.engine) as session:
            row = session.get_one(RunRow, run_id)
            return row.pid, row.pid_started, row.host

    def cancel_asked(self, run_id: int) -> bool:
        """Whether somebody asked to cancel this run."""
        with Session(self.engine) as session:
            return bool(session.scalar(select(RunRow.cancel_asked).where(RunRow.id == run_id)))

    # Writing

    def create_run(
        self,
        target: Target,
        *,
        profile: str,
        faults: bool,
        started_by: str,
        planned: Sequence[str] = (),
        based_on: int | None = None,
    ) -> RunInfo:
        """Add a waiting run with the next number of its target."""
        given = {"profile": profile, "faults": faults, "started_by": started_by, "based_on": based_on}
        for _ in range(NUMBER_TRIES):
            try:
                return self._create_run(target, list(planned), given)
            except IntegrityError:  # another process took the number
                continue
        raise RuntimeError(f"no free run number for {target.key} in {NUMBER_TRIES} tries")

    def _create_run(self, target: Target, planned: list[str], given: dict[str, Any]) -> RunInfo:
        with Session(self.engine) as session, session.begin():
            last = session.scalar(select(func.max(RunRow.number)).where(RunRow.target == target.key)) or 0
            row = RunRow(
                number=last + 1,
                target=target.key,
                target_name=target.title,
                url=target.url,
                document=target.model_dump(mode="json", by_alias=True),
                created_at=datetime.now(UTC),
                state=RunState.WAITING.value,
                planned=planned,
                host=socket.gethostname(),
                categories=[],
                message="",
                **given,
            )
            session.add(row)
            session.flush()
            return _info(row, 0)

    def own(self, run_id: int, pid: int, pid_started: float) -> None:
        """Say which process carries a run out."""
        self._set(run_id, pid=pid, pid_started=pid_started, host=socket.gethostname())

    def start_run(self, run_id: int, planned: Sequence[str]) -> None:
        """Mark a waiting run as running."""
        now = datetime.now(UTC)
        self._set(run_id, state=RunState.RUNNING.value, started_at=now, planned=list(planned))

    def ask_cancel(self, run_id: int) -> None:
        """Ask the run's process to stop."""
        self._set(run_id, cancel_asked=True)

    def end_run(self, run_id: int, state: RunState, message: str = "") -> None:
        """Mark a run as ended without a score."""
        self._set(run_id, state=state.value, message=message, finished_at=datetime.now(UTC))

    def finish_run(self, run_id: int, scorecard: Scorecard) -> None:
        """Keep the scorecard and mark the run as finished, in one transaction."""
        card = scorecard.model_dump(mode="json", exclude={"findings"})
        with Session(self.engine) as session, session.begin():
            row = session.get_one(RunRow, run_id)
            session.execute(delete(FindingRow).where(FindingRow.run_id == run_id))
            session.add_all(
                FindingRow(run_id=run_id, check_id=item.check, record=item.model_dump(mode="json"))
                for item in scorecard.findings
            )
            row.state, row.finished_at = RunState.FINISHED.value, datetime.now(UTC)
            row.score, row.grade, row.verdict = scorecard.score, scorecard.grade, scorecard.verdict.value
            row.coverage, row.best_possible = scorecard.coverage, scorecard.best_possible
            row.open_p0 = sum(finding.blocks for finding in scorecard.findings)
            row.categories, row.rubric, row.scorecard = card["categories"], card["rubric"], card

    def add_finding(self, run_id: int, finding: ScoredFinding) -> None:
        """Keep a finding as it happens."""
        record = finding.model_dump(mode="json")
        with Session(self.engine) as session, session.begin():
            session.add(FindingRow(run_id=run_id, check_id=finding.check, record=record))

    def add_event(self, run_id: int, event: RunEvent) -> None:
        """Keep an event as it happens."""
        with Session(self.engine) as session, session.begin():
            session.add(
                EventRow(
                    run_id=run_id,
                    seq=event.seq,
                    at=event.at,
                    kind=event.kind,
                    check_id=event.check,
                    text=event.text,
                    data=event.data,
                )
            )

    def add_load_result(self, run_id: int, result: LoadResult) -> None:
        """Keep the figures of a scenario; measured again, the later ones stand."""
        same = (LoadResultRow.run_id == run_id) & (LoadResultRow.scenario == result.scenario)
        with Session(self.engine) as session, session.begin():
            session.execute(delete(LoadResultRow).where(same))
            session.add(
                LoadResultRow(run_id=run_id, scenario=result.scenario, record=result.model_dump(mode="json"))
            )

    def _set(self, run_id: int, **values: Any) -> None:
        with Session(self.engine) as session, session.begin():
            session.execute(update(RunRow).where(RunRow.id == run_id).values(**values))

    def _infos(self, query: Any) -> list[RunInfo]:
        with Session(self.engine) as session:
            rows = list(session.scalars(query.options(defer(RunRow.scorecard), defer(RunRow.document))))
            done = _done(session, [row.id for row in rows])
            return [_info(row, done.get(row.id, 0)) for row in rows]


def _done(session: Session, run_ids: Iterable[int]) -> dict[int, int]:
    query = (
        select(FindingRow.run_id, func.count())
        .where(FindingRow.run_id.in_(list(run_ids)))
        .group_by(FindingRow.run_id)
    )
    return {run_id: count for run_id, count in session.execute(query)}  # noqa: C416 - rows are not pairs to mypy


def _info(row: RunRow, done: int) -> RunInfo:
    return RunInfo(
        run_id=row.id,
        number=row.number,
        target=row.target,
        target_name=row.target_name,
        url=row.url,
        profile=row.profile,
        faults=row.faults,
        based_on=row.based_on,
        started_by=row.started_by,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        state=RunState(row.state),
        planned=tuple(row.planned),
        done=done,
        message=row.message,
        score=row.score,
        grade=row.grade,
        verdict=Verdict(row.verdict) if row.verdict else None,
        coverage=row.coverage,
        best_possible=row.best_possible,
        open_p0=row.open_p0,
        categories=tuple(CategoryScore.model_validate(item) for item in row.categories),
        rubric=RubricRef.model_validate(row.rubric) if row.rubric else None,
    )


def _event(row: EventRow) -> RunEvent:
    return RunEvent.model_validate(
        {
            "seq": row.seq,
            "at": row.at,
            "kind": row.kind,
            "check": row.check_id,
            "text": row.text,
            "data": row.data,
        }
    )
