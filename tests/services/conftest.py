"""The second service, once a test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.running import Service, start


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of another style than the sample, running."""
    service = start(tmp_path_factory.mktemp("answers"))
    yield service
    service.stop()
