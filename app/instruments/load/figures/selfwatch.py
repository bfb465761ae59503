"""Is the driver itself the bottleneck? A service is never blamed for what its measurer was too slow for."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from pathlib import Path
from threading import get_native_id
from time import perf_counter, thread_time

import numpy as np

# Below these a lag is the grain of timers and of a busy desktop, whatever the service's own speed.
SUSPECT_LAG_MS = 25.0
INVALID_LAG_MS = 100.0
SUSPECT_LAG_SHARE = 0.5
INVALID_LAG_SHARE = 1.0
# Of the time, what the driver used of a core or waited for one. Locust warns at 90 % of a core.
SUSPECT_DEMAND_RATIO = 0.75
INVALID_DEMAND_RATIO = 0.9


@dataclass(frozen=True, slots=True)
class SelfReport:
    """How the driver itself did while it measured.

    ``cpu_ratio`` is its share of a core, ``wait_ratio`` the share of the time in which it was ready to run
    and had no core. Together they are its demand: at 1 it never slept, so it was the bottleneck, on a whole
    core as on half of one.
    """

    lag_p99_ms: float
    cpu_ratio: float
    wait_ratio: float
    slowest_callback_ms: float

    def doubts(self, median_ms: float | None) -> tuple[list[str], list[str]]:
        """Why the figures are invalid, and why they are suspect, given the service's own median.

        Lag: invalid where its p99 is above 100 ms and above the median, so that the latencies are the
        driver's; suspect above 25 ms and half the median. Demand: invalid above 90 %, suspect above 75 %.
        """
        invalid: list[str] = []
        suspect: list[str] = []
        lag_ms, median = self.lag_p99_ms, median_ms or 0.0
        if median_ms is not None and lag_ms > max(SUSPECT_LAG_MS, SUSPECT_LAG_SHARE * median):
            grave = lag_ms > max(INVALID_LAG_MS, INVALID_LAG_SHARE * median)
            cause = ""
            if self.slowest_callback_ms > SUSPECT_LAG_MS:
                cause = f"; reporting progress took up to {self.slowest_callback_ms:.0f} ms of it"
            (invalid if grave else suspect).append(
                f"The load driver itself was late by {lag_ms:.0f} ms (p99) where the service's median is "
                f"{median:.0f} ms{cause}."
            )
        demand = self.cpu_ratio + self.wait_ratio
        if demand > SUSPECT_DEMAND_RATIO:
            waited = (
                f" and waited for one {self.wait_ratio * 100:.0f} % of the time"
                if self.wait_ratio > 0.05
                else ""
            )
            grave = demand > INVALID_DEMAND_RATIO
            (invalid if grave else suspect).append(
                f"The load driver {'was' if grave else 'was nearly'} the bottleneck: it used "
                f"{self.cpu_ratio * 100:.0f} % of a core{waited}. Ask for less, or use more workers."
            )
        return invalid, suspect

    @staticmethod
    def worst(reports: list[SelfReport]) -> SelfReport:
        """One report for several drivers side by side: of each figure the worst."""
        busiest = max(reports, key=lambda report: report.cpu_ratio + report.wait_ratio)
        return replace(
            busiest,
            lag_p99_ms=max(report.lag_p99_ms for report in reports),
            slowest_callback_ms=max(report.slowest_callback_ms for report in reports),
        )


class SelfWatch:
    """Collects how late the event loop is, and what its thread costs, between ``begin`` and ``report``."""

    def __init__(self) -> None:
        self._lags_ms = array("d")
        self._slowest_callback_ms = 0.0
        self._thread = get_native_id()
        self.begin()

    def begin(self) -> None:
        """Forget what was before, such as the warm-up."""
        del self._lags_ms[:]
        self._wall_s, self._cpu_s, self._waited_s = perf_counter(), thread_time(), self._waited()

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
        cpu_ratio = (thread_time() - self._cpu_s) / wall_s
        wait_ratio = max(0.0, self._waited() - self._waited_s) / wall_s
        return SelfReport(lag_ms, cpu_ratio, wait_ratio, self._slowest_callback_ms)

    def _waited(self) -> float:
        """How long this thread was ready and had no core, in s; 0 where the system does not tell.

        The second number of Linux' schedstat (Documentation/scheduler/sched-stats.rst).
        """
        try:
            text = Path(f"/proc/self/task/{self._thread}/schedstat").read_text(encoding="ascii")
        except OSError:
            return 0.0
        return int(text.split()[1]) / 1e9
