r"""Radial distribution functions, total and partial.

.. math:: g_{ab}(r) = \frac{V}{N_a N_b}\,
          \frac{\langle n_{ab}(r, r + dr) \rangle}{\tfrac{4}{3}\pi [(r + dr)^3 - r^3]}

with the number n_ab of ordered pairs of an atom a and a different atom b, or an image of a itself, at that
distance; images count, so r may exceed half of the cell (M. P. Allen, D. J. Tildesley, Computer Simulation of
Liquids, 2nd ed., eq. 2.95).
It is 1 without correlation, and 1 - 1/N_a for a = b and finite N. The running coordination number of an atom
a is the mean number of atoms b within r.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.neighbors import NeighborList

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RadialDistribution:
    """Histograms of distances, summed over frames.

    Parameters
    ----------
    numbers : tuple of int
        Atomic numbers of the elements, ascending.
    edges : (n_bins + 1,) float64, length
    scaled_counts : (n_elements, n_elements, n_bins) float64, volume
        n_ab V / (N_a N_b), summed over frames.
    neighbors : (n_elements, n_elements, n_bins) float64
        Atoms b per atom a in each bin, summed over frames.
    share : (n_elements, n_elements) float64
        c_a c_b with the mole fraction c_a = N_a / N, summed over frames.
    frames : int
    """

    numbers: tuple[int, ...]
    edges: Array
    scaled_counts: Array
    neighbors: Array
    share: Array
    frames: int

    @classmethod
    def of(
        cls, pairs: NeighborList, numbers: NDArray[np.integer], volume: float, r_max: float, bins: int
    ) -> RadialDistribution:
        """Histograms of one frame.

        Parameters
        ----------
        pairs : NeighborList
            All pairs within `r_max`; those beyond do not count.
        numbers : (n_atoms,) int
            Atomic numbers.
        volume : float, length^3
        r_max : float, length
        bins : int
        """
        elements, index, totals = np.unique(numbers, return_inverse=True, return_counts=True)
        n = len(elements)
        edges = np.linspace(0.0, r_max, bins + 1)
        distances = np.linalg.norm(pairs.vectors, axis=1)
        slot = np.minimum((distances / (r_max / bins)).astype(np.int64), bins - 1)  # r_max is in the last bin
        which = (index[pairs.centers] * n + index[pairs.neighbors]) * bins + slot
        which = which[distances <= r_max]
        found = np.bincount(which, minlength=n * n * bins).reshape(n, n, bins).astype(np.float64)
        ordered = np.outer(totals, totals)  # N_a N_b
        scaled, neighbors = found / (ordered / volume)[:, :, None], found / totals[:, None, None]
        return cls(tuple(elements.tolist()), edges, scaled, neighbors, ordered / len(numbers) ** 2, 1)

    def __add__(self, other: RadialDistribution) -> RadialDistribution:
        if self.numbers != other.numbers:
            raise ValueError(
                f"histograms of the elements {self.numbers} and {other.numbers} cannot be added; give frames "
                "of the same elements"
            )
        if not np.array_equal(self.edges, other.edges):
            mine, theirs = (f"r_max {x.edges[-1]:g} in {len(x.edges) - 1} bins" for x in (self, other))
            raise ValueError(f"histograms with {mine} and {theirs} cannot be added; use the same for both")
        return RadialDistribution(
            self.numbers,
            self.edges,
            self.scaled_counts + other.scaled_counts,
            self.neighbors + other.neighbors,
            self.share + other.share,
            self.frames + other.frames,
        )

    @property
    def centers(self) -> Array:
        """Middle of each bin, (n_bins,) length."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def partial(self) -> Array:
        """g_ab, (n_elements, n_elements, n_bins); symmetric."""
        shells = 4.0 / 3.0 * np.pi * np.diff(self.edges**3)
        return self.scaled_counts / (shells * self.frames)

    @property
    def total(self) -> Array:
        """g of all atoms, whatever they are: the sum of c_a c_b g_ab, (n_bins,)."""
        return np.asarray(np.einsum("ab,abr->r", self.share / self.frames, self.partial))

    @property
    def coordination(self) -> Array:
        """Atoms b within the right edge of each bin around an atom a, (n_elements, n_elements, n_bins)."""
        return self.neighbors.cumsum(axis=-1) / self.frames


def mean_and_spread(parts: Sequence[Array]) -> tuple[Array, Array]:
    """Mean of values from several blocks or runs, and their standard deviation (divisor n - 1).

    The latter is 0 for a single part, where it is unknown.
    """
    values = np.stack(parts)
    if len(values) < 2:
        return values[0], np.zeros_like(values[0])
    return values.mean(axis=0), values.std(axis=0, ddof=1)
