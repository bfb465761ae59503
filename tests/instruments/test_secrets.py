"""Secrets go where the target file sends them, and are seen nowhere else."""

from __future__ import annotations

import json

import pytest

from app.instruments.http import HttpProbe
from app.instruments.references import References
from checks.contract import InstrumentFailure, Request, Target
from tests.instruments.servers import Visit, scripted, wire_to

TOKEN = 'se"cret/token'
ENVIRONMENT = {"APP_TOKEN": TOKEN, "OTHER": "unrelated value"}


def target_at(url: str) -> Target:
    return Target.model_validate(
        {
            "url": url,
            "ask": {
                "path": "/ask?key=${APP_TOKEN}",
                "headers": {"Authorization": "Bearer ${APP_TOKEN}"},
                "body": {"token": "${APP_TOKEN}", "q": "{prompt}"},
            },
        }
    )


async def echo(visit: Visit) -> None:
    seen = {"path": visit.path, "auth": visit.headers.get("authorization"), "body": visit.body.decode()}
    await visit.reply(json.dumps(seen) + TOKEN, X_Echo=visit.headers.get("authorization", ""))


async def test_references_are_filled_in_just_before_sending_and_escaped_for_their_place():
    async with scripted(echo) as server, wire_to(target_at(server.url), ENVIRONMENT) as wire:
        await HttpProbe(wire).send(target_at(server.url).ask.render(prompt="Hi"))
        (visit,) = server.visits
    assert visit.headers["authorization"] == f"Bearer {TOKEN}"
    assert visit.path == "/ask?key=se%22cret%2Ftoken"
    assert json.loads(visit.body) == {"token": TOKEN, "q": "Hi"}


async def test_a_service_that_echoes_a_secret_does_not_bring_it_into_the_reply():
    async with scripted(echo) as server, wire_to(target_at(server.url), ENVIRONMENT) as wire:
        reply = await HttpProbe(wire).send(target_at(server.url).ask.render(prompt="Hi"))
    shown = f"{reply}"
    assert "cret" not in shown.replace("$APP_TOKEN", "")
    assert reply.headers["x-echo"] == "Bearer $APP_TOKEN"
    assert reply.url.endswith("/ask?key=$APP_TOKEN")


async def test_a_reference_that_the_target_file_does_not_make_gets_no_value():
    body = b'{"example": "${OTHER} ${PATH}"}'
    async with scripted(echo) as server, wire_to(target_at(server.url), ENVIRONMENT) as wire:
        await HttpProbe(wire).send(Request("POST", "/", {"Content-Type": "application/json"}, body))
        assert server.visits[0].body == body


async def test_a_secret_of_the_target_is_not_resolved_for_another_declared_place():
    async with scripted(echo) as server, scripted(echo) as partner:
        document = target_at(server.url).model_dump(exclude_none=True, by_alias=True)
        document["upstream"] = {"calls": {"url": partner.url + "/meter", "json": "calls"}}
        async with wire_to(Target.model_validate(document), ENVIRONMENT) as wire:
            await HttpProbe(wire).send(Request("POST", partner.url, {"A": "${APP_TOKEN}"}, b"${APP_TOKEN}"))
        assert (partner.visits[0].headers["a"], partner.visits[0].body) == ("${APP_TOKEN}", b"${APP_TOKEN}")


async def test_a_variable_that_is_not_set_is_named():
    async with scripted(echo) as server, wire_to(target_at(server.url), {}) as wire:
        with pytest.raises(InstrumentFailure, match="no environment variable APP_TOKEN is set") as caught:
            await HttpProbe(wire).send(target_at(server.url).ask.render(prompt="Hi"))
        assert caught.value.missing == "APP_TOKEN"
        assert server.visits == []


def test_values_are_hidden_in_every_form_they_may_come_back_in():
    references = References(ENVIRONMENT)
    references.resolve("${APP_TOKEN}")
    for form in (TOKEN, "se%22cret%2Ftoken", 'se\\"cret/token'):
        assert references.hide(f"before {form} after") == "before $APP_TOKEN after"


def test_a_value_too_short_to_be_a_secret_is_left_in_texts():
    references = References({"PORT": "1"})
    assert references.resolve("${PORT}") == "1"
    assert references.hide("1 of 10") == "1 of 10"
