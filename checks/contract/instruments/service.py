"""What is read of the service itself: its metrics, memory and processes, and its paid upstream's meter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from checks.contract.instruments.failures import Failure
from checks.contract.target.calls import Count


class Upstream(Protocol):
    """Reads the declared meter of the paid upstream."""

    async def calls(self) -> float:
        """Calls so far. Raises InstrumentFailure when the meter cannot be read."""


class Counts(Protocol):
    """Reads a count where the target declares one."""

    async def read(self, count: Count, what: str, key: str) -> float:
        """The number now; ``what`` names it in words, ``key`` is where it is declared.

        Raises InstrumentFailure when it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class ProcessFact:
    """One process: ``root_pid`` is the topmost ancestor with the same command (a worker's master)."""

    pid: int
    root_pid: int
    started_at: float
    command: str
    ports: tuple[int, ...]


class Processes(Protocol):
    """Looks at the processes of this host; empty where the target is elsewhere."""

    def listening(self, port: int) -> list[ProcessFact]:
        """Processes that listen on ``port``."""

    def same_program(self, fact: ProcessFact) -> list[ProcessFact]:
        """Other process trees that run the same command line and listen on some port."""

    def holds_connection(self, port: int, peer_port: int) -> bool | None:
        """Whether a process that listens on ``port`` still has its end of the connection from ``peer_port``.

        None where the processes of the service cannot be seen.
        """

    def runs(self, fact: ProcessFact) -> bool:
        """Whether this very process still runs, whether it listens or not."""

    def waiting(self, port: int) -> int | None:
        """How many connections of this run to ``port`` no process of the service has accepted yet.

        The kernel opens a connection before the service takes it. None where that cannot be seen.
        """


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a metrics page. ``value`` may be NaN or infinite."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading of a metrics page. ``labels`` maps a label name to its distinct values (bounded).

    ``families`` are names without the ending of a counter or a histogram, with their TYPE; one that is only
    announced has no ``samples``.
    """

    url: str
    status: int | None
    content_type: str
    families: Mapping[str, str]
    series: int
    labels: Mapping[str, tuple[str, ...]]
    parse_error: str = ""
    failure: Failure | None = None
    samples: tuple[Sample, ...] = ()


class Metrics(Protocol):
    """Scrapes the declared metrics route."""

    async def scrape(self) -> Scrape:
        """Read the page. Never raises for what the service does."""

    async def requests(self) -> float:
        """The service's own count of business requests: the declared counter, summed over its series.

        Raises InstrumentFailure where none is declared (``health.requests``) or it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """Resident memory of the service now, and where it was read (``process`` or ``metrics``)."""

    resident_bytes: float
    source: Literal["process", "metrics"]


class Memory(Protocol):
    """Reads the service's memory: of its process tree on this host, else from its metrics."""

    async def read(self) -> MemoryReading:
        """Raises InstrumentFailure where neither can be read."""
