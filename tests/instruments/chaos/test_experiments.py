"""Experiments of the Chaos Toolkit, carried out for real."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from app import targets
from app.instruments.chaos.experiments import Experiments
from app.instruments.references import References
from checks.contract import InstrumentFailure
from checks.contract.target.chaos import ChaosExperiment

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("chaoslib") is None, reason="needs: pip install -r requirements-chaos.txt"
)


def program(code: str, *arguments: str) -> dict[str, Any]:
    return {"type": "process", "path": sys.executable, "arguments": ["-c", code, *arguments], "timeout": 60}


def probe(code: str, *arguments: str) -> dict[str, Any]:
    return {"type": "probe", "name": "it is there", "tolerance": 0, "provider": program(code, *arguments)}


def action(name: str, code: str, *arguments: str) -> dict[str, Any]:
    return {"type": "action", "name": name, "provider": program(code, *arguments)}


THERE = "import sys, pathlib; sys.exit(not pathlib.Path(sys.argv[1]).exists())"
TAKE = "import sys, os; os.rename(sys.argv[1], sys.argv[1] + '.away')"
BRING = "import sys, os; os.rename(sys.argv[1] + '.away', sys.argv[1])"
NOTHING = "pass"


def written(folder: Path, **changes: Any) -> ChaosExperiment:
    """An experiment whose file ``mark`` must stay; its method does nothing unless told otherwise."""
    mark = folder / "mark"
    mark.touch()
    document = {
        "title": "The mark stays",
        "description": "Whatever happens.",
        "steady-state-hypothesis": {"title": "The mark is there", "probes": [probe(THERE, str(mark))]},
        "method": [action("do nothing", NOTHING)],
        "rollbacks": [],
        **changes,
    }
    file = folder / "experiment.json"
    file.write_text(json.dumps(document))
    return ChaosExperiment(file=str(file))


def there(file: str) -> bool:
    return Path(file).exists()


async def test_an_experiment_that_holds_has_a_journal_that_says_so(tmp_path):
    journal = await Experiments(References({})).carry_out(written(tmp_path))
    assert (journal.title, journal.status, journal.deviated) == ("The mark stays", "completed", False)
    assert (journal.steady_before, journal.steady_after, journal.outside) == (True, True, ())
    assert [each.name for each in journal.method] == ["do nothing"]


async def test_an_experiment_that_deviates_names_the_probe_and_rolls_back(tmp_path):
    mark = str(tmp_path / "mark")
    experiment = written(
        tmp_path,
        method=[action("take it away", TAKE, mark)],
        rollbacks=[action("bring it back", BRING, mark)],
    )
    journal = await Experiments(References({})).carry_out(experiment)
    assert (journal.deviated, journal.steady_before, journal.steady_after) == (True, True, False)
    assert journal.outside == ("it is there",)
    assert [(each.name, each.status) for each in journal.rollbacks] == [("bring it back", "succeeded")]
    assert there(mark)


async def test_an_experiment_that_hangs_is_ended_in_time_and_rolled_back(tmp_path):
    mark = str(tmp_path / "mark")
    experiment = written(
        tmp_path,
        method=[action("take it away", TAKE, mark), action("hang", "import time; time.sleep(50)")],
        rollbacks=[action("bring it back", BRING, mark)],
    ).model_copy(update={"within_s": 6.0})
    with pytest.raises(InstrumentFailure, match="did not end within 6 s") as caught:
        await Experiments(References({})).carry_out(experiment)
    assert caught.value.missing == "chaos.within_s"
    assert there(mark)


async def test_a_cancelled_experiment_leaves_no_process_behind(tmp_path):
    experiment = written(tmp_path, method=[action("hang", "import time; time.sleep(50)")])
    task = asyncio.create_task(Experiments(References({})).carry_out(experiment))
    await asyncio.sleep(4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left = [child for child in psutil.Process().children(recursive=True) if child.status() != "zombie"]
    assert not [child for child in left if "worker" in " ".join(child.cmdline())]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "none"}, "no experiment that the Chaos Toolkit accepts"),
        (
            {
                "method": [
                    {
                        "type": "action",
                        "name": "kill a pod",
                        "provider": {
                            "type": "python",
                            "module": "chaosk8s.pod.actions",
                            "func": "terminate_pods",
                        },
                    }
                ]
            },
            "needs the extension chaosk8s, which is not installed: pip install chaostoolkit-kubernetes",
        ),
    ],
)
async def test_what_the_toolkit_does_not_accept_says_what_to_do(tmp_path, changes, says):
    with pytest.raises(InstrumentFailure, match=says):
        await Experiments(References({})).carry_out(written(tmp_path, **changes))


async def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InstrumentFailure, match=r"absent\.json: no such file"):
        await Experiments(References({})).carry_out(ChaosExperiment(file=str(tmp_path / "absent.json")))


async def test_without_the_toolkit_the_line_to_install_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InstrumentFailure, match=r"pip install -r requirements-chaos\.txt"):
        await Experiments(References({})).carry_out(written(tmp_path))


def test_a_relative_file_is_beside_the_target_file(tmp_path):
    file = tmp_path / "shop.toml"
    file.write_text('url = "http://127.0.0.1:1"\n[[chaos]]\nfile = "experiments/cut.json"\n')
    assert targets.load(str(file)).chaos[0].file == str(tmp_path / "experiments" / "cut.json")
