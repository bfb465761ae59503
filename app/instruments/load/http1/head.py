"""The head of a reply, kept as it came and read only where somebody asks: most replies are judged without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

MAX_HEADERS = 200  # what lies beyond is not looked at; a head is at most 64 KiB anyway


class Head(Mapping[bytes, bytes]):
    """Header fields by name as sent; of a repeated name the last counts. Interim replies are passed over."""

    __slots__ = ("fields", "pieces")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.fields: dict[bytes, bytes] | None = None  # once somebody has asked

    def __getitem__(self, name: bytes) -> bytes:
        return self._fields()[name]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._fields())

    def __len__(self) -> int:
        return len(self._fields())

    def _fields(self) -> dict[bytes, bytes]:
        if self.fields is None:
            self.fields = _parsed(b"".join(self.pieces).replace(b"\r\n", b"\n"))
        return self.fields


def _parsed(text: bytes) -> dict[bytes, bytes]:
    head, _, rest = text.partition(b"\n\n")
    while rest.startswith(b"HTTP/") and head.partition(b" ")[2].startswith(b"1"):
        head, _, rest = rest.partition(b"\n\n")
    fields = {}
    for line in head.split(b"\n")[1 : MAX_HEADERS + 1]:
        name, _, value = line.partition(b":")
        fields[name] = value.strip(b" \t")
    return fields
