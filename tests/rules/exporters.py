"""Serves the metrics pages of ``pages/`` in one state: ``python -m tests.rules.exporters STATE PORT``.

A page is Prometheus text with three columns of values, for ``quiet`` (just started, not one error),
``busy`` and ``failing`` (as busy until ``ONSET_S``, then an incident); one column means all three alike.
``# TARGET job=... instance=...`` lines say who serves the page, with ``down=failing`` or ``down=always``,
and ``2:`` before a series keeps it for the second of them; ``interval=5s`` and ``honor_labels=true`` are
for their job. ``# OPENMETRICS`` serves that format; with ``# GOLANG`` nothing is described that has no
series, as client_golang does. ``x300 name{shard="#"}`` is 300 series, ``#`` their numbers. A value is

``-``           no series (TYPE and HELP stand without any, as a labelled counter's do at first)
``12``, ``NaN``    itself
``5/s``, ``9-2/s`` growing or falling, from 0 or 9; in an incident, from what it was when that began
``1~0``         now one, now the other
``now-60``, ``start-60``  a time
``5/s@0.3``     a histogram (under ``# BUCKETS``): so many a second, spread evenly between 0 and 0.3

The state ``storm`` is for proofs: whatever differs between the states takes extreme values at random.
"""

from __future__ import annotations

import re
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

STATES = ("quiet", "busy", "failing")
ONSET_S = 4.0
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PAGES = Path(__file__).parent / "pages"
SERIES = re.compile(
    r"(?:x(?P<times>\d+) )?(?:(?P<only>\d): ?)?"
    r"(?P<name>[a-zA-Z_:]\w*)(?P<labels>\{.*\})?(?P<values>(?:\s+\S+)+)$"
)
NUMBER = re.compile(r"-?[\d.]+(e\d+)?")
GROWS = re.compile(r"(?P<base>|(?:[\d.e]|start|now).*?)(?P<rate>[+-]?[\d.]+(?:e\d+)?)/s(?=@|$)")


@dataclass(frozen=True)
class Served:
    """One target: the labels of its scrape, and when it is down."""

    labels: dict[str, str]
    down: str = ""
    interval: str = ""
    honor_labels: bool = False


@dataclass(frozen=True)
class Series:
    """One series of a page; ``only`` is the target that has it (0: all)."""

    only: int
    name: str
    labels: str
    values: tuple[str, str, str]
    buckets: tuple[str, ...]
    kind: str

    @property
    def varies(self) -> bool:
        """Whether it differs between the states."""
        return len(set(self.values)) > 1


@dataclass
class Page:
    """A page file: its targets, and its lines as text or as a series with three values."""

    name: str
    targets: list[Served] = field(default_factory=list)
    lines: list[str | Series] = field(default_factory=list)
    openmetrics: bool = False
    golang: bool = False


def pages() -> dict[str, Page]:
    """All page files."""
    return {file.stem: _read(file) for file in sorted(PAGES.glob("*.page"))}


def _read(file: Path) -> Page:
    page = Page(file.stem)
    buckets: tuple[str, ...] = ()
    kind = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if line.startswith("# TARGET"):
            labels = dict(word.split("=", 1) for word in words[2:])
            honors = labels.pop("honor_labels", "") == "true"
            page.targets.append(Served(labels, labels.pop("down", ""), labels.pop("interval", ""), honors))
        elif line.startswith("# OPENMETRICS"):
            page.openmetrics = True
        elif line.startswith("# GOLANG"):
            page.golang = True
        elif line.startswith("# TYPE"):
            buckets, kind = (), words[3]
            page.lines += [f"# HELP {words[2]} {words[2].replace('_', ' ').capitalize()}.", line]
        elif line.startswith("# BUCKETS"):
            buckets = (*words[2:], "+Inf")
        elif line and not line.startswith("#"):
            found = SERIES.match(line)
            assert found, f"{file}: {line!r}"
            values = found["values"].split()
            assert len(values) in {1, 3}, f"{file}: {line!r}"
            quiet, busy, failing = values * 3 if len(values) == 1 else values
            only = int(found["only"] or 0)
            for number in range(int(found["times"] or 1)):
                labels = (
                    (found["labels"] or "").replace("#", str(number)) if found["times"] else found["labels"]
                )
                page.lines.append(
                    Series(only, found["name"], labels or "", (quiet, busy, failing), buckets, kind)
                )
    return page


class Exporters:
    """The pages in one state, by the clock."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.pages = pages()
        self.started = 0.0
        self.scrapes: dict[str, int] = {}

    def page(self, name: str, number: int) -> str | None:
        """The text for one target now; None while it is down. The state begins with the first scrape."""
        self.started = self.started or time.time()
        page = self.pages[name]
        target = page.targets[number - 1]
        age = time.time() - self.started
        if target.down == "always" or (target.down == "failing" and self._is_down(age)):
            return None
        key = f"{name}/{number}"
        self.scrapes[key] = self.scrapes.get(key, 0) + 1
        lines: list[str] = []
        for line in page.lines:
            if isinstance(line, str):
                while page.golang and line.startswith("# HELP") and lines and lines[-1].startswith("#"):
                    lines.pop()  # what was described has no series
                lines.append(line)
            elif line.only in {0, number}:
                lines += self._series(line, age, self.scrapes[key])
        return "\n".join([*lines, "# EOF"] if page.openmetrics else lines) + "\n"

    def _is_down(self, age: float) -> bool:
        return self.state == "failing" and age >= ONSET_S

    def _phases(self, line: Series, age: float) -> list[tuple[str, float]]:
        """What says the value now, and for how long; what an incident adds to comes before it."""
        quiet, busy, failing = line.values
        if self.state != "failing":
            return [(quiet if self.state == "quiet" else busy, age)]
        if age < ONSET_S:
            return [(busy, age)]
        goes_on = None if NUMBER.fullmatch(failing) else GROWS.match(failing)
        before = [(busy, ONSET_S)] if goes_on and not goes_on["base"] and GROWS.match(busy) else []
        return [*before, (failing, age - ONSET_S)]

    def _series(self, line: Series, age: float, scrapes: int) -> list[str]:
        phases = self._phases(line, age)
        text = phases[-1][0]
        if text == "-":
            return []
        if NUMBER.fullmatch(text) and not line.buckets:  # most are, and there are thousands
            return [f"{line.name}{line.labels} {text}"]
        if not line.buckets:
            value = sum(self._value(text, seconds, scrapes) for text, seconds in phases)
            return [f"{line.name}{line.labels} {value!r}"]
        counts = [0] * len(line.buckets)
        total = 0.0
        for text, seconds in phases:
            rate, _, longest = text.partition("@")
            count = int(self._value(rate, seconds, scrapes))
            shares = [min(1.0, float(le) / float(longest)) for le in line.buckets]
            counts = [had + int(count * share) for had, share in zip(counts, shares, strict=True)]
            total += count * float(longest) / 2
        return _histogram(line, counts, total)

    def _value(self, text: str, seconds: float, scrapes: int) -> float:
        if "~" in text:
            return self._value(text.split("~")[scrapes % 2], seconds, scrapes)
        grows = GROWS.match(text)
        if grows:
            return self._value(grows["base"] or "0", seconds, scrapes) + float(grows["rate"]) * seconds
        for word, at in (("now", time.time()), ("start", self.started)):
            if text.startswith(word):
                return at + float(text.removeprefix(word) or 0)
        return float(text)


class Storm(Exporters):
    """What differs between the states takes extreme values at random; counters grow, jump and start anew."""

    def __init__(self) -> None:
        super().__init__("failing")
        self.random = Random(6)
        self.counted: dict[tuple[Series, str], float] = defaultdict(float)

    def _is_down(self, age: float) -> bool:
        return self.random.random() < 0.3

    def _series(self, line: Series, age: float, scrapes: int) -> list[str]:
        if not line.varies:
            return super()._series(line, age, scrapes)
        if line.buckets:
            steps = [self._counted(line, le) for le in line.buckets]
            return _histogram(line, [int(sum(steps[: at + 1])) for at in range(len(steps))], sum(steps))
        if line.kind in {"counter", "summary"} or "/s" in line.values[1]:
            return [f"{line.name}{line.labels} {self._counted(line, '')!r}"]
        usual = [self._value(text, age, scrapes) for text in line.values if text != "-"]
        bounded = line.name == "up" or line.name.endswith("_info")  # by what they mean
        value = self.random.choice(usual if bounded else [*usual, 0.0, 0.5, 1.0, 2.0, 10 * max(usual)])
        return [f"{line.name}{line.labels} {value!r}"]

    def _counted(self, line: Series, bucket: str) -> float:
        key = (line, bucket)
        if not bucket and self.random.random() < 0.05:
            self.counted[key] = 0.0
        self.counted[key] += self.random.choice([0, 0, 1, 1_000, 100_000])
        return self.counted[key]


def _histogram(line: Series, counts: list[int], total: float) -> list[str]:
    inner = line.labels[1:-1] + "," if line.labels else ""
    lines = [
        f'{line.name}_bucket{{{inner}le="{le}"}} {count}'
        for le, count in zip(line.buckets, counts, strict=True)
    ]
    return [
        *lines,
        f"{line.name}_sum{line.labels} {total!r}",
        f"{line.name}_count{line.labels} {counts[-1]}",
    ]


def serve(state: str, port: int) -> None:
    """Serve ``/PAGE/NUMBER`` for ever."""
    exporters = Storm() if state == "storm" else Exporters(state)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _, name, number = self.path.split("/")
            text = exporters.page(name, int(number))
            body = (text or "down\n").encode()
            self.send_response(503 if text is None else 200)
            self.send_header("Content-Type", OPENMETRICS if exporters.pages[name].openmetrics else TEXT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # a scrape ends at its time-out, and with its server
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
