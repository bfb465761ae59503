"""Misbehaviour of what listens where Redis is declared; ``visit`` is a connection."""

from __future__ import annotations

import asyncio

from tests.hostile.behaviours.connections import for_ever
from tests.hostile.behaviours.texts import ODD
from tests.hostile.plain import commands
from tests.hostile.visits import Visit, behaves


@behaves("redis")
async def redis_hangs(visit: Visit) -> None:
    await for_ever().wait()


@behaves("redis")
async def redis_resets(visit: Visit) -> None:
    visit.reset()


@behaves("redis")
async def redis_speaks_http(visit: Visit) -> None:
    while await visit.reader.read(65_536):
        await visit.reply("Bad Request", 400)


@behaves("redis")
async def redis_drips(visit: Visit) -> None:
    await visit.reader.read(1)
    for byte in b"$1000\r\n" + b"x" * 1000:
        await visit.write(bytes([byte]))
        await asyncio.sleep(1)


async def _answer_all(visit: Visit, reply: bytes) -> None:
    async for _ in commands(visit.reader):
        await visit.write(reply)


@behaves("redis")
async def redis_takes_two_seconds_for_each_answer(visit: Visit) -> None:
    async for command in commands(visit.reader):
        await asyncio.sleep(2)
        await visit.write(b"+PONG\r\n" if command[:1] == [b"PING"] else b"+OK\r\n")


@behaves("redis")
async def redis_takes_half_a_second_for_each_answer(visit: Visit) -> None:
    async for command in commands(visit.reader):
        await asyncio.sleep(0.5)
        await visit.write(b"+PONG\r\n" if command[:1] == [b"PING"] else b"+OK\r\n")


@behaves("redis")
async def redis_sends_an_endless_bulk(visit: Visit) -> None:
    await visit.reader.read(1)
    await visit.write(b"$10000000000\r\n")
    while True:
        await visit.write(b"x" * (1 << 20))


@behaves("redis")
async def redis_sends_half_a_gigabyte(visit: Visit) -> None:
    async for _ in commands(visit.reader):
        await visit.write(b"$%d\r\n" % (512 << 20))
        for _ in range(512):
            await visit.write(b"x" * (1 << 20))
        await visit.write(b"\r\n")


@behaves("redis")
async def redis_never_ends_a_line(visit: Visit) -> None:
    await visit.reader.read(1)
    while True:
        await visit.write(b"+" * 65_536)


@behaves("redis")
async def redis_sends_an_endless_list(visit: Visit) -> None:
    await visit.reader.read(1)
    await visit.write(b"*1000000000\r\n")
    while True:
        await visit.write(b"$5\r\nhello\r\n" * 5000)


@behaves("redis")
async def redis_nests_lists(visit: Visit) -> None:
    await _answer_all(visit, b"*1\r\n" * 100_000)


@behaves("redis")
async def redis_sends_sizes_that_are_none(visit: Visit) -> None:
    await _answer_all(visit, b"$-77\r\n$x\r\n*-9\r\n:NaN\r\n")


@behaves("redis")
async def redis_sends_errors_of_its_own(visit: Visit) -> None:
    await _answer_all(visit, f"-ODD {' '.join(ODD.split())}".encode() + b"x" * 5000 + b"\r\n")


@behaves("redis")
async def redis_says_ok_to_everything(visit: Visit) -> None:
    await _answer_all(visit, b"+OK\r\n")


@behaves("redis")
async def redis_answers_twice(visit: Visit) -> None:
    await _answer_all(visit, b"+OK\r\n+PONG\r\n:1\r\n")


@behaves("redis")
async def redis_answers_with_null(visit: Visit) -> None:
    await _answer_all(visit, b"$-1\r\n")


@behaves("redis")
async def redis_answers_with_lists(visit: Visit) -> None:
    await _answer_all(visit, b"*3\r\n$1\r\n0\r\n*-1\r\n*1\r\n:9223372036854775808\r\n")


@behaves("redis")
async def redis_is_loading_for_ever(visit: Visit) -> None:
    await _answer_all(visit, b"-LOADING Redis is loading the dataset in memory\r\n")


@behaves("redis")
async def redis_sends_an_info_of_lies(visit: Visit) -> None:
    """Every number is one that nobody expects; every other command is answered as by a plain Redis."""
    names = ("keyspace_hits", "keyspace_misses", "evicted_keys", "used_memory", "maxmemory", "total_commands",
             "uptime_in_seconds", "rejected_connections", "expired_keys", "keyspace")  # fmt: skip
    values = ("NaN", "-1", "1e999", "9" * 400, "", ODD.replace("\r\n", " "), "0x10", "-9223372036854775809")
    lines = [f"{name}:{values[(visit.number + n) % len(values)]}" for n, name in enumerate(names)]
    lines += ["run_id:\x1b[31m", "cmdstat_get:calls=-1e999,usec=NaN", "cmdstat_:calls", "db0:keys=NaN", ":::"]
    text = "\r\n".join(lines).encode()
    async for command in commands(visit.reader):
        info = command[:1] == [b"INFO"]
        await visit.write(b"$%d\r\n%s\r\n" % (len(text), text) if info else b"+OK\r\n")


@behaves("redis")
async def redis_sends_an_info_of_ten_megabytes(visit: Visit) -> None:
    text = b"keyspace_hits:1\r\n" * 600_000
    async for command in commands(visit.reader):
        info = command[:1] == [b"INFO"]
        await visit.write(b"$%d\r\n%s\r\n" % (len(text), text) if info else b"+OK\r\n")


@behaves("redis")
async def redis_sends_an_info_with_a_value_of_ten_megabytes(visit: Visit) -> None:
    text = b"run_id:a\r\nuptime_in_seconds:%s\r\n" % (b"x" * (10 << 20))
    async for command in commands(visit.reader):
        info = command[:1] == [b"INFO"]
        await visit.write(b"$%d\r\n%s\r\n" % (len(text), text) if info else b"+OK\r\n")


@behaves("redis")
async def redis_scans_in_a_circle(visit: Visit) -> None:
    """SCAN never comes back to cursor 0, and hands out keys of every kind."""
    keys = [b"chat:%d" % n for n in range(8)] + [b"chat:\x00\xff\x1b[31m", b"chat:" + b"k" * 5000]
    page = b"*2\r\n$2\r\n17\r\n*%d\r\n" % len(keys) + b"".join(b"$%d\r\n%s\r\n" % (len(k), k) for k in keys)
    replies = {b"SCAN": page, b"TTL": b":-9223372036854775808\r\n", b"PTTL": b"$3\r\nNaN\r\n"}
    replies |= {b"DBSIZE": b":99999999999999\r\n", b"PING": b"+PONG\r\n", b"GET": b"*0\r\n"}
    async for command in commands(visit.reader):
        await visit.write(replies.get(command[0].upper() if command else b"", b"+OK\r\n"))
