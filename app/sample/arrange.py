"""What a defect changes outside the chat API: the cache's server, the way to it, and the target file."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from redis import Redis
from redis.exceptions import RedisError

from app.sample.chat.cache import KEY_PREFIX
from app.sample.launch import CACHE_LIMIT, REDIS_URL_NAME, SLOW_CACHE_PROXY, redis_address, require_possible
from app.sample.processes import SampleError, address
from app.sample.serving import HOST
from app.sample.state import State, read_secrets, write_private

TEMPLATE = Path(__file__).with_name("target.toml")
WATCHED = Path(__file__).with_name("monitoring") / "target.toml"
SLOW_CACHE_MS = 80  # above the 50 ms at which cache.reachable fails


def arrange_cache(state: State) -> None:
    """Bring the cache's password, limits and slow way in line with the defects. Raises SampleError."""
    require_possible(state)
    if state.own_redis:
        _set_up_server(state)
    _set_slow_way(state, slow="cache_slow_to_reach" in state.defects)


def forget_answers(state: State) -> None:
    """Delete the answers in the cache: those of a defect that gives them no end would stay for ever.

    Raises SampleError.
    """
    kept = read_secrets(state.folder)
    # A server without a password takes any, so this works whether or not it has one already.
    password = {"password": kept.redis_password} if state.own_redis else {}
    try:
        with Redis.from_url(kept.redis_url, **password) as client:
            keys = list(client.scan_iter(f"{KEY_PREFIX}*", count=1000))
            if keys:
                client.unlink(*keys)
    except RedisError as error:
        raise SampleError(f"The Redis at {redis_address(state)} cannot be emptied: {error}") from error


def _set_up_server(state: State) -> None:
    password = read_secrets(state.folder).redis_password
    locked = "cache_password_unknown" in state.defects
    with Redis(HOST, state.ports["valkey"], password=password) as client:
        client.config_set("requirepass", password if locked else "")
        for name, value in (CACHE_LIMIT | _wrong_limit(state.defects)).items():
            client.config_set(name, value)


def _wrong_limit(defects: Collection[str]) -> dict[str, str]:
    if "cache_unbounded" in defects:
        return {"maxmemory": "0"}
    if "cache_refuses_when_full" in defects:
        return {"maxmemory-policy": "noeviction"}
    return {"maxmemory-policy": "volatile-lru"} if "cache_frees_nothing" in defects else {}


def _set_slow_way(state: State, *, slow: bool) -> None:
    with httpx.Client(base_url=address(state.ports["faults"]), trust_env=False) as api:
        there = SLOW_CACHE_PROXY in api.get("/proxies").raise_for_status().json()
        if there and not slow:
            api.delete(f"/proxies/{SLOW_CACHE_PROXY}").raise_for_status()
        if slow and not there:
            listen = f"{HOST}:{state.ports[SLOW_CACHE_PROXY]}"
            proxy = {"name": SLOW_CACHE_PROXY, "listen": listen, "upstream": redis_address(state)}
            api.post("/proxies", json=proxy).raise_for_status()
            toxic = {"type": "latency", "attributes": {"latency": SLOW_CACHE_MS}}
            api.post(f"/proxies/{SLOW_CACHE_PROXY}/toxics", json=toxic).raise_for_status()


def write_target(state: State) -> None:
    """Write the target file: the template with this sample's addresses."""
    text = TEMPLATE.read_text(encoding="utf-8")
    if not state.unwatched:
        text += WATCHED.read_text(encoding="utf-8")
    known = {name: str(port) for name, port in state.ports.items()} | {"redis_url": _target_redis(state)}
    for name, value in known.items():
        text = text.replace(f"@{name}@", json.dumps(value)[1:-1])
    state.target_file.parent.mkdir(parents=True, exist_ok=True)
    write_private(state.target_file, text)


def _target_redis(state: State) -> str:
    if "cache_slow_to_reach" in state.defects:
        return f"redis://{HOST}:{state.ports[SLOW_CACHE_PROXY]}/0"
    direct = read_secrets(state.folder).redis_url
    return f"${{{REDIS_URL_NAME}}}" if "@" in urlsplit(direct).netloc else direct
