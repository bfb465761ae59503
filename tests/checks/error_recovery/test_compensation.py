"""error_recovery.compensation against a shop in memory."""

from __future__ import annotations

import pytest

from checks.contract import InstrumentFailure, Outcome, Reply
from checks.error_recovery import compensation
from tests.checks.error_recovery.shop import STEPS, Shop, a_shop_target
from tests.checks.scripted import gather, judge


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
