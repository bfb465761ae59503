"""error_recovery.compensation against a shop in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from checks.contract import InstrumentFailure, Outcome, Reply, Request
from checks.error_recovery import compensation
from tests.checks.error_recovery.shop import STEPS, Shop, a_shop_target
from tests.checks.scripted import ScriptedFaults, ScriptedInstruments, a_target, gather, judge


def measured(shop: Shop, target=None):
    target = target or a_shop_target()
    return judge(compensation, gather(compensation, target, shop.instruments()), target)


def test_a_transaction_that_is_undone_at_each_step_passes():
    shop = Shop()
    finding = measured(shop)
    assert finding.outcome is Outcome.PASS
    assert finding.value == 0
    assert "3 steps failed on purpose" in finding.reason.replace("\u00a0", " ")
    assert shop.faults.events == [f"{what} {name} refuse" for name in STEPS for what in ("broke", "restored")]
    assert len(set(shop.keys)) == 4, "each with a key of its own"


def test_what_stays_behind_is_named_by_step():
    finding = measured(Shop(compensates=False))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 2
    assert "Step draft: books.stock.LAMP 8 instead of 9." in finding.reason
    assert "Step invoice: books.drafts" in finding.reason
    assert finding.fix


def test_contents_are_compared_and_not_only_counts():
    class Swapping(Shop):
        def fail(self, done, key):
            reply = super().fail(done, key)
            self.drafts[0] = {"key": "another"}
            return reply

    finding = measured(Swapping())
    assert finding.outcome is Outcome.FAIL
    assert "books.drafts.0.key" in finding.reason


def test_a_compensation_after_the_restore_is_waited_for():
    class Background(Shop):
        def fail(self, done, key):
            self.pending.append(lambda: [self.undo(step, key) for step in reversed(done)])
            return Reply("/orders", 503)

    assert measured(Background()).outcome is Outcome.PASS


def test_an_effect_that_comes_late_is_a_residue():
    class Late(Shop):
        def fail(self, done, key):
            reply = super().fail(done, key)
            self.pending.append(lambda: self.do("invoice", key))
            return reply

    finding = measured(Late())
    assert finding.outcome is Outcome.FAIL
    assert "1 left in books.invoices" in finding.reason


def test_reporting_success_while_a_step_failed_is_a_failure_though_all_is_undone():
    finding = measured(Shop(reports=201))
    assert finding.outcome is Outcome.FAIL
    assert "failed, and the transaction reported 201" in finding.reason


def test_an_accepted_transaction_may_be_carried_on_later():
    class Queueing(Shop):
        def fail(self, done, key):
            self.pending.append(lambda: [self.do(step, key) for step in STEPS if step not in done])
            return Reply("/orders", 202)

    assert measured(Queueing()).outcome is Outcome.PASS


def test_levers_that_bite_nothing_measure_nothing():
    finding = measured(Shop(levers_bite=False))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "transaction.steps"
    assert "the lever stock made no difference" in finding.reason


def test_a_step_that_could_not_be_tried_costs_its_share():
    shop = Shop()
    shop.faults.declared["draft"] = ("hang",)
    finding = measured(shop)
    assert finding.outcome is Outcome.WARN
    assert finding.share == pytest.approx(2 / 3)
    assert "Step draft could not be made to fail: the lever draft has no way 'refuse'" in finding.reason


def test_a_transaction_that_fails_with_nothing_cut_measures_nothing():
    shop = Shop(works=False)
    finding = measured(shop)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "status 401" in finding.reason
    assert shop.faults.events == [], "nothing was broken for nothing"


def test_a_transaction_without_an_effect_proves_nothing():
    finding = measured(Shop(has_effects=False))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "transaction.state"


def test_a_state_that_moves_by_itself_must_be_ignored_first():
    finding = measured(Shop(noisy=True))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "books.clock" in finding.reason
    assert finding.missing == "transaction.state.ignore"
    ignoring = a_shop_target(state=[{"name": "books", "url": "/state", "ignore": ["clock"]}])
    assert measured(Shop(noisy=True), ignoring).outcome is Outcome.PASS


def test_a_state_that_cannot_be_read_says_where():
    shop = Shop()
    instruments = shop.instruments()
    instruments.http.replies[("GET", "/state")] = Reply("/state", 403)
    with pytest.raises(InstrumentFailure, match="books cannot be read at /state: status 403"):
        gather(compensation, a_shop_target(), instruments)


def test_two_runs_with_one_seed_share_no_key():
    shop = Shop()
    for _ in range(2):
        gather(compensation, a_shop_target(), shop.instruments())
    assert len(set(shop.keys)) == 8


@dataclass
class Carts:
    """``leaves``: what becomes of a cart whose payment failed; None removes it. ``later`` pays it later."""

    leaves: str | None = "void"
    obeys: bool = True
    later: bool = False
    carts: dict[str, str] = field(default_factory=dict)
    paid: int = 0
    number: int = 0
    events: list[str] = field(default_factory=list)
    faults: ScriptedFaults = field(default_factory=lambda: ScriptedFaults({"bank": ("refuse",)}))

    def instruments(self) -> ScriptedInstruments:
        self.faults.events = self.events
        return ScriptedInstruments(http=self, faults=self.faults)

    async def send(self, request: Request, **_: Any) -> Reply:
        if request.url == "/bank":
            if self.later and not self.faults.away:
                self.pay_later()
            return self.said(200, {"paid": self.paid})
        if request.url == "/carts":
            return self.new(request)
        cart = request.url.split("/")[2]
        if request.method == "GET":
            known = self.carts.get(cart)
            return self.said(200, {"id": cart, "state": known}) if known else self.said(404, {})
        return self.pay(request, cart)

    def new(self, request: Request) -> Reply:
        self.events.append("cart")
        if request.headers.get("X-Fail") == "cart":
            return self.said(503, {})
        self.number += 1
        self.carts[f"c{self.number}"] = "open"
        return self.said(201, {"id": f"c{self.number}"})

    def pay(self, request: Request, cart: str) -> Reply:
        self.events.append("pay")
        if self.faults.away and self.later:
            self.carts[cart] = "waits"
            return self.said(202, {})
        if self.faults.away or (self.obeys and request.headers.get("X-Fail") == "payment"):
            del self.carts[cart]
            self.carts |= {cart: self.leaves} if self.leaves else {}
            return self.said(503, {})
        self.carts[cart], self.paid = "paid", self.paid + 5
        return self.said(201, {})

    def pay_later(self) -> None:
        for cart in [cart for cart, state in self.carts.items() if state == "waits"]:
            self.carts[cart], self.paid = "paid", self.paid + 5

    def said(self, status: int, content: Any) -> Reply:
        return Reply("", status, {}, json.dumps(content).encode())


# A cart, then its payment; the shop gives it an id, and steps fail by a header or a lever.
FLOW = {
    "requests": [
        {"name": "cart", "path": "/carts", "capture": {"cart": "id"}},
        {"name": "pay", "path": "/carts/{cart}/pay", "body": {"amount": 5}},
    ],
    "settle_s": 0.1,
    "state": [
        {"name": "bank", "url": "/bank"},
        {"name": "cart", "url": "/carts/{cart}", "undone": {"json": "state", "equals": "void"}},
    ],
    "steps": [{"name": "payment", "fail_header": {"X-Fail": "payment"}}],
}


def found(carts: Carts, **changes: Any):
    levers = {"bank": {"kind": "command", "break": ["x"], "restore": ["y"]}}
    target = a_target(levers=levers, transaction=FLOW | changes)
    return judge(compensation, gather(compensation, target, carts.instruments()), target)


def test_what_is_void_again_counts_as_undone():
    carts = Carts()
    finding = found(carts)
    assert finding.outcome is Outcome.PASS, finding.reason
    assert set(carts.carts.values()) == {"paid", "void"}


def test_what_the_transaction_made_and_left_is_named():
    finding = found(Carts(leaves="open"))
    assert finding.outcome is Outcome.FAIL
    assert 'Step payment: cart {"id": "c2", "state": "open"} left' in finding.reason


def test_a_party_where_nothing_is_any_more_is_as_before():
    assert found(Carts(leaves=None)).outcome is Outcome.PASS


def test_a_header_that_the_service_does_not_obey_tries_nothing():
    finding = found(Carts(obeys=False))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "the header X-Fail made no difference" in finding.reason


def test_a_lever_is_broken_right_before_the_request_within_which_it_must_be():
    carts = Carts()
    steps = [{"name": "payment", "lever": "bank", "request": "pay"}]
    assert found(carts, steps=steps).outcome is Outcome.PASS
    assert carts.events == ["cart", "pay", "cart", "broke bank refuse", "pay", "restored bank refuse"]


def test_a_request_that_gives_nothing_to_capture_fails_the_transaction():
    requests = [{"name": "cart", "path": "/carts", "capture": {"cart": "number"}}]
    finding = found(Carts(), requests=requests)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "nothing at `number` to capture as {cart}" in finding.reason


def test_a_state_that_cannot_be_looked_up_after_the_failure_proves_nothing():
    steps = [{"name": "cart", "fail_header": {"X-Fail": "cart"}}]
    finding = found(Carts(), steps=steps, state=FLOW["state"][1:])
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "gave nothing to capture" in finding.reason


@pytest.mark.parametrize(
    ("expect", "later", "outcome"),
    [
        ("carried_on", True, Outcome.PASS),
        ("carried_on", False, Outcome.FAIL),
        ("compensated", True, Outcome.FAIL),
        ("compensated", False, Outcome.PASS),
        ("either", True, Outcome.PASS),
    ],
)
def test_what_must_come_of_a_failed_step_can_be_declared(expect: str, later: bool, outcome: Outcome):
    steps = [{"name": "payment", "lever": "bank", "request": "pay", "expect": expect}]
    assert found(Carts(later=later), steps=steps).outcome is outcome
