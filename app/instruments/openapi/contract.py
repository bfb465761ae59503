"""Has Schemathesis make requests by a document and compare replies with it, in a process that can be ended.

See ``worker.py`` for what runs there. Nothing is sent from it: requests go through our own wire, with its
allow-list, its secrets and its bounds. The worker gets an excerpt of the document, and an environment without
secrets in which every proxy leads nowhere.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app import paths
from app.instruments.openapi.excerpt import excerpt
from checks.contract import Deviation, Example, Examples, InstrumentFailure, Operation, Reply, Request, Wish

WORKER = Path(__file__).with_name("worker.py")
WITHIN_S = 20.0  # a usual document takes 1 to 2 s, most of it for loading the library
MAX_BODY_BYTES = 256 << 10
MAX_ALL_BYTES = 16 << 20
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there

Group = tuple[Mapping[str, Any], str, list[int]]  # a document, its base path, positions of its operations


async def examples(groups: Sequence[Group], wishes: Sequence[Wish], seed: int) -> Examples:
    """Requests for ``wishes``, whatever could be made in time. Raises InstrumentFailure."""
    made: list[Example] = []
    problems: list[str] = []
    failed: dict[str, str] = {}
    for document, base, positions in groups:
        plan = [_wished(position, wishes[position], base) for position in positions]
        asked = {"document": _excerpt(document, plan), "plan": plan, "seed": seed}
        for line in await _work(asked):
            if "operation" not in line:
                problems.append(line["problem"])
                continue
            operation = wishes[line["operation"]].operation
            if "problem" in line and line["mode"] == "positive":
                failed[operation.label] = line["problem"]
            valid = line["mode"] == "positive"
            made += [Example(operation, _request(operation, each, base), valid) for each in line["requests"]]
    return Examples(tuple(made), problems[0] if problems else "", failed)


async def deviations(
    groups: Sequence[Group], replies: Sequence[tuple[Operation, Reply]]
) -> list[tuple[Deviation, ...] | None]:
    """What is not as declared in each reply; None for one that could not be compared."""
    found: list[tuple[Deviation, ...] | None] = [None] * len(replies)
    left_bytes = MAX_ALL_BYTES
    for document, base, positions in groups:
        told = []
        for position in positions:
            operation, reply = replies[position]
            told.append(_told(operation, reply, base, min(MAX_BODY_BYTES, left_bytes)))
            left_bytes -= len(told[-1]["body"])
        lines = await _work({"document": _excerpt(document, told), "replies": told})
        for position, line in zip(positions, lines, strict=False):  # fewer, where it took too long
            if "problem" not in line:
                found[position] = tuple(
                    Deviation(each["what"], each["detail"]) for each in line["deviations"]
                )
    return found


def _excerpt(document: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return excerpt(document, dict.fromkeys((entry["path"], entry["method"].lower()) for entry in entries))


def _wished(position: int, wish: Wish, base: str) -> dict[str, Any]:
    operation = wish.operation
    return {
        "operation": position,
        "path": operation.template.removeprefix(base),
        "method": operation.method,
        "positive": wish.valid,
        "negative": wish.invalid,
    }


def _request(operation: Operation, made: Mapping[str, Any], base: str) -> Request:
    return Request(
        operation.method, base + made["url"], dict(made["headers"]), base64.b64decode(made["body"])
    )


def _told(operation: Operation, reply: Reply, base: str, room: int) -> dict[str, Any]:
    """A reply for the worker; its body where it is whole, and no stream: a stream has checks of its own."""
    kind = reply.headers.get("content-type", "").lower()
    whole = reply.failure is None and not reply.truncated and len(reply.body) <= room
    whole = whole and not kind.startswith("text/event-stream")
    return {
        "path": operation.template.removeprefix(base),
        "method": operation.method,
        "status": reply.status,
        "headers": dict(reply.headers),
        "body": base64.b64encode(reply.body).decode() if whole else "",
        "whole": whole,
    }


async def _work(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines that the worker printed until it was done or its time was over."""
    worker = _started()
    talk = asyncio.create_task(asyncio.to_thread(worker.communicate, json.dumps(asked).encode()))
    try:
        await asyncio.wait({talk}, timeout=WITHIN_S)
    finally:
        worker.kill()
    out, _ = await talk
    lines = []
    for text in out.splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:  # cut off by its end
            break
    if not lines and worker.returncode:
        raise InstrumentFailure(
            "Schemathesis could not work with the service's OpenAPI document within its memory "
            f"and {WITHIN_S:g} s."
        )
    return lines


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own program; what it reads is data
        [sys.executable, "-I", str(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=_environment(),
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"), NOWHERE)
    folder = paths.runs_folder() / "hypothesis"  # tables of characters, made once
    return {
        "PATH": os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder),
        **proxies,
    }
