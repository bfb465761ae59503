"""error_recovery.idempotency against a till in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from checks.contract import BodyPlan, BodyReply, Outcome, Reply, Request
from checks.error_recovery import idempotency
from tests.checks.scripted import (
    ScriptedBodies,
    ScriptedHttp,
    ScriptedInstruments,
    a_target,
    gather,
    judge,
)

AUTH = {"valid": "Bearer ${ADA}", "other": "Bearer ${BEN}"}
STATE = {"name": "bank", "url": "/bank"}
TRANSACTION = {
    "path": "/pay",
    "headers": {"Authorization": "Bearer ${ADA}"},
    "body": {"to": "Charles Babbage", "amount": 5},
    "idempotency_header": "Key",
    "settle_s": 0.06,
    "state": [STATE],
}


def till_target(**changes: Any):
    return a_target(auth=AUTH, transaction=TRANSACTION | changes)


@dataclass
class Till:
    """``key_of`` is what a payment is known by; None knows none. ``together``: keys are seen at once too."""

    key_of: Callable[[Request], object] | None = lambda request: (
        request.headers["Authorization"],
        request.headers["Key"],
    )
    together: bool = True
    repeated: Callable[[Reply, int], Reply] = lambda first, number: first
    waiting: int | None = None
    fingerprint: bool = True
    limit: int | None = None
    noisy: bool = False
    payments: list[Any] = field(default_factory=list)
    known: dict[object, tuple[bytes, Reply]] = field(default_factory=dict)
    repeats: int = 0
    under_way: set[object] = field(default_factory=set)

    def instruments(self) -> ScriptedInstruments:
        http = ScriptedHttp({("POST", "/pay"): self.pay, ("GET", "/bank"): self.bank})
        return ScriptedInstruments(http=http, bodies=ScriptedBodies(self.at_once))

    def pay(self, request: Request) -> Reply:
        key = self.key_of(request) if self.key_of else object()
        if key in self.known:
            body, first = self.known[key]
            if self.fingerprint and body != request.body:
                return Reply("/pay", 422)
            self.repeats += 1
            return self.repeated(first, self.repeats)
        if self.limit is not None and len(self.payments) >= self.limit:
            return Reply("/pay", 429)
        amount = json.loads(request.body)["amount"]
        self.payments.append(amount if not self.noisy else len(self.payments))
        reply = Reply("/pay", 201, {}, json.dumps({"id": len(self.payments)}).encode())
        self.known[key] = (request.body, reply)
        return reply

    def at_once(self, request: Request, plan: BodyPlan) -> BodyReply:
        """The replies of those that are sent at the same moment come one after the other."""
        key = self.key_of(request) if self.key_of else None
        if not self.together:
            self.known.pop(key, None)
        elif self.waiting is not None and key in self.known:
            return BodyReply(self.waiting)
        reply = self.pay(request)
        return BodyReply(reply.status, body=reply.body)

    def bank(self, _: Request) -> Reply:
        books = {"paid": sum(self.payments), "payments": self.payments}
        return Reply("/bank", 200, {}, json.dumps(books).encode())


def measured(till: Till, **changes: Any):
    target = till_target(**changes)
    return judge(idempotency, gather(idempotency, target, till.instruments()), target)


def test_one_effect_and_one_reply_passes():
    finding = measured(Till())
    assert finding.outcome is Outcome.PASS
    assert finding.value == 1
    assert "Another body under it: refused (422)." in finding.reason
    assert "Another user's same key: another key." in finding.reason
    assert "Key: assessment-1" in finding.reproduce


def test_each_request_of_those_at_once_is_held_back_by_its_last_byte():
    till = Till()
    instruments = till.instruments()
    gather(idempotency, till_target(), instruments)
    sent = instruments.bodies.sent
    assert len(sent) == 8
    assert all(plan.pauses[0][0] == len(request.body) - 1 for request, plan in sent)
    assert len({request.headers["Key"] for request, _ in sent}) == 2, "four each under one key"


def test_no_key_at_all_fails_and_says_what_moved():
    finding = measured(Till(key_of=None))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 5
    assert "Sent 4 times in turn under one key, the transaction had 4 times its effect" in finding.reason
    assert "bank.payments moved by 4 instead of 1" in finding.reason or "bank.paid" in finding.reason


def test_a_key_that_is_seen_in_turn_only_fails():
    finding = measured(Till(together=False))
    assert finding.outcome is Outcome.FAIL
    assert "Sent 4 times at once" in finding.reason
    assert "one after the other it had one" in finding.reason


def test_409_while_the_first_is_under_way_is_what_the_draft_says():
    assert measured(Till(waiting=409)).outcome is Outcome.PASS


@pytest.mark.parametrize("status", [500, 400, 202])
def test_another_word_while_the_first_is_under_way_warns(status):
    finding = measured(Till(waiting=status))
    assert finding.outcome is Outcome.WARN
    assert f"told something else ({status})" in finding.reason


def test_a_repeat_with_another_reply_warns():
    finding = measured(Till(repeated=lambda first, number: Reply("/pay", 409)))
    assert finding.outcome is Outcome.WARN
    assert "a repeat was not told what the first was (201, then 409)" in finding.reason


def test_201_then_200_with_the_same_content_is_the_same_reply():
    again = lambda first, number: Reply("/pay", 200, {}, first.body)  # noqa: E731 - one line
    assert measured(Till(repeated=again)).outcome is Outcome.PASS


def test_paths_that_may_differ_are_ignored():
    def numbered(first: Reply, number: int) -> Reply:
        return Reply("/pay", 201, {}, json.dumps({**json.loads(first.body), "request": number}).encode())

    assert measured(Till(repeated=numbered)).outcome is Outcome.WARN
    assert measured(Till(repeated=numbered), ignore=["request"]).outcome is Outcome.PASS


def test_another_body_under_the_same_key_that_is_taken_warns():
    finding = measured(Till(fingerprint=False))
    assert finding.outcome is Outcome.WARN
    assert "another body under the same key got the first reply (201; 422 is expected)" in finding.reason


def test_a_key_that_all_users_share_fails():
    finding = measured(Till(key_of=lambda request: request.headers["Key"]))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 1
    assert "Another user who happened to send the same key was told 201" in finding.reason
    assert "they got the first reply" in finding.reason


def test_another_user_who_is_not_declared_is_not_tried():
    target = a_target(transaction=TRANSACTION)
    till = Till(key_of=lambda request: request.headers["Key"])
    finding = judge(idempotency, gather(idempotency, target, till.instruments()), target)
    assert finding.outcome is Outcome.PASS
    assert "`[auth] other` is not declared" in finding.reason


def test_a_repeat_that_rewrites_something_warns():
    class Rewriting(Till):
        def pay(self, request: Request) -> Reply:
            reply = super().pay(request)
            if self.repeats == 1:
                self.payments[-1], self.payments[0] = self.payments[0], "again"
            return reply

        def bank(self, _: Request) -> Reply:
            return Reply("/bank", 200, {}, json.dumps({"payments": self.payments}).encode())

    finding = measured(Rewriting())
    assert finding.outcome is Outcome.WARN
    assert "a repeat changed something: bank.payments.0" in finding.reason


def test_without_a_key_it_cannot_be_told_from_another_request():
    till = Till()
    finding = measured(till, idempotency_header=None)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "transaction.idempotency_header"
    assert till.payments == []


def test_a_reference_of_the_clients_own_is_a_key():
    class ByReference(Till):
        def pay(self, request: Request) -> Reply:
            reference = json.loads(request.body)["reference"]
            self.key_of = lambda _: reference
            return super().pay(request)

        def at_once(self, request: Request, plan: BodyPlan) -> BodyReply:
            reply = self.pay(request)
            return BodyReply(reply.status, body=reply.body)

    body = {"amount": 5, "reference": "{nonce}"}
    assert measured(ByReference(fingerprint=False), idempotency_header=None, body=body).outcome is not (
        Outcome.NOT_ASSESSED
    )


def test_a_state_of_one_transaction_cannot_show_a_second():
    finding = measured(Till(), state=[{"name": "payment", "url": "/payments/{nonce}"}])
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "transaction.state"


def test_effects_that_are_never_alike_cannot_be_counted():
    class Random(Till):
        def bank(self, _: Request) -> Reply:
            return Reply("/bank", 200, {}, json.dumps({"paid": 3 ** len(self.payments)}).encode())

    finding = measured(Random())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "no number and no size" in finding.reason


def test_a_rate_limit_proves_nothing():
    assert measured(Till(key_of=None, limit=4)).outcome is Outcome.NOT_ASSESSED


def test_a_payment_that_fails_by_itself_measures_nothing():
    finding = measured(Till(limit=0))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "status 429" in finding.reason
