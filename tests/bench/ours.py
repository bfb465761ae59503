"""Runs Greenlight's load driver once, in this process, and prints its figures as one line of JSON.

The argument is a JSON object: ``url``, ``route``, ``users``, ``duration_s``, ``warmup_s``, ``rate_per_s`` (0:
closed model), ``samples`` (the file for them), ``tell_due`` (also print when each request was due).
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from dataclasses import asdict
from pathlib import Path
from random import Random
from time import process_time
from typing import Any

import pyarrow.parquet as pq  # before the load, as in a run
import uvloop

from app.instruments.load.driver import LoadDriver
from app.instruments.load.figures.summary import summarize
from checks.contract import LoadPlan, Target
from checks.contract.load import Stage

QUESTION = "What is your refund policy?"
ASK = {"path": "/ask", "body": {"message": "{prompt}"}}
STREAM = {
    "path": "/v1/chat/completions",
    "body": {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "{prompt}"}]},
    "token": "choices.0.delta.content",
    "end_data": "[DONE]",
}


class Questions:
    """The one question that every tool asks."""

    def fresh(self, count: int) -> list[str]:
        """Not asked for by these plans; the contract wants it."""
        return [QUESTION] * count

    def repeats(self, distinct: int) -> list[str]:
        """The question, as often as asked for."""
        return [QUESTION] * distinct


def plan_of(given: dict[str, Any]) -> LoadPlan:
    """The plan that the argument describes."""
    rate_per_s = given.get("rate_per_s", 0)
    duration_s = given["duration_s"]
    return LoadPlan(
        scenario="bench",
        users=given["users"],
        duration_s=duration_s,
        prompts=(QUESTION,),
        route=given.get("route", "ask"),
        warmup_s=given.get("warmup_s", 0.0),
        think_time_ms=0.0,
        timeout_s=30.0,
        stages=(Stage(duration_s, rate_per_s, rate_per_s),) if rate_per_s else (),
    )


async def measure(given: dict[str, Any]) -> dict[str, Any]:
    """Run it as ``LoadDriver.run`` does; its figures, and what the load and then the summary cost."""
    driver = LoadDriver(
        Target.model_validate({"url": given["url"], "ask": ASK, "stream": STREAM}),
        resolve=str,
        random=Random(7),
        prompts=Questions(),
        on_second=lambda second: None,
        max_users=given["users"],
    )
    gc.collect()
    started_s = process_time()
    recorded = await driver.record(plan_of(given), Path(given["samples"]))
    recorded_s = process_time()
    summary = await asyncio.to_thread(summarize, recorded)
    document = {
        "cpu_s": recorded_s - started_s,
        "summary_cpu_s": process_time() - recorded_s,
        "peak_bytes": peak_bytes(),
        "summary": asdict(summary),
    }
    document["samples"] = pq.read_metadata(given["samples"]).num_rows
    if given.get("tell_due"):
        document["due_unix_s"] = pq.read_table(given["samples"])["start_unix_s"].to_pylist()
    return document


def peak_bytes() -> int:
    """The most memory that this program had (VmHWM; ``getrusage`` would count its parent's too)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    """Measure and print."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        document = runner.run(measure(json.loads(sys.argv[1])))
    sys.stdout.write(f"{json.dumps(document, default=str)}\n")


if __name__ == "__main__":
    main()
