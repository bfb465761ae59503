"""Makes what a service wrote safe to stand in a target file: its examples, its names, its words."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from checks.contract import printable

MAX_DEPTH = 20  # deeper bodies are no business requests, and readers of TOML give up on them
MAX_TEXT_CHARS = 2_000
MAX_ENTRIES = 200  # of one table or list
MAX_REMARK_CHARS = 200
NOT_TEXT = re.compile("[\ud800-\udfff]")  # a lone surrogate is no character, and TOML cannot say it


def remark(text: str) -> str:
    """``text`` on one line, printable and short: for a comment and for a terminal."""
    line = " ".join(printable(text).split())
    return line if len(line) <= MAX_REMARK_CHARS else line[: MAX_REMARK_CHARS - 1] + "…"


def own_text(text: str) -> str:
    """``text`` as the service's own: cut, and never a reference to a secret of ours.

    A target file resolves ``${NAME}`` from the environment and sends it; an example that reads so would
    fetch what it names. The file has no escape for it, so the two characters are parted.
    """
    return NOT_TEXT.sub("\ufffd", text[:MAX_TEXT_CHARS]).replace("${", "$ {")


def body(value: Any) -> Any:
    """A JSON value as a body of a target file; one that TOML cannot say becomes the JSON text itself.

    Returns None for what is too deep to be sent.
    """
    if _depth(value) > MAX_DEPTH:
        return None
    cleaned = _cleaned(value)
    if not _holds_null(cleaned) and isinstance(cleaned, dict | list):
        return cleaned
    return json.dumps(cleaned, ensure_ascii=False)


def _cleaned(value: Any) -> Any:
    """``value`` bounded, its text cleaned, and numbers that JSON cannot say as null."""
    if isinstance(value, Mapping):
        entries = list(value.items())[:MAX_ENTRIES]
        return {own_text(str(key)): _cleaned(inner) for key, inner in entries}
    if isinstance(value, list | tuple):
        return [_cleaned(inner) for inner in value[:MAX_ENTRIES]]
    if isinstance(value, str):
        return own_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float) else None


def _depth(value: Any) -> int:
    """How deep ``value`` is, counted without recursion and no further than matters."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        inner: list[Any] = []
        for node in level:
            if isinstance(node, Mapping):
                inner += node.values()
            elif isinstance(node, list | tuple):
                inner += node
        level = inner
    return depth


def _holds_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_null, value.values()))
    if isinstance(value, list):
        return any(map(_holds_null, value))
    return value is None
