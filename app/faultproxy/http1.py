"""Where the requests of an HTTP/1.1 connection begin and end. Bodies are passed over, not read.

What a client sends goes through ``Framing``, which splits it by request, however it is cut up and whether or
not it is pipelined. What turns out not to be HTTP/1.1 is ``opaque`` from then on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

MAX_HEAD_BYTES = 65_536
MAX_LINE_BYTES = 1_024  # of a chunk's size or a trailer
MAX_PATH_CHARS = 200
TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!-~\x80-\xff]+) HTTP/1\.([01])")
FIELDS = re.compile(
    rb"\r\n(content-length|transfer-encoding|connection|expect):[ \t]*([^\r\n]*)", re.IGNORECASE
)
BEGINNING = re.compile(TOKEN + rb"( .*)?")

CHUNKED = -1


class NotHttpError(Exception):
    """These bytes are no request of HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head: method and path (without its query), and the body's length, or CHUNKED.

    ``closes``: the connection ends after it. ``expects``: the body is sent only once the server says so.
    """

    start: tuple[str, str]
    length: int
    closes: bool
    expects: bool


class Piece(NamedTuple):
    """Bytes of one request: whether they hold its beginning, the end of its head, and its end."""

    data: bytes
    begins: bool
    head: Head | None
    ends: bool


class _At(Enum):
    START = auto()
    HEAD = auto()
    LENGTH = auto()
    CHUNK_LINE = auto()
    CHUNK = auto()
    TRAILER = auto()
    OPAQUE = auto()


class Framing:
    """What one client sends over one connection."""

    def __init__(self) -> None:
        self._at = _At.START
        self._partial = b""  # of a head or a line that came in parts
        self._left = 0  # bytes of the body, or of the chunk with its line end

    @property
    def opaque(self) -> bool:
        """Whether this is not HTTP/1.1."""
        return self._at is _At.OPAQUE

    @property
    def between(self) -> bool:
        """Whether the last request has ended and none has begun."""
        return self._at is _At.START

    def split(self, data: bytes) -> list[Piece]:
        """``data`` by request. Every byte is in a piece at once: nothing is held back."""
        pieces: list[Piece] = []
        place, size = 0, len(data)
        while place < size:
            start, begins, head = place, self._at is _At.START, None
            try:
                if self._at in (_At.START, _At.HEAD):
                    place, head = self._through_head(data, place)
                if self._at not in (_At.START, _At.HEAD):
                    place = self._through_body(data, place)
            except NotHttpError:
                self._at, self._partial, place = _At.OPAQUE, b"", size
            pieces.append(Piece(data[start:place], begins, head, self._at is _At.START))
        return pieces

    def _through_head(self, data: bytes, place: int) -> tuple[int, Head | None]:
        before = len(self._partial)
        text = self._partial + data[place:] if before else data
        start = 0 if before else place
        end = text.find(b"\r\n\r\n", max(start, before - 3))  # the line ends may themselves come in parts
        if end < 0:
            self._at, self._partial = _At.HEAD, text[start:]
            _require_beginning(self._partial)
            return len(data), None
        self._partial = b""
        head = request_head(text[start : end + 4])
        self._begin_body(head.length)
        return (place + end + 4 - before if before else end + 4), head

    def _begin_body(self, length: int) -> None:
        if length == CHUNKED:
            self._at = _At.CHUNK_LINE
        else:
            self._at, self._left = (_At.LENGTH if length else _At.START), length

    def _through_body(self, data: bytes, place: int) -> int:
        while place < len(data) and self._at is not _At.START:
            if self._at is _At.OPAQUE:
                return len(data)
            if self._at in (_At.LENGTH, _At.CHUNK):
                step = min(self._left, len(data) - place)
                place, self._left = place + step, self._left - step
                if not self._left:
                    self._at = _At.START if self._at is _At.LENGTH else _At.CHUNK_LINE
            else:
                place = self._through_line(data, place)
        return place

    def _through_line(self, data: bytes, place: int) -> int:
        end = data.find(b"\n", place)
        line = self._partial + (data[place:] if end < 0 else data[place:end])
        if len(line) > MAX_LINE_BYTES:
            raise NotHttpError
        if end < 0:
            self._partial = line
            return len(data)
        self._partial = b""
        line = line.rstrip(b"\r")
        if self._at is _At.TRAILER:
            self._at = _At.TRAILER if line else _At.START
        else:
            self._left = _hexadecimal(line.partition(b";")[0].strip()) + 2
            self._at = _At.CHUNK if self._left > 2 else _At.TRAILER
        return end + 1


def _require_beginning(text: bytes) -> None:
    """Raises NotHttpError where ``text`` cannot be the beginning of a head."""
    line, ended, _ = text.partition(b"\r\n")
    form = REQUEST_LINE if ended else BEGINNING
    if len(text) > MAX_HEAD_BYTES or b"\n" in line or not form.fullmatch(line):
        raise NotHttpError


def _hexadecimal(digits: bytes) -> int:
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", digits):
        raise NotHttpError
    return int(digits, 16)


def request_head(text: bytes) -> Head:
    """Read the head of a request. Raises NotHttpError."""
    line = REQUEST_LINE.match(text)
    if line is None or text[line.end() : line.end() + 2] != b"\r\n":
        raise NotHttpError
    fields = _fields(text)
    path = line[2].partition(b"?")[0].decode("latin-1")[:MAX_PATH_CHARS]
    connection = fields.get(b"connection", b"").lower()
    return Head(
        start=(line[1].decode(), path),
        length=_length(fields),
        closes=b"close" in connection or (line[3] == b"0" and b"keep-alive" not in connection),
        expects=b"expect" in fields,
    )


def _fields(text: bytes) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in FIELDS.findall(text)}


def _length(fields: dict[bytes, bytes]) -> int:
    if b"transfer-encoding" in fields:
        if b"chunked" not in fields[b"transfer-encoding"].lower():
            raise NotHttpError
        return CHUNKED
    stated = fields.get(b"content-length", b"0").strip()
    if not re.fullmatch(rb"\d{1,18}", stated):
        raise NotHttpError
    return int(stated)
