"""Records and sums up as many samples as the argument says, and prints its peak memory.

Through what a run uses; only the network is left out: each row goes through ``Samples.add``, a second's worth
at a time to disk, then Parquet is made of it and the summary of that.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter

from app.instruments.load.figures.selfwatch import SelfWatch
from app.instruments.load.figures.summary import Recorded, summarize
from app.instruments.load.recording import Recording
from app.instruments.load.samples import NOTHING, Cached
from app.samples.reading import open_samples
from checks.contract import LoadPlan
from tests.bench.ours import QUESTION, peak_bytes

PER_S = 20_000  # of a busy driver: what is in memory between two flushes
MEAN_MS = 10.0


def record(path: Path, count: int) -> None:
    """Leave ``count`` samples at ``path``, with latencies that all differ."""
    recording = Recording(path, {"scenario": "bench"}, measured_from=perf_counter())
    add, exponential = recording.samples.add, Random(7).expovariate
    for number in range(count):
        latency_ms = exponential(1 / MEAN_MS)
        add(
            *(number / PER_S, 0.0, latency_ms, latency_ms / 2, NOTHING, NOTHING, NOTHING),
            *(150, 0, number % 200, 200, 0, Cached.NOT_JUDGED),
        )
        if number % PER_S == PER_S - 1:
            recording.flush()
    recording.finish({})


def main() -> None:
    """Record, sum up, print."""
    count = int(sys.argv[1])
    plan = LoadPlan(scenario="bench", users=200, duration_s=count / PER_S, prompts=(QUESTION,))
    watch = SelfWatch()
    started = perf_counter()
    with TemporaryDirectory(prefix="greenlight-bench-") as folder:
        path = Path(folder) / "bench.parquet"
        record(path, count)
        recorded_s = perf_counter() - started
        summary = summarize(Recorded(plan, open_samples(path), watch.report(), {}, plan.duration_s))
    summed_s = perf_counter() - started - recorded_s
    figures = {"samples": summary.total_requests, "p99_ms": summary.p99_ms, "peak_bytes": peak_bytes()}
    figures |= {"recorded_s": recorded_s, "summed_s": summed_s}
    sys.stdout.write(f"{json.dumps(figures)}\n")


if __name__ == "__main__":
    main()
