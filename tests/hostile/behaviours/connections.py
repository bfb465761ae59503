"""Misbehaviour of connections, before any reply."""

from __future__ import annotations

import asyncio

from tests.hostile.visits import Visit, behaves

for_ever = asyncio.Event  # one that nobody sets


@behaves("accept")
async def accepts_and_hangs(visit: Visit) -> None:
    await for_ever().wait()


@behaves("accept")
async def resets_after_accepting(visit: Visit) -> None:
    visit.reset()


@behaves("accept")
async def closes_after_accepting(visit: Visit) -> None:
    visit.writer.close()


@behaves("accept")
async def resets_after_the_request_line(visit: Visit) -> None:
    await visit.reader.readline()
    visit.reset()


@behaves("accept")
async def reads_and_never_answers(visit: Visit) -> None:
    while await visit.reader.read(65_536):
        pass


@behaves("accept")
async def answers_before_it_is_asked(visit: Visit) -> None:
    await visit.reply('{"answer": "I knew that you would ask."}', Content_Type="application/json")
    await visit.reader.read(65_536)


@behaves("accept")
async def answers_before_the_request_is_complete(visit: Visit) -> None:
    await visit.reader.readline()
    await visit.reply('{"answer": "Enough said."}', Content_Type="application/json")
    visit.writer.close()


@behaves("accept")
async def speaks_another_protocol(visit: Visit) -> None:
    await visit.write(b"220 mail.example.com ESMTP ready\r\n")
    while line := await visit.reader.readline():
        await visit.write(b"500 5.5.1 Command unrecognized: " + line)


@behaves("accept")
async def repeats_what_it_hears(visit: Visit) -> None:
    while piece := await visit.reader.read(65_536):
        await visit.write(piece)


@behaves("absent")
async def refuses_connections(visit: Visit) -> None:
    """Nothing listens."""


@behaves("backlog")
async def listens_and_never_accepts(visit: Visit) -> None:
    """The kernel completes a few connections; nobody ever takes one."""


@behaves("ipv6")
async def listens_on_ipv6_alone(visit: Visit) -> None:
    await visit.usual()


@behaves("tls")
async def shows_a_certificate_for_another_name(visit: Visit) -> None:
    """The server wraps these connections in TLS before it serves them plainly."""
    await visit.usual()


@behaves("tls")
async def hangs_in_the_handshake(visit: Visit) -> None:
    await for_ever().wait()


@behaves("tls")
async def resets_in_the_handshake(visit: Visit) -> None:
    await visit.reader.read(1)
    visit.reset()


@behaves("tls")
async def speaks_plainly_where_tls_is_due(visit: Visit) -> None:
    await visit.reader.read(65_536)
    await visit.reply("This is a plain HTTP port.", 400)


@behaves("tls")
async def drips_its_handshake(visit: Visit) -> None:
    await visit.reader.read(1)
    for byte in b"\x16\x03\x03\x40\x00" + bytes(10_000):
        await visit.write(bytes([byte]))
        await asyncio.sleep(1)


@behaves()
async def resets_after_the_request(visit: Visit) -> None:
    visit.reset()


@behaves()
async def closes_without_a_reply(visit: Visit) -> None:
    visit.writer.close()


@behaves()
async def closes_each_time_and_says_so(visit: Visit) -> None:
    visit.closing = True
    await visit.usual()
    visit.writer.close()


@behaves()
async def closes_each_time_and_says_nothing(visit: Visit) -> None:
    await visit.usual()
    visit.writer.close()


@behaves()
async def closes_each_time_a_moment_later(visit: Visit) -> None:
    await visit.usual()
    await asyncio.sleep(0.01)
    visit.reset()


@behaves()
async def answers_twice(visit: Visit) -> None:
    await visit.usual()
    await visit.usual()


@behaves()
async def takes_nearly_ten_seconds(visit: Visit) -> None:
    await asyncio.sleep(9.9)
    await visit.usual()
