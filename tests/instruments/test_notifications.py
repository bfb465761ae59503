"""The webhook that a drill listens on, told by a real Alertmanager and by clients that mean harm."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from contextlib import suppress

import pytest

from app.instruments import notifications
from app.instruments.notifications import WebhookListener
from app.instruments.policy import Policy
from checks.contract import InstrumentFailure
from checks.contract.target.monitoring import Notifications as Declared
from tests.instruments.prometheus_servers import alertmanager_server, needs_alertmanager
from tests.instruments.servers import free_port

ALERT = {"status": "firing", "labels": {"alertname": "Down", "job": "chat"}, "annotations": {"summary": "x"}}


def a_listener(port=None, *, host="127.0.0.1", path="/", allowed=()):
    declared = Declared(listen=f"{host}:{port or free_port()}", path=path)
    return WebhookListener(declared, Policy(frozenset(allowed)).refusal), declared


def webhook(*alerts, **changes):
    return {"version": "4", "status": "firing", "receiver": "team", "alerts": list(alerts)} | changes


async def sent(declared, body, *, path=None, method="POST"):
    """The status of one request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    host, _, port = declared.listen.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = [f"{method} {path or declared.path} HTTP/1.1", "Host: x", f"Content-Length: {len(data)}"]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + data)
    try:
        return int((await asyncio.wait_for(reader.readline(), 10)).split()[1])
    finally:
        writer.close()


@needs_alertmanager
async def test_a_real_alertmanager_tells_of_firing_and_resolved(tmp_path):
    listener, declared = a_listener(path="/alerts")
    config = {
        "route": {"receiver": "drill", "group_wait": "0s", "group_interval": "1s"},
        "receivers": [{"name": "drill", "webhook_configs": [{"url": f"http://{declared.listen}/alerts"}]}],
    }
    with alertmanager_server(tmp_path, config) as server:
        async with listener.listening() as heard:
            for ends in ({}, {"endsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))}):
                body = json.dumps([{k: v for k, v in ALERT.items() if k != "status"} | ends]).encode()
                headers = {"Content-Type": "application/json"}
                request = urllib.request.Request(f"{server.url}/api/v2/alerts", body, headers)  # noqa: S310
                await asyncio.to_thread(lambda r=request: urllib.request.urlopen(r).close())  # noqa: S310
                wanted = "resolved" if ends else "firing"
                async with asyncio.timeout(20):
                    while wanted not in [each.status for each in heard.notifications]:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
    first = heard.notifications[0]
    assert (first.status, first.alert, first.labels["job"]) == ("firing", "Down", "chat")
    assert first.annotations == {"summary": "x"}
    assert first.heard_at == pytest.approx(time.monotonic(), abs=30)
    assert heard.refused == 0


async def test_what_makes_no_sense_is_refused_and_the_rest_kept():
    listener, declared = a_listener()
    async with listener.listening() as heard:
        assert await sent(declared, webhook(ALERT, {"status": "odd", "labels": {}}, 7, {"labels": []})) == 200
        assert [each.alert for each in heard.notifications] == ["Down"]
        assert heard.refused == 3
        for body in (b"", b"{", b"[]", b"[" * 50_000, b'{"alerts": 7}', b"\xff\xfe"):
            assert await sent(declared, body) == 400
        assert await sent(declared, webhook(version="9", alerts=None)) == 200
    assert len(heard.notifications) == 1


async def test_an_alert_without_a_name_or_annotations_is_kept():
    listener, declared = a_listener()
    async with listener.listening() as heard:
        assert (
            await sent(declared, webhook({"status": "resolved", "labels": {"a": "b"}, "annotations": None}))
            == 200
        )
    assert [(each.status, each.alert) for each in heard.notifications] == [("resolved", "")]


async def test_only_a_post_to_the_declared_path_is_heard():
    listener, declared = a_listener(path="/alerts")
    async with listener.listening() as heard:
        assert await sent(declared, webhook(ALERT), path="/other") == 404
        assert await sent(declared, webhook(ALERT), method="GET") == 405
        assert await sent(declared, webhook(ALERT), path="/alerts?who=x") == 200
    assert len(heard.notifications) == 1


async def test_a_body_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(notifications, "MAX_BODY_BYTES", 100_000)
    listener, declared = a_listener()
    async with listener.listening() as heard:
        assert await sent(declared, b" " * 300_000) == 413
        assert await sent(declared, webhook(ALERT)) == 200
    assert len(heard.notifications) == 1


async def test_no_more_is_kept_than_the_bound(monkeypatch):
    monkeypatch.setattr(notifications, "MAX_KEPT", 5)
    listener, declared = a_listener()
    async with listener.listening() as heard:
        for _ in range(4):
            assert await sent(declared, webhook(*[ALERT] * 2)) == 200
    assert len(heard.notifications) == 5


async def test_silent_and_too_many_connections_end_and_the_listener_goes_on(monkeypatch):
    monkeypatch.setattr(notifications, "IDLE_S", 0.2)
    monkeypatch.setattr(notifications, "MAX_CONNECTIONS", 4)
    listener, declared = a_listener()
    async with listener.listening() as heard:
        host, _, port = declared.listen.rpartition(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(10)]
        silent[0][1].write(b"POST / HTTP/1.1\r\nContent-Le")
        ended = await asyncio.gather(*(asyncio.wait_for(reader.read(), 10) for reader, _ in silent))
        assert ended == [b""] * 10
        for _, writer in silent:
            writer.close()
        assert await sent(declared, webhook(ALERT)) == 200
    assert len(heard.notifications) == 1


async def test_a_client_that_waits_to_be_told_to_go_on_is_told():
    listener, declared = a_listener()
    async with listener.listening() as heard:
        host, _, port = declared.listen.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps(webhook(ALERT)).encode()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body))
        assert b" 100 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        writer.write(body)
        assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        writer.close()
    assert len(heard.notifications) == 1


async def test_what_is_no_http_is_no_crash():
    listener, declared = a_listener()
    async with listener.listening() as heard:
        host, _, port = declared.listen.rpartition(":")
        for garbage in (b"\x16\x03\x01\x02", b"GET\r\n\r\n", b"X" * 200_000, b"POST / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(garbage + b"\r\n\r\n")
            writer.write_eof()
            with suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 10)
            writer.close()
        assert await sent(declared, webhook(ALERT)) == 200
    assert len(heard.notifications) == 1


async def test_one_connection_may_tell_more_than_once():
    listener, declared = a_listener()
    async with listener.listening() as heard:
        host, _, port = declared.listen.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps(webhook(ALERT)).encode()
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            assert b"200" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert len(heard.notifications) == 3


async def test_the_port_is_free_again_afterwards_even_with_a_client_still_there():
    listener, declared = a_listener()
    host, _, port = declared.listen.rpartition(":")
    for _ in range(3):
        async with listener.listening():
            _, writer = await asyncio.open_connection(host, int(port))
    writer.close()


async def test_a_port_that_is_taken_is_named():
    listener, declared = a_listener()
    async with listener.listening():
        other, _ = a_listener(int(declared.listen.rpartition(":")[2]))
        with pytest.raises(
            InstrumentFailure, match=f"{declared.listen}: something else listens there"
        ) as raised:
            async with other.listening():
                pass
    assert raised.value.missing == "notifications.listen"


async def test_an_address_off_loopback_needs_the_operators_word():
    listener, _ = a_listener(host="192.0.2.1")
    with pytest.raises(InstrumentFailure, match="not on the operator's allow-list"):
        async with listener.listening():
            pass


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_that_is_not_of_this_host_is_named(host):
    listener, _ = a_listener(host=host, allowed=[host])
    with pytest.raises(InstrumentFailure, match="no address of this host"):
        async with listener.listening():
            pass


async def test_without_a_table_nothing_is_listened_on():
    with pytest.raises(InstrumentFailure, match=r"Add `\[notifications\]`"):
        async with WebhookListener(None, Policy().refusal).listening():
            pass
