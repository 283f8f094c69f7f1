r"""Radial distribution functions, total and partial.

.. math:: g_{ab}(r) = \frac{V}{N_a N_b}\,
          \frac{\langle n_{ab}(r, r + dr) \rangle}{\tfrac{4}{3}\pi [(r + dr)^3 - r^3]}

with the number n_ab of ordered pairs of an atom a and another atom b at that distance, images included, so r
may exceed half of the cell (M. P. Allen, D. J. Tildesley, Computer Simulation of Liquids, 2nd ed., eq. 2.95).
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
        Atomic numbers of the kinds, ascending.
    edges : (n_bins + 1,) float64, length
    counts : (n_kinds, n_kinds, n_bins) float64
        Ordered pairs, divided by the ideal number N_a N_b / V of unit volume; summed over frames.
    neighbors : (n_kinds, n_kinds, n_bins) float64
        Atoms b per atom a in each bin, summed over frames.
    share : (n_kinds, n_kinds) float64
        c_a c_b, summed over frames.
    frames : int
    """

    numbers: tuple[int, ...]
    edges: Array
    counts: Array
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
            All pairs within `r_max`.
        numbers : (n_atoms,) int
        volume : float, length^3
        """
        kinds, index, totals = np.unique(numbers, return_inverse=True, return_counts=True)
        n = len(kinds)
        edges = np.linspace(0.0, r_max, bins + 1)
        distances = np.linalg.norm(pairs.vectors, axis=1)
        slot = np.minimum((distances / (r_max / bins)).astype(np.int64), bins - 1)
        which = (index[pairs.centers] * n + index[pairs.neighbors]) * bins + slot
        found = np.bincount(which, minlength=n * n * bins).reshape(n, n, bins).astype(np.float64)
        ideal = np.outer(totals, totals) / volume  # ordered pairs in unit volume
        share = np.outer(totals, totals) / len(numbers) ** 2
        return cls(
            tuple(kinds.tolist()), edges, found / ideal[:, :, None], found / totals[:, None, None], share, 1
        )

    def __add__(self, other: RadialDistribution) -> RadialDistribution:
        if self.numbers != other.numbers or len(self.edges) != len(other.edges):
            raise ValueError("histograms of other elements or bins cannot be added")
        return RadialDistribution(
            self.numbers,
            self.edges,
            self.counts + other.counts,
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
        """g_ab, (n_kinds, n_kinds, n_bins); symmetric."""
        shells = 4.0 / 3.0 * np.pi * np.diff(self.edges**3)
        return self.counts / (shells * self.frames)

    @property
    def total(self) -> Array:
        """g of all atoms, whatever they are: the sum of c_a c_b g_ab, (n_bins,)."""
        return np.asarray(np.einsum("ab,abr->r", self.share / self.frames, self.partial))

    @property
    def coordination(self) -> Array:
        """Atoms b within the right edge of each bin around an atom a, (n_kinds, n_kinds, n_bins)."""
        return self.neighbors.cumsum(axis=-1) / self.frames


def mean_and_spread(parts: Sequence[Array]) -> tuple[Array, Array]:
    """Mean of values from several blocks or runs, and their standard deviation (n - 1); zero for one part."""
    values = np.stack(parts)
    if len(values) < 2:
        return values[0], np.zeros_like(values[0])
    return values.mean(axis=0), values.std(axis=0, ddof=1)
