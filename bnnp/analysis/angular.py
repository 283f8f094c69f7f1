"""Bond-angle distributions: the angle j-i-k of two neighbors j, k of the center i within a cutoff.

The density is per degree and integrates to one. Unordered pairs of neighbors j, k are counted once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.neighbors import NeighborList

Array = NDArray[np.float64]
Triple = tuple[int, int, int]  # atomic numbers: neighbor, center, neighbor; the smaller neighbor first


@dataclass(frozen=True, eq=False)
class AngularDistribution:
    """Histograms of angles, summed over frames.

    Parameters
    ----------
    edges : (n_bins + 1,) float64, degrees
    counts : mapping of Triple to (n_bins,) float64
    """

    edges: Array
    counts: dict[Triple, Array]

    @classmethod
    def of(cls, pairs: NeighborList, numbers: NDArray[np.integer], bins: int) -> AngularDistribution:
        """Histograms of one frame; `pairs` are all pairs within the cutoff."""
        edges = np.linspace(0.0, 180.0, bins + 1)
        left, right = _couples(pairs)
        unit = pairs.vectors / np.linalg.norm(pairs.vectors, axis=1)[:, None]
        cosine = np.einsum("tx,tx->t", unit[left], unit[right])
        angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
        slot = np.minimum((angle / (180.0 / bins)).astype(np.int64), bins - 1)
        center = numbers[pairs.centers[left]]
        ends = np.sort(np.stack([numbers[pairs.neighbors[left]], numbers[pairs.neighbors[right]]]), axis=0)
        counts: dict[Triple, Array] = {}
        for first, middle, last in np.unique(np.stack([ends[0], center, ends[1]], axis=1), axis=0).tolist():
            mine = (ends[0] == first) & (center == middle) & (ends[1] == last)
            counts[first, middle, last] = np.bincount(slot[mine], minlength=bins).astype(np.float64)
        return cls(edges, counts)

    def __add__(self, other: AngularDistribution) -> AngularDistribution:
        zero = np.zeros(len(self.edges) - 1)
        names = sorted({*self.counts, *other.counts})
        counts = {name: self.counts.get(name, zero) + other.counts.get(name, zero) for name in names}
        return AngularDistribution(self.edges, counts)

    @property
    def centers(self) -> Array:
        """Middle of each bin, degrees."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def total(self) -> Array:
        """Histogram of all angles, (n_bins,)."""
        return sum(self.counts.values(), np.zeros(len(self.edges) - 1))

    def density(self, counts: Array) -> Array:
        """Probability per degree; zero without any angle."""
        found: Array = counts / max(counts.sum(), 1.0) / np.diff(self.edges)
        return found


def _couples(pairs: NeighborList) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every unordered couple of pairs with the same center, as two arrays of pair numbers."""
    later = pairs.first[1:][pairs.centers] - np.arange(len(pairs)) - 1  # pairs of the center that follow
    left = np.repeat(np.arange(len(pairs)), later)
    start = np.repeat(np.cumsum(later) - later, later)
    return left, left + 1 + np.arange(len(left)) - start
