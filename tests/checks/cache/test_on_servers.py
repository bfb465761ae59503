"""The checks of the cache's server against real servers: what they say where a right is missing, or more."""

from __future__ import annotations

import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from app.instruments.redis import RedisReader
from app.instruments.references import References
from checks import all_checks
from checks.contract import Finding, InstrumentFailure, Outcome
from checks.contract.target.dependencies import Redis as Declared
from tests.checks.scripted import ChatModel, ScriptedQuestions, a_target, measure
from tests.instruments.redis_servers import programs, redis_server
from tests.instruments.servers import free_port

PREFIX = "chat:"
SERVER_CHECKS = ("cache.memory_bound", "cache.ttl_coverage", "cache.latency")
EVERY = ("cache.reachable", "cache.hit_rate", *SERVER_CHECKS)
LIMITED = ("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru")
SLOW_HOST = {"pass_get_p99_ms": 1000.0, "pass_p95_ms": 1000.0}  # how fast a busy host is proves nothing
READS = "+ping +info +select +scan +ttl +get +slowlog|get +config|get"


@pytest.fixture(params=programs(), ids=lambda program: Path(program).name)
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def found(
    check_id: str,
    url: str,
    *,
    writes_to: int | None = None,
    meanwhile: Callable[[], object] = lambda: None,
    **environment: str,
) -> Finding:
    """What a check says of the Redis at ``url``, of a service that stores answers in that of a port.

    ``meanwhile`` happens once, amid the first question.
    """
    declared = Declared(url=url, key_prefix=PREFIX)
    chat = ChatModel()
    service = redis.Redis(port=writes_to, socket_timeout=3) if writes_to else None

    def answer(prompt, route):
        if not chat.seen:
            meanwhile()
        if service is not None and service.get(f"{PREFIX}{prompt}") is None:
            service.set(f"{PREFIX}{prompt}", "an answer", ex=900)
        return chat.answer(prompt, route)

    instruments = chat.instruments(
        redis=RedisReader(declared, References(environment)), questions=ScriptedQuestions(answer)
    )
    module = all_checks()[check_id].module
    known = module.Thresholds.__dataclass_fields__
    overrides = {name: value for name, value in SLOW_HOST.items() if name in known}
    try:
        return measure(module, a_target(redis=declared.model_dump()), instruments, **overrides)
    except InstrumentFailure as failure:  # as the engine does
        return Finding.not_assessed(failure.reason, missing=failure.missing)


@contextmanager
def limited(program: str, folder: Path, *options: str) -> Iterator[tuple[int, redis.Redis]]:
    """A server as it should be, and somebody who administers it."""
    with redis_server(program, folder, *LIMITED, *options) as port, redis.Redis(port=port) as administrator:
        yield port, administrator


def test_a_server_as_it_should_be_passes(program, tmp_path):
    with limited(program, tmp_path) as (port, _):
        for check_id in EVERY:
            finding = found(check_id, f"redis://127.0.0.1:{port}/0", writes_to=port)
            assert finding.outcome is Outcome.PASS, finding


def test_a_server_as_it_comes_is_unbounded(program, tmp_path):
    with redis_server(program, tmp_path) as port:
        finding = found("cache.memory_bound", f"redis://127.0.0.1:{port}", writes_to=port)
    assert finding.outcome is Outcome.FAIL
    assert "maxmemory is 0" in finding.reason


def test_a_server_that_evicts_fails(program, tmp_path):
    with limited(program, tmp_path, "--maxmemory", "6mb") as (port, administrator):
        for n in range(2000):
            administrator.set(f"filler {n}", "." * 4000)
        finding = found("cache.memory_bound", f"redis://127.0.0.1:{port}", writes_to=port)
    assert finding.outcome is Outcome.FAIL
    assert finding.value > 0.9


def test_a_command_that_was_slow_is_named(program, tmp_path):
    script = "local n = 0 for i = 1, 5000000 do n = n + i end return n"
    with limited(program, tmp_path) as (port, administrator):
        finding = found(
            "cache.latency", f"redis://127.0.0.1:{port}", meanwhile=lambda: administrator.eval(script, 0)
        )
    assert finding.outcome is Outcome.WARN
    assert "EVAL" in finding.reason


def test_rejected_connections_fail(program, tmp_path):
    with limited(program, tmp_path) as (port, administrator):
        administrator.config_set("maxclients", 12)

        def crowd() -> None:
            connections = [socket.create_connection(("127.0.0.1", port), 3) for _ in range(20)]
            until(lambda: administrator.info("stats")["rejected_connections"] > 0)
            for connection in connections:
                connection.close()
            until(lambda: administrator.info("clients")["connected_clients"] < 5)

        finding = found("cache.latency", f"redis://127.0.0.1:{port}", meanwhile=crowd)
    assert finding.outcome is Outcome.FAIL
    assert "rejected" in finding.reason


def test_no_connection_left_is_a_cache_that_cannot_be_used(program, tmp_path):
    with limited(program, tmp_path) as (port, administrator):
        administrator.config_set("maxclients", 1)
        finding = found("cache.reachable", f"redis://127.0.0.1:{port}")
        assert finding.outcome is Outcome.FAIL
        assert "maxclients" in finding.reason
        for check_id in SERVER_CHECKS:
            assert "maxclients" in found(check_id, f"redis://127.0.0.1:{port}").reason


@pytest.mark.parametrize(
    ("right", "check_id", "grant"),
    [
        ("info", "cache.memory_bound", "+info"),
        ("info", "cache.latency", "+info"),
        ("scan", "cache.ttl_coverage", "+scan"),
        ("ttl", "cache.ttl_coverage", "+ttl"),
        ("get", "cache.latency", "+get"),
        ("slowlog", "cache.latency", "+slowlog|get"),
        ("ping", "cache.reachable", "+ping"),
        ("select", "cache.latency", "+select"),
    ],
)
def test_a_right_that_is_missing_is_named_with_the_line_that_grants_it(
    program, tmp_path, right, check_id, grant
):
    with limited(program, tmp_path) as (port, administrator):
        administrator.set(f"{PREFIX}old", "an answer", ex=900)
        administrator.execute_command(f"ACL SETUSER watcher on >secret-word ~{PREFIX}* {READS} -{right}")
        url = f"redis://watcher:${{CACHE_PASSWORD}}@127.0.0.1:{port}/{int(right == 'select')}"
        finding = found(check_id, url, writes_to=port, CACHE_PASSWORD="secret-word")
    assert not finding.outcome.measured or check_id == "cache.reachable"
    assert f"`ACL SETUSER watcher {grant}`" in finding.reason
    assert "secret-word" not in str(finding)


def test_what_may_not_be_read_and_is_not_needed_does_not_matter(program, tmp_path):
    with limited(program, tmp_path) as (port, administrator):
        administrator.execute_command(f"ACL SETUSER watcher on nopass ~{PREFIX}* {READS} -config -select")
        for check_id in EVERY:
            finding = found(check_id, f"redis://watcher:any@127.0.0.1:{port}", writes_to=port)
            assert finding.outcome is Outcome.PASS, finding


def test_keys_of_another_prefix_need_a_right_of_their_own(program, tmp_path):
    with limited(program, tmp_path) as (port, administrator):
        administrator.execute_command(f"ACL SETUSER watcher on nopass ~other:* {READS}")
        administrator.set(f"{PREFIX}old", "an answer", ex=900)
        for check_id in ("cache.latency", "cache.ttl_coverage"):
            finding = found(check_id, f"redis://watcher:any@127.0.0.1:{port}", writes_to=port)
            assert finding.outcome is Outcome.NOT_ASSESSED
            assert f"`ACL SETUSER watcher %R~{PREFIX}*`" in finding.reason


def test_a_password_is_needed_and_never_shown(program, tmp_path):
    with redis_server(program, tmp_path, "--requirepass", "secret-word", *LIMITED) as port:
        for check_id in SERVER_CHECKS:
            url = f"redis://:${{CACHE_PASSWORD}}@127.0.0.1:{port}"
            assert found(check_id, url, CACHE_PASSWORD="wrong-word").outcome is Outcome.NOT_ASSESSED
            finding = found("cache.memory_bound", url, CACHE_PASSWORD="secret-word")
            assert finding.outcome is Outcome.PASS
            assert "secret-word" not in str(finding)


def test_a_replica_is_the_wrong_address_for_memory_and_good_enough_for_the_rest(program, tmp_path):
    primary, follower = tmp_path / "primary", tmp_path / "follower"
    primary.mkdir()
    follower.mkdir()
    with (
        limited(program, primary) as (port, _),
        redis_server(program, follower, "--replicaof", f"127.0.0.1 {port}") as replica,
    ):
        url = f"redis://127.0.0.1:{replica}"
        until(lambda: redis.Redis(port=replica).info("replication")["master_link_status"] == "up")
        memory = found("cache.memory_bound", url, writes_to=port)
        others = [found(check_id, url, writes_to=port) for check_id in EVERY if "memory" not in check_id]
    assert memory.outcome is Outcome.NOT_ASSESSED
    assert memory.missing == "redis.url"
    assert [finding.outcome for finding in others] == [Outcome.PASS] * 4, others


def test_a_replica_that_nobody_writes_to_is_no_witness_against_the_service(program, tmp_path):
    with redis_server(program, tmp_path, "--replicaof", f"127.0.0.1 {free_port()}") as replica:
        finding = found("cache.hit_rate", f"redis://127.0.0.1:{replica}")
    assert finding.outcome is Outcome.PASS  # the meter decides


def test_a_replica_cut_from_its_primary_may_refuse_to_answer(program, tmp_path):
    options = ("--replicaof", f"127.0.0.1 {free_port()}", "--replica-serve-stale-data", "no")
    with redis_server(program, tmp_path, *options) as replica:
        finding = found("cache.latency", f"redis://127.0.0.1:{replica}")
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert "replica-serve-stale-data" in finding.reason


def test_a_node_of_a_cluster_is_looked_at_alone(program, tmp_path):
    with limited(program, tmp_path, *in_a_cluster()) as (port, administrator):
        without_slots = found("cache.latency", f"redis://127.0.0.1:{port}")
        administrator.execute_command("CLUSTER ADDSLOTSRANGE 0 16383")
        until(lambda: administrator.cluster("info")["cluster_state"] == "ok")
        administrator.set(f"{PREFIX}old", "an answer", ex=900)
        finding = {check_id: found(check_id, f"redis://127.0.0.1:{port}") for check_id in EVERY}
        elsewhere = found("cache.latency", f"redis://127.0.0.1:{port}/2")
    assert without_slots.outcome is Outcome.NOT_ASSESSED
    assert "slot" in without_slots.reason.lower()
    assert [one.outcome for one in finding.values()] == [Outcome.PASS] * 5, finding
    assert elsewhere.outcome is Outcome.NOT_ASSESSED


def test_a_key_that_another_node_has_takes_the_same_way(program, tmp_path):
    second_folder, second_bus = tmp_path / "second", free_port()
    second_folder.mkdir()
    with limited(program, tmp_path, *in_a_cluster()) as (port, cluster):
        cluster.execute_command("CLUSTER ADDSLOTSRANGE 0 16383")
        until(lambda: cluster.cluster("info")["cluster_state"] == "ok")
        with redis_server(program, second_folder, *in_a_cluster(second_bus)) as second:
            cluster.execute_command("CLUSTER MEET", "127.0.0.1", second, second_bus)
            name = redis.Redis(port=second).execute_command("CLUSTER MYID").decode()
            until(lambda: name in str(cluster.execute_command("CLUSTER NODES")))
            until(lambda: _gave_away(cluster, name))
            finding = found("cache.latency", f"redis://127.0.0.1:{port}")
            with pytest.raises(redis.exceptions.MovedError):
                cluster.execute_command("GET", f"{PREFIX}greenlight:no-such-key")
    assert finding.outcome is Outcome.PASS


def in_a_cluster(bus: int = 0) -> tuple[str, ...]:
    """Options of a node whose bus has a port of its own: the usual one may be too high."""
    return ("--cluster-enabled", "yes", "--cluster-port", str(bus or free_port()))


def _gave_away(cluster: redis.Redis, name: str) -> bool:
    slot = cluster.execute_command("CLUSTER KEYSLOT", f"{PREFIX}greenlight:no-such-key")
    try:
        cluster.execute_command("CLUSTER SETSLOT", slot, "NODE", name)
    except redis.exceptions.ResponseError:
        return False
    return True


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="the wheel's Valkey is built without TLS")
def test_tls_is_spoken(tmp_path):
    certificate, key, port = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), free_port()
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    new = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make = ["openssl", "req", *new, *subject, "-keyout", key, "-out", certificate]
    subprocess.run(make, check=True, capture_output=True)
    files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate)
    tls = (*files, "--tls-auth-clients", "no", "--tls-port", str(port))
    with limited("redis-server", tmp_path, *tls) as (plain, _):
        for check_id in EVERY:
            url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}"
            assert found(check_id, url, writes_to=plain).outcome is Outcome.PASS
            refused = found(check_id, f"rediss://127.0.0.1:{port}", writes_to=plain)
            assert refused.outcome in (Outcome.NOT_ASSESSED, Outcome.FAIL, Outcome.PASS)
            assert refused.outcome is not Outcome.PASS or check_id == "cache.hit_rate"


@pytest.mark.parametrize("check_id", EVERY)
def test_a_server_that_is_away_or_still_loading_is_said_so(check_id):
    away = found(check_id, f"redis://127.0.0.1:{free_port()}")
    with answering(b"-LOADING Redis is loading the dataset in memory\r\n") as port:
        loading = found(check_id, f"redis://127.0.0.1:{port}")
    if check_id == "cache.hit_rate":
        assert (away.outcome, loading.outcome) == (Outcome.PASS, Outcome.PASS)  # the meter decides
        return
    expected = Outcome.FAIL if check_id == "cache.reachable" else Outcome.NOT_ASSESSED
    assert (away.outcome, loading.outcome) == (expected, expected)
    assert "cannot be reached" in away.reason
    assert "still loading" in loading.reason


@pytest.mark.parametrize(
    "reply",
    [
        b"*1000000000\r\n" + b":1\r\n" * 400_000,
        b"*1\r\n" * 20_000,
        b"$10000000000\r\n" + b"x" * 100_000,
        b"$-7\r\n",
        b"*x\r\n",
        b"+" + b"x" * 200_000 + b"\r\n",
        b":7\r\n",
        b"$-1\r\n",
        b"$3\r\n\xff\xfe\xfd\r\n",
        b"*2\r\n$1\r\n0\r\n*1\r\n:4\r\n",
        b"-ERR \x1b[31m<script>\r\n",
        b"-MOVED 1 10.0.0.1:6379\r\n",
        b"-NOPERM \xff\r\n",
        b"-CLUSTERDOWN The cluster is down\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=lambda reply: repr(reply[:12]),
)
def test_whatever_answers_there_each_check_says_so(reply):
    with answering(reply) as port:
        findings = [found(check_id, f"redis://127.0.0.1:{port}") for check_id in SERVER_CHECKS]
        reachable = found("cache.reachable", f"redis://127.0.0.1:{port}")
    assert [finding.outcome for finding in findings] == [Outcome.NOT_ASSESSED] * 3
    assert all("\x1b" not in finding.reason for finding in (*findings, reachable))
    assert reachable.reason


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """Something that gives one and the same reply to whatever it is sent; yields its port."""

    class Talk(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while self.request.recv(65536):
                    self.request.sendall(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
