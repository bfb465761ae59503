"""What is read of body fields from an OpenAPI document."""

from __future__ import annotations

from app.instruments.openapi import operations_of
from app.instruments.openapi.fields import MAX_FIELDS
from checks.contract import BodyField


def fields_of(schema, **document):
    body = {"content": {"application/json": {"schema": schema}}}
    paths = {"/ask": {"post": {"requestBody": body}}}
    return next(operations_of({"openapi": "3.1.0", "paths": paths, **document})).fields


def test_required_and_nullable_fields_are_told_apart_from_optional_ones():
    fields = fields_of(
        {
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": {"type": "string"},
                "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "old": {"type": "string", "nullable": True},
                "any": {},
            },
        }
    )
    assert fields == {
        "message": BodyField("string", True, False),
        "limit": BodyField("integer", False, True),
        "old": BodyField("string", False, True),
        "any": BodyField("", False, True),
    }


def test_lists_and_references_are_followed():
    item = {"type": "object", "required": ["content"], "properties": {"content": {"type": "string"}}}
    fields = fields_of(
        {"type": "object", "properties": {"messages": {"type": "array", "items": {"$ref": "#/x/item"}}}},
        x={"item": item},
    )
    assert fields["messages"] == BodyField("array", False, False)
    assert fields["messages.0"] == BodyField("object", False, False)
    assert fields["messages.0.content"] == BodyField("string", True, False)


def test_a_schema_that_holds_itself_ends():
    tree = {"type": "object", "properties": {f"child{n}": {"$ref": "#/x/tree"} for n in range(9)}}
    assert len(fields_of(tree, x={"tree": tree})) == MAX_FIELDS


def test_an_operation_without_a_schema_says_nothing():
    paths = {"/ask": {"post": {"summary": "Ask"}}}
    assert next(operations_of({"openapi": "3.1.0", "paths": paths})).fields == {}


def test_the_limits_of_a_value_are_read_as_they_stand():
    fields = fields_of(
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 9, "pattern": "^a"},
                "size": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 1e300},
                "kind": {"enum": ["a", "b"], "type": "string"},
                "tags": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 5}},
                "odd": {"type": "string", "maxLength": "nine", "enum": "a"},
            },
        }
    )
    assert fields["name"].bounds == {"minLength": 1, "maxLength": 9}
    assert fields["size"].bounds == {"minimum": 0, "exclusiveMinimum": True}
    assert fields["kind"].bounds == {"enum": True}
    assert fields["tags"].bounds == {"maxItems": 3}
    assert fields["tags.0"].bounds == {"maxLength": 5}
    assert fields["odd"].bounds == {}
