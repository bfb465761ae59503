"""Cuts out of a document what a few operations need, so that nothing else is handed to a library.

What is left is small whatever the document is, and leads nowhere: servers, callbacks and security are left
out. A reference to anything outside the document, and what is too deep or one too many, becomes a schema that
allows everything: then less is compared, and nobody is accused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from app.instruments.openapi.schemas import Builder, as_dict, as_list

MAX_NODES = 30_000  # Schemathesis takes about 2 s for so many
MAX_DEPTH = 80
WHOLE = ("openapi", "swagger", "consumes", "produces")
OF_OPERATION = ("parameters", "requestBody", "consumes", "produces")
BESIDE = ("headers", "schema")  # of a response, beside its content
MAX_STATUSES = 60
MAX_KINDS = 20  # content types of a reply
# Each may name a place to load from, or change what references are relative to.
LEADING = (
    "$id",
    "$schema",
    "$dynamicRef",
    "$recursiveRef",
    "externalValue",
    "externalDocs",
    "links",
    "example",
)


def excerpt(document: Mapping[str, Any], places: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """A document of the operations at ``places`` (path and lower-case method) alone."""
    cutter = _Cutter(document)
    for path, method in places:
        cutter.add(path, method)
    return cutter.finished()


class _Cutter:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._builder = Builder(document)
        self._left = MAX_NODES
        self._references: deque[str] = deque()
        self._out: dict[str, Any] = {key: document[key] for key in WHOLE if key in document}
        self._out |= {"info": {"title": "excerpt", "version": "1"}, "paths": {}}

    def add(self, path: str, method: str) -> None:
        """One operation, with the parameters that its path declares."""
        item = self._builder.resolved(as_dict(self._builder.document.get("paths")).get(path))
        operation = as_dict(item.get(method))
        kept = {"responses": self._responses(as_dict(operation.get("responses")))}
        kept |= {key: self._copied(operation[key], 0) for key in OF_OPERATION if key in operation}
        entry = self._out["paths"].setdefault(path, {})
        entry[method] = kept
        if "parameters" in item and "parameters" not in entry:
            entry["parameters"] = self._copied(as_list(item["parameters"]), 0)

    def _responses(self, responses: Mapping[str, Any]) -> dict[str, Any]:
        """Statuses and content types are always kept, however large the schemas are; none means any."""
        found: dict[str, Any] = {}
        for status, given in list(responses.items())[:MAX_STATUSES]:
            response = self._builder.resolved(given)
            found[str(status)] = {"description": ""}
            found[str(status)] |= {key: self._copied(response[key], 0) for key in BESIDE if key in response}
            if isinstance(response.get("content"), dict):
                kinds = list(response["content"].items())[:MAX_KINDS]
                found[str(status)]["content"] = {str(kind): self._copied(media, 0) for kind, media in kinds}
        return found or {"default": {"description": ""}}

    def finished(self) -> dict[str, Any]:
        """The document, with everything that it refers to."""
        done: set[str] = set()
        while self._references:
            reference = self._references.popleft()
            if reference not in done:
                done.add(reference)
                self._put(reference, self._copied(self._builder.at(reference), 0))
        return self._out

    def _put(self, reference: str, value: object) -> None:
        *holders, last = Builder.parts(reference)
        node = self._out
        for part in holders:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                return  # within a list that was copied as a whole
        node[last] = value

    def _copied(self, node: object, depth: int) -> Any:
        self._left -= 1
        full = self._left < 0 or depth > MAX_DEPTH
        if isinstance(node, list):
            return [] if full else [self._copied(item, depth + 1) for item in node]
        if full or not isinstance(node, dict):
            return {} if isinstance(node, dict) else node
        reference = node.get("$ref")
        if isinstance(reference, str):
            if self._builder.at(reference) is None:
                return {}
            self._references.append(reference)
        return {
            str(key): self._copied(value, depth + 1)
            for key, value in node.items()
            if key not in LEADING or isinstance(value, dict)
        }
