"""The circuit breaker before the paid model: while nothing comes back from it, it is left alone."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class BreakerOpenError(Exception):
    """No call may be made just now."""


class Breaker:
    """Opens after so many failed calls in a row; then one call at a time tries, after pauses that grow.

    ``admit`` before each call says whether it is such a trial; what became of the call is told afterwards.
    """

    def __init__(
        self,
        *,
        failures: int = 10,
        pause_s: float = 1.0,
        longest_pause_s: float = 4.0,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._failures = failures
        self._first_pause_s = self._pause_s = pause_s
        self._longest_pause_s = longest_pause_s
        self._now_s = now_s
        self._in_a_row = 0
        self._try_at_s = 0.0
        self._trying = False

    def admit(self) -> bool:
        """Whether the call that is made now is a trial. Raises BreakerOpenError where none may be made."""
        if self._in_a_row < self._failures:
            return False
        if self._trying or self._now_s() < self._try_at_s:
            raise BreakerOpenError
        self._trying = True
        return True

    def succeeded(self) -> None:
        """A call was answered: all is well."""
        self._in_a_row, self._trying, self._pause_s = 0, False, self._first_pause_s

    def failed(self, *, trial: bool) -> None:
        """A call was not answered; calls that were under way when it opened change nothing."""
        self._in_a_row += 1
        if trial:
            self._trying, self._pause_s = False, min(2 * self._pause_s, self._longest_pause_s)
        if trial or self._in_a_row == self._failures:
            self._try_at_s = self._now_s() + self._pause_s

    def abandoned(self, *, trial: bool) -> None:
        """The caller left before anything came: after a trial, the next one tries."""
        if trial:
            self._trying = False
