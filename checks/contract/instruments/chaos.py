"""Experiments of the Chaos Toolkit, as its journal tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from checks.contract.target.chaos import ChaosExperiment


@dataclass(frozen=True, slots=True)
class ChaosActivity:
    """An action, probe or rollback that was carried out; ``error`` is "" where it succeeded."""

    name: str
    kind: str
    status: str
    seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class ChaosJournal:
    """What an experiment found.

    ``status`` is the Chaos Toolkit's: completed, failed, aborted, interrupted. ``steady_before`` and
    ``steady_after`` say whether its hypothesis held, None where it was not tried. ``outside`` are probes of
    the hypothesis that were out of their tolerance, in the order that they were asked.
    """

    title: str
    status: str
    deviated: bool
    seconds: float
    steady_before: bool | None
    steady_after: bool | None
    outside: tuple[str, ...]
    method: tuple[ChaosActivity, ...]
    rollbacks: tuple[ChaosActivity, ...]


class Chaos(Protocol):
    """Carries experiments out."""

    async def carry_out(self, experiment: ChaosExperiment) -> ChaosJournal:
        """The journal of one experiment.

        Raises InstrumentFailure where the Chaos Toolkit or an extension is absent (with the pip line), the
        file is none that it accepts, or the experiment did not end in time.
        """
