"""Instruments that answer from a script, for tests of checks: no network, no waiting, no patched imports.

``measure(module, target, instruments)`` runs a check as the engine does: gather, evidence to JSON and back,
judge. It fails the test where the rebuilt evidence is judged differently, so every test covers rescoring.
What a script does not give behaves as an instrument that the target does not declare.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from types import MappingProxyType, ModuleType
from typing import Any, Literal

from pydantic import TypeAdapter

from app import profiles
from app.statistics.for_checks import RunStatistics
from checks import LoadedCheck, all_checks
from checks.contract import (
    Answer,
    BodyPlan,
    BodyReply,
    Burst,
    Check,
    Deviation,
    Example,
    Examples,
    Failure,
    FailureKind,
    Finding,
    Forgery,
    InstrumentFailure,
    LoadPlan,
    LoadSummary,
    MemoryReading,
    Operation,
    ProcessFact,
    Profile,
    ProxyCall,
    RedisCounters,
    Reply,
    Request,
    Scrape,
    StreamReply,
    Target,
    TlsFacts,
    Wish,
    thresholds_for,
)
from checks.contract.instruments.monitoring import (
    AlertmanagerFacts,
    Answered,
    Dashboard,
    MetricInfo,
    Notification,
    Panel,
    Points,
    Routed,
    Rule,
    ScrapeTarget,
    Series,
    Shown,
)

Route = Literal["ask", "stream"]
NAMES = (
    "http",
    "credentials",
    "sse",
    "questions",
    "bursts",
    "load",
    "redis",
    "upstream",
    "counts",
    "processes",
    "openapi",
    "metrics",
    "memory",
    "faults",
    "chaos",
    "bodies",
    "tls",
    "prometheus",
    "alertmanager",
    "grafana",
    "notifications",
    "promql",
)
TINY = Profile(
    "quick",
    samples=20,
    outage_s=0.05,
    deadline_factor=1,
    scenarios={
        name: replace(scenario, duration_s=0.2, min_requests=5, warmup_s=0)
        for name, scenario in profiles.named("quick").scenarios.items()
    },
)


def a_target(**changes: Any) -> Target:
    """A target that declares nearly everything; ``changes`` replace top-level keys (None removes one)."""
    document: dict[str, Any] = {
        "url": "http://127.0.0.1:1",
        "allow_faults": True,
        "ask": {
            "path": "/api/chat",
            "body": {"message": "{prompt}"},
            "answer": "answer",
            "cached": {"json": "metadata.from_cache", "equals": True},
        },
        "stream": {"path": "/api/stream", "body": {"message": "{prompt}"}, "end_event": "done"},
        "health": {"liveness": "/health", "metrics": "/metrics"},
        "redis": {"url": "redis://127.0.0.1:2/0"},
        "upstream": {"calls": {"url": "http://127.0.0.1:3/meter", "json": "calls"}},
        "levers": {
            "cache": {"kind": "toxiproxy", "api": "http://127.0.0.1:4", "proxy": "cache", "ways": ["refuse"]},
            "upstream": {"kind": "toxiproxy", "api": "http://127.0.0.1:4", "proxy": "up", "ways": ["hang"]},
        },
    }
    document |= changes
    return Target.model_validate({key: value for key, value in document.items() if value is not None})


class Undeclared:
    """Stands for an instrument that the target declares nothing for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, use: str) -> Any:
        raise InstrumentFailure(f"No {self._name} is declared.", missing=self._name)


Scripted = Answered | Sequence[Series] | InstrumentFailure
ScriptedReply = Reply | Sequence[Reply] | Callable[[Request], Reply]


class ScriptedHttp:
    """Replies by method and path: one for good, several in turn (the last stays), or a function."""

    def __init__(self, replies: Mapping[tuple[str, str], ScriptedReply]) -> None:
        self.replies = dict(replies)
        self.sent: list[Request] = []

    async def send(
        self, request: Request, *, timeout_s: float = 10.0, fresh_connection: bool = False
    ) -> Reply:
        earlier = sum((r.method, r.url) == (request.method, request.url) for r in self.sent)
        self.sent.append(request)
        scripted = self.replies.get((request.method, request.url))
        if scripted is None:
            return Reply(request.url, 404, body=b'{"detail": "not found"}')
        if isinstance(scripted, Reply):
            return scripted
        return scripted(request) if callable(scripted) else scripted[min(earlier, len(scripted) - 1)]


class ScriptedCredentials:
    """These forgeries."""

    def __init__(self, *forgeries: Forgery) -> None:
        self.made = forgeries

    def forgeries(self) -> list[Forgery]:
        return list(self.made)


class ScriptedSse:
    """Streams in turn (the last stays), or a function of the request."""

    def __init__(self, replies: Sequence[StreamReply] | Callable[[Request], StreamReply]) -> None:
        self.replies = replies
        self.sent: list[Request] = []

    async def read(self, request: Request, *, timeout_s: float = 30.0) -> StreamReply:
        self.sent.append(request)
        if callable(self.replies):
            return self.replies(request)
        return self.replies[min(len(self.sent), len(self.replies)) - 1]


class ScriptedQuestions:
    """Answers through a function of prompt and route; ``working`` is the route that answers."""

    def __init__(self, answer: Callable[[str, Route], Answer], *, working: Route | None = "ask") -> None:
        self.answer = answer
        self.working = working
        self.asked: list[str] = []

    async def route(self) -> Route | None:
        return self.working

    async def ask(
        self,
        prompt: str,
        *,
        route: Route = "ask",
        user: str = "",
        session: str = "",
        timeout_s: float = 30.0,
    ) -> Answer:
        self.asked.append(prompt)
        await asyncio.sleep(0)  # as a real request does, let other users go on
        return self.answer(prompt, route)

    def curl(self, prompt: str, *, route: Route = "ask", user: str = "", session: str = "") -> str:
        return f"curl -s http://127.0.0.1:1/{route} -d '{prompt}'"


class ScriptedBursts:
    """Bursts through a function of prompt, count and route."""

    def __init__(self, burst: Callable[[str, int, Route], Burst]) -> None:
        self.burst = burst

    async def at_once(
        self, prompt: str, count: int, *, route: Route = "ask", timeout_s: float = 30.0
    ) -> Burst:
        return self.burst(prompt, count, route)


class ScriptedLoad:
    """Summaries through a function of the plan, each after ``takes_s``."""

    def __init__(self, summarise: Callable[[LoadPlan], LoadSummary], *, takes_s: float = 0.0) -> None:
        self.summarise = summarise
        self.takes_s = takes_s
        self.plans: list[LoadPlan] = []

    async def run(self, plan: LoadPlan) -> LoadSummary:
        self.plans.append(plan)
        await asyncio.sleep(self.takes_s)
        return self.summarise(plan)


class ScriptedRedis:
    """PING times, and counters through a function. An InstrumentFailure in their place is raised."""

    def __init__(
        self,
        *,
        pings_ms: Sequence[float] | InstrumentFailure = (),
        counters: Callable[[], RedisCounters] | InstrumentFailure | None = None,
    ) -> None:
        self.pings_ms = pings_ms
        self.count = counters

    async def ping_ms(self, count: int) -> list[float]:
        if isinstance(self.pings_ms, InstrumentFailure):
            raise self.pings_ms
        return list(self.pings_ms)

    async def counters(self) -> RedisCounters:
        if self.count is None or isinstance(self.count, InstrumentFailure):
            raise self.count or InstrumentFailure("This script has no counters.")
        return self.count()


class ScriptedUpstream:
    """The meter through a function, or an InstrumentFailure that is raised."""

    def __init__(self, calls: Callable[[], float] | InstrumentFailure) -> None:
        self.read = calls

    async def calls(self) -> float:
        if isinstance(self.read, InstrumentFailure):
            raise self.read
        return self.read()


class ScriptedFaults:
    """Levers that note what they do in ``events``; ``cut`` is (lever, way) of what was broken last.

    ``away`` are all that are broken just now, with their ways. ``proxied`` are the calls that came to the
    one proxy there is; without it, this kind of lever counts none.
    """

    def __init__(
        self,
        ways: Mapping[str, tuple[str, ...]],
        *,
        refusal: InstrumentFailure | None = None,
        proxied: list[ProxyCall] | None = None,
    ) -> None:
        self.declared = dict(ways)
        self.refusal = refusal
        self.proxied = proxied
        self.away: dict[str, str] = {}
        self.events: list[str] = []

    @property
    def cut(self) -> tuple[str, str] | None:
        return next(reversed(self.away.items()), None)

    def ways(self, lever: str) -> tuple[str, ...]:
        return self.declared.get(lever, ())

    async def calls(self, lever: str) -> int:
        return len(self._counted(lever))

    async def latest_calls(self, lever: str, *, after: int) -> tuple[ProxyCall, ...]:
        return tuple(call for call in self._counted(lever) if call.number > after)

    def _counted(self, lever: str) -> list[ProxyCall]:
        if self.proxied is None:
            raise InstrumentFailure(f"Lever {lever} counts no calls.", missing=f"levers.{lever}.kind")
        return self.proxied

    def broken(self, lever: str, way: str) -> AbstractAsyncContextManager[None]:
        return self._broken(lever, way)

    @asynccontextmanager
    async def _broken(self, lever: str, way: str) -> AsyncIterator[None]:
        if self.refusal:
            raise self.refusal
        self.away[lever] = way
        self.events.append(f"broke {lever} {way}")
        try:
            yield
        finally:
            self.away.pop(lever, None)
            self.events.append(f"restored {lever} {way}")


class ScriptedMemory:
    """Resident bytes through a function; an InstrumentFailure that it gives is raised."""

    def __init__(
        self,
        resident_bytes: Callable[[], float | InstrumentFailure],
        source: Literal["process", "metrics"] = "process",
    ) -> None:
        self.resident_bytes = resident_bytes
        self.source = source

    async def read(self) -> MemoryReading:
        found = self.resident_bytes()
        if isinstance(found, InstrumentFailure):
            raise found
        return MemoryReading(found, self.source)


class ScriptedMetrics:
    """Scrapes in turn, the last stays; ``requests`` is the own count, or a failure that is raised."""

    def __init__(
        self,
        scrapes: Sequence[Scrape] = (),
        *,
        requests: Callable[[], float | InstrumentFailure] | None = None,
    ) -> None:
        self.scrapes = list(scrapes)
        self.counted = requests

    async def requests(self) -> float:
        found = self.counted() if self.counted else InstrumentFailure("none", missing="health.requests")
        if isinstance(found, InstrumentFailure):
            raise found
        return found

    async def scrape(self) -> Scrape:
        return self.scrapes.pop(0) if len(self.scrapes) > 1 else self.scrapes[0]


class ScriptedBodies:
    """Replies through a function of the request and how its body is sent."""

    def __init__(self, reply: Callable[[Request, BodyPlan], BodyReply]) -> None:
        self.reply = reply
        self.sent: list[tuple[Request, BodyPlan]] = []

    async def send(self, request: Request, plan: BodyPlan, *, timeout_s: float = 10.0) -> BodyReply:
        self.sent.append((request, plan))
        await asyncio.sleep(0)
        return self.reply(request, plan)


class ScriptedTls:
    """Facts of a handshake."""

    def __init__(self, facts: TlsFacts) -> None:
        self.facts = facts

    async def look(self) -> TlsFacts:
        return self.facts


class ScriptedPrometheus:
    """What it scrapes, its rules and metadata, and answers to expressions.

    ``answers`` maps an expression to its Answered or its series, or is a function of the expression; what it
    does not have is an empty result; a count by name counts the names of ``label_values``. A script of
    InstrumentFailure in place of any part is raised.
    """

    def __init__(
        self,
        *,
        targets: Sequence[ScrapeTarget] | InstrumentFailure = (),
        rules: Sequence[Rule] | InstrumentFailure = (),
        metadata: Mapping[str, MetricInfo] | InstrumentFailure = MappingProxyType({}),
        answers: Mapping[str, Scripted] | Callable[[str], Scripted | None] = MappingProxyType({}),
        ranges: Callable[[str], Sequence[Points]] = lambda expression: (),
        label_values: Callable[[str, Sequence[str]], Sequence[str]] = lambda label, selectors: (),
        alertmanagers: Sequence[str] | InstrumentFailure = (),
        settings: Mapping[str, Any] | InstrumentFailure = MappingProxyType({}),
    ) -> None:
        self.scraped = targets
        self.loaded = rules
        self.about = metadata
        self.answers = answers
        self.ranges = ranges
        self.values = label_values
        self.sends_to = alertmanagers
        self.configured = settings
        self.asked: list[str] = []

    async def query(self, expression: str, *, at: float | None = None) -> Answered:
        self.asked.append(expression)
        await asyncio.sleep(0)
        answers = self.answers
        found = answers(expression) if callable(answers) else answers.get(expression)
        if found is None and expression.startswith("count by (__name__) ("):
            names = self.values("__name__", [expression.partition(") (")[2][:-1]])
            found = [Series({"__name__": name}, 1.0, 1.0) for name in names]
        if isinstance(found, InstrumentFailure):
            raise found
        return found if isinstance(found, Answered) else Answered(tuple(found or ()))

    async def query_range(
        self, expression: str, *, start: float, end: float, step_s: float
    ) -> tuple[Points, ...]:
        self.asked.append(expression)
        return tuple(self.ranges(expression))

    async def targets(self) -> tuple[ScrapeTarget, ...]:
        return tuple(_given(self.scraped))

    async def rules(self) -> tuple[Rule, ...]:
        return tuple(_given(self.loaded))

    async def metadata(self, targets: str = "") -> Mapping[str, MetricInfo]:
        return _given(self.about)

    async def label_values(self, label: str, selectors: Sequence[str] = ()) -> tuple[str, ...]:
        return tuple(self.values(label, selectors))

    async def alertmanagers(self) -> tuple[str, ...]:
        return tuple(_given(self.sends_to))

    async def settings(self) -> Mapping[str, Any]:
        return _given(self.configured)


class ScriptedAlertmanager:
    """How it is set up, and the alerts that it has; each look gets the next of ``alerts``, the last stays."""

    def __init__(
        self,
        facts: AlertmanagerFacts | InstrumentFailure,
        alerts: Sequence[Sequence[Routed]] = ((),),
    ) -> None:
        self.set_up = facts
        self.had = list(alerts)

    async def facts(self) -> AlertmanagerFacts:
        return _given(self.set_up)

    async def alerts(self) -> tuple[Routed, ...]:
        return tuple(self.had.pop(0) if len(self.had) > 1 else self.had[0])


class ScriptedGrafana:
    """These dashboards; ``shows`` says of a panel and a query whether there is data, or what it gives."""

    def __init__(
        self,
        dashboards: Sequence[Dashboard] | InstrumentFailure,
        shows: Callable[[Panel, str], bool | Shown] = lambda panel, expression: True,
    ) -> None:
        self.found = dashboards
        self.told = shows

    async def dashboards(self) -> tuple[Dashboard, ...]:
        return tuple(_given(self.found))

    async def shows(self, panel: Panel, expression: str) -> Shown:
        await asyncio.sleep(0)
        told = self.told(panel, expression)
        return told if isinstance(told, Shown) else Shown(told)


class ScriptedNotifications:
    """Hears what a test adds to ``notifications``, or cannot listen at all."""

    def __init__(self, *, refusal: InstrumentFailure | None = None) -> None:
        self.notifications: list[Notification] = []
        self.refusal = refusal

    def listening(self) -> AbstractAsyncContextManager[ScriptedNotifications]:
        return self._listening()

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[ScriptedNotifications]:
        if self.refusal:
            raise self.refusal
        yield self


def _given(script: Any) -> Any:
    if isinstance(script, InstrumentFailure):
        raise script
    return script


def a_rule(name: str, expression: str, **changes: Any) -> Rule:
    """A healthy alert of the first group of chat.yml; ``changes`` replace its fields."""
    fields: dict[str, Any] = {
        "kind": "alert",
        "file": "/etc/prometheus/chat.yml",
        "group": "chat",
        "position": 0,
        "interval_s": 15.0,
        "health": "ok",
        "evaluated_at": 1_700_000_000.0,
    }
    return Rule(name=name, expression=expression, **fields | changes)


class ScriptedProcesses:
    """Processes by port, and other trees of the same program by pid."""

    def __init__(
        self,
        listening: Mapping[int, Sequence[ProcessFact]],
        same_program: Mapping[int, Sequence[ProcessFact]] | None = None,
    ) -> None:
        self.ports = listening
        self.others = same_program or {}

    def listening(self, port: int) -> list[ProcessFact]:
        return list(self.ports.get(port, ()))

    def same_program(self, fact: ProcessFact) -> list[ProcessFact]:
        return list(self.others.get(fact.pid, ()))


class ScriptedOpenApi:
    """Operations, or an InstrumentFailure to raise; what is made of each wish, and how replies deviate."""

    def __init__(
        self,
        operations: Sequence[Operation] | InstrumentFailure,
        *,
        make: Callable[[Wish], Sequence[Example]] = lambda wish: (),
        compare: Callable[[Operation, Reply], tuple[Deviation, ...] | None] = lambda operation, reply: (),
        problem: str = "",
    ) -> None:
        self.found = operations
        self.make = make
        self.compare = compare
        self.problem = problem
        self.wishes: list[Wish] = []

    async def operations(self) -> list[Operation]:
        if isinstance(self.found, InstrumentFailure):
            raise self.found
        return list(self.found)

    async def examples(self, wishes: Sequence[Wish], *, seed: int) -> Examples:
        self.wishes = list(wishes)
        return Examples(tuple(each for wish in wishes for each in self.make(wish)), self.problem)

    async def deviations(
        self, replies: Sequence[tuple[Operation, Reply]]
    ) -> list[tuple[Deviation, ...] | None]:
        return [self.compare(operation, reply) for operation, reply in replies]


class ScriptedPrompts:
    """Numbered questions; no two are the same in one instrument."""

    def __init__(self) -> None:
        self.given = 0

    def fresh(self, count: int) -> list[str]:
        return [f"Never-seen question {self._next()}?" for _ in range(count)]

    def repeats(self, distinct: int) -> list[str]:
        return [f"Repeated question {self._next()}?" for _ in range(distinct)]

    def aside(self) -> str:
        return f"Remark {self._next()}."

    def _next(self) -> int:
        self.given += 1
        return self.given


class ScriptedInstruments:
    """All instruments of a run; those not given are undeclared. ``said`` keeps what was told to the run."""

    def __init__(self, *, profile: Profile = TINY, seed: int = 1, **given: Any) -> None:
        self.profile = profile
        self.random = Random(seed)
        self.prompts = given.pop("prompts", None) or ScriptedPrompts()
        self.statistics = RunStatistics()
        self.said: list[str] = []
        unknown = set(given) - set(NAMES)
        assert not unknown, f"no instruments are named {unknown}"
        for name in NAMES:
            setattr(self, name, given.get(name) or Undeclared(name))

    def say(self, text: str) -> None:
        self.said.append(text)


def loaded(check_id: str) -> LoadedCheck:
    """A check of this project by its id."""
    return all_checks()[check_id]


def gather(module: ModuleType, target: Target, instruments: Any) -> Any:
    """The evidence of a check, gathered in a loop of its own within its deadline."""
    about: Check = module.CHECK

    async def within_deadline() -> Any:
        async with asyncio.timeout(about.deadline_s):
            return await module.gather(target, instruments)

    return asyncio.run(within_deadline())


def judge(module: ModuleType, evidence: Any, target: Target | None = None, **overrides: float) -> Finding:
    """Judge ``evidence`` twice, once rebuilt from its JSON, and return the finding if both are the same."""
    thresholds = thresholds_for(module.Thresholds, overrides, target or a_target())
    assert isinstance(evidence, module.Evidence)
    finding: Finding = module.judge(evidence, thresholds)
    stored = json.dumps(dataclasses.asdict(evidence), allow_nan=False)
    again: Finding = module.judge(TypeAdapter(module.Evidence).validate_json(stored), thresholds)
    assert again == finding, "rebuilt from JSON, the same evidence is judged differently"
    return finding


def measure(module: ModuleType, target: Target, instruments: Any, **overrides: float) -> Finding:
    """Run a check as the engine does; ``overrides`` are thresholds as the rubric gives them."""
    return judge(module, gather(module, target, instruments), target, **overrides)


def an_answer(text: str = "Within 30 days.", **changes: Any) -> Answer:
    """A good answer of the ask route after 300 ms; ``changes`` replace its fields."""
    fields: dict[str, Any] = {
        "route": "ask",
        "good": True,
        "status": 200,
        "text": text,
        "cached": None,
        "elapsed_ms": 300.0,
    }
    return Answer(**fields | changes)


def a_bad_answer(status: int | None = 500, problem: str = "", **changes: Any) -> Answer:
    """An answer that is not good: ``status`` instead of a good one, or a time-out where it is None."""
    kind = FailureKind.TIMEOUT if status is None else FailureKind.STATUS
    problem = problem or (f"status {status}" if status else "no reply in time")
    fields: dict[str, Any] = {
        "good": False,
        "status": status,
        "problem": problem,
        "failure": Failure(kind, problem),
    }
    return an_answer("", **fields | changes)


def a_summary(plan: LoadPlan, **changes: Any) -> LoadSummary:
    """A scenario in which 100 requests were answered well, 90 of them from the cache."""
    fields: dict[str, Any] = {
        "scenario": plan.scenario,
        "users": plan.users,
        "total_requests": 100,
        "successful": 100,
        "failed": 0,
        "duration_s": plan.duration_s,
        "requests_per_second": 100 / plan.duration_s,
        "cached": 90,
        "marked": 100,
        "mean_ms": 40.0,
        "p50_ms": 5.0,
        "p90_ms": 6.0,
        "p95_ms": 310.0,
        "p99_ms": 420.0,
        "min_ms": 2.0,
        "max_ms": 500.0,
        "ttft_p50_ms": None,
        "ttft_p99_ms": None,
        "received_bytes": 20_000,
        "failures": {},
        "failure_examples": {},
    }
    return LoadSummary(**fields | changes)


@dataclass
class ChatModel:
    """A chat service in memory, with a cache, a Redis that counts and a meter: what cache checks look at.

    ``caches``: repeats are answered from the cache. ``marks``: None for no marker, else what a reply says
    (``"truth"``, ``"hit"`` always, ``"seen"`` for every repeat even where it was not cached).
    ``uses_redis``: looks up Redis. ``calls_per_question``: upstream calls of one uncached answer.
    ``broken(prompt)`` gives a bad answer instead, where it returns one.
    """

    caches: bool = True
    marks: Literal["truth", "hit", "seen"] | None = "truth"
    uses_redis: bool = True
    calls_per_question: float = 1
    cold_ms: float = 300.0
    warm_ms: float = 4.0
    broken: Callable[[str], Answer | None] = lambda prompt: None
    seen: set[str] = field(default_factory=set)
    calls: float = 0
    hits: int = 1000
    misses: int = 500
    commands: int = 5000
    run_id: str = "first"

    def answer(self, prompt: str, route: Route = "ask") -> Answer:
        bad = self.broken(prompt)
        if bad is not None:
            return bad
        repeat = prompt in self.seen
        self.seen.add(prompt)
        hit = repeat and self.caches
        self.calls += 0 if hit else self.calls_per_question
        if self.uses_redis:
            self.commands += 1 if hit else 2
            self.hits, self.misses = self.hits + hit, self.misses + (not hit)
        says = {None: None, "truth": hit, "hit": True, "seen": repeat}[self.marks]
        return an_answer(
            f"About {prompt}", route=route, cached=says, elapsed_ms=self.warm_ms if hit else self.cold_ms
        )

    def counters(self) -> RedisCounters:
        return RedisCounters(self.run_id, 60, self.hits, self.misses, self.commands)

    def instruments(self, *, working: Route | None = "ask", **changes: Any) -> ScriptedInstruments:
        """Questions, Redis and meter of this service; ``changes`` replace instruments."""
        given: dict[str, Any] = {
            "questions": ScriptedQuestions(self.answer, working=working),
            "redis": ScriptedRedis(counters=self.counters),
            "upstream": ScriptedUpstream(lambda: self.calls),
        }
        return ScriptedInstruments(**given | changes)
