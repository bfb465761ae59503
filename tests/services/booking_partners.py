"""The partners of booking.py: a railway that holds seats and a bank that keeps charges, by reference.

``python booking_partners.py PORT`` runs both. ``PUT /outage/rail`` sends one away, ``DELETE`` brings it back.
"""

from __future__ import annotations

import sys
from typing import Any

from aiohttp import web

SEATS = 100_000
HELD: dict[str, dict[str, Any]] = {"rail": {}, "bank": {}}
AWAY: set[str] = set()


async def put(request: web.Request) -> web.Response:
    reference, held = reached(request)
    given = await request.json()
    held[reference] = held.get(reference, {}) | given
    return web.json_response({}, status=201)


async def delete(request: web.Request) -> web.Response:
    reference, held = reached(request)
    held.pop(reference, None)
    return web.json_response({})


def reached(request: web.Request) -> tuple[str, dict[str, Any]]:
    partner = request.match_info["partner"]
    if partner in AWAY and request.transport is not None:
        request.transport.abort()
        raise web.HTTPServiceUnavailable
    return request.match_info["reference"], HELD[partner]


async def rail(_: web.Request) -> web.Response:
    taken = sum(hold["seats"] for hold in HELD["rail"].values())
    return web.json_response({"free": SEATS - taken, "holds": HELD["rail"]})


async def bank(_: web.Request) -> web.Response:
    charges = [{"reference": reference, **charge} for reference, charge in HELD["bank"].items()]
    return web.json_response({"balance": sum(charge["amount"] for charge in charges), "charges": charges})


async def outage(request: web.Request) -> web.Response:
    (AWAY.add if request.method == "PUT" else AWAY.discard)(request.match_info["partner"])
    return web.json_response({"away": sorted(AWAY)})


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/rail", rail)
    app.router.add_get("/bank", bank)
    app.router.add_route("*", "/outage/{partner}", outage)
    app.router.add_put("/{partner}/{reference}", put)
    app.router.add_delete("/{partner}/{reference}", delete)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
