"""A sliding window over a stream: search far, hold little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

CHUNK = 2**20  # bytes read at a time
LIMIT = 2**24  # bytes held before a search begins to forget


class Readable(Protocol):
    """What a stream must offer."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


class Window:
    """The part of a stream that has not been passed yet, as far as it was read.

    All positions are distances from what was passed last.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._text = b""
        self._start = 0

    def find(self, marker: bytes, offset: int = 0, forget: Callable[[bytes], int] | None = None) -> int:
        """Position of the first `marker` from `offset` on; -1 if the stream has none.

        While nothing is found and `LIMIT` bytes are held, `forget` is given these and says how many at
        their start can go; positions then count from what is left.
        """
        while True:
            found = self._text.find(marker, self._start + offset)
            if found >= 0:
                return found - self._start
            held = len(self._text) - self._start
            offset = max(offset, held - len(marker) + 1)
            if forget is not None and held > LIMIT:
                gone = forget(self.held())
                self._start += gone
                offset = max(0, offset - gone)
            if not self._more():
                return -1

    def hold(self, size: int) -> bytes:
        """The next `size` bytes, or what the stream still has; they are not passed."""
        while len(self._text) - self._start < size and self._more():
            pass
        return self._text[self._start : self._start + size]

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
        piece = self._stream.read(CHUNK)
        if piece:
            self._text, self._start = self._text[self._start :] + piece, 0
        return bool(piece)
