"""Target files: reading them strictly, listing them, and making one from a bare URL."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app import paths
from app.errors import UserError
from checks.contract.target import Target

SAMPLE_KEY = "sample"
SAFE_KEY = re.compile(r"[^A-Za-z0-9._-]+")


class TargetError(UserError):
    """A target cannot be used; the message names file, key and remedy."""


def is_url(text: str) -> bool:
    """Whether ``text`` is a bare URL and not the name or path of a target file."""
    return text.startswith(("http://", "https://"))


def url_key(url: str) -> str:
    """The name under which the runs of a bare URL are kept."""
    return SAFE_KEY.sub("-", url.split("://", 1)[-1]).strip("-.") or "service"


def load(name: str) -> Target:
    """Read a target by name (of a file in data/targets) or path. Raises TargetError."""
    file = _file_of(name)
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise TargetError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TargetError(f"{file}: not TOML: {error}") from error
    return _with_files_beside(file, validated(document, source=str(file), key=file.stem))


def _with_files_beside(file: Path, target: Target) -> Target:
    """Files that a target file names are beside it, unless their whole path is given."""
    beside = file.resolve().parent
    chaos = tuple(each.model_copy(update={"file": str(beside / each.file)}) for each in target.chaos)
    return target.model_copy(update={"chaos": chaos})


def available() -> list[Target]:
    """Return the targets in data/targets that can be used; ``load`` says what is wrong with the others."""
    found = []
    for file in sorted(paths.targets_folder().glob("*.toml")):
        try:
            found.append(load(str(file)))
        except TargetError:
            continue
    return found


def validated(document: dict[str, Any], *, source: str, key: str) -> Target:
    """Turn a parsed document into a Target. Raises TargetError naming ``source``, key and remedy."""
    try:
        return Target.model_validate({"key": key, **document})
    except ValidationError as error:
        # A misspelt key is also a missing one: the spelling is what to mend.
        errors = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        raise TargetError(f"{source}: {_explained(errors[0])}") from error


def _file_of(name: str) -> Path:
    direct = Path(name)
    if direct.suffix == ".toml" or direct.parent != Path():
        if direct.is_file():
            return direct
        raise TargetError(f"{name}: there is no such target file")
    named = paths.targets_folder() / f"{name}.toml"
    if named.is_file():
        return named
    known = sorted(file.stem for file in paths.targets_folder().glob("*.toml"))
    hint = difflib.get_close_matches(name, [*known, SAMPLE_KEY], n=1)
    did_you_mean = f" Did you mean {hint[0]!r}?" if hint else ""
    listed = f" Known: {', '.join(known)}." if known else ""
    raise TargetError(
        f"There is no target {name!r}.{did_you_mean}{listed} "
        f"Give a name in {paths.targets_folder()}, a path, or a URL that begins with http."
    )


def _explained(error: ErrorDetails) -> str:
    where = [part for part in error["loc"] if part not in ("dict[str,any]", "list[any]", "str")]
    key = ".".join(str(part) for part in where) or "the file"
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(where[-1]), _known_keys(Target, where[:-1]), n=1)
        return f"{key}: unknown key" + (f"; did you mean {near[0]!r}?" if near else ". Remove it.")
    if error["type"] == "missing":
        return f"{key}: is needed and missing"
    return f"{key}: {error['msg'].removeprefix('Value error, ')}"


def _known_keys(model: type[BaseModel], path: Iterable[int | str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        candidates = [inner, *get_args(inner)] if inner else []
        nested = [kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if nested:
            model = nested[0]
    return [
        field.alias or name for name, field in model.model_fields.items() if name not in ("key", "guessed")
    ]
