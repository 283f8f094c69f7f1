"""A stream of text, held in parts: a window to search from, or sections between markers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from bnnp._core import find_words

CHUNK = 2**20  # bytes read at a time
SECTION = 2**14  # bytes that are enough of a section
LIMIT = 2**24  # bytes held before a search begins to forget


class Readable(Protocol):
    """What a stream must offer."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


def pieces(stream: Readable) -> Iterator[bytes]:
    """The text of a stream without carriage returns, in pieces that are not empty."""
    while piece := stream.read(CHUNK):
        if text := piece.replace(b"\r", b""):
            yield text


def cut_at(
    stream: Readable, markers: Sequence[bytes], is_whole: Callable[[bytes, bytes], bool]
) -> Iterator[tuple[bytes, bytes]]:
    """Cut a stream into sections, each of them from a marker to the next one.

    Yields marker and text, the marker included; what stands before the first marker has an empty one. A
    section that grows beyond `SECTION` while `is_whole` says of its marker and text that nothing is missing
    is passed on in parts that end with a line, all but the first of them with an empty marker.
    """
    marker, held, overlap = b"", b"", max(map(len, markers)) - 1
    for piece in pieces(stream):
        searched = max(len(held) - overlap, len(marker))
        held += piece
        start = 0
        for at, number in zip(*find_words(held, markers, searched), strict=True):
            yield marker, held[start:at]
            marker, start = markers[number], at
        held = held[start:]
        end = held.rfind(b"\n", 0, len(held) - overlap) + 1
        if end > SECTION and is_whole(marker, held):
            yield marker, held[:end]
            marker, held = b"", held[end:]
    yield marker, held


class Window:
    """The part of a stream that has not been passed yet, as far as it was read.

    All positions are distances from what was passed last.
    """

    def __init__(self, stream: Readable) -> None:
        self._pieces = pieces(stream)
        self._text = b""
        self._start = 0

    def find(self, marker: bytes, offset: int = 0, condense: Callable[[bytes], bytes] | None = None) -> int:
        """Position of the first `marker` from `offset` on; -1 if the stream has none.

        While nothing is found and `LIMIT` bytes are held, `condense` is given these and returns what of them
        is needed; positions then count in that.
        """
        while True:
            found = self._text.find(marker, self._start + offset)
            if found >= 0:
                return found - self._start
            held = len(self._text) - self._start
            offset = max(offset, held - len(marker) + 1)
            if condense is not None and held > LIMIT:
                self._text, self._start = condense(self.held()), 0
                offset = max(0, len(self._text) - len(marker) + 1)
            if not self._more():
                return -1

    def held(self) -> bytes:
        """All that is read and not passed."""
        return self._text[self._start :]

    def take(self, size: int) -> bytes:
        """Pass `size` bytes that are held, and give them."""
        taken = self._text[self._start : self._start + size]
        self._start += len(taken)
        return taken

    def _more(self) -> bool:
        """Read a piece; False at the end of the stream."""
        piece = next(self._pieces, b"")
        if piece:
            self._text, self._start = self._text[self._start :] + piece, 0
        return bool(piece)
