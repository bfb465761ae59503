"""Reads JSON of many megabytes in little memory: objects that are alike become one.

Thirty megabytes of small objects take 300 MB as Python's dicts. A document says the same thing over and over
(a type, a reference, an error's reply), so most of that is repetition.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

SMALL_BYTES = 1 << 20  # below that, sharing is worth no time
MAX_SHARED = 100_000  # objects to compare with, some 50 MB where all are different


def read_json(body: bytes) -> object:
    """The document, in which equal objects may be one: it must not be changed. Raises ValueError."""
    try:
        return json.loads(body, object_pairs_hook=None if len(body) < SMALL_BYTES else _sharing())
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _sharing() -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    known: dict[tuple[Any, ...], dict[str, Any]] = {}

    def make(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # An object within is known by its identity, and lives as long as one that holds it is known. The type
        # is part of the key because 1, 1.0 and true are equal.
        try:
            key = tuple(
                [(name, id(value) if type(value) is dict else value, type(value)) for name, value in pairs]
            )
            found = known.get(key)
        except TypeError:  # a list is in it
            return dict(pairs)
        if found is None:
            found = dict(pairs)
            if len(known) < MAX_SHARED:
                known[key] = found
        return found

    return make
