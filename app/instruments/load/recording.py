"""The samples of one scenario on their way to disk: the last second in memory, the rest in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter, time

from app.instruments.load.samples import Samples, Taken
from app.samples.writing import SampleWriter


class Recording:
    """Takes samples through ``samples`` and appends them to the sample file ``path`` at each ``flush``.

    ``measured_from`` is the ``perf_counter`` moment from which ``start_s`` counts. Raises OSError.
    """

    def __init__(
        self, path: Path, about: Mapping[str, str], *, measured_from: float, worker: int = 0
    ) -> None:
        self.samples = Samples()
        self.path = path
        self.started_unix_s = time() + measured_from - perf_counter()
        self._worker = worker
        clocks = {"started_unix_s": repr(self.started_unix_s), "started_monotonic_s": repr(measured_from)}
        self._writer = SampleWriter(path, {**about, **clocks})
        # The first batch takes 30 ms, the others 3: it is an empty one, before the load begins.
        self._writer.append(self.samples.take().batch(self.started_unix_s, worker))

    def flush(self) -> Taken:
        """Write what came since the last call, and return it."""
        taken = self.samples.take()
        if len(taken.rows):
            self._writer.append(taken.batch(self.started_unix_s, self._worker))
        return taken

    def close(self) -> None:
        """Stop; the file stays a part, which says that its scenario did not end."""
        self.flush()
        self._writer.close()

    def finish(self, about: Mapping[str, str]) -> None:
        """Turn the part into the Parquet file, with more to say ``about`` it."""
        self.flush()
        self._writer.finish(about)
