"""The partners of an order: stock, drafts and invoices, each an idempotent resource by order reference.

PUT makes it, DELETE takes it back, both as often as one likes. A DELETE also bars the reference, so that a
PUT that was delayed on its way and arrives after its cancellation has no effect.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

PARTNER_LATENCY_S = 0.015
CATALOGUE = {"MUG-WHITE": 1_000_000, "MUG-BLACK": 1_000_000, "TEA-GREEN": 1_000_000, "TEA-BLACK": 1_000_000}


@dataclass
class Accounting:
    """What the partners hold: units on stock, and reservations, drafts and invoices by reference."""

    stock: dict[str, int] = field(default_factory=lambda: dict(CATALOGUE))
    held: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"reservations": {}, "drafts": {}, "invoices": {}}
    )
    _barred: set[tuple[str, str]] = field(default_factory=set)

    async def put(self, request: Request) -> Response:
        """Make a reservation, draft or invoice; 409 where stock is short or the reference was cancelled."""
        kind, reference = request.path_params["kind"], request.path_params["reference"]
        await asyncio.sleep(PARTNER_LATENCY_S)
        if kind not in self.held:
            return JSONResponse({"error": "no such resource"}, 404)
        if (kind, reference) in self._barred:
            return JSONResponse({"error": "cancelled"}, 409)
        if reference in self.held[kind]:
            return JSONResponse({"reference": reference})
        content = await request.json()
        if kind == "reservations" and not self._take(content["items"]):
            return JSONResponse({"error": "out of stock"}, 409)
        self.held[kind][reference] = content
        return JSONResponse({"reference": reference}, 201)

    async def delete(self, request: Request) -> Response:
        """Take it back, whether it was made or not. ``?sku=`` releases one item of a reservation only."""
        kind, reference = request.path_params["kind"], request.path_params["reference"]
        await asyncio.sleep(PARTNER_LATENCY_S)
        if kind not in self.held:
            return JSONResponse({"error": "no such resource"}, 404)
        self._barred.add((kind, reference))
        content = self.held[kind].pop(reference, None)
        if kind == "reservations" and content:
            self._release(reference, content["items"], request.query_params.get("sku"))
        return Response(status_code=204)

    def _take(self, items: list[dict[str, Any]]) -> bool:
        wanted: dict[str, int] = {}
        for item in items:
            wanted[item["sku"]] = wanted.get(item["sku"], 0) + item["quantity"]
        if any(self.stock.get(sku, 0) < quantity for sku, quantity in wanted.items()):
            return False
        for sku, quantity in wanted.items():
            self.stock[sku] -= quantity
        return True

    def _release(self, reference: str, items: list[dict[str, Any]], sku: str | None) -> None:
        kept = []
        for item in items:
            if sku in (None, item["sku"]):
                self.stock[item["sku"]] += item["quantity"]
            else:
                kept.append(item)
        if kept:
            self.held["reservations"][reference] = {"items": kept}

    async def state(self, _: Request) -> Response:
        """Everything that counts as an effect of an order."""
        return JSONResponse({"stock": self.stock, **self.held})
