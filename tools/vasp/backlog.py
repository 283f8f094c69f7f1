"""Steps that are held back while text further below may still show that they are damaged.

Text of another run or step that was inserted into a file joins the beginning of one step to the end of
another, and nothing in these need show it. Behind the insertion, however, the numbers of steps go back: those
from there on stand in the file twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from vasp.step import UNCONVERGED, Draft, flawed

HELD = 2**22  # bytes of tables
OVERHEAD = 2000  # bytes of a step without tables


@dataclass
class _Held:
    number: int
    size: int
    draft: Draft
    marks: tuple[bytes, ...]


class Backlog:
    """The latest steps of a file, in order."""

    def __init__(self) -> None:
        self._held: deque[_Held] = deque()
        self._size = 0

    def add(self, draft: Draft, number: int = 0, size: int = 0, marks: tuple[bytes, ...] = ()) -> None:
        """Hold a step of that number, with `size` bytes of tables; `marks` tell it from others."""
        self._held.append(_Held(number, size + OVERHEAD, draft, marks))
        self._size += size + OVERHEAD

    def first(self, marks: set[bytes]) -> int | None:
        """The number of the first step that has one of these marks."""
        return next((held.number for held in self._held if not marks.isdisjoint(held.marks)), None)

    def spoil(self, number: int, reason: str) -> None:
        """Leave out the steps from that number on which have no flaw of their own."""
        for held in self._held:
            if held.number >= number and held.draft.flaw in (None, UNCONVERGED):
                held.draft = flawed(reason)

    def released(self, limit: int = HELD) -> Iterator[Draft]:
        """The first steps, until no more than `limit` bytes are held."""
        while self._held and self._size > limit:
            held = self._held.popleft()
            self._size -= held.size
            yield held.draft
