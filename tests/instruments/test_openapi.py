"""OpenAPI documents found, read and turned into requests that can be sent."""

from __future__ import annotations

import json

import pytest
import yaml
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from app.instruments.http import HttpProbe
from app.instruments.openapi import KEPT_BYTES, OpenApiDocuments, operations_of, read_document
from app.instruments.openapi.documents import MAX_OPERATIONS
from app.instruments.openapi.schemas import MAX_NODES, Builder, prompt_path
from checks.contract import InstrumentFailure, Operation, Reply, Target
from tests.instruments.servers import Visit, free_port, scripted, wire_to

ONE = {"a": 1}


def document(paths: dict, **rest) -> dict:
    return {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths, **rest}


def posting(schema: dict, kind: str = "application/json", **rest) -> dict:
    return document({"/chat": {"post": {"requestBody": {"content": {kind: {"schema": schema}}}, **rest}}})


def only(given: dict) -> Operation:
    (operation,) = operations_of(given)
    return operation


def body_of(schema: dict, **components) -> object:
    given = posting(schema)
    given["components"] = {"schemas": components}
    return only(given).body


async def found(pages: dict[str, str], **headers: str) -> tuple[list[Operation], list[str]]:
    async def talk(visit: Visit) -> None:
        page = pages.get(visit.path)
        await visit.reply(page or "not here", 200 if page else 404, **headers)

    async with scripted(talk) as server:
        target = Target(url=server.url)
        async with wire_to(target, reading=True) as wire:
            operations = await OpenApiDocuments(target, HttpProbe(wire, kept_bytes=KEPT_BYTES)).operations()
        return operations, [visit.path for visit in server.visits]


class Question(BaseModel):
    message: str = Field(min_length=1)
    session_id: str
    temperature: float = Field(0.5, ge=0, le=1)


async def test_the_document_of_a_fastapi_service_is_read():
    app = FastAPI()

    @app.post("/api/chat", summary="Ask a question")
    def chat(question: Question) -> dict[str, str]: ...

    @app.get("/items/{number}")
    def item(number: int, q: str) -> dict[str, str]: ...

    chat_found, item_found = (await found({"/openapi.json": json.dumps(app.openapi())}))[0]
    assert (chat_found.method, chat_found.path, chat_found.summary) == ("POST", "/api/chat", "Ask a question")
    assert chat_found.content_type == "application/json"
    assert Question.model_validate(chat_found.body).message == "What is your refund policy?"
    assert chat_found.prompt_field == "message"
    assert not chat_found.streams
    assert (item_found.method, item_found.path) == ("GET", "/items/1?q=What%20is%20your%20refund%20policy%3F")
    assert item_found.body is None


@pytest.mark.parametrize("place", ["/swagger.json", "/v3/api-docs", "/openapi.yaml"])
async def test_a_document_is_found_where_frameworks_publish_it(place):
    given = document({"/a": {"get": {}}})
    text = yaml.safe_dump(given) if place.endswith("yaml") else json.dumps(given)
    assert [operation.path for operation in (await found({place: text}))[0]] == ["/a"]


@pytest.mark.parametrize(
    "page",
    [
        "<script>SwaggerUIBundle({ url: '/hidden/spec.json', dom_id: '#x' })</script>",
        '<redoc spec-url="/hidden/spec.json"></redoc>',
        '{"urls": [{"url": "/hidden/spec.json", "name": "a"}]}',
        '<a href="hidden/spec.json">OpenAPI</a>',
    ],
)
async def test_a_document_that_a_page_links_to_is_found(page):
    pages = {"/docs": page, "/hidden/spec.json": json.dumps(document({"/a": {"get": {}}}))}
    assert [operation.path for operation in (await found(pages))[0]] == ["/a"]


async def test_links_off_the_target_are_not_followed():
    async def elsewhere(visit: Visit) -> None:
        await visit.reply(json.dumps(document({"/a": {"get": {}}})))

    async with scripted(elsewhere) as other:
        with pytest.raises(InstrumentFailure, match="No OpenAPI document"):
            await found({"/docs": f"url: '{other.url}/openapi.json', url: 'http://[::1/openapi.json'"})
        assert other.visits == []


async def test_several_documents_are_read_together():
    pages = {
        "/openapi.json": json.dumps(document({"/a": {"get": {}}})),
        "/v3/api-docs": json.dumps(document({"/a": {"get": {}}, "/b": {"get": {}}})),
    }
    assert [operation.path for operation in (await found(pages))[0]] == ["/a", "/b"]


async def test_documents_are_bounded_together(monkeypatch):
    monkeypatch.setattr("app.instruments.openapi.documents.KEPT_BYTES", 3_000)
    one = json.dumps(document({"/one": {"get": {}}}, info="x" * 2_000))
    two = json.dumps(document({"/two": {"get": {}}}, info="x" * 2_000))
    operations, _ = await found({"/openapi.json": one, "/swagger.json": two})
    assert [operation.path for operation in operations] == ["/one"]


async def test_a_service_without_a_document_is_said_so():
    with pytest.raises(InstrumentFailure, match="No OpenAPI document was found at /openapi.json"):
        await found({"/openapi.json": "<html>", "/docs": "<html>", "/swagger.json": '{"openapi": "4.0"}'})


async def test_a_service_that_is_down_is_said_so():
    target = Target(url=f"http://127.0.0.1:{free_port()}")
    async with wire_to(target) as wire:
        with pytest.raises(InstrumentFailure, match="cannot be reached"):
            await OpenApiDocuments(target, HttpProbe(wire)).operations()


async def test_operations_are_bounded_in_number():
    many = document({f"/p{number}": {"get": {}} for number in range(MAX_OPERATIONS + 10)})
    assert len((await found({"/openapi.json": json.dumps(many)}))[0]) == MAX_OPERATIONS


def test_swagger_2_bodies_forms_and_base_paths_are_understood():
    given = {
        "swagger": "2.0",
        "host": "example.com",
        "basePath": "/v2",
        "consumes": ["application/json"],
        "produces": ["text/event-stream"],
        "definitions": {
            "Q": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
        },
        "paths": {
            "/ask": {"post": {"parameters": [{"in": "body", "schema": {"$ref": "#/definitions/Q"}}]}},
            "/form": {"post": {"parameters": [{"in": "formData", "name": "query", "type": "string"}]}},
        },
    }
    ask, form = operations_of(given)
    assert (ask.path, ask.content_type, ask.prompt_field, ask.streams) == (
        "/v2/ask",
        "application/json",
        "text",
        True,
    )
    assert ask.body == {"text": "What is your refund policy?"}
    assert form.content_type == "application/x-www-form-urlencoded"
    assert form.prompt_field == "query"


@pytest.mark.parametrize(
    ("servers", "path"),
    [
        ([{"url": "/api/v1"}], "/api/v1/a"),
        ([{"url": "https://prod.example.com/base/"}], "/base/a"),
        (
            [
                {
                    "url": "{scheme}://x/{base}",
                    "variables": {"scheme": {"default": "http"}, "base": {"default": "b"}},
                }
            ],
            "/b/a",
        ),
        ([{"url": "http://[::1"}], "/a"),
        ([{"url": "/unknown/{x}"}], "/a"),
        ([{}], "/a"),
    ],
)
def test_of_a_server_only_its_path_counts(servers, path):
    assert only(document({"/a": {"get": {}}}, servers=servers)).path == path


@pytest.mark.parametrize(
    ("given", "streams"),
    [
        ({"responses": {"200": {"content": {"text/event-stream; charset=utf-8": {}}}}}, True),
        ({"operationId": "chat_stream", "responses": {}}, True),
        ({"summary": "Server-sent SSE tokens"}, True),
        ({"summary": "Upstream state"}, False),
        ({"responses": {"200": {"content": {"application/json": {}}}}}, False),
    ],
)
def test_a_stream_is_told_by_its_content_type_or_its_name(given, streams):
    assert only(document({"/a": {"get": {"description": "x", **given}}})).streams is streams


def test_examples_win_over_schemas():
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    assert only(posting(schema | {"example": {"q": "schema"}})).body == {"q": "schema"}
    given = posting(schema)
    media = given["paths"]["/chat"]["post"]["requestBody"]["content"]["application/json"]
    media["examples"] = {"one": {"value": {"q": "named"}}}
    assert only(given).body == {"q": "named"}
    media["example"] = {"q": "media"}
    assert only(given).body == {"q": "media"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer", "minimum": 5, "maximum": 9}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "minimum": 5, "exclusiveMinimum": True}, 6),
        ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
        ({"type": "number", "maximum": 0.5}, 0.5),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["null", "boolean"]}, False),
        ({"enum": ["system", "user"]}, "user"),
        ({"enum": [3, 4]}, 3),
        ({"const": "c"}, "c"),
        ({"type": "string", "default": "d"}, "d"),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2025-11-23"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        (
            {"allOf": [{"required": ["a"], "properties": {"a": {"const": 1}}}, {"properties": {"b": {}}}]},
            {"a": 1},
        ),
        ({"$ref": "#/components/schemas/Deep~1Name"}, {"x": 1}),
        ({"$ref": "http://example.com/schema.json"}, "text"),
        ({"$ref": "#/components/schemas/Nowhere"}, "text"),
    ],
)
def test_a_value_is_built_by_the_rules_of_its_schema(schema, value):
    assert (
        body_of(schema, **{"Deep/Name": {"required": ["x"], "properties": {"x": {"type": "integer"}}}})
        == value
    )


def test_optional_properties_are_left_out_but_for_one_that_looks_like_the_question():
    schema = {
        "type": "object",
        "required": ["session"],
        "properties": {
            "session": {"type": "string"},
            "prompt": {"type": "string"},
            "debug": {"type": "boolean"},
        },
    }
    assert body_of(schema) == {"session": "text", "prompt": "What is your refund policy?"}


def test_references_that_go_in_circles_end():
    node = {"required": ["next"], "properties": {"next": {"$ref": "#/components/schemas/Node"}}}
    assert isinstance(body_of({"$ref": "#/components/schemas/Node"}, Node=node), dict)
    assert body_of({"$ref": "#/components/schemas/A"}, A={"$ref": "#/components/schemas/A"}) == "text"
    both = {"allOf": [{"$ref": "#/components/schemas/B"}, {"$ref": "#/components/schemas/B"}]}
    assert body_of({"$ref": "#/components/schemas/B"}, B=both) is not None


def test_a_schema_that_multiplies_itself_stays_small():
    schemas = {
        f"L{level}": {
            "required": [f"p{number}" for number in range(10)],
            "properties": {
                f"p{number}": {"$ref": f"#/components/schemas/L{level + 1}"} for number in range(10)
            },
        }
        for level in range(8)
    }
    body = body_of({"$ref": "#/components/schemas/L0"}, **schemas)
    assert len(json.dumps(body)) < 50 * MAX_NODES


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"message": "x", "session_id": "y"}, "message"),
        ({"session_id": "y", "query": "x", "text": "z"}, "query"),
        ({"messages": [{"role": "user", "content": "x"}], "model": "m"}, "messages.0.content"),
        ({"data": {"input": "x"}, "id": "y"}, "data.input"),
        ({"only": "x", "count": 3}, "only"),
        ({"inputs": ["x"], "n": 1}, "inputs.0"),
        ({"a": "x", "b": "y"}, None),
        ({"count": 3}, None),
        (None, None),
        ("text", None),
    ],
)
def test_the_field_of_the_question_is_told_by_its_name(body, path):
    assert prompt_path(body) == path


def test_paths_that_could_not_be_sent_are_left_out():
    odd = ["relative", "/with space", "/line\nbreak", "/\x1b[2J", "/" + "x" * 600, "http://example.com/"]
    assert [
        found.path for found in operations_of(document({path: {"get": {}} for path in [*odd, "/good"]}))
    ] == ["/good"]


@pytest.mark.parametrize(
    "text",
    [
        "paths: " + "[" * 100_000,
        "paths: " + "- " * 50_000,
        "openapi: 3.0.0\npaths: &a\n  x: *a\n",
        "openapi: 3.0.0\npaths: !!python/object/apply:os.system ['true']\n",
        "paths: {" + "a: 1, " * 10 + "? {} : 1}",
        "paths: \x00",
    ],
    ids=["brackets", "dashes", "own alias", "python object", "odd key", "control"],
)
def test_hostile_yaml_is_no_document_or_one_without_operations(text):
    given, _ = read_document(Reply("http://x/openapi.yaml", 200, {}, text.encode()))
    assert given is None or list(operations_of(given)) == []


def test_yaml_that_unfolds_to_gigabytes_stays_small():
    lines = ["openapi: 3.0.0", "a0: &a0 {k: vvvvvvvvvvvvvvvv}"]
    for level in range(1, 12):
        merged = ", ".join([f"*a{level - 1}"] * 10)
        lines += [f"a{level}: &a{level} {{<<: [{merged}], list: [{merged}]}}"]
    lines += ["paths: {/a: {post: {requestBody: {content: {application/json: {example: *a11}}}}}}"]
    given, _ = read_document(Reply("http://x/openapi.yaml", 200, {}, "\n".join(lines).encode()))
    assert given is not None
    assert only(given).body is None or len(json.dumps(only(given).body)) < 50 * MAX_NODES


WORDS = """
    type properties required items allOf anyOf oneOf enum $ref default example examples minimum
    maximum exclusiveMinimum multipleOf minLength maxLength minItems format const schema content requestBody
    parameters application/json get post in name message servers variables url responses
"""
KEYS = st.sampled_from(WORDS.split()) | st.text(max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=30,
)


@settings(max_examples=400)
@given(rules=JSON)
def test_whatever_a_document_holds_operations_are_listed_and_bodies_are_json(rules):
    given_document = {"openapi": "3.0.0", "paths": {"/a": rules, "/b": {"post": rules}}, "servers": rules}
    for operation in operations_of(given_document):
        json.dumps(operation.body)
        assert operation.path.startswith("/")


SCHEMAS = st.recursive(
    st.one_of(
        st.fixed_dictionaries({"type": st.just("string")}, optional={"maxLength": st.integers(1, 20)}),
        st.fixed_dictionaries({"type": st.just("integer")}, optional={"minimum": st.integers(-50, 50)}),
        st.fixed_dictionaries({"type": st.just("boolean")}),
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(
            lambda fields: {"type": "object", "properties": fields, "required": sorted(fields)}
        ),
    ),
    max_leaves=10,
)


def conforms(value: object, schema: dict) -> bool:
    kind = schema["type"]
    if kind == "object":
        return isinstance(value, dict) and all(
            name in value and conforms(value[name], inner) for name, inner in schema["properties"].items()
        )
    if kind == "array":
        return isinstance(value, list) and all(conforms(item, schema["items"]) for item in value)
    if kind == "string":
        return isinstance(value, str) and len(value) <= schema.get("maxLength", 1000)
    if kind == "integer":
        return type(value) is int and value >= schema.get("minimum", value)
    return isinstance(value, bool)


@given(schema=SCHEMAS)
def test_a_built_body_conforms_to_its_schema(schema):
    assert conforms(Builder({}).value(schema), schema)
