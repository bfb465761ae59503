"""What a run process writes while it goes, and how it hears that it shall stop."""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, Self

from app.history.store import Store
from app.records import LoadResult, RunEvent, RunState, ScoredFinding

CANCEL_POLL_S = 0.5
Listener = Callable[[RunEvent], None]


class Recorder:
    """Keeps a run's events, findings and load results, in a thread of its own.

    Hooks are called from check threads, one of them amid load, which a write to disk must not hold up.
    """

    def __init__(self, store: Store, run_id: int, listener: Listener | None = None) -> None:
        self._store, self._run_id, self._listener = store, run_id, listener
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._seq = 0
        self._lock = threading.Lock()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._work.put(None)
        self._thread.join()
        if self._failed:
            raise self._failed

    def _write(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised where the run ends
                self._failed = self._failed or error

    def event(
        self,
        kind: Literal["run", "check", "say", "lever", "load"],
        text: str,
        check: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        """Keep something that happened."""
        with self._lock:
            self._seq += 1
            event = RunEvent(
                seq=self._seq, at=datetime.now(UTC), kind=kind, check=check, text=text, data=data or {}
            )
            self._work.put(lambda: self._store.add_event(self._run_id, event))
        if self._listener:
            self._listener(event)

    def finding(self, finding: ScoredFinding) -> None:
        """Keep a finding."""
        self._work.put(lambda: self._store.add_finding(self._run_id, finding))

    def load_result(self, result: LoadResult) -> None:
        """Keep a scenario's figures."""
        self._work.put(lambda: self._store.add_load_result(self._run_id, result))


class StopSignal:
    """Whether the run shall stop: SIGTERM, SIGINT, or the flag in the history."""

    def __init__(self, store: Store, run_id: int) -> None:
        self._store, self._run_id = store, run_id
        self._next_look = 0.0
        self.signalled: int | None = None
        self._asked = False

    def listen(self) -> None:
        """Take over SIGTERM and SIGINT; a second one ends the process as usual."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._heard)

    def _heard(self, number: int, _frame: object) -> None:
        self.signalled = number
        signal.signal(number, signal.SIG_DFL)

    def __call__(self) -> bool:
        """Whether to stop; looks into the history at most twice a second."""
        if self.signalled is None and not self._asked and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + CANCEL_POLL_S
            self._asked = self._store.cancel_asked(self._run_id)
        return self._asked or self.signalled is not None

    @property
    def state(self) -> RunState:
        """CANCELLED where somebody asked for it, INTERRUPTED where the process was told to go."""
        asked = self._store.cancel_asked(self._run_id) or self.signalled == signal.SIGINT
        return RunState.CANCELLED if asked else RunState.INTERRUPTED
