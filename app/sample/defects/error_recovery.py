"""What happens when a part of it fails."""

from __future__ import annotations

from app.sample.defects.defect import Defect

ERROR_RECOVERY = (
    Defect(
        "no_upstream_timeout",
        "No time-out on the model",
        "When the model accepts a call and does not answer, the caller waits without end.",
        ("error_recovery.upstream_hang",),
        "error_recovery",
    ),
    Defect(
        "upstream_timeout_too_long",
        "The time-out on the model is longer than callers wait",
        "When the model does not answer, the caller is told after 6.5 s; 5 s are promised.",
        ("error_recovery.upstream_hang",),
        "error_recovery",
    ),
    Defect(
        "no_compensation",
        "Compensations do not run",
        "When a step of an order fails, what the steps before it did stays.",
        ("error_recovery.compensation",),
        "error_recovery",
    ),
    Defect(
        "partial_compensation",
        "Compensation releases the first article only",
        "When an order of several articles is undone, only the first one is back in stock.",
        ("error_recovery.compensation",),
        "error_recovery",
    ),
    Defect(
        "compensation_forgets_lost_reply",
        "A step whose reply was lost is not undone",
        "When a partner does its step and its reply is lost, the step is taken for one that was not done.",
        ("error_recovery.compensation",),
        "error_recovery",
    ),
)
