"""How often the comparison of two runs is right: where nothing changed, and where all became a tenth slower.

On simulated services at the size of a quick run (tests/statistics/services.py); ``make prove`` has them all.
"""

from __future__ import annotations

from app.statistics.comparing import NOT_SHOWN, compare_loads
from tests.bench.rows import Goal, Row, row
from tests.bench.sizes import Sizes
from tests.statistics.services import SERVICES, Service, run

SLOWER = 1.1
AGREE = Goal("at least 95 in 100", lambda percent: percent >= 95)
SHOWN = Goal("at least 80 in 100", lambda percent: percent >= 80)


def measure(sizes: Sizes) -> list[Row]:
    """Two rows for a service with a cache and for one without."""
    cached = next(service for service in SERVICES if "cached, wandering" in service.name)
    return [line for service in (SERVICES[0], cached) for line in _of(service, sizes.pairs)]


def _of(service: Service, pairs: int) -> list[Row]:
    alike = shown = 0
    for pair in range(pairs):
        before = run(service, 3 * pair)
        alike += compare_loads(before, run(service, 3 * pair + 1)).verdict == NOT_SHOWN
        slower = run(service, 3 * pair + 2, slower=SLOWER)
        shown += compare_loads(before, slower).verdict == "slower"
    note = f"{pairs} pairs of simulated quick runs"
    return [
        row(f"two runs agree, {service.name}", 100 * alike / pairs, "%", goal=AGREE, note=note),
        row(f"10 % slower is shown, {service.name}", 100 * shown / pairs, "%", goal=SHOWN, note=note),
    ]
