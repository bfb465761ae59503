"""Makes the instruments of each check: what it may use, and nothing that the operator did not allow.

This is the one place where policy, allow-list and ``allow_faults`` are enforced, whoever asks for a run.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any, cast

from app.instruments.alertmanager import AlertmanagerReader
from app.instruments.bodies import RawBodies
from app.instruments.bursts import RequestBursts
from app.instruments.chaos.experiments import Experiments
from app.instruments.counts import DeclaredCounts
from app.instruments.credentials import DeclaredCredentials
from app.instruments.faults.breaking import Breaker
from app.instruments.faults.ledger import Ledger
from app.instruments.grafana import GrafanaReader
from app.instruments.http import HttpProbe
from app.instruments.load.making import make_driver
from app.instruments.load.watched import WatchedLoad
from app.instruments.memory import ServiceMemory
from app.instruments.metrics import KEPT_BYTES as METRICS_BYTES
from app.instruments.metrics import MetricsPage
from app.instruments.notifications import WebhookListener
from app.instruments.openapi import KEPT_BYTES as OPENAPI_BYTES
from app.instruments.openapi import OpenApiDocuments
from app.instruments.origins import Origin, declared_origins
from app.instruments.policy import Policy
from app.instruments.processes import HostProcesses
from app.instruments.prometheus import PrometheusReader
from app.instruments.prompts import RunPrompts
from app.instruments.promql import PromqlParser
from app.instruments.questions import DeclaredQuestions
from app.instruments.redis import RedisReader
from app.instruments.references import References
from app.instruments.server_api import ServerApi
from app.instruments.sse import SseReader
from app.instruments.tls import TlsHandshakes
from app.instruments.upstream import UpstreamMeter
from app.instruments.wire import Wire
from app.records import LoadResult
from app.statistics.for_checks import RunStatistics
from checks import LoadedCheck
from checks.contract import InstrumentFailure, Instruments, Kind, Profile, Target
from checks.contract.target.monitoring import Server

PATIENCE_RATIO = 0.85  # of a check's time may be spent on waiting; the rest restores levers and judges
SAFE_NAME = re.compile(r"[^A-Za-z0-9._-]+")

# What an instrument needs of the target, unless the check says that it can do without ("redis?").
IMPLIED = {
    "redis": "redis",
    "upstream": "upstream",
    "metrics": "health.metrics",
    "questions": "ask|stream",
    "bursts": "ask|stream",
    "load": "ask|stream",
    "prometheus": "prometheus",
    "alertmanager": "alertmanager",
    "grafana": "grafana",
    "notifications": "notifications",
}

INSTALL = dict.fromkeys(
    ("prometheus", "alertmanager", "grafana"),
    "The bundled sample has these where Prometheus and Alertmanager are installed when it starts: "
    "`apt-get install prometheus prometheus-alertmanager`.",
)
# For a key that is not declared: what is missing in words, the key to name, and what to add.
ABSENT: Mapping[str, tuple[str, str, str]] = {
    "ask": ("No business request is declared", "ask", "`[ask]` with its path and body"),
    "stream": ("No streaming request is declared", "stream", "`[stream]` with its path and body"),
    "ask|stream": ("No business request is declared", "ask", "`[ask]` or `[stream]` with path and body"),
    "redis": ("No Redis is declared", "redis.url", "`[redis] url`"),
    "upstream": (
        "No upstream meter is declared",
        "upstream.calls",
        "`[upstream] calls` with url and metric, the counter of paid calls among your metrics,",
    ),
    "chaos": (
        "No chaos experiment is declared",
        "chaos",
        "`[[chaos]] file` for each experiment of the Chaos Toolkit that you have",
    ),
    "cost": (
        "No cost of a paid call is declared",
        "cost",
        "`[cost] price_per_call_usd` and `questions_per_day`",
    ),
    "cost.budget_per_month_usd": (
        "No budget is declared",
        "cost.budget_per_month_usd",
        "`[cost] budget_per_month_usd`, what the upstream may cost in a month,",
    ),
    "prometheus": (
        "No Prometheus is declared",
        "prometheus.url",
        "`[prometheus] url`, and the `labels` of this service's series,",
    ),
    "alertmanager": ("No Alertmanager is declared", "alertmanager.url", "`[alertmanager] url`"),
    "grafana": ("No Grafana is declared", "grafana.url", "`[grafana] url`"),
    "notifications": (
        "Nothing is declared to hear notifications with",
        "notifications",
        "`[notifications]` with listen and path, to which a receiver of Alertmanager posts,",
    ),
    "transaction": ("No transaction is declared", "transaction", "`[transaction]` with its steps and states"),
    "transaction.steps": (
        "No step of the transaction is declared",
        "transaction.steps",
        "`[[transaction.steps]]` for each step, with the lever or header that makes it fail,",
    ),
    "public|auth.protected": (
        "No route is declared as protected",
        "auth.protected",
        "`[[auth.protected]]` for each route that needs a credential, or `public = true` if none does,",
    ),
    "objectives.rate_limit": (
        "No rate limit is declared",
        "objectives.rate_limit",
        "`[objectives] rate_limit` with per_s and burst, what one user may send,",
    ),
    "health.liveness": ("No health route is declared", "health.liveness", "`[health] liveness`"),
    "health.metrics": ("No metrics route is declared", "health.metrics", "`[health] metrics`"),
    "objectives.peak_per_s": (
        "No peak is declared",
        "objectives.peak_per_s",
        "`[objectives] peak_per_s`, the arrivals a second of a busy moment,",
    ),
    "health.requests": (
        "The service's count of requests is not declared",
        "health.requests",
        "`[health.requests]` with its metric and labels",
    ),
}


@dataclass(frozen=True)
class Hooks:
    """Who hears what happens: progress, a second and the figures of a load, and levers.

    ``lever`` gets lever, way, what ("broken", "restored", "failed") and a detail. Hooks are called from
    the event loop of the check and must not block.
    """

    say: Callable[[str], None]
    load_second: Callable[[dict[str, Any]], None]
    load_result: Callable[[LoadResult], None]
    lever: Callable[[str, str, str, str], None]


class Bench:
    """The instruments of one check: implements ``checks.contract.Instruments``.

    An instrument that the check did not name in ``CHECK.needs`` is not there and raises InstrumentFailure.
    """

    def __init__(
        self,
        check_id: str,
        *,
        profile: Profile,
        random: Random,
        prompts: RunPrompts,
        say: Callable[[str], None],
        tools: Mapping[str, object],
    ) -> None:
        self._check_id = check_id
        self.profile = profile
        self.random = random
        self.prompts = prompts
        self.statistics = RunStatistics()
        self.say = say
        self._tools = tools

    def __getattr__(self, name: str) -> object:
        if name in self._tools:
            return self._tools[name]
        if name in Instruments.__annotations__:
            raise InstrumentFailure(f"{self._check_id} uses {name} and does not name it in CHECK.needs.")
        raise AttributeError(name)


class Toolbox:
    """Refuses what may not or cannot run, and opens fresh instruments for what may.

    Prompts are the run's: no check gets a question that another one had.
    """

    def __init__(
        self,
        target: Target,
        profile: Profile,
        *,
        policy: Policy,
        seed: int,
        hooks: Hooks,
        ledger: Ledger,
        samples_folder: Path | None,
        environment: Mapping[str, str],
    ) -> None:
        self._target = target
        self._profile = profile
        self._policy = policy
        self._seed = seed
        self._hooks = hooks
        self._ledger = ledger
        self._samples_folder = samples_folder
        self._references = References(environment)
        self._prompts = RunPrompts(target.prompts.repeat, Random(seed))

    def refusal(self, check: LoadedCheck) -> InstrumentFailure | None:
        """Why ``check`` may not run, or cannot on what the target declares; None where it can."""
        about = check.about
        if about.kind is not Kind.PASSIVE and (refused := self._policy.refusal(self._origin)):
            return refused
        for need in about.needs:
            if need.endswith("?"):
                continue
            key = need.removeprefix("target.") if need.startswith("target.") else IMPLIED.get(need)
            if key is not None and not any(_declared(self._target, each) for each in key.split("|")):
                return _absent(key)
        if about.kind is Kind.FAULT or "faults" in about.needs:
            levers = [need.removeprefix("target.levers.") for need in about.needs if ".levers." in need]
            return self._faults_refused() or next(filter(None, map(self._lever_refused, levers)), None)
        return None

    @asynccontextmanager
    async def open(self, check: LoadedCheck) -> AsyncIterator[Instruments]:
        """Fresh instruments for ``check``, closed at the end. Secrets are taken out of what it raises."""
        needs = {need.removesuffix("?") for need in check.about.needs}
        random = Random(f"{self._seed} {check.id}")
        until = monotonic() + PATIENCE_RATIO * check.about.deadline_in(self._profile)
        async with (
            self._wire(reading=check.about.kind is Kind.PASSIVE, until=until) as wire,
            AsyncExitStack() as servers,
        ):
            makers = self._makers(wire, random) | self._monitoring(servers, until)
            tools = {name: make() for name, make in makers.items() if name in needs}
            bench = Bench(
                check.id,
                profile=self._profile,
                random=random,
                prompts=self._prompts,
                say=self._say,
                tools=tools,
            )
            try:
                yield cast("Instruments", bench)
            except InstrumentFailure as failure:
                raise InstrumentFailure(
                    self._references.hide(failure.reason), missing=failure.missing
                ) from failure.__cause__
            except Exception as error:
                if self._references.hide(str(error)) == str(error):
                    raise
                raise RuntimeError(self._references.hide(f"{type(error).__name__}: {error}")) from None

    async def primary_answers(self, timeout_s: float) -> bool | None:
        """Whether a declared route answers a question now; None where none is declared or may be asked."""
        if not (self._target.ask or self._target.stream) or not self._policy.allows(self._origin):
            return None
        async with self._wire(reading=False) as wire:
            questions = self._questions(wire, Random(f"{self._seed} between checks"))
            return await questions.route(timeout_s=timeout_s) is not None

    @property
    def _origin(self) -> Origin:
        return Origin.of(self._target.url)

    def _wire(self, *, reading: bool, until: float = math.inf) -> Wire:
        only_reading = InstrumentFailure("A passive check may only read: GET, HEAD and OPTIONS.")
        may_change = (lambda _origin: only_reading) if reading else self._policy.refusal
        origins = declared_origins(self._target)
        return Wire(self._target.url, origins, self._references, may_change, until=until)

    def _makers(self, wire: Wire, random: Random) -> dict[str, Callable[[], object]]:
        target = self._target
        return {
            "http": lambda: HttpProbe(wire),
            "credentials": lambda: DeclaredCredentials(target.auth, self._references),
            "sse": lambda: _sse(target, wire),
            "questions": lambda: self._questions(wire, random),
            "bursts": lambda: self._bursts(wire.until),
            "load": lambda: self._load(random),
            "redis": lambda: RedisReader(target.redis, self._references),
            "upstream": lambda: UpstreamMeter(target, HttpProbe(wire, kept_bytes=METRICS_BYTES)),
            "counts": lambda: DeclaredCounts(HttpProbe(wire, kept_bytes=METRICS_BYTES)),
            "processes": lambda: HostProcesses(target, self._references, wire.also_at),
            "openapi": lambda: OpenApiDocuments(target, HttpProbe(wire, kept_bytes=OPENAPI_BYTES)),
            "metrics": lambda: _metrics(target, wire),
            "memory": lambda: ServiceMemory(
                target, HostProcesses(target, self._references), _metrics(target, wire)
            ),
            "bodies": lambda: RawBodies(wire),
            "tls": lambda: TlsHandshakes(target),
            "chaos": lambda: Experiments(self._references),
            "faults": lambda: Breaker(
                target, self._references, self._ledger, self._lever_refused, self._hooks.lever
            ),
        }

    def _monitoring(self, stack: AsyncExitStack, until: float) -> dict[str, Callable[[], object]]:
        """The team's servers, each over a wire of its own: no other instrument reaches them."""
        target = self._target

        def api(name: str, declared: Server | None, *, may_post: bool = False) -> ServerApi:
            made = ServerApi(name, name.lower(), declared, self._references, until=until, may_post=may_post)
            stack.push_async_exit(made)
            return made

        return {
            "promql": PromqlParser,
            "prometheus": lambda: PrometheusReader(api("Prometheus", target.prometheus)),
            "alertmanager": lambda: AlertmanagerReader(api("Alertmanager", target.alertmanager)),
            "grafana": lambda: GrafanaReader(
                api("Grafana", target.grafana, may_post=True),  # its one POST only reads
                target.grafana,
                target.prometheus.labels if target.prometheus else {},
                (target.name,),
            ),
            "notifications": lambda: WebhookListener(target.notifications, self._policy.refusal),
        }

    def _questions(self, wire: Wire, random: Random) -> DeclaredQuestions:
        return DeclaredQuestions(
            self._target, HttpProbe(wire), _sse(self._target, wire), self._prompts, random
        )

    def _bursts(self, until: float) -> RequestBursts:
        names = declared_origins(self._target)[self._origin]
        resolve = partial(self._references.resolve, names=names)
        return RequestBursts(self._target, resolve, self._policy.max_users, until)

    def _load(self, random: Random) -> WatchedLoad:
        samples_file = self._samples_file if self._samples_folder else None
        make = partial(
            make_driver,
            self._target.under_load(),
            policy=self._policy,
            references=self._references,
            random=random,
            prompts=self._prompts,
            on_second=self._hooks.load_second,
            samples_file=samples_file,
        )
        return WatchedLoad(
            lambda tell: make(on_partial=tell), self._target, samples_file, self._hooks.load_result
        )

    def _samples_file(self, scenario: str) -> Path:
        assert self._samples_folder is not None  # noqa: S101 - not handed out otherwise
        return self._samples_folder / f"{SAFE_NAME.sub('-', scenario)}.parquet"

    def _say(self, text: str) -> None:
        self._hooks.say(self._references.hide(text))

    def _faults_refused(self) -> InstrumentFailure | None:
        if not self._target.allow_faults:
            return InstrumentFailure(
                "The target does not allow faults. Add `allow_faults = true` to the target file if this "
                "service may be broken on purpose.",
                missing="allow_faults",
            )
        if not self._policy.faults:
            return InstrumentFailure("This run was started without fault checks.")
        return self._policy.refusal(self._origin)

    def _lever_refused(self, lever: str) -> InstrumentFailure | None:
        if refused := self._faults_refused():
            return refused
        declared = self._target.levers.get(lever)
        if declared is None:
            return _absent(f"levers.{lever}")
        try:
            return self._policy.refusal(Origin.of(declared.api)) if declared.api else None
        except InstrumentFailure as error:
            return InstrumentFailure(
                f"Lever {lever} cannot be used: {error.reason}", missing=f"levers.{lever}.api"
            )


def _sse(target: Target, wire: Wire) -> SseReader:
    stream = target.stream
    return SseReader(wire, stream.ends, stream.open) if stream else SseReader(wire)


def _metrics(target: Target, wire: Wire) -> MetricsPage:
    return MetricsPage(target, HttpProbe(wire, kept_bytes=METRICS_BYTES))


def _declared(target: Target, key: str) -> bool:
    """Whether the target file says something at a dotted key."""
    node: object = target
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else getattr(node, part, None)
    return not (node is None or node is False or node == ())


def _absent(key: str) -> InstrumentFailure:
    if key.startswith("levers."):
        lever = key.removeprefix("levers.")
        return InstrumentFailure(
            f"No lever for {lever} is declared. Add `[{key}]` to the target file.", missing=key
        )
    fact, missing, add = ABSENT.get(key, (f"`{key}` is not declared", key, f"`{key}`"))
    install = f" {INSTALL[key]}" if key in INSTALL else ""
    return InstrumentFailure(f"{fact}. Add {add} to the target file.{install}", missing=missing)
