"""monitoring.rules_alive reaches the truth about each rule of the corpus: quiet, busy and failing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.instruments.prometheus_servers import needs_prometheus
from tests.rules import corpus, judging
from tests.rules.exporters import STATES
from tests.rules.judging import Judgement
from tests.rules.world import World

pytestmark = needs_prometheus
IN_EACH_STATE = pytest.mark.parametrize("state", STATES)


@pytest.fixture(scope="module")
def judgements(worlds: dict[str, World], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judgement]:
    return {
        state: judging.judgement(world, tmp_path_factory.mktemp("run")) for state, world in worlds.items()
    }


@IN_EACH_STATE
@pytest.mark.parametrize("file", corpus.FILES, ids=lambda file: file.stem)
def test_each_verdict_is_the_truth(file: Path, state: str, judgements: dict[str, Judgement]) -> None:
    judged = judgements[state].rules
    wrong = [
        f"{truth.where}: {fault} [{truth.way}]"
        for truth in corpus.truths(file)
        for fault in judging.departures(truth, judged.get(truth.key), state)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.xfail(reason="some suggestions still lack group_left, or a bool between scalars")
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
