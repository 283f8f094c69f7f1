r"""Neighbor lists for atoms that move a little at a time: pairs are searched rarely, with a skin.

All pairs closer than r_c + s are searched once and kept with their lattice shifts S. As long as none can
have come from beyond r_c + s to within r_c, the pairs are taken from there (L. Verlet, Phys. Rev. 159, 98
(1967)). With positions r and a cell H that were r_0 and H_0 at the search, the affine part of the motion is
taken out first, so that a cell that changes its volume does not use up the skin:

.. math:: F = H_0^{-1} H, \quad u_i = r_i F^{-1} - r_{0,i}, \quad
          \frac{r_c}{\sigma_{min}(F)} + 2 \max_i |u_i| < r_c + s

because |D_0| <= |D| / sigma_min(F) + 2 max|u| with the smallest singular value of F. The vectors and their
order are bit for bit those of :func:`bnnp.descriptors.neighbors.find_neighbors`, whenever the pairs were
searched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import bnnp._core as _core
from bnnp.descriptors.neighbors import NeighborList, find_neighbors

Array = NDArray[np.float64]


class SkinNeighbors:
    """Neighbor lists of one structure after the other.

    Parameters
    ----------
    cutoff : float, length
    skin : float, length
        0 searches every time.

    Attributes
    ----------
    searches : int
        How often the pairs were searched.
    """

    def __init__(self, cutoff: float, skin: float) -> None:
        if skin < 0.0:
            raise ValueError(f"the skin of the neighbor list is {skin:g} but must not be negative")
        self.cutoff, self.skin = cutoff, skin
        self.searches = 0
        self._positions = np.empty((0, 3))
        self._cell: Array | None = None
        self._numbers: NDArray[np.integer] = np.empty(0, dtype=np.int64)
        self._wide: NeighborList | None = None
        self._shifts = np.empty((0, 3))
        self._images: Array | None = None  # of the pairs, for the cell `_box`
        self._box = np.zeros((3, 3))

    def find(self, positions: Array, cell: Array | None, numbers: NDArray[np.integer]) -> NeighborList:
        """Neighbor list of the structure, as from :func:`find_neighbors`.

        Raises
        ------
        NumericalError
            As :func:`find_neighbors`.
        """
        if self._wide is None or not self._valid(positions, cell, numbers):
            self._search(positions, cell, numbers)
        if self.skin == 0.0:
            assert self._wide is not None
            return self._wide
        return self._narrow(positions, cell)

    def _valid(self, positions: Array, cell: Array | None, numbers: NDArray[np.integer]) -> bool:
        same = positions.shape == self._positions.shape and (cell is None) == (self._cell is None)
        if not same or self.skin == 0.0 or not np.array_equal(numbers, self._numbers):
            return False
        shrunk, moved = 1.0, positions - self._positions
        if cell is not None and self._cell is not None and not np.array_equal(cell, self._cell):
            deformation = np.linalg.solve(self._cell, cell)
            shrunk = float(np.linalg.svd(deformation, compute_uv=False)[-1])
            moved = np.linalg.solve(deformation.T, positions.T).T - self._positions
        largest = float(np.sqrt(np.einsum("ax,ax->a", moved, moved).max(initial=0.0)))
        return self.cutoff / max(shrunk, 1e-9) + 2.0 * largest < self.cutoff + self.skin  # False for NaN

    def _search(self, positions: Array, cell: Array | None, numbers: NDArray[np.integer]) -> None:
        wide = find_neighbors(positions, cell, self.cutoff + self.skin, numbers)
        self.searches += 1
        self._wide = wide
        self._positions, self._numbers = positions.copy(), np.array(numbers)
        self._cell = None if cell is None else cell.copy()
        self._images = None
        self._shifts = np.zeros((len(wide), 3))
        if cell is not None and len(wide):
            images = wide.vectors - (positions[wide.neighbors] - positions[wide.centers])
            self._shifts = np.rint(np.linalg.solve(cell.T, images.T).T)

    def _narrow(self, positions: Array, cell: Array | None) -> NeighborList:
        """The pairs within the cutoff, by the arithmetic of find_neighbors."""
        assert self._wide is not None
        if self._images is None or (cell is not None and not np.array_equal(cell, self._box)):
            self._box = np.zeros((3, 3)) if cell is None else cell.copy()
            self._images = np.einsum("ps,sx->px", self._shifts, self._box)
        return NeighborList(
            *_core.narrow(self._wide.first, self._wide.neighbors, self._images, positions, self.cutoff)
        )
