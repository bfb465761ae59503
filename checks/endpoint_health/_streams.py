"""What one event stream was: how it was framed, how it named its tokens and its end. Pure; private here.

All of it is hostile text, so it is bounded and made printable. The answer's own text is not kept, only what
shows whether two streams said the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from checks.contract import Event, Stream, StreamReply, at_path, document_in, printable

MAX_CHARS = 80
MAX_KEYS = 30
MAX_NAMES = 10
REPLACED = "\ufffd"
USUAL_ENDS = ("done", "end", "complete", "message_stop", "response.completed", "finish", "close")


@dataclass(frozen=True)
class Heard:
    """One stream. ``tokens`` maps the name of each event with text to what all such events hold.

    ``end`` is how it said that it is complete, "" for not; ``end_holds`` what that event held. ``not_json``
    is the first data that should have been JSON. ``replaced`` is whether a character arrived as U+FFFD.
    ``text`` and ``bare`` are digests of the text, the latter without white space.
    """

    status: int | None
    content_type: str
    events: int
    tokens: Mapping[str, Mapping[str, str]]
    end: str
    end_holds: Mapping[str, str]
    strays: tuple[str, ...]
    stray_count: int
    not_utf8: int
    dataless: tuple[str, ...]
    unfinished: bool
    not_json: str
    replaced: bool
    line_breaks: bool
    not_ascii: bool
    text: str
    bare: str
    cached: bool | None
    problem: str


def heard(stream: Stream, reply: StreamReply) -> Heard:
    """The facts of a reply to the declared stream request."""
    speaking = [event for event in reply.events if stream.text(event.name, event.data)]
    text = _joined([stream.text(event.name, event.data) for event in speaking])
    last = reply.events[-1] if reply.events else None
    good = 200 <= (reply.status or 0) < 300
    end = _end(stream, last, {event.name for event in speaking})
    return Heard(
        status=reply.status,
        content_type=clean(reply.headers.get("content-type", "")),
        events=len(reply.events),
        tokens=_held_by_all(speaking),
        end=end,
        end_holds=_holds(last.data) if last and end else {},
        strays=tuple(map(clean, reply.frames.strays)),
        stray_count=reply.frames.stray_count,
        not_utf8=reply.frames.not_utf8,
        dataless=tuple(map(clean, reply.frames.dataless)),
        unfinished=reply.frames.unfinished and not end,
        not_json=_not_json(stream, reply.events, {event.name for event in speaking}),
        replaced=REPLACED in text,
        line_breaks="\n" in text.strip(),
        not_ascii=not text.isascii(),
        text=_digest(text.strip()),
        bare=_digest("".join(text.split())),
        cached=stream.cached.shown(reply.headers, document_in(last.data) if last else None)
        if stream.cached and good
        else None,
        problem=clean(reply.failure.detail, 200) if reply.failure else "",
    )


def misframed(stream: Heard) -> str:
    """What is wrong with how a stream is framed or encoded, "" for nothing."""
    return next(_misframings(stream), "")


def _misframings(stream: Heard) -> Iterator[str]:
    kind, _, parameters = stream.content_type.lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "").partition("charset=")[2].partition(";")[0]
    if kind.strip() != "text/event-stream":
        yield f"is sent as {kind.strip() or 'no content type'}, not as text/event-stream"
    if charset not in ("", "utf-8", "utf8"):
        yield f"says charset={charset}, and an event stream is UTF-8"
    if stream.not_utf8:
        yield f"holds bytes that are no UTF-8, in {stream.not_utf8} of its lines"
    if stream.strays:
        yield (
            f'holds lines that are no field of an event, such as "{stream.strays[0]}": a client drops them, '
            "and with them what followed a line break"
        )
    if stream.not_json:
        yield f'holds an event whose data is no JSON: "{stream.not_json}"'
    if stream.replaced:
        yield "holds characters that were cut in two and came as U+FFFD"
    if stream.unfinished:
        yield "breaks off within an event, which a client then drops"


def unended(stream: Heard) -> str:
    """What is wrong with how a stream ends, "" for nothing."""
    if stream.problem:
        return f"breaks off: {stream.problem}"
    if stream.end:
        return ""
    if stream.dataless:
        return f"ends with `{stream.dataless[-1]}` without a data line, of which no client is told"
    return "ends without an event that says so: a client cannot tell a whole answer from one cut short"


def unlike(first: Heard, again: Heard) -> str:
    """How a repeated stream differs from the first in what its clients rely on, "" for not at all."""
    return next(_differences(first, again), "")


def _differences(first: Heard, again: Heard) -> Iterator[str]:
    if first.tokens and not again.tokens:
        yield "holds no token at the declared place"
    for name, holds in again.tokens.items():
        if name not in first.tokens:
            yield f"names its tokens `{name}` and not `{next(iter(first.tokens), 'as before')}`"
        elif lacks := _lacks(first.tokens[name], holds):
            yield f"lacks {lacks} in its events `{name}`"
    if first.end and not again.end:
        yield f"lacks the last event, {first.end}"
    elif lacks := _lacks(first.end_holds, again.end_holds):
        yield f"lacks {lacks} in its last event"
    if again.cached is not False and first.bare == again.bare and first.text != again.text:
        yield "has lost white space of the answer, such as line breaks"


def clean(text: str, longest: int = MAX_CHARS) -> str:
    """Printable and bounded."""
    return printable(text[:longest]).strip()


def _joined(texts: Sequence[str]) -> str:
    """The whole text; halves of a character that JSON cut in two (a surrogate pair) are one again."""
    return "".join(texts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _end(stream: Stream, last: Event | None, speaking: set[str]) -> str:
    """How the last event says that the stream is complete: as declared, else in a usual way."""
    if last is None:
        return ""
    if stream.end_event or stream.end_data or stream.end_json:
        return f"`{clean(last.name)}`" if stream.ends(last.name, last.data) else ""
    document = document_in(last.data)
    says = (last.name, at_path(document, "type"), at_path(document, "event"))
    if last.data.strip() == "[DONE]" or (last.name in USUAL_ENDS and last.name not in speaking):
        return f"`{clean(last.data if last.name == 'message' else last.name)}`"
    finished = at_path(document, "done") is True or at_path(document, "choices.0.finish_reason")
    return "`" + clean(last.name) + "`" if finished or set(says) & set(USUAL_ENDS) else ""


def _not_json(stream: Stream, events: Sequence[Event], speaking: set[str]) -> str:
    if not stream.token:
        return ""
    for event in events:
        of_tokens = event.name in speaking or not speaking
        if of_tokens and event.data.strip() not in ("", "[DONE]") and not stream.ends(event.name, event.data):
            try:
                json.loads(event.data)
            except (ValueError, RecursionError):
                return clean(event.data)
    return ""


def _held_by_all(speaking: Sequence[Event]) -> dict[str, dict[str, str]]:
    """By name of event, the keys that every such event holds with the same kind of value."""
    found: dict[str, dict[str, str]] = {}
    for event in speaking:
        holds, name = _holds(event.data), clean(event.name)
        if name in found:
            found[name] = {key: kind for key, kind in found[name].items() if holds.get(key) == kind}
        elif len(found) < MAX_NAMES:
            found[name] = holds
    return found


def _holds(data: str) -> dict[str, str]:
    document = document_in(data)
    if not isinstance(document, dict):
        return {}
    return {clean(str(key)): _kind(value) for key, value in list(document.items())[:MAX_KEYS]}


def _lacks(needed: Mapping[str, str], holds: Mapping[str, str]) -> str:
    missing = [key for key, kind in needed.items() if holds.get(key) != kind]
    return ", ".join(f"`{key}`" for key in missing[:3])


def _kind(value: object) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "number"
    return type(value).__name__


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
