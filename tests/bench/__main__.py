"""``python -m tests.bench``: measures Greenlight's load driver beside other tools, in one run."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import psutil

from tests.bench import comparison, honesty, latency, memory, stall, streams, throughput
from tests.bench.processes import ROOT, BenchError, Cores, end_all
from tests.bench.rows import Row, row, screen, table, write
from tests.bench.sizes import FULL, QUICK, Sizes
from tests.bench.tools import Hey, Locust, Wrk

BUSY_SHARE = 0.15  # of all cores, by other programs in the second before


def measurements(sizes: Sizes, cores: Cores) -> dict[str, Callable[[], list[Row]]]:
    """What there is to measure, by the name that ``--only`` takes."""
    return {
        "throughput": lambda: throughput.measure(sizes, cores, [Wrk(), Locust(), Hey()]),
        "latency": lambda: latency.measure(sizes, cores, [Locust(), Hey()]),
        "stall": lambda: stall.measure(sizes, cores, [Locust(), Hey(), Wrk()]),
        "streams": lambda: streams.measure(sizes, cores),
        "memory": lambda: memory.measure(sizes, cores),
        "honesty": lambda: honesty.measure(sizes, cores),
        "comparison": lambda: comparison.measure(sizes),
    }


def measured(sizes: Sizes, only: str, tell: Callable[[str], None]) -> list[Row]:
    """The rows of every measurement that ``only`` matches; one that breaks is a row that says how."""
    rows: list[Row] = []
    for name, measure in measurements(sizes, Cores.of_this_machine()).items():
        if not fnmatch(name, only):
            continue
        started = time.monotonic()
        try:
            rows += measure()
        except BenchError as error:
            rows.append(row(name, None, "", note=f"broke: {error}"))
        tell(f"{name}: {time.monotonic() - started:.0f} s")
    return rows


def machine() -> str:
    """What it was measured on."""
    cores = Cores.of_this_machine()
    usable = len(os.sched_getaffinity(0))
    return (
        f"{usable} cores, client on {cores.client}, server on {cores.server} · {platform.machine()}, "
        f"Linux {platform.release()} · Python {platform.python_version()} · load {os.getloadavg()[0]:.1f}"
    )


def _ended(*_: object) -> None:
    end_all()
    sys.exit(143)


def main() -> int:
    """Measure, print, write. Status 1 where a goal was missed or a measurement broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test of about a minute")
    parser.add_argument("--only", default="*", metavar="GLOB", help="only these measurements")
    parser.add_argument("--json", type=Path, default=ROOT / "data" / "bench.json", metavar="FILE")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _ended)
    if not sys.platform.startswith("linux"):
        parser.error("the benchmark pins programs to cores, which it can do on Linux only")
    console = screen()
    if psutil.cpu_percent(interval=1.0) / 100 > BUSY_SHARE:
        console.print("Other programs keep this machine busy: the figures say little of any of the tools.")
    title = machine()  # before, so that its load is the machine's and not the benchmark's
    rows = measured(QUICK if given.quick else FULL, given.only, console.print)
    console.print(table(rows, title))
    write(rows, given.json)
    console.print(f"Written to {given.json}")
    return 1 if any(line.met is False or line.note.startswith("broke") for line in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
