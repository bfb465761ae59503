"""What tests of every part share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from app.sample import processes, stack

settings.register_profile("shared host", deadline=None)  # how fast a busy host is proves nothing
settings.load_profile("shared host")


@pytest.fixture(scope="session")
def sample_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., stack.State]]:
    """``start(*defects, **options)`` starts a sample of its own, on free ports; all end with the session.

    ``state.target_file`` is its target file, ``stack.environment(state)`` what that refers to.
    """
    started: list[stack.State] = []

    def start(*defects: str, **options: object) -> stack.State:
        folder = tmp_path_factory.mktemp("sample")
        [port] = processes.free_ports(1)
        given = {"chat_port": port, "folder": folder, "target_file": folder / "sample.toml"} | options
        started.append(stack.up(defects, **given))
        return started[-1]

    yield start
    for state in started:
        stack.down(state.folder)
