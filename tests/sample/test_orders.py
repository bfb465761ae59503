"""The order transaction: one effect a key, all steps or none."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app.sample import stack
from tests.sample.client import HANG, ORDER, SLOW, Client, eventually

WAYS = {"refuse": None, "hang": HANG, "slow": SLOW}
PARTNERS = ("stock", "drafts", "invoices")


def test_an_order_takes_stock_and_leaves_a_draft_and_an_invoice(sample: Client):
    before = sample.partners()
    reply = sample.order()
    assert reply.status_code == 201
    after, reference = sample.partners(), reply.json()["order"]
    assert after["stock"]["MUG-WHITE"] == before["stock"]["MUG-WHITE"] - 2
    assert after["stock"]["TEA-GREEN"] == before["stock"]["TEA-GREEN"] - 1
    assert all(reference in after[kind] for kind in ("reservations", "drafts", "invoices"))


@pytest.mark.parametrize("credential", [None, "Bearer wrong", "Bearer zoë", "Basic YTpi"])
def test_without_the_right_token_nothing_is_ordered(sample: Client, credential: str | None):
    before = sample.partners()
    headers = {"Authorization": credential.encode()} if credential else {}
    reply = sample.http.post("/api/orders", json=ORDER, headers={**headers, "Idempotency-Key": "k"})
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert sample.partners() == before


def test_the_same_key_twice_is_one_order(sample: Client):
    first = sample.order(key="twice")
    between = sample.partners()
    again = sample.order(key="twice")
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert sample.partners() == between


def test_the_same_key_at_the_same_time_is_one_order(sample: Client):
    before = sample.partners()
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda _: sample.order(key="at once"), range(6)))
    assert {reply.json()["order"] for reply in replies} == {replies[0].json()["order"]}
    assert len(sample.partners()["invoices"]) == len(before["invoices"]) + 1


def test_the_same_key_for_another_order_is_refused(sample: Client):
    sample.order(key="reused")
    other = copy.deepcopy(ORDER) | {"customer": "Charles Babbage"}
    assert sample.order(other, key="reused").status_code == 422


def test_an_order_without_a_key_is_refused(sample: Client):
    secret = stack.environment(sample.state)[stack.TOKEN_NAME]
    reply = sample.http.post("/api/orders", json=ORDER, headers={"Authorization": f"Bearer {secret}"})
    assert reply.status_code == 422
    assert reply.json()["errors"][0]["field"] == "idempotency-key"


@pytest.mark.parametrize(
    "items",
    [[], [None], None, "MUG-WHITE", [{"sku": "MUG-WHITE"}], [{"sku": "x y", "quantity": 1}]]
    + [[{"sku": "MUG-WHITE", "quantity": bad}] for bad in (None, 0, -1, 1.5, "1", True, 10**400)],
    ids=repr,
)
def test_a_bad_order_is_refused(sample: Client, items: object):
    before = sample.partners()
    assert sample.order({"customer": "Ada", "items": items}).status_code in (400, 422)
    assert sample.partners() == before


def test_an_article_that_is_not_in_stock_is_a_conflict_without_effect(sample: Client):
    before = sample.partners()
    reply = sample.order({"customer": "Ada", "items": [*ORDER["items"], {"sku": "GONE", "quantity": 1}]})
    assert reply.status_code == 409
    assert sample.partners() == before


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("partner", PARTNERS)
def test_a_partner_that_fails_leaves_no_residue(sample: Client, partner: str, way: str):
    before = sample.partners()
    toxics = WAYS[way]
    with sample.poisoned(partner, toxics) if toxics else sample.refused(partner):
        reply = sample.order(key=f"{partner} {way}")
        assert reply.status_code == (503 if way == "refuse" else 504)
        assert reply.json()["detail"].startswith(f"The order was not placed: {partner} ")
    assert eventually(lambda: sample.partners() == before)
    assert sample.order(key=f"{partner} {way}").status_code == 201


def test_a_restart_takes_up_a_compensation_that_was_pending(with_defects: Callable[..., Client]):
    sample = with_defects()
    before = sample.partners()
    with sample.poisoned("drafts", SLOW):
        reply = sample.order()
        assert reply.status_code == 504
        sample.faults.post("/proxies/drafts", json={"enabled": False})
        sample = with_defects("health_slow")
        assert _pending(sample) == 1
        sample.faults.post("/proxies/drafts", json={"enabled": True})
    assert eventually(lambda: sample.partners() == before)


def test_pending_compensations_are_shown_while_a_partner_is_away(sample: Client):
    before = sample.partners()
    with sample.poisoned("invoices", HANG):
        sample.order()
        assert _pending(sample) == 1
        assert sample.partners() == before  # the other two steps are undone already
    assert eventually(lambda: _pending(sample) == 0)


def _pending(sample: Client) -> int:
    return sample.http.get("/health").json()["components"]["orders"]["pending_compensations"]


def test_what_a_shop_ordered_is_in_its_order_book_whatever_happens_to_the_process(sample: Client):
    reference = sample.order().json()["order"]
    part = next(part for part in sample.state.parts if part.name == "chat")
    [serving] = part.process().children()
    before = _book(sample)
    serving.kill()
    assert eventually(lambda: _answers(sample))
    assert before[reference] == ORDER
    assert _book(sample) == before
    assert reference not in _book(sample, stack.OTHER_TOKEN_NAME)


def _book(sample: Client, token_name: str = stack.TOKEN_NAME) -> dict[str, object]:
    headers = {"Authorization": f"Bearer {stack.environment(sample.state)[token_name]}"}
    return sample.http.get("/api/order-book", headers=headers).json()["orders"]


def _answers(sample: Client) -> bool:
    try:
        return sample.http.get("/health").status_code == 200
    except httpx.TransportError:
        return False
