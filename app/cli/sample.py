"""``sample up | status | down | defects``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.speaking import explained

if TYPE_CHECKING:
    from app.sample.state import State

app = typer.Typer(help="The bundled sample service, and the defects that it can have.", no_args_is_help=True)


@app.command("up")
def up(
    defect: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Start with this defect; repeatable")
    ] = None,
    as_found: Annotated[
        bool, typer.Option("--as-found", help="Start with the defects of a real case, all at once")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the chat API")] = 8003,
    redis: Annotated[
        str | None, typer.Option(metavar="URL", help="Use this Redis instead of the bundled Valkey")
    ] = None,
) -> None:
    """Start the sample and print its addresses."""
    with explained():
        from app.sample import stack
        from app.sample.defects import AS_FOUND

        names = [*(AS_FOUND if as_found else ()), *(defect or ())]
        state = stack.up(names, chat_port=port, redis_url=redis)
        typer.echo(f"The sample is up. Assess it with `python -m app assess {state.target_file.stem}`.\n")
        _print(state)


@app.command("status")
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for a program")] = False,
) -> None:
    """Print what runs where; exit 1 when the sample is not up."""
    with explained():
        from app.sample import stack

        state = stack.status()
        if as_json:
            typer.echo(state.model_dump_json(indent=2) if state else "null")
        elif state:
            _print(state)
        else:
            typer.echo("The sample is not up. Start it with `python -m app sample up`.")
        if state is None:
            raise typer.Exit(1)


@app.command("down")
def down() -> None:
    """End what `sample up` started, and nothing else."""
    with explained():
        from app.sample import stack

        typer.echo("The sample is down." if stack.down() else "The sample was not up.")


@app.command("mend")
def mend(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="All when left out")] = None,
) -> None:
    """Switch defects of the running sample off: those named, or all."""
    _change(lambda now: set(now) - set(names) if names else set(), names or [])


@app.command("break")
def break_(names: Annotated[list[str], typer.Argument(metavar="NAME...")]) -> None:
    """Switch defects of the running sample on, beside those that it has."""
    _change(lambda now: {*now, *names}, names)


@app.command("defects")
def defects() -> None:
    """List the defects, what each does and which checks notice it."""
    from app.sample.defects import AS_FOUND, DEFECTS

    for defect in DEFECTS.values():
        found = "  (as found)" if defect.name in AS_FOUND else ""
        typer.echo(f"{typer.style(defect.name, bold=True)}{found}\n    {defect.description}")
        typer.echo(f"    Noticed by {', '.join(defect.notices)}.")


def _change(wanted: Callable[[Iterable[str]], Iterable[str]], names: Iterable[str]) -> None:
    with explained():
        from app.sample import stack
        from app.sample.defects import checked

        checked(names)
        state = stack.status()
        _print(stack.set_defects(wanted(state.defects if state else ())))


def _print(state: State) -> None:
    from app.sample.monitoring.servers import unwatched

    for part in state.parts:
        typer.echo(f"{part.name:<12} {part.url:<26} pid {part.pid}{'' if part.alive else '  gone'}")
    typer.echo(f"{'defects':<12} {', '.join(state.defects) or 'none'}")
    typer.echo(f"{'target':<12} {state.target_file}")
    if told := unwatched(state):
        typer.echo(f"{'monitoring':<12} {told}")
