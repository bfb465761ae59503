"""Carries out many cells at once, each in a process of its own, and prints their table."""

from __future__ import annotations

import gc
import multiprocessing
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from app.instruments.wire import trusted_tls
from tests.hostile.cell import Cell, Row, carry_out, checks_to_try
from tests.hostile.visits import BEHAVIOURS

STEP = 100  # findings between two lines of progress
BESIDE_S = 90.0  # the engine's own questions before and after a check, each with its deadline
SIGNS = {"pass": "P", "warn": "W", "fail": "F", "not_assessed": "-", "not_applicable": "n", "error": "E"}


@dataclass
class Running:
    """A cell under way."""

    cell: Cell
    process: BaseProcess
    until: float


def carry_out_all(
    cells: Sequence[Cell], together: int, hear: Callable[[list[Row]], None] = lambda rows: None
) -> list[Row]:
    """All rows. Forks, so it must be called in a process that has one thread."""
    trusted_tls()  # read once, and not by each
    gc.freeze()  # else each collection in a child would copy what it shares with this process
    waiting, running = deque(cells), dict[Connection, Running]()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        certificate = certificate_for("wrong.example", Path(folder))
        while waiting or running:
            while waiting and len(running) < together:
                _start(waiting.popleft(), certificate, running)
            for reader in [*connection.wait(list(running), timeout=1.0), *_overdue(running)]:
                if isinstance(reader, Connection) and reader in running:
                    found = _ended(reader, running.pop(reader))
                    hear(found)
                    rows += found
                    if len(rows) // STEP > (len(rows) - len(found)) // STEP:
                        print(f"{len(rows)} findings, {len(waiting)} cells to go", flush=True)  # noqa: T201
    return rows


def _start(cell: Cell, certificate: Path, running: dict[Connection, Running]) -> None:
    fork = multiprocessing.get_context("fork")
    reader, writer = fork.Pipe(duplex=False)
    process = fork.Process(target=_carry_out, args=(cell, certificate, writer))
    process.start()
    writer.close()
    known = checks_to_try()
    most_s = sum(known[name].about.deadline_s + BESIDE_S for name in cell.checks)
    running[reader] = Running(cell, process, time.monotonic() + most_s)


def _carry_out(cell: Cell, certificate: Path, writer: Connection) -> None:
    try:
        writer.send(carry_out(cell, certificate))
    except BaseException as error:
        writer.send(f"it broke: {type(error).__name__}: {error}")


def _overdue(running: dict[Connection, Running]) -> list[Connection]:
    return [reader for reader, each in running.items() if time.monotonic() > each.until]


def _ended(reader: Connection, each: Running) -> list[Row]:
    """The rows of a cell, or rows that say that it broke, died or hangs."""
    try:
        said: list[Row] | str = reader.recv() if reader.poll() else "it hangs for ever"
    except EOFError:
        said = "its process died"
    if each.process.is_alive() and isinstance(said, str):
        each.process.kill()
    each.process.join()
    reader.close()
    if not isinstance(said, str):
        return said
    name, checks = each.cell.behaviour, each.cell.checks
    return [Row(name, check, "error", 0.0, 0.0, "", 0.0, (said,)) for check in checks]


def certificate_for(name: str, folder: Path) -> Path:
    """A new certificate and its key in one file, which signs itself."""
    file = folder / "both.pem"
    line = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name}"
    command = [*line.split(), "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return file


def table(rows: Sequence[Row]) -> str:
    """Behaviour by check: a sign for the outcome, and seconds; ! where something is wrong with us."""
    checks = sorted({row.check for row in rows})
    behaviours = [name for name in BEHAVIOURS if any(row.behaviour == name for row in rows)]
    found = {(row.behaviour, row.check): row for row in rows}
    wide = max(map(len, behaviours))
    lines = [f"{number:>3}  {check}" for number, check in enumerate(checks, 1)]
    lines.append(
        "P pass, W warn, F fail, - not assessed, n not applicable, E error; seconds; ! a fault of ours"
    )
    lines.append(" " * wide + "".join(f"{number:>7}" for number in range(1, len(checks) + 1)))
    for name in behaviours:
        line = [_shown(found.get((name, check))) for check in checks]
        lines.append(name.ljust(wide) + "".join(f"{text:>7}" for text in line))
    return "\n".join([*lines, *_totals(rows)])


def _shown(row: Row | None) -> str:
    """``F 4.2`` or ``P 25``; "" for a check that has no business at the door that misbehaves."""
    if row is None:
        return ""
    seconds = f"{row.seconds:.1f}" if row.seconds < 10 else f"{row.seconds:.0f}"
    return f"{'!' if row.faults else ''}{SIGNS[row.outcome]} {seconds}"


def _totals(rows: Sequence[Row]) -> list[str]:
    behaviours = len({row.behaviour for row in rows})
    largest = max(rows, key=lambda row: row.peak_mb)
    nearest = max(rows, key=lambda row: row.seconds / row.deadline_s if row.deadline_s else 0.0)
    checks, faulty = len({row.check for row in rows}), sum(bool(row.faults) for row in rows)
    near = f"{nearest.seconds:.1f} of {nearest.deadline_s:.0f} s: {nearest.behaviour}, {nearest.check}"
    return [
        f"{behaviours} behaviours x {checks} checks = {len(rows)} findings, {faulty} with a fault of ours",
        f"most memory {largest.peak_mb:.0f} MB: {largest.behaviour}, {largest.check}",
        f"nearest to its deadline {near}",
    ]
