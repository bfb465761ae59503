from __future__ import annotations

import subprocess
import sys
from random import Random

from app import paths, profiles
from app.instruments.prompts import RunPrompts
from app.instruments.toolbox import Bench
from app.statistics.for_checks import RunStatistics
from tests.checks.scripted import ScriptedInstruments

REACHED = ("app.instruments.toolbox", "app.assess", "app.statistics.comparing", "app.statistics.intervals")


def test_every_check_may_use_statistics_without_naming_them() -> None:
    bench = Bench(
        "cache.example",
        profile=profiles.named("quick"),
        random=Random(1),
        prompts=RunPrompts((), Random(1)),
        say=print,
        tools={},
    )
    assert isinstance(bench.statistics, RunStatistics)
    assert isinstance(ScriptedInstruments().statistics, RunStatistics)


def test_scipy_is_loaded_only_by_the_first_sum() -> None:
    lines = (
        f"import sys, {', '.join(REACHED)}; print([name for name in sys.modules if name.startswith('scipy')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", lines], cwd=paths.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
