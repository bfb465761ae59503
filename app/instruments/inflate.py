"""Inflates compressed bodies bit by bit, so that a small body cannot become a large one unasked."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE_BYTES = 65_536


class Inflate:
    """gzip and both kinds of deflate, never more than PIECE_BYTES at a time."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._begun = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` inflates to. Raises zlib.error."""
        while data and not self._inflater.eof:
            try:
                piece = self._inflater.decompress(data, PIECE_BYTES)
            except zlib.error:
                if self._begun:
                    raise
                self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)  # deflate without its header
                piece = self._inflater.decompress(data, PIECE_BYTES)
            self._begun = True
            data = self._inflater.unconsumed_tail
            if piece:
                yield piece
