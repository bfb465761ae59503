"""What a misbehaviour is given to answer on, and the register of all misbehaviours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from tests.instruments import servers

# Which door of the service misbehaves. "target" is every route of it, "accept" its connections before a
# request is read, "tls" the same where the target is declared as https, "ipv6" a plain one on ::1 alone.
Part = Literal[
    "target", "accept", "tls", "ipv6", "absent", "backlog",
    "ask", "stream", "health", "openapi", "metrics", "redis", "meter", "lever",
]  # fmt: skip


@dataclass
class Visit(servers.Visit):
    """A request, the how many-eth it is of this server, and what the plain service would do with it.

    ``elsewhere`` is a place that no declared origin covers; whoever asks there was led off the target.
    """

    number: int = 0
    elsewhere: str = ""
    as_usual: Callable[[], Awaitable[None]] | None = None
    closing: bool = False  # say so in each reply

    async def reply(self, body: bytes | str = b"", status: int = 200, **headers: str) -> None:
        """Reply, and say where this is the connection's last one."""
        await super().reply(body, status, **headers | ({"Connection": "close"} if self.closing else {}))

    async def usual(self) -> None:
        """Answer as the plain service does."""
        assert self.as_usual is not None
        await self.as_usual()

    async def json(self, text: str | bytes, status: int = 200, **headers: str) -> None:
        """Reply with ``text`` and say that it is JSON."""
        await self.reply(text, status, Content_Type="application/json", **headers)


Talk = Callable[[Visit], Awaitable[None]]


@dataclass(frozen=True)
class Behaviour:
    """One way to misbehave: its name (the function's), where, and how."""

    name: str
    part: Part
    talk: Talk


BEHAVIOURS: dict[str, Behaviour] = {}


def behaves(part: Part = "target") -> Callable[[Talk], Talk]:
    """Register the function as a misbehaviour of ``part``."""

    def register(talk: Talk) -> Talk:
        name = talk.__name__
        assert name not in BEHAVIOURS, name
        BEHAVIOURS[name] = Behaviour(name, part, talk)
        return talk

    return register
