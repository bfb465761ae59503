"""``assess``, ``discover``, ``compare``, ``rescore``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.cli.speaking import Exit, explained, write

if TYPE_CHECKING:
    from app.assess import Plan
    from app.history.store import Store
    from app.records import Snapshot
    from checks.contract.target import Target

DISCOVERY_S = 120.0  # a service that takes its time for each of some thirty requests

TargetName = Annotated[
    str, typer.Argument(metavar="TARGET", help="A name in data/targets, a path, a bare URL, or `sample`")
]


def assess(
    target: TargetName,
    profile: Annotated[str, typer.Option(help="quick, standard or deep")] = "quick",
    only: Annotated[list[str] | None, typer.Option(help="Only checks like this (repeatable glob)")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="No checks like this (repeatable glob)")] = None,
    faults: Annotated[
        bool,
        typer.Option("--faults/--no-faults", help="Also break things on purpose, where the target allows it"),
    ] = True,
    fail_under: Annotated[float | None, typer.Option(min=0, max=100, help="Exit 1 below this score")] = None,
    fail_on: Annotated[
        Literal["P0", "P1"] | None, typer.Option(help="Exit 1 when a check of this severity, or worse, fails")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the run as JSON (- for stdout)")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a summary in Markdown (- for stdout)")] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait while another run assesses it")
    ] = False,
    into: Annotated[
        int | None,
        typer.Option(metavar="RUN", help="Take the findings of checks that are not run from this run"),
    ] = None,
    run_id: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Assess a service: run the checks, score them, keep the result."""
    with explained():
        from app.assess import Plan
        from app.history.store import Store

        store = Store.open()
        with ready(target, own_run=run_id is None) as found:
            plan = Plan(found, profile, tuple(only or ()), tuple(skip or ()), faults)
            run_id = run_id or _new_run(store, plan, into, wait=wait)
            snapshot = _carry_out(store, plan, run_id, quiet=Path("-") in (json_file, markdown))
        _write_files(snapshot, json_file, markdown)
        raise typer.Exit(_exit_code(snapshot, fail_under, fail_on))


def discover(
    url: Annotated[str, typer.Argument(metavar="URL", help="For example http://127.0.0.1:8003")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="A file; default standard output")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE where it is there already")] = False,
    header: Annotated[
        list[str] | None,
        typer.Option("-H", "--header", metavar="'NAME: VALUE'", help="Send this with it; secrets as ${ENV}"),
    ] = None,
) -> None:
    """Find out what can be assessed at a URL, as a commented target file.

    Sends a few questions to routes that look like chat (OpenAI's API is known), and nothing to routes that
    look as if they change something.
    """
    with explained():
        from app import discovery, targets
        from app.errors import UserError

        if not targets.is_url(url):
            raise UserError(f"{url!r} is not a URL that begins with http:// or https://.")
        discovery.whole_service(url)
        if output and str(output) != "-" and output.exists() and not force:
            raise UserError(f"{output}: is there already. Give another name, or --force to replace it.")
        try:
            found = discovery.explore(url, _headers(header or []), _progress, DISCOVERY_S)
        except TimeoutError as error:
            raise UserError(f"{url}: discovery took longer than {DISCOVERY_S:g} s and was left.") from error
        write(discovery.as_toml(found), output)
        if output and str(output) != "-":
            _progress(
                f"Written to {output}. Check what begins with Guess, then: python -m app assess {output}"
            )


def _progress(text: str) -> None:
    typer.echo(text, err=True)


def _headers(given: list[str]) -> dict[str, str]:
    """Headers as curl takes them. Raises UserError for what is none."""
    from app.errors import UserError

    headers = {}
    for each in given:
        name, colon, value = each.partition(":")
        if not colon or not name.strip():
            raise UserError(f"-H {name!r}: give it as 'NAME: VALUE'.")
        headers[name.strip()] = value.strip()
    return headers


def compare(
    run_a: Annotated[int, typer.Argument(help="The earlier run's id")],
    run_b: Annotated[int, typer.Argument(help="The later run's id")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write it as JSON (- for stdout)")] = None,
) -> None:
    """Show what changed between two runs."""
    with explained():
        from rich.console import Console

        from app import compare as comparing
        from app.assess import snapshot_of
        from app.cli.show import print_comparison
        from app.history.store import Store
        from app.reports import comparison as report

        store = Store.open()
        comparison = comparing.compare(snapshot_of(store, run_a), snapshot_of(store, run_b))
        if json_file:
            write(report.render(comparison), json_file)
        else:
            print_comparison(Console(), comparison)


def rescore(
    run: Annotated[int, typer.Argument(metavar="RUN", help="The run's id, as `runs list` shows it")],
    rubric: Annotated[Path, typer.Option(help="The rubric to judge and score it under")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write it as JSON (- for stdout)")] = None,
) -> None:
    """Judge and score a kept run again, under another rubric, without touching the service."""
    with explained():
        from rich.console import Console

        from app import assess as assessing
        from app.cli.show import print_scorecard
        from app.history.store import Store
        from app.reports import FORMATS

        snapshot = assessing.rescored(Store.open(), run, rubric)
        if json_file:
            write(FORMATS["json"].render(snapshot), json_file)
        else:
            print_scorecard(Console(), snapshot)


@contextmanager
def ready(name: str, *, own_run: bool) -> Iterator[Target]:
    """Find the target; start the sample for a run of our own when it is not up, and stop it afterwards."""
    from app import discovery, targets
    from app.assess import reach

    if targets.is_url(name):
        bare = targets.validated({"url": name}, source=name, key=targets.url_key(name))
        reach(bare)
        yield discovery.discover(name)
        return
    if name != targets.SAMPLE_KEY:
        target = targets.load(name)
        if own_run:
            reach(target)
        yield target
        return
    with _sample(start=own_run):
        yield targets.load(name)


@contextmanager
def _sample(*, start: bool) -> Iterator[None]:
    from app.sample import stack

    state = stack.status()
    started = state is None and start
    if started:
        typer.echo("Starting the sample service ...", err=True)
        state = stack.up()
    if state:
        os.environ.update(stack.environment(state))
    try:
        yield
    finally:
        if started:
            stack.down()


def _new_run(store: Store, plan: Plan, into: int | None, *, wait: bool) -> int:
    """Add a run to the history, once nothing can be wrong with what was asked for."""
    from app import paths, profiles, rubric, runs
    from app.assess import chosen
    from checks import all_checks

    checks = all_checks(paths.plugin_folders())
    chosen(checks, plan)
    rubric.load(checks=checks)
    profiles.named(plan.profile)
    base = _base(store, plan, into)
    runs.reconcile(store)
    busy = [info for info in store.active() if info.target == plan.target.key]
    if busy and not wait:
        raise runs.RunRefusedError(
            f"Run {busy[0].run_id} of this service is in progress. Wait for it with --wait, "
            f"or cancel it with `python -m app runs cancel {busy[0].run_id}`."
        )
    return store.create_run(
        plan.target, profile=plan.profile, faults=plan.faults, started_by=_who(), based_on=base
    ).run_id


def _base(store: Store, plan: Plan, into: int | None) -> int | None:
    from app.errors import UserError

    if into is None:
        return None
    info = store.run(into)
    if info is None or info.target != plan.target.key or info.score is None:
        raise UserError(f"--into {into}: there is no scored run of {plan.target.key} with this id.")
    return info.number


def _carry_out(store: Store, plan: Plan, run_id: int, *, quiet: bool) -> Snapshot:
    from rich.console import Console

    from app.assess import carry_out, snapshot_of
    from app.cli.progress import Progress

    with Progress(Console(stderr=True, quiet=quiet)) as progress:
        info = carry_out(store, run_id, plan, progress)
    return snapshot_of(store, info.run_id)


def _who() -> str:
    return os.environ.get("GREENLIGHT_USER") or ("ci" if os.environ.get("CI") else "command line")


def _write_files(snapshot: Snapshot, json_file: Path | None, markdown: Path | None) -> None:
    from rich.console import Console

    from app.cli.show import print_scorecard
    from app.reports import FORMATS

    if Path("-") not in (json_file, markdown):
        print_scorecard(Console(), snapshot)
    for form, file in (("json", json_file), ("markdown", markdown)):
        if file:
            write(FORMATS[form].render(snapshot), file)


def _exit_code(snapshot: Snapshot, fail_under: float | None, fail_on: str | None) -> Exit:
    from app.records import RunState
    from checks.contract.findings import Outcome

    card = snapshot.scorecard
    if snapshot.run.state is not RunState.FINISHED or card is None:
        typer.echo(f"greenlight: The run was {snapshot.run.state}. {snapshot.run.message}", err=True)
        return Exit.BROKE
    failed = [item for item in card.findings if item.outcome is Outcome.FAIL and item.waived_until is None]
    gated = [item.check for item in failed if fail_on and item.severity <= fail_on]
    code = Exit.OK
    if gated:
        typer.echo(f"greenlight: {', '.join(gated)} failed, and --fail-on is {fail_on}.", err=True)
        code = Exit.GATE_FAILED
    if fail_under is not None and (card.score is None or card.score < fail_under):
        typer.echo(f"greenlight: The score {card.score} is under {fail_under:g}.", err=True)
        code = Exit.GATE_FAILED
    return code
