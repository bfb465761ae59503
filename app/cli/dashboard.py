"""``dashboard``: the pages in a browser, and on the first start a first measurement to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.speaking import Exit, explained

if TYPE_CHECKING:
    from app.history.store import Store


def dashboard(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
    first_run: Annotated[
        bool,
        typer.Option("--first-run/--no-first-run", help="With an empty history, assess the sample as found"),
    ] = True,
) -> None:
    """Open the dashboard; with an empty history, start the sample as found and assess it."""
    import subprocess
    import sys

    from app import paths, runs
    from app.history.store import Store

    with explained():
        store = Store.open()
        runs.reconcile(store)
        _port_is_free(port)
        started_sample = first_run and not store.targets() and _first_contact(store)
    command = [sys.executable, "-m", "streamlit", "run", str(paths.ROOT / "streamlit_app.py")]
    command += ["--server.port", str(port), "--server.headless", "true"]
    typer.echo(f"Dashboard: http://127.0.0.1:{port}  (Ctrl-C ends it)")
    process = subprocess.Popen(command, cwd=paths.ROOT)  # noqa: S603 - our own program, no input
    try:
        code = process.wait()
    except KeyboardInterrupt:
        code = process.wait()
    if started_sample and not store.active():
        from app.sample import stack

        stack.down()
    raise typer.Exit(Exit.OK if code in (0, -2) else Exit.BROKE)


def _port_is_free(port: int) -> None:
    import socket

    from app.errors import UserError

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f"Port {port} is in use ({error.strerror}). Is the dashboard open already? "
                f"Choose another: make run PORT={port + 1}"
            ) from error


def _first_contact(store: Store) -> bool:
    import os

    from app import runs, targets
    from app.sample import processes, stack
    from app.sample.defects import AS_FOUND

    typer.echo("First start: starting the bundled sample service as found, and assessing it.")
    state = stack.status()
    started = state is None
    if state is None:
        port = processes.nearest_free(stack.CHAT_PORT) or stack.CHAT_PORT
        if port != stack.CHAT_PORT:
            typer.echo(f"Port {stack.CHAT_PORT} is taken; the sample uses {port}.")
        state = stack.up(AS_FOUND, chat_port=port)
    os.environ.update(stack.environment(state))
    runs.start(store, targets.SAMPLE_KEY, started_by="first start")
    return started
