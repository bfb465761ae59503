"""Metrics pages, read as Prometheus reads them, and the upstream meter that may be one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from app.instruments.http import HttpProbe
from app.instruments.metrics import (
    KEPT_BYTES,
    MAX_LABEL_NAMES,
    MAX_LABEL_VALUES,
    MAX_SERIES,
    MAX_VALUE_CHARS,
    MetricsPage,
    scrape_of,
)
from app.instruments.upstream import UpstreamMeter
from checks.contract import FailureKind, InstrumentFailure, Reply, Sample, Scrape, Target
from tests.instruments.servers import free_port, scripted, wire_to

TEXT = "text/plain; version=0.0.4; charset=utf-8"


def page_of(text: str, kind: str = TEXT) -> Scrape:
    return scrape_of(Reply("http://x/metrics", 200, {"content-type": kind}, text.encode()))


def registry() -> CollectorRegistry:
    metrics = CollectorRegistry()
    requests = Counter("requests", "Requests", ["route", "status"], registry=metrics)
    requests.labels("/chat", "200").inc(3)
    requests.labels("/chat", "500").inc()
    Histogram("latency_seconds", "Latency", registry=metrics).observe(0.2)
    return metrics


@pytest.mark.parametrize(
    ("kind", "render"),
    [(TEXT, generate_latest), (OPENMETRICS, generate_openmetrics)],
    ids=["text", "openmetrics"],
)
async def test_a_page_of_either_format_is_scraped(kind, render):
    async def talk(visit):
        assert "openmetrics" in visit.headers["accept"]
        await visit.reply(render(registry()), Content_Type=kind)

    async with scripted(talk) as server:
        target = Target(url=server.url, health={"metrics": "/metrics"})
        async with wire_to(target) as wire:
            scrape = await MetricsPage(target, HttpProbe(wire, kept_bytes=KEPT_BYTES)).scrape()
    assert (scrape.status, scrape.parse_error, scrape.failure) == (200, "", None)
    assert {name.removesuffix("_total"): of for name, of in scrape.families.items()}["requests"] == "counter"
    assert scrape.families["latency_seconds"] == "histogram"
    assert scrape.labels["status"] == ("200", "500")
    assert scrape.labels["route"] == ("/chat",)
    assert scrape.series > 15
    good = Sample("requests_total", {"route": "/chat", "status": "200"}, 3.0)
    assert good in scrape.samples
    assert len(scrape.samples) == scrape.series


def test_a_metric_that_is_only_announced_has_no_samples():
    scrape = page_of("# HELP errors_total Errors.\n# TYPE errors_total counter\na 1\n")
    assert scrape.families["errors"] == "counter"
    assert [sample.name for sample in scrape.samples] == ["a"]


async def test_the_health_headers_come_along():
    async def talk(visit):
        await visit.reply("up 1\n" if visit.headers.get("x-key") == "k" else "", Content_Type=TEXT)

    async with scripted(talk) as server:
        target = Target(url=server.url, health={"metrics": "/metrics", "headers": {"X-Key": "${KEY}"}})
        async with wire_to(target, {"KEY": "k"}) as wire:
            assert (await MetricsPage(target, HttpProbe(wire)).scrape()).series == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html><body>Not found</body></html>",
        '{"detail":"Not Found"}',
        '{\n  "requests": 3\n}',
        'requests_total{route="a" 3\n',
        "requests_total many\n",
        "OK",
        "\x00\xff\x1b",
    ],
)
def test_what_is_no_metrics_page_says_why(text):
    assert page_of(text).parse_error


def test_openmetrics_without_its_end_is_an_error():
    assert page_of("# TYPE a counter\na_total 1\n", OPENMETRICS).parse_error


def test_the_number_of_series_is_bounded():
    lines = "".join(f'x{{n="{number}"}} 1\n' for number in range(MAX_SERIES + 1))
    scrape = page_of(lines)
    assert scrape.parse_error == f"not a metrics page: more than {MAX_SERIES:,} series"


def test_label_values_are_bounded_in_number_and_length():
    lines = [f'x{{id="{number}{"y" * 300}"}} 1' for number in range(MAX_LABEL_VALUES + 50)]
    lines += [f'y{{label{number}="1"}} 1' for number in range(MAX_LABEL_NAMES + 50)]
    scrape = page_of("\n".join(lines) + "\n")
    assert scrape.series == len(lines)
    assert len(scrape.labels) == MAX_LABEL_NAMES
    assert len(scrape.labels["id"]) == MAX_LABEL_VALUES
    assert max(map(len, scrape.labels["id"])) == MAX_VALUE_CHARS


def test_a_page_that_was_cut_says_so():
    reply = Reply("http://x/metrics", 200, {"content-type": TEXT}, b"x 1\n" * 300_000, truncated=True)
    assert scrape_of(reply).parse_error == "the page is larger than 1 MiB"


@settings(max_examples=200)
@given(text=st.one_of(st.text(max_size=200), st.text(alphabet='abc{}="\\ \n#TYPEHLcounter_1.', max_size=200)))
def test_no_text_makes_the_reader_raise(text):
    for kind in (TEXT, OPENMETRICS):
        scrape = page_of(text, kind)
        assert scrape.series or scrape.parse_error


async def test_a_service_that_is_down_is_a_failure_of_the_scrape():
    target = Target(url=f"http://127.0.0.1:{free_port()}", health={"metrics": "/metrics"})
    async with wire_to(target) as wire:
        scrape = await MetricsPage(target, HttpProbe(wire)).scrape()
    assert (scrape.status, scrape.parse_error) == (None, "")
    assert scrape.failure is not None
    assert scrape.failure.kind is FailureKind.REFUSED


async def test_without_a_declared_route_the_key_to_add_is_named():
    target = Target(url="http://127.0.0.1:1")
    async with wire_to(target) as wire:
        with pytest.raises(InstrumentFailure) as caught:
            await MetricsPage(target, HttpProbe(wire)).scrape()
    assert caught.value.missing == "health.metrics"


async def calls_at(
    body: str, count: dict[str, str], status: int = 200, kind: str = "application/json"
) -> float:
    async def talk(visit):
        await visit.reply(body, status, Content_Type=kind)

    async with scripted(talk) as meter:
        declared = {"calls": {"url": meter.url + "/meter", **count}}
        target = Target.model_validate({"url": "http://127.0.0.1:1", "upstream": declared})
        async with wire_to(target, reading=True) as wire:
            return await UpstreamMeter(target, HttpProbe(wire)).calls()


async def test_a_meter_is_read_from_json_or_as_the_sum_of_a_metric():
    assert await calls_at('{"paid": {"calls": 17}}', {"json": "paid.calls"}) == 17.0
    text = generate_latest(registry()).decode()
    assert await calls_at(text, {"metric": "requests_total"}, kind=TEXT) == 4.0
    assert await calls_at(text, {"metric": "requests"}, kind=TEXT) == 4.0


@pytest.mark.parametrize(
    ("body", "count", "status"),
    [
        ('{"calls": "17"}', {"json": "calls"}, 200),
        ('{"calls": true}', {"json": "calls"}, 200),
        ('{"calls": NaN}', {"json": "calls"}, 200),
        ('{"calls": -1e999}', {"json": "calls"}, 200),
        ('{"calls": 1e300}', {"json": "calls"}, 200),
        pytest.param(f'{{"calls": {"9" * 400}}}', {"json": "calls"}, 200, id="400 digits"),
        ("calls_total 1e300\n", {"metric": "calls"}, 200),
        (json.dumps({"other": 1}), {"json": "calls"}, 200),
        ("not json", {"json": "calls"}, 200),
        ('{"calls": 17}', {"json": "calls"}, 503),
        ("x 1\n", {"metric": "calls"}, 200),
        ("<html>", {"metric": "calls"}, 200),
    ],
)
async def test_a_meter_that_shows_no_number_cannot_be_read(body, count, status):
    with pytest.raises(InstrumentFailure, match="upstream meter"):
        await calls_at(body, count, status)


async def test_a_meter_that_is_not_declared_names_the_key_to_add():
    target = Target(url="http://127.0.0.1:1")
    async with wire_to(target) as wire:
        with pytest.raises(InstrumentFailure) as caught:
            await UpstreamMeter(target, HttpProbe(wire)).calls()
    assert caught.value.missing == "upstream.calls"


COUNTED = {"metric": "http_requests_total", "labels": {"route": "/chat"}}


async def requests_at(body: str | bytes, declared: dict[str, object], status: int = 200, kind: str = TEXT):
    async def talk(visit):
        await visit.reply(body, status, Content_Type=kind)

    async with scripted(talk) as server:
        document = {"url": server.url, "health": {"metrics": "/metrics", "requests": declared}}
        target = Target.model_validate(document)
        async with wire_to(target) as wire:
            return await MetricsPage(target, HttpProbe(wire, kept_bytes=KEPT_BYTES)).requests()


@pytest.mark.parametrize(
    ("kind", "render"),
    [(TEXT, generate_latest), (OPENMETRICS, generate_openmetrics)],
    ids=["text", "openmetrics"],
)
@pytest.mark.parametrize(
    ("metric", "labels", "expected"),
    [
        ("requests_total", {}, 4.0),
        ("requests", {}, 4.0),
        ("requests_total", {"route": "/chat"}, 4.0),
        ("requests", {"route": "/chat", "status": "500"}, 1.0),
        ("requests", {"route": "/other"}, 0.0),
        ("requests", {"other": "/chat"}, 0.0),
        ("latency_seconds_count", {}, 1.0),
    ],
)
async def test_business_requests_are_the_sum_of_the_series_with_all_labels(
    kind, render, metric, labels, expected
):
    declared = {"metric": metric, "labels": labels}
    assert await requests_at(render(registry()), declared, kind=kind) == expected


async def test_a_counter_that_is_announced_and_never_counted_is_0():
    assert (
        await requests_at("# HELP http_requests_total x\n# TYPE http_requests_total counter\n", COUNTED) == 0
    )


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ("x 1\n", 200, "has no metric http_requests_total"),
        ("<html>", 200, "not a metrics page"),
        ("x 1\n", 503, "cannot be read: status 503"),
        ('http_requests_total{route="/chat"} NaN\n', 200, "is no count"),
        (b"x 1\n" * 1_500_000, 200, "larger than 5 MiB"),
    ],
)
async def test_a_count_of_requests_that_cannot_be_read_says_why(body: str, status: int, why: str):
    with pytest.raises(InstrumentFailure, match=why):
        await requests_at(body, COUNTED, status)


@pytest.mark.parametrize(
    ("health", "missing"),
    [({"metrics": "/metrics"}, "health.requests"), ({"requests": COUNTED}, "health.metrics")],
)
async def test_a_count_of_requests_that_is_not_declared_names_the_key_to_add(health, missing):
    target = Target.model_validate({"url": "http://127.0.0.1:1", "health": health})
    async with wire_to(target) as wire:
        with pytest.raises(InstrumentFailure) as caught:
            await MetricsPage(target, HttpProbe(wire)).requests()
    assert caught.value.missing == missing
