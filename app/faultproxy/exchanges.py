"""The HTTP/1.1 exchanges of one link: counts requests, and says which the proxy answers itself.

A link is taken for HTTP until its bytes show that it is not. Nothing is held back to find out, except, while
requests are being refused, the head of the next one. While nothing is refused llhttp follows both directions,
which costs a few microseconds an exchange; where messages must be told apart byte by byte, ``Framing`` does.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from app.faultproxy.calls import Calls
from app.faultproxy.http1 import MAX_PATH_CHARS, Framing, Head
from app.faultproxy.toxics import Toxic

STATUS = 503
BODY = json.dumps({"error": "Service Unavailable"}).encode()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reply in place of the upstream's; with ``closes`` the connection ends after it."""

    reply: bytes
    closes: bool


class _Fate(Enum):
    """Of the request whose bytes are coming in just now."""

    PASSED_ON = auto()
    OPEN = auto()
    REFUSED = auto()


class Exchanges:
    """What is under way on a link. ``refuses`` draws, once a request, the toxic that refuses it, or None."""

    def __init__(self, calls: Calls, refuses: Callable[[], Toxic | None]) -> None:
        self._calls = calls
        self._refuses = refuses
        self._waiting: deque[str] = deque()  # methods of requests passed on that have no whole response yet
        self._requests = _Requests(self._came)
        self._responses = _Responses(self._waiting)
        self._framing = Framing()
        self._fate = _Fate.PASSED_ON
        self._held = b""
        self._refusal: Refusal | None = None
        self.opaque = False  # whether this link speaks something else, or does so by now

    @property
    def telling_apart(self) -> bool:
        """Whether ``sent`` was given the beginning of a request, and must be given the rest."""
        return not self._framing.between

    @property
    def answered(self) -> bool:
        """Whether everything that was passed on has its whole response: the turn is ours."""
        return not self._waiting

    def passed_on(self, data: bytes) -> None:
        """Note what a client sent while nothing is refused."""
        try:
            self._requests.parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._give_up()

    def received(self, data: bytes) -> None:
        """Note what the upstream sent."""
        try:
            self._responses.feed(data)
        except (HttpParserError, HttpParserUpgrade):
            self._give_up()

    def sent(self, data: bytes) -> Iterator[bytes | Refusal]:
        """What a client sent, as what is to be passed on and what is to be refused, in order.

        One that is passed on counts as under way once it is taken from the iterator.
        """
        if not self._requests.between:  # what began before anything was refused is passed on to its end
            self.passed_on(data)
            yield data
            return
        for piece in self._framing.split(data):
            if piece.begins:
                self._fate = _Fate.OPEN
            text = piece.data
            if self._fate is _Fate.OPEN:
                if piece.head is None and not self._framing.opaque:
                    self._held += text
                    continue
                text, self._held = self._held + text, b""
                self._fate = self._decided(piece.head)
            elif piece.head is not None:
                self._came(*piece.head.start)  # its beginning was released
            if self._fate is _Fate.PASSED_ON:
                yield text
            elif self._refusal is not None and (piece.ends or self._refusal.closes):
                refusal, self._refusal = self._refusal, None
                yield refusal
        if self._framing.opaque:
            self._give_up()

    def released(self) -> bytes:
        """What was held of a request whose head is not whole: it is to be passed on after all."""
        held, self._held = self._held, b""
        if held:
            self._fate = _Fate.PASSED_ON
        return held

    def _decided(self, head: Head | None) -> _Fate:
        if head is None:
            return _Fate.PASSED_ON  # no HTTP
        toxic = self._refuses()
        if toxic is None:
            self._came(*head.start)
            return _Fate.PASSED_ON
        self._calls.came(" ".join(head.start), refused=True)
        self._refusal = _refusal(head, toxic.attributes["retry_after"])
        return _Fate.REFUSED

    def _came(self, method: str, path: str) -> None:
        self._calls.came(f"{method} {path}", refused=False)
        self._waiting.append(method)

    def _give_up(self) -> None:
        self.opaque = True
        self._waiting.clear()


class _Requests:
    """Follows whole requests with llhttp: tells ``came`` of each head."""

    def __init__(self, came: Callable[[str, str], None]) -> None:
        self._came = came
        self._url = b""
        self.between = True
        self.parser = HttpRequestParser(self)

    def on_message_begin(self) -> None:
        """A request begins."""
        self.between, self._url = False, b""

    def on_url(self, url: bytes) -> None:
        """A part of its address is there."""
        self._url += url

    def on_headers_complete(self) -> None:
        """Its head is there."""
        path = self._url.partition(b"?")[0][:MAX_PATH_CHARS]
        self._came(self.parser.get_method().decode("latin-1"), path.decode("latin-1"))

    def on_message_complete(self) -> None:
        """It is whole."""
        self.between = True


class _Responses:
    """Follows responses with llhttp, and takes the request of each whole one off ``waiting``."""

    def __init__(self, waiting: deque[str]) -> None:
        self._waiting = waiting
        self._bodiless = False
        self._parser = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Bytes of the upstream. Raises what the parser raises."""
        self._parser.feed_data(data)
        if self._bodiless:  # llhttp cannot know that this response has a length and no body
            self._bodiless = False
            self._parser = HttpResponseParser(self)

    def on_headers_complete(self) -> None:
        """A head is there; after HEAD that is all."""
        if self._waiting and self._waiting[0] == "HEAD" and self._parser.get_status_code() >= 200:
            self._bodiless = True
            self._waiting.popleft()

    def on_message_complete(self) -> None:
        """A response is whole; an interim one (100 Continue) is followed by another."""
        if self._waiting and not self._bodiless and self._parser.get_status_code() >= 200:
            self._waiting.popleft()


def _refusal(head: Head, retry_after_s: int) -> Refusal:
    # who waits for leave to send a body (100 Continue) will not send it now, or sends it all the same
    closes = head.closes or head.expects
    fields = [
        f"HTTP/1.1 {STATUS} Service Unavailable",
        "Content-Type: application/json",
        f"Content-Length: {len(BODY)}",
    ]
    fields += [f"Retry-After: {retry_after_s}"] if retry_after_s else []
    fields += ["Connection: close"] if closes else []
    text = "\r\n".join(fields).encode() + b"\r\n\r\n"
    return Refusal(text if head.start[0] == "HEAD" else text + BODY, closes)
