"""Misbehaviour of the documents that a service publishes: OpenAPI, metrics, health."""

from __future__ import annotations

import asyncio
import json

from tests.hostile.behaviours.connections import for_ever
from tests.hostile.behaviours.texts import ODD, odd_document
from tests.hostile.visits import Visit, behaves

TEXT = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
OPERATION = {
    "summary": "One of many",
    "requestBody": {
        "content": {
            "application/json": {"schema": {"type": "object", "properties": {"message": {"type": "string"}}}}
        }
    },
    "responses": {"200": {"description": "fine"}},
}


@behaves("openapi")
async def publishes_a_huge_openapi(visit: Visit) -> None:
    """Thirty megabytes, a hundred thousand operations."""
    one = json.dumps({"post": OPERATION})
    head = '{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {'
    await visit.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + head.encode())
    for start in range(0, 110_000, 1000):
        await visit.write("".join(f'"/chat/{n}": {one}, ' for n in range(start, start + 1000)).encode())
    await visit.write(b'"/end": {}}}')
    visit.writer.close()


@behaves("openapi")
async def publishes_an_endless_openapi(visit: Visit) -> None:
    await visit.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"openapi": "3.1.0", "x": "')
    while True:
        await visit.write(b"x" * 1_000_000)


@behaves("openapi")
async def publishes_an_openapi_that_refers_to_itself(visit: Visit) -> None:
    loop = {"$ref": "#/components/schemas/A"}
    schemas = {
        "A": {"allOf": [loop, {"$ref": "#/components/schemas/B"}], "properties": {"message": loop}},
        "B": {"oneOf": [{"$ref": "#/components/schemas/A"}] * 5, "items": {"$ref": "#/components/schemas/B"}},
        "C": {"$ref": "#/components/schemas/C"},
        "D": {"$ref": "#/components/schemas/D/properties/x", "properties": {"x": {"$ref": "#"}}},
    }
    paths = {
        f"/chat/{name}": {
            "$ref": f"#/paths/~1chat~1{name}",
            "post": {
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
                },
                "responses": {"200": {"$ref": "#/components/responses/R"}},
            },
        }
        for name in schemas
    }
    paths["/api/chat"] = paths["/chat/A"]
    responses = {"R": {"$ref": "#/components/responses/R"}}
    info = {"title": "t", "version": "1"}
    components = {"schemas": schemas, "responses": responses}
    await visit.json(json.dumps({"openapi": "3.1.0", "info": info, "paths": paths, "components": components}))


@behaves("openapi")
async def publishes_an_openapi_of_lies(visit: Visit) -> None:
    """Wrong types everywhere, places elsewhere, numbers and patterns that nobody can satisfy."""
    here = visit.elsewhere
    schema = {
        "type": ["object", 7, None],
        "required": {"message": 1},
        "properties": {
            "message": {"type": "string", "minLength": 10**12, "pattern": "(a+)+$", "example": ODD},
            "session_id": {"type": "number", "minimum": 1e308, "multipleOf": 1e-320, "maximum": "many"},
            "x": {"enum": [], "const": ["x"] * 1000, "format": ["uuid"]},
            ODD: {"type": "array", "minItems": 10**9, "items": {"$ref": f"{here}/schema.json"}},
        },
    }
    content = {"application/json": {"schema": schema}, ODD: 5}
    lies = {
        "summary": ODD, "operationId": ["x"], "parameters": [None, 7, {"in": "query", "name": ODD}],
        "requestBody": {"content": content}, "responses": {"default": None, "200": 7, ODD: []},
    }  # fmt: skip
    document = {
        "openapi": "3.1.0", "info": ODD, "host": "example.com", "basePath": here,
        "servers": [{"url": here}, {"url": "${HOSTILE_TOKEN}"}, 7],
        "paths": {
            "/api/chat": {"post": lies, "get": None, "summary": 7}, f"{here}/chat": {"post": lies},
            "//127.0.0.2/chat": {"post": lies}, "/chat/../../x": {"post": lies},
            "/chat\r\nX: 1": {"post": lies}, "/chat/{a}/{a}/{": {"post": lies}, "/ask?q={q}": {"get": lies},
            "/chat/${HOSTILE_TOKEN}": {"post": lies}, "no-slash": {"post": lies}, "/list": [],
            "/number": 7, "/message": {"post": "x", "put": [lies]},
        },
    }  # fmt: skip
    await visit.json(json.dumps(document))


@behaves("openapi")
async def publishes_yaml_that_grows(visit: Visit) -> None:
    lines = ["openapi: 3.0.0", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    lines += ["paths:", "  /api/chat:", "    post:", "      requestBody:", "        content:"]
    lines += [
        "          application/json:",
        "            schema: {example: *a11, properties: {message: *a11}}",
    ]
    await visit.reply("\n".join(lines), Content_Type="application/yaml")


@behaves("openapi")
async def publishes_yaml_ten_thousand_deep(visit: Visit) -> None:
    await visit.reply("openapi: 3.0.0\npaths: " + "[" * 10_000, Content_Type="text/yaml")


@behaves("openapi")
async def drips_its_openapi(visit: Visit) -> None:
    await visit.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"openapi": "3.1.0",')
    while True:
        await visit.write(b" ")
        await asyncio.sleep(1)


@behaves("openapi")
async def links_to_a_thousand_documents(visit: Visit) -> None:
    links = "".join(f'<a href="/openapi-{visit.number}-{n}.json">x</a>' for n in range(1000))
    await visit.reply(f'<a href="{visit.elsewhere}/openapi.json">x</a>{links}', Content_Type="text/html")


@behaves("metrics")
async def shows_a_million_series(visit: Visit) -> None:
    await visit.write(TEXT + b"\r\n# TYPE http_requests_total counter\n")
    for start in range(0, 1_000_000, 10_000):
        lines = (f'http_requests_total{{path="/{n}"}} {n}\n' for n in range(start, start + 10_000))
        await visit.write("".join(lines).encode())
    visit.writer.close()


@behaves("metrics")
async def shows_metrics_of_nonsense(visit: Visit) -> None:
    lines = (
        "# TYPE http_requests_total counter", 'http_requests_total{method="POST",route="/api/chat"} NaN',
        'http_requests_total{method="POST",route="/api/chat"} -1e999', "process_resident_memory_bytes -Inf",
        f'x{{y="{json.dumps(ODD)[1:-1]}"}} 1', "process_start_time_seconds 1e999", "# TYPE x \x1b[31m",
        f'token{{secret="{visit.headers.get("authorization", "")}"}} 1', "{} 7", 'a{b="c} 1', "\x00 1",
    )  # fmt: skip
    await visit.reply("\n".join(lines), Content_Type="text/plain; version=0.0.4")


@behaves("metrics")
async def shows_metrics_with_huge_labels(visit: Visit) -> None:
    labels = ",".join(f'l{n}="{"v" * 4000}"' for n in range(1000))
    await visit.reply(f"http_requests_total{{{labels}}} 1\n", Content_Type="text/plain; version=0.0.4")


@behaves("metrics")
async def says_openmetrics_and_shows_none(visit: Visit) -> None:
    text = '# EOF\n# TYPE a histogram\na_bucket{le="x"} 1 # {} 1e999 -1\n# TYPE a gauge\n' + "# HELP\n" * 9999
    await visit.reply(text, Content_Type="application/openmetrics-text; version=1.0.0")


@behaves("metrics")
async def hangs_within_its_metrics(visit: Visit) -> None:
    await visit.write(TEXT + b"Content-Length: 5000\r\n\r\n# TYPE a counter\na_total 1\n")
    await for_ever().wait()


@behaves("health")
async def takes_nearly_ten_seconds_for_health(visit: Visit) -> None:
    await asyncio.sleep(9.9)
    await visit.usual()


@behaves("health")
async def takes_nearly_a_time_out_for_health(visit: Visit) -> None:
    await asyncio.sleep(4.9)
    await visit.usual()


@behaves("health")
async def says_ten_thousand_words_of_health(visit: Visit) -> None:
    parts = {f"part-{n}{ODD}": {"status": ODD, "state": "down " * 500} for n in range(1500)}
    await visit.json(json.dumps({"status": ODD, "instance": ODD * 50, "checks": parts}))


@behaves("health")
async def says_a_new_instance_each_time(visit: Visit) -> None:
    text = json.dumps(
        {**odd_document(visit.headers), "status": "up", "instance": f"{ODD}{visit.number}" * 99}
    )
    dates = ("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -9999", "0", "1e999")
    await visit.json(text, Date=dates[visit.number % 4], Server=f"x{visit.number}\x1b[31m")
