"""``load``: drive one service, in the closed or the open model, and show what was measured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

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
MODEL, ASKED, ENDS, WHERE = (
    "How much",
    "What is asked",
    "When to stop, what is good",
    "Where it runs and goes",
)


def load(
    target: TargetName,
    users: Annotated[
        int | None,
        typer.Option(
            min=1, help="Closed model: users who ask, wait for the answer, ask again", rich_help_panel=MODEL
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Open model: arrivals a second, whatever the answers do", rich_help_panel=MODEL
        ),
    ] = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RATE:S",
            help="Open model, repeatable: RATE:SECONDS, or a ramp FROM:TO:SECONDS",
            rich_help_panel=MODEL,
        ),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="S", help="How long it is measured; default 10", rich_help_panel=MODEL),
    ] = None,
    warmup: Annotated[
        float, typer.Option(min=0, metavar="S", help="Before that, and left out", rich_help_panel=MODEL)
    ] = 0.0,
    think: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="MS",
            help="Closed model: a user's pause between questions; default 0",
            rich_help_panel=MODEL,
        ),
    ] = None,
    max_in_flight: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Open model: under way at most; arrivals beyond are dropped, and counted; default 1000",
            rich_help_panel=MODEL,
        ),
    ] = None,
    spacing: Annotated[
        Literal["poisson", "even"] | None,
        typer.Option(help="Open model: how arrivals are spaced; default poisson", rich_help_panel=MODEL),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="S", help="Then it counts as failed", rich_help_panel=ENDS)
    ] = 30.0,
    route: Annotated[
        Literal["ask", "stream"] | None,
        typer.Option(help="Which route of the target; default ask if declared", rich_help_panel=ASKED),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="For a URL: GET, or POST where there is a body", rich_help_panel=ASKED)
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME: VALUE'", help="For a URL; ${ENV} for a secret; repeatable", rich_help_panel=ASKED
        ),
    ] = None,
    body: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT|@FILE", help="For a URL; {prompt} and {nonce} are filled in", rich_help_panel=ASKED
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Questions: one a line, or .jsonl with a prompt key", rich_help_panel=ASKED
        ),
    ] = None,
    zipf: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="S", help="The k-th question is asked with weight k^-S", rich_help_panel=ASKED
        ),
    ] = None,
    fresh: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="Share of questions never asked before", rich_help_panel=ASKED
        ),
    ] = 0.0,
    stop_failures: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="RATIO", help="Stop where more than this fails ...", rich_help_panel=ENDS
        ),
    ] = None,
    stop_p95: Annotated[
        float | None,
        typer.Option(min=0, metavar="MS", help="... or the p95 is above this ...", rich_help_panel=ENDS),
    ] = None,
    stop_after: Annotated[
        float, typer.Option(min=0, metavar="S", help="... for this long", rich_help_panel=ENDS)
    ] = 5.0,
    goal_latency: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="MS", help="Goodput: an answer is good within this", rich_help_panel=ENDS
        ),
    ] = None,
    goal_first_token: Annotated[
        float | None,
        typer.Option(min=0, metavar="MS", help="Goodput: its first token within this", rich_help_panel=ENDS),
    ] = None,
    goal_tpot: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="MS", help="Goodput: a token at least every so often", rich_help_panel=ENDS
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=256,
            help="Processes; on GREENLIGHT_DASK all its workers by default",
            rich_help_panel=WHERE,
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="Write the figures as JSON (- for stdout)", rich_help_panel=WHERE
        ),
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.parquet",
            help="Every request; default data/samples/load-TIME.parquet",
            rich_help_panel=WHERE,
        ),
    ] = None,
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
