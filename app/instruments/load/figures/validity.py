"""Whether a scenario's figures mean anything, said before anybody reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.instruments.load.figures.selfwatch import SelfReport
from checks.contract import Arrivals, plural, show
from checks.contract.load import Validity

FEWEST_SAMPLES = 20  # with fewer, the 95th percentile is the maximum
# The event loop's timers have a grain of 1 ms, so that a lateness below these is no sign of trouble.
INVALID_DISPATCH_MS = 10.0
SUSPECT_DISPATCH_MS = 5.0
SUSPECT_DISPATCH_SHARE = 0.2  # of the median: what is reported is then longer by a fifth than what is
INVALID_DROPPED_RATIO = 0.01


@dataclass(frozen=True)
class Judged:
    """What speaks for or against the measurement, beside the driver's own report.

    ``median_ms`` is the service's own: in the open model without the dispatch delay.
    """

    samples: int
    wanted: int
    median_ms: float | None
    dispatch_p50_ms: float | None = None
    dispatch_p99_ms: float | None = None
    arrivals: Arrivals | None = None


def validity(
    watch: SelfReport, judged: Judged, doubts: Sequence[str] = (), *, partial: bool = False
) -> tuple[Validity, tuple[str, ...]]:
    """VALID, SUSPECT or INVALID, with every reason, the grave ones first.

    ``doubts`` are reasons for suspicion that the caller knows. What is ``partial`` has a reason of its own,
    and requests without a sample: those that were under way when it ended.
    """
    invalid, suspect = watch.doubts(judged.median_ms)
    _dispatch(judged, invalid, suspect)
    if judged.arrivals is not None:
        _accounts(judged.arrivals, judged.arrivals.sent if partial else judged.samples, invalid, suspect)
    wanted = max(judged.wanted, FEWEST_SAMPLES)
    if judged.samples < wanted:
        suspect.append(
            f"Only {plural(judged.samples, 'request')} were made; the figures need at least {wanted}."
        )
    suspect += doubts
    if invalid:
        return "invalid", (*invalid, *suspect)
    return ("suspect" if suspect or partial else "valid"), tuple(suspect)


def _dispatch(judged: Judged, invalid: list[str], suspect: list[str]) -> None:
    p50_ms, p99_ms, median_ms = judged.dispatch_p50_ms, judged.dispatch_p99_ms, judged.median_ms
    if p50_ms is None or p99_ms is None or median_ms is None:
        return
    if p99_ms > max(INVALID_DISPATCH_MS, median_ms):
        invalid.append(
            f"Requests were sent {show(p99_ms, 'ms')} late (p99), later than the service takes "
            f"({show(median_ms, 'ms')} in the median): the load driver could not keep the schedule."
        )
    elif p99_ms > max(SUSPECT_DISPATCH_MS, median_ms / 2) or p50_ms > SUSPECT_DISPATCH_SHARE * median_ms:
        suspect.append(
            f"Requests were sent {show(p50_ms, 'ms')} late in the median and {show(p99_ms, 'ms')} at p99, "
            f"which is part of the latencies (service median {show(median_ms, 'ms')})."
        )


def _accounts(arrivals: Arrivals, samples: int, invalid: list[str], suspect: list[str]) -> None:
    if arrivals.scheduled != arrivals.sent + arrivals.dropped or arrivals.sent != samples:
        invalid.append(
            f"The arrivals do not add up: {arrivals.scheduled:,} scheduled, {arrivals.sent:,} sent, "
            f"{arrivals.dropped:,} dropped, {samples:,} samples."
        )
    if arrivals.dropped:
        reason = (
            f"{arrivals.dropped:,} of {plural(arrivals.scheduled, 'arrival')} were dropped, since as many "
            "requests as are allowed were under way; what they would have met is not in the figures."
        )
        (invalid if arrivals.dropped > INVALID_DROPPED_RATIO * arrivals.scheduled else suspect).append(reason)
