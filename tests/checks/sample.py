"""Measures checks on the real sample, with the instruments of a real run."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import uvloop

from app import profiles, rubric, targets
from app.engine import Engine, Measured, Watcher
from app.instruments.faults.ledger import Ledger
from app.instruments.policy import Policy
from app.instruments.toolbox import Hooks, Toolbox
from app.sample import processes, stack
from checks import LoadedCheck, all_checks
from checks.contract import Finding, Profile
from tests.checks import scripted

# Shorter than any profile: enough for a judgement, not for a score. Where time itself is what is measured (a
# burst that must pass, steps that must fill up, a leak that must show) most of it is kept.
KEPT = {"spike": 1.0, "saturation": 1.0, "soak": 1.0}
QUICK = profiles.named("quick")
BRIEF = replace(
    QUICK,
    outage_s=1.5,
    scenarios={
        name: replace(scenario, duration_s=KEPT.get(name, 0.6) * scenario.duration_s)
        for name, scenario in QUICK.scenarios.items()
    },
)


# Where the model is faster than any, a kept answer saves less; and other tests keep the machine busy.
FOR_A_FAST_MODEL = {"cache_speedup": 2.0, "cache_ping_p95_ms": 20.0}


@dataclass
class Sample:
    """A running sample, its objectives beside its target file's, and what its levers did (``events``)."""

    state: stack.State
    objectives: dict[str, float] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, folder: Path, model_speed: float = 1.0) -> Sample:
        """Start it healthy. Raises SampleError."""
        [port] = processes.free_ports(1)
        target_file = folder / "sample.toml"
        state = stack.up(chat_port=port, folder=folder, target_file=target_file, model_speed=model_speed)
        return cls(state, dict(FOR_A_FAST_MODEL) if model_speed > 1 else {})

    def with_defects(self, *names: str) -> Sample:
        """The same sample with exactly these defects."""
        if self.state.defects != names:
            self.state = stack.set_defects(names, self.state.folder)
        return self

    def stop(self) -> None:
        """End it."""
        stack.down(self.state.folder)

    def assess(self, profile: Profile = BRIEF, only: Collection[str] | None = None) -> list[Measured]:
        """Carry out every check, or those named, as a run does."""
        checks = all_checks()
        chosen = [check for check in checks.values() if only is None or check.id in only]
        target = targets.load(str(self.state.target_file))
        objectives = target.objectives.model_copy(update=self.objectives)
        target = target.model_copy(update={"objectives": objectives})
        watcher = Watcher(
            began=lambda check: None,
            ended=lambda measured: None,
            cancelled=lambda: False,
            abandoned=lambda check: None,
        )
        toolbox = self._toolbox(target, profile)
        engine = Engine(target, toolbox, rubric.load(checks=checks), profile, watcher)
        return engine.run(chosen)

    def gather(self, check_id: str, profile: Profile = BRIEF) -> Any:
        """The evidence of one check, gathered as a run does."""
        check = all_checks()[check_id]
        target = targets.load(str(self.state.target_file))
        toolbox = self._toolbox(target, profile)
        refusal = toolbox.refusal(check)
        assert refusal is None, refusal
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._gather(toolbox, check, target))

    def measure(self, check_id: str, profile: Profile = BRIEF) -> Finding:
        """Carry out one check as a run does, without a rubric."""
        evidence = self.gather(check_id, profile)
        return scripted.judge(
            all_checks()[check_id].module, evidence, targets.load(str(self.state.target_file))
        )

    async def _gather(self, toolbox: Toolbox, check: LoadedCheck, target: object) -> object:
        async with asyncio.timeout(check.about.deadline_s), toolbox.open(check) as instruments:
            return await check.gather(target, instruments)

    def _toolbox(self, target: object, profile: Profile) -> Toolbox:
        hooks = Hooks(
            say=lambda text: None,
            load_second=lambda data: None,
            load_result=lambda result: None,
            lever=lambda lever, way, what, detail: self.events.append(f"{what} {lever} {way}"),
        )
        return Toolbox(
            target,
            profile,
            policy=Policy(),
            seed=Random().getrandbits(48),
            hooks=hooks,
            ledger=Ledger(self.state.folder / "levers"),
            samples_folder=None,
            environment=stack.environment(self.state),
        )
