"""The servers that the tools are held against: nginx for speed, a scripted one for truth."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.processes import Program, await_port, free_port, last_json

NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            default_type application/json;
            return 200 '{{"answer":"Within 30 days."}}';
        }}
    }}
}}
"""


@dataclass(slots=True)
class Server:
    """A running server. ``truth`` is filled when it has ended (scripted servers only)."""

    url: str
    program: Program
    truth: dict[str, Any] = field(default_factory=dict)


def nginx_missing() -> str:
    """Why there is no nginx, or nothing."""
    return "" if _nginx() else "nginx is not installed: apt-get install nginx-light"


def _nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@contextmanager
def nginx(core: int) -> Iterator[Server]:
    """An nginx with one worker that answers a small JSON to whatever is asked."""
    port = free_port()
    with TemporaryDirectory(prefix="greenlight-bench-") as folder:
        config = Path(folder) / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port), encoding="utf-8")
        program = Program([_nginx() or "nginx", "-c", str(config)], core)
        try:
            await_port(port, program)
            yield Server(f"http://127.0.0.1:{port}", program)
        finally:
            program.end()


@contextmanager
def scripted(core: int, *, delay_ms: float, tokens: int = 0, gap_ms: float = 0.0) -> Iterator[Server]:
    """A scripted server in a process of its own; see scripted_server.py."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.scripted_server", f"--port={port}"]
    command += [f"--delay-ms={delay_ms}", f"--tokens={tokens}", f"--gap-ms={gap_ms}"]
    program = Program(command, core)
    server = Server(f"http://127.0.0.1:{port}", program)
    output = ""
    try:
        await_port(port, program)
        yield server
    finally:
        output = program.end()
    server.truth = last_json(output)
