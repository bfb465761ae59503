"""How a server of the team's monitoring is asked, and what is said where it cannot be read."""

from __future__ import annotations

import asyncio
import ssl
import time

import pytest
from pydantic import ValidationError

from app.instruments import server_api
from app.instruments.prometheus import PrometheusReader
from app.instruments.references import References
from app.instruments.server_api import ServerApi
from checks.contract import InstrumentFailure, ServerDown, Target
from checks.contract.target.monitoring import Server
from tests.instruments.monitoring_servers import an_api, answering
from tests.instruments.servers import free_port, scripted
from tests.instruments.tls_servers import Authority

GOOD = {"/api/v1/alertmanagers": {"data": {"activeAlertmanagers": []}}}


async def asked(api: ServerApi) -> tuple[str, ...]:
    async with api:
        return await PrometheusReader(api).alertmanagers()


async def failure_of(answers, **declared) -> InstrumentFailure:
    kind = declared.pop("kind", "application/json")
    async with answering(answers, kind=kind) as server:
        with pytest.raises(InstrumentFailure) as raised:
            await asked(an_api(server.url, **declared))
    assert server.url in raised.value.reason
    return raised.value


async def test_a_bearer_token_and_other_headers_are_sent():
    async with answering(GOOD) as server:
        headers = {"Authorization": "Bearer ${TOKEN}", "X-Scope-OrgID": "shop"}
        await asked(an_api(server.url, headers=headers, environment={"TOKEN": "s3cret-token"}))
    [visit] = server.visits
    assert visit.headers["authorization"] == "Bearer s3cret-token"
    assert visit.headers["x-scope-orgid"] == "shop"
    assert visit.method == "GET"


async def test_user_and_password_are_sent_as_basic_credentials_and_hidden_in_what_comes_back():
    async def talk(visit):
        await visit.reply(f"you sent {visit.headers['authorization']} sesam-öffne", 500)

    environment = {"PASSWORD": "sesam-öffne"}
    async with scripted(talk) as server:
        with pytest.raises(InstrumentFailure) as raised:
            await asked(an_api(server.url, username="ada", password="${PASSWORD}", environment=environment))
    assert server.visits[0].headers["authorization"] == "Basic YWRhOnNlc2FtLcO2ZmZuZQ=="
    assert "YWRh" not in raised.value.reason
    assert "öffne" not in raised.value.reason


async def test_a_path_in_front_of_the_api_is_kept():
    async with answering({f"/prom/x{path}": body for path, body in GOOD.items()}) as server:
        assert await asked(an_api(f"{server.url}/prom/x/")) == ()


async def test_a_secret_that_is_not_set_is_named():
    async with answering(GOOD) as server:
        with pytest.raises(InstrumentFailure, match="no environment variable TOKEN is set") as raised:
            await asked(an_api(server.url, headers={"Authorization": "Bearer ${TOKEN}"}))
    assert raised.value.missing == "TOKEN"
    assert server.visits == []


async def test_a_server_that_is_not_declared_is_named_when_it_is_asked():
    with pytest.raises(InstrumentFailure, match=r"No Grafana is declared. Add `\[grafana\] url`") as raised:
        await asked(ServerApi("Grafana", "grafana", None, References({})))
    assert raised.value.missing == "grafana.url"


async def test_only_reading_is_sent_unless_the_server_may_be_posted_to():
    async with answering(GOOD) as server:
        async with an_api(server.url) as api:
            with pytest.raises(InstrumentFailure, match="Prometheus is only read"):
                await api.post("/api/v1/admin/tsdb/delete_series", {})
        assert server.visits == []


async def test_nothing_is_sent_elsewhere():
    async with answering(GOOD) as server, an_api(server.url) as api:
        with pytest.raises(InstrumentFailure, match="is not declared"):
            await api.reply(f"http://127.0.0.1:{free_port()}/")


@pytest.mark.parametrize(
    ("status", "said", "missing"),
    [
        (401, "asks for a credential (401", "prometheus.headers"),
        (403, "refuses this credential (403", "prometheus.headers"),
        (404, "has no /api/v1/alertmanagers (404). Correct `[prometheus] url`", "prometheus.url"),
        (500, "with status 500: oh no", None),
        (204, "with status 204", None),
    ],
)
async def test_a_status_that_is_not_good_names_the_remedy(status, said, missing):
    failure = await failure_of({"/api/v1/alertmanagers": (status, "oh\x1b\n no" if status == 500 else "")})
    assert said in failure.reason
    assert failure.missing == missing
    assert "\x1b" not in failure.reason


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
async def test_a_login_page_is_told_as_one(kind):
    page = "\n <!DOCTYPE html><html>Sign in</html>"
    failure = await failure_of({"/api/v1/alertmanagers": page}, kind=kind)
    assert "with a web page, not with JSON" in failure.reason
    assert "login" in failure.reason
    assert failure.missing == "prometheus.url"


async def test_a_redirect_to_a_login_elsewhere_is_not_followed():
    async def talk(visit):
        await visit.reply("", 302, Location="https://login.example/?next=x")

    async with scripted(talk) as server:
        with pytest.raises(InstrumentFailure, match="redirects to https://login.example/") as raised:
            await asked(an_api(server.url))
    assert raised.value.missing == "prometheus.url"


async def test_a_server_that_is_not_there_is_told():
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(
        InstrumentFailure, match=f"Prometheus {url} cannot be read: connection refused"
    ) as raised:
        await asked(an_api(url))
    assert isinstance(raised.value, ServerDown)


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_proxy_that_answers_in_its_place_tells_that_it_is_down(status):
    assert isinstance(await failure_of({"/api/v1/alertmanagers": (status, "upstream")}), ServerDown)


async def test_a_reply_without_end_is_cut_at_the_bound(monkeypatch):
    monkeypatch.setattr(server_api, "KEPT_BYTES", 1 << 20)
    failure = await failure_of({"/api/v1/alertmanagers": b" " * (2 << 20)})
    assert "more than 1 MiB" in failure.reason
    assert not isinstance(failure, ServerDown)


async def test_a_reply_that_never_ends_is_waited_for_no_longer_than_the_time_out(monkeypatch):
    monkeypatch.setattr(server_api, "TIMEOUT_S", 0.3)

    async def talk(visit):
        await visit.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await asyncio.sleep(30)

    started = time.monotonic()
    async with scripted(talk) as server:
        with pytest.raises(InstrumentFailure, match="cannot be read: status 200 and 1 bytes"):
            await asked(an_api(server.url))
    assert time.monotonic() - started < 5


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made_in(tmp_path_factory.mktemp("authority"))


async def over_tls(context: ssl.SSLContext, **declared) -> tuple[str, ...]:
    async def talk(visit):
        await visit.reply('{"data": {"activeAlertmanagers": []}}')

    async with scripted(talk, context) as server:
        return await asked(an_api(server.url.replace("http:", "https:"), **declared))


async def test_a_private_authority_is_trusted_where_it_is_declared(authority):
    certificate = authority.certificate()
    assert await over_tls(certificate, ca_file=str(authority.folder / "ca.pem")) == ()


async def test_a_private_authority_that_is_not_declared_is_not_trusted(authority):
    with pytest.raises(InstrumentFailure, match=r"cannot be trusted.*`\[prometheus\] ca_file`") as raised:
        await over_tls(authority.certificate())
    assert raised.value.missing == "prometheus.ca_file"


async def test_a_certificate_for_another_name_is_not_trusted(authority):
    with pytest.raises(InstrumentFailure, match="cannot be trusted"):
        await over_tls(authority.certificate("DNS:shop.example"), ca_file=str(authority.folder / "ca.pem"))


@pytest.mark.parametrize("name", ["missing.pem", "empty.pem"])
async def test_an_authority_that_cannot_be_read_is_named(tmp_path, name):
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(InstrumentFailure, match=f"{name} cannot be read.*Correct `\\[prometheus\\] ca_file`"):
        await asked(an_api("https://127.0.0.1:1", ca_file=str(tmp_path / name)))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"url": "ftp://a"}, "not an http"),
        ({"url": "http://ada:pw@a"}, "write `username` and `password`"),
        ({"url": "http://a/?x=1"}, "goes on after its path"),
        ({"url": "http://a", "username": "ada"}, "needs both"),
        ({"url": "http://a", "username": "ada", "password": "pw"}, "write ${ENV_NAME}"),
        (
            {"url": "http://a", "username": "a", "password": "${A}", "headers": {"authorization": "x"}},
            "keep one",
        ),
        ({"url": "http://a", "token": "x"}, "token"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table, said):
    with pytest.raises(ValidationError) as raised:
        Server.model_validate(table)
    assert said in str(raised.value)


def test_a_target_may_declare_all_its_servers():
    target = Target.model_validate(
        {
            "url": "http://a",
            "prometheus": {"url": "https://b/prom/", "labels": {"job": "chat"}},
            "alertmanager": {"url": "http://c", "headers": {"Authorization": "Bearer ${T}"}},
            "grafana": {"url": "http://d", "dashboards": ["abc"], "ca_file": "ca.pem"},
            "notifications": {"listen": "127.0.0.1:9096", "path": "/alerts"},
        }
    )
    assert target.prometheus.url == "https://b/prom"
