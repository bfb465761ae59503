"""Who is told of an alert: Alertmanager's routes and inhibitions, followed. Pure, and private here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from checks.contract import document_in
from checks.contract.instruments.monitoring import AlertmanagerFacts, Inhibition, Routing
from checks.contract.promql import Matcher
from checks.monitoring._readings import admits

Labels = Mapping[str, str]
# One of those that stand between commas: severity=~"a|b", also without quotes, or with some about the name.
MATCHER = re.compile(
    r"""\s*"?(?P<label>[^"=!~\s,{}]+)"?\s*(?P<operator>=~|!~|!=|=)\s*"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"|[^,"{}]*)\s*(?:,|$)"""
)


@lru_cache(maxsize=5_000)
def matchers_in(text: str) -> tuple[Matcher, ...]:
    """The matchers of one text of Alertmanager's configuration; nothing where it is none."""
    inner = text.strip().removeprefix("{").removesuffix("}")
    found, at = [], 0
    while match := MATCHER.match(inner, at):
        value = match["value"].strip()
        unquoted = document_in(value) if value.startswith('"') else value
        found.append(
            Matcher(match["label"], match["operator"], unquoted if isinstance(unquoted, str) else value[1:-1])
        )
        at = match.end()
    return tuple(found)


def matches(texts: Iterable[str], labels: Labels) -> bool:
    """Whether an alert with ``labels`` has all that these matchers want; an absent label is empty."""
    every = [each for text in texts for each in matchers_in(text)]
    return all(admits(each, labels.get(each.label, "")) for each in every)


def routes_of(labels: Labels, routing: Routing) -> list[Routing]:
    """The routes that an alert takes, as Alertmanager's dispatcher finds them; its root takes all."""
    found: list[Routing] = []
    for route in routing.routes:
        if matches(route.matchers, labels):
            found += routes_of(labels, route)
            if not route.goes_on:
                break
    return found or [routing]


def muted(route: Routing, facts: AlertmanagerFacts) -> bool:
    """Whether a route never tells anybody: muted at all times, or active in times that are over."""
    covers = facts.time_intervals
    if any(covers.get(name) == "always" for name in route.muted_in):
        return True
    return bool(route.active_in) and all(covers.get(name) == "never" for name in route.active_in)


def inhibitor(labels: Labels, sources: Sequence[Labels], inhibitions: Sequence[Inhibition]) -> Labels | None:
    """The one of these ``sources``, all active, that keeps an alert with ``labels`` silent."""
    for rule in inhibitions:
        if not rule.source or not matches(rule.target, labels):
            continue
        itself = matches(rule.source, labels)
        for source in sources:
            two_sided = itself and matches(rule.target, source)
            alike = all(source.get(name, "") == labels.get(name, "") for name in rule.equal)
            if matches(rule.source, source) and alike and not two_sided:
                return source
    return None
