"""A sample a test process; each test gets it healthy, or with the defects that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from app.sample import stack
from tests.sample.client import Client


@pytest.fixture(scope="session")
def _shared(sample_stack: Callable[..., stack.State]) -> Iterator[Client]:
    client = Client(sample_stack())
    yield client
    client.close()


@pytest.fixture
def with_defects(_shared: Client) -> Iterator[Callable[..., Client]]:
    """``with_defects(*names)`` is the sample with exactly these defects."""

    def arrange(*names: str) -> Client:
        if set(_shared.state.defects) != set(names):
            _shared.state = stack.set_defects(names, _shared.state.folder)
        return _shared

    yield arrange
    _shared.faults.post("/reset").raise_for_status()


@pytest.fixture
def sample(with_defects: Callable[..., Client]) -> Client:
    """The healthy sample."""
    return with_defects()
