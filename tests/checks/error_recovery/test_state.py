"""How states of parties are compared and put into words."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from checks.error_recovery._state import MAX_CHANGES, changes, drop, effects, shallow, worded

values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(values, values)
def test_no_changes_exactly_where_the_states_are_the_same_json(before, after):
    same = json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    assert (not changes({"a": before}, {"a": after})) == same


@given(values)
def test_a_state_has_no_effect_on_itself(state):
    assert effects({"a": state}, {"a": state}) == {}


def test_effects_of_two_orders_are_alike_though_their_names_differ():
    first = effects({"a": {"n": 3, "held": {}}}, {"a": {"n": 2, "held": {"x1": {"k": 1}}}})
    second = effects(
        {"a": {"n": 2, "held": {"x1": {"k": 1}}}}, {"a": {"n": 1, "held": {"x1": {"k": 1}, "x2": {}}}}
    )
    assert first == second == {"a.n": -1, "a.held#": 1}


def test_words_name_what_is_left_and_what_differs():
    found = changes(
        {"books": {"stock": 4, "invoices": {}, "note": "x"}}, {"books": {"stock": 3, "invoices": {"i1": 1}}}
    )
    assert (
        worded(found)
        == '1 left in books.invoices, books.note gone instead of "x", books.stock 3 instead of 4'
    )


def test_a_hostile_state_is_bounded_and_printable():
    found = changes({"a": {}}, {"a": {f"\x1b[31m{'k' * 500}{n}": "\x07" * 500 for n in range(200)}})
    assert len(found) == MAX_CHANGES
    assert all(change.path.isprintable() and len(change.path) < 100 for change in found)
    assert all(change.after.isprintable() and len(change.after) < 100 for change in found)


def test_ignored_paths_may_have_stars():
    document = {"orders": [{"id": 1, "at": 2}, {"id": 3, "at": 4}], "clock": 9, "deep": {"x": {"y": 1}}}
    for path in ("orders.*.at", "clock", "deep.x", "absent.path"):
        drop(document, path.split("."))
    assert document == {"orders": [{"id": 1}, {"id": 3}], "deep": {}}


def test_what_is_no_number_to_count_with_has_no_effect():
    before, after = {"n": 1, "m": 1.0, "k": 3}, {"n": 10**400, "m": float("nan"), "k": 4}
    assert effects({"a": before}, {"a": after}) == {"a.k": 1}
    assert {change.path for change in changes({"a": before}, {"a": after})} == {"n", "m", "k"}


def test_a_state_that_is_nested_without_end_is_not_walked_through():
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    assert not shallow(deep)
    assert shallow({"a": [{"b": [1, 2]}]})
    assert shallow(None)


def test_a_party_that_was_not_there_before_is_worded_as_left():
    assert worded(changes({}, {"order": {"id": 1}})) == 'order {"id": 1} left'
    assert effects({}, {"order": {"id": 1}}) == {"order#": 1}
    assert effects({"order": {}}, {}) == {"order#": -1}
