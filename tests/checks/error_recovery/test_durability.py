"""error_recovery.durability against a shop in memory whose process dies."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from checks.contract import InstrumentFailure, Outcome, ProcessFact, Reply, Request
from checks.error_recovery import _readback, durability
from tests.checks.error_recovery.mortal import PROCESS
from tests.checks.scripted import (
    ScriptedFaults,
    ScriptedHttp,
    ScriptedInstruments,
    ScriptedProcesses,
    a_target,
    gather,
    judge,
)

Orders = dict[str, dict[str, Any]]


def a_target_of_orders(**changes: Any):
    transaction = {
        "path": "/orders",
        "body": {"sku": "LAMP", "note": "for {nonce}"},
        "idempotency_header": "Key",
        "settle_s": 0.1,
        "state": [{"name": "books", "url": "/state"}],
    }
    return a_target(levers={"service": PROCESS}, transaction=transaction | changes)


@dataclass
class Shop:
    """Orders in memory and on disk. ``on_ack`` writes an order, ``on_start`` reads the disk after a kill."""

    on_ack: Callable[[Shop, str, dict[str, Any]], None] = lambda shop, key, order: shop.keep(key, order)
    on_start: Callable[[Orders], Orders] = lambda disk: disk
    number: Callable[[Shop], str] = lambda shop: f"o-{shop.count}-{shop.lives}"
    comes_back: bool = True
    never_dies: bool = False
    acknowledges: bool = True
    memory: Orders = field(default_factory=dict)
    disk: Orders = field(default_factory=dict)
    count: int = 0
    lives: int = 0
    stock: int = 100
    dead: bool = False

    def keep(self, key: str, order: dict[str, Any]) -> None:
        self.disk[key] = json.loads(json.dumps(order))

    def instruments(self) -> ScriptedInstruments:
        replies = {("POST", "/orders"): self.order, ("GET", "/state"): self.state}
        self.http = ScriptedHttp(replies)
        self.faults = Killing(self)
        return ScriptedInstruments(http=self.http, faults=self.faults, processes=Seen(self))

    def order(self, request: Request) -> Reply:
        if self.dead:
            return Reply("/orders", 503)
        if not self.acknowledges and self.count > 2:
            return Reply("/orders", 409)
        self.count += 1
        body = json.loads(request.body)
        order = {"id": self.number(self), "at": self.count * 1.5, "quantity": 2, **body}
        self.memory[order["id"]] = order
        self.stock -= 2
        self.on_ack(self, order["id"], order)
        return Reply("/orders", 201, body=json.dumps({"id": order["id"]}).encode())

    def state(self, request: Request) -> Reply:
        if self.dead:
            return Reply("/state", 503)
        books = {"orders": self.memory, "stock": {"LAMP": self.stock}}
        return Reply("/state", 200, body=json.dumps(books).encode())

    def die(self) -> None:
        if self.never_dies:
            return
        self.lives += 1
        self.count = 0
        self.dead = not self.comes_back
        self.memory = self.on_start(json.loads(json.dumps(self.disk)))
        self.stock = 100 - 2 * len(self.memory)


class Killing(ScriptedFaults):
    def __init__(self, shop: Shop) -> None:
        super().__init__({"service": ("kill",)})
        self.shop = shop

    @asynccontextmanager
    async def _broken(self, lever: str, way: str):
        async with super()._broken(lever, way):
            self.shop.die()
            yield
        if not self.shop.comes_back:
            raise InstrumentFailure("Lever service could not be restored.")


class Seen(ScriptedProcesses):
    def __init__(self, shop: Shop) -> None:
        super().__init__({})
        self.shop = shop

    def listening(self, port: int) -> list[ProcessFact]:
        return [ProcessFact(7 + self.shop.lives, 7, 100.0 + self.shop.lives * 10, "shop", (port,))]


def measured(shop: Shop, target=None):
    target = target or a_target_of_orders()
    return judge(durability, gather(durability, target, shop.instruments()), target)


def test_orders_that_are_there_as_they_were_pass():
    shop = Shop()
    finding = measured(shop)
    assert finding.outcome is Outcome.PASS, finding.reason
    assert finding.value == 0
    assert "All 6 transactions acknowledged" in finding.reason.replace("\u00a0", " ")
    assert shop.faults.events == ["broke service kill", "restored service kill"]
    assert "curl" in finding.reproduce


def test_orders_that_were_in_memory_only_are_lost():
    finding = measured(Shop(on_ack=lambda shop, key, order: None))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 6
    assert "6 of 6 gone from books.orders" in finding.reason


def test_the_last_one_alone_is_one_too_many():
    def all_but_the_ninth(shop: Shop, key: str, order: dict[str, Any]) -> None:
        if shop.count != 9 or shop.lives:
            shop.keep(key, order)

    finding = measured(Shop(on_ack=all_but_the_ninth))
    assert finding.outcome is Outcome.FAIL
    assert finding.value == 1


def test_the_same_id_with_another_content_is_a_loss():
    def halved(disk: Orders) -> Orders:
        return {key: order | {"quantity": 1} for key, order in disk.items()}

    finding = measured(Shop(on_start=halved))
    assert finding.outcome is Outcome.FAIL
    assert "6 of 6 changed in books.orders: quantity is 1 instead of 2" in finding.reason


def test_a_field_that_holds_what_was_sent_is_content_too():
    def forgotten(disk: Orders) -> Orders:
        return {key: order | {"note": ""} for key, order in disk.items()}

    finding = measured(Shop(on_start=forgotten))
    assert "note is" in finding.reason
    assert '"for {nonce}"' in finding.reason


def test_earlier_orders_must_be_there_too():
    def without_the_first(disk: Orders) -> Orders:
        return dict(list(disk.items())[1:])

    finding = measured(Shop(on_start=without_the_first))
    assert finding.outcome is Outcome.FAIL
    assert "were there before are gone from books.orders" in finding.reason


def test_orders_that_are_written_twice_are_told():
    def doubled(disk: Orders) -> Orders:
        return disk | {f"again {key}": order for key, order in list(disk.items())[-2:]}

    finding = measured(Shop(on_start=doubled))
    assert finding.outcome is Outcome.FAIL
    assert "2 too many in books.orders" in finding.reason


def test_an_id_that_is_handed_out_again_replaces_an_order():
    finding = measured(Shop(number=lambda shop: f"o-{shop.count}"))
    assert finding.outcome is Outcome.FAIL
    assert "The first transaction after the restart goes wrong" in finding.reason


def test_numbers_that_move_too_little_are_a_loss():
    shop = Shop()
    shop.die_ = shop.die

    def die() -> None:
        shop.die_()
        shop.stock += 4

    shop.die = die
    finding = measured(shop)
    assert finding.outcome is Outcome.FAIL
    assert "books.stock.LAMP moved by -8 instead of -12" in finding.reason
    assert finding.value == 2


def test_a_service_that_does_not_come_back_measures_nothing(monkeypatch):
    monkeypatch.setattr(_readback, "AGAIN_S", 0.1)
    finding = measured(Shop(comes_back=False))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "error_recovery.crash_restart"


def test_the_same_process_afterwards_measures_nothing():
    finding = measured(Shop(never_dies=True))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "levers.service.port"


def test_without_an_acknowledged_order_nothing_can_be_lost():
    finding = measured(Shop(acknowledges=False))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "None of 6 transactions" in finding.reason


def test_where_each_order_shows_itself_it_is_read_one_by_one():
    one = {
        "capture": {"order": "id"},
        "state": [{"name": "order", "url": "/orders/{order}"}],
    }

    def shop_with_one_place_an_order(**how: Any) -> Shop:
        shop = Shop(**how)
        made = shop.instruments()

        class Http(ScriptedHttp):
            async def send(self, request: Request, **how: Any) -> Reply:
                name = request.url.removeprefix("/orders/")
                if request.method == "GET":
                    found = shop.memory.get(name)
                    body = json.dumps(found).encode()
                    return Reply(request.url, 200, body=body) if found else Reply(request.url, 404)
                return await super().send(request, **how)

        made.http = Http(shop.http.replies)
        shop.instruments = lambda: made
        return shop

    target = a_target_of_orders(**one)
    assert measured(shop_with_one_place_an_order(), target).outcome is Outcome.PASS
    finding = measured(shop_with_one_place_an_order(on_ack=lambda shop, key, order: None), target)
    assert "6 of 6 gone from order" in finding.reason


def test_a_transaction_that_leaves_nothing_alike_measures_nothing():
    class Odd(Shop):
        def state(self, request: Request) -> Reply:
            return Reply("/state", 200, body=json.dumps({"last": sorted(self.memory)[-1:]}).encode())

    finding = measured(Odd(number=lambda shop: f"o-{shop.count:03}-{shop.lives}"))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == "transaction.state"


def test_a_lever_without_the_way_is_named():
    instruments = Shop().instruments()
    instruments.faults.declared["service"] = ("pause",)
    with pytest.raises(InstrumentFailure) as raised:
        gather(durability, a_target_of_orders(), instruments)
    assert raised.value.missing == "levers.service.ways"
