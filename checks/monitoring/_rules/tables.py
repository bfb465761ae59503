"""Series as tables that evidence has room for. Pure, private to this family."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from checks.contract.instruments.monitoring import Series
from checks.monitoring._rules.facts import Facts, MetricFact

MOST_ROWS = 8_000
MOST_CHARS = 450_000  # of JSON; evidence may have half a million
MOST_OF_ONE = 1_500  # series of a metric, above which a few instances stand for all


def fitted(facts: Facts) -> Facts:
    """``facts`` with fewer series, targets and rules until evidence can keep them."""
    while len(json.dumps(asdict(facts))) > MOST_CHARS and (facts.metrics or facts.targets or facts.groups):
        most = max((len(each.rows) for each in facts.metrics.values()), default=0)
        metrics = {
            name: replace(each, rows=each.rows[: most // 2], cut=each.cut or len(each.rows) > most // 2)
            for name, each in facts.metrics.items()
        }
        used = {at for each in metrics.values() for row in each.rows for at in row if at >= 0}
        values = tuple(value if at in used else "" for at, value in enumerate(facts.values))
        small = most <= 20
        facts = replace(
            facts,
            metrics={} if most == 0 else metrics,
            values=values,
            targets=facts.targets[: len(facts.targets) // 2] if small else facts.targets,
            similar={} if small else facts.similar,
            patterns={} if small else facts.patterns,
            groups=facts.groups[: len(facts.groups) // 2] if most <= 1 else facts.groups,
        )
    return facts


def tables_of(
    series: Mapping[str, Sequence[Series]], past: set[str], values: dict[str, int]
) -> dict[str, MetricFact]:
    """The series as rows; where there are too many, those with the first values of each label."""
    most = MOST_ROWS
    tables: dict[str, MetricFact] = {}
    for name, found in sorted(series.items(), key=lambda pair: (len(pair[1]), pair[0])):
        share = max(20, most // max(1, len(series) - len(tables)))
        chosen = sorted(found, key=lambda each: sorted(each.labels.items()))[:share]
        most -= len(chosen)
        cut = len(chosen) < len(found) or len(found) >= MOST_OF_ONE
        labels = tuple(sorted({label for each in chosen for label in each.labels} - {"__name__"}))[:30]
        rows = {
            tuple(
                values.setdefault(each.labels[label][:200], len(values)) if label in each.labels else -1
                for label in labels
            )
            for each in chosen
        }
        zero = all(each.value == 0 for each in chosen)
        one = name.endswith("_info") and all(each.value == 1 for each in chosen)
        tables[name] = MetricFact(labels, tuple(sorted(rows)), name in past, zero, one, cut)
    return tables
