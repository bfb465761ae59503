"""Which of some series matchers find, now or later. Pure, private to this family."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from checks.contract.promql import Matcher, Selector
from checks.monitoring._rules.facts import Labels
from checks.monitoring._rules.values import Meeting, accepts, meeting, only_value


@dataclass(frozen=True)
class Found:
    """What is left of some series after matchers; ``why`` there is nothing, ``near`` what is meant.

    ``score`` says how far it got: the most telling of several reasons is the one that got farthest.
    """

    sets: tuple[Labels, ...] = ()
    real: bool = True
    why: str = ""
    near: str = ""
    wrong: Matcher | None = None
    score: int = 0


def narrowed(
    series: Sequence[Labels],
    matchers: Sequence[Matcher],
    closed: frozenset[str],
    known: Mapping[str, frozenset[str]],
) -> Found:
    """The label sets that ``matchers`` find among ``series``, or that may come.

    Labels that are ``closed`` get no further values than those of ``series`` and ``known``.
    """
    by_label: dict[str, list[Matcher]] = {}
    for each in matchers:
        by_label.setdefault(each.label, []).append(each)
    now = tuple(each for each in series if all_accept(matchers, each))
    if now:
        return Found(now)
    base = tuple(series)
    for label in [*(name for name in by_label if name in closed)]:
        values = sorted({each.get(label, "") for each in base} | known.get(label, frozenset()))
        found = meeting(by_label[label], [value for value in values if value] or [""], closed=True)
        if not found.possible:
            if not any(each.get(label) for each in base) and not _takes_nothing(by_label[label]):
                return _missing(label, by_label[label], base)
            near = _label_of(only_value(by_label[label]), base) or found.near
            return Found(why=found.why, near=near, wrong=by_label[label][0], score=1)
        kept = tuple(each for each in base if all_accept(by_label[label], each))
        if kept:
            base = kept
    return _later(base, by_label, closed)


def _later(base: Sequence[Labels], by_label: Mapping[str, list[Matcher]], closed: frozenset[str]) -> Found:
    """The label sets that may come: those of ``base`` with other values where they do not meet matchers."""
    made: dict[tuple[tuple[str, str], ...], Labels] = {}
    worst = Found()
    meetings: dict[str, Meeting] = {}
    for each in base:
        changed = dict(each)
        for label, matchers in by_label.items():
            if all_accept(matchers, each) or (label in closed and label in each):
                continue
            if not each.get(label):
                if any(other.get(label) for other in base) or _takes_nothing(matchers):
                    reason = Found(score=1)
                else:
                    reason = _missing(label, matchers, base)
                worst = max(worst, reason, key=lambda found: (found.score, bool(found.why)))
                break
            if label not in meetings:
                values = sorted({other[label] for other in base if other.get(label)})
                meetings[label] = meeting(matchers, values, closed=False)
            found = meetings[label]
            if not found.possible:
                reason = Found(why=found.why, near=found.near, wrong=matchers[0], score=3)
                worst = max(worst, reason, key=lambda found: found.score)
                break
            changed[label] = found.now[0] if found.now else found.later or changed[label]
        else:
            made[tuple(sorted(changed.items()))] = changed
    if made:
        return Found(tuple(made.values()), real=False)
    return (
        replace(worst, score=max(worst.score, 1))
        if worst.why
        else Found(
            why="no series has all of its labels",
            wrong=next((m[0] for m in by_label.values()), None),
            score=1,
        )
    )


def _missing(label: str, matchers: Sequence[Matcher], base: Sequence[Labels]) -> Found:
    there = sorted({name for each in base for name in each})
    near = _label_of(only_value(matchers), base) or _near_label(label, matchers, base)
    listed = ", ".join(there[:8]) or "none"
    return Found(
        why=f"no series has a label {label}; there are {listed}", near=near, wrong=matchers[0], score=2
    )


def _label_of(value: str | None, base: Sequence[Labels]) -> str:
    """The label that has ``value``."""
    there = sorted({name for each in base for name in each})
    return next((name for name in there if value and any(each.get(name) == value for each in base)), "")


def _near_label(label: str, matchers: Sequence[Matcher], base: Sequence[Labels]) -> str:
    """The label that is probably meant: alike in name, else the one whose values the matchers would take."""
    there = sorted({name for each in base for name in each} - {"job", "instance"})
    alike = [name for name in there if label in name or name in label]
    if alike:
        return min(alike, key=lambda name: abs(len(name) - len(label)))
    for name in there:
        values = sorted({each[name] for each in base if each.get(name)})
        renamed = [replace(each, label=name) for each in matchers]
        if re.search("[0-9]", matchers[0].value) and meeting(renamed, values, closed=False).possible:
            return name
    return ""


def all_accept(matchers: Sequence[Matcher], labels: Labels) -> bool:
    """Whether all matchers take the labels."""
    return all(accepts(each, labels.get(each.label, "")) for each in matchers)


def _takes_nothing(matchers: Sequence[Matcher]) -> bool:
    return all(accepts(each, "") for each in matchers)


def bare(node: Selector) -> Selector:
    """``node`` without its range, unless it is moved in time."""
    return node if node.offset_s or node.at else replace(node, range_s=None)


def with_value(node: Selector, label: str, near: str) -> Selector:
    """``node`` with ``near`` as the value of ``label``."""
    matchers = [
        replace(each, operator="=", value=near) if each.label == label and near else each
        for each in node.matchers
    ]
    return replace(node, matchers=tuple(matchers))


def mended_by(node: Selector, found: Found, series: Sequence[Labels]) -> Selector:
    """``node`` with the matcher at fault put right."""
    wrong, near = found.wrong, found.near
    if wrong is None:
        return node
    if any(near in each for each in series):
        right = replace(wrong, label=near)
    elif near.endswith("..") or wrong.operator == "=~":
        right = replace(wrong, operator="=~", value=near if near.endswith("..") else f"{wrong.value}.*")
    else:
        right = replace(wrong, value=near)
    return replace(node, matchers=tuple(right if each == wrong else each for each in node.matchers))
