"""endpoint_health.request_id against scripted replies."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

import pytest

from checks.contract import Failure, FailureKind, Outcome, Reply, Request
from checks.endpoint_health import request_id
from tests.checks.scripted import ScriptedHttp, ScriptedInstruments, a_target, gather, measure

SILENCE = Failure(FailureKind.TIMEOUT, "no reply within 4 s")
FITS = re.compile(r"[\w.:-]{1,64}")


class Service(ScriptedHttp):
    """A service that handles ids well; subclasses do not."""

    header = "x-request-id"

    def __init__(self, health: int | None = 200) -> None:
        super().__init__({})
        self.health = health

    def id_for(self, request: Request, status: int) -> str:
        given = request.headers.get("X-Request-ID", "")
        return given if FITS.fullmatch(given) else uuid.uuid4().hex

    def headers(self, request: Request, status: int) -> Mapping[str, str]:
        return {self.header: self.id_for(request, status)}

    async def send(self, request: Request, **how) -> Reply:
        self.sent.append(request)
        status = {"/health": self.health, "/api/chat": 405}.get(request.url, 404)
        if status is None:
            return Reply(request.url, failure=Failure(FailureKind.REFUSED, "refused"))
        return Reply(request.url, status, dict(self.headers(request, status)), b"{}")


def measured(service: ScriptedHttp):
    return measure(request_id, a_target(), ScriptedInstruments(http=service))


def test_ids_that_are_honoured_everywhere_pass():
    finding = measured(Service())
    assert finding.outcome is Outcome.PASS
    assert "3 routes" in finding.reason
    assert "X-Request-ID: 6f1c2d3e-greenlight" in finding.reproduce


def test_a_service_that_takes_all_patience_is_read_at_one_route(monkeypatch):
    monkeypatch.setattr(request_id, "PATIENCE_S", 0.0)
    service = Service(health=None)
    assert measured(service).outcome is Outcome.NOT_ASSESSED
    assert {request.url for request in service.sent} == {"/health"}


def test_a_trace_that_goes_on_under_another_span_is_honoured():
    class Traces(Service):
        def headers(self, request, status):
            parts = request.headers.get("traceparent", "").split("-")
            trace = parts[1] if len(parts) == 4 else uuid.uuid4().hex
            return {"traceresponse": f"00-{trace}-00f067aa0ba902b7-01"}

    assert measured(Traces()).outcome is Outcome.PASS


def test_an_id_in_the_body_of_an_error_counts_where_it_is_meant_for_one():
    class InBody(Service):
        async def send(self, request, **how):
            reply = await super().send(request, **how)
            body = f'{{"request_id": "{request.headers.get("X-Request-ID", "")}"}}'.encode()
            return Reply(reply.url, reply.status, {"x-request-id": uuid.uuid4().hex}, body)

    assert measured(InBody()).outcome is Outcome.PASS


def test_none_fails():
    class Silent(Service):
        def headers(self, request, status):
            return {"content-type": "application/json"}

    finding = measured(Silent())
    assert finding.outcome is Outcome.FAIL
    assert "without any request id" in finding.reason
    assert finding.fix


def test_generated_ids_alone_are_a_warning():
    class Generates(Service):
        def id_for(self, request, status):
            return uuid.uuid4().hex

    finding = measured(Generates())
    assert finding.outcome is Outcome.WARN
    assert "does not honour" in finding.reason


def test_echoed_ids_alone_are_a_warning():
    class OnlyEchoes(Service):
        def id_for(self, request, status):
            return request.headers.get("X-Request-ID", "")

    finding = measured(OnlyEchoes())
    assert finding.outcome is Outcome.WARN
    assert "makes none where there is none" in finding.reason


def test_ids_that_errors_lack_are_a_warning():
    class GoodOnly(Service):
        def headers(self, request, status):
            return super().headers(request, status) if status == 200 else {}

    finding = measured(GoodOnly())
    assert finding.outcome is Outcome.WARN
    assert "the 404 of /no-such-route-" in finding.reason


def test_an_id_that_is_the_same_for_several_requests_fails():
    class Constant(Service):
        def id_for(self, request, status):
            given = request.headers.get("X-Request-ID", "")
            return given if FITS.fullmatch(given) else "one-for-all"

    finding = measured(Constant())
    assert finding.outcome is Outcome.FAIL
    assert "the same id: 'one-for-all'" in finding.reason


def test_an_id_taken_as_it_comes_is_a_warning_with_its_own_line():
    class Trusts(Service):
        def id_for(self, request, status):
            return request.headers.get("X-Request-ID") or uuid.uuid4().hex

    finding = measured(Trusts())
    assert finding.outcome is Outcome.WARN
    assert "markup" in finding.reason
    assert "<script>" in finding.reproduce


def test_a_long_id_that_is_cut_within_reason_is_none_taken_as_it_comes():
    class Cuts(Service):
        def id_for(self, request, status):
            return re.sub(r"[^\w.:-]", "", request.headers.get("X-Request-ID", ""))[:64] or uuid.uuid4().hex

    assert measured(Cuts()).outcome is Outcome.PASS


def test_an_id_that_becomes_a_header_fails():
    class Decodes(Service):
        def headers(self, request, status):
            given = request.headers.get("X-Request-ID", "")
            return {
                **super().headers(request, status),
                **({"x-injected-by-id": "1"} if "%0d" in given else {}),
            }

    finding = measured(Decodes())
    assert finding.outcome is Outcome.FAIL
    assert "becomes a header" in finding.reason


@pytest.mark.parametrize(("health", "words"), [(503, "answers 503"), (None, "gives no reply")])
def test_without_a_good_reply_nothing_is_said(health, words):
    finding = measured(Service(health))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert words in finding.reason
    assert finding.missing == "health.liveness"


def test_a_business_route_that_takes_get_is_left_alone_and_so_is_one_with_a_prompt_in_its_path():
    for ask in ({"method": "GET", "path": "/ask"}, {"method": "POST", "path": "/ask/{prompt}"}):
        service = Service()
        measure(request_id, a_target(ask=ask, stream=None), ScriptedInstruments(http=service))
        assert not [request for request in service.sent if request.url.startswith("/ask")]


def test_only_reading_requests_are_sent_and_hostile_ids_are_kept_short():
    class Shouts(Service):
        def id_for(self, request, status):
            return "x" * 8_000 + uuid.uuid4().hex

    service = Shouts()
    found = gather(request_id, a_target(), ScriptedInstruments(http=service))
    assert {request.method for request in service.sent} == {"GET"}
    assert all(len(one) <= request_id.MAX_ID_CHARS for route in found.routes for one in route.ids)


def test_a_route_that_goes_silent_is_asked_no_more_and_the_others_count():
    class SilentOnErrors(Service):
        async def send(self, request, **how):
            reply = await super().send(request, **how)
            return reply if reply.status == 200 else Reply(request.url, failure=SILENCE)

    service = SilentOnErrors()
    assert measured(service).outcome is Outcome.PASS
    assert len([request for request in service.sent if request.url == "/api/chat"]) == 1


def test_a_service_that_is_silent_is_asked_once():
    service = Service(None)
    measured(service)
    assert len(service.sent) == 1
