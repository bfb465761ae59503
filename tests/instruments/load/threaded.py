"""A scripted server in a thread of its own, for loads that are not made in the test's event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.instruments.load.loads import answers
from tests.instruments.servers import Scripted, scripted


@contextmanager
def answering(after_s: float = 0.005) -> Iterator[Scripted]:
    """A server that answers well, each request ``after_s``."""
    talk = answers()
    served: list[Scripted] = []
    stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    ready = threading.Event()

    async def slow(visit: Any) -> None:
        await asyncio.sleep(after_s)
        await talk(visit)

    async def serve() -> None:
        async with scripted(slow) as here:
            stop = asyncio.Event()
            stops.append((asyncio.get_running_loop(), stop))
            served.append(here)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield served[0]
    finally:
        loop, stop = stops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()
