"""The state of the parties of a transaction: read, compared in full, and put into words.

Private to this family. What a party shows is hostile text: bounded and cleaned before it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from checks.contract import InstrumentFailure, Instruments, Reply, Request, StateProbe, printable

MAX_CHANGES = 20
MAX_DEPTH = 12
MAX_NESTED = 100
MAX_NUMBER = 2**53  # above it a float cannot count on; NaN and infinity are not below it either
MAX_CHARS = 60
GONE = (404, 410)

State = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """A difference of a party's state: its dotted path, and short JSON of what is there ("" for nothing)."""

    party: str
    path: str
    before: str
    after: str


async def read_state(
    instruments: Instruments, probes: Sequence[StateProbe], values: Mapping[str, str | int] | None = None
) -> State:
    """Every party's state without its ignored paths. ``values`` fill the places of what one transaction made.

    A party whose place cannot be filled, or where nothing is (any more), is not in it. Raises
    InstrumentFailure where one cannot be read.
    """
    state = {}
    for probe in probes:
        place = probe.place(values or {})
        if place is None:
            continue
        reply = await instruments.http.send(Request("GET", place, probe.headers), timeout_s=5.0)
        if probe.of_one and reply.failure is None and reply.status in GONE:
            continue
        document = _document(reply, probe)
        if probe.undone is not None and probe.undone.shown(reply.headers, document):
            continue
        for path in probe.ignore:
            drop(document, path.split("."))
        state[probe.name] = document
    return state


def _document(reply: Reply, probe: StateProbe) -> object:
    document = reply.document()
    deep = not shallow(document)
    if reply.failure or reply.status != 200 or document is None or reply.truncated or deep:
        problem = reply.failure.detail if reply.failure else f"status {reply.status}, no whole JSON"
        problem = "it is nested too deeply" if deep else problem
        raise InstrumentFailure(
            f"The state of {probe.name} cannot be read at {probe.url}: {problem}.",
            missing="transaction.state",
        )
    return document


def shallow(document: object) -> bool:
    """Whether it can be walked through: a service may nest as deep as its reply is long."""
    level: list[Any] = [document]
    for _ in range(MAX_NESTED):
        level = [
            inner
            for node in level
            if isinstance(node, (dict, list))
            for inner in (node.values() if isinstance(node, dict) else node)
        ]
    return not level


def drop(node: object, path: Sequence[str]) -> None:
    """Take the value at ``path`` out; ``*`` stands for every key and every place of a list."""
    first, *rest = path
    if isinstance(node, dict):
        for key in [key for key in node if first in ("*", key)]:
            if rest:
                drop(node[key], rest)
            else:
                del node[key]
    elif isinstance(node, list):
        chosen = [index for index in range(len(node)) if first in ("*", str(index))]
        for index in reversed(chosen):
            if rest:
                drop(node[index], rest)
            else:
                del node[index]


def changes(before: State, after: State) -> tuple[Change, ...]:
    """What differs, bounded; empty only where the states are equal in full."""
    found = (
        Change(party, path, was, now)
        for party in (*before, *(party for party in after if party not in before))
        for path, was, now in _of_party(party, before, after)
    )
    return tuple(change for change, _ in zip(found, range(MAX_CHANGES), strict=False))


def effects(before: State, after: State) -> dict[str, float]:
    """The form of a change, to compare two runs of one transaction: how far each number and size moved.

    New entries have names of their own each time, so of a list or table only the size counts.
    """
    found: dict[str, float] = {}
    for party in before:
        found |= {f"{party}.{path}": moved for path, moved in _moves(before[party], after.get(party), "", 0)}
    made = {f"{party}#": 1.0 for party in after if party not in before}
    return found | made | {f"{party}#": -1.0 for party in before if party not in after}


def _of_party(party: str, before: State, after: State) -> Iterator[tuple[str, str, str]]:
    if party in before and party in after:
        yield from _differences(before[party], after[party], "", 0)
    else:
        was, now = (_short(side[party]) if party in side else "" for side in (before, after))
        yield "", was, now


def _differences(before: Any, after: Any, path: str, depth: int) -> Iterator[tuple[str, str, str]]:
    if _same(before, after):
        return
    if isinstance(before, dict) and isinstance(after, dict) and depth < MAX_DEPTH:
        for key in sorted({*before, *after}):
            if key in before and key in after:
                yield from _differences(before[key], after[key], _joined(path, key), depth + 1)
            else:
                shown = [_short(side[key]) if key in side else "" for side in (before, after)]
                yield _joined(path, key), shown[0], shown[1]
    elif (
        isinstance(before, list)
        and isinstance(after, list)
        and len(before) == len(after)
        and depth < MAX_DEPTH
    ):
        for index, (was, now) in enumerate(zip(before, after, strict=True)):
            yield from _differences(was, now, _joined(path, str(index)), depth + 1)
    else:
        yield path, _short(before), _short(after)


def _moves(before: Any, after: Any, path: str, depth: int) -> Iterator[tuple[str, float]]:
    if depth > MAX_DEPTH:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        if len(before) != len(after):
            yield f"{path}#", len(after) - len(before)
        for key in sorted(before.keys() & after.keys()):
            yield from _moves(before[key], after[key], _joined(path, key), depth + 1)
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield f"{path}#", len(after) - len(before)
    elif _number(before) and _number(after) and before != after:
        yield path, round(after - before, 6)


def worded(found: Sequence[Change], most: int = 3) -> str:
    """Changes for people: ``1 in accounting.invoices left, accounting.stock.MUG 8 instead of 10``."""
    added: dict[str, int] = {}
    rest = []
    for change in found:
        place = f"{change.party}.{change.path}".rstrip(".")
        if not change.before and not change.path:
            rest.append(f"{place} {change.after} left")
        elif not change.before:
            holder = place.rpartition(".")[0]
            added[holder] = added.get(holder, 0) + 1
        else:
            rest.append(f"{place} {change.after or 'gone'} instead of {change.before}")
    parts = [f"{count} left in {holder}" for holder, count in added.items()] + rest
    return ", ".join(parts[:most]) + (f" and {len(parts) - most} more" if len(parts) > most else "")


def _same(before: Any, after: Any) -> bool:
    """Whether both are the same JSON: for Python alone ``[1]`` would equal ``[True]``."""
    return before == after and json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)


def _joined(path: str, key: str) -> str:
    return f"{path}.{_clean(key)}".lstrip(".")


def _short(value: Any) -> str:
    return _clean(json.dumps(value, ensure_ascii=True))


def _clean(text: str) -> str:
    shown = printable(text[:MAX_CHARS])
    return shown if len(text) <= MAX_CHARS else f"{shown}..."


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER
