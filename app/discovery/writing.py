"""Writes what was discovered as a target file that a person can complete. Everything in it is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.discovery.cleaning import NOT_TEXT, remark
from app.discovery.found import Discovery

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
TABLES = ("health", "ask", "stream")

# What discovery cannot see, ready to be filled in: each is valid once its `# ` is taken away.
MISSING = """\
# What cannot be seen from outside. Take the `# ` away from what your service has, and fill it in; what stays
# out is not assessed. Secrets stand as ${ENV_NAME}.

# [redis]                                 # the cache's server
# url = "redis://127.0.0.1:6379/0"
# key_prefix = ""                         # of this service's keys, where others share the database

# [upstream]                              # where the paid calls are counted: a metric, or json = "path"
# calls = { url = "/metrics", metric = "upstream_calls_total" }

# [cost]
# price_per_call_usd = 0.01
# questions_per_day = 1000
# budget_per_month_usd = 100

# [prompts.context]                       # what a user tells, and only their own answers may know
# tell = "My order has the number {secret}."
# ask = "Which number does my order have?"

# [auth]                                  # whole values of the Authorization header, or of header = "..."
# valid = "Bearer ${SHOP_TOKEN}"
# other = "Bearer ${SHOP_OTHER_TOKEN}"    # of another user
# expired = "Bearer ${SHOP_OLD_TOKEN}"
# protected = [{ method = "GET", path = "/api/orders" }]

# [health.requests]                       # the service's own count of business requests
# metric = "http_requests_total"
# labels = { method = "POST" }

# [objectives]                            # your own limits win over the rubric's
# mean_latency_ms = 1500
# peak_per_s = 10                         # arrivals a second of a busy moment
# body_bytes = 1_000_000                  # longer bodies are refused
# rate_limit = { per_s = 5, burst = 20 }  # of one user

# [prometheus]                            # what scrapes it; behind a path, a login or TLS: docs/monitoring.md
# url = "http://127.0.0.1:9090"
# labels = { job = "shop" }               # what marks this service's own series

# [alertmanager]
# url = "http://127.0.0.1:9093"

# [grafana]
# url = "http://127.0.0.1:3000"
# headers = { Authorization = "Bearer ${GRAFANA_TOKEN}" }
# dashboards = ["shop-overview"]          # uids; those that name the service where left out

# [notifications]                         # where a drill hears alerts: docs/drills.md
# listen = "127.0.0.1:9096"

# [levers.cache]                          # how to cut the cache; needs allow_faults = true at the top too
# kind = "command"
# break = ["systemctl", "stop", "redis"]
# restore = ["systemctl", "start", "redis"]

# [levers.payments]                       # and each partner of a transaction
# kind = "command"
# break = ["systemctl", "stop", "payments"]
# restore = ["systemctl", "start", "payments"]

# [transaction]                           # of several steps or requests: docs/transactions.md
# path = "/api/orders"
# idempotency_header = "Idempotency-Key"
# body = { sku = "TEST-ARTICLE", quantity = 1 }
# state = [{ name = "warehouse", url = "http://127.0.0.1:8081/state" }]
# steps = [{ name = "charge the card", lever = "payments" }]

# Further tables: [[prompts.near_duplicates]], [[claims]], [[waivers]].
"""


def as_toml(discovery: Discovery) -> str:
    """The target file: each table and key below the remark on where it comes from."""
    target = discovery.target
    lines = [
        "# Made by `python -m app discover`. What begins with `Guess` has not been confirmed: check it.",
        *(f"# {remark(text)}" for text in discovery.aside),
        "",
        f"url = {value(target.url)}",
        "# public = true                          # if no route needs a credential",
        "# allow_faults = true                    # if this service may be broken on purpose",
    ]
    document = target.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    for name in TABLES:
        if name in document:
            lines += ["", *_table(name, document[name], discovery.why)]
    missing = (
        MISSING if not target.health.metrics else MISSING.replace('"/metrics"', value(target.health.metrics))
    )
    return "\n".join(lines) + "\n\n" + missing


def _table(name: str, table: Mapping[str, Any], why: Mapping[str, str]) -> Iterator[str]:
    """A table; a body that is one stands as a table of its own, last, or it would take the keys after it."""
    if name in why:
        yield f"# {remark(why[name])}"
    yield f"[{name}]"
    body = table.get("body")
    for key, inner in table.items():
        if key == "body" and isinstance(body, Mapping) and body:
            continue
        if (said := why.get(f"{name}.{key}")) and key != "body":
            yield f"# {remark(said)}"
        yield f"{_key(key)} = {value(inner)}"
    if isinstance(body, Mapping) and body:
        yield ""
        if said := why.get(f"{name}.body"):
            yield f"# {remark(said)}"
        yield f"[{name}.body]"
        yield from (f"{_key(key)} = {value(inner)}" for key, inner in body.items())


def value(node: Any) -> str:
    """A value as TOML. What TOML cannot say (null) is left out."""
    if isinstance(node, Mapping):
        pairs = [f"{_key(key)} = {value(inner)}" for key, inner in node.items() if inner is not None]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    if isinstance(node, list | tuple):
        return "[" + ", ".join(value(inner) for inner in node if inner is not None) + "]"
    if isinstance(node, bool):
        return "true" if node else "false"
    if isinstance(node, int | float):
        return repr(node)
    return _text(str(node))


def _key(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    """A basic string of TOML: its escapes are not quite JSON's (no pairs of surrogates, U+007F is one)."""
    return '"' + "".join(map(_character, NOT_TEXT.sub("\ufffd", text))) + '"'


def _character(character: str) -> str:
    if character in SHORT:
        return SHORT[character]
    if character.isprintable():
        return character
    return f"\\U{ord(character):08X}"  # control characters, and those that turn the line around
