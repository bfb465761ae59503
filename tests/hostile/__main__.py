"""``python -m tests.hostile [--only BEHAVIOURS] [--checks GLOB] [--together N] [--whole] [--json FILE]``.

Carries out the matrix and prints its table; exit code 1 where something is wrong with Greenlight. ``--whole``
carries out all checks of a behaviour one after the other in one process, as a run does; else each check has
a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random

import tests.hostile.behaviours  # noqa: F401 - registers them
from tests.hostile.cell import Cell, Row, checks_to_try
from tests.hostile.matrix import carry_out_all, table
from tests.hostile.visits import BEHAVIOURS

DOORS = {"redis": "redis", "meter": "upstream", "lever": "faults"}  # doors of one instrument alone


def main() -> int:
    options = _options()
    checks = [name for name in checks_to_try() if _matches(name, options.checks)]
    names = [name for name in BEHAVIOURS if _matches(name, options.only)]
    cells = [cell for name in names for cell in _cells(name, checks, whole=options.whole)]
    Random(1).shuffle(cells)  # those that wait beside those that work
    rows = carry_out_all(cells, options.together, _tell_faults)
    print(table(rows))  # noqa: T201 - the result
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return int(any(row.faults for row in rows))


def _cells(behaviour: str, checks: list[str], *, whole: bool) -> list[Cell]:
    """What to carry out. Without a door's one instrument a check would see a service that is well."""
    instrument = DOORS.get(BEHAVIOURS[behaviour].part)
    known = checks_to_try()
    at_the_door = [
        check
        for check in checks
        if instrument is None or instrument in {need.removesuffix("?") for need in known[check].about.needs}
    ]
    if whole:
        return [Cell(behaviour, tuple(at_the_door))]
    return [Cell(behaviour, (check,)) for check in at_the_door]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("--only", default="*")
    parser.add_argument("--checks", default="*")
    parser.add_argument("--together", type=int, default=16)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _matches(name: str, globs: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs.split(","))


def _tell_faults(rows: list[Row]) -> None:
    for row in rows:
        for fault in row.faults:
            print(f"! {row.behaviour} x {row.check}: {fault}", flush=True)  # noqa: T201 - as it comes


if __name__ == "__main__":
    sys.exit(main())
