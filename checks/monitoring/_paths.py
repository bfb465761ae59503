"""With which labels alerts reach Alertmanager, and where they go. Pure, and private to this family."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from checks.contract import plural, printable, show
from checks.contract.instruments.monitoring import AlertmanagerFacts, Rule
from checks.contract.promql import (
    Aggregation,
    Binary,
    Call,
    Matcher,
    Negative,
    Node,
    Selector,
    Subquery,
)
from checks.monitoring._kept import kept
from checks.monitoring._readings import admits, readings
from checks.monitoring._routing import Labels, inhibitor, matches, muted, routes_of
from checks.monitoring._signals import Context, Rulebook, covered, whose_is

DEAD_MAN = re.compile(r"watch_?dog|dead_?mans?_?(switch|snitch)?|heart_?beat|always_?firing", re.IGNORECASE)
TEMPLATE = "{{"
MOST_ALERTS = 200
MOST_NAMED = 3
DAY_S = 86_400.0


@dataclass(frozen=True)
class Doubt:
    """Why an alert may not be heard, and what to do about it."""

    reason: str
    fix: str


@dataclass(frozen=True)
class Path:
    """Where one alert of the service goes. ``kinds`` are those of all its receivers.

    ``dead`` says why nobody hears of it, "" where somebody does; ``silenced_s`` is for how long a silence
    that holds now still does.
    """

    alert: str
    labels: dict[str, str]
    receivers: tuple[str, ...]
    kinds: tuple[str, ...]
    dead: str
    silenced_s: float


def own_alerts(rules: Sequence[Rule], book: Rulebook, context: Context) -> list[tuple[Rule, Node]]:
    """The alerts that read series of the service, or tell of it."""
    return [
        (rules[number], node)
        for number, node in book.alerts.items()
        if any(whose_is(each.selector, context) == "own" for each in readings(node, book.recordings))
        or covered(node, book.recordings, context)
    ][:MOST_ALERTS]


def is_watchdog(rule: Rule, node: Node | None) -> bool:
    """Whether an alert is there to fire always: by its name, or since it reads no series."""
    return bool(DEAD_MAN.search(rule.name)) or (node is not None and not _reads(node))


def labels_of(
    rule: Rule, node: Node, book: Rulebook, context: Context, settings: Mapping[str, Any]
) -> dict[str, str]:
    """The labels that an alert will have at Alertmanager, as far as they are known before it fires.

    An active one has them already. Else those of the service's targets that the expression leaves, those of
    its rule that are no template, and the server's own.
    """
    if rule.alerts:
        labels = dict(rule.alerts[0].labels)
    else:
        left = kept(node, book.recordings)
        targets = context.service.targets[0] if context.service.targets else {}
        labels = {name: value for name, value in targets.items() if left.has(name)}
        labels |= {name: value for name, value in rule.labels.items() if TEMPLATE not in value}
    labels["alertname"] = rule.name
    external = settings.get("external_labels")
    for name, value in external.items() if isinstance(external, dict) else ():
        labels.setdefault(str(name), str(value))
    return {name: value for name, value in labels.items() if name != "__name__" and value}


def path_of(
    labels: Labels,
    facts: AlertmanagerFacts,
    *,
    always: Sequence[Labels],
    settings: Mapping[str, Any],
    now: float,
) -> Path:
    """Follow an alert with ``labels``. ``always`` are the labels of alerts that never end."""
    routes = routes_of(labels, facts.routing)
    kinds = {receiver.name: receiver.kinds for receiver in facts.receivers}
    hearing = [route for route in routes if kinds.get(route.receiver)]
    loud = [route for route in hearing if not muted(route, facts)]
    silences = [each.ends_at - now for each in facts.silences if matches(each.matchers, labels)]
    source = inhibitor(labels, always, facts.inhibitions)
    names = tuple(dict.fromkeys(printable(route.receiver)[:80] for route in routes))
    dead = ""
    if _dropped(labels, settings):
        dead = "Prometheus drops it before it sends (alert_relabel_configs)"
    elif not hearing:
        dead = f"it goes to the receiver `{names[0]}`, which has nothing to notify with"
    elif not loud:
        dead = f"its route to `{names[0]}` is muted at all times"
    elif source is not None:
        dead = f"{printable(source.get('alertname', 'another alert'))[:80]} fires always and inhibits it"
    return Path(
        alert=printable(labels.get("alertname", ""))[:120],
        labels={printable(name)[:60]: printable(value)[:120] for name, value in sorted(labels.items())[:30]},
        receivers=names,
        kinds=tuple(sorted({kind for route in loud for kind in kinds[route.receiver]})),
        dead=dead,
        silenced_s=max([0.0, *silences]),
    )


def unheard(paths: Sequence[Path], max_silence_days: float) -> Iterator[Doubt]:
    """Alerts that reach nobody."""
    dead = [path for path in paths if path.dead]
    if dead:
        more = f" and {len(dead) - 1} more" if len(dead) > 1 else ""
        verb = "reach" if len(dead) > 1 else "reaches"
        yield Doubt(
            f"{dead[0].alert}{more} of {plural(len(paths), 'alert')} of this service {verb} nobody: "
            f"{dead[0].dead}.",
            "Follow its labels with `amtool config routes test`; give the route a receiver that notifies.",
        )
    long = [path for path in paths if path.silenced_s > max_silence_days * DAY_S]
    if long:
        yield Doubt(
            f"{long[0].alert} is silenced for another {show(long[0].silenced_s / DAY_S, 'days')}, limit "
            f"{show(max_silence_days, 'days')}.",
            "Expire the silence; mend the alert that nobody wants to hear.",
        )


def silenced(paths: Sequence[Path]) -> Iterator[Doubt]:
    """Alerts that a silence keeps back just now."""
    held = [path for path in paths if path.silenced_s > 0]
    if held:
        longest = max(path.silenced_s for path in held)
        yield Doubt(
            f"{held[0].alert} is silenced for another {show(longest, 's')}, as {len(held)} of "
            f"{plural(len(paths), 'alert')} of this service are.",
            "Expire the silence before the release.",
        )


def heard_by(paths: Sequence[Path]) -> str:
    """Who hears of these alerts, in words."""
    found = dict.fromkeys(f"`{name}` ({', '.join(path.kinds)})" for path in paths for name in path.receivers)
    return ", ".join(list(found)[:MOST_NAMED]) or "a receiver"


def _dropped(labels: Labels, settings: Mapping[str, Any]) -> bool:
    """Whether ``alerting.alert_relabel_configs`` drop an alert; steps that change labels are not followed."""
    alerting = settings.get("alerting")
    steps = alerting.get("alert_relabel_configs") if isinstance(alerting, dict) else None
    for step in steps if isinstance(steps, list) else ():
        if not isinstance(step, dict) or step.get("action") not in ("drop", "keep"):
            continue
        names = step.get("source_labels")
        value = str(step.get("separator", ";")).join(
            labels.get(str(name), "") for name in (names if isinstance(names, list) else ())
        )
        hit = admits(Matcher("", "=~", str(step.get("regex", "(.*)"))), value)
        if hit is (step["action"] == "drop"):
            return True
    return False


def _reads(node: Node) -> bool:
    match node:
        case Selector():
            return True
        case Aggregation():
            return _reads(node.of)
        case Binary():
            return _reads(node.left) or _reads(node.right)
        case Negative() | Subquery():
            return _reads(node.of)
        case Call():
            return any(map(_reads, node.arguments))
        case _:
            return False
