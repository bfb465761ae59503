"""The HTTP API: the subset of Toxiproxy's documented API that levers need, and the calls that came.

Paths, JSON shapes, statuses and error bodies follow Toxiproxy's README, so that one client serves both. As
there, browsers are turned away: a page of the web could send them here.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.faultproxy.links import Proxy, split_address
from app.faultproxy.toxics import BadToxicError, Toxic

VERSION = "2.12.0-greenlight"  # the version of Toxiproxy whose API this follows


class ApiError(Exception):
    """An error as Toxiproxy words it, with its status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class NoBrowsers:
    """Turns away who says to be a browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass the request on."""
        agent = Headers(scope=scope).get("user-agent", "") if scope["type"] == "http" else ""
        if agent.startswith("Mozilla/"):
            refusal = JSONResponse({"error": "User agent not allowed", "status": 403}, 403)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class Api:
    """The proxies, and the handlers that show and change them."""

    def __init__(self, proxies: list[Proxy]) -> None:
        self.proxies = {proxy.name: proxy for proxy in proxies}

    def app(self) -> Starlette:
        """The API as an ASGI application."""
        one, toxics = "/proxies/{proxy}", "/proxies/{proxy}/toxics"
        return Starlette(
            routes=[
                Route("/version", self.version),
                Route("/reset", self.reset, methods=["POST"]),
                Route("/proxies", self.list_proxies),
                Route("/proxies", self.create, methods=["POST"]),
                Route(one, self.show),
                Route(one, self.update, methods=["POST", "PATCH"]),
                Route(one, self.delete, methods=["DELETE"]),
                Route(one + "/calls", self.calls),
                Route(toxics, self.list_toxics),
                Route(toxics, self.add_toxic, methods=["POST"]),
                Route(toxics + "/{toxic}", self.show_toxic),
                Route(toxics + "/{toxic}", self.update_toxic, methods=["POST", "PATCH"]),
                Route(toxics + "/{toxic}", self.remove_toxic, methods=["DELETE"]),
            ],
            exception_handlers={ApiError: _error, BadToxicError: _error},
            middleware=[Middleware(NoBrowsers)],
        )

    async def version(self, _: Request) -> Response:
        """GET /version."""
        return JSONResponse({"version": VERSION})

    async def reset(self, _: Request) -> Response:
        """POST /reset: enable all proxies, remove all toxics."""
        for proxy in self.proxies.values():
            await _enable(proxy)
            for name in list(proxy.toxics):
                proxy.remove(name)
        return Response(status_code=204)

    async def list_proxies(self, _: Request) -> Response:
        """GET /proxies."""
        return JSONResponse({name: proxy.document() for name, proxy in self.proxies.items()})

    async def create(self, request: Request) -> Response:
        """POST /proxies."""
        given = await _body(request)
        for name in ("name", "upstream"):
            if not isinstance(given.get(name), str) or not given[name]:
                raise ApiError(f"missing required field: {name}", 400)
        if given["name"] in self.proxies:
            raise ApiError("proxy already exists", 409)
        proxy = Proxy(
            given["name"], _address(given.get("listen") or "127.0.0.1:0"), _address(given["upstream"])
        )
        if given.get("enabled", True):
            await _enable(proxy)
        self.proxies[proxy.name] = proxy
        return JSONResponse(proxy.document(), 201)

    async def show(self, request: Request) -> Response:
        """GET /proxies/{proxy}."""
        return JSONResponse(self._proxy(request).document())

    async def update(self, request: Request) -> Response:
        """POST /proxies/{proxy}: ``enabled``, ``listen``, ``upstream``; a new address drops the links."""
        proxy, given = self._proxy(request), await _body(request)
        enabled = given.get("enabled", proxy.enabled)
        moved = {key: _address(given[key]) for key in ("listen", "upstream") if given.get(key)}
        if any(getattr(proxy, key) != value for key, value in moved.items()):
            await proxy.disable()
            for key, value in moved.items():
                setattr(proxy, key, value)
        await (_enable(proxy) if enabled else proxy.refuse())
        return JSONResponse(proxy.document())

    async def delete(self, request: Request) -> Response:
        """DELETE /proxies/{proxy}."""
        proxy = self._proxy(request)
        await proxy.disable()
        del self.proxies[proxy.name]
        return Response(status_code=204)

    async def calls(self, request: Request) -> Response:
        """GET /proxies/{proxy}/calls: how many HTTP requests came, and the last; ``?after=`` a number."""
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit()):
            raise ApiError("bad request: after is not a number", 400)
        return JSONResponse(self._proxy(request).calls.document(int(after[:18])))

    async def list_toxics(self, request: Request) -> Response:
        """GET /proxies/{proxy}/toxics."""
        return JSONResponse([toxic.document() for toxic in self._proxy(request).toxics.values()])

    async def add_toxic(self, request: Request) -> Response:
        """POST /proxies/{proxy}/toxics."""
        proxy = self._proxy(request)
        toxic = Toxic.parse(await _body(request))
        if toxic.name in proxy.toxics:
            raise ApiError("toxic already exists", 409)
        proxy.add(toxic)
        return JSONResponse(toxic.document())

    async def show_toxic(self, request: Request) -> Response:
        """GET /proxies/{proxy}/toxics/{toxic}."""
        return JSONResponse(self._toxic(request)[1].document())

    async def update_toxic(self, request: Request) -> Response:
        """POST /proxies/{proxy}/toxics/{toxic}: attributes and toxicity."""
        proxy, old = self._toxic(request)
        toxic = Toxic.parse(await _body(request), old)
        proxy.add(toxic)
        return JSONResponse(toxic.document())

    async def remove_toxic(self, request: Request) -> Response:
        """DELETE /proxies/{proxy}/toxics/{toxic}."""
        proxy, toxic = self._toxic(request)
        proxy.remove(toxic.name)
        return Response(status_code=204)

    def _proxy(self, request: Request) -> Proxy:
        proxy = self.proxies.get(request.path_params["proxy"])
        if proxy is None:
            raise ApiError("proxy not found", 404)
        return proxy

    def _toxic(self, request: Request) -> tuple[Proxy, Toxic]:
        proxy = self._proxy(request)
        toxic = proxy.toxics.get(request.path_params["toxic"])
        if toxic is None:
            raise ApiError("toxic not found", 404)
        return proxy, toxic


async def _enable(proxy: Proxy) -> None:
    try:
        await proxy.enable()
    except OSError as error:
        raise ApiError(f"listen {proxy.listen}: {error.strerror or error}", 500) from error


async def _body(request: Request) -> dict[str, Any]:
    try:
        given = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise ApiError(f"bad request body: {error}", 400) from error
    if not isinstance(given, dict):
        raise ApiError("bad request body: not an object", 400)
    return given


def _address(given: object) -> str:
    try:
        host, port = split_address(str(given))
    except ValueError as error:
        raise ApiError(f"bad request body: {given!r} is not host:port", 400) from error
    return f"{host}:{port}"


async def _error(_: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, ApiError) else 400
    return JSONResponse({"error": str(error), "status": status}, status)
