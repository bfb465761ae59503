"""The sample as a whole: start it, stop it, say how it is, switch defects on and off.

Everything that it writes is in one folder: ``state.json`` (what runs where), ``secrets.json``, a
configuration and a log a part, the journal of orders. All of it is for its owner only.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from app import paths
from app.sample import arrange, launch, processes
from app.sample.defects import checked
from app.sample.monitoring import servers as monitoring
from app.sample.processes import SampleError
from app.sample.state import State, forget, locked, read_secrets, read_state

__all__ = ["SampleError", "State", "down", "environment", "set_defects", "status", "up"]

CHAT_PORT = 8003
TOKEN_NAME = "GREENLIGHT_SAMPLE_TOKEN"  # noqa: S105 - the name of a variable
OTHER_TOKEN_NAME = "GREENLIGHT_SAMPLE_OTHER_TOKEN"  # noqa: S105 - same
EXPIRED_TOKEN_NAME = "GREENLIGHT_SAMPLE_EXPIRED_TOKEN"  # noqa: S105 - same
RESTART_GRACE_S = 2.0
NOT_UP = "The sample is not up. Start it with `python -m app sample up`."


def default_folder() -> Path:
    """Where the sample lives unless told otherwise."""
    return paths.data_folder() / "sample"


def up(
    defects: Iterable[str] = (),
    *,
    chat_port: int = CHAT_PORT,
    redis_url: str | None = None,
    folder: Path | None = None,
    target_file: Path | None = None,
    model_speed: float = 1.0,
) -> State:
    """Start the sample and wait until it answers; write its target file.

    A ``model_speed`` above 1 is for tests that need no real waiting times.

    What an earlier start left behind in ``folder`` is ended first. Raises SampleError where the sample is
    up already, a port is taken, or a part does not start (then nothing is left running).
    """
    names = checked(defects)
    folder = (folder or default_folder()).resolve()
    with locked(folder):
        before = read_state(folder)
        if before is not None and before.whole:
            raise SampleError(
                f"The sample is up already at {before.url}. Stop it with `python -m app sample down`."
            )
        if before is not None:
            _end(before)
        processes.require_free(chat_port)
        state = launch.planned(chat_port, redis_url, folder, target_file, names)
        state = state.model_copy(update={"model_speed": model_speed}).save()
        _clear(folder)
        try:
            state = monitoring.start(state)
            state = launch.start_dependencies(state)
            arrange.arrange_cache(state)
            arrange.forget_answers(state)
            state = launch.start_chat(monitoring.start_dashboards(state))
            monitoring.wait(state)
            arrange.write_target(state)
        except BaseException:  # Ctrl-C too leaves nothing running
            _end(read_state(folder) or state)
            raise
        return state


def down(folder: Path | None = None) -> bool:
    """End what ``up`` started in ``folder``, and nothing else. Whether there was anything to end."""
    folder = (folder or default_folder()).resolve()
    if not folder.is_dir():
        return False
    with locked(folder):
        state = read_state(folder)
        if state is not None:
            _end(state)
        return state is not None


def status(folder: Path | None = None) -> State | None:
    """How the sample in ``folder`` is, or None where none of it runs."""
    state = read_state((folder or default_folder()).resolve())
    return state if state is not None and any(part.alive for part in state.parts) else None


def set_defects(names: Iterable[str], folder: Path | None = None) -> State:
    """Give the running sample exactly these defects: the chat API restarts, and what watches it has no past.

    Raises SampleError where the sample is not up.
    """
    wanted = checked(names)
    folder = (folder or default_folder()).resolve()
    if not folder.is_dir():
        raise SampleError(NOT_UP)
    with locked(folder):
        state = read_state(folder)
        if state is None or not state.whole:
            raise SampleError(NOT_UP)
        state = state.model_copy(update={"defects": wanted})
        arrange.arrange_cache(state)
        state = monitoring.rearrange(state)
        chats = [part for part in state.parts if part.name in launch.CHAT_PARTS]
        processes.end(chats, grace_s=RESTART_GRACE_S)
        arrange.forget_answers(state)
        rest = tuple(part for part in state.parts if part not in chats)
        state = launch.start_chat(state.model_copy(update={"parts": rest}).save())
        monitoring.begin_anew(state)
        arrange.write_target(state)
        return state


def environment(state: State) -> dict[str, str]:
    """The variables that the target file refers to, with their secret values. Raises SampleError."""
    kept = read_secrets(state.folder)
    return {
        TOKEN_NAME: kept.token,
        OTHER_TOKEN_NAME: kept.other_token,
        EXPIRED_TOKEN_NAME: kept.expired_token,
        launch.REDIS_URL_NAME: kept.redis_url,
        monitoring.GRAFANA_TOKEN_NAME: kept.grafana_token,
    }


def _end(state: State) -> None:
    processes.end(state.parts)
    forget(state.folder)


def _clear(folder: Path) -> None:
    """Start with empty logs and journals: what is in them belongs to partners that are gone."""
    for file in (*folder.glob("*.log"), *folder.glob("orders.*")):
        file.unlink()
    for kept in (*folder.glob("journal *"), folder / "monitoring"):
        shutil.rmtree(kept, ignore_errors=True)
