"""What happens when a part of it fails."""

from __future__ import annotations

from app.sample.defects.defect import Defect

UNDONE = ("error_recovery.compensation", "error_recovery.compensation_failure")

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
        UNDONE,
        "error_recovery",
    ),
    Defect(
        "partial_compensation",
        "Compensation releases the first article only",
        "When an order of several articles is undone, only the first one is back in stock.",
        UNDONE,
        "error_recovery",
    ),
    Defect(
        "compensation_forgets_lost_reply",
        "A step whose reply was lost is not undone",
        "When a partner does its step and its reply is lost, the step is taken for one that was not done.",
        ("error_recovery.compensation",),
        "error_recovery",
    ),
    Defect(
        "silent_compensation_failure",
        "An undo that fails is dropped",
        "What cannot be undone at once, because the partner is away, is never undone, and nobody is told.",
        ("error_recovery.compensation_failure",),
        "error_recovery",
    ),
    Defect(
        "compensation_gives_up",
        "An undo is given up after half a second",
        "What cannot be undone in three attempts is never undone, and nobody is told.",
        ("error_recovery.compensation_failure",),
        "error_recovery",
    ),
    Defect(
        "compensation_left_to_people",
        "An undo that fails is left to people",
        "What cannot be undone at once is not tried again; it shows as pending.",
        ("error_recovery.compensation_failure",),
        "error_recovery",
    ),
    Defect(
        "compensation_forgotten_at_restart",
        "A restart forgets what has to be undone",
        "What a process had not undone when it was killed stays as it is.",
        ("error_recovery.compensation_failure",),
        "error_recovery",
    ),
    Defect(
        "double_charge",
        "A repeated order is another order",
        "The same Idempotency-Key places one order each time.",
        ("error_recovery.idempotency",),
        "error_recovery",
    ),
    Defect(
        "double_charge_at_once",
        "Orders at the same time under one key are several orders",
        "A key is looked up, the order placed, and the key kept: who comes in between orders again.",
        ("error_recovery.idempotency",),
        "error_recovery",
    ),
    Defect(
        "double_charge_other_worker",
        "Idempotency keys are kept in one process",
        "Two workers take requests in turn, and each knows its own keys only.",
        ("error_recovery.idempotency",),
        "error_recovery",
    ),
    Defect(
        "idempotency_refuses_repeats",
        "A repeated order is refused instead of answered",
        "A repeat has no second effect, and its caller does not learn which order was placed.",
        ("error_recovery.idempotency",),
        "error_recovery",
    ),
    Defect(
        "idempotency_key_of_all_shops",
        "Idempotency keys are shared by all shops",
        "A shop that happens to use another shop's key gets that shop's order, and none of its own.",
        ("error_recovery.idempotency",),
        "error_recovery",
    ),
    Defect(
        "idempotency_ignores_body",
        "A key is good for any order",
        "Another order under a known key is answered as if it were the first one.",
        ("error_recovery.idempotency",),
        "error_recovery",
    ),
)
