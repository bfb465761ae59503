"""What a service does to the driver, what the driver calls it, and that it costs the driver nothing.

Each behaviour is met by four users who come again and again. Whatever it is, every request is a failure of
the kind in the table with one example for people; the scenario ends in time; no socket, task or memory stays.
"""

from __future__ import annotations

import asyncio
import time

import psutil
import pytest
import uvloop

from checks.contract import Stage
from tests.instruments.load.loads import ASK, STREAM, a_target, load
from tests.instruments.servers import free_port

ANSWERS = [
    # what the service does            kind         what the example says
    ("closes-after-accept", "reset", "without a reply"),
    ("resets-after-accept", "reset", "reset"),
    ("resets-in-the-body", "reset", "reset"),
    ("never-answers", "timeout", "no reply"),
    ("one-byte-a-second", "timeout", "not the whole reply"),
    ("half-a-head", "protocol", "in the middle"),
    ("half-a-head-and-silence", "timeout", "not the whole reply"),
    ("endless-header", "too_large", "head"),
    ("endless-headers", "too_large", "head"),
    ("interim-replies-without-end", "too_large", "head"),
    ("control-characters-in-a-header", "protocol", "not a valid HTTP/1.1 reply"),
    ("not-http", "protocol", "not a valid HTTP/1.1 reply"),
    ("html-without-a-head", "protocol", "not a valid HTTP/1.1 reply"),
    ("switches-protocols", "protocol", "switched protocols"),
    ("length-too-long", "protocol", "in the middle"),
    ("length-too-long-and-silence", "timeout", "not the whole reply"),
    ("length-too-short", "protocol", "Content-Length is wrong"),
    ("length-below-zero", "protocol", "Content-Length"),
    ("length-that-overflows", "protocol", "Content-Length"),
    ("two-lengths", "protocol", "Content-Length"),
    ("length-and-chunks", "protocol", "Transfer-Encoding"),
    ("two-replies", "protocol", "more than one reply"),
    ("chunk-cut", "protocol", "in the middle"),
    ("chunk-size-invalid", "protocol", "chunk size"),
    ("chunk-size-overflows", "protocol", "not a valid HTTP/1.1 reply"),
    ("chunk-longer-than-it-says", "protocol", "not a valid HTTP/1.1 reply"),
    ("endless-body", "too_large", "4096 KiB"),
    ("endless-chunks", "too_large", "4096 KiB"),
    ("endless-trailers", "too_large", "4096 KiB"),
    ("a-hundred-megabytes", "too_large", "4096 KiB"),
    ("gzip-bomb", "too_large", "inflated"),
    ("broken-gzip", "wrong_body", "not JSON"),
    ("invalid-utf-8", "wrong_body", "not JSON"),
    ("not-json", "wrong_body", "not JSON"),
    ("deep-json", "wrong_body", "not JSON"),
    ("an-error", "status", "HTTP 500"),
    ("a-rate-limit", "status", "rate limiting (Retry-After: 7)"),
    ("a-redirect", "redirect", "follows no redirects"),
    ("a-secret-said-back", "status", "Bearer $TOKEN"),
]
STREAMS = [
    ("never-answers", "timeout", "no reply"),
    ("an-error", "status", "broken"),
    ("stream-without-an-end", "wrong_body", "before its declared end"),
    ("stream-without-a-token", "wrong_body", "without a token"),
    ("stream-of-invalid-utf-8", "wrong_body", "without a token"),
    ("stream-cut", "protocol", "in the middle"),
    ("stream-that-stalls", "timeout", "not the whole reply"),
    ("stream-gzip-bomb", "too_large", "the stream is larger"),
    ("stream-of-one-endless-event", "too_large", "one event"),
    ("stream-without-end", "too_large", "the stream is larger"),
]
BOUND_BYTES = 60 << 20
SECRET = "s3cret-" + "x" * 40


@pytest.fixture(scope="module", autouse=True)
def _warmed_up(hostile):
    """What is imported and pooled for good at the first load is not what a hostile service costs."""
    path = "/stream-without-end"
    uvloop.run(load(a_target(hostile, stream=STREAM | {"path": path}), route="stream", users=4, timeout_s=30))


def costs_nothing(url, **plan):
    """Run a load against ``url`` and assert that it ends in time and leaves nothing behind."""
    process = psutil.Process()
    more = {"resolve": lambda text: text.replace("${TOKEN}", SECRET)}
    peak_bytes = 0

    async def watched(path):
        nonlocal peak_bytes
        ask = ASK | {"path": path, "headers": {"Authorization": "Bearer ${TOKEN}"}}
        target = a_target(url, ask=ask, stream=STREAM | {"path": path})
        values = {"users": 4, "duration_s": 0.25, "timeout_s": 1} | plan
        running = asyncio.create_task(load(target, driver=more, **values))
        while not running.done():
            peak_bytes = max(peak_bytes, process.memory_info().rss)
            await asyncio.sleep(0.02)
        await asyncio.sleep(0)  # in which the event loop closes what was aborted
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        return (await running).summary, tasks, process.net_connections("tcp")

    def run(path):
        before_bytes, before = process.memory_info().rss, process.net_connections("tcp")
        started = time.perf_counter()
        summary, tasks, sockets = uvloop.run(watched(path))
        assert time.perf_counter() - started < 20, "it ends, and soon, on any machine"
        assert not tasks, "no task outlives the scenario"
        assert len(sockets) <= len(before), "no socket outlives the scenario"
        assert peak_bytes - before_bytes < BOUND_BYTES
        return summary

    return run


def timeout_s(kind):
    """So long that only what is meant to time out does, on a machine that does other things beside."""
    return 1 if kind == "timeout" else 30


def is_only(summary, kind, words):
    """Assert that everything failed, all of one kind, with one example that a person can be shown."""
    assert summary.successful == 0
    assert summary.failures == {kind: summary.failed}
    assert summary.total_requests == summary.failed >= 4
    assert (summary.p50_ms, summary.mean_ms, summary.max_ms) == (None, None, None)
    assert summary.marked == summary.cached == 0
    [(named, example)] = summary.failure_examples.items()
    assert named == kind
    assert words in example
    assert example.isprintable()
    assert len(example) <= 200
    assert "s3cret" not in example


@pytest.mark.parametrize(("path", "kind", "words"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_an_answer_like_this_is_a_failure_of_this_kind(hostile, path, kind, words):
    is_only(costs_nothing(hostile, timeout_s=timeout_s(kind))("/" + path), kind, words)


@pytest.mark.parametrize(("path", "kind", "words"), STREAMS, ids=[row[0] for row in STREAMS])
def test_a_stream_like_this_is_a_failure_of_this_kind(hostile, path, kind, words):
    load_it = costs_nothing(hostile, route="stream", timeout_s=timeout_s(kind))
    is_only(load_it("/" + path), kind, words)


@pytest.mark.parametrize(
    "path", ["never-answers", "half-a-head-and-silence", "resets-after-accept", "endless-body", "an-error"]
)
def test_arrivals_that_wait_for_nobody_come_to_their_end_and_add_up(hostile, path):
    load_it = costs_nothing(hostile, users=6, duration_s=0.5, stages=(Stage(0.5, 40, 40),), spacing="even")
    summary = load_it("/" + path)
    arrivals = summary.arrivals
    assert arrivals.scheduled == 20
    assert arrivals.sent == summary.failed == summary.total_requests
    assert arrivals.dropped == 20 - arrivals.sent
    assert arrivals.dropped or path not in ("never-answers", "half-a-head-and-silence")


def test_a_port_that_nobody_listens_on_refuses():
    summary = costs_nothing(f"http://127.0.0.1:{free_port()}")("/ask")
    is_only(summary, "refused", "refused")
    assert summary.total_requests <= 4 * 10, "a user who is refused pauses before the next attempt"


def test_a_name_that_is_nobodys_cannot_be_resolved():
    is_only(costs_nothing("http://no-such-host.invalid")("/ask"), "dns", "cannot be resolved")
