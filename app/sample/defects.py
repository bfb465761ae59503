"""The defects that the sample can have: switches, off by default, one per thing that a check must notice."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.errors import UserError


class UnknownDefectError(UserError):
    """There is no such defect; the message names the nearest one."""


@dataclass(frozen=True)
class Defect:
    """One defect. ``notices``: exactly the checks whose outcome it changes; ``group``: a check family."""

    name: str
    title: str
    description: str
    notices: tuple[str, ...]
    group: str


CACHE_CHECKS = (
    "cache.hit_rate",
    "cache.speedup",
    "cache.cost_saving",
    "cache.monthly_cost",
    "cache.stampede",
    "cache.outage_recovery",
)
CACHE_SERVER_CHECKS = ("cache.memory_bound", "cache.ttl_coverage", "cache.latency")
LOAD_CHECKS = (
    "load_scenarios.baseline",
    "load_scenarios.light",
    "load_scenarios.medium",
    "load_scenarios.heavy",
)
STRESS, SPIKE = "load_scenarios.stress", "load_scenarios.spike"
SATURATION, CACHE_HOSTILE = "load_scenarios.saturation", "load_scenarios.cache_hostile"
SOAK, MEMORY_CEILING = "load_scenarios.soak", "load_scenarios.memory_ceiling"
COUNTS_AGREE = "load_scenarios.counts_agree"
API_CONTRACT = "endpoint_health.api_contract"
UNANSWERED = (*LOAD_CHECKS, STRESS, SPIKE, SATURATION, CACHE_HOSTILE, SOAK, MEMORY_CEILING)

ERROR_DISCLOSURE = "endpoint_health.error_disclosure"
BODY_LIMITS = "endpoint_health.body_limits"
STREAM_PROTOCOL = "endpoint_health.stream_protocol"

_ALL = (
    # cache
    Defect(
        "cache_password_unknown",
        "The cache wants a password nobody passed on",
        "Valkey has a password that the service knows and the target file does not.",
        ("cache.reachable", *CACHE_SERVER_CHECKS),
        "cache",
    ),
    Defect(
        "cache_slow_to_reach",
        "The way to the cache's server is slow",
        "The address of Valkey in the target file leads over a way that takes 80 ms more.",
        ("cache.reachable", "cache.latency"),
        "cache",
    ),
    Defect(
        "cache_unbounded",
        "The cache may take all memory",
        "Valkey has no maxmemory, so it grows until its host has none left.",
        ("cache.memory_bound",),
        "cache",
    ),
    Defect(
        "cache_refuses_when_full",
        "Once full, the cache refuses new answers",
        "Valkey has a limit of memory, and the policy noeviction.",
        ("cache.memory_bound",),
        "cache",
    ),
    Defect(
        "cache_frees_nothing",
        "The cache may evict only what expires, and nothing does",
        "Valkey has a limit and the policy volatile-lru, and answers are stored without a time to live.",
        ("cache.memory_bound", "cache.ttl_coverage"),
        "cache",
    ),
    Defect(
        "cache_never_expires",
        "Answers are kept for ever",
        "Answers are stored without a time to live.",
        ("cache.ttl_coverage",),
        "cache",
    ),
    Defect(
        "cache_stream_never_expires",
        "Streamed answers are kept for ever",
        "A whole answer is stored for 15 minutes; a streamed one loses its end once it is complete.",
        ("cache.ttl_coverage",),
        "cache",
    ),
    Defect(
        "cache_slow_command",
        "A script holds the cache up",
        "At most twice a second a hit runs a script in Valkey, during which nobody else is served.",
        ("cache.latency",),
        "cache",
    ),
    Defect(
        "cache_never_called",
        "The cache is wired in but never called",
        "Every question is answered by the paid model; Redis sees no command.",
        (*CACHE_CHECKS, "cache.ttl_coverage", *LOAD_CHECKS, STRESS),
        "cache",
    ),
    Defect(
        "cache_key_never_matches",
        "No question is ever found in the cache again",
        "The cache key holds a part that is new for each request, so every look-up misses.",
        (*CACHE_CHECKS, *LOAD_CHECKS, STRESS),
        "cache",
    ),
    Defect(
        "cache_keeps_few",
        "Most answers are never stored",
        "Only one question in sixteen is stored, always the same ones.",
        (*CACHE_CHECKS, *LOAD_CHECKS),
        "cache",
    ),
    Defect(
        "cache_marker_lies",
        "Replies say cached, and the model is paid all the same",
        "A repeated question is marked as cached, but the model is called and waited for each time.",
        CACHE_CHECKS,
        "cache",
    ),
    Defect(
        "cache_hits_slow",
        "A hit takes nearly as long as the model",
        "After a hit the service does something slow for 200 ms.",
        ("cache.speedup",),
        "cache",
    ),
    Defect(
        "cache_outage_500",
        "Without the cache there are no answers",
        "When Redis does not answer, questions fail with 500; nothing stands in for it.",
        ("cache.outage_fallback",),
        "cache",
    ),
    Defect(
        "cache_hang_no_timeout",
        "A silent cache hangs every question",
        "The connection to Redis has no time-out; a refused connection is coped with, silence is not.",
        ("cache.outage_fallback",),
        "cache",
    ),
    Defect(
        "model_calls_hedged",
        "Each call of the model is made twice",
        "A second call is made beside each, so that the faster one counts; both are paid.",
        ("cache.monthly_cost",),
        "cache",
    ),
    Defect(
        "stream_pays_each_time",
        "Streamed answers are paid for though they are known",
        "A known answer streams from the cache, marked as cached, and the model is called beside it.",
        ("cache.monthly_cost", "cache.stampede"),
        "cache",
    ),
    Defect(
        "cache_forgets_whose",
        "One customer's answer is given to another",
        "The cache key holds the question and not what the session told, on which the answer depends.",
        ("cache.isolation",),
        "cache",
    ),
    Defect(
        "cache_key_drops_digits",
        "Questions that differ in a number get one answer",
        "The cache key is made of the question without its digits, for the sake of more hits.",
        ("cache.isolation",),
        "cache",
    ),
    Defect(
        "cache_shares_across_users",
        "Customers who ask at the same moment get one answer",
        "Stored answers have the right key; calls under way are shared by the question alone.",
        ("cache.isolation",),
        "cache",
    ),
    Defect(
        "cache_stampede",
        "Everybody who misses at once pays",
        "Calls under way are not shared: fifty who ask the same new question make up to fifty calls.",
        ("cache.stampede",),
        "cache",
    ),
    Defect(
        "cache_stampede_lock_short",
        "The lock against stampedes is let go too soon",
        "A call under way is shared for 10 ms, and it takes 300.",
        ("cache.stampede",),
        "cache",
    ),
    Defect(
        "cache_never_reconnects",
        "After an outage the cache is never used again",
        "When Redis was away once, nothing is asked of it until a restart, and nothing stands in.",
        ("cache.outage_recovery",),
        "cache",
    ),
    Defect(
        "cache_given_up_in_silence",
        "The cache is given up after three lost connections, and health says up",
        "From then on each process answers from its own memory until a restart; replies still say cached.",
        ("cache.outage_recovery",),
        "cache",
    ),
    # endpoint_health
    Defect(
        "health_lies_degraded",
        "Health says degraded",
        "GET /health answers 200 with the status degraded.",
        ("endpoint_health.liveness",),
        "endpoint_health",
    ),
    Defect(
        "health_red_without_cache",
        "Health turns red when the cache is away",
        "GET /health answers 503 while Redis does not answer, though every question is still answered.",
        ("cache.outage_fallback",),
        "endpoint_health",
    ),
    Defect(
        "health_ill_component",
        "Health says healthy over an error inside",
        "GET /health answers 200 and healthy, and one of its components holds an error.",
        ("endpoint_health.liveness",),
        "endpoint_health",
    ),
    Defect(
        "health_slow",
        "Health is slow",
        "Every fifth reply of GET /health takes 300 ms.",
        ("endpoint_health.liveness",),
        "endpoint_health",
    ),
    Defect(
        "primary_route_500",
        "The chat route answers Internal Server Error",
        "POST /api/chat fails for every good question; the stream route works.",
        (API_CONTRACT, "endpoint_health.primary_route", *UNANSWERED),
        "endpoint_health",
    ),
    Defect(
        "primary_route_flaky",
        "One question in eight fails",
        "Every eighth answer of POST /api/chat is a 500.",
        (
            "cache.outage_fallback",
            "endpoint_health.primary_route",
            *LOAD_CHECKS,
            SPIKE,
            SATURATION,
            CACHE_HOSTILE,
        ),
        "endpoint_health",
    ),
    Defect(
        "wrong_shape",
        "The reply lacks the answer",
        "POST /api/chat answers 200, and the answer is missing in the reply.",
        (API_CONTRACT, "endpoint_health.primary_route", *UNANSWERED),
        "endpoint_health",
    ),
    Defect(
        "bad_input_500",
        "Wrong types crash the chat route",
        "A null, a number or a missing field in place of the message is answered with 500.",
        ("endpoint_health.bad_input",),
        "endpoint_health",
    ),
    Defect(
        "bad_input_accepted",
        "Wrong types are answered as if they were right",
        "A null, a number or a missing field in place of the message gets an answer, which is paid for.",
        ("endpoint_health.bad_input",),
        "endpoint_health",
    ),
    Defect(
        "bad_input_long_session_500",
        "A session id that is too long crashes the chat route",
        "More than 128 characters, which the API's document forbids, are found out by the database alone.",
        ("endpoint_health.bad_input",),
        "endpoint_health",
    ),
    Defect(
        "bad_input_surrogate_500",
        "Half a surrogate pair crashes the chat route",
        "Text that is JSON and has no bytes, in any field, is answered with 500.",
        ("endpoint_health.bad_input",),
        "endpoint_health",
    ),
    Defect(
        "bad_input_poisons",
        "One bad body breaks the service until its restart",
        "After a deeply nested body every request to the API is answered with 500.",
        (
            "cache.outage_fallback",
            "cache.outage_recovery",
            "endpoint_health.bad_input",
            ERROR_DISCLOSURE,
            BODY_LIMITS,
            "endpoint_health.authentication",
            "endpoint_health.rate_limit",
            "error_recovery.compensation",
            "error_recovery.upstream_hang",
        ),
        "endpoint_health",
    ),
    Defect(
        "errors_show_trace",
        "Errors show the code that made them",
        "The reply to a malformed or invalid request ends with the stack trace of the exception.",
        (ERROR_DISCLOSURE,),
        "endpoint_health",
    ),
    Defect(
        "error_shows_query",
        "The reply to an unknown token shows a query",
        "An order with a token that no shop has is refused with the SQL that looked for it; without one not.",
        (ERROR_DISCLOSURE,),
        "endpoint_health",
    ),
    Defect(
        "error_shows_path_when_deep",
        "The reply to a deep body names a file",
        "A body nested too deeply is refused with the path and line of the code; every other error is clean.",
        (ERROR_DISCLOSURE,),
        "endpoint_health",
    ),
    Defect(
        "body_limit_absent",
        "Bodies of any length are read",
        "Nobody limits the length of a body: five megabytes of white space around a question are answered.",
        (BODY_LIMITS,),
        "endpoint_health",
    ),
    Defect(
        "body_limit_trusts_length",
        "Only announced lengths are limited",
        "A body that announces too great a length is refused; sent in chunks, it is read to its end.",
        (BODY_LIMITS,),
        "endpoint_health",
    ),
    Defect(
        "body_refused_and_kept",
        "What is refused is read to its end and kept",
        "A body that is too long gets its 413 after the last byte, and stays in memory for good.",
        (BODY_LIMITS,),
        "endpoint_health",
    ),
    Defect(
        "cors_reflects_any",
        "Pages of any site may call with credentials",
        "Every Origin is echoed, with credentials allowed.",
        ("endpoint_health.transport",),
        "endpoint_health",
    ),
    Defect(
        "cors_trusts_the_end",
        "Sites whose name ends like the shop's may call",
        "An Origin is let in with credentials if it ends with shop.example, so evilshop.example is.",
        ("endpoint_health.transport",),
        "endpoint_health",
    ),
    Defect(
        "nosniff_missing_on_errors",
        "Error replies may be sniffed",
        "X-Content-Type-Options stands in good replies only.",
        ("endpoint_health.transport",),
        "endpoint_health",
    ),
    Defect(
        "stream_all_at_once",
        "The stream comes all at once",
        "Tokens are held back until the last one is there.",
        ("endpoint_health.stream_first_token",),
        "endpoint_health",
    ),
    Defect(
        "stream_slow_first_token",
        "The first token is late",
        "A new question waits 1.6 s more before its first token.",
        ("endpoint_health.stream_first_token",),
        "endpoint_health",
    ),
    Defect(
        "stream_first_word_ahead",
        "The first word comes at once, the others with the last",
        "A buffer is flushed after the first token and then not until the answer is complete.",
        ("endpoint_health.stream_first_token",),
        "endpoint_health",
    ),
    Defect(
        "stream_opens_empty",
        "The first token is empty",
        "An empty token opens the stream, and those with text are held back until the last is there.",
        ("endpoint_health.stream_first_token",),
        "endpoint_health",
    ),
    Defect(
        "stream_no_content_type",
        "The stream calls itself plain text",
        "The events are right, and the reply says text/plain, so browsers open no event source on it.",
        (API_CONTRACT, STREAM_PROTOCOL),
        "endpoint_health",
    ),
    Defect(
        "stream_line_breaks_raw",
        "A line break in the answer breaks the frame",
        "Events are put together by hand: a line break within a token stands raw in the stream.",
        (STREAM_PROTOCOL,),
        "endpoint_health",
    ),
    Defect(
        "stream_characters_split",
        "Letters that are not ASCII are cut in two",
        "Bytes are decoded block by block, so an umlaut at a block's end becomes a replacement character.",
        (STREAM_PROTOCOL,),
        "endpoint_health",
    ),
    Defect(
        "stream_cached_without_end",
        "A cached stream has no last event",
        "A stream from the cache has all tokens and lacks the event done; a new one has it.",
        ("cache.monthly_cost", STREAM_PROTOCOL),
        "endpoint_health",
    ),
    Defect(
        "stream_goes_on",
        "A stream goes on when its reader has left",
        "A new answer is made by a task of its own to its end, though its reader has closed the connection.",
        (STREAM_PROTOCOL,),
        "endpoint_health",
    ),
    Defect(
        "stale_server",
        "A stale server answers on the same port",
        "A chat process of an earlier start was never ended and gets half of the connections.",
        ("cache.stampede", "endpoint_health.single_server", COUNTS_AGREE),
        "endpoint_health",
    ),
    Defect(
        "stale_server_elsewhere",
        "A stale server answers on another port",
        "A chat process of an earlier start was never ended and answers beside the new one.",
        ("endpoint_health.single_server",),
        "endpoint_health",
    ),
    Defect(
        "openapi_missing",
        "The service publishes no OpenAPI document",
        "GET /openapi.json is a 404, and so is /docs.",
        (API_CONTRACT,),
        "endpoint_health",
    ),
    Defect(
        "openapi_stale",
        "The OpenAPI document is older than the service",
        "The document calls the field of a chat reply `reply`; the service has called it `answer` for long.",
        (API_CONTRACT,),
        "endpoint_health",
    ),
    Defect(
        "contract_broken_when_long",
        "Long questions get a reply that the document forbids",
        "To a question of more than 1,000 characters `metadata.model` is null, where a text is declared.",
        (API_CONTRACT,),
        "endpoint_health",
    ),
    Defect(
        "readiness_missing",
        "There is no readiness route",
        "GET /ready is a 404, and its part of the OpenAPI document is gone too.",
        ("endpoint_health.readiness",),
        "endpoint_health",
    ),
    Defect(
        "readiness_alias",
        "Readiness is another name of liveness",
        "GET /ready answers what GET /health answers, whatever becomes of the model.",
        ("endpoint_health.readiness",),
        "endpoint_health",
    ),
    Defect(
        "readiness_ignores_the_model",
        "Ready with a model that is down",
        "GET /ready says that the model is down, and answers 200 with the status ready all the same.",
        ("endpoint_health.readiness",),
        "endpoint_health",
    ),
    Defect(
        "request_id_missing",
        "Replies carry no request id",
        "No reply has an X-Request-ID or a traceparent.",
        ("endpoint_health.request_id",),
        "endpoint_health",
    ),
    Defect(
        "request_id_lost_on_errors",
        "Errors carry no request id",
        "Good replies have an X-Request-ID; those with a status from 400 on have none.",
        ("endpoint_health.request_id",),
        "endpoint_health",
    ),
    Defect(
        "request_id_per_connection",
        "The requests of a connection share an id",
        "Without an incoming id, all requests of one connection get the same; a new connection gets another.",
        ("endpoint_health.request_id",),
        "endpoint_health",
    ),
    Defect(
        "request_id_taken_as_it_comes",
        "An incoming request id is trusted",
        "Whatever X-Request-ID holds is written into the reply, markup and ten thousand characters too.",
        ("endpoint_health.request_id",),
        "endpoint_health",
    ),
    Defect(
        "auth_missing",
        "Orders are taken from anybody",
        "Whoever shows no token, or a bad one, may place and list orders all the same.",
        ("endpoint_health.authentication",),
        "endpoint_health",
    ),
    Defect(
        "auth_signature_unchecked",
        "Tokens are read, and their signature is not",
        "A token that somebody wrote for himself is as good as one that was given to him.",
        ("endpoint_health.authentication",),
        "endpoint_health",
    ),
    Defect(
        "auth_expired_accepted",
        "A token that has run out still opens",
        "The signature of a token is verified, its time is not.",
        ("endpoint_health.authentication",),
        "endpoint_health",
    ),
    Defect(
        "rate_limit_absent",
        "Nobody counts",
        "A shop may list its orders as often as it likes.",
        ("endpoint_health.rate_limit",),
        "endpoint_health",
    ),
    Defect(
        "rate_limit_by_address",
        "One busy shop shuts the others out",
        "The limit is counted by address: 429 and Retry-After are right, for whoever shares the address too.",
        ("endpoint_health.rate_limit",),
        "endpoint_health",
    ),
    Defect(
        "rate_limit_lifted_by_header",
        "A header lifts the limit",
        "The limit is counted by shop and by what X-Forwarded-For says, whoever sends it.",
        ("endpoint_health.rate_limit",),
        "endpoint_health",
    ),
    # load_scenarios
    Defect(
        "slow_under_load",
        "Slow above twelve users",
        "From the thirteenth user on every answer waits, 0.4 s for each user too many, 8 s at most.",
        ("load_scenarios.heavy", SATURATION),
        "load_scenarios",
    ),
    Defect(
        "errors_under_load",
        "Refuses above twelve users",
        "From the thirteenth user on answers are 503.",
        ("load_scenarios.heavy", STRESS),
        "load_scenarios",
    ),
    Defect(
        "collapse_past_peak",
        "Hangs instead of refusing",
        "When a new question finds no place at the model, it and those of the next 2 s hang for 30 s.",
        (SATURATION,),
        "load_scenarios",
    ),
    Defect(
        "crash_at_50_users",
        "Dies of fifty users, and is started again at once",
        "With fifty users at the same time the process ends; a supervisor starts another one.",
        (STRESS,),
        "load_scenarios",
    ),
    Defect(
        "slow_after_burst",
        "Stays slow after a burst",
        "When calm traffic grows suddenly, every second hit of the cache takes 1.5 s more for a minute.",
        (SPIKE,),
        "load_scenarios",
    ),
    Defect(
        "errors_without_cache",
        "Fails where the cache does not help",
        "After forty new questions in a row every fourth of those asked at the same time is a 500.",
        (SATURATION, CACHE_HOSTILE),
        "load_scenarios",
    ),
    Defect(
        "memory_leak",
        "Memory grows with each new question",
        "For each question that the cache did not know 80 kB are kept for good.",
        (SOAK,),
        "load_scenarios",
    ),
    Defect(
        "errors_pile_up",
        "Errors grow as traffic goes on",
        "While known and new questions keep coming, more and more of them fail, until there is a pause.",
        (SOAK,),
        "load_scenarios",
    ),
    Defect(
        "memory_hungry",
        "Needs half a gigabyte",
        "From its start the service holds 500 MB more than it should have.",
        (MEMORY_CEILING,),
        "load_scenarios",
    ),
    Defect(
        "metrics_undercount",
        "One request in ten is not counted",
        "http_requests_total leaves out every tenth request; everything else is counted.",
        (COUNTS_AGREE,),
        "load_scenarios",
    ),
    # monitoring
    Defect(
        "metrics_absent",
        "There are no metrics",
        "GET /metrics is a 404.",
        (API_CONTRACT, COUNTS_AGREE, "monitoring.metrics_exposed"),
        "monitoring",
    ),
    Defect(
        "metrics_unparseable",
        "Metrics cannot be parsed",
        "GET /metrics ends with a line that is not in Prometheus format.",
        (COUNTS_AGREE, "monitoring.metrics_exposed"),
        "monitoring",
    ),
    Defect(
        "metrics_secret_label",
        "A key stands in the metrics",
        "A metric has the model's API key as a label.",
        ("monitoring.metrics_exposed",),
        "monitoring",
    ),
    Defect(
        "metrics_cardinality",
        "A series for each session",
        "A counter has the session id as a label: 3,000 series after a start.",
        ("monitoring.metrics_exposed",),
        "monitoring",
    ),
    # error_recovery
    Defect(
        "no_upstream_timeout",
        "No time-out on the model",
        "When the model accepts a call and does not answer, the caller waits without end.",
        ("error_recovery.upstream_hang",),
        "error_recovery",
    ),
    Defect(
        "upstream_timeout_too_long",
        "The time-out on the model is longer than callers wait",
        "When the model does not answer, the caller is told after 6.5 s; 5 s are promised.",
        ("error_recovery.upstream_hang",),
        "error_recovery",
    ),
    Defect(
        "no_compensation",
        "Compensations do not run",
        "When a step of an order fails, what the steps before it did stays.",
        ("error_recovery.compensation",),
        "error_recovery",
    ),
    Defect(
        "partial_compensation",
        "Compensation releases the first article only",
        "When an order of several articles is undone, only the first one is back in stock.",
        ("error_recovery.compensation",),
        "error_recovery",
    ),
    Defect(
        "compensation_forgets_lost_reply",
        "A step whose reply was lost is not undone",
        "When a partner does its step and its reply is lost, the step is taken for one that was not done.",
        ("error_recovery.compensation",),
        "error_recovery",
    ),
)
DEFECTS: Mapping[str, Defect] = {defect.name: defect for defect in _ALL}

# The brief's situation: what the team had without knowing it.
AS_FOUND = (
    "primary_route_500",
    "cache_never_called",
    "stale_server",
    "no_upstream_timeout",
    "no_compensation",
)


def checked(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once and in the order of DEFECTS. Raises UnknownDefectError."""
    wanted = set(names)
    for name in sorted(wanted - DEFECTS.keys()):
        near = difflib.get_close_matches(name, DEFECTS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UnknownDefectError(
            f"There is no defect {name!r}.{hint} `python -m app sample defects` lists them."
        )
    return tuple(name for name in DEFECTS if name in wanted)
