"""Tokens of shops, the list of their orders, and its limit."""

from __future__ import annotations

import time

import pytest

from app.sample import stack, tokens
from app.sample.chat.shops import Tokens
from tests.sample.client import Client

KEY = "a key of this test"
SOON = 2_000_000_000


def bearer(sample: Client, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.environment(sample.state)[name]}"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "é.é.é",
        tokens.token("shop", "another key", expires_at=SOON),
        tokens.token("shop", KEY, expires_at=0),
        tokens.token("", KEY, expires_at=SOON),
        tokens.token("shop", KEY, expires_at=SOON)[:-4] + "AAAA",
        tokens.token("shop", KEY, expires_at=SOON) + ".more",
    ],
)
def test_no_other_token_is_a_shop(text: str):
    assert Tokens(KEY).shop(text) is None


def test_a_token_says_whose_it_is_until_it_runs_out():
    token = tokens.token("shop", KEY, expires_at=time.time() + 60)
    assert Tokens(KEY).shop(token) == "shop"


def test_a_shop_sees_its_own_orders_latest_first(sample: Client):
    placed = [sample.order().json()["order"] for _ in range(2)]
    ours = sample.http.get("/api/orders", headers=bearer(sample, stack.TOKEN_NAME)).json()["orders"]
    theirs = sample.http.get("/api/orders", headers=bearer(sample, stack.OTHER_TOKEN_NAME)).json()["orders"]
    assert ours[:2] == placed[::-1]
    assert theirs == []


@pytest.mark.parametrize("credential", [None, "expired"])
def test_without_a_good_token_nothing_is_listed(sample: Client, credential: str | None):
    headers = bearer(sample, stack.EXPIRED_TOKEN_NAME) if credential else {}
    reply = sample.http.get("/api/orders", headers=headers)
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")


def test_a_shop_that_lists_too_often_is_told_when_to_come_back_and_another_one_is_served(sample: Client):
    busy, calm = bearer(sample, stack.OTHER_TOKEN_NAME), bearer(sample, stack.TOKEN_NAME)
    time.sleep(1)  # what the tests before it listed counts no more
    replies = [sample.http.get("/api/orders", headers=busy) for _ in range(60)]
    assert sample.http.get("/api/orders", headers=calm).status_code == 200
    assert [reply.status_code for reply in replies[:20]] == [200] * 20
    assert {reply.headers.get("retry-after") for reply in replies if reply.status_code == 429} == {"1"}
    time.sleep(1)
    assert sample.http.get("/api/orders", headers=busy).status_code == 200
