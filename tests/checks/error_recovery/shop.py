"""A shop in memory whose orders take three steps at three partners, for tests of compensations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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


@dataclass
class SlowShop(Shop):
    """A shop that takes its time: a step whose partner hangs waits, and an undo needs its partner.

    ``undo``: what becomes of an undo that fails: ``tried`` again until it works, ``dropped``, or ``left`` for
    people. ``flag`` is how many are pending as the shop shows it. ``forgets``: a kill loses what is pending.
    ``answers_late``: the reply comes when all is undone.
    """

    undo_failing: str = "tried"
    forgets: bool = False
    answers_late: bool = False
    lever_takes_s: float = 0.0
    left: list[tuple[str, str]] = field(default_factory=list)
    flag: int = 0

    def instruments(self, **more: Any) -> ScriptedInstruments:
        return ScriptedInstruments(http=self, faults=KillingFaults(self), counts=self, **more)

    async def read(self, count: object, what: str, key: str) -> float:
        return self.flag

    async def send(self, request: Request, **_: Any) -> Reply:
        await asyncio.sleep(0.001)
        if request.method == "GET":
            return self.state(request) if request.url == "/state" else Reply(request.url, 200)
        return await self.slow_order(request)

    def state(self, request: Request) -> Reply:
        if self.undo_failing == "tried":
            self.left[:] = [one for one in self.left if not self.undone(*one)]
            self.flag = len(self.left)
        return super().state(request)

    def undone(self, step: str, key: str) -> bool:
        if step in self.faults.away:
            return False
        self.undo(step, key)
        return True

    async def slow_order(self, request: Request) -> Reply:
        key, done = request.headers["Key"], []
        for step in STEPS:
            way = self.faults.away.get(step)
            if way == "hang":
                for _ in range(30):
                    await asyncio.sleep(0.01)
                    if step not in self.faults.away:
                        break
            if way:
                failed = [one for one in reversed(done) if not self.undone(one, key)]
                self.left += [(one, key) for one in failed if self.undo_failing != "dropped"]
                self.flag = len(self.left)
                while self.answers_late and self.left:  # noqa: ASYNC110 - it polls
                    await asyncio.sleep(0.01)
                return Reply("/orders", 503)
            self.do(step, key)
            done.append(step)
            await asyncio.sleep(0.005)
        return Reply("/orders", 201)


class KillingFaults(ScriptedFaults):
    """Levers of a shop; a kill loses what the shop has in memory only."""

    def __init__(self, shop: SlowShop) -> None:
        super().__init__(shop.faults.declared)
        self.shop, shop.faults = shop, self

    @asynccontextmanager
    async def _broken(self, lever: str, way: str) -> AsyncIterator[None]:
        await asyncio.sleep(self.shop.lever_takes_s)
        async with super()._broken(lever, way):
            if way == "kill" and self.shop.forgets:
                self.shop.left.clear()
            yield
