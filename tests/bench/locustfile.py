"""What Locust does in the benchmark: the same POST as the other tools, and its own figures as one line.

Run by the interpreter of .venv/bench. The figures are of the time after every user had started.
"""

from __future__ import annotations

import json
import os
import sys
import time

from locust import FastHttpUser, constant_throughput, events, task

BODY = '{"message":"What is your refund policy?"}'
PER_USER_PER_S = float(os.environ.get("BENCH_PER_USER_PER_S", "0"))
begun = {"cpu_s": 0.0}


class Asking(FastHttpUser):
    """Asks as fast as the answers come, or at a constant throughput."""

    if PER_USER_PER_S:
        wait_time = constant_throughput(PER_USER_PER_S)

    @task
    def ask(self) -> None:
        self.client.post("/ask", data=BODY, headers={"Content-Type": "application/json"})


@events.spawning_complete.add_listener
def begin(**_: object) -> None:
    begun.update(cpu_s=time.process_time())


@events.quitting.add_listener
def tell(environment: object, **_: object) -> None:
    total = environment.stats.total
    figures = {
        "requests": total.num_requests,
        "failed": total.num_failures,
        "per_s": total.total_rps,
        "cpu_s": time.process_time() - begun["cpu_s"],
    }
    for percent in (50, 95, 99):
        figures[f"p{percent}_ms"] = total.get_response_time_percentile(percent / 100)
    sys.stdout.write(f"\n{json.dumps(figures)}\n")
    sys.stdout.flush()
