"""A trip that is booked in three requests is assessed through its target file, whole and broken."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from checks import all_checks
from checks.contract import Finding
from tests.instruments.servers import free_port
from tests.services.running import HERE, Service, start
from tests.services.test_styles import measured

CHECKS = ("compensation", "compensation_failure", "idempotency")
# Of each way in which it is broken: what the three checks say.
VARIANTS = {
    "": ("pass", "pass", "pass"),
    "no_undo": ("fail", "fail", "pass"),
    "keeps_seat": ("fail", "fail", "pass"),
    "undo_once": ("pass", "fail", "pass"),
    "undo_shown": ("pass", "warn", "pass"),
    "undo_at_restart": ("pass", "warn", "pass"),  # which undoes what attempts before the kill had left, too
    "undo_in_memory": ("pass", "fail", "pass"),
    "charges_twice": ("pass", "pass", "fail"),
    "charges_twice_at_once": ("pass", "pass", "fail"),
}
SAYS = {
    ("", "idempotency"): "and one reply",
    ("", "compensation_failure"): "one of them over a kill",
    ("keeps_seat", "compensation"): "left in rail.holds",
    ("undo_once", "compensation_failure"): "its undo failed at first",
    ("undo_shown", "compensation_failure"): "it shows at /status",
    ("undo_at_restart", "compensation_failure"): "it shows at /status",
    ("undo_in_memory", "compensation_failure"): "killed while its undo was pending",
    ("charges_twice", "idempotency"): "in turn under one key",
    ("charges_twice_at_once", "idempotency"): "one after the other it had one",
}


@pytest.fixture(scope="module")
def booking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Service]]:
    """``booking(variant)`` starts it with partners of its own; all end with the module."""
    started: dict[str, Service] = {}
    with ExitStack() as stack:

        def running(variant: str) -> Service:
            if variant not in started:
                folder = tmp_path_factory.mktemp("booking")
                partners = free_port()
                process = subprocess.Popen([sys.executable, str(HERE / "booking_partners.py"), str(partners)])
                stack.callback(process.wait, 10)
                stack.callback(process.terminate)
                _listening(partners)
                url = f"http://127.0.0.1:{partners}"
                environment = {
                    "BOOKING_PARTNERS": url,
                    "BOOKING_FOLDER": str(folder),
                    "BOOKING_BROKEN": variant,
                }
                places = {
                    "partners": url,
                    "python": sys.executable,
                    "service": str(HERE / "booking.py"),
                    "broken": variant,
                    "home": str(folder),
                }
                started[variant] = start(folder, "booking", environment, **places)
                stack.callback(_end_all, started[variant])
            return started[variant]

        yield running


def _listening(port: int) -> None:
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


def _end_all(service: Service) -> None:
    """End the service, also one that was started again after a kill."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(HERE / "booking.py") in words and str(service.target.port) in words:
            process.terminate()
            process.wait(10)
    service.process.poll()


CASES = [
    (variant, check)
    for variant, expected in VARIANTS.items()
    for check, outcome in zip(CHECKS, expected, strict=True)
    if outcome != "pass" or check != "compensation_failure" or not variant  # which takes longest
]


@pytest.mark.matrix  # mostly waiting
@pytest.mark.parametrize(("variant", "check"), CASES)
def test_each_way_of_being_broken_is_found_by_its_checks_alone(
    booking: Callable[[str], Service], variant: str, check: str, tmp_path: Path
) -> None:
    service = booking(variant)
    found = measured(service, all_checks()[f"error_recovery.{check}"], tmp_path)
    assert isinstance(found, Finding), found
    assert str(found.outcome) == VARIANTS[variant][CHECKS.index(check)], found.reason
    assert SAYS.get((variant, check), "") in found.reason
