"""``python -m app`` as a user runs it: a process of its own, with a data folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app import paths

TIMEOUT_S = 600


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "targets").mkdir()
    return tmp_path


@pytest.fixture
def greenlight(data: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app", *words],
            cwd=paths.ROOT,
            env={**os.environ, "GREENLIGHT_DATA": str(data), "COLUMNS": "120", **variables},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run
