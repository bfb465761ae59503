"""monitoring.golden_signals against a scripted service whose metrics come from a real client library."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest

from app.instruments.metrics import scrape_of
from checks.contract import Failure, FailureKind, InstrumentFailure, Outcome, Reply, Request, Scrape
from checks.monitoring import golden_signals
from tests.checks.scripted import (
    ScriptedHttp,
    ScriptedInstruments,
    ScriptedQuestions,
    a_bad_answer,
    a_target,
    an_answer,
    gather,
    measure,
)

TEXT = "text/plain; version=0.0.4"


@dataclass
class Shop:
    """A service that counts what it does; each field is a way to count it otherwise, or wrongly."""

    counter: str = "http_requests"
    counts: bool = True
    status_label: str | None = "status"
    fixed_status: str = ""
    classes: bool = False
    own_errors: bool = False
    counts_unknown_paths: bool = True
    timer: type | None = Histogram
    buckets: tuple[float, ...] = (0.1, 0.5, 1, 5)
    unit: float = 1.0
    in_flight: str = "http_requests_in_flight"
    moves_in_flight: bool = True
    process: bool = True
    hits: str = "chat_cache_hits"
    misses: str = "chat_cache_misses"
    caches: bool = True
    marks: bool = True
    takes_s: float = 0.02
    refuses: bool = True
    answers: bool = True
    late: int = 0
    queue_moves: bool = False
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self):
        labels = [self.status_label] if self.status_label else []
        self.requests = Counter(self.counter, "Requests.", labels, registry=self.registry)
        self.errors = Counter("app_errors", "Errors.", registry=self.registry) if self.own_errors else None
        more = {"buckets": self.buckets} if self.timer is Histogram else {}
        self.timed = (
            self.timer("http_request_duration_seconds", "Time.", registry=self.registry, **more)
            if self.timer
            else None
        )
        self.busy = Gauge(self.in_flight, "In flight.", registry=self.registry) if self.in_flight else None
        self.had = Counter(self.hits, "Hits.", registry=self.registry) if self.hits else None
        self.missed = Counter(self.misses, "Misses.", registry=self.registry) if self.misses else None
        self.cpu = Counter("process_cpu_seconds", "CPU.", registry=self.registry) if self.process else None
        self.queued = Gauge("queue_length", "Queue.", registry=self.registry) if self.queue_moves else None
        self.queue: list[bytes] = []

    def count(self, status, elapsed_s=0.001):
        status = self.fixed_status or (f"{status // 100}xx" if self.classes else str(status))
        if self.counts:
            self.requests.labels(status).inc() if self.status_label else self.requests.inc()
        if self.timed:
            self.timed.observe(elapsed_s * self.unit)
        if self.cpu:
            self.cpu.inc(0.01)
        if self.queued:
            self.queued.inc()

    async def scrape(self) -> Scrape:
        self.queue.append(generate_latest(self.registry))
        page = self.queue[max(0, len(self.queue) - 1 - self.late)]
        return scrape_of(Reply("http://127.0.0.1:1/metrics", 200, {"content-type": TEXT}, page))

    def answer(self, prompt, route):
        if not self.answers:
            return a_bad_answer()
        hit = self.caches and prompt in self.seen
        self.seen.add(prompt)
        counter = self.had if hit else self.missed
        if counter:
            counter.inc()
        self.count(200, 0.001 if hit else 0.3)
        return an_answer(cached=hit if self.marks else None, elapsed_ms=1 if hit else 310)

    def refuse(self, request: Request) -> Reply:
        unknown = request.method == "GET"
        status = (404 if unknown else 422) if self.refuses else 200
        if not unknown or self.counts_unknown_paths:
            self.count(status)
        return Reply(request.url, status)

    def instruments(self) -> ScriptedInstruments:
        questions = ScriptedQuestions(self.answer)
        ask = questions.ask

        async def asked(prompt, **options):
            if self.busy and self.moves_in_flight:
                self.busy.inc()
            await asyncio.sleep(self.takes_s)
            if self.busy and self.moves_in_flight:
                self.busy.dec()
            return await ask(prompt, **options)

        questions.ask = asked
        http = ScriptedHttp({})
        http.send = self.send
        return ScriptedInstruments(metrics=self, questions=questions, http=http)

    async def send(self, request: Request, **options) -> Reply:
        return self.refuse(request)


def measured(**how):
    return measure(golden_signals, a_target(), Shop(**how).instruments())


def test_all_five_move():
    finding = measured()
    assert finding.outcome is Outcome.PASS
    assert finding.value == 5
    assert "taken from refusals" in finding.reason


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"counts": False, "timer": None}, "Traffic: http_requests_total rose by 0 with 10 answers"),
        ({"counter": "things", "status_label": None, "timer": None}, "Traffic: no metric counts requests"),
        ({"status_label": None}, "Errors: no metric tells answers from errors"),
        (
            {"fixed_status": "200"},
            "Errors: http_requests_total with its label status did not count that a body",
        ),
        ({"timer": None}, "Latency: nothing times requests in a histogram"),
        ({"timer": Summary}, "Latency: http_request_duration_seconds_count is of no histogram"),
        ({"buckets": (0.01, 0.05)}, "6 of 12 answers took longer than the last bucket"),
        ({"unit": 1000.0}, "Latency: http_request_duration_seconds saw 30"),
        (
            {"moves_in_flight": False},
            "Saturation: http_requests_in_flight was 0 while 3 questions were under",
        ),
        ({"in_flight": ""}, "process_cpu_seconds_total tells what the process uses, and nothing tells how"),
        ({"in_flight": "", "process": False}, "Saturation: nothing tells how full the service is"),
        ({"hits": "", "misses": ""}, "Cache: no metric counts cache hits"),
        ({"misses": ""}, "Cache: hits are counted, misses are not"),
        ({"hits": "", "misses": "chat_cache_misses"}, "Cache: no metric counts cache hits"),
    ],
)
def test_a_signal_that_does_not_move_is_named(how, words):
    finding = measured(**how)
    assert finding.outcome in (Outcome.WARN, Outcome.FAIL)
    assert words in finding.reason.replace("\u00a0", " ")
    assert finding.fix


@pytest.mark.parametrize(
    ("how", "remark"),
    [
        ({"classes": True}, "taken from refusals"),
        ({"status_label": None, "own_errors": True}, "app_errors_total is there, and was not seen to move"),
        ({"counts_unknown_paths": False}, "taken from refusals"),
        ({"refuses": False}, "Nothing was refused"),
        ({"in_flight": "worker_queue_length"}, ""),
        ({"takes_s": 0}, ""),
        ({"counter": "starlette_requests"}, ""),
        ({"marks": False}, ""),
        ({"late": 2, "in_flight": "", "queue_moves": True}, ""),
    ],
)
def test_other_ways_to_tell_them_pass(how, remark):
    finding = measured(**how)
    assert finding.outcome is Outcome.PASS, finding.reason
    assert remark in finding.reason


@pytest.mark.parametrize(
    ("how", "outcome", "value"),
    [
        ({"hits": "", "misses": ""}, Outcome.WARN, 4),
        ({"hits": "", "misses": "", "timer": None}, Outcome.WARN, 3),
        ({"hits": "", "misses": "", "timer": None, "status_label": None}, Outcome.FAIL, 2),
    ],
)
def test_three_warn_and_fewer_fail(how, outcome, value):
    finding = measured(**how)
    assert (finding.outcome, finding.value) == (outcome, value)


def test_a_cache_that_has_nothing_is_not_its_counters_fault():
    finding = measured(caches=False)
    assert finding.outcome is Outcome.PASS
    assert "No repeated question came from the cache" in finding.reason
    assert measured(caches=False, marks=False).outcome is Outcome.WARN


def test_counters_that_say_more_hits_than_came_from_the_cache_still_need_misses():
    class AlwaysHit(Shop):
        def answer(self, prompt, route):
            self.missed = self.had
            return super().answer(prompt, route)

    shop = AlwaysHit()
    finding = measure(golden_signals, a_target(), shop.instruments())
    assert "misses by 0 with never-seen ones" in finding.reason


def test_without_an_answer_nothing_is_said():
    finding = measured(answers=False)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"


def test_an_instrument_that_cannot_go_on_is_told_as_such():
    class Spent(Shop):
        def answer(self, prompt, route):
            raise InstrumentFailure("no time left")

    with pytest.raises(InstrumentFailure, match="no time left"):
        gather(golden_signals, a_target(), Spent().instruments())


def page(text: str, status: int = 200) -> Scrape:
    return scrape_of(Reply("http://127.0.0.1:1/metrics", status, {"content-type": TEXT}, text.encode()))


class Pages(Shop):
    """Pages in turn."""

    def __init__(self, *pages: Scrape) -> None:
        super().__init__()
        self.pages = list(pages)

    async def scrape(self) -> Scrape:
        return self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]


def test_several_processes_behind_one_page_are_told():
    pages = [
        page(f"process_start_time_seconds {began}\nhttp_requests_total 5\n") for began in (1, 2, 1, 2, 1)
    ]
    finding = measure(golden_signals, a_target(), Pages(*pages).instruments())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "2\u00a0processes in turn" in finding.reason
    assert finding.missing == "health.metrics"


def test_counters_that_fall_are_no_measure():
    pages = [page(f"# TYPE http_requests counter\nhttp_requests_total {count}\n") for count in (50, 50, 5)]
    finding = measure(golden_signals, a_target(), Pages(*pages).instruments())
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "http_requests_total fell" in finding.reason


@pytest.mark.parametrize(
    ("scrape", "outcome"),
    [
        (page("", 404), Outcome.FAIL),
        (page("<html>"), Outcome.FAIL),
        (page("", 401), Outcome.NOT_ASSESSED),
        (Scrape("/metrics", None, "", {}, 0, {}, failure=Failure(FailureKind.TIMEOUT, "late")), Outcome.FAIL),
    ],
    ids=["absent", "html", "credential", "silent"],
)
def test_a_page_that_is_none_is_told_as_by_its_own_check(scrape, outcome):
    finding = measure(golden_signals, a_target(), Pages(scrape).instruments())
    assert finding.outcome is outcome


def test_what_is_no_number_or_no_bucket_counts_for_nothing():
    text = (
        "# TYPE http_requests counter\nhttp_requests_total NaN\n"
        "# TYPE http_request_duration_seconds histogram\n"
        'http_request_duration_seconds_bucket{le="wat"} 3\nhttp_request_duration_seconds_count +Inf\n'
    )
    finding = measure(golden_signals, a_target(), Pages(page(text)).instruments())
    assert finding.outcome is Outcome.FAIL


def test_a_page_of_many_thousand_series_gives_bounded_evidence():
    lines = "".join(f'http_requests_{number}_total{{status="200"}} 1\n' for number in range(5_000))
    found = gather(golden_signals, a_target(), Pages(page(lines)).instruments())
    assert len(found.motions) <= 150
