"""endpoint_health.transport: of scripted replies and handshakes."""

from __future__ import annotations

import pytest

from checks.contract import Failure, FailureKind, Outcome, Reply, TlsFacts
from checks.endpoint_health import transport
from checks.endpoint_health._origins import foreign_origins
from tests.checks.scripted import ScriptedHttp, ScriptedInstruments, ScriptedTls, a_target, measure

HTTPS = "https://api.shop.example"
GOOD = {"x-content-type-options": "nosniff", "strict-transport-security": "max-age=31536000"}
SOUND = TlsFacts(
    version="TLSv1.3", name_matches=True, names=("api.shop.example",), days_left=60.0, life_days=90.0
)


class Service(ScriptedHttp):
    """Replies with ``headers`` everywhere, and what ``cors`` says of an Origin on top."""

    def __init__(self, headers=None, cors=lambda origin, request: {}, *, status=200, failure=None) -> None:
        super().__init__({})
        self.headers = GOOD if headers is None else headers
        self.cors = cors
        self.status = status
        self.failure = failure

    async def send(self, request, *, timeout_s=10.0, fresh_connection=False):
        self.sent.append(request)
        if self.failure:
            return Reply(request.url, None, failure=self.failure)
        origin = request.headers.get("Origin", "")
        known = request.url in ("/health", "/api/chat")
        more = self.cors(origin, request) if origin else {}
        return Reply(request.url, self.status if known else 404, {**self.headers, **more})


def measured(service=None, tls=SOUND, **changes):
    http = service or Service()
    target = a_target(**{"url": HTTPS} | changes)
    return measure(transport, target, ScriptedInstruments(http=http, tls=ScriptedTls(tls)))


def tls(**changes) -> TlsFacts:
    fields = {name: getattr(SOUND, name) for name in TlsFacts.__dataclass_fields__}
    return TlsFacts(**fields | changes)


def reflecting(origin, request):
    return {"access-control-allow-origin": origin, "access-control-allow-credentials": "true"}


def test_a_sound_service_passes_with_the_days_that_are_left():
    finding = measured()
    assert finding.outcome is Outcome.PASS
    assert (finding.value, finding.unit, finding.fix) == (60.0, "days", "")
    assert "TLSv1.3, with a certificate for 60\u00a0days more" in finding.reason
    assert finding.reproduce.startswith("curl -sS -i -X GET https://api.shop.example/health")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (tls(days_left=-3.0, distrust="certificate has expired"), "ended 3\u00a0days ago"),
        (tls(distrust="self-signed certificate"), "not trusted: self-signed"),
        (tls(name_matches=False, names=("other.example",)), "another name (other.example)"),
        (tls(version="TLSv1.1"), "speaks TLSv1.1 and nothing newer"),
        (tls(old_versions=("TLS 1.0", "TLS 1.1")), "agrees to TLS 1.0 and TLS 1.1"),
        (tls(days_left=13.9), "ends in 14\u00a0days; 30\u00a0days should be left"),
        (TlsFacts(failure=Failure(FailureKind.TLS, "TLS failed (wrong version)")), "No TLS connection"),
    ],
)
def test_what_a_client_would_refuse_or_soon_will_fails(facts, words):
    finding = measured(tls=facts)
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason
    assert finding.fix
    if "ends in" not in words:
        assert "openssl s_client -connect api.shop.example:443" in finding.reproduce


@pytest.mark.parametrize(
    ("days", "life", "outcome", "share"),
    [
        (30.0, 90.0, Outcome.PASS, 1.0),
        (29.0, 90.0, Outcome.WARN, 15 / 16),
        (22.0, 365.0, Outcome.WARN, 0.5),
        (14.0, 90.0, Outcome.WARN, 0.0),
        (13.0, 90.0, Outcome.FAIL, 0.0),
        (16.0, 47.0, Outcome.PASS, 1.0),
        (15.0, 47.0, Outcome.WARN, None),
        (7.0, 47.0, Outcome.FAIL, 0.0),
        (3.0, 6.0, Outcome.PASS, 1.0),
    ],
)
def test_days_are_judged_by_the_life_of_the_certificate(days, life, outcome, share):
    finding = measured(tls=tls(days_left=days, life_days=life))
    assert finding.outcome is outcome
    assert share is None or finding.share == pytest.approx(share)


def test_a_life_that_cannot_be_read_warns():
    finding = measured(tls=tls(days_left=None, life_days=None))
    assert (finding.outcome, finding.share) == (Outcome.WARN, 0.5)


def test_a_version_that_cannot_be_tried_from_here_is_said():
    assert "TLS 1.0 could not be tried" in measured(tls=tls(untried=("TLS 1.0",))).reason


@pytest.mark.parametrize(
    ("url", "outcome", "words"),
    [
        ("http://127.0.0.1:1", Outcome.PASS, "stays on this machine"),
        ("http://localhost:1", Outcome.PASS, "stays on this machine"),
        ("http://[::1]:1", Outcome.PASS, "stays on this machine"),
        ("http://shop.example", Outcome.FAIL, "plain HTTP"),
        ("http://10.0.0.7", Outcome.FAIL, "plain HTTP"),
    ],
)
def test_plain_http_is_judged_by_whether_it_leaves_this_machine(url, outcome, words):
    finding = measured(Service({"x-content-type-options": "nosniff"}), url=url)
    assert finding.outcome is outcome
    assert words in finding.reason
    assert finding.value is None


def test_plain_http_that_leads_to_https_asks_for_the_right_url():
    class Upgrading(Service):
        async def send(self, request, **_):
            away = Failure(FailureKind.REDIRECT, "redirects off the target")
            return Reply(request.url, 301, {"location": "https://shop.example/"}, failure=away)

    finding = measured(Upgrading(), url="http://shop.example")
    assert (finding.outcome, finding.missing) == (Outcome.NOT_ASSESSED, "url")


@pytest.mark.parametrize("loopback", [True, False])
def test_any_origin_with_credentials_fails_also_on_this_machine(loopback):
    changes = {"url": "http://127.0.0.1:1"} if loopback else {}
    finding = measured(Service(cors=reflecting), **changes)
    assert finding.outcome is Outcome.FAIL
    assert "lets pages of https://" in finding.reason
    assert "-H 'Origin: https://" in finding.reproduce


def ends_with_shop(origin, request):
    return reflecting(origin, request) if origin.endswith("shop.example") else {}


def begins_with_shop(origin, request):
    return reflecting(origin, request) if origin.startswith("https://shop.example") else {}


def null_alone(origin, request):
    return reflecting(origin, request) if origin == "null" else {}


def preflight_alone(origin, request):
    return reflecting(origin, request) if request.method == "OPTIONS" else {}


@pytest.mark.parametrize("cors", [ends_with_shop, begins_with_shop, null_alone, preflight_alone])
def test_a_look_alike_fails_whichever_way_names_are_compared(cors):
    assert measured(Service(cors=cors)).outcome is Outcome.FAIL
    on_this_machine = measured(Service(cors=cors), url="http://127.0.0.1:1")
    needs_a_name = cors in (ends_with_shop, begins_with_shop)
    assert on_this_machine.outcome is (Outcome.PASS if needs_a_name else Outcome.FAIL)
    declared = {"url": "http://127.0.0.1:1", "web_origins": ["https://shop.example"]}
    assert measured(Service(cors=cors), **declared).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    "cors",
    [
        lambda origin, request: {"access-control-allow-origin": origin},
        lambda origin, request: {
            "access-control-allow-origin": "*",
            "access-control-allow-credentials": "true",
        },
        lambda origin, request: {
            "access-control-allow-origin": "https://shop.example",
            "access-control-allow-credentials": "true",
        },
    ],
    ids=["without credentials", "star, which browsers refuse", "its own site"],
)
def test_what_a_browser_would_not_hand_over_is_not_open(cors):
    assert measured(Service(cors=cors)).outcome is Outcome.PASS


def test_look_alikes_are_none_of_the_declared_sites():
    target = a_target(url="https://api.shop.co.example", web_origins=["https://evilshop.co.example"])
    origins = foreign_origins(target, "x")
    assert "https://evilshop.co.example" not in origins
    assert "https://evilevilshop.co.example" in origins
    assert len(origins) == len(set(origins)) == 5


class WithoutOnErrors(Service):
    async def send(self, request, **_):
        reply, rest = await super().send(request), {"strict-transport-security": "max-age=31536000"}
        return reply if reply.status == 200 else Reply(request.url, reply.status, rest)


def test_a_header_that_is_missing_on_errors_alone_warns_and_is_named():
    finding = measured(WithoutOnErrors())
    assert (finding.outcome, finding.share) == (Outcome.WARN, 0.5)
    assert "1 of 3\u00a0replies lack X-Content-Type-Options: nosniff: /" in finding.reason
    assert "(404)" in finding.reason


@pytest.mark.parametrize("value", ["", "max-age=0", "max-age=86400", "includeSubDomains", "max-age=x"])
def test_hsts_must_be_there_and_last(value):
    finding = measured(Service({**GOOD, "strict-transport-security": value}))
    assert finding.outcome is Outcome.WARN
    assert "Strict-Transport-Security" in finding.reason
    quoted = measured(Service({**GOOD, "strict-transport-security": 'Max-Age="63072000"; preload'}))
    assert quoted.outcome is Outcome.PASS


def test_hsts_is_not_asked_of_a_number_since_browsers_ignore_it_there():
    assert measured(Service({"x-content-type-options": "nosniff"}), url="https://10.0.0.7").share == 1


def test_a_version_in_the_server_header_is_a_remark():
    finding = measured(Service({**GOOD, "server": "nginx/1.18.0 (Ubuntu)"}))
    assert finding.outcome is Outcome.PASS
    assert "name nginx/1.18.0" in finding.reason
    assert "which helps" not in measured(Service({**GOOD, "server": "nginx"})).reason


@pytest.mark.parametrize(
    "facts", [None, TlsFacts(failure=Failure(FailureKind.REFUSED, "connection refused"))]
)
def test_a_service_that_is_not_there_is_not_assessed(facts):
    gone = Service(failure=Failure(FailureKind.REFUSED, "connection refused"))
    finding = measured(gone, facts or SOUND, url="http://127.0.0.1:1" if facts is None else HTTPS)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.liveness"


def test_headers_that_cannot_be_read_over_a_sound_connection_warn():
    finding = measured(Service(failure=Failure(FailureKind.TIMEOUT, "no reply within 5 s")))
    assert finding.outcome is Outcome.WARN
    assert "no reply within 5 s" in finding.reason


def test_it_only_reads():
    service = Service()
    measured(service)
    assert {request.method for request in service.sent} == {"GET", "OPTIONS"}


def test_hostile_headers_stay_text():
    nasty = {
        **GOOD,
        "server": "\x1b[31m<b>x</b>/\x00" * 500,
        "strict-transport-security": "max-age=" + "9" * 99,
    }
    assert measured(Service(nasty)).outcome is Outcome.PASS
