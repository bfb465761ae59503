"""A service that does what its script says, and stamps what it really did: the truth of the accuracy gate.

Each path is a script. ``GET /truth`` gives, and forgets, what was done since it was last asked for. Times are
in ms from when a request was read to when an event was in the kernel's hands: the event loop of the standard
library sends at once, where uvloop sends at the end of its round. Run as a program, it prints its port.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter
from typing import Any

GOOD = b'{"answer": "Within 30 days."}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"data: [DONE]\n\n"
FREEZE_AFTER_S = 2.0
FREEZE_S = 2.0
ERRORS = ("status", "reset", "wrong_body")  # the first three of every twenty replies


def event(usage: int = 0, **delta: str) -> bytes:
    """One event of a chat stream."""
    data: dict[str, Any] = {"choices": [{"index": 0, "delta": delta}]}
    if usage:
        data["usage"] = {"completion_tokens": usage}
    return b"data: %s\n\n" % json.dumps(data).encode()


ROLE, EMPTY, WORD = event(role="assistant", content=""), event(), event(content=" word")
THOUGHT, EIGHT = event(reasoning_content="Hm."), event(content=" eight words are in this chunk of text")
Script = tuple[tuple[float, bytes], ...]  # when each event is due, in ms
GAPS: Script = (
    (50, ROLE), (100, EMPTY), (250, WORD), (650, WORD), (750, WORD), (1150, WORD), (1250, WORD), (1300, END),
)  # fmt: skip
BATCHED: Script = (
    (0, ROLE), *((100 + 50 * number, EIGHT) for number in range(10)), (550, event(usage=80)), (560, END)
)  # fmt: skip
REASONING: Script = (
    (0, ROLE), (100, THOUGHT), (200, THOUGHT), (400, WORD), (450, WORD), (500, END),
)  # fmt: skip
QUICK: Script = ((100, WORD), (120, WORD), (140, END))
LATE: Script = ((500, WORD), (520, WORD), (540, END))


@dataclass
class Done:
    """What was done since it was last asked for."""

    streams: list[list[float]] = field(default_factory=list)
    answers_ms: list[float] = field(default_factory=list)
    by_user: list[tuple[int, float]] = field(default_factory=list)  # whose answer, and when (unix time)
    counts: Counter[str] = field(default_factory=Counter)


class Service:
    """What all connections share."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.number = count()
        self.done = Done()

    def truth(self) -> bytes:
        """What was done, as JSON; and forget it."""
        done, self.done, self.number = self.done, Done(), count()
        return json.dumps(vars(done)).encode()

    def freeze(self) -> None:
        """Do nothing at all for a while, as a process does that collects garbage or waits for a lock."""
        time.sleep(FREEZE_S)


class Exchanges(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request once it is whole."""
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length: ")
        if found and len(body) >= int(length.split(b"\r\n")[0] or 0):
            self._got = b""
            self._serve(head.split(b" ", 2)[1].decode(), body, perf_counter())

    def _serve(self, path: str, body: bytes, read_at: float) -> None:
        service = self._service
        if path == "/truth":
            self._reply(service.truth())
            return
        number = next(service.number)
        service.done.counts["requests"] += 1
        if path == "/freeze" and number == 0:
            service.loop.call_later(FREEZE_AFTER_S, service.freeze)
        if path == "/gaps":
            self._stream(GAPS, read_at)
        elif path == "/batched":
            self._stream(BATCHED, read_at)
        elif path == "/reasoning":
            self._stream(REASONING, read_at)
        elif path == "/mixed":
            self._stream(QUICK if number % 4 else LATE, read_at)
        elif path == "/errors" and number % 20 < len(ERRORS):
            self._fail(ERRORS[number % 20])
        else:
            after_ms = {"/fixed": 100, "/slow": 100, "/freeze": 20}.get(path, 0)
            service.loop.call_later(after_ms / 1000, self._answer, body, read_at)

    def _reply(self, body: bytes, status: bytes = b"200 OK") -> None:
        head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        self._transport.write(head + body)

    def _answer(self, body: bytes, read_at: float) -> None:
        self._reply(GOOD)
        done = self._service.done
        done.answers_ms.append((perf_counter() - read_at) * 1000)
        done.by_user.append((int(json.loads(body)["user"][-6:]), time.time()))
        done.counts["answered"] += 1

    def _fail(self, kind: str) -> None:
        self._service.done.counts[kind] += 1
        if kind == "status":
            self._reply(b'{"detail": "broken"}', b"500 Oops")
        elif kind == "wrong_body":
            self._reply(b"<html>Sorry</html>")
        else:
            peer = self._transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def _stream(self, script: Script, read_at: float) -> None:
        self._transport.write(HEAD)
        written: list[float] = []
        self._service.done.streams.append(written)

        def write(data: bytes) -> None:
            ending = b"0\r\n\r\n" if data is END else b""
            self._transport.write(b"%x\r\n%s\r\n%s" % (len(data), data, ending))
            written.append((perf_counter() - read_at) * 1000)

        now = self._service.loop.time()
        for at_ms, data in script:
            self._service.loop.call_at(now + at_ms / 1000, write, data)


async def main() -> None:
    """Serve until killed."""
    service = Service()
    server = await service.loop.create_server(lambda: Exchanges(service), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - whoever started this reads it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
