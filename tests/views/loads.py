"""Load results to show: sample files as a driver would write them, and runs that have them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from app.history.store import Store
from app.records import LoadResult, RunInfo
from app.samples.columns import SCHEMA
from app.samples.writing import SampleWriter
from app.statistics.knees import knee
from checks.contract.findings import Limit, Outcome
from checks.contract.load import Arrivals, LoadStep, Steady, Streaming
from tests import records
from tests.views import story

THRESHOLDS = {
    "pass_success_ratio": 0.95,
    "pass_mean_ms": 10_000.0,
    "pass_hit_ratio": 0.8,
    "warn_within_ratio": 0.2,
}


def requests(
    *,
    users: int = 20,
    seconds: float = 30,
    slower: float = 1.0,
    hit_ratio: float = 0.84,
    failing: float = 0.002,
    stall_s: tuple[float, float] | None = None,
    seed: int = 1,
) -> dict[str, Any]:
    """The requests of a closed run: cached answers around 60 ms, others around 1.5 s, all from ``seed``."""
    random = np.random.default_rng(seed)
    count = int(users * seconds / 0.45)
    start = np.sort(random.uniform(0, seconds, count))
    cached = random.random(count) < hit_ratio
    cached[start < 0.05 * seconds] &= random.random(int(np.sum(start < 0.05 * seconds))) < 0.5
    median = np.where(cached, 59.0, 1480.0) * slower
    latency = median * np.exp(random.normal(0, np.where(cached, 0.35, 0.45)))
    if stall_s is not None:
        inside = (start > stall_s[0]) & (start < stall_s[1])
        latency = np.where(inside & ~cached, latency * 3, latency)
    failed = random.random(count) < failing
    return {
        "start_s": start,
        "latency_ms": latency,
        "cached": [None if bad else bool(hit) for bad, hit in zip(failed, cached, strict=True)],
        "failure": ["reset" if bad else None for bad in failed],
        "user": random.integers(0, users, count),
    }


def unmarked(rows: dict[str, Any]) -> dict[str, Any]:
    """The same where no reply says whether it came from the cache."""
    return rows | {"cached": [None] * len(rows["start_s"])}


def streamed(rows: dict[str, Any], tokens: int = 12) -> dict[str, Any]:
    """The same as streams: the first token after two fifths of the latency, the others evenly after it."""
    first = 0.4 * rows["latency_ms"]
    gaps = (rows["latency_ms"] - first) / tokens
    chunks = [list(start + gap * np.arange(tokens)) for start, gap in zip(first, gaps, strict=True)]
    return rows | {"first_token_ms": first, "chunk_ms": chunks}


def batch(rows: dict[str, Any]) -> pa.RecordBatch:
    """The rows as the driver's columns; what is not given is as for a plain request."""
    count = len(rows["start_s"])
    given: dict[str, Any] = {
        "start_unix_s": np.asarray(rows["start_s"]) + 1.7e9,
        "dispatch_ms": np.zeros(count),
        "bytes": np.full(count, 240, dtype=np.uint64),
        "user": np.zeros(count, dtype=np.uint32),
        "worker": np.zeros(count, dtype=np.uint16),
        "failure": [None] * count,
        "cached": [None] * count,
    } | rows  # fmt: skip
    arrays = [
        pa.array(given[field.name], type=pa.string()).dictionary_encode().cast(field.type)
        if field.name == "failure"
        else pa.array(given[field.name] if field.name in given else [None] * count, type=field.type)
        for field in SCHEMA
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def write(path: Path, rows: dict[str, Any], *, finished: bool = True) -> Path:
    """Write a sample file; one that is not finished is as a killed driver leaves it."""
    writer = SampleWriter(path, {"scenario": path.stem, "model": "closed"})
    writer.append(batch(rows))
    if finished:
        writer.finish()
    else:
        writer.close()
    return path


def result(scenario: str, rows: dict[str, Any], file: Path | None, **changes: Any) -> LoadResult:
    """The figures of ``rows``, as the driver would give them."""
    answered = np.array([kind is None for kind in rows["failure"]])
    latency = np.asarray(rows["latency_ms"])[answered]
    marks = [mark for mark in rows["cached"] if mark is not None]
    total, good = len(answered), int(answered.sum())
    span = float(np.max(np.asarray(rows["start_s"]) + np.asarray(rows["latency_ms"]) / 1000))
    p50, p90, p95, p99, p999 = (
        float(np.percentile(latency, q, method="higher")) for q in (50, 90, 95, 99, 99.9)
    )
    given = {
        "total_requests": total,
        "successful": good,
        "failed": total - good,
        "success_rate": good / total,
        "cached_responses": sum(marks),
        "cache_hit_rate": sum(marks) / len(marks) if marks else None,
        "total_time_seconds": span,
        "requests_per_second": good / span,
        "avg_latency_ms": float(latency.mean()),
        "median_latency_ms": p50,
        "p90_latency_ms": p90,
        "p95_latency_ms": p95,
        "p99_latency_ms": p99,
        "p999_latency_ms": p999,
        "min_latency_ms": float(latency.min()),
        "max_latency_ms": float(latency.max()),
        "failures": {"reset": total - good} if total > good else {},
        "failure_examples": {"reset": "The connection was reset after 12 ms."} if total > good else {},
        "intervals": {"p50_ms": (0.99 * p50, 1.02 * p50), "p95_ms": (0.95 * p95, 1.05 * p95)},
        "samples_file": str(file) if file else None,
    }
    return records.load_result(scenario, **(given | changes))


def steps(seconds: float = 15) -> tuple[LoadStep, ...]:
    """A service that answers up to 46 a second and sheds the rest."""
    found = []
    for index, offered in enumerate(range(5, 65, 5)):
        scheduled = int(offered * seconds)
        served = min(offered, 46) * (1 - 0.004 * max(0, offered - 46) / 5)
        answered = int(served * seconds)
        shed = scheduled - answered
        p95 = 90 + 3 * index + (0 if offered < 40 else 250 * 2.1 ** ((offered - 40) / 5))
        found.append(
            LoadStep(
                start_s=index * seconds, duration_s=seconds, offered_per_s=offered, scheduled=scheduled,
                dropped=0, answered=answered, failed=shed, shed=shed, timed_out=0,
                answered_per_s=answered / seconds, p50_ms=p95 / 2, p95_ms=p95,
            )
        )  # fmt: skip
    return tuple(found)


def saturation(folder: Path, *, seconds: float = 15) -> LoadResult:
    """An open run in steps, with its samples."""
    random = np.random.default_rng(5)
    stages = steps(seconds)
    start = np.concatenate(
        [np.sort(random.uniform(0, seconds, step.scheduled)) + step.start_s for step in stages]
    )
    p95 = np.repeat([step.p95_ms for step in stages], [step.scheduled for step in stages])
    share = np.repeat([step.failed / step.scheduled for step in stages], [step.scheduled for step in stages])
    failed = random.random(len(start)) < share
    rows = {
        "start_s": start,
        "latency_ms": p95 * 0.55 * np.exp(random.normal(0, 0.35, len(start))),
        "cached": [None] * len(start),
        "failure": ["status" if bad else None for bad in failed],
    }
    file = write(folder / "saturation.parquet", rows)
    return result(
        "saturation", rows, file, model="open", users=600, rate_per_s=None, steps=stages, knee=knee(stages),
        peak_per_s=20.0, arrivals=Arrivals(len(start) + 12, len(start), 12), passed=None,
        failures={"status": int(failed.sum())}, failure_examples={"status": "429 Too Many Requests"},
        service_p50_ms=80.0, service_p99_ms=9000.0, dispatch_delay_p50_ms=0.2, dispatch_delay_p99_ms=3.1,
    )  # fmt: skip


def streaming() -> Streaming:
    """Figures of streams."""
    return Streaming(
        first_event_p50_ms=21.0, first_token_p50_ms=24.0, first_token_p95_ms=590.0, first_token_p99_ms=810.0,
        first_answer_p50_ms=24.0, gap_p50_ms=3.1, gap_p95_ms=74.0, gap_p99_ms=110.0, tpot_p50_ms=3.3,
        tpot_p99_ms=104.0, normalised_p50_ms=5.2, tokens=15_000, tokens_per_s=498.0,
    )  # fmt: skip


def keep(
    store: Store, *results: LoadResult, ago: timedelta = timedelta(minutes=12), **judged: Any
) -> RunInfo:
    """Keep a finished run with these results; the heavy scenario's finding has limits."""

    limits = {"limit": Limit(0.95, 0.76, "higher", 0, 1), "thresholds": THRESHOLDS}
    heavy = records.finding("load_scenarios.heavy", Outcome.PASS, **limits).model_copy(update=judged)
    run = story.keep(store, records.card(heavy), ago=ago)
    for item in results:
        store.add_load_result(run.run_id, item)
    return run


def results(folder: Path, *, seconds: float = 30, slower: float = 1.0, seed: int = 1) -> list[LoadResult]:
    """The closed scenarios of a run with their samples in ``folder``; heavy stalls once, and streams."""
    found = []
    for index, (scenario, users) in enumerate(records.USERS.items()):
        stall = (0.55 * seconds, 0.62 * seconds) if scenario == "heavy" else None
        rows = requests(users=users, seconds=seconds, slower=slower, stall_s=stall, seed=10 * seed + index)
        more: dict[str, Any] = {"users": users}
        if scenario == "heavy":
            rows = streamed(rows)
            more |= {"streaming": streaming(), "steady": steady(rows)}
        found.append(result(scenario, rows, write(folder / f"{scenario}.parquet", rows), **more))
    return found


def tell(store: Store, folder: Path, *, seconds: float = 30) -> None:
    """Keep two runs: a slower one, and the newest, which has also found where the service breaks."""
    earlier = results(folder / "1", seconds=seconds, slower=1.35, seed=1)
    keep(store, *earlier, ago=timedelta(days=1))
    newest = results(folder / "2", seconds=seconds, seed=2)
    keep(store, *newest, saturation(folder / "2", seconds=seconds / 4))


def add(store: Store, folder: Path, *, seconds: float = 12) -> None:
    """Give the last two runs of tests/views/story.py load results."""
    for number, slower in ((12, 1.35), (13, 1.0)):
        run = store.run_by_number("sample", number)
        assert run is not None
        found = results(folder / str(number), seconds=seconds, slower=slower, seed=number)
        if number == 13:
            found.append(saturation(folder / str(number), seconds=seconds / 4))
        for item in found:
            store.add_load_result(run.run_id, item)


def steady(rows: dict[str, Any]) -> Steady:
    """The steady part of ``rows``."""
    return Steady(
        found=True, from_s=4.0, requests=int(0.9 * len(rows["start_s"])), mean_ms=339.0, p50_ms=64.0,
        p95_ms=1800.0, p99_ms=3200.0, drift_ratio=0.12, drifts=True,
    )  # fmt: skip
