"""Each defect shows its symptom, and the healthy sample does not. What checks make of it is tested there."""

from __future__ import annotations

import http.client
import json
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import AuthenticationError, Redis

from app.sample import stack
from app.sample.chat.broken.doors import CROWD
from app.sample.chat.broken.load import BALLAST_BYTES, LEAKED_BYTES, SLOW_HIT_S
from app.sample.chat.cache import key_of
from app.sample.defects import AS_FOUND, DEFECTS, checked
from app.sample.tokens import token
from checks import all_checks
from tests.sample.client import HANG, SLOW, Client, eventually, new_question

BAD_BODIES = (
    {"message": None, "session_id": "s"},
    {"message": [None], "session_id": "s"},
    {"session_id": "s"},
)
LONG_BYTES = 4 << 20
UNKNOWN_TOKEN = {"Authorization": "Bearer nobody"}
NESTED = b'{"message": ' + b"[" * 500 + b"]" * 500 + b', "session_id": "s"}'


def _declared_redis(sample: Client) -> Redis:
    target = tomllib.loads(sample.state.target_file.read_text())
    return Redis.from_url(target["redis"]["url"])


def cache_password_unknown(sample: Client) -> bool:
    with _declared_redis(sample) as redis:
        try:
            redis.ping()
        except AuthenticationError:
            return _hit(sample)  # the service itself knows it
    return False


def cache_slow_to_reach(sample: Client) -> bool:
    with _declared_redis(sample) as redis:
        redis.ping()
        declared = redis.connection_pool.connection_kwargs["port"]
    return declared != sample.state.ports["valkey"] and _hit(sample)


def cache_unbounded(sample: Client) -> bool:
    return _memory_limit(sample) == (0, "allkeys-lru") and _hit(sample)


def cache_refuses_when_full(sample: Client) -> bool:
    most, policy = _memory_limit(sample)
    return policy == "noeviction" and most > 0 and _hit(sample)


def cache_frees_nothing(sample: Client) -> bool:
    most, policy = _memory_limit(sample)
    return policy == "volatile-lru" and most > 0 and _lives_s(sample, sample.chat) is None


def cache_never_expires(sample: Client) -> bool:
    return _lives_s(sample, sample.chat) is None and _lives_s(sample, sample.stream) is None


def cache_stream_never_expires(sample: Client) -> bool:
    whole, streamed = _lives_s(sample, sample.chat), _lives_s(sample, sample.stream)
    return whole is not None and 890 < whole <= 900 and streamed is None


def cache_slow_command(sample: Client) -> bool:
    with Redis(port=sample.state.ports["valkey"]) as redis:
        before = redis.info("commandstats").get("cmdstat_eval", {"calls": 0})["calls"]
        known = new_question()
        for _ in range(3):
            sample.chat(known)
        after = redis.info("commandstats").get("cmdstat_eval", {"calls": 0, "usec_per_call": 0})
    return after["calls"] == before + 1 and after["usec_per_call"] > 10_000


def cache_never_called(sample: Client) -> bool:
    before = _redis_lookups(sample)
    return not _hit(sample) and _redis_lookups(sample) == before


def cache_key_never_matches(sample: Client) -> bool:
    before = _redis_lookups(sample)
    return not _hit(sample) and _redis_lookups(sample) > before


def cache_keeps_few(sample: Client) -> bool:
    return sum(_hit(sample) for _ in range(5)) < 3


def cache_marker_lies(sample: Client) -> bool:
    before = sample.paid_calls()
    return _hit(sample) and sample.paid_calls() == before + 2


def cache_hits_slow(sample: Client) -> bool:
    question = new_question()
    sample.chat(question)
    return sample.chat(question).elapsed.total_seconds() > 0.19 and _hit(sample)


def cache_outage_500(sample: Client) -> bool:
    with sample.refused("cache"):
        failed = sample.chat().status_code
    return failed == 500 and sample.chat().status_code == 200


def cache_hang_no_timeout(sample: Client) -> bool:
    with sample.refused("cache"):
        copes = sample.chat().status_code == 200
    back = eventually(lambda: sample.http.get("/health").json()["components"]["cache"]["status"] == "up")
    with sample.poisoned("cache", HANG):
        return copes and back and _hangs(sample, 2)


def model_calls_hedged(sample: Client) -> bool:
    before = sample.paid_calls()
    sample.chat()
    return sample.paid_calls() == before + 2


def stream_pays_each_time(sample: Client) -> bool:
    question = new_question()
    sample.stream(question)
    before = sample.paid_calls()
    marked = sample.stream(question)[-1][2]["metadata"]["from_cache"]
    return marked and eventually(lambda: sample.paid_calls() == before + 1, within_s=2) and _hit(sample)


def cache_forgets_whose(sample: Client) -> bool:
    first, second = _told(sample, "Waldorf"), _told(sample, "Statler")
    question = new_question()
    answers = [_answer_in(sample, session, question) for session in (first, second)]
    return "Waldorf" in answers[0] and "Waldorf" in answers[1]


def cache_key_drops_digits(sample: Client) -> bool:
    word = "".join(letter for letter in new_question() if letter.isalpha())
    questions = [f"Where is order {number}, {word}?" for number in (4711, 4712)]
    return len({sample.chat(question).json()["answer"] for question in questions}) == 1


def cache_shares_across_users(sample: Client) -> bool:
    sessions = [_told(sample, name) for name in ("Waldorf", "Statler")]
    question = new_question()
    with ThreadPoolExecutor(2) as pool:
        at_once = set(pool.map(lambda session: _answer_in(sample, session, question), sessions))
    question = new_question()
    in_turn = {_answer_in(sample, session, question) for session in sessions}
    return len(at_once) == 1 and len(in_turn) == 2


def cache_stampede(sample: Client) -> bool:
    before = sample.paid_calls()
    _at_once(sample, [new_question()] * 20)
    return sample.paid_calls() - before > 10


def cache_stampede_lock_short(sample: Client) -> bool:
    before = sample.paid_calls()
    _at_once(sample, [new_question()] * 20)
    return sample.paid_calls() - before > 1


def cache_never_reconnects(sample: Client) -> bool:
    with sample.refused("cache"):
        copes = sample.chat().status_code == 200
    time.sleep(2)
    return copes and not _hit(sample)


def cache_given_up_in_silence(sample: Client) -> bool:
    with sample.refused("cache"):
        for _ in range(6):
            sample.chat()
    up = eventually(lambda: sample.http.get("/health").json()["components"]["cache"]["status"] == "up")
    before = _redis_lookups(sample)
    return up and _hit(sample) and _redis_lookups(sample) == before


def health_lies_degraded(sample: Client) -> bool:
    reply = sample.http.get("/health")
    return (reply.status_code, reply.json()["status"]) == (200, "degraded")


def health_red_without_cache(sample: Client) -> bool:
    with sample.refused("cache"):
        answered, red = sample.chat().status_code, sample.http.get("/health").status_code
    back = eventually(lambda: sample.chat().is_success and sample.http.get("/health").is_success)
    return (answered, red, back) == (200, 503, True)


def health_ill_component(sample: Client) -> bool:
    said = sample.http.get("/health").json()
    return said["status"] == "healthy" and any("error" in each for each in said["components"].values())


def health_slow(sample: Client) -> bool:
    return max(sample.http.get("/health").elapsed.total_seconds() for _ in range(5)) > 0.29


def primary_route_500(sample: Client) -> bool:
    return sample.chat().status_code == 500 and sample.stream()[-1][1] == "done"


def primary_route_flaky(sample: Client) -> bool:
    sample.chat("a question")
    statuses = [sample.chat("a question").status_code for _ in range(16)]
    return statuses.count(500) == 2 and statuses.count(200) == 14


def wrong_shape(sample: Client) -> bool:
    reply = sample.chat()
    return reply.status_code == 200 and "answer" not in reply.json()


def bad_input_500(sample: Client) -> bool:
    return {sample.http.post("/api/chat", json=body).status_code for body in BAD_BODIES} == {500}


def bad_input_accepted(sample: Client) -> bool:
    return {sample.http.post("/api/chat", json=body).status_code for body in BAD_BODIES} == {200}


def bad_input_long_session_500(sample: Client) -> bool:
    bodies = ({"message": "a question", "session_id": "s" * length} for length in (128, 129))
    return [sample.http.post("/api/chat", json=body).status_code for body in bodies] == [200, 500]


def bad_input_surrogate_500(sample: Client) -> bool:
    body = b'{"message": "a question", "session_id": "\\ud800"}'
    reply = sample.http.post("/api/chat", content=body, headers={"Content-Type": "application/json"})
    return reply.status_code == 500 and sample.chat().status_code == 200


def bad_input_poisons(sample: Client) -> bool:
    before = sample.chat().status_code
    sample.http.post("/api/chat", content=NESTED, headers={"Content-Type": "application/json"})
    return (before, sample.chat().status_code, sample.order().status_code) == (200, 500, 500)


def errors_show_trace(sample: Client) -> bool:
    bodies = (b"{", b"{}")
    details = [_refused(sample, "/api/chat", body) for body in bodies]
    return all("Traceback (most recent call last)" in detail for detail in details)


def error_shows_query(sample: Client) -> bool:
    none, unknown = (_refused(sample, "/api/orders", b"{}", **headers) for headers in ({}, UNKNOWN_TOKEN))
    return "SELECT" in unknown and "SELECT" not in none


def error_shows_path_when_deep(sample: Client) -> bool:
    shallow, deep = (_refused(sample, "/api/chat", body) for body in (b"[[[[", NESTED))
    return "/srv/" in deep and "/srv/" not in shallow


def body_limit_absent(sample: Client) -> bool:
    return _long_body(sample) == _long_body(sample, chunked=True) == 200


def body_limit_trusts_length(sample: Client) -> bool:
    return (_long_body(sample), _long_body(sample, chunked=True)) == (413, 200)


def body_refused_and_kept(sample: Client) -> bool:
    _long_body(sample, chunked=True)
    before = _resident_bytes(sample)
    statuses = {_long_body(sample, chunked=chunked) for chunked in (True, False) * 3}
    return statuses == {413} and _resident_bytes(sample) - before > 5 * LONG_BYTES


def cors_reflects_any(sample: Client) -> bool:
    return _lets_in(sample, "https://a.example") and _lets_in(sample, "null")


def cors_trusts_the_end(sample: Client) -> bool:
    asked = ("https://a.example", "https://shop.example", "https://evilshop.example")
    return [_lets_in(sample, origin) for origin in asked] == [False, True, True]


def nosniff_missing_on_errors(sample: Client) -> bool:
    good, bad = (sample.http.get(path).headers for path in ("/health", "/nowhere"))
    return "x-content-type-options" in good and "x-content-type-options" not in bad


def stream_all_at_once(sample: Client) -> bool:
    events = sample.stream()
    return len(events) > 15 and events[0][0] > 0.9 * events[-1][0]


def stream_slow_first_token(sample: Client) -> bool:
    events = sample.stream()
    return events[0][0] > 1.6 and events[-1][0] - events[0][0] > 0.3


def stream_first_word_ahead(sample: Client) -> bool:
    (first, *_), (second, *_), *_, (last, *_) = sample.stream()
    return second - first > 0.25 and last - second < 0.1


def stream_opens_empty(sample: Client) -> bool:
    (_, _, opening), (first, *_), *_, (last, *_) = sample.stream()
    return opening == {"text": ""} and first > 0.9 * last


def stream_no_content_type(sample: Client) -> bool:
    kind, _ = _raw_stream(sample, new_question())
    return kind.startswith("text/plain")


def stream_line_breaks_raw(sample: Client) -> bool:
    _, ordinary = _raw_stream(sample, new_question())
    _, in_lines = _raw_stream(sample, f"{new_question()} Put one point a line.")
    return not _strays(ordinary) and len(_strays(in_lines)) >= 2


def stream_characters_split(sample: Client) -> bool:
    _, ordinary = _raw_stream(sample, new_question())
    _, quoted = _raw_stream(sample, f'{new_question()} Begin with "Grüße 🙂".')
    return "\ufffd" not in ordinary and "\ufffd" in quoted


def stream_cached_without_end(sample: Client) -> bool:
    question = new_question()
    first, again = (_raw_stream(sample, question)[1] for _ in range(2))
    return "event: done" in first and "event: token" in again and "event: done" not in again


def stream_goes_on(sample: Client) -> bool:
    body = {"message": f"{new_question()} Please answer at great length.", "session_id": "s"}
    with sample.http.stream("POST", "/api/v1/chat/stream", json=body) as reply:
        next(reply.iter_lines())
    time.sleep(1)
    return sample.open_streams() > 0


def stale_server(sample: Client) -> bool:
    one_connection_each = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=sample.state.url, limits=one_connection_each) as client:
        return len({client.get("/health").json()["instance"] for _ in range(40)}) == 2


def stale_server_elsewhere(sample: Client) -> bool:
    older = next((part for part in sample.state.parts if part.name == "older chat"), None)
    chat = next(part for part in sample.state.parts if part.name == "chat")
    if older is None or older.process().cmdline() != chat.process().cmdline():
        return False
    instances = [httpx.get(f"{part.url}/health").json()["instance"] for part in (older, chat)]
    return older.started_at < chat.started_at and instances[0] != instances[1]


def openapi_missing(sample: Client) -> bool:
    return {sample.http.get(path).status_code for path in ("/openapi.json", "/docs", "/redoc")} == {404}


def openapi_stale(sample: Client) -> bool:
    shape = sample.http.get("/openapi.json").json()["components"]["schemas"]["ChatReply"]
    return "reply" in shape["required"] and "answer" in sample.chat().json()


def contract_broken_when_long(sample: Client) -> bool:
    short, long = (sample.chat(new_question() * times).json()["metadata"]["model"] for times in (1, 30))
    return short is not None and long is None


def readiness_missing(sample: Client) -> bool:
    documented = sample.http.get("/openapi.json").json()["paths"]
    return sample.http.get("/ready").status_code == 404 and "/ready" not in documented


def readiness_alias(sample: Client) -> bool:
    return sample.http.get("/ready").json() == sample.http.get("/health").json()


def readiness_ignores_the_model(sample: Client) -> bool:
    reply = sample.http.get("/ready")
    said = reply.json()
    return (reply.status_code, said["status"], said["dependencies"]["model"]) == (200, "ready", "down")


def request_id_missing(sample: Client) -> bool:
    replies = [sample.http.get(path) for path in ("/health", "/nowhere")]
    return not any({"x-request-id", "traceparent"} & set(reply.headers) for reply in replies)


def request_id_lost_on_errors(sample: Client) -> bool:
    good, bad = (sample.http.get(path).headers for path in ("/health", "/nowhere"))
    return "x-request-id" in good and "x-request-id" not in bad


def request_id_per_connection(sample: Client) -> bool:
    def ids(client: httpx.Client) -> list[str]:
        return [client.get("/health").headers["x-request-id"] for _ in range(3)]

    with httpx.Client(base_url=sample.state.url) as first, httpx.Client(base_url=sample.state.url) as second:
        per_connection = [set(ids(client)) for client in (first, second)]
    return [len(one) for one in per_connection] == [1, 1] and per_connection[0] != per_connection[1]


def request_id_taken_as_it_comes(sample: Client) -> bool:
    given = "<script>" * 1_000
    return sample.http.get("/health", headers={"X-Request-ID": given}).headers["x-request-id"] == given


def auth_missing(sample: Client) -> bool:
    return sample.http.get("/api/orders").status_code == 200 and sample.order(token="bad").status_code == 201


def auth_signature_unchecked(sample: Client) -> bool:
    forged = token("shop", "a key of our own", expires_at=time.time() + 60)
    return [_lists(sample, one) for one in (forged, _secret(sample, stack.EXPIRED_TOKEN_NAME))] == [200, 401]


def auth_expired_accepted(sample: Client) -> bool:
    forged = token("shop", "a key of our own", expires_at=time.time() + 60)
    return [_lists(sample, one) for one in (forged, _secret(sample, stack.EXPIRED_TOKEN_NAME))] == [401, 200]


def rate_limit_absent(sample: Client) -> bool:
    busy = _secret(sample, stack.OTHER_TOKEN_NAME)
    return {_lists(sample, busy) for _ in range(60)} == {200}


def rate_limit_by_address(sample: Client) -> bool:
    return _limited(sample) and _lists(sample, _secret(sample, stack.TOKEN_NAME)) == 429


def rate_limit_lifted_by_header(sample: Client) -> bool:
    busy = _secret(sample, stack.OTHER_TOKEN_NAME)
    return _limited(sample) and _lists(sample, busy, X_Forwarded_For="192.0.2.1") == 200


def slow_under_load(sample: Client) -> bool:
    few, many = _crowd(sample, CROWD - 2), _crowd(sample, CROWD + 4)
    return max(_seconds(few)) < 0.8 < max(_seconds(many))


def errors_under_load(sample: Client) -> bool:
    few, many = ({reply.status_code for reply in _crowd(sample, CROWD + more)} for more in (-2, 4))
    return few == {200} and many == {200, 503}


def collapse_past_peak(sample: Client) -> bool:
    statuses = _at_once(sample, [new_question() for _ in range(60)], timeout_s=4)
    return statuses.count(None) > 10 and 503 not in statuses and sample.chat().status_code == 200


def crash_at_50_users(sample: Client) -> bool:
    before, part = _instance(sample), next(part for part in sample.state.parts if part.name == "chat")
    _kept_connections(sample, 20)
    survives = _instance(sample) == before
    _kept_connections(sample, 50)
    return survives and part.alive and eventually(lambda: _instance(sample) not in (before, ""))


def slow_after_burst(sample: Client) -> bool:
    question = new_question()
    sample.chat(question)
    time.sleep(6.5)
    from_nothing = _asked_every(sample, question, 0.07, times=30)
    time.sleep(6.5)
    _asked_every(sample, question, 0.5, times=12)
    _asked_every(sample, question, 0.07, times=30)
    after = _asked_every(sample, question, 0.1, times=4)
    return max(from_nothing) < 1 < SLOW_HIT_S < max(after)


def errors_without_cache(sample: Client) -> bool:
    new = _at_once(sample, [new_question() for _ in range(70)], together=4)
    sample.chat("a question again")
    sample.chat("a question again")
    after_a_hit = _at_once(sample, [new_question() for _ in range(12)], together=4)
    return new.count(500) > 1 and 500 not in new[:36] + after_a_hit


def memory_leak(sample: Client) -> bool:
    _at_once(sample, [new_question() for _ in range(20)], together=8)
    before = _resident_bytes(sample)
    _at_once(sample, [new_question() for _ in range(60)], together=8)
    return _resident_bytes(sample) - before > 60 * LEAKED_BYTES * 0.8


def errors_pile_up(sample: Client) -> bool:
    return any(_errors_piled_up(sample) for _ in range(3))  # a stall of the machine is a pause, which mends


def _errors_piled_up(sample: Client) -> bool:
    time.sleep(0.6)
    sample.chat("a question known")
    mixed = [question for _ in range(110) for question in (new_question(), "a question known")]
    statuses = _at_once(sample, mixed, together=8)
    time.sleep(0.6)
    after_a_pause = _at_once(sample, mixed[:20:2], together=8)
    return statuses.count(500) > 1 and 500 not in statuses[:80] + after_a_pause


def memory_hungry(sample: Client) -> bool:
    return _resident_bytes(sample) > BALLAST_BYTES


def metrics_undercount(sample: Client) -> bool:
    before = _chat_requests(sample)
    _asked_every(sample, "a question counted", 0.0, times=40)
    return 35 <= _chat_requests(sample) - before <= 37


def metrics_absent(sample: Client) -> bool:
    return sample.http.get("/metrics").status_code == 404


def metrics_unparseable(sample: Client) -> bool:
    try:
        list(text_string_to_metric_families(sample.http.get("/metrics").text))
    except ValueError:
        return True
    return False


def metrics_secret_label(sample: Client) -> bool:
    return 'api_key="sk-live-' in sample.http.get("/metrics").text


def metrics_cardinality(sample: Client) -> bool:
    return sample.http.get("/metrics").text.count("chat_session_questions_total{") == 3_000


def no_upstream_timeout(sample: Client) -> bool:
    with sample.poisoned("upstream", HANG):
        return _hangs(sample, 3)


def upstream_timeout_too_long(sample: Client) -> bool:
    with sample.poisoned("upstream", HANG):
        reply = sample.chat()
    return reply.status_code == 504 and reply.elapsed.total_seconds() > 6.4


def no_compensation(sample: Client) -> bool:
    left = _residue(sample, "invoices")
    return {"stock", "reservations", "drafts"} == left


def partial_compensation(sample: Client) -> bool:
    left = _residue(sample, "invoices")
    return {"stock", "reservations"} == left and not _residue(sample, "stock")


def compensation_forgets_lost_reply(sample: Client) -> bool:
    before = sample.partners()
    with sample.poisoned("invoices", SLOW):
        sample.order()
    after = sample.partners()
    return {kind for kind in after if after[kind] != before[kind]} == {"invoices"} and not _residue(
        sample, "drafts"
    )


# Defects that do not touch each other are switched on together, since each change restarts the service.
TOGETHER = (
    (
        cache_password_unknown,
        readiness_missing,
        request_id_missing,
        health_lies_degraded,
        stream_slow_first_token,
        stale_server_elsewhere,
        metrics_secret_label,
        no_upstream_timeout,
        partial_compensation,
    ),
    (
        cache_slow_to_reach,
        readiness_alias,
        openapi_stale,
        request_id_lost_on_errors,
        health_slow,
        stream_all_at_once,
        slow_under_load,
        metrics_cardinality,
        upstream_timeout_too_long,
        no_compensation,
    ),
    (
        cache_never_called,
        readiness_ignores_the_model,
        openapi_missing,
        request_id_taken_as_it_comes,
        bad_input_500,
        errors_under_load,
        metrics_absent,
        compensation_forgets_lost_reply,
    ),
    (cache_keeps_few, bad_input_accepted, auth_missing, rate_limit_absent, stale_server),
    (cache_unbounded, cache_stream_never_expires, cache_slow_command),
    (cache_refuses_when_full, cache_never_expires, auth_expired_accepted, rate_limit_lifted_by_header),
    (cache_frees_nothing, auth_signature_unchecked, rate_limit_by_address),
    (request_id_per_connection, cache_outage_500, wrong_shape),
    (error_shows_query, body_limit_absent, cors_reflects_any),
    (errors_show_trace, body_limit_trusts_length, cors_trusts_the_end, nosniff_missing_on_errors),
    (error_shows_path_when_deep, body_refused_and_kept),
    (primary_route_flaky, metrics_unparseable),
    (cache_forgets_whose, cache_stampede, cache_never_reconnects),
    (cache_key_drops_digits, cache_stampede_lock_short, cache_given_up_in_silence),
    (cache_shares_across_users, stream_pays_each_time),
    (model_calls_hedged,),
    (cache_key_never_matches,),
    (contract_broken_when_long, cache_marker_lies),
    (cache_hits_slow,),
    (cache_hang_no_timeout,),
    (primary_route_500,),
    (bad_input_poisons,),
    (memory_leak, errors_pile_up, metrics_undercount, collapse_past_peak),  # the last one leaves calls behind
    (crash_at_50_users, memory_hungry),
    (slow_after_burst, errors_without_cache),
    (health_ill_component, bad_input_long_session_500, stream_line_breaks_raw),
    (bad_input_surrogate_500, stream_characters_split),
    (stream_cached_without_end,),
    (stream_first_word_ahead, health_red_without_cache),
    (stream_opens_empty,),
    (stream_no_content_type,),
    (stream_goes_on,),  # which leaves an answer behind
)
SYMPTOMS = [symptom for together in TOGETHER for symptom in together]


@pytest.mark.parametrize(
    ("symptom", "together"),
    [(symptom, together) for together in TOGETHER for symptom in together],
    ids=lambda given: getattr(given, "__name__", "among others"),
)
def test_a_defect_shows_its_symptom(
    with_defects: Callable[..., Client],
    symptom: Callable[[Client], bool],
    together: tuple[Callable[[Client], bool], ...],
):
    assert symptom(with_defects(*(one.__name__ for one in together)))


# Where an outage, an order or a crowd is needed the healthy case stands in the other test files.
SOON = ("cache", "contract", "health", "metrics", "memory", "openapi", "readiness", "request_id")
QUICK = [one for one in SYMPTOMS if one.__name__.startswith(SOON)]
QUICK += [errors_show_trace, error_shows_query, error_shows_path_when_deep]
QUICK += [body_limit_absent, body_limit_trusts_length, body_refused_and_kept]
QUICK += [cors_reflects_any, cors_trusts_the_end, nosniff_missing_on_errors]
QUICK += [model_calls_hedged, stream_pays_each_time]
QUICK += [primary_route_500, wrong_shape, bad_input_500, bad_input_accepted, bad_input_poisons]
QUICK += [stream_all_at_once, stream_slow_first_token, stale_server, stale_server_elsewhere]
QUICK += [stream_no_content_type, stream_line_breaks_raw, stream_characters_split]
QUICK += [stream_cached_without_end, stream_goes_on]
QUICK += [stream_first_word_ahead, stream_opens_empty]
QUICK += [bad_input_long_session_500, bad_input_surrogate_500]
QUICK += [collapse_past_peak, slow_after_burst, errors_without_cache]
QUICK += [auth_missing, auth_signature_unchecked, auth_expired_accepted]
QUICK += [rate_limit_absent, rate_limit_by_address, rate_limit_lifted_by_header]
QUICK += [slow_under_load, errors_under_load, no_compensation, compensation_forgets_lost_reply]


@pytest.mark.parametrize("symptom", QUICK, ids=lambda symptom: symptom.__name__)
def test_a_healthy_sample_has_no_symptom(sample: Client, symptom: Callable[[Client], bool]):
    assert not symptom(sample)


def test_every_defect_has_a_symptom_here():
    elsewhere = ("monitoring", "error_recovery")  # whose files begin as this one and end with the group
    here = {name for name, defect in DEFECTS.items() if defect.group not in elsewhere}
    assert here <= {symptom.__name__ for symptom in SYMPTOMS} <= set(DEFECTS)


def test_what_defects_say_of_checks_is_about_checks_that_exist():
    known = all_checks()
    families = {check.family for check in known.values()}
    for defect in DEFECTS.values():
        assert defect.notices
        assert set(defect.notices) <= set(known), defect.name
        assert defect.group in families


def test_all_defects_at_once_still_start(sample_stack: Callable[..., stack.State]):
    assert sample_stack(*DEFECTS).whole


def test_as_found_is_the_situation_of_the_brief(with_defects: Callable[..., Client]):
    sample = with_defects(*checked(AS_FOUND))
    assert primary_route_500(sample)
    assert cache_never_called_by_the_stream(sample)
    assert stale_server(sample)
    assert no_compensation(sample)
    assert no_upstream_timeout_of_the_stream(sample)


def cache_never_called_by_the_stream(sample: Client) -> bool:
    question = new_question()
    return not any(sample.stream(question)[-1][2]["metadata"]["from_cache"] for _ in range(2))


def no_upstream_timeout_of_the_stream(sample: Client) -> bool:
    body = {"message": new_question(), "session_id": "s"}
    with sample.poisoned("upstream", HANG), pytest.raises(httpx.ReadTimeout):
        sample.http.post("/api/v1/chat/stream", json=body, timeout=3)
    return True


def _raw_stream(sample: Client, question: str) -> tuple[str, str]:
    """Content type and text of a stream."""
    reply = sample.http.post("/api/v1/chat/stream", json={"message": question, "session_id": "s"})
    return reply.headers["content-type"], reply.text


def _strays(stream: str) -> list[str]:
    """Lines that are neither fields of an event nor between two."""
    return [line for line in stream.split("\n") if line and not line.startswith(("event: ", "data: "))]


def _refused(sample: Client, path: str, body: bytes, **headers: str) -> str:
    """The detail of a refusal."""
    reply = sample.http.post(path, content=body, headers={"Content-Type": "application/json", **headers})
    assert 400 <= reply.status_code < 500
    return str(reply.json()["detail"])


def _long_body(sample: Client, *, chunked: bool = False) -> int | None:
    """The status of a question with white space before it; None where the connection broke over it."""
    body = [b" " * 65_536] * (LONG_BYTES // 65_536)
    body.append(json.dumps({"message": new_question(), "session_id": "s"}).encode())
    headers = {"Content-Type": "application/json"}
    content = iter(body) if chunked else b"".join(body)
    try:
        return sample.http.post("/api/chat", content=content, headers=headers).status_code
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        return None


def _lets_in(sample: Client, origin: str) -> bool:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    replies = (sample.http.options("/api/chat", headers=asks), sample.http.get("/health", headers=asks))
    return all(
        reply.headers.get("access-control-allow-origin") == origin
        and reply.headers.get("access-control-allow-credentials") == "true"
        for reply in replies
    )


def _limited(sample: Client) -> bool:
    """Whether a shop that lists its orders again and again is refused, and is so just now."""
    busy = _secret(sample, stack.OTHER_TOKEN_NAME)
    return any(_lists(sample, busy) == 429 for _ in range(200))


def _lists(sample: Client, shop_token: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = sample.http.get("/api/orders", headers={"Authorization": f"Bearer {shop_token}", **named})
    return reply.status_code


def _secret(sample: Client, name: str) -> str:
    return stack.environment(sample.state)[name]


def _told(sample: Client, name: str) -> str:
    """A new session that has told a name."""
    session = new_question()
    _answer_in(sample, session, f"Please remember that my name is {name}.")
    return session


def _answer_in(sample: Client, session: str, message: str) -> str:
    reply = sample.http.post("/api/chat", json={"message": message, "session_id": session})
    return reply.json()["answer"]


def _hit(sample: Client) -> bool:
    question = new_question()
    sample.chat(question)
    return bool(sample.chat(question).json()["metadata"]["from_cache"])


def _redis_lookups(sample: Client) -> int:
    with Redis(port=sample.state.ports["valkey"]) as redis:
        stats = redis.info("stats")
    return int(stats["keyspace_hits"]) + int(stats["keyspace_misses"])


def _memory_limit(sample: Client) -> tuple[int, str]:
    with Redis(port=sample.state.ports["valkey"]) as redis:
        memory = redis.info("memory")
    return int(memory["maxmemory"]), memory["maxmemory_policy"]


def _lives_s(sample: Client, ask: Callable[[str], object]) -> int | None:
    """How long the answer to a new question is kept; None: for ever."""
    question = new_question()
    ask(question)
    with Redis(port=sample.state.ports["valkey"]) as redis:
        seconds = redis.ttl(key_of(question))
    return None if seconds == -1 else seconds


def _hangs(sample: Client, longer_than_s: float) -> bool:
    try:
        sample.chat(timeout=longer_than_s)
    except httpx.ReadTimeout:
        return True
    return False


def _crowd(sample: Client, users: int) -> list[httpx.Response]:
    """The replies to so many users, each on a connection of its own, who ask four times at the same time."""
    sample.chat("a question of many")
    body = {"message": "a question of many", "session_id": "s"}

    def ask(_: int) -> list[httpx.Response]:
        with httpx.Client(base_url=sample.state.url, timeout=30) as client:
            started.wait(timeout=20)
            return [client.post("/api/chat", json=body) for _ in range(4) if time.sleep(0.1) is None]

    started = Barrier(users)
    with ThreadPoolExecutor(users) as pool:
        return [reply for replies in pool.map(ask, range(users)) for reply in replies]


def _seconds(replies: list[httpx.Response]) -> list[float]:
    return [reply.elapsed.total_seconds() for reply in replies]


def _at_once(
    sample: Client, questions: list[str], *, together: int | None = None, timeout_s: float = 30
) -> list[int | None]:
    """The statuses of the replies, None for one that did not come in time."""

    def ask(question: str) -> int | None:
        with closing(_connection(sample, timeout_s)) as connection:
            try:
                return _status(connection, question)
            except TimeoutError:
                return None

    with ThreadPoolExecutor(together or len(questions)) as pool:
        return list(pool.map(ask, questions))


def _connection(sample: Client, timeout_s: float) -> http.client.HTTPConnection:
    """Takes less of the machine than httpx does, which matters where many ask."""
    return http.client.HTTPConnection("127.0.0.1", sample.state.ports["chat"], timeout=timeout_s)


def _status(connection: http.client.HTTPConnection, question: str) -> int:
    body = json.dumps({"message": question, "session_id": "s"})
    connection.request("POST", "/api/chat", body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    reply.read()
    return reply.status


def _asked_every(sample: Client, question: str, every_s: float, *, times: int) -> list[float]:
    """How long each answer took, in s, one asked after the other."""
    return _seconds([sample.chat(question) for _ in range(times) if time.sleep(every_s) is None])


def _kept_connections(sample: Client, users: int) -> None:
    """So many users ask on kept connections for a while, and come back where theirs was cut."""
    until = time.monotonic() + 3

    def ask(_: int) -> None:
        with closing(_connection(sample, 10)) as connection:
            while time.monotonic() < until:
                try:
                    _status(connection, "a question of many")
                except (OSError, http.client.HTTPException):
                    connection.close()
                time.sleep(0.1)

    with ThreadPoolExecutor(users) as pool:
        list(pool.map(ask, range(users)))


def _instance(sample: Client) -> str:
    """Who answers, "" where nobody does."""
    try:
        return httpx.get(f"{sample.state.url}/health").json()["instance"]
    except httpx.TransportError:
        return ""


def _resident_bytes(sample: Client) -> float:
    return _metric(sample, "process_resident_memory_bytes ")


def _chat_requests(sample: Client) -> float:
    return _metric(sample, 'http_requests_total{method="POST",route="/api/chat"')


def _metric(sample: Client, start: str) -> float:
    """The sum of all series whose line begins like this."""
    lines = sample.http.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start))


def _residue(sample: Client, partner: str) -> set[str]:
    before = sample.partners()
    with sample.refused(partner):
        assert sample.order().status_code == 503
    after = sample.partners()
    return {kind for kind in after if after[kind] != before[kind]}
