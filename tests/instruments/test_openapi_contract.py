"""Requests made by a document and replies compared with it, by the real worker; documents that mean harm."""

from __future__ import annotations

import asyncio
import functools
import json
import os
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from app.instruments.http import HttpProbe
from app.instruments.openapi import KEPT_BYTES, OpenApiDocuments
from app.instruments.openapi import contract as process
from app.instruments.openapi.excerpt import MAX_NODES, excerpt
from app.instruments.openapi.yaml_text import MAX_DEPTH, read_yaml
from checks.contract import InstrumentFailure, Operation, Reply, Target, Wish
from tests.instruments.servers import Visit, scripted, wire_to

ANSWER = {"type": "object", "required": ["answer"], "properties": {"answer": {"type": "string"}}}
QUESTION = {
    "type": "object",
    "required": ["message"],
    "additionalProperties": False,
    "properties": {"message": {"type": "string", "minLength": 1}, "language": {"enum": ["de", "en"]}},
}
JSON_REPLY = {"content-type": "application/json"}


def operation(question: object = None, answer: object = None, **more: object) -> dict:
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": question or QUESTION}}},
        "responses": {
            "200": {
                "description": "An answer",
                "content": {"application/json": {"schema": answer or ANSWER}},
            },
            "422": {"description": "Wrong", "content": {"application/problem+json": {}}},
        },
        **more,
    }


def document(posted: dict | None = None, **rest: object) -> dict:
    return {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "paths": {"/ask": {"post": posted or operation()}},
        **rest,
    }


def reply(body: object, status: int = 200, headers: dict | None = None) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply("http://127.0.0.1:1/ask", status, JSON_REPLY if headers is None else headers, data)


async def opened(text: str, place: str = "/openapi.json", **target: object):
    """The instrument of a service that publishes ``text``, and its operations."""

    async def talk(visit: Visit) -> None:
        found = visit.path == place
        await visit.reply(text if found else "not here", 200 if found else 404)

    async with scripted(talk) as server:
        given = Target.model_validate({"url": server.url, **target})
        async with wire_to(given) as wire:
            openapi = OpenApiDocuments(given, HttpProbe(wire, kept_bytes=KEPT_BYTES))
            return openapi, await openapi.operations()


async def made(given: dict, valid: int = 4, invalid: int = 4, seed: int = 3):
    openapi, operations = await opened(json.dumps(given))
    return await openapi.examples([Wish(each, valid, invalid) for each in operations], seed=seed)


async def compared(given: dict, *replies: Reply):
    openapi, [only] = await opened(json.dumps(given))
    return await openapi.deviations([(only, each) for each in replies])


async def test_requests_keep_to_the_schema_or_do_not_as_was_wished():
    examples = await made(document())
    assert examples.problem == ""
    good = [json.loads(each.request.body) for each in examples.made if each.valid]
    assert good
    assert all(body["message"] and set(body) <= {"message", "language"} for body in good)
    assert [each for each in examples.made if not each.valid]
    assert {(each.request.method, each.request.url) for each in examples.made} == {("POST", "/ask")}
    names = {name.lower() for each in examples.made for name in each.request.headers}
    assert not names & {"host", "user-agent", "content-length", "x-schemathesis-testcaseid"}


async def test_the_same_seed_makes_the_same_requests_and_another_one_others():
    [first, again, other] = await asyncio.gather(*(made(document(), seed=seed) for seed in (3, 3, 4)))
    assert [each.request for each in first.made] == [each.request for each in again.made]
    assert [each.request for each in first.made] != [each.request for each in other.made]


async def test_paths_stand_below_the_base_path_and_parameters_are_made_too():
    item = {"type": "integer", "minimum": 1, "maximum": 9}
    given = {
        "swagger": "2.0",
        "info": {"title": "t", "version": "1"},
        "host": "example.com",
        "basePath": "/v2",
        "paths": {
            "/items/{number}": {
                "get": {
                    "parameters": [{"in": "path", "name": "number", "required": True, **item}],
                    "responses": {"200": {"description": "ok"}},
                }
            }
        },
    }
    examples = await made(given, invalid=0)
    assert examples.made
    assert {each.request.url.rpartition("/")[0] for each in examples.made} == {"/v2/items"}
    assert examples.made[0].operation.label == "GET /v2/items/{number}"


async def test_a_reply_is_compared_in_status_content_type_and_schema():
    expected = [
        (reply({"answer": "x"}), ""),
        (reply({}, 422, {"content-type": "application/problem+json"}), ""),
        (reply({"answer": None}), "schema"),
        (reply({}), "schema"),
        (reply({"answer": "x"}, 201), "status"),
        (reply({}, 422), "Content-Type"),
        (reply({"answer": "x"}, 200, {}), "Content-Type"),
        (reply(b"no json"), "JSON"),
    ]
    found = await compared(document(), *(given for given, _ in expected))
    assert [bool(each) for each in found] == [bool(what) for _, what in expected]
    assert all(what in each[0].what for each, (_, what) in zip(found, expected, strict=True) if each)


async def test_a_stream_and_a_reply_that_broke_off_are_compared_without_their_body():
    streamed = operation()
    streamed["responses"]["200"]["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    stream = reply(
        b"event: token\ndata: {}\n\n", headers={"content-type": "text/event-stream; charset=utf-8"}
    )
    assert await compared(document(streamed), stream) == [()]
    cut = Reply("http://127.0.0.1:1/ask", 200, JSON_REPLY, b'{"answ', truncated=True)
    assert await compared(document(), cut) == [()]


async def test_nothing_in_a_document_leads_off_the_target():
    async def elsewhere(visit: Visit) -> None:
        await visit.reply(json.dumps({"type": "string"}))

    async with scripted(elsewhere) as other:
        away = {
            "$id": f"{other.url}/base.json",
            "$schema": f"{other.url}/schema.json",
            "type": "object",
            "properties": {"a": {"$ref": f"{other.url}/a.json"}, "b": {"$ref": "b.json#/c"}},
        }
        posted = operation(away, away, servers=[{"url": other.url}])
        examples = await made(document(posted, servers=[{"url": other.url}]))
        assert examples.made
        assert all(each.request.url == "/ask" for each in examples.made)
        assert (await compared(document(posted), reply({"a": 1})))[0] is not None
        assert other.visits == []


async def test_the_worker_has_no_secret_and_the_places_it_could_load_from_lead_nowhere(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    told = process._environment()
    assert "s3cret" not in told.values()
    assert set(told) <= {"PATH", "LANG", "HYPOTHESIS_STORAGE_DIRECTORY", "http_proxy", "https_proxy"} | {
        "all_proxy",
        "ALL_PROXY",
    }


def workers() -> list[psutil.Process]:
    """Those that run; one that ended and is not yet reaped has no command line."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
            if "worker.py" in " ".join(child.cmdline()):
                found.append(child)
    return found


async def test_a_pattern_that_takes_for_ever_costs_its_time_and_no_more(monkeypatch):
    monkeypatch.setattr(process, "WITHIN_S", 4.0)
    slow = {
        "type": "string",
        "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$",
        "minLength": 5_000,
        "maxLength": 5_000,
    }
    harmful = operation({"type": "object", "required": ["m"], "properties": {"m": slow}}, {"type": "string"})
    given = document(harmful)
    given["paths"]["/also"] = {"post": operation()}
    started = asyncio.get_running_loop().time()
    with suppress(InstrumentFailure):  # depends on how far it came
        examples = await made(given, invalid=0)
        assert all(len(each.request.body) < 64_000 for each in examples.made)
    assert asyncio.get_running_loop().time() - started < 60
    assert not workers()


async def test_an_operation_that_cannot_be_made_leaves_the_others():
    impossible = {"type": "string", "minLength": 5, "maxLength": 2}
    given = document(operation({"type": "object", "required": ["m"], "properties": {"m": impossible}}))
    given["paths"]["/also"] = {"post": operation()}
    examples = await made(given)
    assert set(examples.failed) == {"POST /ask"}
    assert {each.operation.label for each in examples.made if each.valid} == {"POST /also"}


async def test_a_document_that_is_not_sound_is_said_to_be_so():
    examples = await made(document(operation(parameters=[{"in": "nowhere", "name": "x"}])))
    assert examples.problem


def test_an_excerpt_holds_what_an_operation_needs_and_nothing_else():
    shapes = {
        "Q": {
            "properties": {
                "next": {"$ref": "#/components/schemas/Q"},
                "r": {"$ref": "#/components/schemas/R"},
            }
        },
        "R": {"type": "string"},
        "Unused": {"type": "string"},
    }
    given = document(operation({"$ref": "#/components/schemas/Q"}), components={"schemas": shapes})
    given["paths"]["/other"] = {"get": {"responses": {}}}
    cut = excerpt(given, [("/ask", "post")])
    assert list(cut["paths"]) == ["/ask"]
    assert cut["components"]["schemas"] == {"Q": shapes["Q"], "R": shapes["R"]}


@pytest.mark.parametrize(
    "schema",
    [
        functools.reduce(lambda inner, _: {"properties": {"a": inner}}, range(200), {"type": "string"}),
        {"anyOf": [{"type": "string"}] * 200_000},
        {"properties": {f"p{number}": {"$ref": "#/components/schemas/S"} for number in range(100_000)}},
    ],
    ids=["deep", "wide", "many references"],
)
def test_what_is_too_large_for_an_excerpt_allows_everything(schema):
    shapes = {"S": {"type": "object", "properties": {"a": {"type": "string"}}}}
    cut = excerpt(document(operation(schema), components={"schemas": shapes}), [("/ask", "post")])
    assert set(cut["paths"]["/ask"]["post"]["responses"]) == {"200", "422"}
    assert len(json.dumps(cut)) < 100 * MAX_NODES


async def test_a_declared_place_is_looked_at_alone_and_with_its_headers():
    visits = []

    async def talk(visit: Visit) -> None:
        visits.append((visit.path, visit.headers.get("x-key")))
        await visit.reply(json.dumps(document()), 200 if visit.headers.get("x-key") else 401)

    async with scripted(talk) as server:
        for headers, works in (({"X-Key": "k"}, True), ({}, False)):
            target = Target.model_validate(
                {"url": server.url, "openapi": {"document": "/internal/spec", "headers": headers}}
            )
            async with wire_to(target) as wire:
                openapi = OpenApiDocuments(target, HttpProbe(wire))
                if works:
                    assert [each.path for each in await openapi.operations()] == ["/ask"]
                else:
                    with pytest.raises(InstrumentFailure, match="asks for a credential") as caught:
                        await openapi.operations()
                    assert caught.value.missing == "openapi.headers"
    assert {path for path, _ in visits} == {"/internal/spec"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"openapi": "3.0.0", "paths": {', "not sound JSON"),
        ('{"openapi": "4.0.0", "paths": {}}', "version '4.0.0'"),
        ('{"openapi": "3.0.0", "paths": [], "x": "' + "y" * 40 + '"}', "no `paths`"),
        ("openapi: 3.0.0\npaths: {a: [", "cannot be read"),
        ('{"openapi": "3.0.0", "paths": {}, "x": [' + "[]," * 6_000_001 + "1]}", "more parts than any"),
    ],
    ids=["cut", "version", "paths", "yaml", "parts"],
)
async def test_a_document_that_cannot_be_read_is_named_with_the_reason(text, words):
    with pytest.raises(InstrumentFailure, match=words) as caught:
        await opened(text)
    assert caught.value.missing == "openapi.document"
    assert "/openapi.json" in caught.value.reason


@pytest.mark.parametrize("status", [429, 503])
async def test_places_that_refuse_or_fail_do_not_prove_that_there_is_none(status):
    async def talk(visit: Visit) -> None:
        await visit.reply("", status if visit.path == "/openapi.json" else 404)

    async with scripted(talk) as server:
        target = Target(url=server.url)
        async with wire_to(target) as wire:
            with pytest.raises(InstrumentFailure, match="gave no reply of their own") as caught:
                await OpenApiDocuments(target, HttpProbe(wire)).operations()
    assert caught.value.missing is None


@pytest.mark.parametrize("place", ["/q/openapi", "/api/schema/", "/openapi/v1.json"])
async def test_rarer_places_are_looked_at_where_there_is_none_at_the_usual_ones(place):
    _, operations = await opened(json.dumps(document()), place)
    assert [each.path for each in operations] == ["/ask"]


async def test_a_document_that_a_link_header_names_is_found():
    async def talk(visit: Visit) -> None:
        if visit.path == "/":
            await visit.reply("hello", 200, Link='</my/spec>; rel="service-desc"; type="application/json"')
        else:
            await visit.reply(json.dumps(document()), 200 if visit.path == "/my/spec" else 404)

    async with scripted(talk) as server:
        target = Target(url=server.url)
        async with wire_to(target) as wire:
            assert len(await OpenApiDocuments(target, HttpProbe(wire)).operations()) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: -1.5e3\nc: ~\nd: yes\ne: 'x'\n", {"a": 1, "b": -1500.0, "c": None, "d": "yes", "e": "x"}),
        (
            "a: '1'\nb: !!int '2'\nc: 2025-01-01\nd: true\n",
            {"a": "1", "b": "2", "c": "2025-01-01", "d": True},
        ),
        ("200: ok\n", {"200": "ok"}),
        ("a: &x [1, 2]\nb: *x\n", {"a": [1, 2], "b": [1, 2]}),
        ("a: &x {k: 1}\nb: {<<: *x}\n", {"a": {"k": 1}, "b": {"<<": {"k": 1}}}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ("- 1\n- [a, {b: c}]\n", [1, ["a", {"b": "c"}]]),
        ("", None),
    ],
)
def test_yaml_is_read_as_far_as_it_is_json(text, value):
    assert read_yaml(text) == value


@pytest.mark.parametrize("text", ["[" * (MAX_DEPTH + 1), "a: [", "? [a]\n: b", "a: \x00", "!!x/y z: {"])
def test_what_is_no_yaml_or_too_deep_is_a_value_error(text):
    with pytest.raises(ValueError):
        read_yaml(text)


def test_the_worker_is_a_script_that_loads_nothing_of_the_project():
    text = Path(process.WORKER).read_text()
    assert "from app" not in text
    assert "from checks" not in text
    assert os.access(process.WORKER, os.R_OK)


def test_an_operation_is_called_by_its_template():
    found = Operation("GET", "/items/1", "", None, None, False, template="/items/{number}")
    assert found.label == "GET /items/{number}"
