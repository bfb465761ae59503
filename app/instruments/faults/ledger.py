"""What is broken just now, on disk before it is broken, so that a later start restores what a crash left.

One JSON file for each broken lever. References to secrets stay references.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import BaseModel, ValidationError

from app.instruments.faults.lever import Aim, Pin
from app.instruments.faults.levers import lever_from, restored
from app.instruments.faults.trees import alive
from app.instruments.references import References
from checks.contract.target.dependencies import Lever as Declared

DRAFT = ".partial"
DRAFT_LASTS_S = 60.0


class Entry(BaseModel):
    """One lever that is, or is about to be, broken, and the process that did it.

    ``aim`` is whom a lever signals that signals.
    """

    target: str
    lever: str
    way: str
    declared: Declared
    host: str
    pid: int
    started_at: float
    broken_at: float
    aim: Aim | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of one entry; ``detail`` says it in words, with the shell line to use where not ``ok``."""

    lever: str
    way: str
    ok: bool
    detail: str


class Ledger:
    """The folder of entries."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, target: str, lever: str, way: str, declared: Declared, aim: Aim | None = None) -> Path:
        """Put an entry on disk, and be sure that it is there on return. Raises OSError."""
        process = psutil.Process()
        entry = Entry(
            target=target,
            lever=lever,
            way=way,
            declared=declared,
            host=socket.gethostname(),
            pid=process.pid,
            started_at=process.create_time(),
            broken_at=time.time(),
            aim=aim,
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{uuid.uuid4().hex}.json"
        self._put(path, entry)
        return path

    def keep(self, path: Path, aim: Aim) -> None:
        """Write down in an entry whom its lever signals. Raises OSError."""
        entry = Entry.model_validate_json(path.read_bytes())
        self._put(path, entry.model_copy(update={"aim": aim}))

    def _put(self, path: Path, entry: Entry) -> None:
        partial = path.with_suffix(DRAFT)
        with partial.open("w", encoding="utf-8") as file:
            file.write(entry.model_dump_json(by_alias=True))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        self._sync()

    def erase(self, entry: Path) -> None:
        """Remove the entry of a lever that was restored."""
        entry.unlink(missing_ok=True)
        self._sync()

    def _sync(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def restore_left_behind(folder: Path, environment: Mapping[str, str], *, own: bool = False) -> list[Restored]:
    """Restore what processes that are gone left broken; with ``own``, also what this process did.

    An entry that cannot be restored stays for the next start. Entries of other machines are left alone.
    Must not be called within a running event loop.
    """
    found = []
    _tidy(folder)
    for path in sorted(folder.glob("*.json")):
        try:
            entry = Entry.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            continue  # another process restored it just now
        except ValidationError:
            text = f"{path} is not a ledger entry. Restore by hand what it may stand for, then delete it."
            found.append(Restored(path.stem, "", ok=False, detail=text))
            continue
        if entry.host == socket.gethostname() and (_gone(entry) or (own and entry.pid == os.getpid())):
            found.append(_put_back(entry, path, References(environment)))
    return found


def _tidy(folder: Path) -> None:
    """Remove drafts of entries that nobody is writing any more: nothing was broken for them yet."""
    for draft in folder.glob(f"*{DRAFT}"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > DRAFT_LASTS_S:
                draft.unlink()


def _put_back(entry: Entry, path: Path, references: References) -> Restored:
    lever = lever_from(entry.declared, references, entry.aim)
    problem = asyncio.run(restored(lever))
    if problem is not None:
        text = f"could not be restored ({references.hide(problem)}). Restore it by hand: {lever.by_hand()}"
        return Restored(entry.lever, entry.way, ok=False, detail=text)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return Restored(entry.lever, entry.way, ok=True, detail="restored, as an earlier run had left it broken")


def _gone(entry: Entry) -> bool:
    """A process that has ended and that nobody has collected yet restores nothing any more either."""
    return not alive([Pin(pid=entry.pid, started_at=entry.started_at)])
