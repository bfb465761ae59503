"""The Redis instrument against real Redis and Valkey servers."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
import redis

from app.instruments.redis import RedisReader
from app.instruments.references import References
from checks.contract import InstrumentFailure
from checks.contract.target.dependencies import Redis as Declared
from tests.instruments.redis_servers import programs, redis_server
from tests.instruments.servers import free_port


@pytest.fixture(params=programs(), ids=lambda program: Path(program).name)
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def reader(url: str, **environment: str) -> RedisReader:
    return RedisReader(Declared(url=url), References(environment))


async def failure(reading: RedisReader) -> str:
    with pytest.raises(InstrumentFailure) as caught:
        await reading.counters()
    return caught.value.reason


async def test_counters_see_what_an_application_does_and_not_the_reader_itself(program, tmp_path):
    with redis_server(program, tmp_path) as port:
        reading = reader(f"redis://127.0.0.1:{port}/3")
        before = await reading.counters()
        assert (await reading.counters()).data_commands == before.data_commands
        with redis.Redis(port=port) as application:
            application.ping()
            application.set("a", "1")
            application.mget(["a", "b"])
            application.get("c")
            application.config_get("maxmemory")
        trips = await reading.ping_ms(3)
        after = await reading.counters()
    assert after.data_commands - before.data_commands == 3
    assert after.keyspace_hits - before.keyspace_hits == 1
    assert after.keyspace_misses - before.keyspace_misses == 2
    assert len(after.run_id) == 40
    assert after.run_id == before.run_id
    assert after.uptime_s >= before.uptime_s
    assert len(trips) == 3
    assert all(trip > 0 for trip in trips)


async def test_every_ping_has_a_connection_of_its_own(program, tmp_path):
    with redis_server(program, tmp_path) as port, redis.Redis(port=port) as application:
        before = application.info("stats")["total_connections_received"]
        await reader(f"redis://127.0.0.1:{port}").ping_ms(5)
        assert application.info("stats")["total_connections_received"] - before == 5


async def test_memory_its_limit_and_what_is_counted_beside_it(program, tmp_path):
    limit = ("--maxmemory", "64mb", "--maxmemory-policy", "volatile-ttl")
    with redis_server(program, tmp_path, *limit) as port, redis.Redis(port=port) as application:
        reading = reader(f"redis://127.0.0.1:{port}")
        before = await reading.state()
        application.set("a", "." * 1_000_000)
        application.hset("b", "c", "1")
        application.get("a")
        after = await reading.state()
    assert (after.max_bytes, after.policy, after.replica) == (64 * 1024 * 1024, "volatile-ttl", False)
    assert after.used_bytes - before.used_bytes > 900_000
    assert after.host_bytes > after.max_bytes
    assert after.sets - before.sets == 2
    assert (after.evicted, after.rejected) == (0, 0)


async def test_keys_are_those_of_database_and_prefix_each_with_its_time_to_live(program, tmp_path):
    with redis_server(program, tmp_path) as port, redis.Redis(port=port, db=3) as application:
        application.set(b"ch[a]*t:\xff", "1", ex=900)
        application.set("ch[a]*t:old", "1")
        application.set("chat:other", "1")
        redis.Redis(port=port).set("ch[a]*t:elsewhere", "1")
        declared = Declared(url=f"redis://127.0.0.1:{port}/3", key_prefix="ch[a]*t:")
        sample = await RedisReader(declared, References({})).keys()
        empty = await reader(f"redis://127.0.0.1:{port}/5").keys()
    assert sorted(sample.seconds.values(), key=str) in ([900, None], [899, None])
    assert sample.complete
    assert not any("old" in key for key in sample.seconds)
    assert (dict(empty.seconds), empty.complete) == ({}, True)


async def test_of_very_many_keys_a_part_is_looked_at(program, tmp_path, monkeypatch):
    monkeypatch.setattr("app.instruments.redis.MOST_KEYS", 2_000)
    with redis_server(program, tmp_path) as port, redis.Redis(port=port) as application:
        application.mset({f"key {n}": "1" for n in range(10_000)})
        sample = await reader(f"redis://127.0.0.1:{port}").keys()
        calls = application.info("commandstats")
    assert not sample.complete
    assert 2_000 <= len(sample.seconds) < 5_000
    assert "cmdstat_keys" not in calls


async def test_a_slow_log_tells_commands_and_never_their_arguments(program, tmp_path):
    with redis_server(program, tmp_path) as port, redis.Redis(port=port) as application:
        reading = reader(f"redis://127.0.0.1:{port}")
        assert not (await reading.slow_log()).commands
        application.config_set("slowlog-log-slower-than", 0)
        application.set("secret-key", "secret-value")
        application.config_set("slowlog-log-slower-than", 25_000)
        log = await reading.slow_log()
    assert "SET" in {command.command for command in log.commands}
    assert "secret" not in str(log)
    assert log.from_ms == 25
    numbers = [command.number for command in log.commands]
    assert numbers == sorted(numbers, reverse=True)


async def test_a_server_that_echoes_the_password_does_not_bring_it_into_a_reading():
    info = (
        "maxmemory_policy:pa$$word\r\nrun_id:pa$$word\r\nused_memory:1\r\nmaxmemory:2\r\nevicted_keys:0\r\n"
    )
    info += "rejected_connections:0\r\n"

    async def echo(reader_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while sent := await reader_.read(1000):
            body = info.encode()
            writer.write(b"+OK\r\n" if b"AUTH" in sent else b"$%d\r\n%b\r\n" % (len(body), body))
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        url = f"redis://:${{WORD}}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        state = await reader(url, WORD="pa$$word").state()
    assert (state.run_id, state.policy) == ("$WORD", "?WORD")


async def test_gets_are_sent_on_one_connection_and_read_no_answer(program, tmp_path):
    with redis_server(program, tmp_path) as port, redis.Redis(port=port) as application:
        before = application.info("stats")
        trips = await reader(f"redis://127.0.0.1:{port}").get_ms(50)
        after = application.info("stats")
    assert len(trips) == 49  # the first one warms the connection
    assert after["total_connections_received"] - before["total_connections_received"] == 1
    assert after["keyspace_hits"] == before["keyspace_hits"]


async def test_a_password_comes_from_the_environment_and_a_missing_or_wrong_one_is_said_so(program, tmp_path):
    with redis_server(program, tmp_path, "--requirepass", "pa$$word") as port:
        url = f"redis://:${{CACHE_PASSWORD}}@127.0.0.1:{port}"
        assert (await reader(url, CACHE_PASSWORD="pa$$word").counters()).run_id
        wrong = await failure(reader(url, CACHE_PASSWORD="guessed-it"))
        none = await failure(reader(f"redis://127.0.0.1:{port}"))
    for reason in (wrong, none):
        assert reason.startswith("Redis refused the credentials")
    assert "guessed-it" not in wrong


async def test_a_user_without_the_right_to_info_names_the_right_that_is_missing(program, tmp_path):
    with redis_server(program, tmp_path) as port, redis.Redis(port=port) as application:
        application.execute_command("ACL SETUSER watcher on >pa$$word ~* +ping +get")
        reading = reader(f"redis://watcher:${{PASSWORD}}@127.0.0.1:{port}", PASSWORD="pa$$word")
        assert len(await reading.ping_ms(1)) == 1
        reason = await failure(reading)
    assert "lacks a right" in reason
    assert "info" in reason.lower()
    assert "+info" in reason


async def test_a_unix_socket_is_read(program, tmp_path):
    socket = Path("/tmp") / f"greenlight-test-{free_port()}.sock"  # noqa: S108 - a socket's path must be short
    with redis_server(program, tmp_path, "--unixsocket", str(socket)):
        assert (await reader(f"unix://{socket}").counters()).run_id


@pytest.fixture
def certified(tmp_path: Path) -> tuple[str, ...]:
    """Options that make a server speak TLS on one more port, the last of them, with a new certificate."""
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    new = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make = ["openssl", "req", *new, *subject, "-keyout", key, "-out", certificate]
    subprocess.run(make, check=True, capture_output=True)
    files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate)
    return (*files, "--tls-auth-clients", "no", "--tls-port", str(free_port()))


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="the wheel's Valkey is built without TLS")
async def test_tls_is_spoken_and_a_certificate_that_nobody_vouches_for_is_refused(certified, tmp_path):
    with redis_server("redis-server", tmp_path, *certified):
        url = f"rediss://127.0.0.1:{certified[-1]}"
        assert (await reader(f"{url}?ssl_ca_certs={tmp_path / 'cert.pem'}").counters()).run_id
        assert (await failure(reader(url))).startswith("TLS with Redis failed")


async def test_nothing_listening_is_said_so():
    reason = await failure(reader(f"redis://127.0.0.1:{free_port()}"))
    assert reason.startswith("Redis cannot be reached")


async def test_a_server_of_another_protocol_is_said_so():
    async def web(reader_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader_.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(web, "127.0.0.1", 0)
    async with server:
        reason = await failure(reader(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert "does not speak the Redis protocol" in reason


async def test_a_server_that_never_answers_does_not_hold_the_reader_up(monkeypatch):
    async def silent(reader_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader_.read()
        writer.close()

    monkeypatch.setattr("app.instruments.redis.ANSWER_TIMEOUT_S", 0.2)
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, asyncio.timeout(20):
        reason = await failure(reader(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert reason == "Redis did not answer in time."


async def test_a_server_that_loads_its_data_is_said_so():
    async def loading(reader_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader_.read(1000):
            writer.write(b"-LOADING Redis is loading the dataset in memory\r\n")
        writer.close()

    server = await asyncio.start_server(loading, "127.0.0.1", 0)
    async with server:
        reason = await failure(reader(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert "still loading" in reason


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "redis://127.0.0.1:port", "nonsense"])
async def test_a_url_that_is_none_of_redis_is_said_so(url):
    with pytest.raises(InstrumentFailure, match="URL is not usable") as caught:
        await reader(url).ping_ms(1)
    assert caught.value.missing == "redis.url"


async def test_without_a_declared_redis_the_key_to_add_is_named():
    with pytest.raises(InstrumentFailure) as caught:
        await RedisReader(None, References({})).counters()
    assert caught.value.missing == "redis.url"
