"""Ten quick assessments of the healthy sample in a row, as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app import paths

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]
RUNS = int(os.environ.get("GREENLIGHT_PROVE_RUNS", "10"))


def test_the_healthy_sample_passes_every_check_in_every_run(tmp_path: Path) -> None:
    missed: list[str] = []
    for number in range(1, RUNS + 1):
        file = tmp_path / f"{number}.json"
        started = time.monotonic()
        command = [sys.executable, "-m", "app", "assess", "sample", "--profile", "quick", "--json", str(file)]
        environment = {**os.environ, "GREENLIGHT_DATA": str(tmp_path / "data")}
        subprocess.run(command, cwd=paths.ROOT, env=environment, check=True, capture_output=True)
        seconds = time.monotonic() - started
        document = json.loads(file.read_text())
        bad = [
            f"{item['check']}: {item['reason']}" for item in document["findings"] if item["outcome"] != "pass"
        ]
        print(f"run {number}: score {document['score']}, {seconds:.0f} s, {bad or 'all passed'}", flush=True)
        missed += bad
    assert missed == []
