"""``python -m app.sample.stub CONFIG``: serve model and partners.

CONFIG is a JSON file ``{"port", "seed", "speed"}``.
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


async def health(_: Request) -> Response:
    """It answers; that is all there is to know."""
    return JSONResponse({"status": "healthy"})


def create(seed: int, speed: float = 1.0) -> Starlette:
    """The stub as an ASGI application."""
    model, accounting = Model(seed, speed), Accounting()
    one = "/accounting/{kind}/{reference}"
    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/complete", model.complete, methods=["POST"]),
            Route("/meter", model.meter),
            Route("/accounting/state", accounting.state),
            Route(one, accounting.put, methods=["PUT"]),
            Route(one, accounting.delete, methods=["DELETE"]),
        ]
    )


def main(config_file: str) -> None:
    """Serve the stub."""
    config = json.loads(Path(config_file).read_text())
    serve(create(config["seed"], config["speed"]), config["port"])


if __name__ == "__main__":
    main(sys.argv[1])
