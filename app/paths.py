"""Where things are: the project's data folder, and what GREENLIGHT_* variables say instead."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent


def data_folder() -> Path:
    """The folder of run-time files: ``GREENLIGHT_DATA``, or ``data`` of the project."""
    return Path(os.environ.get("GREENLIGHT_DATA") or ROOT / "data")


def targets_folder() -> Path:
    """The folder of target files."""
    return data_folder() / "targets"


def runs_folder() -> Path:
    """The folder of each run's log, and of what levers have broken."""
    return data_folder() / "runs"


def levers_folder() -> Path:
    """The folder in which a lever writes what it is about to break."""
    return runs_folder() / "levers"


def samples_folder() -> Path:
    """The folder of load samples."""
    return data_folder() / "samples"


def rubric_file() -> Path:
    """The rubric: ``GREENLIGHT_RUBRIC``, or ``data/rubric.toml`` of the project."""
    return Path(os.environ.get("GREENLIGHT_RUBRIC") or ROOT / "data" / "rubric.toml")


def profiles_file() -> Path:
    """The profiles."""
    return ROOT / "data" / "profiles.toml"


def scenarios_file() -> Path:
    """How each load scenario loads the service."""
    return ROOT / "data" / "scenarios.toml"


def monitoring_folder() -> Path:
    """The folder of rules, configurations and a dashboard that a team can take home."""
    return ROOT / "data" / "monitoring"


def plugin_folders() -> list[Path]:
    """Folders of third-party checks: ``GREENLIGHT_PLUGINS``, separated as PATH is."""
    return [Path(part) for part in os.environ.get("GREENLIGHT_PLUGINS", "").split(os.pathsep) if part]
