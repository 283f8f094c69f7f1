r"""Screened repulsion of two nuclei, a baseline where no training structure has atoms so close.

.. math::
    E = \sum_{i<j} \left[ \frac{Z_i Z_j e^2}{4 \pi \epsilon_0 r} \phi(r / a) + S(r) \right], \quad
    a = \frac{0.46850\,\mathrm{\AA}}{Z_i^{0.23} + Z_j^{0.23}}

with the universal screening function phi of J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and
Range of Ions in Solids (Pergamon, New York, 1985), and the switch of ``pair_style zbl`` of LAMMPS,

.. math::
    S = C \; (r < r_1), \quad S = C + \frac{A}{3} (r - r_1)^3 + \frac{B}{4} (r - r_1)^4 \; (r_1 < r < r_2),

whose A, B and C let E, E' and E'' vanish at the outer radius r_2. Training subtracts it from the references,
and every evaluation adds it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.neighbors import NeighborList
from bnnp.units import COULOMB, Units

Array = NDArray[np.float64]

SCREENING = 0.46850  # a, Angstrom
AMPLITUDES = np.array([0.18175, 0.50986, 0.28022, 0.02817])
EXPONENTS = np.array([3.19980, 0.94229, 0.40290, 0.20162])


@dataclass(frozen=True)
class Repulsion:
    """The repulsion, switched off between two distances.

    Parameters
    ----------
    inner, outer : float, length
        r_1 and r_2.
    units : Units
        Of all arguments and results.

    Raises
    ------
    ValueError
        Not 0 <= inner < outer.
    """

    inner: float
    outer: float
    units: Units

    def __post_init__(self) -> None:
        if not 0.0 <= self.inner < self.outer:
            raise ValueError(f"expects 0 <= r_in < r_out, got {self.inner:g} and {self.outer:g}")

    def of_pairs(self, numbers: NDArray[np.integer], pairs: NeighborList) -> tuple[Array, Array]:
        """Energies of the atoms, half of each pair, and dE/dD of every pair of a full list.

        Parameters
        ----------
        numbers : (n_atoms,) int
            Atomic numbers.
        pairs : NeighborList
            Within the outer radius at least.

        Returns
        -------
        energies : (n_atoms,) float64, energy
        slopes : (n_pairs, 3) float64, energy/length
        """
        squares = np.einsum("pk,pk->p", pairs.vectors, pairs.vectors)
        close = np.flatnonzero(squares < self.outer**2)
        centers, distances = pairs.centers[close], np.sqrt(squares[close])
        energy, slope = self(numbers[centers], numbers[pairs.neighbors[close]], distances)
        slopes = np.zeros_like(pairs.vectors)
        slopes[close] = pairs.vectors[close] * (0.5 * slope / distances)[:, None]
        energies = np.zeros(len(numbers))
        np.add.at(energies, centers, 0.5 * energy)
        return energies, slopes

    def __call__(
        self, first: NDArray[np.integer], second: NDArray[np.integer], distances: Array
    ) -> tuple[Array, Array]:
        """Energy and dE/dr of pairs of atoms within the outer radius.

        Parameters
        ----------
        first, second : (n,) int
            Atomic numbers.
        distances : (n,) float64, length

        Returns
        -------
        energy, slope : (n,) float64
        """
        energy, slope, _ = self._unswitched(first, second, distances)
        at_end = self._unswitched(first, second, np.full(len(distances), self.outer))
        width = self.outer - self.inner
        e, e1, e2 = at_end[0], at_end[1] * width, at_end[2] * width**2  # with r in units of the width
        a, b, c = e2 - 3.0 * e1, 2.0 * e1 - e2, e1 / 2.0 - e - e2 / 12.0
        x = np.maximum(distances - self.inner, 0.0) / width
        return energy + (a / 3.0 + b / 4.0 * x) * x**3 + c, slope + (a + b * x) * x**2 / width

    def _unswitched(
        self, first: NDArray[np.integer], second: NDArray[np.integer], distances: Array
    ) -> tuple[Array, Array, Array]:
        """E, E' and E'' without S."""
        a = SCREENING / self.units.angstrom / (first**0.23 + second**0.23)
        strength = first * second * COULOMB / (self.units.ev * self.units.angstrom)
        rates = EXPONENTS / a[:, None]
        terms = AMPLITUDES * np.exp(-rates * distances[:, None])
        phi, phi1, phi2 = terms.sum(axis=1), -(rates * terms).sum(axis=1), (rates**2 * terms).sum(axis=1)
        r = distances
        return (
            strength * phi / r,
            strength * (phi1 - phi / r) / r,
            strength * (phi2 - 2.0 * phi1 / r + 2.0 * phi / r**2) / r,
        )
