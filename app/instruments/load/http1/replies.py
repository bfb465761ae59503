"""Whether a reply is a good answer, and what its cache marker says. Everything in it is hostile."""

from __future__ import annotations

import json
import zlib
from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import NamedTuple

from app.instruments.events import EventParser, TooLargeError
from app.instruments.inflate import Inflate
from app.instruments.load.http1.connection import MAX_REPLY_BYTES, RawHeaders, ReplyError
from app.instruments.load.samples import Cached
from app.instruments.manners import REDIRECTS
from checks.contract import Failure, FailureKind
from checks.contract.target.calls import Marker, at_path
from checks.contract.target.service import Ask, Stream

KEPT_BYTES = 16 * 1024  # of a wrong body; it is cut to an example only after secrets in it are hidden
MAX_STATED_TOKENS = 10_000_000  # no answer has more; a larger number is a mistake or a trick
NO_CONTENT = 204  # says itself that it has no body
STREAM_STATUSES = range(200, 300)
JSON_SPACE = " \t\n\r"
_read_json = json.JSONDecoder().raw_decode  # json.loads takes twice as long for an event of some 200 bytes


class Verdict(NamedTuple):
    """What one complete reply is worth."""

    failure: Failure | None
    cached: Cached


ANSWERED = Verdict(None, Cached.NOT_JUDGED)


class Times:
    """When the parts of one reply came, as ``perf_counter``; 0.0 where a part did not come.

    ``first_event_at``   the first event of a stream, whatever is in it
    ``first_token_at``   the first event with text, be it reasoning or answer
    ``first_answer_at``  the first event with text of the answer
    ``ended_at``         the declared end of the stream
    ``chunk_times``      every event with text; more than ``tokens`` may say, or fewer
    ``tokens``           what the stream itself states, else the number of events with text

    An answer that is no stream has none of them. ``came_at`` is when the piece that is fed next was read.
    """

    came_at = 0.0

    first_event_at = 0.0
    first_token_at = 0.0
    first_answer_at = 0.0
    ended_at = 0.0
    tokens = 0
    chunk_times: Sequence[float] = ()


class AnswerReader(Times):
    """Reads whole bodies. JSON is parsed only where an answer path or a marker asks for it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._marker = ask.cached
        self._needs_document = bool(ask.answer) or (self._marker is not None and self._marker.header is None)
        self._good = ask.good_statuses
        self._any_body_is_good = not self._needs_document and self._marker is None
        self._pieces: list[bytes] = []
        self.feed = self._pieces.append

    def begin(self, headers: RawHeaders) -> None:
        """Forget the last body."""
        del headers
        self._pieces.clear()

    def verdict(self, status: int, headers: RawHeaders) -> Verdict:
        """Judge the complete reply."""
        pieces = self._pieces
        if self._any_body_is_good and status in self._good and pieces and pieces[0].strip():
            pieces.clear()  # a thousand users who think do not each keep their last reply
            return ANSWERED
        body = b"".join(pieces)
        pieces.clear()
        if status not in self._good:
            return _failed(_bad_status(status, headers, _plain(body, headers)))
        document: object = None
        if self._needs_document:
            try:
                document = _document(body, headers)
            except ReplyError as error:
                return _failed(error.failure)
        answer = self._ask.answer
        empty = _is_empty(at_path(document, answer) if answer else body)
        if empty and (answer or status != NO_CONTENT):
            words = f"no answer at `{answer}`, {_beginning(body)}" if answer else "the body is empty"
            return _failed(Failure(FailureKind.WRONG_BODY, words))
        return Verdict(None, _cached(self._marker, headers, document))


class StreamReader(Times):
    """Reads event streams as they come, and notes when.

    Events that come in one piece came at the same time, that of the read.
    White space before the first visible character is no text; after that it is.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._marker = stream.cached
        marked_at = stream.cached.json_path if stream.cached else None
        paths = (stream.token or None, stream.reasoning, stream.token_count, stream.end_json, marked_at)
        self._in_json = any(path is not None for path in paths)
        ends = (stream.end_event, stream.end_data, stream.end_json)
        self._declares_end = any(end is not None for end in ends)
        self.begin({})

    def begin(self, headers: RawHeaders) -> None:
        """Forget the last stream; the encoding is looked up in ``headers`` when the body begins."""
        self.first_event_at = self.first_token_at = self.first_answer_at = self.ended_at = 0.0
        self.chunk_times: list[float] = []  # anew: whoever keeps the last stream's has them for good
        self.tokens = 0
        self._tokens_stated = False
        self._headers = headers
        self._inflate: Inflate | None = None
        self._decoded_bytes = 0
        self._start = b""
        self._marks = _EventMarks(self._marker)
        self._parser = EventParser()

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body. Raises ReplyError for a bound that is passed and a broken encoding."""
        now = self.came_at
        if not self._decoded_bytes and self._inflate is None:
            self._inflate = _inflater(self._headers)
        if self._inflate is None:
            self._take(piece, now)
            return
        try:
            for plain in self._inflate.pieces(piece):
                self._take(plain, now)
        except zlib.error as error:
            raise ReplyError(FailureKind.PROTOCOL, f"its Content-Encoding is broken: {error}") from error

    def _take(self, piece: bytes, now: float) -> None:
        self._decoded_bytes += len(piece)
        if self._decoded_bytes > MAX_REPLY_BYTES:
            raise ReplyError(
                FailureKind.TOO_LARGE, f"the stream is larger than {MAX_REPLY_BYTES // 1024} KiB"
            )
        if not self.first_token_at and len(self._start) < KEPT_BYTES:
            self._start += piece[: KEPT_BYTES - len(self._start)]
        try:
            for name, data in self._parser.feed(piece):
                self._event(name, data, now)
        except TooLargeError as error:
            raise ReplyError(FailureKind.TOO_LARGE, str(error)) from error

    def _event(self, name: str, data: str, now: float) -> None:
        if not self.first_event_at:
            self.first_event_at = now
        document = _parsed(data) if self._in_json else None
        if self._stream.token_count is not None:
            self._count(at_path(document, self._stream.token_count))
        self._marks.see(document)
        if self.ended_at:
            return
        if self._declares_end and self._ends(name, data, document):
            self.ended_at = now
        else:
            self._text(data, document, now)

    def _ends(self, name: str, data: str, document: object) -> bool:
        """What ``Stream.ends`` says, for data that is parsed already."""
        stream = self._stream
        if name == stream.end_event or (stream.end_data is not None and data.strip() == stream.end_data):
            return True
        return stream.end_json is not None and at_path(document, stream.end_json) is not None

    def _text(self, data: str, document: object, now: float) -> None:
        answer = at_path(document, self._stream.token) if self._stream.token else data
        if not isinstance(answer, str):
            answer = ""
        is_answer = self._is_text(answer)
        if not is_answer:
            thought = at_path(document, self._stream.reasoning) if self._stream.reasoning else None
            if not (isinstance(thought, str) and self._is_text(thought)):
                return
        self.chunk_times.append(now)
        if not self._tokens_stated:
            self.tokens += 1
        if not self.first_token_at:
            self.first_token_at = now
        if is_answer and not self.first_answer_at and answer.strip():
            self.first_answer_at = now

    def _is_text(self, text: str) -> bool:
        return bool(text if self.first_token_at else text.strip())

    def _count(self, stated: object) -> None:
        if type(stated) is int and 0 < stated <= MAX_STATED_TOKENS:
            self.tokens, self._tokens_stated = stated, True

    def verdict(self, status: int, headers: RawHeaders) -> Verdict:
        """Judge the complete stream."""
        if status not in STREAM_STATUSES:
            return _failed(_bad_status(status, headers, self._start))
        if not self.first_answer_at:
            what = "a token of the answer" if self.first_token_at else "a token"
            words = f"a stream without {what}, {_beginning(self._start)}"
            return _failed(Failure(FailureKind.WRONG_BODY, words))
        if self._declares_end and not self.ended_at:
            return _failed(Failure(FailureKind.WRONG_BODY, "a stream that closed before its declared end"))
        return Verdict(None, self._marks.verdict(headers))


class _EventMarks:
    """What a JSON marker says over all events of a stream: any event that has it may show it."""

    def __init__(self, marker: Marker | None) -> None:
        self._marker = marker
        self._found = self._shown = False

    def see(self, document: object) -> None:
        marker = self._marker
        if marker is None or marker.json_path is None or self._shown:
            return
        if at_path(document, marker.json_path) is not None:
            self._found = True
            self._shown = marker.shown({}, document)

    def verdict(self, headers: RawHeaders) -> Cached:
        marker = self._marker
        if marker is None or marker.header is not None:
            return _cached(marker, headers, None)
        if marker.present is not None:
            return Cached(self._found is marker.present)
        if not self._found:
            return Cached.NOT_FOUND
        return Cached(self._shown)


def _failed(failure: Failure) -> Verdict:
    return Verdict(failure, Cached.NOT_JUDGED)


def _cached(marker: Marker | None, headers: RawHeaders, document: object) -> Cached:
    if marker is None:
        return Cached.NOT_JUDGED
    names = text_headers(headers) if marker.header is not None else {}
    if marker.shown(names, document):
        return Cached.YES
    if marker.present is not None:
        return Cached.NO
    found = names.get(marker.header.lower()) if marker.header else at_path(document, marker.json_path or "")
    return Cached.NOT_FOUND if found is None else Cached.NO


def text_headers(headers: RawHeaders) -> dict[str, str]:
    """Header names in lower case, values as text."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers.items()}


def _bad_status(status: int, headers: RawHeaders, body: bytes) -> Failure:
    names = text_headers(headers)
    if status == 429:
        wait = names.get("retry-after")
        asked = f" (Retry-After: {wait})" if wait else ""
        return Failure(FailureKind.STATUS, f"HTTP 429, the service is rate limiting{asked}")
    if status in REDIRECTS:
        place = names.get("location", "nowhere")
        return Failure(FailureKind.REDIRECT, f"HTTP {status}, and a load follows no redirects: to {place}")
    return Failure(FailureKind.STATUS, f"HTTP {status}, {_beginning(body)}")


def _document(body: bytes, headers: RawHeaders) -> object:
    """The body as JSON. Raises ReplyError where it is none."""
    document = _parsed(body)
    if document is not None:
        return document
    plain = _plain(body, headers)
    if len(plain) > MAX_REPLY_BYTES:
        raise ReplyError(
            FailureKind.TOO_LARGE, f"the inflated body is larger than {MAX_REPLY_BYTES // 1024} KiB"
        )
    document = _parsed(plain)
    if document is None:
        raise ReplyError(FailureKind.WRONG_BODY, f"the body is not JSON, {_beginning(plain)}")
    return document


def _parsed(data: str | bytes) -> object:
    try:
        text = data.removeprefix(BOM_UTF8).decode() if isinstance(data, bytes) else data
        text = text.strip(JSON_SPACE)
        document, end = _read_json(text)
    except (ValueError, RecursionError):
        return None
    return document if end == len(text) else None


def _inflater(headers: RawHeaders) -> Inflate | None:
    encoding = text_headers(headers).get("content-encoding", "").strip().lower()
    return Inflate() if encoding in ("gzip", "x-gzip", "deflate") else None


def _plain(body: bytes, headers: RawHeaders) -> bytes:
    """The body inflated up to just above MAX_REPLY_BYTES, or as it came where it cannot be inflated."""
    inflate = _inflater(headers)
    if inflate is None:
        return body
    plain = bytearray()
    try:
        for piece in inflate.pieces(body):
            plain += piece
            if len(plain) > MAX_REPLY_BYTES:
                break
    except zlib.error:
        return body
    return bytes(plain)


def _is_empty(found: object) -> bool:
    return not (found.strip() if isinstance(found, str | bytes) else found)


def _beginning(body: bytes) -> str:
    return f"beginning with {body[:KEPT_BYTES].decode('utf-8', 'replace')}" if body else "with an empty body"
