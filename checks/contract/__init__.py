"""The one module that a check imports, and that everyone may import.

A check file holds, in this order: its docstring (good condition, *Why it matters*, *How it is measured*,
*How to fix it*), ``CHECK``, ``Thresholds``, ``Evidence``, ``gather`` and ``judge``. See README.md here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from checks.contract.findings import LEAST_SHARE, Finding, Limit, Outcome, curve_limit, curve_share
from checks.contract.instruments import Instruments, Profile
from checks.contract.instruments.failures import Failure, FailureKind, InstrumentFailure, ServerDown
from checks.contract.instruments.faults import ProxyCall
from checks.contract.instruments.http import BodyPlan, BodyReply, Forgery, Reply, TlsFacts
from checks.contract.instruments.openapi import BodyField, Deviation, Example, Examples, Operation, Wish
from checks.contract.instruments.questions import Answer, Burst
from checks.contract.instruments.redis import KeySample, RedisCounters, RedisState, SlowCommand, SlowLog
from checks.contract.instruments.service import MemoryReading, ProcessFact, Sample, Scrape
from checks.contract.instruments.streams import Event, Frames, OpenStream, StreamReply
from checks.contract.leaks import leaks_in
from checks.contract.load import (
    Arrivals,
    Goal,
    Knee,
    LoadPlan,
    LoadStep,
    LoadSummary,
    Route,
    Scenario,
    Stage,
    Steady,
    StopRule,
    Streaming,
    Trend,
    Usl,
)
from checks.contract.numbers import percentile, ratio_of_medians, wilson_interval
from checks.contract.reproduce import curl_line
from checks.contract.secrets import secret_form, secret_kind
from checks.contract.target import Target
from checks.contract.target.auth import Auth, Protected
from checks.contract.target.calls import Call, Request, at_path
from checks.contract.target.objectives import RateLimit
from checks.contract.target.service import Stream
from checks.contract.target.transaction import (
    Failing,
    Flag,
    StateProbe,
    Step,
    Transaction,
    TransactionRequest,
)
from checks.contract.texts import document_in, escaped, printable
from checks.contract.wording import plural, show

__all__ = [
    "LEAST_SHARE",
    "Answer",
    "Arrivals",
    "Auth",
    "BodyField",
    "BodyPlan",
    "BodyReply",
    "Burst",
    "Call",
    "Check",
    "Deviation",
    "Event",
    "Example",
    "Examples",
    "Failing",
    "Failure",
    "FailureKind",
    "Finding",
    "Flag",
    "Forgery",
    "Frames",
    "Goal",
    "InstrumentFailure",
    "Instruments",
    "KeySample",
    "Kind",
    "Knee",
    "Limit",
    "LoadPlan",
    "LoadStep",
    "LoadSummary",
    "MemoryReading",
    "OpenStream",
    "Operation",
    "Outcome",
    "ProcessFact",
    "Profile",
    "Protected",
    "ProxyCall",
    "RateLimit",
    "RedisCounters",
    "RedisState",
    "Reply",
    "Request",
    "Route",
    "Sample",
    "Scenario",
    "Scrape",
    "ServerDown",
    "SlowCommand",
    "SlowLog",
    "Stage",
    "StateProbe",
    "Steady",
    "Step",
    "StopRule",
    "Stream",
    "StreamReply",
    "Streaming",
    "Target",
    "TlsFacts",
    "Transaction",
    "TransactionRequest",
    "Trend",
    "Usl",
    "Wish",
    "at_path",
    "curl_line",
    "curve_limit",
    "curve_share",
    "document_in",
    "escaped",
    "leaks_in",
    "objective",
    "percentile",
    "plural",
    "printable",
    "ratio_of_medians",
    "secret_form",
    "secret_kind",
    "show",
    "wilson_interval",
]


LONGEST_SCENARIOS = 6  # three attempts, each of which may take twice its time to get enough samples


class Kind(StrEnum):
    """What a check does to the service."""

    PASSIVE = "passive"
    ACTIVE = "active"
    LOAD = "load"
    FAULT = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a check is. No id (its path is its id) and no points (the rubric has them).

    ``failure_title`` is the present-tense fact when it fails. ``does`` says what it will do to the service.
    ``measures`` follows the value on a page ("of repeated questions came from the cache").
    ``needs`` names instruments (``http``, ``redis``, ``load`` ...) and target keys that must be declared
    (``target.ask``, ``target.levers.cache``). An instrument with a trailing ``?`` (``redis?``) is optional:
    where the target declares none, using it raises InstrumentFailure and the check goes on without.
    ``deadline_s`` and ``typical_s`` are for the quick profile; with a ``scenario`` of data/scenarios.toml
    they are what the check takes beside it, in any profile.
    ``hostile`` marks an active check that may break the service, so it runs after the load checks.
    ``beside`` marks a passive or active one that others of its like may run beside: it sends little, and
    judges neither times nor counters that their requests would move.
    """

    failure_title: str
    kind: Kind
    does: str
    needs: tuple[str, ...]
    deadline_s: float
    typical_s: float
    measures: str = ""
    hostile: bool = False
    beside: bool = False
    scenario: str = ""

    def deadline_in(self, profile: Profile) -> float:
        """When the engine ends it, in s: a scenario may be repeated, and each may wait for slow answers."""
        if not self.scenario:
            return self.deadline_s * profile.deadline_factor
        return self.deadline_s + LONGEST_SCENARIOS * profile.scenarios[self.scenario].total_s

    def takes_in(self, profile: Profile) -> float:
        """About how long it takes, in s. Only load and fault checks grow with the profile."""
        if self.scenario:
            return self.typical_s + profile.scenarios[self.scenario].total_s
        growing = self.kind in (Kind.LOAD, Kind.FAULT)
        return self.typical_s * (profile.deadline_factor if growing else 1)


def objective(default: float, name: str) -> Any:
    """A threshold that the target's ``[objectives]`` may override under ``name``."""
    return field(default=default, metadata={"objective": name})


def thresholds_for(kind: type[Any], overrides: Mapping[str, float], target: Target) -> Any:
    """Build thresholds: defaults, then the rubric's ``overrides``, then the target's objectives."""
    values = dict(overrides)
    for name, spec in kind.__dataclass_fields__.items():
        stated = getattr(target.objectives, spec.metadata.get("objective", ""), None)
        if stated is not None:
            values[name] = stated
    return kind(**values)
