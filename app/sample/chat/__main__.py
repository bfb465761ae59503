"""``python -m app.sample.chat CONFIG``: serve the chat API; see settings.py for file and environment."""

from __future__ import annotations

import sys

from app.sample.chat.application import create
from app.sample.chat.broken.lifetimes import server_kind
from app.sample.chat.settings import Settings
from app.sample.serving import serve
from app.sample.supervisor import end_with_supervisor


def main(config_file: str) -> None:
    """Serve the chat API."""
    end_with_supervisor()
    settings = Settings.load(config_file)
    kind = server_kind(settings.defects)
    serve(create(settings), settings.port, shared=settings.shared_port, kind=kind)


if __name__ == "__main__":
    main(sys.argv[1])
