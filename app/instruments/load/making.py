"""Makes the load driver as the operator's policy and the target allow it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from app.instruments.load.driver import LoadDriver
from app.instruments.origins import Origin, declared_origins
from app.instruments.policy import Policy
from app.instruments.references import References
from checks.contract import LoadSummary, Target
from checks.contract.instruments.questions import Prompts


def make_driver(
    target: Target,
    *,
    policy: Policy,
    references: References,
    random: Random,
    prompts: Prompts,
    on_second: Callable[[dict[str, Any]], None],
    samples_file: Callable[[str], Path] | None = None,
    on_partial: Callable[[LoadSummary], None] = lambda _summary: None,
    share: tuple[int, int] = (0, 1),
) -> LoadDriver:
    """A driver for ``target``; only secrets that the target declares for its own origin are filled in."""
    names = declared_origins(target)[Origin.of(target.url)]
    return LoadDriver(
        target,
        resolve=lambda text: references.resolve(text, names),
        random=random,
        prompts=prompts,
        on_second=on_second,
        max_users=policy.max_users,
        max_rate_per_s=policy.max_rate_per_s,
        samples_file=samples_file,
        on_partial=on_partial,
        share=share,
    )
