"""Instruments of monitoring, and servers that answer in a script, for tests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from app.instruments.references import References
from app.instruments.server_api import ServerApi
from checks.contract.target.monitoring import Server
from tests.instruments.servers import Scripted, Visit, scripted


def an_api(
    url: str, *, name: str = "Prometheus", environment: Mapping[str, str] | None = None, **declared: Any
) -> ServerApi:
    """The API of a server at ``url``, as the toolbox makes it."""
    server, references = Server(url=url, **declared), References(environment or {})
    return ServerApi(name, name.lower(), server, references, may_post=name == "Grafana")


Answers = Mapping[str, Any]


@asynccontextmanager
async def answering(answers: Answers, *, kind: str = "application/json") -> AsyncIterator[Scripted]:
    """Serve these bodies by path: a text or bytes as it stands, (status, body), or what JSON makes of it."""

    async def talk(visit: Visit) -> None:
        found = answers.get(visit.path.partition("?")[0])
        status, body = found if isinstance(found, tuple) else (200 if found is not None else 404, found)
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        await visit.reply(body, status, Content_Type=kind)

    async with scripted(talk) as served:
        yield served
