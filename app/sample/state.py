"""What the sample remembers between two commands: what runs where, and its secrets."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from app.sample.processes import Part, SampleError

Kept = TypeVar("Kept", bound=BaseModel)


class State(BaseModel):
    """What runs where. Holds no secret. ``ports``: each part and each proxy by name.

    ``model_speed`` is how many times faster than a real one the paid model answers. ``unwatched`` names the
    programs that were not installed, so that nothing watches the sample.
    """

    url: str
    ports: dict[str, int]
    parts: tuple[Part, ...] = ()
    defects: tuple[str, ...] = ()
    target_file: Path
    folder: Path
    own_redis: bool = True
    model_speed: float = 1.0
    unwatched: tuple[str, ...] = ("prometheus", "alertmanager")  # as one that an earlier version started

    @property
    def whole(self) -> bool:
        """Whether all parts run."""
        return bool(self.parts) and all(part.alive for part in self.parts)

    def save(self) -> State:
        """Write it down, so that another process, or one after a crash, can find and end the parts."""
        write_private(self.folder / "state.json", self.model_dump_json(indent=2))
        return self

    def with_part(self, part: Part) -> State:
        """The state with one more part, written down."""
        return self.model_copy(update={"parts": (*self.parts, part)}).save()


class Secrets(BaseModel):
    """What only the sample and its assessment know. ``redis_url`` leads to Redis directly.

    ``shop_key`` signs the tokens of shops: one, another one, and one that has run out.
    """

    shop_key: str
    token: str
    other_token: str
    expired_token: str
    redis_password: str
    redis_url: str
    grafana_token: str

    def save(self, folder: Path) -> Secrets:
        """Write them down for their owner only."""
        write_private(folder / "secrets.json", self.model_dump_json())
        return self


def read_state(folder: Path) -> State | None:
    """What ``up`` wrote down last, or None. Raises SampleError when the file was tampered with."""
    return _read(folder / "state.json", State)


def read_secrets(folder: Path) -> Secrets:
    """The secrets of the sample in ``folder``. Raises SampleError where there are none."""
    kept = _read(folder / "secrets.json", Secrets)
    if kept is None:
        raise SampleError("The sample is not up. Start it with `python -m app sample up`.")
    return kept


def forget(folder: Path) -> None:
    """Remove state and secrets; logs and the target file stay."""
    for name in ("state.json", "secrets.json"):
        (folder / name).unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole, readable by its owner only."""
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600, exist_ok=False)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One command at a time in a folder; it is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released with the file, also when the process dies
        yield


def _read(path: Path, kind: type[Kept]) -> Kept | None:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise SampleError(f"{path} cannot be read: {error.errors()[0]['msg']}. Remove it.") from error
