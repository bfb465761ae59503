"""A chat service in memory with a fault proxy before its upstream, for tests of retries and breakers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from checks.contract import Answer, Failure, FailureKind, ProxyCall, Reply, Request, StreamReply
from tests.checks.scripted import (
    ScriptedFaults,
    ScriptedHttp,
    ScriptedInstruments,
    ScriptedQuestions,
    ScriptedSse,
    ScriptedUpstream,
    a_bad_answer,
    an_answer,
)

WAYS = ("refuse", "hang", "errors", "few_errors")
PROBLEM = b'{"title": "Service Unavailable", "detail": "The model is not available.", "status": 503}'


@dataclass
class Chat:
    """``gaps_s`` are the pauses before further tries. ``says`` is what callers get where all failed.

    ``breaks_after`` calls in a row it makes none any more, until ``closes_after`` more questions came.
    ``polls``: with each question somebody looks at the upstream's health. ``stands_in``: a good answer in the
    place of an error. ``calls_of`` are the upstream's routes that one question calls. After the way
    ``gone_after`` nothing is answered any more.
    """

    gaps_s: Callable[[int], float] = lambda tried: Random().uniform(0.5, 1.5) * 0.1 * 2 ** (tried - 1)
    tries: int = 3
    says: Reply = field(default_factory=lambda: Reply("/api/chat", 503, body=PROBLEM))
    breaks_after: int | None = None
    closes_after: int | None = 4
    polls: bool = False
    stands_in: Callable[[str], str] | None = None
    keeps_stand_in: bool = False
    calls_of: tuple[str, ...] = ("POST /v1/complete",)
    stream_tries: int | None = None
    gone_after: str = ""
    working: bool = True
    ways: tuple[str, ...] = WAYS
    counts: bool = True
    meter: Callable[[Chat], float] | None = None
    now_s: float = 100.0
    proxied: list[ProxyCall] = field(default_factory=list)
    few_given: int = 0
    pulled: int = 0
    in_a_row: int = 0
    refused: int = 0
    kept: dict[str, str] = field(default_factory=dict)
    was_broken: bool = False

    def instruments(self) -> ScriptedInstruments:
        self.faults = ScriptedFaults({"upstream": self.ways}, proxied=self.proxied if self.counts else None)
        given: dict[str, Any] = {
            "questions": ScriptedQuestions(self.answer, working="ask" if self.working else None),
            "http": ScriptedHttp({("POST", "/api/chat"): self.raw}),
            "sse": ScriptedSse(self.streamed),
            "faults": self.faults,
        }
        if self.meter is not None:
            given["upstream"] = ScriptedUpstream(lambda: self.meter(self))
        return ScriptedInstruments(**given)

    @property
    def cut(self) -> str:
        return self.faults.cut[1] if self.faults.cut else ""

    def answer(self, prompt: str, route: str) -> Answer:
        gone = self.gone_after and f"restored upstream {self.gone_after}" in self.faults.events
        if not self.working or (gone and not self.cut):
            return a_bad_answer(503, route=route)
        text = self.asked(prompt, route)
        if text is not None:
            return an_answer(text, route=route)
        if self.says.failure:
            return a_bad_answer(None, failure=self.says.failure, route=route)
        return a_bad_answer(self.says.status, route=route)

    def raw(self, request: Request) -> Reply:
        text = self.asked(json.loads(request.body)["message"], "ask")
        return self.says if text is None else Reply("/api/chat", 200, body=text.encode())

    def streamed(self, request: Request) -> StreamReply:
        text = self.asked(json.loads(request.body)["message"], "stream")
        assert text is None, "only errors are read as a stream here"
        return StreamReply(self.says.status, {}, (), 1.0, 2.0, self.says.text, self.says.failure)

    def asked(self, prompt: str, route: str) -> str | None:
        """The answer to a question, None where there is none but an error."""
        if prompt in self.kept:
            return self.kept[prompt]
        if self.polls:
            self.call("GET /health")
        if all(self.complete(request, route) for request in self.calls_of):
            return f"About {prompt}"
        if self.stands_in is None:
            return None
        text = self.stands_in(prompt)
        if self.keeps_stand_in:
            self.kept[prompt] = text
        return text

    def complete(self, request: str, route: str) -> bool:
        if self.breaks_after is not None and self.in_a_row >= self.breaks_after:
            self.refused += 1
            if self.closes_after is None or self.refused % self.closes_after:
                return False
            return self.call(request)
        tries = self.stream_tries if route == "stream" and self.stream_tries is not None else self.tries
        for tried in range(1, tries + 1):
            if self.call(request):
                return True
            self.now_s += self.gaps_s(tried) if tried < tries else 0
        return False

    def call(self, request: str) -> bool:
        fails = self.cut in ("errors", "hang") or (self.cut == "few_errors" and self.few() < 2)
        self.was_broken = self.was_broken or bool(self.cut)
        self.now_s += 0.001
        self.proxied.append(ProxyCall(len(self.proxied) + 1, self.now_s, request, fails))
        if not request.startswith("GET"):
            self.in_a_row = self.in_a_row + 1 if fails else 0
        return not fails

    def few(self) -> int:
        """Errors since the lever was last pulled, before this one."""
        pulled = sum(event.startswith("broke") for event in self.faults.events)
        self.few_given = self.few_given + 1 if pulled == self.pulled else 0
        self.pulled = pulled
        return self.few_given


def same(gap_s: float) -> Callable[[int], float]:
    """The same pause each time, as exactly as a busy machine keeps it."""
    noise: Iterator[float] = iter([0.0001 * (number % 7) for number in range(10_000)])
    return lambda tried: gap_s + next(noise)


HANGS = Reply("/api/chat", None, failure=Failure(FailureKind.TIMEOUT, "no reply within 10 s"))
DROPS = Reply("/api/chat", None, failure=Failure(FailureKind.RESET, "the connection was reset"))
