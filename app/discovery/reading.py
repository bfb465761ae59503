"""Reads replies: whether a route is what it seems, where the answer stands, and how a cached reply shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.discovery.cleaning import own_text
from app.instruments.metrics import UnreadablePageError, counters
from checks.contract import Reply, StreamReply, at_path, document_in

ANSWERS = re.compile(r"answer|reply|response|text|content|message|output|result", re.IGNORECASE)
TOKENS = re.compile(r"text|content|token|delta|answer|chunk", re.IGNORECASE)
CACHED = re.compile(r"from_?cache|cache_?hit|cached|^cache$|cache_?status", re.IGNORECASE)
CACHE_HEADERS = re.compile(r"cache|^age$")
HITS = re.compile(r"\bhit\b", re.IGNORECASE)
NOT_MARKERS = frozenset({"cache-control", "access-control-max-age"})
NAMED = re.compile(r"""["'`]([A-Za-z_][A-Za-z0-9_]{0,30})["'`]""")  # how errors name a field
WORDS = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,30}")
ROUTE = re.compile(r"[\w.-]{1,40}")  # a step of a path that at_path can follow
OWN = re.compile(r"process_|python_|go_|jvm_|nodejs_")  # of the runtime, which counts by itself
MAX_DEPTH = 6
MAX_LEAVES = 500
MAX_NAMES = 20
MAX_ERROR_CHARS = 4_000


def is_page(reply: Reply) -> bool:
    """Whether the reply is a web page, which no interface of a service is."""
    return "html" in reply.headers.get("content-type", "").lower() or reply.text[:200].lstrip().startswith(
        "<"
    )


def is_metrics(reply: Reply) -> bool:
    """Whether the reply is a page of metrics."""
    return not is_page(reply) and ("# TYPE" in reply.text or "# HELP" in reply.text)


def same(one: Reply, other: Reply) -> bool:
    """Whether two places answer alike, as a service does that answers everything with one page."""
    return one.status == other.status and one.body == other.body


def leaves(document: object) -> list[tuple[str, object]]:
    """Dotted paths and values of a reply, as far as ``at_path`` can follow them."""
    found: list[tuple[str, object]] = []
    for path, value in _leaves(document):
        if len(found) == MAX_LEAVES:
            break
        found.append((path, value))
    return found


def _leaves(node: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    if depth > MAX_DEPTH:
        return
    items: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, item in items:
        if "." in str(key) or not ROUTE.fullmatch(str(key)):
            continue
        inner = f"{path}.{key}".lstrip(".")
        if isinstance(item, dict | list):
            yield from _leaves(item, inner, depth + 1)
        else:
            yield inner, item


def answer_path(document: object, question: str = "") -> str | None:
    """Where the answer's text is: the longest text under a telling name, else the longest of all.

    A text that repeats the question is no answer while there is another.
    """
    texts = [(path, text) for path, text in leaves(document) if isinstance(text, str) and text.strip()]
    texts = [item for item in texts if not question or item[1].strip() != question] or texts
    named = [item for item in texts if ANSWERS.search(item[0].rpartition(".")[2])]
    return max(named or texts, key=lambda item: len(item[1]))[0] if texts else None


def cache_marker(
    first: tuple[Mapping[str, str], object], again: tuple[Mapping[str, str], object]
) -> tuple[dict[str, Any], bool] | None:
    """How a cached reply shows itself, from the replies to one question asked twice.

    Returns the marker, and whether it was seen to change between them.
    """
    before = dict(leaves(first[1]))
    for path, value in leaves(again[1]):
        if not CACHED.search(path.rpartition(".")[2]):
            continue
        changed = path in before and before[path] != value
        if isinstance(value, bool):
            return {"json": path, "equals": True}, changed
        if isinstance(value, str) and (changed or HITS.search(value)):
            return {"json": path, "equals": own_text(value)}, changed
    return _header_marker(first[0], again[0])


def _header_marker(first: Mapping[str, str], again: Mapping[str, str]) -> tuple[dict[str, Any], bool] | None:
    for name, value in again.items():
        if (
            name in NOT_MARKERS
            or not CACHE_HEADERS.search(name)
            or not re.fullmatch(r"[a-z0-9-]{1,60}", name)
        ):
            continue
        if name not in first:
            return {"header": name, "present": True}, True
        if name != "age" and (first[name] != value or HITS.search(value)):
            return {"header": name, "equals": own_text(value)}, first[name] != value
    for name, value in first.items():
        if "cache" in name and name not in NOT_MARKERS and "miss" in value.lower():
            return {"header": name, "equals": "HIT"}, False
    return None


def fields_named(reply: Reply) -> list[str]:
    """Fields that an error reply may name as missing or wrong: in ``loc`` entries, quoted, or as words."""
    document = reply.document()
    found: list[str] = []
    for path, value in leaves(document):
        if ".loc." in f".{path}" and isinstance(value, str) and value not in ("body", "query"):
            found.append(value)
    text = reply.text[:MAX_ERROR_CHARS]
    values = " ".join(str(value) for _, value in leaves(document) if isinstance(value, str)) or text
    found += NAMED.findall(values) + WORDS.findall(values)
    return list(dict.fromkeys(found))[: MAX_NAMES * 5]


def stream_reading(reply: StreamReply, repeated: StreamReply | None = None) -> dict[str, Any]:
    """Where the token text is and what ends the stream, from the events of one."""
    table: dict[str, Any] = {}
    documents = [document_in(event.data) for event in reply.events]
    for document in documents:
        paths = [path for path, text in leaves(document) if isinstance(text, str) and text.strip()]
        if named := [path for path in paths if TOKENS.search(path)]:
            table["token"] = named[0]
            break
    last, document = reply.events[-1], documents[-1]
    if last.data.strip() == "[DONE]":
        table["end_data"] = "[DONE]"
    elif last.name != "message":
        table["end_event"] = own_text(last.name)
    else:
        table |= _end_by_json(documents)
    if repeated and repeated.events:
        marker = cache_marker(
            (reply.headers, document), (repeated.headers, document_in(repeated.events[-1].data))
        )
        table |= {"cached": marker[0]} if marker else {}
    return table


def _end_by_json(documents: list[object]) -> dict[str, Any]:
    """A path that the last event alone has, such as ``done`` or ``usage``."""
    earlier = {path for document in documents[:-1] for path, _ in leaves(document)}
    own = [path for path, value in leaves(documents[-1]) if path not in earlier and value is not None]
    told = [path for path in own if re.search(r"done|finish|end|final|usage|complete", path, re.IGNORECASE)]
    return {"end_json": told[0]} if told and len(documents) > 1 else {}


def moved_counters(pages: Sequence[Reply]) -> list[str]:
    """Series of counters that rose before the last of three pages, and did not between the first two."""
    try:
        idle, before, after = map(counters, pages)
    except UnreadablePageError:
        return []
    moved = []
    for (name, labels), value in after.items():
        series = name, labels
        rise = value - before.get(series, 0)
        if rise > 0 and before.get(series, 0) == idle.get(series, 0) and not OWN.match(name):
            told = ", ".join(f'{label}="{text}"' for label, text in labels)
            moved.append(f"{name}{{{told}}} +{rise:g}" if told else f"{name} +{rise:g}")
    return moved


def model_names(document: object) -> list[str]:
    """The models that an OpenAI-compatible ``/v1/models`` lists."""
    entries = at_path(document, "data")
    ids = (
        [entry.get("id") for entry in entries[:MAX_LEAVES] if isinstance(entry, dict)]
        if isinstance(entries, list)
        else []
    )
    return [own_text(each)[:200] for each in ids if isinstance(each, str) and each.strip()]
