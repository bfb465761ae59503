"""A server that answers when its script says, and knows when it really did.

Two scripts: an answer after ``--delay-ms``, or (``--tokens``) an OpenAI-compatible stream whose first token
comes after ``--delay-ms`` and each next one after ``--gap-ms``. Every event carries ``sent_ns``, the
monotonic time of its sending. On SIGTERM it prints as JSON what it did: the truth for its clients.

A loop over epoll instead of asyncio: timers of event loops tick in milliseconds, this one is right to some
microseconds, since it spins through the last two milliseconds before something is due.
"""

from __future__ import annotations

import argparse
import json
import select
import signal
import socket
import sys
from array import array
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from time import perf_counter, perf_counter_ns

SPIN_S = 0.002
LONGEST_SLEEP_S = 0.2
BACKLOG = 4096
ANSWER = json.dumps({"answer": "Within 30 days."}).encode()
MODELS = json.dumps({"object": "list", "data": [{"id": "scripted", "object": "model"}]}).encode()
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
EVENT = (
    '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"scripted","sent_ns":%d,'
    '"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}'
)
END = (
    '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"scripted","choices":'
    '[{"index":0,"delta":{},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":8,"completion_tokens":%d,"total_tokens":%d}}'
)


@dataclass(slots=True)
class Client:
    """One connection. ``asked_at`` is when its request was read, ``sent_at`` when it last got something."""

    socket: socket.socket
    waiting: bytes = b""
    asked_at: float = 0.0
    sent_at: float = 0.0
    open: bool = True


@dataclass(slots=True)
class Truth:
    """What the server did, in ms: from a request to the first of its reply, between tokens, and how late."""

    first_ms: array[float] = field(default_factory=lambda: array("d"))
    gaps_ms: array[float] = field(default_factory=lambda: array("d"))
    late_ms: array[float] = field(default_factory=lambda: array("d"))
    cut: int = 0

    def document(self) -> dict[str, object]:
        """For the program that started the server."""
        figures: dict[str, object] = {"requests": len(self.first_ms), "cut": self.cut}
        for name, values in (("first", self.first_ms), ("gap", self.gaps_ms), ("late", self.late_ms)):
            ordered = sorted(values)
            for percent in (50, 95, 99):
                rank = -(-(len(ordered) - 1) * percent // 100)  # rounded up: a value that was there
                figures[f"{name}_p{percent}_ms"] = ordered[rank] if ordered else None
        return figures


class ScriptedServer:
    """Serves until ``stop``; ``truth`` has what it did."""

    def __init__(self, port: int, delay_s: float, tokens: int, gap_s: float) -> None:
        self.truth = Truth()
        self._delay_s, self._tokens, self._gap_s = delay_s, tokens, gap_s
        self._listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._clients: dict[int, Client] = {}
        self._due: list[tuple[float, int, Client, int]] = []  # when, tie-breaker, whom, number of the token
        self._numbers = count()
        self._running = True

    def stop(self, *_: object) -> None:
        """End ``serve`` soon. May be called from a signal handler."""
        self._running = False

    def serve(self) -> None:
        """Read requests and send what is due."""
        while self._running:
            for number, _ in self._epoll.poll(self._sleep_s()):
                if number == self._listener.fileno():
                    self._accept()
                else:
                    self._read(self._clients[number])
            while self._due and self._due[0][0] <= perf_counter():
                due_at, _, client, token = heappop(self._due)
                if client.open:
                    self._send(client, token, due_at)
        for client in list(self._clients.values()):
            self._close(client)
        self._listener.close()

    def _sleep_s(self) -> float:
        if not self._due:
            return LONGEST_SLEEP_S
        left_s = self._due[0][0] - perf_counter() - SPIN_S
        return min(max(left_s, 0.0), LONGEST_SLEEP_S)

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except BlockingIOError:
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients[accepted.fileno()] = Client(accepted)
            self._epoll.register(accepted, select.EPOLLIN)

    def _read(self, client: Client) -> None:
        try:
            data = client.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(client)
            return
        client.waiting += data
        if not _is_whole(client.waiting):
            return
        path = client.waiting.split(b" ", 2)[1]
        client.waiting = b""
        if path.endswith(b"/models"):
            self._write(client, _reply(MODELS))
            return
        client.asked_at = perf_counter()
        heappush(self._due, (client.asked_at + self._delay_s, next(self._numbers), client, 1))

    def _send(self, client: Client, token: int, due_at: float) -> None:
        piece = self._piece(token) if self._tokens else _reply(ANSWER)
        now = perf_counter()
        if not self._write(client, piece):
            return
        self.truth.late_ms.append((now - due_at) * 1000)
        if token == 1:
            self.truth.first_ms.append((now - client.asked_at) * 1000)
        else:
            self.truth.gaps_ms.append((now - client.sent_at) * 1000)
        client.sent_at = now
        if token < self._tokens:
            heappush(self._due, (due_at + self._gap_s, next(self._numbers), client, token + 1))

    def _piece(self, token: int) -> bytes:
        events = [EVENT % perf_counter_ns()]
        if token == self._tokens:
            events += [END % (self._tokens, self._tokens + 8), "[DONE]"]
        body = "".join(f"data: {event}\n\n" for event in events).encode()
        head = STREAM_HEAD if token == 1 else b""
        end = b"0\r\n\r\n" if token == self._tokens else b""
        return b"%b%x\r\n%b\r\n%b" % (head, len(body), body, end)

    def _write(self, client: Client, piece: bytes) -> bool:
        try:
            sent = client.socket.send(piece)
        except OSError:
            sent = 0
        if sent < len(piece):  # the client left, or does not read what it asked for
            self.truth.cut += 1
            self._close(client)
            return False
        return True

    def _close(self, client: Client) -> None:
        if client.open:
            client.open = False
            del self._clients[client.socket.fileno()]
            client.socket.close()


def _is_whole(data: bytes) -> bool:
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    head = data[:head_end].lower()
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        return True
    length = int(head[start + 17 :].split(b"\r\n", 1)[0])
    return len(data) >= head_end + 4 + length


def _reply(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def main() -> None:
    """Serve until SIGTERM, then print what was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay-ms", type=float, required=True)
    parser.add_argument("--tokens", type=int, default=0)
    parser.add_argument("--gap-ms", type=float, default=0.0)
    given = parser.parse_args()
    server = ScriptedServer(given.port, given.delay_ms / 1000, given.tokens, given.gap_ms / 1000)
    signal.signal(signal.SIGTERM, server.stop)
    server.serve()
    json.dump(server.truth.document(), sys.stdout)


if __name__ == "__main__":
    main()
