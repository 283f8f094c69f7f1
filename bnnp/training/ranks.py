"""Which structures of a batch each rank takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranks:
    """This process among others: the verbs of :mod:`bnnp.parallel` the loop needs."""

    rank: int = 0
    size: int = 1
    sum_array: Callable[[Array], Array] = lambda array: array

    def share(self, items: Sequence[int]) -> Sequence[int]:
        """What this rank does of `items`: as many as the others, and as many as can be of its own."""
        most = -(-len(items) // self.size)
        shares: list[list[int]] = [[] for _ in range(self.size)]
        rest: list[int] = []
        for item in items:
            home = shares[item % self.size]
            (home if len(home) < most else rest).append(item)
        for item in rest:
            min(shares, key=len).append(item)
        return shares[self.rank]

    def at_home(self, item: int) -> bool:
        """Whether this rank is the one that keeps `item` in memory."""
        return item % self.size == self.rank
