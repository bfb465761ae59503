"""The driver's peak memory for a great many samples. The one for many users comes from the latency runs."""

from __future__ import annotations

import sys

from tests.bench.processes import BenchError, Cores, last_json, run
from tests.bench.rows import Row, below, row
from tests.bench.sizes import Sizes

GOAL = below(300, "MB")
TIMEOUT_S = 300.0


def measure(sizes: Sizes, cores: Cores) -> list[Row]:
    """One row."""
    command = [sys.executable, "-m", "tests.bench.many_samples", str(sizes.samples)]
    found = last_json(run(command, cores.client, TIMEOUT_S).output)
    if found["samples"] != sizes.samples:
        raise BenchError(f"{found['samples']} of {sizes.samples} samples were summed up")
    note = f"recorded in {found['recorded_s']:.0f} s, summed up in {found['summed_s']:.1f} s"
    name = f"peak memory, {sizes.samples / 1e6:g} million samples"
    return [row(name, found["peak_bytes"] / 1e6, "MB", goal=GOAL, note=note)]
