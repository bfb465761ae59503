"""Ten quick assessments of the healthy sample in a row, as a user types them.

GREENLIGHT_PROVE_RUNS says how many; GREENLIGHT_PROVE_ONLY names the checks, as `assess --only` takes them. An
extra without points is left out: it needs experiments, of which the sample has none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

import pytest

from app import paths

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]
RUNS = int(os.environ.get("GREENLIGHT_PROVE_RUNS", "10"))
ONLY = os.environ.get("GREENLIGHT_PROVE_ONLY", "*").split()


def test_the_healthy_sample_passes_every_check_in_every_run(tmp_path: Path) -> None:
    missed: list[str] = []
    for number in range(1, RUNS + 1):
        file = tmp_path / f"{number}.json"
        started = time.monotonic()
        command = [sys.executable, "-m", "app", "assess", "sample", "--profile", "quick", "--json", str(file)]
        command += [part for pattern in ONLY for part in ("--only", pattern)]
        environment = {**os.environ, "GREENLIGHT_DATA": str(tmp_path / "data")}
        subprocess.run(command, cwd=paths.ROOT, env=environment, check=True, capture_output=True)
        seconds = time.monotonic() - started
        document = json.loads(file.read_text())
        chosen = [
            item
            for item in document["findings"]
            if item["points"] and any(fnmatch(item["check"], pattern) for pattern in ONLY)
        ]
        bad = [f"{item['check']}: {item['reason']}" for item in chosen if item["outcome"] != "pass"]
        said = bad or f"all {len(chosen)} passed"
        print(f"run {number}: score {document['score']}, {seconds:.0f} s, {said}", flush=True)
        missed += bad
    assert missed == []
