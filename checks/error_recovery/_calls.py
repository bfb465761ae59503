"""The calls of the upstream that questions make, seen at the fault proxy, else at the meter.

Private to this family. Other calls come that way, too, such as of a health route that somebody polls: what
questions make are the kinds of calls that came with questions when all was well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from checks.contract import Finding, InstrumentFailure, Instruments, ProxyCall

ADD_PROXY = (
    "Start `python -m app faults proxy` before the upstream, and declare `[levers.upstream]` with "
    '`kind = "faultproxy"` and `ways = ["errors", "few_errors"]`.'
)
ALONE = 1.25  # calls of a kind for each question, one of which may have been repeated while all was well
FREQUENT = 0.5  # of the questions made a call of this kind


@dataclass(frozen=True)
class Seen:
    """Calls since the last look: how many times those of one question, of the kind that came most often.

    ``gaps_s`` are between the calls of that kind, where each question makes one: more cannot be told apart.
    """

    times: float
    gaps_s: tuple[float, ...] = ()


class UpstreamCalls:
    """Reads what is new. ``timed`` is whether the moments of calls are known: a meter only counts."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._last: float | None = None
        self._usual: Mapping[str, float] = {}
        self._key: Callable[[ProxyCall], str] = _place
        self._usual_count = 0.0
        self.timed = True

    async def start(self) -> None:
        """Look for the first time. Raises InstrumentFailure where nothing counts calls."""
        try:
            self._last = await self._instruments.faults.calls("upstream")
        except InstrumentFailure as uncounted:
            if uncounted.missing != "levers.upstream.kind":
                raise
            self.timed = False
            try:
                self._last = await self._instruments.upstream.calls()
            except InstrumentFailure:
                raise uncounted from None

    async def learn(self, questions: int) -> float:
        """Take what is new as the calls of so many questions, and return how many each of them makes."""
        if not self.timed:
            self._usual_count = await self._counted() / questions
            return self._usual_count
        calls = await self._new()
        for key in (_place, _method, _any):  # from the finest that repeats
            counted = Counter(map(key, calls))
            frequent = {
                kind: count / questions for kind, count in counted.items() if count >= FREQUENT * questions
            }
            if frequent:
                self._key, self._usual = key, frequent
                return max(frequent.values())
        return 0.0

    async def look(self) -> Seen:
        """What is new, in terms of one question that is answered when all is well."""
        if not self.timed:
            return Seen(await self._counted() / max(self._usual_count, 1.0))
        kinds: dict[str, list[float]] = {}
        for call in await self._new():
            if self._key(call) in self._usual:
                kinds.setdefault(self._key(call), []).append(call.at_s)
        times = {kind: len(at_s) / max(self._usual[kind], 1.0) for kind, at_s in kinds.items()}
        if not times:
            return Seen(0.0)
        most = max(times, key=times.__getitem__)
        if self._usual[most] > ALONE:
            return Seen(times[most])
        gaps_s = (later - at for at, later in pairwise(kinds[most]))
        return Seen(times[most], tuple(round(gap, 4) for gap in gaps_s))

    async def _counted(self) -> float:
        before, self._last = self._last or 0.0, await self._instruments.upstream.calls()
        return self._last - before

    async def _new(self) -> Sequence[ProxyCall]:
        last = int(self._last or 0)
        calls = await self._instruments.faults.latest_calls("upstream", after=last)
        if calls:
            self._last = calls[-1].number
        elif await self._instruments.faults.calls("upstream") < last:
            raise InstrumentFailure(
                "The upstream's fault proxy was started anew amid the check; assess again."
            )
        return calls


def _place(call: ProxyCall) -> str:
    return call.request


def _method(call: ProxyCall) -> str:
    return call.request.partition(" ")[0]


def _any(_: ProxyCall) -> str:
    return ""


def unseen(*, timed: bool) -> Finding:
    """The finding where questions are answered without a call that anything counts."""
    seen = "the fault proxy sees" if timed else "the meter counts"
    return Finding.not_assessed(
        f"New questions are answered without a call that {seen}. Point `[levers.upstream]` at the connection "
        "that is in use; what is sent over TLS or HTTP/2 cannot be seen.",
        missing="levers.upstream",
    )


def uncounted() -> Finding:
    """The finding where a meter does not know of calls that fail."""
    return Finding.not_assessed(
        f"The meter of `[upstream] calls` does not count calls that fail. {ADD_PROXY}",
        missing="levers.upstream.kind",
    )
