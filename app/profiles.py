"""The profiles: how long each measures, from data/profiles.toml and data/scenarios.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app import paths
from app.errors import UserError
from checks.contract.instruments import Profile
from checks.contract.load import Scenario

DEFAULT = "quick"


class ProfileError(UserError):
    """There is no such profile, or a file is wrong; the message says which and why."""


def named(name: str) -> Profile:
    """One profile. Raises ProfileError."""
    known = load()
    if name not in known:
        raise ProfileError(f"There is no profile {name!r}. Known: {', '.join(known)}.")
    return known[name]


def load() -> dict[str, Profile]:
    """All profiles by name, the shortest first. Raises ProfileError."""
    profiles, scenarios = _read(paths.profiles_file()), _read(paths.scenarios_file())
    return {
        name: Profile(
            name=name,  # type: ignore[arg-type]  # the names in the file are the three
            scenarios={key: _scenario(key, table, name, list(profiles)) for key, table in scenarios.items()},
            **values,
        )
        for name, values in profiles.items()
    }


def _scenario(key: str, table: dict[str, Any], profile: str, profiles: list[str]) -> Scenario:
    """What is the same in every profile, and this profile's own on top."""
    try:
        values = {name: value for name, value in table.items() if name not in profiles} | table[profile]
        unknown = sorted(set(values) - set(Scenario.__dataclass_fields__))
        if unknown:
            raise ProfileError(f"{paths.scenarios_file()}: {key}.{unknown[0]}: unknown key")
        return TypeAdapter(Scenario).validate_python(values)
    except KeyError as error:
        raise ProfileError(f"{paths.scenarios_file()}: {key}: has no entry for profile {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (key, *first["loc"]))
        raise ProfileError(f"{paths.scenarios_file()}: {where}: {first['msg']}") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"{file}: cannot be read: {error}") from error
