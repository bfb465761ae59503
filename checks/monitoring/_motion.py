"""What moved on a metrics page between readings. Pure, and private to this family."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from checks.contract import Sample, Scrape
from checks.monitoring._subjects import Subject, narrowed, outcome_told, subject_of, unit_s

MOST_METRICS = 150
MOST_OUTCOMES = 60
STARTED = "process_start_time_seconds"

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Motion:
    """One metric. ``rose`` is by how much its series rose, by what each series tells.

    ``tells`` are the subjects of its series, or of the metric where it is announced without any. ``told_by``
    is the label that tells outcomes ("" without), ``outcomes`` by how much each of its values rose.
    """

    name: str
    kind: str
    subject: Subject
    tells: tuple[Subject, ...]
    rose: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, float] = field(default_factory=dict)
    changed: bool = False
    fell: bool = False
    told_by: str = ""


@dataclass(frozen=True)
class Timing:
    """What a histogram of durations saw: observations, their sum in s, and those above its last bucket."""

    name: str
    observed: float
    sum_s: float | None
    beyond: float
    top_s: float


def series_of(scrape: Scrape) -> dict[tuple[str, Labels], float]:
    """The samples by name and labels; what is no number is left out."""
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for each in scrape.samples
        if math.isfinite(each.value)
    }


def started(scrape: Scrape) -> float | None:
    """When the process that answered says that it began; None where it does not say."""
    return next((each.value for each in scrape.samples if each.name == STARTED), None)


def motions(before: Scrape, after: Scrape) -> tuple[Motion, ...]:
    """Each metric that tells a signal: by name, those announced without any series too."""
    kinds = _kinds(before, after)
    then, now = series_of(before), series_of(after)
    by_name: dict[str, list[Labels]] = defaultdict(list)
    for name, labels in {**then, **now}:
        by_name[name].append(labels)
    for family, kind in kinds.items():
        known = (family, f"{family}_total", f"{family}_count", f"{family}_sum")
        if not any(name in by_name for name in known):
            by_name[f"{family}_total" if kind == "counter" and not family.endswith("_total") else family] = []
    found = []
    for name, series in sorted(by_name.items()):
        kind = _kind(name, kinds)
        subject = subject_of(name, kind)
        if subject is not Subject.OTHER and not name.endswith(("_bucket", "_sum", "_created")):
            lines = [(labels, then.get((name, labels), 0.0), now.get((name, labels))) for labels in series]
            found.append(_motion(name, kind, subject, lines))
    return tuple(found[:MOST_METRICS])


def _motion(
    name: str, kind: str, subject: Subject, lines: Sequence[tuple[Labels, float, float | None]]
) -> Motion:
    rose: dict[str, float] = defaultdict(float)
    outcomes: dict[str, float] = defaultdict(float)
    tells: set[Subject] = set()
    told_by, changed, fell = "", False, False
    for labels, was, is_now in lines:
        of = narrowed(subject, {label: value.__eq__ for label, value in labels})
        tells.add(of)
        told = next(((label, value) for label, value in labels if outcome_told(label, value)), None)
        told_by = told_by or (told[0] if told else "")
        fell = fell or is_now is None or is_now < was
        changed = changed or is_now != was
        if is_now is not None and is_now > was:
            rose[of] += is_now - was
            if told:
                outcomes[told[1][:40]] += is_now - was
    return Motion(
        name=name[:120],
        kind=kind,
        subject=subject,
        tells=tuple(sorted(tells or {subject})),
        rose=dict(sorted(rose.items())),
        outcomes=dict(sorted(outcomes.items())[:MOST_OUTCOMES]),
        changed=changed,
        fell=fell and kind != "gauge",
        told_by=told_by[:80],
    )


def timings(before: Scrape, after: Scrape) -> tuple[Timing, ...]:
    """Each histogram of the service's own durations that observed something in between."""
    kinds = _kinds(before, after)
    then, now = series_of(before), series_of(after)
    found = []
    for family, kind in sorted(kinds.items()):
        if kind != "histogram" or subject_of(f"{family}_bucket", kind) is not Subject.DURATION:
            continue
        rises = {key: value - then.get(key, 0.0) for key, value in now.items() if key[0].startswith(family)}
        observed = sum(by for (name, _), by in rises.items() if name == f"{family}_count")
        buckets = [(_bound(labels), by) for (name, labels), by in rises.items() if name == f"{family}_bucket"]
        if observed <= 0 or not buckets:
            continue
        unit = unit_s(family) or 1.0
        top = max((bound for bound, _ in buckets if math.isfinite(bound)), default=0.0)
        within = sum(by for bound, by in buckets if bound == top)
        sums = [by for (name, _), by in rises.items() if name == f"{family}_sum"]
        total_s = sum(sums) * unit if sums else None
        found.append(Timing(family[:120], observed, total_s, observed - within, top * unit))
    return tuple(found[:MOST_METRICS])


def _bound(labels: Labels) -> float:
    try:
        return float(dict(labels).get("le", "nan").replace("+Inf", "inf"))
    except ValueError:
        return math.nan


def _kinds(*scrapes: Scrape) -> dict[str, str]:
    return {name: kind for scrape in scrapes for name, kind in scrape.families.items()}


def _kind(name: str, kinds: dict[str, str]) -> str:
    ends = ("", "_total", "_bucket", "_count", "_sum", "_created")
    return next(
        (kinds[family] for end in ends if name.endswith(end) and (family := name.removesuffix(end)) in kinds),
        "",
    )


def total(metrics: Iterable[Motion], *subjects: Subject) -> float:
    """By how much the series that tell ``subjects`` rose in the metric in which they rose most."""
    return max((sum(each.rose.get(of, 0.0) for of in subjects) for each in metrics), default=0.0)


def of_samples(scrape: Scrape, *subjects: Subject) -> dict[str, float]:
    """The sum of each metric that tells one of ``subjects``, by name."""
    kinds = _kinds(scrape)
    found: dict[str, float] = defaultdict(float)
    for each in _numbers(scrape.samples):
        if subject_of(each.name, _kind(each.name, kinds)) in subjects:
            found[each.name[:120]] += each.value
    return dict(sorted(found.items())[:MOST_METRICS])


def _numbers(samples: Iterable[Sample]) -> Iterable[Sample]:
    return (each for each in samples if math.isfinite(each.value))
