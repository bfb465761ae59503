"""HTTP through the fault proxy: every request is counted, and those that it refuses never arrive."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest


class Upstream(BaseHTTPRequestHandler):
    """Answers everything, after a while where the path says so; ``seen`` keeps what came."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.server.seen.append(f"{self.command} {self.path}")
        if self.path.startswith("/slow"):
            time.sleep(0.3)
        self.send_response(200)
        if self.path.startswith("/stream"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (b"one", b"two"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.flush()
                time.sleep(0.02)
            self.wfile.write(b"0\r\n\r\n")
            return
        answer = f"{self.path} {len(body)}".encode()
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_POST  # noqa: N815 - names of the library

    def log_message(self, *_: Any) -> None:
        pass


class Proxied:
    def __init__(self, api: httpx.Client, seen: list[str], upstream: int) -> None:
        self.api, self.seen = api, seen
        made = api.post("/proxies", json={"name": "model", "upstream": f"127.0.0.1:{upstream}"})
        self.port = int(made.json()["listen"].rpartition(":")[2])
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False)

    def calls(self, after: int = 0) -> dict[str, Any]:
        return self.api.get("/proxies/model/calls", params={"after": after}).json()

    @contextlib.contextmanager
    def errors(self, **attributes: int) -> Iterator[None]:
        toxic = {"name": "errors", "type": "http_errors", "attributes": attributes}
        self.api.post("/proxies/model/toxics", json=toxic).raise_for_status()
        try:
            yield
        finally:
            self.api.delete("/proxies/model/toxics/errors").raise_for_status()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@pytest.fixture
def proxied(api: httpx.Client) -> Iterator[Proxied]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.seen, server.daemon_threads = [], True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = Proxied(api, server.seen, server.server_address[1])
    yield found
    found.http.close()
    api.delete("/proxies/model").raise_for_status()
    server.shutdown()
    server.server_close()


def replies(connection: socket.socket, count: int) -> list[tuple[int, str]]:
    """The next responses on a connection, in their order."""
    found = []
    for _ in range(count):
        reply = http.client.HTTPResponse(_Unclosed(connection))
        reply.begin()
        found.append((reply.status, reply.read().decode()))
    return found


class _Unclosed:
    """A socket whose file may be closed without what it has read ahead being lost."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def makefile(self, *_: Any) -> Any:
        return self.connection.makefile("rb", buffering=0)


def test_each_request_of_a_connection_that_is_kept_alive_counts(proxied: Proxied):
    for _ in range(3):
        assert proxied.http.get("/health?token=s3cret").status_code == 200
    assert proxied.http.post("/ask", content=b"x" * 200_000).text == "/ask 200000"
    assert proxied.http.post("/ask", content=iter([b"abc", b"de"])).text == "/ask 5"
    assert proxied.http.post("/stream").text == "onetwo"
    assert proxied.http.head("/health").status_code == 200
    assert proxied.http.get("/health").status_code == 200
    found = proxied.calls()
    assert (found["calls"], found["refused"]) == (8, 0)
    assert proxied.api.get("/proxies/model").json()["calls"] == 8
    assert [call["request"] for call in found["latest"]] == [
        "GET /health", "GET /health", "GET /health", "POST /ask", "POST /ask", "POST /stream",
        "HEAD /health", "GET /health",
    ]  # fmt: skip
    times = [call["at_s"] for call in found["latest"]]
    assert times == sorted(times)
    assert times[-1] <= found["now_s"]
    assert [call["number"] for call in proxied.calls(after=6)["latest"]] == [7, 8]


def test_pipelined_requests_count_each(proxied: Proxied):
    with proxied.connect() as connection:
        connection.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
        assert [status for status, _ in replies(connection, 5)] == [200] * 5
    assert proxied.calls()["calls"] == 5


def test_all_requests_are_refused_while_there_are_errors_and_none_arrives(proxied: Proxied):
    assert proxied.http.get("/before").status_code == 200
    with proxied.errors():
        answers = [proxied.http.post("/ask", content=b"x" * size) for size in (0, 10, 300_000)]
        answers += [proxied.http.head("/ask"), proxied.http.post("/ask", content=iter([b"a", b"b"]))]
    assert [answer.status_code for answer in answers] == [503] * 5
    assert answers[0].json() == {"error": "Service Unavailable"}
    assert "retry-after" not in answers[0].headers
    assert proxied.http.get("/after").status_code == 200
    assert proxied.seen == ["GET /before", "GET /after"]
    found = proxied.calls()
    assert (found["calls"], found["refused"]) == (7, 5)
    assert [call["refused"] for call in found["latest"]] == [False, *[True] * 5, False]


def test_the_next_two_are_refused_whichever_connections_they_come_on(proxied: Proxied):
    with proxied.errors(count=2, retry_after=3):
        answers = []
        for _ in range(4):
            with httpx.Client(base_url=f"http://127.0.0.1:{proxied.port}", trust_env=False) as client:
                answers.append(client.get("/ask"))
    assert [answer.status_code for answer in answers] == [503, 503, 200, 200]
    assert answers[0].headers["retry-after"] == "3"


def test_a_refusal_waits_for_the_responses_before_it(proxied: Proxied):
    with proxied.connect() as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.1)
        with proxied.errors():
            connection.sendall(b"GET /refused HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
            assert [status for status, _ in replies(connection, 3)] == [200, 503, 503]
        connection.sendall(b"GET /again HTTP/1.1\r\nHost: x\r\n\r\n")
        assert replies(connection, 1) == [(200, "/again 0")]


def test_pipelined_requests_are_refused_in_their_turn(proxied: Proxied):
    with proxied.connect() as connection, proxied.errors(count=1):
        connection.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(3)))
        assert [status for status, _ in replies(connection, 3)] == [503, 200, 200]


def test_what_was_under_way_goes_on_while_new_requests_are_refused(proxied: Proxied):
    with proxied.connect() as connection:
        connection.sendall(b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        time.sleep(0.1)
        with proxied.errors():
            connection.sendall(b"def")
            assert replies(connection, 1) == [(200, "/ask 6")]
            connection.sendall(b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
            time.sleep(0.1)
        connection.sendall(b"def")
        assert [status for status, _ in replies(connection, 1)] == [503]
        connection.sendall(b"GET /ask HTTP/1.1\r\nHost: x\r\n\r\n")
        assert replies(connection, 1) == [(200, "/ask 0")]


def test_a_request_that_comes_byte_by_byte_is_refused_as_a_whole(proxied: Proxied):
    with proxied.connect() as connection, proxied.errors():
        for byte in b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc":
            connection.sendall(bytes([byte]))
            time.sleep(0.001)
        assert [status for status, _ in replies(connection, 1)] == [503]
    assert proxied.seen == []


def test_who_waits_for_leave_to_send_a_body_is_refused_at_once(proxied: Proxied):
    with proxied.connect() as connection, proxied.errors():
        connection.sendall(
            b"PUT /ask HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        assert [status for status, _ in replies(connection, 1)] == [503]
        assert connection.recv(1) == b""


def test_other_protocols_pass_unharmed_while_there_are_errors(api: httpx.Client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = api.post(
            "/proxies", json={"name": "other", "upstream": f"127.0.0.1:{listener.getsockname()[1]}"}
        )
        api.post("/proxies/other/toxics", json={"type": "http_errors"}).raise_for_status()
        port = int(made.json()["listen"].rpartition(":")[2])
        for said in (b"*1\r\n$4\r\nPING\r\n", b"PING\r\n", b"\x16\x03\x01\x02\x00", b"EHLO x\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(said)
                server, _ = listener.accept()
                with server:
                    server.settimeout(5)
                    assert server.recv(100) == said
                    server.sendall(b"+PONG\r\n")
                assert client.recv(100) == b"+PONG\r\n"
        assert api.get("/proxies/other/calls").json()["calls"] == 0
        api.delete("/proxies/other").raise_for_status()


def test_an_upgraded_connection_is_carried_on(proxied: Proxied):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxied.api.post("/proxies/model", json={"upstream": f"127.0.0.1:{listener.getsockname()[1]}"})
        with proxied.connect() as client:
            client.sendall(
                b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
            server, _ = listener.accept()
            with server:
                server.settimeout(5)
                assert server.recv(1000).startswith(b"GET /ws")
                server.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 101")
                with proxied.errors():
                    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    assert server.recv(1000) == b"GET / HTTP/1.1\r\n\r\n"
    assert proxied.calls()["calls"] == 1


def test_a_thousand_calls_are_kept_and_all_are_counted(proxied: Proxied):
    with proxied.errors(), proxied.connect() as connection:
        for _ in range(11):
            connection.sendall(b"GET /ask HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            replies(connection, 100)
    found = proxied.calls()
    assert (found["calls"], len(found["latest"]), found["latest"][-1]["number"]) == (1100, 1000, 1100)
    assert proxied.api.get("/proxies/model/calls?after=x").status_code == 400
