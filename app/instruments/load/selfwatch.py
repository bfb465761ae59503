"""Is the driver itself the bottleneck? A service is never blamed for what its measurer was too slow for."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Literal

import numpy as np

Validity = Literal["valid", "suspect", "invalid"]

# Below these a lag is the grain of timers and of a busy desktop, whatever the service's own speed.
SUSPECT_LAG_MS = 25.0
INVALID_LAG_MS = 100.0
SUSPECT_LAG_SHARE = 0.5
INVALID_LAG_SHARE = 1.0
BUSY_CPU_RATIO = 0.9  # Locust warns at the same share of a core
FEWEST_SAMPLES = 20  # with fewer, the 95th percentile is the maximum


@dataclass(frozen=True, slots=True)
class SelfReport:
    """How the driver itself did while it measured."""

    lag_p99_ms: float
    cpu_ratio: float
    slowest_callback_ms: float

    def validity(
        self, samples: int, wanted: int, median_ms: float | None
    ) -> tuple[Validity, tuple[str, ...]]:
        """Judge by event-loop lag against the service's median, own CPU share and number of samples.

        Invalid: the lag's p99 is above 100 ms and above the median, so the latencies are the driver's.
        Suspect: above 25 ms and half the median; or more than 90 % of a core; or too few samples.
        """
        reasons: list[str] = []
        invalid = False
        lag_ms, median = self.lag_p99_ms, median_ms or 0.0
        if median_ms is not None and lag_ms > max(SUSPECT_LAG_MS, SUSPECT_LAG_SHARE * median):
            invalid = lag_ms > max(INVALID_LAG_MS, INVALID_LAG_SHARE * median)
            cause = ""
            if self.slowest_callback_ms > SUSPECT_LAG_MS:
                cause = f"; reporting progress took up to {self.slowest_callback_ms:.0f} ms of it"
            reasons.append(
                f"The load driver itself was late by {lag_ms:.0f} ms (p99) where the service's median is "
                f"{median:.0f} ms{cause}."
            )
        if self.cpu_ratio > BUSY_CPU_RATIO:
            reasons.append(
                f"The load driver used {self.cpu_ratio * 100:.0f} % of a core: it may be the bottleneck."
            )
        if samples < max(wanted, FEWEST_SAMPLES):
            reasons.append(
                f"Only {samples} requests were made; percentiles need at least {max(wanted, FEWEST_SAMPLES)}."
            )
        return ("invalid" if invalid else "suspect" if reasons else "valid"), tuple(reasons)


class SelfWatch:
    """Collects how late the event loop is, and what the process costs, between ``begin`` and ``report``."""

    def __init__(self) -> None:
        self._lags_ms = array("d")
        self._slowest_callback_ms = 0.0
        self.begin()

    def begin(self) -> None:
        """Forget what was before, such as the warm-up."""
        del self._lags_ms[:]
        self._wall_s, self._cpu_s = perf_counter(), process_time()

    def late(self, lag_s: float) -> None:
        """The event loop came back this much later than asked."""
        self._lags_ms.append(max(0.0, lag_s * 1000))

    def callback(self, took_s: float) -> None:
        """A progress callback held the event loop for this long."""
        self._slowest_callback_ms = max(self._slowest_callback_ms, took_s * 1000)

    def report(self) -> SelfReport:
        """The figures since ``begin``."""
        wall_s = max(perf_counter() - self._wall_s, 1e-9)
        lag_ms = float(np.percentile(self._lags_ms, 99, method="higher")) if self._lags_ms else 0.0
        return SelfReport(lag_ms, (process_time() - self._cpu_s) / wall_s, self._slowest_callback_ms)
