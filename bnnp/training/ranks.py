"""Which structures of a batch each rank takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranks:
    """This MPI rank: its number, how many there are, and the sum of an array over all, in place."""

    rank: int = 0
    size: int = 1
    sum_array: Callable[[Array], Array] = lambda array: array

    def share(self, items: Sequence[int]) -> Sequence[int]:
        """Items of this rank: as many as of any other, preferably those it keeps in memory."""
        most = -(-len(items) // self.size)
        shares: list[list[int]] = [[] for _ in range(self.size)]
        rest: list[int] = []
        for item in items:
            share = shares[item % self.size]
            (share if len(share) < most else rest).append(item)
        for item in rest:
            min(shares, key=len).append(item)
        return shares[self.rank]

    def keeps(self, item: int) -> bool:
        """Whether this rank is the one that keeps `item` in memory."""
        return item % self.size == self.rank
