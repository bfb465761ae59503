"""The misbehaviours, by what misbehaves. Importing this registers all of them."""

from tests.hostile.behaviours import (
    bodies,
    connections,
    documents,
    heads,
    levers,
    meters,
    moods,
    redis,
    statuses,
    streams,
    texts,
)

__all__ = [
    "bodies", "connections", "documents", "heads", "levers", "meters", "moods", "redis", "statuses",
    "streams", "texts",
]  # fmt: skip
