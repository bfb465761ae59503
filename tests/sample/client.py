"""Talks to a running sample as tests need it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from app.sample import stack
from app.sample.processes import address

ORDER = {
    "customer": "Ada Lovelace",
    "items": [{"sku": "MUG-WHITE", "quantity": 2}, {"sku": "TEA-GREEN", "quantity": 1}],
}
HANG = [{"type": "timeout", "stream": "upstream"}, {"type": "timeout", "stream": "downstream"}]
SLOW = [{"type": "latency", "attributes": {"latency": 5_000}}]


class Client:
    """A caller of the chat API who can also cut its dependencies and look into its partners."""

    def __init__(self, state: stack.State) -> None:
        self.state = state
        self.http = httpx.Client(base_url=state.url, timeout=20, trust_env=False)
        self.faults = httpx.Client(base_url=address(state.ports["faults"]), timeout=20, trust_env=False)

    def close(self) -> None:
        self.http.close()
        self.faults.close()

    def chat(self, message: str = "", **more: Any) -> httpx.Response:
        """Ask a question; without one, a new one."""
        body = {"message": message or new_question(), "session_id": "s"}
        return self.http.post("/api/chat", json=body, **more)

    def stream(self, message: str = "") -> list[tuple[float, str, Any]]:
        """The events of a streamed answer: seconds since the question, name, data."""
        body = {"message": message or new_question(), "session_id": "s"}
        began, events, name = time.monotonic(), [], ""
        with self.http.stream("POST", "/api/v1/chat/stream", json=body) as reply:
            assert reply.status_code == 200, reply.read()
            assert reply.headers["content-type"].startswith("text/event-stream")
            for line in reply.iter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    events.append((time.monotonic() - began, name, json.loads(line[6:])))
        return events

    def order(self, body: Any = None, *, key: str = "", token: str = "") -> httpx.Response:
        """Place an order; without a key, under a new one; without a token, with a good one."""
        secret = token or stack.environment(self.state)[stack.TOKEN_NAME]
        headers = {
            "Authorization": f"Bearer {secret}",
            "Idempotency-Key": key or uuid.uuid4().hex,
        }
        return self.http.post("/api/orders", json=body or ORDER, headers=headers)

    def partners(self) -> Any:
        """Everything that counts as an effect of an order."""
        return self._stub("/accounting/state")

    def paid_calls(self) -> int:
        """Calls of the paid model so far."""
        return self._stub("/meter")["calls"]

    def open_streams(self) -> int:
        """Streams of the paid model that are under way."""
        return self._stub("/meter")["streams_open"]

    def _stub(self, path: str) -> Any:
        return httpx.get(address(self.state.ports["stub"]) + path, trust_env=False).json()

    @contextmanager
    def refused(self, proxy: str) -> Iterator[None]:
        """A dependency whose connections are refused."""
        self.faults.post(f"/proxies/{proxy}", json={"enabled": False}).raise_for_status()
        try:
            yield
        finally:
            self.faults.post(f"/proxies/{proxy}", json={"enabled": True}).raise_for_status()

    @contextmanager
    def poisoned(self, proxy: str, toxics: list[dict[str, Any]]) -> Iterator[None]:
        """A dependency behind toxics."""
        names = []
        try:
            for toxic in toxics:
                reply = self.faults.post(f"/proxies/{proxy}/toxics", json=toxic).raise_for_status()
                names.append(reply.json()["name"])
            yield
        finally:
            for name in names:
                self.faults.delete(f"/proxies/{proxy}/toxics/{name}").raise_for_status()


def new_question() -> str:
    """A question that nobody asked before."""
    return f"What about {uuid.uuid4().hex}?"


def eventually(holds: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Whether something comes true within a generous time."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
