"""monitoring.metrics_exposed against scripted scrapes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from checks.contract import Failure, FailureKind, Outcome, Scrape
from checks.contract.secrets import secret_kind
from checks.monitoring import metrics_exposed
from tests.checks.scripted import (
    ScriptedHttp,
    ScriptedInstruments,
    ScriptedMetrics,
    ScriptedQuestions,
    a_target,
    an_answer,
    gather,
    measure,
)

GOOD = Scrape(
    url="http://127.0.0.1:1/metrics",
    status=200,
    content_type="text/plain; version=0.0.4",
    families={"http_requests": "counter"},
    series=12,
    labels={"route": ("/api/chat", "/health"), "status": ("200",)},
)


def with_label(name: str, *values: str) -> Scrape:
    return replace(GOOD, labels={**GOOD.labels, name: values})


class Echoing(ScriptedMetrics):
    """A page that puts something of each request into a label, as ``label`` says."""

    def __init__(self, label) -> None:
        super().__init__([GOOD])
        self.label = label
        self.seen: list[str] = []

    async def scrape(self) -> Scrape:
        return with_label(self.label, *self.seen) if self.seen else GOOD


def measured(*scrapes: Scrape, metrics=None, **given):
    instruments = ScriptedInstruments(
        metrics=metrics or ScriptedMetrics(scrapes), http=ScriptedHttp({}), **given
    )
    return measure(metrics_exposed, a_target(), instruments)


def test_a_page_that_parses_passes_with_its_series():
    finding = measured(GOOD, replace(GOOD, series=14))
    assert finding.outcome is Outcome.PASS
    assert finding.value == 14
    assert finding.reproduce == "curl -sS -X GET http://127.0.0.1:1/metrics | promtool check metrics"


@pytest.mark.parametrize(("series", "outcome"), [(10_000, Outcome.PASS), (10_001, Outcome.WARN)])
def test_series_on_the_limit(series, outcome):
    assert measured(replace(GOOD, series=series)).outcome is outcome


@pytest.mark.parametrize(("values", "outcome"), [(200, Outcome.PASS), (201, Outcome.WARN)])
def test_values_of_a_label_on_the_limit(values, outcome):
    finding = measured(with_label("session", *map(str, range(values))))
    assert finding.outcome is outcome
    if outcome is Outcome.WARN:
        assert "`session` has 201 values" in finding.reason


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (replace(GOOD, status=404), "answers 404"),
        (replace(GOOD, parse_error="bad", content_type="text/html; charset=utf-8"), "answers with text/html"),
        (replace(GOOD, parse_error="bad", content_type="application/json"), "answers with application/json"),
        (replace(GOOD, parse_error="line 3"), "cannot be parsed: line 3"),
        (
            replace(GOOD, status=None, failure=Failure(FailureKind.TIMEOUT, "no reply within 10 s")),
            "no reply",
        ),
    ],
    ids=["absent", "html", "json", "garbage", "silence"],
)
def test_what_is_no_metrics_page_fails(page, words):
    finding = measured(page)
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason
    assert finding.fix


def test_a_page_that_breaks_with_traffic_fails():
    assert measured(GOOD, replace(GOOD, parse_error="duplicate series")).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("page", "missing"),
    [
        (replace(GOOD, status=401), "health.headers"),
        (replace(GOOD, status=403), "health.headers"),
        (replace(GOOD, status=302, failure=Failure(FailureKind.REDIRECT, "off")), "health.metrics"),
    ],
    ids=["401", "403", "redirect"],
)
def test_a_credential_or_a_redirect_proves_nothing(page, missing):
    finding = measured(page)
    assert finding.outcome is Outcome.NOT_ASSESSED
    assert finding.missing == missing


def test_a_secret_in_a_label_fails_and_is_not_kept():
    secret = "sk-live-9f8e7d6c5b4a39281706"
    instruments = ScriptedInstruments(
        metrics=ScriptedMetrics([with_label("key", secret)]), http=ScriptedHttp({})
    )
    found = gather(metrics_exposed, a_target(), instruments)
    finding = measured(with_label("key", secret))
    assert finding.outcome is Outcome.FAIL
    assert "`key` holds an API key" in finding.reason
    assert secret not in json.dumps(asdict(found)) + repr(finding)


def test_a_mail_address_warns():
    finding = measured(with_label("customer", "ada@example.com"))
    assert finding.outcome is Outcome.WARN
    assert "`customer` holds a mail address" in finding.reason


@pytest.mark.parametrize("what", ["user", "session", "question"])
def test_what_our_own_questions_leave_in_a_label_is_found(what):
    metrics = Echoing(f"by_{what}")
    questions = ScriptedQuestions(lambda prompt, route: an_answer())
    ask = questions.ask

    async def asked(prompt, *, user="", session="", **options):
        metrics.seen.append({"user": user, "session": session, "question": prompt}[what])
        return await ask(prompt, user=user, session=session, **options)

    questions.ask = asked
    finding = measured(metrics=metrics, questions=questions)
    assert finding.outcome is Outcome.WARN
    assert f"`by_{what}` holds the {what} of each request" in finding.reason


def test_raw_paths_in_a_label_are_found_without_any_question_declared():
    metrics = Echoing("path")
    http = ScriptedHttp({})
    send = http.send

    async def sent(request, **options):
        metrics.seen.append(request.url.partition("?")[0])
        return await send(request, **options)

    http.send = sent
    finding = measure(metrics_exposed, a_target(), ScriptedInstruments(metrics=metrics, http=http))
    assert finding.outcome is Outcome.WARN
    assert "`path` holds the path of each request" in finding.reason


@pytest.mark.parametrize("where", ["query", "credential"])
def test_a_secret_of_our_own_requests_in_a_label_fails_and_is_not_kept(where):
    metrics = Echoing("caller")
    http = ScriptedHttp({})
    send = http.send

    async def sent(request, **options):
        query, credential = request.url.partition("?")[2], request.headers.get("X-Key", "")
        metrics.seen += filter(None, [{"query": query, "credential": credential.rpartition(" ")[2]}[where]])
        return await send(request, **options)

    http.send = sent
    target = a_target(auth={"header": "X-Key", "protected": [{"path": "/orders"}]})
    instruments = ScriptedInstruments(metrics=metrics, http=http)
    finding = measure(metrics_exposed, target, instruments)
    assert finding.outcome is Outcome.FAIL
    assert (
        f"`caller` holds the {'token in the query' if where == 'query' else where} of each" in finding.reason
    )
    assert [request.url for request in http.sent if "X-Key" in request.headers] == ["/orders"]
    assert not any(seen in repr(finding) for seen in metrics.seen)


def test_a_known_question_is_asked_again_so_that_a_hit_is_among_them():
    questions = ScriptedQuestions(lambda prompt, route: an_answer())
    measured(GOOD, questions=questions)
    assert len(questions.asked) == len(set(questions.asked)) + 1


@pytest.mark.parametrize(
    ("label", "value", "kind"),
    [
        ("header", "Bearer abc.def-123456", "a bearer token"),
        ("header", "Basic YWRhOmh1bnRlcjI=", "a password"),
        ("token", "ghp_0123456789abcdefghij", "a GitHub token"),
        ("aws", "AKIAIOSFODNN7EXAMPLE", "an AWS access key"),
        ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "a JSON web token"),
        ("dsn", "postgres://app:hunter2@db/x", "a password in a URL"),
        ("password", "correct horse", "a secret, by its name"),
    ],
)
def test_secrets_are_known_by_their_form(label, value, kind):
    assert secret_kind(label, value) == (kind, True)


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("revision", "0f3c8a1e5b7d9c2f4e6a8b0d1c3e5f7a9b2d4c6e"),
        ("token_type", "prompt"),
        ("route", "/api/v1/risk-assessment-overview"),
        ("le", "+Inf"),
        ("url", "http://127.0.0.1:8003/x"),
        ("basic", "basic"),
        ("plan", "basic subscription-level"),
    ],
)
def test_ordinary_labels_are_no_secrets(label, value):
    assert secret_kind(label, value) is None
