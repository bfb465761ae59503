"""More requests than a limit allows, sent as one caller beside another. Private to this family."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic

from checks.contract import (
    Auth,
    Call,
    InstrumentFailure,
    Instruments,
    Protected,
    RateLimit,
    Reply,
    Request,
    Target,
)

WORKERS = 8
MAX_SENT = 2_000
MAX_S = 10.0
ENOUGH = 2.5  # times what is allowed, and there is no limit; see Thresholds.max_ratio
MAX_FAILED = 10
HOLD_S = 1.0  # how long the limit is held exhausted, to look at others meanwhile
LONGEST_HOLD_S = 8.0  # where others are answered slowly
OTHERS = 8
LIFTING = 8
TIMEOUT_S = 5.0

Sender = Callable[[Mapping[str, str]], Request]  # a request of one caller, with more headers


@dataclass(frozen=True)
class Callers:
    """Who sends: the one that is too busy, and another one, None where a limit is by address alone."""

    busy: Sender
    other: Sender | None


def callers(target: Target, limit: RateLimit, word: str) -> Callers:
    """Two users, told apart by their credentials or by ``{user}``. Raises InstrumentFailure for one alone.

    The busy one is not the user that other checks ask as.
    """
    call = Protected(path=limit.path) if limit.path else target.ask
    if call is None:
        raise InstrumentFailure(
            "No request to send is declared. Add `[objectives] rate_limit.path`, a cheap route under it.",
            missing="objectives.rate_limit.path",
        )
    auth = target.auth
    if auth is not None and auth.valid and (limit.path or _shows(auth, call)):
        busy = _sender(call, word, auth, auth.other or auth.valid)
        other = _sender(call, word, auth, auth.valid) if auth.other else None
    else:
        busy, other = _sender(call, f"busy-{word}"), None
        if busy({}) != _sender(call, f"other-{word}")({}):
            other = _sender(call, f"other-{word}")
    if other is None and limit.per == "user":
        raise InstrumentFailure(
            "The limit is declared per user, and the target file knows one user only. Add `[auth] other`, "
            "the credential of another one, or `{user}` to `[ask]`.",
            missing="auth.other",
        )
    return Callers(busy, other if limit.per == "user" else None)


def _shows(auth: Auth, call: Call) -> bool:
    return auth.header.lower() in {name.lower() for name in call.headers}


def _sender(call: Call, user: str, auth: Auth | None = None, credential: str | None = None) -> Sender:
    # The same question each time: what a cache answers is not paid for.
    request = call.render(prompt="What is your refund policy?", user=user, session=user, nonce=user)
    headers = auth.sent_with(credential, request.headers) if auth else dict(request.headers)
    return lambda more: replace(request, headers={**headers, **more})


@dataclass
class Overrun:
    """Sends as the busy caller until the limit bites, then goes on while others are looked at."""

    instruments: Instruments
    limit: RateLimit
    callers: Callers
    word: str
    statuses: Counter[str] = field(default_factory=Counter)
    retry_after: list[str] = field(default_factory=list)
    served: int = 0
    held: Counter[int] = field(default_factory=Counter)
    others: list[int | None] = field(default_factory=list)
    lifting: list[int | None] = field(default_factory=list)
    elapsed_s: float = 0.0
    _began: float = 0.0
    _enough: asyncio.Event = field(default_factory=asyncio.Event)
    _done: bool = False
    _holding: bool = False

    async def run(self) -> None:
        """Until the limit was held for a while, or it is plain that there is none, or MAX_S are over."""
        self._began = monotonic()
        workers = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), MAX_S)
            if self.statuses["429"]:
                self._holding = True
                looking = asyncio.gather(asyncio.sleep(HOLD_S), self._ask_as_other(), self._try_to_lift())
                with suppress(TimeoutError):
                    await asyncio.wait_for(looking, LONGEST_HOLD_S)
        finally:
            self._done = True
            self.elapsed_s = monotonic() - self._began
            await asyncio.gather(*workers)

    @property
    def sent(self) -> int:
        """Requests of the busy caller that were answered, or failed."""
        return sum(self.statuses.values())

    def _over(self) -> bool:
        elapsed_s = monotonic() - self._began
        allowed = self.limit.burst + self.limit.per_s * elapsed_s
        failed = self.sent - self.served - self.statuses["429"]
        return (
            self.statuses["429"] > 0
            or self.sent > ENOUGH * allowed
            or self.sent >= MAX_SENT
            or failed >= MAX_FAILED
        )

    async def _work(self) -> None:
        while not self._done and self.sent < MAX_SENT:
            reply = await self._send(self.callers.busy({}))
            if self._done:
                return  # what came after the end of the measurement belongs to no rate
            self.statuses[str(reply.status or "no reply")] += 1
            self.served += reply.succeeded
            if self._holding:
                self.held[reply.status or 0] += 1
            if reply.status == 429:
                self.retry_after.append(reply.headers.get("retry-after", "")[:40])
            if self._over():
                self._enough.set()
                await asyncio.sleep(0)  # let ``run`` see it before the next request

    async def _ask_as_other(self) -> None:
        if self.callers.other is None:
            return
        for _ in range(min(OTHERS, self.limit.burst)):
            reply = await self._send(self.callers.other({}))
            self.others.append(reply.status)
            await asyncio.sleep(HOLD_S / OTHERS)

    async def _try_to_lift(self) -> None:
        """As the busy caller, each time from an address that the request only says."""
        if self.limit.per == "address":
            return  # a proxy on this host would rightly be believed
        for number in range(LIFTING):
            address = f"10.{number}.{int(self.word[:2], 16)}.{int(self.word[2:4], 16)}"
            more = {"X-Forwarded-For": address, "X-Real-IP": address, "Forwarded": f"for={address}"}
            reply = await self._send(self.callers.busy(more))
            self.lifting.append(reply.status)
            await asyncio.sleep(HOLD_S / LIFTING)

    async def _send(self, request: Request) -> Reply:
        return await self.instruments.http.send(request, timeout_s=TIMEOUT_S)
