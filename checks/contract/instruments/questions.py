"""The declared business question, asked once or many times at once, and the questions of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from checks.contract.instruments.failures import Failure
from checks.contract.load import Route


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question, by whichever declared route was asked.

    ``good``: a good status, the declared shape, and a non-empty text. ``cached`` is None where the target
    declares no marker. ``problem`` says in words why an answer is not good.
    """

    route: Route
    good: bool
    status: int | None
    text: str
    cached: bool | None
    elapsed_ms: float
    problem: str = ""
    failure: Failure | None = None


class Questions(Protocol):
    """Asks the declared business question; falls back on the declared stream where ``[ask]`` is broken."""

    async def route(self) -> Route | None:
        """The declared route that answers a question just now (``ask`` first), or None."""

    async def ask(
        self,
        prompt: str,
        *,
        route: Route = "ask",
        user: str = "",
        session: str = "",
        timeout_s: float = 30.0,
    ) -> Answer:
        """Ask one question. Never raises for what the service does."""

    def curl(self, prompt: str, *, route: Route = "ask", user: str = "", session: str = "") -> str:
        """The same question as a curl line, secrets as ``$ENV_NAME``."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What became of one question asked ``asked`` times at once; times are ms from the first that was sent.

    ``sent_ms`` is when the last one was sent, ``good_ms`` when good answers came, in order; ``cached`` of
    them are hits by their marker. ``limited`` were refused with 429; ``problem`` is why another one was not
    good.
    """

    asked: int
    sent_ms: float
    good_ms: tuple[float, ...]
    cached: int
    limited: int
    problem: str


class Bursts(Protocol):
    """Asks one question many times at the same moment, on connections that are open beforehand."""

    async def at_once(
        self, prompt: str, count: int, *, route: Route = "ask", timeout_s: float = 30.0
    ) -> Burst:
        """Ask as one user, each in a session of its own. Never raises for what the service does."""


class Prompts(Protocol):
    """Questions, random per run, so that a service cannot be tuned to them."""

    def fresh(self, count: int) -> list[str]:
        """Never-seen questions that differ in whole words."""

    def repeats(self, distinct: int) -> list[str]:
        """``distinct`` questions of the declared repeat mix, made new for this run by added words."""


class PromptSource(Prompts, Protocol):
    """The questions of a run, and what makes a declared question new in it."""

    def aside(self) -> str:
        """A sentence that no question of this run had so far."""
