"""Carries experiments of the Chaos Toolkit out and reads what they found."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from app import paths
from app.instruments.chaos import REFUSED
from app.instruments.failures import one_line
from app.instruments.references import References
from app.instruments.server_api import Read
from checks.contract import InstrumentFailure
from checks.contract.instruments.chaos import ChaosActivity, ChaosJournal
from checks.contract.target.chaos import ChaosExperiment

INSTALL = "pip install -r requirements-chaos.txt"
ROLLBACK_S = 20.0  # from SIGTERM on; an experiment that is killed cannot roll back
MAX_FILE_BYTES = 1_000_000
MAX_JOURNAL_BYTES = 16_000_000
MAX_ACTIVITIES = 200
NO_MODULE = re.compile(r"could not find Python module '([\w.]+)'|No module named '([\w.]+)'")
# Modules of published extensions do not always bear the name of their package.
EXTENSIONS = {
    "chaosk8s": "chaostoolkit-kubernetes",
    "chaosaws": "chaostoolkit-aws",
    "chaosgcp": "chaostoolkit-google-cloud-platform",
}

Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else str(value)[:500])]


class _Activity(Read):
    name: Text = ""
    type: Text = ""


class _Ran(Read):
    activity: _Activity = _Activity()
    status: Text = ""
    duration: float = 0.0
    exception: Any = None
    tolerance_met: bool | None = None


class _Steady(Read):
    steady_state_met: bool | None = None
    probes: tuple[_Ran, ...] = ()


class _States(Read):
    before: _Steady | None = None
    after: _Steady | None = None


class _Experiment(Read):
    title: Text = ""


class _Journal(Read):
    experiment: _Experiment = _Experiment()
    status: Text
    deviated: bool = False
    duration: float = 0.0
    steady_states: _States = _States()
    run: tuple[_Ran, ...] = Field(default=(), max_length=10_000)
    rollbacks: tuple[_Ran, ...] = Field(default=(), max_length=10_000)


class Experiments:
    """Implements ``checks.contract.instruments.chaos.Chaos``."""

    def __init__(self, references: References) -> None:
        self._references = references

    async def carry_out(self, experiment: ChaosExperiment) -> ChaosJournal:
        """The journal of one experiment. Raises InstrumentFailure."""
        if importlib.util.find_spec("chaoslib") is None:
            raise InstrumentFailure(f"The Chaos Toolkit is not installed: {INSTALL}.", missing="chaos")
        file = _small_file(experiment.file)
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder) / "journal.json"
            await self._run(file, journal, experiment.within_s)
            return _read(file, journal)

    async def _run(self, file: Path, journal: Path, within_s: float) -> None:
        command = [sys.executable, "-m", "app.instruments.chaos.worker", str(file), str(journal)]
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=paths.ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(within_s):
                said = await _last_words(process)
        except TimeoutError as error:
            await _end(process)
            raise InstrumentFailure(
                f"{file} did not end within {within_s:g} s. It was told to roll back. Give it more time with "
                "`within_s`.",
                missing="chaos.within_s",
            ) from error
        except asyncio.CancelledError:
            await asyncio.shield(_end(process))
            raise
        if process.returncode == REFUSED:
            raise InstrumentFailure(self._references.hide(_refusal(file, said)), missing="chaos")
        if process.returncode != 0:
            raise InstrumentFailure(
                self._references.hide(f"{file} ended with status {process.returncode}: {one_line(said)}"),
                missing="chaos",
            )


def _small_file(place: str) -> Path:
    file = Path(place).expanduser().resolve()
    try:
        size = file.stat().st_size
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InstrumentFailure(f"{file}: {reason}.", missing="chaos") from error
    if size > MAX_FILE_BYTES:
        raise InstrumentFailure(f"{file} has more than {MAX_FILE_BYTES:,} bytes.", missing="chaos")
    return file


async def _last_words(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None  # noqa: S101 - it was asked for
    kept = b""
    while piece := await process.stderr.read(65_536):
        kept = (kept + piece)[-4_000:]
    await process.wait()
    return kept.decode("utf-8", "replace").strip()


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, by which the experiment rolls back; then what is left of its session is killed."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(ROLLBACK_S):
                await _last_words(process)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _refusal(file: Path, said: str) -> str:
    found = NO_MODULE.search(said)
    if not found:
        return f"{file} is no experiment that the Chaos Toolkit accepts: {one_line(said)}"
    module = (found[1] or found[2]).partition(".")[0]
    package = EXTENSIONS.get(module, module)
    return f"{file} needs the extension {module}, which is not installed: pip install {package}."


def _read(file: Path, journal: Path) -> ChaosJournal:
    try:
        text = journal.read_bytes()[: MAX_JOURNAL_BYTES + 1]
        found = _Journal.model_validate_json(text)
    except (OSError, ValidationError) as error:
        raise InstrumentFailure(f"The journal of {file} cannot be read.", missing="chaos") from error
    states = found.steady_states
    last = states.after or states.before
    probes = last.probes if last else ()
    return ChaosJournal(
        title=found.experiment.title,
        status=found.status,
        deviated=found.deviated,
        seconds=round(found.duration, 2),
        steady_before=states.before.steady_state_met if states.before else None,
        steady_after=states.after.steady_state_met if states.after else None,
        outside=tuple(each.activity.name for each in probes if each.tolerance_met is False),
        method=tuple(map(_activity, found.run[:MAX_ACTIVITIES])),
        rollbacks=tuple(map(_activity, found.rollbacks[:MAX_ACTIVITIES])),
    )


def _activity(ran: _Ran) -> ChaosActivity:
    error = "" if ran.status == "succeeded" else _error(ran.exception)
    return ChaosActivity(ran.activity.name, ran.activity.type, ran.status, round(ran.duration, 2), error)


def _error(exception: Any) -> str:
    """The last line of what the Chaos Toolkit keeps of an exception, a list of lines."""
    lines = exception if isinstance(exception, list) else [exception]
    return one_line(str(lines[-1])) if lines and lines[-1] else "it did not succeed"
