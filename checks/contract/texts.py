"""Texts that a service sent: read without trust, and made fit to be kept and shown."""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """``text`` with a space in the place of each line end, control character and the like."""
    return "".join(character if character.isprintable() else " " for character in text)


def escaped(text: str, most_chars: int) -> str:
    """The start of ``text`` in ASCII, the rest of its characters as JSON escapes them."""
    return json.dumps(text[:most_chars])[1:-1]


def document_in(text: str | bytes) -> object:
    """``text`` as JSON, or None where it is none, or nested too deeply to be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
