"""Names of metrics: which look alike, and what is described. Pure, private to this family."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher

from checks.contract.instruments.monitoring import MetricInfo
from checks.contract.promql import Selector
from checks.monitoring._rules.facts import MADE, SUFFIXES


def siblings(name: str, metadata: Mapping[str, MetricInfo]) -> set[str]:
    """The other series of a histogram or a summary: they tell whether ``name`` alone is not there."""
    for base in (name, *(name.removesuffix(suffix) for suffix in ("_bucket", "_count", "_sum"))):
        info = metadata.get(base)
        if info is not None and info.kind in ("histogram", "summary"):
            return {f"{base}_count", f"{base}_sum"}
    return set()


def kinds_of(wanted: Iterable[str], metadata: Mapping[str, MetricInfo]) -> dict[str, tuple[str, ...]]:
    bases = set(wanted) | {name.removesuffix(suffix) for name in wanted for suffix in SUFFIXES}
    return {
        name: (metadata[name].kind, *metadata[name].other_kinds)[:5]
        for name in sorted(bases)
        if name in metadata
    }


def open_metrics(metadata: Mapping[str, MetricInfo], names: set[str]) -> tuple[str, ...]:
    """First words of names whose counters are described without the `_total` that their series have."""
    with_total: set[str] = set()
    without: set[str] = set()
    for name, info in metadata.items():
        if info.kind == "counter":
            with_total |= {first_word(name)} if f"{name}_total" in names else set()
            without |= {first_word(name)} if name in names else set()
    return tuple(sorted(with_total - without))


def first_word(name: str) -> str:
    return re.split("[_:]", name)[0]


def of_some_job(found: Iterable[Selector], names: Iterable[str]) -> set[str]:
    """Names that exist and are asked for with a job: another job may have the like under another name."""
    there = set(names) - MADE
    return {
        each.name for each in found if each.name in there and any(m.label == "job" for m in each.matchers)
    }


def similar_names(
    missing: Iterable[str], names: Sequence[str], metadata: Mapping[str, MetricInfo], recorded: set[str]
) -> dict[str, tuple[str, ...]]:
    """For each name that nobody has, the most alike of those that somebody has."""
    living = [
        name
        for name in names
        if not metadata or is_described(name, metadata) or name in recorded or name in MADE
    ]
    living += [name for name in metadata if name not in set(living)] + sorted(recorded - set(living))
    by_word: dict[str, list[str]] = {}
    for name in dict.fromkeys(living):
        for word in set(re.split("[_:]+", name)):
            by_word.setdefault(word, []).append(name)
    return {name: found for name in missing if (found := _most_alike(name, by_word))}


def _most_alike(name: str, by_word: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    words = [word for word in re.split("[_:]+", name) if word]
    shared: dict[str, float] = {}
    for word in set(words):
        candidates = by_word.get(word, ())
        for candidate in candidates:
            shared[candidate] = shared.get(candidate, 0) + 1 / (1 + len(candidates) ** 0.5)
    shared.pop(name, None)
    likely = sorted(shared, key=lambda each: (-shared[each], each))[:40]
    scored = sorted(((_likeness(name, each), each) for each in likely), key=lambda pair: (-pair[0], pair[1]))
    return tuple(each for score, each in scored[:5] if score >= 0.6)


def _likeness(one: str, two: str) -> float:
    """How alike two names are; more so if one has all words of the other, in whatever order."""
    mine, other = (set(re.split("[_:]+", name)) for name in (one, two))
    alike = SequenceMatcher(None, one, two, autojunk=False).ratio()
    bonus = 0.3 if mine == other else 0.1 if mine <= other or other <= mine else 0.0
    bonus += 0.15 if two.startswith(f"{one}_") else 0.0
    return alike + bonus - (0.1 if _ending(one) != _ending(two) and _ending(one) else 0.0)


def _ending(name: str) -> str:
    return next((suffix for suffix in ("_bucket", "_count", "_sum") if name.endswith(suffix)), "")


def is_described(name: str, metadata: Mapping[str, MetricInfo]) -> bool:
    """Whether a described metric can have series of this name."""
    return name in metadata or any(
        name.endswith(suffix) and name.removesuffix(suffix) in metadata for suffix in SUFFIXES
    )
