"""The toolbox gives each check what it names and may have, and nothing else."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvloop

from app.instruments.faults.ledger import Ledger
from app.instruments.policy import Policy
from app.instruments.toolbox import Hooks, Toolbox
from checks import LoadedCheck
from checks.contract import Check, FailureKind, InstrumentFailure, Kind, LoadPlan, Profile, Request, Target
from checks.contract.instruments.monitoring import Panel, Shown
from tests.instruments.faults.proxies import proxied
from tests.instruments.servers import Scripted, Visit, scripted

QUICK = Profile("quick", samples=5, outage_s=1, deadline_factor=1, scenarios={})
ASK = {"path": "/chat", "body": {"q": "{prompt}"}, "answer": "a"}
LEVER = {"kind": "command", "break": ["true"], "restore": ["true"]}


@dataclass
class Heard:
    """What the hooks were told."""

    said: list[str]
    seconds: list[dict[str, Any]]
    results: list[Any]
    levers: list[tuple[str, ...]]


def check(*needs: str, kind: Kind = Kind.ACTIVE, deadline_s: float = 60) -> LoadedCheck:
    module = ModuleType("scripted")
    module.CHECK = Check(
        failure_title="x", kind=kind, does="x", needs=needs, deadline_s=deadline_s, typical_s=1
    )
    return LoadedCheck("family.name", Path("family/name.py"), module)


def toolbox(document: dict[str, Any], folder: Path, policy: Policy | None = None, **environment: str):
    heard = Heard([], [], [], [])
    hooks = Hooks(
        heard.said.append, heard.seconds.append, heard.results.append, lambda *of: heard.levers.append(of)
    )
    box = Toolbox(
        Target.model_validate({"url": "http://127.0.0.1:1", **document}),
        QUICK,
        policy=policy or Policy(),
        seed=7,
        hooks=hooks,
        ledger=Ledger(folder / "levers"),
        samples_folder=folder / "samples",
        environment=environment,
    )
    return box, heard


@pytest.mark.parametrize(
    ("needs", "document", "missing"),
    [
        (("http",), {}, None),
        (("target.ask",), {}, "ask"),
        (("target.ask",), {"ask": ASK}, None),
        (("target.stream",), {"ask": ASK}, "stream"),
        (("questions",), {}, "ask"),
        (("questions",), {"stream": {"path": "/s"}}, None),
        (("load",), {}, "ask"),
        (("redis",), {}, "redis.url"),
        (("redis?",), {}, None),
        (("redis",), {"redis": {"url": "redis://x"}}, None),
        (("target.redis",), {}, "redis.url"),
        (("upstream",), {}, "upstream.calls"),
        (("metrics",), {}, "health.metrics"),
        (("metrics",), {"health": {"metrics": "/metrics"}}, None),
        (("target.health.metrics",), {}, "health.metrics"),
        (("target.health.requests",), {}, "health.requests"),
        (("memory",), {}, None),
        (("target.cost",), {}, "cost"),
        (("target.transaction",), {}, "transaction"),
        (("target.levers.cache",), {}, "levers.cache"),
        (("target.levers.cache",), {"levers": {"cache": LEVER}}, None),
        (("target.objectives.hit_ratio",), {}, "objectives.hit_ratio"),
    ],
)
def test_what_a_check_needs_and_the_target_does_not_declare_is_named(needs, document, missing, tmp_path):
    refusal = toolbox(document, tmp_path)[0].refusal(check(*needs))
    assert (refusal.missing if refusal else None) == missing
    assert refusal is None or "to the target file." in refusal.reason


@pytest.mark.parametrize("kind", [Kind.ACTIVE, Kind.LOAD, Kind.FAULT])
def test_off_this_machine_only_passive_checks_run_unless_the_host_is_listed(kind, tmp_path):
    document = {"url": "http://example.com", "allow_faults": True}
    refusal = toolbox(document, tmp_path)[0].refusal(check(kind=kind))
    assert refusal is not None
    assert "allow-list" in refusal.reason
    assert toolbox(document, tmp_path)[0].refusal(check(kind=Kind.PASSIVE)) is None
    listed = Policy(frozenset({"example.com"}))
    assert toolbox(document, tmp_path, listed)[0].refusal(check(kind=kind)) is None


def test_faults_need_the_target_and_the_operator_to_allow_them(tmp_path):
    drill = check("faults", "target.levers.cache", kind=Kind.FAULT)
    levers = {"levers": {"cache": LEVER}}
    refusal = toolbox(levers, tmp_path)[0].refusal(drill)
    assert refusal is not None
    assert refusal.missing == "allow_faults"
    allowed = {**levers, "allow_faults": True}
    assert toolbox(allowed, tmp_path)[0].refusal(drill) is None
    refusal = toolbox(allowed, tmp_path, Policy(faults=False))[0].refusal(drill)
    assert refusal is not None
    assert "without fault checks" in refusal.reason


@pytest.mark.parametrize(
    ("api", "ok"), [("http://127.0.0.1:8474", True), ("http://example.com", False), ("ftp://x", False)]
)
def test_a_lever_on_another_machine_must_be_listed_too(api, ok, tmp_path):
    lever = {"kind": "toxiproxy", "api": api, "proxy": "p"}
    box, _ = toolbox({"allow_faults": True, "levers": {"cache": lever}}, tmp_path)
    assert (box.refusal(check("faults", "target.levers.cache", kind=Kind.FAULT)) is None) is ok


async def test_a_lever_that_may_not_be_used_is_refused_again_where_it_is_pulled(tmp_path):
    box, heard = toolbox({"levers": {"cache": LEVER}}, tmp_path)
    async with box.open(check("faults", kind=Kind.FAULT)) as instruments:
        with pytest.raises(InstrumentFailure, match="does not allow faults"):
            async with instruments.faults.broken("cache", "refuse"):
                raise AssertionError("broke without permission")
        assert instruments.faults.ways("cache") == ("refuse",)
    assert heard.levers == []


async def test_an_instrument_that_is_not_named_is_not_there(tmp_path):
    async with toolbox({}, tmp_path)[0].open(check("http", "redis?")) as instruments:
        assert instruments.http is not None
        with pytest.raises(InstrumentFailure, match=r"family\.name uses sse and does not name it"):
            _ = instruments.sse
        with pytest.raises(InstrumentFailure, match="No Redis is declared"):
            await instruments.redis.counters()
        with pytest.raises(AttributeError):
            _ = instruments.nonsense


async def test_every_named_instrument_is_there(tmp_path):
    names = (
        "http",
        "sse",
        "questions",
        "load",
        "redis",
        "upstream",
        "processes",
        "openapi",
        "metrics",
        "memory",
        "faults",
        "bodies",
        "tls",
        "prometheus",
        "alertmanager",
        "grafana",
        "notifications",
        "promql",
    )
    async with toolbox({"ask": ASK}, tmp_path)[0].open(check(*names)) as instruments:
        assert all(getattr(instruments, name) is not None for name in names)
        assert instruments.profile is QUICK


@pytest.mark.parametrize(
    ("need", "missing", "said"),
    [
        ("prometheus", "prometheus.url", "`[prometheus] url`, and the `labels` of this service's series"),
        ("alertmanager", "alertmanager.url", "`[alertmanager] url`"),
        ("grafana", "grafana.url", "`[grafana] url`"),
        ("notifications", "notifications", "`[notifications]` with listen and path"),
    ],
)
async def test_monitoring_that_is_not_declared_is_refused_with_what_to_add(need, missing, said, tmp_path):
    box, _ = toolbox({}, tmp_path)
    refused = box.refusal(check(need, kind=Kind.PASSIVE))
    assert refused.missing == missing
    assert said in refused.reason
    assert box.refusal(check(f"{need}?", kind=Kind.PASSIVE)) is None


async def test_an_optional_server_without_its_secret_is_told_when_it_is_asked(tmp_path):
    table = {"url": "http://127.0.0.1:1", "headers": {"Authorization": "Bearer ${NOT_SET}"}}
    async with toolbox({"prometheus": table}, tmp_path)[0].open(check("prometheus?")) as instruments:
        with pytest.raises(InstrumentFailure, match="no environment variable NOT_SET is set"):
            await instruments.prometheus.targets()


async def test_a_servers_secret_goes_to_no_other_place_and_no_probe_reaches_the_server(tmp_path):
    async def talk(visit: Visit) -> None:
        await visit.reply('{"data": {"activeTargets": []}}')

    async with scripted(talk) as service, scripted(talk) as prometheus:
        headers = {"Authorization": "Bearer ${TOKEN}"}
        document = {"url": service.url, "prometheus": {"url": prometheus.url, "headers": headers}}
        box, _ = toolbox(document, tmp_path, TOKEN="s3cret-token")
        async with box.open(check("prometheus", "http", kind=Kind.PASSIVE)) as instruments:
            await instruments.prometheus.targets()
            await instruments.http.send(Request("GET", "/", headers))
            with pytest.raises(InstrumentFailure, match="not declared"):
                await instruments.http.send(Request("GET", prometheus.url))
    assert [visit.headers["authorization"] for visit in prometheus.visits] == ["Bearer s3cret-token"]
    assert [visit.headers["authorization"] for visit in service.visits] == ["Bearer ${TOKEN}"]


async def test_a_passive_check_may_post_to_grafana_alone(tmp_path):
    async def talk(visit: Visit) -> None:
        await visit.reply('{"results": {"A": {"frames": []}}}')

    async with scripted(talk) as grafana:
        box, _ = toolbox({"url": grafana.url, "grafana": {"url": grafana.url}}, tmp_path)
        async with box.open(check("grafana", "http", kind=Kind.PASSIVE)) as instruments:
            shown = await instruments.grafana.shows(Panel("P", "stat", "prom", ("up",)), "up")
            with pytest.raises(InstrumentFailure, match="may only read"):
                await instruments.http.send(Request("POST", "/api/ds/query"))
    assert shown == Shown(data=False)
    assert [(visit.method, visit.path) for visit in grafana.visits] == [("POST", "/api/ds/query")]


async def answering(visit: Visit) -> None:
    await visit.reply('{"a": "yes"}')


def at(server: Scripted, **rest: Any) -> dict[str, Any]:
    return {"url": server.url, "ask": ASK, **rest}


async def test_a_passive_check_can_read_and_not_write(tmp_path):
    async with scripted(answering) as server:
        box, _ = toolbox(at(server), tmp_path)
        async with box.open(check("http", "questions", kind=Kind.PASSIVE)) as instruments:
            assert (await instruments.http.send(Request("GET", "/health"))).status == 200
            with pytest.raises(InstrumentFailure, match="may only read"):
                await instruments.http.send(Request("POST", "/chat"))
            with pytest.raises(InstrumentFailure, match="may only read"):
                await instruments.questions.ask("Why?")
        async with box.open(check("http")) as instruments:
            assert (await instruments.http.send(Request("POST", "/chat"))).status == 200


async def test_connections_are_closed_with_the_check(tmp_path):
    gone = asyncio.Event()

    async def talk(visit: Visit) -> None:
        await visit.reply("x")
        if not await visit.reader.read(1):
            gone.set()

    async with scripted(talk) as server:
        async with toolbox(at(server), tmp_path)[0].open(check("http")) as instruments:
            await instruments.http.send(Request())
            assert not gone.is_set()
        await asyncio.wait_for(gone.wait(), 20)


async def test_a_silent_service_is_not_waited_for_beyond_a_checks_time(tmp_path):
    async def talk(visit: Visit) -> None:
        await asyncio.Event().wait()

    hasty = check("http", deadline_s=0.5)
    async with scripted(talk) as server, toolbox(at(server), tmp_path)[0].open(hasty) as instruments:
        reply = await instruments.http.send(Request(), timeout_s=0.1)
        assert reply.failure.kind is FailureKind.TIMEOUT
        for _ in range(2):  # waited for, and not sent any more
            with pytest.raises(InstrumentFailure, match="so slowly"):
                await instruments.http.send(Request(), timeout_s=60)
    assert len(server.visits) == 2


async def test_no_check_gets_a_question_that_another_one_had(tmp_path):
    box, _ = toolbox({}, tmp_path)
    asked: list[str] = []
    for _ in range(20):
        async with box.open(check()) as instruments:
            asked += instruments.prompts.fresh(100) + instruments.prompts.repeats(3)
    assert len(set(asked)) == len(asked)


async def test_the_primary_question_is_asked_between_checks(tmp_path):
    status = 200

    async def talk(visit: Visit) -> None:
        await visit.reply('{"a": "yes"}', status)

    async with scripted(talk) as server:
        box, _ = toolbox(at(server), tmp_path)
        assert await box.primary_answers(10) is True
        status = 500
        assert await box.primary_answers(10) is False
    assert await box.primary_answers(10) is False


async def test_where_no_question_is_declared_or_allowed_there_is_no_answer_to_wait_for(tmp_path):
    assert await toolbox({}, tmp_path)[0].primary_answers(1) is None
    assert await toolbox({"url": "http://example.com", "ask": ASK}, tmp_path)[0].primary_answers(1) is None


async def test_secrets_are_taken_out_of_what_a_check_raises_and_says(tmp_path):
    ask = {**ASK, "headers": {"K": "${TOKEN}"}}
    async with scripted(answering) as server:
        box, heard = toolbox(at(server, ask=ask), tmp_path, TOKEN="s3cret-value")

        async def gather(kind: type[Exception]) -> None:
            async with box.open(check("questions")) as instruments:
                await instruments.questions.ask("Why?")
                instruments.say("asked with s3cret-value")
                raise kind("broke at s3cret-value")

        for kind in (InstrumentFailure, ValueError):
            with pytest.raises((InstrumentFailure, RuntimeError)) as caught:
                await gather(kind)
            assert "s3cret-value" not in str(caught.value)
            assert "broke at $TOKEN" in str(caught.value)
    assert heard.said == ["asked with $TOKEN"] * 2


async def test_an_error_without_secrets_goes_through_as_it_is(tmp_path):
    with pytest.raises(KeyError, match="own"):
        async with toolbox({}, tmp_path)[0].open(check()):
            raise KeyError("own")


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_load_shows_its_seconds_and_its_figures(tmp_path):
    async with scripted(answering) as server:
        box, heard = toolbox(at(server), tmp_path)
        async with box.open(check("load", kind=Kind.LOAD)) as instruments:
            plan = LoadPlan("light", 2, 1.5, instruments.prompts.repeats(2), think_time_ms=20)
            summary = await instruments.load.run(plan)
    (result,) = heard.results
    assert (result.scenario, result.users, result.successful) == ("light", 2, summary.successful)
    assert result.success_rate == 1.0
    assert (result.cache_hit_rate, result.passed) == (None, None)
    assert result.median_latency_ms == summary.p50_ms
    assert Path(result.samples_file) == tmp_path / "samples" / "light.parquet"
    assert [path.name for path in files_in(tmp_path / "samples")] == ["light.parquet"]
    assert heard.seconds
    assert heard.seconds[0]["scenario"] == "light"


async def test_a_load_beyond_the_ceiling_is_refused(tmp_path):
    async with scripted(answering) as server:
        box, heard = toolbox(at(server), tmp_path, Policy(max_users=3))
        async with box.open(check("load", kind=Kind.LOAD)) as instruments:
            with pytest.raises(InstrumentFailure, match="3"):
                await instruments.load.run(LoadPlan("big", 4, 1, ["q"]))
        assert (heard.results, server.visits) == ([], [])


def test_instruments_work_in_a_thread_with_a_loop_of_its_own(tmp_path):
    seen: list[str] = []

    async def drill() -> None:
        async with proxied(tmp_path) as proxy:
            document = json.loads(proxy.target().model_dump_json(by_alias=True, exclude_none=True))
            document["levers"]["step"] = LEVER
            box, heard = toolbox(document, tmp_path)
            async with box.open(check("faults", kind=Kind.FAULT)) as instruments:
                async with instruments.faults.broken("cache", "refuse"):
                    seen.append(await proxy.through())
                async with instruments.faults.broken("step", "refuse"):
                    seen.append("stepped")
            seen.append(await proxy.through())
            assert [what for _, _, what, _ in heard.levers] == ["broken", "restored"] * 2

    thread = threading.Thread(target=lambda: asyncio.Runner(loop_factory=uvloop.new_event_loop).run(drill()))
    thread.start()
    thread.join(60)
    assert seen == ["refused", "stepped", "hello"]
