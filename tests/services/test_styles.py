"""Four services in other styles: every finding is as its list of what to expect says (``NAME.md``)."""

from __future__ import annotations

import asyncio
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import uvloop

from app import discovery, targets
from checks import LoadedCheck, all_checks
from checks.contract import Finding, InstrumentFailure, Target
from tests.checks import scripted
from tests.instruments.redis_servers import programs, redis_server
from tests.services.running import HERE, Service, start
from tests.services.test_answers import toolbox_for

NAMES = ("recipes", "helpdesk", "gateway", "concierge")
FAMILIES = (
    "cache.",
    "endpoint_health.",
    "monitoring.",
    "error_recovery.",
)  # load takes minutes, and is no style
ROW = re.compile(
    r"^\| `([a-z_.*]+)` \| (pass|warn|fail|not applicable|not assessed(?:, `([a-z_.]+)`)?) \| (.+) \|$"
)
KEYS = {
    "gateway": {
        "GATEWAY_KEYS": "sk-first-7d81,sk-second-90ac",
        "GATEWAY_KEY": "sk-first-7d81",
        "GATEWAY_OTHER_KEY": "sk-second-90ac",
        "GATEWAY_OLD_KEY": "sk-revoked-11bd",
    }
}
CHECKS = {name: check for name, check in all_checks().items() if name.startswith(FAMILIES)}


def expected(name: str) -> dict[str, tuple[str, str]]:
    """Of each row of ``NAME.md``: outcome, and the key that is named where it is not assessed."""
    rows = {}
    for line in (HERE / f"{name}.md").read_text(encoding="utf-8").splitlines():
        if match := ROW.match(line):
            rows[match[1]] = (match[2].partition(",")[0].replace(" ", "_"), match[3] or "")
    return rows


EXPECTED = {name: expected(name) for name in NAMES}


def row_of(name: str, check: str) -> tuple[str, str] | None:
    """What ``name`` should find for ``check``: its own row, else that of its family."""
    rows = EXPECTED[name]
    return rows.get(check) or next(
        (rows[row] for row in rows if "*" in row and fnmatchcase(check, row)), None
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Service]]:
    """``service(name)`` starts it once; all end with the module."""
    started: dict[str, Service] = {}
    with ExitStack() as stack:

        def running(name: str) -> Service:
            if name not in started:
                folder = tmp_path_factory.mktemp(name)
                environment = dict(KEYS.get(name, {}))
                if name == "helpdesk":
                    options = ("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru")
                    port = stack.enter_context(redis_server(programs()[0], folder, *options))
                    environment["HELPDESK_REDIS"] = f"redis://127.0.0.1:{port}/0"
                started[name] = start(folder, name, environment)
                stack.callback(started[name].stop)
            return started[name]

        yield running


def measured(service: Service, check: LoadedCheck, folder: Path) -> Finding | InstrumentFailure:
    """The finding of one check, gathered as a run does, or why it was not assessed.

    Each has questions of its own, as within a run: one that an earlier check asked would be in the cache.
    """
    toolbox = toolbox_for(service, folder)
    if refusal := toolbox.refusal(check):
        return refusal

    async def gathered() -> object:
        async with asyncio.timeout(check.about.deadline_s), toolbox.open(check) as instruments:
            return await check.gather(service.target, instruments)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return scripted.judge(check.module, runner.run(gathered()), service.target)
    except InstrumentFailure as failure:
        return failure


@pytest.mark.matrix  # mostly waiting
@pytest.mark.parametrize("check", sorted(CHECKS))
@pytest.mark.parametrize("name", NAMES)
def test_every_finding_is_as_expected(
    service: Callable[[str], Service], name: str, check: str, tmp_path: Path
) -> None:
    row = row_of(name, check)
    assert row is not None, f"{name}.md has no row for {check}"
    found = measured(service(name), CHECKS[check], tmp_path)
    if isinstance(found, InstrumentFailure):
        assert ("not_assessed", found.missing) == row, found.reason
    else:
        assert str(found.outcome) == row[0], found.reason
        assert row[1].rpartition(".")[2] in found.reason
    for variable, secret in service(name).environment.items():
        if "KEY" in variable:
            assert secret not in repr(found)


def discovered(service: Service, **headers: str) -> Target:
    found = discovery.explore(service.target.url, headers, lambda _: None)
    text = discovery.as_toml(found)
    return targets.validated(tomllib.loads(text), source="found.toml", key=service.target.key)


def test_discovery_finds_what_the_gateways_target_file_says(
    service: Callable[[str], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = service("gateway")
    monkeypatch.setenv("GATEWAY_KEY", gateway.environment["GATEWAY_KEY"])
    found, declared = discovered(gateway, Authorization="Bearer ${GATEWAY_KEY}"), gateway.target
    assert found.ask is not None
    assert declared.ask is not None
    assert declared.stream is not None
    assert (found.ask.path, found.ask.body, found.ask.headers, found.ask.answer) == (
        *(declared.ask.path, declared.ask.body, declared.ask.headers),
        declared.ask.answer,
    )
    assert found.stream is not None
    assert (found.stream.body, found.stream.token) == (declared.stream.body, declared.stream.token)
    places = declared.health.liveness, declared.health.readiness, declared.health.metrics
    assert (found.health.liveness, found.health.readiness, found.health.metrics) == places


def test_discovery_finds_a_question_in_the_query_of_a_route_that_is_only_read(
    service: Callable[[str], Service],
) -> None:
    found = discovered(service("recipes"))
    assert found.ask is not None
    assert (found.ask.method, found.ask.path, found.ask.answer) == ("GET", "/v1/answer?q={prompt}", None)
    assert found.health.readiness == "/ready"


@pytest.mark.parametrize("name", ["helpdesk", "concierge"])
def test_discovery_says_what_it_could_not_find(service: Callable[[str], Service], name: str) -> None:
    found = discovery.explore(service(name).target.url, {}, lambda _: None)
    assert found.target.ask is None
    assert "No business request was found. Add `[ask]`." in found.aside
    assert found.target.health.liveness == service(name).target.health.liveness


def test_nothing_is_expected_of_a_check_that_is_not_there() -> None:
    for name in NAMES:
        for row in EXPECTED[name]:
            assert any(fnmatchcase(check, row) for check in CHECKS), f"{name}.md: {row}"


def test_what_they_need_is_what_they_would_be_installed_with() -> None:
    text = (HERE.parents[1] / "requirements-dev.txt").read_text(encoding="utf-8")
    assert all(package in text for package in ("flask", "gunicorn", "aiohttp"))
    assert os.environ.get("HELPDESK_REDIS") is None
