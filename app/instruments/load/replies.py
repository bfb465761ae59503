"""Whether a reply is a good answer, and what its cache marker says. Everything in it is hostile."""

from __future__ import annotations

import json
import zlib
from time import perf_counter
from typing import NamedTuple

from app.instruments.inflate import Inflate
from app.instruments.load.connection import MAX_REPLY_BYTES, RawHeaders, ReplyError
from app.instruments.load.samples import Cached
from app.instruments.sse import EventParser, TooLargeError
from app.instruments.wire import REDIRECTS
from checks.contract import Failure, FailureKind
from checks.target import Ask, Marker, Stream, at_path

KEPT_BYTES = 16 * 1024  # of a wrong body; it is cut to an example only after secrets in it are hidden
STREAM_STATUSES = range(200, 300)


class Verdict(NamedTuple):
    """What one complete reply is worth."""

    failure: Failure | None
    cached: Cached


class AnswerReader:
    """Reads whole bodies. JSON is parsed only where an answer path or a marker asks for it."""

    ended_at = 0.0
    first_token_at = 0.0

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._marker = ask.cached
        self._needs_document = bool(ask.answer) or (self._marker is not None and self._marker.header is None)
        self._pieces: list[bytes] = []
        self.feed = self._pieces.append

    def begin(self, headers: RawHeaders) -> None:
        """Forget the last body."""
        del headers
        self._pieces.clear()

    def verdict(self, status: int, headers: RawHeaders) -> Verdict:
        """Judge the complete reply."""
        body = b"".join(self._pieces)
        if status not in self._ask.good_statuses:
            return _failed(_bad_status(status, headers, _plain(body, headers)))
        document: object = None
        if self._needs_document:
            try:
                document = _document(body, headers)
            except ReplyError as error:
                return _failed(error.failure)
        answer = self._ask.answer
        if _is_empty(at_path(document, answer) if answer else body):
            words = f"no answer at `{answer}`, {_beginning(body)}" if answer else "the body is empty"
            return _failed(Failure(FailureKind.WRONG_BODY, words))
        return Verdict(None, _cached(self._marker, headers, document))


class StreamReader:
    """Reads event streams as they come. ``first_token_at`` is when the first text came, no mere event."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._marker = stream.cached
        self._declares_end = bool(stream.end_event or stream.end_data or stream.end_json)
        self.begin({})

    def begin(self, headers: RawHeaders) -> None:
        """Forget the last stream; the encoding is looked up in ``headers`` when the body begins."""
        self.ended_at = 0.0
        self.first_token_at = 0.0
        self._headers = headers
        self._inflate: Inflate | None = None
        self._decoded_bytes = 0
        self._start = b""
        self._marks = _EventMarks(self._marker)
        self._parser = EventParser()

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body. Raises ReplyError for a bound that is passed and a broken encoding."""
        if not self._decoded_bytes and self._inflate is None:
            self._inflate = _inflater(self._headers)
        if self._inflate is None:
            self._take(piece)
            return
        try:
            for plain in self._inflate.pieces(piece):
                self._take(plain)
        except zlib.error as error:
            raise ReplyError(FailureKind.PROTOCOL, f"its Content-Encoding is broken: {error}") from error

    def _take(self, piece: bytes) -> None:
        self._decoded_bytes += len(piece)
        if self._decoded_bytes > MAX_REPLY_BYTES:
            raise ReplyError(
                FailureKind.TOO_LARGE, f"the stream is larger than {MAX_REPLY_BYTES // 1024} KiB"
            )
        if len(self._start) < KEPT_BYTES:
            self._start += piece[: KEPT_BYTES - len(self._start)]
        try:
            for name, data in self._parser.feed(piece):
                self._event(name, data)
        except TooLargeError as error:
            raise ReplyError(FailureKind.TOO_LARGE, str(error)) from error

    def _event(self, name: str, data: str) -> None:
        if not self.first_token_at and self._stream.text(name, data).strip():
            self.first_token_at = perf_counter()
        if not self.ended_at and self._stream.ends(name, data):
            self.ended_at = perf_counter()
        self._marks.see(data)

    def verdict(self, status: int, headers: RawHeaders) -> Verdict:
        """Judge the complete stream."""
        if status not in STREAM_STATUSES:
            return _failed(_bad_status(status, headers, self._start))
        if not self.first_token_at:
            words = f"a stream without a token, {_beginning(self._start)}"
            return _failed(Failure(FailureKind.WRONG_BODY, words))
        if self._declares_end and not self.ended_at:
            return _failed(Failure(FailureKind.WRONG_BODY, "a stream that closed before its declared end"))
        return Verdict(None, self._marks.verdict(headers))


class _EventMarks:
    """What a JSON marker says over all events of a stream: any event that has it may show it."""

    def __init__(self, marker: Marker | None) -> None:
        self._marker = marker
        self._found = self._shown = False

    def see(self, data: str) -> None:
        marker = self._marker
        if marker is None or marker.json_path is None or self._shown:
            return
        document = _parsed(data)
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


def _parsed(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


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
