"""A shop in memory whose orders take three steps at three partners, for tests of compensations."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from checks.contract import Reply, Request
from tests.checks.scripted import ScriptedFaults, ScriptedHttp, ScriptedInstruments, a_target

STEPS = ("stock", "draft", "invoice")


def a_shop_target(**changes: Any):
    levers = {name: {"kind": "command", "break": ["x"], "restore": ["y"]} for name in STEPS}
    transaction = {
        "path": "/orders",
        "body": {"sku": "LAMP"},
        "idempotency_header": "Key",
        "settle_s": 0.1,
        "state": [{"name": "books", "url": "/state"}],
        "steps": [{"name": name, "lever": name} for name in STEPS],
    }
    return a_target(levers=levers, transaction=transaction | changes)


@dataclass
class Shop:
    """``compensates``: whether earlier steps are undone. ``reports``: the status where a step fails.

    ``late``: what happens some reads of the state after an order failed, as a background task would do.
    """

    faults: ScriptedFaults = field(default_factory=lambda: ScriptedFaults(dict.fromkeys(STEPS, ("refuse",))))
    compensates: bool = True
    reports: int = 503
    works: bool = True
    has_effects: bool = True
    noisy: bool = False
    levers_bite: bool = True
    late: Callable[[dict[str, Any]], None] | None = None
    stock: int = 10
    drafts: list[dict[str, Any]] = field(default_factory=list)
    invoices: dict[str, dict[str, Any]] = field(default_factory=dict)
    reads: int = 0
    pending: list[Callable[[], None]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def instruments(self) -> ScriptedInstruments:
        replies = {("POST", "/orders"): self.order, ("GET", "/state"): self.state}
        return ScriptedInstruments(http=ScriptedHttp(replies), faults=self.faults)

    def state(self, request: Request) -> Reply:
        self.reads += 1
        if not self.faults.cut:
            while self.pending:
                self.pending.pop()()
        books: dict[str, Any] = {
            "stock": {"LAMP": self.stock},
            "drafts": self.drafts,
            "invoices": self.invoices,
        }
        if self.noisy:
            books["clock"] = self.reads
        return Reply("/state", 200, {}, json.dumps(books).encode())

    def order(self, request: Request) -> Reply:
        key = request.headers["Key"]
        self.keys.append(key)
        if not self.works:
            return Reply("/orders", 401)
        failing = self.faults.cut[0] if self.faults.cut and self.levers_bite else None
        done: list[str] = []
        for step in STEPS if self.has_effects else ():
            if step == failing:
                return self.fail(done, key)
            self.do(step, key)
            done.append(step)
        return Reply("/orders", 201)

    def do(self, step: str, key: str) -> None:
        if step == "stock":
            self.stock -= 1
        elif step == "draft":
            self.drafts.append({"key": key})
        else:
            self.invoices[key] = {"sku": "LAMP"}

    def undo(self, step: str, key: str) -> None:
        if step == "stock":
            self.stock += 1
        elif step == "draft":
            self.drafts[:] = [draft for draft in self.drafts if draft["key"] != key]
        else:
            self.invoices.pop(key, None)

    def fail(self, done: list[str], key: str) -> Reply:
        if self.compensates:
            for step in reversed(done):
                self.undo(step, key)
        return Reply("/orders", self.reports)
