"""Misbehaviour of a reply's status line and headers."""

from __future__ import annotations

import asyncio

from tests.hostile.behaviours.connections import for_ever
from tests.hostile.visits import Visit, behaves

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
GOOD = b'{"answer": "All is well.", "status": "healthy"}'


@behaves()
async def drips_its_head(visit: Visit) -> None:
    for byte in JSON + b"X-Slow: " + b"y" * 10_000:
        await visit.write(bytes([byte]))
        await asyncio.sleep(1)


@behaves()
async def hangs_within_its_head(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Le")
    await for_ever().wait()


@behaves()
async def closes_within_its_head(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Le")
    visit.writer.close()


@behaves()
async def resets_within_its_head(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Le")
    visit.reset()


@behaves()
async def never_ends_its_head(visit: Visit) -> None:
    await visit.write(JSON)
    while True:
        await visit.write(b"X-More: %s\r\n" % (b"y" * 1000))


@behaves()
async def never_ends_a_header(visit: Visit) -> None:
    await visit.write(JSON + b"X-More: ")
    while True:
        await visit.write(b"y" * 65_536)


@behaves()
async def never_ends_its_status_line(visit: Visit) -> None:
    await visit.write(b"HTTP/1.1 200 ")
    while True:
        await visit.write(b"OK " * 20_000)


@behaves()
async def sends_a_garbled_status_line(visit: Visit) -> None:
    await visit.write(b"HTTP/9.9 2OO \x00\x1b[31mOK\r\nContent-Length: 0\r\n\r\n")


@behaves()
async def sends_a_status_of_99(visit: Visit) -> None:
    await visit.write(b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n")


@behaves()
async def sends_a_status_of_999(visit: Visit) -> None:
    await visit.reply(GOOD, 999, Content_Type="application/json")


@behaves()
async def sends_two_contradicting_lengths(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Length: 5\r\nContent-Length: 5000\r\n\r\n" + GOOD)


@behaves()
async def sends_a_length_and_chunks(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")
    await visit.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD))


@behaves()
async def sends_a_negative_length(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Length: -1\r\n\r\n" + GOOD)


@behaves()
async def sends_a_length_of_forty_digits(visit: Visit) -> None:
    await visit.write(JSON + b"Content-Length: %s\r\n\r\n" % (b"9" * 40) + GOOD)
    visit.writer.close()


@behaves()
async def sends_cookies_by_the_thousand(visit: Visit) -> None:
    cookies = b"".join(b"Set-Cookie: c%d=%d; Path=/\r\n" % (number, number) for number in range(3000))
    await visit.write(JSON + cookies + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)


@behaves()
async def sends_more_cookies_than_a_head_may_hold(visit: Visit) -> None:
    cookies = b"".join(b"Set-Cookie: c%d=%s\r\n" % (number, b"x" * 500) for number in range(4000))
    await visit.write(JSON + cookies + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)


@behaves()
async def sends_a_storm_of_interim_replies(visit: Visit) -> None:
    while True:
        await visit.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 50)


@behaves()
async def switches_protocols_unasked(visit: Visit) -> None:
    await visit.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello")
    await for_ever().wait()


@behaves()
async def redirects_in_a_circle(visit: Visit) -> None:
    await visit.reply("", 307, Location=visit.path)


@behaves()
async def redirects_for_ever(visit: Visit) -> None:
    await visit.reply("", 302, Location=f"{visit.path}/{visit.number}")


@behaves()
async def redirects_off_the_target(visit: Visit) -> None:
    await visit.reply("", 307, Location=f"{visit.elsewhere}/stolen")


@behaves()
async def redirects_off_the_target_without_a_scheme(visit: Visit) -> None:
    await visit.reply("", 308, Location=f"{visit.elsewhere.removeprefix('http:')}\\@127.0.0.1/stolen")


@behaves()
async def redirects_to_nonsense(visit: Visit) -> None:
    await visit.reply("", 301, Location="http://[::1:x/%zz\x7f")


@behaves()
async def redirects_to_a_file(visit: Visit) -> None:
    await visit.reply("", 302, Location="file:///etc/passwd")
