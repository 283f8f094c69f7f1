r"""Harmonic phonons of a crystal by frozen displacements, of every sample of a potential at once.

.. math::
    D_{ij}(q) = \frac{1}{\sqrt{m_i m_j}} \sum_{J \to j} \Phi_{iJ}
                \Big\langle e^{2 \pi i q \cdot r_{iJ}} \Big\rangle, \qquad
    D(q)\, e = (2 \pi \nu)^2 e

with the force constants Phi_iJ between atom i of the primitive cell and all atoms J of the supercell that are
images of j, and the mean over the shortest vectors r_iJ, where several are equally short (A. Togo, I. Tanaka,
Scr. Mater. 108, 1 (2015)). Imaginary frequencies are negative numbers. Modes are sorted by frequency in each
sample, so a standard deviation is that of the n-th frequency of a wave vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import ase.units
import numpy as np
from ase.units import _c, _e, _hplanck
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_array

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Weights = NDArray[np.number]

THZ = 1000.0 * ase.units.fs / (2.0 * np.pi)  # of the square root of one eV / (Angstrom^2 amu)
EV_PER_THZ = 1e12 * _hplanck / _e  # energy of a quantum
CM_PER_THZ = 1e10 / _c
STABLE = 0.05  # THz; a frequency below minus this is imaginary, and not the noise of an acoustic mode
_SILENT = 0.01  # THz; acoustic modes at the zone center, left out of thermal properties
_AT_ONCE = 4_000_000  # complex numbers


@dataclass(frozen=True, eq=False)
class ForceConstants:
    """Force constants of S samples, and the geometry they belong to.

    Parameters
    ----------
    values : (S, n_primitive, n_super, 3, 3) float64, eV/Angstrom^2
        Minus d(force on J)/d(displacement of i): [s, i, J, direction of i, direction of J].
    images : (n_super,) int64
        The primitive atom that each atom of the supercell is an image of.
    vectors : (n_vectors, 3) float64
        Shortest vectors, in units of the primitive lattice vectors.
    chosen : (n_super, n_primitive, 2) int64
        How many of `vectors` are those of the pair, and where they begin.
    masses : (n_primitive,) float64, amu
    """

    values: Array
    images: Integers
    vectors: Array
    chosen: Integers
    masses: Array

    @property
    def modes(self) -> int:
        """Number of branches."""
        return 3 * len(self.masses)

    def frequencies(self, q_points: Array) -> Array:
        """Sorted frequencies, (n_q, 3 n_primitive, S) THz, negative if imaginary.

        Parameters
        ----------
        q_points : (n_q, 3) float64
            In units of the reciprocal lattice vectors.
        """
        found = [self._frequencies(some) for some in self._portions(q_points)]
        return np.concatenate(found)

    def _portions(self, q_points: Array) -> Iterator[Array]:
        size = max(1, _AT_ONCE // (len(self.values) * self.modes**2))
        return (q_points[begin : begin + size] for begin in range(0, len(q_points), size))

    def _frequencies(self, q_points: Array) -> Array:
        matrices = self.dynamical_matrices(q_points)
        squares = np.linalg.eigvalsh(matrices)  # q s mode
        found: Array = THZ * np.sign(squares) * np.sqrt(np.abs(squares))
        return found.transpose(0, 2, 1)

    def dynamical_matrices(self, q_points: Array) -> NDArray[np.complex128]:
        """D(q), (n_q, S, 3 n_primitive, 3 n_primitive), eV / (Angstrom^2 amu)."""
        n_super, n, S = len(self.images), len(self.masses), len(self.values)
        counts, starts = self.chosen[..., 0].ravel(), self.chosen[..., 1].ravel()
        rows = np.repeat(np.arange(n_super * n), counts)
        columns = np.concatenate([np.arange(a, a + c) for a, c in zip(starts, counts, strict=True)])
        mean = csr_array(
            (1.0 / counts[rows], (columns, rows)), shape=(len(self.vectors), n_super * n)
        )  # over the shortest vectors
        waves = np.exp(2j * np.pi * q_points @ self.vectors.T)
        phases = (waves @ mean).reshape(len(q_points), n_super, n)  # q J i
        matrices = np.empty((len(q_points), S, n, 3, n, 3), dtype=np.complex128)
        for i in range(n):
            for j in range(n):
                own = np.flatnonzero(self.images == j)
                springs = self.values[:, i, own].transpose(1, 0, 2, 3).reshape(len(own), -1)  # J (s a b)
                block = (phases[:, own, i] @ springs).reshape(len(q_points), S, 3, 3)
                matrices[:, :, i, :, j, :] = block / np.sqrt(self.masses[i] * self.masses[j])
        found = matrices.reshape(len(q_points), S, 3 * n, 3 * n)
        return np.asarray(0.5 * (found + found.conj().swapaxes(-1, -2)))

    @property
    def at_zone_center(self) -> Array:
        """Force constants between the sublattices, (S, 3 n_primitive, 3 n_primitive) eV/Angstrom^2."""
        n = len(self.masses)
        sums = [self.values[:, :, self.images == j].sum(axis=2) for j in range(n)]  # s i a b of each j
        found = np.stack(sums, axis=3).reshape(len(self.values), 3 * n, 3 * n)  # s (i a) (j b)
        return np.asarray(0.5 * (found + found.transpose(0, 2, 1)))


def without_drift(values: Array, home: Integers) -> Array:
    """Force constants with the acoustic sum rule: an atom feels no force when all move alike.

    Parameters
    ----------
    values : (S, n_primitive, n_super, 3, 3) float64
    home : (n_primitive,) int64
        The atom of the supercell that is the primitive atom itself.
    """
    found = values.copy()
    found[:, np.arange(len(home)), home] -= values.sum(axis=2)
    return found


def density_of_states(
    frequencies: Array, weights: Weights, smearing: float, step: float
) -> tuple[Array, Array]:
    """Density of states with Gaussians, whose integral is the number of branches.

    Parameters
    ----------
    frequencies : (n_q, modes, S) float64, THz
    weights : (n_q,) numbers
    smearing, step : float, THz
        Standard deviation of the Gaussians; distance of two points.

    Returns
    -------
    points : (n,) float64, THz
    density : (n, S) float64, 1/THz
    """
    low, high = frequencies.min() - 5.0 * smearing, frequencies.max() + 5.0 * smearing
    edges = step * np.arange(np.floor(low / step), np.ceil(high / step) + 1)
    share = np.repeat(weights / weights.sum(), frequencies.shape[1])
    columns = [
        np.histogram(frequencies[..., s].ravel(), edges, weights=share)[0]
        for s in range(frequencies.shape[2])
    ]
    counts = np.stack(columns, axis=-1) / step
    density = gaussian_filter1d(counts, smearing / step, axis=0, mode="constant", truncate=5.0)
    return 0.5 * (edges[1:] + edges[:-1]), np.asarray(density)


@dataclass(frozen=True, eq=False)
class Thermal:
    """Harmonic thermal properties of a primitive cell, (n_temperatures, S) each.

    Parameters
    ----------
    free_energy : eV
        With the zero-point energy.
    entropy, heat_capacity : k_B
        At constant volume.
    """

    free_energy: Array
    entropy: Array
    heat_capacity: Array


def thermal_properties(frequencies: Array, weights: Weights, temperatures: Array) -> Thermal:
    """Sums over the modes of a mesh; imaginary modes and acoustic ones at the zone center have no part.

    Parameters
    ----------
    frequencies : (n_q, modes, S) float64, THz
    weights : (n_q,) numbers
    temperatures : (n_temperatures,) float64, K
    """
    share = weights / weights.sum()
    quanta = EV_PER_THZ * np.where(frequencies > _SILENT, frequencies, np.inf)
    zero_point = np.where(np.isfinite(quanta), 0.5 * quanta, 0.0)
    found = []
    for temperature in temperatures:
        if temperature == 0.0:
            free, entropy, capacity = zero_point, 0.0 * zero_point, 0.0 * zero_point
        else:
            x = quanta / (ase.units.kB * temperature)
            decay = np.exp(-x)
            occupied, logarithm = decay / (1.0 - decay), np.log1p(-decay)
            x = np.where(np.isfinite(x), x, 0.0)
            free = zero_point + ase.units.kB * temperature * logarithm
            entropy = x * occupied - logarithm
            capacity = x**2 * occupied * (1.0 + occupied)
        found.append([np.einsum("q,qms->s", share, each) for each in (free, entropy, capacity)])
    free_energy, entropies, capacities = np.array(found).transpose(1, 0, 2)
    return Thermal(free_energy, entropies, capacities)


def gruneisen(smaller: Array, larger: Array, frequencies: Array, change: float) -> Array:
    """Mode Grueneisen parameters -d ln nu / d ln V; NaN for acoustic modes at the zone center.

    Parameters
    ----------
    smaller, larger, frequencies : (n_q, modes, S) float64, THz
        At the volumes V (1 - change), V (1 + change) and V.
    change : float
    """
    known = np.where(np.abs(frequencies) > STABLE, frequencies, np.nan)
    return np.asarray(-(larger - smaller) / (2.0 * change * known))
