"""The profiles: how long each measures, from data/profiles.toml."""

from __future__ import annotations

import tomllib

from app import paths
from app.errors import UserError
from checks.instruments import Profile

DEFAULT = "quick"


class ProfileError(UserError):
    """There is no such profile; the message lists those there are."""


def named(name: str) -> Profile:
    """One profile. Raises ProfileError."""
    known = load()
    if name not in known:
        raise ProfileError(f"There is no profile {name!r}. Known: {', '.join(known)}.")
    return known[name]


def load() -> dict[str, Profile]:
    """All profiles by name, the shortest first."""
    with paths.profiles_file().open("rb") as file:
        document = tomllib.load(file)
    return {name: Profile(name=name, **values) for name, values in document.items()}  # type: ignore[arg-type]  # the names in the file are the three
