"""A load by the workers of a real Dask cluster: a scheduler and two workers on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import paths
from app.instruments.load.figures.summary import Recorded, summarize
from app.instruments.load.sharded.plans import ShardPlan
from app.instruments.load.sharded.running import TooLateError, run_shard
from app.instruments.load.shards import Job, run_on
from app.instruments.policy import Policy
from app.samples.reading import open_samples
from app.samples.writing import worker_file
from checks.contract import Stage
from tests.instruments.load.loads import a_plan, a_target
from tests.instruments.load.threaded import answering
from tests.instruments.servers import Scripted, free_port

distributed = pytest.importorskip(
    "distributed", reason="Dask is not installed: pip install -r requirements-scale.txt"
)
clusters = pytest.importorskip("app.instruments.load.sharded.cluster")


def dask(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    log = (folder / f"{words[0]}-{time.monotonic_ns()}.log").open("wb")
    command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
    return subprocess.Popen(command, cwd=paths.ROOT, stdout=log, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The scheduler of two workers, as the documentation says to start them."""
    folder = tmp_path_factory.mktemp("dask")
    place = f"tcp://127.0.0.1:{free_port()}"
    worker = ("worker", place, "--nthreads", "1", "--local-directory", str(folder))
    processes = [
        dask(folder, "scheduler", "--host", "127.0.0.1", "--port", place.rpartition(":")[2]),
        dask(folder, *worker),
        dask(folder, *worker),
    ]
    try:
        with distributed.Client(place, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield place
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(30)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with answering() as served:
        yield served


def a_job(url: str, folder: Path, **plan: Any) -> Job:
    return Job(a_target(url), a_plan(**({"users": 4} | plan)), Policy(), 7, folder / "all.parquet")


def carried_out(
    address: str,
    job: Job,
    *,
    meanwhile: Callable[[], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Recorded, list[dict[str, Any]]]:
    seconds: list[dict[str, Any]] = []
    cluster = clusters.Cluster(address)
    try:
        workers = cluster.workers(2, lambda number: worker_file(job.samples, number))
        if meanwhile:
            threading.Thread(target=meanwhile, daemon=True).start()
        return run_on(workers, job, on_second=seconds.append, stopped=stopped), seconds
    finally:
        cluster.close()


def test_two_workers_send_every_sample_and_the_figures_are_those_of_all(
    address: str, server: Scripted, tmp_path: Path
) -> None:
    stages = (Stage(3.0, 40, 40),)
    job = a_job(server.url, tmp_path, users=40, duration_s=3.0, warmup_s=0.5, stages=stages, spacing="even")
    recorded, seconds = carried_out(address, job)
    summary = summarize(recorded)
    rows = open_samples(job.samples).columns("latency_ms", "worker")
    assert summary.total_requests == len(rows["latency_ms"]) == recorded.arrivals.scheduled == 120
    assert set(rows["worker"]) == {0, 1}
    assert summary.p95_ms == float(np.percentile(rows["latency_ms"], 95, method="higher"))
    assert summary.partial == ""
    assert seconds
    assert len(server.visits) == 140
    assert [path.name for path in tmp_path.iterdir()] == ["all.parquet"]


def test_a_worker_that_is_killed_is_lost_with_what_it_had_sent_and_its_work_is_not_done_again(
    address: str, server: Scripted, tmp_path: Path
) -> None:
    with distributed.Client(address, set_as_default=False) as client:
        pids = client.run(os.getpid)
    second = pids[sorted(pids)[1]]

    def kill() -> None:
        while len(server.visits) < 20:
            time.sleep(0.05)
        time.sleep(4)
        os.kill(second, signal.SIGKILL)

    job = a_job(server.url, tmp_path, duration_s=12, think_time_ms=10)
    recorded, _ = carried_out(address, job, meanwhile=kill)
    summary = summarize(recorded)
    rows = open_samples(job.samples).columns("worker", "start_s")
    of_lost = int((rows["worker"] == 1).sum())
    assert of_lost > 0
    assert "worker 2 of 2 at tcp://127.0.0.1:" in summary.partial
    assert f"its {of_lost:,}\u00a0requests until then are included" in summary.partial
    assert summary.validity in ("suspect", "invalid")
    assert rows["start_s"][rows["worker"] == 0].max() > 10
    assert rows["start_s"][rows["worker"] == 1].max() < 10
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)  # its nanny starts it anew


def test_told_to_stop_the_workers_stop_within_seconds_and_keep_what_they_have(
    address: str, server: Scripted, tmp_path: Path
) -> None:
    stop_at: list[float] = []

    def stopped() -> bool:
        if not stop_at and len(server.visits) > 50:
            stop_at.append(time.monotonic() + 1)
        return bool(stop_at) and time.monotonic() > stop_at[0]

    recorded, _ = carried_out(address, a_job(server.url, tmp_path, duration_s=60), stopped=stopped)
    assert time.monotonic() - stop_at[0] < 15
    assert recorded.partial.startswith("cancelled after ")
    assert summarize(recorded).total_requests > 20


def test_more_workers_than_there_are_and_a_scheduler_that_is_not_there_are_told(
    address: str, tmp_path: Path
) -> None:
    cluster = clusters.Cluster(address)
    try:
        with pytest.raises(clusters.ClusterError, match="has 2 workers, and 9 are wanted. Start more with"):
            cluster.workers(9, lambda number: worker_file(tmp_path / "all.parquet", number))
    finally:
        cluster.close()


def test_a_shard_that_is_started_long_after_its_time_does_nothing(tmp_path: Path) -> None:
    job = a_job("http://127.0.0.1:9", tmp_path)
    shard = ShardPlan(
        target=job.target,
        plan=job.plan,
        number=1,
        of=2,
        seed=1,
        policy=job.policy,
        start_at_unix_s=time.time() - 60,
        samples=tmp_path / "x.parquet",
        line=lambda: pytest.fail("it opened its line"),
    )
    with pytest.raises(TooLateError, match="worker 2"):
        run_shard(shard)
    assert not list(tmp_path.iterdir())


def test_the_workers_of_a_load_that_is_killed_stop_and_what_they_had_sent_can_be_read(
    address: str, server: Scripted, tmp_path: Path
) -> None:
    samples = tmp_path / "all.parquet"
    command = [sys.executable, "-m", "app", "load", f"{server.url}/x", "--users", "4", "--think", "20"]
    command += ["--duration", "120", "--samples", str(samples)]
    environment = {**os.environ, "GREENLIGHT_DASK": address, "GREENLIGHT_DATA": str(tmp_path)}
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=paths.ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        until(lambda: len(server.visits) > 100, 60)
        time.sleep(3)
    finally:
        process.kill()
        process.wait()

    def quiet() -> bool:
        before = len(server.visits)
        time.sleep(2)
        return len(server.visits) == before

    until(quiet, 60)
    left = open_samples(samples)
    assert left.partial
    assert len(left.columns("status")["status"]) > 20
    with distributed.Client(address, set_as_default=False) as client:
        until(lambda: not any(client.processing().values()), 60)  # and the workers are free again


def until(met: Callable[[], object], within_s: float) -> None:
    """Wait for something. Fails where it does not come."""
    end = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)
