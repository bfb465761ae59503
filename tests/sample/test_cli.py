"""``python -m app sample``, as it is typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.sample import processes, stack
from app.sample.defects import AS_FOUND, DEFECTS
from app.sample.serving import bind


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """``sample(*words)`` runs the command with a data folder of the test's own."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app", "sample", *words],
            env={**os.environ, "GREENLIGHT_DATA": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    yield run
    stack.down(tmp_path / "sample")


def test_up_status_mend_break_and_down(sample, tmp_path: Path):
    [port] = processes.free_ports(1)
    up = sample("up", "--port", str(port), "--defect", "health_slow", "--defect", "metrics_absent")
    assert up.returncode == 0, up.stderr
    assert f"http://127.0.0.1:{port}" in up.stdout
    assert str(tmp_path / "targets" / "sample.toml") in up.stdout

    status = json.loads(sample("status", "--json").stdout)
    assert status["url"] == f"http://127.0.0.1:{port}"
    assert status["defects"] == ["health_slow", "metrics_absent"]
    assert all(part["alive"] for part in status["parts"])

    assert "defects      metrics_absent" in sample("mend", "health_slow").stdout
    assert "defects      metrics_absent, no_compensation" in sample("break", "no_compensation").stdout
    assert "defects      none" in sample("mend").stdout

    again = sample("up", "--port", str(port))
    assert again.returncode == 2
    assert "up already" in again.stderr

    assert sample("down").stdout == "The sample is down.\n"
    assert sample("down").stdout == "The sample was not up.\n"


def test_status_of_a_sample_that_is_not_up(sample):
    assert sample("status").returncode == 1
    assert json.loads(sample("status", "--json").stdout) is None


def test_as_found_has_the_defects_of_the_brief(sample):
    [port] = processes.free_ports(1)
    sample("up", "--as-found", "--port", str(port))
    assert set(json.loads(sample("status", "--json").stdout)["defects"]) == set(AS_FOUND)


def test_a_port_in_use_is_one_sentence_and_exit_2(sample):
    with bind(0) as taken:
        taken.listen()
        refused = sample("up", "--port", str(taken.getsockname()[1]))
    assert refused.returncode == 2
    assert "is not free" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("words", [("up", "--defect", "typo"), ("mend", "typo"), ("mend",), ("break",)])
def test_what_cannot_be_done_is_one_sentence_and_exit_2(sample, words: tuple[str, ...]):
    refused = sample(*words)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_the_list_of_defects_names_each_and_what_notices_it(sample):
    listed = sample("defects").stdout
    for name, defect in DEFECTS.items():
        assert name in listed
        assert defect.description in listed
        assert ", ".join(defect.notices) in listed
