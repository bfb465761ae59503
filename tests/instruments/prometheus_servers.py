"""Real Prometheus and Alertmanager servers for tests, on free ports, each in a folder of its own.

Tests that use them are marked ``needs_prometheus`` (``needs_alertmanager``): skipped with a reason where the
programs are not installed. An ``exporter`` is what such a Prometheus scrapes: a page that the test writes.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.instruments.servers import free_port

PROMETHEUS = shutil.which("prometheus")
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
PROMTOOL = shutil.which("promtool")
INSTALL = "apt-get install prometheus prometheus-alertmanager"
START_TIMEOUT_S = 60.0

needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason=f"prometheus is not installed ({INSTALL})")
needs_alertmanager = pytest.mark.skipif(
    PROMETHEUS is None or ALERTMANAGER is None,
    reason=f"prometheus and alertmanager are not both installed ({INSTALL})",
)
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason=f"promtool is not installed ({INSTALL})")


@dataclass
class Server:
    """A running server: where it is, what it was told, and its process."""

    url: str
    port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")

    def get(self, path: str, **query: str) -> Any:
        """The JSON at ``path`` below its base path. Raises HTTPError for a status that is not good."""
        question = f"?{urllib.parse.urlencode(query)}" if query else ""
        with urllib.request.urlopen(f"{self.url}{path}{question}", timeout=30) as reply:  # noqa: S310
            return json.load(reply)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query of a Prometheus."""
        return self.get("/api/v1/query", query=expression)["data"]["result"]

    def until(self, true: Callable[[], object], *, timeout_s: float = 60.0) -> None:
        """Wait until ``true()`` is."""
        end = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < end, f"not within {timeout_s:g} s; {self.log[-1_000:]}"
            time.sleep(0.1)

    def until_found(self, expression: str, *, timeout_s: float = 60.0) -> None:
        """Wait until a query of this Prometheus has a series."""
        self.until(lambda: self.query(expression), timeout_s=timeout_s)

    def reload(self) -> None:
        """Have it read its files again, which it does a moment later."""
        self.process.send_signal(signal.SIGHUP)


@contextmanager
def prometheus_server(
    folder: Path,
    *,
    scrapes: Mapping[str, Sequence[str]] | None = None,
    rules: Mapping[str, str] | None = None,
    alertmanagers: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    prefix: str = "",
    options: Sequence[str] = (),
    interval: str = "1s",
    port: int | None = None,
) -> Iterator[Server]:
    """Run a Prometheus until the block ends, on a free port unless ``port`` tells one.

    ``scrapes`` maps a job to the ``host:port`` of its targets, ``rules`` a file's name to its YAML text,
    ``alertmanagers`` are ``host:port``. ``config`` replaces whole top-level keys of prometheus.yml.
    ``prefix`` (``/prom``) is a path in front of all its routes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (rules or {}).items():
        (folder / name).write_text(text, encoding="utf-8")
    document = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(folder / name) for name in rules or {}],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(places)}]}
            for job, places in (scrapes or {}).items()
        ],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
        **(config or {}),
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    port = port or free_port()
    command = [
        str(PROMETHEUS),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--rules.alert.resend-delay=5s",
        *([f"--web.external-url=http://127.0.0.1:{port}{prefix}"] if prefix else ()),
        *options,
    ]
    with _running(command, folder, port, prefix) as server:
        yield server


@contextmanager
def alertmanager_server(
    folder: Path, config: str | Mapping[str, Any], *, prefix: str = "", options: Sequence[str] = ()
) -> Iterator[Server]:
    """Run an Alertmanager with this alertmanager.yml until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "alertmanager.yml"
    file.write_text(config if isinstance(config, str) else yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    command = [
        str(ALERTMANAGER),
        f"--config.file={file}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        *([f"--web.external-url=http://127.0.0.1:{port}{prefix}"] if prefix else ()),
        *options,
    ]
    with _running(command, folder, port, prefix) as server:
        yield server


@contextmanager
def _running(command: Sequence[str], folder: Path, port: int, prefix: str) -> Iterator[Server]:
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    server = Server(f"http://127.0.0.1:{port}{prefix}", port, folder, process)
    try:
        _wait_for(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def _wait_for(server: Server) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end and server.process.poll() is None:
        try:
            urllib.request.urlopen(f"{server.url}/-/ready", timeout=5).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            if error.code == 401:  # it is up, and asks for a credential
                return
        except OSError:
            pass
        else:
            return
        time.sleep(0.05)
    raise AssertionError(f"the server did not start: {server.log[-2_000:]}")


@dataclass
class Exporter:
    """A page that a Prometheus scrapes; a test changes it, or the status, whenever it likes."""

    page: str
    status: int = 200
    place: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.place}/metrics"


@contextmanager
def exporter(page: str) -> Iterator[Exporter]:
    """Serve ``page`` at every path until the block ends; ``place`` is its ``host:port``."""
    exporting = Exporter(page)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exporting.page.encode()
            self.send_response(exporting.status)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    exporting.place = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield exporting
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
