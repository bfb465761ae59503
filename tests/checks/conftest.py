"""The real sample, once a test process, for checks that are tried against it with the real instruments."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.checks.sample import Sample


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The bundled sample in a folder and on ports of its own."""
    running = Sample.start(tmp_path_factory.mktemp("sample"))
    yield running
    running.stop()
