"""``checks list | show ID | docs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.speaking import explained, write

app = typer.Typer(help="What is measured: list the checks, explain one, print their documentation.")


@app.command("list")
def list_checks() -> None:
    """List every check with its severity, points and kind."""
    with explained():
        from rich.console import Console
        from rich.table import Table

        from app import paths, rubric
        from checks import all_checks

        found = all_checks(paths.plugin_folders())
        entries = rubric.load(checks=found).checks
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title, justify in (("check", "left"), ("sev", "left"), ("points", "right"), ("kind", "left")):
            table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # left or right
        table.add_column("good when")
        for name, check in found.items():
            entry = entries[name]
            table.add_row(name, entry.severity, f"{entry.points:g}", check.about.kind, check.docs["title"])
        Console().print(table)


@app.command("show")
def show(check_id: Annotated[str, typer.Argument(metavar="ID", help="For example cache.hit_rate")]) -> None:
    """Explain one check: why it matters, how it is measured, how to fix it."""
    with explained():
        import difflib

        from app import paths
        from app.errors import UserError
        from checks import all_checks

        found = all_checks(paths.plugin_folders())
        if check_id not in found:
            near = difflib.get_close_matches(check_id, list(found), n=1)
            hint = f" Did you mean {near[0]}?" if near else " `python -m app checks list` shows them all."
            raise UserError(f"There is no check {check_id!r}.{hint}")
        check = found[check_id]
        parts = (("Why it matters", "why"), ("How it is measured", "how"), ("How to fix it", "fix"))
        body = "\n\n".join(f"{title}\n{check.docs[key]}" for title, key in parts)
        write(f"{check_id}: {check.docs['title']}\n\n{check.about.does}\n\n{body}", None)


@app.command("docs")
def docs(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A file; default standard output")
    ] = None,
) -> None:
    """Print the documentation of all checks as Markdown (checks/README.md is made so)."""
    with explained():
        from app import docs as documentation
        from app import rubric
        from checks import all_checks

        found = all_checks()
        write(documentation.render(found, rubric.load(checks=found).checks), output)
