"""Business questions, judged by the target's own words, and the curl line that repeats them."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from contextlib import asynccontextmanager
from random import Random

import pytest

from app.instruments.http import HttpProbe
from app.instruments.prompts import RunPrompts
from app.instruments.questions import DeclaredQuestions
from app.instruments.sse import SseReader
from checks.contract import FailureKind, InstrumentFailure, Target
from tests.instruments.servers import Visit, scripted, wire_to

ASK = {
    "path": "/chat",
    "body": {"q": "{prompt}", "user": "{user}", "session": "{session}"},
    "answer": "a.0.text",
}
STREAM = {"path": "/stream", "body": {"q": "{prompt}"}, "token": "text", "end_event": "done"}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Cache: hit\r\nConnection: close\r\n\r\n"
GOOD = '{"a": [{"text": " Within 30 days. "}], "meta": {"cached": true}}'


@asynccontextmanager
async def questions_to(talk, environment=None, **declared):
    async with scripted(talk) as server:
        target = Target.model_validate({"url": server.url, **declared})
        async with wire_to(target, environment) as wire:
            sse = SseReader(wire, target.stream.ends if target.stream else None)
            prompts = RunPrompts(target.prompts.repeat, Random(1))
            yield DeclaredQuestions(target, HttpProbe(wire), sse, prompts, Random(2)), server


def replying(body: str, status: int = 200, **headers: str):
    async def talk(visit: Visit) -> None:
        await visit.reply(body, status, **headers)

    return talk


def streaming(*events: str):
    async def talk(visit: Visit) -> None:
        await visit.write(HEAD + "".join(f"{event}\n\n" for event in events).encode())
        visit.writer.close()

    return talk


async def answer_to(talk, ask=None, **declared):
    async with questions_to(talk, ask={**ASK, **(ask or {})}, **declared) as (questions, _):
        return await questions.ask("Why?")


async def streamed(talk, stream=None):
    async with questions_to(talk, stream={**STREAM, **(stream or {})}) as (questions, _):
        return await questions.ask("Why?", route="stream")


async def test_a_good_status_with_text_at_the_declared_path_is_a_good_answer():
    answer = await answer_to(replying(GOOD))
    assert (answer.good, answer.text, answer.status, answer.problem) == (True, "Within 30 days.", 200, "")
    assert answer.cached is None
    assert answer.elapsed_ms > 0


async def test_a_status_that_is_not_declared_good_is_a_problem_of_kind_status():
    answer = await answer_to(replying(GOOD, 500))
    assert not answer.good
    assert answer.failure is not None
    assert answer.failure.kind is FailureKind.STATUS
    assert answer.problem == "status 500 instead of 200 or 201"


async def test_which_statuses_are_good_is_declared():
    assert (await answer_to(replying(GOOD, 202), {"good_statuses": [202]})).good
    assert not (await answer_to(replying(GOOD, 200), {"good_statuses": [202]})).good


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "not JSON"),
        ("<html>", "not JSON"),
        ('{"a": []}', "no text at `a.0.text`"),
        ('{"a": [{"text": "  "}]}', "no text at `a.0.text`"),
        ('{"a": [{"text": null}]}', "no text at `a.0.text`"),
        ('{"a": [{"text": "' + "y" * (2 << 20) + '"}]}', "larger than 1 MiB"),
        ("[" * 100_000, "not JSON"),
    ],
    ids=["empty", "html", "missing", "blank", "null", "huge", "nested"],
)
async def test_a_body_without_the_declared_text_is_a_problem_of_kind_wrong_body(body, said):
    answer = await answer_to(replying(body))
    assert not answer.good
    assert answer.failure is not None
    assert answer.failure.kind is FailureKind.WRONG_BODY
    assert said in answer.problem


async def test_without_a_declared_path_any_body_is_the_answer_and_an_empty_one_is_none():
    assert (await answer_to(replying("plain words"), {"answer": None})).text == "plain words"
    assert (await answer_to(replying("  "), {"answer": None})).problem == "the reply's body is empty"


@pytest.mark.parametrize(
    ("marker", "cached"),
    [
        ({"json": "meta.cached", "equals": True}, True),
        ({"json": "meta.cached", "equals": False}, False),
        ({"header": "X-Cache", "equals": "HIT"}, True),
        ({"header": "Age", "present": True}, False),
    ],
)
async def test_whether_an_answer_was_cached_is_read_by_the_declared_marker(marker, cached):
    answer = await answer_to(replying(GOOD, X_Cache="hit"), {"cached": marker})
    assert answer.cached is cached


async def test_an_answer_that_is_not_good_has_no_marker():
    answer = await answer_to(replying(GOOD, 500), {"cached": {"json": "meta.cached", "equals": True}})
    assert answer.cached is None


async def test_a_stream_joins_its_tokens_and_is_good_when_its_declared_end_came():
    talk = streaming(
        'data: {"role": "x"}', 'data: {"text": "With"}', 'data: {"text": "in"}', "event: done\ndata: {}"
    )
    answer = await streamed(talk)
    assert (answer.route, answer.good, answer.text, answer.status) == ("stream", True, "Within", 200)


async def test_the_marker_of_a_stream_is_in_its_last_event_or_its_headers():
    talk = streaming('data: {"text": "a"}', 'event: done\ndata: {"meta": {"cached": true}}')
    assert (await streamed(talk, {"cached": {"json": "meta.cached", "equals": True}})).cached is True
    assert (await streamed(talk, {"cached": {"header": "x-cache", "equals": "hit"}})).cached is True
    assert (await streamed(talk, {"cached": {"json": "other", "present": True}})).cached is False


async def test_a_stream_without_its_declared_end_is_not_good():
    answer = await streamed(streaming('data: {"text": "a"}'))
    assert not answer.good
    assert "without its declared last event" in answer.problem


async def test_a_stream_without_a_declared_end_is_complete_when_it_closes():
    assert (await streamed(streaming('data: {"text": "a"}'), {"end_event": None})).good


async def test_a_stream_without_token_text_is_not_good():
    answer = await streamed(streaming('data: {"role": "x"}', "event: done\ndata: {}"))
    assert not answer.good
    assert answer.problem.startswith("no token text in 2 events (text/event-stream)")


async def test_ask_is_the_route_where_it_answers_and_stream_where_only_that_does():
    async def talk(visit: Visit) -> None:
        if visit.path == "/stream":
            await streaming('data: {"text": "a"}', "event: done\ndata: {}")(visit)
        else:
            await visit.reply(GOOD, 500 if broken else 200)

    async with questions_to(talk, ask=ASK, stream=STREAM) as (questions, server):
        broken = False
        assert await questions.route() == "ask"
        broken = True
        assert await questions.route() == "stream"
        prompts = [json.loads(visit.body)["q"] for visit in server.visits]
    assert len(set(prompts)) == len(prompts) == 4  # the broken one is tried twice


async def test_a_route_that_fails_now_and_then_is_still_the_route():
    async def talk(visit: Visit) -> None:
        await visit.reply(GOOD, 500 if len(server.visits) % 2 else 200)

    async with questions_to(talk, ask=ASK, stream=STREAM) as (questions, server):
        assert await questions.route() == "ask"
    assert [visit.path for visit in server.visits] == ["/chat", "/chat"]


async def test_no_route_answers_where_nothing_does():
    async with questions_to(replying("oops", 500), ask=ASK, stream=STREAM) as (questions, _):
        assert await questions.route() is None


async def test_a_route_that_hangs_is_given_up_after_the_time_out():
    async def talk(visit: Visit) -> None:
        await asyncio.Event().wait()

    async with questions_to(talk, ask=ASK) as (questions, _):
        assert await questions.route(timeout_s=0.2) is None


async def test_every_question_has_a_session_of_its_own_and_the_same_user_unless_told():
    async with questions_to(replying(GOOD), ask=ASK) as (questions, server):
        await questions.ask("one")
        await questions.ask("two")
        await questions.ask("three", user="u", session="s")
        first, second, third = (json.loads(visit.body) for visit in server.visits)
    assert first["user"] == second["user"] != ""
    assert first["session"] != second["session"]
    assert (third["user"], third["session"]) == ("u", "s")


async def test_a_curl_line_is_of_the_user_and_session_that_were_asked_for():
    async with questions_to(replying(GOOD), ask=ASK) as (questions, _):
        line = questions.curl("Why?", user="ada", session="hers")
    assert '"user": "ada"' in line
    assert '"session": "hers"' in line


async def test_a_route_that_is_not_declared_names_the_key_to_add():
    async with questions_to(replying(GOOD), ask=ASK) as (questions, _):
        with pytest.raises(InstrumentFailure) as caught:
            await questions.ask("Why?", route="stream")
    assert caught.value.missing == "stream"


async def test_the_curl_line_asks_the_same_question_with_secrets_as_shell_variables():
    ask = {**ASK, "headers": {"Authorization": "Bearer ${TOKEN}", "X-It's": "a 'b' $HOME `c`"}}
    async with questions_to(replying(GOOD), {"TOKEN": "s3cret-value"}, ask=ask) as (questions, server):
        line = questions.curl("It's \"so\", isn't it? $HOME `x`")
        environment = {"TOKEN": "s3cret-value", "PATH": "/usr/bin:/bin"}
        command = asyncio.to_thread(subprocess.run, ["sh", "-c", line], env=environment, capture_output=True)
        done = await command
        (visit,) = server.visits
    assert "s3cret-value" not in line
    assert re.search(r'"\$TOKEN"', line)
    assert done.stdout.decode() == GOOD
    assert visit.headers["authorization"] == "Bearer s3cret-value"
    assert visit.headers["x-it's"] == "a 'b' $HOME `c`"
    assert json.loads(visit.body)["q"] == "It's \"so\", isn't it? $HOME `x`"
