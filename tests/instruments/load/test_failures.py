"""Every way to fail a request has its kind and an example, and none stops the scenario."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import tracemalloc

import pytest
import uvloop

from app.instruments.load.http1.connection import MAX_REPLY_BYTES
from app.instruments.load.http1.replies import AnswerReader
from checks.contract.target.service import Ask
from tests.instruments.load.loads import ASK, GOOD, a_target, answers, load, writes
from tests.instruments.servers import Visit, scripted

OK = b"HTTP/1.1 200 OK\r\n"


def tried(talk, *, ask=None, **plan):
    async def main():
        async with scripted(talk) as server:
            return (await load(a_target(server.url, ask=ask or ASK), **plan)).summary

    return uvloop.run(main())


def only(summary, kind):
    """Assert that everything failed, all of one kind; return its example."""
    assert summary.successful == 0
    assert summary.total_requests == summary.failed >= 1
    assert summary.failures == {kind: summary.failed}
    assert list(summary.failure_examples) == [kind]
    assert (summary.p50_ms, summary.mean_ms, summary.max_ms) == (None, None, None)
    assert summary.marked == summary.cached == 0
    return summary.failure_examples[kind]


@pytest.mark.parametrize("head", [OK + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n", OK + b"X: "])
def test_an_endless_reply_is_cut_at_its_bound(head):
    async def talk(visit: Visit) -> None:
        await visit.write(head)
        while True:
            await visit.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n" if b"chunked" in head else b"x" * 65_536)

    summary = tried(talk, users=1, think_time_ms=0, duration_s=0.1, timeout_s=60)
    assert "KiB" in only(summary, "too_large")
    assert summary.received_bytes <= summary.total_requests * (MAX_REPLY_BYTES + 1_000_000)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<html>Sorry</html>", "not JSON"),
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"reply": "x"}', "no answer at `answer`"),
        ('{"answer": ""}', "no answer at `answer`"),
        ('{"answer": "  "}', "no answer at `answer`"),
        ('{"answer": null}', "no answer at `answer`"),
        ('["answer"]', "no answer at `answer`"),
    ],
)
def test_a_good_status_with_a_wrong_body_is_no_answer(body, words):
    assert words in only(tried(answers(body)), "wrong_body")


def test_an_empty_body_is_no_answer_even_where_no_path_is_declared():
    ask = {"path": "/ask"}
    assert "empty" in only(tried(answers(""), ask=ask), "wrong_body")
    assert tried(answers("fine"), ask=ask).failed == 0


def test_a_204_is_an_answer_where_no_path_is_declared():
    ask = {"path": "/ask", "body": {"message": "{prompt}"}, "good_statuses": [204]}
    assert tried(writes(b"HTTP/1.1 204 No Content\r\n\r\n"), ask=ask).failed == 0
    only(tried(writes(b"HTTP/1.1 204 No Content\r\n\r\n"), ask=ask | {"answer": "answer"}), "wrong_body")


def test_a_byte_order_mark_before_json_is_passed_over():
    assert tried(answers(b"\xef\xbb\xbf" + GOOD.encode())).failed == 0


def test_a_reply_is_forgotten_once_it_is_judged():
    """Or a thousand users who think would each keep their last reply."""
    for ask in (ASK, {"path": "/ask"}):
        reader = AnswerReader(Ask.model_validate(ask))
        reader.begin({})
        reader.feed(GOOD.encode())
        assert reader.verdict(200, {}).failure is None
        assert reader.verdict(200, {}).failure is not None


def test_the_declared_share_of_errors_is_counted_and_is_no_latency():
    turns = itertools.count()

    async def talk(visit: Visit) -> None:
        if next(turns) % 4 == 0:
            await asyncio.sleep(0.2)
            await visit.reply('{"detail": "broken"}', 500)
        else:
            await visit.reply(GOOD)

    summary = tried(talk, users=1, duration_s=1.5)
    assert abs(summary.failed - summary.total_requests / 4) <= 1
    assert summary.failures == {"status": summary.failed}
    assert "HTTP 500" in summary.failure_examples["status"]
    assert "broken" in summary.failure_examples["status"]
    assert summary.p50_ms < 200, "only the failed replies took 200 ms"


def test_a_rate_limit_is_named_beside_other_errors():
    turns = itertools.count()

    async def talk(visit: Visit) -> None:
        status = 500 if next(turns) == 0 else 429
        await visit.reply("{}", status, Retry_After="7")

    example = only(tried(talk, users=1), "status")
    assert "rate limiting (Retry-After: 7)" in example
    assert "1\u00a0reply with HTTP 500" in example


def test_a_redirect_is_not_followed():
    summary = tried(answers("", 307, Location="/elsewhere"))
    assert "/elsewhere" in only(summary, "redirect")


def test_a_declared_good_status_is_good():
    assert tried(answers(GOOD, 202), ask=ASK | {"good_statuses": [202]}).failed == 0
    assert "HTTP 200" in only(tried(answers(GOOD), ask=ASK | {"good_statuses": [202]}), "status")


def test_a_reply_that_is_compressed_although_identity_was_asked_for_is_read():
    for encoding in ("gzip", "GZIP", "x-gzip"):
        talk = answers(gzip.compress(GOOD.encode()), Content_Encoding=encoding)
        summary = tried(talk)
        assert summary.failed == 0
        assert summary.cached == summary.total_requests


def test_inflating_stops_at_the_bound():
    reader = AnswerReader(Ask.model_validate(ASK))
    reader.feed(gzip.compress(bytes(50 * MAX_REPLY_BYTES)))
    tracemalloc.start()
    try:
        verdict = reader.verdict(200, {b"Content-Encoding": b"gzip"})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert verdict.failure is not None
    assert peak < 10 * MAX_REPLY_BYTES


def test_a_broken_encoding_is_a_wrong_body():
    assert "not JSON" in only(tried(answers(b"\x1f\x8bnonsense", Content_Encoding="gzip")), "wrong_body")
    assert "not JSON" in only(tried(answers(b"\x1b\x03nonsense", Content_Encoding="br")), "wrong_body")


def test_examples_are_short_printable_and_without_secrets():
    secret = "s3cret-" + "x" * 3000
    ask = ASK | {"headers": {"Authorization": "Bearer ${TOKEN}"}}

    async def talk(visit: Visit) -> None:
        echoed = visit.headers["authorization"]
        await visit.reply("\x1b[2J\u202e " + echoed, 500)

    async def main():
        async with scripted(talk) as server:
            resolve = lambda text: text.replace("${TOKEN}", secret)  # noqa: E731
            target = a_target(server.url, ask=ask)
            return (await load(target, driver={"resolve": resolve})).summary, server.visits

    summary, visits = uvloop.run(main())
    assert visits[0].headers["authorization"] == f"Bearer {secret}"
    example = only(summary, "status")
    assert "Bearer $TOKEN" in example
    assert "s3cret" not in example
    assert example.isprintable()
    assert len(example) <= 200


def test_bytes_that_nobody_asked_for_cost_the_connection_and_nothing_else():
    async def talk(visit: Visit) -> None:
        await visit.reply(GOOD)
        await asyncio.sleep(0.01)
        await visit.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")

    async def main():
        async with scripted(talk) as server:
            told = await load(a_target(server.url), users=1, think_time_ms=60)
            return told.summary, server.connections

    summary, connections = uvloop.run(main())
    assert summary.failed == 0
    assert connections == summary.total_requests > 1


def test_the_marker_is_judged_as_declared():
    def cached(reply, marker, **headers):
        summary = tried(answers(json.dumps({"answer": "x"} | reply), **headers), ask=ASK | {"cached": marker})
        assert summary.failed == 0
        return summary.cached / summary.total_requests, summary.marked / summary.total_requests

    path = {"json": "from_cache", "equals": True}
    assert cached({"from_cache": True}, path) == (1, 1)
    assert cached({"from_cache": False}, path) == (0, 1)
    assert cached({}, path) == (0, 0), "a marker that no reply has says nothing"
    assert cached({}, {"json": "from_cache", "present": True}) == (0, 1)
    header = {"header": "X-Cache", "equals": "HIT"}
    assert cached({}, header, X_Cache="hit") == (1, 1)
    assert cached({}, header, x_cache="MISS") == (0, 1)
    assert cached({}, header) == (0, 0)
    assert cached({}, None) == (0, 0)


def test_a_reply_without_the_marker_is_a_miss_where_others_have_it():
    turns = itertools.count()

    async def talk(visit: Visit) -> None:
        await visit.reply(GOOD if next(turns) % 2 else '{"answer": "x"}')

    summary = tried(talk, users=1)
    assert summary.marked == summary.total_requests
    assert abs(summary.cached - summary.total_requests / 2) <= 1
