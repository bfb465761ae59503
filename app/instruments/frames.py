"""What a parser of server-sent events passes over in silence: stray lines, broken UTF-8, events without data.

A client drops all of it without an error, as the WHATWG HTML standard says (9.2.6), so text is lost and
nobody is told. Hence the bytes are looked at a second time here, beside the parser.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from checks.contract import Frames, printable

FIELDS = frozenset({b"event", b"data", b"id", b"retry"})
LINE_END = re.compile(rb"\r\n|\n|\r")
MAX_KEPT = 5
MAX_CHARS = 120


class FrameWatch:
    """Bytes in, however they are cut; ``seen`` says how they were framed. Never raises.

    The caller bounds an event (EventParser does), and with it what is held here.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._after_cr = False
        self._first = True
        self._name = b""
        self._has_data = False
        self._strays: list[str] = []
        self._dataless: list[str] = []
        self._stray_count = self._not_utf8 = 0

    def feed(self, piece: bytes) -> None:
        """Look at the next bytes."""
        if self._after_cr and piece:
            piece, self._after_cr = piece.removeprefix(b"\n"), False
        *lines, rest = LINE_END.split(piece)
        self._after_cr = piece.endswith(b"\r")
        for part in lines:
            line = b"".join([*self._held, part])
            self._held.clear()
            self._line(line)
        if rest:
            self._held.append(rest)

    def seen(self, hide: Callable[[str], str] = str) -> Frames:
        """What was seen so far; ``hide`` takes secrets out of what is quoted."""
        rest = b"".join(self._held)
        return Frames(
            strays=tuple(map(hide, self._strays)),
            stray_count=self._stray_count,
            not_utf8=self._not_utf8 + (not _is_utf8(rest)),
            dataless=tuple(map(hide, self._dataless)),
            unfinished=self._has_data or bool(rest.strip()),
        )

    def _line(self, line: bytes) -> None:
        if self._first:
            line, self._first = line.removeprefix(codecs.BOM_UTF8), False
        self._not_utf8 += not _is_utf8(line)
        if not line:
            if self._name and not self._has_data and len(self._dataless) < MAX_KEPT:
                self._dataless.append(_shown(self._name))
            self._name, self._has_data = b"", False
            return
        field, _, value = line.partition(b":")
        if field == b"event":
            self._name = value.removeprefix(b" ")
        elif field == b"data":
            self._has_data = True
        elif field and field not in FIELDS:
            self._stray_count += 1
            if len(self._strays) < MAX_KEPT:
                self._strays.append(_shown(line))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(line: bytes) -> str:
    return printable(line[: 4 * MAX_CHARS].decode("utf-8", "replace")[:MAX_CHARS])
