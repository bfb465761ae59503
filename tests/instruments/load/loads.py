"""Runs scenarios for tests: a small target, a scripted source of questions, and what the driver told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from app.instruments.load.driver import LoadDriver
from checks.contract import LoadPlan, LoadSummary, Target
from tests.instruments.servers import Visit

ASK = {
    "path": "/ask",
    "body": {"message": "{prompt}", "session_id": "{session}", "user": "{user}"},
    "answer": "answer",
    "cached": {"json": "from_cache", "equals": True},
    "idempotency_header": "Idempotency-Key",
}
STREAM = {
    "path": "/stream",
    "body": {"message": "{prompt}"},
    "token": "text",
    "end_event": "done",
    "cached": {"json": "from_cache", "equals": True},
}
GOOD = json.dumps({"answer": "Within 30 days.", "from_cache": True})


class Counted:
    """Fresh questions are numbered, so that a test tells them from the repeated ones."""

    def __init__(self) -> None:
        self.given = 0

    def fresh(self, count: int) -> list[str]:
        self.given += count
        return [f"fresh {number}" for number in range(self.given - count, self.given)]

    def repeats(self, distinct: int) -> list[str]:
        return [f"repeat {number}" for number in range(distinct)]


@dataclass
class Told:
    """What one scenario gave."""

    summary: LoadSummary
    seconds: list[dict[str, Any]]


def a_target(url: str, **changes: Any) -> Target:
    document = {"url": url, "ask": ASK, "stream": STREAM} | changes
    return Target.model_validate({key: value for key, value in document.items() if value is not None})


def a_plan(**changes: Any) -> LoadPlan:
    values: dict[str, Any] = {
        "scenario": "tried",
        "users": 2,
        "duration_s": 0.15,
        "prompts": ("What is your refund policy?", "Do you ship abroad?"),
        "think_time_ms": 5,
        "timeout_s": 5,
    }
    return LoadPlan(**(values | changes))


def a_driver(target: Target, seconds: list[dict[str, Any]], **changes: Any) -> LoadDriver:
    values: dict[str, Any] = {
        "resolve": str,
        "random": Random(7),
        "prompts": Counted(),
        "on_second": seconds.append,
        "max_users": 200,
    }
    return LoadDriver(target, **(values | changes))


async def load(
    target: Target, *, driver: dict[str, Any] | None = None, samples_file: Path | None = None, **plan: Any
) -> Told:
    """Run one scenario against ``target``."""
    seconds: list[dict[str, Any]] = []
    more = dict(driver or {})
    if samples_file is not None:
        more["samples_file"] = lambda scenario: samples_file
    return Told(await a_driver(target, seconds, **more).run(a_plan(**plan)), seconds)


def answers(body: str | bytes = GOOD, status: int = 200, **headers: str) -> Callable[[Visit], Any]:
    """A server that always gives this reply."""

    async def talk(visit: Visit) -> None:
        await visit.reply(body, status, **headers)

    return talk


def writes(*pieces: bytes, close: bool = True) -> Callable[[Visit], Any]:
    """A server that writes these bytes, whatever they are, and closes."""

    async def talk(visit: Visit) -> None:
        for piece in pieces:
            await visit.write(piece)
        if close:
            visit.writer.close()

    return talk
