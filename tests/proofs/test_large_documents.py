"""OpenAPI documents of 30 MB with 1,000 operations are read in bounded time and memory, JSON and YAML."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from app import paths
from app.instruments.openapi import KEPT_BYTES
from tests.instruments.servers import Visit, scripted

pytestmark = [pytest.mark.proof, pytest.mark.timeout(300)]
OPERATIONS = 1_000
WITHIN_S = 30.0  # of one core that nothing else uses; the search for a document has 20 s
MAX_MB = 300  # what the instrument adds to an empty process
WORDS = (
    *("account", "order", "customer", "payment", "invoice", "status"),
    *("created", "amount", "currency", "address", "street", "city"),
)
READER = """
import asyncio, re, sys, time
from pathlib import Path
from app.instruments.http import HttpProbe
from app.instruments.openapi import KEPT_BYTES, OpenApiDocuments
from checks.contract import Target, Wish
from tests.instruments.servers import wire_to

def peak_mb():  # of this program alone, while ru_maxrss knows the one that started it too
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

async def read(url):
    target = Target(url=url)
    async with wire_to(target) as wire:
        documents = OpenApiDocuments(target, HttpProbe(wire, kept_bytes=KEPT_BYTES))
        operations = await documents.operations()
        read_s = time.process_time() - began
        examples = await documents.examples([Wish(each, 2, 1) for each in operations[:60]], seed=1)
    return len(operations), read_s, len(examples.made)

before, began = peak_mb(), time.process_time()
print(*asyncio.run(read(sys.argv[1])), peak_mb() - before)
"""


def pieces(random_: random.Random, count: int) -> Iterator[tuple[str, dict]]:
    """Shapes that refer to each other, of the size that real ones have."""
    for number in range(count):
        names = random_.sample(WORDS, 8)
        fields: dict[str, dict] = {
            name: {"type": "string", "description": " ".join(random_.choices(WORDS, k=14)), "maxLength": 90}
            for name in names
        }
        fields[names[0]] = {"$ref": f"#/components/schemas/S{random_.randrange(count)}"}
        fields[names[1]] = {"type": "integer", "minimum": 0, "maximum": random_.randint(1, 999)}
        yield f"S{number}", {"type": "object", "required": names[:3], "properties": fields}


def large(shapes: int) -> dict:
    random_ = random.Random(1)
    paths_ = {}
    for number in range(OPERATIONS):
        shape = {"$ref": f"#/components/schemas/S{random_.randrange(shapes)}"}
        content = {"content": {"application/json": {"schema": shape}}}
        responses = {"200": {"description": "ok", **content}, "422": {"description": "wrong"}}
        paths_[f"/v1/chat/{number}"] = {"post": {"requestBody": content, "responses": responses}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "large", "version": "1"},
        "paths": paths_,
        "components": {"schemas": dict(pieces(random_, shapes))},
    }


async def read(text: str, place: str) -> list[float]:
    """What a process of its own found at a service that publishes ``text``, and what it took."""

    async def talk(visit: Visit) -> None:
        found = visit.path == place
        await visit.reply(text if found else "", 200 if found else 404)

    async with scripted(talk) as server:
        command = [sys.executable, "-c", READER, server.url]
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=paths.ROOT, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    return [float(part) for part in done.stdout.split()]


@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_a_document_of_30_mb_is_read_in_bounded_time_and_memory(kind):
    document = large(20_000)
    text = json.dumps(document) if kind == "json" else yaml.dump(document, Dumper=yaml.CSafeDumper)
    assert 0.75 * KEPT_BYTES < len(text) <= KEPT_BYTES, len(text)
    operations, read_s, examples, peak_mb = asyncio.run(read(text, f"/openapi.{kind}"))
    print(f"\n{kind}: {len(text) / 1e6:.0f} MB read in {read_s:.1f} s of processor time and {peak_mb:.0f} MB")
    assert operations == OPERATIONS
    assert examples >= 60
    assert read_s < WITHIN_S
    assert peak_mb < MAX_MB
