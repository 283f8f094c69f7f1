r"""The dipole correction of a slab, -2 pi (z_i - z_j)^2 / V in the matrix A of its charges.

With it a slab in a cell with vacuum, summed along all three vectors, is one repeated along two (I.-C. Yeh and
M. L. Berkowitz, J. Chem. Phys. 111, 3155 (1999)). It depends on no origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnp.structure import Periodicity

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DipoleCorrection:
    """The correction of one slab.

    Parameters
    ----------
    normal : (3,) float64
        Unit vector.
    heights : (n_atoms,) float64, length
        Positions along it, from their mean.
    volume : float, length^3
        Of the cell with vacuum.
    """

    normal: Array
    heights: Array
    volume: float

    @classmethod
    def of(cls, positions: Array, cell: Array | None, pbc: Periodicity) -> DipoleCorrection | None:
        """None of a structure that is no slab. The vector that is not repeated is the normal."""
        if cell is None or all(pbc):
            return None
        vector = cell[int(np.flatnonzero(~np.array(pbc))[0])]
        normal = vector / np.linalg.norm(vector)
        heights = positions @ normal
        return cls(normal, heights - heights.mean(), float(abs(np.linalg.det(cell))))

    @property
    def matrix(self) -> Array:
        """Its part of A, (n_atoms, n_atoms)."""
        apart = np.subtract.outer(self.heights, self.heights)
        return np.asarray(-2.0 * np.pi / self.volume * apart**2)

    def product(self, charges: Array) -> Array:
        """Its part of A Q, (n_atoms,)."""
        z, total = self.heights, charges.sum()
        apart = z**2 * total - 2.0 * z * (z @ charges) + z**2 @ charges
        return np.asarray(-2.0 * np.pi / self.volume * apart)

    def derivatives(self, left: Array, right: Array) -> tuple[Array, Array]:
        """Forces (n_atoms, 3) and virial (3, 3) of 1/2 left A right."""
        z, factor = self.heights, np.pi / self.volume
        pull = left * (z * right.sum() - right @ z) + right * (z * left.sum() - left @ z)
        energy = 0.5 * left @ self.product(right)
        along = np.outer(self.normal, self.normal)
        forces = 2.0 * factor * pull[:, None] * self.normal
        return forces, energy * (2.0 * along - np.eye(3))
