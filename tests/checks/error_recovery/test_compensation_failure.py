"""error_recovery.compensation_failure against a shop in memory whose undo needs its partner."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from checks.contract import Outcome, Reply
from checks.error_recovery import compensation_failure
from tests.checks.error_recovery.shop import STEPS, SlowShop
from tests.checks.scripted import ScriptedFaults, a_target, gather, judge

WAYS = ("refuse", "hang")
LEVER = {"kind": "command", "ways": list(WAYS), "break": ["x"], "restore": ["y"]}
SERVICE = {"kind": "process", "ways": ["kill"]}
FLAG = {"url": "/metrics", "metric": "undos_pending"}


def a_shop(**changes: Any) -> SlowShop:
    return SlowShop(ScriptedFaults(dict.fromkeys(STEPS, WAYS) | {"service": ("kill",)}), **changes)


def shop_target(*, levers: dict[str, Any] | None = None, **changes: Any):
    transaction = {
        "path": "/orders",
        "body": {"sku": "LAMP"},
        "idempotency_header": "Key",
        "settle_s": 0.3,
        "flagged": FLAG,
        "state": [{"name": "books", "url": "/state"}],
        "steps": [
            {"name": "draft", "lever": "draft", "compensation": {"lever": "stock"}},
            {"name": "invoice", "lever": "invoice", "compensation": {"lever": "draft"}},
        ],
    }
    every = dict.fromkeys(STEPS, LEVER) | {"service": SERVICE}
    return a_target(levers=every if levers is None else levers, transaction=transaction | changes)


def measured(shop: SlowShop, target: Any = None):
    target = target or shop_target()
    return judge(compensation_failure, gather(compensation_failure, target, shop.instruments()), target)


def test_an_undo_that_is_tried_again_passes_over_a_kill_too():
    shop = a_shop()
    finding = measured(shop)
    assert finding.outcome is Outcome.PASS, finding.reason
    assert finding.value == 0
    assert "Carried on: 3 failed undos" in finding.reason.replace("\u00a0", " ")
    assert "one of them over a kill" in finding.reason
    assert shop.faults.events[:4] == [
        "broke draft hang",
        "broke stock refuse",
        "restored draft hang",
        "restored stock refuse",
    ]
    assert shop.faults.events[-4:] == [
        "restored invoice hang",
        "broke service kill",
        "restored service kill",
        "restored draft refuse",
    ], "killed, and up again, while the partner is still away"


def test_an_undo_that_is_dropped_fails():
    finding = measured(a_shop(undo_failing="dropped"))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 3
    assert "Step draft failed and its undo failed at first: books.stock.LAMP" in finding.reason
    assert "nothing at /metrics shows it" in finding.reason
    assert finding.fix


def test_what_stays_and_shows_warns():
    finding = measured(a_shop(undo_failing="left"))
    assert finding.outcome is Outcome.WARN
    assert finding.share == 0.5
    assert "it shows at /metrics" in finding.reason


def test_what_stays_fails_where_no_place_is_declared_to_show_it():
    finding = measured(a_shop(undo_failing="left"), shop_target(flagged=None))
    assert finding.outcome is Outcome.FAIL
    assert "`[transaction] flagged`" in finding.reason


def test_what_a_kill_makes_the_service_forget_fails():
    finding = measured(a_shop(forgets=True))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 1
    assert "Step invoice failed and the service was killed while its undo was pending" in finding.reason


def test_a_service_that_answers_when_all_is_undone_is_waited_for():
    steps = [{"name": "draft", "lever": "draft", "compensation": {"lever": "stock"}}]
    target = shop_target(steps=steps, levers=dict.fromkeys(STEPS, LEVER))
    assert "1 failed undo" in measured(a_shop(answers_late=True), target).reason.replace("\u00a0", " ")


def test_without_a_lever_that_kills_it_is_said_and_costs_its_share():
    finding = measured(a_shop(), shop_target(levers=dict.fromkeys(STEPS, LEVER)))
    assert finding.outcome is Outcome.WARN
    assert finding.share == pytest.approx(2 / 3)
    assert "No lever can kill the service" in finding.reason


def test_a_lever_that_undoing_does_not_need_shows_nothing():
    steps = [{"name": "draft", "lever": "draft", "compensation": {"lever": "invoice"}}]
    shop = a_shop()
    finding = measured(shop, shop_target(steps=steps))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "transaction.steps.compensation"
    assert "nothing was left to undo" in finding.reason
    assert "broke service kill" not in shop.faults.events


def test_no_declared_compensation_measures_nothing_and_breaks_nothing():
    shop = a_shop()
    finding = measured(shop, shop_target(steps=[{"name": "draft", "lever": "draft"}]))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "transaction.steps.compensation"
    assert (shop.faults.events, shop.keys) == ([], [])


def test_a_lever_without_its_way_is_named():
    shop = a_shop()
    shop.faults.declared["stock"] = ("hang",)
    finding = measured(shop)
    assert finding.outcome is Outcome.WARN
    assert "the lever stock has no way 'refuse'" in finding.reason


def test_a_transaction_that_fails_by_itself_measures_nothing():
    class Closed(SlowShop):
        async def slow_order(self, request):
            return Reply("/orders", 401)

    finding = measured(Closed(ScriptedFaults(dict.fromkeys(STEPS, WAYS))))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "status 401" in finding.reason


@pytest.mark.parametrize("after_s", [0.2 + 0.05 * number for number in range(16)])
def test_a_run_that_is_cancelled_at_any_moment_leaves_no_lever_broken(after_s: float):
    shop = a_shop(lever_takes_s=0.03)

    async def cancelled() -> None:
        instruments = shop.instruments()
        task = asyncio.create_task(compensation_failure.gather(shop_target(), instruments))
        await asyncio.wait({task}, timeout=after_s)
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(cancelled())
    broken = [event for event in shop.faults.events if event.startswith("broke ")]
    assert shop.faults.away == {}
    assert len(shop.faults.events) == 2 * len(broken), shop.faults.events


def test_a_lever_that_is_slow_to_break_is_waited_for_and_restored():
    shop = a_shop(lever_takes_s=0.5)
    finding = measured(shop, shop_target(levers=dict.fromkeys(STEPS, LEVER), settle_s=1))
    assert finding.outcome in (Outcome.WARN, Outcome.NOT_ASSESSED)
    assert shop.faults.away == {}


def test_a_state_that_cannot_be_read_while_a_partner_is_away_is_said():
    class Hidden(SlowShop):
        def state(self, request):
            return Reply("/state", 503) if "stock" in self.faults.away else super().state(request)

    shop = Hidden(ScriptedFaults(dict.fromkeys(STEPS, WAYS) | {"service": ("kill",)}))
    finding = measured(shop)
    assert finding.outcome is Outcome.WARN
    assert "The state of books cannot be read at /state: status 503" in finding.reason
    assert shop.faults.away == {}


def test_levers_that_bite_nothing_measure_nothing():
    class Untouched(SlowShop):
        async def slow_order(self, request):
            for step in STEPS:
                self.do(step, request.headers["Key"])
            return Reply("/orders", 201)

    finding = measured(Untouched(ScriptedFaults(dict.fromkeys(STEPS, WAYS) | {"service": ("kill",)})))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "made no difference, and the transaction went through" in finding.reason
