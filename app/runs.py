"""A run is a process of its own: starting it, watching it, cancelling it, and finding one that died."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import psutil

from app import paths, targets
from app.errors import UserError
from app.history.store import Store
from app.records import RunInfo, RunState

START_TIME_TOLERANCE_S = 1.0
UNOWNED_GRACE = timedelta(seconds=60)  # a run whose process has not said so by now never will
POLL_S = 0.5


class RunRefusedError(UserError):
    """A run cannot be started now; the message says why and what to do."""


def start(
    store: Store,
    target_key: str,
    *,
    profile: str = "quick",
    only: Sequence[str] = (),
    faults: bool = True,
    started_by: str = "dashboard",
    into: RunInfo | None = None,
) -> RunInfo:
    """Add a run and start its process, which waits for its turn. Raises RunRefusedError, TargetError.

    ``only`` holds check ids or globs; none means all. ``into`` is a scored run of the same target whose
    findings stand for the checks that are not run.
    """
    reconcile(store)
    target = targets.load(target_key)
    based_on = into.number if into else None
    info = store.create_run(target, profile=profile, faults=faults, started_by=started_by, based_on=based_on)
    log = paths.runs_folder() / f"{info.run_id}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "app", "assess", target_key, "--run-id", str(info.run_id)]
    command += ["--profile", profile, "--faults" if faults else "--no-faults"]
    command += [f"--only={pattern}" for pattern in only]
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own program; the key names a file that was just read
                command,
                cwd=paths.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
    except OSError as error:
        store.end_run(info.run_id, RunState.BROKEN, f"The run's process could not be started: {error}")
        raise RunRefusedError(f"The run's process could not be started: {error}") from error
    with contextlib.suppress(psutil.NoSuchProcess):  # it ended at once; its log and reconcile say why
        store.own(info.run_id, process.pid, psutil.Process(process.pid).create_time())
    return info


def cancel(store: Store, run_id: int) -> RunInfo | None:
    """Ask a run to stop: a flag that its process reads, then a signal. Both restore what levers broke."""
    info = store.run(run_id)
    if info is None or info.state.final:
        return info
    store.ask_cancel(run_id)
    if info.state is RunState.WAITING:  # its process may be too young to hear a signal
        store.end_run(run_id, RunState.CANCELLED, "Cancelled before it started.")
    if is_alive(store, run_id):
        pid, _, host = store.owner(run_id)
        if pid and host == socket.gethostname():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    return store.run(run_id)


def reconcile(store: Store) -> list[RunInfo]:
    """Mark runs whose process is gone as interrupted, and return them. What they found is kept."""
    gone = [info for info in store.active() if not is_alive(store, info.run_id)]
    for info in gone:
        if store.cancel_asked(info.run_id):
            store.end_run(info.run_id, RunState.CANCELLED, f"Cancelled after {info.done} checks.")
        else:
            total = len(info.planned) or "its"
            message = f"The run's process is gone after {info.done} of {total} checks."
            store.end_run(info.run_id, RunState.INTERRUPTED, message)
        _salvage(store, info.run_id)
    return gone


def _salvage(store: Store, run_id: int) -> None:
    """Keep the figures of a scenario that was under way when its run's process went."""
    parts = sorted((paths.samples_folder() / str(run_id)).glob("*.part"))
    if not parts:
        return
    from app.instruments.load.figures.kept import summarize_killed  # noqa: PLC0415 - Arrow loads slowly
    from app.instruments.load.watched import load_result  # noqa: PLC0415
    from app.samples.reading import SamplesError  # noqa: PLC0415

    for path in (part.with_suffix("") for part in parts if ".warmup." not in part.name):
        with contextlib.suppress(SamplesError):  # killed before it had written anything that can be read
            summary = summarize_killed(path, "the run's process is gone")
            store.add_load_result(run_id, load_result(summary, str(path)))


def is_alive(store: Store, run_id: int) -> bool:
    """Whether the process of a run still runs; a run of another host counts as alive."""
    pid, started, host = store.owner(run_id)
    if host != socket.gethostname():
        return True
    if pid is None or started is None:
        info = store.run(run_id)
        return info is not None and datetime.now(UTC) - info.created_at < UNOWNED_GRACE
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < START_TIME_TOLERANCE_S
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ahead_of(store: Store, info: RunInfo) -> list[RunInfo]:
    """Active runs of the same target that came before ``info``."""
    return [other for other in store.active() if other.target == info.target and other.run_id < info.run_id]


def wait_for_turn(store: Store, info: RunInfo, cancelled: Callable[[], bool]) -> bool:
    """Wait until no earlier run of the same target is active; False when cancelled meanwhile."""
    while ahead_of(store, info):
        reconcile(store)
        if cancelled():
            return False
        time.sleep(POLL_S)
    return not cancelled()
