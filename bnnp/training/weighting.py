r"""Weights of single energies, forces and stresses in the loss: structures, groups, rare environments.

The weight of a structure (``weight=`` of its comment line) is multiplied by those of its group, one for each
term. Forces may also be weighted by how rare the environment of the atom is in the training set, so that the
few atoms at a defect or surface count as much as the many in the bulk. The Gaussian density function of atom
i among the M training atoms of its element, with D symmetry functions scaled to [-1, 1], is::

    rho(G_i) = 1/M sum_j exp(-|G_i - G_j|^2 / (2 sigma^2 D))

where the sum includes j = i. The force on the atom weighs Theta(1 / rho(G_i)), divided by the mean over these
atoms, with Theta(x) = x or the modified sigmoid x / (1 + exp(c - b x)) (W. Jeong, K. Lee, D. Yoo, D. Lee,
S. Han, J. Phys. Chem. C 122, 22790 (2018)). For more than :data:`CENTERS` atoms the terms j != i are those of
that many of them, evenly spaced, and are scaled up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.scaling import Scaling
from bnnp.io.descriptor_file import DescriptorFile

Array = NDArray[np.float64]
Terms = tuple[float, float, float]

CENTERS = 8000  # atoms the density is summed over, and rows of the file that are read at once
PROBES = 1000  # atoms whose nearest neighbors in the space of symmetry functions are searched
COVERED = 0.99  # share of atoms whose nearest neighbor there is to be within one sigma
SMALLEST = 1e-6  # of sigma: equal environments are at the distance 0, and the density divides by sigma
ROWS = 1024  # atoms at a time: a block of distances takes ROWS * CENTERS * 8 bytes


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of all structures and atoms of a file.

    Parameters
    ----------
    energy, stress : (n,) float64
    force : (N,) float64
        Of every atom.
    """

    energy: Array
    force: Array
    stress: Array

    @classmethod
    def of(cls, file: DescriptorFile, groups: Mapping[str, Terms], rarity: Array | None = None) -> Weights:
        """Weights of the structures times those of their `groups` (energy, force, stress) and, for forces,
        the `rarity` of the atoms, (N,)."""
        factors = np.array([groups.get(label, (1.0, 1.0, 1.0)) for label in file.groups])  # (n_groups, 3)
        energy, force, stress = (file.weight[:, None] * factors[file.group]).T
        per_atom = np.repeat(force, file.n_atoms)
        return cls(energy, per_atom if rarity is None else per_atom * rarity, stress)


def force_rarity(
    file: DescriptorFile,
    training: Sequence[int],
    scalings: Mapping[str, Scaling],
    sigma: float | None = None,
    sigmoid: tuple[float, float] | None = None,
) -> tuple[Array, dict[str, float]]:
    """Theta(1 / rho) of the training atoms, with mean 1 for each element, and sigma of each element.

    Parameters
    ----------
    file : DescriptorFile
    training : sequence of int
        Numbers of the structures in the training set.
    scalings : mapping of str to Scaling
        Ranges of the symmetry functions over the training atoms.
    sigma : float or None
        Width of the Gaussians, in functions scaled to [-1, 1] and divided by sqrt(D). None: for each element
        the distance, so divided, within which 99 % of its atoms have a neighbor.
    sigmoid : (b, c) or None
        Of Theta; None: Theta(x) = x.

    Returns
    -------
    rarity : (N,) float64
        Of every atom in the file; 1 for atoms that are not trained on.
    sigmas : dict of str to float
        Sigma by element.
    """
    chosen = np.zeros(len(file), dtype=bool)
    chosen[list(training)] = True
    in_training = np.repeat(chosen, file.n_atoms)
    rarity, sigmas = np.ones(len(file.types)), {}
    for number, element in enumerate(file.elements):
        atoms = np.flatnonzero(in_training & (file.types == number))
        rows = np.flatnonzero(np.repeat(chosen, file.n_elements[:, number]))
        points = _Points(file.descriptors(element), rows, scalings[element])
        sigmas[element] = points.typical_distance() if sigma is None else sigma
        weights = theta(1.0 / points.density(sigmas[element]), sigmoid)
        rarity[atoms] = weights / weights.mean()
    return rarity, sigmas


def theta(x: Array, sigmoid: tuple[float, float] | None) -> Array:
    """Theta(x): x / (1 + exp(c - b x)) for `sigmoid` = (b, c), else x."""
    if sigmoid is None:
        return x
    b, c = sigmoid
    return x / (1.0 + np.exp(np.minimum(c - b * x, 700.0)))  # exp(710) overflows


class _Points:
    """Training atoms of one element in the space of their scaled symmetry functions, read in pieces.

    Parameters
    ----------
    data : (N_X, n_X) float64, array or h5py.Dataset
        Unscaled symmetry functions of all atoms of the element.
    rows : (M,) int64
        Those of the training atoms, ascending.
    scaling : Scaling
    """

    def __init__(self, data: Any, rows: NDArray[np.int64], scaling: Scaling) -> None:
        self._data, self._rows = data, rows
        self._varying = ~scaling.constant
        self._low, self._width = scaling.minimum[self._varying], scaling.spread[self._varying]
        self.dimension = max(int(self._varying.sum()), 1)

    def density(self, sigma: float) -> Array:
        """rho of every atom, (M,)."""
        m = len(self._rows)
        places = _spaced(m, CENTERS)
        centers, factor = self._read(places), -0.5 / (sigma**2 * self.dimension)
        found = np.empty(m)
        for start in range(0, m, ROWS):
            block = np.arange(start, min(start + ROWS, m))
            kernel = np.exp(factor * _squares(self._read(block), centers))  # (rows, n_centers)
            itself = np.isin(block, places)
            others = np.maximum(len(places) - itself, 1)
            # 1 is the term j = i
            found[block] = (1.0 + (m - 1) * (kernel.sum(axis=1) - itself) / others) / m
        return found

    def typical_distance(self) -> float:
        """The distance, divided by sqrt(D), within which a share COVERED of the atoms has a neighbor."""
        places = _spaced(len(self._rows), PROBES)
        probes, nearest = self._read(places), np.full(len(places), np.inf)
        for start in range(0, len(self._rows), CENTERS):
            block = np.arange(start, min(start + CENTERS, len(self._rows)))
            squares = _squares(probes, self._read(block))
            squares[places[:, None] == block] = np.inf
            nearest = np.minimum(nearest, squares.min(axis=1))
        known = np.sqrt(nearest[np.isfinite(nearest)] / self.dimension)
        if not known.size:
            return 1.0  # a single atom: its density is 1 with any sigma
        return max(float(np.quantile(known, COVERED)), SMALLEST)

    def _read(self, places: NDArray[np.int64]) -> Array:
        """Scaled symmetry functions of some atoms, (n, D); `places` in `rows` ascend.

        At most CENTERS rows of the file are read at once, however far apart the atoms are.
        """
        rows = self._rows[places]
        scaled, end = np.empty((len(rows), len(self._low))), int(rows[-1]) + 1
        for first in range(int(rows[0]), end, CENTERS):
            mine = slice(*np.searchsorted(rows, [first, first + CENTERS]))
            values = self._data[first : min(first + CENTERS, end)][rows[mine] - first]
            scaled[mine] = 2.0 * (values[:, self._varying] - self._low) / self._width - 1.0
        return scaled


def _spaced(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of 0 ... count - 1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _squares(points: Array, centers: Array) -> Array:
    """Squared distances, (n_points, n_centers), never negative."""
    of_points, of_centers = (np.einsum("id,id->i", x, x) for x in (points, centers))
    squares: Array = of_points[:, None] + of_centers - 2.0 * points @ centers.T
    return np.maximum(squares, 0.0, out=squares)
