"""Runs, findings, events, load results."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
        sa.Column("target_name", sa.String(200), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("profile", sa.String(20), nullable=False),
        sa.Column("faults", sa.Boolean, nullable=False),
        sa.Column("based_on", sa.Integer),
        sa.Column("started_by", sa.String(100), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT),
        sa.Column("finished_at", MOMENT),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("planned", sa.JSON, nullable=False),
        sa.Column("pid", sa.Integer),
        sa.Column("pid_started", sa.Double),
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("cancel_asked", sa.Boolean, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("grade", sa.String(4)),
        sa.Column("verdict", sa.String(40)),
        sa.Column("coverage", sa.Double),
        sa.Column("best_possible", sa.Double),
        sa.Column("open_p0", sa.Integer),
        sa.Column("categories", sa.JSON, nullable=False),
        sa.Column("rubric", sa.JSON),
        sa.Column("scorecard", sa.JSON),
        sa.UniqueConstraint("target", "number", name="uq_runs_target_number"),
    )
    op.create_index("ix_runs_state", "runs", ["state"])
    _of_a_run("findings", sa.Column("check_id", sa.String(200), nullable=False),
              sa.Column("record", sa.JSON, nullable=False), unique=("check_id", "uq_findings_run_check"))
    _of_a_run("events", sa.Column("seq", sa.Integer, nullable=False), sa.Column("at", MOMENT, nullable=False),
              sa.Column("kind", sa.String(20), nullable=False), sa.Column("check_id", sa.String(200)),
              sa.Column("text", sa.Text, nullable=False), sa.Column("data", sa.JSON, nullable=False),
              unique=("seq", "uq_events_run_seq"))
    _of_a_run("load_results", sa.Column("scenario", sa.String(100), nullable=False),
              sa.Column("record", sa.JSON, nullable=False), unique=("scenario", "uq_load_results_run_scenario"))


def _of_a_run(table: str, *columns: "sa.Column[Any]", unique: tuple[str, str]) -> None:
    op.create_table(
        table,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        *columns,
        sa.UniqueConstraint("run_id", unique[0], name=unique[1]),
    )
    op.create_index(f"ix_{table}_run_id", table, ["run_id"])


def downgrade() -> None:
    for table in ("load_results", "events", "findings", "runs"):
        op.drop_table(table)
