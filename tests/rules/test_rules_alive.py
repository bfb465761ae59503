"""The truth about each rule is what a real Prometheus does with it, and monitoring.rules_alive reaches it.

One file, so that one process starts the three worlds: quiet, busy and failing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.instruments.prometheus_servers import needs_prometheus
from tests.rules import corpus, judging
from tests.rules.corpus import Truth
from tests.rules.exporters import STATES
from tests.rules.judging import Judgement
from tests.rules.world import World

pytestmark = needs_prometheus
IN_EACH_STATE = pytest.mark.parametrize("state", STATES)
BY_FILE = pytest.mark.parametrize("file", corpus.FILES, ids=lambda file: file.stem)


@pytest.fixture(scope="module")
def judgements(worlds: dict[str, World], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judgement]:
    return {
        state: judging.judgement(world, tmp_path_factory.mktemp("run")) for state, world in worlds.items()
    }


@IN_EACH_STATE
@BY_FILE
def test_prometheus_returns_what_the_truth_says(file: Path, state: str, worlds: dict[str, World]) -> None:
    seen = worlds[state].rules()
    wrong = []
    for truth in corpus.truths(file):
        rule = seen[truth.key]
        if rule["health"] == "unknown":  # its turn has not come
            continue
        wrong += [f"{truth.where}: {fault}" for fault in _departures(truth, rule, worlds[state])]
    assert not wrong, "\n".join(wrong)


def _departures(truth: Truth, rule: dict[str, object], world: World) -> list[str]:
    if truth.errs_in(world.state):
        return [] if rule["health"] == "err" else ["it can be evaluated"]
    if rule["health"] != "ok":
        return [f"it errs: {rule['lastError']}"]
    returns = bool(world.prometheus.query(truth.expression))
    if returns != truth.returns_in(world.state):
        return ["it returns something" if returns else "it returns nothing"]
    return []


@IN_EACH_STATE
@BY_FILE
def test_each_verdict_is_the_truth(file: Path, state: str, judgements: dict[str, Judgement]) -> None:
    judged = judgements[state].rules
    wrong = [
        f"{truth.where}: {fault} [{truth.way}]"
        for truth in corpus.truths(file)
        for fault in judging.departures(truth, judged.get(truth.key), state)
    ]
    assert not wrong, "\n".join(wrong)


@IN_EACH_STATE
def test_what_is_suggested_can_be_evaluated(
    state: str, judgements: dict[str, Judgement], worlds: dict[str, World]
) -> None:
    wrong = []
    for key, judged in judgements[state].rules.items():
        if judged.mended:
            reply = worlds[state].answer(judged.mended)
            wrong += [f"{key}: {judged.mended}: {reply['error']}"] if reply["status"] != "success" else []
    assert not wrong, "\n".join(wrong)
