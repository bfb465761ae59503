"""``python -m app.sample.stub CONFIG``: serve model, partners and pager.

CONFIG is a JSON file ``{"port", "seed", "speed", "pager_forwards_to"}``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.sample.serving import serve
from app.sample.stub.accounting import Accounting
from app.sample.stub.model import Model
from app.sample.stub.pager import Pager


async def health(_: Request) -> Response:
    """It answers; that is all there is to know."""
    return JSONResponse({"status": "healthy"})


def create(seed: int, speed: float = 1.0, pager_forwards_to: str | None = None) -> Starlette:
    """The stub as an ASGI application."""
    model, accounting, pager = Model(seed, speed), Accounting(), Pager(pager_forwards_to)
    one = "/accounting/{kind}/{reference}"
    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/complete", model.complete, methods=["POST"]),
            Route("/meter", model.meter),
            Route("/accounting/state", accounting.state),
            Route(one, accounting.put, methods=["PUT"]),
            Route(one, accounting.delete, methods=["DELETE"]),
            Route("/pager", pager.heard),
            Route("/pager/alerts", pager.alerts, methods=["POST"]),
            Route("/pager/heartbeat", pager.heartbeat, methods=["POST"]),
        ]
    )


def main(config_file: str) -> None:
    """Serve the stub."""
    config = json.loads(Path(config_file).read_text())
    serve(create(config["seed"], config["speed"], config["pager_forwards_to"]), config["port"])


if __name__ == "__main__":
    main(sys.argv[1])
