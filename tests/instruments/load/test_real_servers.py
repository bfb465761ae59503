"""Servers as they are out there: nginx with and without TLS, the standard library's HTTP/1.0, the sample."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvloop

from app import targets
from app.instruments.references import References
from app.sample import stack
from tests.instruments.load.loads import ASK, GOOD, STREAM, a_target, load
from tests.instruments.servers import free_port

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    default_type application/json;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;
        root files;
        location = /ask {{ return 200 '{good}'; }}
        location = /often-closed {{ keepalive_requests 3; return 200 '{good}'; }}
        location = /chunked.json {{ ssi on; ssi_types application/json; }}
        location = /gzip.json {{ gzip_static always; }}
        location = /events {{ default_type text/event-stream; }}
        location = /broken {{ return 502; }}
        location = /limited.json {{ limit_req zone=few; }}
    }}
    limit_req_zone $server_port zone=few:1m rate=1r/m;
}}
"""
EVENTS = (
    'event: token\ndata: {"role": "assistant"}\n\n'
    'event: token\ndata: {"text": "Within 30 days."}\n\n'
    'event: done\ndata: {"from_cache": true}\n\n'
)


@pytest.fixture(scope="module")
def nginx(tmp_path_factory, certificate):
    """The ports of an nginx: plain, and with TLS."""
    if not Path(NGINX).exists():
        pytest.skip("no nginx here (Debian: nginx-light)")
    folder = tmp_path_factory.mktemp("nginx")
    files = folder / "files"
    files.mkdir()
    for name in ("cert.pem", "key.pem"):
        shutil.copy(certificate / name, folder / name)
    (files / "chunked.json").write_text(GOOD)
    (files / "limited.json").write_text(GOOD)
    (files / "gzip.json.gz").write_bytes(gzip.compress(GOOD.encode()))
    (files / "events").write_text(EVENTS)
    port, tls_port = free_port(), free_port()
    (folder / "nginx.conf").write_text(CONFIGURATION.format(port=port, tls_port=tls_port, good=GOOD))
    command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(command) as server:
        try:
            wait_for(port)
            yield port, tls_port
        finally:
            server.terminate()


def wait_for(port):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as door:
            if door.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("nginx does not listen")


def tried(url, path="/ask", **plan):
    is_file = "." in path or path == "/events"  # which takes no POST
    reading = {"method": "GET", "body": ""} if is_file else {}
    where = {"path": path} | reading
    target = a_target(url, ask=ASK | where, stream=STREAM | where)
    return uvloop.run(load(target, duration_s=0.5, **plan)).summary


@pytest.mark.parametrize(
    ("path", "header", "value"),
    [
        ("/ask", "Connection", "keep-alive"),
        ("/often-closed", "Connection", "keep-alive"),
        ("/chunked.json", "Transfer-Encoding", "chunked"),
        ("/gzip.json", "Content-Encoding", "gzip"),
    ],
)
def test_nginx_is_measured_whichever_way_it_sends_its_reply(nginx, path, header, value):
    url = f"http://127.0.0.1:{nginx[0]}"
    assert httpx.get(url + path, headers={"Accept-Encoding": "identity"}).headers[header] == value
    summary = tried(url, path, users=8)
    assert summary.failed == 0, summary.failure_examples
    assert summary.total_requests > 20
    assert summary.cached == summary.marked == summary.total_requests


def test_nginx_is_measured_through_tls(nginx, certificate):
    trusting = ssl.create_default_context(cafile=certificate / "cert.pem")
    url = f"https://127.0.0.1:{nginx[1]}"
    for path in ("/ask", "/often-closed"):
        summary = tried(url, path, users=4, driver={"tls": trusting})
        assert summary.failed == 0, summary.failure_examples
        assert summary.total_requests > 8


def test_events_from_nginx_are_a_stream(nginx):
    summary = tried(f"http://127.0.0.1:{nginx[0]}", "/events", users=4, route="stream")
    assert summary.failed == 0, summary.failure_examples
    assert summary.ttft_p50_ms <= summary.p99_ms


def test_the_errors_of_nginx_are_failures_by_their_status(nginx):
    summary = tried(f"http://127.0.0.1:{nginx[0]}", "/broken")
    assert summary.failures == {"status": summary.total_requests}
    assert "HTTP 502" in summary.failure_examples["status"]
    limited = tried(f"http://127.0.0.1:{nginx[0]}", "/limited.json")
    assert limited.successful <= 1
    assert "HTTP 503" in limited.failure_examples["status"]


def test_nginx_spoken_to_in_tls_where_it_expects_none_and_the_other_way_round(nginx):
    assert set(tried(f"https://127.0.0.1:{nginx[0]}").failures) == {"tls"}
    plain = tried(f"http://127.0.0.1:{nginx[1]}")
    assert "HTTP 400" in plain.failure_examples["status"]


class OldHandler(http.server.BaseHTTPRequestHandler):
    """Speaks HTTP/1.0, as it does unless told otherwise: a reply ends with its connection."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(EVENTS.encode() if self.path == "/stream" else GOOD.encode())

    def log_message(self, *_args):
        """Say nothing."""


@contextmanager
def http_1_0():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OldHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_of_http_1_0_is_measured():
    with http_1_0() as url:
        summary = tried(url, users=4)
        streamed = tried(url, "/stream", users=4, route="stream")
    assert summary.failed == 0, summary.failure_examples
    assert summary.total_requests > 8
    assert streamed.failed == 0, streamed.failure_examples
    assert streamed.ttft_p50_ms is not None


def test_the_sample_answers_and_streams(sample_stack):
    state = sample_stack()
    target = targets.load(str(state.target_file))
    resolve = References(stack.environment(state)).resolve

    async def main():
        ask = await load(target, driver={"resolve": resolve}, users=4, duration_s=1.5, think_time_ms=50)
        stream = await load(
            target, driver={"resolve": resolve}, users=4, duration_s=1.5, think_time_ms=50, route="stream"
        )
        return ask.summary, stream.summary

    ask, stream = asyncio.run(main())
    assert ask.failed == stream.failed == 0, (ask.failure_examples, stream.failure_examples)
    assert ask.marked == ask.total_requests > 4
    assert ask.cached > 0
    assert stream.total_requests > 4
    assert stream.ttft_p50_ms < stream.p99_ms
