"""How a transaction is declared: captures and templates, and what is refused with which words."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app import targets
from app.instruments.origins import Origin, declared_origins
from checks.contract import Reply, Target, TransactionRequest
from checks.contract.target.transaction import Transaction
from checks.error_recovery._flow import MAX_CAPTURED_CHARS, captured, new_values, rendered

DOCS = Path(__file__).parents[3] / "docs"
STATE = [{"name": "books", "url": "/state"}]
LEVER = {"kind": "command", "ways": ["refuse", "kill"], "break": ["x"], "restore": ["y"]}
ONE = {"path": "/orders", "state": STATE}
FLOW = {
    "idempotency_header": "Key",
    "headers": {"X-Shop": "7"},
    "requests": [
        {"name": "cart", "path": "/carts", "capture": {"cart": "id", "lines": "lines.0.id"}},
        {"path": "/carts/{cart}/pay?line={lines}", "headers": {"X-Cart": "{cart}"}, "body": {"of": "{cart}"}},
    ],
    "state": [{"name": "books", "url": "/state"}, {"name": "cart", "url": "http://b.example/c/{cart}"}],
}
texts = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=20)


def transaction(**changes: Any) -> Transaction:
    return Transaction.model_validate(ONE | changes)


def a_flow(**changes: Any) -> Transaction:
    return Transaction.model_validate(FLOW | changes)


@given(cart=texts, nonce=texts)
def test_a_captured_text_arrives_as_it_was_whatever_is_in_it(cart: str, nonce: str):
    request = rendered(a_flow(), 1, {"cart": cart, "lines": 7, "nonce": nonce, "user": "u"})
    place, _, query = request.url.partition("?")
    assert unquote(place.removeprefix("/carts/").removesuffix("/pay")) == cart
    assert place.count("/") == 3, "it stays one part of the path"
    assert query == "line=7"
    assert json.loads(request.body) == {"of": cart}


@given(cart=st.sampled_from(["{nonce}", "{lines}", "{cart}", "{{cart}}", "{user}{nonce}"]))
def test_what_a_reply_gave_is_never_taken_for_a_placeholder(cart: str):
    request = rendered(a_flow(), 1, {"cart": cart, "lines": 7, "nonce": "n", "user": "u"})
    assert json.loads(request.body) == {"of": cart}


@given(st.integers(-(2**60), 2**60))
def test_a_number_stays_one_where_its_placeholder_stands_alone(number: int):
    call = TransactionRequest.model_validate(
        {"path": "/a", "body": {"a": "{n}", "b": ["no {n}", {"c": "{n}"}]}}
    )
    assert json.loads(call.render(n=number).body) == {"a": number, "b": [f"no {number}", {"c": number}]}


def test_braces_that_are_no_placeholder_stay():
    call = TransactionRequest.model_validate({"path": "/q", "body": {"query": "{ order { id } } {other}"}})
    assert json.loads(call.render(nonce="n").body) == {"query": "{ order { id } } {other}"}


def test_a_reference_to_a_secret_is_no_placeholder():
    call = TransactionRequest.model_validate({"path": "/q", "headers": {"A": "Bearer ${nonce} {nonce}"}})
    assert call.render(nonce="n").headers["A"] == "Bearer ${nonce} n"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_what_is_captured_is_a_plain_bounded_text_or_number_or_nothing(found: Any):
    values = new_values()
    call = TransactionRequest.model_validate({"path": "/a", "capture": {"x": "id"}})
    problem = captured(call, Reply("/a", 201, {}, json.dumps({"id": found}).encode()), values)
    assert bool(problem) == ("x" not in values)
    if "x" in values:
        assert values["x"] == found
        assert str(found).isprintable()
        assert 0 < len(str(found)) <= MAX_CAPTURED_CHARS


@pytest.mark.parametrize(
    "hostile", ["..", ".", "", "a\nb", "${SECRET}", "x" * 201, {"a": 1}, [1], None, True, 1.5]
)
def test_what_could_lead_astray_is_not_captured(hostile: Any):
    values = new_values()
    call = TransactionRequest.model_validate({"path": "/a", "capture": {"x": "id"}})
    assert captured(call, Reply("/a", 201, {}, json.dumps({"id": hostile}).encode()), values)
    assert "x" not in values


def test_a_reply_that_is_no_json_captures_nothing():
    call = TransactionRequest.model_validate({"path": "/a", "capture": {"x": "id"}})
    assert "nothing at `id` to capture as {x}" in captured(
        call, Reply("/a", 201, {}, b"<html>"), new_values()
    )


def test_each_request_has_what_holds_for_all_and_a_key_of_its_own():
    flow, values = a_flow(good_statuses=[202]), new_values() | {"cart": "c", "lines": 1}
    first, second = (rendered(flow, place, values) for place in (0, 1))
    assert first.headers["X-Shop"] == second.headers["X-Shop"] == "7"
    assert first.headers["Key"] == values["nonce"]
    assert second.headers["Key"] not in ("", first.headers["Key"])
    assert rendered(flow, 1, values).headers == second.headers, "the same again for the same transaction"
    assert [call.good_statuses for call in flow.calls] == [(202,), (202,)]
    assert [call.name for call in flow.calls] == ["cart", "POST /carts/{cart}/pay?line={lines}"]


def test_a_state_of_one_transaction_has_a_place_once_it_is_captured():
    books, cart = a_flow().state
    assert (books.of_one, cart.of_one) == (False, True)
    assert cart.place({}) is None
    assert cart.place({"cart": "a/b"}) == "http://b.example/c/a%2Fb"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"path": None}, "needs `path` for its one request, or `[[transaction.requests]]`"),
        ({"requests": [{"path": "/a"}]}, "needs `path` for its one request"),
        ({"path": None, "requests": [{"path": "/a"}], "body": {"a": 1}}, "belong into each of"),
        ({"path": "/a/{order}"}, "request 'the request': no earlier request captures {order}"),
        ({"headers": {"X": "{order}"}}, "no earlier request captures {order}"),
        ({"body": {"a": "{order}"}, "capture": {"order": "id"}}, "{order} is captured only after it is sent"),
        ({"capture": {"nonce": "id"}}, "{nonce} is filled in already"),
        ({"capture": {"my order": "id"}}, "cannot be the name of a capture"),
        ({"path": "http://{nonce}.example/a"}, "not in its host"),
        ({"state": [{"name": "s", "url": "http://{nonce}/a"}]}, "not in its host"),
        (
            {"capture": {"order": "id"}, "state": [{"name": "s", "url": "/o/{ordre}"}]},
            "did you mean 'order'?",
        ),
        ({"state": [*STATE, *STATE]}, "each state needs a `name` of its own"),
        (
            {"state": [{"name": "s", "url": "/s", "undone": {"json": "a", "equals": 1}}]},
            "`undone` needs a capture or {nonce}",
        ),
        ({"steps": [{"name": "x"}]}, "exactly one of `lever` and `fail_header`"),
        ({"steps": [{"name": "x", "lever": "l", "fail_header": {"X": "1"}}]}, "exactly one of"),
        ({"steps": [{"name": "x", "lever": "l", "compensation": {}}]}, "exactly one of"),
        ({"steps": [{"name": "x", "lever": "l", "expect": "luck"}]}, "expect"),
        ({"steps": [{"name": "x", "lever": "l"}, {"name": "x", "lever": "m"}]}, "each step needs a `name`"),
        (
            {
                "path": None,
                "requests": [{"name": "cart", "path": "/a"}],
                "steps": [{"name": "x", "lever": "l", "request": "card"}],
            },
            "names request 'card', not declared; did you mean 'cart'?",
        ),
        ({"flagged": {"url": "/m", "metric": "m", "equals": 1}}, "`equals` goes with `json`"),
        ({"flagged": {"url": "/m"}}, "exactly one of `json` and `metric`"),
        ({"settle_s": 0}, "settle_s"),
        ({"state": []}, "state"),
        ({"stepz": []}, "stepz"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], says: str):
    document = {key: value for key, value in (ONE | changes).items() if value is not None}
    with pytest.raises(ValidationError) as raised:
        Transaction.model_validate(document)
    assert says in str(raised.value)


def a_target(**changes: Any) -> Target:
    document = {"url": "http://a.example", "levers": {"l": LEVER}, "transaction": ONE | changes}
    return Target.model_validate(document)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": [{"name": "x", "lever": "m"}]}, "transaction step 'x' names lever 'm', not declared"),
        (
            {"steps": [{"name": "x", "lever": "l", "way": "hang"}]},
            "transaction step 'x' needs the way 'hang': add it to `[levers.l] ways`",
        ),
        (
            {"steps": [{"name": "x", "lever": "l", "compensation": {"lever": "m"}}]},
            "the compensation of transaction step 'x' names lever 'm', not declared",
        ),
        ({"service": "m"}, "transaction.service names lever 'm', not declared"),
    ],
)
def test_levers_must_be_declared_and_able(changes: dict[str, Any], says: str):
    with pytest.raises(ValidationError) as raised:
        a_target(**changes)
    assert says in str(raised.value)


def test_secrets_go_where_they_are_declared_and_the_other_users_only_where_a_user_shows_who_they_are():
    target = Target.model_validate(
        {
            "url": "http://a.example",
            "auth": {"valid": "Bearer ${ADA}", "other": "Bearer ${BEN}"},
            "transaction": {
                "requests": [
                    {"name": "one", "path": "/one", "headers": {"Authorization": "Bearer ${ADA}"}},
                    {"name": "two", "path": "http://b.example/two"},
                ],
                "state": [{"name": "s", "url": "http://c.example/s", "headers": {"K": "${STATE}"}}],
                "steps": [{"name": "x", "fail_header": {"X-Fail": "${FAIL}"}}],
                "flagged": {"url": "http://d.example/m", "metric": "m", "headers": {"K": "${FLAG}"}},
            },
        }
    )
    names = {str(origin): set(found) for origin, found in declared_origins(target).items()}
    assert names == {
        "http://a.example:80": {"ADA", "BEN", "FAIL"},
        "http://b.example:80": {"FAIL"},
        "http://c.example:80": {"STATE"},
        "http://d.example:80": {"FLAG"},
    }


EXAMPLES = re.findall(r"```toml\n(.*?)```", (DOCS / "transactions.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_of_the_documentation_are_valid(text: str):
    transaction = targets.validated(tomllib.loads(text), source="docs", key="shop").transaction
    assert transaction is not None
    assert transaction.calls


@given(texts)
def test_a_capture_never_leaves_the_host(cart: str):
    place = a_flow().state[1].place({"cart": cart})
    assert place is not None
    assert Origin.of(place) == Origin("http", "b.example", 80)
    assert urlsplit(place).path.startswith("/c/")
