"""What the five signals tell, judged from what moved on the metrics page. Pure, private to this family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from checks.contract import show
from checks.monitoring._motion import Motion, Timing
from checks.monitoring._subjects import Subject, subject_of

SIGNALS = ("traffic", "errors", "latency", "saturation", "cache")
MOST_BEYOND = 1 / 3  # of the answers may be slower than the last bucket
CUT_OFF = "a body that is cut off"
MOST_LONGER = 30.0  # times what the callers waited: no service is that busy with itself, but ms in s are

Gauges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Asked:
    """What was sent between the readings, and how it was answered.

    ``took_s`` is how long the callers waited in all; ``under_way`` how many questions were not yet answered
    when the page had been read amid them; ``refused`` the status of each request that should be refused.
    ``cached`` of the ``again`` repeated questions came from the cache by their marker (None: no marker).
    """

    questions: int = 0
    good: int = 0
    limited: int = 0
    took_s: float = 0.0
    under_way: int = 0
    again: int = 0
    cached: int | None = None
    refused: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """Whether a signal moves; ``seen`` is what was seen where it does not, ``remark`` what to know else."""

    moves: bool
    seen: str = ""
    fix: str = ""
    remark: str = ""


def told(
    motions: Sequence[Motion],
    timings: Sequence[Timing],
    gauges: Gauges,
    asked: Asked,
) -> dict[str, Told]:
    """Each of SIGNALS; ``gauges`` are those of what is in flight or full, in calm and amid questions."""
    return {
        "traffic": _traffic(motions, asked),
        "errors": _errors(motions, asked),
        "latency": _latency(motions, timings, asked),
        "saturation": _saturation(motions, gauges, asked),
        "cache": _cache(motions, asked),
    }


def _of(motions: Iterable[Motion], *subjects: Subject) -> list[Motion]:
    return [each for each in motions if each.subject in subjects]


def _traffic(motions: Sequence[Motion], asked: Asked) -> Told:
    fix = "Count every request that is answered."
    counters = _of(motions, Subject.REQUESTS, Subject.SUCCESSES)
    if not counters:
        return Told(False, "no metric counts requests.", fix)
    most = max(counters, key=lambda each: sum(each.rose.values()))
    rose = sum(most.rose.values())
    if rose >= asked.good:
        return Told(True)
    return Told(False, f"{most.name} rose by {rose:g} with {asked.good} answers.", fix)


def _errors(motions: Sequence[Motion], asked: Asked) -> Told:
    fix = "Give the counter of requests a label for the status, in which refusals and errors show."
    counters = _of(motions, Subject.REQUESTS, Subject.FAILURES, Subject.REFUSALS)
    telling = [each for each in counters if each.told_by]
    name = f"{telling[0].name} with its label {telling[0].told_by}" if telling else ""
    refused = {what: status for what, status in asked.refused.items() if 400 <= status < 600}
    uncounted = [what for what, status in refused.items() if not _counted(status, telling)]
    if CUT_OFF in uncounted and telling:
        return Told(False, f"{name} did not count that {CUT_OFF} was refused ({refused[CUT_OFF]}).", fix)
    if any(each.rose.get(of) for each in counters for of in (Subject.REFUSALS, Subject.FAILURES)):
        return Told(True, remark="No server error was caused: that errors show is taken from refusals.")
    failing = _of(motions, Subject.FAILURES)
    if failing:
        seen = f"{failing[0].name} is there, and was not seen to move"
        return Told(True, remark=f"No server error was caused: {seen}.")
    if not telling:
        return Told(False, "no metric tells answers from errors.", fix)
    if refused:
        what, status = next(iter(refused.items()))
        return Told(False, f"{name} did not count that {what} was refused ({status}).", fix)
    return Told(True, remark=f"Nothing was refused: that errors show is taken from {name}.")


def _counted(status: int, telling: Sequence[Motion]) -> bool:
    """Whether a counter shows a reply of this status; one that tells outcomes in words shows any refusal."""
    digits = (str(status), f"{status // 100}xx", f"{status // 100}XX", f"{status // 100}")
    for each in telling:
        said = [value for value, rose in each.outcomes.items() if rose]
        if any(value in digits for value in said):
            return True
        in_words = not any(value[:1].isdigit() for value in said)
        if in_words and (each.rose.get(Subject.REFUSALS) or each.rose.get(Subject.FAILURES)):
            return True
    return False


def _latency(motions: Sequence[Motion], timings: Sequence[Timing], asked: Asked) -> Told:
    fix = (
        "Time every request in a histogram in seconds, with buckets from below the usual to above the worst."
    )
    if not timings:
        timed = [each for each in motions if each.kind == "histogram" and each.subject is Subject.REQUESTS]
        if timed:
            return Told(False, f"{timed[0].name} did not rise.", fix)
        others = [each for each in motions if each.kind == "summary" or each.subject is Subject.DURATION]
        none = "nothing times requests in a histogram."
        return Told(False, f"{others[0].name} is of no histogram." if others else none, fix)
    most = max(timings, key=lambda each: each.observed)
    if most.observed < asked.good:
        return Told(False, f"{most.name} observed {most.observed:g} of {asked.good} answers.", fix)
    ours = asked.questions + len(asked.refused)
    alone = most.observed <= 2 * ours + 10  # others' requests may take longer
    if alone and most.sum_s is not None and most.sum_s > MOST_LONGER * max(asked.took_s, 0.001):
        waited = f"callers waited {show(asked.took_s, 's')} in all"
        seen = f"{most.name} saw {show(most.sum_s, 's')} of work, {waited}."
        return Told(False, seen, "Observe durations in the unit that the metric's name tells.")
    if most.beyond > MOST_BEYOND * most.observed:
        seen = (
            f"{most.beyond:g} of {most.observed:g} answers took longer than the last bucket of {most.name}, "
            f"{show(most.top_s, 's')}: no percentile can be told."
        )
        return Told(False, seen, "Add buckets that reach above the slowest answer.")
    return Told(True)


def _saturation(motions: Sequence[Motion], gauges: Gauges, asked: Asked) -> Told:
    fix = "Keep a gauge of requests in flight, and one of each queue or pool that can be full."
    in_flight = {name: each for name, each in gauges.items() if subject_of(name) is Subject.IN_FLIGHT}
    full = [each for each in _of(motions, Subject.FULLNESS) if each.changed]
    others = [name for name, (calm, busy) in gauges.items() if name not in in_flight and busy != calm]
    if full or others or any(busy > calm for calm, busy in in_flight.values()):
        return Told(True)
    if in_flight and asked.under_way <= 1:
        return Told(True, remark="Answers came too fast for the requests in flight to be seen.")
    if gauges:
        name = next(iter(in_flight or gauges))
        only = "" if in_flight else "what is in flight is not told, and "
        seen = f"{name} was {gauges[name][1]:g} while {asked.under_way} questions were under way."
        return Told(False, f"{only}{seen}", fix)
    used = _of(motions, Subject.RESOURCES)
    nothing = f"{used[0].name} tells what the process uses, and " if used else ""
    return Told(False, f"{nothing}nothing tells how full the service is.", fix)


def _cache(motions: Sequence[Motion], asked: Asked) -> Told:
    fix = "Count hits and misses of the cache where it is asked."
    rose = {
        subject: sum(each.rose.get(subject, 0.0) for each in motions)
        for subject in (Subject.CACHE_HITS, Subject.CACHE_MISSES, Subject.CACHE_LOOKUPS)
    }
    hits, misses = rose[Subject.CACHE_HITS], rose[Subject.CACHE_MISSES]
    tells = {subject for each in motions for subject in each.tells}
    if Subject.CACHE_HITS not in tells:
        return Told(False, "no metric counts cache hits.", fix)
    if not tells & {Subject.CACHE_MISSES, Subject.CACHE_LOOKUPS}:
        return Told(False, "hits are counted, misses are not: no rate can be told.", fix)
    if not hits and asked.cached == 0:
        nothing = "No repeated question came from the cache, so no hit could be counted: that hits would show"
        return Told(True, remark=f"{nothing} is taken from the counters being there.")
    seen = f"hits rose by {hits:g} with {asked.again} repeated questions"
    if hits < max(1, (asked.cached or 0) / 2):
        return Told(False, f"{seen}.", fix)
    if not misses and rose[Subject.CACHE_LOOKUPS] <= hits:
        return Told(False, f"{seen}, and misses by {misses:g} with never-seen ones.", fix)
    return Told(True)
