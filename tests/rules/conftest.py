"""Three worlds, started at once: they settle while the others do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.instruments.prometheus_servers import PROMETHEUS, needs_prometheus
from tests.rules.exporters import STATES
from tests.rules.world import World, world


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, World]]:
    """A settled Prometheus for each state, for as long as a file takes: they cost half a core."""
    if PROMETHEUS is None:
        pytest.skip(needs_prometheus.kwargs["reason"])
    with ExitStack() as running:
        started = {
            state: running.enter_context(world(state, tmp_path_factory.mktemp(state))) for state in STATES
        }
        for each in started.values():
            each.settle()
        yield started
