"""``runs list | show | export | cancel``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.speaking import Exit, explained, write

app = typer.Typer(help="Runs so far: list them, show one, export it, cancel it.")
RunId = Annotated[int, typer.Argument(metavar="RUN", help="The run's id, as `runs list` shows it")]


@app.command("list")
def list_runs(
    target: Annotated[str | None, typer.Option(help="Only the runs of this target")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of each target")] = 20,
) -> None:
    """List runs, newest first."""
    with explained():
        from rich.console import Console
        from rich.table import Table

        from app.history.store import Store
        from app.runs import reconcile

        store = Store.open()
        reconcile(store)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in ("id", "service", "run", "started", "state", "verdict", "score", "coverage", "by"):
            table.add_column(
                title, justify="right" if title in ("id", "run", "score", "coverage") else "left"
            )
        for key in [target] if target else store.targets():
            for info in store.runs(key, limit):
                table.add_row(
                    str(info.run_id),
                    key,
                    f"#{info.number}",
                    f"{info.created_at:%d %b %H:%M}",
                    info.state,
                    info.verdict or "",
                    "" if info.score is None else f"{info.score:.1f}",
                    "" if info.coverage is None else f"{info.coverage:.0%}",
                    info.started_by,
                )
        if not table.row_count:
            typer.echo("No run yet. `python -m app assess sample` makes the first.")
        else:
            Console().print(table)


@app.command("show")
def show(run: RunId) -> None:
    """Show the scorecard of a run."""
    with explained():
        from rich.console import Console

        from app.assess import snapshot_of
        from app.cli.show import print_scorecard
        from app.history.store import Store

        print_scorecard(Console(), snapshot_of(Store.open(), run))


@app.command("export")
def export(
    run: RunId,
    form: Annotated[str, typer.Option("--format", help="json, markdown, html or load-results")] = "json",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A file; default standard output")
    ] = None,
) -> None:
    """Write a run as a file."""
    with explained():
        from app.assess import snapshot_of
        from app.errors import UserError
        from app.history.store import Store
        from app.reports import FORMATS

        if form not in FORMATS:
            raise UserError(f"There is no format {form!r}. Known: {', '.join(FORMATS)}.")
        store = Store.open()
        snapshot = snapshot_of(store, run)
        history = [info for info in reversed(store.runs(snapshot.run.target)) if info.run_id <= run]
        write(FORMATS[form].render(snapshot, history), output)


@app.command("cancel")
def cancel(run: RunId) -> None:
    """Cancel a run that waits or runs; what its levers broke is restored."""
    with explained():
        from app import runs
        from app.history.store import Store

        info = runs.cancel(Store.open(), run)
        if info is None:
            typer.echo(f"greenlight: There is no run {run}.", err=True)
            raise typer.Exit(Exit.USAGE)
        typer.echo(f"Run {run} is {info.state}." if info.state.final else f"Run {run} was asked to stop.")
