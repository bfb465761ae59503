"""What transactions leave behind is learnt from two of them, and missed after others."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from checks.error_recovery._records import Loss, difference, learnt, losses

STEPS = [{"t": {}, "n": 0}, {"t": {"a": {"id": "aaaa", "x": 1}}, "n": 3}]
STEPS.append({"t": {"a": {"id": "aaaa", "x": 1}, "b": {"id": "bbbb", "x": 1}}, "n": 6})


def pattern(*states: Any, values=()):
    first, second, third = ({"p": state} for state in states)
    return learnt(difference(first, second), difference(second, third), values)


def after(before: Any, now: Any, count: int, states=STEPS, unsure: int = 0) -> list[tuple[str, str]]:
    found = losses(pattern(*states), difference({"p": before}, {"p": now}), count, unsure, ())
    return [(loss.kind, loss.place) for loss in found]


def grown(count: int, **changes: Any) -> Any:
    table = dict(STEPS[2]["t"]) | {f"k{n}": {"id": f"id{n}", "x": 1} | changes for n in range(count)}
    return {"t": table, "n": 6 + 3 * count}


def test_what_is_alike_each_time_is_the_pattern():
    found = pattern(*STEPS)
    assert found.tells
    assert found.moved == {"p.n": 3}
    assert found.steady == {"p.t": frozenset({"x"})}, "the ids differ"


def test_as_many_of_the_same_form_are_no_loss():
    assert after(STEPS[2], grown(4), 4) == []
    assert after(STEPS[2], grown(5), 4, unsure=1) == []


def test_each_kind_of_loss_is_told():
    assert after(STEPS[2], grown(3), 4) == [("lost", "p.t"), ("lost", "p.n")]
    assert after(STEPS[2], grown(4, x=2), 4) == [("changed", "p.t")]
    assert after(STEPS[2], grown(5), 4) == [("twice", "p.t"), ("twice", "p.n")]
    one_changed = grown(4) | {"t": grown(4)["t"] | {"a": {"id": "aaaa", "x": 9}}}
    assert after(STEPS[2], one_changed, 4) == [("earlier", "p.t")]
    one_gone = grown(4)["t"]
    del one_gone["a"]
    assert after(STEPS[2], {"t": one_gone, "n": 18}, 4) == [("earlier", "p.t")]


def test_lists_are_tables_whatever_their_order():
    states = [[], [{"x": 1}], [{"x": 1}, {"x": 1}]]
    assert after(states[2], [{"x": 1}] * 4, 2, states) == []
    assert after(states[2], [{"x": 1}, {"x": 2}, {"x": 1}, {"x": 1}], 2, states) == [("changed", "p")]


def test_a_list_of_the_last_few_drives_out_what_is_older():
    def last(newest: int, kept: int) -> list[Any]:
        return [{"id": number, "x": 1} for number in range(newest - kept, newest)]

    states = [last(100, 20), last(101, 20), last(102, 20)]
    assert after(states[2], last(104, 20), 2, states) == []
    assert after(states[2], last(103, 20), 2, states) == [("lost", "p")]
    assert not pattern(last(100, 3), last(101, 3), last(102, 3)).tells


def test_what_differs_outside_of_what_transactions_make_says_nothing():
    states = [{**state, "started": 1, "instance": "x"} for state in STEPS]
    assert after(states[2], {**grown(2), "started": 2, "instance": "y"}, 2, states) == []


def test_several_entries_for_one_transaction_are_counted_together():
    def lines(*orders: int) -> list[Any]:
        return [{"order": order, "sku": sku} for order in orders for sku in ("MUG", "TEA")]

    states = [lines(), lines(1), lines(1, 2)]
    assert after(states[2], lines(1, 2, 3, 4), 2, states) == []
    without_tea = [line for line in lines(1, 2, 3, 4) if line != {"order": 4, "sku": "TEA"}]
    assert after(states[2], without_tea, 2, states) == [("lost", "p")]
    mugs = [*without_tea, {"order": 4, "sku": "MUG"}]
    assert after(states[2], mugs, 2, states) == [("changed", "p")]


def test_true_is_not_one():
    assert after(STEPS[2], grown(4, x=True), 4) == [("changed", "p.t")]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(values, values, values, values, st.integers(1, 3))
def test_whatever_a_party_shows_it_is_compared(one, two, three, four, count):
    found = losses(pattern(one, two, three), difference({"p": three}, {"p": four}), count, 0, ())
    assert all(isinstance(loss, Loss) and loss.count > 0 and loss.words.isprintable() for loss in found)


def test_hostile_names_are_printable_and_short():
    name = "\x1b[31m" + "k" * 500
    states = [{name: {}}, {name: {"a": 1}}, {name: {"a": 1, "b": 1}}]
    found = losses(pattern(*states), difference({"p": states[2]}, {"p": {name: {}}}), 1, 0, ())
    assert found
    assert all(loss.words.isprintable() and len(loss.words) < 400 for loss in found)
