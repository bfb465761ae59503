"""The tools that are compared: how each is started for a load, and how its figures are read."""

from __future__ import annotations

import json
import re
import shutil
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.processes import ROOT, BenchError, Ended, Program, last_json

HERE = Path(__file__).parent
LOCUST = ROOT / ".venv" / "bench" / "bin" / "locust"
BODY = '{"message":"What is your refund policy?"}'
GRACE_S = 60.0  # for starting, for the last answers and for writing samples


@dataclass(frozen=True, slots=True)
class Load:
    """What every tool is asked to do: so many users, as fast as the answers come or at a rate each."""

    url: str
    users: int
    duration_s: float
    warmup_s: float = 0.0
    per_user_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What a tool reports, and what it cost: processor time for one request, memory at its highest.

    ``once_s`` is processor time that comes on top once, after the load.
    """

    requests: int
    failed: int
    per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_us: float
    peak_bytes: int
    once_s: float = 0.0


class Tool(ABC):
    """``name`` is for the table; ``missing`` says why the tool cannot run here, or nothing."""

    name: str
    missing: str = ""

    @abstractmethod
    def start(self, load: Load, core: int) -> Program:
        """Start it on a core."""

    @abstractmethod
    def figures(self, ended: Ended) -> Figures:
        """Read what it printed. Raises BenchError."""

    def run(self, load: Load, core: int) -> Figures:
        """Start it and wait for its figures. Raises BenchError."""
        program = self.start(load, core)
        return self.figures(program.wait(load.warmup_s + load.duration_s + GRACE_S))


class Ours(Tool):
    """Greenlight's driver, closed model, writing its samples."""

    name = "Greenlight"

    def start(self, load: Load, core: int) -> Program:
        """Start ours.py."""
        self._folder = TemporaryDirectory(prefix="greenlight-bench-")
        given = {
            "url": load.url,
            "users": load.users,
            "duration_s": load.duration_s,
            "warmup_s": load.warmup_s,
            "samples": f"{self._folder.name}/bench.parquet",
        }
        return start_ours(given, core)

    def figures(self, ended: Ended) -> Figures:
        """Read the driver's summary."""
        self._folder.cleanup()
        document = last_json(ended.output)
        summary = document["summary"]
        if not summary["successful"]:
            raise BenchError(f"no request was answered: {summary['failure_examples']}")
        if document["samples"] != summary["total_requests"]:
            raise BenchError(f"{document['samples']} samples of {summary['total_requests']} requests")
        every_request = summary["total_requests"] + summary["warmup_requests"]
        return Figures(
            requests=summary["total_requests"],
            failed=summary["failed"],
            per_s=summary["requests_per_second"],
            p50_ms=summary["p50_ms"],
            p95_ms=summary["p95_ms"],
            p99_ms=summary["p99_ms"],
            cpu_us=document["cpu_s"] / max(every_request, 1) * 1e6,
            peak_bytes=document["peak_bytes"],
            once_s=document["summary_cpu_s"],
        )


class Wrk(Tool):
    """wrk, from Debian."""

    name = "wrk"

    def __init__(self) -> None:
        self.missing = _not_installed("wrk")

    def start(self, load: Load, core: int) -> Program:
        """Start it with one thread. It keeps no rate."""
        script = ["-s", str(HERE / "post.lua"), f"{load.url}/ask"]
        command = ["wrk", "-t1", f"-c{load.users}", f"-d{load.duration_s:.0f}s", "--timeout=30s", *script]
        return Program(command, core)

    def figures(self, ended: Ended) -> Figures:
        """Read the line that post.lua writes."""
        return _of(last_json(ended.output), ended.cpu_s, ended.peak_bytes)


class Hey(Tool):
    """hey, from Debian."""

    name = "hey"

    def __init__(self) -> None:
        self.missing = _not_installed("hey")

    def start(self, load: Load, core: int) -> Program:
        """Start it with one processor."""
        command = ["hey", "-z", f"{load.duration_s:.0f}s", "-c", str(load.users), "-t", "30", "-m", "POST"]
        if load.per_user_per_s:
            command += ["-q", f"{load.per_user_per_s:g}"]
        command += ["-T", "application/json", "-d", BODY, f"{load.url}/ask"]
        return Program(command, core, {"GOMAXPROCS": "1"})

    def figures(self, ended: Ended) -> Figures:
        """Read its report, which is text."""
        text = ended.output
        codes = {int(code): int(count) for code, count in re.findall(r"\[(\d{3})\]\s+(\d+) responses", text)}
        _, _, below = text.partition("Error distribution")
        errors = sum(int(count) for count in re.findall(r"^\s+\[(\d+)\]\s+\w+ ", below, re.MULTILINE))
        rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
        if rate is None or not codes:
            raise BenchError(f"hey's report cannot be read: {text[-2000:]}")
        given: dict[str, Any] = {
            "requests": sum(codes.values()) + errors,
            "failed": sum(codes.values()) - codes.get(200, 0) + errors,
            "per_s": float(rate[1]),
        }
        for percent in (50, 95, 99):
            found = re.search(rf"{percent}%%? in ([\d.]+) secs", text)
            if found is None:
                raise BenchError(f"hey's report has no {percent} %: {text[-2000:]}")
            given[f"p{percent}_ms"] = float(found[1]) * 1000
        return _of(given, ended.cpu_s, ended.peak_bytes)


class Locust(Tool):
    """Locust with FastHttpUser, from PyPI."""

    name = "Locust FastHttpUser"

    def __init__(self) -> None:
        self.missing = "" if LOCUST.is_file() else "Locust is not installed: make bench installs it"

    def start(self, load: Load, core: int) -> Program:
        """Start it; every user at once, and its figures are of the time after that."""
        command = [str(LOCUST), "-f", str(HERE / "locustfile.py"), "--headless", "--only-summary"]
        command += ["--reset-stats", "--loglevel", "WARNING", "--host", load.url, "-u", str(load.users)]
        command += ["-r", str(load.users), "-t", f"{load.warmup_s + load.duration_s:.0f}s"]
        return Program(command, core, {"BENCH_PER_USER_PER_S": f"{load.per_user_per_s:g}"})

    def figures(self, ended: Ended) -> Figures:
        """Read the line that locustfile.py writes."""
        given = last_json(ended.output)
        return _of(given, given["cpu_s"], ended.peak_bytes)


def start_ours(given: dict[str, Any], core: int) -> Program:
    """Start ours.py with its argument, and with what the command line sets for itself (app/__main__.py)."""
    as_users_have_it = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    return Program([sys.executable, "-m", "tests.bench.ours", json.dumps(given)], core, as_users_have_it)


def _not_installed(program: str) -> str:
    return "" if shutil.which(program) else f"{program} is not installed: apt-get install {program}"


def _of(given: dict[str, Any], cpu_s: float, peak_bytes: int) -> Figures:
    return Figures(
        requests=given["requests"],
        failed=given["failed"],
        per_s=given["per_s"],
        p50_ms=given["p50_ms"],
        p95_ms=given["p95_ms"],
        p99_ms=given["p99_ms"],
        cpu_us=cpu_s / max(given["requests"], 1) * 1e6,
        peak_bytes=peak_bytes,
    )
