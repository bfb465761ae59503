"""How the commands speak: results on standard output, trouble on standard error with an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import typer

from app.errors import UserError


class Exit(IntEnum):
    """Exit codes that programs may rely on."""

    OK = 0
    GATE_FAILED = 1
    USAGE = 2
    BROKE = 3


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error that the user can mend into its message and exit code 2."""
    from checks import BrokenCheckError

    try:
        yield
    except (UserError, BrokenCheckError) as error:
        typer.echo(f"greenlight: {error}", err=True)
        raise typer.Exit(Exit.USAGE) from error


def write(text: str, file: Path | None) -> None:
    """Write ``text`` to ``file``, or to standard output where that is None or ``-``."""
    if file is None or str(file) == "-":
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from error
