"""What a Redis replies, read with care: its size, its INFO, its slow log, and its refusals in words."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from redis import exceptions
from redis._parsers import _AsyncRESP2Parser  # its limits can be set nowhere else
from redis.exceptions import InvalidResponse

from app.instruments.failures import in_words
from checks.contract import InstrumentFailure, RedisCounters, RedisState, SlowCommand

MAX_REPLY_BYTES = 8 * 1024 * 1024
ITEM_BYTES = 64  # what one item of a reply takes at least, once it is an object here
MAX_NAME_CHARS = 40

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
# What a cache stores an answer with.
SETS = frozenset(
    {
        *("append", "getset", "hmset", "hset", "hsetex", "hsetnx", "json.mset", "json.set", "lpush"),
        *("mset", "msetnx", "psetex", "restore", "rpush", "sadd", "set", "setex", "setnx", "setrange"),
        *("xadd", "zadd"),
    }
)


class BoundedParser(_AsyncRESP2Parser):
    """Reads at most MAX_REPLY_BYTES of one reply: whoever listens there may send anything."""

    async def read_response(self, disable_decoding: bool = False) -> Any:
        """One reply. Raises InvalidResponse where it is too large or not of the protocol."""
        self._left = MAX_REPLY_BYTES
        try:
            return await super().read_response(disable_decoding)
        except (ValueError, RecursionError) as error:  # a length that is no number, lists without end
            raise InvalidResponse(f"Protocol Error: {type(error).__name__}") from error

    async def _read(self, length: int) -> bytes:
        self._take(length)
        data: bytes = await super()._read(length)
        return data

    async def _readline(self) -> bytes:
        line: bytes = await super()._readline()
        self._take(ITEM_BYTES + len(line))
        return line

    def _take(self, size: int) -> None:
        self._left -= size
        if size < 0 or self._left < 0:
            raise InvalidResponse("Protocol Error: a reply without end")


def fields_of(info: str) -> dict[str, str]:
    """INFO's lines by name."""
    pairs = (line.partition(":") for line in info.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def counters_of(fields: Mapping[str, str]) -> RedisCounters:
    """The counters in all sections' fields. Raises InstrumentFailure where INFO does not hold them."""
    try:
        return RedisCounters(
            run_id=fields["run_id"],
            uptime_s=int(fields["uptime_in_seconds"]),
            keyspace_hits=int(fields["keyspace_hits"]),
            keyspace_misses=int(fields["keyspace_misses"]),
            data_commands=sum(_calls(text) for command, text in _commands(fields) if command not in NOT_DATA),
            sees_all=not _follows(fields)
            and "cluster"
            not in (
                fields.get("redis_mode"),
                fields.get("server_mode"),  # Valkey's name for it
            ),
        )
    except (KeyError, ValueError) as error:
        raise InstrumentFailure(f"Redis answered INFO without a usable {in_words(error)}.") from error


def state_of(fields: Mapping[str, str]) -> RedisState:
    """Memory and counters in all sections' fields. Raises InstrumentFailure where INFO does not hold them."""
    try:
        return RedisState(
            run_id=fields["run_id"],
            replica=_follows(fields),
            used_bytes=int(fields["used_memory"]) - int(fields.get("mem_not_counted_for_evict", 0)),
            max_bytes=int(fields["maxmemory"]),
            host_bytes=int(fields.get("total_system_memory", 0)),
            policy=_name(fields["maxmemory_policy"]),
            evicted=int(fields["evicted_keys"]),
            sets=sum(_calls(text) for command, text in _commands(fields) if command in SETS),
            rejected=int(fields["rejected_connections"]),
        )
    except (KeyError, ValueError) as error:
        raise InstrumentFailure(f"Redis answered INFO without a usable {in_words(error)}.") from error


def slow_commands_of(reply: object, hide: Callable[[str], str]) -> tuple[SlowCommand, ...]:
    """The entries of SLOWLOG GET: what was slow, never its arguments. What is no entry is left out.

    ``hide`` takes secrets out of a text.
    """
    entries = reply if isinstance(reply, list) else []
    found = []
    for entry in entries:
        match entry:
            case [int(number), int(_), int(took_us), [str(command), *_], *_]:
                found.append(SlowCommand(number, took_us / 1000, _name(hide(command)).upper()))
            case _:
                continue
    return tuple(found)


def sentence(error: BaseException, user: str, key_prefix: str) -> str:
    """Why Redis could not be read, in words of its own."""
    text = in_words(error)
    if isinstance(error, exceptions.NoPermissionError) or "NOPERM" in text:
        return _lacks_right(text, user, key_prefix)
    for kinds, signs, words in _SENTENCES:
        if isinstance(error, kinds) or any(sign in text for sign in signs):
            return words.format(text=text)
    return f"Redis answered with an error: {text}."


def _lacks_right(text: str, user: str, key_prefix: str) -> str:
    command = re.search(r"'([\w|.-]{1,40})' command", text)
    if command:
        name = command[1].lower()
        return (
            f"This Redis user lacks a right: it may not run {name.replace('|', ' ').upper()}. "
            f"Grant it with `ACL SETUSER {user} +{name}`."
        )
    if "key" in text:
        return (
            f"This Redis user lacks a right: it may not read keys of the declared prefix. "
            f"Grant it with `ACL SETUSER {user} %R~{key_prefix}*`."
        )
    return f"This Redis user lacks a right: {text}."


def _commands(fields: Mapping[str, str]) -> list[tuple[str, str]]:
    """First words of the commands that INFO counted, and what it says of each."""
    return [
        (name.removeprefix("cmdstat_").partition("|")[0].lower(), text)
        for name, text in fields.items()
        if name.startswith("cmdstat_")
    ]


def _calls(text: str) -> int:
    """Calls of one ``calls=3,usec=...``."""
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    return int(fields["calls"])


def _follows(fields: Mapping[str, str]) -> bool:
    return fields.get("role") in ("slave", "replica")


def _name(text: str) -> str:
    return re.sub(r"[^\w.|-]", "?", text)[:MAX_NAME_CHARS]


# Causes before their symptoms: redis-py wraps a failed handshake in a ConnectionError, for example.
_SENTENCES: tuple[tuple[tuple[type[BaseException], ...], tuple[str, ...], str], ...] = (
    ((ssl.SSLError,), ("SSL", "certificate"), "TLS with Redis failed: {text}."),
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
    (
        (),
        ("max number of clients",),
        "Redis takes no more connections: {text}. Raise `maxclients`, or find who keeps so many open.",
    ),
    ((exceptions.TimeoutError, TimeoutError), (), "Redis did not answer in time."),
    (
        (),
        ("Connection lost", "Connection closed", "reset by peer"),
        "Redis cannot be reached: it closes a connection at once, as it does once `maxclients` are there.",
    ),
    ((exceptions.ConnectionError, OSError), (), "Redis cannot be reached: {text}."),
)
