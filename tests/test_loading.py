"""One load, whichever way it is carried out."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from app.loading import Asked, Interrupt, LoadRefusedError, measure
from tests.instruments.load.loads import a_plan, a_target


def test_a_cluster_without_dask_is_one_message_with_the_line_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "app.instruments.load.sharded.cluster", raising=False)
    asked = Asked(a_target("http://127.0.0.1:9"), a_plan(), tmp_path / "s.parquet", None, "tcp://127.0.0.1:1")
    with pytest.raises(
        LoadRefusedError, match=r"Dask is not installed .*/pip install -r requirements-scale.txt"
    ):
        measure(asked, lambda _second: None, lambda: False)


def test_the_first_signal_asks_to_stop_and_the_second_ends_the_process() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    interrupt = Interrupt()
    try:
        interrupt.listen()
        assert not interrupt()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
