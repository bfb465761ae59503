"""The tables of the history. The same models serve SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Moment(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no time zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Store in UTC."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Read as UTC."""
        if value is None:
            return None
        return value if value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {datetime: Moment, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012 - SQLAlchemy's way


class RunRow(Base):
    """A run: what was asked for, how it goes, and its score once it has one."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("target", "number", name="uq_runs_target_number"),
        Index("ix_runs_state", "state"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    target: Mapped[str] = mapped_column(String(200))
    target_name: Mapped[str] = mapped_column(String(200))
    url: Mapped[str] = mapped_column(Text)
    document: Mapped[dict[str, Any]]  # the target as it was, secrets still as ${ENV_NAME}
    profile: Mapped[str] = mapped_column(String(20))
    faults: Mapped[bool]
    based_on: Mapped[int | None]  # a run's number
    started_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(String(20))
    message: Mapped[str] = mapped_column(Text, default="")
    planned: Mapped[list[Any]] = mapped_column(default=list)
    pid: Mapped[int | None]
    pid_started: Mapped[float | None] = mapped_column(Double)
    host: Mapped[str] = mapped_column(String(200), default="")
    cancel_asked: Mapped[bool] = mapped_column(default=False)
    score: Mapped[float | None] = mapped_column(Double)
    grade: Mapped[str | None] = mapped_column(String(4))
    verdict: Mapped[str | None] = mapped_column(String(40))
    coverage: Mapped[float | None] = mapped_column(Double)
    best_possible: Mapped[float | None] = mapped_column(Double)
    open_p0: Mapped[int | None]
    categories: Mapped[list[Any]] = mapped_column(default=list)
    rubric: Mapped[dict[str, Any] | None]
    scorecard: Mapped[dict[str, Any] | None]  # without its findings, which have a table of their own


class FindingRow(Base):
    """A scored finding with its evidence, so that an old run can be judged and scored again."""

    __tablename__ = "findings"
    __table_args__ = (UniqueConstraint("run_id", "check_id", name="uq_findings_run_check"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    check_id: Mapped[str] = mapped_column(String(200))
    record: Mapped[dict[str, Any]]


class EventRow(Base):
    """Something that happened in a run."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("run_id", "seq", name="uq_events_run_seq"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    seq: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(20))
    check_id: Mapped[str | None] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]]


class LoadResultRow(Base):
    """The figures of one load scenario."""

    __tablename__ = "load_results"
    __table_args__ = (UniqueConstraint("run_id", "scenario", name="uq_load_results_run_scenario"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    scenario: Mapped[str] = mapped_column(String(100))
    record: Mapped[dict[str, Any]]
