"""What transactions leave in the state of their parties, learnt from some and looked for after others.

Private to this family. Ids and times differ from one transaction to the next; what does not is their content.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from checks.contract import printable
from checks.error_recovery._state import State

MAX_DEPTH = 12
MAX_CHARS = 80
MAX_LEAVES = 200
FEWEST_LISTED = 20  # a list of the last few that keeps less forgets what is looked for
SHORTEST_VALUE = 4  # a shorter id would be found in every other text

Form = tuple[tuple[str, str], ...]
Values = Mapping[str, str | int]


@dataclass
class Difference:
    """Entries that came into, and went out of, tables and lists by their path, and how far numbers moved.

    ``sizes`` are those of lists afterwards.
    """

    added: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    gone: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    moved: dict[str, float] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Loss:
    """What is not as it was acknowledged, at one place: ``count`` transactions' worth of it, and in words."""

    kind: Literal["lost", "changed", "twice", "earlier"]
    place: str
    count: int
    words: str


@dataclass(frozen=True)
class Pattern:
    """What each transaction does alike: entries of these forms in these places, numbers moved so far.

    ``rolling`` are places out of which each transaction also drives something.
    """

    forms: dict[str, Counter[Form]]
    steady: dict[str, frozenset[str]]
    moved: dict[str, float]
    rolling: frozenset[str]

    @property
    def tells(self) -> bool:
        """Whether a lost transaction would show."""
        return bool(self.forms or self.moved)


def difference(before: State, after: State) -> Difference:
    """What differs between two readings of the parties."""
    found = Difference()
    for party in before.keys() & after.keys():
        _compare(before[party], after[party], party, found, 0)
    return found


def _compare(before: Any, after: Any, path: str, found: Difference, depth: int) -> None:
    if isinstance(before, dict) and isinstance(after, dict) and depth < MAX_DEPTH:
        for key in before.keys() | after.keys():
            if key not in before:
                found.added[path].append(after[key])
            elif key not in after:
                found.gone[path].append(before[key])
            else:
                _compare(before[key], after[key], f"{path}.{key}", found, depth + 1)
    elif isinstance(before, list) and isinstance(after, list):
        was, now = (Counter(map(_text, side)) for side in (before, after))
        found.sizes[path] = len(after)
        found.added[path] += [json.loads(text) for text in (now - was).elements()]
        found.gone[path] += [json.loads(text) for text in (was - now).elements()]
    elif _text(before) != _text(after):
        if _number(before) and _number(after):
            found.moved[path] = round(after - before, 6)
        else:
            found.changed.add(path)


def learnt(first: Difference, second: Difference, values: Sequence[Values]) -> Pattern:
    """What two transactions, with ``values`` of their own, have done alike."""
    forms, steady = {}, {}
    rolling = {path for side in (first, second) for path, entries in side.gone.items() if entries}
    for path in first.added.keys() & second.added.keys():
        one, other = ([_leaves(entry, values) for entry in side.added[path]] for side in (first, second))
        few = path in rolling and second.sizes.get(path, 0) < FEWEST_LISTED
        if not one or len(one) != len(other) or few:
            continue
        alike = _steady(one, other)
        if (form := _forms(one, alike)) == _forms(other, alike):
            forms[path], steady[path] = form, alike
    moved = {path: by for path, by in first.moved.items() if second.moved.get(path) == by}
    return Pattern(forms, steady, moved, frozenset(rolling))


def losses(
    pattern: Pattern, found: Difference, count: int, unsure: int, values: Sequence[Values]
) -> tuple[Loss, ...]:
    """What is wrong with ``found``; ``count`` transactions were acknowledged and ``unsure`` others not."""
    return (*_of_tables(pattern, found, count, unsure, values), *_of_numbers(pattern, found, count, unsure))


def _of_tables(
    pattern: Pattern, found: Difference, count: int, unsure: int, values: Sequence[Values]
) -> Iterator[Loss]:
    for path, form in pattern.forms.items():
        each, place = form.total(), _shown(path)
        entries = [_leaves(entry, values) for entry in found.added.get(path, ())]
        expected = Counter({one: number * count for one, number in form.items()})
        missing = expected - _forms(entries, pattern.steady[path])
        if len(entries) < each * count:
            short = -(-(each * count - len(entries)) // each)
            yield Loss("lost", place, short, f"{short} of {count} gone from {place}")
        elif missing:
            one = next(iter(missing))
            wrong = -(-missing.total() // each)
            example = _example(one, [_form(leaves, pattern.steady[path]) for leaves in entries])
            yield Loss("changed", place, wrong, f"{wrong} of {count} changed in {place}: {example}")
        elif len(entries) > each * (count + unsure):
            more = -(-(len(entries) - each * count) // each)
            yield Loss("twice", place, more, f"{more} too many in {place}")
        earlier = 0 if path in pattern.rolling else _touched(path, found)
        if earlier:
            words = f"{earlier} that were there before are gone from {place} or changed"
            yield Loss("earlier", place, earlier, words)


def _of_numbers(pattern: Pattern, found: Difference, count: int, unsure: int) -> Iterator[Loss]:
    for path, by in pattern.moved.items():
        got = found.moved.get(path, 0.0)
        done = got / by
        if count <= round(done, 6) <= count + unsure:
            continue
        kind: Literal["lost", "twice"] = "lost" if done < count else "twice"
        words = f"{_shown(path)} moved by {got:g} instead of {by * count:g}"
        yield Loss(kind, _shown(path), max(1, min(count, round(abs(count - done)))), words)


def _touched(path: str, found: Difference) -> int:
    """How many entries that were in a table before are not in it as they were."""
    inside = f"{path}."
    places = (*found.changed, *found.moved, *_with_entries(found.added), *_with_entries(found.gone))
    inner = {place[len(inside) :].split(".", 1)[0] for place in places if place.startswith(inside)}
    return len(found.gone.get(path, ())) + len(inner)


def _with_entries(tables: Mapping[str, list[Any]]) -> list[str]:
    return [path for path, entries in tables.items() if entries]


def _steady(one: Sequence[Mapping[str, str]], other: Sequence[Mapping[str, str]]) -> frozenset[str]:
    """The leaves that have the same values in the entries of both."""

    def at(leaf: str, entries: Iterable[Mapping[str, str]]) -> Counter[str]:
        return Counter(entry.get(leaf, "") for entry in entries)

    leaves = {leaf for entry in (*one, *other) for leaf in entry}
    return frozenset(leaf for leaf in leaves if at(leaf, one) == at(leaf, other))


def _forms(entries: Iterable[Mapping[str, str]], steady: frozenset[str]) -> Counter[Form]:
    return Counter(_form(leaves, steady) for leaves in entries)


def _form(leaves: Mapping[str, str], steady: frozenset[str]) -> Form:
    return tuple(sorted((leaf, leaves.get(leaf, "")) for leaf in steady))


def _leaves(entry: Any, values: Sequence[Values]) -> dict[str, str]:
    """Each value of an entry by its path, with what the transactions filled in put back as placeholders."""
    return dict(leaf for leaf, _ in zip(_walk(entry, "", values, 0), range(MAX_LEAVES), strict=False))


def _walk(node: Any, path: str, values: Sequence[Values], depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict) and depth < MAX_DEPTH:
        for key in sorted(node):
            yield from _walk(node[key], f"{path}.{key}", values, depth + 1)
    elif isinstance(node, list) and depth < MAX_DEPTH:
        for place, each in enumerate(node):
            yield from _walk(each, f"{path}.{place}", values, depth + 1)
    else:
        yield path.lstrip("."), _put_back(_text(node), values)


def _put_back(text: str, values: Sequence[Values]) -> str:
    for given in values:
        for name, value in given.items():
            if len(str(value)) >= SHORTEST_VALUE:
                text = text.replace(str(value), f"{{{name}}}")
    return text


def _example(expected: Form, entries: list[Form]) -> str:
    """The first leaf that differs from the nearest entry, in words."""
    nearest = max(entries, key=lambda form: len(set(form) & set(expected)), default=())
    leaf, value = next((pair for pair in expected if pair not in nearest), ("", ""))
    now = dict(nearest).get(leaf, "")
    return f"{_shown(leaf) or 'it'} is {_shown(now) or 'gone'} instead of {_shown(value)}"


def _text(node: Any) -> str:
    return json.dumps(node, sort_keys=True)


def _shown(text: str) -> str:
    return printable(text[:MAX_CHARS])


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
