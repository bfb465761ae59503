"""A lever over Toxiproxy's HTTP API (https://github.com/Shopify/toxiproxy#http-api).

``refuse`` disables the proxy, ``hang`` lets connections open and passes no byte on, ``slow`` delays what
comes back by SLOW_MS, ``reset`` ends each connection with a TCP reset.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from urllib.parse import quote

from app.instruments.failures import one_line
from app.instruments.faults.lever import LeverFailureError, NotWholeError
from app.instruments.http import HttpProbe
from app.instruments.origins import Origin
from app.instruments.references import References, names_in
from app.instruments.wire import Wire
from checks.contract import InstrumentFailure, Request
from checks.contract.reproduce import quoted
from checks.contract.target.dependencies import Lever as Declared

TIMEOUT_S = 5.0
SLOW_MS = 1_000
NAME = "greenlight_{way}_{stream}"

Toxics = tuple[tuple[str, str, Mapping[str, int]], ...]

# The toxics of each way: type, stream, attributes. `refuse` needs none.
TOXICS: Mapping[str, Toxics] = {
    "refuse": (),
    "hang": (("timeout", "upstream", {"timeout": 0}), ("timeout", "downstream", {"timeout": 0})),
    "slow": (("latency", "downstream", {"latency": SLOW_MS, "jitter": 0}),),
    "reset": (("reset_peer", "upstream", {"timeout": 0}),),
}


class ToxiproxyLever:
    """One proxy of one Toxiproxy. It restores to "enabled, without toxics of ours"."""

    toxics: ClassVar[Mapping[str, Toxics]] = TOXICS

    def __init__(self, declared: Declared, references: References) -> None:
        self.ways = tuple(way for way in declared.ways if way in self.toxics)
        self._api = (declared.api or "").rstrip("/")
        self._name = declared.proxy or ""
        self._proxy = f"{self._api}/proxies/{quote(self._name, safe='')}"
        self._references = references

    async def break_it(self, way: str) -> None:
        """Raises LeverFailureError; NotWholeError where the proxy is not whole to begin with."""
        async with self._api_of_proxy() as api:
            before = await api.call("GET")
            self._require_kind(before)
            if before.get("enabled") is not True or before.get("toxics"):
                raise NotWholeError(
                    f"proxy {self._name} is disabled or has toxics already, so somebody else is using it"
                )
            if way == "refuse":
                await api.call("POST", body={"enabled": False})
            for kind, stream, attributes in self.toxics[way]:
                name = NAME.format(way=way, stream=stream)
                toxic = {"name": name, "type": kind, "stream": stream, "attributes": attributes}
                await api.call("POST", "/toxics", toxic)

    async def restore(self) -> None:
        """Enable the proxy, remove our toxics, and look whether both are so."""
        async with self._api_of_proxy() as api:
            await api.call("POST", body={"enabled": True})
            for name in _ours(await api.call("GET")):
                await api.call("DELETE", f"/toxics/{quote(name, safe='')}")
            after = await api.call("GET")
            if after.get("enabled") is not True or _ours(after):
                raise LeverFailureError(f"proxy {self._name} still is {json.dumps(after)[:200]}")

    def by_hand(self) -> str:
        """Curl lines for a shell."""
        lines = [f"curl -X POST -d '{{\"enabled\": true}}' {quoted(self._proxy)}"]
        lines += [
            f"curl -X DELETE {quoted(f'{self._proxy}/toxics/{NAME.format(way=way, stream=stream)}')}"
            for way in self.ways
            for _, stream, _ in self.toxics[way]
        ]
        return "; ".join(lines)

    def _require_kind(self, proxy: Mapping[str, Any]) -> None:
        """Raises NotWholeError where ``proxy`` is of another kind than was declared."""

    @asynccontextmanager
    async def _api_of_proxy(self) -> AsyncIterator[ProxyApi]:
        origin = Origin.of(self._api)
        wire = Wire(self._api, {origin: names_in(self._api)}, self._references, lambda _origin: None)
        async with wire:
            yield ProxyApi(HttpProbe(wire), self._proxy)


class ProxyApi:
    """The HTTP API of one proxy."""

    def __init__(self, http: HttpProbe, proxy: str) -> None:
        self._http = http
        self._proxy = proxy

    async def call(self, method: str, place: str = "", body: object = None) -> dict[str, Any]:
        """Send a request, and return its reply's JSON object, if any. Raises LeverFailureError."""
        data = b"" if body is None else json.dumps(body).encode()
        request = Request(method, self._proxy + place, {"Content-Type": "application/json"}, data)
        try:
            reply = await self._http.send(request, timeout_s=TIMEOUT_S)
        except InstrumentFailure as error:
            raise LeverFailureError(error.reason) from error
        if reply.failure is not None:
            raise LeverFailureError(f"{method} {self._proxy + place}: {reply.failure.detail}")
        if not 200 <= (reply.status or 0) < 300:
            raise LeverFailureError(
                f"{method} {self._proxy + place}: status {reply.status}, {one_line(reply.text)}"
            )
        document = reply.document()
        return document if isinstance(document, dict) else {}


def _ours(proxy: Mapping[str, Any]) -> list[str]:
    toxics = proxy.get("toxics")
    names = (
        [toxic.get("name") for toxic in toxics if isinstance(toxic, dict)] if isinstance(toxics, list) else []
    )
    return [name for name in names if isinstance(name, str) and name.startswith("greenlight_")]
