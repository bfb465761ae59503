"""``python -m app.faultproxy CONFIG``: serve the proxies of a JSON file ``{"port", "proxies"}``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from app.faultproxy.links import Proxy
from app.faultproxy.serving import serve


def main(config_file: str) -> None:
    """Start the proxies and serve their API on loopback. Exits where its port is taken."""
    config = json.loads(Path(config_file).read_text())
    proxies = [Proxy(one["name"], one["listen"], one["upstream"]) for one in config["proxies"]]
    try:
        serve(proxies, f"127.0.0.1:{config['port']}")
    except OSError as error:
        sys.exit(f"cannot listen: {error.strerror or error}")


if __name__ == "__main__":
    main(sys.argv[1])
