"""``faults restore``: put back what a run that died left broken. ``faults proxy``: run a fault proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.speaking import Exit, explained

if TYPE_CHECKING:
    from app.faultproxy.links import Proxy

HOST = "127.0.0.1"
API = f"{HOST}:8474"  # where Toxiproxy has it
PLACE = "[HOST:]PORT"

app = typer.Typer(help="Levers that break something on purpose.")


@app.command("restore")
def restore() -> None:
    """Put back what a run that died left broken; exit 3 where something could not be."""
    with explained():
        import os

        from app import paths
        from app.instruments.faults.ledger import restore_left_behind

        restored = restore_left_behind(paths.levers_folder(), os.environ)
        for item in restored:
            typer.echo(f"{item.lever}: {item.detail}")
        if not restored:
            typer.echo("Nothing was left broken.")
        if not all(item.ok for item in restored):
            raise typer.Exit(Exit.BROKE)


@app.command("proxy")
def proxy(
    listen: Annotated[str, typer.Option(metavar=PLACE, help="Where the service is to connect to")],
    upstream: Annotated[str, typer.Option(metavar=PLACE, help="What is behind it")],
    name: Annotated[str, typer.Option(help="The proxy's name, for the target file")] = "upstream",
    api: Annotated[str, typer.Option(metavar=PLACE, help="Where levers reach it")] = API,
) -> None:
    """Run a fault proxy before a dependency, until Ctrl-C: levers of kind `faultproxy` break it there.

    It passes any TCP on. Where that is plain HTTP/1.1 it counts the requests, and can answer 503 to all or to
    the next two. Ports are on this machine alone unless a host is given.
    """
    with explained():
        from app.errors import UserError
        from app.faultproxy.links import Proxy
        from app.faultproxy.serving import serve

        made, at = Proxy(name, _place(listen), _place(upstream)), _place(api)
        try:
            serve([made], at, ready=lambda: _tell(made, at))
        except OSError as error:
            raise UserError(f"The fault proxy cannot listen: {error.strerror or error}.") from error


def _place(given: str) -> str:
    from app.errors import UserError
    from app.faultproxy.links import split_address

    try:
        host, port = split_address(given)
    except ValueError as error:
        raise UserError(f"{given!r} is no {PLACE}, such as 9000 or 10.0.0.7:9000.") from error
    if not 0 < port < 65_536:
        raise UserError(f"{given!r} has no port from 1 to 65535.")
    return f"{host}:{port}"


def _tell(made: Proxy, api: str) -> None:
    from app.faultproxy.links import split_address
    from app.instruments.origins import is_loopback

    typer.echo(f"{made.listen} leads to {made.upstream}. Point the service at {made.listen}, and declare:\n")
    typer.echo(
        f'[levers.upstream]\nkind = "faultproxy"\napi = "http://{api}"\nproxy = "{made.name}"\n'
        'ways = ["refuse", "hang", "slow", "reset", "errors", "few_errors"]'
    )
    open_to = [place for place in (made.listen, api) if not is_loopback(split_address(place)[0])]
    if open_to:
        typer.echo(f"Whoever reaches {' or '.join(open_to)} can use or break the upstream.", err=True)
