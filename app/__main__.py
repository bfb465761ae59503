"""The command line: ``python -m app``."""

from __future__ import annotations

import io
import os
import sys

import typer

from app.cli import assessing, checks, dashboard, faults, load, runs, sample

app = typer.Typer(
    name="greenlight",
    help="Is a service ready for production? A point is earned by a measurement, never by a claim.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("assess")(assessing.assess)
app.command("discover")(assessing.discover)
app.command("load", help=load.HELP)(load.load)
app.command("compare")(assessing.compare)
app.command("rescore")(assessing.rescore)
app.command("dashboard")(dashboard.dashboard)
app.add_typer(sample.app, name="sample")
app.add_typer(checks.app, name="checks")
app.add_typer(runs.app, name="runs")
app.add_typer(faults.app, name="faults")

if __name__ == "__main__":
    # Before Arrow is loaded, which reads it then: its own allocator keeps some 20 MB of what a load frees.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # without UTF-8 icons are lost; each has a word beside it
    app(prog_name="greenlight")
