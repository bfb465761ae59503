"""Twenty kills at random moments: whatever is killed, what was measured until then can be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import psutil
import pytest

from app import paths
from app.samples.reading import open_samples
from tests.instruments.load.threaded import answering
from tests.instruments.servers import Scripted

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]
KILLS = int(os.environ.get("GREENLIGHT_PROVE_KILLS", "20"))
SECONDS = 8


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker processes of a load; the others that Python starts keep books of shared memory."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]


def start(server: Scripted, folder: Path, workers: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "app", "load", f"{server.url}/x", "--users", "6", "--think", "10",
        "--duration", str(SECONDS), "--workers", str(workers),
        "--samples", str(folder / "s.parquet"), "--json", str(folder / "out.json"),
    ]  # fmt: skip
    output = (folder / "output").open("wb")
    return subprocess.Popen(command, cwd=paths.ROOT, stdout=output, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("number", range(KILLS))
def test_a_kill_at_a_random_moment_leaves_samples_that_can_be_read(number: int, tmp_path: Path) -> None:
    random = Random()
    workers = 1 + number % 3
    of_driver = workers == 1 or number % 2 == 0
    with answering() as server:
        process = start(server, tmp_path, workers)
        family: list[psutil.Process] = []
        try:
            while not server.visits:
                assert process.poll() is None, (tmp_path / "output").read_text()
                time.sleep(0.02)
            time.sleep(random.uniform(1.5, SECONDS - 3))
            family = workers_of(process)
            victim = psutil.Process(process.pid) if of_driver else random.choice(family)
            victim.kill()
            process.wait(60)
            _, alive = psutil.wait_procs(family, timeout=30)
            assert alive == []
        finally:
            for each in (process, *family):
                if each is process or each.is_running():
                    each.kill()
        left = open_samples(tmp_path / "s.parquet")
        rows = len(left.columns("status")["status"])
        what = f"{'the driver' if of_driver else 'a worker'} of {workers} killed"
        print(f"kill {number + 1}: {what}, {rows} of {len(server.visits)} requests read", flush=True)
    assert rows > 0
    if of_driver:
        assert left.partial
    else:
        told = json.loads((tmp_path / "out.json").read_text())
        assert "was lost after" in told["partial"]
        assert told["validity"] in ("suspect", "invalid")
        assert told["total_requests"] == rows
