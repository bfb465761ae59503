"""Tables for the target file, made from a service's own documents and replies. Private to this family.

All of it is hostile text: cleaned, bounded, and quoted as TOML wants it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from checks.contract import Event, Operation, Target, at_path, document_in

MAX_TEXT_CHARS = 200
MAX_NAMES = 30
MAX_DEPTH = 6


def body_template(target: Target, operation: Operation) -> Any:
    """The body with ``{prompt}`` where the question goes; of a route without a schema, the declared body."""
    if operation.body is None or operation.prompt_field is None:
        return (
            target.ask.body
            if target.ask and not isinstance(target.ask.body, str)
            else {"message": "{prompt}"}
        )
    template = _cleaned(operation.body)
    *parents, last = operation.prompt_field.split(".")
    holder: Any = at_path(template, ".".join(parents)) if parents else template
    if isinstance(holder, dict):
        holder[last] = "{prompt}"
    elif isinstance(holder, list) and last.isdigit() and int(last) < len(holder):
        holder[int(last)] = "{prompt}"
    return template


def _cleaned(node: Any, depth: int = 0) -> Any:
    """A copy that is small, and whose texts are neither control characters, references nor placeholders."""
    if isinstance(node, str):
        return _clean(node)
    if depth == MAX_DEPTH or (isinstance(node, float) and node - node != 0):
        return None
    if isinstance(node, dict):
        return {
            _clean(str(name)): _cleaned(value, depth + 1) for name, value in list(node.items())[:MAX_NAMES]
        }
    if isinstance(node, list):
        return [_cleaned(value, depth + 1) for value in node[:MAX_NAMES]]
    return node


def _clean(text: str) -> str:
    printable = "".join(character for character in text[:MAX_TEXT_CHARS] if character.isprintable())
    return printable.replace("{", "(")  # neither a reference to a secret nor a placeholder


def places(node: object, path: str = "", depth: int = 0) -> frozenset[str]:
    """The dotted paths of the values in a body, which tell two shapes of body apart."""
    if depth == MAX_DEPTH or not isinstance(node, (dict, list)) or not node:
        return frozenset((path,))
    items = list(node.items() if isinstance(node, dict) else enumerate(node))[:MAX_NAMES]
    return frozenset().union(*(places(value, f"{path}.{name}", depth + 1) for name, value in items))


def filled(node: Any, prompt: str) -> Any:
    """A template with its question, and some text for whatever else the target file would fill in."""
    if isinstance(node, str):
        return prompt if node == "{prompt}" else re.sub(r"\{(user|session|nonce)\}", "assessment-1", node)
    if isinstance(node, dict):
        return {name: filled(value, prompt) for name, value in node.items()}
    return [filled(value, prompt) for value in node] if isinstance(node, list) else node


def answer_path(document: object) -> str | None:
    """The dotted path of the longest text in a reply, which is its answer; "" for a bare string."""
    texts = dict(_texts(document, "", 0))
    found = max(texts, key=lambda path: len(texts[path]), default=None)
    return found if found is not None and texts[found].strip() else None


def _texts(node: object, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield path, node
    elif depth < MAX_DEPTH and isinstance(node, (dict, list)):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for name, value in list(items)[:MAX_NAMES]:
            if re.fullmatch(r"[\w-]{1,60}", str(name)):
                yield from _texts(value, f"{path}.{name}".lstrip("."), depth + 1)


def stream_keys(events: tuple[Event, ...]) -> dict[str, Any] | None:
    """``token`` and how the stream ends, guessed from its events; None where no event holds a text."""
    paths = [path for event in events if (path := answer_path(document_in(event.data))) is not None]
    plain = [event for event in events if document_in(event.data) is None and event.data.strip()]
    found: dict[str, Any] = {}
    if paths:
        found["token"] = max(dict.fromkeys(paths), key=paths.count)
    elif not plain:
        return None
    last = events[-1]
    if last.data.strip() == "[DONE]":
        found["end_data"] = "[DONE]"
    elif last.name != events[0].name and re.fullmatch(r"[\w.-]{1,60}", last.name):
        found["end_event"] = last.name
    return found


def toml_table(table: str, values: Mapping[str, Any]) -> str:
    """A table of the target file, ready to be pasted."""
    lines = [f"{name} = {_toml_value(value)}" for name, value in values.items() if value not in (None, "")]
    return "\n".join([f"[{table}]", *lines])


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = [
            f"{_string(str(name))} = {_toml_value(each)}" for name, each in value.items() if each is not None
        ]
        return f"{{ {', '.join(inside)} }}" if inside else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml_value(each) for each in value if each is not None)}]"
    return _string(value) if isinstance(value, str) else json.dumps(value)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "")
