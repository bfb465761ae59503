"""``python -m app.faultproxy CONFIG``: serve the proxies of a JSON file ``{"port", "proxies"}``."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette

from app.faultproxy.api import Api
from app.faultproxy.links import Proxy
from app.sample.serving import serve


def main(config_file: str) -> None:
    """Start the proxies and serve their API."""
    config = json.loads(Path(config_file).read_text())
    proxies = [Proxy(one["name"], one["listen"], one["upstream"]) for one in config["proxies"]]
    api = Api(proxies)

    @contextlib.asynccontextmanager
    async def listening(_: Starlette) -> AsyncIterator[None]:
        for proxy in proxies:
            await proxy.enable()
        yield
        for proxy in api.proxies.values():
            await proxy.disable()

    app = api.app()
    app.router.lifespan_context = listening
    serve(app, config["port"])


if __name__ == "__main__":
    main(sys.argv[1])
