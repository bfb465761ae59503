"""``python -m app.sample.chat CONFIG``: serve the chat API; see settings.py for file and environment."""

from __future__ import annotations

import sys

from app.sample.chat.application import create
from app.sample.chat.broken.supervisor import supervise
from app.sample.chat.settings import Settings
from app.sample.serving import bind_or_exit, serve, serve_on


def main(config_file: str) -> None:
    """Serve the chat API."""
    settings = Settings.load(config_file)
    if "crash_at_50_users" in settings.defects:
        sys.exit(_supervised(settings))
    serve(create(settings), settings.port, shared=settings.shared_port)


def _supervised(settings: Settings) -> int:
    listener = bind_or_exit(settings.port, shared=settings.shared_port)

    def serve_as(instance: str) -> None:
        serve_on(create(settings.model_copy(update={"instance": instance})), listener)

    return supervise(serve_as)


if __name__ == "__main__":
    main(sys.argv[1])
