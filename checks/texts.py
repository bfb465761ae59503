"""How a text that a service sent is made fit to be kept and shown: nothing in it steers a terminal."""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """``text`` with a space in the place of each line end, control character and the like."""
    return "".join(character if character.isprintable() else " " for character in text)


def escaped(text: str, most_chars: int) -> str:
    """The start of ``text`` in ASCII, the rest of its characters as JSON escapes them."""
    return json.dumps(text[:most_chars])[1:-1]
