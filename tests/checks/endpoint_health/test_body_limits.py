"""endpoint_health.body_limits: of scripted replies to bodies that are too long, or half."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest

from checks.contract import BodyReply, Failure, FailureKind, InstrumentFailure, Outcome
from checks.endpoint_health import body_limits
from tests.checks.scripted import (
    TINY,
    ScriptedBodies,
    ScriptedInstruments,
    ScriptedMemory,
    a_target,
    gather,
    judge,
)

LIMIT = 64_000
DECLARED = {"objectives": {"body_bytes": LIMIT}}
PAST = LIMIT + body_limits.BEYOND_BYTES
WHOLE = PAST + body_limits.REST_BYTES


def failing(kind: FailureKind, sent: int = PAST) -> BodyReply:
    return BodyReply(None, {}, b"", sent, False, 10_000.0, Failure(kind, "told in words"))


def early(status: int = 413, sent: int = PAST) -> BodyReply:
    return BodyReply(status, {}, b"", sent, False, 40.0)


def late(status: int = 413) -> BodyReply:
    return BodyReply(status, {}, b"", WHOLE, True, 400.0)


ENDED = BodyReply(408, {}, b"", 20, False, 4_000.0)
WAITED = failing(FailureKind.TIMEOUT, 20)


class Service:
    """Replies to an announced length, to chunks, and to half a body; may keep what it was sent."""

    def __init__(self, announced=None, chunked=None, half=ENDED, *, keeps=0.0) -> None:
        self.replies = {"announced": announced or early(sent=0), "chunked": chunked or early()}
        self.half = half
        self.keeps = keeps
        self.resident = 100e6

    def reply(self, request, plan):
        if plan.stop_after is not None:
            return self.half
        found = self.replies["chunked" if plan.chunked else "announced"]
        reply = found.pop(0) if isinstance(found, list) else found
        self.resident += self.keeps * reply.sent_bytes
        return reply


def found(service: Service, *, target=None, **given):
    bodies = ScriptedBodies(service.reply)
    given = {"memory": ScriptedMemory(lambda: service.resident)} | given
    instruments = ScriptedInstruments(bodies=bodies, **given)
    target = target or a_target(**DECLARED)
    evidence = gather(body_limits, target, instruments)
    return judge(body_limits, evidence, target), bodies.sent


def measured(service: Service, **given):
    return found(service, **given)[0]


def test_early_refusals_and_an_end_to_half_a_body_pass():
    finding, sent = found(Service())
    assert finding.outcome is Outcome.PASS
    assert "above 64\u00a0kB early" in finding.reason
    assert "ended after 4\u00a0s" in finding.reason
    assert finding.value is None  # nothing was read whole, so nothing had to be sent again
    assert len(sent) == 3


def test_what_is_sent_is_past_the_limit_and_costs_a_model_nothing():
    _, sent = found(Service())
    plans = {plan.chunked: plan for _, plan in sent if plan.stop_after is None}
    for chunked, plan in plans.items():
        assert (plan.before, plan.filler, plan.filler_bytes) == (b"", b" ", WHOLE)
        assert (PAST, body_limits.PAUSE_S) in plan.pauses
        assert (plan.pauses[0][0] == 0) is not chunked  # an announced length can be refused at once
    for request, _ in sent:
        assert json.loads(b"   " + request.body)["message"]


def test_without_a_declared_limit_a_usual_one_is_tried():
    finding, sent = found(Service(), target=a_target())
    assert "the usual 4\u00a0MB" in finding.reason
    assert max(plan.filler_bytes for _, plan in sent) > body_limits.DEFAULT_LIMIT_BYTES


def test_a_form_gets_a_field_more():
    form = a_target(
        ask={
            "path": "/ask",
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
            "body": "q={prompt}",
        }
    )
    _, sent = found(Service(), target=form)
    request, plan = next((request, plan) for request, plan in sent if plan.chunked)
    assert (plan.before, plan.filler) == (b"padding=", b"x")
    assert request.body.startswith(b"&q=Never-seen")


@pytest.mark.parametrize("way", ["announced", "chunked"])
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (late(200), "answered with 200, as if they were few"),
        (early(200), "answered with 200"),
        (late(500), "answered with 500"),
        (early(503), "answered with 503"),
        (failing(FailureKind.RESET), "a closed connection and no status"),
        (failing(FailureKind.TIMEOUT), "got no reply in 10\u00a0s"),
        (failing(FailureKind.PROTOCOL), "got protocol"),
    ],
)
def test_what_is_taken_or_broken_fails_whichever_way_it_came(way, reply, words):
    finding = measured(Service(**{way: reply}))
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason
    assert body_limits.WORDS[way] in finding.reason
    assert ("Transfer-Encoding: chunked" in finding.reproduce) is (way == "chunked")
    assert finding.fix


def test_what_is_answered_is_not_sent_again():
    _, sent = found(Service(late(200), late(200)))
    assert len(sent) == 3


def test_a_reset_is_looked_at_twice():
    finding, sent = found(Service(announced=[failing(FailureKind.RESET), early()]))
    assert finding.outcome is Outcome.PASS
    assert len(sent) == 4


@pytest.mark.parametrize("reply", [late(413), late(400), late(422)])
def test_a_late_refusal_warns(reply):
    finding = measured(Service(chunked=reply))
    assert (finding.outcome, finding.share) == (Outcome.WARN, 0.5)
    assert "after its last byte only" in finding.reason


@pytest.mark.parametrize(
    ("announced", "chunked", "outcome"),
    [
        (413, 413, Outcome.PASS),
        (422, 411, Outcome.PASS),
        (413, 501, Outcome.PASS),
        (413, 400, Outcome.PASS),
        (400, 413, Outcome.WARN),
        (413, 409, Outcome.WARN),
    ],
)
def test_a_refusal_should_say_that_it_is_about_length(announced, chunked, outcome):
    assert measured(Service(early(announced), early(chunked))).outcome is outcome


@pytest.mark.parametrize(
    ("kept", "outcome"), [(1.0, Outcome.FAIL), (0.51, Outcome.FAIL), (0.5, Outcome.WARN), (0.0, Outcome.WARN)]
)
def test_memory_that_stays_with_each_refused_body_fails(kept, outcome):
    finding, sent = found(Service(late(), late(), keeps=kept))
    assert len(sent) == 3 + 2 * body_limits.AGAIN
    assert finding.outcome is outcome
    assert finding.unit == "bytes"
    assert finding.value == pytest.approx(kept * 2 * body_limits.AGAIN * WHOLE)


def test_a_little_that_stays_is_the_allocators():
    service = Service(chunked=BodyReply(413, {}, b"", 1_000_000, True, 1.0), keeps=1)
    finding = measured(service)
    assert (finding.outcome, finding.value) == (Outcome.WARN, 3e6)


def test_only_what_was_read_whole_is_sent_again():
    _, sent = found(Service(chunked=late()))
    again = [plan for _, plan in sent[3:]]
    assert [plan.chunked for plan in again] == [True] * body_limits.AGAIN
    assert all(plan.pauses == () for plan in again)


def test_memory_that_cannot_be_read_is_said_and_the_rest_is_judged():
    refusal = InstrumentFailure("No process listens here.", missing="health.metrics")
    finding = measured(Service(late()), memory=ScriptedMemory(lambda: refusal))
    assert finding.outcome is Outcome.WARN
    assert "is not known: No process listens here." in finding.reason


def test_half_a_body_that_is_waited_for_without_end_warns_at_most():
    quick = measured(Service(half=WAITED))
    assert (quick.outcome, quick.share) == (Outcome.WARN, 0.5)
    assert "still waited for after 6\u00a0s, which is as long as a quick run looks" in quick.reason
    assert "sleep 6" in quick.reproduce
    standard = type(TINY)("standard", 20, 0.05, 1, TINY.scenarios)
    longer = measured(Service(half=WAITED), profile=standard)
    assert "after 1\u00a0m 1\u00a0s, limit 1\u00a0m" in longer.reason


@pytest.mark.parametrize(("ended_s", "outcome"), [(60.0, Outcome.PASS), (60.5, Outcome.WARN)])
def test_half_a_body_may_be_waited_for_a_minute(ended_s, outcome):
    assert measured(Service(half=BodyReply(408, {}, b"", 20, False, ended_s * 1000))).outcome is outcome


def test_a_connection_that_is_closed_on_half_a_body_has_ended_too():
    assert measured(Service(half=failing(FailureKind.RESET, 20))).outcome is Outcome.PASS


@pytest.mark.parametrize("status", [401, 403, 404, 415, 302])
def test_a_refusal_for_another_reason_proves_nothing(status):
    finding = measured(Service(early(status), early(status)))
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.follows_from == "endpoint_health.primary_route"


def test_a_rate_limit_proves_nothing():
    finding = measured(Service(early(429), early(429)))
    assert finding.outcome is Outcome.NOT_ASSESSED


def test_a_service_that_is_gone_is_not_assessed():
    gone = failing(FailureKind.REFUSED, 0)
    assert measured(Service(gone, gone, gone)).outcome is Outcome.NOT_ASSESSED


def test_a_question_without_a_body_cannot_be_too_long():
    target = a_target(ask={"method": "GET", "path": "/ask?q={prompt}"})
    finding, sent = found(Service(), target=target)
    assert (finding.outcome, finding.missing) == (Outcome.NOT_ASSESSED, "ask")
    assert sent == []


def test_the_shell_line_makes_the_same_body():
    target = a_target(**DECLARED, ask={"path": "/ask", "body": {"q": "it's {prompt} % \\"}})
    line = measured(Service(late(200)), target=target).reproduce
    command, _, curl = line.partition(" | curl ")
    made = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout
    assert len(made) > WHOLE
    assert json.loads(made)["q"].startswith("it's Never-seen")
    assert "--data-binary @-" in curl
    waited = measured(Service(half=WAITED), target=target).reproduce
    talk = shlex.split(waited.partition("(")[2].partition("; sleep")[0])
    head = subprocess.run(talk, capture_output=True, check=True).stdout
    assert head.startswith(b"POST /ask HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert head.partition(b"\r\n\r\n")[2].startswith(b'{"q":')
