"""``faults restore``: put back what a run that died left broken."""

from __future__ import annotations

import typer

from app.cli.speaking import explained

app = typer.Typer(help="Levers that break something on purpose.")


@app.callback()
def _group() -> None:
    """Keep ``restore`` a command of its own."""


@app.command("restore")
def restore() -> None:
    """Put back what a run that died left broken."""
    with explained():
        import os

        from app import paths
        from app.instruments.faults.ledger import restore_left_behind

        restored = restore_left_behind(paths.levers_folder(), os.environ)
        for item in restored:
            typer.echo(f"{item.lever}: {item.detail}")
        if not restored:
            typer.echo("Nothing was left broken.")
