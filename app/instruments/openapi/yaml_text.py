"""Reads YAML as far as it is JSON: bounded in depth, in nodes and in time, and never a Python object.

The parser's events are put together here. PyYAML's own loader takes five times as long and as much memory,
its C part follows deep nesting down the stack until the process dies, and its merge keys let a few lines grow
to gigabytes. An alias is the node itself, so it costs nothing; who walks the result bounds the walk.
"""

from __future__ import annotations

import re
from time import monotonic

import yaml

MAX_DEPTH = 100
MAX_NODES = 4_000_000
WITHIN_S = 15.0  # 30 MB take about 6 s
LOOK_EVERY = 10_000  # events
LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
# The core schema of YAML 1.2, which is what JSON knows; a date stays a text.
WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: value for value in (True, False) for word in (str(value), str(value).lower(), str(value).upper())
}
INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")


class TooMuchError(ValueError):
    """Deeper, larger or slower than a document of this kind has any reason to be."""


def read_yaml(text: str) -> object:
    """The value of the first document in ``text``. Raises ValueError for what is no YAML, or too much."""
    try:
        return _Reading().value(text)
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        raise ValueError(str(error)) from error


class _Reading:
    def __init__(self) -> None:
        self._open: list[tuple[dict[str, object] | list[object], str | None]] = []
        self._anchors: dict[str, object] = {}
        self._key: str | None = None  # of the mapping that is open, once it was read
        self._root: object = None

    def value(self, text: str) -> object:
        end = monotonic() + WITHIN_S
        for number, event in enumerate(yaml.parse(text, LOADER)):
            if number % LOOK_EVERY == 0 and (number > MAX_NODES or monotonic() > end):
                raise TooMuchError("the document is too large")
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._begin(event)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                _, self._key = self._open.pop()
            elif isinstance(event, yaml.AliasEvent):
                self._put(self._anchors.get(event.anchor or ""))
            elif isinstance(event, yaml.DocumentEndEvent):
                break
        return self._root

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        text: str = event.value
        if self._awaits_key():
            self._key = text
            return
        value = _plain(text) if event.implicit[0] else text  # else it is quoted, or has a tag of its own
        if event.anchor:
            self._anchors[event.anchor] = value
        self._put(value)

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise TooMuchError("the document is nested too deep")
        if self._awaits_key():
            raise ValueError("a key is no text")
        made: dict[str, object] | list[object] = {} if isinstance(event, yaml.MappingStartEvent) else []
        if event.anchor:
            self._anchors[event.anchor] = made
        key = self._put(made)
        self._open.append((made, key))

    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1][0], dict) and self._key is None

    def _put(self, value: object) -> str | None:
        """Put ``value`` where it belongs; the key that the holder waits for afterwards."""
        if not self._open:
            self._root = value
            return None
        holder = self._open[-1][0]
        if isinstance(holder, list):
            holder.append(value)
        elif self._key is None:
            self._key = str(value) if isinstance(value, str) else ""  # an alias as a key
            return None
        else:
            holder[self._key] = value
            self._key = None
        return None


def _plain(text: str) -> object:
    """What a scalar without quotes means."""
    if text in WORDS:
        return WORDS[text]
    first = text[0]
    if first.isdigit() or first in "+-.":
        if INTEGER.fullmatch(text):
            return int(text)
        if NUMBER.fullmatch(text):
            return float(text)
    return text
