"""Asks a Prometheus for what judging its rules takes, in few requests. Private to this family.

Rules, metadata, names, targets and settings are one request each; the series of all names that rules use
come in batches of a bounded size. Of metrics with very many series only those of a few instances are asked
for, the same for all, so that what matches in full matches here.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Any

from checks.contract import InstrumentFailure
from checks.contract.instruments.monitoring import MetricInfo, Prometheus, Rule, ScrapeTarget, Series
from checks.contract.instruments.promql import Parsed, PromQL
from checks.contract.promql import Matcher, Node, Selector, packed, selectors, written
from checks.monitoring._rules.facts import (
    OF_ALERTS,
    Facts,
    GroupFact,
    RuleFact,
    TargetFact,
    of_targets,
)
from checks.monitoring._rules.names import (
    first_word,
    is_described,
    kinds_of,
    of_some_job,
    open_metrics,
    siblings,
    similar_names,
)
from checks.monitoring._rules.patterns import pattern
from checks.monitoring._rules.tables import MOST_OF_ONE, fitted, tables_of
from checks.monitoring._rules.values import accepts

MOST_RULES = 1_000
DEEPEST_TREE = 100  # of lists within lists: readers of JSON end at 200
MOST_RULE_CHARS = 260_000
MOST_AT_ONCE = 8_000  # series of a reply
MOST_QUERY_CHARS = 4_000
INSTANCES = 3
FEW = 200
MOST_NAMES = 50_000
MOST_TARGETS = 300
MOST_OFFSETS = 20
MOST_NAMELESS = 10
AT_ONCE = 4
PAST = "1d"
PLAIN_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LOOKBACK_S = 300.0
COLLECTORS = "node_scrape_collector_success"
GO = "go_goroutines"  # which jobs are programs in Go


async def ask(prometheus: Prometheus, promql: PromQL) -> Facts:
    """All facts, as many as evidence has room for. Raises InstrumentFailure where nothing can be asked."""
    return fitted(await _asked(prometheus, promql))


async def _asked(prometheus: Prometheus, promql: PromQL) -> Facts:
    rules = await prometheus.rules()
    metadata, names, targets, settings = await asyncio.gather(
        prometheus.metadata(),
        prometheus.label_values("__name__"),
        prometheus.targets(),
        _settings(prometheus),
    )
    names = names[:MOST_NAMES]
    kept, trees = _read(rules, promql)
    found = [each for tree in trees if tree is not None for each in selectors(tree)]
    recorded = {rule.name for rule in rules if rule.kind == "record"}
    patterns = _patterns(found, dict.fromkeys([*names, *metadata]))
    wanted = _wanted(found, patterns, recorded, metadata)
    strange = (wanted - set(names)) | of_some_job(found, names)
    similar = similar_names(sorted(strange), names, metadata, recorded)
    near = {each[0] for each in similar.values()} - recorded
    series, past = await _series(prometheus, (wanted | near) & set(names), targets)
    values: dict[str, int] = {}
    metrics = tables_of(series, past, values)
    return Facts(
        groups=kept,
        left_out=len(rules) - sum(len(group.rules) for group in kept),
        values=tuple(values),
        metrics=metrics,
        kinds=kinds_of(wanted, metadata),
        similar=similar,
        first_words=tuple(sorted({first_word(name) for name in names}))[:500],
        patterns=patterns | await _nameless(prometheus, found),
        targets=_targets(targets),
        external_labels=_texts(settings.get("external_labels")),
        reaches=await _reaches(prometheus, found),
        lookback_s=_lookback_s(settings),
        unloaded=_unloaded(settings, rules),
        reload_failed=await _reload_failed(prometheus, names),
        described=bool(metadata),
        open_metrics=open_metrics(metadata, set(names)),
        announced=await _announced(prometheus, found, series, targets),
    )


async def _settings(prometheus: Prometheus) -> Mapping[str, Any]:
    """Its settings; nothing where it keeps them to itself, as some that speak its API do."""
    try:
        return await prometheus.settings()
    except InstrumentFailure:
        return {}


def _read(rules: Sequence[Rule], promql: PromQL) -> tuple[tuple[GroupFact, ...], list[Node | None]]:
    """The groups with their rules, as many as evidence has room for, and the trees of these."""
    groups: list[GroupFact] = []
    trees: list[Node | None] = []
    chars = 0
    for (file, name), several in groupby(rules[:MOST_RULES], key=lambda rule: (rule.file, rule.group)):
        listed = list(several)
        kept: list[RuleFact] = []
        for rule in listed:
            parsed = promql.parse(rule.expression)
            fact = _rule_fact(rule, parsed)
            chars += len(json.dumps(asdict(fact)))
            if chars > MOST_RULE_CHARS:
                break
            trees.append(parsed.node)
            kept.append(fact)
        groups.append(GroupFact(file[:300], name[:200], listed[0].interval_s, tuple(kept)))
        if chars > MOST_RULE_CHARS:
            break
    return tuple(groups), trees


def _rule_fact(rule: Rule, parsed: Parsed) -> RuleFact:
    tree = packed(parsed.node) if parsed.node is not None else None
    if tree is not None and _depth(tree) > DEEPEST_TREE:
        tree, parsed = None, Parsed(None, "it is nested too deeply")
    return RuleFact(
        rule.kind,
        rule.name[:200],
        tree,
        {name[:100]: value[:200] for name, value in list(rule.labels.items())[:20]},
        rule.health,
        (rule.last_error if rule.health == "err" else parsed.problem)[:300],
    )


def _depth(lists: object) -> int:
    return 1 + max(map(_depth, lists), default=0) if isinstance(lists, list) else 0


def pattern_key(selector: Selector) -> str:
    """A selector without a name, as the facts know it."""
    return written(Selector("", selector.matchers))


def _patterns(found: Iterable[Selector], names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The names that each selector without one finds."""
    patterns: dict[str, tuple[str, ...]] = {}
    for each in found:
        if each.name or pattern_key(each) in patterns or not _asks_for_names(each):
            continue
        asked = [matcher for matcher in each.matchers if matcher.label == "__name__"]
        matching = [
            name
            for name in names
            if all(
                (compiled := pattern(matcher.value)) is not None
                and compiled.matches(name) == (matcher.operator == "=~")
                for matcher in asked
            )
        ]
        patterns[pattern_key(each)] = tuple(matching[:50])
    return patterns


def _asks_for_names(selector: Selector) -> bool:
    return any(matcher.label == "__name__" for matcher in selector.matchers)


async def _nameless(prometheus: Prometheus, found: Iterable[Selector]) -> dict[str, tuple[str, ...]]:
    """Some names of what selectors find that say nothing of names."""
    asked = {pattern_key(each) for each in found if not each.name and not _asks_for_names(each)}
    replies = {key: await prometheus.label_values("__name__", [key]) for key in sorted(asked)[:MOST_NAMELESS]}
    return {key: names[:3] for key, names in replies.items()}


def _wanted(
    found: Iterable[Selector],
    patterns: Mapping[str, tuple[str, ...]],
    recorded: set[str],
    metadata: Mapping[str, MetricInfo],
) -> set[str]:
    """The names whose series matter: those of selectors, unless a rule records them."""
    wanted = {each.name for each in found if each.name} | {
        name for each in patterns.values() for name in each
    }
    wanted -= {name for name in recorded if not is_described(name, metadata)} | OF_ALERTS
    for name in tuple(wanted):
        info = metadata.get(name)
        if info is not None and info.kind == "counter":
            wanted |= {f"{name}_total", f"{name}_created"}
        if name.startswith("node_"):
            wanted.add(COLLECTORS)
        wanted |= siblings(name, metadata)
    return wanted | {GO}


async def _series(
    prometheus: Prometheus, wanted: Iterable[str], targets: Sequence[ScrapeTarget]
) -> tuple[dict[str, list[Series]], set[str]]:
    """The series of each name now, or of the past day where there is none now (the second are those)."""
    names = sorted(name for name in wanted if PLAIN_NAME.fullmatch(name))
    gate = asyncio.Semaphore(AT_ONCE)

    async def query(expression: str) -> tuple[Series, ...]:
        async with gate:
            return (await prometheus.query(expression)).series

    counted = await asyncio.gather(
        *(query(f"count by (__name__) ({_any(batch)})") for batch in _batches(names))
    )
    sizes = {each.labels.get("__name__", ""): int(each.value) for reply in counted for each in reply}
    small = [name for name in names if 0 < sizes.get(name, 0) <= MOST_OF_ONE]
    large = [name for name in names if sizes.get(name, 0) > MOST_OF_ONE]
    gone = [name for name in names if name not in sizes]
    some = _some_instances(targets)
    asked = [_any(batch) for batch in _batches(small, sizes)]
    asked += [
        f"topk by (__name__) ({MOST_OF_ONE}, {_any([name], some)})"
        f" or topk by (__name__) ({FEW}, {_any([name])})"
        for name in large
    ]
    past = [f"topk by (__name__) ({FEW}, last_over_time({_any(batch)}[{PAST}]))" for batch in _batches(gone)]
    now, before = await asyncio.gather(asyncio.gather(*map(query, asked)), asyncio.gather(*map(query, past)))
    found: dict[str, list[Series]] = {}
    for reply in (*now, *before):
        for each in reply:
            found.setdefault(each.labels.get("__name__", ""), []).append(each)
    return found, {each.labels.get("__name__", "") for reply in before for each in reply}


def _batches(names: Sequence[str], sizes: Mapping[str, int] | None = None) -> list[list[str]]:
    """Names in batches that are asked for at once: bounded in the query's length and the reply's size."""
    batches: list[list[str]] = []
    chars = series = 0
    for name in names:
        size = (sizes or {}).get(name, 0)
        if not batches or chars + len(name) > MOST_QUERY_CHARS or series + size > MOST_AT_ONCE:
            batches.append([])
            chars = series = 0
        batches[-1].append(name)
        chars += len(name) + 1
        series += size
    return batches


def _any(names: Sequence[str], instances: str = "") -> str:
    also = f",instance=~{instances}" if instances else ""
    return f'{{__name__=~"{"|".join(names)}"{also}}}'


def _some_instances(targets: Sequence[ScrapeTarget]) -> str:
    """A pattern, quoted, for a few instances of each job."""
    by_job: dict[str, list[str]] = {}
    for each in targets:
        by_job.setdefault(each.labels.get("job", ""), []).append(each.labels.get("instance", ""))
    some = sorted({name for instances in by_job.values() for name in sorted(instances)[:INSTANCES]})
    texts = (re.sub(r"([^A-Za-z0-9_])", r"\\\\\1", name) for name in some[:60] if name.isprintable())
    return f'"{"|".join(texts)}"'


async def _announced(
    prometheus: Prometheus,
    found: Iterable[Selector],
    series: Mapping[str, Sequence[Series]],
    targets: Sequence[ScrapeTarget],
) -> dict[str, tuple[str, ...]]:
    """What targets describe of which only others have series."""
    labels = {label for each in targets for label in each.labels}
    asked: dict[str, set[str]] = {}
    for each in found:
        matchers = of_targets(each.matchers, labels)
        there = [one.labels for one in series.get(each.name, ())]
        strange = matchers and there and not any(_accepted(matchers, one) for one in there)
        if strange and any(_accepted(matchers, target.labels) for target in targets):
            asked.setdefault(written(Selector("", matchers)), set()).add(each.name)
    announced = {}
    for selector, names in sorted(asked.items())[:MOST_NAMELESS]:
        kinds = kinds_of(names, await prometheus.metadata(selector))
        announced[selector] = tuple(sorted(kinds))
    return announced


def _accepted(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    return all(accepts(each, labels.get(each.label, "")) for each in matchers)


def _targets(targets: Sequence[ScrapeTarget]) -> tuple[TargetFact, ...]:
    return tuple(
        TargetFact(
            {name[:100]: value[:200] for name, value in list(each.labels.items())[:20]},
            each.interval_s,
            each.health == "up",
        )
        for each in targets[:MOST_TARGETS]
    )


async def _reaches(prometheus: Prometheus, found: Iterable[Selector]) -> dict[str, bool]:
    """Whether there are samples as old as each offset, by the offset in s."""
    offsets = sorted({each.offset_s for each in found if each.offset_s > 0})[:MOST_OFFSETS]
    if not offsets:
        return {}
    parts = (
        f'label_replace(count(up offset {max(1, round(each * 1000))}ms), "offset", "{each:g}", "", "")'
        for each in offsets
    )
    there = {each.labels.get("offset") for each in (await prometheus.query(" or ".join(parts))).series}
    return {f"{each:g}": f"{each:g}" in there for each in offsets}


def _lookback_s(settings: Mapping[str, Any]) -> float:
    flags = settings.get("flags")
    said = str(flags.get("query.lookback-delta", "")) if isinstance(flags, Mapping) else ""
    found = re.fullmatch(r"([0-9]+)(ms|s|m|h)", said)
    return float(found[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3_600}[found[2]] if found else LOOKBACK_S


def _unloaded(settings: Mapping[str, Any], rules: Sequence[Rule]) -> tuple[str, ...]:
    """Declared rule files of which no rule is loaded."""
    declared = settings.get("rule_files")
    loaded = {rule.file for rule in rules}
    texts = [each for each in declared if isinstance(each, str)][:50] if isinstance(declared, list) else []
    return tuple(
        each[:300]
        for each in texts
        if not any(fnmatchcase(file, each) or file.endswith(each) for file in loaded)
    )


async def _reload_failed(prometheus: Prometheus, names: Sequence[str]) -> bool:
    """Whether Prometheus says that it could not load its configuration again."""
    if "prometheus_config_last_reload_successful" not in names:
        return False
    found = (await prometheus.query("prometheus_config_last_reload_successful == 0")).series
    return bool(found)


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name)[:100]: str(each)[:200] for name, each in list(value.items())[:20]}
