"""Scrapes the declared metrics route, and parses Prometheus text or OpenMetrics, bounded."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from prometheus_client import parser as prometheus_text
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics

from app.instruments.failures import in_words
from app.instruments.http import HttpProbe
from checks.contract import InstrumentFailure, Reply, Request, Sample, Scrape, Target

KEPT_BYTES = 5 << 20
MAX_SERIES = 50_000
MAX_LABEL_NAMES = 200
MAX_LABEL_VALUES = 1_000
MAX_VALUE_CHARS = 200
MOST_COUNT = 2**53  # above it a float cannot count on; NaN and infinity are not below it either
TIMEOUT_S = 10.0
ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


class MetricsPage:
    """Reads ``[health] metrics`` with the target's health headers."""

    def __init__(self, target: Target, http: HttpProbe) -> None:
        self._target = target
        self._http = http

    async def scrape(self) -> Scrape:
        """Read and parse the page. Raises InstrumentFailure only where no metrics route is declared."""
        return scrape_of(await self._read())

    async def requests(self) -> float:
        """The service's own count of business requests: ``[health.requests]``, summed over its series.

        0 where the metric is announced and none of its series has the declared labels: a labelled counter
        has no series before its first increment. Raises InstrumentFailure where none is declared
        (``health.requests``) or it cannot be read.
        """
        declared = self._target.health.requests
        if declared is None:
            raise InstrumentFailure(
                "The service's count of requests is not declared. Add `[health.requests]` with its metric "
                "and labels to the target file.",
                missing="health.requests",
            )
        found = await self.total(declared.metric, declared.labels)
        if found is None:
            raise InstrumentFailure(
                f"The metrics page {self._target.absolute(self._target.health.metrics or '')} has no metric "
                f"{declared.metric}. Correct `[health.requests] metric` in the target file.",
                missing="health.requests",
            )
        return found

    async def total(self, metric: str, labels: Mapping[str, str] | None = None) -> float | None:
        """The sum over the series of ``metric`` with these labels, None where the page has no such metric.

        Raises InstrumentFailure where the page is not declared or cannot be read.
        """
        reply = await self._read()
        why = reply.failure.detail if reply.failure else f"status {reply.status}"
        if reply.failure is not None or reply.status != HTTPStatus.OK:
            raise InstrumentFailure(f"The metrics page {reply.url} cannot be read: {why}.")
        if reply.truncated:
            raise InstrumentFailure(
                f"The metrics page {reply.url} is larger than {len(reply.body) >> 20} MiB."
            )
        try:
            found = metric_sum(reply, metric, labels)
        except UnreadablePageError as error:
            raise InstrumentFailure(f"{reply.url} is {error}.") from error
        if found is not None and not abs(found) <= MOST_COUNT:
            raise InstrumentFailure(f"The metric {metric} of {reply.url} is {found:g}, which is no count.")
        return found

    async def _read(self) -> Reply:
        place = self._target.health.metrics
        if place is None:
            raise InstrumentFailure(
                "No metrics route is declared. Add `[health] metrics` to the target file.",
                missing="health.metrics",
            )
        request = Request("GET", place, {"Accept": ACCEPT, **self._target.health.headers})
        return await self._http.send(request, timeout_s=TIMEOUT_S)


def scrape_of(reply: Reply) -> Scrape:
    """What a reply says as a metrics page; ``parse_error`` says why it is none."""
    kind = reply.headers.get("content-type", "")
    page = _Page()
    if reply.failure is None:
        page.read(reply.text, kind)
        if reply.truncated:
            page.error = f"the page is larger than {len(reply.body) >> 20} MiB"
    return Scrape(
        url=reply.url,
        status=reply.status,
        content_type=kind,
        families=page.families,
        series=page.series,
        labels={name: tuple(sorted(values)) for name, values in page.labels.items()},
        parse_error=page.error,
        failure=reply.failure,
        samples=tuple(page.samples),
    )


def metric_sum(reply: Reply, metric: str, labels: Mapping[str, str] | None = None) -> float | None:
    """The sum over all series of ``metric`` (with or without its ``_total``) that have these ``labels``.

    None where the page does not know the metric, 0 where it only announces it, or has other series of it.
    Raises UnreadablePageError.
    """
    names = {metric, f"{metric}_total"}
    wanted = (labels or {}).items()
    known, total = False, 0.0
    for family in _families(reply.text, reply.headers.get("content-type", "")):
        known = known or (family.name in names or f"{family.name}_total" in names)
        for sample in family.samples:
            if sample.name in names:
                known = True
                total += sample.value if wanted <= sample.labels.items() else 0.0
    return total if known else None


def counters(reply: Reply) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Each series of a counter by its name and labels. Raises UnreadablePageError."""
    found = {}
    for family in _families(reply.text, reply.headers.get("content-type", "")):
        for sample in family.samples if family.type == "counter" else ():
            if not sample.name.endswith("_created"):
                found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


@dataclass
class _Page:
    families: dict[str, str] = field(default_factory=dict)
    labels: dict[str, set[str]] = field(default_factory=dict)
    series: int = 0
    error: str = ""
    samples: list[Sample] = field(default_factory=list)

    def read(self, text: str, content_type: str) -> None:
        try:
            for family in _families(text, content_type):
                self._add(family)
        except UnreadablePageError as error:
            self.error = str(error)
        if not self.series and not self.error:
            self.error = "the page holds no series"

    def _add(self, family: Metric) -> None:
        self.families[family.name[:MAX_VALUE_CHARS]] = family.type
        for sample in family.samples:
            self.series += 1
            labels = {
                name[:MAX_VALUE_CHARS]: value[:MAX_VALUE_CHARS] for name, value in sample.labels.items()
            }
            number = math.nan if sample.value is None else float(sample.value)  # a native histogram has none
            self.samples.append(Sample(sample.name[:MAX_VALUE_CHARS], labels, number))
            for name, value in sample.labels.items():
                if name not in self.labels and len(self.labels) == MAX_LABEL_NAMES:
                    continue
                values = self.labels.setdefault(name, set())
                if len(values) < MAX_LABEL_VALUES:
                    values.add(value[:MAX_VALUE_CHARS])


class UnreadablePageError(Exception):
    """A page that is no metrics page; the message says where it stops being one."""


def _families(text: str, content_type: str) -> Iterator[Metric]:
    """Parse, at most MAX_SERIES samples. Raises UnreadablePageError."""
    parser = openmetrics if "openmetrics" in content_type.lower() else prometheus_text
    try:
        yield from parser.text_fd_to_metric_families(_bounded(text))
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # what its parsers raise on garbage
        raise UnreadablePageError(f"not a metrics page: {in_words(error)}") from error


def _bounded(text: str) -> Iterable[str]:
    samples = 0
    for line in io.StringIO(text, newline="\n"):
        samples += bool(line.strip()) and not line.startswith("#")
        if samples > MAX_SERIES:
            raise ValueError(f"more than {MAX_SERIES:,} series")
        yield line
