"""Which question a caller asks next."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from random import Random

from app.instruments.load.http1.requests import RequestWriter, Template
from checks.contract import LoadPlan
from checks.contract.instruments.questions import Prompts


class NextQuestion:
    """Draws questions as the plan's mix says, each rendered once."""

    def __init__(self, plan: LoadPlan, writer: RequestWriter, prompts: Prompts, random: Random) -> None:
        self._writer = writer
        self._fresh = prompts.fresh
        self._random = random.random
        self._fresh_share = plan.fresh_share
        self._templates = [writer.template(prompt) for prompt in plan.prompts]
        self._bounds = _bounds(len(self._templates), plan.zipf_exponent)

    def __call__(self) -> Template:
        """The template of the next request."""
        if self._fresh_share and self._random() < self._fresh_share:
            return self._writer.template(self._fresh(1)[0])
        if self._bounds:
            return self._templates[bisect_right(self._bounds, self._random())]
        return self._templates[int(self._random() * len(self._templates))]


def _bounds(number: int, exponent: float | None) -> list[float]:
    """Where on 0..1 each question but the last ends, the k-th with a share of k^-exponent (Zipf 1949)."""
    if exponent is None or number < 2:
        return []
    weights = [rank**-exponent for rank in range(1, number + 1)]
    return [reached / sum(weights) for reached in accumulate(weights)][:-1]
