"""Finds the checks: walks the family folders, and the plug-in folders, so there is no list to edit."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, is_dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from checks.contract import Check, Finding, Instruments, Target

HERE = Path(__file__).parent
CONTRACT = HERE / "contract"
PARTS = ("CHECK", "Thresholds", "Evidence", "gather", "judge")
SECTIONS = {"Why it matters": "why", "How it is measured": "how", "How to fix it": "fix"}


class BrokenCheckError(Exception):
    """A check file does not keep the contract; the message names the file and what to mend."""


@dataclass(frozen=True)
class LoadedCheck:
    """One check as found on disk. ``id`` is ``family.name``."""

    id: str
    path: Path
    module: ModuleType

    @property
    def family(self) -> str:
        """The folder it stands in."""
        return self.id.partition(".")[0]

    @property
    def about(self) -> Check:
        """Its ``CHECK``."""
        about: Check = self.module.CHECK
        return about

    @property
    def thresholds(self) -> type[Any]:
        """Its ``Thresholds``."""
        kind: type[Any] = self.module.Thresholds
        return kind

    @property
    def evidence(self) -> type[Any]:
        """Its ``Evidence``."""
        kind: type[Any] = self.module.Evidence
        return kind

    @property
    def gather(self) -> Callable[[Target, Instruments], Awaitable[Any]]:
        """Its ``gather``: I/O through instruments, returns evidence."""
        function: Callable[[Target, Instruments], Awaitable[Any]] = self.module.gather
        return function

    @property
    def judge(self) -> Callable[[Any, Any], Finding]:
        """Its ``judge``: pure, evidence and thresholds to a finding."""
        function: Callable[[Any, Any], Finding] = self.module.judge
        return function

    @cached_property
    def docs(self) -> dict[str, str]:
        """Its documentation: ``title`` (the good condition), ``why``, ``how``, ``fix``."""
        return parse_docs(self.module.__doc__ or "")


def parse_docs(docstring: str) -> dict[str, str]:
    """Split a check's docstring into ``title``, ``why``, ``how`` and ``fix``; an absent part is ""."""
    docs = {"title": "", "why": "", "how": "", "fix": ""}
    lines = docstring.strip().splitlines()
    docs["title"] = lines[0].strip().rstrip(".") if lines else ""
    part = ""
    for line in lines[1:]:
        heading = line.strip().strip("*").rstrip(".:").strip()
        if heading in SECTIONS:
            part = SECTIONS[heading]
        elif part:
            docs[part] += line + "\n"
    return {name: text.strip() for name, text in docs.items()}


def all_checks(plugin_folders: Iterable[Path] = ()) -> dict[str, LoadedCheck]:
    """Return every check by id: ours, then those of the plug-in folders, in order of their path.

    Raises BrokenCheckError for a file that does not keep the contract or an id that is there twice.
    """
    found: dict[str, LoadedCheck] = {}
    for root in (HERE, *plugin_folders):
        if not root.is_dir():
            raise BrokenCheckError(f"{root} is not a folder; GREENLIGHT_PLUGINS must name folders of checks")
        for path in sorted(root.glob("*/*.py")):
            if path.name.startswith("_") or path.parent == CONTRACT:
                continue
            check = _load(path, inside=root is HERE)
            if check.id in found:
                raise BrokenCheckError(f"{path}: check {check.id} is already in {found[check.id].path}")
            found[check.id] = check
    return found


def _load(path: Path, *, inside: bool) -> LoadedCheck:
    family, name = path.parent.name, path.stem
    module_name = f"checks.{family}.{name}" if inside else f"greenlight_plugin.{family}.{name}"
    try:
        module = importlib.import_module(module_name) if inside else _import_file(module_name, path)
    except Exception as error:
        raise BrokenCheckError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    missing = [part for part in PARTS if not hasattr(module, part)]
    if missing:
        raise BrokenCheckError(f"{path}: lacks {', '.join(missing)}; see checks/README.md")
    if not isinstance(module.CHECK, Check):
        raise BrokenCheckError(f"{path}: CHECK is not a checks.contract.Check")
    for part in ("Thresholds", "Evidence"):
        if not is_dataclass(getattr(module, part)):
            raise BrokenCheckError(f"{path}: {part} is not a dataclass")
    check = LoadedCheck(f"{family}.{name}", path, module)
    if not all(check.docs.values()):
        absent = ", ".join(title for title, key in SECTIONS.items() if not check.docs[key])
        raise BrokenCheckError(f"{path}: its docstring lacks {absent or 'a first line'}")
    return check


def _import_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BrokenCheckError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being executed
    spec.loader.exec_module(module)
    return module
