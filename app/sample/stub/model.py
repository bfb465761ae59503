"""The paid model: answers from the prompt alone, takes as long as a model takes, counts its calls."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

NAME = "support-large-2"
PRICE_PER_CALL_USD = 0.04  # the brief's cost model
OPENINGS = ("Thank you for asking about", "Happy to help with", "Here is what applies to", "A word on")
FACTS = (
    "you have 30 days from delivery to send an item back.",
    "refunds reach the original payment method within five working days.",
    "parcels leave the warehouse on the day of the order before 15:00.",
    "delivery takes two to four working days, and abroad up to ten.",
    "cards, bank transfer and invoice are accepted.",
    "the desk is staffed Monday to Friday, 8:00 to 18:00.",
    "an address can be changed until the parcel has left.",
    "the order page shows where a parcel is at any time.",
)


@dataclass(frozen=True)
class Pace:
    """How long the model takes, in ms: log-normal with a median and a sigma, never above its cap."""

    median_ms: float
    sigma: float
    cap_ms: float

    def draw_s(self, random: Random) -> float:
        """One latency, in s."""
        return min(random.lognormvariate(math.log(self.median_ms), self.sigma), self.cap_ms) / 1000


COMPLETE = Pace(median_ms=300, sigma=0.35, cap_ms=1_200)
FIRST_TOKEN = Pace(median_ms=130, sigma=0.25, cap_ms=400)
TOKEN_GAP_S = 0.018
LONG_POINTS = 110  # some 1,400 tokens, which take 25 s


def answer(prompt: str) -> str:
    """The answer to ``prompt``: always the same for the same prompt, another for another.

    As a real one it does what it is told: quotes what stands in quotation marks, puts one point on a line,
    and answers at great length.
    """
    digest = hashlib.sha256(prompt.encode()).digest()
    words = sorted(set(re.findall(r"\w{4,24}", prompt.lower())), key=len, reverse=True)[:3]
    first, second = digest[1] % len(FACTS), (digest[1] + 1 + digest[2] % (len(FACTS) - 1)) % len(FACTS)
    topic = ", ".join(words) or "your question"
    opening = OPENINGS[digest[0] % len(OPENINGS)]
    quoted = re.search(r'"([^"\n]{1,80})"', prompt)
    points = [f"{quoted[1]}:"] if quoted else []
    points += [f"{opening} {topic}: {FACTS[first]}", f"Also, {FACTS[second]}"]
    if "at great length" in prompt:
        points += [f"Note {number}: {FACTS[number % len(FACTS)]}" for number in range(1, LONG_POINTS)]
    points.append(f"Your reference is {digest[3:7].hex()}.")
    return ("\n" if "one point a line" in prompt else " ").join(points)


@dataclass
class Model:
    """The model behind ``POST /v1/complete`` and its meter at ``GET /meter``."""

    seed: int
    speed: float = 1.0  # how many times faster than a real one
    calls: int = 0
    streams_open: int = 0
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    async def complete(self, request: Request) -> Response:
        """Answer ``{"prompt": ..., "stream": bool}``; a call is paid when it begins."""
        given = await request.json()
        self.calls += 1
        text = answer(given["prompt"])
        if given.get("stream"):
            return StreamingResponse(self._tokens(text), media_type="text/event-stream")
        await self._take(COMPLETE.draw_s(self.random))
        return JSONResponse({"model": NAME, "text": text})

    async def _tokens(self, text: str) -> AsyncIterator[str]:
        self.streams_open += 1
        try:
            await self._take(FIRST_TOKEN.draw_s(self.random))
            for token in re.findall(r"\S+\s*", text):
                yield f"data: {json.dumps({'text': token})}\n\n"
                await self._take(TOKEN_GAP_S)
            yield "data: [DONE]\n\n"
        finally:  # who leaves ends the work
            self.streams_open -= 1

    async def _take(self, time_s: float) -> None:
        await asyncio.sleep(time_s / self.speed)

    async def meter(self, _: Request) -> Response:
        """Calls since the start and what they cost, and the streams that are open now."""
        spent = round(self.calls * PRICE_PER_CALL_USD, 2)
        return JSONResponse(
            {
                "calls": self.calls,
                "streams_open": self.streams_open,
                "price_per_call_usd": PRICE_PER_CALL_USD,
                "spent_usd": spent,
            }
        )
