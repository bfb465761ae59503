"""Misbehaviour of a reply's body, as bytes."""

from __future__ import annotations

import asyncio
import functools
import zlib

from tests.hostile.behaviours.connections import for_ever
from tests.hostile.behaviours.heads import GOOD, JSON
from tests.hostile.visits import Visit, behaves

MIB = 1 << 20


@behaves()
async def drips_its_body(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Length: 10000\r\n\r\n")
    for byte in GOOD + b" " * 10_000:
        await visit.write(bytes([byte]))
        await asyncio.sleep(1)


@behaves()
async def hangs_within_its_body(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Length: 10000\r\n\r\n" + GOOD[:9])
    await for_ever().wait()


@behaves()
async def resets_within_its_body(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Length: 10000\r\n\r\n" + GOOD[:9])
    visit.reset()


@behaves()
async def says_more_bytes_than_it_sends(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Length: 10000\r\n\r\n" + GOOD)
    visit.writer.close()


@behaves()
async def says_fewer_bytes_than_it_sends(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Length: 9\r\n\r\n" + GOOD)


@behaves()
async def never_ends_a_body_of_no_length(visit: Visit) -> None:
    await visit.write(JSON + b"\r\n")
    while True:
        await visit.write(b'{"answer": "again"}' * 4000)


@behaves()
async def sends_ten_gigabytes(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Length: 10000000000\r\n\r\n")
    while True:
        await visit.write(b" " * MIB)


@behaves()
async def never_ends_its_chunks(visit: Visit) -> None:
    await visit.write(JSON + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        await visit.write(b"1\r\n \r\n" * 4000)


@behaves()
async def garbles_its_chunk_sizes(visit: Visit) -> None:
    await visit.write(JSON + b"Transfer-Encoding: chunked\r\n\r\n%s\r\n%s\r\n0\r\n\r\n" % (b"zz", GOOD))


@behaves()
async def sends_a_chunk_size_beyond_all_numbers(visit: Visit) -> None:
    await visit.write(JSON + b"Transfer-Encoding: chunked\r\n\r\n%s\r\n%s" % (b"f" * 40, GOOD))


@behaves()
async def never_ends_a_chunk_size(visit: Visit) -> None:
    await visit.write(JSON + b"Transfer-Encoding: chunked\r\n\r\n1;extension=")
    while True:
        await visit.write(b"f" * 65_536)


@behaves()
async def never_ends_its_trailers(visit: Visit) -> None:
    await visit.write(JSON + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
    while True:
        await visit.write(b"X-More: %s\r\n" % (b"y" * 1000))


@functools.cache
def _bomb() -> bytes:
    """10 GB of spaces in 10 MB of gzip: one compressed MiB after another."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    first = packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * 10_000


@behaves()
async def sends_a_gzip_bomb(visit: Visit) -> None:
    bomb = _bomb()
    await visit.write(JSON + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb))
    for start in range(0, len(bomb), 65_536):  # a hundred guests must not take the server's memory
        await visit.write(bomb[start : start + 65_536])


@behaves()
async def says_gzip_and_sends_none(visit: Visit) -> None:
    await visit.json(GOOD, Content_Encoding="gzip")


@behaves()
async def says_an_unknown_encoding(visit: Visit) -> None:
    await visit.json(GOOD, Content_Encoding="br, \x01snappy")


@behaves()
async def sends_a_body_with_204(visit: Visit) -> None:
    await visit.json(GOOD, 204)


@behaves()
async def sends_a_body_with_304(visit: Visit) -> None:
    await visit.json(GOOD, 304)


@behaves()
async def sends_nothing_at_all_with_200(visit: Visit) -> None:
    await visit.json("")
