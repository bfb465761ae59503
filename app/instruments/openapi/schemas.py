"""Builds a request body from an OpenAPI document: its examples where it has some, else its schema."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

MAX_DEPTH = 8
MAX_NODES = 500  # of one body
MAX_DOCUMENT_NODES = 200_000  # of all bodies of one document: a second or two
MAX_HOPS = 20  # from one $ref to the next
MAX_PROPERTIES = 50
MAX_ITEMS = 5
MAX_TEXT_CHARS = 1_000
QUESTION = "What is your refund policy?"

# Names of the field that carries a question, likeliest first.
PROMPT_NAMES = (
    *("message", "prompt", "question", "query", "input", "text", "content", "user_message", "user_input"),
    *("chat_input", "utterance", "msg", "q"),
)
FORMATS = {
    "uuid": "3f2b6c1e-8d4a-4b7e-9a51-0c6d2e8f1a37",
    "date-time": "2025-11-23T12:00:00Z",
    "date": "2025-11-23",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "dGV4dA==",
}


def as_dict(value: object) -> Mapping[str, Any]:
    """``value`` where it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """``value`` where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def prompt_path(body: object) -> str | None:
    """The dotted path of the string in ``body`` that looks like the question (``messages.0.content``).

    By name, likeliest and shallowest first; a string that is the only one needs no telling name.
    """
    strings: list[tuple[str, str, int]] = []
    queue: deque[tuple[tuple[str, ...], object]] = deque([((), body)])
    visited = 0
    while queue and visited < MAX_NODES:
        path, node = queue.popleft()
        visited += 1
        if isinstance(node, dict):
            queue.extend(((*path, str(key)), value) for key, value in list(node.items())[:MAX_PROPERTIES])
        elif isinstance(node, list):
            queue.extend(((*path, str(index)), value) for index, value in enumerate(node[:MAX_ITEMS]))
        elif isinstance(node, str) and path:
            name = next(part for part in reversed(path) if not part.isdigit() or part == path[0])
            strings.append((".".join(path), name.lower(), len(path)))
    named = [entry for entry in strings if entry[1] in PROMPT_NAMES]
    if named:
        return min(named, key=lambda entry: (entry[2], PROMPT_NAMES.index(entry[1])))[0]
    return strings[0][0] if len(strings) == 1 else None


class Builder:
    """Builds values by the schemas of one document. ``$ref`` is followed within the document only."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self._nodes = 0
        self._left = MAX_DOCUMENT_NODES

    def _spent(self, depth: int) -> bool:
        """Count one node; whether it is too deep, or one too many."""
        self._nodes += 1
        self._left -= 1
        return depth > MAX_DEPTH or self._nodes > MAX_NODES or self._left < 0

    def resolved(self, node: object) -> Mapping[str, Any]:
        """``node``, or what its ``$ref`` stands for; empty where that is nothing, elsewhere or a circle."""
        for _ in range(MAX_HOPS):
            if not isinstance(node, dict) or not isinstance(node.get("$ref"), str):
                return as_dict(node)
            node = self.at(node["$ref"])
        return {}

    @staticmethod
    def parts(reference: str) -> list[str]:
        """The keys on the way of a reference within a document."""
        return [unquote(part).replace("~1", "/").replace("~0", "~") for part in reference[2:].split("/")]

    def at(self, reference: str) -> object:
        """What a reference stands for; None where that is nothing, or elsewhere."""
        if not reference.startswith("#/"):
            return None
        node: object = self.document
        for key in self.parts(reference):
            if isinstance(node, list):
                node = node[int(key)] if re.fullmatch(r"[0-9]{1,6}", key) and int(key) < len(node) else None
            else:
                node = as_dict(node).get(key)
        return node

    def body(
        self, operation: Mapping[str, Any], parameters: list[Mapping[str, Any]]
    ) -> tuple[str | None, Any]:
        """Content type and body of an operation; (None, None) where it declares none."""
        self._nodes = 0
        content = as_dict(self.resolved(operation.get("requestBody")).get("content"))
        content = {
            kind: media for kind, media in content.items() if isinstance(kind, str)
        }  # YAML keys may not be
        if content:
            kind = _preferred(list(content))
            return kind, self._media(self.resolved(content[kind]))
        for parameter in parameters:  # Swagger 2.0
            if parameter.get("in") == "body":
                consumes = as_list(operation.get("consumes", self.document.get("consumes")))
                return _preferred(consumes or ["application/json"]), self.value(parameter.get("schema"))
        form = [parameter for parameter in parameters if parameter.get("in") == "formData"]
        if form:
            fields = {str(each.get("name")): self.parameter(each) for each in form[:MAX_PROPERTIES]}
            return "application/x-www-form-urlencoded", fields
        return None, None

    def parameter(self, parameter: Mapping[str, Any]) -> Any:
        """A value for a path, query or form parameter."""
        if _small(parameter.get("example")):
            return parameter["example"]
        value = self.value(parameter.get("schema", parameter), str(parameter.get("name", "")))
        return 1 if value is None else value

    def _media(self, media: Mapping[str, Any]) -> Any:
        if _small(media.get("example")):
            return media["example"]
        for example in as_dict(media.get("examples")).values():
            value = self.resolved(example).get("value")
            if _small(value):
                return value
        return self.value(media.get("schema"))

    def merged(self, schema: object) -> Mapping[str, Any]:
        """``schema`` with what it is put together from (``$ref``, ``allOf``, its first real choice)."""
        self._nodes = 0
        return self._merged(self.resolved(schema), 0)

    def value(self, schema: object, name: str = "", depth: int = 0) -> Any:
        """A value that ``schema`` accepts, as far as can be told; None where it is too deep or too large."""
        if self._spent(depth):
            return None
        rules = self._merged(self.resolved(schema), depth)
        given = _given(rules)
        if given is not None:
            return given
        makers: dict[str, Callable[[], Any]] = {
            "object": lambda: self._object(rules, depth),
            "array": lambda: self._array(rules, name, depth),
            "integer": lambda: _in_range(rules, whole=True),
            "number": lambda: _in_range(rules, whole=False),
            "boolean": lambda: False,
            "null": lambda: None,
        }
        return makers.get(_kind(rules), lambda: _text(rules, name))()

    def _array(self, rules: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        count = max(1, min(_number(rules.get("minItems"), 1), MAX_ITEMS))
        return [self.value(rules.get("items"), name, depth + 1) for _ in range(int(count))]

    def _merged(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """``schema`` with its ``allOf`` parts, and the first real choice of ``oneOf`` and ``anyOf``."""
        merged = dict(schema)
        if self._spent(depth):
            return merged
        parts = as_list(schema.get("allOf"))[:MAX_ITEMS]
        for key in ("oneOf", "anyOf"):
            choices = [self.resolved(choice) for choice in as_list(schema.get(key))[:MAX_ITEMS]]
            parts += [choice for choice in choices if choice.get("type") != "null"][:1]
        for part in parts:
            inner = self._merged(self.resolved(part), depth + 1)
            properties = {**as_dict(merged.get("properties")), **as_dict(inner.get("properties"))}
            required = [*as_list(merged.get("required")), *as_list(inner.get("required"))]
            merged = {**inner, **merged}
            if properties:
                merged |= {"properties": properties, "required": required}
        return merged

    def _object(self, rules: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = as_dict(rules.get("properties"))
        required = {name for name in as_list(rules.get("required")) if isinstance(name, str)}
        built = {}
        for name, schema in list(properties.items())[:MAX_PROPERTIES]:
            if not required or name in required or str(name).lower() in PROMPT_NAMES:
                value = self.value(schema, str(name), depth + 1)
                if value is not None or name in required:
                    built[str(name)] = value
        return built


def _preferred(kinds: list[Any]) -> str:
    """The content type that we can send best: JSON, then a form, then the first."""
    names = [str(kind) for kind in kinds]
    for wanted in ("application/json", "+json", "json", "application/x-www-form-urlencoded"):
        for name in names:
            if wanted in name.lower():
                return name
    return names[0]


def _given(rules: Mapping[str, Any]) -> Any:
    """What the schema itself offers as a value: example, default, constant, choice."""
    for value in (
        rules.get("example"),
        *as_list(rules.get("examples"))[:1],
        rules.get("default"),
        rules.get("const"),
    ):
        if _small(value):
            return value
    choices = [choice for choice in as_list(rules.get("enum")) if _small(choice)]
    return "user" if "user" in choices else choices[0] if choices else None


def _kind(rules: Mapping[str, Any]) -> str:
    kind = rules.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in rules else "array" if "items" in rules else "string"


def _text(rules: Mapping[str, Any], name: str) -> str:
    text = FORMATS.get(str(rules.get("format")), QUESTION if name.lower() in PROMPT_NAMES else "text")
    shortest = int(min(_number(rules.get("minLength"), 0), MAX_TEXT_CHARS))
    longest = int(_number(rules.get("maxLength"), MAX_TEXT_CHARS))
    return text.ljust(shortest, "x")[: max(longest, 1)]


def _in_range(rules: Mapping[str, Any], *, whole: bool) -> float | int:
    low = _number(rules.get("minimum"), 1)
    above = rules.get("exclusiveMinimum")
    if above is True:
        low += 1
    elif above is not None and above is not False:
        low = max(low if "minimum" in rules else _number(above, 0) + 1, _number(above, 0) + 1)
    high = _number(rules.get("maximum"), low)
    value = min(low, high)
    step = _number(rules.get("multipleOf"), 0)
    if step > 0:
        value = -(-value // step) * step
    return int(value) if whole else float(value)


def _number(value: object, otherwise: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e15:
        return otherwise
    return value


def _small(value: object) -> bool:
    """Whether ``value`` is there, JSON, and small enough to be sent; shared YAML parts count each time."""
    queue, seen = deque([value]), 0
    if value is None:
        return False
    while queue:
        node = queue.popleft()
        seen += 1 if not isinstance(node, str) else 1 + len(node) // 20
        if seen > MAX_NODES:
            return False
        if isinstance(node, dict):
            if len(node) > MAX_NODES:
                return False
            queue.extend(node.values())
        elif isinstance(node, list):
            if len(node) > MAX_NODES:
                return False
            queue.extend(node)
        elif not isinstance(node, (str, int, float, bool, type(None))):
            return False  # a date of YAML is no JSON
    return True
