"""Secrets: ``${ENV_NAME}`` references of a target file, resolved only here and hidden on the way out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from checks.contract import InstrumentFailure
from checks.contract.target.auth import REFERENCE

SHORTEST_SECRET = 4  # hiding every "1" in a text would hide the text


def names_in(*texts: str) -> frozenset[str]:
    """The environment variables that ``texts`` refer to."""
    return frozenset(name for text in texts for name in REFERENCE.findall(text))


class References:
    """Resolves references from ``environment``, and remembers what it resolved so that it can be hidden."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._resolved: dict[str, str] = {}
        self._made_of: dict[str, str] = {}

    def made(self, name: str, value: str, *, of: str) -> None:
        """Let ``${name}`` stand for ``value``, made from the secret ``of``: it may go where that may."""
        self._environment = {**self._environment, name: value}
        self._made_of[name] = of

    def resolve(
        self, text: str, names: frozenset[str] | None = None, escape: Callable[[str], str] = str
    ) -> str:
        """``text`` with its references replaced by their values, each passed through ``escape``.

        Only ``names`` are resolved where they are given: text that a service wrote (an example in its
        OpenAPI document) may look like a reference and must not get a value. Raises InstrumentFailure
        that names a variable which is not set.
        """

        def value_of(match: re.Match[str]) -> str:
            name = match[1]
            if names is not None and self._made_of.get(name, name) not in names:
                return match[0]
            if name not in self._environment:
                raise InstrumentFailure(
                    f"The target file refers to ${{{name}}}, and no environment variable {name} is set.",
                    missing=name,
                )
            self._resolved[name] = self._environment[name]
            return escape(self._environment[name])

        return REFERENCE.sub(value_of, text)

    def hide(self, text: str) -> str:
        """``text`` with every value that was resolved replaced by ``$NAME``."""
        for name, value in self._hideable():
            text = text.replace(value, f"${name}")
        return text

    def hide_bytes(self, data: bytes) -> bytes:
        """The same for bytes that a service sent."""
        for name, value in self._hideable():
            data = data.replace(value.encode(), f"${name}".encode())
        return data

    def _hideable(self) -> list[tuple[str, str]]:
        pairs = {
            (name, form)
            for name, value in self._resolved.items()
            if len(value) >= SHORTEST_SECRET
            for form in (value, quote(value, safe=""), _in_json(value), _in_json(_in_json(value)))
        }
        return sorted(pairs, key=lambda pair: len(pair[1]), reverse=True)


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]
