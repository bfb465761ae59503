"""What a metric tells, by its name, type and labels. Pure, and private to this family.

Names are all that a tool has to go by, and services name things as they like: `http_requests_total` is rare.
So a name is read as words. Words of a part (a database, a disk, a client of others) take a metric away from
the service's own answers, unless it plainly speaks of HTTP or RPC requests that a server got.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum

Admits = Callable[[str], bool]


def _of(spaced: str) -> frozenset[str]:
    return frozenset(spaced.split())


class Subject(StrEnum):
    """What the samples of a series are."""

    REQUESTS = "requests"  # counted, whatever became of them
    SUCCESSES = "successes"
    FAILURES = "failures"  # 5xx and what is named an error
    REFUSALS = "refusals"  # 4xx
    DURATION = "duration"
    CACHE_LOOKUPS = "cache lookups"
    CACHE_HITS = "cache hits"
    CACHE_MISSES = "cache misses"
    UP = "up"
    IN_FLIGHT = "in flight"
    FULLNESS = "fullness"  # queues, pools, workers
    RESOURCES = "resources"  # processor, memory, descriptors
    OTHER = "other"


PROXIES = _of("istio envoy nginx traefik haproxy kong linkerd contour caddy apisix")
OF_PROXIES = _of("upstream backend downstream cluster service services")
OUTGOING = _of("client clients outgoing outbound egress external")
COMPONENTS = OUTGOING | _of("""
    upstream downstream backend dependency provider vendor model llm openai webhook db database sql jdbc
    postgres postgresql pg mysql mongo mongodb redis valkey memcached cache caches disk disks io fs
    filesystem file files network net tcp tls ssl dns cx connect connection connections gc jvm process
    python nodejs node go golang ruby dotnet eventloop loop thread threads lock locks mutex pool
    hikaricp acquire queue queued kafka rabbitmq amqp sqs consumer producer publish task tasks batch
    cron backup scrape rule rules evaluation prometheus alertmanager notification notifications etcd wal
    compaction tsdb fsync s3 storage startup start boot uptime shutdown cert certificate ttl expiry
    promhttp container kube kubelet systemd cpu cfs throttled memory heap compensation compensations email
    smtp ldap log logs logback log4j
""")
SERVED = _of("""
    request requests req reqs rq rqs response responses handled handling handler handlers call calls
    transaction transactions question questions answer answers query queries message messages
""")
PROTOCOLS = _of("http https grpc rpc")
TIMES = _of("duration durations latency latencies elapsed ttfb ttft took")
UNITS_S = {
    "seconds": 1.0, "second": 1.0, "secs": 1.0, "milliseconds": 1e-3, "millis": 1e-3, "ms": 1e-3,
    "msec": 1e-3, "microseconds": 1e-6, "us": 1e-6, "nanoseconds": 1e-9, "ns": 1e-9,
}  # fmt: skip
FAILING = _of("error errors err errs failure failures failed fail exception exceptions panic panics 5xx")
SUCCEEDING = _of("success successes successful succeeded availability good 2xx")
CACHING = _of("cache caches cached caching keyspace memcached varnish")
HITS, MISSES = frozenset(("hit", "hits")), frozenset(("miss", "misses", "missed"))
LOOKUPS = _of("""
    get gets request requests lookup lookups access accesses read reads result results query queries
    call calls op ops operation operations answer answers response responses
""")
OTHER_CACHES = _of("""
    buffer buffers blks blk innodb pg postgres postgresql mysql mongodb wiredtiger page pagecache dentry
    node filesystem fs inode arc zfs bcache coredns dns qcache tls certificate jwks block blocks kubelet
    container etcd tsdb chunk chunks relcache slab
""")
NO_LOOKUPS = _of("""
    evictions evicted eviction error errors size entries entry keys bytes puts put sets set writes write
    deletes expired invalidations up seconds duration latency memory
""")
FULL = _of("""
    goroutines lag threads
    queue queued queues backlog pending waiting utilization utilisation saturation busy pool workers
    worker threads threadpool concurrency concurrent places slots
""")
RESOURCES = re.compile(
    r"(process|system|container|nodejs|dotnet|jvm|go|python|ruby|runtime)_.*"
    r"(cpu|memory|fds|files|heap|resident|mem)"
)
# How many instances there are, or whether one is reached: `chat_cache_up` tells of another thing.
REACHED = re.compile(
    r"^up$|^probe_success$|(haproxy|traefik|nginx)_\w*(server|backend|service)_up$|membership_healthy$|"
    r"_replicas_(available|ready)$|_status_ready$"
)
IN_FLIGHT = re.compile(
    r"in_?flight|in_?progress|requests_running|(active|current|concurrent|open)_(\w+_)?(requests?|reqs?|rqs?)"
)

# How labels write outcomes: good ones, failing ones, refusals of what was asked. A filter is tried on each
# form, since one that excludes (`!~"5.."`) admits every value of the other forms.
FORMS = (
    (("200", "201", "204"), ("500", "502", "503", "504"), ("400", "404", "422", "429")),
    (("2xx",), ("5xx",), ("4xx",)),
    (("2XX",), ("5XX",), ("4XX",)),
    (("2",), ("5",), ("4",)),
    (
        ("success",),
        ("error", "failure", "failed", "timeout", "exception"),
        ("rejected", "refused", "invalid"),
    ),
    (("SUCCESS",), ("SERVER_ERROR", "FAILURE", "ERROR"), ("CLIENT_ERROR",)),
    (("ok",), ("error", "failed", "fail", "server_error"), ("client_error",)),
    (("OK",), ("Internal", "Unavailable", "Unknown", "DeadlineExceeded"), ("InvalidArgument", "NotFound")),
    (("OK",), ("INTERNAL", "UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED"), ("INVALID_ARGUMENT", "NOT_FOUND")),
    (("0",), ("13", "14"), ("3",)),
    (("STATUS_CODE_OK", "STATUS_CODE_UNSET"), ("STATUS_CODE_ERROR",), ()),
)
OF_ERRORS = frozenset(("error", "exception", "error_type", "exception_type", "has_error"))
ERROR_FORMS = tuple(
    ((none,), ("500", "timeout", "TimeoutError", "IOException", "true"), ())
    for none in ("", "none", "None", "false")
)
OUTCOMES = re.compile(
    r"(?:.*_)?(?:status|code|outcome|result|error|exception|error_type|exception_type|has_error|"
    r"status_code|status_class|code_class|http_status|returncode|success|state)"
)
CACHE_OUTCOMES = re.compile(
    r"(?:.*_)?(?:result|outcome|status|state|hit|cached|cache|from_cache|type|event|kind)"
)
A_HIT = ("hit", "hits", "HIT", "Hit", "true", "True", "1", "yes")
A_MISS = ("miss", "misses", "MISS", "Miss", "false", "False", "0", "no")


def words(name: str) -> list[str]:
    """The words of a metric's name in lower case, parted by what is no letter or digit, and by humps."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:200])
    return [word for word in re.split(r"[^a-z0-9]+", parted.lower()) if word]


def base(name: str) -> str:
    """The name without what the parts of a histogram, a summary or a counter have at their end."""
    return re.sub(r"_(bucket|sum|count|total|created)$", "", name)


def unit_s(name: str) -> float | None:
    """How many seconds one of the unit in ``name`` is; None where it names no unit of time."""
    return next((UNITS_S[word] for word in reversed(words(name)) if word in UNITS_S), None)


def subject_of(name: str, kind: str = "") -> Subject:
    """What ``name`` tells. ``kind`` is its TYPE where that is known."""
    if REACHED.search(name):
        return Subject.UP
    has = frozenset(words(name))
    if has & (CACHING | HITS | MISSES) and (cached := _of_cache(has, kind)):
        return cached
    if IN_FLIGHT.search(name.lower()):
        return Subject.IN_FLIGHT
    if name.endswith(("_count", "_bucket")) and kind in ("", "histogram", "summary"):
        timed = _timed(has, kind or "histogram")
        return Subject.REQUESTS if timed is Subject.DURATION and name.endswith("_count") else timed
    of_requests = _timed(has, kind)
    if of_requests is Subject.OTHER and kind not in ("histogram", "summary"):
        of_requests = _counted(has)
    return of_requests if of_requests is not Subject.OTHER else _of_itself(name, has, kind)


def _of_itself(name: str, has: frozenset[str], kind: str) -> Subject:
    if has & FULL and kind in ("", "gauge", "unknown"):
        return Subject.FULLNESS
    return Subject.RESOURCES if RESOURCES.match(name.lower()) else Subject.OTHER


def _of_cache(has: frozenset[str], kind: str) -> Subject | None:
    if has & OTHER_CACHES:
        return Subject.OTHER
    if has & HITS and (has & CACHING or not has & SERVED):
        return Subject.CACHE_HITS
    if has & MISSES:
        return Subject.CACHE_MISSES
    if has & CACHING and not has & NO_LOOKUPS and (has & LOOKUPS or kind == "counter" or "total" in has):
        return Subject.CACHE_LOOKUPS
    return None


def _plainly_served(has: frozenset[str]) -> bool:
    return bool(has & PROTOCOLS and has & (SERVED | TIMES | {"server"}) and not has & OUTGOING)


def _of_a_component(has: frozenset[str]) -> bool:
    components = has & COMPONENTS
    if has & PROXIES:
        components -= OF_PROXIES
    return bool(components) and not _plainly_served(has)


def _timed(has: frozenset[str], kind: str) -> Subject:
    if _of_a_component(has):
        return Subject.OTHER
    of_time = has & TIMES or (has & {"time", "times"} and has & SERVED)
    of_unit = has & UNITS_S.keys() and (kind in ("histogram", "summary") or has & SERVED)
    return Subject.DURATION if of_time or of_unit else Subject.OTHER


def _counted(has: frozenset[str]) -> Subject:
    if _of_a_component(has) or has & {"bytes", "size", "time", "timestamp"}:
        return Subject.OTHER
    if has & FAILING:
        return Subject.FAILURES
    if "4xx" in has:
        return Subject.REFUSALS
    if has & SUCCEEDING:
        return Subject.SUCCESSES
    return Subject.REQUESTS if has & SERVED or _plainly_served(has) else Subject.OTHER


def narrowed(subject: Subject, labels: dict[str, Admits]) -> Subject:
    """What is left of ``subject`` where each label admits some values only.

    Requests of which only failing ones are admitted are failures; where good ones are among them, they are
    still requests. A cache's lookups whose result is a hit are hits.
    """
    if subject in (Subject.REQUESTS, Subject.CACHE_LOOKUPS, Subject.DURATION):
        for label, admits in labels.items():
            if CACHE_OUTCOMES.fullmatch(label.lower()):
                hit, miss = any(map(admits, A_HIT)), any(map(admits, A_MISS))
                of_cache = subject is Subject.CACHE_LOOKUPS or bool({"cache", "cached"} & set(words(label)))
                if hit != miss and of_cache and subject is not Subject.DURATION:
                    return Subject.CACHE_HITS if hit else Subject.CACHE_MISSES
    if subject in (Subject.REQUESTS, Subject.FAILURES):
        for label, admits in labels.items():
            left = outcome(label, admits)
            if left is not None:
                return left
    return subject


def outcome(label: str, admits: Admits) -> Subject | None:
    """SUCCESSES, FAILURES or REFUSALS where ``label`` tells outcomes and its filter leaves one of them.

    None where the label tells something else, or the filter leaves good and failing ones.
    """
    if not OUTCOMES.fullmatch(label.lower()):
        return None
    found = set()
    for good, failing, refused in ERROR_FORMS if label.lower() in OF_ERRORS else FORMS:
        admits_good, admits_failing = any(map(admits, good)), any(map(admits, failing))
        if admits_good != admits_failing:
            found.add(Subject.SUCCESSES if admits_good else Subject.FAILURES)
        elif not admits_good and any(map(admits, refused)):
            found.add(Subject.REFUSALS)
    return found.pop() if len(found) == 1 else None


def outcome_told(label: str, value: str) -> bool:
    """Whether ``label`` tells the outcome of a request, and ``value`` is one that is known."""
    return outcome(label, value.__eq__) is not None
