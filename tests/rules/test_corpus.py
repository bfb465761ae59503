"""The corpus is whole: each rule has its truth, and promtool takes each file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.instruments.prometheus_servers import PROMTOOL, needs_promtool
from tests.rules import corpus
from tests.rules.corpus import Truth
from tests.rules.exporters import STATES

CORPUS = corpus.corpus()
BY_FILE = pytest.mark.parametrize("file", corpus.FILES, ids=lambda file: file.stem)


def test_the_corpus_is_as_large_as_it_claims() -> None:
    dead = {truth.way for truth in CORPUS if truth.verdict in corpus.DEAD}
    living = {truth.way for truth in CORPUS if truth.verdict not in corpus.DEAD} - {""}
    assert len(corpus.FILES) == 12
    assert len(CORPUS) >= 150
    assert len(dead) >= 20
    assert len(living) >= 20


@needs_promtool
@BY_FILE
def test_promtool_accepts_each_file(file: Path) -> None:
    done = subprocess.run([str(PROMTOOL), "check", "rules", str(file)], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@BY_FILE
def test_each_truth_is_complete(file: Path) -> None:
    wrong = [f"{truth.where}: {fault}" for truth in corpus.truths(file) for fault in _faults(truth)]
    assert not wrong, "\n".join(wrong)


def _faults(truth: Truth) -> list[str]:
    """What is missing in a truth, or does not go together."""
    verdicts = {truth.verdict, *truth.in_state.values()}
    dead = truth.verdict in corpus.DEAD
    unsettled = truth.unshown or truth.verdict in {*corpus.UNDECIDED, "meant_so"}
    unchanging = not truth.returns or len(truth.returns) == len(STATES)
    rules = {
        "no such verdict": verdicts <= {*corpus.ALIVE, *corpus.UNDECIDED, *corpus.DEAD},
        "the part at fault is not in it": corpus.bare(truth.at) in corpus.bare(truth.expression),
        "dead in no named way": truth.way or not dead,
        "an error that returns": truth.verdict != "evaluation_error" or not truth.returns,
        "a dead selector that comes and goes": truth.verdict != "dead_selector" or unchanging or unsettled,
        "an alert that lives and never changes": dead
        or unsettled
        or truth.kind == "record"
        or not unchanging,
        "a recording that lives and is never there": dead
        or unsettled
        or truth.kind == "alert"
        or truth.returns,
    }
    return [fault for fault, holds in rules.items() if not holds]
