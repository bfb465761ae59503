"""What an OpenAPI document says of each field of a request body: its type, and whether it may be left out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from app.instruments.openapi.schemas import MAX_PROPERTIES, Builder, as_dict, as_list
from checks.contract import BodyField

MAX_FIELDS = 100
MAX_FIELD_DEPTH = 4
MAX_PATH_CHARS = 200
MAX_BOUND = 1e15  # above it a number just outside cannot be told from the limit
BOUNDS = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("minLength", "maxLength", "minItems", "maxItems"),
)
TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean"})


def body_fields(
    builder: Builder, operation: Mapping[str, Any], parameters: list[Any]
) -> dict[str, BodyField]:
    """The fields by dotted path (``messages.0.content``); empty where the operation declares no schema."""
    fields = itertools.islice(_fields(builder, _schema(builder, operation, parameters), ""), MAX_FIELDS)
    return {path: field for path, field in fields if len(path) <= MAX_PATH_CHARS}


def _schema(builder: Builder, operation: Mapping[str, Any], parameters: list[Any]) -> object:
    content = as_dict(builder.resolved(operation.get("requestBody")).get("content"))
    for kind, media in content.items():
        if "json" in str(kind).lower():
            return builder.resolved(media).get("schema")
    body = (parameter for parameter in parameters if parameter.get("in") == "body")  # Swagger 2.0
    return next((parameter.get("schema") for parameter in body), None)


def _fields(builder: Builder, schema: object, prefix: str, depth: int = 0) -> Iterator[tuple[str, BodyField]]:
    if depth > MAX_FIELD_DEPTH:
        return
    rules = builder.merged(schema)
    required = set(map(str, as_list(rules.get("required"))))
    for name, inner in list(as_dict(rules.get("properties")).items())[:MAX_PROPERTIES]:
        path = f"{prefix}{name}"
        kind, nullable = _kind(builder, inner)
        yield path, BodyField(kind, str(name) in required, nullable, _bounds(builder, inner))
        yield from _fields(builder, inner, f"{path}.", depth + 1)
    if "items" in rules:
        kind, nullable = _kind(builder, rules["items"])
        yield f"{prefix}0", BodyField(kind, False, nullable, _bounds(builder, rules["items"]))
        yield from _fields(builder, rules["items"], f"{prefix}0.", depth + 1)


def _bounds(builder: Builder, schema: object) -> dict[str, Any]:
    """The limits that are numbers (two are yes or no in OpenAPI 3.0), and whether there are choices."""
    rules = builder.merged(schema)
    found: dict[str, Any] = {
        name: rules[name]
        for name in BOUNDS
        if isinstance(rules.get(name), (int, float)) and abs(rules[name]) < MAX_BOUND
    }
    return found | ({"enum": True} if as_list(rules.get("enum")) else {})


def _kind(builder: Builder, schema: object) -> tuple[str, bool]:
    """The one JSON type beside null that ``schema`` allows, "" where that is open; and whether null is."""
    rules = builder.resolved(schema)
    choices = [builder.resolved(choice) for key in ("anyOf", "oneOf") for choice in as_list(rules.get(key))]
    types = {
        str(kind)
        for each in (rules, *choices, builder.merged(schema))
        for kind in (each["type"] if isinstance(each.get("type"), list) else [each.get("type")])
        if kind is not None
    }
    open_choice = any("type" not in choice and "$ref" not in choice for choice in choices)
    nullable = "null" in types or rules.get("nullable") is True or not types or open_choice
    named = types - {"null"}
    kind = next(iter(named)) if len(named) == 1 and named <= TYPES and not open_choice else ""
    return kind, nullable
