"""One load by several workers: the same arrivals, the same figures, and no more lost than what is lost."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.instruments.load.arrivals import arrivals
from app.instruments.load.figures.summary import Recorded, summarize
from app.instruments.load.samples import Samples
from app.instruments.load.sharded.local import LocalWorker
from app.instruments.load.sharded.merging import Part, merged
from app.instruments.load.sharded.plans import OwnPrompts, divided
from app.instruments.load.sharded.together import Together
from app.instruments.load.shards import Job, run_on
from app.instruments.policy import Policy
from app.instruments.prompts import RunPrompts
from app.samples.reading import open_samples
from app.samples.writing import SampleWriter, part_of, worker_file, write_parquet
from checks.contract import InstrumentFailure, Stage, StopRule
from tests.instruments.load.loads import a_plan, a_target
from tests.instruments.load.threaded import answering
from tests.instruments.servers import Scripted, free_port

RATES = st.floats(0, 200)
STAGES = st.lists(st.builds(Stage, st.floats(0.5, 5), RATES, RATES), min_size=1, max_size=3)


# How a plan is divided.


@given(STAGES, st.integers(1, 7))
def test_even_arrivals_of_all_workers_are_those_of_one(stages, workers):
    together = sorted(
        moment
        for number in range(workers)
        for moment in arrivals(stages, poisson=False, random=Random(number), share=(number, workers))
    )
    assert together == pytest.approx(list(arrivals(stages, poisson=False, random=Random(0))), abs=1e-9)


def test_poisson_arrivals_of_all_workers_are_a_poisson_process_of_the_whole_rate():
    moments = sorted(
        moment
        for number in range(4)
        for moment in arrivals([Stage(1000, 20, 20)], poisson=True, random=Random(number), share=(number, 4))
    )
    gaps = np.diff(moments)
    assert gaps.mean() == pytest.approx(0.05, rel=0.03)
    assert gaps.var() == pytest.approx(0.05**2, rel=0.1)
    counts = np.bincount(np.asarray(moments, int), minlength=1000)[:1000]
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.2)


@given(st.integers(1, 50), st.integers(0, 500), st.integers(1, 50))
def test_users_and_fewest_requests_are_divided_without_a_rest(users, fewest, workers):
    plan = a_plan(users=users, min_requests=fewest)
    if workers > users:
        with pytest.raises(
            InstrumentFailure, match=f"{users} users cannot be divided among {workers} workers"
        ):
            divided(plan, workers)
        return
    plans = divided(plan, workers)
    assert sum(each.users for each in plans) == users
    assert sum(each.min_requests for each in plans) == fewest
    assert min(each.users for each in plans) >= 1
    assert {each.prompts for each in plans} == {plan.prompts}


def test_no_two_workers_ask_the_same_fresh_question():
    asked = [OwnPrompts(RunPrompts(("One?",), Random(1)), number, 3).fresh(200) for number in range(3)]
    assert len(set(itertools.chain(*asked))) == 600


# How their samples become one file.


def samples_of(folder: Path, number: int, rows: list[tuple[float, float]], started_unix_s: float) -> Part:
    """A part of one worker; rows are (start_s, latency_ms), a batch for each ten."""
    file = worker_file(folder / "all.parquet", number)
    writer = SampleWriter(file, {"started_unix_s": repr(started_unix_s)})
    for first in range(0, len(rows), 10):
        samples = Samples()
        for start_s, latency_ms in rows[first : first + 10]:
            nothing = float("nan")
            samples.add(
                start_s, 0.0, latency_ms, 1.0, nothing, nothing, nothing, 100, 0, number % 2, 200, 0, 3
            )
        writer.append(samples.take().batch(started_unix_s))
    writer.close()
    return Part(file, number, 1000.0, first_user=2 * number)


ROWS = st.lists(st.tuples(st.floats(0, 60), st.floats(0.1, 5000)), max_size=60)


@settings(max_examples=50)
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_merged_samples_are_all_of_them_in_the_order_of_their_end(tmp_path_factory, of_workers):
    folder = tmp_path_factory.mktemp("parts")
    by_end = [sorted(rows, key=lambda row: row[0] + row[1] / 1000) for rows in of_workers]
    parts = [samples_of(folder, number, rows, 1000.0) for number, rows in enumerate(by_end)]
    write_parquet(folder / "all.parquet", merged(parts), {})
    columns = open_samples(folder / "all.parquet").columns("start_s", "latency_ms", "worker", "user")
    ends = columns["start_s"] + columns["latency_ms"] / 1000
    assert (np.diff(ends) >= 0).all()
    there = Counter(
        zip(
            columns["worker"].tolist(),
            columns["start_s"].tolist(),
            columns["latency_ms"].tolist(),
            strict=True,
        )
    )
    assert there == Counter((number, *row) for number, rows in enumerate(of_workers) for row in rows)
    assert (columns["user"] // 2 == columns["worker"]).all()


def test_a_worker_that_began_late_has_its_samples_where_they_were(tmp_path: Path):
    on_time, late = (
        samples_of(tmp_path, 0, [(1.0, 10.0)], 1000.0),
        samples_of(tmp_path, 1, [(1.0, 10.0)], 1000.5),
    )
    write_parquet(tmp_path / "all.parquet", merged([on_time, late]), {})
    assert open_samples(tmp_path / "all.parquet").columns("start_s")["start_s"].tolist() == [1.0, 1.5]


def test_a_worker_that_was_killed_before_it_wrote_anything_has_no_samples(tmp_path: Path):
    there = samples_of(tmp_path, 0, [(1.0, 10.0)], 1000.0)
    absent = Part(tmp_path / "absent.parquet", 1, 1000.0, 2)
    empty = Part(tmp_path / "empty.parquet", 2, 1000.0, 4)
    part_of(empty.file).touch()
    assert sum(batch.num_rows for batch in merged([there, absent, empty])) == 1
    assert (absent.late_s(), empty.late_s(), absent.rows(), empty.rows()) == (0.0, 0.0, 0, 0)


# Their seconds.


def a_second(second: int, **changes: Any) -> dict[str, Any]:
    return {"second": second, "users": 2, "answered": 10, "failed": 1, "p50_ms": 5.0, "p95_ms": 9.0,
            "p99_ms": None, "hits": 1, "marked": 2} | changes  # fmt: skip


def test_a_second_is_told_once_every_worker_at_work_has_told_it():
    together = Together(2)
    together.add(0, a_second(1))
    assert list(together.ready([0, 1])) == []
    together.add(1, a_second(1, answered=5, p50_ms=7.0, p95_ms=None))
    (told,) = together.ready([0, 1])
    assert (told["users"], told["answered"], told["failed"]) == (4, 15, 2)
    assert (told["p50_ms"], told["p95_ms"], told["p99_ms"], told["bound"]) == (7.0, 9.0, None, True)
    together.add(0, a_second(2))
    assert [each["second"] for each in together.ready([0])] == [2]
    assert list(together.ready([])) == []


# Whole loads.


@pytest.fixture
def server() -> Iterator[Scripted]:
    with answering() as served:
        yield served


def a_job(url: str, folder: Path, **plan: Any) -> Job:
    return Job(a_target(url), a_plan(**({"users": 4} | plan)), Policy(), 7, folder / "all.parquet")


def carried_out(
    job: Job, workers: int = 2, meanwhile: Any = None, stopped: Any = lambda: False
) -> tuple[Recorded, list[dict[str, Any]]]:
    seconds: list[dict[str, Any]] = []
    at_work = [LocalWorker() for _ in range(workers)]
    if meanwhile:
        threading.Thread(target=meanwhile, args=(at_work,), daemon=True).start()
    return run_on(at_work, job, on_second=seconds.append, stopped=stopped), seconds


def test_two_workers_do_what_one_would_and_their_figures_are_those_of_all_samples(server, tmp_path: Path):
    job = a_job(server.url, tmp_path, duration_s=2.2, warmup_s=0.5, think_time_ms=10)
    recorded, seconds = carried_out(job)
    summary = summarize(recorded)
    rows = open_samples(job.samples).columns("latency_ms", "failure", "worker", "user", "start_s")
    assert summary.total_requests == len(rows["latency_ms"]) > 50
    assert summary.failed == 0
    for share, value in ((50, summary.p50_ms), (95, summary.p95_ms), (99, summary.p99_ms)):
        assert value == float(np.percentile(rows["latency_ms"], share, method="higher"))
    assert set(rows["worker"]) == {0, 1}
    assert set(rows["user"]) == {0, 1, 2, 3}
    assert rows["start_s"].min() >= 0
    assert summary.warmup_requests > 0
    warm = open_samples(tmp_path / "all.warmup.parquet").columns("start_s")["start_s"]
    assert len(warm) == summary.warmup_requests
    assert warm.max() < 0
    assert {visit.body.split(b'"')[3] for visit in server.visits} == {
        prompt.encode() for prompt in job.plan.prompts
    }
    assert sum(each["answered"] for each in seconds) <= summary.total_requests
    assert max(each["users"] for each in seconds) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.parquet", "all.warmup.parquet"]


def test_even_arrivals_of_two_workers_interleave_and_all_are_accounted_for(server, tmp_path: Path):
    job = a_job(server.url, tmp_path, users=50, duration_s=2.0, stages=(Stage(2.0, 60, 60),), spacing="even")
    recorded, _ = carried_out(job)
    assert (recorded.arrivals.scheduled, recorded.arrivals.sent, recorded.arrivals.dropped) == (120, 120, 0)
    starts = np.sort(open_samples(job.samples).columns("start_s")["start_s"])
    late_s = starts - (np.arange(120) + 0.5) / 60
    assert np.ptp(late_s) < 0.3  # both began within that of each other, whatever the machine does


def test_a_worker_that_is_killed_is_lost_with_no_more_than_it_had_under_way(server, tmp_path: Path):
    def kill(workers: list[LocalWorker]) -> None:
        while not server.visits:
            time.sleep(0.05)
        time.sleep(2.5)
        os.kill(workers[1].pid, signal.SIGKILL)

    job = a_job(server.url, tmp_path, duration_s=5.0, think_time_ms=10)
    recorded, _ = carried_out(job, meanwhile=kill)
    summary = summarize(recorded)
    rows = open_samples(job.samples).columns("worker", "start_s")
    of_lost = int((rows["worker"] == 1).sum())
    assert of_lost > 20
    assert "worker 2 of 2 was lost after " in summary.partial
    assert f"its {of_lost:,}\u00a0requests until then are included" in summary.partial
    assert summary.validity in ("suspect", "invalid")
    assert rows["start_s"][rows["worker"] == 0].max() > 4.0


def test_a_load_whose_every_worker_is_killed_keeps_what_there_is(server, tmp_path: Path):
    def kill(workers: list[LocalWorker]) -> None:
        while not server.visits:
            time.sleep(0.05)
        time.sleep(2.0)
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)

    job = a_job(server.url, tmp_path, users=20, duration_s=30, stages=(Stage(30, 50, 50),))
    recorded, _ = carried_out(job, meanwhile=kill)
    summary = summarize(recorded)
    assert "worker 1 of 2 was lost" in summary.partial
    assert "worker 2 of 2 was lost" in summary.partial
    assert "No worker could say how it did itself." in summary.validity_reasons
    assert summary.total_requests > 10


def test_told_to_stop_every_worker_stops_at_once_and_keeps_what_it_has(server, tmp_path: Path):
    stop_at: list[float] = []

    def stopped() -> bool:
        if not stop_at and len(server.visits) > 100:
            stop_at.append(time.monotonic() + 1.5)
        return bool(stop_at) and time.monotonic() > stop_at[0]

    job = a_job(server.url, tmp_path, duration_s=60, think_time_ms=10)
    recorded, _ = carried_out(job, stopped=stopped)
    assert time.monotonic() - stop_at[0] < 10
    assert recorded.partial.startswith("cancelled after ")
    assert summarize(recorded).total_requests > 50
    assert not list(tmp_path.glob("*.part"))


def test_when_one_worker_stops_by_rule_all_do(tmp_path: Path):
    job = a_job(
        f"http://127.0.0.1:{free_port()}", tmp_path, duration_s=60, stop=StopRule(1.0, max_failure_ratio=0.5)
    )
    recorded, _ = carried_out(job)
    assert recorded.partial.startswith("stopped after ")
    assert summarize(recorded).failures.keys() == {"refused"}
    assert summarize(recorded).failure_examples["refused"].startswith("connection refused")


def test_what_one_worker_cannot_do_ends_the_load_for_all(tmp_path: Path):
    job = a_job("http://127.0.0.1:9", tmp_path, route="stream")
    target = job.target.model_copy(update={"stream": None})
    with pytest.raises(InstrumentFailure, match=r"No `\[stream\]` is declared"):
        carried_out(Job(target, job.plan, job.policy, 1, job.samples))
