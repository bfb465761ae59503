"""``python -m app.instruments.chaos.worker FILE JOURNAL``: carry out one experiment and write its journal.

A process of its own, since an experiment's actions are Python and programs of the team, which may hang, exit
or change whatever they run in. Where SIGTERM comes, the Chaos Toolkit ends the experiment and rolls back.
What it refuses is said on the standard error output, with status REFUSED.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from chaoslib.exceptions import ChaosException
from chaoslib.experiment import ensure_experiment_is_valid
from chaoslib.loader import load_experiment
from chaoslib.run import Runner
from chaoslib.types import Strategy

from app.instruments.chaos import REFUSED

SETTINGS = {"runtime": {"rollbacks": {"strategy": "always"}}}
# What the Chaos Toolkit's own validation stumbles over where a part is of another type than it expects.
OF_A_WRONG_SHAPE = (ValueError, TypeError, AttributeError, KeyError)


def main(file: str, journal_file: str) -> int:
    """The exit status."""
    logging.getLogger("chaostoolkit").setLevel(logging.CRITICAL)
    try:
        experiment = load_experiment(file)
        ensure_experiment_is_valid(experiment)
    except (ChaosException, OSError, *OF_A_WRONG_SHAPE) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}")
        return REFUSED
    journal = Runner(Strategy.DEFAULT).run(experiment, settings=SETTINGS)
    Path(journal_file).write_text(json.dumps(journal, default=str), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
