"""Texts that a service sent: read without trust, and made fit to be kept and shown."""

from __future__ import annotations

import json
import re

DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|[smhdwy])")
UNITS_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}


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


def seconds_in(duration: str) -> float:
    """A duration as Prometheus and Go write it (``1m30s``, ``1.5s``) in s; 0 for what is none."""
    parts = DURATION.findall(duration)
    if "".join(f"{number}{unit}" for number, unit in parts) != duration:
        return 0.0
    return sum(float(number) * UNITS_S[unit] for number, unit in parts)
