"""Reads the declared Redis (or Valkey): how fast it answers, and what it has counted."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

from redis import asyncio as redis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.instruments.references import References
from checks.contract import InstrumentFailure, RedisCounters
from checks.target import Redis as Declared

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 3.0

# What connections, monitors and replicas send, this instrument included: no sign that an application used
# its cache. First words of `cmdstat_` names; everything else counts as a data command.
NOT_DATA = frozenset(
    {
        *("acl", "auth", "client", "command", "echo", "hello", "ping", "quit", "reset", "select", "role"),
        *("bgrewriteaof", "bgsave", "config", "debug", "info", "lastsave", "latency", "lolwut", "memory"),
        *("module", "monitor", "save", "shutdown", "slowlog", "swapdb", "time", "wait", "waitaof"),
        *("asking", "cluster", "failover", "psync", "readonly", "readwrite", "replconf", "replicaof"),
        *("slaveof", "sync", "publish", "pubsub", "spublish", "subscribe", "psubscribe", "ssubscribe"),
        *("unsubscribe", "punsubscribe", "sunsubscribe"),
    }
)
MAX_TEXT_CHARS = 200


class RedisReader:
    """Reads one Redis, by ``redis://``, ``rediss://`` or ``unix://``; each method on its own connections."""

    def __init__(self, declared: Declared | None, references: References) -> None:
        self._declared = declared
        self._references = references

    async def ping_ms(self, count: int) -> list[float]:
        """Round trips of ``count`` PINGs in ms, each on a new connection that is already authenticated."""
        trips = []
        for _ in range(count):
            async with self._connected() as connection:
                started = perf_counter()
                await _answer(connection, "PING")
                trips.append((perf_counter() - started) * 1000)
        return trips

    async def counters(self) -> RedisCounters:
        """INFO's counters. Nothing that this instrument sends is part of them (see NOT_DATA)."""
        async with self._connected() as connection:
            server, stats, commands = [
                _parsed(await _answer(connection, "INFO", section))
                for section in ("server", "stats", "commandstats")
            ]
        try:
            return RedisCounters(
                run_id=server["run_id"],
                uptime_s=int(server["uptime_in_seconds"]),
                keyspace_hits=int(stats["keyspace_hits"]),
                keyspace_misses=int(stats["keyspace_misses"]),
                data_commands=sum(_calls(name, text) for name, text in commands.items()),
            )
        except (KeyError, ValueError) as error:
            raise InstrumentFailure(f"Redis answered INFO without a usable {error}.") from error

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[redis.Connection]:
        if self._declared is None:
            raise InstrumentFailure(
                "No Redis is declared. Add `[redis] url` to the target file.", missing="redis.url"
            )
        url = self._references.resolve(self._declared.url)
        try:
            pool = redis.ConnectionPool.from_url(
                url,
                protocol=2,  # old servers do not know HELLO
                decode_responses=True,
                encoding_errors="replace",
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                socket_timeout=ANSWER_TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
            )
            connection: redis.Connection = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's
        except (ValueError, TypeError) as error:
            raise InstrumentFailure(
                f"The Redis URL is not usable: {self._references.hide(str(error))}.", missing="redis.url"
            ) from None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S + 2 * ANSWER_TIMEOUT_S):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
                yield connection
        except (exceptions.RedisError, OSError) as error:
            raise InstrumentFailure(self._references.hide(_sentence(error))) from error
        finally:
            await connection.disconnect(nowait=True)


async def _answer(connection: redis.Connection, *command: str) -> str:
    await connection.send_command(*command)
    return str(await connection.read_response())


def _parsed(info: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in info.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def _calls(name: str, text: str) -> int:
    """Calls of one ``cmdstat_NAME:calls=3,usec=...`` line, 0 where it is no data command."""
    command = name.removeprefix("cmdstat_").partition("|")[0].lower()
    if not name.startswith("cmdstat_") or command in NOT_DATA:
        return 0
    fields: dict[str, Any] = dict(part.partition("=")[::2] for part in text.split(","))
    return int(fields["calls"])


def _sentence(error: BaseException) -> str:
    """Why Redis could not be read, in words of its own."""
    text = str(error).strip().rstrip(".")[:MAX_TEXT_CHARS]
    for kinds, signs, sentence in _SENTENCES:
        if isinstance(error, kinds) or any(sign in text for sign in signs):
            return sentence.format(text=text)
    return f"Redis answered with an error: {text}."


# Causes before their symptoms: redis-py wraps a failed handshake in a ConnectionError, for example.
_SENTENCES: tuple[tuple[tuple[type[BaseException], ...], tuple[str, ...], str], ...] = (
    ((ssl.SSLError,), ("SSL", "certificate"), "TLS with Redis failed: {text}."),
    (
        (exceptions.NoPermissionError,),
        ("NOPERM",),
        "This Redis user lacks a right: {text}. Grant it `+ping +info`, which read no data.",
    ),
    (
        (exceptions.AuthenticationError,),
        ("NOAUTH", "WRONGPASS"),
        "Redis refused the credentials: {text}. Check user and password in `[redis] url`.",
    ),
    (
        (exceptions.BusyLoadingError,),
        ("LOADING",),
        "Redis is still loading its data into memory. Assess again when it is done.",
    ),
    (
        (exceptions.InvalidResponse,),
        ("Protocol Error",),
        "What listens at `[redis] url` does not speak the Redis protocol: {text}.",
    ),
    ((exceptions.TimeoutError, TimeoutError), (), "Redis did not answer in time."),
    ((exceptions.ConnectionError, OSError), (), "Redis cannot be reached: {text}."),
)
