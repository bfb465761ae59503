"""What the check says of each rule of a world, asked with the instruments of a real run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop
from pydantic import TypeAdapter

from app import profiles
from app.instruments.faults.ledger import Ledger
from app.instruments.policy import Policy
from app.instruments.promql import PromqlParser
from app.instruments.toolbox import Hooks, Toolbox
from checks import LoadedCheck, all_checks
from checks.contract.promql import Matcher, Selector, replaced, selectors, written
from checks.monitoring._rules.verdicts import Judged, verdicts
from tests.checks import scripted
from tests.rules.corpus import Truth
from tests.rules.world import World

CHECK_ID = "monitoring.rules_alive"
# No condition of the two differs: absent() and watchdogs are as alive as other rules.
ALIKE = ({"alive", "meant_so"},)


@dataclass(frozen=True)
class Judgement:
    """All that the check found out in one world."""

    evidence: Any
    rules: dict[tuple[str, str, int], Judged]


def judgement(world: World, folder: Path) -> Judgement:
    """Gather as a run does, keep the evidence as JSON as a run does, and judge what comes back."""
    check = all_checks()[CHECK_ID]
    target = scripted.a_target(prometheus={"url": world.prometheus.url, "labels": {"job": "chat"}})
    hooks = Hooks(
        say=lambda text: None,
        load_second=lambda data: None,
        load_result=lambda result: None,
        lever=lambda lever, way, what, detail: None,
    )
    toolbox = Toolbox(
        target,
        profiles.named("quick"),
        policy=Policy(),
        seed=6,
        hooks=hooks,
        ledger=Ledger(folder / "levers"),
        samples_folder=None,
        environment={},
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        gathered = runner.run(_gather(toolbox, check, target))
    form = TypeAdapter(check.evidence)
    evidence = form.validate_json(form.dump_json(gathered))
    found = {
        (Path(each.group.file).name, each.group.name, each.position): each
        for each in verdicts(evidence.facts)
    }
    return Judgement(evidence, found)


async def _gather(toolbox: Toolbox, check: LoadedCheck, target: object) -> object:
    async with asyncio.timeout(check.about.deadline_s), toolbox.open(check) as instruments:
        return await check.gather(target, instruments)


def departures(truth: Truth, judged: Judged | None, state: str) -> list[str]:
    """In what a verdict is not the truth. What is near may not be there yet while all is quiet."""
    if judged is None:
        return ["it was not judged"]
    wanted, got = truth.verdict_in(state), str(judged.verdict)
    if got != wanted and {got, wanted} not in ALIKE:
        return [f"{wanted}, and not {got} ({judged.part or '-'}: {judged.why or '-'})"]
    if truth.at and wanted == truth.verdict and same_part(truth.at, judged.part) is False:
        return [f"{wanted} at {truth.at}, and not at {judged.part or '-'}"]
    if truth.near and wanted == truth.verdict and state != "quiet" and truth.near not in judged.near:
        return [f"{wanted}, near is {truth.near}, and not {judged.near or '-'}"]
    return []


def same_part(one: str, other: str) -> bool:
    """Whether two texts are the same part of an expression: order of matchers and a range do not matter."""
    return _plain(one) == _plain(other)


def _plain(text: str) -> str:
    node = PromqlParser().parse(text).node
    if node is None:
        return text
    if isinstance(node, Selector):
        node = replace(node, range_s=None)
    for each in selectors(node):
        node = replaced(node, each, replace(each, matchers=tuple(sorted(each.matchers, key=_order))))
    return written(node)


def _order(matcher: Matcher) -> tuple[str, str, str]:
    return (matcher.label, matcher.operator, matcher.value)
