"""How far the reported first token and gap between tokens are from when the server really sent them."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.processes import ROOT, BenchError, Cores, last_json, run
from tests.bench.rows import Goal, Row, below, row
from tests.bench.servers import Server, scripted
from tests.bench.sizes import Sizes
from tests.bench.tools import GRACE_S, start_ours

PEER = "aiperf"
AIPERF = ROOT / ".venv" / "bench-llm" / "bin" / "aiperf"
TOKENIZER = (
    ".venv/bench-llm/tokenizer"  # relative: aiperf takes an absolute path for the name of a repository
)
FIRST_MS, GAP_MS, TOKENS = 200.0, 20.0, 20
FEWEST_STREAMS, STREAMS_PER_USER = 20, 5
PEER_TIMEOUT_S = 180.0
GOALS: dict[int, Goal] = {200: below(5, "ms")}


def measure(sizes: Sizes, cores: Cores) -> list[Row]:
    """Rows for each number of streams at once."""
    rows: list[Row] = []
    for users in sizes.streams:
        with scripted(cores.server, delay_ms=FIRST_MS, tokens=TOKENS, gap_ms=GAP_MS) as server:
            reported = _ours(server, users, sizes.streams_s, cores)
        ours = _errors(reported, server)
        peer, note = _peer(users, cores) if sizes.stream_peer else ({}, f"{PEER} is left out of a quick run")
        plural = "streams" if users > 1 else "stream"
        for what, key in (
            ("first token, error of p50", "first_p50"),
            ("gap between tokens, error of p50", "gap_p50"),
            ("gap between tokens, error of p99", "gap_p99"),
        ):
            goal = GOALS.get(users) if key == "first_p50" else None
            name = f"{what}, {users} {plural}"
            rows.append(row(name, ours[key], "ms", peer=peer.get(key), peer_name=PEER, goal=goal, note=note))
    return rows


def _ours(server: Server, users: int, duration_s: float, cores: Cores) -> dict[str, float]:
    with TemporaryDirectory(prefix="greenlight-bench-") as folder:
        given = {"url": server.url, "route": "stream", "users": users, "duration_s": duration_s}
        program = start_ours({**given, "samples": f"{folder}/bench.parquet"}, cores.client)
        summary = last_json(program.wait(duration_s + GRACE_S).output)["summary"]
    if summary["failed"]:
        raise BenchError(f"{summary['failed']} streams failed: {summary['failure_examples']}")
    streaming = summary["streaming"]
    return {
        "first_p50": streaming["first_token_p50_ms"],
        "gap_p50": streaming["gap_p50_ms"],
        "gap_p99": streaming["gap_p99_ms"],
    }


def _peer(users: int, cores: Cores) -> tuple[dict[str, float], str]:
    """aiperf's errors, or none and why."""
    if not AIPERF.is_file():
        return {}, f"{PEER} is not installed: make bench installs it"
    with TemporaryDirectory(prefix="greenlight-bench-") as folder:
        with scripted(cores.server, delay_ms=FIRST_MS, tokens=TOKENS, gap_ms=GAP_MS) as server:
            try:
                run(_aiperf(server.url, users, folder), cores.client, PEER_TIMEOUT_S)
            except BenchError as error:
                return {}, f"{PEER} failed: {str(error)[-200:]}"
        document = json.loads(Path(folder, "profile_export_aiperf.json").read_text(encoding="utf-8"))
    first, gaps = document["time_to_first_token"], document["inter_chunk_latency"]
    return _errors({"first_p50": first["p50"], "gap_p50": gaps["p50"], "gap_p99": gaps["p99"]}, server), ""


def _aiperf(url: str, users: int, folder: str) -> list[str]:
    streams = max(FEWEST_STREAMS, users * STREAMS_PER_USER)
    return [
        *(str(AIPERF), "profile", "-m", "scripted", "--url", url, "--endpoint-type", "chat", "--streaming"),
        *("--concurrency", str(users), "--request-count", str(streams), "--artifact-dir", folder),
        *("--tokenizer", f"./{TOKENIZER}", "--use-server-token-count", "--synthetic-input-tokens-mean", "20"),
        *("--ui", "none", "--no-gpu-telemetry", "--no-server-metrics"),
    ]


def _errors(reported: dict[str, float], server: Server) -> dict[str, float]:
    truth: dict[str, Any] = server.truth
    return {key: abs(value - truth[f"{key}_ms"]) for key, value in reported.items()}
