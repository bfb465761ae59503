"""Reads the declared Redis (or Valkey): how fast it answers, what it has counted, and how long keys live."""

from __future__ import annotations

import re
from asyncio import timeout
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b
from time import monotonic, perf_counter
from typing import Any
from urllib.parse import unquote, urlsplit

from redis import asyncio as redis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.instruments.redis_replies import (
    BoundedParser,
    counters_of,
    fields_of,
    sentence,
    slow_commands_of,
    state_of,
)
from app.instruments.references import References
from checks.contract import InstrumentFailure, KeySample, RedisCounters, RedisState, SlowLog
from checks.contract.target.dependencies import Redis as Declared

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 3.0
MOST_KEYS = 20_000  # a small cache is seen whole, so that two readings show which keys are new
KEYS_WITHIN_S = 2.0
KEYS_AT_ONCE = 1000  # far below a millisecond of the server's time
PINGS_WITHIN_S = 4.0
GETS_WITHIN_S = 1.0
SLOW_LOG_ENTRIES = 128  # as many as Redis keeps unless told otherwise
ABSENT_KEY = "greenlight:no-such-key"


class RedisReader:
    """Reads one Redis, by ``redis://``, ``rediss://`` or ``unix://``; each method on its own connections."""

    def __init__(self, declared: Declared | None, references: References) -> None:
        self._declared = declared
        self._references = references

    async def ping_ms(self, count: int) -> list[float]:
        """Round trips of ``count`` PINGs in ms, each on a new connection that is already authenticated.

        Fewer where they take over four seconds.
        """
        trips: list[float] = []
        until = monotonic() + PINGS_WITHIN_S
        while len(trips) < count and monotonic() < until:
            async with self._connected() as connection:
                started = perf_counter()
                await _answer(connection, "PING")
                trips.append((perf_counter() - started) * 1000)
        return trips

    async def get_ms(self, count: int) -> list[float]:
        """Round trips of ``count`` GETs in ms on one connection; fewer where they take over a second.

        They ask for a key that is not there: no answer is read. A node of a cluster may say that another
        one would have it (MOVED), which takes the same way.
        """
        trips: list[float] = []
        async with self._connected() as connection:
            until = monotonic() + GETS_WITHIN_S
            while len(trips) < count and monotonic() < until:
                started = perf_counter()
                with suppress(exceptions.MovedError, exceptions.AskError):
                    await _answer(connection, "GET", f"{self._prefix}{ABSENT_KEY}")
                trips.append((perf_counter() - started) * 1000)
        return trips[1:] or trips  # the first one warms the connection

    async def counters(self) -> RedisCounters:
        """INFO's counters. Reading them leaves them as they were (see NOT_DATA)."""
        async with self._connected() as connection:
            return counters_of(await self._info(connection, "server", "replication", "stats", "commandstats"))

    async def state(self) -> RedisState:
        """INFO's memory and counters; CONFIG is asked where INFO does not say the limit."""
        async with self._connected() as connection:
            fields = await self._info(connection, "server", "replication", "memory", "stats", "commandstats")
            for setting in ("maxmemory", "maxmemory-policy"):
                name = setting.replace("-", "_")
                if name not in fields:
                    fields[name] = await _setting(connection, setting)
        return state_of(fields)

    async def keys(self) -> KeySample:
        """Keys of the declared database and prefix, by SCAN: all where they are few and it is quick."""
        seconds: dict[str, int | None] = {}
        cursor, pattern = b"0", f"{_escaped(self._prefix)}*"
        async with self._connected() as connection:
            until = monotonic() + KEYS_WITHIN_S
            while True:
                await connection.send_command("SCAN", cursor, "MATCH", pattern, "COUNT", KEYS_AT_ONCE)
                cursor, names = _page(await connection.read_response(disable_decoding=True))
                seconds |= await _seconds_to_live(connection, names)
                if cursor == b"0" or len(seconds) >= MOST_KEYS or monotonic() > until:
                    return KeySample(seconds, complete=cursor == b"0")

    async def slow_log(self) -> SlowLog:
        """The slow log's newest entries; ``from_ms`` is None where CONFIG may not be read."""
        async with self._connected() as connection:
            await connection.send_command("SLOWLOG", "GET", SLOW_LOG_ENTRIES)
            commands = slow_commands_of(await connection.read_response(), self._references.hide)
            try:
                from_us = int(await _setting(connection, "slowlog-log-slower-than"))
            except (exceptions.ResponseError, ValueError, InstrumentFailure):
                return SlowLog(commands, None)
        return SlowLog(commands, from_us / 1000)

    async def _info(self, connection: redis.Connection, *sections: str) -> dict[str, str]:
        fields: dict[str, str] = {}
        for section in sections:  # one by one: old servers take no more at once
            fields |= fields_of(self._references.hide(await _answer(connection, "INFO", section)))
        return fields

    @property
    def _prefix(self) -> str:
        return self._declared.key_prefix if self._declared else ""

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[redis.Connection]:
        if self._declared is None:
            raise InstrumentFailure(
                "No Redis is declared. Add `[redis] url` to the target file.", missing="redis.url"
            )
        url = self._references.resolve(self._declared.url)
        try:
            user = unquote(urlsplit(url).username or "") or "default"
            connection = _connection(url)
        except (ValueError, TypeError) as error:
            raise InstrumentFailure(
                f"The Redis URL is not usable: {self._references.hide(str(error))}.", missing="redis.url"
            ) from None
        try:
            async with timeout(CONNECT_TIMEOUT_S + 2 * ANSWER_TIMEOUT_S):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
                yield connection
        except (exceptions.RedisError, OSError) as error:
            reason = sentence(error, user, self._prefix)
            raise InstrumentFailure(self._references.hide(reason)) from error
        finally:
            await connection.disconnect(nowait=True)


def _connection(url: str) -> redis.Connection:
    pool = redis.ConnectionPool.from_url(
        url,
        protocol=2,  # old servers do not know HELLO
        parser_class=BoundedParser,
        decode_responses=True,
        encoding_errors="replace",
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    connection: redis.Connection = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's
    return connection


async def _answer(connection: redis.Connection, *command: str) -> str:
    await connection.send_command(*command)
    return str(await connection.read_response())


async def _setting(connection: redis.Connection, name: str) -> str:
    await connection.send_command("CONFIG", "GET", name)
    match await connection.read_response():
        case [str(_), str(value)]:
            return value
    raise InstrumentFailure(f"Redis does not say its `{name}`.")


async def _seconds_to_live(connection: redis.Connection, names: list[bytes]) -> dict[str, int | None]:
    """Seconds to live by digest of the key's name, None for one without end; keys that are gone left out."""
    await connection.send_packed_command(connection.pack_commands([("TTL", name) for name in names]))
    found = {}
    for name in names:
        seconds: Any = await connection.read_response()
        if isinstance(seconds, int) and seconds >= -1:
            found[blake2b(name, digest_size=8).hexdigest()] = None if seconds == -1 else seconds
    return found


def _page(reply: object) -> tuple[bytes, list[bytes]]:
    match reply:
        case [bytes(cursor), list(names)] if all(isinstance(name, bytes) for name in names):
            return cursor, names
    raise InstrumentFailure("Redis answered SCAN with something else than a page of keys.")


def _escaped(prefix: str) -> str:
    return re.sub(r"([*?\[\]\\^])", r"\\\1", prefix)
