"""A symmetric matrix of which only the lower triangle is kept, in slabs of rows distributed over the ranks.

Every slab is used twice in a product, as it is and, left of the diagonal, transposed; so a product costs as
much as with the full matrix, while an update P <- f (P - Y Y^T) changes half of the numbers, and memory is
halved. Several ranks hold different slabs: products are summed over them.

Updates of few columns would still read and write all of P for little work. They are delayed ::

    P = c P_0 - U U^T,      U <- sqrt(f) (U, Y),   c <- f c

until U has :data:`PENDING` columns, and are then subtracted at once (as in quantum Monte Carlo: T. McDaniel,
E. F. D'Azevedo, Y. W. Li, K. Wong, P. R. C. Kent, J. Chem. Phys. 147, 174107 (2017)).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROWS = 256  # of a slab: two products out of one slab find it in the cache
PENDING = 32  # columns of updates that are delayed


class SymmetricMatrix:
    """P, changed in place.

    Parameters
    ----------
    size : int
        n.
    diagonal : float
        P starts as this times the identity.
    dtype : torch.dtype
    rank, n_ranks : int
        Which slabs are kept here.
    sum_array : callable
        Sum of a NumPy array over the ranks, in place.
    """

    def __init__(
        self,
        size: int,
        diagonal: float,
        dtype: torch.dtype = torch.float64,
        rank: int = 0,
        n_ranks: int = 1,
        sum_array: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda array: array,
    ) -> None:
        self.size, self._dtype, self._n_ranks, self._sum = size, dtype, n_ranks, sum_array
        firsts = list(range(0, size, ROWS))
        self._scale, self._pending = 1.0, torch.zeros(size, 0, dtype=dtype)  # c and U
        self._slabs: dict[int, Tensor] = {}
        for number, first in enumerate(firsts):
            if _owner(number, n_ranks) == rank:
                last = min(first + ROWS, size)
                slab = torch.zeros(last - first, last, dtype=dtype)
                slab[:, first:].fill_diagonal_(diagonal)
                self._slabs[first] = slab

    def product(self, columns: Tensor) -> Tensor:
        """P H of H, (n, m); summed over the ranks."""
        result = torch.zeros_like(columns)
        single = columns.shape[1] == 1
        for first, slab in self._slabs.items():
            last = slab.shape[1]
            left = slab[:, :first].T
            if single:  # faster for a single vector
                result[first:last, 0].addmv_(slab, columns[:last, 0])
                result[:first, 0].addmv_(left, columns[first:last, 0])
            else:
                result[first:last].addmm_(slab, columns[:last])
                result[:first].addmm_(left, columns[first:last])
        if self._n_ranks > 1:
            self._sum(result.numpy())
        return result.mul_(self._scale).addmm_(self._pending, self._pending.T @ columns, alpha=-1.0)

    def subtract(self, factor: Tensor, scale: float = 1.0) -> None:
        """P <- scale (P - Y Y^T) with Y = `factor`, (n, m)."""
        self._pending = torch.cat([self._pending, factor], dim=1).mul_(scale**0.5)
        self._scale *= scale
        if self._pending.shape[1] >= PENDING:
            self._settle()

    def shift(self, value: float) -> None:
        """P <- P + value I."""
        for first, slab in self._slabs.items():
            slab[:, first:].diagonal().add_(value / self._scale)

    def _settle(self) -> None:
        """Subtract the delayed updates."""
        transposed = self._pending.T.contiguous()  # (m, n)
        for first, slab in self._slabs.items():
            last = slab.shape[1]
            rows = self._pending[first:last]
            slab.addmm_(rows, transposed[:, :last], beta=self._scale, alpha=-1.0)
        self._scale, self._pending = 1.0, self._pending[:, :0]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For a checkpoint: all slabs of all ranks, one after the other, and the delayed updates."""
        lasts = [min(first + ROWS, self.size) for first in range(0, self.size, ROWS)]
        values = torch.zeros(sum(self._count(last) for last in lasts), dtype=self._dtype)
        for place, slab in self._places():
            values[place] = slab.reshape(-1)
        if self._n_ranks > 1:
            self._sum(values.numpy())
        pending = self._pending.contiguous().numpy()
        return {"triangle": values.numpy(), "scale": np.asarray(self._scale), "pending": pending}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Undo :meth:`arrays`."""
        for place, slab in self._places():
            slab.copy_(torch.from_numpy(arrays["triangle"][place]).view_as(slab))
        self._scale, self._pending = float(arrays["scale"]), torch.from_numpy(arrays["pending"].copy())

    def _places(self) -> list[tuple[slice, Tensor]]:
        """Where each slab of this rank lies in the triangle of all."""
        places, start = [], 0
        for first in range(0, self.size, ROWS):
            count = self._count(min(first + ROWS, self.size))
            if first in self._slabs:
                places.append((slice(start, start + count), self._slabs[first]))
            start += count
        return places

    def _count(self, last: int) -> int:
        """Numbers in the slab that ends at row `last`."""
        return (last - (last - 1) // ROWS * ROWS) * last


def _owner(number: int, n_ranks: int) -> int:
    """Rank of a slab: forward and backward in turn, so that long and short ones are shared evenly."""
    turn, place = divmod(number, n_ranks)
    return place if turn % 2 == 0 else n_ranks - 1 - place
