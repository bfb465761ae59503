"""The fault proxy: Toxiproxy's API, and what each toxic does to a real connection."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except OSError:
                return  # the proxy cut the connection

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # the test is over
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


class Wire:
    """A proxy of the test's own in front of the echo server."""

    def __init__(self, api: httpx.Client, echo_port: int) -> None:
        self.api = api
        body = {"name": "wire", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{echo_port}"}
        self.created = api.post("/proxies", json=body)
        self.port = int(self.created.json()["listen"].rpartition(":")[2])

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.settimeout(10)
        return connection

    def add(self, kind: str, **more: object) -> httpx.Response:
        return self.api.post("/proxies/wire/toxics", json={"type": kind, **more})


@pytest.fixture
def wire(api: httpx.Client, echo: int) -> Iterator[Wire]:
    yield Wire(api, echo)
    api.delete("/proxies/wire").raise_for_status()


def _said(connection: socket.socket, text: bytes = b"hello") -> bytes:
    connection.sendall(text)
    heard = b""
    while len(heard) < len(text) and (data := connection.recv(65_536)):
        heard += data
    return heard


def _silent(connection: socket.socket, text: bytes = b"hello") -> bool:
    connection.settimeout(0.2)
    connection.sendall(text)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(10)
    return False


def test_a_proxy_is_shown_as_toxiproxy_shows_it(wire: Wire, echo: int):
    assert wire.created.status_code == 201
    shown = {
        "name": "wire",
        "listen": f"127.0.0.1:{wire.port}",
        "upstream": f"127.0.0.1:{echo}",
        "enabled": True,
        "toxics": [],
        "calls": 0,
    }
    assert wire.created.json() == shown
    assert wire.api.get("/proxies/wire").json() == shown
    assert wire.api.get("/proxies").json()["wire"] == shown
    assert set(wire.api.get("/version").json()) == {"version"}


def test_bytes_pass_both_ways_and_an_end_is_passed_on(wire: Wire):
    with wire.connect() as connection:
        assert _said(connection, b"x" * 500_000) == b"x" * 500_000
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def test_a_toxic_has_toxiproxys_name_and_defaults(wire: Wire):
    added = wire.add("latency", attributes={"latency": 50, "unknown": 1})
    shown = {
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1.0,
        "attributes": {"latency": 50, "jitter": 0},
    }
    assert (added.status_code, added.json()) == (200, shown)
    assert wire.api.get("/proxies/wire/toxics").json() == [shown]
    assert wire.api.get("/proxies/wire/toxics/latency_downstream").json() == shown
    changed = wire.api.post("/proxies/wire/toxics/latency_downstream", json={"attributes": {"jitter": 5}})
    assert changed.json()["attributes"] == {"latency": 50, "jitter": 5}
    assert wire.api.delete("/proxies/wire/toxics/latency_downstream").status_code == 204
    assert wire.api.get("/proxies/wire/toxics").json() == []


def test_disabling_closes_connections_and_refuses_new_ones_until_enabled(wire: Wire):
    with wire.connect() as connection:
        assert _said(connection) == b"hello"
        assert wire.api.post("/proxies/wire", json={"enabled": False}).json()["enabled"] is False
        with pytest.raises(ConnectionRefusedError):
            wire.connect()
        assert _ended(connection)
    wire.api.post("/proxies/wire", json={"enabled": True})
    with wire.connect() as connection:
        assert _said(connection) == b"hello"


def test_a_port_that_is_refused_is_kept(wire: Wire):
    with wire.connect() as connection:  # so that the port has a past
        assert _said(connection) == b"hello"
    wire.api.post("/proxies/wire", json={"enabled": False})
    wire.api.post("/proxies/wire", json={"enabled": False})
    with socket.socket() as another, pytest.raises(OSError, match="in use"):
        another.bind(("127.0.0.1", wire.port))
    with pytest.raises(ConnectionRefusedError):
        wire.connect()
    wire.api.post("/proxies/wire", json={"enabled": True})
    with wire.connect() as connection:
        assert _said(connection) == b"hello"


def test_a_refused_port_is_given_away_with_its_proxy(wire: Wire):
    other = wire.api.post("/proxies", json={"name": "other", "upstream": "127.0.0.1:9"}).json()
    address = ("127.0.0.1", int(other["listen"].rpartition(":")[2]))
    wire.api.post("/proxies/other", json={"enabled": False})
    wire.api.delete("/proxies/other")
    with socket.socket() as another:
        another.bind(address)


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_a_timeout_of_0_is_silent_also_for_connections_that_are_there(wire: Wire, stream: str):
    with wire.connect() as before:
        assert _said(before) == b"hello"
        wire.add("timeout", stream=stream, attributes={"timeout": 0})
        with wire.connect() as after:
            assert _silent(before)
            assert _silent(after)
            wire.api.delete(f"/proxies/wire/toxics/timeout_{stream}")
            assert _ended(after)
    with wire.connect() as anew:
        assert _said(anew) == b"hello"


def test_a_timeout_above_0_closes_the_connection_after_it(wire: Wire):
    with wire.connect() as connection:
        assert _said(connection) == b"hello"
        wire.add("timeout", attributes={"timeout": 50})
        assert _ended(connection)


def test_latency_delays_what_comes_back(wire: Wire):
    wire.add("latency", attributes={"latency": 150})
    with wire.connect() as connection:
        began = time.monotonic()
        assert _said(connection) == b"hello"
        assert time.monotonic() - began > 0.14


def test_bandwidth_holds_bytes_back(wire: Wire):
    wire.add("bandwidth", attributes={"rate": 100})
    with wire.connect() as connection:
        began = time.monotonic()
        assert len(_said(connection, b"x" * 20_000)) == 20_000
        assert time.monotonic() - began > 0.19


def test_reset_peer_resets(wire: Wire):
    wire.add("reset_peer", attributes={"timeout": 0})
    with wire.connect() as connection, pytest.raises(ConnectionResetError):
        _said(connection)


def test_a_toxicity_of_0_harms_no_connection(wire: Wire):
    wire.add("timeout", toxicity=0)
    with wire.connect() as connection:
        assert _said(connection) == b"hello"


def test_reset_enables_all_and_removes_all_toxics(wire: Wire):
    wire.add("timeout")
    wire.api.post("/proxies/wire", json={"enabled": False})
    assert wire.api.post("/reset").status_code == 204
    shown = wire.api.get("/proxies/wire").json()
    assert (shown["enabled"], shown["toxics"]) == (True, [])
    with wire.connect() as connection:
        assert _said(connection) == b"hello"


def test_an_upstream_that_is_not_there_closes_the_connection(wire: Wire):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    wire.api.post("/proxies/wire", json={"upstream": f"127.0.0.1:{port}"})
    with wire.connect() as connection:
        assert _ended(connection)


@pytest.mark.parametrize(
    ("call", "body", "status", "error"),
    [
        ("GET /proxies/none", None, 404, "proxy not found"),
        ("GET /proxies/wire/toxics/none", None, 404, "toxic not found"),
        ("POST /proxies", {"name": "wire", "upstream": "127.0.0.1:1"}, 409, "proxy already exists"),
        ("POST /proxies", {"name": "other"}, 400, "missing required field: upstream"),
        ("POST /proxies", {"name": "other", "upstream": "nowhere"}, 400, "bad request body"),
        ("POST /proxies", [], 400, "bad request body"),
        ("POST /proxies/wire/toxics", {"type": "meteor"}, 400, "invalid toxic type"),
        ("POST /proxies/wire/toxics", {"type": "latency", "stream": "up"}, 400, "stream was invalid"),
        ("POST /proxies/wire/toxics", {"type": "latency", "toxicity": 2}, 400, "bad request body"),
        (
            "POST /proxies/wire/toxics",
            {"type": "latency", "attributes": {"latency": "long"}},
            400,
            "bad request body",
        ),
    ],
)
def test_a_bad_request_is_answered_as_toxiproxy_does(
    wire: Wire, call: str, body: object, status: int, error: str
):
    reply = wire.api.request(*call.split(), json=body)
    assert reply.status_code == status
    assert reply.json()["status"] == status
    assert reply.json()["error"].startswith(error)


def test_a_browser_is_turned_away_as_a_page_of_the_web_may_have_sent_it(wire: Wire):
    reply = wire.api.post("/reset", headers={"User-Agent": "Mozilla/5.0 (X11)"})
    assert reply.status_code == 403


def test_the_same_toxic_twice_is_a_conflict(wire: Wire):
    wire.add("latency")
    assert wire.add("latency").status_code == 409


def _ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
