"""``load``: drive one service, in the closed or the open model, and show what was measured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli import load_options as options
from app.cli.assessing import TargetName
from app.cli.speaking import Exit, explained, write

if TYPE_CHECKING:
    from app.loading import Asked
    from checks.contract.load import Goal, StopRule
    from checks.contract.target import Target

DISCOVERY_S = 20.0
DURATION_S = 10.0
MAX_IN_FLIGHT = 1_000
HELP = (
    "Load a service and show what it did.\n\n"
    "Give --users for the closed model, --rate or --stage for the open one, in which latencies count from "
    "when a request was meant to be sent, so that a stall of the service cannot hide.\n\n"
    "TARGET is a name in data/targets, a path, `sample`, or a URL. A URL with a path is asked as it stands; "
    "one without is searched for a question first, and where there is none its / is asked.\n\n"
    "Exit 0: measured. 1: stopped early by a --stop rule. 2: usage or configuration. 3: the figures are "
    "invalid, or it was interrupted.\n\n"
    "Off this machine a host must be on the operator's allow-list (GREENLIGHT_ALLOW_HOSTS). "
    "GREENLIGHT_MAX_USERS and GREENLIGHT_MAX_RATE are the operator's ceilings. "
    "GREENLIGHT_DASK=tcp://host:port spreads the load over the workers of a Dask cluster."
)


def load(
    target: TargetName,
    users: options.Users = None,
    rate: options.Rate = None,
    stage: options.Stage = None,
    duration: options.Duration = None,
    warmup: options.Warmup = 0.0,
    think: options.Think = None,
    max_in_flight: options.MaxInFlight = None,
    spacing: options.Spacing = None,
    timeout: options.Timeout = 30.0,
    route: options.Route = None,
    method: options.Method = None,
    header: options.Header = None,
    body: options.Body = None,
    prompts: options.Prompts = None,
    zipf: options.Zipf = None,
    fresh: options.Fresh = 0.0,
    stop_failures: options.StopFailures = None,
    stop_p95: options.StopP95 = None,
    stop_after: options.StopAfter = 5.0,
    goal_latency: options.GoalLatency = None,
    goal_first_token: options.GoalFirstToken = None,
    goal_tpot: options.GoalTpot = None,
    workers: options.Workers = None,
    json_file: options.JsonFile = None,
    samples: options.Samples = None,
) -> None:
    """Load a service and show what it did; ``HELP`` is what the command line says of it."""
    with explained(), _broken_off():
        from app.cli.load_asking import asks_questions, checked, dask_address, questions, stages
        from app.loading import Asked
        from checks.contract.load import LoadPlan

        checked(
            {"--users": users, "--rate": rate, "--stage": stage or None},
            {
                "--think": think,
                "--max-in-flight": max_in_flight,
                "--spacing": spacing,
                "--duration": duration,
            },
            (warmup, timeout, zipf, fresh, stop_failures, stop_p95, stop_after, goal_latency),
        )
        steps = stages(stage or (), rate, duration or DURATION_S)
        with _target(target, method, header or [], body) as found:
            plan = LoadPlan(
                scenario="load",
                users=users or max_in_flight or MAX_IN_FLIGHT,
                duration_s=sum(step.duration_s for step in steps) or duration or DURATION_S,
                prompts=questions(prompts) if prompts else (),
                route=route or ("ask" if found.ask else "stream"),
                fresh_share=fresh,
                zipf_exponent=zipf,
                warmup_s=warmup,
                think_time_ms=think or 0.0,
                timeout_s=timeout,
                stages=steps,
                spacing=spacing or "poisson",
                stop=_stop_rule(stop_failures, stop_p95, stop_after),
                goal=_goal(goal_latency, goal_first_token, goal_tpot),
            )
            if prompts or fresh or zipf is not None:
                asks_questions(found, plan)
            code = _carry_out(Asked(found, plan, _samples_file(samples), workers, dask_address()), json_file)
        raise typer.Exit(code)


@contextmanager
def _broken_off() -> Iterator[None]:
    """Ctrl-C before the load begins, as in discovery."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("greenlight: Broken off before the load began.", err=True)
        raise typer.Exit(Exit.BROKE) from None


@contextmanager
def _target(name: str, method: str | None, headers: list[str], body: str | None) -> Iterator[Target]:
    """The target: a URL that names a request as it stands, anything else as ``assess`` finds it."""
    from app import targets
    from app.cli.assessing import ready
    from app.cli.load_asking import AskedError, names_a_request, plain_target

    plain = method is not None or bool(headers) or body is not None
    if targets.is_url(name):
        targets.validated({"url": name}, source=name, key="service")
        if plain or names_a_request(name):
            found = plain_target(name, method, headers, body)
        else:
            found = _discovered(name) or plain_target(name, method, headers, body)
        yield found
        return
    if plain:
        raise AskedError(f"--method, --header and --body are for a URL. {name} says itself how it is asked.")
    with ready(name, own_run=True) as found:
        yield found


def _discovered(url: str) -> Target | None:
    """What discovery finds to ask at a bare URL, or None."""
    from app import discovery

    typer.echo(f"Looking for a question to ask at {url} ...", err=True)
    try:
        found = discovery.discover(url, within_s=DISCOVERY_S)
    except TimeoutError:
        typer.echo(f"Discovery took longer than {DISCOVERY_S:g} s and was left.", err=True)
        return None
    return found if found.ask or found.stream else None


def _stop_rule(max_failure_ratio: float | None, max_p95_ms: float | None, for_s: float) -> StopRule | None:
    from checks.contract.load import StopRule

    if max_failure_ratio is None and max_p95_ms is None:
        return None
    return StopRule(for_s, max_failure_ratio, max_p95_ms)


def _goal(latency_ms: float | None, first_token_ms: float | None, tpot_ms: float | None) -> Goal | None:
    from checks.contract.load import Goal

    goal = Goal(latency_ms, first_token_ms, tpot_ms)
    return None if goal == Goal() else goal


def _samples_file(given: Path | None) -> Path:
    """Where the samples go. Raises AskedError for what is no file name."""
    from datetime import UTC, datetime

    from app import paths
    from app.cli.load_asking import AskedError

    if given is None:
        return paths.samples_folder() / f"load-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.parquet"
    if given.suffix != ".parquet" or given.is_dir():
        raise AskedError(f"--samples {given}: give a file name that ends in .parquet.")
    return given


def _carry_out(asked: Asked, json_file: Path | None) -> Exit:
    from rich.console import Console
    from rich.text import Text

    from app.cli.load_progress import LoadProgress
    from app.cli.load_show import print_load, what_is_asked
    from app.loading import Interrupt, measure
    from app.reports import load_report

    quiet = str(json_file) == "-"
    console = Console(stderr=True)
    console.print(Text(what_is_asked(asked.target, asked.plan)), soft_wrap=True)
    interrupt = Interrupt(lambda: console.print("Stopping, and summing up what there is ..."))
    interrupt.listen()
    with LoadProgress(console, asked.plan) as progress:
        measured = measure(asked, progress, interrupt)
    if not quiet:
        print_load(Console(), measured.result, measured.plan)
    if json_file:
        write(load_report.render(measured.result, measured.plan, measured.workers), json_file)
    if measured.interrupted or measured.result.validity == "invalid":
        return Exit.BROKE
    return Exit.GATE_FAILED if measured.stopped_by_rule else Exit.OK
